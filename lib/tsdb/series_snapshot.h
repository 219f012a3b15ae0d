// The series of the index as a file, NNNNNN.series in the folder of the head log, so that an open
// need not read and sort a million rows: see FORMAT.md. It is a copy of what the LSM has; without
// it, or when it is damaged, the rows are read.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_TSDB_SERIES_SNAPSHOT_H_
#define TINYOBS_LIB_TSDB_SERIES_SNAPSHOT_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "lib/tsdb/series_index.h"
#include "tinyobs/file_system.h"

namespace tinyobs::tsdb {

// Follows the kinds of head_log.h. On disk: never renumber.
inline constexpr uint32_t kWalKindSeries = 5;

// Writes the series below `end` under a temporary name, syncs the file, renames it and syncs the
// folder. Errors of the file system; Aborted: series were removed meanwhile.
absl::Status WriteSeriesSnapshot(FileSystem* file_system, const std::string& path, uint64_t number,
                                 const SeriesIndex& index, SeriesRef end);
// Replaces the index by the file's series; `end` is the one it was written with. NotFound.
// DataLoss: then the index is as it was. ResourceExhausted: its series take more than `most_bytes`.
absl::Status ReadSeriesSnapshot(FileSystem* file_system, const std::string& path, uint64_t number,
                                SeriesIndex* index, SeriesRef* end, size_t most_bytes = SIZE_MAX);

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_SERIES_SNAPSHOT_H_
