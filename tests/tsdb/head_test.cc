// The head: where a sample goes, what is frozen when, and what a query that pinned goes on seeing.
#include "lib/tsdb/head.h"

#include "gtest/gtest.h"
#include "lib/tsdb/shared_columns.h"

namespace tinyobs::tsdb {
namespace {

using Times = std::vector<int64_t>;

Times TimesOf(const PinnedColumns& pin) {
  return {pin.timestamps_ms.begin(), pin.timestamps_ms.end()};
}

TEST(SharedColumns, APinSeesNeitherAppendsNorInsertsNorOverwrites) {
  SharedColumns columns;
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(columns.Put(i * 10, i));
  const PinnedColumns pin = columns.Pin();
  const Times before = TimesOf(pin);
  EXPECT_TRUE(columns.Put(30, 3));                      // at the end, within the capacity
  EXPECT_TRUE(columns.Put(5, 9));                       // in the middle
  EXPECT_FALSE(columns.Put(10, 7));                     // over a value
  for (int i = 4; i < 50; ++i) columns.Put(i * 10, i);  // beyond the capacity
  EXPECT_EQ(TimesOf(pin), before);
  EXPECT_EQ(pin.values[1], 1);
  const PinnedColumns after = columns.Pin();
  EXPECT_EQ(after.size(), 51u);
  EXPECT_EQ(after.values[2], 7);
  const std::shared_ptr<const Columns> taken = columns.Take();
  EXPECT_TRUE(columns.empty());
  EXPECT_EQ(taken->size(), 51u);
  EXPECT_EQ(TimesOf(pin), before);
}

class HeadTest : public ::testing::Test {
 protected:
  HeadTest() : head_(Partitioning(1000), {.chunk_samples = 4, .max_age_ms = 100}) {
    head_.SetEpoch(1);
  }

  void Put(std::vector<int64_t> times, SeriesRef ref = 0) {
    std::vector<RefSample> samples;
    for (const int64_t time : times) samples.push_back({ref, time, static_cast<double>(++value_)});
    head_.Apply(samples, 5, now_ms_);
  }
  std::vector<Times> Frozen() {
    std::vector<Times> all;
    for (const auto& chunk : head_.PeekFrozen(100)) all.push_back(chunk->columns->timestamps_ms);
    return all;
  }
  // Late and open.
  std::vector<Times> Unfrozen() {
    std::vector<Times> all;
    for (const auto& series : head_.PinUnfrozen(0, 5)) {
      for (const auto& [generation, pin] : series.stretches) all.push_back(TimesOf(pin));
    }
    return all;
  }

  Head head_;
  int64_t now_ms_ = 0;
  int value_ = 0;
};

TEST_F(HeadTest, AFullChunkIsFrozen) {
  Put({1, 2, 3});
  EXPECT_EQ(Frozen(), std::vector<Times>{});
  Put({4, 5});
  EXPECT_EQ(Frozen(), (std::vector<Times>{{1, 2, 3, 4}}));
  EXPECT_EQ(Unfrozen(), (std::vector<Times>{{5}}));
  EXPECT_EQ(head_.Stats().samples, 5u);
}

TEST_F(HeadTest, AChunkEndsWithItsPartition) {
  Put({998, 999, 1000, -1, -1000, -1001});
  EXPECT_EQ(Frozen(), (std::vector<Times>{{998, 999}}));
  EXPECT_EQ(Unfrozen(), (std::vector<Times>{{-1001, -1000, -1}, {1000}}));
}

TEST_F(HeadTest, OlderThanTheOpenChunkIsLateAndInsideItIsInPlace) {
  Put({100, 200, 50, 150, 60});
  EXPECT_EQ(Unfrozen(), (std::vector<Times>{{50, 60}, {100, 150, 200}}));
  Put({50, 150});  // written again
  EXPECT_EQ(Unfrozen(), (std::vector<Times>{{50, 60}, {100, 150, 200}}));
  EXPECT_EQ(head_.Stats().samples, 5u);
}

TEST_F(HeadTest, WhatIsNotAboveTheFloorIsLateEvenWhenNothingIsOpen) {
  Put({10, 20, 30, 40});
  Put({25});
  EXPECT_EQ(Unfrozen(), (std::vector<Times>{{25}}));
  Put({41, 24, 25, 26});
  EXPECT_EQ(Unfrozen(), (std::vector<Times>{{24, 25, 26}, {41}}));
}

TEST_F(HeadTest, LateChunksAreCutByPartitionAndNewerThanWhatTheyOverlap) {
  Put({5000, 5001, 5002, 5003});
  std::vector<int64_t> late;
  for (int64_t i = 0; i < 16; ++i) late.push_back(4500 - i * 200);
  Put(late);
  Put({5004, 5005, 5006, 5007});
  const auto frozen = head_.PeekFrozen(100);
  ASSERT_EQ(frozen.size(), 6u);
  EXPECT_EQ(frozen[0]->columns->timestamps_ms.front(), 5000);
  for (size_t i = 1; i < 5; ++i) {
    EXPECT_TRUE(frozen[i]->may_overlap);
    EXPECT_GT(frozen[i]->generation, frozen[0]->generation);
    const Columns& columns = *frozen[i]->columns;
    EXPECT_EQ(columns.timestamps_ms.front() / 1000, columns.timestamps_ms.back() / 1000);
  }
  EXPECT_FALSE(frozen[5]->may_overlap);
  EXPECT_GE(frozen[5]->generation, frozen[4]->generation);
}

TEST_F(HeadTest, ChunksAtOrBelowTheHorizonMayOverlap) {
  head_.SetHorizon(100);
  Put({100, 101, 102, 103, 104, 105, 106, 107});
  const auto frozen = head_.PeekFrozen(10);
  ASSERT_EQ(frozen.size(), 2u);
  EXPECT_TRUE(frozen[0]->may_overlap);
  EXPECT_FALSE(frozen[1]->may_overlap);
}

TEST_F(HeadTest, ALaterEpochIsNewerThanEverythingBefore) {
  Put({1000, 1001, 1002, 1003});
  for (int i = 0; i < 3; ++i) {
    Put({500});
    head_.Freeze(0, 5, 0, /*everything=*/true);
  }
  head_.SetEpoch(2);
  Put({1004, 1005, 1006, 1007});
  const auto frozen = head_.PeekFrozen(10);
  for (size_t i = 0; i + 1 < frozen.size(); ++i) {
    EXPECT_LT(frozen[i]->generation, frozen.back()->generation);
  }
}

TEST_F(HeadTest, AgeIsCountedFromTheFirstArrival) {
  now_ms_ = 50;
  Put({1});
  now_ms_ = 140;
  Put({2});
  Put({9}, 1);
  head_.Freeze(0, 5, 149, /*everything=*/false);
  EXPECT_EQ(Frozen(), std::vector<Times>{});
  head_.Freeze(0, 5, 150, /*everything=*/false);
  EXPECT_EQ(Frozen(), (std::vector<Times>{{1, 2}}));
}

TEST_F(HeadTest, FrozenChunksStayVisibleUntilReleasedInOrder) {
  Put({1, 2, 3, 4, 5, 6, 7, 8, 9});
  const auto pin = [&] {
    std::vector<Times> all;
    for (const auto& series : head_.Pin({}, [](SeriesRef) { return std::vector<SeriesRef>{0}; })) {
      for (const auto& [generation, columns] : series.stretches) all.push_back(TimesOf(columns));
    }
    return all;
  };
  EXPECT_EQ(pin(), (std::vector<Times>{{1, 2, 3, 4}, {5, 6, 7, 8}, {9}}));
  head_.ReleaseFrozen(1);
  EXPECT_EQ(pin(), (std::vector<Times>{{5, 6, 7, 8}, {9}}));
  EXPECT_EQ(head_.Stats().samples, 5u);
  EXPECT_EQ(head_.Stats().frozen_samples, 4u);
}

TEST_F(HeadTest, PinLeavesOutWhatIsOutsideTheRange) {
  Put({1, 2, 3, 4, 5, 6, 7, 8, 9});
  const auto pinned = head_.Pin({5, 6}, [](SeriesRef) { return std::vector<SeriesRef>{0, 1}; });
  ASSERT_EQ(pinned.size(), 1u);
  ASSERT_EQ(pinned[0].stretches.size(), 1u);
  EXPECT_EQ(TimesOf(pinned[0].stretches[0].second), (Times{5, 6, 7, 8}));
}

}  // namespace
}  // namespace tinyobs::tsdb
