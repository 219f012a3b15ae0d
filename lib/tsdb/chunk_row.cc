#include "lib/tsdb/chunk_row.h"

#include <algorithm>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs::tsdb {

namespace {

constexpr uint8_t kPartitionRowVersion = 1;

absl::Status Of(const ChunkKey& key, const absl::Status& status) {
  return WithContext(status, StrCat("chunk of series ", key.series, " in partition ", key.partition,
                                    " at offset ", key.offset_ms, " ms"));
}
absl::Status Damaged(const ChunkKey& key, std::string_view what) {
  return Of(key, absl::DataLossError(ToAbsl(what)));
}

}  // namespace

void EncodeStoredChunk(std::span<const GenerationRun> runs, std::span<const int64_t> timestamps_ms,
                       std::span<const double> values, chunk::Encoder* encoder, std::string* out,
                       chunk::ExponentHint* hint) {
  TINYOBS_DCHECK(!runs.empty());
  for (const GenerationRun& run : runs) {
    const bool more = &run != &runs.back();
    const uint64_t epoch = run.generation >> 32;
    TINYOBS_DCHECK(epoch != 0 || run.generation == 0);
    PutVarint64(out, epoch << 1 | (more ? 1 : 0));
    if (epoch != 0) PutVarint64(out, run.generation & UINT32_MAX);
    if (more) PutVarint64(out, run.samples);
  }
  encoder->Encode(timestamps_ms, values, out, hint);
}

absl::StatusOr<StoredChunk> ParseStoredChunk(const ChunkKey& key, const Partitioning& partitioning,
                                             std::string_view value) {
  StoredChunk stored;
  ByteReader reader(value);
  size_t samples = 0;
  for (bool more = true; more;) {
    const uint64_t head = reader.BoundedVarint64(uint64_t{UINT32_MAX} << 1 | 1);
    more = (head & 1) != 0;
    GenerationRun run;
    if (head >> 1 != 0) run.generation = head >> 1 << 32 | reader.BoundedVarint64(UINT32_MAX);
    if (more) run.samples = reader.BoundedVarint64(chunk::kMaxSamples);
    samples += run.samples;
    if (!reader.ok() || samples >= chunk::kMaxSamples || (more && run.samples == 0)) {
      return Damaged(key, StrCat("expected generations, found ", value.size(), " bytes of others"));
    }
    stored.runs.push_back(run);
  }
  stored.bytes = reader.rest();
  auto header = chunk::ReadHeader(stored.bytes);
  if (!header.ok()) return Of(key, header.status());
  stored.header = *header;
  if (header->count <= samples) {
    return Damaged(key, StrCat("expected more than ", samples, " samples, found ", header->count));
  }
  stored.runs.back().samples = header->count - samples;
  const bool in_partition = partitioning.Contains(header->first_ms) &&
                            header->first_ms <= header->last_ms &&
                            partitioning.NumberOf(header->first_ms) == key.partition &&
                            partitioning.NumberOf(header->last_ms) == key.partition;
  if (!in_partition || header->first_ms - partitioning.StartOf(header->first_ms) < key.offset_ms) {
    return Damaged(key, StrCat("expected samples from its key on, found ", header->first_ms, " to ",
                               header->last_ms));
  }
  return stored;
}

absl::StatusOr<StoredChunk> ParseStoredChunk(std::string_view key, const Partitioning& partitioning,
                                             std::string_view value) {
  TINYOBS_ASSIGN_OR_RETURN(const ChunkKey decoded, ParseChunkKey(key));
  return ParseStoredChunk(decoded, partitioning, value);
}

absl::StatusOr<ChunkKey> ParseChunkKey(std::string_view bytes) {
  ChunkKey key;
  if (DecodeChunkKey(bytes, &key)) return key;
  return absl::DataLossError(StrCat("not the key of a chunk: ", EscapeForMessage(bytes)));
}

absl::Status AddStoredChunk(const StoredChunk& stored, ColumnMerger* merger) {
  TINYOBS_RETURN_IF_ERROR(chunk::Decode(stored.bytes, merger->Appending()));
  merger->Appended(stored.runs);
  return absl::OkStatus();
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
  PutVarint64(&value, counts.unmerged_chunks);
  PutZigZag64(&value, counts.oldest_ms);
  PutZigZag64(&value, counts.newest_ms);
  value.push_back(static_cast<char>(counts.downsampled));
  if (counts.downsampled == Downsampled::kUnderWay) PutVarint64(&value, counts.next_series);
  return value;
}

bool DecodePartitionCounts(std::string_view value, PartitionCounts* counts) {
  ByteReader reader(value);
  if (reader.Byte() != kPartitionRowVersion) return false;
  counts->samples = reader.Varint64();
  counts->chunks = reader.Varint64();
  counts->unmerged_chunks = reader.Varint64();
  counts->oldest_ms = reader.ZigZag64();
  counts->newest_ms = reader.ZigZag64();
  const uint8_t downsampled = reader.Byte();
  if (downsampled > static_cast<uint8_t>(Downsampled::kYes)) return false;
  counts->downsampled = static_cast<Downsampled>(downsampled);
  counts->next_series = counts->downsampled == Downsampled::kUnderWay ? reader.Varint64() : 0;
  counts->touched = 0;
  return reader.ok() && reader.empty();
}

}  // namespace tinyobs::tsdb
