#include "tinyobs/sdk/metrics.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/sdk/series_table.h"
#include "tinyobs/sdk/transport.h"

namespace tinyobs::sdk {
namespace internal {

// A lock rather than an atomic per bucket, because a reader must never see a sum without its count.
struct HistogramState {
  explicit HistogramState(std::span<const double> upper_bounds)
      : bounds(upper_bounds.begin(), upper_bounds.end()), counts(upper_bounds.size() + 1) {}

  const std::vector<double> bounds;
  Mutex mutex;
  std::vector<uint64_t> counts ABSL_GUARDED_BY(mutex);  // one bucket each, not cumulative
  double sum ABSL_GUARDED_BY(mutex) = 0;
};

bool SortedPairs::Assign(std::span<const LabelPair> pairs) {
  count_ = 0;
  for (const LabelPair& pair : pairs) {
    if (pair.second.empty() || pair.first == "service") continue;
    if (count_ == pairs_.size()) return false;
    pairs_[count_++] = pair;
  }
  std::sort(pairs_.begin(), pairs_.begin() + static_cast<ptrdiff_t>(count_));
  return true;
}

std::string RefusedLabelSetMessage(std::string_view metric,
                                   std::span<const Labels* const> label_sets,
                                   std::string_view option, size_t limit) {
  std::map<std::string_view, std::set<std::string_view>> values;
  for (const Labels* const labels : label_sets) {
    for (const Label label : *labels) {
      if (label.name != kMetricName && label.name != "service" && label.name != "le") {
        values[label.name].insert(label.value);
      }
    }
  }
  const auto most = std::max_element(
      values.begin(), values.end(),
      [](const auto& a, const auto& b) { return a.second.size() < b.second.size(); });
  std::string message =
      StrCat("metric ", EscapeForMessage(metric), ": new label sets are dropped, it has ",
             label_sets.size(), " and Config::", option, " is ", limit);
  if (most == values.end()) return message;
  StrAppend(&message, "; its label ", EscapeForMessage(most->first), " has ", most->second.size(),
            " values, \"", EscapeForMessage(*most->second.begin(), 60), "\" for one");
  if (most->second.size() * 2 >= label_sets.size()) message.append(": remove that label");
  return message;
}

absl::StatusOr<Labels> MakeLabels(std::string_view metric, std::span<const LabelPair> pairs,
                                  std::string_view service, LabelPair extra) {
  const auto refuse = [metric](const auto&... why) {
    return absl::InvalidArgumentError(StrCat("metric ", EscapeForMessage(metric), ": ", why...));
  };
  std::vector<Labels::Pair> all;
  all.emplace_back("service", service);
  if (!extra.first.empty()) all.emplace_back(extra.first, extra.second);
  for (const auto& [name, value] : pairs) {
    if (name == kMetricName) return refuse("the label __name__ is the metric's own name");
    if (name == extra.first) return refuse("the label ", name, " belongs to the histogram");
    if (name.size() > wire::kMaxIngestLabelNameBytes) {
      return refuse("label name ", EscapeForMessage(name, 40), " has ", name.size(),
                    " bytes; the most is ", wire::kMaxIngestLabelNameBytes);
    }
    if (value.size() > wire::kMaxIngestLabelValueBytes) {
      return refuse("the value of label ", EscapeForMessage(name), " has ", value.size(),
                    " bytes; the most is ", wire::kMaxIngestLabelValueBytes);
    }
    all.emplace_back(name, value);
  }
  if (all.size() > wire::kMaxIngestLabels) {
    return refuse(all.size(), " labels with those of the client; the most is ",
                  wire::kMaxIngestLabels);
  }
  absl::StatusOr<Labels> labels = Labels::Create(metric, std::move(all));
  if (!labels.ok()) return refuse(FromAbsl(labels.status().message()));
  return labels;
}

absl::StatusOr<std::vector<Labels>> HistogramTable::LabelsFor(
    std::span<const LabelPair> pairs) const {
  std::vector<Labels> all;
  for (size_t i = 0; i <= bounds_.size(); ++i) {
    char text[32] = "+Inf";
    if (i < bounds_.size()) *std::to_chars(text, text + sizeof(text) - 1, bounds_[i]).ptr = '\0';
    TINYOBS_ASSIGN_OR_RETURN(Labels labels,
                             MakeLabels(name_ + "_bucket", pairs, shared_->service, {"le", text}));
    all.push_back(std::move(labels));
  }
  for (const char* const suffix : {"_sum", "_count"}) {
    TINYOBS_ASSIGN_OR_RETURN(Labels labels, MakeLabels(name_ + suffix, pairs, shared_->service));
    all.push_back(std::move(labels));
  }
  return all;
}

}  // namespace internal

const char* MetricKindName(MetricKind kind) {
  switch (kind) {
    case MetricKind::kCounter:
      return "counter";
    case MetricKind::kGauge:
      return "gauge";
    case MetricKind::kHistogram:
      return "histogram";
  }
  return "";
}

void CounterSeries::Add(double amount) {
  if (!live_) return shared_->CountRefused();
  if (!std::isfinite(amount) || amount < 0) return shared_->CountInvalid();
  value_.fetch_add(amount, std::memory_order_relaxed);
}

void CounterSeries::SetTotal(double total) {
  if (!live_) return shared_->CountRefused();
  if (!std::isfinite(total) || total < 0) return shared_->CountInvalid();
  value_.store(total, std::memory_order_relaxed);
}

void GaugeSeries::Set(double value) {
  if (!live_) return shared_->CountRefused();
  if (!std::isfinite(value)) return shared_->CountInvalid();
  value_.store(value, std::memory_order_relaxed);
}

void GaugeSeries::Add(double amount) {
  if (!live_) return shared_->CountRefused();
  if (!std::isfinite(amount)) return shared_->CountInvalid();
  value_.fetch_add(amount, std::memory_order_relaxed);
}

HistogramSeries::HistogramSeries(internal::SharedState* shared, bool live,
                                 std::span<const double> bounds)
    : shared_(shared), live_(live), state_(std::make_unique<internal::HistogramState>(bounds)) {}

HistogramSeries::~HistogramSeries() = default;

void HistogramSeries::Observe(double value) {
  if (!live_) return shared_->CountRefused();
  if (!std::isfinite(value)) return shared_->CountInvalid();
  const std::vector<double>& bounds = state_->bounds;
  const auto bucket = std::lower_bound(bounds.begin(), bounds.end(), value) - bounds.begin();
  MutexLock lock(&state_->mutex);
  ++state_->counts[static_cast<size_t>(bucket)];
  state_->sum += value;
}

HistogramSeries::Snapshot HistogramSeries::Read() const {
  Snapshot snapshot;
  MutexLock lock(&state_->mutex);
  snapshot.cumulative.reserve(state_->counts.size());
  uint64_t total = 0;
  for (const uint64_t count : state_->counts) snapshot.cumulative.push_back(total += count);
  snapshot.sum = state_->sum;
  return snapshot;
}

Counter::Counter(std::unique_ptr<internal::CounterTable> table) : table_(std::move(table)) {}
Counter::~Counter() = default;
CounterSeries& Counter::With(LabelList labels) {
  return table_->With({labels.begin(), labels.size()});
}
CounterSeries& Counter::With(std::span<const LabelPair> labels) { return table_->With(labels); }
void Counter::Add(double amount, LabelList labels) { With(labels).Add(amount); }

Gauge::Gauge(std::unique_ptr<internal::GaugeTable> table) : table_(std::move(table)) {}
Gauge::~Gauge() = default;
GaugeSeries& Gauge::With(LabelList labels) { return table_->With({labels.begin(), labels.size()}); }
GaugeSeries& Gauge::With(std::span<const LabelPair> labels) { return table_->With(labels); }
void Gauge::Set(double value, LabelList labels) { With(labels).Set(value); }
void Gauge::Add(double amount, LabelList labels) { With(labels).Add(amount); }

Histogram::Histogram(std::unique_ptr<internal::HistogramTable> table) : table_(std::move(table)) {}
Histogram::~Histogram() = default;
HistogramSeries& Histogram::With(LabelList labels) {
  return table_->With({labels.begin(), labels.size()});
}
HistogramSeries& Histogram::With(std::span<const LabelPair> labels) { return table_->With(labels); }
void Histogram::Observe(double value, LabelList labels) { With(labels).Observe(value); }

}  // namespace tinyobs::sdk
