// Values of the rows that hold chunks, and of those that count them.
//
// A chunk's row says of every sample which generation it is of, that is, when it was written: for
// equal times the higher generation counts. Generation 0 is that of a chunk that overlapped nothing
// when it was written; nearly all are, and then it costs one byte. Because merging chunks keeps the
// generation of each sample, merged and unmerged chunks may lie over each other in any way and
// still give the same answer, so whoever merges need not see all there is.
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_TSDB_CHUNK_ROW_H_
#define TINYOBS_LIB_TSDB_CHUNK_ROW_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "absl/status/statusor.h"
#include "lib/chunk/chunk.h"
#include "lib/tsdb/column_merge.h"
#include "lib/tsdb/key_schema.h"

namespace tinyobs::tsdb {

// Appends generations and chunk. The counts of `runs` add up to those of the columns; their order
// is that of time.
void EncodeStoredChunk(std::span<const GenerationRun> runs, std::span<const int64_t> timestamps_ms,
                       std::span<const double> values, chunk::Encoder* encoder, std::string* out,
                       chunk::ExponentHint* hint = nullptr);

struct StoredChunk {
  absl::InlinedVector<GenerationRun, 1> runs;
  chunk::Header header;
  std::string_view bytes;  // of the chunk, in the value that was parsed
};
// DataLoss: not a stored chunk, or one that does not belong under `key`.
absl::StatusOr<StoredChunk> ParseStoredChunk(const ChunkKey& key, const Partitioning& partitioning,
                                             std::string_view value);
absl::StatusOr<StoredChunk> ParseStoredChunk(std::string_view key, const Partitioning& partitioning,
                                             std::string_view value);
// DataLoss: not the key of a chunk, or of windows.
absl::StatusOr<ChunkKey> ParseChunkKey(std::string_view bytes);
// Adds the chunk's samples. DataLoss.
absl::Status AddStoredChunk(const StoredChunk& stored, ColumnMerger* merger);

// Whether what is in a partition is in the next coarser tier, too; of the coarsest tier: whether
// the rows of each series were joined. On disk: never renumber.
enum class Downsampled : uint8_t {
  kNo = 0,
  kUnderWay = 1,  // of the series before `next_series`
  kYes = 2,
};

// The counts of a partition of a tier, or of several.
struct PartitionCounts {
  // Each series and time once; in the coarser tiers, windows. Exact.
  uint64_t samples = 0;
  // Rows, and how many of them were written since the partition was last merged. What merging joins
  // is counted when it ends, so after a crash these are too high until it ends again. Only raw
  // partitions are merged; in the coarser tiers the rows are exact.
  uint64_t chunks = 0;
  uint64_t unmerged_chunks = 0;
  // No sample is outside. Deleting samples leaves them as they are.
  int64_t oldest_ms = INT64_MAX;
  int64_t newest_ms = INT64_MIN;
  // From kUnderWay on, whoever changes a series of the partition leaves a row `touched`.
  Downsampled downsampled = Downsampled::kNo;
  uint64_t next_series = 0;
  // At least as many as there are rows `touched`; 0 = none. Not part of the row, but of memory.
  uint64_t touched = 0;

  // Windows that were made of it may be left to be taken back, even without a sample in it.
  bool IsThere() const { return samples > 0 || downsampled != Downsampled::kNo; }
  // That its windows are there and as it is.
  bool InCoarser() const { return downsampled == Downsampled::kYes && touched == 0; }
  void Include(int64_t first_ms, int64_t last_ms);
};
std::string EncodePartitionCounts(const PartitionCounts& counts);
// False when `value` is not one.
bool DecodePartitionCounts(std::string_view value, PartitionCounts* counts);

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_CHUNK_ROW_H_
