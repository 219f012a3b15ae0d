// ChunkStore: sealed chunks in the LSM, and what is known of the partitions of all tiers.
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
// The coarser tiers hold rows of windows, which Downsampler makes. Whether those of a partition are
// made is a mark in its partition row (Downsampled); from the moment they begin to be made, whoever
// changes a series in the partition leaves a row `touched` in the same batch. So no change is ever
// unknown to the windows, whatever crash or thread comes between.
//
// Nothing is written to the LSM's log: what the head log does not cover is durable after the next
// flush of the LSM.
//
// Thread-safety: thread-safe. turn() is held by whoever writes chunks, from Write to Publish, never
// for long. MergeClosed, DropBefore, DeleteRange and each step of the Downsampler exclude each
// other by ageing_turn() and may take seconds; they hold turn() for short moments only, but for
// DropBefore, which waits for a flush of the LSM.
// Lock order: ageing_turn(), turn(), the LSM's own, mutex_.
#ifndef TINYOBS_LIB_TSDB_CHUNK_STORE_H_
#define TINYOBS_LIB_TSDB_CHUNK_STORE_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
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
#include "lib/tsdb/read_plan.h"
#include "lib/tsdb/series_rows.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

class ChunkStore {
 public:
  // What `store` must be opened with: PartitionPrefix as partition_of and, for MergeClosed, the
  // hook of `merge`. filter_prefix_bytes = kSeriesPrefixBytes makes reads of few series cheaper.
  // Both must outlive this; `merge` may be null: then nothing is ever due to be merged.
  ChunkStore(lsm::Store* store, const Partitioning& partitioning, PartitionMerge* merge = nullptr)
      : store_(store),
        merge_(merge),
        partitioning_(partitioning),
        coarser_{TierPartitioning(partitioning, Tier::kFiveMinutes),
                 TierPartitioning(partitioning, Tier::kOneHour)} {}

  // Reads the partition rows. Call once, before anything else. `read_only`: of a store that cannot
  // be written to; if not, a DropBefore that a crash cut short is finished first.
  absl::Status Load(bool read_only = false) ABSL_LOCKS_EXCLUDED(turn_);

  // --- writing chunks
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
  // `now_ms` is monotonic. A partition of more than `most_bytes` waits: merging takes that much
  // until it is done. DataLoss: a damaged table; it is tried again after a pause.
  absl::StatusOr<bool> MergeClosed(int64_t closed_ms, int64_t now_ms,
                                   uint64_t most_bytes = UINT64_MAX)
      ABSL_LOCKS_EXCLUDED(ageing_turn_, turn_);
  // What MergeClosed is going to write just now, at most.
  uint64_t merging_bytes() const { return merging_bytes_.load(std::memory_order_relaxed); }
  // Of the tables of one partition.
  uint64_t BytesOf(Tier tier, uint32_t partition) const {
    const std::string prefix = ChunkPrefix(tier, partition);
    return store_->RangeBytes(prefix, PrefixEnd(prefix));
  }
  // Of each tier, the first partition that stays; 0 = all do.
  struct DropEnds {
    std::array<uint32_t, kAllTiers.size()> of_tier{};
    uint32_t& operator[](Tier tier) { return of_tier[Place(tier)]; }
    uint32_t operator[](Tier tier) const { return of_tier[Place(tier)]; }
  };
  // Those at which what ended at or before these times is dropped. Of a tier nothing is dropped
  // that a finer one still has, and idle series (numbered as raw partitions) leave with the last
  // tier that has data of their time.
  DropEnds EndsAt(int64_t raw_ms, int64_t five_minutes_ms, int64_t one_hour_ms) const;
  // Drops the partitions before `ends`, and (`idle_too`: there are any) the idle series that leave
  // with them: the rows go by one batch, the data by an edit of the manifest for each tier, and
  // unlinks. Flushes the LSM. Durable and complete after OK. Returns the number of partitions
  // dropped, of all tiers.
  absl::StatusOr<uint64_t> DropBefore(const DropEnds& ends, bool idle_too = false)
      ABSL_LOCKS_EXCLUDED(ageing_turn_, turn_);
  // Of the last drop, if it was cut short: of idle series that are before it nothing is there.
  DropEnds unfinished_drop() const ABSL_NO_THREAD_SAFETY_ANALYSIS { return unfinished_drop_; }
  // Unlinks the files of the raw partitions that ended at or before `time_ms`, as far as they are
  // in files, and nothing else: works on a full disk. DropBefore must follow; until then the counts
  // are too high.
  absl::Status UnlinkBefore(int64_t time_ms) ABSL_LOCKS_EXCLUDED(ageing_turn_);
  // Deletes the raw samples of the series (ascending) within `range`. Atomic per partition and
  // series. Durable after the next flush of the LSM. Returns the number of samples. Of windows:
  // Downsampler::DeleteRange.
  absl::StatusOr<uint64_t> DeleteRange(std::span<const SeriesId> series, TimeRange range)
      ABSL_LOCKS_EXCLUDED(ageing_turn_, turn_);

  // --- reading
  // Over all partitions.
  PartitionCounts Totals(Tier tier = Tier::kRaw) const;
  // The partitions of the tier that exist and overlap `range`, ascending.
  std::vector<uint32_t> Partitions(TimeRange range, Tier tier = Tier::kRaw) const;
  // The newest raw partition in which the series has a chunk; if it has none, the last one that a
  // row of windows of it may be about. Asks each partition's filters, newest first, tier by tier.
  absl::StatusOr<std::optional<uint32_t>> LastPartitionOf(SeriesId series) const;
  // What PlanReads wants to know, of the partitions that a query for `range` may meet. They may
  // have changed by the time the caller looks into the LSM: it takes the snapshot after the marks,
  // and asks again when marks_version() is another then. Samples that the head still has, frozen
  // ones included, are in no window. Without windows nothing has left a tier, as then nothing
  // answers instead (raw_from_ms).
  TierMarks Marks(TimeRange range) const;
  // Grows when marks change that a query has to know.
  uint64_t marks_version() const;

  // --- after a repair of the LSM
  struct HighestIds {
    uint32_t metric = 0;
    uint32_t series = 0;
    void Include(SeriesId id) {
      metric = std::max(metric, static_cast<uint32_t>(id >> 32));
      series = std::max(series, static_cast<uint32_t>(id));
    }
  };
  // Makes the partition rows of all tiers anew from the chunks and windows that are there, which it
  // reads all, and returns the highest numbers in their series' ids: those must not be given again.
  // Where there are windows, all that they were made of is touched: nobody knows any more what they
  // know. Call after Load, before anything else.
  absl::StatusOr<HighestIds> Recount() ABSL_LOCKS_EXCLUDED(turn_);

  // --- for Downsampler
  Mutex& ageing_turn() ABSL_LOCK_RETURNED(ageing_turn_) { return ageing_turn_; }
  // The partitions of a tier with their counts, ascending.
  std::vector<std::pair<uint32_t, PartitionCounts>> Counts(Tier tier) const;
  // The partition before which all of the tier was dropped for good; 0 = nothing was.
  uint32_t DroppedBefore(Tier tier) const;
  // The counts of a partition as the batch in the making will leave them; Commit writes the batch
  // with the rows of all that were staged, and Publish makes them visible. After an error nothing
  // is staged any more.
  PartitionCounts* Staged(Tier tier, uint32_t partition) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status Commit(lsm::WriteBatch* batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  void Unstage() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_) { staged_.clear(); }
  // Notes a change of the series, if there may be windows of it.
  void Touch(Tier tier, uint32_t partition, SeriesId series, lsm::WriteBatch* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);

  lsm::Store* store() const { return store_; }
  const Partitioning& partitioning() const { return partitioning_; }
  const Partitioning& partitioning(Tier tier) const {
    return tier == Tier::kFiveMinutes ? coarser_[0]
           : tier == Tier::kOneHour   ? coarser_[1]
                                      : partitioning_;
  }

 private:
  struct TierPartitions {
    std::map<uint32_t, PartitionCounts> partitions;
    uint32_t dropped_before = 0;
  };
  static size_t Place(Tier tier) { return static_cast<size_t>(tier) - 1; }
  TierPartitions& TierOf(Tier tier) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return tiers_[Place(tier)];
  }
  const TierPartitions& TierOf(Tier tier) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return tiers_[Place(tier)];
  }
  void StageChunk(const NewChunk& chunk, lsm::WriteBatch* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // `chunks` are of one series and partition; `rows` is over the LSM and moves forward.
  absl::Status PlaceChunks(std::span<const NewChunk* const> chunks, Iterator* rows,
                           lsm::WriteBatch* batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status WriteWithLook(std::span<const NewChunk> chunks, lsm::WriteBatch* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  // Reads the rows `dropped`. Returns what was to be dropped when a crash came.
  absl::StatusOr<DropEnds> LoadDropped();
  absl::Status LoadTouched() ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status DeleteTouched(Tier tier, uint32_t partition, lsm::WriteBatch* batch) const;
  // Deletes the rows of partitions before `ends`. Returns how many there are.
  absl::StatusOr<uint64_t> DeleteRows(const DropEnds& ends, lsm::WriteBatch* batch) const;
  void PutDropped(Tier tier, uint32_t under_way, lsm::WriteBatch* batch) const;
  absl::Status FinishDrop(const DropEnds& ends);
  // Marks the partition as downsampled and the series as changed since.
  absl::Status TouchAgain(Tier tier, uint32_t partition, SeriesId series, lsm::WriteBatch* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  absl::Status RecountWindows(Tier tier, HighestIds* highest, lsm::WriteBatch* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(turn_);
  std::optional<uint32_t> DueToMerge(int64_t closed_ms, int64_t now_ms)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(ageing_turn_);

  lsm::Store* const store_;
  PartitionMerge* const merge_;
  const Partitioning partitioning_;
  const std::array<Partitioning, 2> coarser_;

  std::atomic<uint64_t> merging_bytes_{0};
  Mutex ageing_turn_;  // a turn, as turn_: held during I/O
  struct Rest {
    uint64_t unmerged_chunks = 0;
    int64_t until_ms = 0;
  };
  // Partitions that are due once they have not changed for a while.
  std::map<uint32_t, Rest> resting_ ABSL_GUARDED_BY(ageing_turn_);
  DropEnds unfinished_drop_ ABSL_GUARDED_BY(ageing_turn_);  // the last one failed

  Mutex turn_;
  chunk::Encoder encoder_ ABSL_GUARDED_BY(turn_);
  std::string value_ ABSL_GUARDED_BY(turn_);  // scratch
  SeriesRows series_rows_ ABSL_GUARDED_BY(turn_){partitioning_};
  // From Write to Publish.
  std::map<std::pair<Tier, uint32_t>, PartitionCounts> staged_ ABSL_GUARDED_BY(turn_);
  // Its rows may be merged at any moment: none may be deleted or written anew.
  std::optional<uint32_t> merging_ ABSL_GUARDED_BY(turn_);

  mutable Mutex mutex_;
  std::array<TierPartitions, kAllTiers.size()> tiers_ ABSL_GUARDED_BY(mutex_);
  uint64_t marks_version_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_CHUNK_STORE_H_
