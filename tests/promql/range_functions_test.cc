// Functions of range vectors by hand: one rule of Prometheus a test, with numbers that can be
// checked in one's head, or that promtool 2.42 gave.
#include "lib/promql/range_functions.h"

#include <cmath>
#include <limits>
#include <span>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tests/promql/testing.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {
namespace {

using Id = FunctionId;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();

// A series written as in testing.h, a sample every 10 s from 0 on, and windows over it. Times are
// in seconds.
class Over {
 public:
  explicit Over(std::string_view samples, double every_s = 10) {
    const VectorSeries series = TestSeries(samples);
    for (size_t i = 0; i < series.values.size(); ++i) {
      if (IsAbsent(series.values[i])) continue;
      times_ms_.push_back(static_cast<int64_t>(1000 * every_s * static_cast<double>(i)));
      values_.push_back(series.values[i]);
    }
  }

  absl::StatusOr<std::vector<double>> Try(Id id, double range_s, Steps windows,
                                          std::vector<double> args, double later_s = 0) const {
    RangeInput input{times_ms_, values_, windows, static_cast<int64_t>(1000 * range_s), windows};
    input.steps.start_ms += static_cast<int64_t>(1000 * later_s);
    std::vector<std::vector<double>> columns;
    for (const double arg : args) columns.emplace_back(windows.count, arg);
    const std::vector<std::span<const double>> spans(columns.begin(), columns.end());
    std::vector<double> out(windows.count);
    RangeScratch scratch;
    if (absl::Status status = EvalRange(id, input, spans, &scratch, out); !status.ok()) {
      return status;
    }
    return out;
  }

  // Of the window that ends at `end_s`.
  double At(Id id, double range_s, double end_s, std::vector<double> args = {},
            double later_s = 0) const {
    const Steps one{static_cast<int64_t>(1000 * end_s), 1, 1};
    const auto values = Try(id, range_s, one, std::move(args), later_s);
    EXPECT_OK(values);
    return values.ok() ? values->front() : kNan;
  }

 private:
  std::vector<int64_t> times_ms_;
  std::vector<double> values_;
};

TEST(Window, IsClosedOnBothSides) {
  const Over series("x 1+1x10");
  EXPECT_EQ(series.At(IdOf("count_over_time"), 20, 30), 3);
  EXPECT_EQ(series.At(IdOf("count_over_time"), 20.001, 30), 3);
  EXPECT_EQ(series.At(IdOf("count_over_time"), 19.999, 30), 2);
  EXPECT_EQ(series.At(IdOf("count_over_time"), 20, 29.999), 2);
}

TEST(Window, WithTooFewSamplesHasNoElement) {
  const Over series("x 1 2 _x10 3");
  for (const Id id :
       {IdOf("sum_over_time"), IdOf("rate"), IdOf("changes"), IdOf("max_over_time")}) {
    EXPECT_TRUE(IsAbsent(series.At(id, 5, 17)));
    EXPECT_TRUE(IsAbsent(series.At(id, 5, -1)));
  }
  for (const Id id : {IdOf("rate"), IdOf("increase"), IdOf("delta"), IdOf("irate"), IdOf("idelta"),
                      IdOf("deriv")}) {
    EXPECT_TRUE(IsAbsent(series.At(id, 5, 10)));
    EXPECT_FALSE(IsAbsent(series.At(id, 10, 10)));
  }
}

TEST(Rate, IsExtendedToTheEndsOfTheWindowWhenASampleIsDueThere) {
  const Over series("x 100+10x10");  // 1 a second
  EXPECT_DOUBLE_EQ(series.At(IdOf("increase"), 50, 50), 50);
  // Samples at 20, 30, 40; 4 and 6 seconds more.
  EXPECT_DOUBLE_EQ(series.At(IdOf("increase"), 30, 46), 30);
  EXPECT_DOUBLE_EQ(series.At(IdOf("rate"), 30, 46), 1);
  EXPECT_DOUBLE_EQ(series.At(IdOf("delta"), 30, 46), 30);
}

TEST(Rate, IsExtendedByHalfAnIntervalWhereTheSeriesBeginsOrEnds) {
  const Over series("x 100+10x3");  // at 0, 10, 20, 30
  // 11 s to the end are no longer less than 1.1 intervals.
  EXPECT_DOUBLE_EQ(series.At(IdOf("increase"), 41, 41), 30 * (30.0 + 0 + 5) / 30);
  EXPECT_DOUBLE_EQ(series.At(IdOf("increase"), 40.9, 40.9), 30 * (30.0 + 0 + 10.9) / 30);
  EXPECT_DOUBLE_EQ(series.At(IdOf("increase"), 60, 30), 30 * (30.0 + 5 + 0) / 30);
}

TEST(Rate, OfACounterIsNotExtendedBelowZero) {
  const Over series("x _ 2+10x3");  // at 10 .. 40; zero would have been at 8 s
  EXPECT_DOUBLE_EQ(series.At(IdOf("increase"), 38, 42), 30 * (30.0 + 2 + 2) / 30);
  EXPECT_DOUBLE_EQ(series.At(IdOf("delta"), 38, 42), 30 * (30.0 + 6 + 2) / 30);
}

TEST(Rate, AddsWhatWasThereBeforeEachReset) {
  const Over series("x 5 10 2 8 1 9", 60);
  EXPECT_DOUBLE_EQ(series.At(IdOf("rate"), 300, 300), 7.333333333333333e-02);  // (9-5+10+8) / 300
  EXPECT_EQ(series.At(IdOf("resets"), 300, 300), 2);
  EXPECT_EQ(series.At(IdOf("resets"), 120, 300), 1);
  EXPECT_EQ(series.At(IdOf("irate"), 60, 240), 1.0 / 60);
  EXPECT_EQ(series.At(IdOf("idelta"), 60, 240), -7);
}

TEST(Changes, CountNanAsOneValue) {
  const Over series("x 1 1 NaN NaN 2 2 -0 0");
  EXPECT_EQ(series.At(IdOf("changes"), 70, 70), 3);
  EXPECT_EQ(series.At(IdOf("resets"), 70, 70), 1);
}

TEST(Extremes, OfZerosTheFirstIsTheAnswer) {
  for (const Id id : {IdOf("min_over_time"), IdOf("max_over_time")}) {
    for (const int end : {20, 30, 40, 50}) {  // -0 0 -0, 0 -0 NaN, -0 NaN 0, NaN 0 -0
      const Over series("x -0 0 -0 NaN 0 -0");
      EXPECT_EQ(std::signbit(series.At(id, 20, end)), end % 20 == 0) << end;
    }
  }
}

TEST(SumOverTime, KeepsWhatCancelsAndInfinities) {
  EXPECT_EQ(Over("x 1e100 1 -1e100 1").At(IdOf("sum_over_time"), 30, 30), 2);
  EXPECT_EQ(Over("x 1 Inf 5").At(IdOf("sum_over_time"), 30, 20), kInfinity);
  EXPECT_TRUE(std::isnan(Over("x 1 Inf -Inf").At(IdOf("sum_over_time"), 30, 20)));
  EXPECT_TRUE(std::isnan(Over("x 1 NaN 3").At(IdOf("sum_over_time"), 30, 20)));
  EXPECT_EQ(Over("x 1e308 1e308 -1e308").At(IdOf("sum_over_time"), 30, 20), kInfinity);
}

TEST(AvgOverTime, IsARunningMean) {
  EXPECT_EQ(Over("x 1 2 6").At(IdOf("avg_over_time"), 30, 20), 3);
  EXPECT_EQ(Over("x 1e308 1e308").At(IdOf("avg_over_time"), 30, 20), 1e308);
  EXPECT_EQ(Over("x 1 Inf 5 Inf").At(IdOf("avg_over_time"), 30, 30), kInfinity);
  EXPECT_EQ(Over("x -Inf 5").At(IdOf("avg_over_time"), 30, 30), -kInfinity);
  EXPECT_TRUE(std::isnan(Over("x Inf 1 -Inf").At(IdOf("avg_over_time"), 30, 30)));
  EXPECT_TRUE(std::isnan(Over("x Inf NaN 1").At(IdOf("avg_over_time"), 30, 30)));
  // Not 2/3: what it rounds on the way is Prometheus' way.
  EXPECT_EQ(Over("x 1e16 1 -1e16 1 1 1").At(IdOf("avg_over_time"), 50, 50), 0.5);
}

TEST(Extremes, PassOverNanUnlessThereIsNothingElse) {
  EXPECT_EQ(Over("x NaN 3 NaN 5 1").At(IdOf("max_over_time"), 50, 50), 5);
  EXPECT_EQ(Over("x NaN 3 NaN 5 1").At(IdOf("min_over_time"), 50, 50), 1);
  EXPECT_TRUE(std::isnan(Over("x NaN NaN").At(IdOf("max_over_time"), 50, 50)));
  EXPECT_EQ(Over("x NaN -Inf").At(IdOf("max_over_time"), 50, 50), -kInfinity);
  EXPECT_EQ(Over("x Inf NaN").At(IdOf("min_over_time"), 50, 50), kInfinity);
}

TEST(StddevOverTime, IsOfThePopulation) {
  const Over series("x 2 4 4 4 5 5 7 9");
  EXPECT_DOUBLE_EQ(series.At(IdOf("stddev_over_time"), 70, 70), 2);
  EXPECT_DOUBLE_EQ(series.At(IdOf("stdvar_over_time"), 70, 70), 4);
  EXPECT_EQ(Over("x 0.1x20").At(IdOf("stdvar_over_time"), 200, 200), 0);
  EXPECT_NEAR(Over("x 1e16 1 -1e16 1 1 1").At(IdOf("stddev_over_time"), 50, 50),
              5.773502691896257e15, 1e6);
}

TEST(QuantileOverTime, IsBetweenValuesInOrder) {
  const Over series("x 3 1 NaN 2");  // NaN 1 2 3
  EXPECT_DOUBLE_EQ(series.At(IdOf("quantile_over_time"), 50, 50, {0.5}), 1.5);
  EXPECT_TRUE(std::isnan(series.At(IdOf("quantile_over_time"), 50, 50, {0.1})));
  EXPECT_EQ(series.At(IdOf("quantile_over_time"), 50, 50, {1}), 3);
  EXPECT_EQ(series.At(IdOf("quantile_over_time"), 50, 50, {1.01}), kInfinity);
  EXPECT_EQ(series.At(IdOf("quantile_over_time"), 50, 50, {-0.01}), -kInfinity);
  EXPECT_TRUE(std::isnan(series.At(IdOf("quantile_over_time"), 50, 50, {kNan})));
  EXPECT_TRUE(IsAbsent(series.At(IdOf("quantile_over_time"), 5, 55, {2})));
}

TEST(QuantileOverTime, OfEqualZerosTheOneInItsPlaceIsTheAnswer) {
  // Of up to twelve values: zeros are ranked as they come.
  const auto sign = [](std::string_view values, double phi) {
    const double value = Over(values).At(IdOf("quantile_over_time"), 200, 200, {phi});
    EXPECT_EQ(value, 0) << values;
    return std::signbit(value) ? -1 : 1;
  };
  EXPECT_EQ(sign("x 0 -1 -0", 1), -1);
  EXPECT_EQ(sign("x -0 0 -1", 1), 1);
  // What lies above has the weight 0, whose sign counts.
  EXPECT_EQ(sign("x -0 1 0 -0", 0), 1);
  EXPECT_EQ(sign("x -0 -0 0 1", 0), -1);
  EXPECT_EQ(sign("x 1 1 -0 1 1 0 1 1 1 -0 1 1", 0), 1);
  EXPECT_EQ(sign("x 1 1 -0 1 1 -0 1 1 1 0 1 1", 0), -1);
}

TEST(Quantile, OfNothingIsNan) { EXPECT_TRUE(std::isnan(Quantile(0.5, {}))); }

TEST(Linear, FollowsTheLine) {
  const Over series("x 0+10x10");
  EXPECT_DOUBLE_EQ(series.At(IdOf("deriv"), 50, 53), 1);
  EXPECT_DOUBLE_EQ(series.At(IdOf("predict_linear"), 50, 53, {60}), 113);
  // The window is an hour before the step: the prediction is from the step.
  EXPECT_DOUBLE_EQ(series.At(IdOf("predict_linear"), 50, 53, {60}, 3600), 3713);
}

TEST(Linear, IsLevelWhenAllValuesAreTheSame) {
  EXPECT_EQ(Over("x 0.1x5").At(IdOf("deriv"), 50, 50), 0);
  EXPECT_EQ(Over("x 0.1x5").At(IdOf("predict_linear"), 50, 50, {1e9}), 0.1);
  EXPECT_TRUE(std::isnan(Over("x Infx5").At(IdOf("deriv"), 50, 50)));
  EXPECT_TRUE(std::isnan(Over("x NaNx5").At(IdOf("deriv"), 50, 50)));
}

TEST(HoltWinters, FollowsALineExactly) {
  EXPECT_DOUBLE_EQ(Over("x 0+10x10").At(IdOf("holt_winters"), 50, 50, {0.3, 0.6}), 50);
}

TEST(HoltWinters, RefusesFactorsOutsideOfZeroToOne) {
  const Over series("x 1");
  const Steps one{0, 1, 1};
  const auto message = [&](double smoothing, double trend) {
    const auto result = series.Try(IdOf("holt_winters"), 50, one, {smoothing, trend});
    EXPECT_CODE(result, absl::StatusCode::kFailedPrecondition);
    return std::string(result.status().message());
  };
  EXPECT_EQ(message(1, 0.5), "invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000");
  EXPECT_EQ(message(0.5, kInfinity), "invalid trend factor. Expected: 0 < tf < 1, got: +Inf");
  EXPECT_EQ(message(-0.25, 0), "invalid smoothing factor. Expected: 0 < sf < 1, got: -0.250000");
  // Nobody asks without a sample.
  EXPECT_OK(series.Try(IdOf("holt_winters"), 50, {1'000'000, 1, 1}, {1, 1}));
}

TEST(LastOverTime, IsTheNewestSampleOfTheWindow) {
  EXPECT_EQ(Over("x 1 2 NaN 4").At(IdOf("last_over_time"), 50, 39), 4);
  EXPECT_EQ(Over("x 1 2 NaN 4").At(IdOf("present_over_time"), 50, 29), 1);
}

TEST(Windows, ThatAreAllTheSameGiveTheSame) {
  const auto values = Over("x 1+1x10").Try(IdOf("sum_over_time"), 20, {50'000, 0, 3}, {});
  ASSERT_OK(values);
  EXPECT_EQ(*values, (std::vector<double>{15, 15, 15}));
}

}  // namespace
}  // namespace tinyobs::promql
