// Windows: what downsampling makes of samples, as columns.
//
// A window is five minutes or one hour, aligned to the epoch, of one series, and holds what the
// answer to nearly every question about it needs: for gauges sum, count, min, max; for counters the
// first and last value and how far it rose between them, so that a rate over whole windows is that
// of the raw samples. Windows without a sample do not exist. Staleness markers are no samples.
#ifndef TINYOBS_WINDOWS_H_
#define TINYOBS_WINDOWS_H_

#include <cstdint>
#include <string_view>
#include <vector>

namespace tinyobs {

// What resolution samples come from.
enum class Resolution { kRaw, kFiveMinutes, kOneHour };
// "raw", "5m", "1h".
std::string_view ResolutionName(Resolution resolution);
// Width of a window; 0 for raw.
constexpr int64_t ResolutionMs(Resolution resolution) {
  return resolution == Resolution::kRaw       ? 0
         : resolution == Resolution::kOneHour ? 3'600'000
                                              : 300'000;
}

// Which columns of windows are asked for, as a set of bits: each costs reading it.
enum WindowColumn : uint32_t {
  kWindowCount = 1,
  kWindowSum = 2,
  kWindowMin = 4,
  kWindowMax = 8,
  kWindowFirst = 16,  // and its time
  kWindowLast = 32,   // and its time
  kWindowIncrease = 64,
  kWindowResets = 128,
  kAllWindowColumns = 255,
};

// Of one series and one resolution, ascending; columns of equal length, those not asked for empty.
struct Windows {
  Resolution resolution = Resolution::kFiveMinutes;
  std::vector<int64_t> start_ms;  // always; the window is [start, start + ResolutionMs)
  std::vector<uint64_t> count;    // of samples, at least 1
  std::vector<double> sum;        // NaN if one value is; rounded once if all are decimals
  std::vector<double> min;        // NaN only if there is nothing else
  std::vector<double> max;
  std::vector<int64_t> first_ms;
  std::vector<double> first;
  std::vector<int64_t> last_ms;
  std::vector<double> last;
  // How far a counter rose from `first` to `last`: the difference, and at each decrease the value
  // before it. From one window to the next it rose by first - last of the one before, or by first
  // when that is less.
  // NaN where it is not kept: where a series falls so often that it is no counter.
  std::vector<double> increase;
  std::vector<uint64_t> resets;  // decreases between `first` and `last`; 0 where not kept

  size_t size() const { return start_ms.size(); }
  bool empty() const { return start_ms.empty(); }
};

// The value of a window as one point of a line.
enum class WindowValue {
  kByType,  // kLast for metrics whose type is "counter", else kAverage
  kAverage,
  kSum,
  kCount,
  kMin,
  kMax,
  kLast,
};
// The columns that it takes, a set of WindowColumn.
constexpr uint32_t WindowColumnsOf(WindowValue value) {
  switch (value) {
    case WindowValue::kSum:
      return kWindowSum;
    case WindowValue::kCount:
      return kWindowCount;
    case WindowValue::kMin:
      return kWindowMin;
    case WindowValue::kMax:
      return kWindowMax;
    case WindowValue::kLast:
      return kWindowLast;
    case WindowValue::kByType:
    case WindowValue::kAverage:
      break;
  }
  return kWindowSum | kWindowCount;
}

}  // namespace tinyobs

#endif  // TINYOBS_WINDOWS_H_
