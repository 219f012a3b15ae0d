// Joins stretches of samples of one series into one sorted column pair, each time once.
//
// Chunks of a series nearly always follow one another; then this is appending and nothing is
// compared. Where they overlap (late or rewritten samples), the sample of the higher generation
// wins for equal times: generations are given in order of writing, so that is "last write wins".
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

class ColumnMerger {
 public:
  // Forgets everything; `range` crops all that is added afterwards.
  void Start(TimeRange range);

  // REQUIRES: sorted by time, each time once. Copies.
  void Add(std::span<const int64_t> timestamps_ms, std::span<const double> values,
           Generation generation);

  // Samples held, duplicates included.
  size_t size() const { return samples_.size(); }
  bool overlapping() const { return overlapping_; }

  // Moves the result to `out`. O(n), or O(n log n) when stretches overlap.
  void Finish(Columns* out);

 private:
  struct Stretch {
    size_t begin;
    Generation generation;
  };

  TimeRange range_;
  Columns samples_;
  std::vector<Stretch> stretches_;
  bool overlapping_ = false;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_COLUMN_MERGE_H_
