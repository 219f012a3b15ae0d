// Functions of instant vectors and scalars: everything in the list that takes no range.
//
// Source: prometheus.io/docs/prometheus/2.42/querying/functions/.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_VECTOR_FUNCTIONS_H_
#define TINYOBS_LIB_PROMQL_VECTOR_FUNCTIONS_H_

#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/promql/functions.h"
#include "lib/promql/vector.h"

namespace tinyobs::promql {

// True for those that make one value of one value, whatever the other series: abs, clamp, round,
// hour, ... They drop the metric name. (timestamp() is the evaluator's: it needs the samples.)
// Those of native histograms are among them: they leave nothing of plain samples.
bool IsElementFunction(FunctionId id);
// In place, absent elements stay absent. `args` are the scalar arguments, a value a step each,
// those that were left out not among them.
void ApplyElementFunction(FunctionId id, std::span<const std::span<const double>> args,
                          std::span<double> values);

// histogram_quantile: `buckets` in, one series a histogram out.
Vector HistogramQuantile(std::span<const double> phi, Vector buckets);

// label_replace and label_join: change the labels of all series; `texts` are the arguments behind
// the vector. FailedPrecondition with Prometheus' words: a label name or regular expression that is
// none. Series may be the same afterwards.
absl::Status LabelReplace(std::span<const std::string> texts, Vector* vector);
absl::Status LabelJoin(std::span<const std::string> texts, Vector* vector);

// What absent() and absent_over_time() answer with: the labels that equality matchers name once.
Labels AbsentLabels(std::span<const Matcher> matchers);

// The order of sort() and sort_desc() for an instant vector: NaN at the end.
void SortByValue(bool descending, Vector* vector);

// scalar(vector): of the single element a step, else NaN.
void ScalarOfVector(const Vector& vector, std::span<double> out);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_VECTOR_FUNCTIONS_H_
