// Chunks in the LSM: reading them back, counting each time once, and late chunks on top of others.
#include "lib/tsdb/chunk_store.h"

#include <map>
#include <random>

#include "gtest/gtest.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

using Samples = std::map<int64_t, double>;

class ChunkStoreTest : public ::testing::Test {
 protected:
  ChunkStoreTest() {
    lsm::StoreOptions options;
    options.file_system = &disk_;
    options.background_threads = false;
    options.partition_of = PartitionPrefix;
    auto store = lsm::Store::Open("lsm", options);
    EXPECT_OK(store);
    store_ = *std::move(store);
    Reload();
  }

  void Reload() {
    chunks_.emplace(store_.get(), Partitioning(1000));
    ASSERT_OK(chunks_->Load());
  }

  // Writes one chunk as the sealer would, and notes it in `expected_`.
  void Write(const Samples& samples, bool may_overlap) {
    std::vector<int64_t> times;
    std::vector<double> values;
    for (const auto& [time, value] : samples) {
      times.push_back(time);
      values.push_back(value);
      expected_[time] = value;
    }
    const ChunkStore::NewChunk chunk{kSeries, ++generation_, times, values};
    ASSERT_OK(may_overlap ? chunks_->WriteOverlapping(chunk) : chunks_->Write({&chunk, 1}));
    chunks_->Publish();
  }

  Samples Read(TimeRange range = {}) {
    ColumnMerger merger;
    merger.Start(range);
    const auto iterator = store_->NewIterator({});
    EXPECT_OK(
        chunks_->Read(kSeries, range, chunks_->Partitions(range), 0, iterator.get(), &merger));
    Columns columns;
    merger.Finish(&columns);
    Samples samples;
    for (size_t i = 0; i < columns.size(); ++i) {
      samples[columns.timestamps_ms[i]] = columns.values[i];
    }
    EXPECT_EQ(samples.size(), columns.size());
    return samples;
  }

  static constexpr SeriesId kSeries = SeriesId{5} << 32 | 7;
  testing::MemoryFileSystem disk_;
  std::unique_ptr<lsm::Store> store_;
  std::optional<ChunkStore> chunks_;
  Generation generation_ = Generation{3} << 32;
  Samples expected_;
};

TEST_F(ChunkStoreTest, ChunksOfSeveralPartitionsAreReadInOrder) {
  Write({{10, 1}, {20, 2}}, false);
  Write({{30, 3}, {999, 4}}, false);
  Write({{1000, 5}}, false);
  Write({{-1, 6}}, false);
  EXPECT_EQ(Read(), expected_);
  EXPECT_EQ(Read({15, 999}), (Samples{{20, 2}, {30, 3}, {999, 4}}));
  EXPECT_EQ(chunks_->Partitions({0, 999}), (std::vector<uint32_t>{kPartitionBias}));
  EXPECT_EQ(chunks_->Partitions({1, 0}), std::vector<uint32_t>{});
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(chunks_->Totals().samples, 6u);
    EXPECT_EQ(chunks_->Totals().chunks, 4u);
    EXPECT_EQ(chunks_->Totals().oldest_ms, -1);
    EXPECT_EQ(chunks_->Totals().newest_ms, 1000);
    Reload();
  }
}

TEST_F(ChunkStoreTest, ALateChunkWinsAndItsTimesAreCountedOnce) {
  Write({{10, 1}, {20, 2}, {30, 3}}, false);
  Write({{15, 9}, {20, 9}}, true);
  EXPECT_EQ(Read(), expected_);
  EXPECT_EQ(chunks_->Totals().samples, 4u);
  EXPECT_EQ(chunks_->Totals().chunks, 2u);
}

TEST_F(ChunkStoreTest, AChunkWithTheSameFirstTimeReplacesNothingButEqualTimes) {
  Write({{10, 1}, {20, 2}, {30, 3}}, false);
  Write({{10, 9}}, true);
  EXPECT_EQ(Read(), expected_);
  EXPECT_EQ(chunks_->Totals().samples, 3u);
  EXPECT_EQ(chunks_->Totals().chunks, 1u);
}

// Merging must take every chunk that can tell the difference. A and B overlap, C overlaps A only:
// were A merged with C alone, A's old value at 20 would become newer than B's.
TEST_F(ChunkStoreTest, MergingTakesTheWholeOverlappingGroup) {
  Write({{10, 1}, {20, 1}, {30, 1}}, false);
  Write({{20, 2}, {40, 2}}, true);
  Write({{10, 3}}, true);
  EXPECT_EQ(Read(), expected_);
  EXPECT_EQ(Read().at(20), 2);
  EXPECT_EQ(chunks_->Totals().samples, 4u);
}

// The group may grow to the left, to chunks that were looked at already: the last chunk overlaps B
// but not A, and A is newer than B where those two overlap.
TEST_F(ChunkStoreTest, MergingGrowsTheGroupToEarlierChunksToo) {
  Write({{40, 1}, {50, 1}, {100, 1}}, false);  // B
  Write({{0, 2}, {50, 2}}, true);              // A
  for (int i = 0; i < 7; ++i) Write({{80 + i, 3}, {100 + i, 3}}, true);
  ASSERT_EQ(chunks_->Totals().chunks, 9u);
  Write({{95, 4}, {99, 4}}, true);
  EXPECT_EQ(chunks_->Totals().chunks, 1u);
  EXPECT_EQ(Read(), expected_);
  EXPECT_EQ(Read().at(50), 2);
}

TEST_F(ChunkStoreTest, OverlapIsBounded) {
  for (int i = 0; i < 100; ++i) Write({{100 - i, i}, {500 + i, i}}, true);
  EXPECT_EQ(Read(), expected_);
  EXPECT_LE(chunks_->Totals().chunks, kMaxOverlap + 1);
  EXPECT_EQ(chunks_->Totals().samples, 200u);
}

TEST_F(ChunkStoreTest, RandomLateChunksAgreeWithAMap) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 60; ++i) {
      Samples samples;
      const int64_t partition = static_cast<int64_t>(random() % 3) * 1000;
      const int64_t start = static_cast<int64_t>(random() % 900);
      for (uint64_t count = 1 + random() % 30; count > 0; --count) {
        const int64_t offset = start + static_cast<int64_t>(random() % (random() % 2 ? 100 : 900));
        samples[partition + offset % 1000] = static_cast<double>(random() % 1000);
      }
      Write(samples, true);
    }
    ASSERT_EQ(Read(), expected_);
    ASSERT_EQ(chunks_->Totals().samples, expected_.size());
  }
}

TEST_F(ChunkStoreTest, ARowUnderTheWrongKeyIsDataLoss) {
  Write({{10, 1}, {20, 2}}, false);
  const std::string key = EncodeChunkKey({Tier::kRaw, kPartitionBias, kSeries, 10});
  std::string value;
  ASSERT_OK(store_->Get(key, &value));
  for (const ChunkKey wrong : {ChunkKey{Tier::kRaw, kPartitionBias, kSeries, 11},
                               ChunkKey{Tier::kRaw, kPartitionBias + 1, kSeries, 10}}) {
    EXPECT_CODE(ParseStoredChunk(wrong, Partitioning(1000), value), absl::StatusCode::kDataLoss);
  }
  const ChunkKey right{Tier::kRaw, kPartitionBias, kSeries, 10};
  EXPECT_OK(ParseStoredChunk(right, Partitioning(1000), value));
  EXPECT_CODE(ParseStoredChunk(right, Partitioning(15), value), absl::StatusCode::kDataLoss);
  EXPECT_CODE(ParseStoredChunk(right, Partitioning(1000), ""), absl::StatusCode::kDataLoss);
}

TEST(KeySchema, KeysSortByTierPartitionSeriesAndTime) {
  std::vector<std::string> keys;
  const Partitioning partitioning(1000);
  for (const int64_t time :
       {int64_t{-2001}, int64_t{-1}, int64_t{0}, int64_t{999}, int64_t{1000}}) {
    keys.push_back(EncodeChunkKey(RawChunkKey(partitioning, 9, time)));
  }
  keys.push_back(EncodeChunkKey({Tier::kRaw, UINT32_MAX, 1, 0}));
  keys.push_back(EncodeChunkKey({Tier::kRaw, UINT32_MAX, 2, 0}));
  keys.push_back(EncodeChunkKey({Tier::kFiveMinutes, 0, 0, 0}));
  EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
  EXPECT_LT(SeriesRowKey(UINT64_MAX), keys[0]);
  for (const std::string& key : keys) {
    ChunkKey decoded;
    ASSERT_TRUE(DecodeChunkKey(key, &decoded));
    EXPECT_EQ(EncodeChunkKey(decoded), key);
    EXPECT_EQ(PartitionPrefix(key), key.substr(0, 5));
  }
  EXPECT_EQ(PartitionPrefix(SeriesRowKey(3)), std::string(1, '\0'));
  ChunkKey decoded;
  EXPECT_FALSE(DecodeChunkKey(SeriesRowKey(3), &decoded));
  EXPECT_FALSE(DecodeChunkKey(std::string(kChunkKeyBytes, '\x09'), &decoded));
}

TEST(KeySchema, PartitionsAreCutTowardsMinusInfinity) {
  const Partitioning partitioning(1000);
  EXPECT_EQ(partitioning.NumberOf(0), kPartitionBias);
  EXPECT_EQ(partitioning.NumberOf(-1), kPartitionBias - 1);
  EXPECT_EQ(partitioning.NumberOf(-1000), kPartitionBias - 1);
  EXPECT_EQ(partitioning.NumberOf(-1001), kPartitionBias - 2);
  EXPECT_EQ(partitioning.StartOf(-1), -1000);
  EXPECT_EQ(partitioning.EndOf(-1), 0);
  EXPECT_EQ(partitioning.NumberOf(INT64_MIN), 0u);
  EXPECT_EQ(partitioning.NumberOf(INT64_MAX), UINT32_MAX);
  EXPECT_FALSE(partitioning.Contains(INT64_MIN));
  EXPECT_TRUE(partitioning.Contains(int64_t{INT32_MAX} * 1000 + 999));
  EXPECT_FALSE(partitioning.Contains(int64_t{INT32_MAX} * 1000 + 1000));
}

}  // namespace
}  // namespace tinyobs::tsdb
