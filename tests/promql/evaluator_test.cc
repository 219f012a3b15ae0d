// What expressions evaluate to as a whole: types, names, order, errors of execution. Derived by
// hand from the documentation of Prometheus 2.42; where that leaves a case open, from what it
// answers.
#include "gtest/gtest.h"
#include "tests/promql/testing.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {
namespace {

constexpr int64_t kSecond = 1000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr std::string_view kSameLabels = "vector cannot contain metrics with the same labelset";

TEST(EvaluatorTest, AggregatesOfRatesAreOneNumberAGroup) {
  TestQuerier querier;
  querier.Load(10 * kSecond, R"(
    requests{job="a",instance="1"} 0+10x100
    requests{job="a",instance="2"} 0+20x100
    requests{job="b",instance="1"} 0+30x100
  )");
  ExpectInstant(querier, "sum by (job) (rate(requests[1m]))", 600 * kSecond,
                {R"({job="a"} 3)", R"({job="b"} 3)"});
  ExpectRange(querier, "sum(requests) / 2", 0, 30 * kSecond, 10 * kSecond, {"{} 0+30x3"});
  ExpectInstant(querier, R"(count_values("v", requests))", 10 * kSecond,
                {R"({v="10"} 1)", R"({v="20"} 1)", R"({v="30"} 1)"});
  ExpectInstant(querier, "quantile(scalar(requests{job=\"b\"}) / 60, requests)", 10 * kSecond,
                {"{} 20"});
}

TEST(EvaluatorTest, CountValuesComeInTheOrderInWhichTheirValuesAppear) {
  TestQuerier querier;
  querier.Load(kMinute, R"(
    x{i="1"} 7
    x{i="2"} 5
    x{i="3"} 9
    x{i="4"} 5
  )");
  // Neither in the order of values nor of labels, which ties show.
  ExpectInstant(querier, R"(bottomk(1, count_values("v", x)))", 0, {R"({v="7"} 1)"});
  ExpectInstant(querier, R"(topk(2, count_values("v", x)))", 0, {R"({v="5"} 2)", R"({v="7"} 1)"});
  ExpectInstant(querier, R"(topk(1, count_values("v", x{i!="2"})))", 0, {R"({v="7"} 1)"});
  ExpectInstant(querier, R"(topk(1, count_values("v", 12 - x{i!="2"})))", 0, {R"({v="5"} 1)"});
}

TEST(EvaluatorTest, NumbersAndTextsAreTheirOwnTypes) {
  const TestQuerier querier;
  ExpectInstant(querier, "1 + 2 * time()", kMinute, {"121"});
  ExpectInstant(querier, "-(2 ^ 3) % 3", 0, {"-2"});
  ExpectInstant(querier, "1 < bool 2", 0, {"1"});
  ExpectInstant(querier, "pi()", 0, {"3.141592653589793"});
  ExpectInstant(querier, R"("a\tb")", 0, {R"("a\tb")"});
  ExpectInstant(querier, "vector(time())", 1500, {"{} 1.5"});
  ExpectRange(querier, "3", 0, 2000, 1000, {"{} 3 3 3"});
  ExpectRange(querier, "time() > bool 1", 0, 2000, 1000, {"{} 0 0 1"});
  EXPECT_CODE(QueryRange(querier, "\"a\"", 0, 1, 1), absl::StatusCode::kInvalidArgument);
  EXPECT_CODE(QueryRange(querier, "x[5m]", 0, 1, 1), absl::StatusCode::kInvalidArgument);
  EXPECT_CODE(QueryRange(querier, "1", 0, 1, 0), absl::StatusCode::kInvalidArgument);
  EXPECT_CODE(QueryRange(querier, "1", 1, 0, 1), absl::StatusCode::kInvalidArgument);
  EXPECT_CODE(Query(querier, "1", INT64_MIN), absl::StatusCode::kInvalidArgument);
  EXPECT_CODE(Query(querier, "1 +", 0), absl::StatusCode::kInvalidArgument);
}

TEST(EvaluatorTest, CalendarFunctionsWithoutArgumentAreAboutNow) {
  const TestQuerier querier;
  const int64_t time_ms = 1'700'000'000'000;  // Tuesday 2023-11-14 22:13:20
  ExpectInstant(querier, "hour()", time_ms, {"{} 22"});
  ExpectInstant(querier, "minute()", time_ms, {"{} 13"});
  ExpectInstant(querier, "day_of_week()", time_ms, {"{} 2"});
  ExpectInstant(querier, "month(vector(0))", time_ms, {"{} 1"});
  ExpectRange(querier, "minute()", time_ms, time_ms + kMinute, kMinute, {"{} 13 14"});
}

TEST(EvaluatorTest, ScalarIsTheOnlyElementOrNan) {
  TestQuerier querier;
  querier.Load(kMinute, R"(
    x{i="1"} 5 6 7
    x{i="2"} _ 1 stale
  )");
  ExpectRange(querier, "scalar(x)", 0, 2 * kMinute, kMinute, {"{} 5 NaN 7"});
  ExpectRange(querier, "scalar(nope)", 0, kMinute, kMinute, {"{} NaN NaN"});
  ExpectRange(querier, R"(x{i="1"} * scalar(x{i="1"} @ 60))", 0, 2 * kMinute, kMinute,
              {R"({i="1"} 30 36 42)"});
}

TEST(EvaluatorTest, OperationsDropTheMetricNameAndComparisonsKeepIt) {
  TestQuerier querier;
  querier.Load(kMinute, R"(x{i="1"} 5)");
  ExpectInstant(querier, "x > 4", 0, {R"(x{i="1"} 5)"});
  ExpectInstant(querier, "4 < x", 0, {R"(x{i="1"} 5)"});
  ExpectInstant(querier, "x > 5", 0, {});
  ExpectInstant(querier, "x > bool 5", 0, {R"({i="1"} 0)"});
  ExpectInstant(querier, "x + 1", 0, {R"({i="1"} 6)"});
  ExpectInstant(querier, "-x", 0, {R"({i="1"} -5)"});
  ExpectInstant(querier, "+x", 0, {R"(x{i="1"} 5)"});
  ExpectInstant(querier, "abs(x)", 0, {R"({i="1"} 5)"});
  ExpectInstant(querier, "last_over_time(x[1m])", 0, {R"(x{i="1"} 5)"});
  ExpectInstant(querier, "max_over_time(x[1m])", 0, {R"({i="1"} 5)"});
  ExpectInstant(querier, "x * x", 0, {R"({i="1"} 25)"});
  ExpectInstant(querier, "x and x", 0, {R"(x{i="1"} 5)"});
}

// Two metrics of one series each, never at the same step.
TestQuerier TakingTurns() {
  TestQuerier querier;
  querier.Load(10 * kSecond, R"(
    a{i="1"} 1 1 stale
    b{i="1"} _ _ 2 2
  )");
  return querier;
}

TEST(EvaluatorTest, SeriesThatBecomeTheSameAreOneIfTheyNeverMeet) {
  const TestQuerier querier = TakingTurns();
  const auto range = [&](std::string_view query, const std::string& line) {
    ExpectRange(querier, query, 0, 30 * kSecond, 10 * kSecond, {line});
  };
  range(R"(abs({i="1"}))", R"({i="1"} 1 1 2 2)");
  range(R"({i="1"} * 2)", R"({i="1"} 2 2 4 4)");
  range(R"({i="1"} > bool 1)", R"({i="1"} 0 0 1 1)");
  range(R"(timestamp({i="1"}))", R"({i="1"} 0 10 20 30)");
  range(R"(label_replace({i="1"}, "__name__", "c", "", ""))", R"(c{i="1"} 1 1 2 2)");
  range(R"(label_join({i="1"}, "__name__", ""))", R"({i="1"} 1 1 2 2)");
  range(R"(abs(a or b))", R"({i="1"} 1 1 2 2)");
}

TEST(EvaluatorTest, SeriesThatBecomeTheSameAndMeetAreAnError) {
  TestQuerier querier;
  querier.Load(10 * kSecond, R"(
    a{i="1"} 1
    b{i="1"} 2
  )");
  for (const std::string_view query :
       {R"(abs({i="1"}))", R"({i="1"} + 1)", R"(-{i="1"})", R"(rate({i="1"}[1m]) or a)",
        R"(timestamp({i="1"}))", R"(label_replace({i="1"}, "__name__", "c", "", ""))",
        R"(sum(label_join({i="1"}, "__name__", "")))", R"(max_over_time({i="1"}[1m]))"}) {
    // rate needs two samples.
    if (query.starts_with("rate")) continue;
    ExpectQueryError(querier, query, 0, absl::StatusCode::kFailedPrecondition, kSameLabels);
    ExpectQueryError(querier, query, 0, absl::StatusCode::kFailedPrecondition, kSameLabels,
                     {.threads = 4});
  }
}

TEST(EvaluatorTest, MinusAndRangeFunctionsMindSeriesThatNeverMeetToo) {
  const TestQuerier querier = TakingTurns();
  for (const std::string_view query : {R"(-{i="1"})", R"(max_over_time({i="1"}[1s]))"}) {
    const auto result = QueryRange(querier, query, 0, 30 * kSecond, 10 * kSecond);
    EXPECT_CODE(result, absl::StatusCode::kFailedPrecondition) << query;
  }
  // Each alone has no value at these steps, and then there is only one.
  ExpectRange(querier, R"(-{i="1"})", 0, 10 * kSecond, 10 * kSecond, {R"({i="1"} -1 -1)"});
}

TEST(EvaluatorTest, AbsentHasTheLabelsThatTheSelectorNames) {
  TestQuerier querier;
  querier.Load(10 * kSecond, R"(
    x{i="1"} 1 1 stale
    x{i="2"} _ _ _ 1
  )");
  ExpectInstant(querier, R"(absent(nope{a="b",c=~"d"}))", 0, {R"({a="b"} 1)"});
  ExpectInstant(querier, R"(absent((nope{a="b"})))", 0, {R"({a="b"} 1)"});
  ExpectInstant(querier, R"(absent(sum(nope{a="b"})))", 0, {"{} 1"});
  ExpectInstant(querier, "absent(x)", 0, {});
  ExpectRange(querier, "absent(x)", 0, 30 * kSecond, 10 * kSecond, {"{} _ _ 1 _"});
  ExpectRange(querier, R"(absent_over_time(x{i="2"}[10s]))", 0, 40 * kSecond, 10 * kSecond,
              {R"({i="2"} 1 1 1 _ _)"});
  ExpectInstant(querier, R"(absent_over_time(nope{a="b"}[1m:10s]))", 0, {"{} 1"});
}

TEST(EvaluatorTest, SortAndTopKOrderAnInstantVector) {
  TestQuerier querier;
  querier.Load(10 * kSecond, R"(
    x{i="1"} 2
    x{i="2"} NaN
    x{i="3"} 3
    x{i="4"} 1
  )");
  ExpectInstant(querier, "sort(x)", 0,
                {R"(x{i="4"} 1)", R"(x{i="1"} 2)", R"(x{i="3"} 3)", R"(x{i="2"} NaN)"});
  ExpectInstant(querier, "(sort_desc(x))", 0,
                {R"(x{i="3"} 3)", R"(x{i="1"} 2)", R"(x{i="4"} 1)", R"(x{i="2"} NaN)"});
  ExpectInstant(querier, "topk(2, x)", 0, {R"(x{i="3"} 3)", R"(x{i="1"} 2)"});
  ExpectInstant(querier, "-topk(2, x)", 0, {R"({i="3"} -3)", R"({i="1"} -2)"});
  // Ties are decided by the order of labels of the operand, also behind operators and groups.
  ExpectInstant(querier, "topk(2, x > bool on(i) group_left x)", 0,
                {R"({i="1"} 0)", R"({i="2"} 0)"});
  ExpectInstant(querier, "topk(2, group by (i) (x))", 0, {R"({i="1"} 1)", R"({i="2"} 1)"});
  ExpectInstant(querier, "topk(2, x) and x", 0, {R"(x{i="1"} 2)", R"(x{i="3"} 3)"});
  ExpectInstant(querier, "x", 0,
                {R"(x{i="1"} 2)", R"(x{i="2"} NaN)", R"(x{i="3"} 3)", R"(x{i="4"} 1)"});
  // A range query is in the order of labels always.
  ExpectRange(querier, "sort_desc(x)", 0, 0, 1,
              {R"(x{i="1"} 2)", R"(x{i="2"} NaN)", R"(x{i="3"} 3)", R"(x{i="4"} 1)"});
}

TEST(EvaluatorTest, LabelsAreReplacedAndJoined) {
  TestQuerier querier;
  querier.Load(10 * kSecond, R"(x{a="one",b="two"} 1)");
  ExpectInstant(querier, R"q(label_replace(x, "c", "$1!", "a", "o(.*)"))q", 0,
                {R"(x{a="one",b="two",c="ne!"} 1)"});
  ExpectInstant(querier, R"(label_join(x, ("c"), "-", "b", "a"))", 0,
                {R"(x{a="one",b="two",c="two-one"} 1)"});
  ExpectQueryError(querier, R"(label_replace(nope, "1", "", "", ""))", 0,
                   absl::StatusCode::kFailedPrecondition, "invalid destination label name");
}

TEST(EvaluatorTest, NativeHistogramsDoNotExist) {
  TestQuerier querier;
  querier.Load(10 * kSecond, "x 1");
  ExpectInstant(querier, "histogram_count(x)", 0, {});
  ExpectInstant(querier, "histogram_sum(x)", 0, {});
  ExpectInstant(querier, "histogram_fraction(0, 1, x)", 0, {});
}

TEST(EvaluatorTest, QuantilesOfHistograms) {
  TestQuerier querier;
  querier.Load(10 * kSecond, R"(
    latency_bucket{job="a",le="1"} 0+5x10
    latency_bucket{job="a",le="2"} 0+10x10
    latency_bucket{job="a",le="+Inf"} 0+10x10
  )");
  ExpectRange(querier, "histogram_quantile(0.75, sum by (le) (rate(latency_bucket[20s])))",
              20 * kSecond, 40 * kSecond, 10 * kSecond, {"{} 1.5 1.5 1.5"});
}

TEST(EvaluatorTest, ThreadsChangeNothing) {
  TestQuerier querier;
  for (int i = 0; i < 50; ++i) {
    querier.Load(10 * kSecond, "x{i=\"" + std::to_string(i) + "\",j=\"" + std::to_string(i % 3) +
                                   "\"} " + std::to_string(i) + "+" + std::to_string(i) + "x50");
  }
  for (const std::string_view query :
       {"x", "rate(x[1m])", "sum by (j) (x)", "topk(3, x)", "x + on(i) x",
        "max_over_time(rate(x[1m])[2m:20s])", "absent(x > 1e9)", "scalar(sum(x)) + x",
        "quantile by (j) (0.5, x)", "timestamp(x)", "x @ 60", "count_values(\"v\", x % 7)"}) {
    ASSERT_OK_AND_ASSIGN(const QueryResult one,
                         QueryRange(querier, query, 0, 500 * kSecond, 15 * kSecond));
    ASSERT_OK_AND_ASSIGN(const QueryResult four, QueryRange(querier, query, 0, 500 * kSecond,
                                                            15 * kSecond, {.threads = 4}));
    ASSERT_EQ(one.matrix.size(), four.matrix.size()) << query;
    EXPECT_FALSE(one.matrix.empty()) << query;
    for (size_t i = 0; i < one.matrix.size(); ++i) {
      EXPECT_EQ(one.matrix[i].labels, four.matrix[i].labels) << query;
      EXPECT_EQ(one.matrix[i].samples.timestamps_ms, four.matrix[i].samples.timestamps_ms) << query;
      EXPECT_TRUE(std::equal(one.matrix[i].samples.values.begin(),
                             one.matrix[i].samples.values.end(),
                             four.matrix[i].samples.values.begin(), SameValue))
          << query;
    }
    EXPECT_EQ(one.stats.series_read, four.stats.series_read) << query;
    EXPECT_EQ(one.stats.samples_read, four.stats.samples_read) << query;
  }
}

}  // namespace
}  // namespace tinyobs::promql
