// Subqueries: which inner steps there are, and that the windows over them are those of the outer
// steps. Counted by hand.
#include "gtest/gtest.h"
#include "tests/promql/testing.h"

namespace tinyobs::promql {
namespace {

constexpr int64_t kSecond = 1000;
constexpr int64_t kMinute = 60 * kSecond;

TestQuerier Counter() {
  TestQuerier querier;
  querier.Load(10 * kSecond, "x 0+1x100");
  return querier;
}

TEST(SubqueryTest, InnerStepsAreMultiplesOfTheStepWhateverTheTime) {
  const TestQuerier querier = Counter();
  ExpectInstant(querier, "x[1m:20s]", 100 * kSecond, {"x 4@40000 6@60000 8@80000 10@100000"});
  ExpectInstant(querier, "x[1m:20s]", 105 * kSecond, {"x 6@60000 8@80000 10@100000"});
  ExpectInstant(querier, "x[50s:7s]", 100 * kSecond,
                {"x 5@56000 6@63000 7@70000 7@77000 8@84000 9@91000 9@98000"});
  ExpectInstant(querier, "vector(time())[20s:7s]", -50 * kSecond,
                {"{} -70@-70000 -63@-63000 -56@-56000"});
}

TEST(SubqueryTest, WithoutAStepTheDefaultCounts) {
  const TestQuerier querier = Counter();
  ExpectInstant(querier, "x[2m:]", 130 * kSecond, {"x 6@60000 12@120000"});
  ExpectInstant(querier, "x[40s:]", 130 * kSecond, {"x 9@90000 12@120000"},
                {.subquery_step_ms = 30 * kSecond});
}

TEST(SubqueryTest, FunctionsSeeTheInnerStepsOfEachWindow) {
  const TestQuerier querier = Counter();
  ExpectInstant(querier, "sum_over_time(x[1m:20s])", 100 * kSecond, {"{} 28"});
  // [40, 100] has 40 60 80 100, [50, 110] and [60, 120]: 60 80 100 (120).
  ExpectRange(querier, "sum_over_time(x[1m:20s])", 100 * kSecond, 120 * kSecond, 10 * kSecond,
              {"{} 28 24 36"});
  ExpectRange(querier, "max_over_time(rate(x[20s])[40s:10s])", 100 * kSecond, 120 * kSecond,
              10 * kSecond, {"{} 0.1 0.1 0.1"});
}

TEST(SubqueryTest, OffsetAndAtMoveTheWindow) {
  const TestQuerier querier = Counter();
  ExpectInstant(querier, "x[20s:10s] offset 30s", 100 * kSecond, {"x 5@50000 6@60000 7@70000"});
  ExpectInstant(querier, "x[20s:10s] @ 50", 100 * kSecond, {"x 3@30000 4@40000 5@50000"});
  ExpectRange(querier, "sum_over_time(x[20s:10s] @ 50)", 0, 20 * kSecond, 10 * kSecond,
              {"{} 12 12 12"});
  ExpectRange(querier, "sum_over_time((x @ 50)[20s:10s])", 100 * kSecond, 110 * kSecond,
              10 * kSecond, {"{} 15 15"});
  ExpectInstant(querier, "x[20s:10s] offset -10s", 100 * kSecond,
                {"x 9@90000 10@100000 11@110000"});
}

TEST(SubqueryTest, SubqueriesNest) {
  const TestQuerier querier = Counter();
  // Inner sums at 80, 90, 100, each of two samples: 7+8, 8+9, 9+10.
  ExpectInstant(querier, "sum_over_time(sum_over_time(x[10s:10s])[20s:10s])", 100 * kSecond,
                {"{} 51"});
  ExpectInstant(querier, "sum_over_time(sum_over_time(x[10s:10s] offset 10s)[20s:10s] offset 10s)",
                120 * kSecond, {"{} 51"});
}

TEST(SubqueryTest, WhatIsAbsentAtAnInnerStepIsNoSample) {
  TestQuerier querier;
  querier.Load(10 * kSecond, "x 1 5 2 6 3 7");
  ExpectInstant(querier, "(x > 4)[1m:10s]", kMinute, {"x 5@10000 6@30000 7@50000 7@60000"});
  ExpectInstant(querier, "count_over_time((x > 4)[1m:10s])", kMinute, {"{} 4"});
  ExpectInstant(querier, "count_over_time((x > 10)[1m:10s])", kMinute, {});
}

TEST(SubqueryTest, AWindowWithoutAnInnerStepIsEmptyUnlessTheInsideIsTheSameAlways) {
  const TestQuerier querier = Counter();
  ExpectInstant(querier, "x[1s:1m]", 90 * kSecond, {});
  ExpectInstant(querier, "sum_over_time(x[1s:1m])", 90 * kSecond, {});
  // Sic: evaluated once, at the next inner step.
  ExpectInstant(querier, "(x @ 50)[1s:1m]", 90 * kSecond, {"x 5@120000"});
  ExpectInstant(querier, "sum_over_time((x @ 50)[1s:1m])", 90 * kSecond, {});
}

TEST(SubqueryTest, MetricNamesGoWhereThePlainSelectorLosesThem) {
  TestQuerier querier;
  querier.Load(10 * kSecond, R"(
    a{i="1"} 1x10
    b{i="1"} 2x10
  )");
  ExpectInstant(querier, R"(last_over_time({i="1"}[20s:10s]))", 50 * kSecond,
                {R"(a{i="1"} 1)", R"(b{i="1"} 2)"});
  ExpectQueryError(querier, R"(sum_over_time({i="1"}[20s:10s]))", 50 * kSecond,
                   absl::StatusCode::kFailedPrecondition,
                   "vector cannot contain metrics with the same labelset");
}

}  // namespace
}  // namespace tinyobs::promql
