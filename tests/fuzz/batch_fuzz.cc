// Write batch records, the payloads of the write-ahead log, from hostile bytes. A record that is
// accepted keeps the limits of a batch, and the batch made of its entries encodes to bytes that
// decode to the same entries.
#include <cstdint>
#include <string_view>

#include "lib/base/check.h"
#include "lib/lsm/write_batch.h"

namespace tinyobs::lsm {
namespace {

struct Collector final : WriteBatch::Handler {
  void Put(std::string_view key, std::string_view value) override { batch.Put(key, value); }
  void Delete(std::string_view key) override { batch.Delete(key); }
  WriteBatch batch;
};

// Recovery walks the entries with BatchReader; it must see what Decode does.
void CheckReader(const BatchRecord& record, bool is_whole) {
  BatchReader reader(record.entries);
  ValueType type;
  std::string_view key, value;
  uint64_t count = 0;
  while (reader.Next(&type, &key, &value)) ++count;
  TINYOBS_CHECK(count <= record.entries.size());
  TINYOBS_CHECK(is_whole == (reader.ok() && count == record.count));
}

void TryRecord(std::string_view bytes) {
  BatchRecord record;
  const absl::Status status = DecodeBatchRecord(bytes, &record);
  if (!status.ok()) {
    TINYOBS_CHECK(absl::IsDataLoss(status));
    return;
  }
  TINYOBS_CHECK(record.entries.size() <= bytes.size() && record.count > 0);
  Collector collector;
  const absl::Status decoded = WriteBatch::Decode(record.entries, record.count, &collector);
  CheckReader(record, decoded.ok());
  if (!decoded.ok()) {
    TINYOBS_CHECK(absl::IsDataLoss(decoded));
    return;
  }
  TINYOBS_CHECK(collector.batch.CheckLimits().ok());
  TINYOBS_CHECK(collector.batch.count() == record.count);
  Collector again;
  TINYOBS_CHECK(WriteBatch::Decode(collector.batch.entries(), record.count, &again).ok());
  TINYOBS_CHECK(again.batch.entries() == collector.batch.entries());
}

}  // namespace
}  // namespace tinyobs::lsm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tinyobs::lsm::TryRecord({reinterpret_cast<const char*>(data), size});
  return 0;
}
