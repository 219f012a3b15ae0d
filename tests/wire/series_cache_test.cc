// Goal: the cache never answers with the handle of another name, however it grows, fills up and
// forgets.
// Method: against a map, with random names.
#include "lib/wire/series_cache.h"

#include <map>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/strings.h"

namespace tinyobs::wire {
namespace {

SeriesHandle Look(const SeriesCache& cache, std::string_view name) {
  SeriesCache::Entry entry{cache.NameOf(name, 0), kNoSeries};
  cache.Find({&entry, 1});
  return entry.series;
}

void Put(std::string_view name, uint64_t handle, SeriesCache* cache) {
  const SeriesCache::Entry entry{cache->NameOf(name, 0), SeriesHandle{handle}};
  cache->Insert({&entry, 1});
}

TEST(SeriesCache, KnowsNothingAtFirstAndTakesNoMemory) {
  const SeriesCache cache(1 << 20);
  EXPECT_EQ(Look(cache, "a"), kNoSeries);
  EXPECT_EQ(cache.bytes(), 0u);
}

TEST(SeriesCache, FindsWhatWasPutLast) {
  SeriesCache cache(1 << 20);
  for (uint64_t i = 0; i < 20'000; ++i) Put(StrCat("series ", i), i, &cache);
  for (uint64_t i = 0; i < 20'000; i += 2) Put(StrCat("series ", i), i + 1'000'000, &cache);
  for (uint64_t i = 0; i < 20'000; ++i) {
    EXPECT_EQ(Look(cache, StrCat("series ", i)), SeriesHandle{i % 2 == 0 ? i + 1'000'000 : i});
  }
  EXPECT_EQ(Look(cache, "series"), kNoSeries);
}

TEST(SeriesCache, DialectsAndCachesDoNotShareNames) {
  const SeriesCache cache(1 << 20);
  const SeriesCache other(1 << 20);
  EXPECT_NE(cache.NameOf("a", 1), cache.NameOf("a", 2));
  EXPECT_NE(cache.NameOf("a", 1), other.NameOf("a", 1));  // the seed
}

TEST(SeriesCache, StaysWithinItsBytesAndStillFindsMostOfTooMany) {
  constexpr size_t kBytes = 24 << 10;  // 1,024 slots, 768 of them used
  SeriesCache cache(kBytes);
  constexpr int kNames = 1'000;
  int found = 0;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < kNames; ++i) {
      const std::string name = StrCat("series ", i);
      const SeriesHandle handle = Look(cache, name);
      if (handle == kNoSeries) {
        Put(name, static_cast<uint64_t>(i), &cache);
      } else {
        ASSERT_EQ(handle, SeriesHandle{static_cast<uint64_t>(i)});
        ++found;
      }
    }
    ASSERT_LE(cache.bytes(), kBytes);
  }
  EXPECT_GT(found, 20 * kNames / 3);
}

TEST(SeriesCache, AgreesWithAMapThroughInsertsAndForgets) {
  std::mt19937 random(7);
  SeriesCache cache(1 << 20);
  std::map<std::string, uint64_t> model;
  for (uint64_t i = 0; i < 50'000; ++i) {
    const std::string name = StrCat(random() % 3'000);
    if (random() % 4 == 0) {
      const SeriesCache::Entry entry{cache.NameOf(name, 0), kNoSeries};
      cache.Forget({&entry, 1});
      model.erase(name);
    } else {
      Put(name, i, &cache);
      model[name] = i;
    }
  }
  for (uint64_t i = 0; i < 3'000; ++i) {
    const auto at = model.find(StrCat(i));
    EXPECT_EQ(Look(cache, StrCat(i)), at == model.end() ? kNoSeries : SeriesHandle{at->second});
  }
}

}  // namespace
}  // namespace tinyobs::wire
