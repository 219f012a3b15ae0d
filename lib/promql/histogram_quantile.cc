// histogram_quantile over classic histograms: series with a label `le`, one a bucket.
//
// The buckets of a histogram are found and put in order once for all steps; a step only gathers the
// counts that it has.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/promql/group_index.h"
#include "lib/promql/literals.h"
#include "lib/promql/vector_functions.h"

namespace tinyobs::promql {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::string_view kBoundLabel = "le";

struct BucketSeries {
  double bound;
  const std::vector<double>* counts;  // a step each
};

struct Histogram {
  Labels labels;
  std::vector<BucketSeries> buckets;  // by bound
};

struct Bucket {
  double bound;
  double count;  // of all up to the bound
};

// Of the buckets in the order of their bounds, which are changed: no bucket may count less than
// those below it. At least one.
double BucketQuantile(double phi, std::vector<Bucket>* buckets) {
  if (std::isnan(phi)) return kNan;
  if (phi < 0) return -kInfinity;
  if (phi > 1) return kInfinity;
  if (buckets->back().bound != kInfinity || buckets->size() < 2) return kNan;
  double most = buckets->front().count;
  for (Bucket& bucket : *buckets) {
    if (bucket.count > most) most = bucket.count;
    if (bucket.count < most) bucket.count = most;
  }
  const double observations = buckets->back().count;
  if (observations == 0) return kNan;
  double rank = phi * observations;
  const auto last = buckets->end() - 1;
  const auto found = std::partition_point(buckets->begin(), last,
                                          [&](const Bucket& b) { return !(b.count >= rank); });
  if (found == last) return (last - 1)->bound;
  if (found == buckets->begin()) {
    if (found->bound <= 0) return found->bound;
    return found->bound * (rank / found->count);
  }
  const Bucket& below = found[-1];
  rank -= below.count;
  return below.bound + (found->bound - below.bound) * (rank / (found->count - below.count));
}

// In the order in which they appear.
std::vector<Histogram> FindHistograms(const Vector& series) {
  std::vector<Histogram> histograms;
  GroupIndex by_labels(LabelSubset({}, /*keep=*/false));
  for (const VectorSeries& one : series) {
    double bound = 0;
    if (!ParseFloatText(one.labels.Get(kBoundLabel), &bound)) continue;
    const Labels others = WithLabel(one.labels, kBoundLabel, {});
    const size_t number = by_labels.OfKey(others.canonical_bytes());
    if (number == histograms.size()) histograms.push_back({WithoutName(others), {}});
    histograms[number].buckets.push_back({bound, &one.values});
  }
  for (Histogram& histogram : histograms) {
    std::stable_sort(histogram.buckets.begin(), histogram.buckets.end(),
                     [](const BucketSeries& a, const BucketSeries& b) {
                       return std::isnan(a.bound) ? !std::isnan(b.bound) : a.bound < b.bound;
                     });
  }
  return histograms;
}

}  // namespace

Vector HistogramQuantile(std::span<const double> phi, Vector buckets) {
  Vector result;
  std::vector<Bucket> at_step;
  for (Histogram& histogram : FindHistograms(buckets)) {
    std::vector<double> values(phi.size());
    for (size_t i = 0; i < phi.size(); ++i) {
      at_step.clear();
      for (const BucketSeries& bucket : histogram.buckets) {
        const double count = (*bucket.counts)[i];
        if (IsAbsent(count)) continue;
        if (!at_step.empty() && at_step.back().bound == bucket.bound) {
          at_step.back().count += count;
        } else {
          at_step.push_back({bucket.bound, count});
        }
      }
      values[i] = at_step.empty() ? Absent() : BucketQuantile(phi[i], &at_step);
    }
    result.push_back({std::move(histogram.labels), std::move(values)});
  }
  return result;
}

}  // namespace tinyobs::promql
