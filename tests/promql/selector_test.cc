// Which samples a selector sees at which step: lookback, staleness markers, offset, `@`, windows;
// and that no more is read than that. Expectations are counted by hand from the series in each
// test.
#include "gtest/gtest.h"
#include "tests/promql/testing.h"

namespace tinyobs::promql {
namespace {

constexpr int64_t kSecond = 1000;
constexpr int64_t kMinute = 60 * kSecond;

TEST(SelectorTest, TheNewestSampleCountsUntilItIsOlderThanTheLookback) {
  TestQuerier querier;
  querier.Load(kMinute, "x 1 2 3");
  ExpectInstant(querier, "x", kMinute, {"x 2"});
  ExpectInstant(querier, "x", 2 * kMinute - 1, {"x 2"});
  // At 2 min, five minutes before, the window is closed.
  ExpectInstant(querier, "x", 7 * kMinute, {"x 3"});
  ExpectInstant(querier, "x", 7 * kMinute + 1, {});
  ExpectInstant(querier, "x", -1, {});
  ExpectInstant(querier, "x", 2 * kMinute + 30 * kSecond + 1, {}, {.lookback_ms = 30 * kSecond});
  ExpectInstant(querier, "x", 2 * kMinute + 30 * kSecond, {"x 3"}, {.lookback_ms = 30 * kSecond});
}

TEST(SelectorTest, AStalenessMarkerEndsASeriesAndAnyOtherNanIsAValue) {
  TestQuerier querier;
  querier.Load(kMinute, R"(
    x 1 stale _ 4
    y 1 NaN _ 4
  )");
  ExpectRange(querier, "x", 0, 4 * kMinute, 30 * kSecond, {"x 1 1 _ _ _ _ 4 4 4"});
  ExpectRange(querier, "y", 0, 4 * kMinute, 30 * kSecond, {"y 1 1 NaN NaN NaN NaN 4 4 4"});
  // In a range vector the marker is no sample.
  ExpectInstant(querier, "count_over_time(x[5m])", 3 * kMinute, {"{} 2"});
  ExpectInstant(querier, "count_over_time(y[5m])", 3 * kMinute, {"{} 3"});
  ExpectInstant(querier, "x[5m]", 3 * kMinute, {"x 1@0 4@180000"});
}

TEST(SelectorTest, AWindowIsClosedOnBothSides) {
  TestQuerier querier;
  querier.Load(10 * kSecond, "x 0+1x100");
  ExpectInstant(querier, "x[20s]", 40 * kSecond, {"x 2@20000 3@30000 4@40000"});
  ExpectInstant(querier, "x[20s]", 40 * kSecond + 1, {"x 3@30000 4@40000"});
  ExpectRange(querier, "count_over_time(x[20s])", 0, 45 * kSecond, 5 * kSecond,
              {"{} 1 1 2 2 3 2 3 2 3 2"});
}

TEST(SelectorTest, OffsetLooksBackAndNegativeOffsetAhead) {
  TestQuerier querier;
  querier.Load(kMinute, "x 0+1x10");
  ExpectInstant(querier, "x offset 2m", 5 * kMinute, {"x 3"});
  ExpectInstant(querier, "x offset -2m", 5 * kMinute, {"x 7"});
  ExpectInstant(querier, "x[1m] offset 2m", 5 * kMinute, {"x 2@120000 3@180000"});
  ExpectRange(querier, "x offset 1m", 0, 3 * kMinute, kMinute, {"x _ 0 1 2"});
}

TEST(SelectorTest, AtLooksAtOneTimeWhateverTheStep) {
  TestQuerier querier;
  querier.Load(kMinute, "x 0+1x20");
  ExpectRange(querier, "x @ 120", 0, 2 * kMinute, kMinute, {"x 2 2 2"});
  ExpectRange(querier, "x @ 120 offset 1m", 0, 2 * kMinute, kMinute, {"x 1 1 1"});
  ExpectRange(querier, "x offset 1m @ 120", 0, 2 * kMinute, kMinute, {"x 1 1 1"});
  ExpectRange(querier, "x @ start() + x @ end()", kMinute, 4 * kMinute, kMinute, {"{} 5 5 5 5"});
  // end() is the end as asked for, here between two steps.
  ExpectRange(querier, "x @ end()", 0, 4 * kMinute, 3 * kMinute, {"x 4 4"});
  ExpectRange(querier, "sum_over_time(x[1m] @ 120)", 0, 2 * kMinute, kMinute, {"{} 3 3 3"});
  ExpectRange(querier, "x - x @ 60", 0, 2 * kMinute, kMinute, {"{} -1 0 1"});
  ExpectInstant(querier, "x[1m] @ 120", 10 * kMinute, {"x 1@60000 2@120000"});
}

TEST(SelectorTest, TheTimestampAtATimeWithAnOffsetIsOfWhatBothTimesSeeFor2_42) {
  TestQuerier querier;
  querier.Load(kMinute, "x 0+1x20");
  ExpectRange(querier, "timestamp(x @ 600)", 0, kMinute, kMinute, {"{} 600 600"});
  ExpectRange(querier, "timestamp(x @ 600 offset 2m)", 0, kMinute, kMinute, {"{} 480 480"});
  ExpectRange(querier, "timestamp(x offset -2m @ 600)", 0, kMinute, kMinute, {"{} 600 600"});
  // From 10 min on, the lookback before 20; the samples end there.
  ExpectInstant(querier, "timestamp(x @ 1500 offset 2m)", 0, {"{} 1200"});
  ExpectInstant(querier, "timestamp(x @ 1501 offset 2m)", 0, {});
  ExpectInstant(querier, "timestamp(x @ 1500 offset 6m)", 0, {});
  ExpectInstant(querier, "x @ 1501 offset 2m", 0, {"x 20"});
  ExpectInstant(querier, "timestamp(x offset 2m)", 25 * kMinute, {"{} 1200"});
}

TEST(SelectorTest, WhereAnotherArgumentMovesAtMovesWithItOverWhatWasReadFor2_42) {
  TestQuerier querier;
  querier.Load(kMinute, "x 0+1x20");
  // At the first step the window is [8m, 10m], then [9m, 11m] and so on, of samples up to 10m.
  ExpectRange(querier, "quantile_over_time(0 * time(), x[2m] @ 600)", 0, 3 * kMinute, kMinute,
              {"{} 8 9 10 _"});
  ExpectRange(querier, "quantile_over_time(0, x[2m] @ 600)", 0, 3 * kMinute, kMinute,
              {"{} 8 8 8 8"});
  ExpectRange(querier, "quantile_over_time(0 * time(), x[2m:1m] @ 600)", 0, 3 * kMinute, kMinute,
              {"{} 8 9 10 10"});
  // In the parameter of an aggregation, too; there start() means nothing.
  querier.Load(kMinute, "one 1");
  ExpectRange(querier, "sum(x) + quantile(0, one @ 0) * 0", 0, kMinute, kMinute, {"{} 0 1"});
  ExpectRange(querier, "quantile(scalar(x @ start()), vector(time()))", 0, 2 * kMinute, kMinute,
              {"{} 0 60 Inf"});
}

TEST(SelectorTest, ReadsTheTimeThatCounts) {
  TestQuerier querier;
  querier.Load(kMinute, "x 0+1x20");
  const auto asked = [&](std::string_view query) {
    EXPECT_TRUE(QueryRange(querier, query, 600'000, 900'000, 60'000).ok()) << query;
    return querier.asked().back().range;
  };
  EXPECT_EQ(asked("x"), (TimeRange{300'000, 900'000}));
  EXPECT_EQ(asked("x offset 1m"), (TimeRange{240'000, 840'000}));
  EXPECT_EQ(asked("rate(x[2m])"), (TimeRange{480'000, 900'000}));
  EXPECT_EQ(asked("x @ 100"), (TimeRange{-200'000, 100'000}));
  EXPECT_EQ(asked("sum_over_time(x[2m:45s] offset 1m)"), (TimeRange{450'000 - 300'000, 810'000}));
}

TEST(SelectorTest, MatchersChooseSeries) {
  TestQuerier querier;
  querier.Load(kMinute, R"(
    x{a="1"} 1
    x{a="2"} 2
    x 3
    y{a="1"} 4
  )");
  ExpectInstant(querier, R"(x{a=~"1|2"})", 0, {R"(x{a="1"} 1)", R"(x{a="2"} 2)"});
  ExpectInstant(querier, R"(x{a=""})", 0, {"x 3"});
  ExpectInstant(querier, R"({a="1"})", 0, {R"(x{a="1"} 1)", R"(y{a="1"} 4)"});
  ExpectInstant(querier, R"(x{a!="1"})", 0, {"x 3", R"(x{a="2"} 2)"});
  ExpectInstant(querier, "nope", 0, {});
}

TEST(SelectorTest, TimestampIsThatOfTheSample) {
  TestQuerier querier;
  querier.Load(7 * kSecond, "x 1 1 1 stale");
  ExpectRange(querier, "timestamp(x)", 0, 25 * kSecond, 5 * kSecond, {"{} 0 0 7 14 14 _"});
  ExpectRange(querier, "timestamp((x offset 5s))", 5 * kSecond, 20 * kSecond, 5 * kSecond,
              {"{} 0 0 7 14"});
  ExpectRange(querier, "timestamp(x @ 8)", 0, 10 * kSecond, 5 * kSecond, {"{} 7 7 7"});
  // Of anything else it is the time of the step.
  ExpectRange(querier, "timestamp(x + 0)", 0, 10 * kSecond, 5 * kSecond, {"{} 0 5 10"});
  ExpectInstant(querier, "timestamp(timestamp(x))", 9 * kSecond, {"{} 9"});
}

}  // namespace
}  // namespace tinyobs::promql
