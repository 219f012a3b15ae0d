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
void WithSamples(size_t samples, const RangeCall& call, Value value) {
  ForEachWindow(call.input, [&, out = call.out](size_t i, Window window) {
    out[i] = window.size() < samples ? Absent() : value(i, window);
  });
}

// How far a change between the first and the last sample of a window is extended towards the
// window's ends. The samples of most windows lie alike, so that it is worked out once for many.
class Extrapolation {
 public:
  struct Gaps {
    int64_t to_start_ms;  // from the first sample
    int64_t span_ms;      // of the samples
    int64_t to_end_ms;
    size_t samples;
    friend bool operator==(const Gaps&, const Gaps&) = default;
  };

  explicit Extrapolation(double divisor) : divisor_(divisor) {}

  // The factor for a `change` that began at `first`; `counter`: the line is not to be extended
  // below zero.
  double Factor(const Gaps& gaps, bool counter, double first, double change) {
    if (gaps != gaps_) {
      gaps_ = gaps;
      factor_ = FactorFrom(Seconds(gaps.to_start_ms));
    }
    // Zero is at least the span away when the first value is at least as large as the change.
    if (counter && change > 0 && first >= 0 &&
        (first < change || gaps.span_ms < gaps.to_start_ms)) {
      const double to_zero = Seconds(gaps.span_ms) * (first / change);
      if (to_zero < Seconds(gaps.to_start_ms)) return FactorFrom(to_zero);
    }
    return factor_;
  }

 private:
  static double Seconds(int64_t ms) { return static_cast<double>(ms) / 1000; }

  double FactorFrom(double to_start) const {
    const double to_end = Seconds(gaps_.to_end_ms);
    const double span = Seconds(gaps_.span_ms);
    const double average = span / static_cast<double>(gaps_.samples - 1);
    // As if a sample were there where the next one should be, and some more for jitter.
    const double threshold = average * 1.1;
    double extended = span;
    extended += to_start < threshold ? to_start : average / 2;
    extended += to_end < threshold ? to_end : average / 2;
    const double factor = extended / span;
    return divisor_ == 1 ? factor : factor / divisor_;
  }

  const double divisor_;
  Gaps gaps_ = {};
  double factor_ = 0;
};

// Positions of samples at which something happened, as windows that move see them.
template <bool (*kHappened)(double previous, double value)>
class Events {
 public:
  // `positions` is the caller's buffer.
  Events(std::span<const double> values, std::vector<size_t>* positions) {
    positions->clear();
    for (size_t i = 1; i < values.size(); ++i) {
      if (kHappened(values[i - 1], values[i])) positions->push_back(i);
    }
    positions->push_back(SIZE_MAX);  // no window ends behind it
    positions_ = positions->data();
  }

  // Of the window's samples but its first, which has no previous one. REQUIRES: the window is not
  // empty, and neither end before that of the window before.
  std::span<const size_t> In(Window window) {
    while (positions_[begin_] <= window.begin) ++begin_;
    while (positions_[end_] < window.end) ++end_;
    return {positions_ + begin_, positions_ + end_};
  }

 private:
  const size_t* positions_;
  size_t begin_ = 0;
  size_t end_ = 0;
};

bool IsReset(double previous, double value) { return value < previous; }
bool IsChange(double previous, double value) {
  return value != previous && !(std::isnan(value) && std::isnan(previous));
}

// As Go gives the seconds of a duration: the parts are converted one by one.
double Seconds(int64_t ms) {
  return static_cast<double>(ms / 1000) + static_cast<double>(ms % 1000) * 1e6 / 1e9;
}

// rate, increase and, without the corrections for counters, delta.
template <bool kCounter, bool kPerSecond>
void Rate(RangeCall& call) {
  const RangeInput& input = call.input;
  const double* const values = input.values.data();
  const int64_t* const times = input.times_ms.data();
  Events<IsReset> resets(kCounter ? input.values : std::span<const double>(),
                         &call.scratch->positions);
  Extrapolation extrapolation(kPerSecond ? Seconds(input.range_ms) : 1);
  WithSamples(2, call, [&](size_t i, Window window) {
    const size_t last = window.end - 1;
    double change = values[last] - values[window.begin];
    if (kCounter) {
      for (const size_t reset : resets.In(window)) change += values[reset - 1];
    }
    const int64_t end_ms = input.windows.At(i);
    const double factor = extrapolation.Factor(
        {times[window.begin] - (end_ms - input.range_ms), times[last] - times[window.begin],
         end_ms - times[last], window.size()},
        kCounter, values[window.begin], change);
    return change * factor;
  });
}

// irate, idelta.
template <bool kCounter>
void InstantRate(RangeCall& call) {
  const RangeInput& input = call.input;
  WithSamples(2, call, [&](size_t, Window window) {
    const double last = input.values[window.end - 1];
    const double previous = input.values[window.end - 2];
    if (!kCounter) return last - previous;
    const auto ms =
        static_cast<double>(input.times_ms[window.end - 1] - input.times_ms[window.end - 2]);
    return (last < previous ? last : last - previous) / (ms / 1000);
  });
}

// changes, resets.
template <bool (*kHappened)(double previous, double value)>
void Count(RangeCall& call) {
  Events<kHappened> events(call.input.values, &call.scratch->positions);
  WithSamples(1, call,
              [&](size_t, Window window) { return static_cast<double>(events.In(window).size()); });
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

// The slope, or what a step's seconds after the step make of it.
template <bool kPredict>
void Linear(RangeCall& call) {
  const RangeInput& input = call.input;
  WithSamples(2, call, [&](size_t i, Window window) {
    const auto times = input.times_ms.subspan(window.begin, window.size());
    const auto values = input.values.subspan(window.begin, window.size());
    if (!kPredict) return Regression(times, values, times[0]).slope;
    const Line line = Regression(times, values, input.steps.At(i));
    return line.slope * call.args[0][i] + line.at_origin;
  });
}

std::string SixDecimals(double value) {
  char text[400];
  std::snprintf(text, sizeof(text), "%f", value);
  return std::isinf(value) && value > 0 ? "+Inf" : std::isinf(value) ? "-Inf" : text;
}

// Exponential smoothing of value and trend.
void HoltWinters(RangeCall& call) {
  absl::Status& status = call.status;
  const auto check = [&](std::string_view name, std::string_view letters, double factor) {
    if (!(factor <= 0 || factor >= 1) || !status.ok()) return;
    status = absl::FailedPreconditionError(StrCat("invalid ", name, " factor. Expected: 0 < ",
                                                  letters, " < 1, got: ", SixDecimals(factor)));
  };
  WithSamples(1, call, [&](size_t i, Window window) {
    const double sf = call.args[0][i];
    const double tf = call.args[1][i];
    check("smoothing", "sf", sf);
    check("trend", "tf", tf);
    if (window.size() < 2 || !status.ok()) return Absent();
    const double* const values = call.input.values.data() + window.begin;
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
}

constexpr auto kFunctionsOfRanges = ByFunction<void (*)(RangeCall&)>({
    {IdOf("avg_over_time"), AverageOverTime},
    {IdOf("changes"), Count<IsChange>},
    {IdOf("count_over_time"),
     [](RangeCall& call) {
       WithSamples(1, call,
                   [](size_t, Window window) { return static_cast<double>(window.size()); });
     }},
    {IdOf("delta"), Rate<false, false>},
    {IdOf("deriv"), Linear<false>},
    {IdOf("holt_winters"), HoltWinters},
    {IdOf("idelta"), InstantRate<false>},
    {IdOf("increase"), Rate<true, false>},
    {IdOf("irate"), InstantRate<true>},
    {IdOf("last_over_time"),
     [](RangeCall& call) {
       WithSamples(1, call,
                   [&](size_t, Window window) { return call.input.values[window.end - 1]; });
     }},
    {IdOf("max_over_time"), MaxOverTime},
    {IdOf("min_over_time"), MinOverTime},
    {IdOf("predict_linear"), Linear<true>},
    {IdOf("present_over_time"),
     [](RangeCall& call) { WithSamples(1, call, [](size_t, Window) { return 1.0; }); }},
    {IdOf("quantile_over_time"), QuantileOverTime},
    {IdOf("rate"), Rate<true, true>},
    {IdOf("resets"), Count<IsReset>},
    {IdOf("stddev_over_time"), StddevOverTime},
    {IdOf("stdvar_over_time"), StdvarOverTime},
    {IdOf("sum_over_time"), SumOverTime},
});

}  // namespace

bool IsRangeFunction(FunctionId id) {
  return kFunctionsOfRanges[static_cast<size_t>(id)] != nullptr;
}

absl::Status EvalRange(FunctionId id, const RangeInput& input,
                       std::span<const std::span<const double>> args, RangeScratch* scratch,
                       std::span<double> out) {
  RangeCall call{input, args, scratch, out};
  kFunctionsOfRanges[static_cast<size_t>(id)](call);
  return call.status;
}

}  // namespace tinyobs::promql
