#include "lib/base/duration.h"

#include "gtest/gtest.h"

namespace tinyobs {
namespace {

TEST(ParseDuration, ReadsUnitsAloneAndTogether) {
  EXPECT_EQ(*ParseDurationMs("500ms"), 500);
  EXPECT_EQ(*ParseDurationMs("90s"), 90'000);
  EXPECT_EQ(*ParseDurationMs("5m"), 300'000);
  EXPECT_EQ(*ParseDurationMs("1h30m"), 5'400'000);
  EXPECT_EQ(*ParseDurationMs("7d"), 604'800'000);
  EXPECT_EQ(*ParseDurationMs("2w"), 2 * 604'800'000);
  EXPECT_EQ(*ParseDurationMs("1y"), int64_t{365} * 86'400'000);
  EXPECT_EQ(*ParseDurationMs("1y2w3d4h5m6s7ms"),
            ((365 + 14 + 3) * 24 + 4) * int64_t{3'600'000} + 5 * 60'000 + 6'000 + 7);
  EXPECT_EQ(*ParseDurationMs("100y"), 100 * 365 * int64_t{86'400'000});
}

TEST(ParseDuration, RefusesTheRestAndSaysHow) {
  for (const char* const text : {"", "0", "1", "h", "-1h", "1x", "1h ", "0s", "1.5h", "101y", "+1h",
                                 "99999999999999999999h", "9999999999w", "100y1ms"}) {
    const auto refused = ParseDurationMs(text);
    EXPECT_TRUE(absl::IsInvalidArgument(refused.status())) << text;
    EXPECT_NE(refused.status().message().find("1h30m"), absl::string_view::npos);
  }
}

TEST(FormatDuration, IsReadBackAsTheSame) {
  EXPECT_EQ(FormatDurationMs(0), "0");
  EXPECT_EQ(FormatDurationMs(5'400'000), "1h30m");
  EXPECT_EQ(FormatDurationMs(14 * 86'400'000), "14d");
  EXPECT_EQ(FormatDurationMs(1'001), "1s1ms");
  for (const int64_t duration_ms :
       {int64_t{1}, int64_t{999}, int64_t{61'500}, int64_t{365} * 86'400'000 + 3'600'001}) {
    EXPECT_EQ(*ParseDurationMs(FormatDurationMs(duration_ms)), duration_ms);
  }
}

}  // namespace
}  // namespace tinyobs
