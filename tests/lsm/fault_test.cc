// The store against a disk that fails: each single operation of a mixed workload fails once, or the
// disk is full at one point after the other. The store says so, keeps everything acknowledged
// readable, shows nothing that it refused, and goes on after Resume().
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/lsm/store.h"
#include "tests/lsm/workload.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::MemoryFileSystem;
using testing::Operation;

constexpr uint64_t kSeed = 77;
constexpr int kSteps = 120;

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kStride = 7;
#else
constexpr uint64_t kStride = 1;
#endif

class FaultTest : public ::testing::Test {
 protected:
  StoreOptions OptionsOn(MemoryFileSystem* fs) {
    return WorkloadOptions(fs, &clock_, SyncPolicy::kAlways);
  }

  // Everything acknowledged can be read, nothing else.
  void ExpectAcknowledged(const Store& store, const Workload& workload, const std::string& where) {
    absl::Status read;
    ASSERT_EQ(ContentOf(store, &read), workload.Prefix(workload.acknowledged())) << where;
    ASSERT_OK(read) << where;
  }

  // As after kill -9: the store is gone without Close.
  void ExpectRecovers(MemoryFileSystem* fs, const Workload& workload, const std::string& where) {
    auto again = Store::Open("/db", OptionsOn(fs));
    ASSERT_OK(again) << where;
    absl::Status read;
    const auto found = workload.Find(ContentOf(**again, &read), true);
    ASSERT_TRUE(found.has_value()) << where;
    EXPECT_EQ(found->count, workload.acknowledged()) << where;
    ExpectSound(**again, where);
    ExpectNoLeaks(*fs, "/db", **again, where);
  }

  ManualClock clock_{1000};
};

class FaultOfKindTest : public FaultTest, public ::testing::WithParamInterface<Operation> {};

TEST_P(FaultOfKindTest, OneFailedOperationLosesNothingAndResumeGoesOn) {
  uint64_t operations = 0;
  {
    MemoryFileSystem fs;
    auto store = Store::Open("/db", OptionsOn(&fs));
    ASSERT_OK(store);
    Workload workload(kSeed);
    for (int i = 0; i < kSteps; ++i) ASSERT_OK(workload.Step(store->get()));
    ASSERT_OK(workload.Release());
    ASSERT_OK((*store)->Close());
    operations = fs.Count(GetParam());
  }
  ASSERT_GT(operations, 0u);
  const uint64_t step = GetParam() == Operation::kRead ? operations / 97 + 1 : kStride;
  uint64_t failed_runs = 0;
  for (uint64_t n = 0; n < operations && !HasFailure(); n += step) {
    const std::string where = StrCat(" with operation ", n, " failing");
    MemoryFileSystem fs;
    const bool full = n % 2 == 0;
    fs.AddFault({.operation = GetParam(),
                 .skip = n,
                 .error = full ? absl::ResourceExhaustedError("injected: disk full")
                               : absl::UnavailableError("injected fault"),
                 .torn = true,
                 .torn_percent = static_cast<uint32_t>(n * 37 % 101)});
    auto store = Store::Open("/db", OptionsOn(&fs));
    if (!store.ok()) {
      ++failed_runs;
      store = Store::Open("/db", OptionsOn(&fs));
    }
    ASSERT_OK(store) << where;
    Workload workload(kSeed);
    for (int i = 0; i < kSteps; ++i) {
      const absl::Status status = workload.Step(store->get());
      if (status.ok()) continue;
      ++failed_runs;
      workload.DropUnacknowledged();
      ExpectAcknowledged(**store, workload, where);
      if (HasFatalFailure()) return;
      if (!(*store)->Stats().background_error.ok()) {
        const absl::Status refused = (*store)->Put("refused", "x");
        ASSERT_CODE(refused, full ? absl::StatusCode::kResourceExhausted
                                  : absl::StatusCode::kFailedPrecondition)
            << where;
        ASSERT_OK((*store)->Resume()) << where;
      }
      ASSERT_OK((*store)->Stats().background_error) << where;
    }
    fs.ClearFaults();
    ASSERT_OK(workload.Release()) << where;
    ExpectAcknowledged(**store, workload, where);
    store->reset();
    ExpectRecovers(&fs, workload, where);
  }
  // Deleting may fail unnoticed: the next open deletes.
  if (GetParam() != Operation::kDelete) {
    EXPECT_GT(failed_runs, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, FaultOfKindTest,
                         ::testing::Values(Operation::kCreate, Operation::kAppend, Operation::kSync,
                                           Operation::kDelete, Operation::kRename,
                                           Operation::kSyncDirectory, Operation::kOpen,
                                           Operation::kRead, Operation::kClose, Operation::kLink,
                                           Operation::kCreateDirectories, Operation::kList,
                                           Operation::kSize, Operation::kLock));

TEST_F(FaultTest, AFullDiskRefusesWritesKeepsReadsAndGoesOnWhenThereIsSpaceAgain) {
  uint64_t full_runs = 0;
  for (uint64_t capacity = 300;; capacity += 7919 * kStride) {
    const std::string where = StrCat(" with ", capacity, " bytes on the disk");
    MemoryFileSystem fs;
    auto store = Store::Open("/db", OptionsOn(&fs));
    ASSERT_OK(store);
    fs.SetCapacityBytes(capacity);
    Workload workload(kSeed);
    bool was_full = false;
    for (int i = 0; i < kSteps; ++i) {
      const absl::Status status = workload.Step(store->get());
      if (status.ok()) continue;
      ASSERT_CODE(status, absl::StatusCode::kResourceExhausted) << where;
      was_full = true;
      workload.DropUnacknowledged();
      ExpectAcknowledged(**store, workload, where);
      if (HasFatalFailure()) return;
      if (i % 2 == 0) (*store)->Resume().IgnoreError();  // still full: may fail, must not lose
      fs.SetCapacityBytes(MemoryFileSystem::kUnlimited);
      ASSERT_OK((*store)->Resume()) << where;
      ASSERT_OK((*store)->Stats().background_error) << where;
    }
    fs.ClearFaults();
    ASSERT_OK(workload.Release()) << where;
    ExpectAcknowledged(**store, workload, where);
    store->reset();
    fs.SetCapacityBytes(MemoryFileSystem::kUnlimited);
    ExpectRecovers(&fs, workload, where);
    if (HasFailure()) return;
    full_runs += was_full;
    if (!was_full) break;
  }
  EXPECT_GT(full_runs, 10u / kStride);
}

// The tables of a memtable are written once, however often their entry in the manifest fails.
TEST(FaultAtManifest, AttemptsToResumeLeaveNoTables) {
  for (const Operation operation : {Operation::kAppend, Operation::kSync}) {
    MemoryFileSystem fs;
    StoreOptions options;
    options.file_system = &fs;
    options.background_threads = false;
    options.sync_policy = SyncPolicy::kNone;
    auto store = *Store::Open("/db", options);
    const auto tables = [&fs] {
      int count = 0;
      for (const std::string& path : fs.Files()) count += path.ends_with(".sst");
      return count;
    };
    const auto expect_all = [&store](const char* where) {
      std::string value;
      for (const char* const key : {"first", "second"}) {
        EXPECT_OK(store->Get(key, &value)) << where;
      }
      EXPECT_CODE(store->Get("deleted", &value), absl::StatusCode::kNotFound) << where;
    };
    ASSERT_OK(store->Put("first", "value"));
    ASSERT_OK(store->Put("deleted", "value"));
    ASSERT_OK(store->Flush());
    ASSERT_OK(store->Put("second", "value"));
    ASSERT_OK(store->Delete("deleted"));
    fs.AddFault({.operation = operation,
                 .path_contains = "MANIFEST",
                 .count = MemoryFileSystem::kUnlimited});
    EXPECT_CODE(store->Flush(), absl::StatusCode::kUnavailable);
    const int tables_after_first = tables();
    EXPECT_LE(tables_after_first, 2);
    for (int i = 0; i < 5; ++i) {
      EXPECT_FALSE(store->Resume().ok());
      EXPECT_EQ(tables(), tables_after_first) << i;
      expect_all("in error");
    }
    fs.ClearFaults();
    ASSERT_OK(store->Resume());
    expect_all("resumed");
    ExpectSound(*store, "resumed");
    ExpectNoLeaks(fs, "/db", *store, "resumed");
    ASSERT_OK(store->Put("third", "value"));
    ASSERT_OK(store->Sync());
    store = nullptr;
    fs.Crash();
    store = *Store::Open("/db", options);
    expect_all("opened again");
    std::string value;
    EXPECT_OK(store->Get("third", &value));
    ExpectNoLeaks(fs, "/db", *store, "opened again");
  }
}

}  // namespace
}  // namespace tinyobs::lsm
