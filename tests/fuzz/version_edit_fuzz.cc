// Version edits, the payloads of the manifest, from hostile bytes. An edit that is accepted encodes
// to bytes that decode to the same edit; edits that follow each other are applied, and a version
// either keeps its invariants or DataLoss says which one broke.
#include <cstdint>
#include <memory>
#include <string_view>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/lsm/version.h"
#include "lib/lsm/version_edit.h"

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
  tinyobs::lsm::TryEdits({reinterpret_cast<const char*>(data), size});
  return 0;
}
