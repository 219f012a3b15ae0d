// MultiGet: as many Gets at one moment, with the work shared.
//
// Method: every answer is compared with Get's for the same key at the same snapshot, over stores
// whose keys are spread over memtables, L0 and deeper levels; what is shared shows in the number of
// reads that reach the file system.
#include <algorithm>
#include <atomic>
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

using absl::StatusCode;
using testing::MemoryFileSystem;
using testing::Operation;

std::string Key(uint64_t i) { return StrCat("key", absl::Dec(i, absl::kZeroPad6)); }

class MultiGetTest : public ::testing::Test {
 protected:
  MultiGetTest() {
    options_.file_system = &fs_;
    options_.memtable_bytes = 128 << 10;
    options_.table_bytes = 8 << 10;
    options_.level1_bytes = 32 << 10;
    options_.level_ratio = 3;
    options_.block_bytes = 512;
    options_.block_cache_bytes = 0;
    options_.background_threads = false;
  }

  void Open() {
    store_ = nullptr;
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  void Work() {
    while (true) {
      auto more = store_->RunBackgroundWork();
      ASSERT_OK(more);
      if (!*more) break;
    }
  }
  // So many writes to random keys below `keys`, a quarter of them deletions.
  void WriteRandomly(int count, uint64_t keys) {
    for (int i = 0; i < count; ++i) {
      const std::string key = Key(random_() % keys);
      if (random_() % 4 == 0) {
        ASSERT_OK(store_->Delete(key));
      } else {
        ASSERT_OK(store_->Put(key, StrCat(key, "/", i, std::string(random_() % 60, 'x'))));
      }
      if (i % 500 == 0) Work();
    }
  }
  // MultiGet of `keys` answers as Get does.
  void ExpectAsGet(const ReadOptions& options, const std::vector<std::string>& keys) {
    const std::vector<std::string_view> views(keys.begin(), keys.end());
    std::vector<std::string> values(3, "old");
    const std::vector<absl::Status> statuses = store_->MultiGet(options, views, &values);
    ASSERT_EQ(statuses.size(), keys.size());
    ASSERT_EQ(values.size(), keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      std::string value;
      const absl::Status status = store_->Get(options, keys[i], &value);
      EXPECT_EQ(statuses[i], status) << keys[i];
      EXPECT_EQ(values[i], value) << keys[i];
    }
  }
  std::vector<std::string> RandomKeys(size_t count, uint64_t below) {
    std::vector<std::string> keys;
    for (size_t i = 0; i < count; ++i) keys.push_back(Key(random_() % below));
    return keys;
  }
  uint64_t Reads() const { return fs_.Count(Operation::kRead); }

  MemoryFileSystem fs_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
  std::mt19937_64 random_{11};
};

TEST_F(MultiGetTest, AnswersInTheOrderOfTheKeys) {
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Put("b", "2"));
  ASSERT_OK(store_->Flush());
  ASSERT_OK(store_->Delete("b"));
  ASSERT_OK(store_->Put("c", "3"));
  std::vector<std::string> values = {"old", "old", "old", "old", "old", "old", "old"};
  const std::vector<std::string_view> keys = {"c", "a", "x", "b", "a", ""};
  const std::vector<absl::Status> statuses = store_->MultiGet({}, keys, &values);
  ASSERT_EQ(statuses.size(), 6u);
  for (const size_t found : {0, 1, 4}) EXPECT_OK(statuses[found]);
  for (const size_t missing : {2, 3, 5}) EXPECT_CODE(statuses[missing], StatusCode::kNotFound);
  EXPECT_EQ(values, (std::vector<std::string>{"3", "1", "", "", "1", ""}));
}

TEST_F(MultiGetTest, NoKeysNoAnswers) {
  Open();
  std::vector<std::string> values = {"old"};
  EXPECT_TRUE(store_->MultiGet({}, {}, &values).empty());
  EXPECT_TRUE(values.empty());
}

TEST_F(MultiGetTest, AnswersAsGetFromMemtablesAndAllLevelsAndAtSnapshots) {
  for (const int filter_bits : {10, 0}) {
    options_.filter_bits_per_key = filter_bits;
    Open();
    std::vector<std::unique_ptr<const Snapshot>> snapshots;
    for (int round = 0; round < 4; ++round) {
      WriteRandomly(3000, 2000);
      snapshots.push_back(store_->NewSnapshot());
    }
    const StoreStats stats = store_->Stats();
    EXPECT_GE(stats.levels[5].files + stats.levels[6].files, 2u);
    EXPECT_GT(stats.memtable_bytes, 0u);
    for (const size_t count : {1, 2, 17, 300, 3000}) ExpectAsGet({}, RandomKeys(count, 2200));
    for (const auto& snapshot : snapshots) {
      ReadOptions options;
      options.snapshot = snapshot.get();
      ExpectAsGet(options, RandomKeys(500, 2200));
    }
    std::vector<std::string> descending = RandomKeys(100, 2200);
    std::sort(descending.rbegin(), descending.rend());
    ExpectAsGet({}, descending);
    snapshots.clear();
  }
}

TEST_F(MultiGetTest, NeighboursShareTheBlock) {
  options_.block_bytes = 4096;
  options_.table_bytes = 1 << 20;
  Open();
  for (uint64_t i = 0; i < 1000; ++i) ASSERT_OK(store_->Put(Key(i), std::string(20, 'v')));
  ASSERT_OK(store_->Flush());
  ASSERT_OK(store_->CompactRange("", ""));
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < 1000; ++i) keys.push_back(Key(999 - i));
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  std::vector<std::string> values;
  ASSERT_OK(store_->MultiGet({}, {views.data(), 1}, &values)[0]);  // opens the table

  const uint64_t before = Reads();
  for (const absl::Status& status : store_->MultiGet({}, views, &values)) ASSERT_OK(status);
  // About 40 bytes an entry, so about 10 blocks; one by one it would be 1000 reads.
  EXPECT_GE(Reads() - before, 5u);
  EXPECT_LE(Reads() - before, 20u);
  EXPECT_EQ(std::count(values.begin(), values.end(), std::string(20, 'v')), 1000);
}

TEST_F(MultiGetTest, ADamagedTableSpoilsOnlyItsOwnKeys) {
  options_.level_ratio = 100;
  Open();
  for (uint64_t i = 0; i < 2000; ++i) ASSERT_OK(store_->Put(Key(i), std::string(20, 'v')));
  ASSERT_OK(store_->Flush());
  ASSERT_OK(store_->CompactRange("", ""));
  ASSERT_OK(store_->Put(Key(700), "in the memtable"));
  std::vector<std::string> tables;
  for (const std::string& file : fs_.Files()) {
    if (file.ends_with(".sst")) tables.push_back(file);
  }
  ASSERT_GE(tables.size(), 4u);
  // The first block of one, the end (the footer) of another.
  for (const size_t i : {size_t{1}, tables.size() - 1}) {
    auto bytes = fs_.Contents(tables[i]);
    ASSERT_OK(bytes);
    (*bytes)[i == 1 ? 10 : bytes->size() - 30] ^= 1;
    ASSERT_OK(fs_.SetContents(tables[i], *bytes));
  }
  Open();
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < 2000; ++i) keys.push_back(Key(i));
  ExpectAsGet({}, keys);
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  std::vector<std::string> values;
  int damaged = 0;
  int read = 0;
  for (const absl::Status& status : store_->MultiGet({}, views, &values)) {
    ASSERT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
    ++(status.ok() ? read : damaged);
  }
  EXPECT_GT(damaged, 20);
  EXPECT_GT(read, 1000);
  EXPECT_EQ(values[700], "in the memtable");
}

TEST_F(MultiGetTest, OfAClosedStoreIsRefused) {
  Open();
  ASSERT_OK(store_->Put("a", "1"));
  ASSERT_OK(store_->Close());
  std::vector<std::string> values;
  const std::vector<std::string_view> keys = {"a", "b"};
  const std::vector<absl::Status> statuses = store_->MultiGet({}, keys, &values);
  ASSERT_EQ(statuses.size(), 2u);
  for (const absl::Status& status : statuses) EXPECT_CODE(status, StatusCode::kFailedPrecondition);
}

// A writer keeps ten keys equal, a batch at a time; whoever reads them sees one moment.
TEST_F(MultiGetTest, SeesOneMomentWhileAWriterWrites) {
  options_.background_threads = true;
  Open();
  std::vector<std::string> keys;
  for (uint64_t i = 0; i < 10; ++i) keys.push_back(Key(i * 100));
  const auto write = [&](int round) {
    WriteBatch batch;
    for (const std::string& key : keys) batch.Put(key, StrCat(round, std::string(100, 'v')));
    ASSERT_OK(store_->Write({}, batch));
  };
  write(0);
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int round = 1; round <= 500; ++round) write(round);
    done = true;
  });
  const std::vector<std::string_view> views(keys.begin(), keys.end());
  std::vector<std::string> values;
  while (!done) {
    for (const absl::Status& status : store_->MultiGet({}, views, &values)) EXPECT_OK(status);
    EXPECT_EQ(std::count(values.begin(), values.end(), values[0]), 10);
  }
  writer.join();
}

}  // namespace
}  // namespace tinyobs::lsm
