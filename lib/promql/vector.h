// What expressions evaluate to: columns over the steps of the query.
//
// A query is evaluated for all its steps at once, series by series, never step by step: what is
// known of a series (its labels, which group it belongs to, where its partner is) is found out once
// instead of at every step, and the arithmetic runs over arrays. An instant query is one step.
//
// Where a series has no value at a step, the column holds the staleness marker: exact bits that no
// arithmetic yields and that selectors never let through as a value.
//
// Thread-safety: plain data.
#ifndef TINYOBS_LIB_PROMQL_VECTOR_H_
#define TINYOBS_LIB_PROMQL_VECTOR_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "tinyobs/labels.h"
#include "tinyobs/sample.h"

namespace tinyobs::promql {

// The times at which an expression is evaluated: start, start + step, ... `count` of them.
struct Steps {
  int64_t start_ms = 0;
  int64_t step_ms = 1;  // > 0, also for a single step
  size_t count = 1;

  int64_t At(size_t i) const { return start_ms + static_cast<int64_t>(i) * step_ms; }
  int64_t end_ms() const { return At(count - 1); }
  friend bool operator==(const Steps&, const Steps&) = default;
};

inline double Absent() { return StaleNan(); }
inline bool IsAbsent(double value) { return IsStaleNan(value); }
inline bool AnyPresent(std::span<const double> values) {
  return !std::all_of(values.begin(), values.end(), IsAbsent);
}

// One series of an instant vector: a value, or Absent(), a step.
struct VectorSeries {
  Labels labels;
  std::vector<double> values;
};
// Label sets may repeat until somebody looks (as in Prometheus, where that is an error then).
using Vector = std::vector<VectorSeries>;

// Takes one series of an instant vector. `values` are the taker's to change, and are valid during
// the call, as are `labels`. `worker` counts from 0 and says which thread calls: two calls with the
// same worker never overlap. An error ends the evaluation with it.
using SeriesSink =
    absl::FunctionRef<absl::Status(int worker, const Labels& labels, std::span<double> values)>;

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_VECTOR_H_
