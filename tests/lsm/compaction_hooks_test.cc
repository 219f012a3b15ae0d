// Compaction filter and merger: what they see, what becomes of what they answer, and that broken
// ones do no harm. First on the job alone, with versions and snapshots put by hand, then on a
// store.
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/compaction_job.h"
#include "lib/lsm/internal_key.h"
#include "lib/lsm/memtable.h"
#include "lib/lsm/store.h"
#include "lib/lsm/table_cache.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::MemoryFileSystem;

// Joins up to `group` values of a run under the first key of them, and tells what it saw.
class Concatenate : public CompactionMerger {
 public:
  Concatenate(size_t group, std::string* seen) : group_(group), seen_(seen) {}
  absl::Status Add(std::string_view key, std::string_view value, const Emit& emit) override {
    StrAppend(seen_, key, " ");
    if (count_ == group_) {
      const absl::Status status = Flush(emit);
      if (!status.ok()) return status;
    }
    if (count_++ == 0) key_ = key;
    value_ += value;
    return absl::OkStatus();
  }
  absl::Status Finish(const Emit& emit) override {
    *seen_ += "| ";
    return Flush(emit);
  }

 private:
  absl::Status Flush(const Emit& emit) {
    const absl::Status status = emit(key_, value_);
    count_ = 0;
    value_.clear();
    return status;
  }

  const size_t group_;
  std::string* const seen_;
  size_t count_ = 0;
  std::string key_, value_;
};

// Emits what it is told to, and ignores the answer.
class Wrong : public CompactionMerger {
 public:
  explicit Wrong(std::vector<std::string> keys) : keys_(std::move(keys)) {}
  absl::Status Add(std::string_view, std::string_view, const Emit&) override {
    return absl::OkStatus();
  }
  absl::Status Finish(const Emit& emit) override {
    for (const std::string& key : keys_) emit(key, "x").IgnoreError();
    return absl::OkStatus();
  }

 private:
  const std::vector<std::string> keys_;
};

class CompactionHooksJobTest : public ::testing::Test {
 protected:
  CompactionHooksJobTest() : cache_(&fs_, "/db", nullptr, 100) {
    EXPECT_OK(fs_.CreateDirectories("/db"));
    options_.file_system = &fs_;
    options_.folder = "/db";
    options_.new_file_number = [this] { return ++number_; };
    options_.output_level = 6;
    options_.version = std::make_shared<const Version>();
    options_.merger_failed = &merger_failed_;
  }

  void Put(std::string_view key, uint64_t sequence) {
    memtable_.Add(sequence, ValueType::kPut, key, StrCat("(", key, ")"));
  }
  void Delete(std::string_view key, uint64_t sequence) {
    memtable_.Add(sequence, ValueType::kDelete, key, "");
  }
  void Join(size_t group) {
    merger_ = std::make_unique<Concatenate>(group, &seen_);
    options_.merger = merger_.get();
  }
  // key@sequence=value, "-" for tombstones, tables separated by " | ".
  std::string Compact() {
    auto input = memtable_.NewIterator();
    auto result = RunCompactionJob(options_, input.get());
    if (!result.ok()) return result.status().ToString();
    std::string text;
    for (const TableMeta& meta : result->tables) {
      if (!text.empty()) text += " | ";
      auto reader = cache_.Find(meta);
      EXPECT_OK(reader);
      EXPECT_OK((*reader)->Verify());
      auto iterator = (*reader)->NewIterator({});
      std::string entries;
      for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
        const uint64_t trailer = TrailerOf(iterator->key());
        StrAppend(&entries, entries.empty() ? "" : " ", UserKeyOf(iterator->key()), "@",
                  SequenceOf(trailer));
        if (TypeOf(trailer) == ValueType::kDelete) {
          entries += "-";
        } else {
          StrAppend(&entries, "=", iterator->value());
        }
      }
      text += entries;
    }
    return text;
  }

  MemoryFileSystem fs_;
  uint64_t number_ = 0;
  TableCache cache_;
  Memtable memtable_;
  CompactionJobOptions options_;
  std::unique_ptr<CompactionMerger> merger_;
  std::string seen_;
  bool merger_failed_ = false;
};

TEST_F(CompactionHooksJobTest, TheFilterIsAskedOnceForEachNewestPut) {
  for (const uint64_t sequence : {1, 5}) Put("a", sequence);
  Put("b", 2);
  Put("c", 3);
  Delete("c", 4);
  options_.filter = [this](std::string_view key, std::string_view value) {
    EXPECT_EQ(value, StrCat("(", key, ")"));
    StrAppend(&seen_, key, " ");
    return key == "b" ? FilterDecision::kRemove : FilterDecision::kKeep;
  };
  EXPECT_EQ(Compact(), "a@5=(a)");
  EXPECT_EQ(seen_, "a b ");
}

TEST_F(CompactionHooksJobTest, RemovedIsATombstoneWhereTheKeyMayBeDeeper) {
  Put("b", 2);
  options_.version = nullptr;  // who knows
  options_.filter = [](std::string_view, std::string_view) { return FilterDecision::kRemove; };
  EXPECT_EQ(Compact(), "b@2-");
}

TEST_F(CompactionHooksJobTest, WhatASnapshotSeesIsNotFiltered) {
  Put("a", 1);
  Put("b", 1);
  Put("b", 7);
  Put("c", 7);
  options_.snapshots = {5};
  options_.filter = [this](std::string_view key, std::string_view) {
    StrAppend(&seen_, key, " ");
    return FilterDecision::kRemove;
  };
  // The tombstones hide the older versions from all but the snapshot.
  EXPECT_EQ(Compact(), "a@1=(a) b@7- b@1=(b) c@7-");
  EXPECT_EQ(seen_, "b c ");
}

TEST_F(CompactionHooksJobTest, NeighboursAreJoinedAndKeepTheSequenceOfTheirKey) {
  Put("a", 3);
  Put("b", 9);
  Put("c", 1);
  Put("d", 4);
  Put("e", 5);
  Join(2);
  EXPECT_EQ(Compact(), "a@3=(a)(b) c@1=(c)(d) e@5=(e)");
  EXPECT_EQ(seen_, "a b c d e | ");
}

TEST_F(CompactionHooksJobTest, WhatIsHiddenOrDeletedOrFilteredIsNotJoined) {
  Put("a", 1);
  Put("b", 2);
  Put("b", 6);
  Put("c", 3);
  Delete("c", 7);
  Put("d", 4);
  Put("e", 5);
  options_.filter = [](std::string_view key, std::string_view) {
    return key == "d" ? FilterDecision::kRemove : FilterDecision::kKeep;
  };
  Join(9);
  EXPECT_EQ(Compact(), "a@1=(a)(b)(e)");
}

TEST_F(CompactionHooksJobTest, WhatASnapshotSeesEndsARunAndSoDoesAnOlderVersionOfAKey) {
  for (const char* const key : {"a", "b", "d", "f", "g"}) Put(key, 10);
  Put("c", 1);   // seen by the snapshot
  Put("e", 2);   // the snapshot sees this
  Put("e", 11);  // and all others this
  options_.snapshots = {5};
  Join(9);
  EXPECT_EQ(Compact(), "a@10=(a)(b) c@1=(c) d@10=(d) e@11=(e) e@2=(e) f@10=(f)(g)");
  EXPECT_EQ(seen_, "a b | d | f g | ");
}

TEST_F(CompactionHooksJobTest, RunsEndAtPartitionsAndSoDoTables) {
  options_.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  for (const char* const key : {"a1", "a2", "b1", "b2", "c1"}) Put(key, 1);
  Join(9);
  EXPECT_EQ(Compact(), "a1@1=(a1)(a2) | b1@1=(b1)(b2) | c1@1=(c1)");
}

TEST_F(CompactionHooksJobTest, RunsAndTablesEndAtRangesOfTheChoice) {
  for (const char* const key : {"a", "b", "m", "x", "z"}) Put(key, 1);
  options_.ranges = {{"a", "c"}, {"k", "m"}, {"x", "z"}};
  Join(9);
  EXPECT_EQ(Compact(), "a@1=(a)(b) | m@1=(m) | x@1=(x)(z)");
  options_.merger = nullptr;
  EXPECT_EQ(Compact(), "a@1=(a) b@1=(b) | m@1=(m) | x@1=(x) z@1=(z)");
}

TEST_F(CompactionHooksJobTest, BrokenPromisesAreErrorsAndLeaveNoFiles) {
  for (const char* const key : {"b", "d", "f"}) Put(key, 1);
  for (const std::vector<std::string>& keys :
       std::vector<std::vector<std::string>>{{"a"}, {"c"}, {"g"}, {"d", "b"}, {"d", "d"}}) {
    merger_failed_ = false;
    Wrong wrong(keys);
    options_.merger = &wrong;
    auto input = memtable_.NewIterator();
    EXPECT_CODE(RunCompactionJob(options_, input.get()), StatusCode::kInvalidArgument);
    EXPECT_TRUE(merger_failed_);
    EXPECT_TRUE(fs_.Files().empty());
  }
  merger_failed_ = false;
  Wrong right({"b", "f"});
  options_.merger = &right;
  EXPECT_EQ(Compact(), "b@1=x f@1=x");
  EXPECT_FALSE(merger_failed_);
}

class CompactionHooksStoreTest : public ::testing::Test {
 protected:
  CompactionHooksStoreTest() {
    options_.file_system = &fs_;
    options_.background_threads = false;
    options_.logger = [this](std::string_view line) { StrAppend(&log_, line, "\n"); };
  }
  void Open() {
    store_ = nullptr;
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  std::string Scan() {
    std::string text;
    auto iterator = store_->NewIterator({});
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
      StrAppend(&text, iterator->key(), "=", iterator->value(), " ");
    }
    EXPECT_OK(iterator->status());
    return text;
  }
  void PutAndFlush(const std::vector<std::string>& keys) {
    for (const std::string& key : keys) ASSERT_OK(store_->Put(key, "(" + key + ")"));
    ASSERT_OK(store_->Flush());
  }

  MemoryFileSystem fs_;
  StoreOptions options_;
  std::string log_, seen_;
  std::unique_ptr<Store> store_;
};

TEST_F(CompactionHooksStoreTest, CompactRangeRewritesWhatOnlyMovedBefore) {
  Open();
  PutAndFlush({"a", "b", "x", "y"});
  ASSERT_OK(store_->CompactRange("", ""));
  EXPECT_EQ(store_->Stats().trivial_moves, 1u);
  options_.compaction_filter = [](std::string_view key, std::string_view) {
    return key == "b" ? FilterDecision::kRemove : FilterDecision::kKeep;
  };
  options_.new_compaction_merger = [this] { return std::make_unique<Concatenate>(9, &seen_); };
  Open();
  PutAndFlush({"c"});
  EXPECT_EQ(Scan(), "a=(a) b=(b) c=(c) x=(x) y=(y) ");
  ASSERT_OK(store_->CompactRange("", ""));
  EXPECT_EQ(Scan(), "a=(a)(c)(x)(y) ");
  EXPECT_EQ(store_->Stats().compactions, 1u);
  ASSERT_OK(store_->CompactRange("", ""));  // nothing above it, and yet
  EXPECT_EQ(store_->Stats().compactions, 2u);
}

TEST_F(CompactionHooksStoreTest, ALaterWriteOfAJoinedKeyIsFoundWhateverItsPlace) {
  options_.new_compaction_merger = [this] { return std::make_unique<Concatenate>(9, &seen_); };
  Open();
  PutAndFlush({"a", "b"});
  ASSERT_OK(store_->Put("a", "new"));
  ASSERT_OK(store_->Put("b", "newer"));
  auto snapshot = store_->NewSnapshot();
  ASSERT_OK(store_->CompactRange("", ""));
  EXPECT_EQ(Scan(), "a=new b=newer ");  // the snapshot sees them: untouched
  snapshot = nullptr;
  ASSERT_OK(store_->CompactRange("", ""));
  EXPECT_EQ(Scan(), "a=newnewer ");
  PutAndFlush({"a"});
  EXPECT_EQ(Scan(), "a=(a) ");
}

TEST_F(CompactionHooksStoreTest, ABrokenMergerFailsWhoAskedAndNothingElse) {
  options_.l0_compaction_trigger = 2;
  options_.new_compaction_merger = [] {
    return std::make_unique<Wrong>(std::vector<std::string>{"zzz"});
  };
  Open();
  PutAndFlush({"a", "b"});
  EXPECT_CODE(store_->CompactRange("", ""), StatusCode::kInvalidArgument);
  EXPECT_EQ(Scan(), "a=(a) b=(b) ");
  EXPECT_OK(store_->Stats().background_error);
  // The store's own compactions do without.
  PutAndFlush({"a", "c"});
  while (true) {
    ASSERT_OK_AND_ASSIGN(const bool more, store_->RunBackgroundWork());
    if (!more) break;
  }
  EXPECT_EQ(store_->Stats().compactions, 1u);
  EXPECT_EQ(store_->Stats().levels[0].files, 0u);
  EXPECT_EQ(Scan(), "a=(a) b=(b) c=(c) ");
  EXPECT_NE(log_.find("without joining"), std::string::npos) << log_;
}

TEST_F(CompactionHooksStoreTest, NothingIsJoinedAboveOlderData) {
  options_.level1_bytes = 1000;
  options_.level_ratio = 10;
  Open();
  for (int i = 0; i < 400; ++i) ASSERT_OK(store_->Put(StrCat("k", 1000 + i), std::string(20, 'v')));
  ASSERT_OK(store_->Flush());
  ASSERT_OK(store_->CompactRange("", ""));
  options_.new_compaction_merger = [this] { return std::make_unique<Concatenate>(9, &seen_); };
  options_.l0_compaction_trigger = 2;
  Open();
  PutAndFlush({"k1100", "k1101"});
  PutAndFlush({"k1100", "k1102"});
  ASSERT_OK(store_->RunBackgroundWork());
  const StoreStats stats = store_->Stats();
  ASSERT_EQ(stats.levels[6].files, 1u);
  ASSERT_EQ(stats.levels[0].files, 0u);  // merged into a level above
  EXPECT_EQ(seen_, "");
}

}  // namespace
}  // namespace tinyobs::lsm
