// The samples that benchmarks are made of: the generator gives the same ones each time and of the
// kinds it says, and the reader of captures reads what the script wrote (capture_test.py has the
// same bytes) and refuses everything cut short.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>
#include <string_view>

#include "bench/workload/capture.h"
#include "bench/workload/devops.h"

namespace tinyobs::bench {
namespace {

// Two scrapes, 1000 ms and 16000 ms; `a` is in both (1.5, 1.5), `b{x="y"}` in the second (-2).
constexpr std::string_view kCapture(
    "TINYCAP1\x02\xe8\x07\x98\x75\x02"
    "\x01\x08__name__\x01"
    "a\x01\x00\x02\xbf\xf0\x03\x00"
    "\x02\x08__name__\x01"
    "b\x01x\x01y\x01\x01\x01\xc0\x01",
    54);

class CaptureTest : public testing::Test {
 protected:
  std::unique_ptr<SampleSource> Read(std::string_view bytes) {
    const std::string path = testing::TempDir() + "/file.capture";
    std::ofstream(path, std::ios::binary) << bytes;
    error_.clear();
    auto capture = ReadCapture(path, &error_);
    std::remove(path.c_str());
    return capture;
  }
  std::string error_;
};

TEST_F(CaptureTest, ReadsSeriesThatAreNotInEveryScrape) {
  const auto capture = Read(kCapture);
  ASSERT_NE(capture, nullptr) << error_;
  EXPECT_EQ(capture->series_count(), 2u);
  EXPECT_EQ(capture->LabelsOf(1).ToString(), R"(b{x="y"})");
  ASSERT_EQ(capture->scrape_count(), 2u);
  SampleColumns scrape;
  capture->Scrape(0, &scrape);
  EXPECT_EQ(scrape.series, std::vector<uint32_t>({0}));
  EXPECT_EQ(scrape.timestamps_ms, std::vector<int64_t>({1000}));
  EXPECT_EQ(scrape.values, std::vector<double>({1.5}));
  capture->Scrape(1, &scrape);
  EXPECT_EQ(scrape.series, std::vector<uint32_t>({0, 1}));
  EXPECT_EQ(scrape.timestamps_ms, std::vector<int64_t>({16000, 16000}));
  EXPECT_EQ(scrape.values, std::vector<double>({1.5, -2}));
}

TEST_F(CaptureTest, RefusesWhatIsCutShortOrTooLong) {
  for (size_t length = 0; length < kCapture.size(); ++length) {
    EXPECT_EQ(Read(kCapture.substr(0, length)), nullptr) << length;
    EXPECT_NE(error_.find("tools/bench capture"), std::string::npos) << error_;
  }
  EXPECT_EQ(Read(std::string(kCapture) + "x"), nullptr);
}

TEST_F(CaptureTest, AnyChangedByteIsReadOrRefusedButNeverWorse) {
  for (size_t at = 0; at < kCapture.size(); ++at) {
    for (const int change : {0x01, 0x80, 0xff}) {
      std::string bytes(kCapture);
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      Read(bytes);
    }
  }
}

DevopsOptions Small(uint64_t seed, bool random_order) {
  DevopsOptions options;
  options.series = 300;
  options.scrapes = 50;
  options.seed = seed;
  options.random_order = random_order;
  return options;
}

TEST(Devops, TheSameSeedGivesTheSameSamples) {
  DevopsSource a(Small(7, false));
  DevopsSource b(Small(7, false));
  DevopsSource other(Small(8, false));
  SampleColumns of_a, of_b, of_other;
  for (size_t i = 0; i < 50; ++i) {
    a.Scrape(i, &of_a);
    b.Scrape(i, &of_b);
    other.Scrape(i, &of_other);
    EXPECT_EQ(of_a.series, of_b.series);
    EXPECT_EQ(of_a.timestamps_ms, of_b.timestamps_ms);
    EXPECT_EQ(of_a.values, of_b.values);
    EXPECT_NE(of_a.values, of_other.values);
  }
}

TEST(Devops, AnotherOrderHasTheSameSamples) {
  DevopsSource in_order(Small(7, false));
  DevopsSource shuffled(Small(7, true));
  SampleColumns expected, found;
  for (size_t i = 0; i < 3; ++i) {
    in_order.Scrape(i, &expected);
    shuffled.Scrape(i, &found);
    EXPECT_NE(found.series, expected.series);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t k = 0; k < found.size(); ++k) {
      EXPECT_EQ(found.values[k], expected.values[found.series[k]]);
      EXPECT_EQ(found.timestamps_ms[k], expected.timestamps_ms[found.series[k]]);
    }
  }
}

TEST(Devops, SeriesHaveEightLabelsOfTheirOwnAndRegularTimes) {
  DevopsSource source(Small(7, false));
  std::set<std::string> names;
  for (size_t i = 0; i < source.series_count(); ++i) {
    const Labels labels = source.LabelsOf(i);
    EXPECT_EQ(labels.size(), 8u);
    names.insert(labels.canonical_bytes());
    for (const Matcher& matcher : source.SelectorOf(i)) EXPECT_TRUE(matcher.Matches(labels));
  }
  EXPECT_EQ(names.size(), source.series_count());
  SampleColumns first, second;
  source.Scrape(0, &first);
  source.Scrape(1, &second);
  for (size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(second.timestamps_ms[i] - first.timestamps_ms[i], 15'000);
    EXPECT_EQ(first.timestamps_ms[i], first.timestamps_ms[i / 100 * 100]);
  }
}

TEST(Devops, CountersGoUpAndDecimalsAreDecimals) {
  DevopsSource source(Small(7, false));
  SampleColumns before, now;
  source.Scrape(0, &before);
  for (size_t scrape = 1; scrape < 50; ++scrape) {
    source.Scrape(scrape, &now);
    for (size_t i = 0; i < now.size(); ++i) {
      const size_t metric = i % 100;
      const double value = now.values[i];
      const double scale = metric < 20 ? 100 : metric < 60 ? 1 : metric < 72 ? 10 : 1;
      if (metric < 98) {
        EXPECT_EQ(value, std::round(value * scale) / scale) << metric;
      }
      if (metric < 20 || (metric >= 40 && metric < 60) || (metric >= 85 && metric < 98)) {
        EXPECT_GE(value, before.values[i]) << metric;
      }
    }
    before = now;
  }
}

}  // namespace
}  // namespace tinyobs::bench
