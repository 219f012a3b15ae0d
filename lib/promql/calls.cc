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

std::vector<std::span<const double>> SpansOf(const std::vector<std::vector<double>>& columns) {
  return {columns.begin(), columns.end()};
}

// One series without labels.
Vector Unlabelled(std::vector<double> values) {
  Vector vector;
  vector.push_back({Labels(), std::move(values)});
  return vector;
}

std::vector<double> TimeColumn(const Steps& steps) {
  std::vector<double> times(steps.count);
  for (size_t i = 0; i < steps.count; ++i) times[i] = static_cast<double>(steps.At(i)) / 1000;
  return times;
}

// The matchers of a selector, none of anything else.
std::span<const Matcher> MatchersOf(const Expr& arg) {
  const Expr& inner = Unwrapped(arg);
  if (inner.kind == Expr::Kind::kVector) return As<VectorExpr>(inner).matchers;
  if (inner.kind == Expr::Kind::kMatrix) return As<MatrixExpr>(inner).vector->matchers;
  return {};
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

absl::StatusOr<std::vector<double>> Evaluator::ScalarCall(const CallExpr& call,
                                                          const Steps& steps) {
  switch (call.function->id) {
    case FunctionId::kTime:
      return TimeColumn(steps);
    case FunctionId::kPi:
      return std::vector<double>(steps.count, M_PI);
    default: {  // scalar()
      TINYOBS_ASSIGN_OR_RETURN(const Vector vector, Collect(*call.args[0], steps));
      std::vector<double> values(steps.count);
      ScalarOfVector(vector, values);
      budget_->GiveBack(vector.size() * steps.count);
      return values;
    }
  }
}

absl::Status Evaluator::StreamCall(const CallExpr& call, const Steps& steps, SeriesSink sink) {
  const FunctionId id = call.function->id;
  if (IsRangeFunction(id)) return StreamRangeCall(call, steps, sink);
  switch (id) {
    case FunctionId::kTimestamp:
      return StreamTimestamp(*call.args[0], steps, sink);
    default:
      return StreamElementCall(call, steps, sink);
  }
}

absl::Status Evaluator::StreamElementCall(const CallExpr& call, const Steps& steps,
                                          SeriesSink sink) {
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<std::vector<double>> columns, ScalarArgs(call, steps));
  const std::vector<std::span<const double>> args = SpansOf(columns);
  const Expr& vector = ArgOfType(call, ValueType::kInstantVector);
  return StreamNameless(
      HasOneName(vector), [&](SeriesSink to) { return Stream(vector, steps, to); },
      [&](std::span<double> values) { ApplyElementFunction(call.function->id, args, values); },
      sink);
}

absl::Status Evaluator::StreamTimestamp(const Expr& arg, const Steps& steps, SeriesSink sink) {
  const Expr& inner = Unwrapped(arg);
  if (inner.kind != Expr::Kind::kVector) {
    const auto set_time = [&](std::span<double> values) {
      for (size_t i = 0; i < values.size(); ++i) {
        if (!IsAbsent(values[i])) values[i] = static_cast<double>(steps.At(i)) / 1000;
      }
    };
    return StreamNameless(
        HasOneName(inner), [&](SeriesSink to) { return Stream(inner, steps, to); }, set_time, sink);
  }
  const auto& vector = As<VectorExpr>(inner);
  const bool invariant = IsStepInvariant(vector);
  const Steps looked_at{steps.start_ms, steps.step_ms, invariant ? 1 : steps.count};
  const auto read = [&](SeriesSink to) {
    return StreamVector(vector, looked_at, Content::kTime, to);
  };
  return StreamNameless(
      HasOneName(vector),
      [&](SeriesSink to) { return invariant ? Repeat(steps, read, to) : read(to); },
      [](std::span<double>) {}, sink);
}

absl::Status Evaluator::EvalRangeAtAnyResolution(FunctionId id, const RangeInput& input,
                                                 std::span<const std::span<const double>> args,
                                                 RangeScratch* scratch, std::span<double> out) {
  if (input.downsampled_ms == 0) return EvalRange(id, input, args, scratch, out);
  const FunctionId function = FunctionOverWindows(id);
  TINYOBS_RETURN_IF_ERROR(EvalRange(function, input, args, scratch, out));
  RangeInput wide = input;
  std::vector<double> values(out.size());
  for (const Resolution resolution : {Resolution::kFiveMinutes, Resolution::kOneHour}) {
    for (const int windows : {1, 2}) {
      wide.range_ms = windows * ResolutionMs(resolution);
      if (ResolutionMs(resolution) > input.downsampled_ms || wide.range_ms <= input.range_ms) {
        continue;
      }
      TINYOBS_RETURN_IF_ERROR(EvalRange(function, wide, args, scratch, values));
      const double scale = GrowsWithRange(id) ? static_cast<double>(input.range_ms) /
                                                    static_cast<double>(wide.range_ms)
                                              : 1;
      for (size_t i = 0; i < out.size(); ++i) {
        if (IsAbsent(out[i]) && !IsAbsent(values[i])) out[i] = values[i] * scale;
      }
    }
  }
  return absl::OkStatus();
}

absl::Status Evaluator::StreamRangeCall(const CallExpr& call, const Steps& steps, SeriesSink sink) {
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<std::vector<double>> columns, ScalarArgs(call, steps));
  const std::vector<std::span<const double>> args = SpansOf(columns);
  const Expr& ranges = ArgOfType(call, ValueType::kRangeVector);
  const FunctionId id = call.function->id;
  const bool keeps_name = KeepsName(id);
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
        if (std::all_of(worker.out.begin(), worker.out.end(), IsAbsent)) return absl::OkStatus();
        if (keeps_name) return sink(index, labels, worker.out);
        const Labels nameless = WithoutName(labels);
        if (!unique) TINYOBS_RETURN_IF_ERROR(check.Add(nameless));
        return sink(index, nameless, worker.out);
      });
  budget_->GiveBack(held);
  return status;
}

bool Evaluator::CallIsMadeWhole(const CallExpr& call) {
  switch (call.function->id) {
    case FunctionId::kAbsent:
    case FunctionId::kAbsentOverTime:
    case FunctionId::kHistogramQuantile:
    case FunctionId::kLabelJoin:
    case FunctionId::kLabelReplace:
    case FunctionId::kSort:
    case FunctionId::kSortDesc:
    case FunctionId::kVector:
      return true;
    default:
      return call.args.empty();  // hour() and its like
  }
}

absl::StatusOr<Vector> Evaluator::MakeCall(const CallExpr& call, const Steps& steps) {
  switch (call.function->id) {
    case FunctionId::kAbsent:
    case FunctionId::kAbsentOverTime:
      return Absent(call, steps);
    case FunctionId::kHistogramQuantile: {
      TINYOBS_ASSIGN_OR_RETURN(const std::vector<double> phi, Scalar(*call.args[0], steps));
      TINYOBS_ASSIGN_OR_RETURN(Vector buckets, Collect(*call.args[1], steps));
      const size_t series = buckets.size();
      TINYOBS_ASSIGN_OR_RETURN(Vector quantiles, HistogramQuantile(phi, std::move(buckets)));
      budget_->GiveBack((series - std::min(series, quantiles.size())) * steps.count);
      return quantiles;
    }
    case FunctionId::kLabelJoin:
    case FunctionId::kLabelReplace:
      return Relabel(call, steps);
    case FunctionId::kSort:
    case FunctionId::kSortDesc: {
      TINYOBS_ASSIGN_OR_RETURN(Vector vector, Collect(*call.args[0], steps));
      // Series that have values at many steps are in no order of values.
      if (steps.count == 1) SortByValue(call.function->id == FunctionId::kSortDesc, &vector);
      return vector;
    }
    default:
      break;
  }
  TINYOBS_RETURN_IF_ERROR(budget_->Take(steps.count));
  if (call.function->id == FunctionId::kVector) {
    TINYOBS_ASSIGN_OR_RETURN(std::vector<double> values, Scalar(*call.args[0], steps));
    return Unlabelled(std::move(values));
  }
  std::vector<double> values = TimeColumn(steps);
  ApplyElementFunction(call.function->id, {}, values);
  return Unlabelled(std::move(values));
}

absl::StatusOr<Vector> Evaluator::Absent(const CallExpr& call, const Steps& steps) {
  const Expr& arg = *call.args[0];
  std::vector<std::vector<char>> present(static_cast<size_t>(workers_));
  const auto see = [&](int worker, std::span<const double> values) {
    std::vector<char>& steps_seen = present[static_cast<size_t>(worker)];
    steps_seen.resize(steps.count);
    for (size_t i = 0; i < steps.count; ++i) steps_seen[i] |= !IsAbsent(values[i]);
    return absl::OkStatus();
  };
  if (call.function->id == FunctionId::kAbsent) {
    TINYOBS_RETURN_IF_ERROR(Stream(
        arg, steps,
        [&](int worker, const Labels&, std::span<double> values) { return see(worker, values); }));
  } else {
    constexpr FunctionId present_id = FunctionId::kPresentOverTime;
    std::vector<std::vector<double>> columns(static_cast<size_t>(workers_));
    TINYOBS_RETURN_IF_ERROR(StreamRanges(
        arg, steps, present_id, [&](int worker, const Labels&, const RangeInput& input) {
          std::vector<double>& column = columns[static_cast<size_t>(worker)];
          column.resize(steps.count);
          RangeScratch scratch;
          TINYOBS_RETURN_IF_ERROR(
              EvalRangeAtAnyResolution(present_id, input, {}, &scratch, column));
          return see(worker, column);
        }));
  }
  TINYOBS_RETURN_IF_ERROR(budget_->Take(steps.count));
  Vector vector = Unlabelled(std::vector<double>(steps.count, 1));
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
  Vector vector;
  if (call.function->id == FunctionId::kLabelReplace) {
    TINYOBS_ASSIGN_OR_RETURN(const LabelReplacer replacer,
                             LabelReplacer::Create(texts[0], texts[1], texts[2], texts[3]));
    TINYOBS_ASSIGN_OR_RETURN(vector, Collect(*call.args[0], steps));
    for (VectorSeries& series : vector) {
      TINYOBS_ASSIGN_OR_RETURN(series.labels, replacer.Apply(series.labels));
    }
  } else {
    const std::span<const std::string> sources = std::span(texts).subspan(2);
    TINYOBS_RETURN_IF_ERROR(CheckLabelJoin(texts[0], sources));
    TINYOBS_ASSIGN_OR_RETURN(vector, Collect(*call.args[0], steps));
    for (VectorSeries& series : vector) {
      TINYOBS_ASSIGN_OR_RETURN(series.labels,
                               JoinLabels(series.labels, texts[0], texts[1], sources));
    }
  }
  TINYOBS_RETURN_IF_ERROR(MergeSameLabels(&vector, budget_));
  return vector;
}

}  // namespace tinyobs::promql
