// Labels: one canonical form, whatever the order of arrival, and no trust in bytes.
//
// The property tests draw label sets from a small alphabet (so that prefixes, duplicates and empty
// values are common) and compare with a plain sorted vector of pairs, which is what the canonical
// bytes stand for.
#include "tinyobs/labels.h"

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/coding.h"
#include "lib/model/limits.h"

namespace tinyobs {
namespace {

using ::testing::HasSubstr;
using Pairs = std::vector<Labels::Pair>;

constexpr uint32_t kSeed = 20'240'601;

Labels MustCreate(Pairs pairs) {
  auto labels = Labels::Create(std::move(pairs));
  EXPECT_TRUE(labels.ok()) << labels.status().ToString();
  return labels.ok() ? *labels : Labels();
}

Pairs PairsOf(const Labels& labels) {
  Pairs pairs;
  for (const Label label : labels) pairs.emplace_back(label.name, label.value);
  return pairs;
}

std::string Message(const absl::StatusOr<Labels>& labels) {
  return std::string(labels.status().message());
}

// Names and values of zero to three of the letters, some of them of several bytes.
std::string RandomText(std::mt19937* random, size_t least) {
  static const std::vector<std::string> kLetters = {
      "a", "b", "_", "é", "\xf0\x9f\x98\x80", std::string(1, '\0'), "\"", "\n"};
  std::string text;
  const size_t length = least + (*random)() % 3;
  for (size_t i = 0; i < length; ++i) text += kLetters[(*random)() % kLetters.size()];
  return text;
}

std::map<std::string, std::string> RandomMap(std::mt19937* random) {
  std::map<std::string, std::string> map;
  for (size_t i = (*random)() % 6; i > 0; --i) map[RandomText(random, 1)] = RandomText(random, 0);
  return map;
}

// The same set without the labels that do not count.
Pairs WithoutEmptyValues(const std::map<std::string, std::string>& map) {
  Pairs pairs(map.begin(), map.end());
  std::erase_if(pairs, [](const Labels::Pair& pair) { return pair.second.empty(); });
  return pairs;
}

TEST(Labels, AreSortedByNameWhateverTheOrderGiven) {
  const Labels labels = MustCreate({{"z", "1"}, {"__name__", "up"}, {"a", "2"}});
  EXPECT_EQ(PairsOf(labels), (Pairs{{"__name__", "up"}, {"a", "2"}, {"z", "1"}}));
  EXPECT_EQ(labels, MustCreate({{"a", "2"}, {"z", "1"}, {"__name__", "up"}}));
  EXPECT_EQ(labels.size(), 3u);
  EXPECT_EQ(labels.metric(), "up");
}

TEST(Labels, CanonicalBytesAreLengthPrefixedNamesAndValues) {
  const Labels labels = MustCreate({{"b", "yz"}, {"a", "x"}});
  EXPECT_EQ(labels.canonical_bytes(), std::string("\x01"
                                                  "a\x01x\x01"
                                                  "b\x02yz"));
}

TEST(Labels, AnEmptyValueIsNoLabel) {
  EXPECT_EQ(MustCreate({{"a", ""}, {"b", "1"}}), MustCreate({{"b", "1"}}));
  EXPECT_TRUE(MustCreate({{"a", ""}}).empty());
  EXPECT_EQ(*Labels::Create("", {{"b", "1"}}), MustCreate({{"b", "1"}}));
}

TEST(Labels, MissingLabelReadsAsEmpty) {
  const Labels labels = Labels::Of("up", {{"job", "node"}});
  EXPECT_EQ(labels.Get("job"), "node");
  EXPECT_EQ(labels.Get("jo"), "");
  EXPECT_EQ(labels.Get("zone"), "");
  EXPECT_TRUE(labels.Has("job"));
  EXPECT_FALSE(labels.Has("zone"));
  EXPECT_EQ(Labels().Get("job"), "");
}

TEST(Labels, RefusalsNameTheLabel) {
  EXPECT_THAT(Message(Labels::Create({{"", "x"}})), HasSubstr("name is empty"));
  EXPECT_THAT(Message(Labels::Create({{"twin", "1"}, {"twin", "2"}})), HasSubstr("twin"));
  EXPECT_THAT(Message(Labels::Create("up", {{"__name__", "down"}})), HasSubstr("__name__"));
  EXPECT_THAT(Message(Labels::Create({{"bad\xff", "1"}})), HasSubstr("bad\\xff"));
  EXPECT_THAT(Message(Labels::Create({{"job", "\xc0\x80"}})), HasSubstr("job"));
  for (auto& labels : {Labels::Create({{"", "x"}}), Labels::Create({{"job", "\xc0\x80"}})}) {
    EXPECT_TRUE(absl::IsInvalidArgument(labels.status()));
  }
}

TEST(Labels, LimitsOfTheFormatAreInclusive) {
  EXPECT_TRUE(Labels::Create({{"a", std::string(kMaxLabelBytes, 'x')}}).ok());
  EXPECT_TRUE(Labels::Create({{std::string(kMaxLabelBytes, 'x'), "a"}}).ok());
  EXPECT_THAT(Message(Labels::Create({{"a", std::string(kMaxLabelBytes + 1, 'x')}})),
              HasSubstr("65536 bytes"));
  EXPECT_THAT(Message(Labels::Create({{std::string(kMaxLabelBytes + 1, 'x'), "a"}})),
              HasSubstr("65536 bytes"));

  Pairs pairs;
  for (size_t i = 0; i < kMaxLabels; ++i) pairs.emplace_back("l" + std::to_string(i), "v");
  auto most = Labels::Create(pairs);
  ASSERT_TRUE(most.ok());
  EXPECT_TRUE(Labels::FromCanonicalBytes(most->canonical_bytes()).ok());
  pairs.emplace_back("one_more", "v");
  EXPECT_THAT(Message(Labels::Create(pairs)), HasSubstr("1025 labels"));

  // 15 labels of 65,541 bytes and one that fills the megabyte up.
  pairs.clear();
  for (int i = 10; i < 25; ++i) {
    pairs.emplace_back(std::to_string(i), std::string(kMaxLabelBytes, 'x'));
  }
  const size_t left = kMaxLabelSetBytes - 15 * (1 + 2 + 3 + kMaxLabelBytes) - (1 + 1 + 3);
  pairs.emplace_back("z", std::string(left, 'x'));
  most = Labels::Create(pairs);
  ASSERT_TRUE(most.ok()) << most.status();
  EXPECT_EQ(most->canonical_bytes().size(), kMaxLabelSetBytes);
  EXPECT_TRUE(Labels::FromCanonicalBytes(most->canonical_bytes()).ok());
  pairs.back().second += 'x';
  EXPECT_THAT(Message(Labels::Create(pairs)), HasSubstr("a label set of 1048577 bytes"));
}

TEST(Labels, TextFormEscapesAsPrometheus) {
  EXPECT_EQ(Labels::Of("up").ToString(), "up");
  EXPECT_EQ(Labels().ToString(), "{}");
  EXPECT_EQ(Labels::Of("", {{"a", "b"}}).ToString(), "{a=\"b\"}");
  EXPECT_EQ(Labels::Of("m:x", {{"c", "d"}, {"a", "q\"\\\n"}}).ToString(),
            "m:x{a=\"q\\\"\\\\\\n\",c=\"d\"}");
  EXPECT_EQ(Labels::Of("my.metric", {{"label one", "x"}}).ToString(),
            "{\"my.metric\",\"label one\"=\"x\"}");
}

TEST(Labels, OrderIsLabelByLabelNameThenValue) {
  const std::vector<Labels> ascending = {
      Labels(),
      MustCreate({{"a", "1"}}),
      MustCreate({{"a", "1"}, {"b", "1"}}),
      MustCreate({{"a", "1"}, {"b", "2"}}),
      MustCreate({{"a", "10"}}),
      MustCreate({{"a", "2"}}),
      MustCreate({{"aa", "1"}}),
      MustCreate({{"b", "0"}}),
  };
  for (size_t i = 0; i < ascending.size(); ++i) {
    for (size_t j = 0; j < ascending.size(); ++j) {
      EXPECT_EQ(ascending[i] < ascending[j], i < j) << i << " " << j;
    }
  }
}

TEST(Labels, RandomSetsRoundTripAndCompareLikeSortedPairs) {
  SCOPED_TRACE(kSeed);
  std::mt19937 random(kSeed);
  std::vector<std::pair<Pairs, Labels>> seen;
  for (int round = 0; round < 2000; ++round) {
    const auto map = RandomMap(&random);
    Pairs shuffled(map.begin(), map.end());
    std::shuffle(shuffled.begin(), shuffled.end(), random);
    const Labels labels = MustCreate(shuffled);
    const Pairs expected = WithoutEmptyValues(map);
    ASSERT_EQ(PairsOf(labels), expected);
    for (const auto& [name, value] : map) ASSERT_EQ(labels.Get(name), value);

    auto back = Labels::FromCanonicalBytes(labels.canonical_bytes());
    ASSERT_TRUE(back.ok()) << back.status().ToString();
    ASSERT_EQ(*back, labels);
    ASSERT_EQ(PairsOf(*back), expected);

    for (const auto& [pairs, other] : seen) {
      ASSERT_EQ(labels < other, expected < pairs);
      ASSERT_EQ(other < labels, pairs < expected);
      ASSERT_EQ(labels == other, expected == pairs);
    }
    if (seen.size() < 100) seen.emplace_back(expected, labels);
  }
}

TEST(CanonicalBytes, EveryPrefixIsEitherWholeLabelsOrDataLoss) {
  const Labels labels = MustCreate({{"a", "1"}, {"bb", "22"}, {"ccc", std::string(200, 'x')}});
  const std::string& bytes = labels.canonical_bytes();
  std::vector<size_t> whole;
  for (size_t length = 0; length <= bytes.size(); ++length) {
    auto read = Labels::FromCanonicalBytes(std::string_view(bytes).substr(0, length));
    if (read.ok()) {
      whole.push_back(length);
    } else {
      EXPECT_TRUE(absl::IsDataLoss(read.status()));
    }
  }
  EXPECT_EQ(whole, (std::vector<size_t>{0, 4, 10, bytes.size()}));
}

TEST(CanonicalBytes, EveryFlippedByteIsRefusedOrIsAnotherCanonicalSet) {
  const Labels labels = MustCreate({{"a", "1"}, {"bb", "22"}, {"é", "x"}});
  const std::string& bytes = labels.canonical_bytes();
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int flip = 1; flip < 256; ++flip) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      auto read = Labels::FromCanonicalBytes(damaged);
      if (!read.ok()) {
        ASSERT_TRUE(absl::IsDataLoss(read.status()));
      } else {
        ASSERT_EQ(MustCreate(PairsOf(*read)).canonical_bytes(), damaged);
      }
    }
  }
}

TEST(CanonicalBytes, WhatCreateNeverWritesIsRefused) {
  const auto refused = [](std::string_view bytes) {
    return absl::IsDataLoss(Labels::FromCanonicalBytes(bytes).status());
  };
  const auto label = [](std::string_view name, std::string_view value) {
    std::string bytes;
    PutLengthPrefixed(&bytes, name);
    PutLengthPrefixed(&bytes, value);
    return bytes;
  };
  EXPECT_FALSE(refused(label("a", "1") + label("b", "2")));
  EXPECT_TRUE(refused(label("b", "1") + label("a", "2"))) << "order";
  EXPECT_TRUE(refused(label("a", "1") + label("a", "2"))) << "twice";
  EXPECT_TRUE(refused(label("", "1"))) << "empty name";
  EXPECT_TRUE(refused(label("a", ""))) << "empty value";
  EXPECT_TRUE(refused(label("a\xff", "1"))) << "UTF-8 of the name";
  EXPECT_TRUE(refused(label("a", "\xed\xa0\x80"))) << "UTF-8 of the value";
  EXPECT_TRUE(refused(label("a", std::string(kMaxLabelBytes + 1, 'x')))) << "too long";
  EXPECT_TRUE(
      refused(std::string("\x81\x00"
                          "a\x01"
                          "1",
                          5)))
      << "a length that is not minimal";
  EXPECT_TRUE(refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01")) << "a huge length";

  std::string many;
  for (size_t i = 0; i <= kMaxLabels; ++i) many += label("l" + std::to_string(10'000 + i), "v");
  EXPECT_TRUE(refused(many)) << "too many";

  std::string large;
  for (int i = 10; i < 27; ++i) {
    large += label(std::to_string(i), std::string(kMaxLabelBytes, 'x'));
  }
  EXPECT_TRUE(refused(large)) << "too large as a whole";
}

}  // namespace
}  // namespace tinyobs
