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

  static constexpr size_t kDoubles = 3;
  static SumFold Empty(double) { return {}; }
  void Add(double value) {
    sum.Add(value);
    magnitude += std::abs(value);
  }
  void Merge(const SumFold& newer) {
    sum.Merge(newer.sum);
    magnitude += newer.magnitude;
  }
  void Save(double* to) const {
    to[0] = sum.sum;
    to[1] = sum.error;
    to[2] = magnitude;
  }
  static SumFold Load(const double* from) { return {{from[0], from[1]}, from[2]}; }
};

struct Sum {
  using Fold = SumFold;
  static bool Finish(const Fold& fold, std::span<const double>, double* value) {
    *value = fold.sum.Total();
    // What the errors' own rounding may have lost is 1e-32 of the magnitude and times the samples.
    return std::abs(*value) >= 1e-15 * fold.magnitude && fold.magnitude < kInfinity;
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

struct Average {
  using Fold = SumFold;
  static bool Finish(const Fold& fold, std::span<const double> values, double* value) {
    const double total = fold.sum.Total();
    *value = total / static_cast<double>(values.size());
    // Prometheus' mean has errors of 1e-16 of the values, not of the mean.
    return std::abs(total) >= 1e-4 * fold.magnitude && fold.magnitude < kInfinity;
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
struct MomentFold {
  double near;
  double sum = 0;
  double squares = 0;

  static constexpr size_t kDoubles = 3;
  static MomentFold Empty(double near) { return {near}; }
  void Add(double value) {
    const double difference = value - near;
    sum += difference;
    squares += difference * difference;
  }
  void Merge(const MomentFold& newer) {
    sum += newer.sum;
    squares += newer.squares;
  }
  void Save(double* to) const {
    to[0] = near;
    to[1] = sum;
    to[2] = squares;
  }
  static MomentFold Load(const double* from) { return {from[0], from[1], from[2]}; }
};

template <bool kRoot>
struct Variance {
  using Fold = MomentFold;
  static bool Finish(const Fold& fold, std::span<const double> values, double* value) {
    const double count = static_cast<double>(values.size());
    const double deviation = fold.squares - fold.sum * fold.sum / count;
    const double variance = deviation / count;
    *value = kRoot ? std::sqrt(variance) : variance;
    if (fold.squares == 0) return true;  // all the same
    const double mean = fold.near + fold.sum / count;
    // Here errors are 1e-16 of the squares; in Prometheus, 1e-16 of mean times deviation.
    return deviation >= 1e-3 * fold.squares && variance >= 1e-11 * mean * mean &&
           fold.squares < kInfinity;
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
struct ExtremeFold {
  static constexpr double kNone = kMax ? -kInfinity : kInfinity;
  double extreme = kNone;

  static constexpr size_t kDoubles = 1;
  static ExtremeFold Empty(double) { return {}; }
  // As std::max and std::min have it: an extreme is given up only to a value beyond it, not to NaN.
  // (The compiler makes one instruction of them, and a branch of the comparison written out.)
  void Add(double value) { extreme = kMax ? std::max(extreme, value) : std::min(extreme, value); }
  void Merge(const ExtremeFold& newer) { Add(newer.extreme); }
  void Save(double* to) const { *to = extreme; }
  static ExtremeFold Load(const double* from) { return {*from}; }
};

template <bool kMax>
struct Extreme {
  using Fold = ExtremeFold<kMax>;
  static bool Finish(const Fold& fold, std::span<const double> values, double* value) {
    *value = fold.extreme == 0 ? *std::find(values.begin(), values.end(), 0.0) : fold.extreme;
    return fold.extreme != Fold::kNone;
  }
  static double Exact(std::span<const double> values) {
    const bool all_nan =
        std::all_of(values.begin(), values.end(), [](double v) { return std::isnan(v); });
    return all_nan ? values.back() : Fold::kNone;
  }
};

template <typename Function>
void Apply(const RangeInput& input, RangeScratch* scratch, std::span<double> out) {
  using Fold = typename Function::Fold;
  const auto of = [&](Window window) { return input.values.subspan(window.begin, window.size()); };
  if (!WorthSliding(input)) {
    ForEachWindow(input, [&](size_t i, Window window) {
      if (window.size() == 0) {
        out[i] = Absent();
      } else if (!Function::Finish(FoldOf<Fold>(of(window)), of(window), &out[i])) {
        out[i] = Function::Exact(of(window));
      }
    });
    return;
  }
  SlidingFold<Fold> sliding(input.values, &scratch->doubles);
  ForEachWindow(input, [&](size_t i, Window window) {
    if (window.size() == 0) {
      out[i] = Absent();
    } else if (!Function::Finish(sliding.Of(window), of(window), &out[i])) {
      out[i] = Function::Exact(of(window));
    }
  });
}

bool NanFirst(double a, double b) { return std::isnan(a) ? !std::isnan(b) : a < b; }

// What is left to say once the quantile lies between two values of the sorted ones.
struct Rank {
  size_t lower;
  size_t upper;
  double weight;  // of the upper one

  Rank(double phi, size_t count) {
    const double rank = phi * static_cast<double>(count - 1);
    lower = static_cast<size_t>(std::floor(rank));
    upper = std::min(count - 1, lower + 1);
    weight = rank - std::floor(rank);
  }
  double Between(double low, double high) const { return low * (1 - weight) + high * weight; }
};

// True: `phi` alone decides.
bool DecidedByPhi(double phi, double* value) {
  if (phi >= 0 && phi <= 1) return false;
  *value =
      std::isnan(phi) ? std::numeric_limits<double>::quiet_NaN() : std::copysign(kInfinity, phi);
  return true;
}

}  // namespace

void FoldOverTime(FunctionId id, const RangeInput& input, RangeScratch* scratch,
                  std::span<double> out) {
  switch (id) {
    case FunctionId::kAvgOverTime:
      return Apply<Average>(input, scratch, out);
    case FunctionId::kMaxOverTime:
      return Apply<Extreme<true>>(input, scratch, out);
    case FunctionId::kMinOverTime:
      return Apply<Extreme<false>>(input, scratch, out);
    case FunctionId::kStddevOverTime:
      return Apply<Variance<true>>(input, scratch, out);
    case FunctionId::kStdvarOverTime:
      return Apply<Variance<false>>(input, scratch, out);
    default:
      return Apply<Sum>(input, scratch, out);
  }
}

double Quantile(double phi, std::span<double> values) {
  double value = std::numeric_limits<double>::quiet_NaN();
  if (values.empty() || DecidedByPhi(phi, &value)) return value;
  const Rank rank(phi, values.size());
  const auto lower = values.begin() + static_cast<ptrdiff_t>(rank.lower);
  std::nth_element(values.begin(), lower, values.end(), NanFirst);
  const double upper =
      rank.upper == rank.lower ? *lower : *std::min_element(lower + 1, values.end(), NanFirst);
  return rank.Between(*lower, upper);
}

void QuantileOverTime(const RangeInput& input, std::span<const double> phi, RangeScratch* scratch,
                      std::span<double> out) {
  // The values of the window, in order if few of them change from step to step.
  std::vector<double>& kept = scratch->doubles;
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
      if (in_order) std::sort(kept.begin(), kept.end(), NanFirst);
    } else {
      for (; at.begin < window.begin; ++at.begin) kept.erase(place(input.values[at.begin]));
      for (; at.end < window.end; ++at.end) {
        const double value = input.values[at.end];
        kept.insert(place(value), value);
      }
    }
    at = window;
    if (!in_order) {
      out[i] = Quantile(phi[i], kept);
    } else if (!DecidedByPhi(phi[i], &out[i])) {
      const Rank rank(phi[i], kept.size());
      out[i] = rank.Between(kept[rank.lower], kept[rank.upper]);
    }
  });
}

}  // namespace tinyobs::promql
