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

#include "absl/container/flat_hash_map.h"
#include "absl/strings/charconv.h"
#include "lib/promql/label_sets.h"
#include "lib/promql/vector_functions.h"

namespace tinyobs::promql {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr std::string_view kBoundLabel = "le";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHexDigit(char c) { return IsDigit(c) || (c >= 'a' && c <= 'f'); }

// Takes the underscores out of lower-case `text` (a number); false if one is not between digits.
bool RemoveUnderscores(bool hex, std::string* text) {
  const auto digit = [&](char c) { return hex ? IsHexDigit(c) : IsDigit(c); };
  for (size_t i = 0; i < text->size(); ++i) {
    if ((*text)[i] != '_') continue;
    if (i + 1 == text->size() || !digit((*text)[i + 1])) return false;
    if (i == 0 ? !hex : !digit((*text)[i - 1])) return false;
  }
  std::erase(*text, '_');
  return true;
}

// A number as Go's ParseFloat takes it. False: it is none, or too large.
bool ParseBound(std::string_view label, double* bound) {
  std::string text(label);
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  if (text == "nan") {
    *bound = kNan;
    return true;
  }
  const bool negative = !text.empty() && text[0] == '-';
  if (negative || (!text.empty() && text[0] == '+')) text.erase(0, 1);
  if (text == "inf" || text == "infinity") {
    *bound = negative ? -kInfinity : kInfinity;
    return true;
  }
  const bool hex = text.starts_with("0x");
  if (hex) text.erase(0, 2);
  // What the C library's forms have beyond Go's: words, another sign, hexadecimal without exponent.
  if (text.empty() ||
      !(text[0] == '.' || text[0] == '_' || (hex ? IsHexDigit(text[0]) : IsDigit(text[0])))) {
    return false;
  }
  if (hex && text.find('p') == std::string::npos) return false;
  if (!RemoveUnderscores(hex, &text)) return false;
  const auto read = absl::from_chars(text.data(), text.data() + text.size(), *bound,
                                     hex ? absl::chars_format::hex : absl::chars_format::general);
  if (read.ptr != text.data() + text.size()) return false;
  // Out of range: a number too small is as near as it gets, one too large is none.
  if (read.ec != std::errc() && !(*bound < 1)) return false;
  if (negative) *bound = -*bound;
  return true;
}

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

// The canonical bytes of `labels` without one of them, which it has.
void WriteWithout(const Labels& labels, const Label& label, std::string* key) {
  const std::string& bytes = labels.canonical_bytes();
  const char* const begin = label.name.data() - 1;  // a short name's length is one byte
  const char* const end = label.value.data() + label.value.size();
  key->assign(bytes.data(), begin);
  key->append(end, bytes.data() + bytes.size());
}

// In the order in which they appear.
absl::StatusOr<std::vector<Histogram>> FindHistograms(const Vector& series) {
  std::vector<Histogram> histograms;
  absl::flat_hash_map<std::string, size_t> by_labels;
  std::string key;
  for (const VectorSeries& one : series) {
    for (const Label& label : one.labels) {
      double bound = 0;
      if (label.name != kBoundLabel || !ParseBound(label.value, &bound)) continue;
      WriteWithout(one.labels, label, &key);
      const auto [at, is_new] = by_labels.try_emplace(key, histograms.size());
      if (is_new) {
        absl::StatusOr<Labels> labels = Labels::FromCanonicalBytes(key);
        if (!labels.ok()) return labels.status();
        histograms.push_back({WithoutName(*labels), {}});
      }
      histograms[at->second].buckets.push_back({bound, &one.values});
    }
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

absl::StatusOr<Vector> HistogramQuantile(std::span<const double> phi, Vector buckets) {
  absl::StatusOr<std::vector<Histogram>> histograms = FindHistograms(buckets);
  if (!histograms.ok()) return histograms.status();
  Vector result;
  result.reserve(histograms->size());
  std::vector<Bucket> at_step;
  for (Histogram& histogram : *histograms) {
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
