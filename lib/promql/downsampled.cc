#include "lib/promql/downsampled.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace tinyobs::promql {

uint32_t WindowColumnsFor(FunctionId id) {
  switch (id) {
    case FunctionId::kAvgOverTime:
      return kWindowSum | kWindowCount;
    case FunctionId::kCountOverTime:
      return kWindowCount;
    case FunctionId::kMaxOverTime:
      return kWindowMax;
    case FunctionId::kMinOverTime:
      return kWindowMin;
    case FunctionId::kSumOverTime:
      return kWindowSum;
    default:
      return kWindowLast;
  }
}

FunctionId FunctionOverWindows(FunctionId id) {
  return id == FunctionId::kCountOverTime ? FunctionId::kSumOverTime : id;
}

bool GrowsWithRange(FunctionId id) {
  return id == FunctionId::kIncrease || id == FunctionId::kDelta || id == FunctionId::kChanges ||
         id == FunctionId::kResets;
}

namespace {

constexpr int64_t kMostParts = 60;

// In parts that are no longer than a range, so that it has its share of them.
void Spread(const Windows& windows, size_t i, double total, int64_t range_ms, Columns* out) {
  const int64_t width_ms = ResolutionMs(windows.resolution);
  const int64_t parts = (width_ms - 1) / std::max(range_ms, width_ms / kMostParts) + 1;
  for (int64_t part = 1; part <= parts; ++part) {
    out->Add(windows.start_ms[i] + width_ms * part / parts - 1, total / static_cast<double>(parts));
  }
}

void AddWindow(const Windows& windows, size_t i, FunctionId id, int64_t range_ms, Columns* out) {
  const int64_t last_moment_ms = windows.start_ms[i] + ResolutionMs(windows.resolution) - 1;
  switch (id) {
    case FunctionId::kAvgOverTime:
      return out->Add(last_moment_ms, windows.sum[i] / static_cast<double>(windows.count[i]));
    case FunctionId::kCountOverTime:
      return Spread(windows, i, static_cast<double>(windows.count[i]), range_ms, out);
    case FunctionId::kMaxOverTime:
      return out->Add(last_moment_ms, windows.max[i]);
    case FunctionId::kMinOverTime:
      return out->Add(last_moment_ms, windows.min[i]);
    case FunctionId::kSumOverTime:
      return Spread(windows, i, windows.sum[i], range_ms, out);
    default:
      return out->Add(windows.last_ms[i], windows.last[i]);
  }
}

}  // namespace

const Columns& SamplesOf(const SeriesSet& series, FunctionId id, int64_t range_ms,
                         Columns* scratch) {
  if (series.windows().empty()) return series.columns();
  scratch->clear();
  for (const Windows& windows : series.windows()) {
    for (size_t i = 0; i < windows.size(); ++i) AddWindow(windows, i, id, range_ms, scratch);
  }
  const Columns& raw = series.columns();
  for (size_t i = 0; i < raw.size(); ++i) {
    const bool counted = id == FunctionId::kCountOverTime && !IsStaleNan(raw.values[i]);
    scratch->Add(raw.timestamps_ms[i], counted ? 1 : raw.values[i]);
  }
  if (!std::is_sorted(scratch->timestamps_ms.begin(), scratch->timestamps_ms.end())) {
    // A finer piece of time lies between coarser ones.
    std::vector<std::pair<int64_t, double>> points;
    for (size_t i = 0; i < scratch->size(); ++i) {
      points.emplace_back(scratch->timestamps_ms[i], scratch->values[i]);
    }
    std::stable_sort(points.begin(), points.end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    scratch->clear();
    for (const auto& [time_ms, value] : points) scratch->Add(time_ms, value);
  }
  return *scratch;
}

}  // namespace tinyobs::promql
