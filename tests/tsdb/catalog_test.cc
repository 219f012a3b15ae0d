// The catalog's way into the LSM and back: rows in bounded batches, nothing left out and nothing
// twice; what comes next is never what was before, whatever was removed.
#include "lib/tsdb/catalog.h"

#include <set>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/tsdb/series_index.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

// The keys of a batch.
class Keys : public lsm::WriteBatch::Handler {
 public:
  void Put(std::string_view key, std::string_view value) override {
    const bool is_new = seen.emplace(key).second;
    EXPECT_TRUE(is_new || key == RowPrefix(RowKind::kNext)) << EscapeForMessage(key);
    largest_row = std::max(largest_row, key.size() + value.size());
  }
  void Delete(std::string_view key) override { FAIL(); }

  std::set<std::string> seen;
  size_t largest_row = 0;
};

// An LSM batch has a limit, and one over it could never be written again: the database would not
// open any more.
TEST(Catalog, RowsAreSavedInBoundedBatchesHoweverLargeTheyAre) {
  SeriesIndex index(/*fingerprint_seed=*/1);
  Catalog catalog(&index, /*metadata_limit=*/0);
  const std::string large(60'000, 'x');
  for (SeriesRef ref = 0; ref < 200; ++ref) {
    const Labels labels = Labels::Of("m", {{"i", std::to_string(ref)}, {"large", large}});
    index.Add(ref, index.NewSeriesId("m", ref), labels.canonical_bytes());
  }
  for (int i = 0; i < 3000; ++i) {
    catalog.SetMetadata(StrCat("m", i), {"gauge", std::string(4000, 'h'), ""});
  }
  Keys keys;
  size_t batches = 0;
  while (true) {
    lsm::WriteBatch batch;
    const Catalog::Unsaved unsaved = catalog.PutUnsaved(1024, &batch);
    if (batch.empty()) break;
    EXPECT_LT(batch.size_bytes(), size_t{5} << 20);
    ASSERT_TRUE(lsm::WriteBatch::Decode(batch.entries(), batch.count(), &keys).ok());
    catalog.MarkSaved(unsaved);
    ASSERT_LT(++batches, 100u);
  }
  EXPECT_EQ(keys.seen.size(), 3201u);  // and what comes next
  EXPECT_GT(batches, 4u);
}

// A commit raises the next ref before it adds the series; the sealer may save in between.
TEST(Catalog, SeriesThatAreAddedAfterTheirNumbersWereGivenAreSaved) {
  SeriesIndex index(/*fingerprint_seed=*/1);
  Catalog catalog(&index, /*metadata_limit=*/0);
  Keys keys;
  const auto add = [&](SeriesRef ref) {
    const Labels labels = Labels::Of("m", {{"i", std::to_string(ref)}});
    index.Add(ref, index.NewSeriesId("m", ref), labels.canonical_bytes());
  };
  const auto save = [&] {
    lsm::WriteBatch batch;
    const Catalog::Unsaved unsaved = catalog.PutUnsaved(1024, &batch);
    ASSERT_OK(lsm::WriteBatch::Decode(batch.entries(), batch.count(), &keys));
    catalog.MarkSaved(unsaved);
  };
  add(0);
  index.RaiseNext(3, 0);
  save();
  add(1);
  add(2);
  save();
  EXPECT_EQ(keys.seen.size(), 4u);  // and what comes next
}

class CatalogStoreTest : public ::testing::Test {
 protected:
  // An index and its catalog, as an open of the database makes them.
  struct Life {
    Life() : catalog(&index, 0) {}
    SeriesIndex index{7};
    Catalog catalog;
  };

  void SetUp() override {
    lsm::StoreOptions options;
    options.file_system = &fs_;
    options.background_threads = false;
    options.partition_of = PartitionPrefix;
    auto store = lsm::Store::Open("store", options);
    ASSERT_OK(store);
    store_ = *std::move(store);
    Begin();
  }
  void Begin() {
    life_ = std::make_unique<Life>();
    ASSERT_OK(life_->catalog.Load(*store_));
  }
  SeriesRef Add(int i) {
    SeriesIndex& index = life_->index;
    const SeriesRef ref = index.next_ref();
    index.Add(ref, index.NewSeriesId(StrCat("m", i % 3), ref), LabelsOf(i).canonical_bytes());
    return ref;
  }
  static Labels LabelsOf(int i) {
    return Labels::Of(StrCat("m", i % 3), {{"i", std::to_string(i)}});
  }
  void Save() {
    lsm::WriteBatch batch;
    const Catalog::Unsaved unsaved = life_->catalog.PutUnsaved(1000, &batch);
    ASSERT_OK(store_->Write({}, batch));
    life_->catalog.MarkSaved(unsaved);
  }
  void Remove(const std::vector<SeriesRef>& refs) {
    std::vector<SeriesId> ids;
    for (const SeriesRef ref : refs) ids.push_back(life_->index.IdOf(ref));
    lsm::WriteBatch batch;
    life_->catalog.PutRemoved(ids, &batch);
    ASSERT_OK(store_->Write({}, batch));
    life_->index.Remove(refs);
  }

  testing::MemoryFileSystem fs_;
  std::unique_ptr<lsm::Store> store_;
  std::unique_ptr<Life> life_;
};

TEST_F(CatalogStoreTest, SeriesComeBackAsTheyWere) {
  for (int i = 0; i < 50; ++i) Add(i);
  life_->catalog.SetMetadata("m1", {"gauge", "help", "s"});
  Save();
  std::unique_ptr<Life> before = std::move(life_);
  Begin();
  EXPECT_EQ(life_->index.size(), 50u);
  EXPECT_EQ(life_->index.next_ref(), 50u);
  EXPECT_EQ(life_->catalog.saved_end(), 50u);
  for (SeriesRef ref = 0; ref < 50; ++ref) {
    EXPECT_EQ(life_->index.IdOf(ref), before->index.IdOf(ref));
    EXPECT_EQ(life_->index.LabelsOf(ref), LabelsOf(static_cast<int>(ref)));
  }
  EXPECT_EQ(life_->catalog.Metadata("m1").help, "help");
  lsm::WriteBatch batch;
  life_->catalog.PutUnsaved(1000, &batch);
  EXPECT_TRUE(batch.empty());
}

TEST_F(CatalogStoreTest, RefsAndIdsOfTheRemovedAreNotGivenAgain) {
  for (int i = 0; i < 9; ++i) Add(i);
  Save();
  const SeriesId last = life_->index.IdOf(8);
  Remove({8, 7, 5, 2});  // all of m2
  Begin();
  EXPECT_EQ(life_->index.size(), 5u);
  EXPECT_EQ(Add(8), 9u);
  EXPECT_NE(life_->index.IdOf(9) >> 32, last >> 32);  // the metric came anew
  Remove({0, 1, 3, 4, 6});
  Begin();
  EXPECT_EQ(life_->index.next_ref(), 10u);
}

// Refs that were given but not saved lie below the next one that a removal wrote. They come from
// the head log, and are not taken for saved.
TEST_F(CatalogStoreTest, SeriesOfTheLogComeAfterARemovalToldOfThem) {
  for (int i = 0; i < 5; ++i) Add(i);
  Save();
  for (int i = 5; i < 10; ++i) Add(i);
  Remove({1});
  std::unique_ptr<Life> before = std::move(life_);
  Begin();
  EXPECT_EQ(life_->index.next_ref(), 10u);
  for (SeriesRef ref = 4; ref < 10; ++ref) {
    ASSERT_OK(life_->catalog.Replay(
        {ref, before->index.IdOf(ref), LabelsOf(static_cast<int>(ref)).canonical_bytes()}));
  }
  EXPECT_EQ(life_->catalog.saved_end(), 5u);
  Save();
  Begin();
  EXPECT_EQ(life_->index.size(), 9u);
  // Another ref, another id, one that was given to others, one too far away.
  const std::string known = LabelsOf(4).canonical_bytes();
  const std::string unknown = LabelsOf(40).canonical_bytes();
  const SeriesId id = life_->index.IdOf(4);
  EXPECT_CODE(life_->catalog.Replay({5, id, known}), absl::StatusCode::kDataLoss);
  EXPECT_CODE(life_->catalog.Replay({4, id + 1, known}), absl::StatusCode::kDataLoss);
  EXPECT_CODE(life_->catalog.Replay({9, id, unknown}), absl::StatusCode::kDataLoss);
  EXPECT_CODE(life_->catalog.Replay({1 << 30, id, unknown}), absl::StatusCode::kDataLoss);
  EXPECT_CODE(life_->catalog.Replay({10, id, "x"}), absl::StatusCode::kDataLoss);
}

TEST_F(CatalogStoreTest, SeriesThatAreRemovedBeforeTheyAreSavedGetNoRow) {
  for (int i = 0; i < 10; ++i) Add(i);
  life_->index.Remove(std::vector<SeriesRef>{0, 4, 9});
  Save();
  EXPECT_EQ(life_->catalog.saved_end(), 10u);
  Begin();
  EXPECT_EQ(life_->index.Match({}).refs, (std::vector<SeriesRef>{1, 2, 3, 5, 6, 7, 8}));
  EXPECT_EQ(life_->index.next_ref(), 10u);
}

// An id from an earlier life, under a new ref: the caller has to take it out of the idle series.
TEST_F(CatalogStoreTest, SeriesThatWereIdleAreNamedWhenTheyAreSaved) {
  Add(0);
  life_->index.Add(1, SeriesId{1} << 32, LabelsOf(3).canonical_bytes());
  lsm::WriteBatch batch;
  const Catalog::Unsaved unsaved = life_->catalog.PutUnsaved(1000, &batch);
  EXPECT_EQ(unsaved.revived, std::vector<std::string>{LabelsOf(3).canonical_bytes()});
}

// A snapshot ends at what was saved; the log tells the rest. After a power failure rows may be
// there of which the log has lost the end.
TEST_F(CatalogStoreTest, RowsThatNeitherSnapshotNorLogToldOfAreReadToo) {
  for (int i = 0; i < 6; ++i) Add(i);
  Save();
  const auto load = [&](SeriesRef snapshot_end, SeriesRef log_end) {
    const std::unique_ptr<Life> whole = std::move(life_);
    life_ = std::make_unique<Life>();
    for (SeriesRef ref = 0; ref < snapshot_end; ++ref) {
      life_->index.Add(ref, whole->index.IdOf(ref), whole->index.LabelsOf(ref).canonical_bytes());
    }
    ASSERT_OK(life_->catalog.Load(*store_, snapshot_end));
    EXPECT_EQ(life_->index.next_ref(), 6u);
    EXPECT_EQ(life_->index.size(), snapshot_end);  // the rows are not read
    for (SeriesRef ref = snapshot_end; ref < log_end; ++ref) {
      ASSERT_OK(life_->catalog.Replay(
          {ref, whole->index.IdOf(ref), whole->index.LabelsOf(ref).canonical_bytes()}));
    }
    ASSERT_OK(life_->catalog.LoadMissing(*store_));
    EXPECT_EQ(life_->index.size(), 6u);
    for (SeriesRef ref = 0; ref < 6; ++ref) {
      EXPECT_EQ(life_->index.LabelsOf(ref), whole->index.LabelsOf(ref));
    }
    EXPECT_EQ(life_->catalog.saved_end(), snapshot_end);
  };
  load(6, 6);
  load(3, 6);
  load(3, 4);
  load(0, 0);
}

TEST_F(CatalogStoreTest, DamagedRowsAreDataLoss) {
  Add(0);
  Save();
  const auto expect_data_loss = [&](const std::string& key, const std::string& value) {
    std::string good;
    const absl::Status there = store_->Get(key, &good);
    ASSERT_OK(store_->Put(key, value));
    Life life;
    EXPECT_CODE(life.catalog.Load(*store_), absl::StatusCode::kDataLoss) << EscapeForMessage(value);
    ASSERT_OK(there.ok() ? store_->Put(key, good) : store_->Delete(key));
  };
  const std::string labels = LabelsOf(0).canonical_bytes();
  expect_data_loss(SeriesRowKey(99), "\x05" + labels);  // labels twice
  expect_data_loss(SeriesRowKey(99), std::string(1, '\0') + LabelsOf(1).canonical_bytes());
  expect_data_loss(SeriesRowKey(99), "\x05");
  expect_data_loss(SeriesRowKey(99), "\xff\xff\xff\xff\xff\x7f" + labels);
  expect_data_loss(SeriesRowKey(99) + "x", "\x05" + LabelsOf(1).canonical_bytes());
  expect_data_loss(RowPrefix(RowKind::kNext), "\x05");
  expect_data_loss(RowPrefix(RowKind::kNext), "\x05\x05\x05");
  expect_data_loss(RowPrefix(RowKind::kNext), "\xff\xff\xff\xff\xff\x7f\x01");
  expect_data_loss(MetricMetadataRowKey("m"), "\x09");
  Begin();
}

TEST_F(CatalogStoreTest, LoadingStopsAtTheMemoryItIsGiven) {
  for (int i = 0; i < 1000; ++i) Add(i);
  Save();
  const size_t bytes = life_->index.MemoryBytes();
  for (const size_t most_bytes : {bytes / 2, bytes / 16, size_t{1}}) {
    Life life;
    EXPECT_CODE(life.catalog.Load(*store_, std::nullopt, most_bytes),
                absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(life.index.size(), 0u);
  }
  Life life;
  ASSERT_OK(life.catalog.Load(*store_, std::nullopt, 2 * bytes));
  EXPECT_EQ(life.index.size(), 1000u);
}

TEST_F(CatalogStoreTest, ARepairIsToldWhichSeriesAreThereTwice) {
  Add(1);
  Add(2);
  Save();
  std::string row;
  ASSERT_OK(store_->Get(SeriesRowKey(life_->index.IdOf(1)), &row));
  const SeriesId twin = SeriesId{9} << 32 | 77;
  ASSERT_OK(store_->Put(SeriesRowKey(twin), row));
  Life life;
  EXPECT_CODE(life.catalog.Load(*store_), absl::StatusCode::kDataLoss);
  Life repaired;
  std::vector<SeriesId> twins;
  ASSERT_OK(repaired.catalog.Load(*store_, std::nullopt, SIZE_MAX, &twins));
  EXPECT_EQ(twins, std::vector<SeriesId>{twin});
  EXPECT_EQ(repaired.index.size(), 2u);
}

}  // namespace
}  // namespace tinyobs::tsdb
