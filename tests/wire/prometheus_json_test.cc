// Goal: values, times and answers are the text that Prometheus 2.42 writes. Method: its own forms
// side by side, the short cuts for common values against the general way, whole answers.
#include "lib/wire/prometheus_json.h"

#include <bit>
#include <charconv>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/decimal.h"

namespace tinyobs::wire {
namespace {

std::string Value(double value) {
  std::string text;
  AppendSampleValue(value, &text);
  return text;
}

std::string Time(int64_t ms) {
  std::string text;
  AppendSampleTime(ms, &text);
  return text;
}

std::string Data(const QueryResult& result, const QueryJsonOptions& options = {}) {
  std::string text;
  EXPECT_TRUE(AppendQueryData(result, options, nullptr, &text));
  return text;
}

TEST(SampleValue, HasTheFormsOfPrometheus) {
  EXPECT_EQ(Value(0), "0");
  EXPECT_EQ(Value(-0.0), "-0");
  EXPECT_EQ(Value(1), "1");
  EXPECT_EQ(Value(-17.25), "-17.25");
  EXPECT_EQ(Value(0.001), "0.001");
  EXPECT_EQ(Value(-0.5), "-0.5");
  EXPECT_EQ(Value(0.1 + 0.2), "0.30000000000000004");
  EXPECT_EQ(Value(123456789.125), "123456789.125");
  EXPECT_EQ(Value(1e20), "100000000000000000000");
  EXPECT_EQ(Value(1e21), "1e+21");
  EXPECT_EQ(Value(-1.5e300), "-1.5e+300");
  EXPECT_EQ(Value(1e-6), "0.000001");
  EXPECT_EQ(Value(1e-7), "1e-07");
  EXPECT_EQ(Value(9007199254740993), "9007199254740992");
  // Beyond 2^53 the digits that reading back needs, and zeros.
  EXPECT_EQ(Value(9223372036854775808.0), "9223372036854776000");
  EXPECT_EQ(Value(-62607905881757128.0), "-62607905881757130");
  EXPECT_EQ(Value(std::numeric_limits<double>::denorm_min()), "5e-324");
  EXPECT_EQ(Value(std::numeric_limits<double>::max()), "1.7976931348623157e+308");
  EXPECT_EQ(Value(std::nan("")), "NaN");
  EXPECT_EQ(Value(std::numeric_limits<double>::infinity()), "+Inf");
  EXPECT_EQ(Value(-std::numeric_limits<double>::infinity()), "-Inf");
}

TEST(SampleValue, ShortCutsGiveTheShortestDecimal) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 300'000; ++i) {
    const auto bits = random();
    // Decimals of a few digits, their neighbours, and any bits.
    double value = static_cast<double>(static_cast<int64_t>(bits) >> (bits % 64)) / 1000;
    if (i % 3 == 1) value = std::nextafter(value, bits % 2 == 0 ? 1e300 : -1e300);
    if (i % 3 == 2) value = std::bit_cast<double>(bits);
    if (!std::isfinite(value)) continue;
    char buffer[kMostDecimalBytes];
    const double magnitude = std::fabs(value);
    const bool plain = magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21);
    char* const end =
        plain ? WriteDecimal(value, buffer)
              : std::to_chars(buffer, buffer + sizeof(buffer), value, std::chars_format::scientific)
                    .ptr;
    ASSERT_EQ(Value(value), std::string(buffer, end)) << "seed 7, round " << i;
  }
}

TEST(SampleTime, HasNoOrThreeDecimals) {
  EXPECT_EQ(Time(0), "0");
  EXPECT_EQ(Time(1'435'781'451'781), "1435781451.781");
  EXPECT_EQ(Time(1'500), "1.500");
  EXPECT_EQ(Time(10), "0.010");
  EXPECT_EQ(Time(-1), "-0.001");
  EXPECT_EQ(Time(-2'000), "-2");
  EXPECT_EQ(Time(INT64_MIN), "-9223372036854775.808");
}

TEST(QueryData, ScalarsAndStringsHaveFormsOfTheirOwn) {
  QueryResult result;
  result.type = QueryResult::Type::kScalar;
  result.scalar = {1'500, 1e21};
  EXPECT_EQ(Data(result), R"({"resultType":"scalar","result":[1.5,"1000000000000000000000"]})");
  result.scalar = {0, 1e23};
  EXPECT_EQ(Data(result), R"({"resultType":"scalar","result":[0,"100000000000000000000000"]})");
  result.scalar = {-1, std::numeric_limits<double>::denorm_min()};
  EXPECT_EQ(Data(result).size(),
            std::string(R"({"resultType":"scalar","result":[-0.001,""]})").size() + 326);
  result.scalar = {0, -std::numeric_limits<double>::infinity()};
  EXPECT_EQ(Data(result), R"({"resultType":"scalar","result":[0,"-Inf"]})");
  result.type = QueryResult::Type::kString;
  result.scalar = {1'000, 0};
  result.string = "a\"\\\n\x01<\xFF";
  EXPECT_EQ(Data(result),
            "{\"resultType\":\"string\",\"result\":[1,\"a\\\"\\\\\\n\\u0001\\u003c\\ufffd\"]}");
}

TEST(QueryData, VectorsAndMatricesKeepTheirOrder) {
  QueryResult result;
  EXPECT_EQ(Data(result), R"({"resultType":"vector","result":[]})");
  result.vector = {{Labels::Of("up", {{"job", "b"}}), 10, 1}, {Labels(), 1'000, std::nan("")}};
  EXPECT_EQ(Data(result), R"({"resultType":"vector","result":[)"
                          R"({"metric":{"__name__":"up","job":"b"},"value":[0.010,"1"]},)"
                          R"({"metric":{},"value":[1,"NaN"]}]})");
  EXPECT_NE(Data(result, {.values_too = true}).find(R"("value":[1,"NaN"],"values":[[1,"NaN"]]})"),
            std::string::npos);
  result.type = QueryResult::Type::kMatrix;
  EXPECT_EQ(Data(result), R"({"resultType":"matrix","result":[]})");
  result.matrix.resize(2);
  result.matrix[0].labels = Labels::Of("", {{"a", "\xE2\x82\xAC"}});
  result.matrix[0].samples.Add(0, 1);
  result.matrix[0].samples.Add(15'500, 2.5);
  result.matrix[1].samples.Add(1'000, -0.0);
  EXPECT_EQ(Data(result),
            "{\"resultType\":\"matrix\",\"result\":["
            "{\"metric\":{\"a\":\"\xE2\x82\xAC\"},"
            "\"values\":[[0,\"1\"],[15.500,\"2.5\"]]},"
            "{\"metric\":{},\"values\":[[1,\"-0\"]]}]}");
}

TEST(QueryData, BlocksOfALongSeriesJoin) {
  QueryResult result;
  result.type = QueryResult::Type::kMatrix;
  result.matrix.resize(1);
  std::string expected = R"({"resultType":"matrix","result":[{"metric":{},"values":[)";
  for (int i = 0; i < 5'000; ++i) {
    result.matrix[0].samples.Add(i * 1'000, i);
    expected += (i > 0 ? ",[" : "[") + std::to_string(i) + ",\"" + std::to_string(i) + "\"]";
  }
  EXPECT_EQ(Data(result), expected + "]}]}");
}

TEST(QueryData, StopsSoonAfterItMayNotGrow) {
  QueryResult result;
  result.type = QueryResult::Type::kMatrix;
  result.matrix.resize(1);
  for (int i = 0; i < 500'000; ++i) result.matrix[0].samples.Add(i * 1'000, i);
  std::string out;
  constexpr size_t kLimit = 100'000;
  EXPECT_FALSE(AppendQueryData(
      result, {}, [](size_t bytes) { return bytes <= kLimit; }, &out));
  EXPECT_LT(out.size(), kLimit + (64 << 10));
  result.type = QueryResult::Type::kVector;
  result.vector.resize(100'000);
  out.clear();
  EXPECT_FALSE(AppendQueryData(
      result, {}, [](size_t bytes) { return bytes <= kLimit; }, &out));
  EXPECT_LT(out.size(), kLimit + (64 << 10));
}

TEST(QueryData, StatsAreThere) {
  QueryResult result;
  result.type = QueryResult::Type::kVector;
  result.stats.samples_read = 7;
  result.stats.peak_samples = 3;
  const QueryTimings timings{.queue = 0.25, .evaluation = 0.5};
  EXPECT_EQ(Data(result, {.timings = &timings}),
            R"({"resultType":"vector","result":[],"stats":{"timings":{"evalTotalTime":0.5,)"
            R"("resultSortTime":0,"queryPreparationTime":0,"innerEvalTime":0.5,)"
            R"("execQueueTime":0.25,"execTotalTime":0.75},)"
            R"("samples":{"totalQueryableSamples":7,"peakSamples":3}}})");
}

TEST(Answers, ListsWarningsAndErrors) {
  std::string body(kPrometheusSuccess);
  const std::vector<Labels> sets = {Labels::Of("a"), Labels()};
  EXPECT_TRUE(AppendLabelSets(sets, nullptr, &body));
  AppendSuccessEnd(std::vector<std::string>{"w\"", "x"}, &body);
  EXPECT_EQ(body, R"({"status":"success","data":[{"__name__":"a"},{}],"warnings":["w\"","x"]})");
  std::string list;
  EXPECT_TRUE(AppendStrings(std::vector<std::string>{"a", ""}, nullptr, &list));
  AppendSuccessEnd({}, &list);
  EXPECT_EQ(list, R"(["a",""]})");
  EXPECT_EQ(PrometheusErrorJson("bad_data", "\"x\""),
            R"({"status":"error","errorType":"bad_data","error":"\"x\""})");
}

}  // namespace
}  // namespace tinyobs::wire
