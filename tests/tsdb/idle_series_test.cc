// Series out of memory: random going, reviving, dropping and reopening against a plain map, readers
// with older snapshots against the map as it was then.
#include "lib/tsdb/idle_series.h"

#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

constexpr uint64_t kSeed = 7;

struct Place {
  SeriesId id;
  uint32_t partition;
  friend bool operator==(const Place&, const Place&) = default;
};
using Map = std::map<std::string, Place>;  // by canonical labels

class IdleSeriesTest : public ::testing::Test {
 protected:
  void SetUp() override { Open(); }

  void Open() {
    lsm::StoreOptions options;
    options.file_system = &fs_;
    options.background_threads = false;
    options.partition_of = PartitionPrefix;
    options.filter_prefix_bytes = kSeriesPrefixBytes;
    idle_ = std::make_unique<IdleSeries>(kSeed, cache_bytes_, account_);
    options.compaction_filter = [idle = idle_.get()](std::string_view key, std::string_view value) {
      return idle->IsGarbage(key, value) ? lsm::FilterDecision::kRemove
                                         : lsm::FilterDecision::kKeep;
    };
    auto store = lsm::Store::Open("store", options);
    ASSERT_OK(store);
    store_ = *std::move(store);
    ASSERT_OK(idle_->Load(store_.get()));
  }
  void Reopen(bool flush) {
    if (flush) {
      ASSERT_OK(store_->Flush());
    }
    store_.reset();
    idle_.reset();
    Open();
  }

  // skip_wal as the database does: what is not flushed is lost with the process.
  absl::Status Write(const lsm::WriteBatch& batch) {
    lsm::WriteOptions options;
    options.skip_wal = true;
    const absl::Status status = store_->Write(options, batch);
    if (status.ok()) {
      idle_->Publish();
    } else {
      idle_->Discard();
    }
    return status;
  }
  absl::Status GoIdle(const Labels& labels, SeriesId id, uint32_t partition) {
    lsm::WriteBatch batch;
    const IdleSeries::Series series{id, labels.canonical_bytes(), partition};
    idle_->PutIdle({&series, 1}, &batch);
    return Write(batch);
  }
  absl::StatusOr<std::optional<IdleSeries::Found>> Find(const std::string& canonical) {
    const std::string_view wanted = canonical;
    auto found = idle_->Find({&wanted, 1});
    if (!found.ok()) return found.status();
    return found->front();
  }
  void Drop(uint32_t partition) {
    idle_->Hide(partition);
    ASSERT_OK(store_->Flush());
    ASSERT_OK(store_->DropRange(ChunkPrefix(Tier::kIdle, 0), ChunkPrefix(Tier::kIdle, partition)));
    idle_->Forget(partition);
  }
  uint64_t Size() {
    uint64_t size = 0;
    EXPECT_OK(idle_->ForEach(UINT32_MAX, [&](const IdleSeries::Series&) { ++size; }));
    return size;
  }
  uint64_t RowsAfterCompaction() {
    EXPECT_OK(store_->CompactRange("", ""));
    const auto rows = store_->NewIterator({});
    uint64_t left = 0;
    for (rows->SeekToFirst(); rows->Valid(); rows->Next()) ++left;
    EXPECT_OK(rows->status());
    return left;
  }
  Map All(uint32_t partition, const lsm::Snapshot& snapshot) {
    Map all;
    const auto groups = idle_->Groups(partition, snapshot);
    EXPECT_OK(groups);
    if (!groups.ok()) return all;
    for (const auto& group : *groups) {
      for (const SeriesRef ref : group->Match({}).refs) {
        std::string labels;
        SeriesId id = 0;
        EXPECT_TRUE(group->Describe(ref, &id, &labels));
        EXPECT_TRUE(all.emplace(labels, Place{id, 0}).second);
      }
    }
    return all;
  }

  testing::MemoryFileSystem fs_;
  size_t cache_bytes_ = 1 << 20;
  MemoryAccount* account_ = nullptr;
  std::unique_ptr<IdleSeries> idle_;  // before the store, which calls it
  std::unique_ptr<lsm::Store> store_;
};

Labels Numbered(uint32_t i) { return Labels::Of(StrCat("m", i % 3), {{"pod", StrCat("pod-", i)}}); }

TEST_F(IdleSeriesTest, IsWhatAMapIs) {
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    std::mt19937 random(seed);
    Map model;
    uint32_t oldest = seed * 1000;  // all before is dropped
    struct Then {
      std::unique_ptr<const lsm::Snapshot> snapshot;
      Map model;
      uint32_t oldest;
    };
    std::deque<Then> then;
    SeriesId next_id = SeriesId{seed} << 40;
    for (int step = 0; step < 800; ++step) {
      const std::string labels = Numbered(seed * 1000 + random() % 60).canonical_bytes();
      const auto known = model.find(labels);
      const auto found = Find(labels);
      ASSERT_OK(found);
      ASSERT_EQ(found->has_value(), known != model.end());
      if (known == model.end()) {
        lsm::WriteBatch nothing;
        ASSERT_OK(idle_->PutRevived(labels, &nothing));
        ASSERT_TRUE(nothing.empty());
        const uint32_t partition = oldest + random() % 6;
        ASSERT_OK(GoIdle(*Labels::FromCanonicalBytes(labels), next_id, partition));
        model[labels] = {next_id++, partition};
      } else {
        ASSERT_EQ((*found)->id, known->second.id);
        ASSERT_EQ((*found)->partition, known->second.partition);
        if (random() % 2 == 0) {
          lsm::WriteBatch batch;
          ASSERT_OK(idle_->PutRevived(labels, &batch));
          if (random() % 8 == 0) {
            idle_->Discard();
          } else {
            ASSERT_OK(Write(batch));
            model.erase(known);
          }
        }
      }
      ASSERT_EQ(Size(), model.size());
      const auto expect_all = [&](const lsm::Snapshot& snapshot, const Map& expected) {
        const uint32_t from = oldest + random() % 8;
        Map some;
        for (const auto& [text, place] : expected) {
          if (place.partition >= from) some[text] = {place.id, 0};
        }
        ASSERT_EQ(All(from, snapshot), some);
      };
      if (random() % 4 == 0) expect_all(*store_->NewSnapshot(), model);
      if (random() % 10 == 0) then.push_back({store_->NewSnapshot(), model, oldest});
      if (!then.empty() && random() % 3 == 0) {
        const Then& some = then[random() % then.size()];
        expect_all(*some.snapshot, some.model);
        if (random() % 3 == 0) then.pop_front();
      }
      if (random() % 100 == 0) {
        then.clear();
        oldest += 1 + random() % 3;
        Drop(oldest);
        std::erase_if(model, [&](const auto& entry) { return entry.second.partition < oldest; });
      }
      if (random() % 100 == 0) {
        then.clear();
        Reopen(/*flush=*/true);
      }
      if (::testing::Test::HasFatalFailure()) return;
    }
    then.clear();
    Drop(seed * 1000 + 1000);
    ASSERT_TRUE(idle_->empty());
    EXPECT_EQ(RowsAfterCompaction(), 0u);  // nothing is left behind
  }
}

TEST_F(IdleSeriesTest, WhatWasNotFlushedIsLostAsAWhole) {
  ASSERT_OK(GoIdle(Numbered(1), 1, 10));
  ASSERT_OK(store_->Flush());
  ASSERT_OK(GoIdle(Numbered(2), 2, 10));
  Reopen(/*flush=*/false);
  EXPECT_EQ(Size(), 1u);
  EXPECT_TRUE((*Find(Numbered(1).canonical_bytes())).has_value());
  EXPECT_FALSE((*Find(Numbered(2).canonical_bytes())).has_value());
}

// What points to a group may be gone only when the group is, durably: else a series of it could not
// be found, and would be made once more.
TEST_F(IdleSeriesTest, AGroupIsNotSeenFromTheFirstAndWhatPointsToItLeavesLast) {
  for (uint32_t i = 0; i < 100; ++i) ASSERT_OK(GoIdle(Numbered(i), i + 1, 10));
  ASSERT_OK(GoIdle(Labels::Of("stays"), 1000, 11));
  EXPECT_FALSE(idle_->Hide(10));
  EXPECT_TRUE(idle_->Hide(11));
  EXPECT_EQ(Size(), 1u);
  EXPECT_FALSE((*Find(Numbered(5).canonical_bytes())).has_value());
  EXPECT_EQ(All(0, *store_->NewSnapshot()).size(), 1u);
  EXPECT_EQ(RowsAfterCompaction(), 202u);
  Reopen(/*flush=*/true);  // it was not dropped after all
  EXPECT_EQ(Size(), 101u);
  EXPECT_TRUE((*Find(Numbered(5).canonical_bytes())).has_value());
  Drop(11);
  EXPECT_EQ(RowsAfterCompaction(), 2u);  // of the one that stays
  EXPECT_TRUE((*Find(Labels::Of("stays").canonical_bytes())).has_value());
}

// A row that points to a group that was dropped, and made anew for backfilled samples.
TEST_F(IdleSeriesTest, WhatPointsToAnEarlierGroupOfThePartitionFindsNothing) {
  ASSERT_OK(GoIdle(Numbered(1), 1, 10));
  Drop(11);
  ASSERT_OK(GoIdle(Numbered(2), 2, 10));
  EXPECT_FALSE((*Find(Numbered(1).canonical_bytes())).has_value());
  EXPECT_TRUE((*Find(Numbered(2).canonical_bytes())).has_value());
}

// Else each query of the last minutes would load the group that grows just now, again and again.
TEST_F(IdleSeriesTest, AGroupWithoutASampleInTheTimesOfAQueryIsNotLoaded) {
  const auto accountant = std::make_unique<MemoryAccountant>(0);
  account_ = accountant->NewAccount("idle series");
  Reopen(/*flush=*/true);
  const Labels labels = Numbered(1);
  lsm::WriteBatch batch;
  const IdleSeries::Series series{1, labels.canonical_bytes(), 10, /*last_ms=*/5000};
  idle_->PutIdle({&series, 1}, &batch);
  ASSERT_OK(Write(batch));
  EXPECT_TRUE(idle_->Groups(10, *store_->NewSnapshot(), /*from_ms=*/5001)->empty());
  EXPECT_EQ(account_->used(), 0u);
  EXPECT_EQ(idle_->Groups(10, *store_->NewSnapshot(), /*from_ms=*/5000)->size(), 1u);
  Reopen(/*flush=*/true);  // what is in it is not known any more
  EXPECT_EQ(idle_->Groups(10, *store_->NewSnapshot(), /*from_ms=*/5001)->size(), 1u);
  store_.reset();
  idle_.reset();
}

TEST_F(IdleSeriesTest, AnEqualFingerprintIsNotTrusted) {
  ASSERT_OK(GoIdle(Numbered(1), 1, 10));
  const std::string other = Numbered(2).canonical_bytes();
  ASSERT_OK(store_->Put(IdleLookupKey(SeriesKeyOfCanonicalBytes(other, kSeed), 1),
                        std::string("\0\0\0\x0a", 4)));
  EXPECT_FALSE((*Find(other)).has_value());
}

TEST_F(IdleSeriesTest, LoadedGroupsAreKeptWhileThereIsRoom) {
  // Not on the stack: GCC 12's AddressSanitizer does not align locals to 64 bytes.
  const auto accountant = std::make_unique<MemoryAccountant>(0);
  account_ = accountant->NewAccount("idle series");
  cache_bytes_ = 200 << 10;
  Reopen(/*flush=*/true);
  for (uint32_t i = 0; i < 5000; ++i) ASSERT_OK(GoIdle(Numbered(i), i + 1, 10 + i % 10));
  const auto snapshot = store_->NewSnapshot();
  const auto first = idle_->Groups(19, *snapshot);
  ASSERT_OK(first);
  EXPECT_GT(account_->used(), 0u);
  const auto again = idle_->Groups(19, *snapshot);
  EXPECT_EQ(first->at(0), again->at(0));  // the same object
  EXPECT_EQ(idle_->Groups(10, *snapshot)->size(), 10u);
  EXPECT_LE(account_->used(), cache_bytes_);
  idle_.reset();
  EXPECT_EQ(account_->used(), 0u);
}

TEST_F(IdleSeriesTest, DamagedRowsAreDataLoss) {
  ASSERT_OK(GoIdle(Numbered(1), 1, 10));
  const std::string labels = Numbered(1).canonical_bytes();
  const SeriesKey key = SeriesKeyOfCanonicalBytes(labels, kSeed);
  ASSERT_OK(store_->Put(IdleSeriesKey(10, 2), "no labels"));
  EXPECT_CODE(idle_->Groups(10, *store_->NewSnapshot()), absl::StatusCode::kDataLoss);
  ASSERT_OK(store_->Put(IdleSeriesKey(10, 2), labels));  // twice
  EXPECT_CODE(idle_->Groups(10, *store_->NewSnapshot()), absl::StatusCode::kDataLoss);
  ASSERT_OK(store_->Put(IdleLookupKey(key, 1), "short"));
  EXPECT_CODE(Find(labels), absl::StatusCode::kDataLoss);
  ASSERT_OK(
      store_->Put("\x04"
                  "abc",
                  "too short"));
  EXPECT_CODE(IdleSeries(kSeed, 1 << 20, nullptr).Load(store_.get()), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace tinyobs::tsdb
