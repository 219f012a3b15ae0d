#include "lib/tsdb/series_rows.h"

#include <algorithm>
#include <map>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/chunk_merge.h"

namespace tinyobs::tsdb {

absl::Status SeriesRows::Load(const std::string& prefix, TimeRange range, Iterator* rows) {
  rows_.clear();
  for (; rows->Valid() && rows->key().starts_with(prefix); rows->Next()) {
    TINYOBS_ASSIGN_OR_RETURN(const ChunkKey key, ParseChunkKey(rows->key()));
    TINYOBS_ASSIGN_OR_RETURN(const StoredChunk stored,
                             ParseStoredChunk(key, partitioning_, rows->value()));
    // A key may lie before its first sample: it is taken all the same.
    const int64_t from_ms = partitioning_.StartOfNumber(key.partition) + key.offset_ms;
    if (from_ms > range.to_ms || stored.header.last_ms < range.from_ms) continue;
    rows_.push_back({std::string(rows->key()), std::string(rows->value()), stored.header.first_ms,
                     stored.header.last_ms, /*is_stored=*/true});
  }
  return rows->status();
}

SeriesRows::Row* SeriesRows::Insert(Row row) {
  const auto at =
      std::lower_bound(rows_.begin(), rows_.end(), row.key,
                       [](const Row& a, const std::string& key) { return a.key < key; });
  return &*rows_.insert(at, std::move(row));
}

absl::StatusOr<std::vector<int64_t>> SeriesRows::Times(int64_t from_ms, int64_t to_ms) {
  columns_.clear();
  for (const Row& row : rows_) {
    if (!row.Overlaps(from_ms, to_ms)) continue;
    TINYOBS_ASSIGN_OR_RETURN(const StoredChunk stored,
                             ParseStoredChunk(row.key, partitioning_, row.value));
    TINYOBS_RETURN_IF_ERROR(chunk::Decode(stored.bytes, &columns_));
  }
  std::vector<int64_t> times = std::move(columns_.timestamps_ms);
  columns_.clear();
  std::sort(times.begin(), times.end());
  times.erase(std::unique(times.begin(), times.end()), times.end());
  return times;
}

size_t SeriesRows::Depth(int64_t from_ms, int64_t to_ms) const {
  // The depth changes only where a chunk begins or ends.
  std::vector<std::pair<int64_t, int>> changes;
  for (const Row& row : rows_) {
    if (!row.Overlaps(from_ms, to_ms)) continue;
    changes.emplace_back(std::max(row.first_ms, from_ms), -1);  // before ends at the same time
    changes.emplace_back(row.last_ms, 1);
  }
  std::sort(changes.begin(), changes.end());
  int depth = 0, deepest = 0;
  for (const auto& [time, change] : changes) {
    depth -= change;
    deepest = std::max(deepest, depth);
  }
  return static_cast<size_t>(deepest);
}

absl::StatusOr<uint64_t> SeriesRows::Place(const NewChunk& chunk, bool may_replace,
                                           chunk::Encoder* encoder) {
  const int64_t first_ms = chunk.timestamps_ms.front();
  const int64_t last_ms = chunk.timestamps_ms.back();
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<int64_t> known, Times(first_ms, last_ms));
  uint64_t new_times = 0;
  for (const int64_t time : chunk.timestamps_ms) {
    if (!std::binary_search(known.begin(), known.end(), time)) ++new_times;
  }
  ChunkKey key = RawChunkKey(partitioning_, chunk.series, first_ms);
  Row row;
  row.key = EncodeChunkKey(key);
  const auto is_taken = [this, &row] {
    return std::any_of(rows_.begin(), rows_.end(), [&row](const Row& other) {
      return other.key == row.key && (other.is_live || other.is_stored);
    });
  };
  bool shares_offset = false;
  for (key.suffix = chunk.generation; is_taken(); ++key.suffix) {
    shares_offset = true;
    row.key = EncodeChunkKey(key);
  }
  const GenerationRun run{known.empty() ? 0 : chunk.generation, chunk.timestamps_ms.size()};
  EncodeStoredChunk({&run, 1}, chunk.timestamps_ms, chunk.values, encoder, &row.value, chunk.hint);
  row.first_ms = first_ms;
  row.last_ms = last_ms;
  row.is_changed = true;
  const bool crowded = shares_offset || Depth(first_ms, last_ms) >= kMaxOverlap;
  Insert(std::move(row));
  if (may_replace && crowded && !known.empty()) TINYOBS_RETURN_IF_ERROR(Merge(first_ms, last_ms));
  return new_times;
}

absl::Status SeriesRows::Merge(int64_t from_ms, int64_t to_ms) {
  std::map<std::string, std::string, std::less<>> merged;
  const auto emit = [&merged](std::string_view key, std::string_view value) {
    merged.emplace(key, value);
    return absl::OkStatus();
  };
  ChunkMerger merger(partitioning_);
  for (const Row& row : rows_) {
    if (!row.Overlaps(from_ms, to_ms)) continue;
    TINYOBS_RETURN_IF_ERROR(merger.Add(row.key, row.value, emit));
  }
  TINYOBS_RETURN_IF_ERROR(merger.Finish(emit));
  for (Row& row : rows_) {
    if (!row.Overlaps(from_ms, to_ms)) continue;
    const auto found = merged.find(row.key);
    row.is_live = found != merged.end();
    if (!row.is_live || found->second == row.value) continue;
    row.value = std::move(found->second);
    row.is_changed = true;
    TINYOBS_ASSIGN_OR_RETURN(const StoredChunk stored,
                             ParseStoredChunk(row.key, partitioning_, row.value));
    row.first_ms = stored.header.first_ms;
    row.last_ms = stored.header.last_ms;
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> SeriesRows::Delete(TimeRange range, chunk::Encoder* encoder) {
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<int64_t> times, Times(range.from_ms, range.to_ms));
  const auto from = std::lower_bound(times.begin(), times.end(), range.from_ms);
  const auto to = std::upper_bound(from, times.end(), range.to_ms);
  for (Row& row : rows_) {
    if (!row.Overlaps(range.from_ms, range.to_ms)) continue;
    TINYOBS_ASSIGN_OR_RETURN(const StoredChunk stored,
                             ParseStoredChunk(row.key, partitioning_, row.value));
    // What is before the range and what is behind it.
    merger_.Start({INT64_MIN, range.from_ms - (range.from_ms > INT64_MIN ? 1 : 0)});
    if (row.first_ms < range.from_ms) TINYOBS_RETURN_IF_ERROR(AddStoredChunk(stored, &merger_));
    merger_.Finish(&columns_, &runs_);
    Columns behind;
    std::vector<GenerationRun> behind_runs;
    merger_.Start({range.to_ms + (range.to_ms < INT64_MAX ? 1 : 0), INT64_MAX});
    if (row.last_ms > range.to_ms) TINYOBS_RETURN_IF_ERROR(AddStoredChunk(stored, &merger_));
    merger_.Finish(&behind, &behind_runs);
    const size_t left = columns_.size() + behind.size();
    row.is_live = left > 0;
    if (left == 0 || left == stored.header.count) continue;
    columns_.timestamps_ms.insert(columns_.timestamps_ms.end(), behind.timestamps_ms.begin(),
                                  behind.timestamps_ms.end());
    columns_.values.insert(columns_.values.end(), behind.values.begin(), behind.values.end());
    runs_.insert(runs_.end(), behind_runs.begin(), behind_runs.end());
    std::string value;
    EncodeStoredChunk(runs_, columns_.timestamps_ms, columns_.values, encoder, &value);
    row.value = std::move(value);
    row.first_ms = columns_.timestamps_ms.front();
    row.last_ms = columns_.timestamps_ms.back();
    row.is_changed = true;
  }
  return static_cast<uint64_t>(to - from);
}

void SeriesRows::PutChanges(lsm::WriteBatch* batch, PartitionCounts* counts) const {
  for (const Row& row : rows_) {
    if (row.is_live && row.is_changed) {
      batch->Put(row.key, row.value);
      counts->Include(row.first_ms, row.last_ms);
    }
    if (!row.is_live && row.is_stored) {
      batch->Delete(row.key);
      counts->chunks -= std::min<uint64_t>(counts->chunks, 1);
    }
    if (row.is_live && !row.is_stored) {
      ++counts->chunks;
      ++counts->unmerged_chunks;
    }
  }
}

}  // namespace tinyobs::tsdb
