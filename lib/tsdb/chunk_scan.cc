#include "lib/tsdb/chunk_scan.h"

#include <utility>

#include "absl/status/statusor.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/chunk/window.h"
#include "lib/tsdb/chunk_row.h"

namespace tinyobs::tsdb {

namespace {
// Steps that cost less than a seek.
constexpr int kStepsMax = 8;
// Series up to which prefixes are asked for: an iterator costs about as much as a block.
constexpr size_t kFewSeries = 4;
// Iterators that stay open; each holds a block or two of each level.
constexpr size_t kIteratorsMax = 64;
// Rows beyond which a scan would push everything else out of the block cache.
constexpr size_t kCachedRowsMax = 8192;
}  // namespace

void MoveForward(std::string_view target, Iterator* rows) {
  for (int step = 0; step < kStepsMax && rows->Valid(); ++step) {
    if (rows->key() >= target) return;
    rows->Next();
  }
  if (!rows->Valid() || rows->key() < target) rows->Seek(target);
}

absl::StatusOr<bool> ReadChunks(const std::string& prefix, const Partitioning& partitioning,
                                TimeRange range, uint64_t sample_limit, Iterator* rows,
                                ColumnMerger* merger) {
  for (; rows->Valid() && rows->key().starts_with(prefix); rows->Next()) {
    ChunkKey key;
    if (!DecodeChunkKey(rows->key(), &key)) {
      return absl::DataLossError(StrCat("not the key of a chunk: ", EscapeForMessage(rows->key())));
    }
    // No sample is before its key.
    if (partitioning.StartOfNumber(key.partition) + key.offset_ms > range.to_ms) break;
    TINYOBS_ASSIGN_OR_RETURN(const StoredChunk stored,
                             ParseStoredChunk(key, partitioning, rows->value()));
    if (stored.header.first_ms > range.to_ms || stored.header.last_ms < range.from_ms) continue;
    TINYOBS_RETURN_IF_ERROR(AddStoredChunk(stored, merger));
    if (sample_limit > 0 && !merger->overlapping() && merger->size() > sample_limit) return false;
  }
  TINYOBS_RETURN_IF_ERROR(rows->status());
  return true;
}

ChunkScan::ChunkScan(const lsm::Store* store, const lsm::Snapshot* snapshot,
                     const Partitioning& partitioning, std::vector<uint32_t> partitions,
                     TimeRange range, size_t series_count, Tier tier)
    : store_(store),
      snapshot_(snapshot),
      tier_(tier),
      partitioning_(partitioning),
      range_(range),
      by_prefix_(series_count <= kFewSeries || partitions.size() > kIteratorsMax),
      fill_cache_(series_count * partitions.size() <= kCachedRowsMax) {
  places_.reserve(partitions.size());
  for (const uint32_t partition : partitions) places_.push_back({partition, nullptr, 0});
}

lsm::ReadOptions ChunkScan::Options(std::string prefix) const {
  lsm::ReadOptions options;
  options.snapshot = snapshot_;
  options.prefix = std::move(prefix);
  options.fill_cache = fill_cache_;
  return options;
}

Iterator* ChunkScan::Position(Place* place, SeriesId series, const std::string& prefix) {
  if (by_prefix_) {
    of_series_ = store_->NewIterator(Options(prefix));
    of_series_->SeekToFirst();
    return of_series_.get();
  }
  if (place->rows == nullptr) {
    place->rows = store_->NewIterator(Options(ChunkPrefix(tier_, place->partition)));
    place->rows->Seek(prefix);
  } else if (series > place->last_series) {
    MoveForward(prefix, place->rows.get());
  } else {
    place->rows->Seek(prefix);
  }
  place->last_series = series;
  return place->rows.get();
}

absl::Status ChunkScan::Read(SeriesId series, uint64_t sample_limit, ColumnMerger* merger) {
  for (Place& place : places_) {
    const std::string prefix = SeriesPrefix(tier_, place.partition, series);
    Iterator* const rows = Position(&place, series, prefix);
    TINYOBS_ASSIGN_OR_RETURN(const bool more,
                             ReadChunks(prefix, partitioning_, range_, sample_limit, rows, merger));
    if (!more) break;
  }
  return absl::OkStatus();
}

absl::Status ChunkScan::ReadWindows(SeriesId series, std::span<const TimeRange> pieces,
                                    uint32_t columns, uint64_t window_limit, Windows* out) {
  for (Place& place : places_) {
    const int64_t start_ms = partitioning_.StartOfNumber(place.partition);
    const int64_t last_ms = partitioning_.LastMsOf(place.partition);
    // Those of this partition.
    while (!pieces.empty() && pieces.front().to_ms < start_ms) pieces = pieces.subspan(1);
    if (pieces.empty()) break;
    if (pieces.front().from_ms > last_ms) continue;
    const std::string prefix = SeriesPrefix(tier_, place.partition, series);
    Iterator* const rows = Position(&place, series, prefix);
    for (; rows->Valid() && rows->key().starts_with(prefix); rows->Next()) {
      for (const TimeRange& piece : pieces) {
        if (piece.from_ms > last_ms) break;
        TINYOBS_RETURN_IF_ERROR(chunk::DecodeWindows(rows->value(), ResolutionMs(out->resolution),
                                                     columns, piece.from_ms, piece.to_ms, out));
      }
      if (window_limit > 0 && out->size() > window_limit) return absl::OkStatus();
    }
    TINYOBS_RETURN_IF_ERROR(rows->status());
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::tsdb
