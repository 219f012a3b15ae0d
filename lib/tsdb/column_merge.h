// Joins stretches of samples of one series into one sorted column pair, each time once.
//
// Chunks of a series nearly always follow one another; then this is appending and nothing is
// compared. Where they overlap (late or rewritten samples), the sample of the higher generation
// wins for equal times: generations are given in order of writing, so that is "last write wins".
// The result can say of each sample which generation it is from, so that merged chunks stay
// comparable with chunks that were not merged with them.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_TSDB_COLUMN_MERGE_H_
#define TINYOBS_LIB_TSDB_COLUMN_MERGE_H_

#include <cstdint>
#include <span>
#include <vector>

#include "tinyobs/querier.h"
#include "tinyobs/sample.h"

namespace tinyobs::tsdb {

// Order of writing: newer is larger. Samples of the head use the values from kHeadGeneration up.
using Generation = uint64_t;
inline constexpr Generation kHeadGeneration = UINT64_MAX - 1;

// So many samples, in order of time, are of this generation.
struct GenerationRun {
  Generation generation = 0;
  size_t samples = 0;
  friend bool operator==(const GenerationRun&, const GenerationRun&) = default;
};

class ColumnMerger {
 public:
  // Forgets everything; `range` crops all that is added afterwards.
  void Start(TimeRange range);

  // REQUIRES: sorted by time, each time once. Copies.
  void Add(std::span<const int64_t> timestamps_ms, std::span<const double> values,
           Generation generation);

  // The same without a copy: append samples, sorted by time, each time once, to Appending(), then
  // say of which generations they are (counts that add up), as if by one Add for each run.
  Columns* Appending() { return &samples_; }
  void Appended(std::span<const GenerationRun> runs);

  // Samples held, duplicates included.
  size_t size() const { return samples_.size(); }
  bool overlapping() const { return overlapping_; }

  // Moves the result to `out`, and the generations of its samples to `runs`, neighbours differing,
  // unless that is null. O(n), or O(n log n) when stretches overlap.
  void Finish(Columns* out, std::vector<GenerationRun>* runs = nullptr);

 private:
  TimeRange range_;
  Columns samples_;
  size_t taken_ = 0;                 // of samples_: what is behind was appended and not taken yet
  std::vector<GenerationRun> runs_;  // of samples_, in its order
  bool overlapping_ = false;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_COLUMN_MERGE_H_
