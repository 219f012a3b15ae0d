// A database in memory (Options::in_memory) is the same database, but for what a disk is there for:
// nothing is written outside the process, nothing remains, and the budget is the disk.
#include <filesystem>

#include "tests/testing/temp_dir.h"
#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

using absl::StatusCode;

class InMemoryTest : public DbTest {
 protected:
  InMemoryTest() {
    options_.file_system = nullptr;
    options_.in_memory = true;
    options_.chunk_samples = 10;
    std::filesystem::create_directory(parent_);
  }
  ~InMemoryTest() override {
    db_.reset();
    EXPECT_TRUE(std::filesystem::is_empty(parent_));
  }
  void Open() { ASSERT_OK_AND_ASSIGN(db_, Db::Open(path_, options_)); }
  void Work() {
    for (bool more = true; more;) {
      ASSERT_OK_AND_ASSIGN(more, db_->RunBackgroundWork());
    }
  }

  testing::TempDir folder_;
  const std::string parent_ = folder_.File("empty");
  const std::string path_ = parent_ + "/db";
};

Labels Id(int i) { return Labels::Of("m", {{"i", std::to_string(i)}}); }

TEST_F(InMemoryTest, WhatIsWrittenIsThereBeforeAndAfterAFlushAndGoneAfterClose) {
  Open();
  for (int i = 0; i < 500; ++i) ASSERT_OK(Put(Id(i % 7), kStartMs + i * 1000, i));
  EXPECT_EQ(Everything(*db_), model_);
  ASSERT_OK(db_->Sync());
  ASSERT_OK(db_->Flush());
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().head_samples, 0u);
  EXPECT_GT(db_->Stats().memory.file_bytes, 0u);
  EXPECT_GT(db_->Stats().disk_bytes, 0u);
  for (int i = 500; i < 600; ++i) ASSERT_OK(Put(Id(i % 9), kStartMs + i * 1000, i));
  Work();
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().samples, 600u);
  EXPECT_CODE(db_->Checkpoint(folder_.File("copy")), StatusCode::kFailedPrecondition);
  EXPECT_CODE(Db::OpenReadOnly(path_, options_), StatusCode::kNotFound);
  ASSERT_OK(db_->Close());
  ASSERT_OK(db_->Close());
  EXPECT_CODE(Put(Id(0), kStartMs, 1), StatusCode::kFailedPrecondition);
  Open();
  EXPECT_TRUE(Everything(*db_).empty());
}

TEST_F(InMemoryTest, SamplesCanBeDeletedAndPartitionsDropped) {
  options_.partition_ms = 60'000;
  Open();
  for (int i = 0; i < 300; ++i) ASSERT_OK(Put(Id(i % 3), kStartMs + i * 1000, i));
  ASSERT_OK(db_->Delete({Matcher::Equal("i", "1")}, {}));
  model_.erase(Text(Id(1)));
  EXPECT_EQ(Everything(*db_), model_);
  ASSERT_OK(db_->DropBefore(kStartMs + 120'000));
  for (auto& [labels, points] : model_) {
    points.erase(points.begin(), points.lower_bound(kStartMs + 120'000));
  }
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().series, 2u);
  ASSERT_OK(Put(Id(1), kStartMs + 400'000, 1));  // the name is free again
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(InMemoryTest, IdleSeriesLeaveAndComeBack) {
  Open();
  for (int i = 0; i < 300; ++i) ASSERT_OK(Put(Id(i), kStartMs + i, i));
  clock_.AdvanceMs(12 * kHourMs);
  ASSERT_OK(Put(Labels::Of("new"), clock_.NowMs(), 1));
  ASSERT_OK(db_->Flush());
  Work();
  EXPECT_GE(db_->Stats().idle_series, 300u);
  EXPECT_EQ(Everything(*db_), model_);
  ASSERT_OK(Put(Id(5), clock_.NowMs(), 2));
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().series, 301u);
}

// The budget is all there is. At it commits are refused, with the reason and nothing lost; what
// DropBefore frees can be written again.
TEST_F(InMemoryTest, AFullBudgetRefusesWritesGoesOnReadingAndRecoversWhenThereIsRoom) {
  options_.memory_budget_bytes = 2 << 20;
  options_.partition_ms = 60'000;
  options_.max_future_ms = 1000 * kHourMs;
  Open();
  Writer writer(db_.get(), &model_);
  absl::Status refused;
  int64_t time_ms = kStartMs;
  int i = 0;
  for (; refused.ok() && i < 4'000; ++i) {
    for (int series = 0; series < 50; ++series) {
      ASSERT_OK(writer.Add(Id(series), time_ms += 7, 1.0 / (i * 50 + series + 1)));
    }
    refused = writer.Commit();
    if (refused.ok() && i % 8 == 0) (void)db_->RunBackgroundWork();
    ASSERT_LE(db_->Stats().memory.used_bytes, options_.memory_budget_bytes * 5 / 4);
  }
  ASSERT_CODE(refused, StatusCode::kResourceExhausted) << " after " << i << " commits";
  EXPECT_EQ(Everything(*db_), model_);
  ASSERT_OK(db_->DropBefore(time_ms - 60'000));
  const int64_t floor_ms = (time_ms - 60'000) / 60'000 * 60'000;
  for (auto& [labels, points] : model_) {
    points.erase(points.begin(), points.lower_bound(floor_ms));
  }
  EXPECT_EQ(Everything(*db_), model_);
  clock_.AdvanceMs(60'000);
  Work();
  EXPECT_OK(Put(Id(0), time_ms + 1, 1));
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(InMemoryTest, OptionsThatContradictItAreRefused) {
  options_.file_system = &disk_;
  EXPECT_CODE(Db::Open(path_, options_), StatusCode::kInvalidArgument);
}

TEST_F(InMemoryTest, ResumeWritesNoFilesOfTheHead) {
  options_.memory_budget_bytes = 4 << 20;
  Open();
  absl::Status status;
  for (int i = 0; status.ok() && i < 1'000'000; ++i) {
    status = Put(Id(i % 7), kStartMs + i * 100, 1.0 / (i + 1));
  }
  ASSERT_CODE(status, StatusCode::kResourceExhausted);
  const uint64_t head_bytes = db_->Stats().head_log_bytes;
  {
    // Queries take what is left, the last crumbs too.
    std::vector<std::unique_ptr<SeriesSet>> sets;
    for (int64_t span_ms = 100'000'000; span_ms > 1000; span_ms /= 2) {
      while (true) {
        auto set = db_->SelectAll({kStartMs, kStartMs + span_ms});
        if (!set.ok() || !(*set)->Next()) break;
        sets.push_back(*std::move(set));
      }
    }
    EXPECT_FALSE(db_->Flush().ok());
    ASSERT_NE(db_->Stats().background_error, "");
  }
  ASSERT_OK(db_->Resume());
  EXPECT_EQ(db_->Stats().background_error, "");
  EXPECT_EQ(db_->Stats().head_log_bytes, head_bytes);
  EXPECT_EQ(db_->Stats().samples, CountSamples(model_));
}

}  // namespace
}  // namespace tinyobs::tsdb
