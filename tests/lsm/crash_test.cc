// The store against a disk that forgets: the machine dies after each single operation of a mixed
// workload (writes, syncs, flushes, compactions, log, memtable and manifest switches), in three
// ways (only what was synced is left; a random part of the rest as well; everything, as after kill
// -9), and once more during the recovery. After each death the store opens, holds a prefix of the
// history with everything it had promised, and leaves no file behind that nothing explains.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/store.h"
#include "tests/lsm/workload.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::CrashOptions;
using testing::Fault;
using testing::Keep;
using testing::MemoryFileSystem;
using testing::Operation;

constexpr int kSteps = 120;

// Sanitizers make a run ten times slower; they look at the code, not at each crash point.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kStride = 7;
#else
constexpr uint64_t kStride = 1;
#endif

StoreOptions OptionsOn(FileSystem* file_system, Clock* clock, SyncPolicy policy) {
  StoreOptions options;
  options.file_system = file_system;
  options.clock = clock;
  options.background_threads = false;
  options.sync_policy = policy;
  options.sync_interval_ms = 1 << 30;  // syncs come from the workload only
  options.memtable_bytes = 100'000;
  options.table_bytes = 20'000;
  options.level1_bytes = 60'000;
  options.level_ratio = 2;
  options.block_bytes = 512;
  options.l0_compaction_trigger = 2;
  options.l0_stall_trigger = 4;
  options.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  return options;
}

// Runs the workload until it ends or the store stops answering OK.
void RunUntilError(const StoreOptions& options, Workload* workload) {
  auto store = Store::Open("/db", options);
  if (!store.ok()) return;
  for (int i = 0; i < kSteps; ++i) {
    if (!workload->Step(store->get()).ok()) return;
  }
  workload->Promise((*store)->Close()).IgnoreError();
}

// Every file is one that the store needs.
void ExpectNoLeaks(MemoryFileSystem* fs, const Store& store, const std::string& where) {
  int tables = 0, logs = 0, manifests = 0;
  for (const std::string& path : fs->Files()) {
    const FileType type = ParseFileName(std::string_view(path).substr(sizeof("/db/") - 1)).type;
    tables += type == FileType::kTable;
    logs += type == FileType::kLog;
    manifests += type == FileType::kManifest;
    EXPECT_TRUE(type != FileType::kUnknown && type != FileType::kTemporary) << path << where;
  }
  uint64_t expected = 0;
  for (const LevelStats& level : store.Stats().levels) expected += level.files;
  EXPECT_EQ(static_cast<uint64_t>(tables), expected) << where;
  EXPECT_EQ(manifests, 1) << where;
  EXPECT_EQ(logs, 1) << where;
}

// Opens what a crash left and checks it; returns how many changes it holds, -1 = wrong.
int64_t CheckRecovered(MemoryFileSystem* fs, const StoreOptions& base, const Workload& workload,
                       size_t least, const std::string& where) {
  StoreOptions options = base;
  options.file_system = fs;
  auto store = Store::Open("/db", options);
  EXPECT_OK(store) << where;
  if (!store.ok()) return -1;
  absl::Status status;
  const Content content = ContentOf(**store, &status);
  EXPECT_OK(status) << where;
  const int64_t prefix = workload.FindPrefix(content, least);
  EXPECT_GE(prefix, 0) << "not a prefix that holds the first " << least << " of "
                       << workload.history().size() << " writes" << where;
  ExpectNoLeaks(fs, **store, where);
  return prefix;
}

class CrashTest : public ::testing::TestWithParam<SyncPolicy> {};

TEST_P(CrashTest, AfterEachOperationThePromisedWritesAreThereInOrder) {
  ManualClock clock(1000);
  uint64_t changes = 0;
  {
    MemoryFileSystem fs;
    Workload workload(301);
    RunUntilError(OptionsOn(&fs, &clock, GetParam()), &workload);
    changes = fs.Changes();
    ASSERT_GT(workload.history().size(), 50u);
  }
  std::printf("crash points: %d of %d, each with 3 kinds of loss\n",
              static_cast<int>(changes / kStride + 1), static_cast<int>(changes + 1));
  for (uint64_t n = 0; n <= changes && !HasFailure(); n += kStride) {
    MemoryFileSystem fs;
    Workload workload(301);
    if (GetParam() == SyncPolicy::kAlways) workload.set_all_synced();
    fs.PowerCutAfter(n);
    const StoreOptions options = OptionsOn(&fs, &clock, GetParam());
    RunUntilError(options, &workload);
    for (const Keep keep : {Keep::kNothing, Keep::kTorn, Keep::kAll}) {
      const std::string where = StrCat(" after operation ", n, ", keep ", static_cast<int>(keep));
      auto after = fs.CloneAfterCrash({.keep_bytes = keep, .keep_names = keep, .seed = n});
      const size_t least = keep == Keep::kAll ? workload.acknowledged() : workload.promised();
      // Once more, during the recovery: it must be repeatable.
      StoreOptions second = options;
      second.file_system = after.get();
      after->PowerCutAfter(n % 23);
      { auto ignored = Store::Open("/db", second); }
      auto twice = after->CloneAfterCrash({.keep_bytes = keep, .keep_names = keep, .seed = n + 1});
      const int64_t prefix = CheckRecovered(twice.get(), options, workload, least, where);
      if (prefix < 0) return;
      // And it goes on from there.
      second.file_system = twice.get();
      Workload more = workload;
      more.ContinueFrom(static_cast<size_t>(prefix));
      if (n / kStride % 7 == 0) {
        auto store = Store::Open("/db", second);
        ASSERT_OK(store);
        for (int i = 0; i < 10; ++i) ASSERT_OK(more.Step(store->get())) << where;
        ASSERT_OK((*store)->Close());
        CheckRecovered(twice.get(), options, more, more.acknowledged(), where + ", continued");
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, CrashTest,
                         ::testing::Values(SyncPolicy::kAlways, SyncPolicy::kInterval,
                                           SyncPolicy::kNone));

// One operation fails, the disk is fine again: the store says so, keeps everything acknowledged
// readable, shows nothing that it refused, and goes on after Resume().
class FaultTest : public ::testing::TestWithParam<Operation> {};

TEST_P(FaultTest, OneFailedOperationLosesNothingAndResumeGoesOn) {
  ManualClock clock(1000);
  uint64_t operations = 0;
  {
    MemoryFileSystem fs;
    Workload workload(77);
    RunUntilError(OptionsOn(&fs, &clock, SyncPolicy::kAlways), &workload);
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
                 .torn = true});
    const StoreOptions options = OptionsOn(&fs, &clock, SyncPolicy::kAlways);
    Workload workload(77);
    auto store = Store::Open("/db", options);
    if (!store.ok()) {
      ++failed_runs;
      store = Store::Open("/db", options);
    }
    ASSERT_OK(store) << where;
    for (int i = 0; i < kSteps; ++i) {
      const absl::Status status = workload.Step(store->get());
      if (status.ok()) continue;
      ++failed_runs;
      workload.DropUnacknowledged();
      absl::Status read;
      ASSERT_EQ(ContentOf(**store, &read), workload.Prefix(workload.acknowledged())) << where;
      ASSERT_OK(read) << where;
      if (!(*store)->Stats().background_error.ok()) {
        const absl::Status refused = (*store)->Put("refused", "x");
        ASSERT_CODE(refused, full ? absl::StatusCode::kResourceExhausted
                                  : absl::StatusCode::kFailedPrecondition)
            << where;
        ASSERT_OK((*store)->Resume()) << where;
      }
      ASSERT_OK((*store)->Stats().background_error) << where;
    }
    absl::Status read;
    ASSERT_EQ(ContentOf(**store, &read), workload.Prefix(workload.acknowledged())) << where;
    ASSERT_OK(read);
    store->reset();  // no Close: as after kill -9
    fs.ClearFaults();
    ASSERT_EQ(CheckRecovered(&fs, options, workload, workload.acknowledged(), where),
              static_cast<int64_t>(workload.acknowledged()))
        << where;
  }
  // Deleting may fail unnoticed: the next open deletes.
  if (GetParam() != Operation::kDelete) {
    EXPECT_GT(failed_runs, 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Operations, FaultTest,
                         ::testing::Values(Operation::kCreate, Operation::kAppend, Operation::kSync,
                                           Operation::kDelete, Operation::kRename,
                                           Operation::kSyncDirectory, Operation::kOpen,
                                           Operation::kRead, Operation::kClose));

}  // namespace
}  // namespace tinyobs::lsm
