// histogram_quantile: a rule a test. The numbers were checked against promtool 2.42.
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "lib/promql/vector_functions.h"
#include "tests/promql/testing.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();

struct Bucket {
  std::string_view le;
  double count;
};

// Of one histogram at one step.
double QuantileOf(double phi, const std::vector<Bucket>& buckets) {
  Vector vector;
  for (const Bucket& bucket : buckets) {
    vector.push_back({Labels::Of("h_bucket", {{"le", bucket.le}}), {bucket.count}});
  }
  const Vector result = HistogramQuantile(std::vector<double>{phi}, std::move(vector));
  if (result.size() != 1) return Absent();
  EXPECT_EQ(result[0].labels, Labels());
  return result[0].values[0];
}

const std::vector<Bucket> kTen = {{"1", 2}, {"2", 6}, {"4", 8}, {"+Inf", 10}};

TEST(HistogramQuantile, IsLinearWithinABucket) {
  EXPECT_DOUBLE_EQ(QuantileOf(0.1, kTen), 0.5);
  EXPECT_DOUBLE_EQ(QuantileOf(0.4, kTen), 1.5);
  EXPECT_DOUBLE_EQ(QuantileOf(0.7, kTen), 3);
}

TEST(HistogramQuantile, StopsAtTheHighestFiniteBound) {
  EXPECT_EQ(QuantileOf(0.9, kTen), 4);
  EXPECT_EQ(QuantileOf(1, kTen), 4);
}

TEST(HistogramQuantile, BeginsAtZeroOrAtANegativeBound) {
  EXPECT_DOUBLE_EQ(QuantileOf(0, kTen), 0);
  const std::vector<Bucket> negative = {{"-2", 5}, {"2", 6}, {"+Inf", 9}};
  EXPECT_EQ(QuantileOf(0.3, negative), -2);
  EXPECT_NEAR(QuantileOf(0.6, negative), -0.4, 1e-12);
}

TEST(HistogramQuantile, OfPhiOutsideOfZeroToOne) {
  EXPECT_EQ(QuantileOf(-0.1, kTen), -kInfinity);
  EXPECT_EQ(QuantileOf(1.1, kTen), kInfinity);
  EXPECT_TRUE(std::isnan(QuantileOf(kNan, kTen)));
}

TEST(HistogramQuantile, IsNanWithoutInfinityOrObservations) {
  EXPECT_TRUE(std::isnan(QuantileOf(0.5, {{"1", 2}, {"2", 6}})));
  EXPECT_TRUE(std::isnan(QuantileOf(0.5, {{"+Inf", 6}})));
  EXPECT_TRUE(std::isnan(QuantileOf(0.5, {{"1", 0}, {"+Inf", 0}})));
  EXPECT_EQ(QuantileOf(-1, {{"1", 2}, {"2", 6}}), -kInfinity);
}

TEST(HistogramQuantile, LetsNoBucketCountLessThanOneBelow) {
  const std::vector<Bucket> broken = {{"1", 5}, {"2", 3}, {"4", 7}, {"+Inf", 6}};
  EXPECT_DOUBLE_EQ(QuantileOf(0.8, broken), 2.6);
}

TEST(HistogramQuantile, AddsBucketsWithTheSameBound) {
  const std::vector<Bucket> twice = {{"1", 1}, {"2", 4}, {"1.0", 2}, {"+Inf", 4}};
  EXPECT_DOUBLE_EQ(QuantileOf(0.7, twice), 9.333333333333332e-01);
}

TEST(HistogramQuantile, ReadsBoundsAsGoDoes) {
  const auto upper_of = [](std::string_view le) {
    return QuantileOf(1, {{"-100", 0}, {le, 1}, {"+Inf", 1}});
  };
  EXPECT_EQ(upper_of("1_0"), 10);
  EXPECT_EQ(upper_of("1_0.5e+0_1"), 105);
  EXPECT_EQ(upper_of("0x1p3"), 8);
  EXPECT_EQ(upper_of("0X_1.8P1"), 3);
  EXPECT_EQ(upper_of("+5."), 5);
  EXPECT_EQ(upper_of(".5"), 0.5);
  EXPECT_EQ(upper_of("-1E1"), -10);
  EXPECT_EQ(upper_of("1e-400"), 0);
  EXPECT_DOUBLE_EQ(QuantileOf(0.2, {{"8", 3}, {"inFinity", 9}}), 4.8);
  for (const std::string_view le :
       {"",     "x",   "1e400", "-1e400", "1e", "--1",  "+-1",    "0x10",
        "1__0", "_1",  "1_",    "1_.5",   " 1", "1 ",   "nan(1)", "+nan",
        "1e5x", "0b1", ".",     "e5",     "0x", "0xp1", "i",      "1_e5"}) {
    EXPECT_DOUBLE_EQ(QuantileOf(0.4, {{"1", 2}, {"2", 6}, {"4", 8}, {"+Inf", 10}, {le, 99}}), 1.5)
        << le;
  }
}

TEST(HistogramQuantile, TakesTheBucketsOfTheStep) {
  const std::vector<double> phi = {0.5, 0.5, 1, 0.5};
  const Vector result = HistogramQuantile(
      phi, TestVector({R"(h_bucket{job="a",le="1"} 4 _ 4 _)", R"(h_bucket{job="b",le="1"} 1 1 1 1)",
                       R"(h_bucket{job="a",le="2"} 4 4 _ _)", R"(h_bucket{job="a"} 7 7 7 7)",
                       R"(h_bucket{job="a",le="+Inf"} 4 4 4 _)", R"(x{job="a",le="1"} 7 7 7 7)"}));
  // The names are gone, not what they told apart: a step with both is the evaluator's to refuse.
  ExpectVector(result, {R"({job="a"} 0.5 1 1 _)", R"({job="b"} NaN NaN NaN NaN)",
                        R"({job="a"} NaN NaN NaN NaN)"});
}

}  // namespace
}  // namespace tinyobs::promql
