// Store as its users see it: the contract of store.h, one promise a test.
#include "lib/lsm/store.h"

#include <sys/resource.h>

#include <map>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/strings.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::Keep;
using testing::MemoryFileSystem;
using testing::Operation;

std::string Key(int i) { return StrCat("key", absl::Dec(i, absl::kZeroPad6)); }

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    options_.file_system = &fs_;
    options_.memtable_bytes = 128 << 10;
    options_.table_bytes = 64 << 10;
    options_.level1_bytes = 256 << 10;
    options_.level_ratio = 4;
    options_.block_bytes = 1024;
    options_.block_cache_bytes = 64 << 10;
    options_.background_threads = false;
  }

  void Open() {
    store_ = nullptr;
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  std::string Get(std::string_view key, const Snapshot* snapshot = nullptr) {
    ReadOptions options;
    options.snapshot = snapshot;
    std::string value;
    const absl::Status status = store_->Get(options, key, &value);
    if (absl::IsNotFound(status)) return "(none)";
    return status.ok() ? value : status.ToString();
  }
  // "key=value ..." of all that an iterator shows.
  std::string Scan(const ReadOptions& options = {}) {
    auto iterator = store_->NewIterator(options);
    std::string forward;
    std::vector<std::string> entries;
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      entries.push_back(StrCat(iterator->key(), "=", iterator->value(), " "));
      forward += entries.back();
    }
    EXPECT_OK(iterator->status());
    std::string backward;
    for (iterator->SeekToLast(); iterator->Valid(); iterator->Prev()) {
      EXPECT_FALSE(entries.empty());
      if (entries.empty()) break;
      EXPECT_EQ(entries.back(), StrCat(iterator->key(), "=", iterator->value(), " "));
      entries.pop_back();
    }
    EXPECT_OK(iterator->status());
    EXPECT_TRUE(entries.empty());
    return forward;
  }
  void Work() {
    while (true) {
      auto more = store_->RunBackgroundWork();
      ASSERT_OK(more);
      if (!*more) break;
    }
  }
  // So many partitions of one key each, in one flush.
  void FlushPartitions(int count, std::string_view value) {
    for (int i = 0; i < count; ++i) ASSERT_OK(store_->Put(Key(i), value));
    ASSERT_OK(store_->Flush());
  }
  uint64_t Tables() {
    uint64_t count = 0;
    for (const LevelStats& level : store_->Stats().levels) count += level.files;
    return count;
  }

  MemoryFileSystem fs_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, WhatWasPutIsFoundAndWhatWasDeletedIsNot) {
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Put("b", "2"));
  ASSERT_OK(store_->Put("a", "3"));
  ASSERT_OK(store_->Delete("b"));
  EXPECT_EQ(Get("a"), "3");
  EXPECT_EQ(Get("b"), "(none)");
  EXPECT_EQ(Get("c"), "(none)");
  EXPECT_EQ(Scan(), "a=3 ");
  ASSERT_OK(store_->Flush());
  EXPECT_EQ(Get("a"), "3");
  EXPECT_EQ(Get("b"), "(none)");
  EXPECT_EQ(Scan(), "a=3 ");
}

TEST_F(StoreTest, ManyKeysSurviveFlushesCompactionsAndReopening) {
  Open();
  std::map<std::string, std::string> model;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 3000; ++i) {
      const std::string key = Key((i * 7919 + round) % 4000);
      model[key] = StrCat("value", round, "/", i, std::string(50, 'x'));
      ASSERT_OK(store_->Put(key, model[key]));
    }
    Work();
  }
  std::string expected;
  for (const auto& [key, value] : model) expected += StrCat(key, "=", value, " ");
  EXPECT_EQ(Scan(), expected);
  EXPECT_GT(store_->Stats().compactions, 0u);
  EXPECT_GT(store_->Stats().levels[6].files, 0u);
  ASSERT_OK(store_->Close());
  Open();
  EXPECT_EQ(Scan(), expected);
  for (const auto& [key, value] : model) EXPECT_EQ(Get(key), value);
}

TEST_F(StoreTest, OpeningNothingWithoutCreatingIsRefused) {
  options_.create_if_missing = false;
  EXPECT_CODE(Store::Open("/db", options_), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(fs_.Files().empty());
  EXPECT_CODE(fs_.ListDirectory("/db"), StatusCode::kNotFound);
}

TEST_F(StoreTest, ASecondOpenIsRefusedUntilTheFirstIsClosed) {
  Open();
  EXPECT_CODE(Store::Open("/db", options_), StatusCode::kFailedPrecondition);
  ASSERT_OK(store_->Close());
  EXPECT_OK(Store::Open("/db", options_));
}

TEST_F(StoreTest, ImpossibleOptionsAreRefused) {
  const auto refused = [](void (*change)(StoreOptions*)) {
    StoreOptions options;
    change(&options);
    return Store::Open("/never", options).status();
  };
  EXPECT_CODE(refused([](StoreOptions* o) { o->memtable_bytes = 0; }),
              StatusCode::kInvalidArgument);
  EXPECT_CODE(refused([](StoreOptions* o) { o->block_bytes = 1; }), StatusCode::kInvalidArgument);
  EXPECT_CODE(refused([](StoreOptions* o) { o->block_restart_interval = 0; }),
              StatusCode::kInvalidArgument);
  EXPECT_CODE(refused([](StoreOptions* o) { o->filter_bits_per_key = 65; }),
              StatusCode::kInvalidArgument);
  EXPECT_CODE(refused([](StoreOptions* o) { o->level_ratio = 1; }), StatusCode::kInvalidArgument);
  EXPECT_CODE(refused([](StoreOptions* o) { o->l0_stall_trigger = o->l0_compaction_trigger; }),
              StatusCode::kInvalidArgument);
}

TEST_F(StoreTest, KeysAndValuesOverTheLimitsAreRefusedAndTheStoreGoesOn) {
  Open();
  EXPECT_CODE(store_->Put("", "v"), StatusCode::kInvalidArgument);
  EXPECT_CODE(store_->Delete(""), StatusCode::kInvalidArgument);
  EXPECT_CODE(store_->Put(std::string(kMaxKeyBytes + 1, 'k'), "v"), StatusCode::kInvalidArgument);
  EXPECT_CODE(store_->Put("k", std::string(kMaxBatchValueBytes + 1, 'v')),
              StatusCode::kInvalidArgument);
  WriteOptions contradiction;
  contradiction.skip_wal = true;
  contradiction.sync = true;
  EXPECT_CODE(store_->Put("k", "v", contradiction), StatusCode::kInvalidArgument);
  const std::string longest(kMaxKeyBytes, 'k');
  ASSERT_OK(store_->Put(longest, "v"));
  ASSERT_OK(store_->Put("big", std::string(20 << 20, 'v')));
  ASSERT_OK(store_->Flush());
  EXPECT_EQ(Get(longest), "v");
  EXPECT_EQ(Get("big").size(), size_t{20} << 20);
}

TEST_F(StoreTest, AfterCloseEverythingIsRefused) {
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Close());
  ASSERT_OK(store_->Close());
  std::string value;
  EXPECT_CODE(store_->Put("a", "2"), StatusCode::kFailedPrecondition);
  EXPECT_CODE(store_->Get("a", &value), StatusCode::kFailedPrecondition);
  EXPECT_CODE(store_->Flush(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(store_->Sync(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(store_->CompactRange("", ""), StatusCode::kFailedPrecondition);
  EXPECT_CODE(store_->DropRange("", ""), StatusCode::kFailedPrecondition);
  EXPECT_CODE(store_->Resume(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(store_->RunBackgroundWork(), StatusCode::kFailedPrecondition);
  auto iterator = store_->NewIterator({});
  iterator->SeekToFirst();
  EXPECT_FALSE(iterator->Valid());
  EXPECT_CODE(iterator->status(), StatusCode::kFailedPrecondition);
}

TEST_F(StoreTest, WritesWithoutCloseAreRecoveredAndCounted) {
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Put("b", "2"));
  Open();
  EXPECT_EQ(Scan(), "a=1 b=2 ");
  EXPECT_EQ(store_->Stats().recovered_wal_records, 2u);
  EXPECT_EQ(store_->Stats().dropped_torn_tail_bytes, 0u);
  EXPECT_EQ(store_->Stats().last_sequence, 2u);
}

TEST_F(StoreTest, ATornTailIsCutCountedAndLogged) {
  std::vector<std::string> lines;
  options_.logger = [&lines](std::string_view line) { lines.emplace_back(line); };
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Put("b", "2"));
  store_ = nullptr;
  std::string log;
  for (const std::string& path : fs_.Files()) {
    if (path.ends_with(".log")) log = path;
  }
  const std::string bytes = *fs_.Contents(log);
  ASSERT_OK(fs_.SetContents(log, bytes.substr(0, bytes.size() - 3)));
  Open();
  EXPECT_EQ(Scan(), "a=1 ");
  EXPECT_GT(store_->Stats().dropped_torn_tail_bytes, 0u);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("torn tail"), std::string::npos) << lines[0];
}

TEST_F(StoreTest, SyncedWritesSurviveAPowerCutAndOthersMayNot) {
  options_.sync_policy = SyncPolicy::kNone;
  Open();
  WriteOptions synced;
  synced.sync = true;
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Put("b", "2", synced));
  ASSERT_OK(store_->Put("c", "3"));
  auto after = fs_.CloneAfterCrash();
  options_.file_system = after.get();
  auto recovered = Store::Open("/db", options_);
  ASSERT_OK(recovered);
  store_ = *std::move(recovered);
  EXPECT_EQ(Scan(), "a=1 b=2 ");
  store_ = nullptr;
}

TEST_F(StoreTest, AnOlderLogIsSyncedBeforeANewerOneIs) {
  options_.sync_policy = SyncPolicy::kNone;
  options_.memtable_bytes = 1;  // each write has a memtable and a log of its own
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Put("b", "2"));
  WriteOptions synced;
  synced.sync = true;
  ASSERT_OK(store_->Put("c", "3", synced));
  fs_.Crash();
  Open();
  EXPECT_EQ(Scan(), "a=1 b=2 c=3 ");
}

TEST_F(StoreTest, ALogThatFollowsALostOneIsDroppedSoThatHistoryHasNoHoles) {
  options_.sync_policy = SyncPolicy::kNone;
  options_.memtable_bytes = 1;
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Put("b", "2"));
  ASSERT_OK(store_->Put("c", "3"));
  std::vector<std::string> logs;
  for (const std::string& path : fs_.Files()) {
    if (path.ends_with(".log")) logs.push_back(path);
  }
  ASSERT_EQ(logs.size(), 3u);
  auto lost = fs_.CloneAfterCrash({.keep_bytes = Keep::kAll, .keep_names = Keep::kAll});
  ASSERT_OK(lost->DeleteFile(logs[1]));
  options_.file_system = lost.get();
  auto store = Store::Open("/db", options_);
  ASSERT_OK(store);
  store_ = *std::move(store);
  EXPECT_EQ(Scan(), "a=1 ");
  EXPECT_GT(store_->Stats().dropped_torn_tail_bytes, 0u);
  store_ = nullptr;
}

TEST_F(StoreTest, AMissingLogThatHadBeenDurableIsDataLoss) {
  options_.memtable_bytes = 1;
  Open();
  WriteOptions synced;
  synced.sync = true;
  ASSERT_OK(store_->Put("a", "1", synced));
  ASSERT_OK(store_->Put("b", "2", synced));
  ASSERT_OK(store_->Sync());
  ASSERT_OK(store_->Put("c", "3"));  // the first frame behind the sync says that it was done
  store_ = nullptr;
  std::vector<std::string> logs;
  for (const std::string& path : fs_.Files()) {
    if (path.ends_with(".log")) logs.push_back(path);
  }
  ASSERT_EQ(logs.size(), 3u);
  ASSERT_OK(fs_.DeleteFile(logs[0]));
  EXPECT_CODE(Store::Open("/db", options_), StatusCode::kDataLoss);
}

TEST_F(StoreTest, ManualModeSyncsWhenTheIntervalIsOver) {
  ManualClock clock(1000);
  options_.clock = &clock;
  options_.sync_policy = SyncPolicy::kInterval;
  options_.sync_interval_ms = 500;
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->RunBackgroundWork());
  {
    auto too_early = fs_.CloneAfterCrash();
    StoreOptions options = options_;
    options.file_system = too_early.get();
    auto store = Store::Open("/db", options);
    ASSERT_OK(store);
    EXPECT_EQ((*store)->Stats().recovered_wal_records, 0u);
  }
  clock.AdvanceMs(500);
  ASSERT_OK(store_->RunBackgroundWork());
  fs_.Crash();
  Open();
  EXPECT_EQ(Scan(), "a=1 ");
}

TEST_F(StoreTest, WritesWithoutALogAreThereAfterFlushAndMakeNoLogRecords) {
  Open();
  WriteOptions skip;
  skip.skip_wal = true;
  ASSERT_OK(store_->Put("a", "1", skip));
  ASSERT_OK(store_->Put("b", "2"));
  ASSERT_OK(store_->Flush());
  ASSERT_OK(store_->Put("c", "3", skip));
  fs_.Crash();
  Open();
  EXPECT_EQ(Scan(), "a=1 b=2 ");
  EXPECT_EQ(store_->Stats().recovered_wal_records, 0u);
}

TEST_F(StoreTest, SnapshotsSeeTheirMomentThroughFlushesAndCompactions) {
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Put("b", "1"));
  auto first = store_->NewSnapshot();
  ASSERT_OK(store_->Put("a", "2"));
  ASSERT_OK(store_->Delete("b"));
  auto second = store_->NewSnapshot();
  ASSERT_OK(store_->Put("b", "3"));
  ASSERT_OK(store_->CompactRange("", ""));
  ASSERT_OK(store_->Put("a", "4"));
  ASSERT_OK(store_->CompactRange("", ""));
  EXPECT_EQ(Get("a", first.get()), "1");
  EXPECT_EQ(Get("b", first.get()), "1");
  EXPECT_EQ(Get("a", second.get()), "2");
  EXPECT_EQ(Get("b", second.get()), "(none)");
  EXPECT_EQ(Scan(), "a=4 b=3 ");
  ReadOptions at;
  at.snapshot = second.get();
  EXPECT_EQ(Scan(at), "a=2 ");
  first = nullptr;
  second = nullptr;
  ASSERT_OK(store_->Put("c", "5"));
  ASSERT_OK(store_->CompactRange("", ""));
  EXPECT_EQ(Scan(), "a=4 b=3 c=5 ");
}

TEST_F(StoreTest, IteratorsKeepTheirMomentAndTheirFiles) {
  Open();
  for (int i = 0; i < 100; ++i) ASSERT_OK(store_->Put(Key(i), "old"));
  ASSERT_OK(store_->Flush());
  auto iterator = store_->NewIterator({});
  const size_t files = fs_.Files().size();
  for (int i = 0; i < 100; ++i) ASSERT_OK(store_->Put(Key(i), "new"));
  ASSERT_OK(store_->CompactRange("", ""));
  EXPECT_EQ(fs_.Files().size(), files + 1);  // the pinned table is still there
  int count = 0;
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), ++count) {
    EXPECT_EQ(iterator->value(), "old");
  }
  EXPECT_OK(iterator->status());
  EXPECT_EQ(count, 100);
  iterator = nullptr;
  ASSERT_OK(store_->RunBackgroundWork());
  EXPECT_EQ(fs_.Files().size(), files);
}

TEST_F(StoreTest, BoundsHoldInBothDirections) {
  Open();
  for (int i = 0; i < 10; ++i) {
    ASSERT_OK(store_->Put(Key(i), StrCat(i)));
    if (i % 3 == 0) {
      ASSERT_OK(store_->Flush());
    }
  }
  ReadOptions options;
  options.lower_bound = Key(3);
  options.upper_bound = Key(6);
  EXPECT_EQ(Scan(options), StrCat(Key(3), "=3 ", Key(4), "=4 ", Key(5), "=5 "));
  auto iterator = store_->NewIterator(options);
  iterator->Seek(Key(1));
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), Key(3));
  iterator->Prev();
  EXPECT_FALSE(iterator->Valid());
  iterator->SeekForPrev(Key(9));
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), Key(5));
  iterator->Next();
  EXPECT_FALSE(iterator->Valid());
  iterator->SeekForPrev(Key(2));
  EXPECT_FALSE(iterator->Valid());
  iterator->Seek(Key(6));
  EXPECT_FALSE(iterator->Valid());
  EXPECT_OK(iterator->status());
}

TEST_F(StoreTest, TombstonesDisappearWithWhatTheyHide) {
  Open();
  for (int i = 0; i < 500; ++i) ASSERT_OK(store_->Put(Key(i), "v"));
  ASSERT_OK(store_->CompactRange("", ""));
  for (int i = 0; i < 500; ++i) ASSERT_OK(store_->Delete(Key(i)));
  ASSERT_OK(store_->CompactRange("", ""));
  EXPECT_EQ(Tables(), 0u);
  EXPECT_EQ(Scan(), "");
}

TEST_F(StoreTest, DroppingARangeUnlinksWholeTablesAndReadsNothing) {
  options_.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  Open();
  for (const char* const partition : {"a", "b", "c"}) {
    for (int i = 0; i < 300; ++i) ASSERT_OK(store_->Put(partition + Key(i), std::string(200, 'v')));
  }
  ASSERT_OK(store_->CompactRange("", ""));
  const uint64_t tables = Tables();
  const uint64_t reads = fs_.Count(Operation::kRead);
  const uint64_t written = store_->Stats().bytes_written_by_compaction;
  auto dropped = store_->DropRange("b", "c");
  ASSERT_OK(dropped);
  EXPECT_GT(*dropped, 0u);
  EXPECT_EQ(Tables(), tables - *dropped);
  EXPECT_EQ(fs_.Count(Operation::kRead), reads);
  EXPECT_EQ(store_->Stats().bytes_written_by_compaction, written);
  EXPECT_EQ(Get("b" + Key(5)), "(none)");
  EXPECT_EQ(Get("a" + Key(5)).size(), 200u);
  EXPECT_EQ(Get("c" + Key(5)).size(), 200u);
  uint64_t on_disk = 0;
  for (const std::string& path : fs_.Files()) on_disk += path.ends_with(".sst");
  EXPECT_EQ(on_disk, Tables());
  Open();
  EXPECT_EQ(Get("b" + Key(5)), "(none)");
  EXPECT_EQ(Get("c" + Key(299)).size(), 200u);
}

TEST_F(StoreTest, DropRangeLeavesTablesThatReachBeyondIt) {
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Put("m", "2"));
  ASSERT_OK(store_->Flush());
  auto dropped = store_->DropRange("b", "z");
  ASSERT_OK(dropped);
  EXPECT_EQ(*dropped, 0u);
  dropped = store_->DropRange("a", "m");  // m itself is outside
  ASSERT_OK(dropped);
  EXPECT_EQ(*dropped, 0u);
  EXPECT_EQ(Scan(), "a=1 m=2 ");
}

TEST_F(StoreTest, ManySmallPartitionsMoveDownInFewSteps) {
  constexpr int kPartitions = 2000;
  options_.partition_of = [](std::string_view key) { return key; };
  options_.level1_bytes = 64 << 20;
  Open();
  FlushPartitions(kPartitions, "v");
  ASSERT_EQ(store_->Stats().levels[0].files, uint64_t{kPartitions});
  const uint64_t opens = fs_.Count(Operation::kOpen);
  int steps = 1;
  while (true) {
    ASSERT_OK_AND_ASSIGN(const bool more, store_->RunBackgroundWork());
    if (!more) break;
    ASSERT_LE(++steps, 10);
  }
  const StoreStats stats = store_->Stats();
  EXPECT_LT(stats.levels[0].files, 16u);
  EXPECT_EQ(stats.trivial_moves, stats.levels[6].files);
  EXPECT_EQ(Tables(), uint64_t{kPartitions});
  EXPECT_EQ(stats.compactions, 0u);
  EXPECT_EQ(fs_.Count(Operation::kOpen), opens);
  EXPECT_EQ(Get(Key(0)), "v");
  EXPECT_EQ(Get(Key(kPartitions - 1)), "v");
}

TEST_F(StoreTest, AnIteratorOpensOnlyTheTablesItComesTo) {
  constexpr int kPartitions = 300;
  options_.partition_of = [](std::string_view key) { return key; };
  options_.l0_compaction_trigger = 10000;
  options_.l0_slowdown_trigger = 20000;
  options_.l0_stall_trigger = 20000;
  Open();
  FlushPartitions(kPartitions, "old");
  FlushPartitions(kPartitions, "new");
  ASSERT_EQ(store_->Stats().levels[0].files, 2u * kPartitions);
  Open();  // with no table open
  const uint64_t opens = fs_.Count(Operation::kOpen);
  auto iterator = store_->NewIterator({});
  EXPECT_EQ(fs_.Count(Operation::kOpen), opens);
  iterator->Seek(Key(100));
  ASSERT_TRUE(iterator->Valid());
  EXPECT_EQ(iterator->key(), Key(100));
  EXPECT_EQ(iterator->value(), "new");
  EXPECT_LE(fs_.Count(Operation::kOpen) - opens, 4u);
  std::string expected;
  for (int i = 0; i < kPartitions; ++i) expected += StrCat(Key(i), "=new ");
  EXPECT_EQ(Scan(), expected);
}

TEST_F(StoreTest, TheLoggerMayAskForStats) {
  std::vector<absl::Status> seen;
  options_.sync_policy = SyncPolicy::kAlways;
  options_.logger = [this, &seen](std::string_view) {
    if (store_ != nullptr) seen.push_back(store_->Stats().background_error);
  };
  Open();
  fs_.AddFault({.operation = Operation::kAppend, .path_contains = ".log"});
  EXPECT_CODE(store_->Put("a", "1"), StatusCode::kUnavailable);
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_CODE(seen[0], StatusCode::kUnavailable);
  ASSERT_OK(store_->Resume());
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_OK(seen[1]);
  ASSERT_OK(store_->Put("a", "1"));
  fs_.AddFault({.operation = Operation::kCreate, .path_contains = ".sst"});
  EXPECT_CODE(store_->Flush(), StatusCode::kUnavailable);
  EXPECT_EQ(seen.size(), 3u);
  options_.logger = nullptr;
}

TEST_F(StoreTest, AFullDiskRefusesWritesKeepsReadingAndRecoversByResume) {
  Open();
  for (int i = 0; i < 500; ++i) ASSERT_OK(store_->Put(Key(i), std::string(200, 'v')));
  fs_.SetCapacityBytes(fs_.UsedBytes() + 20'000);
  absl::Status status;
  int written = 500;
  for (; status.ok(); ++written) status = store_->Put(Key(written), std::string(200, 'v'));
  --written;
  EXPECT_CODE(status, StatusCode::kResourceExhausted);
  EXPECT_CODE(store_->Put("x", "y"), StatusCode::kResourceExhausted);
  EXPECT_CODE(store_->Stats().background_error, StatusCode::kResourceExhausted);
  EXPECT_EQ(Get(Key(written - 1)).size(), 200u);
  EXPECT_EQ(Get(Key(written)), "(none)");
  EXPECT_CODE(store_->Resume(), StatusCode::kResourceExhausted);  // still full
  EXPECT_EQ(Get(Key(written - 1)).size(), 200u);
  fs_.SetCapacityBytes(MemoryFileSystem::kUnlimited);
  ASSERT_OK(store_->Resume());
  ASSERT_OK(store_->Put(Key(written), "after"));
  EXPECT_EQ(Get(Key(written)), "after");
  Open();
  for (int i = 0; i < written; ++i) ASSERT_EQ(Get(Key(i)).size(), 200u) << i;
  EXPECT_EQ(Get(Key(written)), "after");
}

TEST_F(StoreTest, AFailedSyncMakesTheStoreReadOnlyUntilResumeAndIsNeverRetried) {
  options_.sync_policy = SyncPolicy::kAlways;
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  fs_.AddFault({.operation = Operation::kSync, .path_contains = ".log"});
  EXPECT_CODE(store_->Put("b", "2"), StatusCode::kUnavailable);
  EXPECT_CODE(store_->Put("c", "3"), StatusCode::kFailedPrecondition);
  EXPECT_CODE(store_->Sync(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(store_->Flush(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(store_->RunBackgroundWork(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Scan(), "a=1 ");
  ASSERT_OK(store_->Resume());
  EXPECT_OK(store_->Stats().background_error);
  ASSERT_OK(store_->Put("c", "3"));
  fs_.Crash();
  Open();
  EXPECT_EQ(Scan(), "a=1 c=3 ");
}

TEST_F(StoreTest, StallsWorkOffWhatIsDueInManualModeAndAreCounted) {
  options_.memtable_bytes = 1;
  Open();
  for (int i = 0; i < 200; ++i) ASSERT_OK(store_->Put(Key(i), "v"));
  EXPECT_GT(store_->Stats().AllHolds().stalls, 0u);
  EXPECT_GT(store_->Stats().flushes, 40u);
  EXPECT_LE(store_->Stats().levels[0].files, 80u);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(Get(Key(i)), "v");
}

TEST_F(StoreTest, ADamagedTableIsDataLossForWhoReadsItAndNobodyElse) {
  options_.block_cache_bytes = 0;
  options_.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  Open();
  for (int i = 0; i < 100; ++i) {
    ASSERT_OK(store_->Put("a" + Key(i), "v"));
    ASSERT_OK(store_->Put("b" + Key(i), "v"));
  }
  ASSERT_OK(store_->Flush());
  ASSERT_OK(store_->Close());
  std::string table;
  for (const std::string& path : fs_.Files()) {
    if (path.ends_with(".sst") && table.empty()) table = path;
  }
  std::string bytes = *fs_.Contents(table);
  bytes[10] ^= 1;
  ASSERT_OK(fs_.SetContents(table, bytes));
  Open();
  EXPECT_EQ(Get("b" + Key(1)), "v");
  std::string value;
  EXPECT_CODE(store_->Get("a" + Key(1), &value), StatusCode::kDataLoss);
  auto iterator = store_->NewIterator({});
  int seen = 0;
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++seen;
  EXPECT_CODE(iterator->status(), StatusCode::kDataLoss);
  EXPECT_EQ(seen, 0);
  iterator->Seek("b");
  EXPECT_TRUE(iterator->Valid());
  EXPECT_CODE(store_->CompactRange("", ""), StatusCode::kDataLoss);
  EXPECT_OK(store_->Put("c", "v"));
  EXPECT_EQ(Get("b" + Key(1)), "v");
  EXPECT_EQ(store_->Stats().damaged_tables, 1u);
}

TEST_F(StoreTest, AMissingTableStopsTheOpen) {
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Flush());
  ASSERT_OK(store_->Close());
  for (const std::string& path : fs_.Files()) {
    if (path.ends_with(".sst")) {
      ASSERT_OK(fs_.DeleteFile(path));
    }
  }
  EXPECT_CODE(Store::Open("/db", options_), StatusCode::kDataLoss);
}

TEST_F(StoreTest, AMissingCurrentOfAStoreWithDataIsDataLossAndNotANewStore) {
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Flush());
  ASSERT_OK(store_->Close());
  ASSERT_OK(fs_.DeleteFile("/db/CURRENT"));
  EXPECT_CODE(Store::Open("/db", options_), StatusCode::kDataLoss);
}

TEST_F(StoreTest, OrphansAreSweptAndForeignFilesAreNot) {
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Close());
  for (const char* const name : {"999990.sst", "CURRENT.tmp", "MANIFEST-999991", "notes.txt"}) {
    ASSERT_OK_AND_ASSIGN(auto file, fs_.CreateWritable(StrCat("/db/", std::string_view(name))));
    ASSERT_OK(file->Append("x"));
  }
  Open();
  EXPECT_EQ(Scan(), "a=1 ");
  EXPECT_FALSE(fs_.FileExists("/db/999990.sst"));
  EXPECT_FALSE(fs_.FileExists("/db/CURRENT.tmp"));
  EXPECT_FALSE(fs_.FileExists("/db/MANIFEST-999991"));
  EXPECT_TRUE(fs_.FileExists("/db/notes.txt"));
}

TEST_F(StoreTest, TheManifestIsRotatedBeforeItGrowsWithoutBound) {
  Open();
  for (int i = 0; i < 3000; ++i) {
    ASSERT_OK(store_->Put(StrCat("key", i % 3), "v"));
    ASSERT_OK(store_->Flush());
    ASSERT_OK(store_->RunBackgroundWork());
  }
  uint64_t manifests = 0, bytes = 0;
  for (const std::string& path : fs_.Files()) {
    if (path.find("MANIFEST") == std::string::npos) continue;
    ++manifests;
    bytes += fs_.Contents(path)->size();
  }
  EXPECT_EQ(manifests, 1u);
  EXPECT_LT(bytes, 300'000u);
  Open();
  EXPECT_EQ(Scan(), "key0=v key1=v key2=v ");
}

TEST_F(StoreTest, StatsCountBytesOnDisk) {
  Open();
  for (int i = 0; i < 2000; ++i) ASSERT_OK(store_->Put(Key(i), std::string(100, 'v')));
  ASSERT_OK(store_->Flush());
  ASSERT_OK(store_->Put("more", "v"));
  const StoreStats stats = store_->Stats();
  EXPECT_EQ(stats.disk_bytes, fs_.UsedBytes() - fs_.Contents("/db/CURRENT")->size());
  EXPECT_GT(stats.bytes_written_by_wal, 200'000u);
  EXPECT_GT(stats.flushes, 0u);
  EXPECT_EQ(stats.last_sequence, 2001u);
}

// The limit of open files, lowered while this lives.
class FileLimit {
 public:
  explicit FileLimit(rlim_t files) {
    getrlimit(RLIMIT_NOFILE, &saved_);
    rlimit lowered = saved_;
    lowered.rlim_cur = files;
    setrlimit(RLIMIT_NOFILE, &lowered);
  }
  ~FileLimit() { setrlimit(RLIMIT_NOFILE, &saved_); }

 private:
  rlimit saved_;
};

TEST(StoreOnDisk, MorePartitionsThanFileHandlesAreNoTrouble) {
  constexpr int kPartitions = 200;
  testing::TempDir folder;
  StoreOptions options;
  options.partition_of = [](std::string_view key) { return key; };
  options.background_threads = false;
  options.l0_compaction_trigger = 10000;
  options.l0_slowdown_trigger = 20000;
  options.l0_stall_trigger = 20000;
  options.max_open_tables = 16;
  auto store = Store::Open(folder.File("db"), options);
  ASSERT_OK(store);
  for (int i = 0; i < kPartitions; ++i) ASSERT_OK((*store)->Put(Key(i), "v"));
  const FileLimit limit(80);
  const auto count = [&] {
    auto iterator = (*store)->NewIterator({});
    int entries = 0;
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++entries;
    EXPECT_OK(iterator->status());
    return entries;
  };
  ASSERT_OK((*store)->Flush());
  EXPECT_EQ((*store)->Stats().levels[0].files, uint64_t{kPartitions});
  EXPECT_EQ(count(), kPartitions);
  ASSERT_OK((*store)->CompactRange("", ""));
  EXPECT_EQ((*store)->Stats().levels[0].files, 0u);
  EXPECT_EQ(count(), kPartitions);
}

TEST(StoreOnDisk, WorksOnTheRealFileSystemWithThreads) {
  testing::TempDir folder;
  StoreOptions options;
  options.memtable_bytes = 256 << 10;
  options.table_bytes = 64 << 10;
  options.level1_bytes = 256 << 10;
  options.sync_policy = SyncPolicy::kInterval;
  options.sync_interval_ms = 5;
  for (int round = 0; round < 3; ++round) {
    auto store = Store::Open(folder.File("db"), options);
    ASSERT_OK(store);
    for (int i = 0; i < 5000; ++i) {
      ASSERT_OK((*store)->Put(Key(i), StrCat(round, std::string(100, 'v'))));
    }
    if (round == 1) {
      ASSERT_OK((*store)->Close());
    }
  }
  auto store = Store::Open(folder.File("db"), options);
  ASSERT_OK(store);
  ASSERT_OK((*store)->CompactRange("", ""));
  auto iterator = (*store)->NewIterator({});
  int count = 0;
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), ++count) {
    ASSERT_EQ(iterator->key(), Key(count));
    ASSERT_EQ(iterator->value()[0], '2');
  }
  ASSERT_OK(iterator->status());
  EXPECT_EQ(count, 5000);
}

}  // namespace
}  // namespace tinyobs::lsm
