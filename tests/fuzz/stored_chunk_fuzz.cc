// Rows of the database in the LSM from hostile bytes: keys, stored chunks, partition counts,
// identity.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "lib/chunk/chunk.h"
#include "lib/tsdb/chunk_store.h"
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
  const auto stored = ParseStoredChunk(key, partitioning, bytes.substr(kChunkKeyBytes));
  if (!stored.ok()) return 0;
  // A header that passed promises where the samples are; whole chunks keep the promise.
  tinyobs::Columns columns;
  if (tinyobs::chunk::Decode(stored->bytes, &columns).ok() &&
      (columns.timestamps_ms.front() != stored->header.first_ms ||
       columns.timestamps_ms.back() != stored->header.last_ms)) {
    std::abort();
  }
  return 0;
}
