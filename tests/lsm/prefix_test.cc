// Iterators of one prefix: what they show, and what they do not touch.
//
// Method: every iterator with ReadOptions::prefix is compared with a model, forward, backward and
// sought from many places, over stores with no, the same, a shorter and a longer filter prefix.
// What is skipped shows in the number of reads.
#include <algorithm>
#include <map>
#include <random>
#include <string>
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
using Content = std::map<std::string, std::string>;

class PrefixTest : public ::testing::Test {
 protected:
  PrefixTest() {
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
    auto store = Store::Open(path_, options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  void Put(const std::string& key, const std::string& value) {
    ASSERT_OK(store_->Put(key, value));
    model_[key] = value;
  }
  void Delete(const std::string& key) {
    ASSERT_OK(store_->Delete(key));
    model_.erase(key);
  }
  std::string RandomLetter() { return std::string(1, "ab\xff"[random_() % 3]); }
  // Short, over few letters, the largest byte among them; may be empty.
  std::string RandomKey() {
    std::string key;
    for (uint64_t i = random_() % 6; i > 0; --i) key += RandomLetter();
    return key;
  }
  void WriteRandomly(int count) {
    for (int i = 0; i < count; ++i) {
      if (random_() % 4 == 0) {
        Delete(RandomLetter() + RandomKey());
      } else {
        Put(RandomLetter() + RandomKey(), StrCat(i, std::string(random_() % 300, 'x')));
      }
    }
  }
  // The iterator shows what `model` has within its options, whichever way it moves.
  void ExpectShows(const ReadOptions& options, const Content& model) {
    std::vector<std::pair<std::string, std::string>> expected;
    for (const auto& [key, value] : model) {
      if (key.starts_with(options.prefix) && key >= options.lower_bound &&
          (options.upper_bound.empty() || key < options.upper_bound)) {
        expected.emplace_back(key, value);
      }
    }
    const auto iterator = store_->NewIterator(options);
    const auto at = [&]() -> std::pair<std::string, std::string> {
      EXPECT_OK(iterator->status());
      if (!iterator->Valid()) return {"(none)", ""};
      return {std::string(iterator->key()), std::string(iterator->value())};
    };
    const std::pair<std::string, std::string> none = {"(none)", ""};
    iterator->SeekToFirst();
    for (const auto& entry : expected) {
      ASSERT_EQ(at(), entry);
      iterator->Next();
    }
    EXPECT_EQ(at(), none);
    iterator->SeekToLast();
    for (auto entry = expected.rbegin(); entry != expected.rend(); ++entry) {
      ASSERT_EQ(at(), *entry);
      iterator->Prev();
    }
    EXPECT_EQ(at(), none);
    for (int i = 0; i < 10; ++i) {
      const std::string target = RandomKey();
      const auto found = std::find_if(expected.begin(), expected.end(),
                                      [&](const auto& entry) { return entry.first >= target; });
      iterator->Seek(target);
      EXPECT_EQ(at(), found == expected.end() ? none : *found);
      const auto behind = std::find_if(expected.begin(), expected.end(),
                                       [&](const auto& entry) { return entry.first > target; });
      iterator->SeekForPrev(target);
      EXPECT_EQ(at(), behind == expected.begin() ? none : *(behind - 1));
    }
  }
  // What each of some places shows, sought one after the other, is what begins as they do.
  void ExpectSeeksShow(ReadOptions options, const Content& model) {
    options.seek_prefix_bytes = 1 + random_() % 4;
    const auto iterator = store_->NewIterator(options);
    for (int i = 0; i < 100; ++i) {
      std::string target = RandomKey();
      while (target.size() < options.seek_prefix_bytes) target += RandomLetter();
      iterator->Seek(target);
      for (auto at = model.lower_bound(target); at != model.end(); ++at) {
        if (!at->first.starts_with(target.substr(0, options.seek_prefix_bytes))) break;
        ASSERT_TRUE(iterator->Valid()) << EscapeForMessage(target);
        ASSERT_EQ(iterator->key(), at->first);
        ASSERT_EQ(iterator->value(), at->second);
        iterator->Next();
      }
      ASSERT_FALSE(iterator->Valid()) << EscapeForMessage(target);
      ASSERT_OK(iterator->status());
    }
  }
  void ExpectAllPrefixesShow(const Snapshot* snapshot, const Content& model) {
    for (const char* const prefix : {"", "a", "b", "\xff", "ab", "a\xff", "\xff\xff", "abb",
                                     "\xff\xff\xff", "ba\xff", "aabab", "c", "abababababab"}) {
      ReadOptions options;
      options.snapshot = snapshot;
      ExpectSeeksShow(options, model);
      options.prefix = prefix;
      ExpectShows(options, model);
      options.lower_bound = RandomKey();
      ExpectShows(options, model);
      options.upper_bound = RandomKey();
      ExpectShows(options, model);
      options.lower_bound.clear();
      ExpectShows(options, model);
    }
  }
  uint64_t Reads() const { return fs_.Count(Operation::kRead); }

  MemoryFileSystem fs_;
  StoreOptions options_;
  std::string path_ = "/db";
  std::unique_ptr<Store> store_;
  Content model_;
  std::mt19937_64 random_{12};
};

TEST_F(PrefixTest, ShowsTheKeysThatBeginWithItWhateverTheFilterKnows) {
  for (const size_t filter_prefix_bytes : {0, 1, 2, 3, 6}) {
    SCOPED_TRACE(filter_prefix_bytes);
    path_ = StrCat("/db", filter_prefix_bytes);
    options_.filter_prefix_bytes = filter_prefix_bytes;
    options_.filter_bits_per_key = 20;
    model_.clear();
    Open();
    WriteRandomly(1500);
    const auto snapshot = store_->NewSnapshot();
    const Content past = model_;
    WriteRandomly(1500);
    ASSERT_OK(store_->Flush());
    while (*store_->RunBackgroundWork()) {
    }
    WriteRandomly(100);
    EXPECT_GT(store_->Stats().levels[5].files + store_->Stats().levels[6].files, 2u);
    ExpectAllPrefixesShow(nullptr, model_);
    ExpectAllPrefixesShow(snapshot.get(), past);
  }
}

TEST_F(PrefixTest, TablesOfDifferentFilterPrefixesServeTogether) {
  for (const size_t filter_prefix_bytes : {2, 0, 4, 1}) {
    options_.filter_prefix_bytes = filter_prefix_bytes;
    Open();
    WriteRandomly(400);
    ASSERT_OK(store_->Flush());
    ExpectAllPrefixesShow(nullptr, model_);
  }
  options_.filter_bits_per_key = 0;
  Open();
  WriteRandomly(400);
  ASSERT_OK(store_->Flush());
  ExpectAllPrefixesShow(nullptr, model_);
}

TEST_F(PrefixTest, TablesWithoutThePrefixAreSkippedWithoutReadingTheirData) {
  options_.filter_prefix_bytes = 4;
  options_.filter_bits_per_key = 20;
  options_.l0_compaction_trigger = 100;
  options_.l0_slowdown_trigger = 110;
  options_.l0_stall_trigger = 120;
  Open();
  // Ten tables of L0 that all reach from 0000 to 9999; the i-th has the prefixes that end with i.
  for (int table = 0; table < 10; ++table) {
    Put("0000", "first");
    for (int i = 0; i < 100; ++i) Put(StrCat(absl::Dec(i, absl::kZeroPad3), table, "key"), "value");
    Put("9999", "last");
    ASSERT_OK(store_->Flush());
  }
  ASSERT_EQ(store_->Stats().levels[0].files, 10u);
  ExpectShows({}, model_);  // all tables are open now
  const auto reads_of = [&](const std::string& prefix) {
    const uint64_t before = Reads();
    ReadOptions options;
    options.prefix = prefix;
    const auto iterator = store_->NewIterator(options);
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    }
    EXPECT_OK(iterator->status());
    for (iterator->SeekToLast(); iterator->Valid(); iterator->Prev()) {
    }
    EXPECT_OK(iterator->status());
    return Reads() - before;
  };
  EXPECT_GE(reads_of("050"), 10u) << "too short: every table may have it";
  uint64_t reads = 0;
  for (int i = 10; i < 60; ++i) reads += reads_of(StrCat("0", i, i % 10));
  // Each is in one table, read once; a thousandth of the answers is wrong.
  EXPECT_GE(reads, 50u);
  EXPECT_LE(reads, 120u);
  reads = 0;
  for (int i = 10; i < 60; ++i) reads += reads_of(StrCat("0", i, "x"));
  EXPECT_LE(reads, 20u) << "they are nowhere";
  reads = 0;
  for (int i = 10; i < 60; ++i) reads += reads_of(StrCat("0", i, "xyz"));
  EXPECT_LE(reads, 20u) << "the first four bytes tell";
}

TEST_F(PrefixTest, AFilterPrefixBeyondTheLongestKeyIsRefused) {
  options_.filter_prefix_bytes = (64 << 10) + 1;
  EXPECT_CODE(Store::Open(path_, options_), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace tinyobs::lsm
