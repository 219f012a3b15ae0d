// Goal: one point says the same thing about its samples, whatever it was made of. Method: small
// columns and windows against points worked out by hand; a random history against its definition.
#include "tools/serve/chart_points.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace tinyobs::serve {
namespace {

constexpr int64_t kMinuteMs = 60'000;
constexpr int64_t kHourMs = 60 * kMinuteMs;
constexpr WindowValue kValues[] = {WindowValue::kAverage, WindowValue::kSum, WindowValue::kCount,
                                   WindowValue::kMin,     WindowValue::kMax, WindowValue::kLast};

Columns Points(std::initializer_list<std::pair<int64_t, double>> points) {
  Columns columns;
  for (const auto& [time, value] : points) columns.Add(time, value);
  return columns;
}

// Windows of samples, by their definition.
Windows WindowsOf(const Columns& samples, Resolution resolution) {
  Windows windows;
  windows.resolution = resolution;
  for (size_t i = 0; i < samples.size(); ++i) {
    const int64_t time_ms = samples.timestamps_ms[i];
    const double value = samples.values[i];
    const int64_t start_ms = time_ms / ResolutionMs(resolution) * ResolutionMs(resolution);
    if (windows.empty() || windows.start_ms.back() != start_ms) {
      windows.start_ms.push_back(start_ms);
      windows.count.push_back(0);
      windows.sum.push_back(0);
      windows.min.push_back(value);
      windows.max.push_back(value);
      windows.last.push_back(value);
      windows.last_ms.push_back(time_ms);
    }
    ++windows.count.back();
    windows.sum.back() += value;
    windows.min.back() = std::min(windows.min.back(), value);
    windows.max.back() = std::max(windows.max.back(), value);
    windows.last.back() = value;
    windows.last_ms.back() = time_ms;
  }
  return windows;
}

Columns Between(const Columns& samples, int64_t from_ms, int64_t end_ms) {
  Columns part;
  for (size_t i = 0; i < samples.size(); ++i) {
    const int64_t time_ms = samples.timestamps_ms[i];
    if (from_ms <= time_ms && time_ms < end_ms) part.Add(time_ms, samples.values[i]);
  }
  return part;
}

// Samples alone, thinned.
Columns Thin(const Columns& samples, size_t max_points, WindowValue value = WindowValue::kAverage) {
  return ChartPoints({}, samples, {.range = {}, .value = value, .max_points = max_points});
}

TEST(ChartPoints, KeepsSamplesThatFit) {
  const Columns samples = Points({{1, 1}, {2, 2}, {3, 3}});
  EXPECT_EQ(Thin(samples, 3).values, samples.values);
  EXPECT_EQ(Thin(samples, 2).values, samples.values);  // floor(3 / 2) = 1 point a group
  EXPECT_EQ(Thin(samples, 3, WindowValue::kCount).values, (std::vector<double>{1, 1, 1}));
  EXPECT_TRUE(Thin({}, 3).empty());
}

TEST(ChartPoints, GroupsBecomeOnePointAtTheFirstTime) {
  const Columns samples = Points({{1, 1}, {2, 2}, {3, 3}, {4, 5}, {5, 9}});
  for (const auto& [value, expected] : std::vector<std::pair<WindowValue, std::vector<double>>>{
           {WindowValue::kAverage, {1.5, 4, 9}},
           {WindowValue::kSum, {3, 8, 9}},
           {WindowValue::kCount, {2, 2, 1}},
           {WindowValue::kMin, {1, 3, 9}},
           {WindowValue::kMax, {2, 5, 9}}}) {
    const Columns thin = Thin(samples, 2, value);
    EXPECT_EQ(thin.timestamps_ms, (std::vector<int64_t>{1, 3, 5}));
    EXPECT_EQ(thin.values, expected);
  }
}

TEST(ChartPoints, LastKeepsPointsThatExist) {
  const double nan = std::nan("");
  const Columns thin = Thin(Points({{1, 1}, {2, 2}, {3, 3}, {4, nan}, {5, nan}, {6, nan}, {7, 9}}),
                            3, WindowValue::kLast);
  EXPECT_EQ(thin.timestamps_ms, (std::vector<int64_t>{2, 3, 6, 7}));
  EXPECT_EQ(thin.values[0], 2);
  EXPECT_EQ(thin.values[1], 3);  // NaN does not count
  EXPECT_TRUE(std::isnan(thin.values[2]));
  EXPECT_EQ(thin.values[3], 9);
}

TEST(ChartPoints, NanDoesNotCountAndLargeValuesDoNotOverflow) {
  const double big = std::numeric_limits<double>::max();
  const double nan = std::nan("");
  const Columns thin = Thin(Points({{1, nan}, {2, 2}, {3, big}, {4, big}, {5, nan}, {6, nan}}), 3);
  ASSERT_EQ(thin.size(), 3u);
  EXPECT_EQ(thin.timestamps_ms, (std::vector<int64_t>{1, 3, 5}));
  EXPECT_EQ(thin.values[0], 2);
  EXPECT_EQ(thin.values[1], big);
  EXPECT_TRUE(std::isnan(thin.values[2]));
}

TEST(ChartPoints, AveragesWeighTheirSamples) {
  // One window of three samples and one of a single.
  const Columns samples = Points({{0, 1}, {1, 1}, {2, 1}, {300'000, 5}});
  const std::vector<Windows> windows = {WindowsOf(samples, Resolution::kFiveMinutes)};
  const ChartOptions chart{.range = {0, kHourMs}, .value = WindowValue::kAverage, .max_points = 1};
  EXPECT_EQ(ChartPoints(windows, {}, chart).values, (std::vector<double>{2}));
}

TEST(ChartPoints, WindowsThatOnlyOverlapAreDrawnInAShortRangeOnly) {
  const Columns samples = Points({{kHourMs + 1'000, 4}, {2 * kHourMs, 6}});
  const std::vector<Windows> windows = {WindowsOf(samples, Resolution::kOneHour)};
  ChartOptions chart{.range = {kHourMs + 1, 2 * kHourMs + 1}, .max_points = 100};
  EXPECT_EQ(ChartPoints(windows, {}, chart).timestamps_ms, (std::vector<int64_t>{2 * kHourMs}));
  chart.range = {kHourMs + 10 * kMinuteMs, kHourMs + 20 * kMinuteMs};
  for (const WindowValue value : {WindowValue::kAverage, WindowValue::kLast}) {
    chart.value = value;
    std::vector<Windows> first = {
        WindowsOf(Between(samples, 0, 2 * kHourMs), Resolution::kOneHour)};
    const Columns points = ChartPoints(first, {}, chart);
    EXPECT_EQ(points.timestamps_ms, (std::vector<int64_t>{chart.range.from_ms}));
    EXPECT_EQ(points.values, (std::vector<double>{4}));
  }
}

TEST(ChartPoints, FinerPiecesBetweenCoarserOnesComeInOrder) {
  const Columns samples = Points({{0, 1}, {kHourMs, 2}, {2 * kHourMs, 3}, {3 * kHourMs, 4}});
  const auto part = [&](int64_t hour, Resolution resolution) {
    return WindowsOf(Between(samples, hour * kHourMs, (hour + 1) * kHourMs), resolution);
  };
  Windows hours = part(0, Resolution::kOneHour);
  const Windows third = part(2, Resolution::kOneHour);
  hours.start_ms.push_back(third.start_ms[0]);
  hours.count.push_back(1);
  hours.sum.push_back(3);
  const std::vector<Windows> windows = {hours, part(1, Resolution::kFiveMinutes)};
  const ChartOptions chart{.range = {0, 4 * kHourMs}, .max_points = 100};
  const Columns points = ChartPoints(windows, Between(samples, 3 * kHourMs, 4 * kHourMs), chart);
  EXPECT_EQ(points.values, samples.values);
  EXPECT_EQ(points.timestamps_ms, samples.timestamps_ms);
}

TEST(ChartPoints, SamplesAndFinerWindowsAreGatheredIntoTheCoarsest) {
  constexpr uint32_t kSeed = 20'251'118;
  std::mt19937 random(kSeed);
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << kSeed << " round " << round);
    // Integers, so that sums are exact in any order.
    Columns samples;
    for (int64_t time_ms = static_cast<int64_t>(random() % kHourMs); time_ms < 9 * kHourMs;
         time_ms += static_cast<int64_t>(1 + random() % (20 * kMinuteMs))) {
      samples.Add(time_ms, static_cast<double>(random() % 1000));
    }
    const int64_t hours_end_ms = static_cast<int64_t>(random() % 5) * kHourMs;
    const int64_t minutes_end_ms = hours_end_ms + static_cast<int64_t>(random() % 5) * kHourMs;
    const Windows hours = WindowsOf(Between(samples, 0, hours_end_ms), Resolution::kOneHour);
    const Windows minutes =
        WindowsOf(Between(samples, hours_end_ms, minutes_end_ms), Resolution::kFiveMinutes);
    const Windows all = WindowsOf(samples, Resolution::kOneHour);
    for (const WindowValue value : kValues) {
      const ChartOptions chart{.range = {0, 9 * kHourMs},
                               .value = value,
                               .even = Resolution::kOneHour,
                               .max_points = 100};
      const Columns points = ChartPoints(std::vector<Windows>{hours, minutes},
                                         Between(samples, minutes_end_ms, 9 * kHourMs), chart);
      const Columns expected = ChartPoints(std::vector<Windows>{all}, {}, chart);
      EXPECT_EQ(points.timestamps_ms, expected.timestamps_ms);
      ASSERT_EQ(points.size(), expected.size());
      for (size_t i = 0; i < points.size(); ++i) {
        EXPECT_NEAR(points.values[i], expected.values[i], 1e-12 * std::abs(expected.values[i]));
      }
    }
  }
}

}  // namespace
}  // namespace tinyobs::serve
