// Chunks in the LSM: reading them back, counting each time once, and late chunks on top of others.
#include "lib/tsdb/chunk_store.h"

#include <random>

#include "tests/tsdb/chunk_store_testing.h"

namespace tinyobs::tsdb {
namespace {

TEST_F(ChunkStoreTest, ChunksOfSeveralPartitionsAreReadInOrder) {
  Write({{-1, 6}});
  Write({{10, 1}, {20, 2}});
  Write({{30, 3}, {9999, 4}});
  Write({{10'000, 5}});
  EXPECT_EQ(Read(), model_[kSeries]);
  EXPECT_EQ(Read({15, 9999}), (Samples{{20, 2}, {30, 3}, {9999, 4}}));
  EXPECT_EQ(Read({40, 50}), Samples());
  EXPECT_EQ(chunks_->Partitions({0, 9999}), (std::vector<uint32_t>{Number(0)}));
  EXPECT_EQ(chunks_->Partitions({1, 0}), std::vector<uint32_t>{});
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(chunks_->Totals().samples, 6u);
    EXPECT_EQ(chunks_->Totals().chunks, 4u);
    EXPECT_EQ(chunks_->Totals().unmerged_chunks, 4u);
    EXPECT_EQ(chunks_->Totals().oldest_ms, -1);
    EXPECT_EQ(chunks_->Totals().newest_ms, 10'000);
    Flush();
    Close();
    Open();
  }
}

TEST_F(ChunkStoreTest, ALateChunkWinsAndItsTimesAreCountedOnce) {
  Write({{10, 1}, {20, 2}, {30, 3}});
  Write({{15, 9}, {20, 9}});
  Check();
  EXPECT_EQ(chunks_->Totals().samples, 4u);
  EXPECT_EQ(chunks_->Totals().chunks, 2u);
}

// One byte a chunk, for nearly all of them.
TEST_F(ChunkStoreTest, WhatOverlapsNothingIsOfGenerationZeroHoweverItWasWritten) {
  Write({{500, 1}});
  Write({{10, 1}, {20, 2}});  // late, but nothing is there
  for (const std::string& key : Keys()) {
    std::string value;
    ASSERT_OK(store_->Get(key, &value));
    EXPECT_EQ(value[0], '\0');
  }
  Write({{15, 3}, {600, 3}});
  ASSERT_EQ(Keys().size(), 3u);
  std::string value;
  ASSERT_OK(store_->Get(Keys()[1], &value));
  const auto stored = ParseStoredChunk(Keys()[1], partitioning_, value);
  ASSERT_OK(stored);
  EXPECT_EQ(stored->runs[0], (GenerationRun{generation_, 2}));
}

TEST_F(ChunkStoreTest, AChunkWithTheSameFirstTimeReplacesNothingButEqualTimes) {
  Write({{10, 1}, {20, 2}, {30, 3}});
  Write({{10, 9}});
  Check();
  EXPECT_EQ(chunks_->Totals().samples, 3u);
  EXPECT_EQ(chunks_->Totals().chunks, 1u);
}

// A and B overlap, C overlaps A only and begins where it does, so A and C are merged. A's old value
// at 20 must not become newer than B's by that.
TEST_F(ChunkStoreTest, MergingMakesNoSampleNewer) {
  Write({{10, 1}, {20, 1}, {30, 1}});
  Write({{20, 2}, {40, 2}});
  Write({{10, 3}});
  ASSERT_EQ(chunks_->Totals().chunks, 2u);
  EXPECT_EQ(Read().at(20), 2);
  Check();
}

TEST_F(ChunkStoreTest, OverlapIsBounded) {
  for (int i = 0; i < 100; ++i) {
    Write({{100 - i, i}, {500 + i, i}});
    ASSERT_LE(Keys().size(), kMaxOverlap + 1);
    ASSERT_EQ(Keys().size(), chunks_->Totals().chunks);
  }
  Check();
}

// Late samples of a long time over many chunks that lie side by side: that is a depth of two.
TEST_F(ChunkStoreTest, ManyChunksSideBySideAreNotManyOverEachOther) {
  for (int i = 0; i < 20; ++i) Write(Regular(i * 100, 10, 10, i));
  Write({{5, 1}, {1995, 1}});
  EXPECT_EQ(chunks_->Totals().chunks, 21u);
  Check();
}

TEST_F(ChunkStoreTest, ChunksOfOneBatchSeeEachOther) {
  ASSERT_OK(TryWrite({{kSeries, {{10, 1}, {20, 1}}},
                      {kSeries + 1, {{10, 1}}},
                      {kSeries, {{10, 2}, {15, 2}}},
                      {kSeries, {{15, 3}}},
                      {kSeries, {{10'015, 4}}},
                      {kSeries, {{15, 5}}}}));
  Check();
  EXPECT_EQ(chunks_->Totals().chunks, Keys().size());
}

TEST_F(ChunkStoreTest, ABatchThatIsRefusedChangesNothing) {
  Write({{10, 1}});
  ASSERT_OK(store_->Close());
  EXPECT_CODE(TryWrite({{kSeries, {{20, 1}}}}), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(chunks_->Totals().samples, 1u);
}

TEST_F(ChunkStoreTest, AScanReadsTheSameByPrefixBackwardsAndInRanges) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 200; ++i) {
    const auto first_ms = static_cast<int64_t>(random() % 3 * 10'000 + random() % 9'900);
    Write(Regular(first_ms, 7, 5, i), kSeries - 3 + random() % 7);
    if (i == 100) Flush();
  }
  Check();
  EXPECT_EQ(ReadAll({}, nullptr, {}, 1), ReadAll());
  for (int i = 0; i < 50; ++i) {
    const auto from = static_cast<int64_t>(random() % 30'000);
    const TimeRange range{from, from + static_cast<int64_t>(random() % 12'000)};
    const Model read = ReadAll(range);
    ColumnMerger merger;
    ChunkScan scan(store_.get(), nullptr, partitioning_, chunks_->Partitions(range), range, 1000);
    for (SeriesId id = kSeries + 3; id >= kSeries - 3; --id) {
      Samples expected;
      for (const auto& [time, value] : model_[id]) {
        if (time >= range.from_ms && time <= range.to_ms) expected[time] = value;
      }
      ASSERT_EQ(read.contains(id) ? read.at(id) : Samples(), expected);
      Columns columns;
      merger.Start(range);
      ASSERT_OK(scan.Read(id, 0, &merger));
      merger.Finish(&columns);
      ASSERT_EQ(columns.size(), expected.size());
      Samples found;
      for (size_t i = 0; i < columns.size(); ++i) {
        found[columns.timestamps_ms[i]] = columns.values[i];
      }
      ASSERT_EQ(found, expected);
    }
  }
}

TEST_F(ChunkStoreTest, AScanStopsSoonAfterTheSampleLimit) {
  for (int i = 0; i < 20; ++i) Write(Regular(i * 1000, 10, 50, i));
  ChunkScan scan(store_.get(), nullptr, partitioning_, chunks_->Partitions({}), {}, 1000);
  ColumnMerger merger;
  merger.Start({});
  ASSERT_OK(scan.Read(kSeries, 120, &merger));
  EXPECT_EQ(merger.size(), 150u);
}

TEST_F(ChunkStoreTest, TheLastPartitionOfASeriesIsFound) {
  Write({{10, 1}});
  Write({{25'000, 1}});
  Write({{35'000, 1}}, kSeries + 1);
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(*chunks_->LastPartitionOf(kSeries), Number(2));
    EXPECT_EQ(*chunks_->LastPartitionOf(kSeries + 1), Number(3));
    EXPECT_EQ(*chunks_->LastPartitionOf(kSeries + 2), std::nullopt);
    Flush();
  }
}

// After a repair partition rows may be missing, or count what is gone.
TEST_F(ChunkStoreTest, ARecountFindsAllThatIsThereAndNothingElse) {
  for (int i = 0; i < 30; ++i) Write(Regular(i * 1000, 100, 10, i), kSeries + (i % 2 ? 1 : 0));
  Write({{35'000, 1}}, SeriesId{9} << 32 | 3);
  const PartitionCounts before = chunks_->Totals();
  ASSERT_OK(store_->Delete(PartitionRowKey(Tier::kRaw, Number(0))));
  ASSERT_OK(store_->Put(PartitionRowKey(Tier::kRaw, Number(77)), EncodePartitionCounts(before)));
  for (int round = 0; round < 2; ++round) {
    chunks_.emplace(store_.get(), partitioning_, &merge_);
    ASSERT_OK(chunks_->Load());
    if (round == 0) {
      ASSERT_NE(chunks_->Totals().samples, before.samples);
      const auto highest = chunks_->Recount();
      ASSERT_OK(highest);
      EXPECT_EQ(highest->metric, 9u);
      EXPECT_EQ(highest->series, 8u);
    }
    EXPECT_EQ(chunks_->Totals().samples, before.samples);
    EXPECT_EQ(chunks_->Totals().chunks, before.chunks);
    EXPECT_EQ(chunks_->Totals().oldest_ms, before.oldest_ms);
    EXPECT_EQ(chunks_->Totals().newest_ms, before.newest_ms);
    EXPECT_EQ(chunks_->Partitions({}).size(), 4u);
  }
}

TEST_F(ChunkStoreTest, ARowUnderTheWrongKeyIsDataLoss) {
  Write({{1010, 1}, {1020, 2}});
  const std::string key = EncodeChunkKey({Tier::kRaw, Number(0), kSeries, 1010});
  std::string value;
  ASSERT_OK(store_->Get(key, &value));
  for (const ChunkKey wrong : {ChunkKey{Tier::kRaw, Number(0), kSeries, 1011},
                               ChunkKey{Tier::kRaw, Number(1), kSeries, 1010}}) {
    EXPECT_CODE(ParseStoredChunk(wrong, partitioning_, value), absl::StatusCode::kDataLoss);
  }
  const ChunkKey right{Tier::kRaw, Number(0), kSeries, 1010};
  EXPECT_OK(ParseStoredChunk(right, partitioning_, value));
  EXPECT_CODE(ParseStoredChunk(right, Partitioning(15), value), absl::StatusCode::kDataLoss);
  EXPECT_CODE(ParseStoredChunk(right, partitioning_, ""), absl::StatusCode::kDataLoss);
  EXPECT_CODE(ParseStoredChunk("short", partitioning_, value), absl::StatusCode::kDataLoss);
}

TEST_F(ChunkStoreTest, GenerationsOfAStoredChunkAreReadBackOrRefused) {
  chunk::Encoder encoder;
  const std::vector<int64_t> times = {1, 2, 3, 4};
  const std::vector<double> values = {1, 2, 3, 4};
  const Generation late = Generation{7} << 32 | 300;
  const std::vector<GenerationRun> runs = {{0, 1}, {late, 2}, {0, 1}};
  std::string value;
  EncodeStoredChunk(runs, times, values, &encoder, &value);
  const ChunkKey key{Tier::kRaw, Number(0), kSeries, 1};
  const auto stored = ParseStoredChunk(key, partitioning_, value);
  ASSERT_OK(stored);
  EXPECT_EQ(std::vector<GenerationRun>(stored->runs.begin(), stored->runs.end()), runs);
  // One run more than there are samples; a run of none; no end.
  EXPECT_CODE(ParseStoredChunk(key, partitioning_, std::string("\x01\x01", 2) + value),
              absl::StatusCode::kDataLoss);
  EXPECT_CODE(ParseStoredChunk(key, partitioning_, std::string("\x01\x00", 2) + value),
              absl::StatusCode::kDataLoss);
  EXPECT_CODE(ParseStoredChunk(key, partitioning_, std::string(100, '\x01')),
              absl::StatusCode::kDataLoss);
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
    decoded.suffix = uint64_t{1} << 40;
    const std::string suffixed = EncodeChunkKey(decoded);
    EXPECT_LT(key, suffixed);
    ASSERT_TRUE(DecodeChunkKey(suffixed, &decoded));
    EXPECT_EQ(EncodeChunkKey(decoded), suffixed);
    EXPECT_FALSE(DecodeChunkKey(key + std::string(8, '\0'), &decoded));
    EXPECT_FALSE(DecodeChunkKey(key + "x", &decoded));
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
