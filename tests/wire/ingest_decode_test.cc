// Goal: the ingest body as the clients of the Go original write it is understood, and every refusal
// says what they read. Method: one body a behaviour, with the answer spelled out.
#include <cmath>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/wire/ingest.h"

namespace tinyobs::wire {
namespace {

constexpr int64_t kNow = 1'700'000'000'000;

std::vector<IngestSample> Good(std::string_view body) {
  auto samples = DecodeIngest(body, kNow);
  EXPECT_TRUE(samples.ok()) << samples.status() << "\n" << body.substr(0, 300);
  return samples.ok() ? *std::move(samples) : std::vector<IngestSample>();
}

std::string Refusal(std::string_view body) {
  const auto samples = DecodeIngest(body, kNow);
  EXPECT_FALSE(samples.ok()) << body.substr(0, 300);
  EXPECT_TRUE(absl::IsInvalidArgument(samples.status()));
  return std::string(samples.status().message());
}

std::string Metric(std::string_view fields) { return StrCat("{\"metrics\":[{", fields, "}]}"); }

TEST(DecodeIngest, ReadsAllFields) {
  const auto samples = Good(
      R"({"metrics":[{"name":"m","type":"gauge","value":1.5,"labels":{"b":"2","a":"1"},
      "timestamp":"2025-11-18T02:00:00.123456789+02:00"},{"name":"n","value":-2e3}]})");
  ASSERT_EQ(samples.size(), 2u);
  EXPECT_EQ(samples[0].labels, Labels::Of("m", {{"a", "1"}, {"b", "2"}}));
  EXPECT_EQ(samples[0].type, "gauge");
  EXPECT_EQ(samples[0].value, 1.5);
  EXPECT_EQ(samples[0].timestamp_ms, 1'763'424'000'123);
  EXPECT_EQ(samples[1].labels, Labels::Of("n"));
  EXPECT_EQ(samples[1].type, "");
  EXPECT_EQ(samples[1].value, -2000);
  EXPECT_EQ(samples[1].timestamp_ms, kNow);
}

TEST(DecodeIngest, NoSamplesAreFine) {
  EXPECT_TRUE(Good("{}").empty());
  EXPECT_TRUE(Good(R"({"metrics":[]})").empty());
  EXPECT_TRUE(Good(R"({"metrics":null})").empty());
  EXPECT_TRUE(Good("null").empty());
  EXPECT_TRUE(Good(" \r\n\t{} ").empty());
}

TEST(DecodeIngest, KeysMatchWithoutRegardToCaseAndUnknownOnesAreIgnored) {
  const auto samples = Good(
      R"({"extra":[1,{"a":null,"b":[true,false,"x",-1.5e3]}],"METRICS":[{"NAME":"up","VALUE":2,
      "Labels":{"Service":"S"},"tImEsTaMp":null,"other":{"deep":[[[]]]}}]})");
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].labels, Labels::Of("up", {{"Service", "S"}}));
  EXPECT_EQ(samples[0].value, 2);
  EXPECT_EQ(samples[0].timestamp_ms, kNow);
}

TEST(DecodeIngest, ZeroTimeMeansNow) {
  const auto samples = Good(Metric(R"("name":"m","value":1,"timestamp":"0001-01-01T00:00:00Z")"));
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].timestamp_ms, kNow);
}

TEST(DecodeIngest, TextAfterTheFirstValueIsIgnoredWhateverItIs) {
  const std::string body = Metric(R"("name":"m \" } ] \\","value":1)");
  for (const std::string_view tail :
       {" ", "trailing text", "}", "]}", "{\"metrics\":[]}", "\"open string", "\xff\xfe",
        "\n{\"name\":", ",", ":", "\x01"}) {
    const auto samples = Good(StrCat(body, tail));
    ASSERT_EQ(samples.size(), 1u) << tail;
    EXPECT_EQ(samples[0].labels.metric(), "m \" } ] \\");
  }
}

TEST(DecodeIngest, NullIsAsGoodAsAbsent) {
  const auto samples =
      Good(Metric(R"("name":"m","type":null,"value":null,"labels":null,"timestamp":null)"));
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].labels, Labels::Of("m"));
  EXPECT_EQ(samples[0].value, 0);
  EXPECT_EQ(Refusal(R"({"metrics":[null]})"),
            "invalid metric at index 0: metric name cannot be empty");
}

TEST(DecodeIngest, TheLastOfDuplicateKeysWins) {
  const auto samples = Good(
      R"({"metrics":[{"name":"x"}],"Metrics":[{"name":"a","NAME":"b","value":1,"value":2,
      "labels":{"k":"1","k":"2"}}]})");
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].labels, Labels::Of("b", {{"k", "2"}}));
  EXPECT_EQ(samples[0].value, 2);
}

TEST(DecodeIngest, EscapesAndUnicodeAreRead) {
  const auto samples =
      Good(Metric(R"("name":"caf\u00e9 \ud83d\ude00","value":1,"labels":{"a\n":"\t\"\\\/"})"));
  ASSERT_EQ(samples.size(), 1u);
  EXPECT_EQ(samples[0].labels, Labels::Of("café 😀", {{"a\n", "\t\"\\/"}}));
}

TEST(DecodeIngest, BadJsonIsRefused) {
  for (const std::string_view body : {"",
                                      " ",
                                      "{",
                                      "[",
                                      "[]",
                                      "1",
                                      "\"x\"",
                                      "nullx",
                                      "tru",
                                      "{\"metrics\":[}",
                                      "{\"metrics\"}",
                                      "{\"metrics\":[],}",
                                      "{\"metrics\":[{}",
                                      "{\"metrics\":[{]}",
                                      "{metrics:[]}",
                                      "{\"metrics\":[{\"name\":\"a\" \"value\":1}]}",
                                      "{\"metrics\":[{\"name\":\"a\",}]}",
                                      "{\"metrics\":[{},]}",
                                      "{\"metrics\":[{\"name\":\"a\"} {\"name\":\"b\"}]}",
                                      "{\"x\":bar}",
                                      "{\"x\":nul}",
                                      "{\"x\":tru}",
                                      "{\"x\":01}",
                                      "{\"x\":+1}",
                                      "{\"x\":1.}",
                                      "{\"x\":.5}",
                                      "{\"x\":1e}",
                                      "{\"x\":\"\\q\"}",
                                      "{\"x\":\"\\ud800\"}",
                                      "{\"x\":\"a\nb\"}",
                                      "{\"x\":[1,2,}",
                                      "{\"x\":[1 2]}",
                                      "{\"x\":{\"a\" 1}}",
                                      "{\"x\":\"\xff\"}",
                                      "{\"x\" 1}",
                                      "{1:2}",
                                      "{\"x\":'a'}",
                                      "{\"x\":-}",
                                      "{\"x\":NaN}"}) {
    EXPECT_TRUE(Refusal(body).starts_with("invalid JSON: ")) << body;
  }
}

TEST(DecodeIngest, WrongTypesAreInvalidJson) {
  EXPECT_EQ(Refusal(R"({"metrics":{}})"), "invalid JSON: metrics must be an array");
  EXPECT_EQ(Refusal(R"({"metrics":[1]})"), "invalid JSON: a metric must be an object");
  EXPECT_EQ(Refusal(Metric(R"("name":1)")), "invalid JSON: name must be a string");
  EXPECT_EQ(Refusal(Metric(R"("name":"m","type":[])")), "invalid JSON: type must be a string");
  EXPECT_EQ(Refusal(Metric(R"("name":"m","value":"1")")), "invalid JSON: value must be a number");
  EXPECT_EQ(Refusal(Metric(R"("name":"m","labels":[])")), "invalid JSON: labels must be an object");
  EXPECT_EQ(Refusal(Metric(R"("name":"m","labels":{"a":1})")),
            "invalid JSON: a label value must be a string");
  EXPECT_EQ(Refusal(Metric(R"("name":"m","timestamp":1700000000)")),
            "invalid JSON: timestamp must be a string");
  EXPECT_EQ(Refusal(Metric(R"("name":"m","timestamp":"")")),
            "invalid JSON: timestamp \"\" is not RFC 3339");
  EXPECT_EQ(Refusal(Metric(R"("name":"m","timestamp":"yesterday")")),
            "invalid JSON: timestamp \"yesterday\" is not RFC 3339");
  EXPECT_TRUE(Refusal(Metric(R"("name":"m","value":1e999)")).starts_with("invalid JSON: "));
}

TEST(DecodeIngest, DeepNestingIsRefusedWithoutRecursionWithoutEnd) {
  for (const size_t depth : {100u, 1'000u, 100'000u}) {
    const std::string bomb =
        StrCat("{\"x\":", std::string(depth, '['), std::string(depth, ']'), "}");
    EXPECT_TRUE(Refusal(bomb).starts_with("invalid JSON: ")) << depth;
    std::string objects = "{\"metrics\":[{\"x\":";
    for (size_t i = 0; i < depth; ++i) objects += "{\"a\":";
    EXPECT_TRUE(Refusal(objects).starts_with("invalid JSON: ")) << depth;
  }
  Good(StrCat("{\"x\":", std::string(60, '['), std::string(60, ']'), "}"));
}

TEST(DecodeIngest, AThousandSamplesPassOneMoreDoesNot) {
  std::string body = "{\"metrics\":[";
  for (int i = 0; i < 1000; ++i)
    StrAppend(&body, i > 0 ? "," : "", "{\"name\":\"m\",\"value\":", i, "}");
  EXPECT_EQ(Good(StrCat(body, "]}")).size(), 1000u);
  EXPECT_EQ(Refusal(StrCat(body, ",{}]}")), "too many metrics in request (max 1000)");
  EXPECT_TRUE(Refusal(StrCat(body, ",{},{]}")).starts_with("invalid JSON: "));
}

TEST(DecodeIngest, LimitsHoldToTheByte) {
  const auto name = [](size_t bytes) {
    return Metric(StrCat("\"name\":\"", std::string(bytes, 'n'), "\""));
  };
  Good(name(256));
  EXPECT_EQ(Refusal(name(257)), "invalid metric at index 0: metric name too long (max 256 chars)");
  EXPECT_EQ(Refusal(name(0)), "invalid metric at index 0: metric name cannot be empty");

  const auto labels = [](size_t count) {
    std::string out;
    for (size_t i = 0; i < count; ++i) StrAppend(&out, i > 0 ? "," : "", "\"l", i, "\":\"v\"");
    return Metric(StrCat("\"name\":\"m\",\"labels\":{", out, "}"));
  };
  EXPECT_EQ(Good(labels(20))[0].labels.size(), 21u);
  EXPECT_EQ(Refusal(labels(21)), "invalid metric at index 0: too many labels (max 20)");
  EXPECT_EQ(Refusal(labels(5000)), "invalid metric at index 0: too many labels (max 20)");

  const auto label = [](size_t key, size_t value) {
    return Metric(StrCat("\"name\":\"m\",\"labels\":{\"", std::string(key, 'k'), "\":\"",
                         std::string(value, 'v'), "\"}"));
  };
  Good(label(256, 1024));
  EXPECT_EQ(Refusal(label(257, 1)),
            "invalid metric at index 0: label key too long (max 256 chars)");
  EXPECT_EQ(Refusal(label(1, 1025)),
            "invalid metric at index 0: label value too long (max 1024 chars)");
  EXPECT_EQ(Refusal(label(0, 1)), "invalid metric at index 0: label key cannot be empty");
}

TEST(DecodeIngest, OneBadSampleRefusesAllAndIsNamed) {
  EXPECT_EQ(Refusal(R"({"metrics":[{"name":"a"},{"name":"b"},{"name":""},{"name":""}]})"),
            "invalid metric at index 2: metric name cannot be empty");
}

TEST(DecodeIngest, TheMetricNameCannotBeSmuggledInAsALabel) {
  EXPECT_EQ(Refusal(Metric(R"("name":"m","labels":{"__name__":"x"})")),
            "invalid metric at index 0: label key __name__ is reserved for the metric name");
}

TEST(DecodeIngest, LabelsWithoutAValueAreNoLabels) {
  EXPECT_EQ(Good(Metric(R"("name":"m","labels":{"a":"","b":null,"c":"1"})"))[0].labels,
            Labels::Of("m", {{"c", "1"}}));
}

TEST(DecodeIngest, NumbersKeepEveryBit) {
  const auto value = [](std::string_view text) {
    const auto samples = Good(Metric(StrCat("\"name\":\"m\",\"value\":", text)));
    return samples.empty() ? std::nan("") : samples[0].value;
  };
  EXPECT_TRUE(std::signbit(value("-0")));
  EXPECT_TRUE(std::signbit(value("-0.0")));
  EXPECT_EQ(value("100000000000000000000"), 1e20);
  EXPECT_EQ(value("123456789012345678901234567890"), 123456789012345678901234567890.0);
  EXPECT_EQ(value("9007199254740993"), 9007199254740992.0);
  EXPECT_EQ(value("0.1000000000000000055511151231257827021181583404541015625"), 0.1);
  EXPECT_EQ(value("5e-324"), 5e-324);
  EXPECT_EQ(value("1e-400"), 0);
  EXPECT_EQ(value("1.7976931348623157e+308"), 1.7976931348623157e308);
}

TEST(DecodeIngest, LargeBodiesAreRead) {
  const std::string padding(3 << 20, ' ');
  EXPECT_EQ(Good(StrCat("{\"x\":\"", std::string(2 << 20, 'y'), "\",", padding,
                        "\"metrics\":[{\"name\":\"m\"}]}"))
                .size(),
            1u);
}

}  // namespace
}  // namespace tinyobs::wire
