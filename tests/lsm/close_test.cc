// Close leaves nothing to replay, and loses nothing when it cannot.
#include <memory>
#include <string>

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

INSTANTIATE_TEST_SUITE_P(Threads, CloseTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Threads" : "NoThreads"; });

}  // namespace
}  // namespace tinyobs::lsm
