#include "lib/tsdb/column_merge.h"

#include <algorithm>

namespace tinyobs::tsdb {

namespace {

void PutRun(Generation generation, size_t samples, std::vector<GenerationRun>* runs) {
  if (!runs->empty() && runs->back().generation == generation) {
    runs->back().samples += samples;
  } else {
    runs->push_back({generation, samples});
  }
}

}  // namespace

void ColumnMerger::Start(TimeRange range) {
  range_ = range;
  samples_.clear();
  taken_ = 0;
  runs_.clear();
  overlapping_ = false;
}

void ColumnMerger::Add(std::span<const int64_t> timestamps_ms, std::span<const double> values,
                       Generation generation) {
  const auto from = std::lower_bound(timestamps_ms.begin(), timestamps_ms.end(), range_.from_ms);
  const auto to = std::upper_bound(from, timestamps_ms.end(), range_.to_ms);
  const auto first = values.begin() + (from - timestamps_ms.begin());
  samples_.timestamps_ms.insert(samples_.timestamps_ms.end(), from, to);
  samples_.values.insert(samples_.values.end(), first, first + (to - from));
  const GenerationRun run{generation, static_cast<size_t>(to - from)};
  Appended({&run, 1});
}

void ColumnMerger::Appended(std::span<const GenerationRun> runs) {
  auto& times = samples_.timestamps_ms;
  auto& values = samples_.values;
  const auto begin = times.begin() + static_cast<ptrdiff_t>(taken_);
  auto skip = std::lower_bound(begin, times.end(), range_.from_ms) - begin;
  const auto to = std::upper_bound(begin + skip, times.end(), range_.to_ms) - times.begin();
  times.resize(static_cast<size_t>(to));
  values.resize(static_cast<size_t>(to));
  if (skip > 0) {
    times.erase(begin, begin + skip);
    const auto first = values.begin() + static_cast<ptrdiff_t>(taken_);
    values.erase(first, first + skip);
  }
  size_t left = times.size() - taken_;
  if (left == 0) return;
  if (taken_ > 0 && times[taken_] <= times[taken_ - 1]) overlapping_ = true;
  taken_ = times.size();
  for (GenerationRun run : runs) {
    const size_t cropped = std::min(run.samples, static_cast<size_t>(skip));
    skip -= static_cast<ptrdiff_t>(cropped);
    run.samples = std::min(run.samples - cropped, left);
    left -= run.samples;
    if (run.samples > 0) PutRun(run.generation, run.samples, &runs_);
  }
}

void ColumnMerger::Finish(Columns* out, std::vector<GenerationRun>* runs) {
  if (runs != nullptr) runs->clear();
  taken_ = 0;
  if (!overlapping_) {
    std::swap(*out, samples_);
    if (runs != nullptr) std::swap(*runs, runs_);
    samples_.clear();
    return;
  }
  struct Entry {
    int64_t timestamp_ms;
    Generation generation;
    double value;
  };
  std::vector<Entry> entries;
  entries.reserve(samples_.size());
  for (const GenerationRun& run : runs_) {
    for (const size_t end = entries.size() + run.samples; entries.size() < end;) {
      const size_t i = entries.size();
      entries.push_back({samples_.timestamps_ms[i], run.generation, samples_.values[i]});
    }
  }
  // Stable: of two stretches with the same generation the one added later counts as newer.
  std::stable_sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.timestamp_ms != b.timestamp_ms ? a.timestamp_ms < b.timestamp_ms
                                            : a.generation < b.generation;
  });
  out->clear();
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i + 1 < entries.size() && entries[i + 1].timestamp_ms == entries[i].timestamp_ms) continue;
    out->Add(entries[i].timestamp_ms, entries[i].value);
    if (runs != nullptr) PutRun(entries[i].generation, 1, runs);
  }
  samples_.clear();
}

}  // namespace tinyobs::tsdb
