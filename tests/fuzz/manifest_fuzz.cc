// CURRENT and a whole manifest from hostile bytes. Two ways in, chosen by the first byte:
//
//  - a length and CURRENT, then the manifest's file as it is: finds what stands before the
//    checksums,
//  - a list of records, put into a right log: finds what stands behind them.
//
// Every answer is OK, DataLoss, NotFound (of the manifest that CURRENT names) or FailedPrecondition
// (a newer version). What is accepted can be written as the first record of a new manifest, which
// then says the same.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/manifest.h"
#include "lib/lsm/wal_writer.h"
#include "tests/testing/memory_file_system.h"

namespace tinyobs::lsm {
namespace {

constexpr uint64_t kNumber = 2;

void Write(FileSystem* fs, const std::string& path, std::string_view content) {
  TINYOBS_CHECK(fs->CreateWritable(path).value()->Append(content).ok());
}

void WriteFiles(FileSystem* fs, std::string_view bytes) {
  ByteReader input(bytes);
  if (input.Byte() % 2 == 0) {
    Write(fs, "/db/CURRENT", input.LengthPrefixed());
    Write(fs, ManifestFileName("/db", kNumber), input.rest());
    return;
  }
  Write(fs, "/db/CURRENT", StrCat(ManifestBaseName(kNumber), "\n"));
  const auto log = WalWriter::Create(fs, ManifestFileName("/db", kNumber),
                                     {.kind = kWalKindManifest, .number = kNumber, .previous = 0})
                       .value();
  while (!input.empty()) log->Add(input.LengthPrefixed());
  TINYOBS_CHECK(log->Sync().ok());
}

VersionEdit WholeOf(const ManifestState& state) {
  VersionEdit whole;
  whole.log_number = state.log_number;
  whole.next_file_number = state.next_file_number;
  whole.last_sequence = state.last_sequence;
  state.version->AppendTo(&whole);
  return whole;
}

}  // namespace
}  // namespace tinyobs::lsm

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tinyobs;       // NOLINT: one function
  using namespace tinyobs::lsm;  // NOLINT
  testing::MemoryFileSystem fs;
  TINYOBS_CHECK(fs.CreateDirectories("/db").ok());
  WriteFiles(&fs, {reinterpret_cast<const char*>(data), size});
  const auto state = ReadManifest(&fs, "/db", std::make_shared<TableRegistry>());
  if (!state.ok()) {
    TINYOBS_CHECK(absl::IsDataLoss(state.status()) || absl::IsNotFound(state.status()) ||
                  absl::IsFailedPrecondition(state.status()));
    return 0;
  }
  const VersionEdit whole = WholeOf(*state);
  TINYOBS_CHECK(ManifestWriter::Create(&fs, "/db", kNumber + 1, whole).ok());
  const auto again = ReadManifest(&fs, "/db", std::make_shared<TableRegistry>());
  TINYOBS_CHECK(again.ok() && again->torn_bytes == 0 && WholeOf(*again) == whole);
  return 0;
}
