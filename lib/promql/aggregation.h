// Aggregation: sum by (...), topk, quantile and their like, over a stream of series.
//
// A group keeps what its operator needs, so that sum over a million series holds one column a
// group; only quantile, topk, bottomk and count_values hold more. Each worker has groups of its
// own, which are joined at the end: no lock a series.
//
// Source: prometheus.io/docs/prometheus/2.42/querying/operators/.
//
// Thread-safety: Add may be called at once with different workers; all else is one thread's.
#ifndef TINYOBS_LIB_PROMQL_AGGREGATION_H_
#define TINYOBS_LIB_PROMQL_AGGREGATION_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "lib/promql/ast.h"
#include "lib/promql/budget.h"
#include "lib/promql/vector.h"

namespace tinyobs::promql {

class Aggregation {
 public:
  // `parameter`: of topk, bottomk and quantile, a value a step; `label`: of count_values. `budget`
  // is asked for what the groups hold and outlives this; after Finish it holds what the result
  // does. FailedPrecondition: a parameter that Prometheus refuses.
  static absl::StatusOr<std::unique_ptr<Aggregation>> Create(const AggregateExpr& expr, Steps steps,
                                                             std::vector<double> parameter,
                                                             std::string label, int workers,
                                                             Budget* budget);
  virtual ~Aggregation() = default;

  // A SeriesSink. topk and bottomk choose among equal values as if the workers' series came one
  // worker after the other.
  virtual absl::Status Add(int worker, const Labels& labels, std::span<double> values) = 0;
  // Joins the workers' groups; once. topk and bottomk of a single step come in their order.
  virtual absl::StatusOr<Vector> Finish() = 0;
};

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_AGGREGATION_H_
