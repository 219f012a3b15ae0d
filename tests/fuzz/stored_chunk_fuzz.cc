// Rows of the database in the LSM from hostile bytes: keys, stored chunks, partition counts,
// identity.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lib/chunk/chunk.h"
#include "lib/tsdb/chunk_merge.h"
#include "lib/tsdb/chunk_row.h"
#include "lib/tsdb/identity.h"
#include "lib/tsdb/key_schema.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tinyobs::tsdb;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  PartitionCounts counts;
  if (DecodePartitionCounts(bytes, &counts)) {
    PartitionCounts again;
    if (!DecodePartitionCounts(EncodePartitionCounts(counts), &again)) std::abort();
  }
  DecodeIdentity(bytes, "fuzz").status().IgnoreError();
  if (size < kChunkKeyBytes) return 0;
  ChunkKey key;
  if (!DecodeChunkKey(bytes.substr(0, kChunkKeyBytes), &key)) return 0;
  const Partitioning partitioning(7'200'000);
  const std::string_view value = bytes.substr(kChunkKeyBytes);
  const auto stored = ParseStoredChunk(key, partitioning, value);
  if (!stored.ok()) return 0;
  // A header that passed promises where the samples are; whole chunks keep the promise.
  tinyobs::Columns columns;
  const bool whole = tinyobs::chunk::Decode(stored->bytes, &columns).ok();
  if (whole && (columns.timestamps_ms.front() != stored->header.first_ms ||
                columns.timestamps_ms.back() != stored->header.last_ms)) {
    std::abort();
  }
  // Merged with itself it is the same; what cannot be read is passed on.
  ChunkMerger merger(partitioning);
  size_t samples = 0;
  const auto emit = [&](std::string_view emitted_key, std::string_view emitted) {
    const auto again = ParseStoredChunk(emitted_key, partitioning, emitted);
    if (!again.ok() || (!whole && emitted != value)) std::abort();
    samples += again->header.count;
    return absl::OkStatus();
  };
  const std::string first = EncodeChunkKey(key);
  key.suffix = 1;
  if (!merger.Add(first, value, emit).ok() || !merger.Add(EncodeChunkKey(key), value, emit).ok() ||
      !merger.Finish(emit).ok()) {
    std::abort();
  }
  const bool joined = whole && stored->header.count * 2 <= tinyobs::chunk::kMaxSamples;
  if (samples != stored->header.count * (joined ? 1 : 2)) std::abort();
  return 0;
}
