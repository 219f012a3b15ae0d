// Counting anew what is there, after a repair of the LSM has put tables aside.
#include <algorithm>
#include <utility>

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/tsdb/chunk_store.h"
#include "lib/tsdb/rows.h"
#include "lib/tsdb/window_rows.h"

namespace tinyobs::tsdb {

namespace {
// Rows `touched` go in batches of so many bytes.
constexpr size_t kBatchBytes = 1 << 20;
}  // namespace

absl::Status ChunkStore::TouchAgain(Tier tier, uint32_t partition, SeriesId series,
                                    lsm::WriteBatch* batch) {
  Staged(tier, partition)->downsampled = Downsampled::kYes;
  Touch(tier, partition, series, batch);
  if (batch->size_bytes() < kBatchBytes) return absl::OkStatus();
  TINYOBS_RETURN_IF_ERROR(store_->Write(lsm::kUnlogged, *batch));
  batch->Clear();
  return absl::OkStatus();
}

absl::Status ChunkStore::RecountWindows(Tier tier, HighestIds* highest, lsm::WriteBatch* batch) {
  const auto rows = RowsOf(store_, TierPrefix(tier));
  std::vector<chunk::Window> windows;
  for (; rows->Valid(); rows->Next()) {
    ChunkKey key;
    windows.clear();
    if (!DecodeChunkKey(rows->key(), &key)) continue;
    highest->Include(key.series);
    if (!chunk::DecodeWindows(rows->value(), WidthMs(tier), &windows).ok()) continue;
    PartitionCounts* const counts = Staged(tier, key.partition);
    ++counts->chunks;
    counts->samples += windows.size();
    counts->Include(windows.front().first_ms, windows.back().last_ms);
    // The rows of a series may be joined already: that is what counts as done.
    counts->downsampled = Downsampled::kYes;
    if (tier == Tier::kOneHour) continue;
    TINYOBS_RETURN_IF_ERROR(TouchAgain(tier, key.partition, key.series, batch));
  }
  return rows->status();
}

absl::StatusOr<ChunkStore::HighestIds> ChunkStore::Recount() {
  MutexLock turn(&turn_);
  HighestIds highest;
  // As if nothing had been known.
  staged_.clear();
  for (const Tier tier : kDataTiers) {
    for (const uint32_t partition : Partitions({}, tier)) staged_[{tier, partition}] = {};
  }
  lsm::WriteBatch batch;
  TINYOBS_RETURN_IF_ERROR(RecountWindows(Tier::kOneHour, &highest, &batch));
  TINYOBS_RETURN_IF_ERROR(RecountWindows(Tier::kFiveMinutes, &highest, &batch));
  const Partitioning& days = partitioning(Tier::kFiveMinutes);
  ColumnMerger merger;
  Columns columns;
  const auto rows = RowsOf(store_, TierPrefix(Tier::kRaw));
  while (rows->Valid()) {
    const std::string prefix(rows->key().substr(0, kSeriesPrefixBytes));
    merger.Start({});
    PartitionCounts of_series;
    ChunkKey key;
    for (; rows->Valid() && rows->key().starts_with(prefix); rows->Next()) {
      if (!DecodeChunkKey(rows->key(), &key)) continue;
      const auto stored = ParseStoredChunk(key, partitioning_, rows->value());
      // What cannot be read is not counted; whoever reads it is told.
      if (!stored.ok() || !AddStoredChunk(*stored, &merger).ok()) continue;
      ++of_series.chunks;
      of_series.Include(stored->header.first_ms, stored->header.last_ms);
    }
    highest.Include(key.series);
    merger.Finish(&columns);
    if (columns.empty()) continue;
    const uint32_t day = days.NumberOf(partitioning_.StartOfNumber(key.partition));
    if (staged_.contains({Tier::kFiveMinutes, day}) &&
        staged_[{Tier::kFiveMinutes, day}].IsThere() &&
        key.partition >= DroppedBefore(Tier::kRaw)) {
      TINYOBS_RETURN_IF_ERROR(TouchAgain(Tier::kRaw, key.partition, key.series, &batch));
    }
    PartitionCounts& counts = *Staged(Tier::kRaw, key.partition);
    counts.samples += columns.size();
    counts.chunks += of_series.chunks;
    counts.unmerged_chunks = counts.chunks;
    counts.Include(of_series.oldest_ms, of_series.newest_ms);
  }
  TINYOBS_RETURN_IF_ERROR(rows->status());
  const auto idle = RowsOf(store_, TierPrefix(Tier::kIdle));
  for (; idle->Valid(); idle->Next()) {
    ByteReader id(idle->key().substr(std::min(idle->key().size(), kChunkPrefixBytes)));
    highest.Include(id.BigEndian64());
  }
  TINYOBS_RETURN_IF_ERROR(idle->status());
  TINYOBS_RETURN_IF_ERROR(Commit(&batch));
  Publish();
  return highest;
}

}  // namespace tinyobs::tsdb
