// Goal: answers have the keys, order and form that the original's clients read. Method: the whole
// text of each.
#include "lib/wire/query_json.h"

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"

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
  json.Add(Labels::Of("m", {{"service", "s"}}), "gauge", {},
           Points({{1'763'424'000'123, 1.5}, {1'763'424'001'000, std::nan("")}}));
  json.Add(Labels::Of("n"), "", {}, Points({{0, -0.0}}));
  EXPECT_EQ(json.Finish(),
            R"({"metrics":[{"name":"m","type":"gauge","value":1.5,"labels":{"service":"s"},)"
            R"("timestamp":"2025-11-18T00:00:00.123Z"},)"
            R"({"name":"m","type":"gauge","value":null,"labels":{"service":"s"},)"
            R"("timestamp":"2025-11-18T00:00:01Z"},)"
            R"({"name":"n","type":"","value":-0,"timestamp":"1970-01-01T00:00:00Z"}],"count":3})"
            "\n");
}

TEST(SamplesJson, WindowsAreGaugesOfTheirAverageAndCarryTheRestAsLabels) {
  Windows hours;
  hours.resolution = Resolution::kOneHour;
  hours.start_ms = {0};
  hours.count = {4};
  hours.sum = {10};
  hours.min = {-0.5};
  hours.max = {7.25};
  Windows minutes = hours;
  minutes.resolution = Resolution::kFiveMinutes;
  minutes.start_ms = {3'600'000};
  minutes.sum = {HUGE_VAL};
  minutes.max = {HUGE_VAL};
  SamplesJson json;
  json.Add(Labels::Of("m", {{"a", "b"}}), "counter", std::vector<Windows>{hours, minutes},
           Points({{7'200'000, 1}}));
  json.Add(Labels::Of("n"), "counter", std::vector<Windows>{hours}, {});
  EXPECT_EQ(
      json.Finish(),
      R"({"metrics":[{"name":"m","type":"gauge","value":2.5,"labels":{"a":"b",)"
      R"("__resolution__":"1h","__sum__":"10","__count__":"4","__min__":"-0.5","__max__":"7.25"},)"
      R"("timestamp":"1970-01-01T00:00:00Z"},)"
      R"({"name":"m","type":"gauge","value":null,"labels":{"a":"b","__resolution__":"5m",)"
      R"("__sum__":"+Inf","__count__":"4","__min__":"-0.5","__max__":"+Inf"},)"
      R"("timestamp":"1970-01-01T01:00:00Z"},)"
      R"({"name":"m","type":"counter","value":1,"labels":{"a":"b"},)"
      R"("timestamp":"1970-01-01T02:00:00Z"},)"
      R"({"name":"n","type":"gauge","value":2.5,"labels":{"__resolution__":"1h","__sum__":"10",)"
      R"("__count__":"4","__min__":"-0.5","__max__":"7.25"},)"
      R"("timestamp":"1970-01-01T00:00:00Z"}],"count":4})"
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
  EXPECT_EQ(RangeJson().Finish(std::vector<std::string>{"one", "\"two\""}),
            R"({"data":[],"warnings":["one","\"two\""]})"
            "\n");
}

TEST(SamplesJson, StopsWithinASeries) {
  size_t last = 0;
  SamplesJson json([&last](size_t bytes) {
    last = bytes;
    return bytes < 200;
  });
  Columns many;
  for (int i = 0; i < 1000; ++i) many.Add(i, i);
  EXPECT_FALSE(json.Add(Labels::Of("m"), "", {}, many));
  EXPECT_LT(last, 400u);
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
  EXPECT_EQ(HealthJson({.version = "1", .now_ms = 62'500}),
            R"({"status":"healthy","version":"1","uptime":"1m2.5s","compaction":{"healthy":true}})"
            "\n");
  EXPECT_EQ(HealthJson({.healthy = false,
                        .version = "1",
                        .now_ms = 1'763'424'000'000,
                        .start_ms = 1'763'424'000'000,
                        .last_success_ms = 1'763'420'400'000,
                        .last_attempt_ms = 1'763'424'000'000,
                        .consecutive_errors = 4,
                        .last_error = "disk"}),
            R"({"status":"degraded","version":"1","uptime":"0s","compaction":{"healthy":false,)"
            R"("last_success":"2025-11-17T23:00:00Z","time_since_success":"1h0m0s",)"
            R"("last_attempt":"2025-11-18T00:00:00Z","consecutive_errors":4,"last_error":"disk"}})"
            "\n");
  EXPECT_EQ(StorageJson(5, 1 << 30, {}), "{\"used_bytes\":5,\"max_bytes\":1073741824}\n");
  std::vector<TierStats> tiers(3);
  tiers[0].bytes = 4;
  tiers[0].partitions = 2;
  tiers[0].samples = 480;
  tiers[0].oldest_ms = 1'763'424'000'000;
  tiers[0].newest_ms = 1'763'424'000'500;
  tiers[0].waiting_partitions = 1;
  const std::string tiers_text =
      R"("tiers":[{"resolution":"raw","bytes":4,"partitions":2,"samples":480,)"
      R"("oldest":"2025-11-18T00:00:00Z","newest":"2025-11-18T00:00:00.5Z",)"
      R"("waiting_partitions":1},)"
      R"({"resolution":"5m","bytes":0,"partitions":0,"windows":0,"waiting_partitions":0},)"
      R"({"resolution":"1h","bytes":0,"partitions":0,"windows":0,"waiting_partitions":0}]})"
      "\n";
  EXPECT_EQ(StorageJson(5, 7, tiers), "{\"used_bytes\":5,\"max_bytes\":7," + tiers_text);
  EXPECT_EQ(DownsampledJson(1'500, 3, tiers),
            "{\"status\":\"success\",\"duration\":\"1.5s\",\"rows_written\":3," + tiers_text);
  CardinalityStats cardinality;
  cardinality.series = 9;
  cardinality.max_series = 100'000;
  cardinality.metrics = 8;
  cardinality.largest = {{"c", 2, {{"x", 2}, {"y", 1}}}, {"d", 1, {}}};
  cardinality.refused_commits = 3;
  cardinality.refused_series = 4;
  cardinality.first_refused = "c{x=\"3\"}";
  EXPECT_EQ(CardinalityJson(cardinality),
            R"({"total_series":9,"unique_metrics":8,"max_series_metric":"c","max_series_count":2,)"
            R"("series_limit":100000,"per_metric_limit":0,"utilization_percent":0.009,)"
            R"("dry_run":false,"refused":{"requests":3,"series":4,"first":"c{x=\"3\"}","last":""},)"
            R"("top_metrics":[{"metric":"c","series":2,"labels":[{"label":"x","values":2},)"
            R"({"label":"y","values":1}]},{"metric":"d","series":1,"labels":[]}]})"
            "\n");
  EXPECT_TRUE(CardinalityJson({}).starts_with(
      R"({"total_series":0,"unique_metrics":0,"max_series_metric":"","max_series_count":0,)"));
}

TEST(ErrorBodies, SayErrorAndMessage) {
  EXPECT_EQ(ErrorJson("Bad Request", "start must be before end"),
            "{\"error\":\"Bad Request\",\"message\":\"start must be before end\"}\n");
  EXPECT_EQ(CardinalityErrorJson({.current = 3, .limit = 4, .metric = "m"}, "why"),
            R"({"error":"cardinality limit exceeded","current":3,"limit":4,"message":"why"})"
            "\n");
}

TEST(ErrorBodies, StringsAreWrittenAsGoWritesThem) {
  const struct {
    std::string_view text;
    std::string_view json;
  } kCases[] = {
      {"plain é \x7f", "plain é \x7f"},
      {"a\xff\xc3\xa9\xc3", "a\\ufffdé\\ufffd"},
      {"\xed\xa0\x80ok", "\\ufffd\\ufffd\\ufffdok"},
      {"<b>&'", "\\u003cb\\u003e\\u0026'"},
      {"\t\r\n\b\f\x01\x1f\"\\", R"(\t\r\n\u0008\u000c\u0001\u001f\"\\)"},
      {"\u2027\u2028\u2029\u202a", "\u2027\\u2028\\u2029\u202a"},
      {std::string_view("\0", 1), "\\u0000"},
  };
  for (const auto& [text, json] : kCases) {
    EXPECT_EQ(ErrorJson("x", text), R"({"error":"x","message":")" + std::string(json) + "\"}\n");
  }
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
