// Numbers, durations and strings of PromQL, by the rules of Go.
#include "lib/promql/literals.h"

#include <cmath>
#include <limits>
#include <string>

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {
namespace {

TEST(LiteralsTest, NumbersAreReadAsGoReadsThem) {
  double value = 0;
  const auto read = [&](std::string_view text) {
    return ParseNumber(text, &value) ? value : -12345.0;
  };
  EXPECT_EQ(read("1"), 1);
  EXPECT_EQ(read("0"), 0);
  EXPECT_EQ(read("010"), 8);
  EXPECT_EQ(read("08"), 8);
  EXPECT_EQ(read("0.5"), 0.5);
  EXPECT_EQ(read("0x10"), 16);
  EXPECT_EQ(read("0XfF"), 255);
  EXPECT_EQ(read("1e-3"), 0.001);
  EXPECT_EQ(read("5e-324"), 5e-324);
  EXPECT_EQ(read("1e-400"), 0);
  EXPECT_EQ(read("1.7976931348623157e308"), 1.7976931348623157e308);
  EXPECT_EQ(read("iNf"), std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(read("NaN")));
  for (const std::string_view bad : {"", "1e", "0x", "1.2.3", "1e400", "1e_0"}) {
    EXPECT_FALSE(ParseNumber(bad, &value)) << bad;
  }
}

TEST(LiteralsTest, NumbersAreWrittenAsGoPrintsThem) {
  EXPECT_EQ(NumberText(0), "0");
  EXPECT_EQ(NumberText(-0.0), "-0");
  EXPECT_EQ(NumberText(0.1), "0.1");
  EXPECT_EQ(NumberText(999999), "999999");
  EXPECT_EQ(NumberText(1e6), "1e+06");
  EXPECT_EQ(NumberText(1234567), "1.234567e+06");
  EXPECT_EQ(NumberText(0.0001), "0.0001");
  EXPECT_EQ(NumberText(0.00001), "1e-05");
  EXPECT_EQ(NumberText(1e100), "1e+100");
  EXPECT_EQ(NumberText(-std::numeric_limits<double>::infinity()), "-Inf");
  EXPECT_EQ(NumberText(std::nan("")), "NaN");
}

TEST(LiteralsTest, DurationsHaveUnitsInOrder) {
  EXPECT_EQ(*ParseDuration("0"), 0);
  EXPECT_EQ(*ParseDuration("0s"), 0);
  EXPECT_EQ(*ParseDuration("5ms"), 5);
  EXPECT_EQ(*ParseDuration("1h30m"), 5'400'000);
  EXPECT_EQ(*ParseDuration("1y2w3d4h5m6s7ms"),
            365 * 86'400'000LL + 14 * 86'400'000LL + 3 * 86'400'000LL + 4 * 3'600'000 + 306'007);
  EXPECT_OK(ParseDuration("292y"));
  for (const std::string_view bad : {"", "5", "m", "5x", "5m5h", "5m5m", "-5m", "5.5m", "5m ",
                                     "293y", "99999999999999999999s"}) {
    EXPECT_CODE(ParseDuration(bad), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(LiteralsTest, DurationsAreWrittenWithoutSplittingDays) {
  EXPECT_EQ(DurationText(0), "0s");
  EXPECT_EQ(DurationText(1), "1ms");
  EXPECT_EQ(DurationText(90'000), "1m30s");
  EXPECT_EQ(DurationText(86'400'000), "1d");
  EXPECT_EQ(DurationText(36 * 3'600'000LL), "1d12h");
  EXPECT_EQ(DurationText(7 * 86'400'000LL), "1w");
  EXPECT_EQ(DurationText(8 * 86'400'000LL), "8d");
  EXPECT_EQ(DurationText(365 * 86'400'000LL), "1y");
}

TEST(LiteralsTest, StringsAreUnquotedAndQuotedAgain) {
  EXPECT_EQ(*Unquote(R"("a\n\t\\\"")"), "a\n\t\\\"");
  EXPECT_EQ(*Unquote(R"('it\'s "x"')"), "it's \"x\"");
  EXPECT_EQ(*Unquote("`a\\n`"), "a\\n");
  EXPECT_EQ(*Unquote(R"("\x41\101\u00e9\U0001F600")"), "AA\u00e9\U0001F600");
  EXPECT_EQ(*Unquote(R"("\xff")"), "\xff");
  for (const std::string_view bad : {R"("\'")", R"('\"')", R"("\x4")", R"("\u12")", R"("\ud800")",
                                     R"("\400")", R"("\U00110000")", R"("\08")", R"("a)"}) {
    EXPECT_CODE(Unquote(bad), absl::StatusCode::kInvalidArgument) << bad;
  }
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  all += "\u00e9\u0085\u20ac\U0001F600";
  EXPECT_EQ(*Unquote(QuoteText(all)), all);
  EXPECT_EQ(QuoteText("a\"b\\\x01\x7f\u00e9\xff"), "\"a\\\"b\\\\\\x01\\x7f\u00e9\\xff\"");
}

}  // namespace
}  // namespace tinyobs::promql
