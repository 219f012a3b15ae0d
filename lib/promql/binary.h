// Binary operators: arithmetic, comparisons and set operators over columns.
//
// Partners are found once a series by the hash of their matching labels, then the operator runs
// over the two columns. Whether a match is ambiguous is decided step by step, as in Prometheus: two
// series with the same matching labels are no error while they have no step in common, and make one
// series of the result if their labels there are the same.
//
// Source: prometheus.io/docs/prometheus/2.42/querying/operators/.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_BINARY_H_
#define TINYOBS_LIB_PROMQL_BINARY_H_

#include <span>

#include "absl/status/statusor.h"
#include "lib/promql/ast.h"
#include "lib/promql/budget.h"
#include "lib/promql/vector.h"

namespace tinyobs::promql {

// Of two columns that do not overlap: values[i] = values[i] op other[i] (swapped: other[i] op
// values[i]), or Absent() where either is. A comparison without bool gives values[i] (keep_other:
// other[i]) where it holds, else Absent().
void ApplyColumns(BinaryOp op, bool return_bool, bool swapped, bool keep_other,
                  std::span<const double> other, std::span<double> values);
// Whether the result loses its metric name: arithmetic does, other than atan2 (sic), and so do
// comparisons with bool.
bool DropsName(BinaryOp op, bool return_bool);

// Of two vectors, each label set once in each; `expr.matching` is set. Series without any value are
// left out. The columns of `left` and `right` have been taken from `budget`; if all goes well, it
// holds those of the result instead. FailedPrecondition with Prometheus' words for many-to-many
// matching and for results with the same labels.
absl::StatusOr<Vector> ApplyVectorVector(const BinaryExpr& expr, Steps steps, Vector left,
                                         Vector right, Budget* budget);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_BINARY_H_
