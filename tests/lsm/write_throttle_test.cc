// Writes are slowed before they stop: the arithmetic on its own, then in a store.
#include "lib/lsm/write_throttle.h"

#include <algorithm>
#include <memory>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/base/strings.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::MemoryFileSystem;

constexpr int64_t kMs = 1'000'000;

WriteLoad Load(double l0) {
  return {.l0_load = l0, .l0_slowdown = 12, .l0_stall = 20, .immutables_max = 2};
}

TEST(WritePressure, GrowsFromTheSlowdownMarkToTheStall) {
  EXPECT_EQ(PressureOf(Load(11.75)).reason, WriteHold::kNone);
  double last = -1;
  for (double l0 = 12; l0 <= 20; l0 += 0.25) {
    const WritePressure pressure = PressureOf(Load(l0));
    EXPECT_EQ(pressure.reason, WriteHold::kL0) << l0;
    EXPECT_GT(pressure.nearness, last) << l0;
    last = pressure.nearness;
  }
  EXPECT_EQ(last, 1);
  EXPECT_EQ(PressureOf(Load(50)).nearness, 1);
}

TEST(WritePressure, CountsTheActiveMemtableOnceNoMoreMayWait) {
  WriteLoad load = Load(0);
  load.active_fill = 0.5;
  load.immutables = 1;
  EXPECT_EQ(PressureOf(load).reason, WriteHold::kNone);
  load.immutables = 2;
  EXPECT_EQ(PressureOf(load).reason, WriteHold::kMemtables);
  EXPECT_EQ(PressureOf(load).nearness, 0.5);
}

TEST(WritePressure, IsThatOfTheWorstReason) {
  WriteLoad load = Load(14);
  load.immutables = 2;
  load.active_fill = 0.1;
  EXPECT_EQ(PressureOf(load).reason, WriteHold::kL0);
  load.budget_fill = 0.9;
  EXPECT_EQ(PressureOf(load).reason, WriteHold::kMemtableBudget);
  EXPECT_EQ(PressureOf(load).nearness, 0.9);
  load.l0_slowdown = load.l0_stall = 14;  // no way between
  load.budget_fill = 0;
  load.immutables = 0;
  EXPECT_EQ(PressureOf(load).reason, WriteHold::kL0);
}

TEST(WriteThrottle, CostDoublesWithEachEighthOfTheWayOrSo) {
  EXPECT_EQ(WriteThrottle::CostNs(0, 1), 0);
  EXPECT_NEAR(static_cast<double>(WriteThrottle::CostNs(1 << 20, 0)), 1e9 / 128, 10);
  EXPECT_NEAR(static_cast<double>(WriteThrottle::CostNs(1 << 20, 1)), 1e9, 10);
  for (int seventh = 0; seventh < 7; ++seventh) {
    const int64_t here = WriteThrottle::CostNs(1 << 16, seventh / 7.0);
    const int64_t next = WriteThrottle::CostNs(1 << 16, (seventh + 1) / 7.0);
    EXPECT_NEAR(static_cast<double>(next) / static_cast<double>(here), 2, 0.01);
  }
  EXPECT_EQ(WriteThrottle::CostNs(uint64_t{1} << 40, 1), WriteThrottle::kDebtMaxNs);
}

TEST(WriteThrottle, SmallDebtsAreGatheredToAMillisecond) {
  WriteThrottle throttle;
  int writes = 0;
  while (throttle.DueNs(0) == 0) {
    throttle.Charge(100, 0.5, 0);
    ASSERT_LT(++writes, 1000);
  }
  EXPECT_GT(writes, 50);
  EXPECT_GE(throttle.DueNs(0), WriteThrottle::kWaitMinNs);
  EXPECT_LT(throttle.DueNs(0), WriteThrottle::kWaitMinNs + 20'000);
}

TEST(WriteThrottle, TimeThatPassesAnywayPaysDebts) {
  WriteThrottle throttle;
  const int64_t cost = WriteThrottle::CostNs(100'000, 0.5);
  ASSERT_GT(cost, 5 * kMs);
  throttle.Charge(100'000, 0.5, 0);
  EXPECT_EQ(throttle.DueNs(2 * kMs), cost - 2 * kMs);
  EXPECT_EQ(throttle.DueNs(cost), 0);
  // Saved time is no credit.
  throttle.Charge(100'000, 0.5, 1000 * kMs);
  EXPECT_EQ(throttle.DueNs(1000 * kMs), cost);
  throttle.Owe(cost / 2, 1000 * kMs);
  EXPECT_EQ(throttle.DueNs(1000 * kMs), cost / 2);
}

// At any drain rate between the ends the pile settles before the stop, and writes pass at that
// rate: the property the law was chosen for.
TEST(WriteThrottle, ThePileSettlesWhereWritesComeInAsFastAsTheyAreWorkedOff) {
  for (const double drain_mib : {2.0, 10.0, 30.0, 100.0}) {
    constexpr double kTableMib = 8;
    double pile = 0, written_mib = 0, worst = 0;
    int64_t now_ns = 0;
    WriteThrottle throttle;
    constexpr int64_t kSecond = 1'000'000'000;
    while (now_ns < 100 * kSecond) {
      // A writer that could do 400 MiB/s, in writes of 64 KiB.
      int64_t took_ns = kSecond / 6400;
      const WritePressure pressure = PressureOf(Load(pile));
      if (pressure.reason != WriteHold::kNone) {
        throttle.Charge(64 << 10, pressure.nearness, now_ns);
        took_ns += throttle.DueNs(now_ns);
      }
      written_mib += 1.0 / 16;
      pile += 1.0 / 16 / kTableMib;
      pile = std::max(pile - drain_mib / kTableMib * static_cast<double>(took_ns) / kSecond, 0.0);
      now_ns += took_ns;
      worst = std::max(worst, pile);
    }
    EXPECT_LT(worst, 20) << drain_mib;
    EXPECT_NEAR(written_mib / 100, drain_mib, drain_mib * 0.1 + 2) << drain_mib;
  }
}

class ThrottledStoreTest : public ::testing::Test {
 protected:
  ThrottledStoreTest() {
    options_.file_system = &fs_;
    options_.memtable_bytes = 64 << 10;
    options_.l0_compaction_trigger = 2;
    options_.l0_slowdown_trigger = 2;
    options_.l0_stall_trigger = 10;
  }
  void Open() {
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  StoreStats::Holds L0Holds() { return HoldsOf(WriteHold::kL0); }
  StoreStats::Holds HoldsOf(WriteHold reason) {
    return store_->Stats().holds[static_cast<size_t>(reason)];
  }

  MemoryFileSystem fs_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_F(ThrottledStoreTest, WithoutThreadsADelayIsAStepOfTheWorkAndNothingStops) {
  options_.background_threads = false;
  options_.memtable_bytes = 400 << 10;
  Open();
  for (int i = 0; i < 4000; ++i)
    ASSERT_OK(store_->Put(StrCat("key", i % 977), std::string(1000, 'v')));
  const StoreStats stats = store_->Stats();
  EXPECT_GT(stats.AllHolds().delays, 0u);
  EXPECT_GT(stats.compactions, 0u);
  EXPECT_EQ(stats.AllHolds().stalls, 0u);
  EXPECT_EQ(stats.hold_now, WriteHold::kNone);
  EXPECT_GT(stats.bytes_put, 4000u * 1004);
  EXPECT_LT(stats.bytes_put, 4000u * 1010);
  EXPECT_GE(stats.WriteAmplification(), 1.0);
}

TEST_F(ThrottledStoreTest, NothingIsDelayedBelowTheMark) {
  options_.l0_compaction_trigger = options_.l0_slowdown_trigger = 9;
  Open();
  for (int i = 0; i < 5; ++i) {
    ASSERT_OK(store_->Put("key", "value"));
    ASSERT_OK(store_->Flush());
  }
  EXPECT_EQ(L0Holds().delays, 0u);
  EXPECT_EQ(L0Holds().stalls, 0u);
}

// With threads, and compactions that stand still until the test lets them go.
class BlockedCompactionTest : public ThrottledStoreTest {
 protected:
  BlockedCompactionTest() {
    options_.sync_policy = SyncPolicy::kNone;
    // Called by flushes and compactions; the first is a flush.
    options_.partition_of = [this](std::string_view key) {
      MutexLock lock(&mutex_);
      if (flusher_ == std::thread::id()) flusher_ = std::this_thread::get_id();
      while (is_blocked_ && std::this_thread::get_id() != flusher_) unblocked_.Wait(&mutex_);
      return key.substr(0, 1);
    };
  }
  ~BlockedCompactionTest() override {
    Unblock();
    store_ = nullptr;  // its threads call us
  }

  void Unblock() {
    MutexLock lock(&mutex_);
    is_blocked_ = false;
    unblocked_.NotifyAll();
  }
  // One more table of L0 would stall, and there is a debt to be paid: for 2 MiB a second.
  void BuildUp(size_t bytes = 2 << 20) {
    Open();
    for (int i = 0; i < 9; ++i) {
      ASSERT_OK(store_->Put("key", StrCat(i)));
      ASSERT_OK(store_->Flush());
    }
    ASSERT_EQ(store_->Stats().levels[0].files, 9u);
    ASSERT_OK(store_->Put("key", std::string(bytes, 'v')));
  }
  void WaitUntilWritesAreHeld() {
    while (store_->Stats().hold_now != WriteHold::kL0) std::this_thread::yield();
  }

  Mutex mutex_;
  CondVar unblocked_;
  bool is_blocked_ ABSL_GUARDED_BY(mutex_) = true;
  std::thread::id flusher_ ABSL_GUARDED_BY(mutex_);
};

TEST_F(BlockedCompactionTest, ADelayIsCountedAndCutShortByASyncThatWaitsBehind) {
  BuildUp();
  absl::Status written;
  std::thread writer([&] { written = store_->Put("key", "delayed"); });
  WaitUntilWritesAreHeld();
  ASSERT_OK(store_->Sync());
  writer.join();
  EXPECT_OK(written);
  const StoreStats::Holds holds = L0Holds();
  EXPECT_EQ(holds.delays, 1u);
  EXPECT_GT(holds.delayed_ns, 0);
  EXPECT_LT(holds.delayed_ns, 900 * kMs);
  EXPECT_EQ(store_->Stats().hold_now, WriteHold::kNone);
}

TEST_F(BlockedCompactionTest, ADelayEndsWhenTheReasonDoes) {
  BuildUp();
  absl::Status written;
  std::thread writer([&] { written = store_->Put("key", "delayed"); });
  WaitUntilWritesAreHeld();
  Unblock();
  writer.join();
  EXPECT_OK(written);
  EXPECT_LT(L0Holds().delayed_ns, 900 * kMs);
}

TEST_F(BlockedCompactionTest, AStallWaitsForTheCompactionAndIsCounted) {
  constexpr size_t kMoreThanAMemtable = 70 << 10;
  BuildUp(kMoreThanAMemtable);
  ASSERT_OK(store_->Flush());  // the tenth table
  ASSERT_OK(store_->Put("key", std::string(kMoreThanAMemtable, 'w')));
  absl::Status written;
  std::thread writer([&] { written = store_->Put("key", "stalled"); });
  while (L0Holds().stalls == 0) std::this_thread::yield();
  Unblock();
  writer.join();
  EXPECT_OK(written);
  EXPECT_GT(L0Holds().stalled_ns, 0);
}

TEST_F(BlockedCompactionTest, CloseEndsADelayAtOnce) {
  BuildUp();
  absl::Status written;
  std::thread writer([&] { written = store_->Put("key", "late"); });
  WaitUntilWritesAreHeld();
  std::thread closer([&] { EXPECT_OK(store_->Close()); });
  writer.join();
  Unblock();
  closer.join();
  EXPECT_CODE(written, absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace tinyobs::lsm
