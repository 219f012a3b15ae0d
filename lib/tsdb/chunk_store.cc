#include "lib/tsdb/chunk_store.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/chunk_scan.h"
#include "lib/tsdb/rows.h"

namespace tinyobs::tsdb {

absl::StatusOr<ChunkStore::DropEnds> ChunkStore::LoadDropped() {
  DropEnds unfinished;
  for (const Tier tier : kAllTiers) {
    std::string value;
    const absl::Status found = store_->Get(DroppedRowKey(tier), &value);
    if (absl::IsNotFound(found)) continue;
    TINYOBS_RETURN_IF_ERROR(found);
    ByteReader reader(value);
    const uint32_t dropped_before = reader.BigEndian32();
    unfinished[tier] = reader.BigEndian32();
    if (!reader.ok() || !reader.empty()) {
      return absl::DataLossError(
          StrCat("row of a drop: expected two partitions, found ", EscapeForMessage(value)));
    }
    MutexLock lock(&mutex_);
    TierOf(tier).dropped_before = dropped_before;
  }
  return unfinished;
}

absl::Status ChunkStore::LoadTouched() {
  const std::string prefix = RowPrefix(RowKind::kTouched);
  const auto rows = RowsOf(store_, prefix);
  for (; rows->Valid(); rows->Next()) {
    ByteReader key(rows->key().substr(prefix.size()));
    const uint8_t tier = key.Byte();
    const uint32_t partition = key.BigEndian32();
    key.BigEndian64();
    // Of a partition that is not there: a drop that a crash cut short takes it along.
    if (!key.ok() || !key.empty() || tier < 1 || tier > kDataTiers.size()) {
      return absl::DataLossError(StrCat("touched row ", EscapeForMessage(rows->key()),
                                        ": expected tier, partition and series"));
    }
    const auto staged = staged_.find({static_cast<Tier>(tier), partition});
    if (staged != staged_.end()) ++staged->second.touched;
  }
  return rows->status();
}

absl::Status ChunkStore::Load(bool read_only) {
  MutexLock ageing(&ageing_turn_);
  MutexLock turn(&turn_);
  TINYOBS_ASSIGN_OR_RETURN(const DropEnds ends, LoadDropped());
  const std::string prefix = RowPrefix(RowKind::kPartition);
  const auto rows = RowsOf(store_, prefix);
  staged_.clear();
  lsm::WriteBatch gone;
  for (; rows->Valid(); rows->Next()) {
    ByteReader key(rows->key().substr(prefix.size()));
    const uint8_t number = key.Byte();
    const uint32_t partition = key.BigEndian32();
    PartitionCounts counts;
    if (!key.ok() || !key.empty() || number < 1 || number > kDataTiers.size() ||
        !DecodePartitionCounts(rows->value(), &counts)) {
      return absl::DataLossError(StrCat("partition row ", EscapeForMessage(rows->key()),
                                        ": expected tier, number and counts, found ",
                                        EscapeForMessage(rows->value())));
    }
    const Tier tier = static_cast<Tier>(number);
    if (partition >= ends[tier]) {
      staged_[{tier, partition}] = counts;
    } else {
      gone.Delete(rows->key());
      TINYOBS_RETURN_IF_ERROR(DeleteTouched(tier, partition, &gone));
    }
  }
  TINYOBS_RETURN_IF_ERROR(rows->status());
  TINYOBS_RETURN_IF_ERROR(LoadTouched());
  Publish();
  if (read_only) {
    unfinished_drop_ = ends;
    return absl::OkStatus();
  }
  if (!gone.empty()) TINYOBS_RETURN_IF_ERROR(store_->Write(lsm::kUnlogged, gone));
  return FinishDrop(ends);
}

PartitionCounts* ChunkStore::Staged(Tier tier, uint32_t partition) {
  const auto [at, is_new] = staged_.try_emplace({tier, partition});
  if (is_new) {
    MutexLock lock(&mutex_);
    const auto& partitions = TierOf(tier).partitions;
    const auto published = partitions.find(partition);
    if (published != partitions.end()) at->second = published->second;
  }
  return &at->second;
}

void ChunkStore::Touch(Tier tier, uint32_t partition, SeriesId series, lsm::WriteBatch* batch) {
  PartitionCounts* const counts = Staged(tier, partition);
  if (counts->downsampled == Downsampled::kNo) return;
  batch->Put(TouchedRowKey(tier, partition, series), {});
  ++counts->touched;
}

void ChunkStore::StageChunk(const NewChunk& chunk, lsm::WriteBatch* batch) {
  const ChunkKey key = RawChunkKey(partitioning_, chunk.series, chunk.timestamps_ms.front());
  TINYOBS_DCHECK(partitioning_.NumberOf(chunk.timestamps_ms.back()) == key.partition);
  const GenerationRun run{0, chunk.timestamps_ms.size()};
  value_.clear();
  EncodeStoredChunk({&run, 1}, chunk.timestamps_ms, chunk.values, &encoder_, &value_, chunk.hint);
  batch->Put(EncodeChunkKey(key), value_);
  Touch(Tier::kRaw, key.partition, chunk.series, batch);
  PartitionCounts* const counts = Staged(Tier::kRaw, key.partition);
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
  Touch(Tier::kRaw, partition, chunks[0]->series, batch);
  PartitionCounts* const counts = Staged(Tier::kRaw, partition);
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
  const auto rows = RowsBetween(store_, ChunkPrefix(Tier::kRaw, place(order.front()).first),
                                PrefixEnd(ChunkPrefix(Tier::kRaw, place(order.back()).first)));
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
  for (const auto& [place, counts] : staged_) {
    const std::string key = PartitionRowKey(place.first, place.second);
    if (counts.IsThere()) {
      batch->Put(key, EncodePartitionCounts(counts));
    } else {
      batch->Delete(key);
    }
  }
  const absl::Status status = store_->Write(lsm::kUnlogged, *batch);
  if (!status.ok()) staged_.clear();
  return status;
}

void ChunkStore::Publish() {
  MutexLock lock(&mutex_);
  for (const auto& [place, counts] : staged_) {
    auto& partitions = TierOf(place.first).partitions;
    const auto known = partitions.find(place.second);
    const bool was_in_coarser = known != partitions.end() && known->second.InCoarser();
    if (was_in_coarser != counts.InCoarser()) ++marks_version_;
    if (counts.IsThere()) {
      partitions[place.second] = counts;
    } else if (known != partitions.end()) {
      partitions.erase(known);
    }
  }
  staged_.clear();
}

PartitionCounts ChunkStore::Totals(Tier tier) const {
  MutexLock lock(&mutex_);
  PartitionCounts totals;
  for (const auto& [partition, counts] : TierOf(tier).partitions) {
    totals.samples += counts.samples;
    totals.chunks += counts.chunks;
    totals.unmerged_chunks += counts.unmerged_chunks;
    totals.touched += counts.touched;
    totals.Include(counts.oldest_ms, counts.newest_ms);
  }
  return totals;
}

std::vector<uint32_t> ChunkStore::Partitions(TimeRange range, Tier tier) const {
  std::vector<uint32_t> numbers;
  if (range.from_ms > range.to_ms) return numbers;
  MutexLock lock(&mutex_);
  const auto& partitions = TierOf(tier).partitions;
  const auto end = partitions.upper_bound(partitioning(tier).NumberOf(range.to_ms));
  for (auto at = partitions.lower_bound(partitioning(tier).NumberOf(range.from_ms)); at != end;
       ++at) {
    numbers.push_back(at->first);
  }
  return numbers;
}

std::vector<std::pair<uint32_t, PartitionCounts>> ChunkStore::Counts(Tier tier) const {
  MutexLock lock(&mutex_);
  const auto& partitions = TierOf(tier).partitions;
  return {partitions.begin(), partitions.end()};
}

uint32_t ChunkStore::DroppedBefore(Tier tier) const {
  MutexLock lock(&mutex_);
  return TierOf(tier).dropped_before;
}

TierMarks ChunkStore::Marks(TimeRange range) const {
  // Whether a partition of 5m is complete is a question to all raw ones in it.
  const Partitioning& days = partitioning(Tier::kFiveMinutes);
  const uint32_t first = days.NumberOf(range.from_ms);
  const uint32_t last = days.NumberOf(range.to_ms);
  TierMarks marks;
  MutexLock lock(&mutex_);
  const auto& raw = TierOf(Tier::kRaw);
  const auto& five_minutes = TierOf(Tier::kFiveMinutes);
  for (auto at = raw.partitions.lower_bound(partitioning_.NumberOf(days.StartOfNumber(first)));
       at != raw.partitions.end() && partitioning_.StartOfNumber(at->first) <= days.LastMsOf(last);
       ++at) {
    marks.raw.push_back({at->first, at->second.InCoarser()});
  }
  for (auto at = five_minutes.partitions.lower_bound(first);
       at != five_minutes.partitions.end() && at->first <= last; ++at) {
    marks.five_minutes.push_back({at->first, at->second.InCoarser()});
  }
  const bool has_hours = !TierOf(Tier::kOneHour).partitions.empty();
  if (raw.dropped_before > 0 && (has_hours || !five_minutes.partitions.empty())) {
    marks.raw_from_ms = partitioning_.StartOfNumber(raw.dropped_before);
  }
  if (five_minutes.dropped_before > 0 && has_hours) {
    marks.five_minutes_from_ms = days.StartOfNumber(five_minutes.dropped_before);
  }
  return marks;
}

uint64_t ChunkStore::marks_version() const {
  MutexLock lock(&mutex_);
  return marks_version_;
}

absl::StatusOr<std::optional<uint32_t>> ChunkStore::LastPartitionOf(SeriesId series) const {
  for (const Tier tier : kDataTiers) {
    const std::vector<uint32_t> partitions = Partitions({}, tier);
    for (auto partition = partitions.rbegin(); partition != partitions.rend(); ++partition) {
      lsm::ReadOptions options;
      options.prefix = SeriesPrefix(tier, *partition, series);
      const auto rows = store_->NewIterator(options);
      rows->SeekToFirst();
      if (rows->Valid()) return partitioning_.NumberOf(partitioning(tier).LastMsOf(*partition));
      TINYOBS_RETURN_IF_ERROR(rows->status());
    }
  }
  return std::nullopt;
}

}  // namespace tinyobs::tsdb
