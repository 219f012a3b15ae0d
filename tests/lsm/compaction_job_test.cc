// Merging iterator and compaction job: what is kept, what is dropped, where outputs are cut.
#include "lib/lsm/compaction_job.h"

#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/level_iterator.h"
#include "lib/lsm/memtable.h"
#include "lib/lsm/merging_iterator.h"
#include "lib/lsm/table_cache.h"
#include "lib/lsm/user_iterator.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::MemoryFileSystem;
using testing::Operation;

// "key@sequence" of puts, "key@sequence-" of tombstones.
class CompactionJobTest : public ::testing::Test {
 protected:
  CompactionJobTest() : cache_(&fs_, "/db", nullptr, 100) {
    EXPECT_OK(fs_.CreateDirectories("/db"));
    options_.file_system = &fs_;
    options_.folder = "/db";
    options_.new_file_number = [this] { return ++number_; };
    options_.output_level = 1;
    options_.version = std::make_shared<const Version>();
  }

  void Put(std::string_view key, uint64_t sequence, std::string_view value = "v") {
    memtable_.Add(sequence, ValueType::kPut, key, value);
  }
  void Delete(std::string_view key, uint64_t sequence) {
    memtable_.Add(sequence, ValueType::kDelete, key, "");
  }
  // Tables separated by " | ".
  std::string Compact() {
    auto input = memtable_.NewIterator();
    auto result = RunCompactionJob(options_, input.get());
    EXPECT_OK(result);
    if (!result.ok()) return "";
    std::string text;
    for (const TableMeta& meta : result->tables) {
      if (!text.empty()) text += " | ";
      text += Describe(meta);
      tables_.push_back(meta);
    }
    return text;
  }
  std::string Describe(const TableMeta& meta) {
    auto reader = cache_.Find(meta);
    EXPECT_OK(reader);
    EXPECT_OK((*reader)->Verify());
    auto iterator = (*reader)->NewIterator({});
    std::string text;
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      const uint64_t trailer = TrailerOf(iterator->key());
      StrAppend(&text, text.empty() ? "" : " ", UserKeyOf(iterator->key()), "@",
                SequenceOf(trailer), TypeOf(trailer) == ValueType::kDelete ? "-" : "");
    }
    return text;
  }

  MemoryFileSystem fs_;
  uint64_t number_ = 0;
  TableCache cache_;
  Memtable memtable_;
  CompactionJobOptions options_;
  std::vector<TableMeta> tables_;
};

TEST_F(CompactionJobTest, HiddenVersionsAndTombstonesAtTheBottomGo) {
  Put("a", 1);
  Put("a", 5);
  Put("b", 2);
  Delete("b", 6);
  Put("c", 3);
  EXPECT_EQ(Compact(), "a@5 c@3");
}

TEST_F(CompactionJobTest, TombstonesStayWithoutKnowledgeOfDeeperLevels) {
  Put("b", 2);
  Delete("b", 6);
  options_.version = nullptr;
  EXPECT_EQ(Compact(), "b@6-");
  EXPECT_EQ(tables_[0].tombstones, 1u);
}

TEST_F(CompactionJobTest, TombstonesStayWhereADeeperLevelMayHoldTheKey) {
  for (const char* const key : {"a", "c", "e"}) Delete(key, 9);
  TableMeta deep;
  deep.number = 100;
  deep.entries = 1;
  deep.smallest = MakeInternalKey("b", 1);
  deep.largest = MakeInternalKey("d", 1);
  VersionEdit edit;
  edit.added = {{3, deep}};
  auto registry = std::make_shared<TableRegistry>();
  ASSERT_OK_AND_ASSIGN(options_.version, Version::Apply(Version(), edit, registry, nullptr));
  EXPECT_EQ(Compact(), "c@9-");
}

TEST_F(CompactionJobTest, EachSnapshotKeepsTheVersionItSees) {
  for (const uint64_t sequence : {1, 3, 5, 7, 9}) Put("a", sequence);
  Put("b", 2);
  Delete("b", 6);
  options_.snapshots = {4, 7};
  // 4 sees 3, 7 sees 7, everybody else 9. b: 4 sees the put, 7 the tombstone.
  EXPECT_EQ(Compact(), "a@9 a@7 a@3 b@6- b@2");
}

TEST_F(CompactionJobTest, ATombstoneThatEverySnapshotSeesGoesWithWhatItHides) {
  Put("a", 1);
  Delete("a", 2);
  Put("a", 8);
  options_.snapshots = {2, 5};
  EXPECT_EQ(Compact(), "a@8");
}

TEST_F(CompactionJobTest, OutputsAreCutAtTheSizeButNeverInsideAKey) {
  options_.table_bytes = 1;
  options_.snapshots = {1, 2, 3, 4};
  for (const uint64_t sequence : {1, 2, 3}) Put("a", sequence, std::string(100'000, 'x'));
  Put("b", 4);
  Put("c", 5);
  EXPECT_EQ(Compact(), "a@3 a@2 a@1 | b@4 | c@5");
}

TEST_F(CompactionJobTest, OutputsAreCutWhereThePartitionChanges) {
  options_.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  for (const char* const key : {"a1", "a2", "b1", "d1", "d2"}) Put(key, ++number_);
  EXPECT_EQ(Compact(), "a1@1 a2@2 | b1@3 | d1@4 d2@5");
}

TEST_F(CompactionJobTest, OutputsAreCutBeforeTheyOverlapTooMuchBelow) {
  auto registry = std::make_shared<TableRegistry>();
  for (const auto& [first, last] : {std::pair("a", "b"), {"c", "d"}, {"e", "f"}, {"g", "h"}}) {
    TableMeta meta;
    meta.number = 100 + options_.grandparents.size();
    meta.file_bytes = 10;
    meta.smallest = MakeInternalKey(first, 1);
    meta.largest = MakeInternalKey(last, 1);
    options_.grandparents.push_back(std::make_shared<const TableFile>(meta, registry));
  }
  options_.grandparent_bytes_max = 15;
  for (const char* const key : {"a", "c", "e", "g", "i"}) Put(key, ++number_);
  EXPECT_EQ(Compact(), "a@1 c@2 | e@3 g@4 | i@5");
}

TEST_F(CompactionJobTest, NothingLeftMeansNoFile) {
  Delete("a", 1);
  EXPECT_EQ(Compact(), "");
  EXPECT_TRUE(fs_.Files().empty());
}

TEST_F(CompactionJobTest, OutputsSurviveAPowerCutOnceTheJobIsDone) {
  Put("a", 1);
  ASSERT_EQ(Compact(), "a@1");
  fs_.Crash();
  TableCache cache(&fs_, "/db", nullptr, 1);
  EXPECT_OK(cache.Find(tables_[0]));
}

TEST_F(CompactionJobTest, AFailureLeavesNoFilesAndIsReported) {
  options_.table_bytes = 1;
  for (const Operation operation :
       {Operation::kCreate, Operation::kAppend, Operation::kSync, Operation::kSyncDirectory}) {
    for (uint64_t skip = 0; skip < (operation == Operation::kSyncDirectory ? 1u : 3u); ++skip) {
      memtable_.Add(++number_, ValueType::kPut, "a", "v");
      memtable_.Add(++number_, ValueType::kPut, "b", "v");
      memtable_.Add(++number_, ValueType::kPut, "c", "v");
      fs_.AddFault({.operation = operation, .skip = skip});
      auto input = memtable_.NewIterator();
      EXPECT_CODE(RunCompactionJob(options_, input.get()), StatusCode::kUnavailable);
      EXPECT_TRUE(fs_.Files().empty());
      fs_.ClearFaults();
    }
  }
}

TEST_F(CompactionJobTest, AnErrorOfTheInputEndsTheJob) {
  auto input = NewErrorIterator(absl::DataLossError("bad block"));
  EXPECT_CODE(RunCompactionJob(options_, input.get()), StatusCode::kDataLoss);
}

TEST_F(CompactionJobTest, StopEndsItEarly) {
  Put("a", 1);
  const std::atomic<bool> stop = true;
  options_.stop = &stop;
  auto input = memtable_.NewIterator();
  EXPECT_CODE(RunCompactionJob(options_, input.get()), StatusCode::kCancelled);
  EXPECT_TRUE(fs_.Files().empty());
}

TEST(MergingIterator, WalksLikeOneSortedMapInAllDirections) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    std::vector<std::unique_ptr<Memtable>> tables;
    std::vector<std::unique_ptr<Iterator>> children;
    std::map<std::string, std::string> model;
    for (uint64_t i = 0; i < 1 + seed % 6; ++i) tables.push_back(std::make_unique<Memtable>());
    for (uint64_t i = 1; i <= 200; ++i) {
      const std::string key = StrCat(absl::Dec(random() % 50, absl::kZeroPad2));
      const std::string value = StrCat(i);
      tables[random() % tables.size()]->Add(i, ValueType::kPut, key, value);
      model[MakeInternalKey(key, PackTrailer(i, ValueType::kPut))] = value;
    }
    for (const auto& table : tables) children.push_back(table->NewIterator());
    auto merged = NewMergingIterator(std::move(children));
    auto at = model.end();
    for (int step = 0; step < 2000; ++step) {
      const uint64_t kind = random() % 12;
      const std::string target = MakeInternalKey(StrCat(absl::Dec(random() % 52, absl::kZeroPad2)),
                                                 SeekTrailer(random() % 220));
      if (kind == 0) {
        merged->SeekToFirst();
        at = model.begin();
      } else if (kind == 1) {
        merged->SeekToLast();
        at = std::prev(model.end());
      } else if (kind == 2) {
        merged->Seek(target);
        at = model.lower_bound(target);
      } else if (kind == 3) {
        merged->SeekForPrev(target);
        at = model.upper_bound(target);
        at = at == model.begin() ? model.end() : std::prev(at);
      } else if (at == model.end()) {
        continue;
      } else if (kind < 8) {
        merged->Next();
        ++at;
      } else {
        merged->Prev();
        at = at == model.begin() ? model.end() : std::prev(at);
      }
      ASSERT_EQ(merged->Valid(), at != model.end()) << "seed " << seed << " step " << step;
      if (at == model.end()) continue;
      ASSERT_EQ(merged->key(), at->first) << "seed " << seed << " step " << step;
      ASSERT_EQ(merged->value(), at->second);
    }
  }
}

TEST(MergingIterator, AnErrorOfOneChildEndsTheWhole) {
  Memtable table;
  table.Add(1, ValueType::kPut, "a", "v");
  std::vector<std::unique_ptr<Iterator>> children;
  children.push_back(table.NewIterator());
  children.push_back(NewErrorIterator(absl::DataLossError("bad block")));
  auto merged = NewMergingIterator(std::move(children));
  merged->SeekToFirst();
  EXPECT_FALSE(merged->Valid());
  EXPECT_CODE(merged->status(), StatusCode::kDataLoss);
  UserIteratorOptions options;
  options.sequence = 9;
  auto user = NewUserIterator(options, std::move(merged));
  user->SeekToLast();
  EXPECT_FALSE(user->Valid());
  EXPECT_CODE(user->status(), StatusCode::kDataLoss);
}

TEST(MergingIterator, OfNothingIsEmpty) {
  auto merged = NewMergingIterator({});
  merged->SeekToFirst();
  EXPECT_FALSE(merged->Valid());
  merged->SeekToLast();
  EXPECT_FALSE(merged->Valid());
  EXPECT_OK(merged->status());
}

}  // namespace
}  // namespace tinyobs::lsm
