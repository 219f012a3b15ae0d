#include "lib/promql/range_functions.h"

#include <cmath>
#include <cstdio>
#include <limits>
#include <string>

#include "lib/base/strings.h"
#include "lib/promql/compensated_sum.h"
#include "lib/promql/over_time.h"
#include "lib/promql/sliding_fold.h"

namespace tinyobs::promql {

namespace {

// Calls value(i, Window), which returns the element, for each window of at least `samples` samples.
template <typename Value>
void WithSamples(size_t samples, const RangeInput& input, std::span<double> out, Value value) {
  ForEachWindow(input, [&](size_t i, Window window) {
    out[i] = window.size() < samples ? Absent() : value(i, window);
  });
}

// How far a change between the first and the last sample of a window is extended towards the
// window's ends. The samples of most windows lie alike, so that it is worked out once for many.
class Extrapolation {
 public:
  explicit Extrapolation(double divisor) : divisor_(divisor) {}

  // The factor for a `change` that began at `first`; `counter`: the line is not to be extended
  // below zero.
  double Factor(int64_t to_start_ms, int64_t span_ms, int64_t to_end_ms, size_t samples,
                bool counter, double first, double change) {
    if (to_start_ms != to_start_ms_ || span_ms != span_ms_ || to_end_ms != to_end_ms_ ||
        samples != samples_) {
      to_start_ms_ = to_start_ms;
      span_ms_ = span_ms;
      to_end_ms_ = to_end_ms;
      samples_ = samples;
      Prepare();
    }
    // Zero is at least `span_` away when the first value is at least as large as the change.
    if (counter && change > 0 && first >= 0 && (first < change || zero_in_span_)) {
      const double to_zero = span_ * (first / change);
      if (to_zero < to_start_) return FactorFrom(to_zero);
    }
    return factor_;
  }

 private:
  void Prepare() {
    to_start_ = static_cast<double>(to_start_ms_) / 1000;
    to_end_ = static_cast<double>(to_end_ms_) / 1000;
    span_ = static_cast<double>(span_ms_) / 1000;
    average_ = span_ / static_cast<double>(samples_ - 1);
    // As if a sample were there where the next one should be, and some more for jitter.
    threshold_ = average_ * 1.1;
    factor_ = FactorFrom(to_start_);
    zero_in_span_ = span_ < to_start_ && span_ < threshold_;
  }
  double FactorFrom(double to_start) const {
    double extended = span_;
    extended += to_start < threshold_ ? to_start : average_ / 2;
    extended += to_end_ < threshold_ ? to_end_ : average_ / 2;
    const double factor = extended / span_;
    return divisor_ == 1 ? factor : factor / divisor_;
  }

  const double divisor_;
  int64_t to_start_ms_ = -1;
  int64_t span_ms_ = -1;
  int64_t to_end_ms_ = -1;
  size_t samples_ = 0;
  // Of these, in seconds.
  double to_start_ = 0;
  double to_end_ = 0;
  double span_ = 0;
  double average_ = 0;
  double threshold_ = 0;
  double factor_ = 0;
  bool zero_in_span_ = false;  // a zero further away than `span_` may still matter
};

// As Go gives the seconds of a duration: the parts are converted one by one.
double Seconds(int64_t ms) {
  return static_cast<double>(ms / 1000) + static_cast<double>(ms % 1000) * 1e6 / 1e9;
}

// rate, increase and, without the corrections for counters, delta.
void Rate(bool counter, bool per_second, const RangeInput& input, RangeScratch* scratch,
          std::span<double> out) {
  const double* const values = input.values.data();
  const int64_t* const times = input.times_ms.data();
  std::vector<size_t>& resets = scratch->positions;  // where a value is less than the one before
  resets.clear();
  for (size_t i = 1; counter && i < input.values.size(); ++i) {
    if (values[i] < values[i - 1]) resets.push_back(i);
  }
  auto first_reset = resets.begin();
  Extrapolation extrapolation(per_second ? Seconds(input.range_ms) : 1);
  WithSamples(2, input, out, [&](size_t i, Window window) {
    const size_t last = window.end - 1;
    double change = values[last] - values[window.begin];
    while (first_reset != resets.end() && *first_reset <= window.begin) ++first_reset;
    for (auto reset = first_reset; reset != resets.end() && *reset <= last; ++reset) {
      change += values[*reset - 1];
    }
    const int64_t end_ms = input.windows.At(i);
    const double factor = extrapolation.Factor(
        times[window.begin] - (end_ms - input.range_ms), times[last] - times[window.begin],
        end_ms - times[last], window.size(), counter, values[window.begin], change);
    return change * factor;
  });
}

void InstantRate(bool counter, const RangeInput& input, std::span<double> out) {
  WithSamples(2, input, out, [&](size_t, Window window) {
    const double last = input.values[window.end - 1];
    const double previous = input.values[window.end - 2];
    if (!counter) return last - previous;
    const auto ms =
        static_cast<double>(input.times_ms[window.end - 1] - input.times_ms[window.end - 2]);
    return (last < previous ? last : last - previous) / (ms / 1000);
  });
}

// How many samples of the window happened(previous, value) of; its first sample has no previous
// one.
template <typename Happened>
void Count(const RangeInput& input, std::span<double> out, Happened happened) {
  const std::span<const double> values = input.values;
  // Positions, and in how many cases it had happened before them.
  size_t older = 1;
  size_t newer = 1;
  int64_t until_older = 0;
  int64_t until_newer = 0;
  const auto advance = [&](size_t* at, size_t to, int64_t* seen) {
    for (; *at < to; ++*at) *seen += happened(values[*at - 1], values[*at]) ? 1 : 0;
  };
  WithSamples(1, input, out, [&](size_t, Window window) {
    advance(&older, window.begin + 1, &until_older);
    advance(&newer, window.end, &until_newer);
    return static_cast<double>(until_newer - until_older);
  });
}

struct Line {
  double slope;
  double at_origin;
};

// Least squares, seconds on the x axis.
Line Regression(std::span<const int64_t> times_ms, std::span<const double> values,
                int64_t origin_ms) {
  CompensatedSum x_sum, y_sum, xy_sum, xx_sum;
  bool constant = true;
  for (size_t i = 0; i < values.size(); ++i) {
    const double x = static_cast<double>(times_ms[i] - origin_ms) / 1e3;
    const double y = values[i];
    if (i > 0 && y != values[0]) constant = false;
    x_sum.Add(x);
    y_sum.Add(y);
    xy_sum.Add(x * y);
    xx_sum.Add(x * x);
  }
  if (constant) {
    constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
    return std::isinf(values[0]) ? Line{kNan, kNan} : Line{0, values[0]};
  }
  const double n = static_cast<double>(values.size());
  const double x = x_sum.Total();
  const double y = y_sum.Total();
  const double slope = (xy_sum.Total() - x * y / n) / (xx_sum.Total() - x * x / n);
  return {slope, y / n - slope * x / n};
}

// The slope, or what a step's `seconds` after the step make of it.
void Linear(const RangeInput& input, const std::span<const double>* seconds,
            std::span<double> out) {
  WithSamples(2, input, out, [&](size_t i, Window window) {
    const auto times = input.times_ms.subspan(window.begin, window.size());
    const auto values = input.values.subspan(window.begin, window.size());
    if (seconds == nullptr) return Regression(times, values, times[0]).slope;
    const Line line = Regression(times, values, input.steps.At(i));
    return line.slope * (*seconds)[i] + line.at_origin;
  });
}

std::string SixDecimals(double value) {
  char text[400];
  std::snprintf(text, sizeof(text), "%f", value);
  return std::isinf(value) && value > 0 ? "+Inf" : std::isinf(value) ? "-Inf" : text;
}

// Exponential smoothing of value and trend.
absl::Status HoltWinters(const RangeInput& input, std::span<const double> smoothing,
                         std::span<const double> trend, std::span<double> out) {
  absl::Status status;
  const auto check = [&](std::string_view name, std::string_view letters, double factor) {
    if (!(factor <= 0 || factor >= 1) || !status.ok()) return;
    status = absl::FailedPreconditionError(StrCat("invalid ", name, " factor. Expected: 0 < ",
                                                  letters, " < 1, got: ", SixDecimals(factor)));
  };
  WithSamples(1, input, out, [&](size_t i, Window window) {
    const double sf = smoothing[i];
    const double tf = trend[i];
    check("smoothing", "sf", sf);
    check("trend", "tf", tf);
    if (window.size() < 2 || !status.ok()) return Absent();
    const double* const values = input.values.data() + window.begin;
    double before = 0;
    double smoothed = values[0];
    double slope = values[1] - values[0];
    for (size_t k = 1; k < window.size(); ++k) {
      if (k > 1) slope = tf * (smoothed - before) + (1 - tf) * slope;
      before = smoothed;
      smoothed = sf * values[k] + (1 - sf) * (smoothed + slope);
    }
    return smoothed;
  });
  return status;
}

}  // namespace

bool IsRangeFunction(FunctionId id) {
  switch (id) {
    case FunctionId::kAvgOverTime:
    case FunctionId::kChanges:
    case FunctionId::kCountOverTime:
    case FunctionId::kDelta:
    case FunctionId::kDeriv:
    case FunctionId::kHoltWinters:
    case FunctionId::kIdelta:
    case FunctionId::kIncrease:
    case FunctionId::kIrate:
    case FunctionId::kLastOverTime:
    case FunctionId::kMaxOverTime:
    case FunctionId::kMinOverTime:
    case FunctionId::kPredictLinear:
    case FunctionId::kPresentOverTime:
    case FunctionId::kQuantileOverTime:
    case FunctionId::kRate:
    case FunctionId::kResets:
    case FunctionId::kStddevOverTime:
    case FunctionId::kStdvarOverTime:
    case FunctionId::kSumOverTime:
      return true;
    default:
      return false;
  }
}

bool KeepsName(FunctionId id) { return id == FunctionId::kLastOverTime; }

absl::Status EvalRange(FunctionId id, const RangeInput& input,
                       std::span<const std::span<const double>> args, RangeScratch* scratch,
                       std::span<double> out) {
  switch (id) {
    case FunctionId::kRate:
      Rate(/*counter=*/true, /*per_second=*/true, input, scratch, out);
      break;
    case FunctionId::kIncrease:
      Rate(/*counter=*/true, /*per_second=*/false, input, scratch, out);
      break;
    case FunctionId::kDelta:
      Rate(/*counter=*/false, /*per_second=*/false, input, scratch, out);
      break;
    case FunctionId::kIrate:
      InstantRate(/*counter=*/true, input, out);
      break;
    case FunctionId::kIdelta:
      InstantRate(/*counter=*/false, input, out);
      break;
    case FunctionId::kChanges:
      Count(input, out, [](double previous, double value) {
        return value != previous && !(std::isnan(value) && std::isnan(previous));
      });
      break;
    case FunctionId::kResets:
      Count(input, out, [](double previous, double value) { return value < previous; });
      break;
    case FunctionId::kDeriv:
      Linear(input, nullptr, out);
      break;
    case FunctionId::kPredictLinear:
      Linear(input, &args[0], out);
      break;
    case FunctionId::kHoltWinters:
      return HoltWinters(input, args[0], args[1], out);
    case FunctionId::kCountOverTime:
      WithSamples(1, input, out,
                  [](size_t, Window window) { return static_cast<double>(window.size()); });
      break;
    case FunctionId::kLastOverTime:
      WithSamples(1, input, out,
                  [&](size_t, Window window) { return input.values[window.end - 1]; });
      break;
    case FunctionId::kPresentOverTime:
      WithSamples(1, input, out, [](size_t, Window) { return 1.0; });
      break;
    case FunctionId::kQuantileOverTime:
      QuantileOverTime(input, args[0], scratch, out);
      break;
    default:
      FoldOverTime(id, input, scratch, out);
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::promql
