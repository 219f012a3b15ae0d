// Merging chunks of a series into fewer, larger ones: while the LSM compacts a partition that is
// over, and where too many late chunks lie over each other.
//
// Sealing at some 120 samples keeps the head small; larger chunks compress better and are read with
// fewer steps. A partition that is over is therefore re-chunked once, by the compaction that brings
// its tables together anyway: nothing is written twice for it, and no tombstone is left.
//
// What makes it safe, whatever the compaction does not see (newer chunks in the levels above, older
// ones that a snapshot holds, another part of the same series):
//  1. Each sample keeps its generation (chunk_row.h); dropped are only samples for which one of the
//     same time and a higher generation is among the merged. So any set of chunks may be merged.
//  2. A merged chunk has the key of one that went into it. That key must not be written or deleted
//     by somebody who has seen the partition as it was before: ChunkStore keeps to that while
//     PartitionMerge is active, and PartitionMerge gives mergers to nobody but the compaction that
//     ChunkStore waits for. Background compactions never merge.
// A chunk that cannot be read stays as it is, for readers to report: it must not stop compactions.
//
// Thread-safety: ChunkMerger: one thread. PartitionMerge: thread-safe.
#ifndef TINYOBS_LIB_TSDB_CHUNK_MERGE_H_
#define TINYOBS_LIB_TSDB_CHUNK_MERGE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "lib/chunk/chunk.h"
#include "lib/lsm/store.h"
#include "lib/tsdb/chunk_row.h"
#include "lib/tsdb/column_merge.h"
#include "lib/tsdb/key_schema.h"

namespace tinyobs::tsdb {

// Samples of the chunks that merging writes, where the chunks it is given can be cut so: chunks of
// 120 become chunks of 960. Larger ones are hardly smaller in sum and cost more to read in part.
inline constexpr size_t kMergedChunkSamples = 1024;

// Takes chunks of any number of series in key order and emits them merged. Holds at most
// chunk::kMaxSamples samples and one chunk.
class ChunkMerger final : public lsm::CompactionMerger {
 public:
  // `rows`, unless null, counts what is emitted.
  explicit ChunkMerger(const Partitioning& partitioning, uint64_t* rows = nullptr)
      : partitioning_(partitioning), rows_(rows) {}

  absl::Status Add(std::string_view key, std::string_view value, const Emit& emit) override;
  absl::Status Finish(const Emit& emit) override;

 private:
  struct Member {
    std::string key;
    std::string value;
  };

  // Whether the next chunk is merged with what is held.
  bool Fits(std::string_view key, const chunk::Header& header) const;
  absl::Status Flush(const Emit& emit);
  // False: a chunk is damaged, or there is only one.
  bool Merge();
  // Ends of the chunks to write, as positions in columns_, and the members that lend their keys.
  std::vector<std::pair<size_t, size_t>> Cuts() const;
  absl::Status EmitRow(std::string_view key, std::string_view value, const Emit& emit);

  const Partitioning partitioning_;
  uint64_t* const rows_;

  std::vector<Member> members_;  // the first `held_`; the others lend their memory
  size_t held_ = 0;
  size_t samples_ = 0;  // of those held
  int64_t last_ms_ = INT64_MIN;

  // Scratch.
  ColumnMerger merger_;
  Columns columns_;
  std::vector<GenerationRun> runs_;
  chunk::Encoder encoder_;
  chunk::ExponentHint hint_;  // of the chunks held
  std::string value_;
};

// Whether a partition is being merged, and by whom. Belongs into lsm::StoreOptions:
//   options.new_compaction_merger = [merge] { return merge->NewMerger(); };
class PartitionMerge {
 public:
  explicit PartitionMerge(const Partitioning& partitioning) : partitioning_(partitioning) {}

  // Null unless the calling thread is between Begin and End.
  std::unique_ptr<lsm::CompactionMerger> NewMerger();

  // One thread at a time.
  void Begin();
  // Returns the rows that the last merger emitted: those of the whole partition, but for what a
  // snapshot holds, because CompactRange makes its last compaction over all there is.
  uint64_t End();

 private:
  const Partitioning partitioning_;
  Mutex mutex_;
  std::thread::id thread_ ABSL_GUARDED_BY(mutex_);
  uint64_t rows_ = 0;  // of thread_
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_CHUNK_MERGE_H_
