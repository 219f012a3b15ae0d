// TableCache: never more open tables than allowed, whoever asks for them.
//
// Method: tables of one entry each; what counts is open_tables() and the opens the file system
// sees.
#include "lib/lsm/table_cache.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/sstable/table_writer.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::MemoryFileSystem;

constexpr uint64_t kTables = 60;

class TableCacheTest : public ::testing::Test {
 protected:
  TableCacheTest() {
    EXPECT_OK(fs_.CreateDirectories("/db"));
    for (uint64_t number = 1; number <= kTables; ++number) {
      TableMeta meta;
      meta.number = number;
      const std::string path = TableFileName("/db", number);
      const auto file = fs_.CreateWritable(path);
      sstable::TableWriter writer({}, path, file->get());
      meta.smallest = meta.largest =
          MakeInternalKey(StrCat("key", number), PackTrailer(1, ValueType::kPut));
      EXPECT_OK(writer.Add(meta.smallest, "value"));
      EXPECT_OK(writer.Finish());
      meta.entries = 1;
      meta.file_bytes = writer.FileSizeBytes();
      metas_.push_back(meta);
    }
  }
  uint64_t Opens() const { return fs_.Count(testing::Operation::kOpen); }

  MemoryFileSystem fs_;
  std::vector<TableMeta> metas_;
};

TEST_F(TableCacheTest, HoldsAsManyTablesAsAllowedAndNotOneMore) {
  for (const int limit : {1, 2, 7, 8, 9, 59, 60, 100}) {
    TableCache cache(&fs_, "/db", nullptr, limit);
    for (int round = 0; round < 3; ++round) {
      for (const TableMeta& meta : metas_) {
        ASSERT_OK(cache.Find(meta));
        ASSERT_LE(cache.open_tables(), static_cast<size_t>(limit));
      }
    }
    EXPECT_EQ(cache.open_tables(), std::min<size_t>(limit, kTables));
  }
}

TEST_F(TableCacheTest, HoldsNoMoreMemoryThanAllowedButOneTable) {
  TableCache one(&fs_, "/db", nullptr, kTables);
  ASSERT_OK(one.Find(metas_[0]));
  const size_t table_bytes = one.memory_bytes();
  ASSERT_GT(table_bytes, 100u);
  for (const size_t limit : {size_t{1}, table_bytes * 7 / 2, table_bytes * 20}) {
    TableCache cache(&fs_, "/db", nullptr, kTables, limit);
    for (int round = 0; round < 2; ++round) {
      for (const TableMeta& meta : metas_) {
        ASSERT_OK(cache.Find(meta));
        ASSERT_TRUE(cache.memory_bytes() <= limit || cache.open_tables() == 1)
            << cache.memory_bytes() << " of " << limit << " bytes, " << cache.open_tables();
      }
    }
    EXPECT_LE(cache.open_tables(), std::max<size_t>(limit / (table_bytes / 2), 1));
    EXPECT_GE(cache.open_tables(), std::max<size_t>(limit / (table_bytes * 2), 1));
    for (const TableMeta& meta : metas_) cache.Evict(meta.number);
    EXPECT_EQ(cache.memory_bytes(), 0u);
    EXPECT_EQ(cache.open_tables(), 0u);
  }
}

TEST_F(TableCacheTest, ThatFitIsOpenedOnce) {
  TableCache cache(&fs_, "/db", nullptr, kTables);
  const uint64_t before = Opens();
  for (int round = 0; round < 3; ++round) {
    for (const TableMeta& meta : metas_) ASSERT_OK(cache.Find(meta));
  }
  EXPECT_EQ(Opens() - before, kTables);
}

TEST_F(TableCacheTest, AFailedOpenAndAnEvictedTableDoNotCount) {
  TableCache cache(&fs_, "/db", nullptr, 3);
  TableMeta missing = metas_[0];
  missing.number = 1000;
  for (int i = 0; i < 10; ++i) EXPECT_CODE(cache.Find(missing), StatusCode::kDataLoss);
  EXPECT_EQ(cache.open_tables(), 0u);
  ASSERT_OK(cache.Find(metas_[0]));
  ASSERT_OK(cache.Find(metas_[1]));
  EXPECT_EQ(cache.open_tables(), 2u);
  cache.Evict(metas_[0].number);
  cache.Evict(metas_[0].number);
  EXPECT_EQ(cache.open_tables(), 1u);
}

TEST_F(TableCacheTest, AHeldReaderOutlivesItsPlaceInTheCache) {
  TableCache cache(&fs_, "/db", nullptr, 1);
  ASSERT_OK_AND_ASSIGN(const auto reader, cache.Find(metas_[0]));
  ASSERT_OK(cache.Find(metas_[1]));
  EXPECT_EQ(cache.open_tables(), 1u);
  sstable::FoundEntry found;
  EXPECT_TRUE(reader->Get({}, metas_[0].smallest, &found).value());
  EXPECT_EQ(found.value, "value");
}

TEST_F(TableCacheTest, ManyThreadsTogetherKeepTheLimit) {
  for (const int limit : {1, 4, 30}) {
    TableCache cache(&fs_, "/db", nullptr, limit);
    std::vector<std::thread> threads;
    for (uint64_t seed = 0; seed < 4; ++seed) {
      threads.emplace_back([&, seed] {
        std::mt19937_64 random(seed);
        for (int i = 0; i < 2000; ++i) {
          const TableMeta& meta = metas_[random() % kTables];
          const auto reader = cache.Find(meta);
          ASSERT_OK(reader);
          EXPECT_EQ((*reader)->properties().smallest_key, meta.smallest);
          // What the other three threads are opening may come on top.
          EXPECT_LE(cache.open_tables(), static_cast<size_t>(limit) + 3);
          if (random() % 10 == 0) cache.Evict(metas_[random() % kTables].number);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_LE(cache.open_tables(), static_cast<size_t>(limit));
    for (const TableMeta& meta : metas_) cache.Evict(meta.number);
    EXPECT_EQ(cache.open_tables(), 0u);
  }
}

// The last one to open closes what the others opened meanwhile.
TEST_F(TableCacheTest, WhatWasOpenedAtTheSameTimeIsClosedAgain) {
  for (uint64_t round = 0; round < 300; ++round) {
    TableCache cache(&fs_, "/db", nullptr, 1);
    std::atomic<int> waiting{4};
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (--waiting; waiting > 0;) std::this_thread::yield();
        EXPECT_OK(cache.Find(metas_[(round + i) % kTables]));
      });
    }
    for (std::thread& thread : threads) thread.join();
    // None is left when two threads each closed one for the same excess.
    ASSERT_LE(cache.open_tables(), 1u);
  }
}

}  // namespace
}  // namespace tinyobs::lsm
