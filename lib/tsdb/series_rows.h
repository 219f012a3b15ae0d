// SeriesRows: the chunks of one series in one partition, as the batch in the making will leave
// them.
//
// Where a chunk may overlap others, somebody has to look at what is there. Three things are settled
// here: a chunk never takes the key of another (that would lose samples), a time that is stored
// twice is counted once, and no more than kMaxOverlap chunks lie on top of each other. Several
// chunks of the series may be placed one after the other, in the order they were written; nothing
// reaches the LSM before PutChanges.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_TSDB_SERIES_ROWS_H_
#define TINYOBS_LIB_TSDB_SERIES_ROWS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/iterator.h"
#include "lib/chunk/chunk.h"
#include "lib/lsm/write_batch.h"
#include "lib/tsdb/chunk_row.h"
#include "lib/tsdb/column_merge.h"
#include "lib/tsdb/key_schema.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

// Chunks over one time at which a late one is merged with them instead of being put beside them.
inline constexpr size_t kMaxOverlap = 8;

// One chunk to write.
struct NewChunk {
  SeriesId series = 0;
  // Newer than that of every chunk of the series that it overlaps. REQUIRES: an epoch that is not
  // 0.
  Generation generation = 0;
  std::span<const int64_t> timestamps_ms;  // of one partition
  std::span<const double> values;
  // False: it lies behind every chunk of the series that was ever written.
  bool may_overlap = false;
  chunk::ExponentHint* hint = nullptr;  // of the series; may be null
};

class SeriesRows {
 public:
  explicit SeriesRows(const Partitioning& partitioning) : partitioning_(partitioning) {}

  // Begins with what `rows`, over the LSM and at the first key not before `prefix` (a
  // SeriesPrefix), holds of it and of `range`; leaves it behind the prefix. DataLoss.
  absl::Status Load(const std::string& prefix, TimeRange range, Iterator* rows);

  // REQUIRES: of this series and partition, within the range of Load. `may_replace`: rows that are
  // there may be deleted or written anew; if not, `chunk` is put beside them, however many there
  // are. Returns how many of its times are new. DataLoss.
  absl::StatusOr<uint64_t> Place(const NewChunk& chunk, bool may_replace, chunk::Encoder* encoder);

  // Removes the samples of `range`, which is within that of Load. Returns how many there were, each
  // time once. DataLoss.
  absl::StatusOr<uint64_t> Delete(TimeRange range, chunk::Encoder* encoder);

  // Adds what has changed to `batch` and to the rows that `counts` counts.
  void PutChanges(lsm::WriteBatch* batch, PartitionCounts* counts) const;

 private:
  struct Row {
    std::string key;
    std::string value;
    int64_t first_ms = 0;
    int64_t last_ms = 0;
    bool is_stored = false;   // in the LSM
    bool is_live = true;      // and is to stay
    bool is_changed = false;  // to be written
    bool Overlaps(int64_t from_ms, int64_t to_ms) const {
      return is_live && first_ms <= to_ms && last_ms >= from_ms;
    }
  };

  Row* Insert(Row row);
  // The largest number of chunks over one time of [from_ms, to_ms].
  size_t Depth(int64_t from_ms, int64_t to_ms) const;
  // Merges what overlaps [from_ms, to_ms].
  absl::Status Merge(int64_t from_ms, int64_t to_ms);
  // Times, ascending, each once, of what overlaps [from_ms, to_ms].
  absl::StatusOr<std::vector<int64_t>> Times(int64_t from_ms, int64_t to_ms);

  const Partitioning partitioning_;
  std::vector<Row> rows_;  // ascending by key
  ColumnMerger merger_;    // scratch, as the two below
  Columns columns_;
  std::vector<GenerationRun> runs_;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_SERIES_ROWS_H_
