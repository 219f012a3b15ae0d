// Every range function over many windows of random series against its definition, applied to the
// samples of one window at a time and written down as plainly as it can be.
//
// The series have what moves the answers apart when something is wrong: resets, gaps, repeated
// values, NaN, infinities, values that cancel, large values with small differences. Windows overlap
// much, little and not at all; ends of windows fall on samples and between them.
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/promql/functions.h"
#include "lib/promql/range_functions.h"

namespace tinyobs::promql {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const double kNan = std::numeric_limits<double>::quiet_NaN();

struct Series {
  std::vector<int64_t> times_ms;
  std::vector<double> values;
};

// The samples of one window, and what a function needs to know besides.
struct Case {
  std::vector<int64_t> times_ms;
  std::vector<double> values;
  int64_t end_ms;
  int64_t range_ms;
  int64_t step_ms;  // time of the evaluation
  double arg1;
  double arg2;

  size_t size() const { return values.size(); }
};

// As long double is wider, it is what sums ought to be; where rounding of doubles shows in the
// answer the definition below says so itself.
struct Neumaier {
  double sum = 0;
  double error = 0;
  void Add(double value) {
    const double total = sum + value;
    error += std::abs(sum) >= std::abs(value) ? (sum - total) + value : (value - total) + sum;
    sum = total;
  }
  double Total() const { return sum + error; }
};

double ExtrapolatedRate(const Case& c, bool counter, bool per_second) {
  if (c.size() < 2) return Absent();
  double change = c.values.back() - c.values.front();
  for (size_t i = 1; counter && i < c.size(); ++i) {
    if (c.values[i] < c.values[i - 1]) change += c.values[i - 1];
  }
  double to_start = static_cast<double>(c.times_ms.front() - (c.end_ms - c.range_ms)) / 1000;
  const double to_end = static_cast<double>(c.end_ms - c.times_ms.back()) / 1000;
  const double covered = static_cast<double>(c.times_ms.back() - c.times_ms.front()) / 1000;
  const double interval = covered / static_cast<double>(c.size() - 1);
  if (counter && change > 0 && c.values.front() >= 0) {
    to_start = std::min(to_start, covered * (c.values.front() / change));
  }
  double extended = covered;
  extended += to_start < interval * 1.1 ? to_start : interval / 2;
  extended += to_end < interval * 1.1 ? to_end : interval / 2;
  double factor = extended / covered;
  if (per_second) factor /= static_cast<double>(c.range_ms) / 1000;
  return change * factor;
}

double Average(const Case& c) {
  double count = 0;
  Neumaier mean;
  for (const double v : c.values) {
    ++count;
    if (std::isinf(mean.sum)) {
      if (std::isinf(v) && (v > 0) == (mean.sum > 0)) continue;
      if (!std::isinf(v) && !std::isnan(v)) continue;
    }
    mean.Add(v / count - mean.sum / count);
  }
  return std::isinf(mean.sum) ? mean.sum : mean.Total();
}

double SumUp(const Case& c) {
  Neumaier sum;
  for (const double v : c.values) sum.Add(v);
  return std::isinf(sum.sum) ? sum.sum : sum.Total();
}

double Variance(const Case& c) {
  double count = 0;
  Neumaier mean, squares;
  for (const double v : c.values) {
    ++count;
    const double delta = v - mean.Total();
    mean.Add(delta / count);
    squares.Add(delta * (v - mean.Total()));
  }
  return squares.Total() / count;
}

double Extreme(const Case& c, bool max) {
  double extreme = c.values.front();
  for (const double v : c.values) {
    if (std::isnan(extreme) || (max ? v > extreme : v < extreme)) extreme = v;
  }
  return extreme;
}

double QuantileOf(const Case& c) {
  if (std::isnan(c.arg1)) return kNan;
  if (c.arg1 < 0) return -kInfinity;
  if (c.arg1 > 1) return kInfinity;
  std::vector<double> sorted;
  for (const double v : c.values) {
    if (std::isnan(v)) sorted.push_back(v);
  }
  const size_t nans = sorted.size();
  for (const double v : c.values) {
    if (!std::isnan(v)) sorted.push_back(v);
  }
  std::sort(sorted.begin() + static_cast<ptrdiff_t>(nans), sorted.end());
  const double rank = c.arg1 * static_cast<double>(sorted.size() - 1);
  const auto lower = static_cast<size_t>(std::floor(rank));
  const size_t upper = std::min(sorted.size() - 1, lower + 1);
  const double weight = rank - std::floor(rank);
  return sorted[lower] * (1 - weight) + sorted[upper] * weight;
}

double Linear(const Case& c, bool predict) {
  if (c.size() < 2) return Absent();
  const int64_t origin = predict ? c.step_ms : c.times_ms.front();
  Neumaier x, y, xy, xx;
  bool constant = true;
  for (size_t i = 0; i < c.size(); ++i) {
    if (c.values[i] != c.values[0] && i > 0) constant = false;
    const double seconds = static_cast<double>(c.times_ms[i] - origin) / 1000;
    x.Add(seconds);
    y.Add(c.values[i]);
    xy.Add(seconds * c.values[i]);
    xx.Add(seconds * seconds);
  }
  if (constant && std::isinf(c.values[0])) return kNan;
  if (constant) return predict ? c.values[0] : 0;
  const double n = static_cast<double>(c.size());
  const double slope =
      (xy.Total() - x.Total() * y.Total() / n) / (xx.Total() - x.Total() * x.Total() / n);
  return predict ? slope * c.arg1 + (y.Total() / n - slope * x.Total() / n) : slope;
}

double HoltWinters(const Case& c) {
  if (c.size() < 2) return Absent();
  std::vector<double> smoothed = {c.values[0]};
  double trend = c.values[1] - c.values[0];
  for (size_t i = 1; i < c.size(); ++i) {
    if (i > 1) trend = c.arg2 * (smoothed[i - 1] - smoothed[i - 2]) + (1 - c.arg2) * trend;
    smoothed.push_back(c.arg1 * c.values[i] + (1 - c.arg1) * (smoothed[i - 1] + trend));
  }
  return smoothed.back();
}

double InstantRate(const Case& c, bool counter) {
  if (c.size() < 2) return Absent();
  const double last = c.values[c.size() - 1];
  const double before = c.values[c.size() - 2];
  if (!counter) return last - before;
  const double change = last < before ? last : last - before;
  return change / (static_cast<double>(c.times_ms[c.size() - 1] - c.times_ms[c.size() - 2]) / 1000);
}

double CountOf(const Case& c, bool resets) {
  int count = 0;
  for (size_t i = 1; i < c.size(); ++i) {
    const double a = c.values[i - 1];
    const double b = c.values[i];
    count += resets ? b < a : (a != b && !(std::isnan(a) && std::isnan(b)));
  }
  return count;
}

const std::map<FunctionId, std::function<double(const Case&)>>& Definitions() {
  static const auto* const kDefinitions =
      new std::map<FunctionId, std::function<double(const Case&)>>{
          {IdOf("avg_over_time"), Average},
          {IdOf("changes"), [](const Case& c) { return CountOf(c, false); }},
          {IdOf("count_over_time"), [](const Case& c) { return static_cast<double>(c.size()); }},
          {IdOf("delta"), [](const Case& c) { return ExtrapolatedRate(c, false, false); }},
          {IdOf("deriv"), [](const Case& c) { return Linear(c, false); }},
          {IdOf("holt_winters"), HoltWinters},
          {IdOf("idelta"), [](const Case& c) { return InstantRate(c, false); }},
          {IdOf("increase"), [](const Case& c) { return ExtrapolatedRate(c, true, false); }},
          {IdOf("irate"), [](const Case& c) { return InstantRate(c, true); }},
          {IdOf("last_over_time"), [](const Case& c) { return c.values.back(); }},
          {IdOf("max_over_time"), [](const Case& c) { return Extreme(c, true); }},
          {IdOf("min_over_time"), [](const Case& c) { return Extreme(c, false); }},
          {IdOf("predict_linear"), [](const Case& c) { return Linear(c, true); }},
          {IdOf("present_over_time"), [](const Case&) { return 1.0; }},
          {IdOf("quantile_over_time"), QuantileOf},
          {IdOf("rate"), [](const Case& c) { return ExtrapolatedRate(c, true, true); }},
          {IdOf("resets"), [](const Case& c) { return CountOf(c, true); }},
          {IdOf("stddev_over_time"), [](const Case& c) { return std::sqrt(Variance(c)); }},
          {IdOf("stdvar_over_time"), Variance},
          {IdOf("sum_over_time"), SumUp},
      };
  return *kDefinitions;
}

enum class Kind { kCounter, kGauge, kIntegers, kLarge, kCancelling, kSpecial, kConstant, kHuge };
constexpr int kKinds = 8;

Series RandomSeries(Kind kind, std::mt19937_64* random) {
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(*random);
  };
  Series series;
  const int samples = std::uniform_int_distribution<int>(1, 260)(*random);
  int64_t time = std::uniform_int_distribution<int64_t>(-40'000, 40'000)(*random);
  double value = kind == Kind::kCounter ? uniform(0, 100) : uniform(-5, 5);
  const double constant = uniform(-1e9, 1e9);
  for (int i = 0; i < samples; ++i) {
    const double dice = uniform(0, 1);
    switch (kind) {
      case Kind::kCounter:
        value = dice < 0.05 ? uniform(0, 5) : value + uniform(0, 1e4);
        break;
      case Kind::kGauge:
        value += uniform(-1, 1);
        break;
      case Kind::kIntegers:
        value = std::round(uniform(-2, 2));  // -0, too
        break;
      case Kind::kLarge:
        value = 1e12 + std::round(uniform(-3, 3));
        break;
      case Kind::kCancelling:
        value = (dice < 0.3 ? 1e16 : dice < 0.6 ? -1e16 : 1) * std::round(uniform(1, 3));
        break;
      case Kind::kSpecial:
        value = dice < 0.1    ? kNan
                : dice < 0.15 ? kInfinity
                : dice < 0.2  ? -kInfinity
                : dice < 0.3  ? -0.0
                              : uniform(-9, 9);
        break;
      case Kind::kConstant:
        value = dice < 0.01 ? constant + 1 : constant;
        break;
      case Kind::kHuge:
        value = dice < 0.5 ? 1.5e308 : uniform(-1.7e308, 1.7e308);
        break;
    }
    series.times_ms.push_back(time);
    series.values.push_back(value);
    time += dice > 0.97 ? 400'000 : dice > 0.8 ? 15'000 + static_cast<int64_t>(dice * 100) : 15'000;
  }
  return series;
}

bool Same(double got, double want) {
  if (IsAbsent(got) || IsAbsent(want)) return IsAbsent(got) == IsAbsent(want);
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) == std::isnan(want);
  return got == want || std::abs(got - want) <= 1e-9 * std::abs(want);
}

class Windows : public testing::TestWithParam<int> {};

TEST_P(Windows, GiveWhatTheDefinitionGivesOfEach) {
  const auto kind = static_cast<Kind>(GetParam());
  RangeScratch scratch;
  int64_t elements = 0;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::mt19937_64 random(seed * kKinds + static_cast<uint64_t>(kind));
    const Series series = RandomSeries(kind, &random);
    const auto pick = [&](std::vector<int64_t> of) {
      return of[std::uniform_int_distribution<size_t>(0, of.size() - 1)(random)];
    };
    RangeInput input;
    input.times_ms = series.times_ms;
    input.values = series.values;
    input.range_ms = pick({1'000, 15'000, 60'000, 300'000, 300'000, 1'234'567, 3'600'000});
    input.windows.step_ms = pick({0, 1'000, 15'000, 60'000, 77'777, 900'000});
    input.windows.start_ms = series.times_ms.front() + pick({0, -60'000, 15'000, 31'001});
    input.windows.count = static_cast<size_t>(pick({1, 2, 300}));
    input.steps = input.windows;
    input.steps.start_ms += pick({0, 86'400'000});
    input.steps.step_ms = 60'000;
    const size_t count = input.windows.count;
    std::vector<double> arg1(count), arg2(count);
    for (size_t i = 0; i < count; ++i) {
      arg1[i] = std::uniform_real_distribution<double>(0.01, 0.99)(random);
      arg2[i] = std::uniform_real_distribution<double>(0.01, 0.99)(random);
    }
    const std::vector<std::span<const double>> args = {arg1, arg2};
    for (const auto& [id, definition] : Definitions()) {
      std::vector<double> got(count, 12345);
      ASSERT_TRUE(EvalRange(id, input, args, &scratch, got).ok());
      for (size_t i = 0; i < count; ++i) {
        Case one{{}, {}, input.windows.At(i), input.range_ms, input.steps.At(i), arg1[i], arg2[i]};
        for (size_t k = 0; k < series.values.size(); ++k) {
          if (series.times_ms[k] < one.end_ms - one.range_ms) continue;
          if (series.times_ms[k] > one.end_ms) continue;
          one.times_ms.push_back(series.times_ms[k]);
          one.values.push_back(series.values[k]);
        }
        const double want = one.size() == 0 ? Absent() : definition(one);
        elements += IsAbsent(want) ? 0 : 1;
        ASSERT_PRED2(Same, got[i], want)
            << kFunctions[static_cast<size_t>(id)].name << " kind " << GetParam() << " seed "
            << seed << " window " << i << " of " << count << ", samples " << one.size()
            << ", range " << input.range_ms << " step " << input.windows.step_ms;
        // A sort has no order of zeros.
        if (got[i] == 0 && want == 0 && id != IdOf("quantile_over_time")) {
          ASSERT_EQ(std::signbit(got[i]), std::signbit(want))
              << kFunctions[static_cast<size_t>(id)].name << " seed " << seed;
        }
      }
    }
  }
  EXPECT_GT(elements, 20'000);
}

INSTANTIATE_TEST_SUITE_P(Kinds, Windows, testing::Range(0, kKinds));

TEST(Functions, OfARangeVectorAreAllDefinedHere) {
  for (const Function& function : kFunctions) {
    EXPECT_EQ(IsRangeFunction(function.id), Definitions().contains(function.id)) << function.name;
  }
}

}  // namespace
}  // namespace tinyobs::promql
