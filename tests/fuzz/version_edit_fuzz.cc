// Version edits and write batch records from hostile bytes: the payloads of manifest and log. An
// edit that is accepted encodes to bytes that decode to the same edit; edits that follow each other
// are applied, and a version either keeps its invariants or DataLoss says which one broke.
#include <cstdint>
#include <memory>
#include <string_view>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/lsm/version.h"
#include "lib/lsm/version_edit.h"
#include "lib/lsm/write_batch.h"

namespace tinyobs::lsm {
namespace {

void CheckVersion(const Version& version) {
  for (int level = 1; level < kLevels; ++level) {
    const TableList& tables = version.level(level);
    for (size_t i = 1; i < tables.size(); ++i) {
      TINYOBS_CHECK(
          CompareUserKeys(tables[i - 1]->largest_user_key(), tables[i]->smallest_user_key()) < 0);
    }
  }
  TINYOBS_CHECK(static_cast<size_t>(version.l0_depth()) <= version.level(0).size());
}

void TryBatch(std::string_view bytes) {
  BatchRecord record;
  if (!DecodeBatchRecord(bytes, &record).ok()) return;
  TINYOBS_CHECK(record.entries.size() <= bytes.size() && record.count > 0);
  struct Counter final : WriteBatch::Handler {
    void Put(std::string_view key, std::string_view value) override { batch.Put(key, value); }
    void Delete(std::string_view key) override { batch.Delete(key); }
    WriteBatch batch;
  } counter;
  if (!WriteBatch::Decode(record.entries, record.count, &counter).ok()) return;
  TINYOBS_CHECK(counter.batch.CheckLimits().ok());
  TINYOBS_CHECK(counter.batch.count() == record.count);
  Counter again;
  TINYOBS_CHECK(WriteBatch::Decode(counter.batch.entries(), record.count, &again).ok());
  TINYOBS_CHECK(again.batch.entries() == counter.batch.entries());
}

void TryEdits(std::string_view bytes) {
  auto registry = std::make_shared<TableRegistry>();
  std::shared_ptr<const Version> version = std::make_shared<const Version>();
  ByteReader input(bytes);
  while (!input.empty()) {
    const absl::StatusOr<VersionEdit> edit = VersionEdit::Decode(input.LengthPrefixed());
    if (!edit.ok()) {
      TINYOBS_CHECK(absl::IsDataLoss(edit.status()));
      return;
    }
    const absl::StatusOr<VersionEdit> again = VersionEdit::Decode(edit->Encode());
    TINYOBS_CHECK(again.ok() && *again == *edit);
    const auto next = Version::Apply(*version, *edit, registry, nullptr);
    if (!next.ok()) {
      TINYOBS_CHECK(absl::IsDataLoss(next.status()));
      return;
    }
    version = *next;
    CheckVersion(*version);
  }
}

}  // namespace
}  // namespace tinyobs::lsm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (bytes.empty()) return 0;
  if (bytes[0] % 2 == 0) {
    tinyobs::lsm::TryBatch(bytes.substr(1));
  } else {
    tinyobs::lsm::TryEdits(bytes.substr(1));
  }
  return 0;
}
