#include "lib/tsdb/column_merge.h"

#include <algorithm>

namespace tinyobs::tsdb {

void ColumnMerger::Start(TimeRange range) {
  range_ = range;
  samples_.clear();
  stretches_.clear();
  overlapping_ = false;
}

void ColumnMerger::Add(std::span<const int64_t> timestamps_ms, std::span<const double> values,
                       Generation generation) {
  const auto from = std::lower_bound(timestamps_ms.begin(), timestamps_ms.end(), range_.from_ms);
  const auto to = std::upper_bound(from, timestamps_ms.end(), range_.to_ms);
  if (from == to) return;
  auto& times = samples_.timestamps_ms;
  if (!times.empty() && *from <= times.back()) overlapping_ = true;
  stretches_.push_back({times.size(), generation});
  times.insert(times.end(), from, to);
  const auto first = values.begin() + (from - timestamps_ms.begin());
  samples_.values.insert(samples_.values.end(), first, first + (to - from));
}

void ColumnMerger::Finish(Columns* out) {
  if (!overlapping_) {
    std::swap(*out, samples_);
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
  for (size_t s = 0; s < stretches_.size(); ++s) {
    const size_t end = s + 1 < stretches_.size() ? stretches_[s + 1].begin : samples_.size();
    for (size_t i = stretches_[s].begin; i < end; ++i) {
      entries.push_back({samples_.timestamps_ms[i], stretches_[s].generation, samples_.values[i]});
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
  }
  samples_.clear();
}

}  // namespace tinyobs::tsdb
