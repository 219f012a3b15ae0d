#include "lib/tsdb/chunk_store.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs::tsdb {

namespace {

constexpr uint8_t kPartitionRowVersion = 1;

// The chunks are covered by the head log until the LSM has flushed them.
lsm::WriteOptions Unlogged() {
  lsm::WriteOptions options;
  options.skip_wal = true;
  return options;
}

std::string SeriesPrefix(uint32_t partition, SeriesId series) {
  std::string key = EncodeChunkKey({Tier::kRaw, partition, series, 0});
  key.resize(kChunkPrefixBytes + sizeof(SeriesId));
  return key;
}

}  // namespace

void EncodeStoredChunk(Generation generation, std::span<const int64_t> timestamps_ms,
                       std::span<const double> values, chunk::Encoder* encoder, std::string* out) {
  PutVarint64(out, generation >> 32);
  PutVarint64(out, generation & 0xffffffff);
  encoder->Encode(timestamps_ms, values, out);
}

absl::StatusOr<StoredChunk> ParseStoredChunk(const ChunkKey& key, const Partitioning& partitioning,
                                             std::string_view value) {
  StoredChunk stored;
  ByteReader reader(value);
  const uint64_t epoch = reader.BoundedVarint64(UINT32_MAX);
  stored.generation = epoch << 32 | reader.BoundedVarint64(UINT32_MAX);
  const auto where = [&] {
    return StrCat("chunk of series ", key.series, " in partition ", key.partition, " at offset ",
                  key.offset_ms, " ms");
  };
  if (!reader.ok()) {
    return absl::DataLossError(
        StrCat(where(), ": expected a generation, found ", value.size(), " bytes that are none"));
  }
  stored.bytes = reader.rest();
  auto header = chunk::ReadHeader(stored.bytes);
  if (!header.ok()) {
    return absl::Status(header.status().code(),
                        StrCat(where(), ": ", FromAbsl(header.status().message())));
  }
  stored.header = *header;
  const ChunkKey expected =
      partitioning.Contains(header->first_ms) && header->first_ms <= header->last_ms
          ? RawChunkKey(partitioning, key.series, header->first_ms)
          : ChunkKey{};
  if (expected.partition != key.partition || expected.offset_ms != key.offset_ms ||
      partitioning.NumberOf(header->last_ms) != key.partition) {
    return absl::DataLossError(StrCat(where(), ": expected samples from its key on, found ",
                                      header->first_ms, " to ", header->last_ms));
  }
  return stored;
}

void PartitionCounts::Include(int64_t first_ms, int64_t last_ms) {
  oldest_ms = std::min(oldest_ms, first_ms);
  newest_ms = std::max(newest_ms, last_ms);
}

std::string EncodePartitionCounts(const PartitionCounts& counts) {
  std::string value;
  value.push_back(static_cast<char>(kPartitionRowVersion));
  PutVarint64(&value, counts.samples);
  PutVarint64(&value, counts.chunks);
  PutZigZag64(&value, counts.oldest_ms);
  PutZigZag64(&value, counts.newest_ms);
  return value;
}

bool DecodePartitionCounts(std::string_view value, PartitionCounts* counts) {
  ByteReader reader(value);
  if (reader.Byte() != kPartitionRowVersion) return false;
  counts->samples = reader.Varint64();
  counts->chunks = reader.Varint64();
  counts->oldest_ms = reader.ZigZag64();
  counts->newest_ms = reader.ZigZag64();
  return reader.ok() && reader.empty();
}

absl::Status ChunkStore::Load() {
  lsm::ReadOptions options;
  options.lower_bound = RowPrefix(RowKind::kPartition);
  options.upper_bound = PrefixEnd(options.lower_bound);
  const auto rows = store_->NewIterator(options);
  MutexLock lock(&mutex_);
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    ByteReader key(rows->key().substr(options.lower_bound.size()));
    const uint8_t tier = key.Byte();
    const uint32_t partition = key.BigEndian32();
    PartitionCounts counts;
    if (!key.ok() || !key.empty() || !DecodePartitionCounts(rows->value(), &counts)) {
      return absl::DataLossError(StrCat("partition row ", EscapeForMessage(rows->key()),
                                        ": expected tier, number and ", "counts, found ",
                                        EscapeForMessage(rows->value())));
    }
    if (tier == static_cast<uint8_t>(Tier::kRaw)) partitions_[partition] = counts;
  }
  return rows->status();
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
  std::string value;
  EncodeStoredChunk(chunk.generation, chunk.timestamps_ms, chunk.values, &encoder_, &value);
  batch->Put(EncodeChunkKey(key), value);
  PartitionCounts* const counts = Staged(key.partition);
  ++counts->chunks;
  counts->Include(chunk.timestamps_ms.front(), chunk.timestamps_ms.back());
}

absl::Status ChunkStore::Commit(lsm::WriteBatch* batch) {
  for (const auto& [partition, counts] : staged_) {
    batch->Put(PartitionRowKey(Tier::kRaw, partition), EncodePartitionCounts(counts));
  }
  const absl::Status status = store_->Write(Unlogged(), *batch);
  if (!status.ok()) staged_.clear();
  return status;
}

absl::Status ChunkStore::Write(std::span<const NewChunk> chunks) {
  lsm::WriteBatch batch;
  staged_.clear();
  for (const NewChunk& chunk : chunks) {
    StageChunk(chunk, &batch);
    Staged(partitioning_.NumberOf(chunk.timestamps_ms.front()))->samples +=
        chunk.timestamps_ms.size();
  }
  return Commit(&batch);
}

void ChunkStore::Publish() {
  MutexLock lock(&mutex_);
  for (const auto& [partition, counts] : staged_) partitions_[partition] = counts;
  staged_.clear();
}

struct ChunkStore::Existing {
  std::string key;
  Generation generation;
  chunk::Header header;
  std::string bytes;
};

absl::StatusOr<std::vector<ChunkStore::Existing>> ChunkStore::ListExisting(
    const NewChunk& chunk) const {
  const uint32_t partition = partitioning_.NumberOf(chunk.timestamps_ms.front());
  lsm::ReadOptions options;
  options.lower_bound = SeriesPrefix(partition, chunk.series);
  options.upper_bound = PrefixEnd(options.lower_bound);
  options.fill_cache = false;
  const auto rows = store_->NewIterator(options);
  std::vector<Existing> existing;
  for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
    ChunkKey key;
    if (!DecodeChunkKey(rows->key(), &key)) {
      return absl::DataLossError(StrCat("not the key of a chunk: ", EscapeForMessage(rows->key())));
    }
    TINYOBS_ASSIGN_OR_RETURN(const StoredChunk stored,
                             ParseStoredChunk(key, partitioning_, rows->value()));
    existing.push_back(
        {std::string(rows->key()), stored.generation, stored.header, std::string(stored.bytes)});
  }
  TINYOBS_RETURN_IF_ERROR(rows->status());
  return existing;
}

absl::Status ChunkStore::WriteOverlapping(const NewChunk& chunk) {
  staged_.clear();
  const int64_t first_ms = chunk.timestamps_ms.front();
  const int64_t last_ms = chunk.timestamps_ms.back();
  TINYOBS_ASSIGN_OR_RETURN(std::vector<Existing> existing, ListExisting(chunk));
  size_t overlapping = 0;
  bool key_taken = false;
  std::vector<int64_t> known_times;
  for (const Existing& other : existing) {
    if (other.header.last_ms < first_ms || other.header.first_ms > last_ms) continue;
    ++overlapping;
    key_taken = key_taken || other.header.first_ms == first_ms;
    Columns columns;
    TINYOBS_RETURN_IF_ERROR(chunk::Decode(other.bytes, &columns));
    known_times.insert(known_times.end(), columns.timestamps_ms.begin(),
                       columns.timestamps_ms.end());
  }
  PartitionCounts* const counts = Staged(partitioning_.NumberOf(first_ms));
  std::sort(known_times.begin(), known_times.end());
  for (const int64_t time : chunk.timestamps_ms) {
    if (!std::binary_search(known_times.begin(), known_times.end(), time)) ++counts->samples;
  }
  if (key_taken || overlapping >= kMaxOverlap) return Merge(chunk, std::move(existing));
  lsm::WriteBatch batch;
  StageChunk(chunk, &batch);
  return Commit(&batch);
}

absl::Status ChunkStore::Merge(const NewChunk& chunk, std::vector<Existing> existing) {
  ColumnMerger merger;
  merger.Start({});
  merger.Add(chunk.timestamps_ms, chunk.values, chunk.generation);
  int64_t first_ms = chunk.timestamps_ms.front();
  int64_t last_ms = chunk.timestamps_ms.back();
  lsm::WriteBatch batch;
  PartitionCounts* const counts = Staged(partitioning_.NumberOf(first_ms));
  Columns columns;
  for (bool grown = true; grown;) {
    grown = false;
    for (Existing& other : existing) {
      const bool taken = other.key.empty();
      if (taken || other.header.last_ms < first_ms || other.header.first_ms > last_ms) continue;
      columns.clear();
      TINYOBS_RETURN_IF_ERROR(chunk::Decode(other.bytes, &columns));
      merger.Add(columns.timestamps_ms, columns.values, other.generation);
      first_ms = std::min(first_ms, other.header.first_ms);
      last_ms = std::max(last_ms, other.header.last_ms);
      batch.Delete(other.key);
      other.key.clear();
      --counts->chunks;
      grown = true;
    }
  }
  merger.Finish(&columns);
  for (size_t begin = 0; begin < columns.size(); begin += kMergedChunkSamples) {
    const size_t count = std::min(kMergedChunkSamples, columns.size() - begin);
    NewChunk merged = chunk;
    merged.timestamps_ms = std::span<const int64_t>(columns.timestamps_ms).subspan(begin, count);
    merged.values = std::span<const double>(columns.values).subspan(begin, count);
    StageChunk(merged, &batch);
  }
  return Commit(&batch);
}

PartitionCounts ChunkStore::Totals() const {
  MutexLock lock(&mutex_);
  PartitionCounts totals;
  for (const auto& [partition, counts] : partitions_) {
    totals.samples += counts.samples;
    totals.chunks += counts.chunks;
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

absl::Status ChunkStore::Read(SeriesId series, TimeRange range,
                              std::span<const uint32_t> partitions, uint64_t sample_limit,
                              Iterator* iterator, ColumnMerger* merger) const {
  Columns columns;
  for (const uint32_t partition : partitions) {
    const std::string prefix = SeriesPrefix(partition, series);
    for (iterator->Seek(prefix); iterator->Valid() && iterator->key().starts_with(prefix);
         iterator->Next()) {
      ChunkKey key;
      if (!DecodeChunkKey(iterator->key(), &key)) {
        return absl::DataLossError(
            StrCat("not the key of a chunk: ", EscapeForMessage(iterator->key())));
      }
      TINYOBS_ASSIGN_OR_RETURN(const StoredChunk stored,
                               ParseStoredChunk(key, partitioning_, iterator->value()));
      if (stored.header.first_ms > range.to_ms) break;
      if (stored.header.last_ms < range.from_ms) continue;
      columns.clear();
      TINYOBS_RETURN_IF_ERROR(chunk::Decode(stored.bytes, &columns));
      merger->Add(columns.timestamps_ms, columns.values, stored.generation);
      if (sample_limit > 0 && !merger->overlapping() && merger->size() > sample_limit) {
        return absl::OkStatus();
      }
    }
    TINYOBS_RETURN_IF_ERROR(iterator->status());
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::tsdb
