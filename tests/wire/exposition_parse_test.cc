// Goal: every form the text formats allow is read as Prometheus reads it; every other line is left
// out alone, with its number.
// Method: texts by hand, and one written by lib/wire/exposition_text.h.
#include "lib/wire/exposition_parse.h"

#include <bit>
#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/wire/exposition_text.h"

namespace tinyobs::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kNow = 1'763'424'000'000;

struct Read {
  std::vector<std::string> samples;  // labels value time
  WriteReport report;
  std::vector<std::string> metadata;  // metric|type|help|unit
};

Read ReadText(std::string_view text, bool is_openmetrics = false) {
  Read out;
  SeriesBatch batch;
  ExpositionReader reader(text, kNow, is_openmetrics);
  while (reader.Next(&batch, &out.report)) {
    for (const auto& series : batch.series) {
      EXPECT_EQ(series.end, series.begin + 1);
      const auto labels = ExpositionLabels(series.name);
      out.samples.push_back(
          StrCat(labels.ok() ? labels->ToString() : std::string(labels.status().message()), " ",
                 batch.values[series.begin], " ", batch.timestamps_ms[series.begin] - kNow));
    }
    for (const auto& [metric, type, help, unit] : batch.metadata) {
      out.metadata.push_back(StrCat(metric, "|", type, "|", help, "|", unit));
    }
  }
  return out;
}

std::string WrongLine(std::string_view line) {
  const Read read = ReadText(line);
  EXPECT_THAT(read.samples, IsEmpty()) << line;
  EXPECT_EQ(read.report.refused, 1u) << line;
  return read.report.reasons.empty() ? "" : read.report.reasons[0];
}

TEST(Exposition, LinesOfEveryForm) {
  const Read read = ReadText(
      "m 1\n"
      "\n"
      "# a comment\n"
      "  m2\t2.5   1763424000001  \r\n"
      "m{} 3\n"
      "m{a=\"b\",} 4 1763424000002\n"
      "m { a = \"b\" , c=\"d\" } 5\n"
      "a:b{_x=\"}#\"} 6\n"
      "m{a=\"\"} 7");
  EXPECT_THAT(read.samples, ElementsAre("m 1 0", "m2 2.5 1", "m 3 0", "m{a=\"b\"} 4 2",
                                        "m{a=\"b\",c=\"d\"} 5 0", "a:b{_x=\"}#\"} 6 0", "m 7 0"));
  EXPECT_EQ(read.report.refused, 0u);
}

TEST(Exposition, Escapes) {
  EXPECT_EQ(ExpositionLabels(R"(m{a="q\"b\\n\n\x"})")->Get("a"), "q\"b\\n\n\\x");
  EXPECT_THAT(ReadText("m{a=\"\\\\\"} 1\nm{a=\"\\\"}\"} 2").samples,
              ElementsAre("m{a=\"\\\\\"} 1 0", "m{a=\"\\\"}\"} 2 0"));
}

TEST(Exposition, NamesInQuotes) {
  EXPECT_EQ(*ExpositionLabels(R"({"my.metric","my label"="x",b="y"})"),
            Labels::Of("my.metric", {{"my label", "x"}, {"b", "y"}}));
  EXPECT_THAT(ReadText("{\"my.metric\"} 1").samples, ElementsAre("{\"my.metric\"} 1 0"));
  // What is written by Labels::ToString is read again.
  const Labels labels = Labels::Of("my.metric", {{"b", "\"\\\n"}, {"ü", "ö"}});
  EXPECT_EQ(*ExpositionLabels(labels.ToString()), labels);
}

TEST(Exposition, Values) {
  const auto value = [](std::string_view text) {
    SeriesBatch batch;
    WriteReport report;
    const std::string line = StrCat("m ", text);
    ExpositionReader reader(line, kNow, false);
    EXPECT_TRUE(reader.Next(&batch, &report)) << text;
    return batch.values.at(0);
  };
  EXPECT_EQ(value("+1.5e3"), 1500);
  EXPECT_EQ(value("-0"), 0);
  EXPECT_TRUE(std::signbit(value("-0")));
  EXPECT_EQ(value(".5"), 0.5);
  EXPECT_EQ(value("5."), 5);
  EXPECT_EQ(value("+Inf"), INFINITY);
  EXPECT_EQ(value("-Inf"), -INFINITY);
  EXPECT_EQ(value("inf"), INFINITY);
  EXPECT_EQ(std::bit_cast<uint64_t>(value("NaN")), 0x7ff8000000000000u);
  EXPECT_EQ(std::bit_cast<uint64_t>(value("-nan")), 0x7ff8000000000000u);
  EXPECT_EQ(value("5e-324"), 5e-324);
  EXPECT_EQ(value("1e-999"), 0);
  EXPECT_TRUE(std::signbit(value("-1e-999")));
  EXPECT_EQ(value("0.1"), 0.1);
}

TEST(Exposition, WrongLinesAreNumberedAndTheOthersTaken) {
  const Read read = ReadText("a 1\nb\n# c\nd x\ne 2\nf 1 2 3\ng 1e999\nh 3");
  EXPECT_THAT(read.samples, ElementsAre("a 1 0", "e 2 0", "h 3 0"));
  EXPECT_EQ(read.report.refused, 4u);
  EXPECT_THAT(read.report.reasons,
              ElementsAre(HasSubstr("line 2: a value must follow"),
                          HasSubstr("line 4: a value must follow"),
                          HasSubstr("line 6: more than a value and a time: f 1 2 3")));
}

TEST(Exposition, WrongLines) {
  EXPECT_THAT(WrongLine("m{a=\"b\" 1"), HasSubstr("do not end"));
  EXPECT_THAT(WrongLine("m{a=\"b} 1"), HasSubstr("do not end"));
  EXPECT_THAT(WrongLine("m{a=\"b\\"), HasSubstr("do not end"));
  EXPECT_THAT(WrongLine("m{"), HasSubstr("do not end"));
  EXPECT_THAT(WrongLine("m{a=\"b\"}"), HasSubstr("a value"));
  EXPECT_THAT(WrongLine("m 1x"), HasSubstr("a value"));
  EXPECT_THAT(WrongLine("m +-1"), HasSubstr("a value"));
  EXPECT_THAT(WrongLine("m 0x1p3"), HasSubstr("a value"));
  EXPECT_THAT(WrongLine("m nan(7)"), HasSubstr("a value"));
  EXPECT_THAT(WrongLine("m 1 x"), HasSubstr("a time"));
  EXPECT_THAT(WrongLine("m 1 99999999999999999999"), HasSubstr("a time"));
  EXPECT_THAT(WrongLine("m 1 1e300"), HasSubstr("a time"));
  EXPECT_THAT(WrongLine("m 1 NaN"), HasSubstr("a time"));
}

TEST(Exposition, WrongLabels) {
  const auto error = [](std::string_view name) {
    const auto labels = ExpositionLabels(name);
    EXPECT_TRUE(absl::IsInvalidArgument(labels.status())) << name;
    return std::string(labels.status().message());
  };
  EXPECT_THAT(error("my.metric"), HasSubstr("a metric name that needs quotes"));
  EXPECT_THAT(error("{a=\"b\"}"), HasSubstr("a metric name is missing"));
  EXPECT_THAT(error("m{a}"), HasSubstr("'=' expected"));
  EXPECT_THAT(error("m{a=b}"), HasSubstr("'\"' expected"));
  EXPECT_THAT(error("m{a=\"b\"c=\"d\"}"), HasSubstr("',' expected"));
  EXPECT_THAT(error("m{a.b=\"b\"}"), HasSubstr("needs quotes"));
  EXPECT_THAT(error("m{,}"), HasSubstr("needs quotes"));
  EXPECT_THAT(error("m{a=\"1\",a=\"2\"}"), HasSubstr("given twice"));
  EXPECT_THAT(error("m{\"other\"}"), HasSubstr("given twice"));
  EXPECT_THAT(error("m{a=\"\xff\"}"), HasSubstr("UTF-8"));
  std::string many = "m{";
  for (int i = 0; i < 2'000; ++i) StrAppend(&many, "a", i, "=\"\",");
  EXPECT_THAT(error(many + "}"), HasSubstr("too many labels"));
}

TEST(Exposition, ExtraLabelsReplaceThoseOfTheLine) {
  const std::vector<Labels::Pair> extra = {{"job", "x"}, {"new", "y"}};
  EXPECT_EQ(*ExpositionLabels("m{job=\"old\",a=\"b\"}", extra),
            Labels::Of("m", {{"job", "x"}, {"a", "b"}, {"new", "y"}}));
}

TEST(Exposition, MetadataIsGatheredByMetric) {
  const Read read = ReadText(
      "# HELP m A \\\\ and a\\nnewline.\n# TYPE m counter\n# UNIT m seconds\nm 1\n"
      "#TYPE n gauge\n#  TYPE  o   gauge  \n# TYPE bad-name gauge\n# TYPE p\n# EOF\n");
  EXPECT_THAT(read.metadata,
              ElementsAre("m|counter|A \\ and a\nnewline.|seconds", "n|gauge||", "o|gauge||"));
  EXPECT_EQ(read.report.refused, 0u);
}

TEST(Exposition, OpenMetricsTimesAreSecondsAndExemplarsIgnored) {
  EXPECT_THAT(ReadText("m 1 1763424000\nn 2 1763424000.5\n", true).samples,
              ElementsAre("m 1 0", "n 2 500"));
  EXPECT_THAT(ReadText("m 1 1763424000.25 # {trace_id=\"x\"} 0.5 1.5\nn 1 # {} 1\n").samples,
              ElementsAre("m 1 250", "n 1 0"));
}

TEST(Exposition, ReadsWhatTheWriterWrites) {
  ExpositionWriter out;
  out.Family("m", "gauge", "Help \\ with\nlines.");
  out.Sample(0.1, {{"a", "q\"\\\n"}});
  out.Sample(NAN);
  const Read read = ReadText(out.Finish());
  EXPECT_THAT(read.samples, ElementsAre("m{a=\"q\\\"\\\\\\n\"} 0.1 0", "m nan 0"));
  EXPECT_THAT(read.metadata, ElementsAre("m|gauge|Help \\ with\nlines.|"));
}

TEST(Exposition, LongTextsComeInBatchesWithoutALineLost) {
  std::string text;
  for (int i = 0; i < 50'000; ++i) StrAppend(&text, "m{i=\"", i, "\"} ", i, "\n");
  SeriesBatch batch;
  WriteReport report;
  ExpositionReader reader(text, kNow, false);
  size_t samples = 0;
  size_t batches = 0;
  while (reader.Next(&batch, &report)) {
    for (const double value : batch.values) ASSERT_EQ(value, static_cast<double>(samples++));
    ++batches;
  }
  EXPECT_EQ(samples, 50'000u);
  EXPECT_EQ(batches, 4u);
}

}  // namespace
}  // namespace tinyobs::wire
