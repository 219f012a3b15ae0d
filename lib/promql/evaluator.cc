#include "lib/promql/evaluator.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/promql/aggregation.h"
#include "lib/promql/binary.h"
#include "lib/promql/expr_facts.h"
#include "lib/promql/functions.h"
#include "lib/promql/label_sets.h"
#include "lib/promql/same_labels.h"

namespace tinyobs::promql {

namespace {

int WorkersFor(const QueryOptions& options) {
  const int processors = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return std::clamp(options.threads, 1, processors);
}

bool IsScalar(const ExprPtr& expr) { return expr->type == ValueType::kScalar; }

bool AnyPresent(std::span<const double> values) {
  return !std::all_of(values.begin(), values.end(), IsAbsent);
}

// Of the memory that a Vector takes besides its columns.
size_t HeldBytes(const Labels& labels) {
  return sizeof(VectorSeries) + labels.canonical_bytes().size();
}

}  // namespace

Evaluator::Evaluator(const Querier& querier, const QueryOptions& options, TimeRange query,
                     Budget* budget)
    : querier_(querier),
      options_(options),
      query_(query),
      budget_(budget),
      workers_(WorkersFor(options)) {}

absl::Status Evaluator::Stream(const Expr& expr, const Steps& steps, SeriesSink sink) {
  if (steps.count == 0) return absl::OkStatus();
  if (steps.count == 1 || !IsInvariant(expr)) return StreamOnce(expr, steps, sink);
  const Steps first{steps.start_ms, steps.step_ms, 1};
  return Repeat(
      steps, [&](SeriesSink once) { return StreamOnce(expr, first, once); }, sink);
}

bool Evaluator::IsInvariant(const Expr& expr) const {
  return !in_parameter_ && IsStepInvariant(expr);
}

absl::Status Evaluator::Repeat(const Steps& steps, Source evaluate, SeriesSink sink) {
  std::vector<std::vector<double>> columns(static_cast<size_t>(workers_));
  const uint64_t held = steps.count * columns.size();
  TINYOBS_RETURN_IF_ERROR(budget_->Take(held));
  const absl::Status status =
      evaluate([&](int worker, const Labels& labels, std::span<double> values) {
        std::vector<double>& column = columns[static_cast<size_t>(worker)];
        column.assign(steps.count, values[0]);
        return sink(worker, labels, std::span<double>(column));
      });
  budget_->GiveBack(held);
  return status;
}

absl::Status Evaluator::StreamOnce(const Expr& expr, const Steps& steps, SeriesSink sink) {
  TINYOBS_RETURN_IF_ERROR(budget_->Check());
  if (expr.type == ValueType::kScalar) {
    TINYOBS_ASSIGN_OR_RETURN(std::vector<double> values, Scalar(expr, steps));
    return sink(0, Labels(), std::span<double>(values));
  }
  if (IsMadeWhole(expr)) {
    TINYOBS_ASSIGN_OR_RETURN(Vector vector, Make(expr, steps));
    return Push(std::move(vector), sink);
  }
  switch (expr.kind) {
    case Expr::Kind::kParen:
      return StreamOnce(*As<ParenExpr>(expr).inner, steps, sink);
    case Expr::Kind::kUnary:
      return StreamUnary(As<UnaryExpr>(expr), steps, sink);
    case Expr::Kind::kBinary:
      return StreamVectorScalar(As<BinaryExpr>(expr), steps, sink);
    case Expr::Kind::kCall:
      return StreamCall(As<CallExpr>(expr), steps, sink);
    case Expr::Kind::kVector:
      return StreamVector(As<VectorExpr>(expr), steps, Content::kValue, sink);
    default:
      return absl::InternalError("an expression that is no instant vector");
  }
}

bool Evaluator::IsMadeWhole(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::kAggregate:
      return true;
    case Expr::Kind::kBinary:
      return As<BinaryExpr>(expr).matching.has_value();
    case Expr::Kind::kCall:
      return CallIsMadeWhole(As<CallExpr>(expr));
    default:
      return false;
  }
}

absl::StatusOr<Vector> Evaluator::Make(const Expr& expr, const Steps& steps) {
  switch (expr.kind) {
    case Expr::Kind::kAggregate:
      return Aggregate(As<AggregateExpr>(expr), steps);
    case Expr::Kind::kBinary:
      return VectorVector(As<BinaryExpr>(expr), steps);
    default:
      return MakeCall(As<CallExpr>(expr), steps);
  }
}

absl::Status Evaluator::Push(Vector vector, SeriesSink sink) {
  for (VectorSeries& series : vector) {
    TINYOBS_RETURN_IF_ERROR(budget_->Check());
    if (AnyPresent(series.values)) TINYOBS_RETURN_IF_ERROR(sink(0, series.labels, series.values));
    budget_->GiveBack(series.values.size());
    series.values = {};
  }
  return absl::OkStatus();
}

absl::StatusOr<Vector> Evaluator::Collect(const Expr& expr, const Steps& steps) {
  const Expr& inner = Unwrapped(expr);
  if (IsMadeWhole(inner) && steps.count > 0 && (steps.count == 1 || !IsInvariant(inner))) {
    TINYOBS_RETURN_IF_ERROR(budget_->Check());
    TINYOBS_ASSIGN_OR_RETURN(Vector vector, Make(inner, steps));
    std::erase_if(vector, [this](const VectorSeries& series) {
      if (AnyPresent(series.values)) return false;
      budget_->GiveBack(series.values.size());
      return true;
    });
    return vector;
  }
  return CollectFrom([&](SeriesSink sink) { return Stream(inner, steps, sink); });
}

absl::StatusOr<Vector> Evaluator::CollectFrom(Source source) {
  std::vector<Vector> parts(static_cast<size_t>(workers_));
  TINYOBS_RETURN_IF_ERROR(source([&](int worker, const Labels& labels, std::span<double> values) {
    TINYOBS_RETURN_IF_ERROR(budget_->Take(values.size()));
    TINYOBS_RETURN_IF_ERROR(budget_->TakeBytes(HeldBytes(labels)));
    parts[static_cast<size_t>(worker)].push_back({labels, {values.begin(), values.end()}});
    return absl::OkStatus();
  }));
  Vector all = std::move(parts[0]);
  for (size_t i = 1; i < parts.size(); ++i) {
    std::move(parts[i].begin(), parts[i].end(), std::back_inserter(all));
  }
  return all;
}

absl::Status Evaluator::StreamNameless(bool one_name, Source source, ValueChange change,
                                       SeriesSink sink) {
  if (one_name) {
    return source([&](int worker, const Labels& labels, std::span<double> values) {
      change(values);
      return AnyPresent(values) ? sink(worker, WithoutName(labels), values) : absl::OkStatus();
    });
  }
  TINYOBS_ASSIGN_OR_RETURN(Vector vector, CollectFrom(source));
  for (VectorSeries& series : vector) {
    change(series.values);
    series.labels = WithoutName(series.labels);
  }
  TINYOBS_RETURN_IF_ERROR(MergeSameLabels(&vector, budget_));
  return Push(std::move(vector), sink);
}

absl::Status Evaluator::StreamUnary(const UnaryExpr& unary, const Steps& steps, SeriesSink sink) {
  if (!unary.negative) return Stream(*unary.inner, steps, sink);
  const bool unique = HasOneName(*unary.inner);
  SameLabelsCheck check;
  return Stream(*unary.inner, steps,
                [&](int worker, const Labels& labels, std::span<double> values) {
                  const Labels nameless = WithoutName(labels);
                  if (!unique) TINYOBS_RETURN_IF_ERROR(check.Add(nameless));
                  for (double& value : values) {
                    if (!IsAbsent(value)) value = -value;
                  }
                  return sink(worker, nameless, values);
                });
}

absl::Status Evaluator::StreamVectorScalar(const BinaryExpr& binary, const Steps& steps,
                                           SeriesSink sink) {
  const bool scalar_on_left = IsScalar(binary.lhs);
  const Expr& vector = scalar_on_left ? *binary.rhs : *binary.lhs;
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<double> scalar,
                           Scalar(scalar_on_left ? *binary.lhs : *binary.rhs, steps));
  const auto change = [&](std::span<double> values) {
    ApplyVectorScalar(binary.op, binary.return_bool, scalar_on_left, scalar, values);
  };
  const auto source = [&](SeriesSink to) { return Stream(vector, steps, to); };
  if (DropsName(binary.op, binary.return_bool)) {
    return StreamNameless(HasOneName(vector), source, change, sink);
  }
  return source([&](int worker, const Labels& labels, std::span<double> values) {
    change(values);
    return AnyPresent(values) ? sink(worker, labels, values) : absl::OkStatus();
  });
}

absl::StatusOr<Vector> Evaluator::VectorVector(const BinaryExpr& binary, const Steps& steps) {
  TINYOBS_ASSIGN_OR_RETURN(Vector left, Collect(*binary.lhs, steps));
  TINYOBS_ASSIGN_OR_RETURN(Vector right, Collect(*binary.rhs, steps));
  return ApplyVectorVector(binary, steps, std::move(left), std::move(right), budget_);
}

absl::StatusOr<Vector> Evaluator::Aggregate(const AggregateExpr& aggregate, const Steps& steps) {
  std::vector<double> parameter;
  std::string label;
  if (aggregate.op == AggregateOp::kCountValues) {
    label = TextOf(*aggregate.parameter);
  } else if (aggregate.parameter != nullptr) {
    const bool outer = std::exchange(in_parameter_, true);
    auto values = Scalar(*aggregate.parameter, steps);
    in_parameter_ = outer;
    TINYOBS_ASSIGN_OR_RETURN(parameter, std::move(values));
  }
  TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<Aggregation> groups,
                           Aggregation::Create(aggregate, steps, std::move(parameter),
                                               std::move(label), workers_, budget_));
  // Which of equal values these choose depends on the order, also of what is aggregated for them.
  const bool outer = sorted_;
  sorted_ |= aggregate.op == AggregateOp::kTopK || aggregate.op == AggregateOp::kBottomK;
  const absl::Status status = Stream(
      *aggregate.inner, steps, [&](int worker, const Labels& labels, std::span<double> values) {
        return groups->Add(worker, labels, values);
      });
  sorted_ = outer;
  TINYOBS_RETURN_IF_ERROR(status);
  return groups->Finish();
}

absl::StatusOr<std::vector<double>> Evaluator::Scalar(const Expr& expr, const Steps& steps) {
  // Scalars are one column each and short-lived: enough that there is room for one.
  TINYOBS_RETURN_IF_ERROR(budget_->Take(steps.count));
  budget_->GiveBack(steps.count);
  if (steps.count > 1 && IsInvariant(expr)) {
    TINYOBS_ASSIGN_OR_RETURN(const std::vector<double> one,
                             Scalar(expr, {steps.start_ms, steps.step_ms, 1}));
    return std::vector<double>(steps.count, one[0]);
  }
  switch (expr.kind) {
    case Expr::Kind::kNumber:
      return std::vector<double>(steps.count, As<NumberExpr>(expr).value);
    case Expr::Kind::kParen:
      return Scalar(*As<ParenExpr>(expr).inner, steps);
    case Expr::Kind::kUnary: {
      const auto& unary = As<UnaryExpr>(expr);
      TINYOBS_ASSIGN_OR_RETURN(std::vector<double> values, Scalar(*unary.inner, steps));
      if (unary.negative) {
        for (double& value : values) value = -value;
      }
      return values;
    }
    case Expr::Kind::kBinary: {
      const auto& binary = As<BinaryExpr>(expr);
      TINYOBS_ASSIGN_OR_RETURN(std::vector<double> left, Scalar(*binary.lhs, steps));
      TINYOBS_ASSIGN_OR_RETURN(const std::vector<double> right, Scalar(*binary.rhs, steps));
      for (size_t i = 0; i < left.size(); ++i) left[i] = ApplyScalar(binary.op, left[i], right[i]);
      return left;
    }
    case Expr::Kind::kCall:
      return ScalarCall(As<CallExpr>(expr), steps);
    default:
      return absl::InternalError("an expression that is no scalar");
  }
}

QueryStats Evaluator::stats() const {
  MutexLock lock(&mutex_);
  return {.series_read = series_read_.load(),
          .samples_read = samples_read_.load(),
          .peak_samples = budget_->peak_samples(),
          .coarsest = coarsest_};
}

std::vector<std::string> Evaluator::warnings() const {
  MutexLock lock(&mutex_);
  return {warnings_.begin(), warnings_.end()};
}

}  // namespace tinyobs::promql
