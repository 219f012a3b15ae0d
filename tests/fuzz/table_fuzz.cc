// TableReader on hostile files. Two ways in, chosen by the first byte:
//
//  - the input is the file: finds what stands before the checksums (footer, sizes),
//  - the input is the payloads of a data block, the filter, the properties and the index, each
//  behind a
//    varint length and a compression byte; they are put together with right checksums and a right
//    footer: finds what stands behind the checksums.
//
// Every answer must be OK or DataLoss (FailedPrecondition for newer versions), and a table that
// Verify accepts must read the same in both directions.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/sstable/block_cache.h"
#include "lib/sstable/table_reader.h"
#include "tests/testing/string_file.h"

namespace tinyobs::sstable {
namespace {

bool IsAllowed(const absl::Status& status) {
  return status.ok() || absl::IsDataLoss(status) || absl::IsFailedPrecondition(status);
}

BlockHandle AppendForged(ByteReader* input, std::string* file) {
  const std::string_view payload = input->LengthPrefixed();
  const BlockHandle handle{file->size(), payload.size()};
  file->append(payload);
  file->push_back(static_cast<char>(input->Byte()));
  PutFixed64(file, PlacedChecksum(std::string_view(*file).substr(handle.offset), handle.offset));
  return handle;
}

std::string FileFrom(std::string_view bytes) {
  ByteReader input(bytes);
  if (input.Byte() % 2 == 0) return std::string(input.rest());
  std::string file;
  AppendForged(&input, &file);
  Footer footer;
  footer.filter = AppendForged(&input, &file);
  if (footer.filter.size == 0) file.resize(footer.filter.offset);
  footer.properties = AppendForged(&input, &file);
  footer.index = AppendForged(&input, &file);
  return file + EncodeFooter(footer, file.size());
}

void ReadEverything(const TableReader& table) {
  const absl::Status verified = table.Verify();
  TINYOBS_CHECK(IsAllowed(verified));
  uint64_t steps_left = 10'000;
  uint64_t forward = 0;
  const auto iterator = table.NewIterator({.readahead_bytes = 100});
  for (iterator->SeekToFirst(); iterator->Valid() && forward < steps_left; iterator->Next()) {
    ++forward;
  }
  TINYOBS_CHECK(IsAllowed(iterator->status()));
  uint64_t backward = 0;
  for (iterator->SeekToLast(); iterator->Valid() && backward < steps_left; iterator->Prev()) {
    FoundEntry found;
    const auto result = table.Get({}, iterator->key(), &found);
    TINYOBS_CHECK(IsAllowed(result.status()));
    if (verified.ok()) TINYOBS_CHECK(*result && found.value == iterator->value());
    ++backward;
  }
  TINYOBS_CHECK(IsAllowed(iterator->status()));
  if (verified.ok()) {
    TINYOBS_CHECK(forward == backward);
    TINYOBS_CHECK(forward == steps_left || forward == table.properties().entries);
  }
}

}  // namespace
}  // namespace tinyobs::sstable

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tinyobs::sstable;  // NOLINT: one function
  BlockCache cache(10'000, 0);
  const auto table = TableReader::Open({.block_cache = &cache}, "fuzz.sst",
                                       std::make_unique<tinyobs::testing::StringSource>(
                                           FileFrom({reinterpret_cast<const char*>(data), size})));
  if (table.ok()) {
    ReadEverything(**table);
  } else {
    TINYOBS_CHECK(IsAllowed(table.status()));
  }
  return 0;
}
