// Merging chunks: what the merger makes of a run, when a partition is due, late chunks that arrive
// while it is being merged, snapshots, and power loss at every operation of a merge.
#include "lib/tsdb/chunk_merge.h"

#include <atomic>
#include <cstdio>
#include <thread>

#include "tests/tsdb/chunk_store_testing.h"

namespace tinyobs::tsdb {
namespace {

// The merger alone.
class ChunkMergerTest : public ::testing::Test {
 protected:
  struct Chunk {
    SeriesId series;
    Generation generation;
    Samples samples;
  };
  static constexpr Generation kLate = Generation{3} << 32;

  void Add(const Chunk& chunk, uint64_t suffix = 0) {
    Columns columns;
    for (const auto& [time, value] : chunk.samples) columns.Add(time, value);
    const GenerationRun run{chunk.generation, columns.size()};
    std::string value;
    EncodeStoredChunk({&run, 1}, columns.timestamps_ms, columns.values, &encoder_, &value);
    ChunkKey key = RawChunkKey(partitioning_, chunk.series, columns.timestamps_ms.front());
    key.suffix = suffix;
    keys_.push_back(EncodeChunkKey(key));
    ASSERT_OK(merger_.Add(keys_.back(), value, emit_));
  }
  void Finish() { ASSERT_OK(merger_.Finish(emit_)); }
  StoredChunk Out(size_t i) {
    auto stored = ParseStoredChunk(rows_[i].first, partitioning_, rows_[i].second);
    EXPECT_OK(stored);
    return *std::move(stored);
  }
  // What a reader sees in what was emitted.
  Samples OutSamples() {
    ColumnMerger merger;
    merger.Start({});
    for (size_t i = 0; i < rows_.size(); ++i) EXPECT_OK(AddStoredChunk(Out(i), &merger));
    Columns columns;
    merger.Finish(&columns);
    Samples samples;
    for (size_t i = 0; i < columns.size(); ++i)
      samples[columns.timestamps_ms[i]] = columns.values[i];
    return samples;
  }
  static Samples Regular(int64_t first_ms, int64_t step_ms, int count, double value) {
    Samples samples;
    for (int i = 0; i < count; ++i) samples[first_ms + i * step_ms] = value + i;
    return samples;
  }

  const Partitioning partitioning_{7'200'000};
  chunk::Encoder encoder_;
  std::vector<std::string> keys_;
  std::vector<std::pair<std::string, std::string>> rows_;
  uint64_t count_ = 0;
  ChunkMerger merger_{partitioning_, &count_};
  const ChunkMerger::Emit emit_ = [this](std::string_view key, std::string_view value) {
    // The LSM's rules.
    EXPECT_NE(std::find(keys_.begin(), keys_.end(), key), keys_.end());
    EXPECT_TRUE(rows_.empty() || rows_.back().first < key);
    rows_.emplace_back(key, value);
    return absl::OkStatus();
  };
};

TEST_F(ChunkMergerTest, SmallChunksBecomeLargeOnesUnderTheirFirstKeys) {
  Samples all;
  for (int i = 0; i < 20; ++i) {
    const Samples samples = Regular(i * 120'000, 1000, 120, i);
    all.insert(samples.begin(), samples.end());
    Add({1, 0, samples});
  }
  Finish();
  ASSERT_EQ(rows_.size(), 3u);
  EXPECT_EQ(count_, 3u);
  EXPECT_EQ(Out(0).header.count, 960u);
  EXPECT_EQ(Out(1).header.count, 960u);
  EXPECT_EQ(Out(2).header.count, 480u);
  EXPECT_EQ(rows_[1].first, keys_[8]);
  EXPECT_EQ(OutSamples(), all);
  EXPECT_EQ(Out(0).runs.size(), 1u);
}

TEST_F(ChunkMergerTest, SeriesAreKeptApartAndAChunkThatStandsAloneStaysByteForByte) {
  Add({1, 0, {{5, 1}}});
  Add({2, kLate, {{5, 2}}});
  Add({2, 0, {{7, 2}}});
  Add({3, 0, {{5, 3}}});
  Finish();
  ASSERT_EQ(rows_.size(), 3u);
  EXPECT_EQ(Out(1).header.count, 2u);
  EXPECT_EQ(Out(1).runs.size(), 2u);
  EXPECT_EQ(rows_[2].first, keys_[3]);
}

// A chunk of generation 2 that the merger does not see must win over samples of generation 1 and
// lose against those of 3, merged or not.
TEST_F(ChunkMergerTest, EachSampleKeepsItsGeneration) {
  Add({1, kLate + 1, Regular(0, 10, 10, 100)});
  Add({1, kLate + 3, Regular(45, 10, 10, 300)});
  Add({1, kLate + 3, {{200, 300}}});
  Finish();
  ASSERT_EQ(rows_.size(), 1u);
  ColumnMerger merger;
  merger.Start({});
  ASSERT_OK(AddStoredChunk(Out(0), &merger));
  const std::vector<int64_t> times = {40, 45, 50, 200, 201};
  const std::vector<double> values(5, 2);
  merger.Add(times, values, kLate + 2);
  Columns columns;
  merger.Finish(&columns);
  Samples samples;
  for (size_t i = 0; i < columns.size(); ++i) samples[columns.timestamps_ms[i]] = columns.values[i];
  EXPECT_EQ(samples.size(), 22u);
  EXPECT_EQ(samples[40], 2);
  EXPECT_EQ(samples[45], 300);
  EXPECT_EQ(samples[50], 2);
  EXPECT_EQ(samples[200], 300);
  EXPECT_EQ(samples[201], 2);
}

TEST_F(ChunkMergerTest, LateSamplesOfALongTimeAreCutWhereChunksBegin) {
  Samples all = Regular(0, 1000, 3600, 0);
  Add({1, 0, Regular(0, 1000, 120, 0)});
  Samples late;
  for (int i = 0; i < 3600; i += 50) late[i * 1000] = late[i * 1000 + 7] = -i;
  Add({1, kLate, late}, kLate);
  for (int i = 1; i < 30; ++i) Add({1, 0, Regular(i * 120'000, 1000, 120, i * 120)});
  Finish();
  for (const auto& [time, value] : late) all[time] = value;
  EXPECT_EQ(OutSamples(), all);
  ASSERT_EQ(rows_.size(), 4u);
  for (size_t i = 0; i < rows_.size(); ++i) EXPECT_LE(Out(i).header.count, kMergedChunkSamples);
  EXPECT_LT(Out(0).header.last_ms, Out(1).header.first_ms);
}

// More than fits into memory at once, all over each other.
TEST_F(ChunkMergerTest, WhatItHoldsIsBounded) {
  Samples all;
  for (int i = 0; i < 12; ++i) {
    const Samples samples = Regular(i, 700, 4000, i * 10'000);
    all.insert(samples.begin(), samples.end());
    Add({1, kLate + static_cast<Generation>(i), samples});
    ASSERT_GE(rows_.size() + 2, static_cast<size_t>(i) / 2);
  }
  Finish();
  EXPECT_EQ(OutSamples(), all);
  for (size_t i = 0; i < rows_.size(); ++i) EXPECT_LE(Out(i).header.count, chunk::kMaxSamples);
}

TEST_F(ChunkMergerTest, WhatCannotBeReadStaysAsItIs) {
  Add({1, 0, {{1, 1}}});
  const std::string damaged_header = EncodeChunkKey(RawChunkKey(partitioning_, 1, 2));
  keys_.push_back(damaged_header);
  ASSERT_OK(merger_.Add(damaged_header, "rubbish", emit_));
  Add({1, 0, {{3, 1}}});
  Add({1, 0, {{4, 1}}});
  Finish();
  // A chunk whose header is sound and whose samples are not.
  std::string value;
  const GenerationRun run{0, 3};
  const std::vector<int64_t> times = {10, 11, 12};
  const std::vector<double> values = {0.1, 5e300, -7};
  EncodeStoredChunk({&run, 1}, times, values, &encoder_, &value);
  value.pop_back();
  Add({2, 0, {{1, 1}}});
  keys_.push_back(EncodeChunkKey(RawChunkKey(partitioning_, 2, 10)));
  ASSERT_OK(merger_.Add(keys_.back(), value, emit_));
  Finish();
  ASSERT_EQ(rows_.size(), 5u);
  EXPECT_EQ(rows_[1].second, "rubbish");
  EXPECT_EQ(Out(2).header.count, 2u);
  EXPECT_EQ(rows_[4].second, value);
}

// --- of a whole partition

class MergeClosedTest : public ChunkStoreTest {
 protected:
  // Three series in partition 0, twelve chunks each, half of them in tables.
  void Fill() {
    for (int i = 0; i < 12; ++i) {
      for (SeriesId id = kSeries; id < kSeries + 3; ++id) Write(Regular(i * 800, 10, 80, i), id);
      if (i == 5) Flush();
    }
    Write({{25'000, 1}});
  }
};

TEST_F(MergeClosedTest, APartitionThatIsOverIsMergedOnce) {
  Fill();
  EXPECT_FALSE(Merge(9'999));  // not over yet
  EXPECT_TRUE(Merge(10'000));
  Check();
  EXPECT_EQ(Keys().size(), 4u);
  EXPECT_EQ(chunks_->Totals().chunks, 4u);
  EXPECT_EQ(chunks_->Totals().unmerged_chunks, 1u);
  EXPECT_FALSE(Merge(29'999));
  Flush();
  Close();
  Open();
  EXPECT_FALSE(Merge(29'999));
  EXPECT_EQ(chunks_->Totals().chunks, 4u);
  Check();
}

TEST_F(MergeClosedTest, ItWaitsUntilThePartitionIsLeftAlone) {
  Fill();
  now_ms_ = 0;
  const auto merge = [this](int64_t now_ms) {
    const auto merged = chunks_->MergeClosed(20'000, now_ms);
    EXPECT_OK(merged);
    return merged.ok() && *merged;
  };
  EXPECT_FALSE(merge(0));
  EXPECT_FALSE(merge(20'000));
  Write({{3, 3}});
  EXPECT_FALSE(merge(40'000));
  EXPECT_FALSE(merge(60'000));
  EXPECT_TRUE(merge(70'000));
  EXPECT_FALSE(merge(200'000));
}

TEST_F(MergeClosedTest, LateChunksMakeItDueAgainWhenItPays) {
  for (int i = 0; i < 400; ++i) Write({{i, 1}}, kSeries - 3 + static_cast<SeriesId>(i % 7));
  ASSERT_TRUE(Merge(20'000));
  ASSERT_EQ(Keys().size(), 7u);
  Write({{5, 2}});
  EXPECT_FALSE(Merge(20'000));
  Write({{1, 2}}, kSeries + 1);
  Write({{1, 2}}, kSeries + 2);
  EXPECT_TRUE(Merge(20'000));
  EXPECT_EQ(Keys().size(), 7u);
  Check();
}

TEST_F(MergeClosedTest, BackgroundCompactionsMergeNothing) {
  Fill();
  const size_t chunks = Keys().size();
  ASSERT_OK(store_->CompactRange("", ""));
  EXPECT_EQ(Keys().size(), chunks);
}

// Late chunks that come while the tables are being read: one that begins where a chunk begins that
// is being joined away, one with the key that the joined chunk gets, and so many over each other
// that they would be merged at any other time.
TEST_F(MergeClosedTest, LateChunksThatComeMeanwhileLoseNothing) {
  Fill();
  during_merge_ = [this] {
    Write({{800, -1}, {805, -1}});
    Write({{0, -2}, {9'000, -2}});
    for (int i = 0; i < 12; ++i) Write({{100 + i, i}, {9'500 - i, i}});
    Write({{0, -3}});
  };
  ASSERT_TRUE(Merge(10'000));
  ASSERT_EQ(during_merge_, nullptr);
  Check();
  EXPECT_EQ(chunks_->Totals().chunks, Keys().size());
  EXPECT_EQ(chunks_->Totals().unmerged_chunks, 16u);
  Flush();
  Crash();
  Check();
  ASSERT_TRUE(Merge(10'000));
  Check();
  EXPECT_EQ(Keys().size(), 4u);
}

TEST_F(MergeClosedTest, ASnapshotSeesWhatItSaw) {
  Fill();
  const auto snapshot = store_->NewSnapshot();
  const Model before = model_;
  const auto partitions = chunks_->Partitions({});
  Write({{5, 5}, {4'005, 5}});
  ASSERT_TRUE(Merge(10'000));
  Check();
  EXPECT_EQ(ReadAll({}, snapshot.get(), partitions), before);
  EXPECT_EQ(ReadAll({}, snapshot.get(), partitions, 1), before);
}

TEST_F(MergeClosedTest, AFailureIsToldAndTriedAgainAfterAPause) {
  Fill();
  Flush();
  EXPECT_FALSE(*chunks_->MergeClosed(10'000, now_ms_));
  disk_.AddFault({.operation = testing::Operation::kAppend, .path_contains = ".sst"});
  EXPECT_CODE(chunks_->MergeClosed(10'000, now_ms_ + 40'000), absl::StatusCode::kUnavailable);
  disk_.ClearFaults();
  ASSERT_OK(store_->Resume());
  Check();
  Write({{25'010, 1}});  // writing goes on
  EXPECT_FALSE(*chunks_->MergeClosed(10'000, now_ms_ + 100'000));
  EXPECT_TRUE(*chunks_->MergeClosed(10'000, now_ms_ + 1'000'000));
  Check();
  EXPECT_EQ(Keys().size(), 5u);
}

// A sealer, readers, merges and deletions, each in a thread; what a reader sees never goes back.
TEST_F(MergeClosedTest, EverybodyWorksSideBySide) {
  Close();
  lsm::StoreOptions options = Options();
  options.background_threads = true;
  options.memtable_bytes = 256 << 10;
  auto store = lsm::Store::Open("busy", options);
  ASSERT_OK(store);
  store_ = *std::move(store);
  chunks_.emplace(store_.get(), partitioning_, &merge_);
  ASSERT_OK(chunks_->Load());
  std::atomic<bool> done = false;
  std::thread merger([&] {
    for (int64_t now_ms = 0; !done; now_ms += 60'000) {
      EXPECT_OK(chunks_->MergeClosed(INT64_MAX / 2, now_ms));
    }
  });
  std::thread deleter([&] {
    while (!done) EXPECT_OK(chunks_->DeleteRange({&kNext, 1}, {0, 4'000}));
  });
  std::thread reader([&] {
    size_t seen = 0;
    while (!done) {
      const auto partitions = chunks_->Partitions({});
      ChunkScan scan(store_.get(), nullptr, partitioning_, partitions, {}, 1000);
      ColumnMerger columns;
      columns.Start({});
      EXPECT_OK(scan.Read(kSeries, 0, &columns));
      Columns samples;
      columns.Finish(&samples);
      EXPECT_GE(samples.size(), seen);
      seen = samples.size();
    }
  });
  for (int i = 0; i < 600; ++i) {
    const int64_t first_ms = i % 3 == 2 ? (i * 37) % 9'000 : i * 15;
    for (const SeriesId id : {kSeries, kSeries + 1}) Write(Regular(first_ms, 1, 12, i), id);
  }
  done = true;
  merger.join();
  deleter.join();
  reader.join();
  ASSERT_OK(chunks_->DeleteRange({&kNext, 1}, {0, 4'000}));
  Forget(&model_, kSeries + 1, 0, 4'000);
  Check();
  Close();
}

// A day of 1000 series with 480 samples in each of twelve partitions, sealed at 120 samples at
// different times: what flushes, compactions and merging write for each byte of chunks.
TEST_F(MergeClosedTest, ADayIsWrittenTwoAndAHalfTimesAtMost) {
  Close();
  lsm::StoreOptions options = Options();
  options.memtable_bytes = 512 << 10;
  auto store = lsm::Store::Open("day", options);
  ASSERT_OK(store);
  store_ = *std::move(store);
  chunks_.emplace(store_.get(), partitioning_, &merge_);
  ASSERT_OK(chunks_->Load());
  constexpr int kSeriesCount = 1000, kPerPartition = 480, kPartitions = 12;
  std::vector<Columns> open(kSeriesCount);
  std::vector<chunk::ExponentHint> hints(kSeriesCount);
  uint64_t random = 1;
  for (int i = 0; i < kPartitions * kPerPartition; ++i) {
    const bool ends = i % kPerPartition == kPerPartition - 1;
    std::vector<NewChunk> full;
    for (size_t id = 0; id < open.size(); ++id) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      open[id].Add(i * kPartitionMs / kPerPartition, static_cast<double>(random >> 54) / 10);
      if (open[id].size() < 120 && (i + id * 7) % 120 != 0 && !ends) continue;
      full.push_back({static_cast<SeriesId>(id % 50) << 32 | id, 0, open[id].timestamps_ms,
                      open[id].values, false, &hints[id]});
    }
    {
      MutexLock turn(&chunks_->turn());
      ASSERT_OK(chunks_->Write(full));
      chunks_->Publish();
    }
    for (const NewChunk& chunk : full) open[static_cast<uint32_t>(chunk.series)].clear();
    while (true) {
      const auto more = store_->RunBackgroundWork();
      ASSERT_OK(more);
      if (!*more) break;
    }
    ASSERT_OK(chunks_->MergeClosed(i * kPartitionMs / kPerPartition - 1000, i * 1000));
  }
  ASSERT_OK(chunks_->MergeClosed(INT64_MAX / 2, int64_t{1} << 40));
  ASSERT_OK(chunks_->MergeClosed(INT64_MAX / 2, int64_t{1} << 41));
  const lsm::StoreStats stats = store_->Stats();
  const auto written =
      static_cast<double>(stats.bytes_written_by_flush + stats.bytes_written_by_compaction);
  const double amplification = written / static_cast<double>(stats.bytes_put);
  std::printf(
      "bytes of chunks %.2f MB, written %.2f times; then %.3f bytes a sample on disk\n",
      static_cast<double>(stats.bytes_put) / 1e6, amplification,
      static_cast<double>(stats.disk_bytes) / static_cast<double>(chunks_->Totals().samples));
  EXPECT_EQ(chunks_->Totals().samples, uint64_t{kSeriesCount} * kPerPartition * kPartitions);
  EXPECT_EQ(chunks_->Totals().chunks, uint64_t{kSeriesCount} * kPartitions);
  EXPECT_LE(amplification, 2.5);
  Close();
}

// The power fails after each operation in turn. What was flushed before is there, each sample once,
// with exact counts; and the merge ends in the same state when it is done again.
TEST_F(MergeClosedTest, PowerMayFailAtAnyMoment) {
  for (const testing::Keep keep :
       {testing::Keep::kNothing, testing::Keep::kReordered, testing::Keep::kAll}) {
    bool done = false;
    for (uint64_t changes = 0; !done; ++changes) {
      SCOPED_TRACE(changes);
      Close();
      disk_.~MemoryFileSystem();
      new (&disk_) testing::MemoryFileSystem();
      model_.clear();
      Open();
      Fill();
      Flush();
      Write({{5, 5}, {815, 5}});  // not flushed: may be lost
      EXPECT_FALSE(*chunks_->MergeClosed(10'000, now_ms_));
      disk_.PowerCutAfter(changes);
      const auto merged = chunks_->MergeClosed(10'000, now_ms_ + 60'000);
      // The row that says so is not flushed yet.
      done = merged.ok() && store_->Flush().ok();
      const Model with_late = model_;
      Crash({.keep_bytes = keep, .keep_names = keep, .seed = changes});
      if (ReadAll() == WithoutEmpty(with_late)) model_ = with_late;
      Check();
      if (HasFatalFailure()) return;
      EXPECT_TRUE(!done || Keys().size() == 4u);
      if (Merge(10'000)) Check();
      ASSERT_EQ(Keys().size(), 4u);
      ASSERT_EQ(chunks_->Totals().chunks, 4u);
      ASSERT_LT(changes, 1000u);
    }
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
