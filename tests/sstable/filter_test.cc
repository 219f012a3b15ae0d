#include "lib/sstable/filter.h"

#include <algorithm>
#include <string>

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::sstable {
namespace {

std::string KeyOf(int i) { return "series/" + std::to_string(i); }

Filter FilterOver(int keys, int bits_per_key) {
  FilterBuilder builder(bits_per_key);
  for (int i = 0; i < keys; ++i) builder.Add(KeyOf(i));
  const std::string bytes = builder.Finish();
  EXPECT_EQ(bytes.size(), builder.SizeBytes());
  auto filter = Filter::Create(bytes);
  EXPECT_OK(filter);
  return *std::move(filter);
}

TEST(Filter, EveryAddedKeyIsFound) {
  for (const int bits_per_key : {1, 4, 10, 16, 30, 64}) {
    for (const int keys : {1, 2, 100, 5000}) {
      const Filter filter = FilterOver(keys, bits_per_key);
      for (int i = 0; i < keys; ++i) {
        ASSERT_TRUE(filter.MayContain(FilterHash(KeyOf(i)))) << i << " of " << keys;
      }
    }
  }
}

// In per mille, over keys that were not added.
int FalseAnswers(const Filter& filter) {
  int found = 0;
  for (int i = 0; i < 100'000; ++i) found += filter.MayContain(FilterHash(KeyOf(-1 - i)));
  return found / 100;
}

TEST(Filter, FalseAnswersAreAsRareAsTheBitsPromise) {
  EXPECT_LT(FalseAnswers(FilterOver(20'000, 10)), 14);
  EXPECT_LT(FalseAnswers(FilterOver(20'000, 16)), 3);
  EXPECT_LT(FalseAnswers(FilterOver(20'000, 24)), 1);
  EXPECT_GT(FalseAnswers(FilterOver(20'000, 2)), 100) << "the measurement measures something";
}

TEST(Filter, DamagedBytesAreDataLoss) {
  FilterBuilder builder(10);
  builder.Add("key");
  const std::string good = builder.Finish();
  EXPECT_OK(Filter::Create(good));
  constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
  EXPECT_CODE(Filter::Create(""), kDataLoss);
  EXPECT_CODE(Filter::Create(good.substr(1)), kDataLoss);
  std::string bad = good;
  bad[bad.size() - 1] = 2;
  EXPECT_CODE(Filter::Create(bad), kDataLoss) << "unknown kind";
  for (const char probes : {'\0', '\x0f', '\xff'}) {
    bad = good;
    bad[bad.size() - 2] = probes;
    EXPECT_CODE(Filter::Create(bad), kDataLoss) << "probes";
  }
}

TEST(Filter, KnowsThePrefixesInPlaceOfTheKeysEachOnce) {
  constexpr size_t kPrefixBytes = 5;
  FilterBuilder plain(20);
  FilterBuilder builder(20, kPrefixBytes);
  // 2,000 keys with 20 prefixes, a key that is one, and one too short to have one.
  std::vector<std::string> keys = {"abc", "p1000"};
  for (int i = 0; i < 2000; ++i)
    keys.push_back("p" + std::to_string(1000 + i / 100) + "/" + KeyOf(i));
  std::sort(keys.begin(), keys.end());
  for (const std::string& key : keys) {
    plain.Add(key);
    builder.Add(key);
  }
  EXPECT_LE(builder.SizeBytes(), 3 * kFilterLineBytes) << "22 of 20 bits";
  EXPECT_GT(plain.SizeBytes(), 2000 * 20 / 8);
  ASSERT_OK_AND_ASSIGN(const Filter filter, Filter::Create(builder.Finish()));
  for (const std::string& key : keys) {
    EXPECT_TRUE(filter.MayContain(FilterHash(key.substr(0, kPrefixBytes))));
  }
  int found = 0;
  for (int i = 2000; i < 4000; ++i) found += filter.MayContain(FilterHash("p" + std::to_string(i)));
  EXPECT_LT(found, 40);
}

}  // namespace
}  // namespace tinyobs::sstable
