// Functions of a range vector: what rate, max_over_time and their like make of the samples in each
// step's window.
//
// A window moves from step to step and mostly overlaps the one before, so rate and the *_over_time
// functions are O(samples + steps): resets are listed once a series, sums and extremes are folded
// by two stacks (sliding_fold.h; nothing is ever subtracted: no drift, and an infinity that left
// the window is gone). Where the order of additions shows in the answer (numbers that cancel,
// overflow) the window is summed again in Prometheus' order. quantile_over_time, deriv,
// predict_linear and holt_winters are O(window) a step.
//
// Source: prometheus.io/docs/prometheus/2.42/querying/functions/.
//
// Thread-safety: pure functions; a RangeScratch is one thread's.
#ifndef TINYOBS_LIB_PROMQL_RANGE_FUNCTIONS_H_
#define TINYOBS_LIB_PROMQL_RANGE_FUNCTIONS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "lib/promql/functions.h"
#include "lib/promql/vector.h"

namespace tinyobs::promql {

// Samples of one series and the windows over them. Window i is [end(i) - range_ms, end(i)], closed
// on both sides, where end(i) = windows.At(i); `windows` are the steps of the query with the offset
// taken off.
struct RangeInput {
  std::span<const int64_t> times_ms;  // ascending; without staleness markers
  std::span<const double> values;
  Steps windows;  // step_ms may be 0 here: with `@` all windows are the same
  int64_t range_ms = 0;
  // What predict_linear predicts from is the time of the step itself, offset and `@` or not.
  Steps steps;
  // Of the windows (downsampled.h) that some of the samples stand for; 0 = none. EvalRange does not
  // look at it.
  int64_t downsampled_ms = 0;
};

// Reused from series to series, so that none allocates.
struct RangeScratch {
  std::vector<double> doubles;
  std::vector<size_t> positions;
};

// True for the functions that EvalRange knows: those with one range vector among their arguments,
// but absent_over_time, which is about all series at once.
bool IsRangeFunction(FunctionId id);
// Writes out[i] = the function of window i, or Absent() where Prometheus gives no element. `args`
// are the scalar arguments in their order, a value a step each. `out` has windows.count elements.
// FailedPrecondition, with Prometheus' words: factors of holt_winters that are not between 0 and 1.
absl::Status EvalRange(FunctionId id, const RangeInput& input,
                       std::span<const std::span<const double>> args, RangeScratch* scratch,
                       std::span<double> out);

// The phi-quantile of `values`, which are reordered. Also of quantile(). NaN when empty, -Inf for
// phi < 0, +Inf for phi > 1.
double Quantile(double phi, std::span<double> values);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_RANGE_FUNCTIONS_H_
