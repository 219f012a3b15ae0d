#include "lib/tsdb/chunk_store.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/chunk_scan.h"

namespace tinyobs::tsdb {

namespace {

// The chunks are covered by the head log until the LSM has flushed them.
lsm::WriteOptions Unlogged() {
  lsm::WriteOptions options;
  options.skip_wal = true;
  return options;
}

}  // namespace

absl::StatusOr<uint32_t> ChunkStore::UnfinishedDrop() const {
  std::string value;
  const absl::Status found = store_->Get(RowPrefix(RowKind::kDropping), &value);
  if (absl::IsNotFound(found)) return 0;
  TINYOBS_RETURN_IF_ERROR(found);
  ByteReader reader(value);
  const uint32_t end_partition = reader.BigEndian32();
  if (reader.ok() && reader.empty()) return end_partition;
  return absl::DataLossError(
      StrCat("row of a drop: expected a partition, found ", EscapeForMessage(value)));
}

absl::Status ChunkStore::Load(bool read_only) {
  MutexLock turn(&turn_);
  TINYOBS_ASSIGN_OR_RETURN(const uint32_t end_partition, UnfinishedDrop());
  lsm::ReadOptions options;
  options.prefix = RowPrefix(RowKind::kPartition);
  const auto rows = store_->NewIterator(options);
  staged_.clear();
  lsm::WriteBatch gone;
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    ByteReader key(rows->key().substr(options.prefix.size()));
    const uint8_t tier = key.Byte();
    const uint32_t partition = key.BigEndian32();
    PartitionCounts counts;
    if (!key.ok() || !key.empty() || !DecodePartitionCounts(rows->value(), &counts)) {
      return absl::DataLossError(StrCat("partition row ", EscapeForMessage(rows->key()),
                                        ": expected tier, number and counts, found ",
                                        EscapeForMessage(rows->value())));
    }
    if (tier != static_cast<uint8_t>(Tier::kRaw)) continue;
    if (partition >= end_partition) {
      staged_[partition] = counts;
    } else {
      gone.Delete(rows->key());
    }
  }
  TINYOBS_RETURN_IF_ERROR(rows->status());
  Publish();
  if (end_partition == 0 || read_only) return absl::OkStatus();
  if (!gone.empty()) TINYOBS_RETURN_IF_ERROR(store_->Write(Unlogged(), gone));
  return FinishDrop(end_partition);
}

PartitionCounts* ChunkStore::Staged(uint32_t partition) {
  const auto [at, is_new] = staged_.try_emplace(partition);
  if (is_new) {
    MutexLock lock(&mutex_);
    const auto published = partitions_.find(partition);
    if (published != partitions_.end()) at->second = published->second;
  }
  return &at->second;
}

void ChunkStore::StageChunk(const NewChunk& chunk, lsm::WriteBatch* batch) {
  const ChunkKey key = RawChunkKey(partitioning_, chunk.series, chunk.timestamps_ms.front());
  TINYOBS_DCHECK(partitioning_.NumberOf(chunk.timestamps_ms.back()) == key.partition);
  const GenerationRun run{0, chunk.timestamps_ms.size()};
  std::string value;
  EncodeStoredChunk({&run, 1}, chunk.timestamps_ms, chunk.values, &encoder_, &value, chunk.hint);
  batch->Put(EncodeChunkKey(key), value);
  PartitionCounts* const counts = Staged(key.partition);
  counts->samples += chunk.timestamps_ms.size();
  ++counts->chunks;
  ++counts->unmerged_chunks;
  counts->Include(chunk.timestamps_ms.front(), chunk.timestamps_ms.back());
}

absl::Status ChunkStore::PlaceChunks(std::span<const NewChunk* const> chunks, Iterator* rows,
                                     lsm::WriteBatch* batch) {
  const int64_t any_ms = chunks[0]->timestamps_ms.front();
  const uint32_t partition = partitioning_.NumberOf(any_ms);
  TimeRange range{any_ms, any_ms};
  for (const NewChunk* const chunk : chunks) {
    range.from_ms = std::min(range.from_ms, chunk->timestamps_ms.front());
    range.to_ms = std::max(range.to_ms, chunk->timestamps_ms.back());
  }
  const std::string prefix = SeriesPrefix(Tier::kRaw, partition, chunks[0]->series);
  MoveForward(prefix, rows);
  TINYOBS_RETURN_IF_ERROR(series_rows_.Load(prefix, range, rows));
  PartitionCounts* const counts = Staged(partition);
  for (const NewChunk* const chunk : chunks) {
    TINYOBS_ASSIGN_OR_RETURN(const uint64_t new_times,
                             series_rows_.Place(*chunk, merging_ != partition, &encoder_));
    counts->samples += new_times;
  }
  series_rows_.PutChanges(batch, counts);
  return absl::OkStatus();
}

absl::Status ChunkStore::WriteWithLook(std::span<const NewChunk> chunks, lsm::WriteBatch* batch) {
  const auto place = [this](const NewChunk* chunk) {
    return std::pair(partitioning_.NumberOf(chunk->timestamps_ms.front()), chunk->series);
  };
  std::vector<const NewChunk*> order;
  order.reserve(chunks.size());
  for (const NewChunk& chunk : chunks) order.push_back(&chunk);
  // Stable: within a series the order is that of writing.
  std::stable_sort(order.begin(), order.end(),
                   [&place](const NewChunk* a, const NewChunk* b) { return place(a) < place(b); });
  lsm::ReadOptions options;
  options.lower_bound = SeriesPrefix(Tier::kRaw, place(order.front()).first, 0);
  options.upper_bound = PrefixEnd(ChunkPrefix(Tier::kRaw, place(order.back()).first));
  options.fill_cache = false;
  const auto rows = store_->NewIterator(options);
  for (auto begin = order.begin(); begin != order.end();) {
    const auto end = std::find_if(
        begin, order.end(), [&](const NewChunk* chunk) { return place(chunk) != place(*begin); });
    if (std::any_of(begin, end, [](const NewChunk* chunk) { return chunk->may_overlap; })) {
      TINYOBS_RETURN_IF_ERROR(PlaceChunks({begin, end}, rows.get(), batch));
    } else {
      for (; begin != end; ++begin) StageChunk(**begin, batch);
    }
    begin = end;
  }
  return absl::OkStatus();
}

absl::Status ChunkStore::Write(std::span<const NewChunk> chunks) {
  lsm::WriteBatch batch;
  staged_.clear();
  const bool look = std::any_of(chunks.begin(), chunks.end(),
                                [](const NewChunk& chunk) { return chunk.may_overlap; });
  absl::Status status;
  if (look) {
    status = WriteWithLook(chunks, &batch);
  } else {
    for (const NewChunk& chunk : chunks) StageChunk(chunk, &batch);
  }
  if (status.ok()) return Commit(&batch);
  staged_.clear();
  return status;
}

absl::Status ChunkStore::Commit(lsm::WriteBatch* batch) {
  for (const auto& [partition, counts] : staged_) {
    const std::string key = PartitionRowKey(Tier::kRaw, partition);
    if (counts.samples > 0) {
      batch->Put(key, EncodePartitionCounts(counts));
    } else {
      batch->Delete(key);
    }
  }
  const absl::Status status = store_->Write(Unlogged(), *batch);
  if (!status.ok()) staged_.clear();
  return status;
}

void ChunkStore::Publish() {
  MutexLock lock(&mutex_);
  for (const auto& [partition, counts] : staged_) {
    if (counts.samples > 0) {
      partitions_[partition] = counts;
    } else {
      partitions_.erase(partition);
    }
  }
  staged_.clear();
}

PartitionCounts ChunkStore::Totals() const {
  MutexLock lock(&mutex_);
  PartitionCounts totals;
  for (const auto& [partition, counts] : partitions_) {
    totals.samples += counts.samples;
    totals.chunks += counts.chunks;
    totals.unmerged_chunks += counts.unmerged_chunks;
    totals.Include(counts.oldest_ms, counts.newest_ms);
  }
  return totals;
}

std::vector<uint32_t> ChunkStore::Partitions(TimeRange range) const {
  std::vector<uint32_t> numbers;
  if (range.from_ms > range.to_ms) return numbers;
  MutexLock lock(&mutex_);
  const auto end = partitions_.upper_bound(partitioning_.NumberOf(range.to_ms));
  for (auto at = partitions_.lower_bound(partitioning_.NumberOf(range.from_ms)); at != end; ++at) {
    numbers.push_back(at->first);
  }
  return numbers;
}

absl::StatusOr<std::optional<uint32_t>> ChunkStore::LastPartitionOf(SeriesId series) const {
  const std::vector<uint32_t> partitions = Partitions({});
  for (auto partition = partitions.rbegin(); partition != partitions.rend(); ++partition) {
    lsm::ReadOptions options;
    options.prefix = SeriesPrefix(Tier::kRaw, *partition, series);
    const auto rows = store_->NewIterator(options);
    rows->SeekToFirst();
    if (rows->Valid()) return *partition;
    TINYOBS_RETURN_IF_ERROR(rows->status());
  }
  return std::nullopt;
}

}  // namespace tinyobs::tsdb
