// Close leaves nothing to replay, and loses nothing when it cannot.
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::Keep;
using testing::MemoryFileSystem;
using testing::Operation;

class CloseTest : public ::testing::TestWithParam<bool> {
 protected:
  CloseTest() {
    options_.file_system = &fs_;
    options_.background_threads = GetParam();
    options_.sync_policy = SyncPolicy::kNone;
    options_.memtable_bytes = 100'000;
    options_.logger = [this](std::string_view line) {
      MutexLock lock(&mutex_);
      lines_ += StrCat(line, "\n");
    };
    Open();
  }
  void Open() {
    store_ = nullptr;
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  void Put(int from, int to) {
    for (int i = from; i < to; ++i) {
      ASSERT_OK(store_->Put(StrCat("key", i), std::string(1000, 'v')));
    }
  }
  void ExpectKeys(int count) {
    std::string value;
    for (int i = 0; i < count; ++i) ASSERT_OK(store_->Get(StrCat("key", i), &value)) << i;
    ASSERT_CODE(store_->Get(StrCat("key", count), &value), absl::StatusCode::kNotFound);
  }

  MemoryFileSystem fs_;
  Mutex mutex_;
  std::string lines_ ABSL_GUARDED_BY(mutex_);
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_P(CloseTest, TheNextOpenReplaysNothingAndThePowerMayFail) {
  Put(0, 350);  // with memtables that wait for their flush
  WriteOptions unlogged;
  unlogged.skip_wal = true;
  ASSERT_OK(store_->Put("key350", "unlogged", unlogged));
  ASSERT_OK(store_->Close());
  fs_.Crash();
  Open();
  EXPECT_EQ(store_->Stats().recovered_wal_records, 0u);
  EXPECT_EQ(store_->Stats().dropped_torn_tail_bytes, 0u);
  ExpectKeys(351);
}

TEST_P(CloseTest, NothingToFlushMakesNoTable) {
  Put(0, 1);
  ASSERT_OK(store_->Flush());
  const size_t files = fs_.Files().size();
  ASSERT_OK(store_->Close());
  EXPECT_LE(fs_.Files().size(), files);  // the old log may go late
}

TEST_P(CloseTest, AFlushThatFailsLosesNothingAndIsLogged) {
  for (const char* const name : {".sst", ".log", "MANIFEST"}) {
    for (const Operation operation : {Operation::kCreate, Operation::kAppend, Operation::kSync}) {
      {
        MutexLock lock(&mutex_);
        lines_.clear();
      }
      Put(0, 30);
      ASSERT_OK(store_->Sync());
      fs_.AddFault(
          {.operation = operation, .path_contains = name, .count = MemoryFileSystem::kUnlimited});
      const absl::Status closed = store_->Close();
      fs_.Crash();
      Open();
      ExpectKeys(30);
      if (operation == Operation::kCreate && name != std::string("MANIFEST")) {
        EXPECT_OK(closed);
        MutexLock lock(&mutex_);
        EXPECT_NE(lines_.find("closed without a flush"), std::string::npos) << lines_;
      }
    }
  }
}

// Upkeep on a thread of the caller's own, and a Close meanwhile. The logger runs where no lock is
// held, so it is the place to stop a step.
class CloseRaceTest : public ::testing::Test {
 protected:
  CloseRaceTest() {
    options_.file_system = &fs_;
    options_.background_threads = false;
    options_.sync_policy = SyncPolicy::kNone;
    options_.logger = [this](std::string_view line) {
      if (line.find("cannot be deleted now") != std::string_view::npos && on_late_file_) {
        std::exchange(on_late_file_, nullptr)();
      }
    };
    Open();
  }
  void Open() {
    store_ = nullptr;
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }

  MemoryFileSystem fs_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
  std::function<void()> on_late_file_;  // once
};

TEST_F(CloseRaceTest, AStepThatBeganBeforeWritesNothingAfter) {
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(store_->Put("key", "value"));
    ASSERT_OK(store_->Flush());
  }
  auto pins_tables = store_->NewIterator({});
  ASSERT_OK(store_->CompactRange("", ""));
  pins_tables = nullptr;  // the step begins by deleting them
  ASSERT_OK(store_->Put("unflushed", "value"));
  fs_.AddFault({.operation = Operation::kDelete, .path_contains = ".sst"});
  uint64_t changes = 0;
  on_late_file_ = [&] {
    // So that there is something left to do.
    fs_.AddFault({.operation = Operation::kCreate, .path_contains = ".sst"});
    std::thread([&] { EXPECT_OK(store_->Close()); }).join();
    changes = fs_.Changes();
  };
  EXPECT_CODE(store_->RunBackgroundWork(), absl::StatusCode::kFailedPrecondition);
  ASSERT_GT(changes, 0u);
  // The next file to be deleted is the other one of the two.
  EXPECT_LE(fs_.Changes(), changes + 1);
  changes = fs_.Changes();
  EXPECT_CODE(store_->RunBackgroundWork(), absl::StatusCode::kFailedPrecondition);
  EXPECT_CODE(store_->Flush(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(fs_.Changes(), changes);
  Open();
  std::string value;
  EXPECT_OK(store_->Get("unflushed", &value));
}

TEST_F(CloseRaceTest, AFlushThatWaitsForAnotherIsRefused) {
  Mutex mutex;
  CondVar changed;
  bool stopped = false, go_on = false;  // guarded by mutex
  on_late_file_ = [&] {
    MutexLock lock(&mutex);
    stopped = true;
    changed.NotifyAll();
    while (!go_on) changed.Wait(&mutex);
  };
  fs_.AddFault({.operation = Operation::kDelete, .path_contains = ".log"});
  ASSERT_OK(store_->Put("key1", "value"));
  std::thread first([&] { EXPECT_OK(store_->Flush()); });
  {
    MutexLock lock(&mutex);
    while (!stopped) changed.Wait(&mutex);
  }
  ASSERT_OK(store_->Put("key2", "value"));
  const uint64_t creations = fs_.Count(Operation::kCreate);
  std::thread second([&] { EXPECT_CODE(store_->Flush(), absl::StatusCode::kFailedPrecondition); });
  while (fs_.Count(Operation::kCreate) == creations) std::this_thread::yield();  // a new log
  ASSERT_OK(store_->Sync());  // in line behind the switch: now it waits for the first
  std::thread close([&] { EXPECT_OK(store_->Close()); });
  while (store_->RunBackgroundWork().ok()) std::this_thread::yield();  // closing
  {
    MutexLock lock(&mutex);
    go_on = true;
    changed.NotifyAll();
  }
  first.join();
  second.join();
  close.join();
  Open();
  std::string value;
  EXPECT_OK(store_->Get("key1", &value));
  EXPECT_OK(store_->Get("key2", &value));
}

INSTANTIATE_TEST_SUITE_P(Threads, CloseTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Threads" : "NoThreads"; });

}  // namespace
}  // namespace tinyobs::lsm
