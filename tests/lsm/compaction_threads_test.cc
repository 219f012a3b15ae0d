// Several compactions at once: they run side by side where they have nothing to do with each other,
// wait where they have, and leave a store that Verify finds sound. A filter that stops at a gate
// holds a compaction in its middle.
#include <atomic>
#include <map>
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

using testing::MemoryFileSystem;

class Gate {
 public:
  void Pass() {
    MutexLock lock(&mutex_);
    ++waiting_;
    changed_.NotifyAll();
    while (!open_) changed_.Wait(&mutex_);
    --waiting_;
  }
  void AwaitWaiting(int count) {
    MutexLock lock(&mutex_);
    while (waiting_ < count) changed_.Wait(&mutex_);
  }
  void Open() {
    MutexLock lock(&mutex_);
    open_ = true;
    changed_.NotifyAll();
  }

 private:
  Mutex mutex_;
  CondVar changed_;
  int waiting_ ABSL_GUARDED_BY(mutex_) = 0;
  bool open_ ABSL_GUARDED_BY(mutex_) = false;
};

StoreOptions SmallOptions(FileSystem* fs) {
  StoreOptions options;
  options.file_system = fs;
  options.background_threads = false;
  options.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  options.memtable_bytes = 128 << 10;
  options.table_bytes = 8 << 10;
  options.level1_bytes = 16 << 10;
  options.level_ratio = 3;
  options.block_bytes = 1024;
  return options;
}

std::unique_ptr<Store> Opened(const StoreOptions& options) {
  auto store = Store::Open("/db", options);
  EXPECT_OK(store);
  return store.ok() ? *std::move(store) : nullptr;
}

void ExpectSound(const Store& store) {
  const auto report = store.Verify();
  ASSERT_OK(report);
  for (const FileProblem& problem : report->problems) ADD_FAILURE() << problem.status;
}

TEST(CompactionThreads, RangesWaitOnlyForWhatTouchesThem) {
  MemoryFileSystem fs;
  Gate gate;
  StoreOptions options = SmallOptions(&fs);
  options.compaction_filter = [&](std::string_view key, std::string_view) {
    if (key[0] == 'a') gate.Pass();
    return FilterDecision::kKeep;
  };
  const auto store = Opened(options);
  for (const char* const key : {"a1", "a2", "b1", "b2", "c1", "c2"}) {
    ASSERT_OK(store->Put(key, "v"));
  }
  ASSERT_OK(store->Flush());
  std::atomic<bool> dropped{false};
  std::thread compact([&] { EXPECT_OK(store->CompactRange("a", "a9")); });
  gate.AwaitWaiting(1);
  std::thread drop([&] {
    const auto count = store->DropRange("a", "b");
    dropped = true;
    ASSERT_OK(count);
    EXPECT_EQ(*count, 1u);
  });
  EXPECT_OK(store->CompactRange("b", "b9"));
  ASSERT_OK_AND_ASSIGN(const uint64_t others, store->DropRange("c", "d"));
  EXPECT_EQ(others, 1u);
  EXPECT_FALSE(dropped);
  EXPECT_EQ(store->Stats().compactions, 1u);
  gate.Open();
  compact.join();
  drop.join();
  std::string value;
  EXPECT_CODE(store->Get("a1", &value), absl::StatusCode::kNotFound);
  EXPECT_OK(store->Get("b1", &value));
  ExpectSound(*store);
}

// Between the tables that a job reads there may be room, but not for others to write into: one of
// its outputs may span it.
TEST(CompactionThreads, NobodyWritesIntoTheRangeOfAnother) {
  MemoryFileSystem fs;
  Gate gate;
  StoreOptions options = SmallOptions(&fs);
  options.partition_of = nullptr;
  options.l0_compaction_trigger = 1;
  options.compaction_filter = [&](std::string_view key, std::string_view) {
    if (key[0] == 'a') gate.Pass();
    return FilterDecision::kKeep;
  };
  const auto store = Opened(options);
  for (const std::vector<const char*>& keys :
       std::vector<std::vector<const char*>>{{"a", "b"}, {"y", "z"}}) {
    for (const char* const key : keys) ASSERT_OK(store->Put(key, "v"));
    ASSERT_OK(store->Flush());
  }
  std::thread compact([&] { EXPECT_OK(store->CompactRange("a", "z")); });
  gate.AwaitWaiting(1);
  ASSERT_OK(store->Put("m", "v"));
  ASSERT_OK(store->Flush());
  ASSERT_OK(store->RunBackgroundWork());
  EXPECT_EQ(store->Stats().levels[0].files, 3u);
  gate.Open();
  compact.join();
  ASSERT_OK(store->RunBackgroundWork());
  EXPECT_EQ(store->Stats().levels[0].files, 0u);
  ExpectSound(*store);
}

TEST(CompactionThreads, RunSideBySideInTheBackground) {
  MemoryFileSystem fs;
  Gate gate;
  StoreOptions options = SmallOptions(&fs);
  {
    const auto store = Opened(options);
    // "a" lies three deep and "b" two, so they are no work for one job.
    for (const std::vector<const char*>& keys :
         std::vector<std::vector<const char*>>{{"a", "b"}, {"a", "b"}, {"a"}}) {
      for (const char* const key : keys) ASSERT_OK(store->Put(key, "v"));
      ASSERT_OK(store->Flush());
    }
  }
  options.background_threads = true;
  options.compaction_threads = 2;
  options.l0_compaction_trigger = 2;
  options.compaction_filter = [&](std::string_view, std::string_view) {
    gate.Pass();
    return FilterDecision::kKeep;
  };
  const auto store = Opened(options);
  gate.AwaitWaiting(2);
  std::thread close([&] { EXPECT_OK(store->Close()); });
  gate.Open();
  close.join();
}

// Each writer has a partition of its own, so it knows what must be there.
TEST(CompactionThreads, NothingIsLostOrBroughtBackBySeveralAtOnce) {
  const uint64_t seed = 20261;
  RecordProperty("seed", std::to_string(seed));
  MemoryFileSystem fs;
  StoreOptions options = SmallOptions(&fs);
  options.background_threads = true;
  options.compaction_threads = 4;
  options.sync_policy = SyncPolicy::kNone;
  options.l0_compaction_trigger = 2;
  options.l0_slowdown_trigger = 12;
  // Ranges of keys, not only partitions, meet in one level.
  options.partition_of = [](std::string_view key) { return key.substr(0, key[0] < 'c' ? 1 : 0); };
  auto store = Opened(options);
  constexpr int kWriters = 4;
  std::vector<std::map<std::string, std::string>> models(kWriters);
  std::vector<std::thread> threads;
  for (int w = 0; w < kWriters; ++w) {
    threads.emplace_back([&, w] {
      std::mt19937_64 random(seed + static_cast<uint64_t>(w));
      const std::string prefix(1, static_cast<char>('a' + w));
      auto& model = models[static_cast<size_t>(w)];
      for (int i = 0; i < 4000; ++i) {
        const std::string key = prefix + StrCat(absl::Dec(random() % 1500, absl::kZeroPad4));
        if (random() % 4 == 0) {
          ASSERT_OK(store->Delete(key));
          model.erase(key);
        } else {
          model[key] = StrCat(i, std::string(60, static_cast<char>('a' + random() % 26)));
          ASSERT_OK(store->Put(key, model[key]));
        }
        if (i % 400 == 99) {
          ASSERT_OK(store->CompactRange(prefix + "03", prefix + "07"));
        }
        if (w == 0 && i % 1000 == 999) {
          ASSERT_OK(store->Flush());
          ASSERT_OK(store->DropRange("a", "b"));
          model.clear();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto check = [&] {
    std::map<std::string, std::string> expected, found;
    for (const auto& model : models) expected.insert(model.begin(), model.end());
    const auto iterator = store->NewIterator({});
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      found.emplace(iterator->key(), iterator->value());
    }
    ASSERT_OK(iterator->status());
    EXPECT_EQ(found, expected) << "seed " << seed;
  };
  check();
  ExpectSound(*store);
  ASSERT_OK(store->Close());
  store = nullptr;
  store = Opened(options);
  check();
}

TEST(CompactionThreads, TheirNumberIsBounded) {
  MemoryFileSystem fs;
  for (const int threads : {0, -1, 65}) {
    StoreOptions options = SmallOptions(&fs);
    options.compaction_threads = threads;
    EXPECT_CODE(Store::Open("/db", options), absl::StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace tinyobs::lsm
