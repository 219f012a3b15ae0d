// Deleting, expiring and copying a database, and series that leave memory when they are idle.
//
// Method: the database of db_testing.h beside its model, from which the test erases what the call
// should; then the answers are compared now, after a kill, after power loss and after a clean
// close.
#include <algorithm>
#include <string>

#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

constexpr int64_t kPartitionMs = 10'000;
// More than are let stay in memory for being few.
constexpr int kMany = 300;

Labels Series(int i) { return Labels::Of("m", {{"i", std::to_string(1000 + i)}}); }

class DbAdminTest : public DbTest {
 protected:
  DbAdminTest() {
    options_.partition_ms = kPartitionMs;
    options_.chunk_samples = 10;
    options_.sync_policy = SyncPolicy::kNone;  // what is durable is so by the call alone
    Open();
  }

  void Erase(const std::string& labels, int64_t from_ms, int64_t to_ms) {
    Points& points = model_[labels];
    points.erase(points.lower_bound(from_ms), points.upper_bound(to_ms));
    if (points.empty()) model_.erase(labels);
  }
  void Check() {
    ASSERT_EQ(Everything(*db_), model_);
    ASSERT_EQ(db_->Stats().series, model_.size());
    ASSERT_EQ(db_->Stats().samples, CountSamples(model_));
    ASSERT_OK_AND_ASSIGN(const auto series, db_->Series({}, {}));
    ASSERT_EQ(series.size(), model_.size());
  }
  // Now, after a kill, a power cut and a clean close.
  void CheckForGood() {
    ASSERT_NO_FATAL_FAILURE(Check());
    Reopen();
    ASSERT_NO_FATAL_FAILURE(Check());
    CloseAndReopen();
    ASSERT_NO_FATAL_FAILURE(Check());
  }
  void LosePower() {
    Kill();
    disk_.Crash();
    Open();
  }
  void PutSome(int series, int64_t from_ms, int samples) {
    for (int i = 0; i < samples; ++i) {
      ASSERT_OK(Put(Series(series), from_ms + i * 100, i + 0.5));
    }
  }
  // One sample of each of so many series, in one commit.
  void PutMany(int64_t at_ms, int count = kMany) {
    Writer writer(db_.get(), &model_);
    for (int i = 0; i < count; ++i) ASSERT_OK(writer.Add(Series(i), at_ms, i));
    ASSERT_OK(writer.Commit());
  }
  void Work() {
    for (bool more = true; more;) {
      ASSERT_OK_AND_ASSIGN(more, db_->RunBackgroundWork());
    }
  }
  // Time passes until those who got no sample meanwhile have left memory.
  void GoIdle() {
    clock_.AdvanceMs(3 * kPartitionMs);
    ASSERT_OK(db_->Flush());
    Work();
  }
};

TEST_F(DbAdminTest, DeletedSamplesAreGoneForGoodOthersStay) {
  const int64_t base_ms = kStartMs;
  PutSome(0, base_ms, 35);  // three sealed chunks and an open one
  PutSome(1, base_ms, 35);
  ASSERT_OK(db_->Delete({Matcher::Equal("i", "1000")}, {base_ms + 450, base_ms + 3250}));
  Erase(Text(Series(0)), base_ms + 450, base_ms + 3250);
  LosePower();
  CheckForGood();
}

TEST_F(DbAdminTest, ASeriesWithoutSamplesVanishesAndComesBackAsANewOne) {
  PutSome(0, kStartMs, 12);
  ASSERT_OK(Put(Labels::Of("other", {{"only", "here"}}), kStartMs, 1));
  const auto appender = db_->NewAppender();
  ASSERT_OK_AND_ASSIGN(const SeriesHandle handle, appender->Resolve(Series(0)));
  ASSERT_OK(db_->Delete({Matcher::Metric("m")}, {}));
  model_.erase(Text(Series(0)));
  ASSERT_NO_FATAL_FAILURE(Check());
  ASSERT_OK_AND_ASSIGN(const auto names, db_->LabelNames({}, {}, {}));
  EXPECT_EQ(names, (std::vector<std::string>{"__name__", "only"}));
  ASSERT_OK_AND_ASSIGN(const auto values, db_->LabelValues("__name__", {}, {}, {}));
  EXPECT_EQ(values, std::vector<std::string>{"other"});
  ASSERT_OK(appender->Add(handle, kStartMs, 5));
  EXPECT_CODE(appender->Commit(), absl::StatusCode::kNotFound);
  PutSome(0, kStartMs, 3);
  CheckForGood();
}

TEST_F(DbAdminTest, AddingByLabelsWorksThoughTheSeriesLeftMemoryBeforeTheCommit) {
  PutMany(kStartMs);
  Writer writer(db_.get(), &model_);
  const int64_t later_ms = kStartMs + 5 * kPartitionMs;
  for (const int i : {3, 299, 3}) ASSERT_OK(writer.Add(Series(i), later_ms + i, i));
  GoIdle();
  ASSERT_GT(db_->Stats().idle_series, 0u);
  ASSERT_OK(writer.Add(Series(3), later_ms + 1, 77));  // which does not know it any more
  ASSERT_OK(writer.Add(Series(1'000), later_ms, 1));   // and one that is new
  ASSERT_OK(writer.Commit());
  ASSERT_NO_FATAL_FAILURE(Check());
  // The same when it is deleted.
  ASSERT_OK(writer.Add(Series(3), later_ms + 9, 9));
  ASSERT_OK(db_->Delete({Matcher::Metric("m")}, {}));
  model_.clear();
  ASSERT_OK(writer.Commit());
  CheckForGood();
}

TEST_F(DbAdminTest, SeriesOfShortIntervalsLeaveMemorySoonerThanThoseOfUnknownOnes) {
  const int64_t base_ms = clock_.NowMs();
  PutMany(base_ms);
  PutMany(base_ms + 100);
  Writer once(db_.get(), &model_);
  for (int i = kMany; i < 2 * kMany; ++i) ASSERT_OK(once.Add(Series(i), base_ms + 100, i));
  ASSERT_OK(once.Commit());
  const auto idle_after = [&](int64_t ms) {
    clock_.AdvanceMs(base_ms + ms - clock_.NowMs());
    Work();
    return db_->Stats().idle_series;
  };
  EXPECT_EQ(idle_after(kPartitionMs / 5), 0u);
  EXPECT_EQ(idle_after(kPartitionMs * 2 / 5), uint64_t{kMany});
  EXPECT_EQ(idle_after(kPartitionMs), uint64_t{2 * kMany});
  CheckForGood();
}

TEST_F(DbAdminTest, ABatchByLabelsAndHandlesSaysWhichHandleIsGone) {
  PutMany(kStartMs);
  const auto appender = db_->NewAppender();
  ASSERT_OK_AND_ASSIGN(const SeriesHandle handle, appender->Resolve(Series(1)));
  ASSERT_OK(appender->Add(Series(0), kStartMs, 1));
  ASSERT_OK(appender->Add(handle, kStartMs, 1));
  ASSERT_OK(db_->Delete({Matcher::Metric("m")}, {}));
  EXPECT_CODE(appender->Commit(), absl::StatusCode::kNotFound);
}

TEST_F(DbAdminTest, TheOldestTimeIsThatOfWhatIsLeft) {
  const int64_t left_ms = kStartMs + 3 * kPartitionMs + 700;
  PutSome(0, kStartMs + 100, 5);
  ASSERT_OK(Put(Series(1), left_ms, 1));
  EXPECT_EQ(db_->Stats().oldest_ms, kStartMs + 100);
  ASSERT_OK(db_->DropBefore(kStartMs + kPartitionMs));
  EXPECT_EQ(db_->Stats().oldest_ms, left_ms);
  ASSERT_OK(Put(Series(0), kStartMs + 2 * kPartitionMs, 1));
  EXPECT_EQ(db_->Stats().oldest_ms, kStartMs + 2 * kPartitionMs);
  ASSERT_OK(db_->DropBefore(kStartMs + kPartitionMs));  // of which there is nothing any more
  EXPECT_EQ(db_->Stats().oldest_ms, kStartMs + 2 * kPartitionMs);
}

TEST_F(DbAdminTest, ARetriedBatchIsStoredAfterADeletion) {
  PutSome(0, kStartMs, 5);
  ASSERT_OK(db_->Delete({Matcher::Metric("m")}, {kStartMs + 400, kStartMs + 400}));
  ASSERT_OK(Put(Series(0), kStartMs + 400, 4.5));  // the very same newest sample
  CheckForGood();
}

TEST_F(DbAdminTest, ADeletionWithoutASelectiveMatcherIsRefused) {
  EXPECT_CODE(db_->Delete({}, {}), absl::StatusCode::kInvalidArgument);
}

TEST_F(DbAdminTest, DroppedPartitionsStayDroppedAndTheirSeriesVanish) {
  PutSome(0, kStartMs, 25);
  PutSome(1, kStartMs, 5);
  ASSERT_OK(db_->Flush());
  PutSome(1, kStartMs + kPartitionMs, 5);
  ASSERT_OK(Put(Series(1), kStartMs + 50, 7));  // late, in the head
  ASSERT_OK(db_->DropBefore(kStartMs + kPartitionMs + 5));
  model_.erase(Text(Series(0)));
  Erase(Text(Series(1)), INT64_MIN, kStartMs + kPartitionMs - 1);
  EXPECT_EQ(db_->Stats().partitions_dropped, 1u);
  LosePower();
  CheckForGood();
}

TEST_F(DbAdminTest, SeriesOfAnEarlierLifeVanishWithTheirPartition) {
  options_.max_series = 2;
  CloseAndReopen();
  PutSome(0, kStartMs, 5);
  PutSome(1, kStartMs + 5 * kPartitionMs, 5);
  CloseAndReopen();
  EXPECT_CODE(Put(Series(2), kStartMs, 1), absl::StatusCode::kResourceExhausted);
  ASSERT_OK(db_->DropBefore(kStartMs + 2 * kPartitionMs));
  model_.erase(Text(Series(0)));
  ASSERT_NO_FATAL_FAILURE(Check());
  PutSome(2, kStartMs + 5 * kPartitionMs, 1);
  CheckForGood();
}

// A late sample must not make an old series look idle, or look empty.
TEST_F(DbAdminTest, ALateSampleDoesNotHideYoungerOnesOfAnEarlierLife) {
  clock_.AdvanceMs(-kHourMs);
  PutMany(clock_.NowMs());
  CloseAndReopen();
  PutMany(clock_.NowMs() - 5 * kPartitionMs);
  ASSERT_OK(db_->Flush());
  ASSERT_OK(db_->DropBefore(clock_.NowMs() - 3 * kPartitionMs));
  for (int i = 0; i < kMany; ++i) {
    Erase(Text(Series(i)), INT64_MIN, clock_.NowMs() - 3 * kPartitionMs);
  }
  ASSERT_NO_FATAL_FAILURE(Check());
  PutMany(clock_.NowMs() - 2 * kPartitionMs);
  GoIdle();
  ASSERT_EQ(db_->Stats().idle_series, static_cast<uint64_t>(kMany));
  EXPECT_EQ(Drain(db_->SelectAll({clock_.NowMs() - 3 * kPartitionMs, INT64_MAX})).size(),
            static_cast<size_t>(kMany));
  EXPECT_EQ(Drain(db_->SelectAll({clock_.NowMs() - 6 * kPartitionMs, INT64_MAX})), model_);
  CheckForGood();
}

TEST_F(DbAdminTest, IdleSeriesLeaveMemoryAndAreFoundAndComeBack) {
  options_.max_series = kMany + 1;
  CloseAndReopen();
  PutMany(clock_.NowMs());
  const auto appender = db_->NewAppender();
  ASSERT_OK_AND_ASSIGN(const SeriesHandle handle, appender->Resolve(Series(7)));
  ASSERT_OK(Put(Series(kMany), clock_.NowMs() + 3 * kPartitionMs, 1));  // is not idle
  GoIdle();
  ASSERT_EQ(db_->Stats().idle_series, static_cast<uint64_t>(kMany));
  ASSERT_NO_FATAL_FAILURE(Check());
  ASSERT_OK_AND_ASSIGN(const auto series, db_->Series({Matcher::Metric("m")}, {}));
  EXPECT_TRUE(std::is_sorted(series.begin(), series.end()));
  EXPECT_EQ(Drain(db_->Select({Matcher::Equal("i", "1007")}, {})).size(), 1u);
  ASSERT_OK_AND_ASSIGN(const Matcher regex, Matcher::Create(Matcher::Op::kRegex, "i", "100[0-4]"));
  EXPECT_EQ(Drain(db_->Select({regex}, {})).size(), 5u);
  ASSERT_OK_AND_ASSIGN(const auto values, db_->LabelValues("i", {}, {}, {}));
  EXPECT_EQ(values.size(), kMany + 1u);

  ASSERT_OK(appender->Add(handle, clock_.NowMs(), 1));
  EXPECT_CODE(appender->Commit(), absl::StatusCode::kNotFound);
  EXPECT_CODE(Put(Series(kMany + 1), clock_.NowMs(), 1), absl::StatusCode::kResourceExhausted);
  PutSome(7, clock_.NowMs(), 3);
  EXPECT_EQ(db_->Stats().idle_series, kMany - 1u);
  CheckForGood();
  EXPECT_CODE(Put(Series(kMany + 1), clock_.NowMs(), 1), absl::StatusCode::kResourceExhausted);

  // And all of them leave with their data.
  ASSERT_OK(db_->DropBefore(clock_.NowMs() - kPartitionMs));
  for (int i = 0; i <= kMany; ++i) {
    Erase(Text(Series(i)), INT64_MIN,
          clock_.NowMs() / kPartitionMs * kPartitionMs - kPartitionMs - 1);
  }
  LosePower();
  CheckForGood();
  PutMany(clock_.NowMs() + 50, 10);
  CheckForGood();
}

TEST_F(DbAdminTest, IdleSeriesCanBeDeleted) {
  PutMany(clock_.NowMs());
  GoIdle();
  ASSERT_GT(db_->Stats().idle_series, 0u);
  ASSERT_OK_AND_ASSIGN(const Matcher regex, Matcher::Create(Matcher::Op::kRegex, "i", "10.*"));
  ASSERT_OK(db_->Delete({regex}, {}));
  for (int i = 0; i < 100; ++i) model_.erase(Text(Series(i)));
  LosePower();
  CheckForGood();
}

// The removal of the idle rows is in no table yet when the new series is in the log already.
TEST_F(DbAdminTest, ADeletedIdleSeriesThatIsWrittenAgainIsOneSeriesAfterAKill) {
  PutMany(clock_.NowMs());
  GoIdle();
  ASSERT_EQ(db_->Stats().idle_series, static_cast<uint64_t>(kMany));
  disk_.AddFault({.operation = testing::Operation::kCreate, .path_contains = ".sst", .skip = 3});
  EXPECT_FALSE(db_->Delete({Matcher::Equal("i", "1007")}, {}).ok());  // its last flush
  model_.erase(Text(Series(7)));
  PutSome(7, clock_.NowMs(), 3);
  disk_.ClearFaults();
  CheckForGood();
}

TEST_F(DbAdminTest, ACopyOpensByItselfAndTheOriginalGoesOn) {
  PutMany(clock_.NowMs());
  GoIdle();
  PutSome(0, clock_.NowMs(), 15);
  const Model then = model_;
  ASSERT_OK(db_->Checkpoint("copy"));
  EXPECT_CODE(db_->Checkpoint("copy"), absl::StatusCode::kFailedPrecondition);
  EXPECT_CODE(db_->Checkpoint("no/such/folder"), absl::StatusCode::kNotFound);
  PutSome(1, clock_.NowMs(), 15);
  LosePower();
  {
    ASSERT_OK_AND_ASSIGN(const auto copy, Db::Open("copy", options_));
    EXPECT_EQ(Everything(*copy), then);
    EXPECT_EQ(copy->Stats().series, then.size());
    ASSERT_OK(copy->Close());
  }
}

TEST_F(DbAdminTest, AFailedCopyLeavesNothing) {
  PutSome(0, kStartMs, 15);
  disk_.AddFault({.operation = testing::Operation::kLink, .path_contains = "IDENTITY"});
  EXPECT_FALSE(db_->Checkpoint("copy").ok());
  for (const std::string& path : disk_.Files()) EXPECT_FALSE(path.starts_with("copy")) << path;
  ASSERT_OK(db_->Checkpoint("copy"));
  Check();
}

}  // namespace
}  // namespace tinyobs::tsdb
