// Old samples of which only windows are left (tinyobs/windows.h), as samples that functions
// understand.
//
// A function of single samples (a plain selector, rate, ...) gets the last sample of each window,
// as it was and when it was: the series has become thinner, nothing else, so that its rates are
// those of the raw samples but for resets within a window. (Not the first ones, too: rate()
// concludes from the distances of samples how far it may extrapolate.) Functions that a window has
// an answer for (max_over_time, sum_over_time, ...) get that, at the window's last moment, when all
// of it is known.
//
// What looks at less time than a window would see nothing most of the time: it is widened to one
// window, to two where one sample is not enough, of the finest resolution that has an answer, and
// differences are scaled down again. Sums and counts of a window are spread over it instead.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_DOWNSAMPLED_H_
#define TINYOBS_LIB_PROMQL_DOWNSAMPLED_H_

#include <cstdint>

#include "lib/promql/range_functions.h"
#include "tinyobs/querier.h"

namespace tinyobs::promql {

// Columns of windows for a function; last_over_time stands for single samples.
uint32_t WindowColumnsFor(FunctionId id);

// The samples of `series`, or what a function of ranges of `range_ms` needs in their place;
// `scratch` holds it if there are windows.
const Columns& SamplesOf(const SeriesSet& series, FunctionId id, int64_t range_ms,
                         Columns* scratch);

// EvalRange, widened where there are only windows that are longer than the range.
absl::Status EvalRangeAtAnyResolution(FunctionId id, const RangeInput& input,
                                      std::span<const std::span<const double>> args,
                                      RangeScratch* scratch, std::span<double> out);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_DOWNSAMPLED_H_
