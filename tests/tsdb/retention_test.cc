// Retention: what is too old leaves as whole partitions and never before it was made into windows,
// series leave with their last sample of any tier, and what is too old does not come in.
#include <algorithm>
#include <bit>
#include <random>

#include "lib/tsdb/key_schema.h"
#include "tests/tsdb/ageing_testing.h"

namespace tinyobs::tsdb {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class RetentionTest : public AgeingTest {
 protected:
  void Tiers(int64_t raw_ms, int64_t five_minutes_ms = 0, int64_t one_hour_ms = 0) {
    options_.downsampling = true;
    options_.retention = {raw_ms, five_minutes_ms, one_hour_ms};
  }
  // The tables that there are of the raw samples of an hour.
  void BreakReading(int64_t time_ms) {
    const std::string raw = ChunkPrefix(tsdb::Tier::kRaw, Partitioning(kHourMs).NumberOf(time_ms));
    for (const std::string& path : disk_.Files()) {
      if (!path.ends_with(".sst")) continue;
      ASSERT_OK_AND_ASSIGN(const std::string bytes, disk_.Contents(path));
      // Its first key, behind some lengths; metadata begins otherwise.
      if (bytes.substr(0, 16).find(raw) == std::string::npos) continue;
      for (const auto operation : {testing::Operation::kRead, testing::Operation::kOpen}) {
        disk_.AddFault({.operation = operation,
                        .path_contains = path,
                        .count = UINT64_MAX,
                        .error = absl::DataLossError("injected damage")});
      }
    }
  }
};

TEST_F(RetentionTest, OptionsThatContradictEachOtherAreRefused) {
  const auto refused = [this](bool downsampling, Retention retention) {
    options_.downsampling = downsampling;
    options_.retention = retention;
    const auto db = Db::Open("db", options_);
    return db.status().code() == kInvalid &&
           db.status().message().find("retention") != std::string::npos &&
           Db::OpenReadOnly("db", options_).status().code() == kInvalid;
  };
  EXPECT_TRUE(refused(true, {-1, 0, 0}));
  EXPECT_TRUE(refused(true, {2, 1, 3}));
  EXPECT_TRUE(refused(true, {1, 3, 2}));
  EXPECT_TRUE(refused(true, {0, 1, 1}));  // 0 is forever
  EXPECT_TRUE(refused(true, {1, 0, 1}));
  EXPECT_TRUE(refused(false, {1, 2, 0}));
  EXPECT_TRUE(refused(false, {1, 0, 2}));
  options_.retention = {};
  options_.downsampling = true;
  options_.partition_ms = kHourMs / 2;
  EXPECT_CODE(Db::Open("db", options_), kInvalid);
  options_.partition_ms = kHourMs;
  options_.retention = {1, 1, 0};
  EXPECT_OK(Db::Open("db", options_));
}

TEST_F(RetentionTest, RawPartitionsLeaveWhenTheirLastMomentIsTooOld) {
  options_.retention.raw_ms = 6 * kHourMs;
  Open();
  ASSERT_OK(Put(Gauge("short"), clock_.NowMs(), 1));
  Live(Gauge("long"), kEpochMs + 12 * kHourMs);
  WorkAt(kEpochMs + 12 * kHourMs + kMinuteMs);
  model_.erase(Text(Gauge("short")));
  Points& points = model_[Text(Gauge("long"))];
  points.erase(points.begin(), points.lower_bound(kEpochMs + 6 * kHourMs));
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(Retained().partitions_expired[0], 6u);
  EXPECT_EQ(Tier(0).partitions, 6u);
  // The series without a sample is nowhere any more.
  EXPECT_EQ(db_->Stats().series, 1u);
  EXPECT_EQ(db_->Cardinality().series, 1u);
  ASSERT_OK_AND_ASSIGN(const auto values, db_->LabelValues("name", {}, {}));
  EXPECT_EQ(values, std::vector<std::string>{"long"});
  ASSERT_OK_AND_ASSIGN(const auto series, db_->Series({}, {}));
  EXPECT_EQ(series.size(), 1u);
  Reopen();
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(RetentionTest, SamplesLiveOnInWindowsAndSeriesWithThem) {
  Tiers(kDayMs, 3 * kDayMs, 10 * kDayMs);
  Open();
  ASSERT_OK(Put(Gauge("early"), clock_.NowMs(), 7));
  Live(Gauge("late"), kEpochMs + 30 * kDayMs, 30 * kMinuteMs);
  const DbStats stats = db_->Stats();
  const int64_t now_ms = clock_.NowMs();
  for (size_t tier = 0; tier < 3; ++tier) EXPECT_GT(stats.retention.partitions_expired[tier], 0u);
  EXPECT_GE(stats.tiers[0].oldest_ms, now_ms - kDayMs - 2 * kHourMs);
  EXPECT_LE(stats.tiers[0].oldest_ms, now_ms - kDayMs);
  EXPECT_GE(stats.tiers[1].oldest_ms, now_ms - 3 * kDayMs - kDayMs);
  EXPECT_LE(stats.tiers[1].oldest_ms, now_ms - 3 * kDayMs);
  EXPECT_GE(stats.tiers[2].oldest_ms, now_ms - 10 * kDayMs - 9 * kDayMs);
  EXPECT_LE(stats.tiers[2].oldest_ms, now_ms - 10 * kDayMs);
  // Whatever is kept is there at any resolution asked for, without a gap.
  for (const Resolution resolution :
       {Resolution::kRaw, Resolution::kFiveMinutes, Resolution::kOneHour}) {
    const auto samples = SamplesIn(*db_, resolution);
    ASSERT_EQ(samples.size(), 1u);
    EXPECT_EQ(samples.at(Text(Gauge("late"))),
              static_cast<uint64_t>((now_ms - stats.tiers[2].oldest_ms) / (30 * kMinuteMs)));
  }
  EXPECT_EQ(stats.series, 1u);  // "early" has left with its last window
}

TEST_F(RetentionTest, ASeriesIsListedAsLongAsItHasAWindow) {
  Tiers(kDayMs, 2 * kDayMs, 12 * kDayMs);
  Open();
  ASSERT_OK(Put(Gauge("early"), clock_.NowMs(), 7));
  // Its partition of 1h windows ends after eight days, and leaves twelve days later.
  constexpr int kLastDay = 8 + 12 - 1;
  for (int day = 0; day < 24; ++day) {
    Live(Gauge("late"), kEpochMs + (day + 1) * kDayMs, kHourMs);
    if (day % 5 == 4) Reopen();
    ASSERT_OK_AND_ASSIGN(const auto values, db_->LabelValues("name", {}, {}));
    ASSERT_EQ(values.size(), day < kLastDay ? 2u : 1u) << day;
    ASSERT_EQ(db_->Stats().series, values.size());
    ASSERT_EQ(db_->Cardinality().series, values.size());
    if (day < kLastDay) {
      ASSERT_EQ(SamplesIn(*db_, Resolution::kRaw)[Text(Gauge("early"))], 1u);
    }
  }
}

TEST_F(RetentionTest, IdleSeriesExpireWithTheirLastWindow) {
  Tiers(kDayMs, 2 * kDayMs, 9 * kDayMs);
  Open();
  Writer writer(db_.get(), &model_);
  constexpr int kMany = 300;
  for (int i = 0; i < kMany; ++i) ASSERT_OK(writer.Add(Gauge(StrCat(i)), kEpochMs, i));
  ASSERT_OK(writer.Commit());
  Live(Gauge("late"), kEpochMs + 3 * kDayMs, kHourMs);
  EXPECT_EQ(db_->Stats().idle_series, uint64_t{kMany});
  EXPECT_EQ(Everything(*db_).size(), 1u + kMany);  // their raw samples have gone, windows tell
  Reopen();
  Live(Gauge("late"), kEpochMs + 18 * kDayMs, kHourMs);
  EXPECT_EQ(db_->Stats().series, 1u);
  EXPECT_EQ(db_->Stats().idle_series, 0u);
  EXPECT_EQ(Everything(*db_).size(), 1u);
}

TEST_F(RetentionTest, AfterTwentyDaysWithoutAProcessAllIsMadeIntoWindowsFirst) {
  Tiers(kDayMs, 60 * kDayMs);
  Open();
  Live(Gauge("a"), kEpochMs + 20 * kHourMs);
  // The newest samples are late, and only in the head.
  ASSERT_OK(Put(Gauge("a"), kEpochMs + 1, 5));
  const uint64_t samples = CountSamples(model_);
  Kill();
  clock_.AdvanceMs(20 * kDayMs);
  Open();
  Work();  // a run is not due before a minute
  EXPECT_EQ(Everything(*db_), model_);
  clock_.AdvanceMs(kMinuteMs);
  Work();
  EXPECT_EQ(Tier(0).partitions, 0u);
  EXPECT_EQ(Retained().partitions_expired[0], 20u);
  EXPECT_EQ(SamplesIn(*db_, Resolution::kRaw)[Text(Gauge("a"))], samples);
}

TEST_F(RetentionTest, WhatCannotBeMadeIntoWindowsStaysAndAllBehindIt) {
  Tiers(kDayMs, 60 * kDayMs);
  options_.chunk_samples = 6;
  Open();
  Live(Gauge("a"), kEpochMs + 5 * kHourMs);
  // Damage in the partition of the third hour.
  clock_.AdvanceMs(kHourMs);
  ASSERT_OK(db_->Downsample());
  const uint64_t samples = CountSamples(model_);
  ASSERT_OK(db_->Flush());
  // A sample that comes late, of an hour that was done: it must be done again, which fails.
  ASSERT_OK(Put(Gauge("a"), kEpochMs + 2 * kHourMs + 1, 5));
  ASSERT_OK(db_->Flush());
  BreakReading(kEpochMs + 2 * kHourMs);
  clock_.AdvanceMs(20 * kDayMs);
  EXPECT_FALSE(db_->Downsample().ok());
  const DbStats stats = db_->Stats();
  EXPECT_EQ(stats.tiers[0].partitions, 3u);  // of the third to the fifth hour
  EXPECT_EQ(stats.retention.partitions_expired[0], 2u);
  EXPECT_GT(stats.downsampling.consecutive_failures, 0u);
  EXPECT_NE(stats.downsampling.last_error, "");
  EXPECT_EQ(stats.background_error, "");
  disk_.ClearFaults();
  ASSERT_OK(db_->Downsample());
  EXPECT_EQ(Tier(0).partitions, 0u);
  EXPECT_EQ(SamplesIn(*db_, Resolution::kRaw)[Text(Gauge("a"))], samples + 1);
  EXPECT_EQ(db_->Stats().downsampling.consecutive_failures, 0u);
}

TEST_F(RetentionTest, LateSamplesThatOnlyTheHeadHasAreInTheWindowsBeforeTheirHourLeaves) {
  Tiers(kDayMs, 60 * kDayMs);
  Open();
  Live(Gauge("a"), kEpochMs + 24 * kHourMs);
  ASSERT_OK(db_->Downsample());
  // Just in time, into an hour whose windows are made and which is about to leave.
  ASSERT_OK(Put(Gauge("a"), clock_.NowMs() - kDayMs + 1, 99));
  const uint64_t samples = CountSamples(model_);
  clock_.AdvanceMs(3 * kHourMs);
  ASSERT_OK(db_->Downsample());
  EXPECT_EQ(Retained().partitions_expired[0], 3u);
  EXPECT_EQ(SamplesIn(*db_, Resolution::kRaw)[Text(Gauge("a"))], samples);
}

TEST_F(RetentionTest, SamplesOlderThanRetentionAreRefusedWithTheReason) {
  options_.retention.raw_ms = kDayMs;
  Open();
  clock_.AdvanceMs(30 * kMinuteMs);
  const int64_t oldest_ms = clock_.NowMs() - kDayMs;
  EXPECT_OK(Put(Gauge("a"), oldest_ms, 1));
  const absl::Status refused = Put(Gauge("a"), oldest_ms - 1, 1);
  EXPECT_CODE(refused, kInvalid);
  for (const std::string& part :
       {Text(Gauge("a")), StrCat(oldest_ms - 1), StrCat(oldest_ms), std::string("retention")}) {
    EXPECT_NE(refused.message().find(part), std::string::npos) << refused << " lacks " << part;
  }
  // By handle, in each form.
  const auto appender = db_->NewAppender();
  ASSERT_OK_AND_ASSIGN(const SeriesHandle handle, appender->Resolve(Gauge("a")));
  const std::vector<int64_t> times = {clock_.NowMs(), oldest_ms - 1};
  const std::vector<double> values = {1, 2};
  const std::vector<SeriesHandle> handles = {handle, handle};
  EXPECT_CODE(appender->Add(handle, oldest_ms - 1, 1), kInvalid);
  EXPECT_CODE(appender->AddAt(oldest_ms - 1, handles, values), kInvalid);
  EXPECT_CODE(appender->AddBatch(handles, times, values), kInvalid);
  EXPECT_CODE(appender->AddColumn(handle, times, values), kInvalid);
  EXPECT_OK(appender->Commit());
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(RetentionTest, ACommitThatWasInTimeWhenItWasAddedIsRefusedAsAWhole) {
  options_.retention.raw_ms = kDayMs;
  Open();
  Live(Gauge("a"), kEpochMs + kDayMs);
  Writer writer(db_.get(), &model_);
  ASSERT_OK(writer.Add(Gauge("a"), kEpochMs + 1, 1));
  ASSERT_OK(writer.Add(Gauge("new"), clock_.NowMs(), 1));
  WorkAt(clock_.NowMs() + 2 * kHourMs);
  EXPECT_EQ(Retained().partitions_expired[0], 2u);
  EXPECT_CODE(writer.Commit(), kInvalid);
  Points& points = model_[Text(Gauge("a"))];
  points.erase(points.begin(), points.lower_bound(kEpochMs + 2 * kHourMs));
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().series, 1u);
}

TEST_F(RetentionTest, WhatWasDroppedStaysRefusedOverARestart) {
  options_.downsampling = true;
  Open();
  Live(Gauge("a"), kEpochMs + 8 * kHourMs);
  ASSERT_OK(db_->DropBefore(kEpochMs + 3 * kHourMs));
  EXPECT_CODE(Put(Gauge("a"), kEpochMs + 3 * kHourMs - 1, 1), kInvalid);
  EXPECT_OK(Put(Gauge("a"), kEpochMs + 3 * kHourMs, 1));
  EXPECT_EQ(Retained().oldest_accepted_ms, kEpochMs + 3 * kHourMs);
  Reopen();
  EXPECT_CODE(Put(Gauge("a"), kEpochMs + 3 * kHourMs - 1, 1), kInvalid);
  EXPECT_OK(Put(Gauge("a"), kEpochMs + 3 * kHourMs, 1));
}

TEST_F(RetentionTest, WithoutRetentionAnyTimeIsTaken) {
  Open();
  ASSERT_OK(Put(Gauge("a"), clock_.NowMs(), 1));
  ASSERT_OK(db_->DropBefore(clock_.NowMs() + kDayMs));
  model_.clear();
  EXPECT_OK(Put(Gauge("a"), clock_.NowMs() - 1, 1));
  EXPECT_OK(Put(Gauge("a"), -kEpochMs, 1));
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(Retained().oldest_accepted_ms, INT64_MIN);
}

TEST_F(RetentionTest, RunsComeAMinuteAfterOpenAndThenHourly) {
  options_.downsampling = true;
  Open();
  EXPECT_EQ(db_->Stats().downsampling.next_run_ms, kEpochMs + kMinuteMs);
  const auto runs_at = [this](int64_t after_ms) {
    WorkAt(kEpochMs + after_ms);
    return db_->Stats().downsampling.runs;
  };
  EXPECT_EQ(runs_at(kMinuteMs - 1), 0u);
  EXPECT_EQ(runs_at(kMinuteMs), 1u);
  EXPECT_EQ(db_->Stats().downsampling.last_success_ms, kEpochMs + kMinuteMs);
  EXPECT_EQ(db_->Stats().downsampling.next_run_ms, kEpochMs + kMinuteMs + kHourMs);
  EXPECT_EQ(runs_at(kMinuteMs + kHourMs - 1), 1u);
  EXPECT_EQ(runs_at(kMinuteMs + kHourMs), 2u);
}

TEST_F(RetentionTest, AFailedRunIsTriedAgainSoonAndThenEverMoreSeldom) {
  options_.downsampling = true;
  Open();
  Live(Gauge("a"), kEpochMs + 3 * kHourMs);
  ASSERT_OK(db_->Flush());
  BreakReading(kEpochMs + 2 * kHourMs);
  const auto pause_after_run = [this] {
    const DownsamplingStats before = db_->Stats().downsampling;
    WorkAt(before.next_run_ms - 1);
    EXPECT_EQ(db_->Stats().downsampling.runs, before.runs);
    WorkAt(before.next_run_ms);
    EXPECT_EQ(db_->Stats().downsampling.runs, before.runs + 1);
    return db_->Stats().downsampling.next_run_ms - before.next_run_ms;
  };
  int64_t pause_ms = 30'000;
  for (int failures = 1; failures < 10; ++failures) {
    ASSERT_EQ(pause_after_run(), pause_ms);
    ASSERT_EQ(db_->Stats().downsampling.consecutive_failures, static_cast<uint64_t>(failures));
    pause_ms = std::min(2 * pause_ms, kHourMs);
  }
  disk_.ClearFaults();
  EXPECT_EQ(pause_after_run(), kHourMs);
  EXPECT_EQ(db_->Stats().downsampling.consecutive_failures, 0u);
}

// Nobody came to repair it, and all the rest would never leave.
TEST_F(RetentionTest, DamageThatHasExpiredHoldsNothingUp) {
  Tiers(kDayMs, 60 * kDayMs);
  options_.chunk_samples = 6;
  Open();
  Live(Gauge("a"), kEpochMs + 6 * kHourMs);
  const uint64_t samples = CountSamples(model_);
  ASSERT_OK(db_->Flush());
  ASSERT_OK(Put(Gauge("a"), kEpochMs + 2 * kHourMs + 1, 5));
  ASSERT_OK(db_->Flush());
  BreakReading(kEpochMs + 2 * kHourMs);
  // As long as it has not expired it stays, however many runs fail.
  for (int run = 0; run < 8; ++run) EXPECT_FALSE(db_->Downsample().ok());
  EXPECT_EQ(db_->Stats().downsampling.damage_passed_by, 0u);
  disk_.ClearFaults();
  ASSERT_OK(db_->Downsample());
  ASSERT_OK(Put(Gauge("a"), kEpochMs + 4 * kHourMs + 1, 5));
  ASSERT_OK(db_->Flush());
  BreakReading(kEpochMs + 4 * kHourMs);
  clock_.AdvanceMs(20 * kDayMs);
  for (int run = 0; run < 5; ++run) EXPECT_FALSE(db_->Downsample().ok());
  EXPECT_GT(Tier(0).partitions, 0u);
  ASSERT_OK(db_->Downsample());
  EXPECT_EQ(Tier(0).partitions, 0u);
  EXPECT_EQ(db_->Stats().downsampling.damage_passed_by, 1u);
  EXPECT_EQ(db_->Stats().downsampling.consecutive_failures, 0u);
  EXPECT_EQ(std::count_if(log_.begin(), log_.end(),
                          [](const std::string& line) {
                            return line.find("injected damage") != std::string::npos &&
                                   line.find("made without") != std::string::npos;
                          }),
            1);
  disk_.ClearFaults();
  // The windows are those from before the sample that could not be added to them.
  EXPECT_EQ(SamplesIn(*db_, Resolution::kRaw)[Text(Gauge("a"))], samples + 1);
}

// With a limit on the disk that drops the oldest, the same damage must not keep it full for ever.
TEST_F(RetentionTest, DamageInTheOldestPartitionDoesNotKeepTheDiskFull) {
  options_.downsampling = true;
  options_.storage_full = StorageFull::kDropOldest;
  options_.max_storage_bytes = 1 << 20;
  options_.memory_budget_bytes = 8 << 20;
  Open();
  ASSERT_OK(Put(Gauge("a"), clock_.NowMs(), 1));
  ASSERT_OK(db_->Flush());
  BreakReading(kEpochMs);
  clock_.AdvanceMs(2 * kHourMs);
  std::mt19937_64 random(1);
  int refused = 0;
  for (int batch = 0; batch < 300; ++batch) {
    WorkAt(clock_.NowMs() + 10 * kMinuteMs);
    Writer writer(db_.get(), &model_);
    for (int k = 0; k < 1000; ++k) {
      ASSERT_OK(
          writer.Add(Gauge(StrCat("b", k)), clock_.NowMs(), std::bit_cast<double>(random() >> 2)));
    }
    const absl::Status status = writer.Commit();
    if (status.ok()) continue;
    ASSERT_CODE(status, absl::StatusCode::kResourceExhausted);
    ++refused;
  }
  EXPECT_EQ(db_->Stats().downsampling.damage_passed_by, 1u);
  EXPECT_GT(Retained().partitions_dropped_for_room, 5u);
  EXPECT_LT(refused, 300);
}

// Between the first look and the drop the clock goes on, and samples come.
TEST_F(RetentionTest, ASampleThatCameDuringTheRunIsInTheWindowsBeforeItsHourLeaves) {
  Tiers(kDayMs, 60 * kDayMs);
  Open();
  Live(Gauge("a"), kEpochMs + 24 * kHourMs);
  Work();
  const uint64_t runs = db_->Stats().downsampling.runs;
  // The first step of a run: it seals what the head has.
  clock_.SetMs(db_->Stats().downsampling.next_run_ms);
  ASSERT_OK(db_->RunBackgroundWork());
  ASSERT_EQ(db_->Stats().downsampling.runs, runs);
  ASSERT_OK(Put(Gauge("a"), clock_.NowMs() - kDayMs + 1, 99));
  const uint64_t samples = CountSamples(model_);
  clock_.AdvanceMs(3 * kHourMs);
  for (int step = 0; db_->Stats().downsampling.runs == runs; ++step) {
    ASSERT_LT(step, 1000);
    ASSERT_OK(db_->RunBackgroundWork());
  }
  EXPECT_GT(Tier(0).partitions, 0u);
  EXPECT_EQ(SamplesIn(*db_, Resolution::kRaw)[Text(Gauge("a"))], samples);
  ASSERT_OK(db_->Downsample());
  EXPECT_EQ(SamplesIn(*db_, Resolution::kRaw)[Text(Gauge("a"))], samples);
}

}  // namespace
}  // namespace tinyobs::tsdb
