#include "lib/tsdb/cardinality.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lib/base/checksum.h"
#include "lib/base/coding.h"
#include "lib/base/strings.h"
#include "tinyobs/labels.h"
#include "tinyobs/matcher.h"

namespace tinyobs::tsdb {

namespace {

// Of one look at a metric's labels: some 10 ms. Of metrics with more, those of the newest series.
constexpr size_t kMaxLookedAt = 1 << 16;
// A refusal looks again when there are so many more series than at the last look: refusals come by
// the thousand, and the leader waits.
constexpr double kToleratedPart = 0.125;
// Idle series are looked at when their metric has so many, and more than one kMaxSketched-th of
// all.
constexpr uint64_t kLeastLooked = 64;
constexpr int64_t kWarnEveryMs = 60'000;
// Of a refused series, in messages.
constexpr size_t kMaxText = 300;
constexpr size_t kMaxExample = 60;

std::string TextOf(std::string_view canonical_labels) {
  const auto labels = Labels::FromCanonicalBytes(canonical_labels);
  std::string text = labels.ok() ? labels->ToString() : std::string();
  if (text.size() > kMaxText) text.replace(kMaxText, std::string::npos, "...");
  return text;
}

// Calls visit(name, value) for each label until it returns false.
template <typename Visit>
void ForEachLabel(std::string_view canonical_labels, Visit visit) {
  ByteReader reader(canonical_labels);
  while (reader.ok() && !reader.empty()) {
    const std::string_view name = reader.LengthPrefixed();
    const std::string_view value = reader.LengthPrefixed();
    if (!reader.ok() || !visit(name, value)) return;
  }
}

std::string_view ValueOf(std::string_view canonical_labels, std::string_view wanted) {
  std::string_view found;
  ForEachLabel(canonical_labels, [&](std::string_view name, std::string_view value) {
    if (name == wanted) found = value;
    return name != wanted;
  });
  return found;
}

}  // namespace

std::string_view MetricOf(std::string_view canonical_labels) {
  return ValueOf(canonical_labels, kMetricName);
}

absl::Status Cardinality::Admit(std::span<const NewcomerLabels> series, int64_t now_ms,
                                std::string* warning) {
  if (series.empty()) return absl::OkStatus();
  std::optional<std::string_view> full_metric;
  std::string_view refused;
  bool warn = false;
  {
    MutexLock lock(&mutex_);
    // The first that does not fit, or the end.
    const uint64_t room = limits_.series - std::min(limits_.series, total_);
    size_t first = limits_.series > 0 && series.size() > room ? room : series.size();
    Metric* metric = nullptr;
    size_t counted = 0;
    for (; counted < series.size() && (first == series.size() || limits_.dry_run); ++counted) {
      const std::string_view name = series[counted].metric;
      if (counted == 0 || name != series[counted - 1].metric) metric = Give(name);
      if (limits_.series_per_metric > 0 && metric->series >= limits_.series_per_metric &&
          first == series.size()) {
        full_metric = name;
        first = counted;
        if (!limits_.dry_run) break;
      }
      ++metric->series;
      ++metric->added;
    }
    total_ += counted;
    changes_ += counted;
    if (first == series.size()) return absl::OkStatus();
    if (!limits_.dry_run) {
      for (size_t i = 0; i < counted; ++i) Take(series[i].metric, 1);
    }
    refused = series[first].canonical;
    ++refused_commits_;
    refused_series_ += series.size();
    last_refused_ = TextOf(refused);
    if (first_refused_.empty()) first_refused_ = last_refused_;
    warn = !warned_ms_.has_value() || now_ms - *warned_ms_ >= kWarnEveryMs;
    if (warn) warned_ms_ = now_ms;
  }
  if (limits_.dry_run && !warn) return absl::OkStatus();
  absl::Status status = CardinalityLimitError(Explain(full_metric, refused));
  if (warn) {
    *warning = StrCat(limits_.dry_run ? "dry run, nothing is refused: " : "new series refused: ",
                      FromAbsl(status.message()));
  }
  return limits_.dry_run ? absl::OkStatus() : status;
}

absl::Status Cardinality::AdmitWhatFits(std::span<const NewcomerLabels> series, int64_t now_ms,
                                        std::string* warning, std::vector<bool>* admitted) {
  absl::Status all = Admit(series, now_ms, warning);
  admitted->assign(series.size(), all.ok());
  if (all.ok()) return all;
  MutexLock lock(&mutex_);
  for (size_t i = 0; i < series.size(); ++i) {
    if (limits_.series > 0 && total_ >= limits_.series) break;
    Metric* const metric = Give(series[i].metric);
    if (limits_.series_per_metric > 0 && metric->series >= limits_.series_per_metric) continue;
    ++metric->series;
    ++metric->added;
    ++total_;
    ++changes_;
    --refused_series_;
    (*admitted)[i] = true;
  }
  return all;
}

void Cardinality::Add(std::string_view metric, uint64_t series) {
  MutexLock lock(&mutex_);
  Metric* const counted = Give(metric);
  counted->series += series;
  counted->added += series;
  total_ += series;
  changes_ += series;
}

void Cardinality::Remove(std::string_view metric, uint64_t series) {
  MutexLock lock(&mutex_);
  Take(metric, series);
}

void Cardinality::Clear() {
  MutexLock lock(&mutex_);
  metrics_.clear();
  sketches_.clear();
  name_bytes_ = 0;
  total_ = 0;
}

Cardinality::Metric* Cardinality::Give(std::string_view metric) {
  const auto [at, is_new] = metrics_.try_emplace(ToAbsl(metric));
  if (is_new) name_bytes_ += metric.size();
  return &at->second;
}

void Cardinality::Take(std::string_view metric, uint64_t series) {
  const auto at = metrics_.find(ToAbsl(metric));
  if (at == metrics_.end()) return;
  uint64_t& left = at->second.series;
  series = std::min(series, left);
  if (const auto seen = sketches_.find(ToAbsl(metric)); seen != sketches_.end()) {
    seen->second.most = std::max(seen->second.most, left);
    // The label to blame may have left with the series that had it: begin anew.
    if ((left - series) * 2 < seen->second.most) sketches_.erase(seen);
  }
  left -= series;
  total_ -= series;
  changes_ += series;
  if (left > 0) return;
  name_bytes_ -= metric.size();
  metrics_.erase(at);
}

void Cardinality::AddValues(std::string_view canonical_labels, Sketches* sketches) const {
  size_t place = 0;  // where the next name probably is: most series of a metric have the same
  ++sketches->looked_at;
  ForEachLabel(canonical_labels, [&](std::string_view name, std::string_view value) {
    if (name == kMetricName) return true;
    std::vector<Label>& labels = sketches->labels;
    if (place >= labels.size() || labels[place].name != name) {
      place = 0;
      while (place < labels.size() && labels[place].name != name) ++place;
      if (place == labels.size() && place == kMaxLabels) return true;
      if (place == labels.size()) labels.push_back({std::string(name), {}});
    }
    labels[place++].values.Add(Fingerprint(value, seed_).low);
    return true;
  });
}

Cardinality::Sketches* Cardinality::SketchesOf(std::string_view metric) const {
  const auto known = sketches_.find(ToAbsl(metric));
  if (known != sketches_.end()) return &known->second;
  if (sketches_.size() >= kMaxSketched) {
    auto smallest = sketches_.begin();
    uint64_t least = UINT64_MAX;
    for (auto at = sketches_.begin(); at != sketches_.end(); ++at) {
      const uint64_t series = metrics_.at(at->first).series;
      if (series < least) smallest = at;
      least = std::min(least, series);
    }
    if (least >= metrics_.at(ToAbsl(metric)).series) return nullptr;
    sketches_.erase(smallest);
  }
  return &sketches_[ToAbsl(metric)];
}

void Cardinality::NoteIdle(std::string_view canonical_labels) {
  const std::string_view name = MetricOf(canonical_labels);
  MutexLock lock(&mutex_);
  const auto metric = metrics_.find(ToAbsl(name));
  if (metric == metrics_.end() || metric->second.series < kLeastLooked ||
      metric->second.series * kMaxSketched < total_) {
    return;
  }
  if (Sketches* const sketches = SketchesOf(name)) AddValues(canonical_labels, sketches);
}

void Cardinality::LookAt(const std::string& name, double tolerated_part) const {
  SeriesRef from = 0;
  {
    MutexLock lock(&mutex_);
    const auto at = metrics_.find(name);
    if (at == metrics_.end()) return;
    Metric& metric = at->second;
    const Sketches* const sketches = SketchesOf(name);
    if (sketches == nullptr || (static_cast<double>(metric.added) <=
                                tolerated_part * static_cast<double>(sketches->looked_at))) {
      return;
    }
    from = sketches->end;
    metric.added = 0;
  }
  // Without the lock: this takes milliseconds, and adding a value twice changes nothing.
  const Matcher matcher = Matcher::Metric(name);
  const SeriesIndex::MatchResult match = index_->Match({&matcher, 1});
  auto begin = std::lower_bound(match.refs.begin(), match.refs.end(), from);
  if (match.refs.end() - begin > static_cast<ptrdiff_t>(kMaxLookedAt)) {
    begin = match.refs.end() - kMaxLookedAt;
  }
  Sketches seen;
  std::string labels;
  for (; begin != match.refs.end(); ++begin) {
    SeriesId id = 0;
    labels.clear();
    if (index_->Describe(*begin, &id, &labels)) AddValues(labels, &seen);
  }
  MutexLock lock(&mutex_);
  const auto at = sketches_.find(name);
  if (at == sketches_.end()) return;
  Sketches* const sketches = &at->second;
  for (Label& label : seen.labels) {
    const auto same = std::find_if(sketches->labels.begin(), sketches->labels.end(),
                                   [&](const Label& other) { return other.name == label.name; });
    if (same != sketches->labels.end()) {
      same->values.Merge(label.values);
    } else if (sketches->labels.size() < kMaxLabels) {
      sketches->labels.push_back(std::move(label));
    }
  }
  sketches->looked_at += seen.looked_at;
  sketches->end = std::max(sketches->end, match.ref_limit);
}

std::vector<CardinalityStats::Label> Cardinality::LabelsOf(const std::string& metric) const {
  std::vector<CardinalityStats::Label> labels;
  const auto sketches = sketches_.find(metric);
  if (sketches == sketches_.end()) return labels;
  for (const Label& label : sketches->second.labels) {
    const auto values = static_cast<uint64_t>(std::llround(label.values.Estimate()));
    labels.push_back({label.name, std::min(values, metrics_.at(metric).series)});
  }
  std::sort(labels.begin(), labels.end(), [](const auto& a, const auto& b) {
    return a.values != b.values ? a.values > b.values : a.name < b.name;
  });
  return labels;
}

// Kept until a sixteenth of the series have changed: there may be many metrics.
std::string Cardinality::LargestMetric() {
  if (metrics_.contains(largest_) && (changes_ - largest_at_) * 16 <= total_) return largest_;
  largest_at_ = changes_;
  uint64_t most = 0;
  for (const auto& [name, metric] : metrics_) {
    if (metric.series < most || (metric.series == most && name > largest_)) continue;
    most = metric.series;
    largest_ = name;
  }
  return largest_;
}

CardinalityLimit Cardinality::Explain(std::optional<std::string_view> metric,
                                      std::string_view refused_labels) {
  CardinalityLimit limit;
  limit.per_metric = metric.has_value();
  limit.limit = limit.per_metric ? limits_.series_per_metric : limits_.series;
  limit.refused = TextOf(refused_labels);
  if (limit.per_metric) {
    limit.metric = std::string(*metric);
  } else {
    MutexLock lock(&mutex_);
    limit.metric = LargestMetric();
  }
  LookAt(limit.metric, kToleratedPart);
  MutexLock lock(&mutex_);
  limit.current = total_;
  const auto at = metrics_.find(limit.metric);
  if (at == metrics_.end()) return limit;
  limit.metric_series = at->second.series;
  if (limit.per_metric) limit.current = limit.metric_series;
  if (const auto labels = LabelsOf(limit.metric); !labels.empty()) {
    limit.label = labels[0].name;
    limit.label_values = labels[0].values;
    if (MetricOf(refused_labels) == limit.metric) {
      limit.label_example =
          std::string(ValueOf(refused_labels, limit.label).substr(0, kMaxExample));
    }
  }
  return limit;
}

uint64_t Cardinality::total() const {
  MutexLock lock(&mutex_);
  return total_;
}

uint64_t Cardinality::refused_series() const {
  MutexLock lock(&mutex_);
  return refused_series_;
}

CardinalityStats Cardinality::Stats(size_t top) const {
  CardinalityStats stats;
  {
    MutexLock lock(&mutex_);
    stats.series = total_;
    stats.max_series = limits_.series;
    stats.max_series_per_metric = limits_.series_per_metric;
    stats.dry_run = limits_.dry_run;
    stats.metrics = metrics_.size();
    stats.refused_commits = refused_commits_;
    stats.refused_series = refused_series_;
    stats.first_refused = first_refused_;
    stats.last_refused = last_refused_;
    std::vector<std::pair<uint64_t, std::string_view>> all;
    all.reserve(metrics_.size());
    for (const auto& [name, metric] : metrics_) all.emplace_back(metric.series, name);
    const auto end = all.begin() + static_cast<ptrdiff_t>(std::min(top, all.size()));
    std::partial_sort(all.begin(), end, all.end(), [](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : a.second < b.second;
    });
    for (auto at = all.begin(); at != end; ++at) {
      stats.largest.push_back({std::string(at->second), at->first, {}});
    }
  }
  for (CardinalityStats::Metric& metric : stats.largest) {
    LookAt(metric.name, /*tolerated_part=*/0);
    MutexLock lock(&mutex_);
    metric.labels = LabelsOf(metric.name);
  }
  return stats;
}

size_t Cardinality::MemoryBytes() const {
  MutexLock lock(&mutex_);
  size_t bytes = metrics_.capacity() * (sizeof(Metrics::value_type) + 1) + name_bytes_;
  for (const auto& [name, sketches] : sketches_) {
    bytes += sizeof(sketches) + sketches.labels.capacity() * sizeof(Label);
  }
  return bytes;
}

}  // namespace tinyobs::tsdb
