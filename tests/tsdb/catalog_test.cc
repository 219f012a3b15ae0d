// The catalog's way into the LSM: rows in bounded batches, nothing left out and nothing twice.
#include "lib/tsdb/catalog.h"

#include <set>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/tsdb/series_index.h"

namespace tinyobs::tsdb {
namespace {

// The keys of a batch.
class Keys : public lsm::WriteBatch::Handler {
 public:
  void Put(std::string_view key, std::string_view value) override {
    EXPECT_TRUE(seen.emplace(key).second) << EscapeForMessage(key);
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
    index.Add(ref, index.NewSeriesId("m"), labels.canonical_bytes());
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
  EXPECT_EQ(keys.seen.size(), 3200u);
  EXPECT_GT(batches, 4u);
}

}  // namespace
}  // namespace tinyobs::tsdb
