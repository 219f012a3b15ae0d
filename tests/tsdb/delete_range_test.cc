// Deleting samples, and the chunk store as a whole against a plain map: random writes, late and in
// order, merges with writes in their midst, deletions, expiry, snapshots and crashes.
#include <cstdlib>
#include <random>

#include "tests/tsdb/chunk_store_testing.h"

namespace tinyobs::tsdb {
namespace {

class DeleteRangeTest : public ChunkStoreTest {
 protected:
  void Delete(int64_t from_ms, int64_t to_ms, SeriesId series = kSeries) {
    const size_t before = model_[series].size();
    Forget(&model_, series, from_ms, to_ms);
    const auto deleted = chunks_->DeleteRange({&series, 1}, {from_ms, to_ms});
    ASSERT_OK(deleted);
    EXPECT_EQ(*deleted, before - model_[series].size());
  }
};

TEST_F(DeleteRangeTest, PartsOfChunksAndWholeChunksGo) {
  for (int i = 0; i < 4; ++i) Write(Regular(i * 5000, 100, 20, i));
  Write(Regular(0, 100, 20, 1), kSeries + 1);
  Delete(500, 800);  // out of the middle
  Check();
  Delete(0, 200);  // the beginning
  Check();
  Delete(1'800, 5'050);  // an end and a beginning, of two chunks
  Check();
  Delete(9'000, 10'500);  // over the end of a partition
  Check();
  Delete(14'000, 30'000);  // a whole chunk
  Check();
  EXPECT_EQ(chunks_->Totals().chunks, Keys().size());
  Delete(2'000, 3'000);  // nothing
  Flush();
  Crash();
  Check();
  EXPECT_EQ(chunks_->Totals().chunks, Keys().size());
}

TEST_F(DeleteRangeTest, APartitionWithoutSamplesIsNone) {
  Write({{5, 1}});
  Write({{15'000, 1}});
  Delete(INT64_MIN, 9'999);
  EXPECT_EQ(chunks_->Partitions({}), (std::vector<uint32_t>{Number(1)}));
  Check();
  Delete(INT64_MIN, INT64_MAX);
  EXPECT_EQ(chunks_->Partitions({}), std::vector<uint32_t>{});
  Flush();
  Crash();
  Check();
  EXPECT_EQ(chunks_->Partitions({}), std::vector<uint32_t>{});
}

TEST_F(DeleteRangeTest, WhatLiesUnderALateSampleDoesNotShow) {
  Write(Regular(0, 10, 100, 0));
  Write(Regular(5, 15, 60, 1000));
  Write(Regular(0, 20, 10, 2000));
  Delete(100, 150);
  Check();
  // What is left still knows how old it is.
  Write(Regular(95, 5, 20, 3000));
  Check();
  ASSERT_TRUE(Merge());
  Check();
}

// A chunk whose beginning was deleted keeps its key, and may lie in the way.
TEST_F(DeleteRangeTest, WhatIsWrittenInItsPlaceTakesNoKey) {
  Write(Regular(100, 10, 50, 0));
  Delete(100, 300);
  Write({{100, 7}, {200, 7}});
  Check();
  EXPECT_EQ(chunks_->Totals().chunks, 2u);
  Write({{100, 8}});
  Check();
  ASSERT_TRUE(Merge());
  Check();
  EXPECT_EQ(Keys().size(), 1u);
}

TEST_F(DeleteRangeTest, ManySeriesGoInOneCall) {
  std::vector<SeriesId> all;
  for (SeriesId id = kSeries - 3; id <= kSeries + 3; ++id) {
    Write(Regular(0, 100, 20, 1), id);
    Write(Regular(10'000, 100, 20, 1), id);
    if (id != kSeries) all.push_back(id);
  }
  EXPECT_EQ(*chunks_->DeleteRange(all, {1'000, 10'999}), 6u * 20);
  for (const SeriesId id : all) Forget(&model_, id, 1'000, 10'999);
  Check();
}

TEST_F(DeleteRangeTest, ADamagedChunkIsDataLossAndNothingIsDeleted) {
  Write({{5, 1}});
  Write({{10, 1}, {20, 2}});
  ASSERT_OK(store_->Put(EncodeChunkKey(RawChunkKey(partitioning_, kSeries, 10)), ""));
  EXPECT_CODE(chunks_->DeleteRange({&kSeries, 1}, {0, 100}), absl::StatusCode::kDataLoss);
  EXPECT_EQ(Keys().size(), 2u);
  EXPECT_EQ(chunks_->Totals().samples, 3u);
}

// --- everything together

class ChunkModelTest : public ChunkStoreTest {
 protected:
  uint64_t Random(uint64_t below) { return random_() % below; }
  SeriesId RandomSeries() { return kSeries - 3 + Random(7); }
  int64_t RandomTime() {
    return static_cast<int64_t>(Random(4) * kPartitionMs + Random(kPartitionMs));
  }

  // In order for most series most of the time, else anywhere.
  void WriteSome() {
    std::vector<std::pair<SeriesId, Samples>> batch;
    for (uint64_t n = 1 + Random(4); n > 0; --n) {
      const SeriesId id = RandomSeries();
      int64_t first_ms = RandomTime();
      const Samples& known = model_[id];
      if (!known.empty() && Random(2) == 0) {
        const int64_t next_ms = known.rbegin()->first + 1 + static_cast<int64_t>(Random(500));
        if (next_ms < 4 * kPartitionMs) first_ms = next_ms;
      }
      const int64_t end_ms = partitioning_.EndOf(first_ms);
      const int64_t step_ms = 1 + static_cast<int64_t>(Random(Random(2) == 0 ? 20 : 400));
      Samples samples;
      for (int i = 0; i < 200 && first_ms < end_ms; first_ms += step_ms, ++i) {
        if (i > 0 && Random(40) == 0) break;
        samples[first_ms] = static_cast<double>(Random(1000)) / (Random(9) == 0 ? 7 : 10);
      }
      batch.emplace_back(id, std::move(samples));
      if (Random(3) == 0) {  // and at the very place of a chunk that is there
        const std::vector<std::string> keys = Keys();
        ChunkKey key;
        if (keys.empty() || !DecodeChunkKey(keys[Random(keys.size())], &key)) continue;
        const int64_t time = partitioning_.StartOfNumber(key.partition) + key.offset_ms;
        batch.push_back({key.series, {{time, -1}}});
      }
    }
    ASSERT_OK(TryWrite(batch));
  }

  void Step() {
    switch (Random(24)) {
      case 0:
        return Flush();
      case 1:
      case 2: {
        if (Random(2) == 0) during_merge_ = [this] { WriteSome(); };
        Merge(static_cast<int64_t>(Random(5)) * kPartitionMs);
        during_merge_ = nullptr;
        return;
      }
      case 3: {
        const int64_t from_ms = RandomTime();
        const int64_t to_ms = from_ms + static_cast<int64_t>(Random(Random(2) == 0 ? 300 : 15'000));
        const SeriesId id = RandomSeries();
        ASSERT_OK(chunks_->DeleteRange({&id, 1}, {from_ms, to_ms}));
        return Forget(&model_, id, from_ms, to_ms);
      }
      case 4: {
        if (Random(4) != 0) return;
        const int64_t time_ms = RandomTime();
        const auto dropped = chunks_->DropBefore(AllBefore(time_ms));
        ASSERT_OK(dropped);
        for (auto& [id, samples] : model_) {
          samples.erase(samples.begin(), samples.lower_bound(partitioning_.StartOf(time_ms)));
        }
        if (*dropped > 0) durable_ = model_;
        return;
      }
      case 5: {
        if (Random(3) != 0) return;
        snapshot_.reset();
        Crash();
        return;
      }
      case 6:
        ASSERT_OK(store_->CompactRange("", ""));
        durable_ = model_;
        return;
      case 7:
        if (snapshot_ != nullptr) {
          ASSERT_EQ(ReadAll({}, snapshot_.get(), snapshot_partitions_), snapshot_model_);
          snapshot_.reset();
        } else {
          snapshot_ = store_->NewSnapshot();
          snapshot_partitions_ = chunks_->Partitions({});
          snapshot_model_ = WithoutEmpty(model_);
        }
        return;
      default:
        return WriteSome();
    }
  }

  std::mt19937_64 random_;
  std::unique_ptr<const lsm::Snapshot> snapshot_;
  std::vector<uint32_t> snapshot_partitions_;
  Model snapshot_model_;
};

TEST_F(ChunkModelTest, RandomOperationsAgreeWithAMap) {
  const char* const wanted = std::getenv("TINYOBS_SEED");
  const uint64_t first = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 1;
  const uint64_t count = wanted != nullptr ? 1 : 4;
  for (uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE(seed);
    random_.seed(seed);
    snapshot_.reset();
    Close();
    disk_.~MemoryFileSystem();
    new (&disk_) testing::MemoryFileSystem();
    model_.clear();
    durable_.clear();
    Open();
    for (int i = 0; i < 250; ++i) {
      Step();
      if (i % 5 == 0) Check();
      if (HasFatalFailure() || HasNonfatalFailure()) {
        ADD_FAILURE() << "seed " << seed << ", step " << i;
        return;
      }
    }
    Check();
    if (HasFatalFailure()) return;
  }
  snapshot_.reset();
}

}  // namespace
}  // namespace tinyobs::tsdb
