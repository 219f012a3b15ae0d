// The store against a disk that forgets: the machine dies after each single operation of a mixed
// workload (puts, deletes, batches, writes without a log, syncs, flushes, compactions, dropped
// partitions, checkpoints, snapshots and iterators that pin files, switches of memtable, log and
// manifest). What is left then is each of: what was synced; a prefix of the rest as well; any
// pages and names of the rest, in any order; everything, as after kill -9; all bytes without the
// names, and the other way round. The recovery is cut as well, after one of its operations.
//
// After each death the store opens, holds what it had promised in order (workload.h), passes
// Verify, leaves no file behind that nothing explains, and goes on.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/lsm/store.h"
#include "tests/lsm/workload.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::CrashOptions;
using testing::Keep;
using testing::MemoryFileSystem;

constexpr uint64_t kSeed = 301;
constexpr int kSteps = 140;

// Sanitizers make a run ten times slower; they look at the code, not at each crash point.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kStride = 13;
#else
constexpr uint64_t kStride = 1;
#endif

constexpr struct {
  const char* name;
  Keep bytes;
  Keep names;
} kRemains[] = {
    {"nothing", Keep::kNothing, Keep::kNothing},
    {"torn", Keep::kTorn, Keep::kTorn},
    {"reordered", Keep::kReordered, Keep::kReordered},
    {"bytes", Keep::kAll, Keep::kNothing},
    {"names", Keep::kNothing, Keep::kAll},
    {"all", Keep::kAll, Keep::kAll},
};

// Runs the workload until it ends or the store stops answering OK. `after_step` may be empty.
void RunUntilError(const StoreOptions& options, Workload* workload,
                   const std::function<void(const Store&)>& after_step = {}) {
  auto store = Store::Open("/db", options);
  if (!store.ok()) return;
  absl::Status status;
  for (int i = 0; i < kSteps && status.ok(); ++i) {
    status = workload->Step(store->get());
    if (after_step) after_step(**store);
  }
  EXPECT_OK(workload->Release());
  if (status.ok()) workload->Promise((*store)->Close()).IgnoreError();
}

// How often what the workload is meant to meet happened.
struct Coverage {
  std::set<std::string> logs;
  std::set<std::string> manifests;
  StoreStats stats;

  void Look(const MemoryFileSystem& fs, const Store& store) {
    for (const std::string& path : fs.Files()) {
      if (path.ends_with(".log")) logs.insert(path);
      if (path.find("/db/MANIFEST") == 0) manifests.insert(path);
    }
    stats = store.Stats();
  }
};

// Opens what a crash left and checks it; nullopt = wrong.
std::optional<Workload::Found> CheckRecovered(MemoryFileSystem* fs, const StoreOptions& base,
                                              const Workload& workload, bool killed,
                                              const std::string& where, bool repair = false) {
  StoreOptions options = base;
  options.file_system = fs;
  options.repair_on_open = repair;
  auto store = Store::Open("/db", options);
  EXPECT_OK(store) << where;
  if (!store.ok()) return std::nullopt;
  EXPECT_EQ((*store)->Stats().quarantined_files, 0u) << "a crash is no damage" << where;
  absl::Status status;
  const Content content = ContentOf(**store, &status);
  EXPECT_OK(status) << where;
  const std::optional<Workload::Found> found = workload.Find(content, killed);
  EXPECT_TRUE(found.has_value()) << "breaks a promise" << where;
  if (repair) ExpectSound(**store, where);  // half of the points: it reads everything twice
  ExpectNoLeaks(*fs, "/db", **store, where);
  return found;
}

// A checkpoint is there as a whole or not at all.
void CheckCheckpoint(MemoryFileSystem* fs, const StoreOptions& base, const Workload& workload,
                     const std::string& where) {
  if (workload.checkpoint().empty()) return;
  if (!fs->FileExists(workload.checkpoint())) {
    EXPECT_FALSE(workload.checkpoint_done()) << where;
    return;
  }
  StoreOptions options = base;
  options.file_system = fs;
  options.create_if_missing = false;
  auto copy = Store::Open(workload.checkpoint(), options);
  ASSERT_OK(copy) << where;
  absl::Status status;
  EXPECT_EQ(ContentOf(**copy, &status), workload.checkpoint_content()) << where;
  EXPECT_OK(status) << where;
  ExpectNoLeaks(*fs, workload.checkpoint(), **copy, where);
}

class CrashTest : public ::testing::TestWithParam<SyncPolicy> {
 protected:
  std::string PolicyName() const {
    return GetParam() == SyncPolicy::kAlways     ? "always"
           : GetParam() == SyncPolicy::kInterval ? "interval"
                                                 : "none";
  }

  // The machine dies after operation `n`, and `kind` is what is left.
  void CrashOnce(uint64_t n, size_t kind, const MemoryFileSystem& fs, const StoreOptions& base,
                 const Workload& workload) {
    const auto& remains = kRemains[kind];
    const CrashOptions crash{.keep_bytes = remains.bytes, .keep_names = remains.names, .seed = n};
    const bool killed = remains.bytes == Keep::kAll && remains.names == Keep::kAll;
    const std::string where =
        StrCat(" after operation ", n, ", policy ", PolicyName(), ", left: ", remains.name);
    const auto once = fs.CloneAfterCrash(crash);
    const auto twice = fs.CloneAfterCrash(crash);
    const auto found = CheckRecovered(once.get(), base, workload, killed, where);
    if (!found.has_value()) return;
    CheckCheckpoint(once.get(), base, workload, where);
    // Recovery may die anywhere and start over: all that it read was durable.
    StoreOptions options = base;
    options.file_system = twice.get();
    const uint64_t recovery_changes = once->Changes();
    const uint64_t m = (n * std::size(kRemains) + kind) % (recovery_changes + 1);
    twice->PowerCutAfter(m);
    Store::Open("/db", options).status().IgnoreError();
    twice->Crash(crash);
    const std::string again = StrCat(where, ", and after operation ", m, " of the recovery");
    const auto found_again =
        CheckRecovered(twice.get(), base, workload, killed, again, points_ % 2 == 0);
    if (!found_again.has_value()) return;
    EXPECT_EQ(workload.Prefix(found_again->count, found_again->unlogged),
              workload.Prefix(found->count, found->unlogged))
        << again;
    ++points_;
    if (points_ % 11 == 0) GoOn(twice.get(), options, *found_again, workload, again);
  }

  void GoOn(MemoryFileSystem* fs, const StoreOptions& options, const Workload::Found& found,
            const Workload& workload, const std::string& where) {
    Workload more = workload;
    more.ContinueFrom(found);
    {
      auto store = Store::Open("/db", options);
      ASSERT_OK(store) << where;
      for (int i = 0; i < 10; ++i) EXPECT_OK(more.Step(store->get())) << where;
      EXPECT_OK(more.Release());
      more.Promise((*store)->Close()).IgnoreError();
    }
    CheckRecovered(fs, options, more, true, where + ", continued");
  }

  ManualClock clock_{1000};
  uint64_t points_ = 0;
};

TEST_P(CrashTest, AfterEachOperationThePromisedWritesAreThereInOrder) {
  uint64_t changes = 0;
  {
    MemoryFileSystem fs;
    Workload workload(kSeed);
    Coverage coverage;
    RunUntilError(WorkloadOptions(&fs, &clock_, GetParam()), &workload,
                  [&](const Store& store) { coverage.Look(fs, store); });
    changes = fs.Changes();
    std::printf(
        "workload: %zu changes, %d flushes, %d compactions, %d moves, %zu logs, "
        "%zu manifests, %d dropped ranges, checkpoint: %s\n",
        workload.history().size(), static_cast<int>(coverage.stats.flushes),
        static_cast<int>(coverage.stats.compactions),
        static_cast<int>(coverage.stats.trivial_moves), coverage.logs.size(),
        coverage.manifests.size(), static_cast<int>(workload.drops()),
        workload.checkpoint_done() ? "yes" : "no");
    ASSERT_GT(workload.history().size(), 80u);
    EXPECT_GT(coverage.stats.compactions, 3u);
    EXPECT_GT(coverage.stats.trivial_moves, 0u);
    EXPECT_GT(coverage.logs.size(), 3u);
    EXPECT_GT(coverage.manifests.size(), 1u);
    EXPECT_GT(workload.drops(), 0u);
    EXPECT_TRUE(workload.checkpoint_done());
  }
  for (uint64_t n = 0; n <= changes && !HasFailure(); n += kStride) {
    MemoryFileSystem fs;
    Workload workload(kSeed);
    if (GetParam() == SyncPolicy::kAlways) workload.set_all_synced();
    fs.PowerCutAfter(n);
    const StoreOptions options = WorkloadOptions(&fs, &clock_, GetParam());
    RunUntilError(options, &workload);
    for (size_t kind = 0; kind < std::size(kRemains) && !HasFailure(); ++kind) {
      CrashOnce(n, kind, fs, options, workload);
    }
  }
  std::printf(
      "crash points: %d of %d operations, policy %s, x %zu remains = %d, each with a second "
      "one during the recovery\n",
      static_cast<int>(changes / kStride + 1), static_cast<int>(changes + 1), PolicyName().c_str(),
      std::size(kRemains), static_cast<int>(points_));
}

// With threads the operations come in no fixed order, so the cuts are only spread over the run.
TEST_P(CrashTest, WithBackgroundThreadsAsWell) {
  constexpr uint64_t kCuts = kStride > 1 ? 12 : 80;
  for (uint64_t i = 0; i < kCuts && !HasFailure(); ++i) {
    MemoryFileSystem fs;
    Workload workload(kSeed + i);
    if (GetParam() == SyncPolicy::kAlways) workload.set_all_synced();
    fs.PowerCutAfter(i * 613 / kCuts + i % 3);
    StoreOptions options = WorkloadOptions(&fs, &clock_, GetParam());
    options.background_threads = true;
    options.compaction_threads = 2;
    RunUntilError(options, &workload);
    options.background_threads = false;
    const size_t kind = i % std::size(kRemains);
    CrashOnce(i, kind, fs, options, workload);
  }
}

INSTANTIATE_TEST_SUITE_P(Policies, CrashTest,
                         ::testing::Values(SyncPolicy::kAlways, SyncPolicy::kInterval,
                                           SyncPolicy::kNone));

}  // namespace
}  // namespace tinyobs::lsm
