// What a Downsampler works with: windows made of the chunks of one series, and the rows of windows
// of one series in one partition, as the batch in the making will leave them.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_TSDB_WINDOW_ROWS_H_
#define TINYOBS_LIB_TSDB_WINDOW_ROWS_H_

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/iterator.h"
#include "lib/base/memory_accountant.h"
#include "lib/chunk/aggregate.h"
#include "lib/chunk/window.h"
#include "lib/lsm/write_batch.h"
#include "lib/tsdb/chunk_row.h"
#include "lib/tsdb/column_merge.h"
#include "lib/tsdb/key_schema.h"

namespace tinyobs::tsdb {

// Of a window of the tier. REQUIRES: not raw.
constexpr int64_t WidthMs(Tier tier) {
  return ResolutionMs(tier == Tier::kOneHour ? Resolution::kOneHour : Resolution::kFiveMinutes);
}

// What is damaged in partitions that ended at or before these times (of raw, 5m and 1h) is passed
// by and counted: nobody waits for it any more. Of a damaged chunk that chunk is lost, of anything
// else the series in this partition, of a damaged table those that cannot be reached.
struct Losses {
  std::array<int64_t, 3> before_ms{INT64_MIN, INT64_MIN, INT64_MIN};
  uint64_t count = 0;
  absl::Status last;
};
// `status`, or OK when it is damage, which `losses` (null: none is taken) then counts.
absl::Status PassBy(const absl::Status& status, Losses* losses);

// Aggregates raw samples by five minutes. The same samples give the same windows, however they were
// cut into chunks: each window's samples are gathered first and added together.
class WindowMaker {
 public:
  // `account` (may be null) is told of the samples held: those of one series in one partition, or,
  // when they are many, in one window.
  WindowMaker(const Partitioning& raw, MemoryAccount* account) : raw_(raw), charge_(account) {}

  // Of what `rows`, over the LSM and at the first key not before `prefix` (the series' in the
  // partition), holds of the series, less what is damaged and `losses` takes; leaves it behind.
  // DataLoss.
  absl::Status FromSamples(const std::string& prefix, uint32_t partition, Iterator* rows,
                           Losses* losses, std::vector<chunk::Window>* windows);
  uint64_t samples() const { return samples_; }  // in all series so far

 private:
  // Adds what is in merger_, window by window.
  void AddGathered();

  const Partitioning raw_;
  MemoryCharge charge_;
  uint64_t samples_ = 0;
  ColumnMerger merger_;
  Columns columns_;
  chunk::WindowAggregator aggregator_;
};

class WindowRows {
 public:
  WindowRows(Tier tier, const Partitioning& cut, uint32_t partition)
      : tier_(tier), cut_(cut), partition_(partition) {}

  Tier tier() const { return tier_; }
  uint32_t partition() const { return partition_; }

  // Begins with what `rows`, at the first key not before those of the series in the partition,
  // holds of it; leaves it behind. DataLoss: a key.
  absl::Status Load(SeriesId series, Iterator* rows);
  // Begins with nothing: there are no rows of the series.
  void Clear(SeriesId series);

  // All windows there are, ascending. DataLoss.
  absl::Status Windows(std::vector<chunk::Window>* out) const;

  // Each returns whether anything changes.
  // Makes one row of `windows`, in place of all there are.
  bool ReplaceAll(const std::vector<chunk::Window>& windows, lsm::WriteBatch* batch);
  // Makes a row for the span that begins at `start_ms`, in place of the one there is.
  bool Replace(int64_t start_ms, const std::vector<chunk::Window>& windows, lsm::WriteBatch* batch);
  // Removes windows. DataLoss.
  absl::StatusOr<bool> Remove(const std::function<bool(const chunk::Window&)>& doomed,
                              lsm::WriteBatch* batch);

  // Adds what has changed since the beginning, of all series, to the counts of the partition.
  void AddTo(PartitionCounts* counts) const;
  uint64_t rows_written() const { return rows_written_; }

 private:
  struct Row {
    uint32_t offset_ms = 0;
    std::string value;
  };

  std::string KeyAt(uint32_t offset_ms) const;
  // Puts `windows` at the offset; `old`: what is there, or null.
  bool Put(uint32_t offset_ms, const Row* old, const std::vector<chunk::Window>& windows,
           lsm::WriteBatch* batch);
  void Delete(const Row& row, lsm::WriteBatch* batch);
  uint64_t CountIn(const Row& row) const;

  const Tier tier_;
  const Partitioning cut_;
  const uint32_t partition_;
  SeriesId series_ = 0;
  std::vector<Row> rows_;
  std::string value_;

  uint64_t rows_written_ = 0;
  uint64_t rows_added_ = 0, rows_removed_ = 0;
  uint64_t windows_added_ = 0, windows_removed_ = 0;
  int64_t oldest_ms_ = INT64_MAX, newest_ms_ = INT64_MIN;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_WINDOW_ROWS_H_
