// Downsampling as an embedder sees it: on demand, over restarts and power cuts, with deletions, and
// how long a series lives of which only windows are left.
//
// What was made is looked at in the closed database's LSM, as bytes.
#include "lib/lsm/store.h"
#include "lib/tsdb/key_schema.h"
#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

using testing::CrashOptions;
using testing::Keep;

Labels Series(int i) { return Labels::Of("m", {{"i", std::to_string(i)}}); }

class DbDownsampleTest : public DbTest {
 protected:
  DbDownsampleTest() {
    options_.partition_ms = kHourMs;
    options_.downsampling = true;
    options_.sync_policy = SyncPolicy::kAlways;
  }

  // One sample in five minutes, for some series and hours.
  absl::Status Fill(int from_hour, int to_hour) {
    for (int hour = from_hour; hour < to_hour; ++hour) {
      clock_.SetMs(kStart + (hour + 1) * kHourMs);
      Writer writer(db_.get(), &model_);
      for (int i = 0; i < 3; ++i) {
        for (int k = 0; k < 12; ++k) {
          EXPECT_OK(writer.Add(Series(i), kStart + hour * kHourMs + k * 300'000, hour * 12 + k));
        }
      }
      if (auto status = writer.Commit(); !status.ok()) return status;
    }
    return absl::OkStatus();
  }
  // Rows of windows, of the folder of a database that is not open.
  std::map<std::string, std::string> Windows() {
    std::map<std::string, std::string> windows;
    lsm::StoreOptions options;
    options.file_system = &disk_;
    options.background_threads = false;
    options.partition_of = PartitionPrefix;
    const auto store = lsm::Store::OpenReadOnly("db/lsm", options);
    EXPECT_OK(store);
    if (!store.ok()) return windows;
    for (const Tier tier : {Tier::kFiveMinutes, Tier::kOneHour}) {
      lsm::ReadOptions read;
      read.prefix = std::string(1, static_cast<char>(tier));
      const auto rows = (*store)->NewIterator(read);
      for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
        windows.emplace(rows->key(), rows->value());
      }
      EXPECT_OK(rows->status());
    }
    return windows;
  }
  void Wipe() {
    db_.reset();
    model_.clear();
    for (const std::string& path : disk_.Files()) ASSERT_OK(disk_.DeleteFile(path));
    for (const char* folder : {"db/head", "db/lsm", "db"}) {
      disk_.DeleteDirectory(folder).IgnoreError();
    }
    disk_.Crash({.keep_bytes = Keep::kAll, .keep_names = Keep::kAll});
  }

  // At the start of a partition of every tier.
  static constexpr int64_t kStart = int64_t{2460} * 192 * kHourMs;
};

TEST_F(DbDownsampleTest, IsRefusedWhereItIsOffOrDoesNotFit) {
  options_.downsampling = false;
  Open();
  EXPECT_CODE(db_->Downsample(), absl::StatusCode::kFailedPrecondition);
  ASSERT_OK(db_->Close());
  db_.reset();
  options_.downsampling = true;
  for (const int64_t partition_ms : {kHourMs / 2, 6 * kHourMs}) {
    options_.partition_ms = partition_ms;
    EXPECT_CODE(Db::Open("other", options_), absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(DbDownsampleTest, TellsWhatThereIs) {
  Open();
  ASSERT_OK(Fill(0, 14));
  ASSERT_OK(db_->Downsample());
  const DbStats stats = db_->Stats();
  ASSERT_EQ(stats.tiers.size(), 3u);
  EXPECT_EQ(stats.tiers[0].partitions, 14u);
  EXPECT_EQ(stats.tiers[0].samples, 14u * 36);
  EXPECT_EQ(stats.tiers[0].complete_ms, kStart + 14 * kHourMs);
  EXPECT_EQ(stats.tiers[0].waiting_partitions, 0u);
  EXPECT_EQ(stats.tiers[1].samples, 14u * 36) << "a window each";
  EXPECT_EQ(stats.tiers[1].rows, 3u + 2 * 3);
  EXPECT_EQ(stats.tiers[1].complete_ms, kStart + 12 * kHourMs);
  EXPECT_EQ(stats.tiers[2].samples, 12u * 3);
  EXPECT_EQ(stats.tiers[2].oldest_ms, kStart);
  EXPECT_EQ(stats.downsampling.last_error, "");
  EXPECT_GT(stats.downsampling.last_success_ms, 0);
  EXPECT_GT(stats.downsampling.rows_written, 0u);
  EXPECT_EQ(stats.memory.downsampling_bytes, 0u);
}

// The power goes at each change of the disk during a run and what follows; the next run ends with
// the bytes of one that was left alone.
TEST_F(DbDownsampleTest, ARunThatLostPowerAnywhereEndsWithTheSameWindows) {
  options_.memory_budget_bytes = 1 << 20;  // small memtables
  const auto prepare = [this] {
    Wipe();
    Open();
    ASSERT_OK(Fill(0, 13));
    ASSERT_OK(db_->Downsample());
    ASSERT_OK(Fill(13, 25));
    ASSERT_OK(Put(Series(1), kStart + 2 * kHourMs + 77, 5));  // late, for a half day that is joined
  };
  const auto run = [this] {
    return db_->Downsample().ok() && db_->Flush().ok() && db_->Downsample().ok() &&
           db_->Close().ok();
  };
  prepare();
  ASSERT_TRUE(run());
  db_.reset();
  const auto expected = Windows();
  ASSERT_EQ(expected.size(), 2u * 3 + 3 + 2 * 3) << "joined half days, an hour, rows of hours";

  bool finished = false;
  for (uint64_t n = 0; !finished; ++n) {
    ASSERT_LT(n, 500u);
    SCOPED_TRACE(n);
    prepare();
    disk_.PowerCutAfter(n);
    finished = run();
    Kill();
    const Keep keep = std::array{Keep::kNothing, Keep::kTorn, Keep::kAll}[n % 3];
    disk_.Crash({.keep_bytes = keep, .keep_names = keep, .seed = n});
    Open();
    ASSERT_OK(db_->Downsample());
    ASSERT_EQ(Everything(*db_), model_);
    ASSERT_OK(db_->Close());
    db_.reset();
    ASSERT_EQ(Windows(), expected);
  }
}

TEST_F(DbDownsampleTest, DeletingIsSeenAtEveryResolution) {
  Open();
  ASSERT_OK(Fill(0, 14));
  ASSERT_OK(db_->Downsample());
  ASSERT_OK(db_->Delete({Matcher::Equal("i", "1")}, {}));
  EXPECT_EQ(db_->Stats().series, 2u);
  EXPECT_EQ(db_->Stats().tiers[1].samples, 14u * 24);
  EXPECT_EQ(db_->Stats().tiers[2].samples, 12u * 2);
  EXPECT_EQ(db_->Stats().tiers[0].touched_series, 0u);
}

// A series of which nothing but windows is left is listed, in memory, idle, and after a restart;
// and goes with the last of them.
TEST_F(DbDownsampleTest, ASeriesLivesAsLongAsItsWindows) {
  Open();
  ASSERT_OK(Fill(0, 14));
  ASSERT_OK(db_->Downsample());
  clock_.SetMs(kStart + 1000 * kHourMs);
  ASSERT_OK(db_->DropBefore(kStart + 30 * kHourMs));  // raw and 5m, not 1h
  EXPECT_EQ(db_->Stats().tiers[0].partitions, 0u);
  EXPECT_EQ(db_->Stats().tiers[1].partitions, 0u);
  EXPECT_EQ(db_->Stats().tiers[2].samples, 12u * 3);
  EXPECT_EQ(db_->Stats().series, 3u);
  CloseAndReopen();
  EXPECT_EQ(db_->Stats().series, 3u);
  ASSERT_OK(db_->DropBefore(kStart + 100 * kHourMs));
  EXPECT_EQ(db_->Stats().series, 3u);
  ASSERT_OK(db_->Delete({Matcher::Equal("i", "1")}, {kStart, kStart + 13 * kHourMs}));
  EXPECT_EQ(db_->Stats().series, 2u);
  EXPECT_EQ(db_->Stats().tiers[2].samples, 12u * 2);
  ASSERT_OK(db_->DropBefore(kStart + 192 * kHourMs));
  EXPECT_EQ(db_->Stats().series, 0u);
  ASSERT_OK(db_->Close());
  db_.reset();
  EXPECT_TRUE(Windows().empty());
}

}  // namespace
}  // namespace tinyobs::tsdb
