// The small helpers of the public headers: the series limit inside a Status, names of resolutions.
#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tinyobs/appender.h"
#include "tinyobs/querier.h"

namespace tinyobs {
namespace {

using ::testing::HasSubstr;

TEST(CardinalityLimit, TravelsInsideTheStatus) {
  const absl::Status status =
      CardinalityLimitError({.current = 10'000, .limit = 9'000, .metric = "requests\xff"});
  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("10000 series exist, the limit is 9000"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("requests\\xff"));

  CardinalityLimit read;
  const absl::Status copy = status;
  ASSERT_TRUE(CardinalityLimitOf(copy, &read));
  EXPECT_EQ(read.current, 10'000u);
  EXPECT_EQ(read.limit, 9'000u);
  EXPECT_EQ(read.metric, "requests\xff");
}

TEST(CardinalityLimit, SaysWhoIsToBlame) {
  CardinalityLimit limit{.current = 10'000,
                         .limit = 10'000,
                         .metric = "requests",
                         .metric_series = 9'950,
                         .label = "request_id",
                         .label_values = 9'900,
                         .label_example = "4f\"2",
                         .refused = "up{host=\"a\"}"};
  absl::Status status = CardinalityLimitError(limit);
  EXPECT_EQ(std::string(status.message()),
            "cardinality limit exceeded: 10000 series exist, the limit is 10000; metric requests "
            "has 9950 of them, and its label request_id has about 9900 values, \"4f\\x222\" for "
            "one: remove that label; first refused: up{host=\"a\"}");
  CardinalityLimit read;
  ASSERT_TRUE(CardinalityLimitOf(status, &read));
  EXPECT_EQ(read.metric_series, limit.metric_series);
  EXPECT_EQ(read.label, limit.label);
  EXPECT_EQ(read.label_values, limit.label_values);
  EXPECT_EQ(read.label_example, limit.label_example);
  EXPECT_EQ(read.refused, limit.refused);
  EXPECT_FALSE(read.per_metric);

  limit.per_metric = true;
  limit.current = limit.limit = limit.metric_series = 500;
  limit.label_values = 12;
  status = CardinalityLimitError(limit);
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("metric requests has 500 series, the limit per metric is 500, and its label "
                "request_id has about 12 values"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("send fewer series, or raise the limit"));
  ASSERT_TRUE(CardinalityLimitOf(status, &read));
  EXPECT_TRUE(read.per_metric);
}

TEST(CardinalityLimit, OtherStatusesAreNotIt) {
  CardinalityLimit out{.current = 1, .limit = 2, .metric = "untouched"};
  EXPECT_FALSE(CardinalityLimitOf(absl::OkStatus(), &out));
  EXPECT_FALSE(CardinalityLimitOf(absl::ResourceExhaustedError("disk full"), &out));
  absl::Status damaged = absl::ResourceExhaustedError("x");
  for (const char* payload : {"", "\x01",
                              "\x01\x02\x05"
                              "abc",
                              "\x01\x02\x01"
                              "abc"}) {
    damaged.SetPayload("tinyobs/cardinality-limit", absl::Cord(payload));
    EXPECT_FALSE(CardinalityLimitOf(damaged, &out));
  }
  EXPECT_EQ(out.metric, "untouched");
}

TEST(Resolution, HasTheNamesOfTheApi) {
  EXPECT_EQ(ResolutionName(Resolution::kRaw), "raw");
  EXPECT_EQ(ResolutionName(Resolution::kFiveMinutes), "5m");
  EXPECT_EQ(ResolutionName(Resolution::kOneHour), "1h");
}

}  // namespace
}  // namespace tinyobs
