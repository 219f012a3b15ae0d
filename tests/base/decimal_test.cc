// Shortest decimals without exponent.
#include "lib/base/decimal.h"

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>

#include "gtest/gtest.h"

namespace tinyobs {
namespace {

std::string Text(double value) {
  char text[kMostDecimalBytes];
  return std::string(text, WriteDecimal(value, text));
}

// The right column is what Go's strconv.FormatFloat(value, 'f', -1, 64) writes.
TEST(Decimal, IsTheShortestWithoutExponent) {
  EXPECT_EQ(Text(0), "0");
  EXPECT_EQ(Text(-0.0), "-0");
  EXPECT_EQ(Text(1), "1");
  EXPECT_EQ(Text(-12.5), "-12.5");
  EXPECT_EQ(Text(100), "100");
  EXPECT_EQ(Text(0.1), "0.1");
  EXPECT_EQ(Text(0.000001234), "0.000001234");
  EXPECT_EQ(Text(1234567890.0625), "1234567890.0625");
  EXPECT_EQ(Text(9007199254740993.0 * 4), "36028797018963970");
  EXPECT_EQ(Text(1e23), "1" + std::string(23, '0'));
  EXPECT_EQ(Text(std::numeric_limits<double>::max()), "17976931348623157" + std::string(292, '0'));
  EXPECT_EQ(Text(-std::numeric_limits<double>::denorm_min()), "-0." + std::string(323, '0') + "5");
  EXPECT_EQ(Text(std::nan("")), "NaN");
  EXPECT_EQ(Text(INFINITY), "+Inf");
  EXPECT_EQ(Text(-INFINITY), "-Inf");
}

TEST(Decimal, ReadsBackAsTheSame) {
  constexpr uint64_t kSeed = 17;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  for (int i = 0; i < 20'000; ++i) {
    const double value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    const std::string text = Text(value);
    ASSERT_LE(text.size(), kMostDecimalBytes);
    ASSERT_EQ(std::strtod(text.c_str(), nullptr), value) << text;
  }
}

}  // namespace
}  // namespace tinyobs
