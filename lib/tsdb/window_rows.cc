#include "lib/tsdb/window_rows.h"

#include <algorithm>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/chunk_scan.h"

namespace tinyobs::tsdb {

namespace {
// Samples of a series gathered at once, 4 MiB, some more while they are sorted; with more of them
// in a partition (one each 27 ms), it is read window by window.
constexpr size_t kGatheredSamples = 1 << 18;
constexpr int64_t kWidthMs = WidthMs(Tier::kFiveMinutes);
}  // namespace

absl::Status PassBy(const absl::Status& status, Losses* losses) {
  if (losses == nullptr || !absl::IsDataLoss(status)) return status;
  ++losses->count;
  losses->last = status;
  return absl::OkStatus();
}

absl::Status WindowMaker::FromSamples(const std::string& prefix, uint32_t partition, Iterator* rows,
                                      Losses* losses, std::vector<chunk::Window>* windows) {
  const int64_t start_ms = raw_.StartOfNumber(partition);
  const int64_t end_ms = raw_.LastMsOf(partition) + 1;
  aggregator_.Begin(start_ms, end_ms, kWidthMs);
  merger_.Start({start_ms, end_ms - 1});
  bool gathered = true;
  for (; gathered && rows->Valid() && rows->key().starts_with(prefix); rows->Next()) {
    const auto stored = ParseStoredChunk(rows->key(), raw_, rows->value());
    TINYOBS_RETURN_IF_ERROR(
        PassBy(stored.ok() ? AddStoredChunk(*stored, &merger_) : stored.status(), losses));
    gathered = merger_.size() <= kGatheredSamples;
  }
  TINYOBS_RETURN_IF_ERROR(rows->status());
  if (gathered) {
    AddGathered();
  } else {
    for (int64_t from_ms = start_ms; from_ms < end_ms; from_ms += kWidthMs) {
      const TimeRange window{from_ms, from_ms + kWidthMs - 1};
      merger_.Start(window);
      rows->Seek(prefix);
      TINYOBS_RETURN_IF_ERROR(
          ReadChunks(prefix, raw_, window, /*sample_limit=*/0, rows, &merger_).status());
      AddGathered();
    }
    MoveForward(PrefixEnd(prefix), rows);
  }
  *windows = aggregator_.Finish();
  chunk::ForgetRiseOfGauge(*windows);
  return absl::OkStatus();
}

void WindowMaker::AddGathered() {
  merger_.Finish(&columns_);
  samples_ += columns_.size();
  const size_t bytes = columns_.timestamps_ms.capacity() * (sizeof(int64_t) + sizeof(double));
  if (bytes > charge_.bytes()) charge_.Add(bytes - charge_.bytes());
  const std::span<const int64_t> times = columns_.timestamps_ms;
  const std::span<const double> values = columns_.values;
  for (size_t begin = 0; begin < times.size();) {
    // No need of floors: a partition begins with a window.
    const int64_t end_ms = raw_.StartOf(times[begin]) +
                           ((times[begin] - raw_.StartOf(times[begin])) / kWidthMs + 1) * kWidthMs;
    const auto end = static_cast<size_t>(
        std::lower_bound(times.begin() + static_cast<ptrdiff_t>(begin), times.end(), end_ms) -
        times.begin());
    aggregator_.AddSamples(times.subspan(begin, end - begin), values.subspan(begin, end - begin));
    begin = end;
  }
}

absl::Status WindowRows::Load(SeriesId series, Iterator* rows) {
  Clear(series);
  const std::string prefix = SeriesPrefix(tier_, partition_, series);
  for (; rows->Valid() && rows->key().starts_with(prefix); rows->Next()) {
    ChunkKey key;
    if (!DecodeChunkKey(rows->key(), &key) || key.suffix != 0) {
      return absl::DataLossError(StrCat("not the key of windows: ", EscapeForMessage(rows->key())));
    }
    rows_.push_back({key.offset_ms, std::string(rows->value())});
  }
  return rows->status();
}

void WindowRows::Clear(SeriesId series) {
  series_ = series;
  rows_.clear();
}

absl::Status WindowRows::Windows(std::vector<chunk::Window>* out) const {
  out->clear();
  for (const Row& row : rows_) {
    const size_t before = out->size();
    absl::Status status = chunk::DecodeWindows(row.value, WidthMs(tier_), out);
    const int64_t from_ms = cut_.StartOfNumber(partition_) + row.offset_ms;
    if (status.ok() &&
        ((*out)[before].start_ms < from_ms || out->back().start_ms > cut_.LastMsOf(partition_) ||
         (before > 0 && (*out)[before].start_ms <= (*out)[before - 1].start_ms))) {
      status = absl::DataLossError(StrCat("expected windows from its key on and behind those of ",
                                          "the row before, found ", (*out)[before].start_ms, " to ",
                                          out->back().start_ms));
    }
    if (!status.ok()) {
      return WithContext(
          status, StrCat("windows of series ", series_, " in partition ", partition_, " of tier ",
                         static_cast<int>(tier_), " at offset ", row.offset_ms, " ms"));
    }
  }
  return absl::OkStatus();
}

bool WindowRows::ReplaceAll(const std::vector<chunk::Window>& windows, lsm::WriteBatch* batch) {
  bool changed = false;
  const Row* joined = nullptr;
  for (const Row& row : rows_) {
    if (row.offset_ms == 0) {
      joined = &row;
    } else {
      Delete(row, batch);
      changed = true;
    }
  }
  return Put(0, joined, windows, batch) || changed;
}

bool WindowRows::Replace(int64_t start_ms, const std::vector<chunk::Window>& windows,
                         lsm::WriteBatch* batch) {
  const auto offset_ms = static_cast<uint32_t>(start_ms - cut_.StartOfNumber(partition_));
  const auto old = std::find_if(rows_.begin(), rows_.end(),
                                [offset_ms](const Row& row) { return row.offset_ms == offset_ms; });
  return Put(offset_ms, old == rows_.end() ? nullptr : &*old, windows, batch);
}

absl::StatusOr<bool> WindowRows::Remove(const std::function<bool(const chunk::Window&)>& doomed,
                                        lsm::WriteBatch* batch) {
  std::vector<chunk::Window> all;
  TINYOBS_RETURN_IF_ERROR(Windows(&all));  // checks them
  bool changed = false;
  for (const Row& row : rows_) {
    std::vector<chunk::Window> windows;
    TINYOBS_RETURN_IF_ERROR(chunk::DecodeWindows(row.value, WidthMs(tier_), &windows));
    if (std::erase_if(windows, doomed) == 0) continue;
    Put(row.offset_ms, &row, windows, batch);
    changed = true;
  }
  return changed;
}

std::string WindowRows::KeyAt(uint32_t offset_ms) const {
  return EncodeChunkKey({tier_, partition_, series_, offset_ms});
}

// A row that cannot be read counts as one without windows: it is about to go.
uint64_t WindowRows::CountIn(const Row& row) const {
  const auto header = chunk::ReadWindowRowHeader(row.value, WidthMs(tier_));
  return header.ok() ? header->count : 0;
}

bool WindowRows::Put(uint32_t offset_ms, const Row* old, const std::vector<chunk::Window>& windows,
                     lsm::WriteBatch* batch) {
  if (windows.empty()) {
    if (old != nullptr) Delete(*old, batch);
    return old != nullptr;
  }
  value_.clear();
  chunk::EncodeWindows(windows, WidthMs(tier_), &value_);
  if (old != nullptr && old->value == value_) return false;
  batch->Put(KeyAt(offset_ms), value_);
  ++rows_written_;
  if (old != nullptr) {
    windows_removed_ += CountIn(*old);
  } else {
    ++rows_added_;
  }
  windows_added_ += windows.size();
  oldest_ms_ = std::min(oldest_ms_, windows.front().first_ms);
  newest_ms_ = std::max(newest_ms_, windows.back().last_ms);
  return true;
}

void WindowRows::Delete(const Row& row, lsm::WriteBatch* batch) {
  batch->Delete(KeyAt(row.offset_ms));
  ++rows_removed_;
  windows_removed_ += CountIn(row);
}

void WindowRows::AddTo(PartitionCounts* counts) const {
  counts->chunks =
      counts->chunks + rows_added_ - std::min(counts->chunks + rows_added_, rows_removed_);
  counts->samples = counts->samples + windows_added_ -
                    std::min(counts->samples + windows_added_, windows_removed_);
  if (newest_ms_ >= oldest_ms_) counts->Include(oldest_ms_, newest_ms_);
}

}  // namespace tinyobs::tsdb
