// Snapshots of the series index with hostile records. The input is a list of records (varint
// length, bytes), put into sound, sealed frames: the frames themselves are the business of
// wal_fuzz.
//
// Every answer must be OK or DataLoss. What is loaded must hold what the index promises: each
// series is found by its labels, matched by its metric, and below the end; a second index loaded
// from what the first writes is the same.
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/tsdb/series_snapshot.h"
#include "tests/testing/memory_file_system.h"

namespace tinyobs::tsdb {
namespace {

constexpr uint64_t kNumber = 3;
constexpr char kPath[] = "000003.series";

void WriteRecords(FileSystem* file_system, std::string_view input) {
  auto writer = lsm::WalWriter::Create(file_system, kPath, {kWalKindSeries, kNumber, 0});
  TINYOBS_CHECK(writer.ok());
  ByteReader records(input);
  while (!records.empty()) (*writer)->Add(records.LengthPrefixed());
  TINYOBS_CHECK((*writer)->Seal().ok() && (*writer)->Sync().ok() && (*writer)->Close().ok());
}

void Check(std::string_view input) {
  testing::MemoryFileSystem file_system;
  WriteRecords(&file_system, input);
  SeriesIndex index(7);
  SeriesRef end = 0;
  const absl::Status status = ReadSeriesSnapshot(&file_system, kPath, kNumber, &index, &end);
  TINYOBS_CHECK(status.ok() || absl::IsDataLoss(status));
  if (!status.ok()) {
    TINYOBS_CHECK(index.size() == 0);
    return;
  }
  const std::vector<SeriesRef> refs = index.Match({}).refs;
  TINYOBS_CHECK(refs.size() == index.size() && (refs.empty() || refs.back() < end));
  for (const SeriesRef ref : refs) {
    const Labels labels = index.LabelsOf(ref);
    const std::string& bytes = labels.canonical_bytes();
    TINYOBS_CHECK(index.Find(bytes, index.KeyOf(bytes)) == ref);
    const std::vector<Matcher> metric = {Matcher::Metric(std::string(labels.metric()))};
    TINYOBS_CHECK(index.Matches(ref, metric));
  }
  TINYOBS_CHECK(WriteSeriesSnapshot(&file_system, kPath, kNumber, index, end).ok());
  SeriesIndex again(7);
  SeriesRef end_again = 0;
  TINYOBS_CHECK(ReadSeriesSnapshot(&file_system, kPath, kNumber, &again, &end_again).ok());
  TINYOBS_CHECK(end_again == end && again.Match({}).refs == refs);
  for (const SeriesRef ref : refs) {
    TINYOBS_CHECK(again.IdOf(ref) == index.IdOf(ref) && again.LabelsOf(ref) == index.LabelsOf(ref));
  }
}

}  // namespace
}  // namespace tinyobs::tsdb

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tinyobs::tsdb::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
