// A ChunkStore on a disk that can fail, beside a plain map of what must be in it.
//
// Chunks are written the way the head writes them: in order where the samples lie behind everything
// of the series so far, else as late ones with a new generation. Nothing is flushed by itself, so a
// crash takes back exactly what was written since the last flush.
#ifndef TINYOBS_TESTS_TSDB_CHUNK_STORE_TESTING_H_
#define TINYOBS_TESTS_TSDB_CHUNK_STORE_TESTING_H_

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/status_macros.h"
#include "lib/lsm/store.h"
#include "lib/tsdb/chunk_scan.h"
#include "lib/tsdb/chunk_store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {

using Samples = std::map<int64_t, double>;
using Model = std::map<SeriesId, Samples>;

class ChunkStoreTest : public ::testing::Test {
 protected:
  static constexpr int64_t kPartitionMs = 10'000;
  static constexpr SeriesId kSeries = SeriesId{5} << 32 | 7;
  static constexpr SeriesId kNext = kSeries + 1;
  static uint32_t Number(int64_t index) { return static_cast<uint32_t>(kPartitionBias + index); }

  explicit ChunkStoreTest(int64_t partition_ms = kPartitionMs) : partitioning_(partition_ms) {
    Open();
  }

  lsm::StoreOptions Options() {
    lsm::StoreOptions options;
    options.file_system = &disk_;
    options.background_threads = false;
    options.partition_of = PartitionPrefix;
    options.filter_prefix_bytes = kSeriesPrefixBytes;
    options.new_compaction_merger = [this] {
      if (during_merge_) std::exchange(during_merge_, nullptr)();
      return merge_.NewMerger();
    };
    return options;
  }
  absl::Status TryOpen() {
    auto store = lsm::Store::Open("lsm", Options());
    TINYOBS_RETURN_IF_ERROR(store.status());
    store_ = *std::move(store);
    chunks_.emplace(store_.get(), partitioning_, &merge_);
    TINYOBS_RETURN_IF_ERROR(chunks_->Load());
    horizon_ms_ = chunks_->Totals().newest_ms;
    floors_.clear();
    generation_ = ((generation_ >> 32) + 1) << 32;
    return absl::OkStatus();
  }
  void Open() { ASSERT_OK(TryOpen()); }
  // Of every tier what ended at or before it.
  ChunkStore::DropEnds AllBefore(int64_t time_ms) const {
    return chunks_->EndsAt(time_ms, time_ms, time_ms);
  }
  void Close() {
    chunks_.reset();
    store_.reset();
  }
  // The machine dies; what was not flushed is gone.
  void Crash(const testing::CrashOptions& options = {}) {
    Close();
    disk_.Crash(options);
    Open();
    model_ = durable_;
  }
  void Flush() {
    ASSERT_OK(store_->Flush());
    durable_ = model_;
  }

  // Writes chunks as the sealer would, as one batch, and notes them in `model_`.
  absl::Status TryWrite(const std::vector<std::pair<SeriesId, Samples>>& all) {
    std::vector<Columns> columns;
    std::vector<NewChunk> chunks;
    columns.reserve(all.size());
    for (const auto& [series, samples] : all) {
      Columns& column = columns.emplace_back();
      for (const auto& [time, value] : samples) column.Add(time, value);
      EXPECT_EQ(partitioning_.NumberOf(column.timestamps_ms.front()),
                partitioning_.NumberOf(column.timestamps_ms.back()));
      const auto [floor, is_new] = floors_.try_emplace(series, horizon_ms_);
      const bool may_overlap = column.timestamps_ms.front() <= floor->second;
      if (may_overlap) ++generation_;
      floor->second = std::max(floor->second, column.timestamps_ms.back());
      chunks.push_back(
          {series, generation_, column.timestamps_ms, column.values, may_overlap, nullptr});
    }
    MutexLock turn(&chunks_->turn());
    TINYOBS_RETURN_IF_ERROR(chunks_->Write(chunks));
    chunks_->Publish();
    for (const auto& [series, samples] : all) {
      for (const auto& [time, value] : samples) model_[series][time] = value;
    }
    return absl::OkStatus();
  }
  void Write(const Samples& samples, SeriesId series = kSeries) {
    ASSERT_OK(TryWrite({{series, samples}}));
  }
  // `count` samples from `first_ms` on.
  static Samples Regular(int64_t first_ms, int64_t step_ms, int count, double value) {
    Samples samples;
    for (int i = 0; i < count; ++i) samples[first_ms + i * step_ms] = value + i;
    return samples;
  }

  // Merges what is due and was left alone; false: nothing was.
  bool Merge(int64_t closed_ms = INT64_MAX / 2) {
    bool any = false;
    for (int look = 0; look < 2; ++look) {
      const Model before = model_;
      const auto merged = chunks_->MergeClosed(closed_ms, now_ms_);
      EXPECT_OK(merged);
      if (merged.ok() && *merged) durable_ = before;  // it flushes first of all
      any = any || (merged.ok() && *merged);
      now_ms_ += 60'000;
    }
    return any;
  }
  void Forget(Model* model, SeriesId series, int64_t from_ms, int64_t to_ms) const {
    Samples& samples = (*model)[series];
    samples.erase(samples.lower_bound(from_ms), samples.upper_bound(to_ms));
  }

  static Model WithoutEmpty(const Model& model) {
    Model result;
    for (const auto& [series, samples] : model) {
      if (!samples.empty()) result[series] = samples;
    }
    return result;
  }
  // Everything, or what is in `range`, by a scan that expects `series_count` series.
  Model ReadAll(TimeRange range = {}, const lsm::Snapshot* snapshot = nullptr,
                std::optional<std::vector<uint32_t>> partitions = {}, size_t series_count = 1000) {
    Model result;
    ChunkScan scan(store_.get(), snapshot, partitioning_,
                   partitions.value_or(chunks_->Partitions(range)), range, series_count);
    ColumnMerger merger;
    Columns columns;
    for (SeriesId id = kSeries - 3; id <= kSeries + 3; ++id) {
      merger.Start(range);
      EXPECT_OK(scan.Read(id, 0, &merger));
      merger.Finish(&columns);
      EXPECT_TRUE(std::is_sorted(columns.timestamps_ms.begin(), columns.timestamps_ms.end()));
      for (size_t i = 0; i < columns.size(); ++i) {
        result[id][columns.timestamps_ms[i]] = columns.values[i];
      }
      EXPECT_EQ(result.contains(id) ? result[id].size() : 0, columns.size());
    }
    return result;
  }
  Samples Read(TimeRange range = {}) { return ReadAll(range)[kSeries]; }
  // That content and counts are those of `model_`.
  void Check() {
    const Model expected = WithoutEmpty(model_);
    ASSERT_EQ(ReadAll(), expected);
    uint64_t samples = 0;
    for (const auto& [series, of_series] : expected) samples += of_series.size();
    ASSERT_EQ(chunks_->Totals().samples, samples);
  }
  // The keys of all chunks.
  std::vector<std::string> Keys() const {
    std::vector<std::string> keys;
    lsm::ReadOptions options;
    options.prefix = std::string(1, static_cast<char>(Tier::kRaw));
    const auto rows = store_->NewIterator(options);
    for (rows->SeekToFirst(); rows->Valid(); rows->Next()) keys.emplace_back(rows->key());
    EXPECT_OK(rows->status());
    return keys;
  }

  const Partitioning partitioning_;
  testing::MemoryFileSystem disk_;
  PartitionMerge merge_{partitioning_};
  std::function<void()> during_merge_;  // called once, when a compaction has chosen its tables
  std::unique_ptr<lsm::Store> store_;
  std::optional<ChunkStore> chunks_;
  int64_t now_ms_ = 1'000'000;
  int64_t horizon_ms_ = INT64_MIN;
  std::map<SeriesId, int64_t> floors_;
  Generation generation_ = 0;
  Model model_, durable_;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_TESTS_TSDB_CHUNK_STORE_TESTING_H_
