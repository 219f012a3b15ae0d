#include "lib/promql/downsampled.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "lib/base/status_macros.h"

namespace tinyobs::promql {

namespace {

constexpr auto kColumns = ByFunction<uint32_t>({{IdOf("avg_over_time"), kWindowSum | kWindowCount},
                                                {IdOf("count_over_time"), kWindowCount},
                                                {IdOf("max_over_time"), kWindowMax},
                                                {IdOf("min_over_time"), kWindowMin},
                                                {IdOf("sum_over_time"), kWindowSum}});

// Whether twice the time is twice the value, so that what was widened is to be scaled down.
constexpr bool GrowsWithRange(FunctionId id) {
  return id == IdOf("increase") || id == IdOf("delta") || id == IdOf("changes") ||
         id == IdOf("resets");
}

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
    case IdOf("avg_over_time"):
      return out->Add(last_moment_ms, windows.sum[i] / static_cast<double>(windows.count[i]));
    case IdOf("count_over_time"):
      return Spread(windows, i, static_cast<double>(windows.count[i]), range_ms, out);
    case IdOf("max_over_time"):
      return out->Add(last_moment_ms, windows.max[i]);
    case IdOf("min_over_time"):
      return out->Add(last_moment_ms, windows.min[i]);
    case IdOf("sum_over_time"):
      return Spread(windows, i, windows.sum[i], range_ms, out);
    default:
      return out->Add(windows.last_ms[i], windows.last[i]);
  }
}

}  // namespace

uint32_t WindowColumnsFor(FunctionId id) {
  const uint32_t columns = kColumns[static_cast<size_t>(id)];
  return columns == 0 ? kWindowLast : columns;
}

const Columns& SamplesOf(const SeriesSet& series, FunctionId id, int64_t range_ms,
                         Columns* scratch) {
  if (series.windows().empty()) return series.columns();
  scratch->clear();
  for (const Windows& windows : series.windows()) {
    for (size_t i = 0; i < windows.size(); ++i) AddWindow(windows, i, id, range_ms, scratch);
  }
  const Columns& raw = series.columns();
  for (size_t i = 0; i < raw.size(); ++i) {
    const bool counted = id == IdOf("count_over_time") && !IsStaleNan(raw.values[i]);
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

absl::Status EvalRangeAtAnyResolution(FunctionId id, const RangeInput& input,
                                      std::span<const std::span<const double>> args,
                                      RangeScratch* scratch, std::span<double> out) {
  if (input.downsampled_ms == 0) return EvalRange(id, input, args, scratch, out);
  // Counts of windows are summed up.
  const FunctionId function = id == IdOf("count_over_time") ? IdOf("sum_over_time") : id;
  TINYOBS_RETURN_IF_ERROR(EvalRange(function, input, args, scratch, out));
  RangeInput wide = input;
  std::vector<double> values(out.size());
  for (const Resolution resolution : {Resolution::kFiveMinutes, Resolution::kOneHour}) {
    for (const int windows : {1, 2}) {
      wide.range_ms = windows * ResolutionMs(resolution);
      if (ResolutionMs(resolution) > input.downsampled_ms || wide.range_ms <= input.range_ms) {
        continue;
      }
      TINYOBS_RETURN_IF_ERROR(EvalRange(function, wide, args, scratch, values));
      const double scale = GrowsWithRange(id) ? static_cast<double>(input.range_ms) /
                                                    static_cast<double>(wide.range_ms)
                                              : 1;
      for (size_t i = 0; i < out.size(); ++i) {
        if (IsAbsent(out[i]) && !IsAbsent(values[i])) out[i] = values[i] * scale;
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::promql
