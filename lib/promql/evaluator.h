// Evaluator: walks the tree of a query and makes columns of it.
//
// Series are pushed through: what a selector reads goes, one series' column at a time, through the
// functions around it into whatever takes it at last, an aggregation's groups or the result, and is
// then forgotten. Only what has to be seen whole is collected: operands of binary operators,
// histogram buckets, what gets new labels. Selectors read with several threads at once, each of
// which pushes its series all the way; sinks are told which worker calls.
//
// What is the same at every step (IsStepInvariant) is evaluated at the first and repeated. Where
// `@` stands in what is not (an argument of a function that also takes something else, such as
// predict_linear, or the parameter of an aggregation), Prometheus 2.42 looks at that time for the
// first step only and moves on with the steps, over samples up to that time: so does this.
//
// Thread-safety: one thread calls; sinks are called by all workers.
#ifndef TINYOBS_LIB_PROMQL_EVALUATOR_H_
#define TINYOBS_LIB_PROMQL_EVALUATOR_H_

#include <atomic>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/promql/ast.h"
#include "lib/promql/budget.h"
#include "lib/promql/range_functions.h"
#include "lib/promql/vector.h"
#include "lib/promql/window_bounds.h"
#include "tinyobs/promql.h"
#include "tinyobs/querier.h"

namespace tinyobs::promql {

// Takes the samples of one series for all windows, at least one sample. As SeriesSink else.
using RangeSink =
    absl::FunctionRef<absl::Status(int worker, const Labels& labels, const RangeInput& input)>;

class Evaluator {
 public:
  // `query`: what start() and end() stand for; the end as it was asked for, which need not be a
  // step. All outlive this.
  Evaluator(const Querier& querier, const QueryOptions& options, TimeRange query, Budget* budget);

  int workers() const { return workers_; }

  // Of an instant vector or a scalar (a series without labels): each label set once, with a value
  // at one step at least. In the order of topk() and bottomk() where `expr` is one, else in none.
  absl::Status Stream(const Expr& expr, const Steps& steps, SeriesSink sink);
  // The same, held. The budget is charged.
  absl::StatusOr<Vector> Collect(const Expr& expr, const Steps& steps);
  // Of a scalar: a value a step.
  absl::StatusOr<std::vector<double>> Scalar(const Expr& expr, const Steps& steps);
  // Of a range vector: each series with samples in the time of the windows. `use`: the function
  // that they are for; last_over_time for the samples themselves.
  absl::Status StreamRanges(const Expr& expr, const Steps& steps, FunctionId use, RangeSink sink);

  // Figures, warnings: once everything is evaluated.
  QueryStats stats() const;
  std::vector<std::string> warnings() const;

 private:
  // Changes the values of one series in place.
  using ValueChange = absl::FunctionRef<void(std::span<double> values)>;
  using SetSink = absl::FunctionRef<absl::Status(int worker, const SeriesSet& series)>;

  // evaluator.cc
  absl::Status StreamOnce(const Expr& expr, const Steps& steps, SeriesSink sink);
  absl::Status StreamUnary(const UnaryExpr& unary, const Steps& steps, SeriesSink sink);
  // An operator of which one side at least is a scalar.
  absl::Status StreamWithScalar(const BinaryExpr& binary, const Steps& steps, SeriesSink sink);
  absl::StatusOr<Vector> VectorVector(const BinaryExpr& binary, const Steps& steps);
  absl::StatusOr<Vector> Aggregate(const AggregateExpr& aggregate, const Steps& steps);
  // What `vector` streams, changed and without metric names.
  absl::Status StreamNameless(const Expr& vector, const Steps& steps, ValueChange change,
                              SeriesSink sink);
  absl::Status Push(Vector vector, SeriesSink sink);
  // One series without labels, charged: a scalar.
  absl::StatusOr<Vector> Unlabelled(std::vector<double> values);
  // What is only there whole; nothing for the expressions that StreamOnce evaluates.
  absl::StatusOr<std::optional<Vector>> Make(const Expr& expr, const Steps& steps);

  // calls.cc
  absl::Status StreamCall(const CallExpr& call, const Steps& steps, SeriesSink sink);
  // `id`: what is evaluated, mostly the function that is called.
  absl::Status StreamRangeCall(const CallExpr& call, FunctionId id, const Steps& steps,
                               SeriesSink sink);
  absl::Status StreamTimestamp(const Expr& arg, const Steps& steps, SeriesSink sink);
  absl::StatusOr<std::optional<Vector>> MakeCall(const CallExpr& call, const Steps& steps);
  absl::StatusOr<Vector> Absent(const CallExpr& call, const Steps& steps);
  absl::StatusOr<Vector> Relabel(const CallExpr& call, const Steps& steps);
  // The scalar arguments, in order.
  absl::StatusOr<std::vector<std::vector<double>>> ScalarArgs(const CallExpr& call,
                                                              const Steps& steps);

  // selector.cc
  absl::Status StreamVector(const SelectorExpr& vector, const Steps& steps, SeriesSink sink);
  absl::Status StreamMatrix(const SelectorExpr& matrix, const Steps& steps, FunctionId use,
                            RangeSink sink);
  absl::Status StreamSubquery(const SubqueryExpr& subquery, const Steps& steps, RangeSink sink);
  // IsStepInvariant, but in the parameter of an aggregation nothing is but timestamp's selector.
  bool IsInvariant(const Expr& expr) const;
  // start() and end() mean nothing in the parameter of an aggregation.
  bool HasAt(const TimeModifiers& when) const;
  // `steps` where `@` and offset say that they are to be looked at.
  Steps Shifted(const Steps& steps, const TimeModifiers& when) const;
  // What a selector reads for windows of `length_ms` that end at `times`.
  TimeRange RangeToRead(const Steps& times, int64_t length_ms, const TimeModifiers& when) const;
  // All series that match, by all workers. `length_ms`: the least time that is looked at, for the
  // warning about windows that are longer.
  absl::Status ForEachSeries(const std::vector<Matcher>& matchers, TimeRange range, FunctionId use,
                             int64_t length_ms, SetSink sink);
  void NoteResolution(Resolution resolution, int64_t length_ms);

  const Querier& querier_;
  const QueryOptions& options_;
  const TimeRange query_;
  Budget* const budget_;
  const int workers_;
  bool in_parameter_ = false;               // of an aggregation
  bool times_wanted_ = false;               // of a selector's samples, in seconds, not their values
  bool sorted_ = false;                     // series are wanted in the order of labels
  int64_t readable_until_ms_ = kMaxTimeMs;  // the time of a subquery with `@` that moves on

  std::atomic<uint64_t> series_read_{0};
  std::atomic<uint64_t> samples_read_{0};
  mutable Mutex mutex_;
  Resolution coarsest_ ABSL_GUARDED_BY(mutex_) = Resolution::kRaw;
  std::set<std::string> warnings_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_EVALUATOR_H_
