// Two passes of one fold: neighbours in the same window, then neighbours that are too many.
#include "tools/serve/chart_points.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "lib/base/check.h"

namespace tinyobs::serve {
namespace {

// Of kAverage: `weight` samples, whose average is `value`. Of the others the weight is 1.
struct Point {
  int64_t time_ms;
  double value;
  double weight;
};

// Makes one point of each run of points with the same key.
class Fold {
 public:
  Fold(WindowValue value, std::vector<Point>* out) : value_(value), out_(out) {}

  void Add(int64_t key, const Point& point) {
    if (!open_ || key != key_) {
      Finish();
      open_ = true;
      key_ = key;
      Begin(point);
    } else if (std::isnan(now_.value)) {  // nothing yet that counts
      const int64_t first_ms = now_.time_ms;
      Begin(point);
      if (value_ != WindowValue::kLast) now_.time_ms = first_ms;
    } else if (!std::isnan(point.value)) {
      Join(point);
    }
  }

  void Finish() {
    if (!open_) return;
    open_ = false;
    if (!std::isnan(now_.value)) {
      if (value_ == WindowValue::kAverage) now_.value = static_cast<double>(sum_ / now_.weight);
      if (value_ == WindowValue::kSum || value_ == WindowValue::kCount) {
        now_.value = static_cast<double>(sum_);
      }
    }
    out_->push_back(now_);
  }

 private:
  void Begin(const Point& point) {
    now_ = point;
    sum_ = static_cast<long double>(point.value) * point.weight;
  }

  void Join(const Point& point) {
    switch (value_) {
      case WindowValue::kLast:
        now_ = point;
        break;
      case WindowValue::kMin:
        now_.value = std::min(now_.value, point.value);
        break;
      case WindowValue::kMax:
        now_.value = std::max(now_.value, point.value);
        break;
      default:
        sum_ += static_cast<long double>(point.value) * point.weight;
        if (value_ == WindowValue::kAverage) now_.weight += point.weight;
    }
  }

  const WindowValue value_;
  std::vector<Point>* const out_;
  bool open_ = false;
  int64_t key_ = 0;
  Point now_{};
  long double sum_ = 0;  // so that large values do not become infinite, nor averages inexact
};

Point PointOf(const Windows& windows, size_t i, WindowValue value) {
  const int64_t start_ms = windows.start_ms[i];
  switch (value) {
    case WindowValue::kSum:
      return {start_ms, windows.sum[i], 1};
    case WindowValue::kCount:
      return {start_ms, static_cast<double>(windows.count[i]), 1};
    case WindowValue::kMin:
      return {start_ms, windows.min[i], 1};
    case WindowValue::kMax:
      return {start_ms, windows.max[i], 1};
    case WindowValue::kLast:
      return {windows.last_ms[i], windows.last[i], 1};
    case WindowValue::kByType:
    case WindowValue::kAverage:
      break;
  }
  const double count = static_cast<double>(windows.count[i]);
  return {start_ms, windows.sum[i] / count, count};
}

std::vector<Point> PointsOf(std::span<const Windows> windows, const ChartOptions& options) {
  std::vector<Point> points;
  const auto& [from_ms, to_ms] = options.range;
  for (const Windows& tier : windows) {
    const bool range_is_short = to_ms - from_ms < ResolutionMs(tier.resolution);
    for (size_t i = 0; i < tier.size(); ++i) {
      Point point = PointOf(tier, i, options.value);
      const int64_t inside_ms = std::clamp(point.time_ms, from_ms, to_ms);
      if (point.time_ms != inside_ms && !range_is_short) continue;
      point.time_ms = inside_ms;
      points.push_back(point);
    }
  }
  // Late samples may have made a finer piece between coarser ones.
  const auto earlier = [](const Point& a, const Point& b) { return a.time_ms < b.time_ms; };
  if (!std::is_sorted(points.begin(), points.end(), earlier)) {
    std::sort(points.begin(), points.end(), earlier);
  }
  return points;
}

// Calls `use` for each point of both, in the order of time.
template <typename Use>
void ForEachPoint(const std::vector<Point>& coarse, const Columns& samples, WindowValue value,
                  const Use& use) {
  size_t next = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const int64_t time_ms = samples.timestamps_ms[i];
    while (next < coarse.size() && coarse[next].time_ms <= time_ms) use(coarse[next++]);
    use(Point{time_ms, value == WindowValue::kCount ? 1 : samples.values[i], 1});
  }
  while (next < coarse.size()) use(coarse[next++]);
}

int64_t FloorDivide(int64_t a, int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

}  // namespace

Columns ChartPoints(std::span<const Windows> windows, const Columns& samples,
                    const ChartOptions& options) {
  TINYOBS_CHECK(options.max_points > 0);
  std::vector<Point> coarse = PointsOf(windows, options);
  const Columns none;
  const Columns* rest = &samples;
  if (const int64_t width_ms = ResolutionMs(options.even); width_ms > 0) {
    std::vector<Point> even;
    Fold fold(options.value, &even);
    ForEachPoint(coarse, samples, options.value, [&](Point point) {
      const int64_t window = FloorDivide(point.time_ms, width_ms);
      if (options.value != WindowValue::kLast) {
        point.time_ms = std::max(window * width_ms, options.range.from_ms);
      }
      fold.Add(window, point);
    });
    fold.Finish();
    coarse = std::move(even);
    rest = &none;
  }
  const size_t count = coarse.size() + rest->size();
  if (coarse.empty() && count / options.max_points < 2 && options.value != WindowValue::kCount) {
    return *rest;  // most charts
  }
  const size_t group = std::max<size_t>(count / options.max_points, 1);
  std::vector<Point> thin;
  thin.reserve(count / group + 1);
  Fold fold(options.value, &thin);
  size_t i = 0;
  ForEachPoint(coarse, *rest, options.value,
               [&](const Point& point) { fold.Add(static_cast<int64_t>(i++ / group), point); });
  fold.Finish();
  Columns points;
  for (const Point& point : thin) points.Add(point.time_ms, point.value);
  return points;
}

}  // namespace tinyobs::serve
