// Each function is a fold that can be merged, so that windows may slide (sliding_fold.h), and the
// loop of Prometheus over one window, Exact. The fold's answer stands where it is surely the same
// but for the last bits; where it may not be, because values cancel, or overflow, or are infinite,
// Exact is asked. So long windows of ordinary samples cost nothing more, and an average that is
// zero there is zero here.
#include "lib/promql/over_time.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "lib/promql/compensated_sum.h"
#include "lib/promql/sliding_fold.h"

namespace tinyobs::promql {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct SumFold {
  CompensatedSum sum;
  double magnitude = 0;  // sum of the absolute values: how much may have cancelled

  explicit SumFold(double) {}
  void Add(double value) {
    sum.Add(value);
    magnitude += std::abs(value);
  }
  void Merge(const SumFold& newer) {
    sum.Merge(newer.sum);
    magnitude += newer.magnitude;
  }
};

struct Sum : SumFold {
  using SumFold::SumFold;
  bool Finish(std::span<const double>, double* value) const {
    *value = sum.Total();
    // What the errors' own rounding may have lost is 1e-32 of the magnitude and times the samples.
    return std::abs(*value) >= 1e-15 * magnitude && magnitude < kInfinity;
  }
  static double Exact(std::span<const double> values) {
    CompensatedSum sum;
    for (const double value : values) {
      sum.Add(value);
      if (std::isnan(sum.sum)) break;
    }
    return std::isinf(sum.sum) ? sum.sum : sum.Total();
  }
};

struct Average : SumFold {
  using SumFold::SumFold;
  bool Finish(std::span<const double> values, double* value) const {
    const double total = sum.Total();
    *value = total / static_cast<double>(values.size());
    // Prometheus' mean has errors of 1e-16 of the values, not of the mean.
    return std::abs(total) >= 1e-4 * magnitude && magnitude < kInfinity;
  }
  // The running mean of Prometheus, where an infinity stays unless its opposite or NaN comes.
  static double Exact(std::span<const double> values) {
    CompensatedSum mean;
    double count = 0;
    for (const double value : values) {
      ++count;
      if (std::isinf(mean.sum) && !std::isnan(value) &&
          (!std::isinf(value) || (mean.sum > 0) == (value > 0))) {
        continue;
      }
      mean.Add(value / count - mean.sum / count);
      if (std::isnan(mean.sum)) break;
    }
    return std::isinf(mean.sum) ? mean.sum : mean.Total();
  }
};

// Sums of the differences from a value nearby, and of their squares: no division a sample, and no
// cancellation as long as that value is not far out.
template <bool kRoot>
struct Variance {
  double near;
  double sum = 0;
  double squares = 0;

  explicit Variance(double near_by) : near(near_by) {}
  void Add(double value) {
    const double difference = value - near;
    sum += difference;
    squares += difference * difference;
  }
  void Merge(const Variance& newer) {
    sum += newer.sum;
    squares += newer.squares;
  }
  bool Finish(std::span<const double> values, double* value) const {
    const double count = static_cast<double>(values.size());
    const double deviation = squares - sum * sum / count;
    const double variance = deviation / count;
    *value = kRoot ? std::sqrt(variance) : variance;
    if (squares == 0) return true;  // all the same
    const double mean = near + sum / count;
    // Here errors are 1e-16 of the squares; in Prometheus, 1e-16 of mean times deviation.
    return deviation >= 1e-3 * squares && variance >= 1e-11 * mean * mean && squares < kInfinity;
  }
  static double Exact(std::span<const double> values) {
    CompensatedSum mean;
    CompensatedSum deviation;
    double count = 0;
    for (const double value : values) {
      ++count;
      const double delta = value - mean.Total();
      mean.Add(delta / count);
      deviation.Add(delta * (value - mean.Total()));
      if (std::isnan(deviation.sum)) break;
    }
    const double variance = deviation.Total() / count;
    return kRoot ? std::sqrt(variance) : variance;
  }
};

// NaN loses every comparison and so is passed over, but for a window of nothing else, which cannot
// be told from one of nothing but the infinity that the fold begins with. Nor does the fold know
// which of several zeros came first, whose sign is the answer's.
template <bool kMax>
struct Extreme {
  static constexpr double kNone = kMax ? -kInfinity : kInfinity;
  double extreme = kNone;

  explicit Extreme(double) {}
  // As std::max and std::min have it: an extreme is given up only to a value beyond it, not to NaN.
  // (The compiler makes one instruction of them, and a branch of the comparison written out.)
  void Add(double value) { extreme = kMax ? std::max(extreme, value) : std::min(extreme, value); }
  void Merge(const Extreme& newer) { Add(newer.extreme); }
  bool Finish(std::span<const double> values, double* value) const {
    *value = extreme == 0 ? *std::find(values.begin(), values.end(), 0.0) : extreme;
    return extreme != kNone;
  }
  static double Exact(std::span<const double> values) {
    const bool all_nan =
        std::all_of(values.begin(), values.end(), [](double v) { return std::isnan(v); });
    return all_nan ? values.back() : kNone;
  }
};

template <typename Fold>
void Apply(RangeCall& call) {
  const auto of = [&](Window window) {
    return call.input.values.subspan(window.begin, window.size());
  };
  const auto apply = [&](auto fold_of) __attribute__((always_inline)) {
    ForEachWindow(call.input, [&](size_t i, Window window) {
      if (window.size() == 0) {
        call.out[i] = Absent();
      } else if (!fold_of(window).Finish(of(window), &call.out[i])) {
        call.out[i] = Fold::Exact(of(window));
      }
    });
  };
  if (!WorthSliding(call.input))
    return apply([&](Window window) { return FoldOf<Fold>(of(window)); });
  SlidingFold<Fold> sliding(call.input.values, &call.scratch->doubles);
  apply([&](Window window) __attribute__((always_inline)) { return sliding.Of(window); });
}

bool NanFirst(double a, double b) { return std::isnan(a) ? !std::isnan(b) : a < b; }

// Of values in order; it is enough that those around the rank are where they belong.
double QuantileOfOrdered(double phi, std::span<const double> values) {
  if (values.empty() || std::isnan(phi)) return std::numeric_limits<double>::quiet_NaN();
  if (phi < 0 || phi > 1) return std::copysign(kInfinity, phi);
  const double rank = phi * static_cast<double>(values.size() - 1);
  const auto lower = static_cast<size_t>(rank);
  const size_t upper = std::min(values.size() - 1, lower + 1);
  const double weight = rank - std::floor(rank);
  return values[lower] * (1 - weight) + values[upper] * weight;
}

}  // namespace

void AverageOverTime(RangeCall& call) { Apply<Average>(call); }
void MaxOverTime(RangeCall& call) { Apply<Extreme<true>>(call); }
void MinOverTime(RangeCall& call) { Apply<Extreme<false>>(call); }
void StddevOverTime(RangeCall& call) { Apply<Variance<true>>(call); }
void StdvarOverTime(RangeCall& call) { Apply<Variance<false>>(call); }
void SumOverTime(RangeCall& call) { Apply<Sum>(call); }

double Quantile(double phi, std::span<double> values) {
  // Which of several zeros has the rank shows in its sign. Go sorts up to 12 values by insertion,
  // so that equal ones stay in their order, and more in an order of its own.
  if (values.size() <= 12) {
    for (size_t i = 1; i < values.size(); ++i) {
      for (size_t j = i; j > 0 && NanFirst(values[j], values[j - 1]); --j) {
        std::swap(values[j], values[j - 1]);
      }
    }
  } else if (phi >= 0 && phi <= 1) {
    const auto rank = static_cast<ptrdiff_t>(phi * static_cast<double>(values.size() - 1));
    const auto lower = values.begin() + rank;
    std::nth_element(values.begin(), lower, values.end(), NanFirst);
    if (phi < 1) std::iter_swap(lower + 1, std::min_element(lower + 1, values.end(), NanFirst));
  }
  return QuantileOfOrdered(phi, values);
}

void QuantileOverTime(RangeCall& call) {
  const RangeInput& input = call.input;
  const std::span<const double> phi = call.args[0];
  const std::span<double> out = call.out;
  // The values of the window, in order if few of them change from step to step.
  std::vector<double>& kept = call.scratch->doubles;
  const bool in_order = input.windows.count > 1 && input.range_ms / 8 >= input.windows.step_ms;
  const auto place = [&](double value) {
    return std::lower_bound(kept.begin(), kept.end(), value, NanFirst);
  };
  Window at{0, 0};
  ForEachWindow(input, [&](size_t i, Window window) {
    if (window.size() == 0) {
      out[i] = Absent();
      return;
    }
    if (!in_order || window.begin >= at.end) {
      kept.assign(input.values.begin() + static_cast<ptrdiff_t>(window.begin),
                  input.values.begin() + static_cast<ptrdiff_t>(window.end));
      if (in_order) std::stable_sort(kept.begin(), kept.end(), NanFirst);
    } else {
      for (; at.begin < window.begin; ++at.begin) kept.erase(place(input.values[at.begin]));
      for (; at.end < window.end; ++at.end) {
        const double value = input.values[at.end];
        kept.insert(std::upper_bound(kept.begin(), kept.end(), value, NanFirst), value);
      }
    }
    at = window;
    out[i] = in_order ? QuantileOfOrdered(phi[i], kept) : Quantile(phi[i], kept);
  });
}

}  // namespace tinyobs::promql
