// Goal: numbers leave as the shortest text that reads back bit-identical. Method: chosen edges with
// the text spelled out, then random bit patterns read back by the C library.
#include "lib/wire/number.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace tinyobs::wire {
namespace {

std::string Json(double value) {
  std::string out;
  AppendJsonNumber(value, &out);
  return out;
}

std::string Text(double value) {
  std::string out;
  AppendTextNumber(value, &out);
  return out;
}

TEST(JsonNumber, ShortValuesAreShort) {
  EXPECT_EQ(Json(0), "0");
  EXPECT_EQ(Json(-0.0), "-0");
  EXPECT_EQ(Json(3.5), "3.5");
  EXPECT_EQ(Json(0.1), "0.1");
  EXPECT_EQ(Json(100000), "100000");
  EXPECT_EQ(Json(1700000000123), "1700000000123");
}

TEST(JsonNumber, ExponentFormOnlyOutsideTheRangeOfTheOriginal) {
  EXPECT_EQ(Json(1e20), "100000000000000000000");
  EXPECT_EQ(Json(1e21), "1e+21");
  EXPECT_EQ(Json(-1e21), "-1e+21");
  EXPECT_EQ(Json(1e-6), "0.000001");
  EXPECT_EQ(Json(1e-7), "1e-7");
  EXPECT_EQ(Json(1.5e-7), "1.5e-7");
  EXPECT_EQ(Json(1e100), "1e+100");
  EXPECT_EQ(Json(std::numeric_limits<double>::denorm_min()), "5e-324");
  EXPECT_EQ(Json(std::numeric_limits<double>::max()), "1.7976931348623157e+308");
}

TEST(JsonNumber, WhatJsonCannotCarryIsNull) {
  EXPECT_EQ(Json(std::nan("")), "null");
  EXPECT_EQ(Json(HUGE_VAL), "null");
  EXPECT_EQ(Json(-HUGE_VAL), "null");
}

TEST(TextNumber, HasNamesForNanAndInfinities) {
  EXPECT_EQ(Text(std::nan("")), "NaN");
  EXPECT_EQ(Text(HUGE_VAL), "+Inf");
  EXPECT_EQ(Text(-HUGE_VAL), "-Inf");
  EXPECT_EQ(Text(2.25), "2.25");
}

TEST(ParseJsonNumber, TakesJsonAndNothingElse) {
  const auto parse = [](std::string_view text) {
    double value = 12345;
    return ParseJsonNumber(text, &value) ? value : std::nan("");
  };
  EXPECT_EQ(parse("0"), 0);
  EXPECT_TRUE(std::signbit(parse("-0")));
  EXPECT_EQ(parse("-1.5E+2"), -150);
  EXPECT_EQ(parse("0.1000000000000000055511151231257827021181583404541015625"), 0.1);
  for (const char* text : {"", "-", "+1", "01", "-01", ".5", "1.", "1.e5", "1e", "1e+", "0x10",
                           "1 ", " 1", "NaN", "Infinity", "1_0", "1e5.5", "--1", "1,5"}) {
    EXPECT_TRUE(std::isnan(parse(text))) << text;
  }
}

TEST(ParseJsonNumber, TooSmallIsZeroTooLargeIsRefusedHoweverItIsWritten) {
  double value = 1;
  for (const std::string& text :
       {std::string("1e-400"), "0." + std::string(400, '0') + "1",
        "0." + std::string(400, '0') + "1e5", "1" + std::string(300, '0') + "e-700",
        std::string("1e-99999999999999999999")}) {
    EXPECT_TRUE(ParseJsonNumber(text, &value)) << text;
    EXPECT_EQ(value, 0) << text;
  }
  EXPECT_TRUE(ParseJsonNumber("-1e-400", &value));
  EXPECT_TRUE(std::signbit(value));
  for (const std::string& text :
       {std::string("1e400"), "1" + std::string(400, '0'), "1" + std::string(400, '0') + "e-5",
        std::string("0.001e999"), std::string("-1e99999999999999999999")}) {
    EXPECT_FALSE(ParseJsonNumber(text, &value)) << text;
  }
}

TEST(JsonNumber, EveryDoubleReadsBackBitIdentical) {
  std::mt19937_64 random(20251118);
  for (int i = 0; i < 200'000; ++i) {
    const auto value = std::bit_cast<double>(random());
    if (!std::isfinite(value)) continue;
    const std::string text = Json(value);
    double back = std::strtod(text.c_str(), nullptr);
    ASSERT_EQ(std::bit_cast<uint64_t>(back), std::bit_cast<uint64_t>(value)) << text;
    ASSERT_TRUE(ParseJsonNumber(text, &back));
    ASSERT_EQ(std::bit_cast<uint64_t>(back), std::bit_cast<uint64_t>(value)) << text;
  }
}

}  // namespace
}  // namespace tinyobs::wire
