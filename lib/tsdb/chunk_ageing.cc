// What becomes of chunks after they were written: merged when their partition is over, dropped when
// it has expired, deleted when somebody asks for it, counted anew after a repair. FORMAT.md argues
// each crash point.
#include <algorithm>
#include <utility>

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/tsdb/chunk_scan.h"
#include "lib/tsdb/chunk_store.h"

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
// What leaves with its time: raw chunks, and series that were last seen then.
constexpr Tier kExpiringTiers[] = {Tier::kRaw, Tier::kIdle};

lsm::WriteOptions Unlogged() {
  lsm::WriteOptions options;
  options.skip_wal = true;
  return options;
}

}  // namespace

std::optional<uint32_t> ChunkStore::DueToMerge(int64_t closed_ms, int64_t now_ms) {
  MutexLock lock(&mutex_);
  std::erase_if(resting_, [this](const auto& rest) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    return !partitions_.contains(rest.first);
  });
  for (const auto& [partition, counts] : partitions_) {
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

absl::StatusOr<bool> ChunkStore::MergeClosed(int64_t closed_ms, int64_t now_ms) {
  if (merge_ == nullptr) return false;
  MutexLock merge_turn(&merge_turn_);
  const std::optional<uint32_t> partition = DueToMerge(closed_ms, now_ms);
  if (!partition.has_value()) return false;
  PartitionCounts before;
  {
    MutexLock lock(&turn_);
    merging_ = partition;
    staged_.clear();
    before = *Staged(*partition);
    staged_.clear();
  }
  merge_->Begin();
  const std::string first = ChunkPrefix(Tier::kRaw, *partition);
  const absl::Status status = store_->CompactRange(
      first, EncodeChunkKey({Tier::kRaw, *partition, UINT64_MAX, UINT32_MAX, UINT64_MAX}));
  const uint64_t rows = merge_->End();
  MutexLock lock(&turn_);
  merging_.reset();
  if (!status.ok()) {
    resting_[*partition] = {before.unmerged_chunks, now_ms + kMergeRetryMs};
    return status;
  }
  resting_.erase(*partition);
  staged_.clear();
  PartitionCounts* const counts = Staged(*partition);
  // What was written meanwhile comes on top.
  counts->chunks = (rows > 0 ? rows : before.chunks) + counts->chunks - before.chunks;
  counts->unmerged_chunks -= before.unmerged_chunks;
  lsm::WriteBatch batch;
  TINYOBS_RETURN_IF_ERROR(Commit(&batch));
  Publish();
  return true;
}

absl::StatusOr<uint64_t> ChunkStore::DropBefore(int64_t time_ms, lsm::WriteBatch also) {
  MutexLock merge_turn(&merge_turn_);
  MutexLock turn(&turn_);
  const uint32_t end_partition = partitioning_.NumberOf(time_ms);
  std::vector<uint32_t> gone;
  {
    MutexLock lock(&mutex_);
    const auto end = partitions_.lower_bound(end_partition);
    for (auto at = partitions_.begin(); at != end; ++at) gone.push_back(at->first);
  }
  if (gone.empty() && also.empty() && !drop_failed_) return 0;
  drop_failed_ = true;
  for (const uint32_t partition : gone) also.Delete(PartitionRowKey(Tier::kRaw, partition));
  std::string value;
  PutBigEndian32(&value, end_partition);
  also.Put(RowPrefix(RowKind::kDropping), value);
  TINYOBS_RETURN_IF_ERROR(store_->Write(Unlogged(), also));
  {
    MutexLock lock(&mutex_);
    partitions_.erase(partitions_.begin(), partitions_.lower_bound(end_partition));
  }
  TINYOBS_RETURN_IF_ERROR(store_->Flush());
  TINYOBS_RETURN_IF_ERROR(FinishDrop(end_partition));
  drop_failed_ = false;
  return gone.size();
}

absl::Status ChunkStore::FinishDrop(uint32_t end_partition) {
  for (const Tier tier : kExpiringTiers) {
    TINYOBS_RETURN_IF_ERROR(
        store_->DropRange(ChunkPrefix(tier, 0), ChunkPrefix(tier, end_partition)).status());
  }
  return store_->Delete(RowPrefix(RowKind::kDropping), Unlogged());
}

absl::StatusOr<uint64_t> ChunkStore::DeleteRange(std::span<const SeriesId> series,
                                                 TimeRange range) {
  MutexLock merge_turn(&merge_turn_);  // no partition is being merged now
  uint64_t deleted = 0;
  for (const uint32_t partition : Partitions(range)) {
    for (size_t begin = 0; begin < series.size(); begin += kDeleteBatchSeries) {
      const auto some = series.subspan(begin, std::min(kDeleteBatchSeries, series.size() - begin));
      MutexLock turn(&turn_);
      lsm::ReadOptions options;
      options.lower_bound = SeriesPrefix(Tier::kRaw, partition, some.front());
      options.upper_bound = PrefixEnd(SeriesPrefix(Tier::kRaw, partition, some.back()));
      options.fill_cache = false;
      const auto rows = store_->NewIterator(options);
      lsm::WriteBatch batch;
      staged_.clear();
      uint64_t gone = 0;
      for (const SeriesId id : some) {
        const std::string prefix = SeriesPrefix(Tier::kRaw, partition, id);
        MoveForward(prefix, rows.get());
        TINYOBS_RETURN_IF_ERROR(series_rows_.Load(prefix, range, rows.get()));
        TINYOBS_ASSIGN_OR_RETURN(const uint64_t samples, series_rows_.Delete(range, &encoder_));
        gone += samples;
        if (samples > 0) series_rows_.PutChanges(&batch, Staged(partition));
      }
      if (gone == 0) continue;
      PartitionCounts* const counts = Staged(partition);
      counts->samples -= std::min(counts->samples, gone);
      TINYOBS_RETURN_IF_ERROR(Commit(&batch));
      Publish();
      deleted += gone;
    }
  }
  return deleted;
}

absl::StatusOr<ChunkStore::HighestIds> ChunkStore::Recount() {
  MutexLock turn(&turn_);
  lsm::ReadOptions options;
  options.prefix = std::string(1, static_cast<char>(Tier::kRaw));
  options.fill_cache = false;
  const auto rows = store_->NewIterator(options);
  HighestIds highest;
  std::map<uint32_t, PartitionCounts> found;
  ColumnMerger merger;
  Columns columns;
  rows->SeekToFirst();
  while (rows->Valid()) {
    const std::string prefix(rows->key().substr(0, kSeriesPrefixBytes));
    merger.Start({});
    PartitionCounts of_series;
    ChunkKey key;
    for (; rows->Valid() && rows->key().starts_with(prefix); rows->Next()) {
      if (!DecodeChunkKey(rows->key(), &key)) continue;
      const auto stored = ParseStoredChunk(key, partitioning_, rows->value());
      // What cannot be read is not counted; whoever reads it is told.
      if (!stored.ok() || !AddStoredChunk(*stored, &merger).ok()) continue;
      ++of_series.chunks;
      of_series.Include(stored->header.first_ms, stored->header.last_ms);
    }
    merger.Finish(&columns);
    if (columns.empty()) continue;
    highest.metric = std::max(highest.metric, static_cast<uint32_t>(key.series >> 32));
    highest.series = std::max(highest.series, static_cast<uint32_t>(key.series));
    PartitionCounts& counts = found[key.partition];
    counts.samples += columns.size();
    counts.chunks += of_series.chunks;
    counts.unmerged_chunks = counts.chunks;
    counts.Include(of_series.oldest_ms, of_series.newest_ms);
  }
  TINYOBS_RETURN_IF_ERROR(rows->status());
  staged_ = std::move(found);
  for (const uint32_t partition : Partitions({})) staged_.try_emplace(partition);
  lsm::WriteBatch batch;
  TINYOBS_RETURN_IF_ERROR(Commit(&batch));
  Publish();
  return highest;
}

}  // namespace tinyobs::tsdb
