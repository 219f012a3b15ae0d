// A disk that is full, or a process without file handles: the store refuses writes, goes on
// reading, loses nothing it acknowledged, and takes writes again when the trouble is over, without
// being asked.
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::Keep;
using testing::MemoryFileSystem;
using testing::Operation;

class DiskFullTest : public ::testing::TestWithParam<bool> {
 protected:
  DiskFullTest() {
    options_.file_system = &fs_;
    options_.clock = &clock_;
    options_.background_threads = GetParam();
    options_.sync_policy = SyncPolicy::kAlways;
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
  // Of incompressible bytes.
  absl::Status Put(int i) {
    std::string value;
    uint64_t state = static_cast<uint64_t>(i) + 1;
    while (value.size() < 500) {
      state = state * 6364136223846793005 + 1442695040888963407;
      value.push_back(static_cast<char>(state >> 56));
    }
    const std::string key = StrCat("key", i % 50'000);
    absl::Status status = store_->Put(key, value);
    if (status.ok()) acknowledged_[key] = value;
    return status;
  }
  // Returns how many writes went well.
  int FillUp(int first) {
    int i = first;
    absl::Status status;
    while (status.ok()) {
      status = Put(i++);
      if (i > first + 100'000) break;
    }
    EXPECT_CODE(status, StatusCode::kResourceExhausted);
    return i - first - 1;
  }
  // Not a byte more fits, whatever the store gives back.
  void BeFull() {
    fs_.SetCapacityBytes(0);
    do {
      while (store_->Stats().background_error.ok()) Put(0).IgnoreError();
    } while (store_->Resume().ok());  // it may have been about to, with the space there was
  }
  // The store gets its chance to look whether the trouble is over.
  void TryAgain() {
    clock_.AdvanceMs(10'000);
    if (!GetParam()) {
      while (true) {
        const auto more = store_->RunBackgroundWork();
        if (!more.ok() || !*more) break;
      }
    } else {
      std::this_thread::yield();
    }
  }
  void WaitUntilAccepted() {
    while (!store_->Stats().background_error.ok()) TryAgain();
  }
  void ExpectContent() {
    for (const auto& [key, value] : acknowledged_) {
      std::string found;
      ASSERT_OK(store_->Get(key, &found)) << key;
      ASSERT_EQ(found, value) << key;
    }
    uint64_t entries = 0;
    const auto iterator = store_->NewIterator({});
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++entries;
    ASSERT_OK(iterator->status());
    EXPECT_EQ(entries, acknowledged_.size());
  }
  std::string Lines() {
    MutexLock lock(&mutex_);
    return lines_;
  }

  MemoryFileSystem fs_;
  ManualClock clock_{1'000'000};
  Mutex mutex_;
  std::string lines_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, std::string> acknowledged_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_P(DiskFullTest, WritesAreRefusedReadsGoOnAndItRecoversByItself) {
  int next = 0;
  for (int round = 0; round < 5; ++round) {
    fs_.SetCapacityBytes(fs_.UsedBytes() + 300'000);
    next += FillUp(next);
    BeFull();
    const absl::Status refused = Put(next);
    EXPECT_CODE(refused, StatusCode::kResourceExhausted);
    EXPECT_NE(refused.message().find("/db"), absl::string_view::npos) << refused;
    EXPECT_NE(refused.message().find("no space left"), absl::string_view::npos) << refused;
    EXPECT_NE(refused.message().find("by itself"), absl::string_view::npos) << refused;
    ExpectContent();
    fs_.SetCapacityBytes(MemoryFileSystem::kUnlimited);
    WaitUntilAccepted();
    for (int i = 0; i < 300; ++i) ASSERT_OK(Put(next++));
    ExpectContent();
  }
  EXPECT_GT(next, 2000);
  EXPECT_NE(Lines().find("resumed"), std::string::npos);
  fs_.Crash();
  Open();
  ExpectContent();
}

TEST_P(DiskFullTest, APowerCutWhileItIsFullLosesNothingThatWasAcknowledged) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    fs_.SetCapacityBytes(fs_.UsedBytes() + 50'000 + seed * 20'000);
    FillUp(static_cast<int>(seed) * 1000);
    if (seed % 2 == 0) TryAgain();
    store_ = nullptr;
    fs_.Crash({.keep_bytes = seed % 3 == 0 ? Keep::kNothing : Keep::kReordered,
               .keep_names = seed % 3 == 0 ? Keep::kNothing : Keep::kReordered,
               .seed = seed});
    fs_.SetCapacityBytes(MemoryFileSystem::kUnlimited);
    Open();
    int changed = 0;
    // The write that was refused may be there: it was never denied for good.
    for (const auto& [key, value] : acknowledged_) {
      std::string found;
      ASSERT_OK(store_->Get(key, &found)) << key << ", seed " << seed;
      if (found != value) ++changed;
      acknowledged_[key] = found;
    }
    EXPECT_LE(changed, 1) << seed;
  }
}

TEST_P(DiskFullTest, ALackOfFileHandlesIsTheSame) {
  int next = 0;
  for (; next < 50; ++next) ASSERT_OK(Put(next));
  for (const char* const name : {".log", ".sst", "MANIFEST"}) {
    for (const Operation operation : {Operation::kCreate, Operation::kOpen}) {
      fs_.AddFault({.operation = operation,
                    .path_contains = name,
                    .count = MemoryFileSystem::kUnlimited,
                    .error = absl::ResourceExhaustedError("too many open files")});
      for (int i = 0; i < 400 && store_->Stats().background_error.ok(); ++i) {
        Put(next++).IgnoreError();
        if (!GetParam()) store_->RunBackgroundWork().status().IgnoreError();
      }
      fs_.ClearFaults();
      WaitUntilAccepted();
      ASSERT_OK(Put(next++)) << name;
      ExpectContent();
    }
  }
}

TEST_P(DiskFullTest, AttemptsAreFewAndLeaveNoFiles) {
  for (int i = 0; i < 50; ++i) ASSERT_OK(Put(i));
  BeFull();
  const size_t files = fs_.Files().size();
  const uint64_t created = fs_.Count(Operation::kCreate);
  for (int i = 0; i < 50; ++i) TryAgain();
  if (GetParam()) {
    // The thread tries at its own pace: wait until it did.
    while (fs_.Count(Operation::kCreate) == created) TryAgain();
  }
  EXPECT_GT(fs_.Count(Operation::kCreate), created);
  EXPECT_LE(fs_.Files().size(), files + 2);
  const std::string lines = Lines();
  size_t refusals = 0;
  for (size_t at = 0; (at = lines.find("cannot resume", at)) != std::string::npos; ++at) ++refusals;
  EXPECT_EQ(refusals, 0u) << lines;
}

TEST_P(DiskFullTest, AttemptsThatFailAtTheManifestLeaveNoFilesEither) {
  ASSERT_OK(Put(1));
  ASSERT_OK(store_->Flush());
  BeFull();
  const size_t files = fs_.Files().size();
  for (int i = 0; i < 20; ++i) EXPECT_CODE(store_->Resume(), StatusCode::kResourceExhausted);
  EXPECT_LE(fs_.Files().size(), files + 1);
  fs_.SetCapacityBytes(MemoryFileSystem::kUnlimited);
  WaitUntilAccepted();
  ASSERT_OK(Put(2));
  ExpectContent();
}

INSTANTIATE_TEST_SUITE_P(Threads, DiskFullTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Threads" : "NoThreads"; });

}  // namespace
}  // namespace tinyobs::lsm
