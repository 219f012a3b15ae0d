// Goal: what one side encodes the other decodes to the same samples, bit for bit. Method: random
// samples with every kind of double and awkward labels through both; the seed is in the message.
#include <bit>
#include <cmath>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "lib/wire/ingest.h"

namespace tinyobs::wire {
namespace {

std::string RandomText(std::mt19937_64& random, size_t longest) {
  static const std::vector<std::string> kPieces = {"a",
                                                   "Z",
                                                   "_",
                                                   "0",
                                                   " ",
                                                   "\"",
                                                   "\\",
                                                   "\n",
                                                   "\t",
                                                   "é",
                                                   "€",
                                                   "😀",
                                                   "/",
                                                   "<",
                                                   "\x01",
                                                   "\x7f",
                                                   std::string(1, '\0')};
  std::string text;
  const size_t count = 1 + random() % 12;
  for (size_t i = 0; i < count; ++i) text += kPieces[random() % kPieces.size()];
  if (text.size() > longest) text = "x";
  return text;
}

TEST(IngestRoundTrip, EverySampleComesBackBitIdentical) {
  constexpr uint64_t kSeed = 42;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  for (int round = 0; round < 100; ++round) {
    std::vector<IngestSample> samples(random() % 200);
    for (IngestSample& sample : samples) {
      std::vector<Labels::Pair> pairs;
      for (size_t i = random() % 5; i > 0; --i) {
        pairs.emplace_back("l" + std::to_string(i) + RandomText(random, 200),
                           RandomText(random, 1000));
      }
      auto labels = Labels::Create(RandomText(random, 250), pairs);
      ASSERT_TRUE(labels.ok()) << labels.status();
      sample.labels = *labels;
      sample.type = random() % 2 == 0 ? "gauge" : RandomText(random, 100);
      sample.timestamp_ms = static_cast<int64_t>(random() % 4'000'000'000'000);
      do {
        sample.value = std::bit_cast<double>(random());
      } while (!std::isfinite(sample.value));
      if (random() % 4 == 0) sample.value = static_cast<double>(random() % 1000) / 8;
      if (random() % 50 == 0) sample.value = -0.0;
    }
    const auto body = EncodeIngest(samples);
    ASSERT_TRUE(body.ok()) << body.status();
    const auto back = DecodeIngest(*body, /*now_ms=*/0);
    ASSERT_TRUE(back.ok()) << back.status();
    ASSERT_EQ(back->size(), samples.size());
    for (size_t i = 0; i < samples.size(); ++i) {
      ASSERT_EQ((*back)[i].labels, samples[i].labels);
      ASSERT_EQ((*back)[i].type, samples[i].type);
      ASSERT_EQ((*back)[i].timestamp_ms, samples[i].timestamp_ms);
      ASSERT_EQ(std::bit_cast<uint64_t>((*back)[i].value),
                std::bit_cast<uint64_t>(samples[i].value));
    }
  }
}

TEST(EncodeIngest, WritesTheDocumentedShape) {
  const std::vector<IngestSample> samples = {
      {Labels::Of("m", {{"service", "s"}}), "gauge", 1'763'424'000'123, 1.5},
      {Labels::Of("n"), "", 0, -0.0}};
  EXPECT_EQ(*EncodeIngest(samples),
            R"({"metrics":[{"name":"m","type":"gauge","value":1.5,"labels":{"service":"s"},)"
            R"("timestamp":"2025-11-18T00:00:00.123Z"},)"
            R"({"name":"n","type":"","value":-0,"timestamp":"1970-01-01T00:00:00Z"}]})");
}

TEST(EncodeIngest, RefusesWhatJsonCannotCarryAndNamesTheSeries) {
  const std::vector<IngestSample> samples = {{Labels::Of("ok"), "", 0, 1},
                                             {Labels::Of("m", {{"a", "b"}}), "", 0, std::nan("")}};
  const auto body = EncodeIngest(samples);
  ASSERT_TRUE(absl::IsInvalidArgument(body.status()));
  EXPECT_EQ(body.status().message(), "value of m{a=\"b\"} is not finite, JSON cannot carry it");
}

}  // namespace
}  // namespace tinyobs::wire
