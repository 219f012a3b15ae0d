// Functions of instant vectors and scalars: everything in the list that takes no range.
//
// Source: prometheus.io/docs/prometheus/2.42/querying/functions/.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_VECTOR_FUNCTIONS_H_
#define TINYOBS_LIB_PROMQL_VECTOR_FUNCTIONS_H_

#include <memory>
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
absl::StatusOr<Vector> HistogramQuantile(std::span<const double> phi, Vector buckets);

// label_replace and label_join of one series' labels: the arguments are checked once.
class LabelReplacer {
 public:
  // FailedPrecondition with Prometheus' words: a label name or regular expression that is none.
  static absl::StatusOr<LabelReplacer> Create(std::string destination, std::string replacement,
                                              std::string source, std::string regex);
  absl::StatusOr<Labels> Apply(const Labels& labels) const;

  ~LabelReplacer();
  LabelReplacer(LabelReplacer&&) noexcept;

 private:
  struct Rule;
  explicit LabelReplacer(std::unique_ptr<Rule> rule);
  std::unique_ptr<Rule> rule_;
};
absl::Status CheckLabelJoin(std::string_view destination, std::span<const std::string> sources);
absl::StatusOr<Labels> JoinLabels(const Labels& labels, const std::string& destination,
                                  std::string_view separator, std::span<const std::string> sources);

// What absent() and absent_over_time() answer with: the labels that equality matchers name once.
Labels AbsentLabels(std::span<const Matcher> matchers);

// The order of sort() and sort_desc() for an instant vector: NaN at the end.
void SortByValue(bool descending, Vector* vector);

// scalar(vector): of the single element a step, else NaN.
void ScalarOfVector(const Vector& vector, std::span<double> out);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_VECTOR_FUNCTIONS_H_
