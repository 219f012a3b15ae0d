// The head: where a sample goes, what a commit shows and when, what is frozen when and in which
// order of writing, and what comes back from a checkpoint.
#include "lib/tsdb/head.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>

#include "gtest/gtest.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

using Times = std::vector<int64_t>;

// What a pin holds of one stretch.
struct Stretch {
  HeadPin::Stretch about;
  Columns columns;
};

std::vector<Stretch> Decoded(const HeadPin& pin) {
  std::vector<Stretch> all;
  for (size_t i = 0; i < pin.stretches.size(); ++i) {
    all.push_back({pin.stretches[i], {}});
    EXPECT_TRUE(pin.Decode(i, &all.back().columns));
  }
  return all;
}

std::vector<Times> TimesOf(const HeadPin& pin) {
  std::vector<Times> all;
  for (const Stretch& stretch : Decoded(pin)) all.push_back(stretch.columns.timestamps_ms);
  return all;
}

class HeadTest : public ::testing::Test {
 protected:
  static constexpr SeriesRef kSeries = 5;

  HeadTest() : head_(Partitioning(1000), {.chunk_samples = 4, .max_age_ms = 100}, nullptr) {
    head_.BeginSegment(1);
    // The first chunk of a series is cut short; get it over with, long ago.
    for (SeriesRef ref = 0; ref < kSeries; ++ref) {
      head_.AddSeries(ref);
      for (int64_t time = -9000; head_.Stats().frozen_chunks == ref; ++time) Put({time}, ref);
    }
    head_.ReleaseFrozen(kSeries);
  }

  void Stage(const Times& times, SeriesRef ref = 0) {
    SampleBatch batch;
    for (const int64_t time : times) batch.Add(ref, time, static_cast<double>(++value_));
    Stage(batch);
  }
  void Stage(const SampleBatch& batch) {
    log_.clear();
    SampleSectionWriter writer(&log_);
    ASSERT_OK(head_.Stage(batch, &writer));
  }
  void Put(const Times& times, SeriesRef ref = 0) {
    Stage(times, ref);
    head_.Apply(now_ms_);
  }
  void PutValue(int64_t time, double value, SeriesRef ref = 0) {
    SampleBatch batch;
    batch.Add(ref, time, value);
    Stage(batch);
    head_.Apply(now_ms_);
  }

  std::vector<Stretch> Frozen() {
    HeadPin pin;
    head_.PeekFrozen(SIZE_MAX, &pin);
    return Decoded(pin);
  }
  std::vector<Times> FrozenTimes() {
    std::vector<Times> all;
    for (const Stretch& stretch : Frozen()) all.push_back(stretch.columns.timestamps_ms);
    return all;
  }
  // Open, then late.
  std::vector<Times> UnfrozenTimes() {
    HeadPin pin;
    head_.PinUnfrozen(0, kSeries, &pin);
    return TimesOf(pin);
  }
  HeadPin Pin(TimeRange range = {}, std::vector<SeriesRef> refs = {0}) {
    HeadPin pin;
    EXPECT_OK(head_.Pin(
        range, [&](SeriesRef) { return refs; }, &pin));
    return pin;
  }

  Head head_;
  std::string log_;  // sample section of the last record
  int64_t now_ms_ = 0;
  int value_ = 0;
};

// --- where a sample goes

TEST_F(HeadTest, AFullChunkIsFrozen) {
  Put({1, 2, 3});
  EXPECT_EQ(FrozenTimes(), std::vector<Times>{});
  Put({4, 5});
  EXPECT_EQ(FrozenTimes(), (std::vector<Times>{{1, 2, 3, 4}}));
  EXPECT_EQ(UnfrozenTimes(), (std::vector<Times>{{5}}));
  EXPECT_EQ(head_.Stats().samples, 5u);
}

TEST_F(HeadTest, AChunkEndsWithItsPartition) {
  constexpr SeriesRef kRef = 3;  // whose first chunk of a partition happens to be no shorter
  Put({998, 999, 1000, -1, -1000, -1001}, kRef);
  EXPECT_EQ(FrozenTimes(), (std::vector<Times>{{998, 999}}));
  EXPECT_EQ(UnfrozenTimes(), (std::vector<Times>{{1000}, {-1001, -1000, -1}}));
  Put({2500}, kRef);
  EXPECT_EQ(FrozenTimes(), (std::vector<Times>{{998, 999}, {1000}}));
}

TEST_F(HeadTest, WhatIsNotNewerThanTheSeriesIsLate) {
  Put({100, 200, 50, 150, 60});
  EXPECT_EQ(UnfrozenTimes(), (std::vector<Times>{{100, 200}, {50, 60, 150}}));
  Put({50, 150});  // written again
  EXPECT_EQ(UnfrozenTimes(), (std::vector<Times>{{100, 200}, {50, 60, 150}}));
  EXPECT_EQ(head_.Stats().samples, 5u);
}

TEST_F(HeadTest, WhatIsNotNewerThanAFrozenChunkIsLateEvenWhenNothingIsOpen) {
  Put({10, 20, 30, 40});
  Put({25});
  EXPECT_EQ(UnfrozenTimes(), (std::vector<Times>{{25}}));
  Put({41, 24, 25, 26});
  EXPECT_EQ(UnfrozenTimes(), (std::vector<Times>{{41}, {24, 25, 26}}));
}

TEST_F(HeadTest, TheLastWriteOfATimeWins) {
  PutValue(10, 1);
  PutValue(20, 2);
  PutValue(10, 3);
  PutValue(20, 4);
  PutValue(10, 5);
  SampleBatch batch;
  for (const double value : {6.0, 7.0, 8.0}) batch.Add(0, 15, value);
  Stage(batch);
  head_.Apply(0);
  const std::vector<Stretch> all = Decoded(Pin());
  ASSERT_EQ(all.size(), 2u);
  EXPECT_FALSE(all[0].about.late);
  EXPECT_EQ(all[0].columns.values, (std::vector<double>{1, 2}));
  EXPECT_TRUE(all[1].about.late);
  EXPECT_GT(all[1].about.generation, all[0].about.generation);
  EXPECT_EQ(all[1].columns.timestamps_ms, (Times{10, 15, 20}));
  EXPECT_EQ(all[1].columns.values, (std::vector<double>{5, 8, 4}));
}

TEST_F(HeadTest, TheNewestSampleOnceMoreIsARetryAndChangesNothing) {
  for (const double value : {1.5, -0.0, StaleNan(), 0.1 + 0.2, 1e300, 0.0}) {
    SCOPED_TRACE(value);
    const int64_t time = 100 + value_++;
    PutValue(time, value);
    const HeadStats before = head_.Stats();
    PutValue(time, value);
    EXPECT_EQ(head_.Stats().samples, before.samples);
    HeadPin pin;
    head_.PinUnfrozen(0, kSeries, &pin);
    for (const HeadPin::Stretch& stretch : pin.stretches) EXPECT_FALSE(stretch.late);
    head_.Freeze(0, kSeries, 0, /*everything=*/true);
  }
}

TEST_F(HeadTest, AValueThatComesBackAfterAnotherIsNoRetry) {
  PutValue(100, 1);
  PutValue(100, 2);
  PutValue(100, 1);
  EXPECT_EQ(Decoded(Pin())[1].columns.values, (std::vector<double>{1}));
  PutValue(101, 0.0);
  PutValue(101, -0.0);  // other bits
  EXPECT_EQ(Decoded(Pin())[1].columns.timestamps_ms, (Times{100, 101}));
}

TEST_F(HeadTest, OneBatchMayHoldManySamplesOfASeriesInAnyOrder) {
  SampleBatch batch;
  for (const int64_t time : {1, 2, 900, 901, 902, 903, 1100, 5, 903, 2100, 2101}) {
    batch.Add(1, time, static_cast<double>(time));
    batch.Add(2, time + 1, static_cast<double>(time));
  }
  Stage(batch);
  head_.Apply(0);
  std::map<int64_t, double> found;
  for (const Stretch& stretch : Decoded(Pin({}, {1}))) {
    for (size_t i = 0; i < stretch.columns.size(); ++i) {
      found[stretch.columns.timestamps_ms[i]] = stretch.columns.values[i];
    }
  }
  EXPECT_EQ(found.size(), 10u);
  for (const auto& [time, value] : found) EXPECT_EQ(static_cast<double>(time), value);
}

TEST(Head, ChunksOfManySeriesDoNotFillTogether) {
  constexpr SeriesRef kMany = 1000;
  constexpr int64_t kPartitionMs = 7'200'000;
  Head head(Partitioning(kPartitionMs), {}, nullptr);
  for (SeriesRef ref = 0; ref < kMany; ++ref) head.AddSeries(ref);
  SampleBatch batch;
  HeadPin pin;
  std::set<uint32_t> first_counts;
  for (int64_t scrape = 0; scrape < 2 * 480; ++scrape) {
    batch.clear();
    for (SeriesRef ref = 0; ref < kMany; ++ref) batch.Add(ref, scrape * 15'000, 1);
    ASSERT_OK(head.Stage(batch, nullptr));
    head.Apply(0);
    const size_t frozen = head.PeekFrozen(SIZE_MAX, &pin);
    head.ReleaseFrozen(frozen);
    // Except for the rests at the end of a partition, which no time is left to spread.
    if (scrape != 480) {
      EXPECT_LT(frozen, kMany / 20) << scrape;
    }
    if (scrape < 120) {
      for (const HeadPin::Stretch& stretch : pin.stretches) first_counts.insert(stretch.count);
    }
  }
  EXPECT_GE(*first_counts.begin(), 15u);
  EXPECT_LE(*first_counts.rbegin(), 120u);
  EXPECT_GE(first_counts.size(), 90u);
}

// --- commits

TEST_F(HeadTest, NothingIsVisibleBeforeApply) {
  Put({1, 2});
  Stage({3, 4, 5});
  EXPECT_EQ(TimesOf(Pin()), (std::vector<Times>{{1, 2}}));
  EXPECT_EQ(head_.Stats().samples, 2u);
  head_.Apply(0);
  EXPECT_EQ(TimesOf(Pin()), (std::vector<Times>{{1, 2, 3, 4}, {5}}));
}

TEST_F(HeadTest, SeveralStagesAreOneCommit) {
  Stage({1, 2, 3});
  Stage({4, 5});
  Stage({2}, 1);
  Stage({2});
  EXPECT_EQ(head_.Stats().samples, 0u);
  head_.Apply(0);
  EXPECT_EQ(TimesOf(Pin({}, {0, 1})), (std::vector<Times>{{1, 2, 3, 4}, {5}, {2}, {2}}));
}

TEST_F(HeadTest, DiscardRestoresExactly) {
  const auto scenario = [this](bool discard) {
    Head head(Partitioning(1000), {.chunk_samples = 4, .max_age_ms = 100}, nullptr);
    head.BeginSegment(1);
    head.AddSeries(0);
    head.AddSeries(1);
    std::string log;
    const auto commit = [&](const Times& times, bool apply) {
      SampleBatch batch;
      for (const int64_t time : times) {
        batch.Add(0, time, static_cast<double>(time) / 4);
        batch.Add(1, time, 1.0 / static_cast<double>(time));
      }
      const size_t before = log.size();
      SampleSectionWriter writer(&log);
      ASSERT_OK(head.Stage(batch, &writer));
      if (apply) {
        head.Apply(0);
      } else {
        log.resize(before);
      }
    };
    commit({1, 2}, true);
    if (discard) {
      commit({2, 2, 3, 900, 1, 1500, 1501, 1502, 1503, 1504}, false);
      commit({2000, 2}, false);
      head.Discard();
    }
    commit({2}, true);  // a retry, still
    commit({3, 4, 5, 2, 6, 1001}, true);
    HeadPin pin;
    EXPECT_OK(head.Pin(
        {},
        [](SeriesRef) {
          return std::vector<SeriesRef>{0, 1};
        },
        &pin));
    return std::make_pair(log, pin.bytes);
  };
  EXPECT_EQ(scenario(true), scenario(false));
}

TEST_F(HeadTest, AnUnknownRefForgetsItsBatchOnly) {
  Put({1});
  Stage({2, 3});
  SampleBatch batch;
  batch.Add(0, 4, 4);
  batch.Add(0, 2, 4);
  batch.Add(77, 4, 4);
  std::string log = "before";
  SampleSectionWriter writer(&log);
  EXPECT_CODE(head_.Stage(batch, &writer), absl::StatusCode::kNotFound);
  EXPECT_EQ(log, "before");
  batch.refs[2] = 1'000'000;
  EXPECT_CODE(head_.Stage(batch, nullptr), absl::StatusCode::kNotFound);
  Stage({5});
  head_.Apply(0);
  EXPECT_EQ(TimesOf(Pin()), (std::vector<Times>{{1, 2, 3, 5}}));
}

TEST_F(HeadTest, EachSegmentBeginsWithWholeSamplesAndGoesOnWithTheChunksBytes) {
  Put({1});
  Put({2});
  Put({3});
  const size_t delta = log_.size();
  Put({4});  // fills the chunk
  EXPECT_EQ(log_.size(), delta);
  head_.BeginSegment(2);
  std::string segment;
  CommitDecoder decoder;
  DecodedCommit commit;
  for (const Times& times : {Times{5, 6}, Times{7, 6, 1, 7}, Times{8, 9, 1500, 9}}) {
    std::string record;
    BeginCommit({}, {}, &record);
    Put(times);
    record += log_;
    ASSERT_OK(decoder.Decode(record, &commit));
    EXPECT_EQ(commit.samples.timestamps_ms, times);
    EXPECT_EQ(commit.samples.values.back(), value_);
  }
}

TEST_F(HeadTest, ReplayLeavesTheSegmentUntouched) {
  head_.BeginSegment(2);
  SampleBatch batch;
  batch.Add(0, 1, 1);
  ASSERT_OK(head_.Stage(batch, nullptr));
  head_.Apply(0);
  HeadPin pin;
  EXPECT_EQ(head_.PinUnfrozen(0, kSeries, &pin), 0u);  // records
  std::string record;
  BeginCommit({}, {}, &record);
  Put({2});
  record += log_;
  CommitDecoder decoder;
  DecodedCommit commit;
  ASSERT_OK(decoder.Decode(record, &commit));  // needs nothing before it
  EXPECT_EQ(head_.PinUnfrozen(0, kSeries, &pin), 1u);
}

TEST_F(HeadTest, RecordsAreCountedPerSegment) {
  head_.BeginSegment(2);
  HeadPin pin;
  Put({1});
  Stage(SampleBatch());
  Stage({2});
  EXPECT_EQ(head_.PinUnfrozen(0, kSeries, &pin), 1u);
  head_.Apply(0);
  EXPECT_EQ(head_.PinUnfrozen(0, kSeries, &pin), 3u);
  Stage({3});
  head_.Discard();
  EXPECT_EQ(head_.PinUnfrozen(0, kSeries, &pin), 3u);
  head_.BeginSegment(3);
  EXPECT_EQ(head_.PinUnfrozen(0, kSeries, &pin), 0u);
}

TEST_F(HeadTest, AMillionSamplesInOneCommitAndTheirMemoryIsGivenBack) {
  constexpr int64_t kCount = 1'000'000;
  Head head(Partitioning(7'200'000), {}, nullptr);
  head.AddSeries(0);
  SampleBatch batch;
  for (int64_t i = 0; i < kCount; ++i) batch.Add(0, i, static_cast<double>(i % 100));
  ASSERT_OK(head.Stage(batch, nullptr));
  EXPECT_LE(head.Stats().bytes, 50u * kCount);
  head.Apply(0);
  EXPECT_EQ(head.Stats().samples, uint64_t{kCount});
  EXPECT_LE(head.Stats().bytes, 4u * kCount);
}

TEST_F(HeadTest, ABackfillOfOneSeriesInReverseIsNotQuadratic) {
  constexpr int64_t kCount = 200'000;
  SampleBatch batch;
  for (int64_t i = 0; i < kCount; ++i) batch.Add(0, -10'000 - i, 1);
  Stage(batch);
  head_.Apply(0);
  EXPECT_EQ(head_.Stats().samples, uint64_t{kCount});
  EXPECT_EQ(head_.Stats().frozen_samples, uint64_t{kCount});
  EXPECT_EQ(UnfrozenTimes(), std::vector<Times>{});
}

// --- freezing

TEST_F(HeadTest, LateChunksAreCutByPartitionAndNewerThanWhatTheyOverlap) {
  Put({5000, 5001, 5002, 5003});
  Times late;
  for (int64_t i = 0; i < 16; ++i) late.push_back(4500 - i * 200);
  Put(late);
  Put({5004, 5005, 5006, 5007});
  const auto frozen = Frozen();
  ASSERT_EQ(frozen.size(), 6u);
  EXPECT_EQ(frozen[0].columns.timestamps_ms.front(), 5000);
  for (size_t i = 1; i < 5; ++i) {
    EXPECT_TRUE(frozen[i].about.may_overlap);
    EXPECT_TRUE(frozen[i].about.late);
    EXPECT_GT(frozen[i].about.generation, frozen[0].about.generation);
    const Times& times = frozen[i].columns.timestamps_ms;
    EXPECT_EQ(times.front() / 1000, times.back() / 1000);
  }
  EXPECT_FALSE(frozen[5].about.may_overlap);
  EXPECT_GE(frozen[5].about.generation, frozen[4].about.generation);
}

TEST_F(HeadTest, LateSamplesThatReachIntoTheOpenChunkFreezeItFirst) {
  Put({100, 300});
  Times late;
  for (int64_t i = 0; i < 15; ++i) late.push_back(90 - i);
  Put(late);
  EXPECT_EQ(FrozenTimes().size(), 0u);
  Put({300, 301});  // the first is late, and the late buffer's sixteenth
  const auto frozen = Frozen();
  ASSERT_EQ(frozen.size(), 2u);
  EXPECT_EQ(frozen[0].columns.timestamps_ms, (Times{100, 300, 301}));
  EXPECT_FALSE(frozen[0].about.late);
  EXPECT_TRUE(frozen[1].about.late);
  EXPECT_EQ(frozen[1].columns.timestamps_ms.back(), 300);
  EXPECT_GT(frozen[1].about.generation, frozen[0].about.generation);
  EXPECT_EQ(UnfrozenTimes(), std::vector<Times>{});
  Put({302});
  EXPECT_EQ(UnfrozenTimes(), (std::vector<Times>{{302}}));
}

TEST_F(HeadTest, LateSamplesBelowTheOpenChunkLeaveItOpen) {
  Put({100, 101});
  Times late;
  for (int64_t i = 0; i < 16; ++i) late.push_back(90 - i);
  Put(late);
  ASSERT_EQ(FrozenTimes().size(), 1u);
  EXPECT_EQ(UnfrozenTimes(), (std::vector<Times>{{100, 101}}));
}

TEST_F(HeadTest, ChunksAtOrBelowTheHorizonMayOverlap) {
  head_.SetHorizon(100);
  Put({100, 101, 102, 103, 104, 105, 106, 107});
  const auto frozen = Frozen();
  ASSERT_EQ(frozen.size(), 2u);
  EXPECT_TRUE(frozen[0].about.may_overlap);
  EXPECT_FALSE(frozen[1].about.may_overlap);
}

TEST_F(HeadTest, ALaterSegmentIsNewerThanEverythingBefore) {
  Put({1000, 1001, 1002, 1003});
  for (int i = 0; i < 3; ++i) {
    Put({500});
    head_.Freeze(0, kSeries, 0, /*everything=*/true);
  }
  head_.BeginSegment(2);
  Put({1004, 1005, 1006, 1007});
  const auto frozen = Frozen();
  ASSERT_EQ(frozen.size(), 5u);
  for (size_t i = 0; i + 1 < frozen.size(); ++i) {
    EXPECT_LT(frozen[i].about.generation, frozen.back().about.generation);
  }
  EXPECT_EQ(frozen.back().about.generation >> 32, 2u);
}

TEST_F(HeadTest, AgeIsCountedFromTheFirstArrival) {
  now_ms_ = 50;
  Put({1});
  now_ms_ = 140;
  Put({2});
  Put({9}, 1);
  head_.Freeze(0, kSeries, 149, /*everything=*/false);
  EXPECT_EQ(FrozenTimes(), std::vector<Times>{});
  head_.Freeze(0, kSeries, 150, /*everything=*/false);
  EXPECT_EQ(FrozenTimes(), (std::vector<Times>{{1, 2}}));
}

TEST_F(HeadTest, LateSamplesAgeToo) {
  Put({10, 20, 30, 40});
  now_ms_ = 50;
  Put({15});
  head_.Freeze(0, kSeries, 149, /*everything=*/false);
  EXPECT_EQ(FrozenTimes().size(), 1u);
  head_.Freeze(0, kSeries, 150, /*everything=*/false);
  EXPECT_EQ(FrozenTimes(), (std::vector<Times>{{10, 20, 30, 40}, {15}}));
}

TEST_F(HeadTest, AgeSurvivesTheTurnOfTheClock) {
  now_ms_ = (int64_t{1} << 31) - 10;
  Put({1});
  head_.Freeze(0, kSeries, now_ms_ + 99, /*everything=*/false);
  EXPECT_EQ(FrozenTimes().size(), 0u);
  head_.Freeze(0, kSeries, now_ms_ + 100, /*everything=*/false);
  EXPECT_EQ(FrozenTimes().size(), 1u);
}

TEST_F(HeadTest, FrozenChunksStayVisibleUntilReleasedInOrder) {
  Put({1, 2, 3, 4, 5, 6, 7, 8, 9});
  EXPECT_EQ(TimesOf(Pin()), (std::vector<Times>{{1, 2, 3, 4}, {5, 6, 7, 8}, {9}}));
  HeadPin pin;
  EXPECT_EQ(head_.PeekFrozen(1, &pin), 1u);
  EXPECT_EQ(TimesOf(pin), (std::vector<Times>{{1, 2, 3, 4}}));
  head_.ReleaseFrozen(1);
  EXPECT_EQ(TimesOf(Pin()), (std::vector<Times>{{5, 6, 7, 8}, {9}}));
  EXPECT_EQ(head_.Stats().samples, 5u);
  EXPECT_EQ(head_.Stats().frozen_samples, 4u);
  head_.ReleaseFrozen(1);
  EXPECT_EQ(head_.PeekFrozen(1, &pin), 0u);
  EXPECT_EQ(TimesOf(Pin()), (std::vector<Times>{{9}}));
}

TEST_F(HeadTest, PinLeavesOutWhatIsOutsideTheRangeAndWhoIsNotThere) {
  Put({1, 2, 3, 4, 5, 6, 7, 8, 9, 3});
  EXPECT_EQ(TimesOf(Pin({5, 6}, {0, 1, 4, 70, 99999})), (std::vector<Times>{{5, 6, 7, 8}}));
  EXPECT_EQ(TimesOf(Pin({3, 3})), (std::vector<Times>{{1, 2, 3, 4}, {3}}));
  EXPECT_EQ(TimesOf(Pin({1000, 2000})), std::vector<Times>{});  // the next partition
  EXPECT_EQ(TimesOf(Pin({-100, 0})), std::vector<Times>{});
}

TEST_F(HeadTest, PinsAreGroupedInTheOrderAskedFor) {
  for (SeriesRef ref = 0; ref < kSeries; ++ref) Put({1, 2, 3, 4, 5 + ref}, ref);
  EXPECT_EQ(TimesOf(Pin({5, 99}, {3, 0, 2})), (std::vector<Times>{{8}, {5}, {7}}));
}

TEST_F(HeadTest, APinIsNotTouchedByWhatComesAfter) {
  Put({1, 2, 3});
  Put({2});
  const HeadPin pin = Pin();
  Put({4, 5, 6, 1});
  head_.Freeze(0, kSeries, 0, /*everything=*/true);
  head_.ReleaseFrozen(head_.Stats().frozen_chunks);
  EXPECT_EQ(TimesOf(pin), (std::vector<Times>{{1, 2, 3}, {2}}));
}

// --- series and memory

TEST_F(HeadTest, OnlyIdleSeriesAreRemovedAndTheirPagesFreed) {
  const size_t before = head_.Stats().bytes;
  constexpr SeriesRef kMany = 64 * 200;
  std::vector<SeriesRef> refs;
  for (SeriesRef ref = 64; ref < kMany; ++ref) {
    head_.AddSeries(ref);
    refs.push_back(ref);
  }
  EXPECT_EQ(head_.ref_limit(), kMany);
  EXPECT_GE(head_.Stats().bytes, before + refs.size() * sizeof(OpenChunk));
  Put({1, 2}, 100);
  EXPECT_TRUE(head_.IsIdle(99));
  EXPECT_FALSE(head_.IsIdle(100));
  head_.Freeze(0, kMany, 0, /*everything=*/true);
  EXPECT_FALSE(head_.IsIdle(100));
  head_.ReleaseFrozen(1);
  EXPECT_TRUE(head_.IsIdle(100));
  EXPECT_EQ(head_.LastMs(100), 2);
  Put({1}, 100);
  EXPECT_FALSE(head_.IsIdle(100));
  head_.Freeze(0, kMany, 0, /*everything=*/true);
  head_.ReleaseFrozen(1);
  std::mt19937 random(1);
  std::shuffle(refs.begin(), refs.end(), random);
  head_.RemoveSeries(refs);
  EXPECT_LE(head_.Stats().bytes, before + 8192);
  EXPECT_FALSE(head_.Contains(100));
  EXPECT_TRUE(head_.Contains(4));
  EXPECT_EQ(head_.LastMs(100), INT64_MIN);
  head_.AddSeries(100);
  Put({1}, 100);
  EXPECT_EQ(TimesOf(Pin({}, {100})), (std::vector<Times>{{1}}));
}

TEST_F(HeadTest, AliveSeriesCostMemoryNotRefsThatWere) {
  Head head(Partitioning(1000), {}, nullptr);
  constexpr SeriesRef kAlive = 10'000;
  constexpr SeriesRef kAll = 1'000'000;
  std::vector<SeriesRef> gone;
  for (SeriesRef ref = 0; ref < kAll; ++ref) {
    head.AddSeries(ref);
    if (ref >= kAlive) gone.push_back(ref - kAlive);
    if (gone.size() == 1000) {
      head.RemoveSeries(gone);
      gone.clear();
    }
  }
  EXPECT_LE(head.Stats().bytes, kAlive * sizeof(OpenChunk) + kAll);
}

TEST_F(HeadTest, MemoryIsReportedAndReturned) {
  const auto accountant = std::make_unique<MemoryAccountant>(0);
  MemoryAccount* account = accountant->NewAccount("head");
  {
    Head head(Partitioning(1000), {.chunk_samples = 4}, account);
    for (SeriesRef ref = 0; ref < 1000; ++ref) head.AddSeries(ref);
    EXPECT_GE(account->used(), 64'000u);
    SampleBatch batch;
    for (int64_t i = 0; i < 100'000; ++i) batch.Add(static_cast<SeriesRef>(i % 1000), i / 1000, 1);
    ASSERT_OK(head.Stage(batch, nullptr));
    head.Apply(0);
    EXPECT_EQ(account->used(), head.Stats().bytes);
    const size_t full = account->used();
    head.Freeze(0, 1000, 0, /*everything=*/true);
    head.ReleaseFrozen(head.Stats().frozen_chunks);
    EXPECT_EQ(account->used(), head.Stats().bytes);
    EXPECT_LT(account->used(), full / 2);
  }
  EXPECT_EQ(account->used(), 0u);
}

TEST_F(HeadTest, ASeriesThatComesBackKnowsWhatIsSealed) {
  head_.AddSeries(10, /*newest_ms=*/500);
  Put({500}, 10);
  Put({501}, 10);
  EXPECT_EQ(TimesOf(Pin({}, {10})), (std::vector<Times>{{501}, {500}}));
}

// --- checkpoints

TEST_F(HeadTest, RestoreBringsBackWhatWasUnfrozenAndGoesOn) {
  Put({100, 115, 130});
  Put({50, 115, -500});
  Put({9}, 3);
  PutValue(700, 0.1 + 0.2, 4);
  HeadPin pin;
  head_.PinUnfrozen(0, kSeries, &pin);
  for (const bool late_first : {false, true}) {
    Head other(Partitioning(1000), {.chunk_samples = 4, .max_age_ms = 100}, nullptr);
    other.BeginSegment(2);
    for (SeriesRef ref = 0; ref < kSeries; ++ref) other.AddSeries(ref);
    for (const bool late : {late_first, !late_first}) {
      for (const HeadPin::Stretch& s : pin.stretches) {
        if (s.late != late) continue;
        ASSERT_OK(other.Restore(s.ref, s.late, s.first_ms, s.count, pin.Stream(s), 1000));
      }
    }
    HeadPin again;
    other.PinUnfrozen(0, kSeries, &again);
    EXPECT_EQ(TimesOf(again), TimesOf(pin));
    EXPECT_EQ(other.Stats().samples, head_.Stats().samples);
    EXPECT_EQ(other.LastMs(0), 130);
    EXPECT_EQ(other.LastMs(4), 700);
    SampleBatch batch;
    batch.Add(0, 130, 77);  // late, another value
    batch.Add(0, 145, 78);
    batch.Add(4, 700, 0.0);
    std::string log;
    SampleSectionWriter writer(&log);
    ASSERT_OK(other.Stage(batch, &writer));
    other.Apply(1000);
    HeadPin after;
    EXPECT_OK(other.Pin(
        {},
        [](SeriesRef) {
          return std::vector<SeriesRef>{0, 4};
        },
        &after));
    EXPECT_EQ(TimesOf(after).back(), (Times{700}));
    EXPECT_TRUE(after.stretches.back().late);
    size_t newest = 0;
    for (const Stretch& s : Decoded(after)) newest += s.columns.timestamps_ms.back() == 145;
    EXPECT_EQ(newest, 1u);
    other.Freeze(0, kSeries, 1099, /*everything=*/false);
    EXPECT_FALSE(other.IsIdle(3));
    other.Freeze(0, kSeries, 1100, /*everything=*/false);
    HeadPin nothing;
    other.PinUnfrozen(0, kSeries, &nothing);
    EXPECT_TRUE(nothing.stretches.empty());
  }
}

TEST_F(HeadTest, HostileStretchesAreDataLossAndChangeNothing) {
  Put({100, 115, 131}, 1);
  HeadPin pin;
  head_.PinUnfrozen(1, 2, &pin);
  const std::string good = pin.bytes;
  const auto code = absl::StatusCode::kDataLoss;
  EXPECT_CODE(head_.Restore(0, false, 100, 2, good, 0), code);
  EXPECT_CODE(head_.Restore(0, false, 100, 4, good, 0), code);
  EXPECT_CODE(head_.Restore(0, false, 100, 0, good, 0), code);
  EXPECT_CODE(head_.Restore(0, true, 100, UINT32_MAX, good, 0), code);
  EXPECT_CODE(head_.Restore(0, false, 970, 3, good, 0), code);  // over the partition's end
  EXPECT_CODE(head_.Restore(0, false, INT64_MAX - 20, 3, good, 0), code);
  EXPECT_CODE(head_.Restore(0, false, INT64_MIN, 3, good, 0), code);
  EXPECT_CODE(head_.Restore(0, true, INT64_MAX - 40, 3, good, 0), code);  // without partition
  EXPECT_CODE(head_.Restore(77, false, 100, 3, good, 0), code);
  EXPECT_CODE(head_.Restore(1'000'000, true, 100, 3, good, 0), code);
  EXPECT_CODE(head_.Restore(1, false, 200, 3, good, 0), code);    // has one
  EXPECT_CODE(head_.Restore(1, true, 101, 3, good, 0), code);     // newer than open
  EXPECT_CODE(head_.Restore(0, false, -9500, 3, good, 0), code);  // older than the series
  for (size_t cut = 0; cut < good.size(); ++cut) {
    EXPECT_CODE(head_.Restore(0, false, 100, 3, good.substr(0, cut), 0), code);
  }
  EXPECT_TRUE(head_.IsIdle(0));
  EXPECT_EQ(head_.Stats().samples, 3u);
  EXPECT_OK(head_.Restore(0, true, 100, 3, good, 0));
  EXPECT_CODE(head_.Restore(0, true, 100, 3, good, 0), code);  // has some
  // More than a chunk may have.
  std::vector<Sample> many;
  for (int64_t i = 0; i < kMaxStreamSamples + 1; ++i) many.push_back({i, 1});
  std::string bytes;
  EncodeStream(many, kNoExponent, &bytes);
  Head head(Partitioning(100'000), {}, nullptr);
  head.AddSeries(0);
  EXPECT_CODE(head.Restore(0, false, 0, kMaxStreamSamples + 1, bytes, 0), code);
  EXPECT_OK(head.Restore(0, true, 0, kMaxStreamSamples + 1, bytes, 0));  // freezes them
  EXPECT_EQ(head.Stats().frozen_samples, kMaxStreamSamples + 1u);
}

TEST_F(HeadTest, RandomBytesAsAStretchDoNoHarm) {
  std::mt19937_64 random(1);
  Head head(Partitioning(100'000), {.chunk_samples = 30}, nullptr);
  SeriesRef ref = 0;
  uint64_t restored = 0;
  for (int round = 0; round < 20'000; ++round) {
    head.AddSeries(ref);
    std::string bytes(1 + random() % 40, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random() & (random() % 2 ? 0xff : 0x07));
    const auto count = static_cast<uint32_t>(bytes.size() - 1 - random() % bytes.size() / 4);
    if (head.Restore(ref, random() % 2, static_cast<int64_t>(random() % 1000), count, bytes, 0)
            .ok()) {
      ++restored;
      SampleBatch batch;
      batch.Add(ref, head.LastMs(ref) + 1, 1);
      batch.Add(ref, head.LastMs(ref), 0.5);
      ASSERT_OK(head.Stage(batch, nullptr));
      head.Apply(0);
      ++ref;
    } else {
      ASSERT_TRUE(head.IsIdle(ref));
      head.RemoveSeries(std::vector<SeriesRef>{ref});
    }
  }
  EXPECT_GT(restored, 50u);
  HeadPin pin;
  head.PinUnfrozen(0, ref, &pin);
  Decoded(pin);
}

}  // namespace
}  // namespace tinyobs::tsdb
