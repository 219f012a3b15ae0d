// Queries over data that has aged: the last hours raw, before them windows of five minutes, before
// those windows of an hour. A database in memory is filled for three days and ages on the way.
#include <algorithm>
#include <cmath>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "tests/promql/testing.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"
#include "tinyobs/db.h"

namespace tinyobs::promql {
namespace {

constexpr int64_t kMinute = 60'000;
constexpr int64_t kHour = 60 * kMinute;
// At the start of a partition of every tier.
constexpr int64_t kStart = int64_t{2460} * 192 * kHour;
constexpr int64_t kEnd = kStart + 72 * kHour;

class DownsampledTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Options options;
    options.file_system = &disk_;
    options.clock = &clock_;
    options.background_threads = false;
    options.partition_ms = kHour;
    options.downsampling = true;
    options.retention = {.raw_ms = 3 * kHour, .five_minutes_ms = 20 * kHour};
    ASSERT_OK_AND_ASSIGN(db_, Db::Open("db", options));
    const Labels counter = Labels::Of("c", {{"i", "1"}});
    const Labels gauge = Labels::Of("g", {{"i", "1"}});
    for (int64_t hour_ms = kStart; hour_ms < kEnd; hour_ms += kHour) {
      clock_.SetMs(hour_ms + kHour);
      const auto appender = db_->NewAppender();
      for (int64_t time_ms = hour_ms; time_ms < hour_ms + kHour; time_ms += 15'000) {
        // One a second; and 0 1 2 3 a minute.
        ASSERT_OK(appender->Add(counter, time_ms, static_cast<double>(time_ms - kStart) / 1000));
        ASSERT_OK(appender->Add(gauge, time_ms, static_cast<double>(time_ms / 15'000 % 4)));
      }
      ASSERT_OK(appender->Commit());
      if ((hour_ms - kStart) % (6 * kHour) == 0) {
        ASSERT_OK(db_->Downsample());
      }
    }
    ASSERT_OK(db_->Downsample());
  }

  // Least and greatest value of the only series, which has one at each step.
  std::pair<double, double> Bounds(std::string_view query, int64_t from_ms, int64_t to_ms) {
    const int64_t step_ms = 7 * kMinute;
    const auto result = QueryRange(*db_, query, from_ms, to_ms, step_ms);
    EXPECT_OK(result) << query;
    if (!result.ok() || result->matrix.size() != 1) {
      ADD_FAILURE() << query << ": not one series";
      return {NAN, NAN};
    }
    warnings_ = result->warnings;
    coarsest_ = result->stats.coarsest;
    const std::vector<double>& values = result->matrix[0].samples.values;
    EXPECT_EQ(values.size(), static_cast<size_t>((to_ms - from_ms) / step_ms) + 1) << query;
    const auto [least, greatest] = std::minmax_element(values.begin(), values.end());
    return {*least, *greatest};
  }
  void ExpectBetween(std::string_view query, double least, double greatest) {
    // Windows of an hour, of five minutes, raw, and all of them.
    for (const auto& [from_ms, to_ms, coarsest] :
         {std::tuple{kStart + 4 * kHour, kStart + 20 * kHour, Resolution::kOneHour},
          std::tuple{kEnd - 15 * kHour, kEnd - 6 * kHour, Resolution::kFiveMinutes},
          std::tuple{kEnd - kHour, kEnd - kMinute, Resolution::kRaw},
          std::tuple{kStart + 4 * kHour, kEnd - kMinute, Resolution::kOneHour}}) {
      const auto [low, high] = Bounds(query, from_ms, to_ms);
      EXPECT_GE(low, least - 1e-9) << query << " from " << (from_ms - kStart) / kHour;
      EXPECT_LE(high, greatest + 1e-9) << query << " from " << (from_ms - kStart) / kHour;
      EXPECT_EQ(coarsest_, coarsest) << query;
      EXPECT_EQ(warnings_.empty(), coarsest == Resolution::kRaw) << query;
    }
  }

  testing::MemoryFileSystem disk_;
  ManualClock clock_{kStart};
  std::unique_ptr<Db> db_;
  std::vector<std::string> warnings_;
  Resolution coarsest_ = Resolution::kRaw;
};

TEST_F(DownsampledTest, ShortRangesAreWidenedAndStayRight) {
  ExpectBetween("rate(c[5m])", 1, 1);
  ExpectBetween("increase(c[5m])", 300, 300);
  ExpectBetween("max_over_time(g[5m])", 3, 3);
  ExpectBetween("min_over_time(g[5m])", 0, 0);
  ExpectBetween("avg_over_time(g[5m])", 1.4, 1.6);
  ExpectBetween("present_over_time(g[5m])", 1, 1);
  // A closed window has a sample more where it begins at one.
  ExpectBetween("count_over_time(g[5m])", 20, 21);
  ExpectBetween("sum_over_time(g[5m])", 30, 33);
  EXPECT_NE(warnings_.at(0).find("widened"), std::string::npos);
}

TEST_F(DownsampledTest, LongRangesAreExactOverWholeWindows) {
  ExpectInstant(*db_, "count_over_time(g[12h])", kStart + 24 * kHour, {R"({i="1"} 2880)"});
  ExpectInstant(*db_, "sum_over_time(g[12h])", kStart + 24 * kHour, {R"({i="1"} 4320)"});
  ExpectInstant(*db_, "rate(c[12h])", kStart + 24 * kHour, {R"({i="1"} 1)"});
  ExpectInstant(*db_, "max_over_time(c[2h])", kStart + 24 * kHour, {R"({i="1"} 86385)"});
}

TEST_F(DownsampledTest, ASelectorSeesTheLastSampleOfAWindow) {
  // The last sample of hour 9.
  const int64_t time_ms = kStart + 10 * kHour + 30 * kMinute;
  ExpectInstant(*db_, "c", time_ms, {R"(c{i="1"} 35985)"});
  ExpectInstant(*db_, "timestamp(c) - " + std::to_string(kStart / 1000), time_ms,
                {R"({i="1"} 35985)"});
  ExpectInstant(*db_, "absent(c)", time_ms, {});
  ExpectInstant(*db_, "absent_over_time(c[1m])", time_ms, {});
  ASSERT_OK_AND_ASSIGN(const QueryResult result, Query(*db_, "c", time_ms));
  ASSERT_EQ(result.warnings.size(), 1u);
  EXPECT_EQ(result.stats.coarsest, Resolution::kOneHour);
}

TEST_F(DownsampledTest, ACoarserResolutionIsTakenWhenAskedForAndThenIsNoSurprise) {
  QueryOptions options;
  options.resolution = Resolution::kFiveMinutes;
  ASSERT_OK_AND_ASSIGN(const QueryResult result,
                       Query(*db_, "max_over_time(g[10h])", kEnd - 6 * kHour, options));
  EXPECT_EQ(result.stats.coarsest, Resolution::kFiveMinutes);
  EXPECT_TRUE(result.warnings.empty());
  ASSERT_EQ(result.vector.size(), 1u);
  EXPECT_EQ(result.vector[0].value, 3);
}

}  // namespace
}  // namespace tinyobs::promql
