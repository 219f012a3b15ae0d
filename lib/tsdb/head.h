// Head: the newest samples, in memory. The head log can rebuild it.
//
// Per series an open chunk and, rarely, a buffer of late samples:
//
//   ... sealed chunks (LSM) ... | frozen, not yet in the LSM | floor | late < open |
//
// A sample at or after the open chunk's first goes into the open chunk, in its place; an older one
// goes to the late buffer. So the two never overlap, and for one time there is one value in them:
// the last written. A chunk is frozen (never changed again) when it is full, when its partition
// ends or when it is old; frozen chunks wait in a queue for the sealer, which writes them to the
// LSM and then releases them. `floor` is the newest time ever frozen: a sample not above it counts
// as late even when nothing is open, so open chunks of one life of the process never overlap what
// was frozen.
//
// Late chunks may overlap frozen and sealed ones. The generation settles who is newer: it grows
// with each late freeze, and starts higher in each segment of the head log, so that what is written
// after a restart is newer than what was written before.
//
// Invariants: (1) late.last < open.first when both exist. (2) All samples of a chunk are of one
// partition. (3) Frozen chunks are released in the order they were frozen. (4) A commit is applied
// under one hold of the lock, and queries pin under one hold: a query sees all of it or nothing.
//
// Thread-safety: thread-safe. The lock is held for memory work only.
#ifndef TINYOBS_LIB_TSDB_HEAD_H_
#define TINYOBS_LIB_TSDB_HEAD_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/tsdb/column_merge.h"
#include "lib/tsdb/head_log_record.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/shared_columns.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

// A chunk on its way from the head to the LSM.
struct FrozenChunk {
  SeriesRef ref = 0;
  Generation generation = 0;
  // May overlap chunks in the LSM, or have the key of one: the sealer looks before it writes.
  bool may_overlap = false;
  std::shared_ptr<const Columns> columns;  // of one partition, not empty
};

// What the head holds of one series, oldest writing first; later stretches win for equal times.
struct PinnedSeries {
  SeriesRef ref = 0;
  std::vector<std::pair<Generation, PinnedColumns>> stretches;
};

struct HeadStats {
  uint64_t samples = 0;  // in open, late and frozen chunks
  uint64_t bytes = 0;    // estimated
  uint64_t frozen_chunks = 0;
  uint64_t frozen_samples = 0;
  // Of all samples applied since open; meaningless while `applied` is 0.
  uint64_t applied = 0;
  int64_t oldest_ms = INT64_MAX;
  int64_t newest_ms = INT64_MIN;
};

class Head {
 public:
  struct Limits {
    uint32_t chunk_samples = 120;
    // Open and late chunks are frozen when their first sample arrived this long ago.
    int64_t max_age_ms = 2 * 3600 * 1000;
  };
  Head(const Partitioning& partitioning, const Limits& limits)
      : partitioning_(partitioning), limits_(limits) {}

  // Chunks that start at or before `horizon_ms` may overlap what is in the LSM from earlier lives.
  void SetHorizon(int64_t horizon_ms);
  // Generations from now on are newer than all of smaller epochs.
  void SetEpoch(uint32_t epoch);

  // Makes series below `ref_limit` known and adds the samples, all in one instant for queries.
  // REQUIRES: refs below `ref_limit`, times within the partitioning. `now_ms`: of the monotonic
  // clock.
  void Apply(std::span<const RefSample> samples, SeriesRef ref_limit, int64_t now_ms);

  // One instant of the head. Calls `locked(ref_limit)` under the lock, to take an LSM snapshot that
  // belongs to the same instant and to name the series wanted (ascending); stretches outside
  // `range` are left out, series without any too.
  std::vector<PinnedSeries> Pin(
      TimeRange range, const std::function<std::vector<SeriesRef>(SeriesRef ref_limit)>& locked);

  // --- sealing
  // Up to `limit` chunks from the front of the queue; they stay there and visible.
  std::vector<std::shared_ptr<const FrozenChunk>> PeekFrozen(size_t limit) const;
  // Drops the first `count` of the queue, which are in the LSM now.
  void ReleaseFrozen(size_t count);
  // Freezes what is old, or everything, of the series [begin, end). Short slices keep the lock
  // short.
  void Freeze(SeriesRef begin, SeriesRef end, int64_t now_ms, bool everything);

  // --- checkpoint
  // What is open and late (not frozen) of the series [begin, end).
  std::vector<PinnedSeries> PinUnfrozen(SeriesRef begin, SeriesRef end);

  SeriesRef ref_limit() const;
  HeadStats Stats() const;

 private:
  using FrozenPtr = std::shared_ptr<const FrozenChunk>;
  struct Rare {
    SharedColumns late;
    std::vector<FrozenPtr> frozen;  // the series' part of the queue, in its order
  };
  struct Series {
    SharedColumns open;
    int64_t floor_ms = INT64_MIN;
    int64_t opened_at_ms = 0;  // when the first sample of `open` or `late` arrived
    std::unique_ptr<Rare> rare;

    bool has_late() const { return rare != nullptr && !rare->late.empty(); }
    bool IsLate(int64_t timestamp_ms) const;
  };

  void Put(SeriesRef ref, Series* series, int64_t timestamp_ms, double value, int64_t now_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FreezeOpen(SeriesRef ref, Series* series) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FreezeLate(SeriesRef ref, Series* series) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enqueue(SeriesRef ref, Series* series, Generation generation, bool may_overlap,
               std::shared_ptr<const Columns> columns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Partitioning partitioning_;
  const Limits limits_;

  mutable Mutex mutex_;
  std::vector<Series> series_ ABSL_GUARDED_BY(mutex_);  // by ref
  std::deque<FrozenPtr> frozen_ ABSL_GUARDED_BY(mutex_);
  Generation generation_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t horizon_ms_ ABSL_GUARDED_BY(mutex_) = INT64_MIN;
  uint64_t buffer_bytes_ ABSL_GUARDED_BY(mutex_) = 0;  // of open and late columns
  HeadStats stats_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_HEAD_H_
