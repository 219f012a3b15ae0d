// The *_over_time functions that fold all values of a window into one: sums, means, moments,
// extremes, quantiles. The simple ones are in range_functions.cc.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_OVER_TIME_H_
#define TINYOBS_LIB_PROMQL_OVER_TIME_H_

#include <span>

#include "lib/promql/range_functions.h"

namespace tinyobs::promql {

// REQUIRES: `id` is {avg,max,min,stddev,stdvar,sum}_over_time.
void FoldOverTime(FunctionId id, const RangeInput& input, RangeScratch* scratch,
                  std::span<double> out);

void QuantileOverTime(const RangeInput& input, std::span<const double> phi, RangeScratch* scratch,
                      std::span<double> out);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_OVER_TIME_H_
