// Goal: what a sender of remote write says arrives bit for bit, and a body that is no such message,
// whatever it claims, is refused without cost.
// Method: bodies encoded by tests/testing/write_request.h, and bytes by hand.
#include "lib/wire/remote_write.h"

#include <bit>
#include <deque>
#include <random>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "tests/testing/write_request.h"

namespace tinyobs::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int64_t kTime = 1'763'424'000'000;

// The bodies stay, as what is decoded points into them.
RemoteWrite Decode(const WriteRequest& request) {
  static std::deque<std::string> bodies;
  RemoteWrite out;
  const absl::Status status = DecodeRemoteWrite(bodies.emplace_back(request.protobuf()), &out);
  EXPECT_TRUE(status.ok()) << status;
  return out;
}

std::string ErrorOf(std::string_view body) {
  RemoteWrite out;
  const absl::Status status = DecodeRemoteWrite(body, &out);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  return std::string(status.message());
}

// A field whose length is what the test says, not what follows.
std::string Field(int number, uint64_t length, std::string_view content) {
  std::string out(1, static_cast<char>(number << 3 | 2));
  for (; length >= 0x80; length >>= 7) out.push_back(static_cast<char>(length | 0x80));
  out.push_back(static_cast<char>(length));
  return out.append(content);
}

TEST(RemoteWrite, SeriesAndSamplesComeInTheirOrder) {
  const RemoteWrite out =
      Decode(WriteRequest()
                 .Series({{"__name__", "up"}, {"job", "a"}}, {{kTime, 1}, {kTime + 1, -2.5}})
                 .Series({{"__name__", "up"}, {"job", "b"}}, {{-5, 0}}));
  ASSERT_THAT(out.batch.series, SizeIs(2));
  EXPECT_EQ(out.batch.series[0].begin, 0u);
  EXPECT_EQ(out.batch.series[0].end, 2u);
  EXPECT_EQ(out.batch.series[1].end, 3u);
  EXPECT_THAT(out.batch.timestamps_ms, ElementsAre(kTime, kTime + 1, -5));
  EXPECT_THAT(out.batch.values, ElementsAre(1, -2.5, 0));
  EXPECT_EQ(*RemoteWriteLabels(out.batch.series[0].name), Labels::Of("up", {{"job", "a"}}));
  EXPECT_EQ(*RemoteWriteLabels(out.batch.series[1].name), Labels::Of("up", {{"job", "b"}}));
}

TEST(RemoteWrite, EveryBitOfAValueIsKept) {
  std::mt19937_64 random(1);
  std::vector<Sample> samples = {{kTime, StaleNan()}, {kTime, -0.0}};
  for (int i = 0; i < 1000; ++i) samples.push_back({kTime + i, std::bit_cast<double>(random())});
  const RemoteWrite out = Decode(WriteRequest().Series({{"__name__", "m"}}, samples));
  ASSERT_EQ(out.batch.values.size(), samples.size());
  for (size_t i = 0; i < samples.size(); ++i) {
    EXPECT_EQ(std::bit_cast<uint64_t>(out.batch.values[i]),
              std::bit_cast<uint64_t>(samples[i].value));
  }
  EXPECT_TRUE(IsStaleNan(out.batch.values[0]));
}

TEST(RemoteWrite, TheSameLabelsHaveTheSameNameWhateverTheSamples) {
  const WriteRequest::Pairs labels = {{"__name__", "m"}, {"a", "b"}};
  const WriteRequest first = (WriteRequest().Series(labels, {{1, 1}}));
  const RemoteWrite one = Decode(first);
  const WriteRequest second = (WriteRequest().Series(labels, {{2, 3}, {4, 5}}, 2));
  const RemoteWrite two = Decode(second);
  EXPECT_EQ(one.batch.series[0].name, two.batch.series[0].name);
}

TEST(RemoteWrite, FieldsThatAreLeftOutAreZeroAndUnknownOnesSkipped) {
  // A sample without time or value, an exemplar, a field 15 of each kind.
  const std::string label = Field(1, 5, Field(1, 0, "") + Field(2, 1, "x"));
  std::string series = Field(1, 13, Field(1, 8, "__name__") + Field(2, 1, "m"));
  series += Field(2, 0, "") + Field(3, 2, "\x08\x01") + Field(15, 3, "abc") + "\x78\x01";
  RemoteWrite out;
  const std::string body = Field(1, series.size(), series) + Field(15, 3, "abc") + "\x78\x01";
  ASSERT_TRUE(DecodeRemoteWrite(body, &out).ok());
  ASSERT_THAT(out.batch.series, SizeIs(1));
  EXPECT_THAT(out.batch.timestamps_ms, ElementsAre(0));
  EXPECT_THAT(out.batch.values, ElementsAre(0));
  EXPECT_EQ(*RemoteWriteLabels(out.batch.series[0].name), Labels::Of("m"));
}

TEST(RemoteWrite, LabelsAroundSamplesAreAllRead) {
  std::string series = Field(1, 13, Field(1, 8, "__name__") + Field(2, 1, "m"));
  series += Field(2, 2, "\x10\x07") + Field(1, 6, Field(1, 1, "a") + Field(2, 1, "b"));
  RemoteWrite out;
  const std::string body = Field(1, series.size(), series);
  ASSERT_TRUE(DecodeRemoteWrite(body, &out).ok());
  EXPECT_THAT(out.batch.timestamps_ms, ElementsAre(7));
  EXPECT_EQ(*RemoteWriteLabels(out.batch.series[0].name), Labels::Of("m", {{"a", "b"}}));
}

TEST(RemoteWrite, SeriesWithoutSamplesAreLeftOutAndHistogramsCounted) {
  const RemoteWrite out = Decode(WriteRequest()
                                     .Series({{"__name__", "a"}}, {})
                                     .Series({{"__name__", "h"}}, {}, 3)
                                     .Series({{"__name__", "b"}}, {{1, 1}}, 1));
  EXPECT_THAT(out.batch.series, SizeIs(1));
  EXPECT_EQ(out.histograms, 4u);
}

TEST(RemoteWrite, MetadataHasTypesByName) {
  const WriteRequest request = (WriteRequest()
                                    .Metadata(1, "requests", "Answered.", "requests")
                                    .Metadata(7, "states", "", "")
                                    .Metadata(99, "odd", "", "")
                                    .Metadata(1, "", "of nothing", ""));
  const RemoteWrite out = Decode(request);
  ASSERT_THAT(out.batch.metadata, SizeIs(3));
  EXPECT_EQ(out.batch.metadata[0].metric, "requests");
  EXPECT_EQ(out.batch.metadata[0].type, "counter");
  EXPECT_EQ(out.batch.metadata[0].help, "Answered.");
  EXPECT_EQ(out.batch.metadata[0].unit, "requests");
  EXPECT_EQ(out.batch.metadata[1].type, "stateset");
  EXPECT_EQ(out.batch.metadata[2].type, "unknown");
  EXPECT_THAT(out.batch.series, IsEmpty());
}

TEST(RemoteWrite, AnEmptyBodyHoldsNothing) {
  EXPECT_THAT(Decode(WriteRequest()).batch.series, IsEmpty());
}

TEST(RemoteWrite, EveryBodyCutShortIsRefusedOrASmallerRequest) {
  const WriteRequest request =
      (WriteRequest()
           .Series({{"__name__", "m"}, {"a", "b"}}, {{kTime, 1}, {kTime + 1, 2}})
           .Metadata(1, "m", "help", "unit"));
  const std::string& whole = request.protobuf();
  size_t refused = 0;
  for (size_t length = 0; length < whole.size(); ++length) {
    RemoteWrite out;
    const std::string cut = whole.substr(0, length);
    refused += DecodeRemoteWrite(cut, &out).ok() ? 0 : 1;
  }
  EXPECT_EQ(refused, whole.size() - 2);  // nothing at all, and the series alone, are requests
}

TEST(RemoteWrite, LengthsThatLieAreRefused) {
  EXPECT_THAT(ErrorOf(Field(1, 100, "abc")), HasSubstr("not a WriteRequest"));
  EXPECT_THAT(ErrorOf(Field(1, UINT64_MAX, "abc")), HasSubstr("not a WriteRequest"));
  EXPECT_THAT(ErrorOf(Field(1, 5, Field(2, 1000, "abc"))), HasSubstr("not a WriteRequest"));
  EXPECT_THAT(ErrorOf("plain text"), HasSubstr("not a WriteRequest"));
  // A varint that does not end, a group, field number 0.
  EXPECT_THAT(ErrorOf(std::string(20, '\xff')), HasSubstr("not a WriteRequest"));
  EXPECT_THAT(ErrorOf("\x0b\x0c"), HasSubstr("not a WriteRequest"));
  EXPECT_THAT(ErrorOf(std::string(2, '\0')), HasSubstr("not a WriteRequest"));
}

TEST(RemoteWrite, MoreSamplesThanTheBodyCanMeanAreRefused) {
  std::string series = Field(1, 13, Field(1, 8, "__name__") + Field(2, 1, "m"));
  for (int i = 0; i < 100'000; ++i) series += Field(2, 0, "");
  EXPECT_THAT(ErrorOf(Field(1, series.size(), series)), HasSubstr("more than 26026 samples"));
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += Field(1, 2, Field(2, 0, ""));
  EXPECT_THAT(ErrorOf(many), HasSubstr("more than 51024 samples"));
  std::string metadata;
  for (int i = 0; i < 100'000; ++i) metadata += Field(3, 3, Field(2, 1, "m"));
  EXPECT_THAT(ErrorOf(metadata), HasSubstr("more than 63524 samples"));
}

TEST(RemoteWriteLabels, AnyOrderIsTheSameSeriesAndEmptyIsAbsent) {
  const WriteRequest request = std::move(
      WriteRequest().Series({{"z", "1"}, {"__name__", "m"}, {"b", ""}, {"a", "2"}}, {{1, 1}}));
  EXPECT_EQ(*RemoteWriteLabels(Decode(request).batch.series[0].name),
            Labels::Of("m", {{"a", "2"}, {"z", "1"}}));
}

TEST(RemoteWriteLabels, WhatCannotBeASeriesIsNamed) {
  const auto error = [](const WriteRequest::Pairs& labels) {
    const WriteRequest request = (WriteRequest().Series(labels, {{1, 1}}));
    const auto read = RemoteWriteLabels(Decode(request).batch.series[0].name);
    EXPECT_TRUE(absl::IsInvalidArgument(read.status())) << read.status();
    return std::string(read.status().message());
  };
  EXPECT_THAT(error({}), HasSubstr("needs a metric name"));
  EXPECT_THAT(error({{"a", "b"}}), HasSubstr("needs a metric name"));
  EXPECT_THAT(error({{"__name__", ""}, {"a", "b"}}), HasSubstr("needs a metric name"));
  EXPECT_THAT(error({{"__name__", "m"}, {"a", "1"}, {"a", "2"}}),
              HasSubstr("\"a\" is given twice"));
  EXPECT_THAT(error({{"__name__", "m"}, {"", "1"}}), HasSubstr("label name is empty"));
  EXPECT_THAT(error({{"__name__", "m"}, {"a", "\xff"}}), HasSubstr("not valid UTF-8"));
  EXPECT_THAT(error({{"__name__", "m"}, {"a", std::string(70'000, 'x')}}), HasSubstr("65535"));
  EXPECT_THAT(error(WriteRequest::Pairs(100'000, {"", ""})), HasSubstr("more than 1024 labels"));
}

}  // namespace
}  // namespace tinyobs::wire
