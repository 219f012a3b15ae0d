// Aggregations against tables by hand, on one worker and on four: the answer may not depend on it.
#include "lib/promql/aggregation.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "lib/promql/parser.h"
#include "tests/promql/testing.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {
namespace {

using Lines = std::vector<std::string_view>;

// `text` is an aggregation of anything; what it aggregates are `lines`. `parameter`: a value a
// step; empty = the number in the query.
absl::StatusOr<Vector> Aggregated(std::string_view text, const Lines& lines, int workers = 1,
                                  std::vector<double> parameter = {},
                                  const QueryOptions& options = {}) {
  auto parsed = ParseExpr(text);
  if (!parsed.ok()) return parsed.status();
  const auto& expr = As<AggregateExpr>(**parsed);
  Vector input = TestVector(lines);
  std::sort(input.begin(), input.end(),
            [](const VectorSeries& a, const VectorSeries& b) { return a.labels < b.labels; });
  const size_t steps = input.empty() ? 1 : input[0].values.size();
  std::string label;
  if (HasParameter(expr.op)) {
    const Expr& given = *expr.args[0];
    if (given.kind == Expr::Kind::kString) {
      label = As<StringExpr>(given).value;
    } else if (parameter.empty()) {
      const Expr& number = given.kind == Expr::Kind::kUnary ? *given.args[0] : given;
      parameter.assign(steps, As<NumberExpr>(number).value * (&number == &given ? 1 : -1));
    }
  }
  Budget budget(&options, nullptr);
  auto groups = Aggregation::Create(expr, {.start_ms = 0, .step_ms = 1'000, .count = steps},
                                    parameter, label, workers, &budget);
  if (!groups.ok()) return groups.status();
  for (size_t i = 0; i < input.size(); ++i) {
    const auto worker = static_cast<int>(i * static_cast<size_t>(workers) / input.size());
    const absl::Status added = (*groups)->Add(worker, input[i].labels, input[i].values);
    if (!added.ok()) return added;
  }
  auto result = (*groups)->Finish();
  if (!result.ok()) return result;
  // What is held is the result: once that is given back, there is room for everything.
  uint64_t held = 0;
  for (const VectorSeries& series : *result) held += series.values.size();
  budget.GiveBack(held);
  EXPECT_OK(budget.Take(options.max_samples)) << text;
  return result;
}

// The same on one worker and on four, in the order of labels.
void ExpectAggregated(std::string_view text, const Lines& lines, const Lines& expected,
                      const std::vector<double>& parameter = {}) {
  for (const int workers : {1, 4}) {
    SCOPED_TRACE(std::string(text) + " on " + std::to_string(workers));
    auto result = Aggregated(text, lines, workers, parameter);
    ASSERT_OK(result);
    std::sort(result->begin(), result->end(),
              [](const VectorSeries& a, const VectorSeries& b) { return a.labels < b.labels; });
    ExpectVector(*result, expected);
  }
}

const Lines kRequests = {
    R"(req{job="a",i="1"} 1 2 3 _)",
    R"(req{job="a",i="2"} 5 _ 1 _)",
    R"(req{job="b",i="1"} 7 8 _ _)",
    R"(req{i="3"} _ _ 4 _)",
};

TEST(Aggregation, GroupsByLabels) {
  ExpectAggregated("sum by (job) (x)", kRequests,
                   {R"({} _ _ 4 _)", R"({job="a"} 6 2 4 _)", R"({job="b"} 7 8 _ _)"});
  ExpectAggregated("sum (x)", kRequests, {"{} 13 10 8 _"});
  ExpectAggregated("sum by (none) (x)", kRequests, {"{} 13 10 8 _"});
  ExpectAggregated("sum by (__name__) (x)", kRequests, {"req 13 10 8 _"});
}

TEST(Aggregation, WithoutLeavesTheOtherLabelsButTheName) {
  ExpectAggregated("sum without (i) (x)", kRequests,
                   {R"({} _ _ 4 _)", R"({job="a"} 6 2 4 _)", R"({job="b"} 7 8 _ _)"});
  ExpectAggregated("count without () (x)", {R"(a{i="1"} 1)", R"(b{i="1"} 1)"}, {R"({i="1"} 2)"});
}

TEST(Aggregation, EachOperator) {
  ExpectAggregated("count (x)", kRequests, {"{} 3 2 3 _"});
  ExpectAggregated("group (x)", kRequests, {"{} 1 1 1 _"});
  ExpectAggregated("min (x)", kRequests, {"{} 1 2 1 _"});
  ExpectAggregated("max (x)", kRequests, {"{} 7 8 4 _"});
  ExpectAggregated("avg (x)", kRequests, {"{} 4.333333333333333 5 2.6666666666666665 _"});
  ExpectAggregated("stdvar (x)", kRequests, {"{} 6.222222222222222 9 1.5555555555555556 _"});
  ExpectAggregated("stddev (x)", kRequests, {"{} 2.494438257849294 3 1.247219128924647 _"});
}

// Ten series of ten steps and more: the loop for groups without gaps, and its joins.
TEST(Aggregation, SeriesWithoutGaps) {
  const Lines lines = {
      R"(m{i="0"} 0+1x17)", R"(m{i="1"} 1+1x17)", R"(m{i="2"} 2+1x17)", R"(m{i="3"} 3+1x17)",
      R"(m{i="4"} 4+1x17)", R"(m{i="5"} 5+1x17)", R"(m{i="6"} 6+1x17)", R"(m{i="7"} 7+1x17)",
  };
  ExpectAggregated("sum (x)", lines, {"{} 28+8x17"});
  ExpectAggregated("count (x)", lines, {"{} 8x17"});
  ExpectAggregated("group (x)", lines, {"{} 1x17"});
  ExpectAggregated("min (x)", lines, {"{} 0+1x17"});
  ExpectAggregated("max (x)", lines, {"{} 7+1x17"});
  ExpectAggregated("avg (x)", lines, {"{} 3.5+1x17"});
  ExpectAggregated("stdvar (x)", lines, {"{} 5.25x17"});
  ExpectAggregated("stddev (x)", lines, {"{} 2.29128784747792x17"});
  ExpectAggregated("quantile (0.5, x)", lines, {"{} 3.5+1x17"});
}

TEST(Aggregation, NanGivesWayInMinAndMaxOnly) {
  const Lines lines = {R"(m{i="1"} NaN NaN 1)", R"(m{i="2"} 2 NaN NaN)", R"(m{i="3"} 3 NaN 0)"};
  ExpectAggregated("min (x)", lines, {"{} 2 NaN 0"});
  ExpectAggregated("max (x)", lines, {"{} 3 NaN 1"});
  ExpectAggregated("sum (x)", lines, {"{} NaN NaN NaN"});
  ExpectAggregated("avg (x)", lines, {"{} NaN NaN NaN"});
  ExpectAggregated("count (x)", lines, {"{} 3 3 3"});
}

TEST(Aggregation, AverageKeepsInfinitiesAndDoesNotOverflow) {
  const Lines lines = {
      R"(m{i="1"} Inf  -Inf Inf  1   1.7e308 1)",
      R"(m{i="2"} 1    -Inf -Inf Inf 1.7e308 Inf)",
      R"(m{i="3"} Inf  5    1    2   1.7e308 NaN)",
  };
  ExpectAggregated("avg (x)", lines, {"{} Inf -Inf NaN Inf 1.7e308 NaN"});
}

TEST(Aggregation, DeviationOfInfinityIsNan) {
  ExpectAggregated("stddev (x)", {R"(m{i="1"} Inf Inf 1)", R"(m{i="2"} _ 1 Inf)"},
                   {"{} 0 NaN NaN"});
}

TEST(Aggregation, DeviationOfLargeNumbersIsAccurate) {
  const Lines lines = {R"(m{i="1"} 1e9+1x3)", R"(m{i="2"} 1000000001+1x3)",
                       R"(m{i="3"} 1000000002+1x3)", R"(m{i="4"} 1000000003+1x3)"};
  ExpectAggregated("stdvar (x)", lines, {"{} 1.25x3"});
}

TEST(TopK, KeepsLabelsAndLooksAtEachStep) {
  ExpectAggregated("topk (1, x)", kRequests,
                   {R"(req{i="1",job="b"} 7 8 _ _)", R"(req{i="3"} _ _ 4 _)"});
  ExpectAggregated("bottomk by (job) (1, x)", kRequests,
                   {R"(req{i="1",job="a"} 1 2 _ _)", R"(req{i="1",job="b"} 7 8 _ _)",
                    R"(req{i="2",job="a"} _ _ 1 _)", R"(req{i="3"} _ _ 4 _)"});
}

TEST(TopK, KMayChangeFromStepToStep) {
  const Lines lines = {R"(m{i="1"} 1x4)", R"(m{i="2"} 2x4)", R"(m{i="3"} 3x4)"};
  ExpectAggregated("topk (1, x)", lines,
                   {R"(m{i="1"} _ _ 1 _ 1)", R"(m{i="2"} _ _ 2 2 2)", R"(m{i="3"} 3 _ 3 3 3)"},
                   {1, 0.9, 3, 2.7, 1e18});
  ExpectAggregated("topk (1, x)", lines, {}, {-1, 0, 0, -5, 0});
}

TEST(TopK, RefusesWhatIsNoInteger) {
  EXPECT_CODE(Aggregated("topk (NaN, x)", kRequests), absl::StatusCode::kFailedPrecondition);
  const auto result = Aggregated("topk (Inf, x)", {});
  EXPECT_EQ(result.status().message(), "Scalar value +Inf overflows int64");
}

// A single step: in the order of values, group after group.
void ExpectOrder(std::string_view text, const Lines& lines, const Lines& expected) {
  for (const int workers : {1, 4}) {
    SCOPED_TRACE(std::string(text) + " on " + std::to_string(workers));
    ASSERT_OK_AND_ASSIGN(const Vector result, Aggregated(text, lines, workers));
    ExpectVector(result, expected);
  }
}

TEST(TopK, OfOneStepComesInOrder) {
  const Lines lines = {R"(m{i="1"} 3)", R"(m{i="2"} NaN)", R"(m{i="3"} 5)", R"(m{i="4"} -Inf)",
                       R"(m{i="5"} 4)"};
  ExpectOrder("topk (3, x)", lines, {R"(m{i="3"} 5)", R"(m{i="5"} 4)", R"(m{i="1"} 3)"});
  ExpectOrder("bottomk (2, x)", lines, {R"(m{i="4"} -Inf)", R"(m{i="1"} 3)"});
  ExpectOrder(
      "topk (9, x)", lines,
      {R"(m{i="3"} 5)", R"(m{i="5"} 4)", R"(m{i="1"} 3)", R"(m{i="4"} -Inf)", R"(m{i="2"} NaN)"});
  ExpectOrder(
      "topk by (g) (1, x)",
      {R"(m{g="a",i="1"} 3)", R"(m{g="b",i="0"} 9)", R"(m{g="a",i="4"} 4)", R"(m{i="4"} 1)"},
      {R"(m{g="a",i="4"} 4)", R"(m{g="b",i="0"} 9)", R"(m{i="4"} 1)"});
}

// Of equal values the first stay, but once one has to give way it is the one on top of the heap.
TEST(TopK, TiesAreThoseOfPrometheusHeap) {
  ExpectOrder("topk (2, x)", {R"(m{i="1"} 1)", R"(m{i="2"} 1)", R"(m{i="3"} 1)"},
              {R"(m{i="1"} 1)", R"(m{i="2"} 1)"});
  ExpectOrder("topk (2, x)", {R"(m{i="1"} 1)", R"(m{i="2"} 1)", R"(m{i="3"} 2)"},
              {R"(m{i="3"} 2)", R"(m{i="2"} 1)"});
  ExpectOrder("topk (1, x)", {R"(m{i="1"} 1)", R"(m{i="2"} 2)", R"(m{i="3"} 2)"},
              {R"(m{i="2"} 2)"});
}

// The evaluator asks for series in the order of labels where that decides.
TEST(TopK, TiesDoNotHangOnTheOrderOfTheStore) {
  TestQuerier querier;
  for (int i = 0; i < 40; ++i) {
    querier.Load(1'000, "m{i=\"" + std::to_string(10 + i) + "\"} " + (i % 5 == 4 ? "2" : "1"));
  }
  for (const int threads : {1, 4}) {
    QueryOptions options;
    options.threads = threads;
    ExpectInstant(querier, "topk(3, m)", 0, {R"(m{i="19"} 2)", R"(m{i="14"} 2)", R"(m{i="24"} 2)"},
                  options);
    ExpectInstant(querier, "bottomk(2, m)", 0, {R"(m{i="10"} 1)", R"(m{i="11"} 1)"}, options);
  }
}

TEST(Quantile, InterpolatesAndLooksAtEachStep) {
  const Lines lines = {R"(m{i="1"} 1 _ 3)", R"(m{i="2"} 2 _ 1)", R"(m{i="3"} 4 _ _)"};
  ExpectAggregated("quantile (0.5, x)", lines, {"{} 2 _ 2"});
  ExpectAggregated("quantile (0.75, x)", lines, {"{} 3 _ 2.5"});
  ExpectAggregated("quantile (0, x)", lines, {"{} Inf _ NaN"}, {1.01, 0.5, std::nan("")});
  ExpectAggregated("quantile (-0.1, x)", lines, {"{} -Inf _ -Inf"});
  ExpectAggregated("quantile by (i) (0.9, x)", lines,
                   {R"({i="1"} 1 _ 3)", R"({i="2"} 2 _ 1)", R"({i="3"} 4 _ _)"});
}

TEST(CountValues, WritesValuesAsPrometheusDoes) {
  const Lines lines = {R"(m{i="1"} 1.50 NaN 1e21)", R"(m{i="2"} 1.5 Inf 1e21)",
                       R"(m{i="3"} -0.00001 NaN _)"};
  ExpectAggregated(R"(count_values ("v", x))", lines,
                   {R"({v="+Inf"} _ 1 _)", R"({v="-0.00001"} 1 _ _)", R"({v="1.5"} 2 _ _)",
                    R"({v="1000000000000000000000"} _ _ 2)", R"({v="NaN"} _ 2 _)"});
}

TEST(CountValues, TheLabelReplacesOneOfTheGroup) {
  const Lines lines = {R"(m{g="a",i="1"} 5)", R"(m{g="a",i="2"} 5)", R"(m{g="b",i="1"} 5)"};
  ExpectAggregated(R"(count_values by (g) ("v", x))", lines,
                   {R"({g="a",v="5"} 2)", R"({g="b",v="5"} 1)"});
  ExpectAggregated(R"(count_values by (g) ("g", x))", lines, {R"({g="5"} 3)"});
  ExpectAggregated(R"(count_values by (g) ("__name__", x))", {R"(m{g="a"} 5)"},
                   {R"({__name__="5",g="a"} 1)"});
  ExpectAggregated(R"(count_values without (i) ("g", x))", lines, {R"({g="5"} 3)"});
  // What `without` names is taken away after it was set.
  ExpectAggregated(R"(count_values without (i, v) ("v", x))", lines,
                   {R"({g="a"} 2)", R"({g="b"} 1)"});
}

TEST(CountValues, RefusesAnInvalidLabel) {
  const auto result = Aggregated(R"(count_values ("a-b", x))", kRequests);
  EXPECT_CODE(result, absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(result.status().message(), R"(invalid label name "a-b")");
}

TEST(Aggregation, StopsAtTheLimitOfSamples) {
  for (const std::string_view text : {"sum by (i) (x)", "avg by (i) (x)", "topk (5, x)",
                                      "quantile (0.1, x)", R"(count_values by (i) ("v", x))"}) {
    SCOPED_TRACE(text);
    QueryOptions options;
    options.max_samples = 7;
    EXPECT_CODE(Aggregated(text, kRequests, 1, {}, options), absl::StatusCode::kResourceExhausted);
    options.max_samples = 100;
    EXPECT_OK(Aggregated(text, kRequests, 1, {}, options));
  }
}

}  // namespace
}  // namespace tinyobs::promql
