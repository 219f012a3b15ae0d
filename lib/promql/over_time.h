// The *_over_time functions that fold all values of a window into one: sums, means, moments,
// extremes, quantiles. The simple ones are in range_functions.cc.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_OVER_TIME_H_
#define TINYOBS_LIB_PROMQL_OVER_TIME_H_

#include <span>

#include "lib/promql/range_functions.h"

namespace tinyobs::promql {

// One call of EvalRange. What it returns is `status`.
struct RangeCall {
  const RangeInput& input;
  std::span<const std::span<const double>> args;
  RangeScratch* scratch;
  std::span<double> out;
  absl::Status status = {};
};

void AverageOverTime(RangeCall& call);
void MaxOverTime(RangeCall& call);
void MinOverTime(RangeCall& call);
void QuantileOverTime(RangeCall& call);
void StddevOverTime(RangeCall& call);
void StdvarOverTime(RangeCall& call);
void SumOverTime(RangeCall& call);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_OVER_TIME_H_
