// Where the parts of the database meet: series that leave memory, come back or vanish while
// something else fails, races or is half done.
#include <atomic>
#include <thread>

#include "lib/tsdb/head.h"
#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

using testing::Operation;

constexpr int kMany = 400;  // series, more than it takes for idle ones to be let go

Labels Cpu(int i) { return Labels::Of("cpu", {{"host", std::to_string(i)}}); }

class DbReviewTest : public DbTest {
 protected:
  void PutMany(int64_t timestamp_ms, int first = 0, int count = kMany) {
    Writer writer(db_.get(), &model_);
    for (int i = first; i < first + count; ++i) ASSERT_OK(writer.Add(Cpu(i), timestamp_ms, i));
    ASSERT_OK(writer.Commit());
  }
  void FailTables() {
    disk_.AddFault({.operation = Operation::kCreate, .path_contains = "/lsm/", .count = 1000});
  }
  // What DropBefore takes.
  void ForgetBefore(int64_t time_ms) {
    for (auto& [labels, points] : model_) {
      points.erase(points.begin(), points.lower_bound(time_ms));
    }
    std::erase_if(model_, [](const auto& series) { return series.second.empty(); });
  }
};

// One batch of a group is refused after others were staged.
TEST(HeadAndGroups, ASeriesIsTakenBackWhileOtherBatchesAreStaged) {
  Head head(Partitioning(2 * kHourMs), {}, nullptr);
  head.BeginSegment(1);
  head.AddSeries(0);
  head.AddSeries(1);
  SampleBatch good;
  good.Add(0, kStartMs, 1);
  ASSERT_OK(head.Stage(good, nullptr));
  SampleBatch bad;
  bad.Add(1, kStartMs, 1);
  bad.Add(7, kStartMs, 1);
  EXPECT_CODE(head.Stage(bad, nullptr), absl::StatusCode::kNotFound);
  const SeriesRef taken_back = 1;
  head.RemoveSeries({&taken_back, 1});
  head.Apply(0);
  EXPECT_EQ(head.Stats().samples, 1u);
  EXPECT_FALSE(head.Contains(1));
}

// The rows of new series are not durable when the flush of a checkpoint fails.
TEST_F(DbReviewTest, AfterAFailedCheckpointCloseDoesNotTakeTheSeriesForSaved) {
  Open();
  ASSERT_OK(Put(Cpu(0), kStartMs, 1));
  ASSERT_OK(db_->Flush());
  ASSERT_OK(Put(Cpu(1), kStartMs, 1));
  FailTables();
  EXPECT_FALSE(db_->Flush().ok());
  db_->Close().IgnoreError();
  disk_.ClearFaults();
  for (int life = 0; life < 3; ++life) {
    Reopen();
    EXPECT_EQ(Everything(*db_), model_);
  }
}

// The removal of a row is not durable when the flush of the close fails; what says that the series
// is gone must not be, either.
TEST_F(DbReviewTest, ASeriesThatVanishedBeforeACloseThatFailsCanComeBack) {
  Open();
  clock_.AdvanceMs(20 * kHourMs);
  ASSERT_OK(Put(Cpu(0), kStartMs, 1));
  ASSERT_OK(Put(Cpu(1), kStartMs + 10 * kHourMs, 1));
  ASSERT_OK(db_->Flush());
  ASSERT_OK(db_->DropBefore(kStartMs + 4 * kHourMs));
  ForgetBefore(kStartMs + 4 * kHourMs);
  EXPECT_EQ(db_->Stats().series, 1u);
  FailTables();
  db_->Close().IgnoreError();
  disk_.ClearFaults();
  Reopen();
  EXPECT_EQ(Everything(*db_), model_);
  ASSERT_OK(Put(Cpu(0), kStartMs + 11 * kHourMs, 1));
  ASSERT_OK(db_->Flush());
  Reopen();
  EXPECT_EQ(Everything(*db_), model_);
}

// The removal of its row is in no table yet when the new series is in the log already.
TEST_F(DbReviewTest, ASeriesThatVanishedAndWasWrittenAgainSurvivesAKill) {
  Open();
  clock_.AdvanceMs(20 * kHourMs);
  ASSERT_OK(Put(Cpu(0), kStartMs, 1));
  ASSERT_OK(Put(Cpu(1), kStartMs + 10 * kHourMs, 1));
  ASSERT_OK(db_->Flush());
  ASSERT_OK(db_->DropBefore(kStartMs + 4 * kHourMs));
  ForgetBefore(kStartMs + 4 * kHourMs);
  ASSERT_OK(Put(Cpu(0), kStartMs + 11 * kHourMs, 1));
  for (int life = 0; life < 3; ++life) {
    Reopen();
    EXPECT_EQ(Everything(*db_), model_);
    EXPECT_EQ(db_->Stats().series, 2u);
  }
  ASSERT_OK_AND_ASSIGN(const auto reader, Db::OpenReadOnly("db", options_));
  EXPECT_EQ(Everything(*reader), model_);
}

// What was sealed in earlier lives the head does not know.
TEST_F(DbReviewTest, OldSamplesAfterARestartDoNotMakeASeriesOld) {
  Open();
  clock_.AdvanceMs(20 * kHourMs);
  ASSERT_OK(Put(Cpu(0), kStartMs + 10 * kHourMs, 1));
  ASSERT_OK(db_->Flush());
  CloseAndReopen();
  ASSERT_OK(Put(Cpu(0), kStartMs, 2));
  ASSERT_OK(db_->Flush());
  ASSERT_OK(db_->DropBefore(kStartMs + 4 * kHourMs));
  ForgetBefore(kStartMs + 4 * kHourMs);
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbReviewTest, IdleSeriesAreFoundWhereTheirNewestSampleOfAnEarlierLifeIs) {
  Open();
  clock_.AdvanceMs(20 * kHourMs);
  PutMany(kStartMs + 10 * kHourMs);
  ASSERT_OK(db_->Flush());
  CloseAndReopen();
  PutMany(kStartMs);
  ASSERT_OK(db_->Flush());
  ASSERT_OK(db_->RunBackgroundWork());
  EXPECT_EQ(db_->Stats().idle_series, uint64_t{kMany});
  EXPECT_EQ(Drain(db_->SelectAll({kStartMs + 9 * kHourMs, INT64_MAX})).size(), model_.size());
  ASSERT_OK(db_->DropBefore(kStartMs + 4 * kHourMs));
  ForgetBefore(kStartMs + 4 * kHourMs);
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbReviewTest, SeriesThatCameBackAreCountedOnceWhenTheirOldPartitionIsDropped) {
  Open();
  clock_.AdvanceMs(20 * kHourMs);
  PutMany(kStartMs);
  ASSERT_OK(Put(Cpu(-1), clock_.NowMs(), 1));
  ASSERT_OK(db_->Flush());
  ASSERT_OK(db_->RunBackgroundWork());
  ASSERT_EQ(db_->Stats().idle_series, uint64_t{kMany});
  ASSERT_OK(Put(Cpu(0), clock_.NowMs(), 1));
  EXPECT_EQ(db_->Stats().series, uint64_t{kMany} + 1);
  ASSERT_OK(db_->DropBefore(kStartMs + 4 * kHourMs));
  ASSERT_OK(db_->Flush());
  EXPECT_EQ(db_->Stats().series, 2u);
  Reopen();
  EXPECT_EQ(db_->Stats().series, 2u);
}

// Each fits into the budget, both together do not: the first is given back before the second.
TEST_F(DbReviewTest, AQueryHasTheMemoryOfOneSeriesAtATime) {
  options_.memory_budget_bytes = 8 << 20;
  Open();
  constexpr int kSamples = 60'000;
  for (int series = 0; series < 3; ++series) {
    Writer writer(db_.get(), &model_);
    for (int i = 0; i < kSamples; ++i) ASSERT_OK(writer.Add(Cpu(series), kStartMs + i, i));
    ASSERT_OK(writer.Commit());
    ASSERT_OK(db_->Flush());
  }
  EXPECT_TRUE(Everything(*db_) == model_);
}

TEST_F(DbReviewTest, AQuerySeesEverySeriesWhileTheyGoIdleAndComeBack) {
  Open();
  PutMany(clock_.NowMs());
  std::atomic<bool> done{false};
  std::thread mover([&] {
    for (int i = 0; i < 15; ++i) {
      clock_.AdvanceMs(6 * kHourMs);
      ASSERT_OK(db_->Flush());
      ASSERT_OK(db_->RunBackgroundWork());  // all go idle
      PutMany(clock_.NowMs());              // and come back
    }
    done = true;
  });
  const Matcher all = Matcher::Metric("cpu");
  while (!done && !HasFailure()) {
    EXPECT_EQ(Drain(db_->Select({all}, {}, {})).size(), size_t{kMany});
    EXPECT_EQ(Drain(db_->SelectAll({}, {.sorted = false})).size(), size_t{kMany});
    const auto series = db_->Series({all}, {}, {});
    EXPECT_OK(series);
    if (!series.ok()) break;
    EXPECT_EQ(series->size(), size_t{kMany});
    EXPECT_EQ(series->front().metric(), "cpu");
  }
  mover.join();
  EXPECT_EQ(Everything(*db_), model_);
}

// A step of the sealer is bounded by the memtable, which is small here.
TEST_F(DbReviewTest, AFlushSealsEverythingHoweverManyStepsItTakes) {
  options_.memory_budget_bytes = 1 << 20;
  options_.partition_ms = 10 * kHourMs;
  options_.chunk_samples = 120;
  Open();
  Writer writer(db_.get(), &model_);
  for (int i = 0; i < 60'000; ++i) {
    ASSERT_OK(
        writer.Add(Labels::Of("m", {{"i", std::to_string(i % 10)}}), kStartMs + i * 10, i % 7));
    if (i % 1000 < 999) continue;
    ASSERT_OK(writer.Commit());
  }
  ASSERT_GT(db_->Stats().head_samples, 40'000u);
  ASSERT_OK(db_->Flush());
  EXPECT_EQ(db_->Stats().head_samples, 0u);
  Kill();
  disk_.Crash();
  Open();
  EXPECT_TRUE(Everything(*db_) == model_);
}

// The filters that say "not among the idle ones" are larger than the memory for them.
TEST_F(DbReviewTest, NewSeriesDoNotOpenATableEachWhenMostSeriesAreIdle) {
  constexpr int kRounds = 40;
  constexpr int kNew = 1500;
  options_.memory_budget_bytes = 1 << 20;
  Open();
  uint64_t most_opened = 0;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t opened = disk_.Count(testing::Operation::kOpen);
    PutMany(clock_.NowMs(), round * kNew, kNew);
    most_opened = std::max(most_opened, disk_.Count(testing::Operation::kOpen) - opened);
    clock_.AdvanceMs(6 * kHourMs);
    ASSERT_OK(db_->Flush());
    ASSERT_OK(db_->RunBackgroundWork());  // all go idle
  }
  EXPECT_LE(most_opened, 10u);
  PutMany(clock_.NowMs(), kNew / 2, kNew);  // come back
  EXPECT_EQ(db_->Stats().series, uint64_t{kRounds} * kNew);
  EXPECT_EQ(db_->Stats().idle_series, uint64_t{kRounds - 1} * kNew);
}

}  // namespace
}  // namespace tinyobs::tsdb
