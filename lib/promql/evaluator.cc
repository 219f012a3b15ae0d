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
  // Asked once: it reads a file.
  static const int processors = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  return std::clamp(options.threads, 1, processors);
}

bool IsScalar(const ExprPtr& expr) { return expr->type == ValueType::kScalar; }

// Of the memory that a Vector takes besides its columns: an element, two blocks of the allocator.
size_t HeldBytes(const Labels& labels) {
  return sizeof(VectorSeries) + labels.canonical_bytes().size() + 24;
}

// Of an element of either operand while they are matched: its group, and labels of the result.
constexpr size_t kMatchBytes = 112;

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
  // Evaluated at the first step, and repeated.
  std::vector<std::vector<double>> columns(static_cast<size_t>(workers_));
  const uint64_t held = steps.count * columns.size();
  TINYOBS_RETURN_IF_ERROR(budget_->Take(held));
  const absl::Status status =
      StreamOnce(expr, {steps.start_ms, steps.step_ms, 1},
                 [&](int worker, const Labels& labels, std::span<double> values) {
                   std::vector<double>& column = columns[static_cast<size_t>(worker)];
                   column.assign(steps.count, values[0]);
                   return sink(worker, labels, column);
                 });
  budget_->GiveBack(held);
  return status;
}

bool Evaluator::IsInvariant(const Expr& expr) const {
  return (!in_parameter_ || times_wanted_) && IsStepInvariant(expr);
}

absl::Status Evaluator::StreamOnce(const Expr& expr, const Steps& steps, SeriesSink sink) {
  TINYOBS_RETURN_IF_ERROR(budget_->Check());
  TINYOBS_ASSIGN_OR_RETURN(std::optional<Vector> made, Make(expr, steps));
  if (made) return Push(*std::move(made), sink);
  switch (expr.kind) {
    case Expr::Kind::kParen:
      return StreamOnce(*expr.args[0], steps, sink);
    case Expr::Kind::kUnary:
      return StreamUnary(As<UnaryExpr>(expr), steps, sink);
    case Expr::Kind::kBinary:
      return StreamWithScalar(As<BinaryExpr>(expr), steps, sink);
    case Expr::Kind::kCall:
      return StreamCall(As<CallExpr>(expr), steps, sink);
    case Expr::Kind::kVector:
      return StreamVector(As<SelectorExpr>(expr), steps, sink);
    default:
      return absl::InternalError("an expression that is no instant vector");
  }
}

absl::StatusOr<std::optional<Vector>> Evaluator::Make(const Expr& expr, const Steps& steps) {
  switch (expr.kind) {
    case Expr::Kind::kNumber:
      return Unlabelled(std::vector<double>(steps.count, As<NumberExpr>(expr).value));
    case Expr::Kind::kAggregate:
      return Aggregate(As<AggregateExpr>(expr), steps);
    case Expr::Kind::kBinary:
      if (!As<BinaryExpr>(expr).matching) return std::nullopt;
      return VectorVector(As<BinaryExpr>(expr), steps);
    case Expr::Kind::kCall:
      return MakeCall(As<CallExpr>(expr), steps);
    default:
      return std::nullopt;
  }
}

absl::StatusOr<Vector> Evaluator::Unlabelled(std::vector<double> values) {
  TINYOBS_RETURN_IF_ERROR(budget_->Take(values.size()));
  Vector vector;
  vector.push_back({Labels(), std::move(values)});
  return vector;
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
  if (steps.count == 1 || (steps.count > 0 && !IsInvariant(inner))) {
    TINYOBS_RETURN_IF_ERROR(budget_->Check());
    TINYOBS_ASSIGN_OR_RETURN(std::optional<Vector> made, Make(inner, steps));
    if (made) {
      budget_->GiveBack(steps.count * std::erase_if(*made, [](const VectorSeries& series) {
                          return !AnyPresent(series.values);
                        }));
      return *std::move(made);
    }
  }
  std::vector<Vector> parts(static_cast<size_t>(workers_));
  TINYOBS_RETURN_IF_ERROR(
      Stream(inner, steps, [&](int worker, const Labels& labels, std::span<double> values) {
        TINYOBS_RETURN_IF_ERROR(budget_->Take(values.size()));
        TINYOBS_RETURN_IF_ERROR(budget_->TakeBytes(HeldBytes(labels)));
        parts[static_cast<size_t>(worker)].push_back({labels, {values.begin(), values.end()}});
        return absl::OkStatus();
      }));
  for (size_t i = 1; i < parts.size(); ++i) {
    std::move(parts[i].begin(), parts[i].end(), std::back_inserter(parts[0]));
  }
  return std::move(parts[0]);
}

absl::Status Evaluator::StreamNameless(const Expr& expr, const Steps& steps, ValueChange change,
                                       SeriesSink sink) {
  if (HasOneName(expr)) {
    return Stream(expr, steps, [&](int worker, const Labels& labels, std::span<double> values) {
      change(values);
      return AnyPresent(values) ? sink(worker, WithoutName(labels), values) : absl::OkStatus();
    });
  }
  TINYOBS_ASSIGN_OR_RETURN(Vector vector, Collect(expr, steps));
  for (VectorSeries& series : vector) {
    change(series.values);
    series.labels = WithoutName(series.labels);
  }
  TINYOBS_RETURN_IF_ERROR(MergeSameLabels(&vector, budget_));
  return Push(std::move(vector), sink);
}

absl::Status Evaluator::StreamUnary(const UnaryExpr& unary, const Steps& steps, SeriesSink sink) {
  if (!unary.negative) return Stream(*unary.args[0], steps, sink);
  const bool unique = HasOneName(*unary.args[0]);
  SameLabelsCheck check;
  return Stream(*unary.args[0], steps,
                [&](int worker, const Labels& labels, std::span<double> values) {
                  const Labels nameless = WithoutName(labels);
                  if (!unique) TINYOBS_RETURN_IF_ERROR(check.Add(nameless));
                  for (double& value : values) {
                    if (!IsAbsent(value)) value = -value;
                  }
                  return sink(worker, nameless, values);
                });
}

absl::Status Evaluator::StreamWithScalar(const BinaryExpr& binary, const Steps& steps,
                                         SeriesSink sink) {
  const bool scalar_on_left = IsScalar(binary.args[0]);
  const Expr& vector = *binary.args[scalar_on_left ? 1 : 0];
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<double> scalar,
                           Scalar(*binary.args[scalar_on_left ? 0 : 1], steps));
  const auto change = [&](std::span<double> values) {
    ApplyColumns(binary.op, binary.return_bool, scalar_on_left, /*keep_other=*/false, scalar,
                 values);
  };
  if (DropsName(binary.op, binary.return_bool)) {
    return StreamNameless(vector, steps, change, sink);
  }
  return Stream(vector, steps, [&](int worker, const Labels& labels, std::span<double> values) {
    change(values);
    return AnyPresent(values) ? sink(worker, labels, values) : absl::OkStatus();
  });
}

absl::StatusOr<Vector> Evaluator::VectorVector(const BinaryExpr& binary, const Steps& steps) {
  TINYOBS_ASSIGN_OR_RETURN(Vector left, Collect(*binary.args[0], steps));
  TINYOBS_ASSIGN_OR_RETURN(Vector right, Collect(*binary.args[1], steps));
  const size_t bytes = (left.size() + right.size()) * kMatchBytes;
  TINYOBS_RETURN_IF_ERROR(budget_->TakeBytes(bytes));
  auto result = ApplyVectorVector(binary, steps, std::move(left), std::move(right), budget_);
  budget_->GiveBackBytes(bytes);
  return result;
}

absl::StatusOr<Vector> Evaluator::Aggregate(const AggregateExpr& aggregate, const Steps& steps) {
  std::vector<double> parameter;
  std::string label;
  if (aggregate.op == AggregateOp::kCountValues) {
    label = TextOf(*aggregate.args[0]);
  } else if (HasParameter(aggregate.op)) {
    const bool outer = std::exchange(in_parameter_, true);
    auto values = Scalar(*aggregate.args[0], steps);
    in_parameter_ = outer;
    TINYOBS_ASSIGN_OR_RETURN(parameter, std::move(values));
  }
  TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<Aggregation> groups,
                           Aggregation::Create(aggregate, steps, std::move(parameter),
                                               std::move(label), workers_, budget_));
  // Which of equal values these choose depends on the order, also of what is aggregated for them.
  const bool outer = sorted_;
  sorted_ |= aggregate.op == AggregateOp::kTopK || aggregate.op == AggregateOp::kBottomK;
  const absl::Status status =
      Stream(*aggregate.args.back(), steps,
             [&](int worker, const Labels& labels, std::span<double> values) {
               return groups->Add(worker, labels, values);
             });
  sorted_ = outer;
  TINYOBS_RETURN_IF_ERROR(status);
  return groups->Finish();
}

absl::StatusOr<std::vector<double>> Evaluator::Scalar(const Expr& expr, const Steps& steps) {
  TINYOBS_ASSIGN_OR_RETURN(Vector vector, Collect(expr, steps));
  if (vector.empty()) return std::vector<double>();  // of no steps
  // Scalars are one column each and short-lived: enough that there was room for one.
  budget_->GiveBack(steps.count);
  return std::move(vector[0].values);
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
