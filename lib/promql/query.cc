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

// Gathers a matrix: each worker's series, then all in order.
class MatrixBuilder {
 public:
  MatrixBuilder(int workers, Budget* budget)
      : parts_(static_cast<size_t>(workers)), budget_(budget) {}

  // For as many samples of a series of the worker; the series to put them into.
  absl::StatusOr<Columns*> Add(int worker, const Labels& labels, size_t samples) {
    TINYOBS_RETURN_IF_ERROR(budget_->Take(samples));
    TINYOBS_RETURN_IF_ERROR(budget_->TakeBytes(
        sizeof(SeriesSamples) + labels.canonical_bytes().size() + samples * sizeof(int64_t)));
    std::vector<SeriesSamples>& part = parts_[static_cast<size_t>(worker)];
    part.push_back({labels, {}});
    part.back().samples.timestamps_ms.reserve(samples);
    part.back().samples.values.reserve(samples);
    return &part.back().samples;
  }

  std::vector<SeriesSamples> Finish() {
    std::vector<SeriesSamples> all = std::move(parts_[0]);
    for (size_t i = 1; i < parts_.size(); ++i) {
      std::move(parts_[i].begin(), parts_[i].end(), std::back_inserter(all));
    }
    SortByLabels(&all);
    return all;
  }

 private:
  std::vector<std::vector<SeriesSamples>> parts_;
  Budget* const budget_;
};

absl::Status EvaluateInstant(const Expr& expr, const Steps& now, Evaluator* evaluator,
                             Budget* budget, QueryResult* result) {
  const int64_t time_ms = now.start_ms;
  switch (expr.type) {
    case ValueType::kString:
      result->type = QueryResult::Type::kString;
      result->scalar.timestamp_ms = time_ms;
      result->string = promql::TextOf(expr);
      return absl::OkStatus();
    case ValueType::kScalar: {
      result->type = QueryResult::Type::kScalar;
      TINYOBS_ASSIGN_OR_RETURN(const std::vector<double> value, evaluator->Scalar(expr, now));
      result->scalar = {time_ms, value[0]};
      return absl::OkStatus();
    }
    case ValueType::kInstantVector: {
      result->type = QueryResult::Type::kVector;
      TINYOBS_ASSIGN_OR_RETURN(Vector vector, evaluator->Collect(expr, now));
      if (!promql::HasOrder(expr)) SortByLabels(&vector);
      result->vector.reserve(vector.size());
      for (VectorSeries& series : vector) {
        result->vector.push_back({std::move(series.labels), time_ms, series.values[0]});
      }
      return absl::OkStatus();
    }
    case ValueType::kRangeVector:
      break;
  }
  result->type = QueryResult::Type::kMatrix;
  MatrixBuilder builder(evaluator->workers(), budget);
  TINYOBS_RETURN_IF_ERROR(evaluator->StreamRanges(
      expr, now, promql::FunctionId::kLastOverTime,
      [&](int worker, const Labels& labels, const promql::RangeInput& input) -> absl::Status {
        TINYOBS_ASSIGN_OR_RETURN(Columns * samples,
                                 builder.Add(worker, labels, input.times_ms.size()));
        samples->timestamps_ms.assign(input.times_ms.begin(), input.times_ms.end());
        samples->values.assign(input.values.begin(), input.values.end());
        return absl::OkStatus();
      }));
  result->matrix = builder.Finish();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<QueryResult> Query(const Querier& querier, std::string_view query, int64_t time_ms,
                                  const QueryOptions& options) {
  TINYOBS_RETURN_IF_ERROR(CheckTime(time_ms));
  TINYOBS_ASSIGN_OR_RETURN(const promql::ExprPtr expr, promql::ParseExpr(query));
  const Steps now{time_ms, 1, 1};
  Budget budget(&options, querier.query_memory());
  Evaluator evaluator(querier, options, {time_ms, time_ms}, &budget);
  QueryResult result;
  TINYOBS_RETURN_IF_ERROR(EvaluateInstant(*expr, now, &evaluator, &budget, &result));
  result.stats = evaluator.stats();
  result.warnings = evaluator.warnings();
  return result;
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
  Budget budget(&options, querier.query_memory());
  Evaluator evaluator(querier, options, {start_ms, end_ms}, &budget);
  MatrixBuilder builder(evaluator.workers(), &budget);
  TINYOBS_RETURN_IF_ERROR(budget.Take(steps.count));
  std::vector<int64_t> times(steps.count);
  for (size_t i = 0; i < times.size(); ++i) times[i] = steps.At(i);
  TINYOBS_RETURN_IF_ERROR(evaluator.Stream(
      *expr, steps,
      [&](int worker, const Labels& labels, std::span<double> values) -> absl::Status {
        const auto absent =
            static_cast<size_t>(std::count_if(values.begin(), values.end(), IsAbsent));
        TINYOBS_ASSIGN_OR_RETURN(Columns * samples,
                                 builder.Add(worker, labels, values.size() - absent));
        if (absent == 0) {
          samples->timestamps_ms = times;
          samples->values.assign(values.begin(), values.end());
          return absl::OkStatus();
        }
        for (size_t i = 0; i < values.size(); ++i) {
          if (!IsAbsent(values[i])) samples->Add(times[i], values[i]);
        }
        return absl::OkStatus();
      }));
  QueryResult result;
  result.type = QueryResult::Type::kMatrix;
  result.matrix = builder.Finish();
  result.stats = evaluator.stats();
  result.warnings = evaluator.warnings();
  return result;
}

}  // namespace tinyobs
