// Goal: times as the Go original's clients write them, and nothing that only looks like one.
// Method: chosen texts; then every day of 800 years and random instants through format and parse.
#include "lib/wire/rfc3339.h"

#include <ctime>
#include <random>
#include <string>

#include "gtest/gtest.h"

namespace tinyobs::wire {
namespace {

constexpr int64_t kNov18 = 1'763'424'000'000;  // 2025-11-18T00:00:00Z

int64_t Parse(std::string_view text) {
  const auto time = ParseRfc3339(text);
  EXPECT_TRUE(time.has_value()) << text;
  return time.has_value() ? time->timestamp_ms : -1;
}

TEST(ParseRfc3339, ReadsZonesAndDecimals) {
  EXPECT_EQ(Parse("2025-11-18T00:00:00Z"), kNov18);
  EXPECT_EQ(Parse("2025-11-18T00:00:00.1Z"), kNov18 + 100);
  EXPECT_EQ(Parse("2025-11-18T00:00:00.123456789Z"), kNov18 + 123);
  EXPECT_EQ(Parse("2025-11-18T00:00:00.999999999Z"), kNov18 + 999);
  EXPECT_EQ(Parse("2025-11-18T02:00:00+02:00"), kNov18);
  EXPECT_EQ(Parse("2025-11-17T18:30:00.5-05:30"), kNov18 + 500);
  EXPECT_EQ(Parse("2025-11-18t00:00:00z"), kNov18);
  EXPECT_EQ(Parse("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(Parse("1969-12-31T23:59:59.999Z"), -1);
  EXPECT_EQ(Parse("2024-02-29T00:00:00Z"), 1'709'164'800'000);
}

TEST(ParseRfc3339, CutsFinerDecimalsTowardsThePast) {
  EXPECT_EQ(Parse("1969-12-31T23:59:59.9999Z"), -1);
  EXPECT_EQ(Parse("1969-12-31T23:59:59.0001Z"), -1000);
}

TEST(ParseRfc3339, KnowsTheZeroTimeInAnyZone) {
  EXPECT_TRUE(ParseRfc3339("0001-01-01T00:00:00Z")->is_go_zero);
  EXPECT_TRUE(ParseRfc3339("0001-01-01T01:00:00+01:00")->is_go_zero);
  EXPECT_FALSE(ParseRfc3339("0001-01-01T00:00:00.000000001Z")->is_go_zero);
  EXPECT_FALSE(ParseRfc3339("0001-01-01T00:00:00-01:00")->is_go_zero);
  EXPECT_EQ(Parse("0001-01-01T00:00:00Z"), kGoZeroTimeMs);
}

TEST(ParseRfc3339, RefusesWhatOnlyLooksLikeATime) {
  for (const char* text : {"",
                           "2025",
                           "2025-11-18",
                           "2025-11-18 00:00:00Z",
                           "2025-11-18T00:00:00",
                           "2025-11-18T00:00:00.Z",
                           "2025-11-18T00:00:00.1234567890Z",
                           "2025-11-18T24:00:00Z",
                           "2025-11-18T00:60:00Z",
                           "2025-11-18T00:00:60Z",
                           "2025-13-18T00:00:00Z",
                           "2025-00-18T00:00:00Z",
                           "2025-11-31T00:00:00Z",
                           "2025-02-29T00:00:00Z",
                           "1900-02-29T00:00:00Z",
                           "2025-11-18T00:00:00Z ",
                           " 2025-11-18T00:00:00Z",
                           "2025-11-18T00:00:00+0200",
                           "2025-11-18T00:00:00+24:00",
                           "2025-11-18T00:00:00+02:60",
                           "+025-11-18T00:00:00Z",
                           "2025-11-18T0-:00:00Z",
                           "1763424000",
                           "now",
                           "2025-11-18T00:00:00 02:00"}) {
    EXPECT_FALSE(ParseRfc3339(text).has_value()) << text;
  }
}

TEST(ParseUrlTime, TakesMissingZonesUnixSecondsAndLostPluses) {
  EXPECT_EQ(ParseUrlTime("2025-11-18T00:00:00"), kNov18);
  EXPECT_EQ(ParseUrlTime("2025-11-18T00:00:00.25"), kNov18 + 250);
  EXPECT_EQ(ParseUrlTime("2025-11-18T00:00:00Z"), kNov18);
  EXPECT_EQ(ParseUrlTime("2025-11-18T02:00:00 02:00"), kNov18);
  EXPECT_EQ(ParseUrlTime("1763424000"), kNov18);
  EXPECT_EQ(ParseUrlTime("1763424000.123"), kNov18 + 123);
  EXPECT_EQ(ParseUrlTime("-1.5"), -1500);
  EXPECT_EQ(ParseUrlTime("1.763424e9"), kNov18);
}

TEST(ParseUrlTime, RefusesWordsAndAbsurdNumbers) {
  for (const char* text : {"", "now", "nan", "inf", "1e300", "-1e300", "99999999999999999999",
                           "1763424000000000", "12x", "0x10", "1 2"}) {
    EXPECT_FALSE(ParseUrlTime(text).has_value()) << text;
  }
}

TEST(FormatRfc3339, WritesAsManyDecimalsAsNeeded) {
  EXPECT_EQ(FormatRfc3339(kNov18), "2025-11-18T00:00:00Z");
  EXPECT_EQ(FormatRfc3339(kNov18 + 100), "2025-11-18T00:00:00.1Z");
  EXPECT_EQ(FormatRfc3339(kNov18 + 120), "2025-11-18T00:00:00.12Z");
  EXPECT_EQ(FormatRfc3339(kNov18 + 3), "2025-11-18T00:00:00.003Z");
  EXPECT_EQ(FormatRfc3339(-1), "1969-12-31T23:59:59.999Z");
  EXPECT_EQ(FormatRfc3339(kGoZeroTimeMs), "0001-01-01T00:00:00Z");
}

TEST(FormatRfc3339, StaysInsideFourDigitYears) {
  EXPECT_EQ(FormatRfc3339(INT64_MIN), "0000-01-01T00:00:00Z");
  EXPECT_EQ(FormatRfc3339(INT64_MAX), "9999-12-31T23:59:59.999Z");
}

TEST(FormatRfc3339, AgreesWithTheCLibraryOnEveryDayOfEightHundredYears) {
  for (int64_t day = -146'097; day <= 146'097; ++day) {
    const std::time_t seconds = day * 86'400 + 3'661;
    std::tm parts;
    gmtime_r(&seconds, &parts);
    char expected[40];
    std::strftime(expected, sizeof(expected), "%Y-%m-%dT%H:%M:%SZ", &parts);
    ASSERT_EQ(FormatRfc3339(seconds * 1000), expected);
    ASSERT_EQ(Parse(expected), seconds * 1000);
  }
}

TEST(FormatRfc3339, ReadsBackToTheMillisecond) {
  std::mt19937_64 random(7);
  std::uniform_int_distribution<int64_t> instants(-62'167'219'200'000, 253'402'300'799'999);
  for (int i = 0; i < 100'000; ++i) {
    const int64_t instant = instants(random);
    ASSERT_EQ(Parse(FormatRfc3339(instant)), instant);
  }
}

}  // namespace
}  // namespace tinyobs::wire
