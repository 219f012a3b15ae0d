// ChunkScan: reads the rows of series after series out of one tier, as of one instant: chunks of
// raw samples, or rows of windows.
//
// Keys begin with the partition, so the chunks of one series lie far apart, but those of
// neighbouring series side by side. A scan therefore keeps one iterator for each partition and
// moves it forward: the next series is often in the block at hand. For few series it asks for their
// prefixes instead, so that the filters spare it the tables without them. Chunks are decoded
// straight into the result.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_TSDB_CHUNK_SCAN_H_
#define TINYOBS_LIB_TSDB_CHUNK_SCAN_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/iterator.h"
#include "lib/lsm/store.h"
#include "lib/tsdb/column_merge.h"
#include "lib/tsdb/key_schema.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

// Moves `rows` to the first key not before `target`: forward by a few steps if that is enough.
// REQUIRES: it is not Valid(), or nothing between it and `target` has been passed.
void MoveForward(std::string_view target, Iterator* rows);

class ChunkScan {
 public:
  // `snapshot` (null: the newest state) must outlive the scan; `partitioning` is the tier's;
  // `partitions`, ascending, are those that existed then. `series_count`: of how many series rows
  // will be asked for, about.
  ChunkScan(const lsm::Store* store, const lsm::Snapshot* snapshot,
            const Partitioning& partitioning, std::vector<uint32_t> partitions, TimeRange range,
            size_t series_count, Tier tier = Tier::kRaw);

  // Adds the series' samples within the range to `merger`. Cheapest for ascending series. Stops
  // early, OK, when the merger holds more than `sample_limit` (0 = none). DataLoss. REQUIRES: kRaw.
  absl::Status Read(SeriesId series, uint64_t sample_limit, ColumnMerger* merger);
  // Appends `columns` (a set of WindowColumn) of the series' windows that overlap `pieces`, which
  // ascend and lie within the range. Stops early as Read. DataLoss. REQUIRES: not kRaw.
  absl::Status ReadWindows(SeriesId series, std::span<const TimeRange> pieces, uint32_t columns,
                           uint64_t window_limit, Windows* out);

 private:
  struct Place {
    uint32_t partition = 0;
    std::unique_ptr<Iterator> rows;  // null until needed
    SeriesId last_series = 0;
  };
  lsm::ReadOptions Options(std::string prefix) const;
  // Rows of `place` at the first one not before `prefix`, which is of the series.
  Iterator* Position(Place* place, SeriesId series, const std::string& prefix);

  const lsm::Store* const store_;
  const lsm::Snapshot* const snapshot_;
  const Tier tier_;
  const Partitioning partitioning_;
  const TimeRange range_;
  bool by_prefix_;
  bool fill_cache_;
  std::vector<Place> places_;
  std::unique_ptr<Iterator> of_series_;  // with by_prefix_
};

// What both ways to read share: adds what `rows`, at the first key not before `prefix` (a
// SeriesPrefix), holds of the series. False: the limit is reached.
absl::StatusOr<bool> ReadChunks(const std::string& prefix, const Partitioning& partitioning,
                                TimeRange range, uint64_t sample_limit, Iterator* rows,
                                ColumnMerger* merger);

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_CHUNK_SCAN_H_
