// Goal: answers have the keys, order and form that the original's clients read. Method: the whole
// text of each.
#include "lib/wire/query_json.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "lib/wire/json_writer.h"

namespace tinyobs::wire {
namespace {

Columns Points(std::initializer_list<std::pair<int64_t, double>> points) {
  Columns columns;
  for (const auto& [time, value] : points) columns.Add(time, value);
  return columns;
}

TEST(SamplesJson, EmptyListIsAnEmptyArray) {
  EXPECT_EQ(SamplesJson().Finish(), "{\"metrics\":[],\"count\":0}\n");
}

TEST(SamplesJson, SamplesOfAllSeriesAreOneList) {
  SamplesJson json;
  json.Add(Labels::Of("m", {{"service", "s"}}), "gauge",
           Points({{1'763'424'000'123, 1.5}, {1'763'424'001'000, std::nan("")}}), Resolution::kRaw);
  json.Add(Labels::Of("n"), "", Points({{0, -0.0}}), Resolution::kRaw);
  EXPECT_EQ(json.Finish(),
            R"({"metrics":[{"name":"m","type":"gauge","value":1.5,"labels":{"service":"s"},)"
            R"("timestamp":"2025-11-18T00:00:00.123Z"},)"
            R"({"name":"m","type":"gauge","value":null,"labels":{"service":"s"},)"
            R"("timestamp":"2025-11-18T00:00:01Z"},)"
            R"({"name":"n","type":"","value":-0,"timestamp":"1970-01-01T00:00:00Z"}],"count":3})"
            "\n");
}

TEST(SamplesJson, DownsampledSeriesSaySo) {
  SamplesJson json;
  json.Add(Labels::Of("m"), "gauge", Points({{0, 1}}), Resolution::kFiveMinutes);
  EXPECT_EQ(json.Finish(),
            R"({"metrics":[{"name":"m","type":"gauge","value":1,)"
            R"("labels":{"__resolution__":"5m"},"timestamp":"1970-01-01T00:00:00Z"}],"count":1})"
            "\n");
}

TEST(RangeJson, HidesLabelsThatStartWithAnUnderscore) {
  RangeJson json;
  json.Add(Labels::Of("m", {{"_x", "1"}, {"method", "GET"}}), Points({{1'700'000'000'000, 3.5}}),
           Resolution::kRaw);
  json.Add(Labels::Of("m", {{"_x", "1"}}), Points({{1, HUGE_VAL}, {2, 4}}), Resolution::kOneHour);
  EXPECT_EQ(json.Finish(),
            R"({"data":[{"metric":"m","labels":{"method":"GET"},)"
            R"("points":[{"t":1700000000000,"v":3.5}],"resolution":"raw"},)"
            R"({"metric":"m","points":[{"t":1,"v":null},{"t":2,"v":4}],"resolution":"1h"}]})"
            "\n");
  EXPECT_EQ(RangeJson().Finish(), "{\"data\":[]}\n");
}

TEST(SamplesJson, StopsWithinASeries) {
  size_t last = 0;
  SamplesJson json([&last](size_t bytes) {
    last = bytes;
    return bytes < 200;
  });
  Columns many;
  for (int i = 0; i < 1000; ++i) many.Add(i, i);
  EXPECT_FALSE(json.Add(Labels::Of("m"), "", many, Resolution::kRaw));
  EXPECT_LT(last, 400u);
}

TEST(ThinOut, KeepsWhatFits) {
  const Columns points = Points({{1, 1}, {2, 2}, {3, 3}});
  EXPECT_EQ(ThinOut(points, 3).values, points.values);
  EXPECT_EQ(ThinOut(points, 2).values, points.values);  // floor(3 / 2) = 1 point a group
}

TEST(ThinOut, GroupsBecomeTheirMeanAtTheFirstTime) {
  const Columns points = Points({{1, 1}, {2, 2}, {3, 3}, {4, 5}, {5, 9}});
  const Columns thin = ThinOut(points, 2);
  EXPECT_EQ(thin.timestamps_ms, (std::vector<int64_t>{1, 3, 5}));
  EXPECT_EQ(thin.values, (std::vector<double>{1.5, 4, 9}));
}

TEST(ThinOut, LastKeepsPointsThatExist) {
  const double nan = std::nan("");
  const Columns thin = ThinOut(
      Points({{1, 1}, {2, 2}, {3, 3}, {4, nan}, {5, nan}, {6, nan}, {7, 9}}), 3, ThinBy::kLast);
  EXPECT_EQ(thin.timestamps_ms, (std::vector<int64_t>{2, 3, 6, 7}));
  EXPECT_EQ(thin.values[0], 2);
  EXPECT_EQ(thin.values[1], 3);  // NaN does not count
  EXPECT_TRUE(std::isnan(thin.values[2]));
  EXPECT_EQ(thin.values[3], 9);
}

TEST(ThinOut, NanDoesNotCountAndLargeValuesDoNotOverflow) {
  const double big = std::numeric_limits<double>::max();
  const double nan = std::nan("");
  const Columns thin =
      ThinOut(Points({{1, nan}, {2, 2}, {3, big}, {4, big}, {5, nan}, {6, nan}}), 3);
  ASSERT_EQ(thin.size(), 3u);
  EXPECT_EQ(thin.values[0], 2);
  EXPECT_EQ(thin.values[1], big);
  EXPECT_TRUE(std::isnan(thin.values[2]));
}

TEST(StatusBodies, HaveTheKeysOfTheOriginal) {
  const std::vector<std::string> names = {"a", "b"};
  EXPECT_EQ(MetricsListJson(names), "{\"metrics\":[\"a\",\"b\"],\"count\":2}\n");
  EXPECT_EQ(MetricsListJson({}), "{\"metrics\":[],\"count\":0}\n");
  EXPECT_EQ(IngestedJson(2), "{\"status\":\"success\",\"count\":2}\n");
  EXPECT_EQ(StatsJson({}),
            R"({"TotalMetrics":0,"TotalSeries":0,"SizeBytes":0,)"
            R"("OldestMetric":"0001-01-01T00:00:00Z","NewestMetric":"0001-01-01T00:00:00Z"})"
            "\n");
  EXPECT_EQ(StatsJson({.samples = 9,
                       .series = 8,
                       .bytes = 900,
                       .oldest_ms = 0,
                       .newest_ms = 1'763'424'000'123}),
            R"({"TotalMetrics":9,"TotalSeries":8,"SizeBytes":900,)"
            R"("OldestMetric":"1970-01-01T00:00:00Z","NewestMetric":"2025-11-18T00:00:00.123Z"})"
            "\n");
  EXPECT_EQ(HealthJson({.healthy = true, .version = "1", .uptime_ms = 62'500, .last_error = ""}),
            R"({"status":"healthy","version":"1","uptime":"1m2.5s","compaction":{"healthy":true}})"
            "\n");
  EXPECT_EQ(
      HealthJson({.healthy = false, .version = "1", .uptime_ms = 0, .last_error = "disk"}),
      R"({"status":"degraded","version":"1","uptime":"0s","compaction":{"healthy":false,"last_error":"disk"}})"
      "\n");
  EXPECT_EQ(StorageJson(5, 1 << 30), "{\"used_bytes\":5,\"max_bytes\":1073741824}\n");
  EXPECT_EQ(CardinalityJson({.series = 9,
                             .metrics = 8,
                             .max_series_metric = "c",
                             .max_series_count = 2,
                             .series_limit = 100'000,
                             .per_metric_limit = 0}),
            R"({"total_series":9,"unique_metrics":8,"max_series_metric":"c","max_series_count":2,)"
            R"("series_limit":100000,"per_metric_limit":0,"utilization_percent":0.009})"
            "\n");
}

TEST(ErrorBodies, SayErrorAndMessage) {
  EXPECT_EQ(ErrorJson("Bad Request", "start must be before end"),
            "{\"error\":\"Bad Request\",\"message\":\"start must be before end\"}\n");
  EXPECT_EQ(CardinalityErrorJson({.current = 3, .limit = 4, .metric = "m"}, "why"),
            R"({"error":"cardinality limit exceeded","current":3,"limit":4,"message":"why"})"
            "\n");
}

TEST(ErrorBodies, TextThatIsNotUtf8IsRepaired) {
  EXPECT_EQ(ErrorJson("x", "a\xff\xc3\xa9\xc3"),
            "{\"error\":\"x\",\"message\":\"a\uFFFDé\uFFFD\"}\n");
  EXPECT_EQ(ReplaceBadUtf8("\xed\xa0\x80"
                           "ok"),
            "\uFFFD\uFFFD\uFFFDok");
}

TEST(FormatGoDuration, PrintsAsGoDoes) {
  EXPECT_EQ(FormatGoDuration(0), "0s");
  EXPECT_EQ(FormatGoDuration(-5), "0s");
  EXPECT_EQ(FormatGoDuration(22), "22ms");
  EXPECT_EQ(FormatGoDuration(1000), "1s");
  EXPECT_EQ(FormatGoDuration(62'500), "1m2.5s");
  EXPECT_EQ(FormatGoDuration(60'000), "1m0s");
  EXPECT_EQ(FormatGoDuration(26 * 3'600'000 + 1), "26h0m0.001s");
}

}  // namespace
}  // namespace tinyobs::wire
