#include "lib/model/series_key.h"

#include <string>

#include "absl/container/flat_hash_map.h"
#include "gtest/gtest.h"

namespace tinyobs {
namespace {

TEST(SeriesKey, FollowsTheLabelsNotTheOrderTheyCameIn) {
  const auto one = Labels::Create({{"a", "1"}, {"b", "2"}, {"c", ""}});
  const auto two = Labels::Create({{"b", "2"}, {"a", "1"}});
  EXPECT_EQ(SeriesKeyOf(*one, 7), SeriesKeyOf(*two, 7));
  EXPECT_NE(SeriesKeyOf(*one, 7), SeriesKeyOf(Labels::Of("a"), 7));
}

TEST(SeriesKey, DependsOnTheSeedInBothHalves) {
  const Labels labels = Labels::Of("up", {{"job", "node"}});
  const SeriesKey one = SeriesKeyOf(labels, 1);
  const SeriesKey two = SeriesKeyOf(labels, 2);
  EXPECT_NE(one.fingerprint.low, two.fingerprint.low);
  EXPECT_NE(one.fingerprint.high, two.fingerprint.high);
}

TEST(SeriesKey, WhereALabelEndsMatters) {
  EXPECT_NE(SeriesKeyOf(*Labels::Create({{"ab", "c"}}), 0),
            SeriesKeyOf(*Labels::Create({{"a", "bc"}}), 0));
}

TEST(SeriesKey, IsStableBecauseItIsOnDisk) {
  // A change of these figures makes every stored series unfindable.
  const SeriesKey key = SeriesKeyOf(Labels::Of("up", {{"job", "node"}}), 42);
  EXPECT_EQ(key.fingerprint.low, 286197478759885516u);
  EXPECT_EQ(key.fingerprint.high, 11251640295313700014u);
  EXPECT_EQ(key, SeriesKeyOfCanonicalBytes("\x08__name__\x02up\x03job\x04node", 42));
}

TEST(SeriesKey, ServesAsTheKeyOfAMap) {
  absl::flat_hash_map<SeriesKey, int, SeriesKeyHash> map;
  for (int i = 0; i < 10'000; ++i) {
    map[SeriesKeyOf(*Labels::Create("m", {{"i", std::to_string(i)}}), 3)] = i;
  }
  EXPECT_EQ(map.size(), 10'000u);
  EXPECT_EQ(map.at(SeriesKeyOf(*Labels::Create("m", {{"i", "77"}}), 3)), 77);
}

}  // namespace
}  // namespace tinyobs
