// DropRange never uncovers: a table inside the range that hides an older version, or a deleted key,
// in a table that stays, stays too. What nothing reaches out of goes entirely.
//
// First by hand, one shape of tables each, then random shapes, where after each drop a key of the
// range has its value of before or none.
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::MemoryFileSystem;

class DropRangeTest : public ::testing::Test {
 protected:
  DropRangeTest() {
    options_.file_system = &fs_;
    options_.background_threads = false;
    options_.l0_compaction_trigger = 10;  // tables stay where they are put
    options_.l0_slowdown_trigger = 10;
  }
  void Open() {
    store_ = nullptr;
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  // A new table of L0. An empty value deletes.
  void Table(const std::vector<std::pair<std::string, std::string>>& entries) {
    for (const auto& [key, value] : entries) {
      ASSERT_OK(value.empty() ? store_->Delete(key) : store_->Put(key, value));
    }
    ASSERT_OK(store_->Flush());
  }
  void Sink() { ASSERT_OK(store_->CompactRange("", "")); }
  uint64_t Drop(std::string_view first, std::string_view last) {
    const auto dropped = store_->DropRange(first, last);
    EXPECT_OK(dropped);
    return dropped.value_or(9999);
  }
  std::map<std::string, std::string> Contents() const {
    std::map<std::string, std::string> contents;
    const auto iterator = store_->NewIterator({});
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      contents.emplace(iterator->key(), iterator->value());
    }
    EXPECT_OK(iterator->status());
    return contents;
  }
  std::string Scan() const {
    std::string text;
    for (const auto& [key, value] : Contents()) StrAppend(&text, key, "=", value, " ");
    return text;
  }
  uint64_t Tables() const {
    uint64_t tables = 0;
    for (const LevelStats& level : store_->Stats().levels) tables += level.files;
    return tables;
  }
  uint64_t TablesOnDisk() const {
    uint64_t count = 0;
    for (const std::string& path : fs_.Files()) count += path.ends_with(".sst");
    return count;
  }

  MemoryFileSystem fs_;
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_F(DropRangeTest, ANewVersionStaysOverAnOldOneInADeeperLevel) {
  Open();
  Table({{"b", "old"}, {"m", "1"}});
  Sink();
  Table({{"b", "new"}});
  EXPECT_EQ(Drop("b", "c"), 0u);
  EXPECT_EQ(Scan(), "b=new m=1 ");
  EXPECT_EQ(Tables(), 2u);
}

TEST_F(DropRangeTest, ATombstoneStaysOverADeeperLevel) {
  Open();
  Table({{"b", "old"}, {"m", "1"}});
  Sink();
  Table({{"b", ""}});
  EXPECT_EQ(Drop("a", "m"), 0u);
  EXPECT_EQ(Scan(), "m=1 ");
  Open();
  EXPECT_EQ(Scan(), "m=1 ");
}

TEST_F(DropRangeTest, AVersionOrTombstoneStaysOverAnOlderTableOfLevel0) {
  Open();
  Table({{"b", "old"}, {"c", "old"}, {"m", "1"}});
  Table({{"b", "new"}});
  Table({{"c", ""}});
  EXPECT_EQ(Drop("b", "d"), 0u);
  EXPECT_EQ(Scan(), "b=new m=1 ");
}

TEST_F(DropRangeTest, WhatStaysMakesWhatLiesOverItStay) {
  Open();
  Table({{"c", "old"}, {"m", "1"}});
  Sink();
  Table({{"b", "mid"}, {"c", ""}});  // for c
  Table({{"b", ""}});                // for b of the one before
  Table({{"d", "1"}, {"e", "1"}});   // the range of the first
  Table({{"a", "1"}});               // for nothing
  EXPECT_EQ(Drop("a", "f"), 1u);
  EXPECT_EQ(Scan(), "d=1 e=1 m=1 ");
  EXPECT_EQ(Tables(), 4u);
  EXPECT_EQ(TablesOnDisk(), 4u);
}

TEST_F(DropRangeTest, AnOlderTableGoesFromUnderOneThatReachesOut) {
  Open();
  Table({{"b", "old"}, {"c", "old"}});
  Sink();
  Table({{"b", ""}, {"m", "1"}});
  EXPECT_EQ(Drop("b", "d"), 1u);
  EXPECT_EQ(Scan(), "m=1 ");
  EXPECT_EQ(store_->Stats().levels[kLevels - 1].files, 0u);
}

TEST_F(DropRangeTest, TablesThatLieOnlyOverEachOtherGoTogether) {
  Open();
  Table({{"b", "1"}, {"d", "1"}});
  Sink();
  Table({{"b", "2"}});
  Table({{"c", "2"}, {"d", ""}});
  Table({{"e", "1"}, {"z", "1"}});
  EXPECT_EQ(Drop("b", "e"), 3u);
  EXPECT_EQ(Scan(), "e=1 z=1 ");
  EXPECT_EQ(Drop("b", ""), 1u);
  EXPECT_EQ(Scan(), "");
  EXPECT_EQ(TablesOnDisk(), 0u);
}

TEST_F(DropRangeTest, APartitionGoesEntirelyWithItsFiles) {
  options_.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  Open();
  for (const char* const value : {"1", "2", ""}) {
    Table({{"a1", "1"}, {"b1", value}, {"b2", "x"}, {"c1", "1"}});
    if (value == std::string_view("1")) Sink();
  }
  ASSERT_EQ(Tables(), 9u);
  EXPECT_EQ(Drop("b", "c"), 3u);
  EXPECT_EQ(Scan(), "a1=1 c1=1 ");
  EXPECT_EQ(Tables(), 6u);
  EXPECT_EQ(TablesOnDisk(), 6u);
  Open();
  EXPECT_EQ(Scan(), "a1=1 c1=1 ");
}

TEST_F(DropRangeTest, RandomShapesNeverShowAnOldValue) {
  constexpr uint64_t kSeed = 4711;
  RecordProperty("seed", std::to_string(kSeed));
  std::mt19937_64 random(kSeed);
  // Several levels, tables of a few keys.
  options_.l0_compaction_trigger = 3;
  options_.table_bytes = 512;
  options_.level1_bytes = 300;
  options_.level_ratio = 2;
  options_.block_bytes = 256;
  Open();
  const auto key_at = [](uint64_t n) { return StrCat("k", absl::Dec(n, absl::kZeroPad2)); };
  std::map<std::string, std::string> model;
  uint64_t dropped = 0;
  uint64_t between = 0;  // tables in levels between the first and the last
  for (uint64_t step = 0; step < 4000; ++step) {
    SCOPED_TRACE(StrCat("seed ", kSeed, ", step ", step));
    const uint64_t begin = random() % 80;
    for (uint64_t n = begin; n < begin + 1 + random() % 12; ++n) {
      if (random() % 3 == 0) {
        ASSERT_OK(store_->Delete(key_at(n)));
        model.erase(key_at(n));
      } else {
        model[key_at(n)] =
            StrCat(step, "-", std::string(60, static_cast<char>('a' + random() % 26)));
        ASSERT_OK(store_->Put(key_at(n), model[key_at(n)]));
      }
    }
    if (random() % 3 != 0) {
      ASSERT_OK(store_->Flush());
    }
    if (random() % 3 == 0) {
      ASSERT_OK(store_->RunBackgroundWork());
    }
    if (random() % 12 != 0) continue;
    const std::string first = key_at(random() % 80);
    const std::string last = random() % 10 == 0 ? "" : key_at(random() % 90);
    const bool is_empty = !last.empty() && last <= first;
    const StoreStats stats = store_->Stats();
    for (int level = 1; level < kLevels - 1; ++level) between += stats.levels[level].files;
    const uint64_t count = Drop(first, last);
    dropped += count;
    ASSERT_TRUE(!is_empty || count == 0);
    const std::map<std::string, std::string> found = Contents();
    for (const auto& [key, value] : found) {
      ASSERT_EQ(model.count(key), 1u) << key << " came back";
      ASSERT_EQ(model[key], value) << key;
    }
    for (const auto& [key, value] : model) {
      const bool inside = key >= first && (last.empty() || key < last);
      ASSERT_TRUE(inside || found.count(key) == 1) << key << " is lost";
    }
    model = found;
  }
  EXPECT_GT(dropped, 100u);
  EXPECT_GT(between, 100u);
  const auto report = store_->Verify();
  ASSERT_OK(report);
  EXPECT_TRUE(report->problems.empty());
}

}  // namespace
}  // namespace tinyobs::lsm
