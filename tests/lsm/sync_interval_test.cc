// SyncPolicy::kInterval while a writer waits for room: what was acknowledged before becomes durable
// all the same. A filter that stops at a gate holds up the compaction that the writer waits for.
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::MemoryFileSystem;
using testing::Operation;

// A broken store would never get there; a slow machine will.
constexpr std::chrono::seconds kPatience(20);

bool SurvivesPowerCut(const MemoryFileSystem& fs, std::string_view key) {
  const std::unique_ptr<MemoryFileSystem> disk = fs.CloneAfterCrash();
  StoreOptions options;
  options.file_system = disk.get();
  options.background_threads = false;
  const auto store = Store::Open("/db", options);
  EXPECT_OK(store);
  std::string value;
  return store.ok() && (*store)->Get(key, &value).ok();
}

TEST(SyncInterval, WhatWasAcknowledgedBecomesDurableWhileAWriterWaitsForCompaction) {
  MemoryFileSystem fs;
  Mutex mutex;
  CondVar changed;
  bool is_open = false;  // guarded by mutex
  StoreOptions options;
  options.file_system = &fs;
  options.sync_interval_ms = 10;
  options.l0_compaction_trigger = 2;
  options.l0_slowdown_trigger = options.l0_stall_trigger = 4;
  options.compaction_filter = [&](std::string_view, std::string_view) {
    MutexLock lock(&mutex);
    while (!is_open) changed.Wait(&mutex);
    return FilterDecision::kKeep;
  };
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Store> store, Store::Open("/db", options));
  for (int i = 0; i < options.l0_stall_trigger; ++i) {
    ASSERT_OK(store->Put("key", "value"));
    ASSERT_OK(store->Flush());
  }
  // Right behind a sync, so that the next is not due before the writer waits.
  const uint64_t syncs = fs.Count(Operation::kSync);
  ASSERT_OK(store->Put("first", "value"));
  while (fs.Count(Operation::kSync) == syncs) std::this_thread::yield();
  ASSERT_OK(store->Put("acknowledged", "value"));
  std::thread waits([&] { EXPECT_OK(store->Flush()); });
  while (store->Stats().hold_now != WriteHold::kL0) std::this_thread::yield();

  const auto give_up = std::chrono::steady_clock::now() + kPatience;
  bool is_durable = false;
  while (!is_durable && std::chrono::steady_clock::now() < give_up) {
    is_durable = SurvivesPowerCut(fs, "acknowledged");
  }
  EXPECT_TRUE(is_durable);
  EXPECT_EQ(store->Stats().hold_now, WriteHold::kL0);  // all that while
  {
    MutexLock lock(&mutex);
    is_open = true;
    changed.NotifyAll();
  }
  waits.join();
  EXPECT_OK(store->Close());
}

TEST(SyncInterval, IsOneMillisecondToADay) {
  MemoryFileSystem fs;
  StoreOptions options;
  options.file_system = &fs;
  for (const int64_t bad : {int64_t{-1}, int64_t{0}, int64_t{86'400'001}, INT64_MAX}) {
    options.sync_interval_ms = bad;
    const absl::Status refused = Store::Open("/db", options).status();
    EXPECT_CODE(refused, absl::StatusCode::kInvalidArgument) << bad;
    EXPECT_NE(refused.message().find("sync_interval_ms"), absl::string_view::npos) << refused;
  }
  for (const int64_t good : {int64_t{1}, int64_t{86'400'000}}) {
    options.sync_interval_ms = good;
    EXPECT_OK(Store::Open("/db", options)) << good;
  }
}

}  // namespace
}  // namespace tinyobs::lsm
