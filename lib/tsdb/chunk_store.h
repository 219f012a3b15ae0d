// ChunkStore: sealed chunks in the LSM, and the counts kept beside them.
//
// A chunk is a row; what it adds to the counts of its partition (samples, chunks, time range) goes
// into the same write batch, so that counts and chunks cannot drift apart, whatever crash comes
// between. The partition rows are also how the database knows which partitions exist without
// scanning.
//
// Chunks of a series may overlap when samples came late; then the generation in front of each chunk
// says which is newer. Three things are bounded here, where a late chunk is written: a chunk never
// takes the key of another (that would lose samples), a time that is stored twice is counted once,
// and no more than kMaxOverlap chunks lie on top of each other. For that the writer looks at the
// chunks that are there, and merges the whole group that overlaps into fresh chunks when it must.
// The whole group, not just the neighbours: merging gives all samples one new generation, which is
// right only if nothing outside the group can tell.
//
// Thread-safety: reading is thread-safe; Write and Publish are for one thread at a time (the
// sealer).
#ifndef TINYOBS_LIB_TSDB_CHUNK_STORE_H_
#define TINYOBS_LIB_TSDB_CHUNK_STORE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/chunk/chunk.h"
#include "lib/lsm/store.h"
#include "lib/tsdb/column_merge.h"
#include "lib/tsdb/key_schema.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

// Overlapping chunks at which a late one is merged with them instead of being put beside them.
inline constexpr size_t kMaxOverlap = 8;
// Samples of the chunks that merging writes.
inline constexpr size_t kMergedChunkSamples = 480;

// What a chunk row's value holds: generation (two varints: epoch, number), then the chunk.
void EncodeStoredChunk(Generation generation, std::span<const int64_t> timestamps_ms,
                       std::span<const double> values, chunk::Encoder* encoder, std::string* out);
struct StoredChunk {
  Generation generation = 0;
  chunk::Header header;
  std::string_view bytes;  // of the chunk, in the value that was parsed
};
// DataLoss: not a stored chunk, or one that does not belong under `key`.
absl::StatusOr<StoredChunk> ParseStoredChunk(const ChunkKey& key, const Partitioning& partitioning,
                                             std::string_view value);

// The counts of a partition, or of several.
struct PartitionCounts {
  uint64_t samples = 0;  // each series and time once
  uint64_t chunks = 0;
  int64_t oldest_ms = INT64_MAX;
  int64_t newest_ms = INT64_MIN;

  void Include(int64_t first_ms, int64_t last_ms);
};
std::string EncodePartitionCounts(const PartitionCounts& counts);
// False when `value` is not one.
bool DecodePartitionCounts(std::string_view value, PartitionCounts* counts);

class ChunkStore {
 public:
  // `store` must outlive this.
  ChunkStore(lsm::Store* store, const Partitioning& partitioning)
      : store_(store), partitioning_(partitioning) {}

  // Reads the partition rows. Call once, before anything else.
  absl::Status Load();

  // One chunk to write.
  struct NewChunk {
    SeriesId series = 0;
    Generation generation = 0;
    std::span<const int64_t> timestamps_ms;  // of one partition
    std::span<const double> values;
  };
  // Writes chunks that overlap nothing, as one batch without the LSM's log. After OK, Publish()
  // makes the counts visible.
  absl::Status Write(std::span<const NewChunk> chunks);
  // Writes one that may overlap. Costs a scan of the series' chunks in the partition.
  absl::Status WriteOverlapping(const NewChunk& chunk);
  void Publish();

  // Over all partitions.
  PartitionCounts Totals() const;
  // The raw partitions that exist and overlap `range`, ascending.
  std::vector<uint32_t> Partitions(TimeRange range) const;

  // Adds the series' samples within `range` to `merger`; `partitions` as above; `iterator` is over
  // the whole LSM. Stops early, OK, when the merger holds more than `sample_limit` (0 = none).
  absl::Status Read(SeriesId series, TimeRange range, std::span<const uint32_t> partitions,
                    uint64_t sample_limit, Iterator* iterator, ColumnMerger* merger) const;

  const Partitioning& partitioning() const { return partitioning_; }

 private:
  struct Existing;

  PartitionCounts* Staged(uint32_t partition);
  void StageChunk(const NewChunk& chunk, lsm::WriteBatch* batch);
  absl::Status Commit(lsm::WriteBatch* batch);
  // The series' chunks in the partition of `chunk`, by first sample.
  absl::StatusOr<std::vector<Existing>> ListExisting(const NewChunk& chunk) const;
  absl::Status Merge(const NewChunk& chunk, std::vector<Existing> existing);

  lsm::Store* const store_;
  const Partitioning partitioning_;

  // The sealer's, between Write and Publish.
  chunk::Encoder encoder_;
  std::map<uint32_t, PartitionCounts> staged_;

  mutable Mutex mutex_;
  std::map<uint32_t, PartitionCounts> partitions_ ABSL_GUARDED_BY(mutex_);  // raw tier
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_CHUNK_STORE_H_
