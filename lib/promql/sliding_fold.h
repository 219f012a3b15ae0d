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

// Calls visit(i, Window) for every window, empty ones too, in order. O(samples + windows); a single
// window is found by bisection.
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
  for (size_t i = 0; i < input.windows.count; ++i, newest += input.windows.step_ms) {
    while (end < times.size() && times[end] <= newest) ++end;
    const int64_t oldest = OldestInWindow(newest, input.range_ms);
    while (begin < end && times[begin] < oldest) ++begin;
    visit(i, Window{begin, end});
  }
}

// Whether windows overlap so much that keeping folds is cheaper than going over each window.
inline bool WorthSliding(const RangeInput& input) {
  return input.windows.count > 1 && input.range_ms / 3 >= input.windows.step_ms;
}

// A Fold is a struct of kDoubles doubles: Fold::Empty(near), where `near` is one of the values to
// come; Add(double); Merge(newer), where both came of the same Empty; Save(double*), Load(double*).

// Of all of `values`: four folds side by side, as one alone would wait for itself.
template <typename Fold>
Fold FoldOf(std::span<const double> values) {
  const Fold empty = Fold::Empty(values.empty() ? 0 : values.back());
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
      : values_(values.data()), running_(Fold::Empty(0)), suffixes_(suffixes) {}

  // REQUIRES: not empty, and neither end before that of the window before.
  [[gnu::always_inline]] Fold Of(Window window) {
    if (window.begin >= split_) Turn(window);
    for (; end_ < window.end; ++end_) running_.Add(values_[end_]);
    Fold fold = Fold::Load(suffixes_->data() + (window.begin - base_) * Fold::kDoubles);
    fold.Merge(running_);
    return fold;
  }

 private:
  [[gnu::always_inline]] void Turn(Window window) {
    if (suffixes_->size() < window.size() * Fold::kDoubles) {
      suffixes_->resize(2 * window.size() * Fold::kDoubles);
    }
    running_ = Fold::Empty(values_[window.end - 1]);
    base_ = window.begin;
    split_ = end_ = window.end;
    double* at = suffixes_->data() + window.size() * Fold::kDoubles;
    Fold newer = running_;
    for (size_t i = window.end; i-- > window.begin;) {
      newer.Add(values_[i]);
      newer.Save(at -= Fold::kDoubles);
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
