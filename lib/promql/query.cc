// Query and QueryRange: parse, evaluate, and put the answer in its order.
#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/promql/evaluator.h"
#include "lib/promql/expr_facts.h"
#include "lib/promql/functions.h"
#include "lib/promql/parser.h"
#include "lib/promql/window_bounds.h"
#include "tinyobs/promql.h"

namespace tinyobs {

namespace {

using promql::Budget;
using promql::Evaluator;
using promql::Expr;
using promql::IsAbsent;
using promql::Steps;
using promql::ValueType;
using promql::Vector;
using promql::VectorSeries;

absl::Status CheckTime(int64_t time_ms) {
  if (time_ms == promql::ClampTime(time_ms)) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("time ", time_ms, " ms is out of bounds: at most ",
                                           promql::kMaxTimeMs, " ms from the epoch"));
}

template <typename Series>
void SortByLabels(std::vector<Series>* series) {
  const auto less = [](const Series& a, const Series& b) { return a.labels < b.labels; };
  if (!std::is_sorted(series->begin(), series->end(), less)) {
    std::sort(series->begin(), series->end(), less);
  }
}

class Evaluation {
 public:
  Evaluation(const Querier& querier, const QueryOptions& options, TimeRange query)
      : budget_(&options, querier.query_memory()),
        evaluator_(querier, options, query, &budget_),
        parts_(static_cast<size_t>(evaluator_.workers())) {}

  absl::Status Instant(const Expr& expr, int64_t time_ms);
  absl::Status Range(const Expr& expr, const Steps& steps);
  // After one of them.
  QueryResult Result();

 private:
  // One more series of a matrix, of the values that are there.
  absl::Status Add(int worker, const Labels& labels, std::span<const int64_t> times_ms,
                   std::span<const double> values);

  Budget budget_;
  Evaluator evaluator_;
  QueryResult result_;
  std::vector<std::vector<SeriesSamples>> parts_;  // of a matrix, by worker
};

absl::Status Evaluation::Add(int worker, const Labels& labels, std::span<const int64_t> times_ms,
                             std::span<const double> values) {
  const auto absent = static_cast<size_t>(std::ranges::count_if(values, IsAbsent));
  const size_t samples = values.size() - absent;
  TINYOBS_RETURN_IF_ERROR(budget_.Take(samples));
  TINYOBS_RETURN_IF_ERROR(budget_.TakeBytes(
      sizeof(SeriesSamples) + labels.canonical_bytes().size() + samples * sizeof(int64_t)));
  std::vector<SeriesSamples>& part = parts_[static_cast<size_t>(worker)];
  part.push_back({labels, {}});
  Columns& columns = part.back().samples;
  if (absent == 0) {
    columns.timestamps_ms.assign(times_ms.begin(), times_ms.end());
    columns.values.assign(values.begin(), values.end());
    return absl::OkStatus();
  }
  columns.timestamps_ms.reserve(samples);
  columns.values.reserve(samples);
  for (size_t i = 0; i < values.size(); ++i) {
    if (!IsAbsent(values[i])) columns.Add(times_ms[i], values[i]);
  }
  return absl::OkStatus();
}

absl::Status Evaluation::Instant(const Expr& expr, int64_t time_ms) {
  const Steps now{time_ms, 1, 1};
  switch (expr.type) {
    case ValueType::kString:
      result_.type = QueryResult::Type::kString;
      result_.scalar.timestamp_ms = time_ms;
      result_.string = promql::TextOf(expr);
      return absl::OkStatus();
    case ValueType::kScalar: {
      result_.type = QueryResult::Type::kScalar;
      TINYOBS_ASSIGN_OR_RETURN(const std::vector<double> value, evaluator_.Scalar(expr, now));
      result_.scalar = {time_ms, value[0]};
      return absl::OkStatus();
    }
    case ValueType::kInstantVector: {
      result_.type = QueryResult::Type::kVector;
      TINYOBS_ASSIGN_OR_RETURN(Vector vector, evaluator_.Collect(expr, now));
      if (!promql::HasOrder(expr)) SortByLabels(&vector);
      TINYOBS_RETURN_IF_ERROR(budget_.TakeBytes(vector.size() * sizeof(InstantSample)));
      result_.vector.reserve(vector.size());
      for (VectorSeries& series : vector) {
        result_.vector.push_back({std::move(series.labels), time_ms, series.values[0]});
      }
      return absl::OkStatus();
    }
    default:
      result_.type = QueryResult::Type::kMatrix;
      return evaluator_.StreamRanges(
          expr, now, promql::IdOf("last_over_time"),
          [&](int worker, const Labels& labels, const promql::RangeInput& input) {
            return Add(worker, labels, input.times_ms, input.values);
          });
  }
}

absl::Status Evaluation::Range(const Expr& expr, const Steps& steps) {
  result_.type = QueryResult::Type::kMatrix;
  TINYOBS_RETURN_IF_ERROR(budget_.Take(steps.count));
  std::vector<int64_t> times(steps.count);
  for (size_t i = 0; i < times.size(); ++i) times[i] = steps.At(i);
  return evaluator_.Stream(expr, steps,
                           [&](int worker, const Labels& labels, std::span<double> values) {
                             return Add(worker, labels, times, values);
                           });
}

QueryResult Evaluation::Result() {
  for (std::vector<SeriesSamples>& part : parts_) {
    std::move(part.begin(), part.end(), std::back_inserter(result_.matrix));
  }
  SortByLabels(&result_.matrix);
  result_.stats = evaluator_.stats();
  result_.warnings = evaluator_.warnings();
  return std::move(result_);
}

}  // namespace

absl::StatusOr<QueryResult> Query(const Querier& querier, std::string_view query, int64_t time_ms,
                                  const QueryOptions& options) {
  TINYOBS_RETURN_IF_ERROR(CheckTime(time_ms));
  TINYOBS_ASSIGN_OR_RETURN(const promql::ExprPtr expr, promql::ParseExpr(query));
  Evaluation evaluation(querier, options, {time_ms, time_ms});
  TINYOBS_RETURN_IF_ERROR(evaluation.Instant(*expr, time_ms));
  return evaluation.Result();
}

absl::StatusOr<QueryResult> QueryRange(const Querier& querier, std::string_view query,
                                       int64_t start_ms, int64_t end_ms, int64_t step_ms,
                                       const QueryOptions& options) {
  TINYOBS_RETURN_IF_ERROR(CheckTime(start_ms));
  TINYOBS_RETURN_IF_ERROR(CheckTime(end_ms));
  if (step_ms <= 0) return absl::InvalidArgumentError("the step of a query must be positive");
  if (end_ms < start_ms) return absl::InvalidArgumentError("a query must not end before its start");
  TINYOBS_ASSIGN_OR_RETURN(const promql::ExprPtr expr, promql::ParseExpr(query));
  if (expr->type != ValueType::kScalar && expr->type != ValueType::kInstantVector) {
    return absl::InvalidArgumentError(
        StrCat("invalid expression type \"", promql::TypeName(expr->type),
               "\" for range query, must be Scalar or instant Vector"));
  }
  const Steps steps{start_ms, step_ms, static_cast<size_t>((end_ms - start_ms) / step_ms) + 1};
  Evaluation evaluation(querier, options, {start_ms, end_ms});
  TINYOBS_RETURN_IF_ERROR(evaluation.Range(*expr, steps));
  return evaluation.Result();
}

}  // namespace tinyobs
