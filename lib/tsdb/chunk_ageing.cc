// What becomes of chunks after they were written: merged when their partition is over, dropped when
// it has expired, deleted when somebody asks for it, counted anew after a repair. FORMAT.md argues
// each crash point.
#include <algorithm>
#include <utility>

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/tsdb/chunk_scan.h"
#include "lib/tsdb/chunk_store.h"
#include "lib/tsdb/rows.h"

namespace tinyobs::tsdb {

namespace {

// How long a partition must have been left alone before it is merged, so that a backfill does not
// have each partition rewritten again and again.
constexpr int64_t kMergeQuietMs = 30'000;
// Until a merge that failed is tried again.
constexpr int64_t kMergeRetryMs = 600'000;
// Of the chunks there are, one in so many must be new for a merge to pay.
constexpr uint64_t kMergePart = 4;
// Series whose deletions go in one batch.
constexpr size_t kDeleteBatchSeries = 1024;

}  // namespace

std::optional<uint32_t> ChunkStore::DueToMerge(int64_t closed_ms, int64_t now_ms) {
  MutexLock lock(&mutex_);
  std::erase_if(resting_, [this](const auto& rest) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return !TierOf(Tier::kRaw).partitions.contains(rest.first);
  });
  for (const auto& [partition, counts] : TierOf(Tier::kRaw).partitions) {
    if (partitioning_.StartOfNumber(partition) > closed_ms - partitioning_.partition_ms()) break;
    const bool pays = counts.chunks > 1 && counts.unmerged_chunks * kMergePart >= counts.chunks;
    if (counts.unmerged_chunks == 0 || !pays) continue;
    const auto [rest, is_new] = resting_.try_emplace(partition);
    if (is_new || rest->second.unmerged_chunks != counts.unmerged_chunks) {
      rest->second = {counts.unmerged_chunks, now_ms + kMergeQuietMs};
    } else if (rest->second.until_ms <= now_ms) {
      return partition;
    }
  }
  return std::nullopt;
}

absl::StatusOr<bool> ChunkStore::MergeClosed(int64_t closed_ms, int64_t now_ms,
                                             uint64_t most_bytes) {
  if (merge_ == nullptr) return false;
  MutexLock ageing(&ageing_turn_);
  const std::optional<uint32_t> partition = DueToMerge(closed_ms, now_ms);
  if (!partition.has_value()) return false;
  const uint64_t bytes = BytesOf(Tier::kRaw, *partition);
  if (bytes > most_bytes) return false;
  PartitionCounts before;
  {
    MutexLock lock(&turn_);
    merging_ = partition;
    staged_.clear();
    before = *Staged(Tier::kRaw, *partition);
    staged_.clear();
  }
  merging_bytes_ = bytes;
  merge_->Begin();
  const std::string first = ChunkPrefix(Tier::kRaw, *partition);
  const absl::Status status = store_->CompactRange(
      first, EncodeChunkKey({Tier::kRaw, *partition, UINT64_MAX, UINT32_MAX, UINT64_MAX}));
  const uint64_t rows = merge_->End();
  merging_bytes_ = 0;
  MutexLock lock(&turn_);
  merging_.reset();
  if (!status.ok()) {
    resting_[*partition] = {before.unmerged_chunks, now_ms + kMergeRetryMs};
    return status;
  }
  resting_.erase(*partition);
  staged_.clear();
  PartitionCounts* const counts = Staged(Tier::kRaw, *partition);
  // What was written meanwhile comes on top.
  counts->chunks = (rows > 0 ? rows : before.chunks) + counts->chunks - before.chunks;
  counts->unmerged_chunks -= before.unmerged_chunks;
  lsm::WriteBatch batch;
  TINYOBS_RETURN_IF_ERROR(Commit(&batch));
  Publish();
  return true;
}

ChunkStore::DropEnds ChunkStore::EndsAt(int64_t raw_ms, int64_t five_minutes_ms,
                                        int64_t one_hour_ms) const {
  DropEnds ends;
  MutexLock lock(&mutex_);
  int64_t finer_ms = INT64_MAX;  // where the finer tier begins then
  int64_t kept_ms = INT64_MAX;   // where anything does
  for (const auto& [tier, time_ms] :
       {std::pair(Tier::kRaw, raw_ms), std::pair(Tier::kFiveMinutes, five_minutes_ms),
        std::pair(Tier::kOneHour, one_hour_ms)}) {
    const Partitioning& cut = partitioning(tier);
    ends[tier] = cut.NumberOf(std::min(time_ms, finer_ms));
    finer_ms = cut.StartOfNumber(std::max(ends[tier], TierOf(tier).dropped_before));
    const auto first = TierOf(tier).partitions.lower_bound(ends[tier]);
    if (first != TierOf(tier).partitions.end()) {
      kept_ms = std::min(kept_ms, cut.StartOfNumber(first->first));
    }
  }
  ends[Tier::kIdle] = std::min(std::max(ends[Tier::kRaw], TierOf(Tier::kRaw).dropped_before),
                               partitioning_.NumberOf(kept_ms));
  return ends;
}

absl::Status ChunkStore::DeleteTouched(Tier tier, uint32_t partition,
                                       lsm::WriteBatch* batch) const {
  const auto rows = RowsOf(store_, TouchedPrefix(tier, partition));
  for (; rows->Valid(); rows->Next()) batch->Delete(rows->key());
  return rows->status();
}

absl::StatusOr<uint64_t> ChunkStore::DeleteRows(const DropEnds& ends,
                                                lsm::WriteBatch* batch) const {
  uint64_t gone = 0;
  for (const Tier tier : kDataTiers) {
    for (const auto& [partition, counts] : Counts(tier)) {
      if (partition >= ends[tier]) break;
      ++gone;
      batch->Delete(PartitionRowKey(tier, partition));
      if (counts.touched > 0) {
        TINYOBS_RETURN_IF_ERROR(DeleteTouched(tier, partition, batch));
      }
    }
  }
  return gone;
}

void ChunkStore::PutDropped(Tier tier, uint32_t under_way, lsm::WriteBatch* batch) const {
  std::string value;
  PutBigEndian32(&value, DroppedBefore(tier));
  PutBigEndian32(&value, under_way);
  batch->Put(DroppedRowKey(tier), value);
}

absl::StatusOr<uint64_t> ChunkStore::DropBefore(const DropEnds& wanted, bool idle_too) {
  MutexLock ageing(&ageing_turn_);
  MutexLock turn(&turn_);
  DropEnds ends = wanted;
  bool finish = false;
  for (const Tier tier : kAllTiers) {
    finish = finish || unfinished_drop_[tier] > 0;
    ends[tier] = std::max(ends[tier], unfinished_drop_[tier]);
  }
  lsm::WriteBatch batch;
  TINYOBS_ASSIGN_OR_RETURN(const uint64_t gone, DeleteRows(ends, &batch));
  if (gone == 0 && !idle_too && !finish) return 0;
  unfinished_drop_ = ends;
  for (const Tier tier : kAllTiers) {
    if (ends[tier] == 0) continue;
    {
      // No further than there was data: of what comes later nothing has gone. Said before it is
      // so: nobody goes on with what is about to go.
      MutexLock lock(&mutex_);
      TierPartitions& of_tier = TierOf(tier);
      const auto end = of_tier.partitions.lower_bound(ends[tier]);
      if (end != of_tier.partitions.begin()) {
        of_tier.dropped_before = std::max(of_tier.dropped_before, std::prev(end)->first + 1);
      }
    }
    PutDropped(tier, ends[tier], &batch);
  }
  TINYOBS_RETURN_IF_ERROR(store_->Write(lsm::kUnlogged, batch));
  {
    MutexLock lock(&mutex_);
    for (const Tier tier : kDataTiers) {
      auto& partitions = TierOf(tier).partitions;
      partitions.erase(partitions.begin(), partitions.lower_bound(ends[tier]));
    }
    ++marks_version_;
  }
  TINYOBS_RETURN_IF_ERROR(store_->Flush());
  TINYOBS_RETURN_IF_ERROR(FinishDrop(ends));
  unfinished_drop_ = {};
  return gone;
}

absl::Status ChunkStore::UnlinkBefore(int64_t time_ms) {
  MutexLock ageing(&ageing_turn_);
  return store_
      ->DropRange(ChunkPrefix(Tier::kRaw, 0),
                  ChunkPrefix(Tier::kRaw, partitioning_.NumberOf(time_ms)))
      .status();
}

absl::Status ChunkStore::FinishDrop(const DropEnds& ends) {
  lsm::WriteBatch done;
  for (const Tier tier : kAllTiers) {
    if (ends[tier] == 0) continue;
    TINYOBS_RETURN_IF_ERROR(
        store_->DropRange(ChunkPrefix(tier, 0), ChunkPrefix(tier, ends[tier])).status());
    PutDropped(tier, 0, &done);
  }
  return done.empty() ? absl::OkStatus() : store_->Write(lsm::kUnlogged, done);
}

absl::StatusOr<uint64_t> ChunkStore::DeleteRange(std::span<const SeriesId> series,
                                                 TimeRange range) {
  MutexLock ageing(&ageing_turn_);  // no partition is being merged now
  uint64_t deleted = 0;
  for (const uint32_t partition : Partitions(range)) {
    for (size_t begin = 0; begin < series.size(); begin += kDeleteBatchSeries) {
      const auto some = series.subspan(begin, std::min(kDeleteBatchSeries, series.size() - begin));
      MutexLock turn(&turn_);
      const auto rows = RowsBetween(store_, SeriesPrefix(Tier::kRaw, partition, some.front()),
                                    PrefixEnd(SeriesPrefix(Tier::kRaw, partition, some.back())));
      lsm::WriteBatch batch;
      staged_.clear();
      uint64_t gone = 0;
      for (const SeriesId id : some) {
        const std::string prefix = SeriesPrefix(Tier::kRaw, partition, id);
        MoveForward(prefix, rows.get());
        TINYOBS_RETURN_IF_ERROR(series_rows_.Load(prefix, range, rows.get()));
        TINYOBS_ASSIGN_OR_RETURN(const uint64_t samples, series_rows_.Delete(range, &encoder_));
        gone += samples;
        if (samples == 0) continue;
        Touch(Tier::kRaw, partition, id, &batch);
        series_rows_.PutChanges(&batch, Staged(Tier::kRaw, partition));
      }
      if (gone == 0) continue;
      PartitionCounts* const counts = Staged(Tier::kRaw, partition);
      counts->samples -= std::min(counts->samples, gone);
      TINYOBS_RETURN_IF_ERROR(Commit(&batch));
      Publish();
      deleted += gone;
    }
  }
  return deleted;
}

}  // namespace tinyobs::tsdb
