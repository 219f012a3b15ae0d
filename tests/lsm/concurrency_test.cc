// Many threads on one store with background work running: readers must see whole batches of one
// moment, writers must all get their commits, and ThreadSanitizer must have nothing to say.
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::MemoryFileSystem;
using testing::Operation;

constexpr int kKeys = 20;
constexpr int kRounds = 600;

StoreOptions SmallOptions(FileSystem* fs) {
  StoreOptions options;
  options.file_system = fs;
  options.memtable_bytes = 100'000;
  options.table_bytes = 20'000;
  options.level1_bytes = 50'000;
  options.level_ratio = 3;
  options.block_bytes = 1024;
  options.max_open_tables = 2;
  options.sync_interval_ms = 1;
  options.l0_compaction_trigger = 2;
  options.l0_slowdown_trigger = 3;
  options.l0_slowdown_trigger = 3;
  options.l0_stall_trigger = 4;
  return options;
}

std::string KeyOf(int writer, int i) { return StrCat("w", writer, "/", i); }

// Each writer's batches set all of its keys to the same number, so a reader that sees two numbers
// saw half a batch.
TEST(Concurrency, ReadersSeeWholeBatchesOfOneMomentWhileWritersAndUpkeepRun) {
  MemoryFileSystem fs;
  auto opened = Store::Open("/db", SmallOptions(&fs));
  ASSERT_OK(opened);
  Store* const store = opened->get();
  constexpr int kWriters = 2;
  std::atomic<int> running{kWriters};
  std::atomic<bool> failed{false};
  const auto fail = [&failed](const std::string& why) {
    if (!failed.exchange(true)) ADD_FAILURE() << why;
  };
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      for (int round = 1; round <= kRounds && !failed; ++round) {
        WriteBatch batch;
        for (int i = 0; i < kKeys; ++i) {
          batch.Put(KeyOf(w, i), StrCat(round, "/", std::string(60, 'v')));
        }
        WriteOptions options;
        options.skip_wal = round % 10 == 0;
        const absl::Status status = store->Write(options, batch);
        if (!status.ok()) fail(status.ToString());
      }
      --running;
    });
  }
  const auto check = [&](const ReadOptions& options, int w, bool backward) {
    auto iterator = store->NewIterator(options);
    std::string first;
    int count = 0;
    for (backward ? iterator->SeekToLast() : iterator->SeekToFirst(); iterator->Valid();
         backward ? iterator->Prev() : iterator->Next()) {
      if (first.empty()) first = iterator->value();
      if (iterator->value() != first) fail("half a batch");
      ++count;
    }
    if (!iterator->status().ok()) fail(iterator->status().ToString());
    if (count != 0 && count != kKeys) fail(StrCat("saw ", count, " keys of writer ", w));
  };
  for (int r = 0; r < 2; ++r) {
    threads.emplace_back([&, r] {
      std::mt19937_64 random(static_cast<uint64_t>(r));
      int last_seen[kWriters] = {};
      while (running > 0 && !failed) {
        const int w = static_cast<int>(random() % kWriters);
        ReadOptions options;
        options.lower_bound = StrCat("w", w, "/");
        options.upper_bound = StrCat("w", w, "0");
        std::unique_ptr<const Snapshot> snapshot;
        if (random() % 2 == 0) {
          snapshot = store->NewSnapshot();
          options.snapshot = snapshot.get();
        }
        check(options, w, random() % 2 == 0);
        std::string value;
        const absl::Status got = store->Get(KeyOf(w, 3), &value);
        if (got.ok()) {
          const int now = std::stoi(value);
          if (now < last_seen[w]) fail("time ran backwards");
          last_seen[w] = now;
        } else if (!absl::IsNotFound(got)) {
          fail(got.ToString());
        }
      }
    });
  }
  threads.emplace_back([&] {
    for (int i = 0; running > 0 && !failed; ++i) {
      const absl::Status status = i % 3 == 0   ? store->Flush()
                                  : i % 3 == 1 ? store->CompactRange("", "")
                                               : store->Sync();
      if (!status.ok()) fail(status.ToString());
      const StoreStats stats = store->Stats();
      if (!stats.background_error.ok()) fail(stats.background_error.ToString());
      if (!store->DropRange("x", "y").ok()) fail("DropRange");
    }
  });
  for (std::thread& thread : threads) thread.join();
  ASSERT_OK(store->Close());
  opened->reset();
  auto again = Store::Open("/db", SmallOptions(&fs));
  ASSERT_OK(again);
  // The last round of each writer was written without a log.
  std::string value;
  ASSERT_OK((*again)->Get(KeyOf(0, 0), &value));
  EXPECT_GE(std::stoi(value), kRounds - 1);
}

TEST(Concurrency, CommitsThatWaitTogetherShareOneSync) {
  MemoryFileSystem fs;
  StoreOptions options = SmallOptions(&fs);
  options.memtable_bytes = 64 << 20;
  options.sync_policy = SyncPolicy::kAlways;
  auto store = Store::Open("/db", options);
  ASSERT_OK(store);
  const uint64_t syncs_before = fs.Count(Operation::kSync);
  constexpr int kThreads = 8;
  constexpr int kWrites = 200;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kWrites; ++i) {
        EXPECT_OK((*store)->Put(StrCat(t, "/", i), std::string(100, 'v')));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  // At most one each; how many share depends on the scheduler.
  EXPECT_LE(fs.Count(Operation::kSync) - syncs_before, uint64_t{kThreads * kWrites});
  fs.Crash();
  store->reset();
  auto again = Store::Open("/db", options);
  ASSERT_OK(again);
  EXPECT_EQ((*again)->Stats().last_sequence, uint64_t{kThreads * kWrites});
}

TEST(Concurrency, CloseWhileWritersWaitEndsThemAll) {
  for (int round = 0; round < 20; ++round) {
    MemoryFileSystem fs;
    StoreOptions options = SmallOptions(&fs);
    options.memtable_bytes = 1;  // constant stalls
    auto store = Store::Open("/db", options);
    ASSERT_OK(store);
    std::atomic<int> acknowledged{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0;; ++i) {
          const absl::Status status = (*store)->Put(StrCat(t, "/", i), "v");
          if (!status.ok()) {
            EXPECT_CODE(status, absl::StatusCode::kFailedPrecondition);
            return;
          }
          ++acknowledged;
        }
      });
    }
    while (acknowledged < 10 * round) std::this_thread::yield();
    EXPECT_OK((*store)->Close());
    for (std::thread& thread : threads) thread.join();
    const int expected = acknowledged;
    store->reset();
    fs.Crash();
    auto again = Store::Open("/db", options);
    ASSERT_OK(again);
    auto iterator = (*again)->NewIterator({});
    int count = 0;
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++count;
    EXPECT_OK(iterator->status());
    EXPECT_EQ(count, expected);
  }
}

TEST(Concurrency, FailuresInTheBackgroundStopWritersAndResumeLetsThemGoOn) {
  MemoryFileSystem fs;
  auto store = Store::Open("/db", SmallOptions(&fs));
  ASSERT_OK(store);
  std::atomic<bool> done{false};
  std::atomic<int> acknowledged{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; !done;) {
        if ((*store)->Put(StrCat("t", t, "/", i), std::string(500, 'v')).ok()) {
          ++i;
          ++acknowledged;
        } else {
          std::this_thread::yield();
        }
      }
    });
  }
  for (int round = 0; round < 30; ++round) {
    fs.AddFault({.operation = round % 2 == 0 ? Operation::kSync : Operation::kAppend,
                 .path_contains = round % 3 == 0 ? "MANIFEST" : ".sst"});
    while ((*store)->Stats().background_error.ok()) std::this_thread::yield();
    fs.ClearFaults();
    ASSERT_OK((*store)->Resume());
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  auto iterator = (*store)->NewIterator({});
  int count = 0;
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++count;
  EXPECT_OK(iterator->status());
  EXPECT_EQ(count, acknowledged);
}

}  // namespace
}  // namespace tinyobs::lsm
