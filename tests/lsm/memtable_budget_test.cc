// One budget for the memtables of several stores: the largest flushes first, busy or idle, nobody
// hangs, and a closed store takes nothing.
#include "lib/lsm/memtable_budget.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::MemoryFileSystem;
using testing::Operation;

using Member = MemtableBudget::Member;

constexpr size_t kMiB = 1 << 20;

class Share {
 public:
  explicit Share(const std::shared_ptr<MemtableBudget>& budget)
      : member_(budget, [this] { ++wakes_; }) {}

  void Use(size_t active, size_t unflushed, bool by_itself = true) {
    member_.Report({active, unflushed, by_itself});
  }
  bool wanted() const { return member_.flush_wanted(); }
  int wakes() const { return wakes_; }

 private:
  int wakes_ = 0;
  Member member_;
};

TEST(MemtableBudget, TheLargestActiveMemtableIsWantedBeyondTheSoftLimit) {
  const auto budget = std::make_shared<MemtableBudget>(8 * kMiB);
  Share a(budget), b(budget), c(budget);
  a.Use(3 * kMiB, 0);
  b.Use(2 * kMiB, 0);
  c.Use(kMiB, 0);
  EXPECT_EQ(budget->used_bytes(), 6 * kMiB);
  EXPECT_FALSE(a.wanted() || b.wanted() || c.wanted());
  EXPECT_LE(budget->Fill(), 0);
  c.Use(2 * kMiB, 0);
  EXPECT_TRUE(a.wanted());
  EXPECT_FALSE(b.wanted() || c.wanted());
  EXPECT_EQ(a.wakes(), 1);
  EXPECT_GT(budget->Fill(), 0);
  EXPECT_FALSE(budget->IsUsedUp());
  a.Use(0, 3 * kMiB);  // switched: on its way out
  EXPECT_FALSE(a.wanted() || b.wanted() || c.wanted());
  EXPECT_TRUE(budget->WillShrink());
  b.Use(5 * kMiB, 0);
  EXPECT_TRUE(budget->IsUsedUp());
  EXPECT_TRUE(b.wanted());
  a.Use(0, 0);
  EXPECT_FALSE(budget->IsUsedUp());
  EXPECT_GT(c.wakes(), 0);  // who waits is told
}

TEST(MemtableBudget, AsManyAreWantedAsItTakesAndStoresThatCannotFlushDoNotCount) {
  const auto budget = std::make_shared<MemtableBudget>(8 * kMiB);
  Share stuck(budget), b(budget), c(budget), crumb(budget);
  stuck.Use(4 * kMiB, 0, false);
  b.Use(2 * kMiB, 0);
  c.Use(kMiB, 0);
  crumb.Use(64 << 10, 0);
  EXPECT_TRUE(stuck.wanted());
  EXPECT_TRUE(b.wanted());
  EXPECT_FALSE(c.wanted());
  stuck.Use(6 * kMiB, 0, false);
  EXPECT_TRUE(b.wanted() && c.wanted());
  EXPECT_FALSE(crumb.wanted());
  EXPECT_TRUE(budget->WillShrink());
  b.Use(0, 0);
  c.Use(0, 0);
  EXPECT_FALSE(budget->WillShrink());
  b.Use(0, kMiB, false);
  EXPECT_FALSE(budget->WillShrink());
}

TEST(MemtableBudget, AStoreThatGoesTakesItsShareAlong) {
  const auto budget = std::make_shared<MemtableBudget>(kMiB);
  Share stays(budget);
  {
    Share goes(budget);
    goes.Use(kMiB, kMiB);
    EXPECT_TRUE(budget->IsUsedUp());
  }
  EXPECT_EQ(budget->used_bytes(), 0u);
  EXPECT_EQ(stays.wakes(), 1);
}

class BudgetTest : public ::testing::Test {
 protected:
  BudgetTest() {
    options_.file_system = &fs_;
    options_.sync_policy = SyncPolicy::kNone;
    options_.memtable_bytes = 8 * kMiB;  // never the reason to flush
    options_.memtable_budget = budget_;
  }
  std::unique_ptr<Store> Open(int i, bool threads) {
    options_.background_threads = threads;
    auto store = Store::Open(StrCat("/db", i), options_);
    EXPECT_OK(store);
    return *std::move(store);
  }
  static absl::Status Fill(Store* store, size_t bytes, int from = 0) {
    const std::string value(10'000, 'v');
    for (size_t i = 0; i < bytes / value.size(); ++i) {
      const absl::Status status = store->Put(StrCat("key", from + static_cast<int>(i)), value);
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  MemoryFileSystem fs_;
  std::shared_ptr<MemtableBudget> budget_ = std::make_shared<MemtableBudget>(4 * kMiB);
  StoreOptions options_;
};

TEST_F(BudgetTest, AnIdleStoreFlushesWhenOthersNeedTheMemory) {
  const auto idle = Open(0, true), busy = Open(1, true);
  ASSERT_OK(Fill(idle.get(), 2 * kMiB));
  EXPECT_EQ(idle->Stats().flushes, 0u);
  ASSERT_OK(Fill(busy.get(), 20 * kMiB));
  EXPECT_EQ(idle->Stats().flushes, 1u);
  EXPECT_GT(busy->Stats().flushes, 2u);
  EXPECT_LT(budget_->used_bytes(), 4 * kMiB + kMiB);
  std::string value;
  EXPECT_OK(idle->Get("key0", &value));
}

TEST_F(BudgetTest, TheBoundHoldsForManyStoresUnderLoad) {
  std::vector<std::unique_ptr<Store>> stores;
  for (int i = 0; i < 4; ++i) stores.push_back(Open(i, true));
  std::atomic<bool> done{false};
  std::atomic<size_t> most{0};
  std::thread watcher([&] {
    while (!done) {
      most = std::max<size_t>(most, budget_->used_bytes());
      std::this_thread::yield();
    }
  });
  std::vector<std::thread> writers;
  for (size_t i = 0; i < stores.size(); ++i) {
    writers.emplace_back([&, i] {
      std::mt19937_64 random(i);
      const std::string value(5'000, 'v');
      for (int n = 0; n < 1500; ++n) {
        // Mostly the own store, so that they grow at different speeds.
        Store* const store = stores[random() % 3 == 0 ? random() % stores.size() : i].get();
        EXPECT_OK(store->Put(StrCat("key", n % 300), value));
        if (random() % 400 == 0) {
          EXPECT_OK(store->Flush());
        }
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  done = true;
  watcher.join();
  EXPECT_GT(most, 3 * kMiB);
  EXPECT_LT(most, 4 * kMiB + 4 * kMiB);  // and a group of commits a store
  for (const auto& store : stores) ASSERT_OK(store->Close());
  EXPECT_EQ(budget_->used_bytes(), 0u);
}

TEST_F(BudgetTest, WithoutThreadsAWriterFlushesItsOwnMemtableAndTheIdleStoreAtItsNextWork) {
  const auto idle = Open(0, false), busy = Open(1, false);
  ASSERT_OK(Fill(idle.get(), 2 * kMiB));
  ASSERT_OK(Fill(busy.get(), 10 * kMiB));
  EXPECT_EQ(idle->Stats().flushes, 0u);
  EXPECT_GT(busy->Stats().flushes, 0u);
  EXPECT_LE(budget_->used_bytes(), 4 * kMiB + kMiB);
  while (budget_->Fill() <= 0) ASSERT_OK(busy->Put("key", std::string(10'000, 'v')));
  ASSERT_OK(idle->RunBackgroundWork());
  EXPECT_EQ(idle->Stats().flushes, 1u);
}

TEST_F(BudgetTest, WhenNobodyCanFlushAWriteIsRefusedAndNamesTheBudget) {
  const auto idle = Open(0, false), busy = Open(1, true);
  // One batch that is more than the budget, in a store that nobody works for.
  WriteBatch batch;
  for (int i = 0; i < 500; ++i) batch.Put(StrCat("key", i), std::string(10'000, 'v'));
  ASSERT_OK(idle->Write({}, batch));
  EXPECT_TRUE(budget_->IsUsedUp());
  const absl::Status refused = busy->Put("key", "value");
  EXPECT_CODE(refused, StatusCode::kResourceExhausted);
  EXPECT_NE(refused.message().find("RunBackgroundWork"), absl::string_view::npos) << refused;
  EXPECT_NE(refused.message().find("4194304"), absl::string_view::npos) << refused;
  EXPECT_OK(busy->Stats().background_error);
  // The store itself can.
  ASSERT_OK(idle->Put("key", "value"));
  EXPECT_OK(busy->Put("key", "value"));
}

TEST_F(BudgetTest, AStoreInErrorIsNotWaitedFor) {
  const auto broken = Open(0, true), healthy = Open(1, true);
  fs_.AddFault({.operation = Operation::kCreate,
                .path_contains = "/db0/",
                .count = MemoryFileSystem::kUnlimited});
  WriteBatch batch;
  for (int i = 0; i < 500; ++i) batch.Put(StrCat("key", i), std::string(10'000, 'v'));
  ASSERT_OK(broken->Write({}, batch));
  // Its thread is told to flush and fails.
  while (broken->Stats().background_error.ok()) std::this_thread::yield();
  absl::Status status = healthy->Put("key", "value");
  EXPECT_CODE(status, StatusCode::kResourceExhausted);
  fs_.ClearFaults();
  ASSERT_OK(broken->Resume());
  EXPECT_OK(healthy->Put("key", "value"));
}

TEST_F(BudgetTest, WritersAtTheBudgetWaitAndAreCounted) {
  const auto a = Open(0, true), b = Open(1, true);
  WriteBatch batch;
  for (int i = 0; i < 500; ++i) batch.Put(StrCat("key", i), std::string(10'000, 'v'));
  uint64_t stalls = 0;
  for (int round = 0; round < 20 && stalls == 0; ++round) {
    ASSERT_OK(a->Write({}, batch));
    ASSERT_OK(b->Put("key", "value"));
    stalls = b->Stats().holds[static_cast<size_t>(WriteHold::kMemtableBudget)].stalls;
  }
  EXPECT_GT(stalls, 0u);
}

// The memory of all must not go at the cost of one: a store whose L0 is at its stall mark keeps its
// memtable.
class BudgetAndL0Test : public BudgetTest {
 protected:
  BudgetAndL0Test() {
    options_.l0_compaction_trigger = 2;
    options_.l0_slowdown_trigger = options_.l0_stall_trigger = kStall;
  }
  static absl::Status WriteAtOnce(Store* store, size_t bytes) {
    WriteBatch batch;
    for (size_t i = 0; i < bytes / 10'000; ++i) batch.Put(StrCat("k", i), std::string(10'000, 'v'));
    return store->Write({}, batch);
  }
  static void FillL0(Store* store) {
    for (int i = 0; i < kStall; ++i) {
      ASSERT_OK(store->Put("key", "value"));
      ASSERT_OK(store->Flush());
    }
    ASSERT_EQ(L0Tables(*store), static_cast<uint64_t>(kStall));
  }
  static uint64_t L0Tables(const Store& store) { return store.Stats().levels[0].files; }

  static constexpr int kStall = 4;
};

TEST_F(BudgetAndL0Test, UpkeepCompactsBeforeItFlushesForOthers) {
  const auto store = Open(0, false), other = Open(1, false);
  FillL0(store.get());
  ASSERT_OK(WriteAtOnce(store.get(), kMiB * 8 / 5));
  ASSERT_OK(WriteAtOnce(other.get(), kMiB * 3 / 2));
  ASSERT_GT(budget_->Fill(), 0);
  ASSERT_OK(store->RunBackgroundWork());
  EXPECT_EQ(store->Stats().flushes, static_cast<uint64_t>(kStall));
  EXPECT_EQ(L0Tables(*store), 0u);
  ASSERT_OK(store->RunBackgroundWork());
  EXPECT_EQ(store->Stats().flushes, kStall + 1u);
}

TEST_F(BudgetAndL0Test, AWriterAtTheBudgetWaitsForCompactionFirst) {
  Mutex mutex;
  CondVar changed;
  bool is_open = false;  // guarded by mutex
  options_.compaction_filter = [&](std::string_view, std::string_view) {
    MutexLock lock(&mutex);
    while (!is_open) changed.Wait(&mutex);
    return FilterDecision::kKeep;
  };
  const auto store = Open(0, true), other = Open(1, false);
  FillL0(store.get());
  ASSERT_OK(WriteAtOnce(store.get(), kMiB * 8 / 5));
  ASSERT_OK(WriteAtOnce(other.get(), kMiB * 13 / 5));
  ASSERT_TRUE(budget_->IsUsedUp());
  std::atomic<bool> done{false};
  std::thread writer([&] {
    EXPECT_OK(store->Put("small", "value"));
    done = true;
  });
  while (!done && store->Stats().hold_now != WriteHold::kL0) std::this_thread::yield();
  EXPECT_FALSE(done);
  EXPECT_EQ(L0Tables(*store), static_cast<uint64_t>(kStall));
  {
    MutexLock lock(&mutex);
    is_open = true;
    changed.NotifyAll();
  }
  writer.join();
  EXPECT_EQ(store->Stats().flushes, kStall + 1u);
}

TEST_F(BudgetTest, ABudgetTooSmallForOneBlockIsRefused) {
  options_.memtable_budget = std::make_shared<MemtableBudget>(100'000);
  EXPECT_CODE(Store::Open("/db", options_), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tinyobs::lsm
