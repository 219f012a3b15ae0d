// A compaction meets a damaged table: it is set aside, said once, and everything else goes on.
#include <memory>
#include <string>
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

class CompactionDamageTest : public ::testing::Test {
 protected:
  CompactionDamageTest() {
    options_.file_system = &fs_;
    options_.background_threads = false;
    options_.block_cache_bytes = 0;
    options_.l0_compaction_trigger = 2;
    options_.l0_slowdown_trigger = 3;
    options_.l0_stall_trigger = 4;
    options_.sync_policy = SyncPolicy::kNone;
    options_.partition_of = [](std::string_view key) { return key.substr(0, 1); };
    options_.logger = [this](std::string_view line) {
      MutexLock lock(&mutex_);
      log_.emplace_back(line);
    };
  }
  void Open() {
    store_ = nullptr;
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  // "a" and "b" have a table each, of which the first is damaged.
  void OpenDamaged() {
    Open();
    for (const char* const key : {"a1", "a2", "b1"}) ASSERT_OK(store_->Put(key, "old"));
    ASSERT_OK(store_->Flush());
    ASSERT_OK(store_->Close());
    for (const std::string& path : fs_.Files()) {
      if (!path.ends_with(".sst")) continue;
      damaged_ = path;
      break;
    }
    std::string bytes = *fs_.Contents(damaged_);
    bytes[10] ^= 1;
    ASSERT_OK(fs_.SetContents(damaged_, bytes));
  }
  void PutAndFlush(const std::string& key) {
    ASSERT_OK(store_->Put(key, "new"));
    ASSERT_OK(store_->Flush());
  }
  int LinesWith(std::string_view text) {
    MutexLock lock(&mutex_);
    int count = 0;
    for (const std::string& line : log_) count += line.find(text) != std::string::npos;
    return count;
  }

  MemoryFileSystem fs_;
  StoreOptions options_;
  std::string damaged_;
  Mutex mutex_;
  std::vector<std::string> log_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<Store> store_;
};

TEST_F(CompactionDamageTest, IsSetAsideAndTheRestGoesOn) {
  OpenDamaged();
  Open();
  for (int i = 0; i < 12; ++i) {
    PutAndFlush("a1");
    PutAndFlush("b1");
    while (true) {
      ASSERT_OK_AND_ASSIGN(const bool more, store_->RunBackgroundWork());
      if (!more) break;
    }
  }
  const StoreStats stats = store_->Stats();
  EXPECT_OK(stats.background_error);
  EXPECT_EQ(stats.damaged_tables, 1u);
  EXPECT_GT(stats.compactions, 5u);
  EXPECT_EQ(stats.levels[0].files, 13u);  // all of "a"
  EXPECT_EQ(LinesWith("Repair"), 1);
  EXPECT_EQ(LinesWith(damaged_), 1);
  std::string value;
  EXPECT_OK(store_->Get("b1", &value));
  EXPECT_OK(store_->Get("a1", &value));
  EXPECT_EQ(value, "new");
  EXPECT_CODE(store_->Get("a2", &value), StatusCode::kDataLoss);
  EXPECT_CODE(store_->CompactRange("a", "a9"), StatusCode::kDataLoss);
  EXPECT_OK(store_->CompactRange("b", ""));
  EXPECT_EQ(LinesWith("Repair"), 1);
  // Whoever needs it no more is rid of it.
  ASSERT_OK(store_->DropRange("a", "b"));
  EXPECT_EQ(store_->Stats().damaged_tables, 0u);
  EXPECT_CODE(store_->Get("a2", &value), StatusCode::kNotFound);
}

TEST_F(CompactionDamageTest, DoesNotStallWritersForEver) {
  OpenDamaged();
  options_.background_threads = true;
  options_.compaction_threads = 2;
  Open();
  for (int i = 0; i < 20; ++i) {
    PutAndFlush("a1");
    PutAndFlush("b1");
  }
  EXPECT_EQ(store_->Stats().damaged_tables, 1u);
  EXPECT_OK(store_->Stats().background_error);
  EXPECT_OK(store_->Close());
}

TEST_F(CompactionDamageTest, StoppedByAnInputThatIsOnlyUnreadableNowIsABackgroundError) {
  Open();
  PutAndFlush("a1");
  PutAndFlush("a1");
  ASSERT_OK(store_->Close());
  Open();
  fs_.AddFault({.operation = testing::Operation::kRead, .path_contains = ".sst"});
  EXPECT_CODE(store_->RunBackgroundWork(), StatusCode::kUnavailable);
  EXPECT_EQ(store_->Stats().damaged_tables, 0u);
  fs_.ClearFaults();
  ASSERT_OK(store_->Resume());
  ASSERT_OK(store_->RunBackgroundWork());
  EXPECT_EQ(store_->Stats().levels[0].files, 0u);
}

}  // namespace
}  // namespace tinyobs::lsm
