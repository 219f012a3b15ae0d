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

using Args = std::span<const std::span<const double>>;

template <auto kFunction>
void Each(Args, std::span<double> values) {
  for (double& value : values) {
    if (!IsAbsent(value)) value = kFunction(value);
  }
}

// kFunction(value, arguments of the step).
template <auto kFunction>
void WithArgs(Args args, std::span<double> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    const auto arg = [&](size_t number) { return args[number][i]; };
    if (!IsAbsent(values[i])) values[i] = kFunction(values[i], arg);
  }
}

template <auto kField>
constexpr auto kCalendar =
    Each<[](double v) { return static_cast<double>(CalendarOf(v).*kField); }>;

double RoundTo(double value, double inverse) { return std::floor(value * inverse + 0.5) / inverse; }

constexpr auto kNoElement = Each<[](double) { return Absent(); }>;

constexpr auto kElementFunctions = ByFunction<void (*)(Args, std::span<double>)>({
    {IdOf("abs"), Each<[](double v) { return std::abs(v); }>},
    {IdOf("acos"), Each<[](double v) { return std::acos(v); }>},
    {IdOf("acosh"), Each<[](double v) { return std::acosh(v); }>},
    {IdOf("asin"), Each<[](double v) { return std::asin(v); }>},
    {IdOf("asinh"), Each<[](double v) { return std::asinh(v); }>},
    {IdOf("atan"), Each<[](double v) { return std::atan(v); }>},
    {IdOf("atanh"), Each<[](double v) { return std::atanh(v); }>},
    {IdOf("ceil"), Each<[](double v) { return std::ceil(v); }>},
    {IdOf("clamp"), WithArgs<[](double v, auto arg) {
       return arg(1) < arg(0) ? Absent() : Max(arg(0), Min(arg(1), v));
     }>},
    {IdOf("clamp_max"), WithArgs<[](double v, auto arg) { return Min(arg(0), v); }>},
    {IdOf("clamp_min"), WithArgs<[](double v, auto arg) { return Max(arg(0), v); }>},
    {IdOf("cos"), Each<[](double v) { return std::cos(v); }>},
    {IdOf("cosh"), Each<[](double v) { return std::cosh(v); }>},
    {IdOf("day_of_month"), kCalendar<&CalendarTime::day>},
    {IdOf("day_of_week"), kCalendar<&CalendarTime::weekday>},
    {IdOf("day_of_year"), kCalendar<&CalendarTime::day_of_year>},
    {IdOf("days_in_month"), kCalendar<&CalendarTime::days_in_month>},
    {IdOf("deg"), Each<[](double v) { return v * 180 / std::numbers::pi; }>},
    {IdOf("exp"), Each<[](double v) { return std::exp(v); }>},
    {IdOf("floor"), Each<[](double v) { return std::floor(v); }>},
    {IdOf("histogram_count"), kNoElement},
    {IdOf("histogram_fraction"), kNoElement},
    {IdOf("histogram_sum"), kNoElement},
    {IdOf("hour"), kCalendar<&CalendarTime::hour>},
    {IdOf("ln"), Each<[](double v) { return std::log(v); }>},
    {IdOf("log10"), Each<[](double v) { return std::log10(v); }>},
    {IdOf("log2"), Each<[](double v) { return std::log2(v); }>},
    {IdOf("minute"), kCalendar<&CalendarTime::minute>},
    {IdOf("month"), kCalendar<&CalendarTime::month>},
    {IdOf("rad"), Each<[](double v) { return v * std::numbers::pi / 180; }>},
    {IdOf("round"),
     [](Args args, std::span<double> values) {
       if (args.empty()) return Each<[](double v) { return RoundTo(v, 1); }>(args, values);
       WithArgs<[](double v, auto arg) { return RoundTo(v, 1 / arg(0)); }>(args, values);
     }},
    {IdOf("sgn"), Each<Sign>},
    {IdOf("sin"), Each<[](double v) { return std::sin(v); }>},
    {IdOf("sinh"), Each<[](double v) { return std::sinh(v); }>},
    {IdOf("sqrt"), Each<[](double v) { return std::sqrt(v); }>},
    {IdOf("tan"), Each<[](double v) { return std::tan(v); }>},
    {IdOf("tanh"), Each<[](double v) { return std::tanh(v); }>},
    {IdOf("year"), kCalendar<&CalendarTime::year>},
});

}  // namespace

bool IsElementFunction(FunctionId id) {
  return kElementFunctions[static_cast<size_t>(id)] != nullptr;
}

void ApplyElementFunction(FunctionId id, std::span<const std::span<const double>> args,
                          std::span<double> values) {
  kElementFunctions[static_cast<size_t>(id)](args, values);
}

Labels AbsentLabels(std::span<const Matcher> matchers) {
  // As Prometheus has it: the first equality of a name sets it, whatever comes after takes it away.
  std::map<std::string, std::string> kept;  // "" = taken away
  for (const Matcher& matcher : matchers) {
    if (matcher.label() == kMetricName) continue;
    const bool is_equality = matcher.op() == Matcher::Op::kEqual;
    if (is_equality && kept.try_emplace(matcher.label(), matcher.value()).second) continue;
    if (const auto it = kept.find(matcher.label()); it != kept.end()) it->second.clear();
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
