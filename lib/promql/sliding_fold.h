// Windows over the samples of a series, and folds of what is in them.
//
// Windows only move forward. Their two ends are two positions in the columns that move with them
// (ForEachWindow), and a fold of what lies between is kept as two stacks: the older samples as
// suffixes, each with all samples after it up to the split, the newer ones as a single running
// fold. A step combines one suffix with the running fold; when the suffixes are used up, the
// running part is turned into new ones. Every sample is added twice, whatever the window's length,
// and nothing is ever taken out of a fold: that is not possible for a maximum, and for sums it
// would leave the rounding (or the infinity) of a sample behind that is long gone.
//
// Source: the queue of two stacks, folklore; see Tangwongsan, Hirzel, Schneider, "In-Order
// Sliding-Window Aggregation in Worst-Case Constant Time", VLDB Journal 30 (2021), section 2.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_SLIDING_FOLD_H_
#define TINYOBS_LIB_PROMQL_SLIDING_FOLD_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "lib/promql/range_functions.h"
#include "lib/promql/window_bounds.h"

namespace tinyobs::promql {

// The samples of one window: positions [begin, end).
struct Window {
  size_t begin;
  size_t end;
  size_t size() const { return end - begin; }
};

// Moves an end of a window on: returns the first position from `from` whose time is after
// `until_ms`. An end mostly moves as far as at the step before (`*stride`), which is tried first.
inline size_t MoveEnd(std::span<const int64_t> times, size_t from, int64_t until_ms,
                      size_t* stride) {
  size_t to = from;
  if (from + *stride < times.size() && times[from + *stride - 1] <= until_ms) to += *stride;
  if (to == times.size() || times[to] > until_ms) return to;
  while (to < times.size() && times[to] <= until_ms) ++to;
  *stride = to - from;
  return to;
}

// Calls visit(i, Window) for every window, empty ones too, in order. O(samples + windows), most
// samples passed unseen; a single window is found by bisection.
template <typename Visit>
void ForEachWindow(const RangeInput& input, Visit visit) {
  const std::span<const int64_t> times = input.times_ms;
  int64_t newest = input.windows.At(0);
  // For one window the ends are found by bisection, and the first of many begins where it begins.
  const auto first =
      std::lower_bound(times.begin(), times.end(), OldestInWindow(newest, input.range_ms));
  auto begin = static_cast<size_t>(first - times.begin());
  size_t end = begin;
  if (input.windows.count == 1) {
    end = static_cast<size_t>(std::upper_bound(first, times.end(), newest) - times.begin());
  }
  size_t begin_stride = 1;
  size_t end_stride = 1;
  for (size_t i = 0; i < input.windows.count; ++i, newest += input.windows.step_ms) {
    end = MoveEnd(times, end, newest, &end_stride);
    begin = MoveEnd(times, begin, OldestInWindow(newest, input.range_ms) - 1, &begin_stride);
    visit(i, Window{begin, end});
  }
}

// Whether windows overlap so much that keeping folds is cheaper than going over each window.
inline bool WorthSliding(const RangeInput& input) {
  return input.windows.count > 1 && input.range_ms / 3 >= input.windows.step_ms;
}

// A Fold is a struct of doubles: Fold(near), where `near` is one of the values to come;
// Add(double); Merge(newer), where both came of the same `near`.

// Of all of `values`, at least one: four folds side by side, as one alone would wait for itself.
template <typename Fold>
Fold FoldOf(std::span<const double> values) {
  const Fold empty(values.back());
  Fold fold[4] = {empty, empty, empty, empty};
  size_t i = 0;
  for (; i + 4 <= values.size(); i += 4) {
    for (size_t lane = 0; lane < 4; ++lane) fold[lane].Add(values[i + lane]);
  }
  for (; i < values.size(); ++i) fold[0].Add(values[i]);
  fold[0].Merge(fold[1]);
  fold[2].Merge(fold[3]);
  fold[0].Merge(fold[2]);
  return fold[0];
}

// Of a window that moves over `values`. `suffixes` is the caller's buffer. Inlined by order: a fold
// has to stay in registers, as to write it down and read it back takes longer than to add to it.
template <typename Fold>
class SlidingFold {
 public:
  SlidingFold(std::span<const double> values, std::vector<double>* suffixes)
      : values_(values.data()), running_(0), suffixes_(suffixes) {}

  // REQUIRES: not empty, and neither end before that of the window before.
  [[gnu::always_inline]] Fold Of(Window window) {
    if (window.begin >= split_) Turn(window);
    for (; end_ < window.end; ++end_) running_.Add(values_[end_]);
    std::array<double, kDoubles> suffix;
    const double* const at = suffixes_->data() + (window.begin - base_) * kDoubles;
    for (size_t k = 0; k < kDoubles; ++k) suffix[k] = at[k];
    Fold fold = std::bit_cast<Fold>(suffix);
    fold.Merge(running_);
    return fold;
  }

 private:
  static constexpr size_t kDoubles = sizeof(Fold) / sizeof(double);

  [[gnu::always_inline]] void Turn(Window window) {
    if (suffixes_->size() < window.size() * kDoubles) {
      suffixes_->resize(2 * window.size() * kDoubles);
    }
    running_ = Fold(values_[window.end - 1]);
    base_ = window.begin;
    split_ = end_ = window.end;
    double* at = suffixes_->data() + window.size() * kDoubles;
    Fold newer = running_;
    for (size_t i = window.end; i-- > window.begin;) {
      newer.Add(values_[i]);
      const auto suffix = std::bit_cast<std::array<double, kDoubles>>(newer);
      at -= kDoubles;
      for (size_t k = 0; k < kDoubles; ++k) at[k] = suffix[k];
    }
  }

  const double* const values_;
  size_t base_ = 0;
  size_t split_ = 0;
  size_t end_ = 0;
  Fold running_;                         // of [split_, end_)
  std::vector<double>* const suffixes_;  // of [base_ + i, split_) for each i
};

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_SLIDING_FOLD_H_
