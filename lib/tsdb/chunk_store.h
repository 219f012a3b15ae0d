// ChunkStore: sealed chunks in the LSM, and the counts kept beside them.
//
// A chunk is a row; what it adds to the counts of its partition (samples, chunks, time range) goes
// into the same write batch, so that counts and chunks cannot drift apart, whatever crash comes
// between. The partition rows are also how the database knows which partitions exist without
// scanning.
//
// Life of a partition: chunks of some 120 samples while it is written; when it is over, MergeClosed
// makes them large; when it has expired, DropBefore unlinks its files. Late chunks may come at any
// time. Whoever reads tolerates chunks that lie over each other in any way (chunk_row.h).
//
// Nothing is written to the LSM's log: what the head log does not cover is durable after the next
// flush of the LSM.
//
// Thread-safety: thread-safe. turn() is held by whoever writes chunks, from Write to Publish, never
// for long. MergeClosed, DropBefore and DeleteRange exclude each other and may take seconds; they
// hold turn() for short moments only, but for DropBefore, which waits for a flush of the LSM.
// Lock order: merge_turn_, turn(), the LSM's own, mutex_.
#ifndef TINYOBS_LIB_TSDB_CHUNK_STORE_H_
#define TINYOBS_LIB_TSDB_CHUNK_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/iterator.h"
#include "lib/base/mutex.h"
#include "lib/chunk/chunk.h"
#include "lib/lsm/store.h"
#include "lib/tsdb/chunk_merge.h"
#include "lib/tsdb/chunk_row.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/series_rows.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

class ChunkStore {
 public:
  // What `store` must be opened with: PartitionPrefix as partition_of and, for MergeClosed, the
  // hook of `merge`. filter_prefix_bytes = kSeriesPrefixBytes makes reads of few series cheaper.
  // Both must outlive this; `merge` may be null: then nothing is ever due to be merged.
  ChunkStore(lsm::Store* store, const Partitioning& partitioning, PartitionMerge* merge = nullptr)
      : store_(store), merge_(merge), partitioning_(partitioning) {}

  // Reads the partition rows. Call once, before anything else. `read_only`: of a store that cannot
  // be written to; if not, a DropBefore that a crash cut short is finished first.
  absl::Status Load(bool read_only = false) ABSL_LOCKS_EXCLUDED(turn_);

  // --- writing chunks
  using NewChunk = tsdb::NewChunk;
  Mutex& turn() ABSL_LOCK_RETURNED(turn_) { return turn_; }
  // Writes chunks, those of a series in the order they were written, as one batch; after OK,
  // Publish() makes the counts visible. For each series with a chunk that may overlap, its chunks
  // in the partition are looked at, all in one pass through the LSM: the closer together the series
  // of a call, the cheaper.
  absl::Status Write(std::span<const NewChunk> chunks) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void Publish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);

  // --- ageing
  // Merges the chunks of one partition that ended at or before `closed_ms`, if one is due: more
  // than a quarter of its chunks were written since it was last merged, and none in the last
  // kMergeQuietMs. Flushes the LSM and rewrites the partition. True: there may be more to do.
  // `now_ms` is monotonic. DataLoss: a damaged table; it is tried again after a pause.
  absl::StatusOr<bool> MergeClosed(int64_t closed_ms, int64_t now_ms)
      ABSL_LOCKS_EXCLUDED(merge_turn_, turn_);
  // Drops the partitions that ended at or before `time_ms`, and the idle series that left with
  // them, with whatever `also` writes: the rows go by one batch, the data by an edit of the
  // manifest and unlinks. Flushes the LSM. Durable and complete after OK. Returns the number of
  // partitions dropped.
  absl::StatusOr<uint64_t> DropBefore(int64_t time_ms, lsm::WriteBatch also = {})
      ABSL_LOCKS_EXCLUDED(merge_turn_, turn_);
  // Deletes the samples of the series (ascending) within `range`. Atomic per partition and series.
  // Durable after the next flush of the LSM. Returns the number of samples.
  absl::StatusOr<uint64_t> DeleteRange(std::span<const SeriesId> series, TimeRange range)
      ABSL_LOCKS_EXCLUDED(merge_turn_, turn_);
  absl::StatusOr<uint64_t> DeleteRange(SeriesId series, TimeRange range)
      ABSL_LOCKS_EXCLUDED(merge_turn_, turn_) {
    return DeleteRange({&series, 1}, range);
  }

  // --- reading
  // Over all partitions.
  PartitionCounts Totals() const;
  // The raw partitions that exist and overlap `range`, ascending.
  std::vector<uint32_t> Partitions(TimeRange range) const;
  // The newest partition in which the series has a chunk. Asks each partition's filters, newest
  // first.
  absl::StatusOr<std::optional<uint32_t>> LastPartitionOf(SeriesId series) const;

  // --- after a repair of the LSM
  struct HighestIds {
    uint32_t metric = 0;
    uint32_t series = 0;
  };
  // Makes the partition rows anew from the chunks that are there, which it reads all, and returns
  // the highest numbers in their series' ids: those must not be given again. Call after Load,
  // before anything else.
  absl::StatusOr<HighestIds> Recount() ABSL_LOCKS_EXCLUDED(turn_);

  lsm::Store* store() const { return store_; }
  const Partitioning& partitioning() const { return partitioning_; }

 private:
  PartitionCounts* Staged(uint32_t partition) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void StageChunk(const NewChunk& chunk, lsm::WriteBatch* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // `chunks` are of one series and partition; `rows` is over the LSM and moves forward.
  absl::Status PlaceChunks(std::span<const NewChunk* const> chunks, Iterator* rows,
                           lsm::WriteBatch* batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status WriteWithLook(std::span<const NewChunk> chunks, lsm::WriteBatch* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // Writes the batch with the rows of the partitions that were staged.
  absl::Status Commit(lsm::WriteBatch* batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // The partition before which all were to be dropped when a crash came; 0 = none.
  absl::StatusOr<uint32_t> UnfinishedDrop() const;
  absl::Status FinishDrop(uint32_t end_partition);
  std::optional<uint32_t> DueToMerge(int64_t closed_ms, int64_t now_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(merge_turn_);

  lsm::Store* const store_;
  PartitionMerge* const merge_;
  const Partitioning partitioning_;

  Mutex merge_turn_;  // a turn, as turn_: held during I/O
  struct Rest {
    uint64_t unmerged_chunks = 0;
    int64_t until_ms = 0;
  };
  // Partitions that are due once they have not changed for a while.
  std::map<uint32_t, Rest> resting_ ABSL_GUARDED_BY(merge_turn_);
  bool drop_failed_ ABSL_GUARDED_BY(merge_turn_) = false;  // the last DropBefore

  Mutex turn_;
  chunk::Encoder encoder_ ABSL_GUARDED_BY(turn_);
  SeriesRows series_rows_ ABSL_GUARDED_BY(turn_){partitioning_};
  std::map<uint32_t, PartitionCounts> staged_ ABSL_GUARDED_BY(turn_);  // from Write to Publish
  // Its rows may be merged at any moment: none may be deleted or written anew.
  std::optional<uint32_t> merging_ ABSL_GUARDED_BY(turn_);

  mutable Mutex mutex_;
  std::map<uint32_t, PartitionCounts> partitions_ ABSL_GUARDED_BY(mutex_);  // raw tier
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_CHUNK_STORE_H_
