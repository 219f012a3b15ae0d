// Power loss at every single change of the disk. The promises of the other sync policies:
// sync_policy_test.cc.
//
// Method: a short history that passes through everything that moves data (commits, sealing, segment
// change, checkpoint, flush, clean close, replay) is run once for every n, with the power cut after
// the nth change. Then the disk keeps the least it may, or a torn part, and the database must open
// with every acknowledged sample, no half of a commit, and nothing that was never sent.
#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

using testing::CrashOptions;
using testing::Keep;

Labels Series(int i) { return Labels::Of("m", {{"i", std::to_string(i)}}); }

class DbCrashTest : public DbTest {
 protected:
  DbCrashTest() {
    options_.chunk_samples = 4;
    options_.partition_ms = 10'000;
    options_.sync_policy = SyncPolicy::kAlways;
  }

  // Commits a batch of three series; false when the disk is gone. `pending_` has the batch too.
  bool Commit(int time) {
    Writer writer(db_.get(), &model_);
    for (int i = 0; i < 3; ++i) {
      EXPECT_OK(writer.Add(Series(i + time / 8), kStartMs + time * 700, time + i * 0.5));
    }
    EXPECT_OK(writer.Add(Series(0), kStartMs + time * 350, -time));  // late
    pending_ = model_;
    writer.ApplyTo(&pending_);
    return writer.Commit().ok();
  }

  // False when the power went.
  bool History() {
    for (int time = 0; time < 12; ++time) {
      if (!Commit(time)) return false;
    }
    if (!db_->RunBackgroundWork().ok()) return false;
    options_.head_segment_bytes = 1;
    if (!db_->Flush().ok()) return false;
    for (int time = 12; time < 20; ++time) {
      if (!Commit(time)) return false;
    }
    pending_ = model_;
    if (!db_->Close().ok()) return false;
    db_.reset();
    auto db = Db::Open("db", options_);
    if (!db.ok()) return false;
    db_ = *std::move(db);
    for (int time = 20; time < 24; ++time) {
      if (!Commit(time)) return false;
      // Each checkpoints: the segments are of one byte now.
      if (!db_->RunBackgroundWork().ok()) return false;
    }
    pending_ = model_;
    return true;
  }

  void CheckAfterCrash(const CrashOptions& crash) {
    Kill();
    disk_.Crash(crash);
    Open();
    if (HasFatalFailure()) return;
    const Model found = Everything(*db_);
    if (found != model_) {
      ASSERT_EQ(found, pending_);
    }
    // And it goes on: writes, restarts, and leaves no garbage.
    model_ = found;
    ASSERT_TRUE(Commit(30));
    CloseAndReopen();
    ASSERT_EQ(Everything(*db_), model_);
    for (const std::string& path : disk_.Files()) {
      EXPECT_FALSE(path.ends_with(".tmp")) << path;
    }
  }

  Model pending_;
};

class EveryChange : public DbCrashTest, public ::testing::WithParamInterface<Keep> {};

TEST_P(EveryChange, AcknowledgedSamplesSurviveAPowerCut) {
  const Options options = options_;
  bool finished = false;
  for (uint64_t n = 0; !finished; ++n) {
    ASSERT_LT(n, 2000u);
    SCOPED_TRACE(n);
    options_ = options;
    model_.clear();
    pending_.clear();
    for (const std::string& path : disk_.Files()) ASSERT_OK(disk_.DeleteFile(path));
    disk_.DeleteDirectory("db/head").IgnoreError();
    disk_.DeleteDirectory("db/lsm").IgnoreError();
    disk_.DeleteDirectory("db").IgnoreError();
    disk_.Crash({.keep_bytes = Keep::kAll, .keep_names = Keep::kAll});

    disk_.PowerCutAfter(n);
    auto db = Db::Open("db", options_);
    if (db.ok()) {
      db_ = *std::move(db);
      finished = History();
    }
    CheckAfterCrash({.keep_bytes = GetParam(), .keep_names = GetParam(), .seed = n});
    ASSERT_FALSE(HasFailure());
  }
}

INSTANTIATE_TEST_SUITE_P(Keeping, EveryChange,
                         ::testing::Values(Keep::kNothing, Keep::kTorn, Keep::kAll));

// Power goes while an opening database replays, seals and checkpoints, again and again.
TEST_F(DbCrashTest, ReplayMayBeInterruptedAtEveryChange) {
  options_.memory_budget_bytes = 1 << 20;
  Open();
  for (int time = 0; time < 40; ++time) ASSERT_TRUE(Commit(time));
  Kill();
  bool opened = false;
  for (uint64_t n = 0; !opened; ++n) {
    ASSERT_LT(n, 1000u);
    disk_.PowerCutAfter(n);
    auto db = Db::Open("db", options_);
    opened = db.ok();
    db = absl::UnavailableError("");
    disk_.Crash({.keep_bytes = Keep::kTorn, .keep_names = Keep::kTorn, .seed = n});
    Open();
    ASSERT_EQ(Everything(*db_), model_) << "cut after " << n;
    // The next round has something to replay again.
    ASSERT_TRUE(Commit(40 + static_cast<int>(n)));
    Kill();
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
