// Functions of one value, and the small ones over whole vectors. Where Go's results differ from
// those of the C library in more than the last bit, Go's way is taken.
#include "lib/promql/vector_functions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>
#include <utility>

#include "lib/promql/calendar.h"

namespace tinyobs::promql {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Go's: an infinity on its side wins even against NaN, NaN against all else.
double Max(double a, double b) {
  if (a == kInfinity || b == kInfinity) return kInfinity;
  if (std::isnan(a) || std::isnan(b)) return kNan;
  if (a == 0 && b == 0) return std::signbit(a) ? b : a;
  return a > b ? a : b;
}
double Min(double a, double b) { return -Max(-a, -b); }

double Sign(double value) { return value < 0 ? -1 : value > 0 ? 1 : value; }

// Seconds, cut off towards zero; what is no int64_t is the least one, as x86 converts it.
CalendarTime CalendarOf(double seconds) {
  constexpr double kLimit = 9'223'372'036'854'775'808.0;
  return CalendarAt(seconds >= -kLimit && seconds < kLimit ? static_cast<int64_t>(seconds)
                                                           : std::numeric_limits<int64_t>::min());
}

template <typename Function>
bool Map(std::span<double> values, Function function) {
  for (double& value : values) {
    if (!IsAbsent(value)) value = function(value);
  }
  return true;
}

// With the scalar arguments of the step: function(i, value).
template <typename Function>
bool MapSteps(std::span<double> values, Function function) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!IsAbsent(values[i])) values[i] = function(i, values[i]);
  }
  return true;
}

bool ApplyMath(FunctionId id, std::span<double> values) {
  switch (id) {
    case FunctionId::kAbs:
      return Map(values, [](double v) { return std::abs(v); });
    case FunctionId::kAcos:
      return Map(values, [](double v) { return std::acos(v); });
    case FunctionId::kAcosh:
      return Map(values, [](double v) { return std::acosh(v); });
    case FunctionId::kAsin:
      return Map(values, [](double v) { return std::asin(v); });
    case FunctionId::kAsinh:
      return Map(values, [](double v) { return std::asinh(v); });
    case FunctionId::kAtan:
      return Map(values, [](double v) { return std::atan(v); });
    case FunctionId::kAtanh:
      return Map(values, [](double v) { return std::atanh(v); });
    case FunctionId::kCeil:
      return Map(values, [](double v) { return std::ceil(v); });
    case FunctionId::kCos:
      return Map(values, [](double v) { return std::cos(v); });
    case FunctionId::kCosh:
      return Map(values, [](double v) { return std::cosh(v); });
    case FunctionId::kDeg:
      return Map(values, [](double v) { return v * 180 / std::numbers::pi; });
    case FunctionId::kExp:
      return Map(values, [](double v) { return std::exp(v); });
    case FunctionId::kFloor:
      return Map(values, [](double v) { return std::floor(v); });
    case FunctionId::kLn:
      return Map(values, [](double v) { return std::log(v); });
    case FunctionId::kLog10:
      return Map(values, [](double v) { return std::log10(v); });
    case FunctionId::kLog2:
      return Map(values, [](double v) { return std::log2(v); });
    case FunctionId::kRad:
      return Map(values, [](double v) { return v * std::numbers::pi / 180; });
    case FunctionId::kSgn:
      return Map(values, Sign);
    case FunctionId::kSin:
      return Map(values, [](double v) { return std::sin(v); });
    case FunctionId::kSinh:
      return Map(values, [](double v) { return std::sinh(v); });
    case FunctionId::kSqrt:
      return Map(values, [](double v) { return std::sqrt(v); });
    case FunctionId::kTan:
      return Map(values, [](double v) { return std::tan(v); });
    case FunctionId::kTanh:
      return Map(values, [](double v) { return std::tanh(v); });
    default:
      return false;
  }
}

bool ApplyCalendar(FunctionId id, std::span<double> values) {
  const auto map = [&](auto CalendarTime::*field) {
    return Map(values, [field](double v) { return static_cast<double>(CalendarOf(v).*field); });
  };
  switch (id) {
    case FunctionId::kDayOfMonth:
      return map(&CalendarTime::day);
    case FunctionId::kDayOfWeek:
      return map(&CalendarTime::weekday);
    case FunctionId::kDayOfYear:
      return map(&CalendarTime::day_of_year);
    case FunctionId::kDaysInMonth:
      return map(&CalendarTime::days_in_month);
    case FunctionId::kHour:
      return map(&CalendarTime::hour);
    case FunctionId::kMinute:
      return map(&CalendarTime::minute);
    case FunctionId::kMonth:
      return map(&CalendarTime::month);
    case FunctionId::kYear:
      return map(&CalendarTime::year);
    default:
      return false;
  }
}

bool ApplyWithArgs(FunctionId id, std::span<const std::span<const double>> args,
                   std::span<double> values) {
  switch (id) {
    case FunctionId::kClamp:
      return MapSteps(values, [&](size_t i, double v) {
        const double least = args[0][i];
        const double most = args[1][i];
        return most < least ? Absent() : Max(least, Min(most, v));
      });
    case FunctionId::kClampMax:
      return MapSteps(values, [&](size_t i, double v) { return Min(args[0][i], v); });
    case FunctionId::kClampMin:
      return MapSteps(values, [&](size_t i, double v) { return Max(args[0][i], v); });
    case FunctionId::kRound:
      return MapSteps(values, [&](size_t i, double v) {
        const double inverse = args.empty() ? 1 : 1 / args[0][i];
        return std::floor(v * inverse + 0.5) / inverse;
      });
    case FunctionId::kHistogramCount:
    case FunctionId::kHistogramFraction:
    case FunctionId::kHistogramSum:
      return Map(values, [](double) { return Absent(); });
    default:
      return false;
  }
}

}  // namespace

bool IsElementFunction(FunctionId id) {
  return ApplyMath(id, {}) || ApplyCalendar(id, {}) || ApplyWithArgs(id, {}, {});
}

void ApplyElementFunction(FunctionId id, std::span<const std::span<const double>> args,
                          std::span<double> values) {
  ApplyMath(id, values) || ApplyCalendar(id, values) || ApplyWithArgs(id, args, values);
}

Labels AbsentLabels(std::span<const Matcher> matchers) {
  // As Prometheus has it: the first equality of a name sets it, whatever comes after takes it away.
  std::map<std::string, std::string> kept;
  std::map<std::string, bool> seen;
  for (const Matcher& matcher : matchers) {
    if (matcher.label() == kMetricName) continue;
    if (matcher.op() == Matcher::Op::kEqual && !seen[matcher.label()]) {
      kept[matcher.label()] = matcher.value();
      seen[matcher.label()] = true;
    } else {
      kept.erase(matcher.label());
    }
  }
  // Too long for a series: then nothing is known of it.
  return Labels::Create(std::vector<Labels::Pair>(kept.begin(), kept.end())).value_or(Labels());
}

void SortByValue(bool descending, Vector* vector) {
  const auto value = [](const VectorSeries& series) { return series.values.front(); };
  const auto nans = std::stable_partition(vector->begin(), vector->end(),
                                          [&](const auto& s) { return !std::isnan(value(s)); });
  std::stable_sort(vector->begin(), nans, [&](const VectorSeries& a, const VectorSeries& b) {
    return descending ? value(a) > value(b) : value(a) < value(b);
  });
  // Prometheus' comparison has every NaN before every other.
  std::reverse(nans, vector->end());
}

void ScalarOfVector(const Vector& vector, std::span<double> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    size_t elements = 0;
    out[i] = kNan;
    for (const VectorSeries& series : vector) {
      if (IsAbsent(series.values[i])) continue;
      out[i] = ++elements == 1 ? series.values[i] : kNan;
    }
  }
}

}  // namespace tinyobs::promql
