// What each sync policy promises of an acknowledged commit, and not only in the end: the power is
// cut after every single commit of a history, in every way a disk may forget.
//
// Method: the disk is cloned as a crash would leave it and opened beside the database, which goes
// on. Chunks are large in most of these tests, so that nothing but the log holds the samples, and
// then a stronger rule than db_history.h's holds: what is left is the state after some prefix of
// the commits, each whole, in order. Sealing, checkpoints and flushes at the same time: the last
// tests, and db_model_test.cc.
#include <chrono>
#include <thread>

#include "tests/tsdb/db_history.h"

namespace tinyobs::tsdb {
namespace {

using testing::Keep;
using testing::Operation;

constexpr int64_t kIntervalMs = 1000;  // of a clock moved by hand

class SyncPolicyTest : public DbTest {
 protected:
  SyncPolicyTest() { options_.sync_interval_ms = kIntervalMs; }

  void OpenWith(SyncPolicy policy) {
    options_.sync_policy = policy;
    Open();
    history_.StartFrom({});
  }

  // In place of what is there.
  void StartAnew(SyncPolicy policy) {
    Kill();
    disk_.Crash();
    for (const std::string& path : disk_.Files()) ASSERT_OK(disk_.DeleteFile(path));
    disk_.DeleteDirectory("db/head").IgnoreError();
    disk_.DeleteDirectory("db/lsm").IgnoreError();
    OpenWith(policy);
  }

  // The nth commit: some new samples, one that replaces an older one, now and then a new series.
  void Commit(int n) {
    History::Batch batch;
    const auto appender = db_->NewAppender();
    for (int i = 0; i < 4; ++i) {
      const Labels labels = Labels::Of("m", {{"i", std::to_string(i == 3 ? n / 5 : i)}});
      const int64_t time = kStartMs + (i == 2 ? n / 2 : n) * 100;
      const double value = n * 10 + i;
      batch.push_back({Text(labels), time, std::bit_cast<uint64_t>(value)});
      ASSERT_OK(appender->Add(labels, time, value));
    }
    ASSERT_OK(appender->Commit());
    history_.Acknowledge(std::move(batch), clock_.NowMs());
  }

  // What an opener would find if the power failed now.
  Model AfterPowerLoss(Keep keep, uint64_t seed) {
    const auto disk = disk_.CloneAfterCrash({.keep_bytes = keep, .keep_names = keep, .seed = seed});
    Options options = options_;
    options.file_system = disk.get();
    auto db = Db::Open("db", options);
    EXPECT_OK(db);
    return db.ok() ? Everything(**db) : Model();
  }
  // Power loss now leaves a prefix of the commits that has all that are durable.
  void ExpectAPrefix(uint64_t seed) {
    for (const Keep keep : {Keep::kNothing, Keep::kTorn, Keep::kReordered, Keep::kAll}) {
      const Model found = AfterPowerLoss(keep, seed);
      bool is_prefix = false;
      for (size_t lost = 0; lost <= history_.undurable_commits(); ++lost) {
        is_prefix |= found == history_.StateBefore(lost);
      }
      ASSERT_TRUE(is_prefix) << "kept " << static_cast<int>(keep) << " seed " << seed << ": "
                             << history_.WhyNotAfterPowerLoss(found, {});
      ASSERT_TRUE(keep != Keep::kAll || found == history_.state()) << "kill -9 loses nothing";
    }
  }

  History history_;
};

TEST_F(SyncPolicyTest, AlwaysLosesNothingThatWasAcknowledged) {
  OpenWith(SyncPolicy::kAlways);
  for (int n = 0; n < 60; ++n) {
    Commit(n);
    history_.AllIsDurable();
    ExpectAPrefix(n);
  }
}

TEST_F(SyncPolicyTest, IntervalLosesAtMostTheCommitsOfOneInterval) {
  OpenWith(SyncPolicy::kInterval);
  for (int n = 0; n < 100; ++n) {
    clock_.AdvanceMs(n * 37 % 400);
    if (n % 7 == 0) {
      ASSERT_OK(db_->RunBackgroundWork());
    } else {
      Commit(n);
    }
    history_.IsDurableUntil(clock_.NowMs() - kIntervalMs);
    ExpectAPrefix(n);
  }
  EXPECT_LT(disk_.Count(Operation::kSync), 60u) << "not one for each commit";
}

TEST_F(SyncPolicyTest, IntervalSyncsThoughNobodyCommitsAnyMore) {
  options_.background_threads = true;
  options_.sync_interval_ms = 5;  // of real time: the thread sleeps it away
  OpenWith(SyncPolicy::kInterval);
  options_.background_threads = false;  // of the clones
  for (int n = 0; n < 3; ++n) {
    Commit(n);
    const auto begin = std::chrono::steady_clock::now();
    while (AfterPowerLoss(Keep::kNothing, 0) != history_.state()) {
      ASSERT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
      std::this_thread::yield();
    }
  }
}

TEST_F(SyncPolicyTest, NoneNeverWaitsForTheDiskAndLosesNothingToAKill) {
  OpenWith(SyncPolicy::kNone);
  const uint64_t syncs = disk_.Count(Operation::kSync);
  for (int n = 0; n < 60; ++n) {
    clock_.AdvanceMs(10 * kIntervalMs);
    Commit(n);
    ExpectAPrefix(n);
  }
  EXPECT_EQ(disk_.Count(Operation::kSync), syncs);
}

TEST_F(SyncPolicyTest, SyncFlushAndCloseMakeDurableUnderEveryPolicy) {
  for (const SyncPolicy policy : {SyncPolicy::kAlways, SyncPolicy::kInterval, SyncPolicy::kNone}) {
    SCOPED_TRACE(static_cast<int>(policy));
    StartAnew(policy);
    Commit(0);
    Commit(1);
    ASSERT_OK(db_->Sync());
    EXPECT_EQ(AfterPowerLoss(Keep::kNothing, 0), history_.state());
    Commit(2);
    ASSERT_OK(db_->Flush());
    EXPECT_EQ(AfterPowerLoss(Keep::kNothing, 0), history_.state());
    Commit(3);
    Commit(4);
    Kill();  // the next open makes durable what it finds
    Open();
    EXPECT_EQ(AfterPowerLoss(Keep::kNothing, 0), history_.state());
    Commit(5);
    ASSERT_OK(db_->Close());
    EXPECT_EQ(AfterPowerLoss(Keep::kNothing, 0), history_.state());
  }
}

TEST_F(SyncPolicyTest, SealingAndCheckpointsMeanwhileBreakNoPromise) {
  options_.chunk_samples = 5;
  options_.partition_ms = 2000;
  options_.head_segment_bytes = 300;
  for (const SyncPolicy policy : {SyncPolicy::kAlways, SyncPolicy::kInterval, SyncPolicy::kNone}) {
    SCOPED_TRACE(static_cast<int>(policy));
    StartAnew(policy);
    for (int n = 0; n < 60; ++n) {
      clock_.AdvanceMs(150);
      Commit(n);
      if (n % 3 == 0) {
        ASSERT_OK(db_->RunBackgroundWork());
      }
      if (policy == SyncPolicy::kAlways) history_.AllIsDurable();
      if (policy == SyncPolicy::kInterval) history_.IsDurableUntil(clock_.NowMs() - kIntervalMs);
      for (const Keep keep : {Keep::kNothing, Keep::kTorn, Keep::kReordered}) {
        ASSERT_EQ(history_.WhyNotAfterPowerLoss(AfterPowerLoss(keep, n), {}), "")
            << "after commit " << n << " kept " << static_cast<int>(keep);
      }
    }
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
