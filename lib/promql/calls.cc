// Function calls: which arguments are evaluated how, and what becomes of their series. What the
// functions compute is in range_functions.h and vector_functions.h.
#include <algorithm>
#include <iterator>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/promql/downsampled.h"
#include "lib/promql/evaluator.h"
#include "lib/promql/expr_facts.h"
#include "lib/promql/functions.h"
#include "lib/promql/label_sets.h"
#include "lib/promql/range_functions.h"
#include "lib/promql/same_labels.h"
#include "lib/promql/vector_functions.h"

namespace tinyobs::promql {

namespace {

const Expr& ArgOfType(const CallExpr& call, ValueType type) {
  return **std::find_if(call.args.begin(), call.args.end(),
                        [type](const ExprPtr& arg) { return arg->type == type; });
}

std::vector<double> TimeColumn(const Steps& steps) {
  std::vector<double> times(steps.count);
  for (size_t i = 0; i < steps.count; ++i) times[i] = static_cast<double>(steps.At(i)) / 1000;
  return times;
}

// The matchers of a selector, none of anything else.
std::span<const Matcher> MatchersOf(const Expr& arg) {
  const Expr& inner = Unwrapped(arg);
  const bool selects = inner.kind == Expr::Kind::kVector || inner.kind == Expr::Kind::kMatrix;
  return selects ? std::span(As<SelectorExpr>(inner).matchers) : std::span<const Matcher>();
}

}  // namespace

absl::StatusOr<std::vector<std::vector<double>>> Evaluator::ScalarArgs(const CallExpr& call,
                                                                       const Steps& steps) {
  std::vector<std::vector<double>> columns;
  for (const ExprPtr& arg : call.args) {
    if (arg->type != ValueType::kScalar) continue;
    TINYOBS_ASSIGN_OR_RETURN(std::vector<double> values, Scalar(*arg, steps));
    columns.push_back(std::move(values));
  }
  return columns;
}

absl::Status Evaluator::StreamCall(const CallExpr& call, const Steps& steps, SeriesSink sink) {
  const FunctionId id = call.function->id;
  if (IsRangeFunction(id)) return StreamRangeCall(call, id, steps, sink);
  if (id == IdOf("timestamp")) return StreamTimestamp(*call.args[0], steps, sink);
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<std::vector<double>> columns, ScalarArgs(call, steps));
  const std::vector<std::span<const double>> args(columns.begin(), columns.end());
  return StreamNameless(
      ArgOfType(call, ValueType::kInstantVector), steps,
      [&](std::span<double> values) { ApplyElementFunction(id, args, values); }, sink);
}

absl::Status Evaluator::StreamTimestamp(const Expr& arg, const Steps& steps, SeriesSink sink) {
  const Expr& inner = Unwrapped(arg);
  const bool of_samples = inner.kind == Expr::Kind::kVector;
  const bool outer = std::exchange(times_wanted_, of_samples);
  const absl::Status status = StreamNameless(
      inner, steps,
      [&](std::span<double> values) {
        for (size_t i = 0; i < values.size() && !of_samples; ++i) {
          if (!IsAbsent(values[i])) values[i] = static_cast<double>(steps.At(i)) / 1000;
        }
      },
      sink);
  times_wanted_ = outer;
  return status;
}

absl::Status Evaluator::StreamRangeCall(const CallExpr& call, FunctionId id, const Steps& steps,
                                        SeriesSink sink) {
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<std::vector<double>> columns, ScalarArgs(call, steps));
  const std::vector<std::span<const double>> args(columns.begin(), columns.end());
  const Expr& ranges = ArgOfType(call, ValueType::kRangeVector);
  const bool keeps_name = id == IdOf("last_over_time") || id != call.function->id;
  const bool unique = keeps_name || HasOneName(ranges);
  SameLabelsCheck check;
  struct Worker {
    RangeScratch scratch;
    std::vector<double> out;
  };
  std::vector<Worker> workers(static_cast<size_t>(workers_));
  const uint64_t held = steps.count * workers.size();
  TINYOBS_RETURN_IF_ERROR(budget_->Take(held));
  const absl::Status status = StreamRanges(
      ranges, steps, id, [&](int index, const Labels& labels, const RangeInput& input) {
        Worker& worker = workers[static_cast<size_t>(index)];
        worker.out.resize(steps.count);
        TINYOBS_RETURN_IF_ERROR(
            EvalRangeAtAnyResolution(id, input, args, &worker.scratch, worker.out));
        if (!AnyPresent(worker.out)) return absl::OkStatus();
        if (keeps_name) return sink(index, labels, worker.out);
        const Labels nameless = WithoutName(labels);
        if (!unique) TINYOBS_RETURN_IF_ERROR(check.Add(nameless));
        return sink(index, nameless, worker.out);
      });
  budget_->GiveBack(held);
  return status;
}

absl::StatusOr<std::optional<Vector>> Evaluator::MakeCall(const CallExpr& call,
                                                          const Steps& steps) {
  switch (call.function->id) {
    case IdOf("absent"):
    case IdOf("absent_over_time"):
      return Absent(call, steps);
    case IdOf("histogram_quantile"): {
      TINYOBS_ASSIGN_OR_RETURN(const std::vector<double> phi, Scalar(*call.args[0], steps));
      TINYOBS_ASSIGN_OR_RETURN(Vector buckets, Collect(*call.args[1], steps));
      const size_t series = buckets.size();
      Vector quantiles = HistogramQuantile(phi, std::move(buckets));
      budget_->GiveBack((series - std::min(series, quantiles.size())) * steps.count);
      return quantiles;
    }
    case IdOf("label_join"):
    case IdOf("label_replace"):
      return Relabel(call, steps);
    case IdOf("sort"):
    case IdOf("sort_desc"): {
      TINYOBS_ASSIGN_OR_RETURN(Vector vector, Collect(*call.args[0], steps));
      // Series that have values at many steps are in no order of values.
      if (steps.count == 1) SortByValue(call.function->id == IdOf("sort_desc"), &vector);
      return vector;
    }
    case IdOf("scalar"): {
      TINYOBS_ASSIGN_OR_RETURN(const Vector vector, Collect(*call.args[0], steps));
      std::vector<double> values(steps.count);
      ScalarOfVector(vector, values);
      budget_->GiveBack(vector.size() * steps.count);
      return Unlabelled(std::move(values));
    }
    case IdOf("vector"):
      return Collect(*call.args[0], steps);
    case IdOf("pi"):
      return Unlabelled(std::vector<double>(steps.count, M_PI));
    default:
      break;
  }
  if (!call.args.empty()) return std::nullopt;
  // time(), and hour() and its like.
  std::vector<double> values = TimeColumn(steps);
  if (IsElementFunction(call.function->id)) {
    ApplyElementFunction(call.function->id, {}, values);
  }
  return Unlabelled(std::move(values));
}

absl::StatusOr<Vector> Evaluator::Absent(const CallExpr& call, const Steps& steps) {
  const Expr& arg = *call.args[0];
  std::vector<std::vector<char>> present(static_cast<size_t>(workers_));
  const auto see = [&](int worker, const Labels&, std::span<double> values) {
    std::vector<char>& steps_seen = present[static_cast<size_t>(worker)];
    steps_seen.resize(steps.count);
    for (size_t i = 0; i < steps.count; ++i) steps_seen[i] |= !IsAbsent(values[i]);
    return absl::OkStatus();
  };
  TINYOBS_RETURN_IF_ERROR(call.function->id == IdOf("absent")
                              ? Stream(arg, steps, see)
                              : StreamRangeCall(call, IdOf("present_over_time"), steps, see));
  TINYOBS_ASSIGN_OR_RETURN(Vector vector, Unlabelled(std::vector<double>(steps.count, 1)));
  for (const std::vector<char>& steps_seen : present) {
    for (size_t i = 0; i < steps_seen.size(); ++i) {
      if (steps_seen[i]) vector[0].values[i] = promql::Absent();
    }
  }
  vector[0].labels = AbsentLabels(MatchersOf(arg));
  return vector;
}

absl::StatusOr<Vector> Evaluator::Relabel(const CallExpr& call, const Steps& steps) {
  std::vector<std::string> texts;
  for (auto arg = std::next(call.args.begin()); arg != call.args.end(); ++arg) {
    texts.push_back(TextOf(**arg));
  }
  TINYOBS_ASSIGN_OR_RETURN(Vector vector, Collect(*call.args[0], steps));
  const auto relabel = call.function->id == IdOf("label_replace") ? LabelReplace : LabelJoin;
  TINYOBS_RETURN_IF_ERROR(relabel(texts, &vector));
  TINYOBS_RETURN_IF_ERROR(MergeSameLabels(&vector, budget_));
  return vector;
}

}  // namespace tinyobs::promql
