#include "lib/sdk/metric_registry.h"

#include <cmath>
#include <utility>

#include "lib/base/strings.h"
#include "lib/sdk/series_table.h"

namespace tinyobs::sdk::internal {
namespace {

constexpr std::string_view kHistogramSuffixes[] = {"_bucket", "_sum", "_count"};
constexpr size_t kMaxHistogramBounds = 100;

template <typename MetricType, typename Table, typename... Arguments>
std::unique_ptr<MetricType> NewMetric(std::string_view name, bool live, SharedState* shared,
                                      Arguments&&... arguments) {
  return std::make_unique<MetricType>(std::make_unique<Table>(
      std::string(name), live, shared, std::forward<Arguments>(arguments)...));
}

absl::Status CheckBounds(std::string_view name, std::span<const double> bounds) {
  bool ascending = !bounds.empty() && bounds.size() <= kMaxHistogramBounds;
  for (size_t i = 0; ascending && i < bounds.size(); ++i) {
    ascending = std::isfinite(bounds[i]) && (i == 0 || bounds[i - 1] < bounds[i]);
  }
  if (ascending) return absl::OkStatus();
  return absl::InvalidArgumentError(StrCat("histogram ", EscapeForMessage(name),
                                           ": bounds must be 1 to ", kMaxHistogramBounds,
                                           " finite numbers in ascending order"));
}

}  // namespace

MetricRegistry::MetricRegistry(const Config& config)
    : shared_(config),
      refused_counter_(NewMetric<Counter, CounterTable>("", false, &shared_)),
      refused_gauge_(NewMetric<Gauge, GaugeTable>("", false, &shared_)),
      refused_histogram_(
          NewMetric<Histogram, HistogramTable>("", false, &shared_, std::vector<double>{1.0})) {}

MetricRegistry::~MetricRegistry() = default;

absl::Status MetricRegistry::Conflict(std::string_view name, MetricKind wanted) const {
  const Metric& metric = metrics_.find(name)->second;
  std::string owner = StrCat("the histogram ", EscapeForMessage(metric.reserved_by));
  if (metric.counter) owner = "a counter";
  if (metric.gauge) owner = "a gauge";
  if (metric.histogram) owner = "a histogram";
  return absl::InvalidArgumentError(StrCat("metric ", EscapeForMessage(name), " was asked for as ",
                                           MetricKindName(wanted), " but belongs to ", owner,
                                           "; choose another name"));
}

absl::Status MetricRegistry::CheckNew(std::string_view name, MetricKind kind) const {
  const size_t longest_suffix = kind == MetricKind::kHistogram ? kHistogramSuffixes[0].size() : 0;
  if (name.empty() || name.size() + longest_suffix > wire::kMaxIngestNameBytes) {
    return absl::InvalidArgumentError(StrCat("metric name ", EscapeForMessage(name, 40), " has ",
                                             name.size(), " bytes; allowed are 1 to ",
                                             wire::kMaxIngestNameBytes - longest_suffix));
  }
  const absl::StatusOr<Labels> labels = MakeLabels(name, {}, shared_.service);
  if (!labels.ok()) return labels.status();
  if (metrics_.contains(name)) return Conflict(name, kind);
  if (kind == MetricKind::kHistogram) {
    for (const std::string_view suffix : kHistogramSuffixes) {
      const std::string sent = StrCat(name, suffix);
      if (metrics_.contains(sent)) return Conflict(sent, kind);
    }
  }
  // Names are chosen by code, but code can build them from data: the same bound as for series.
  if (metrics_.size() >= shared_.max_series) {
    return absl::ResourceExhaustedError(
        StrCat("metric ", EscapeForMessage(name), " was refused: ", metrics_.size(),
               " metrics exist and max_series is ", shared_.max_series));
  }
  return absl::OkStatus();
}

Counter& MetricRegistry::counter(std::string_view name) {
  MutexLock lock(&mutex_);
  const auto found = metrics_.find(name);
  if (found != metrics_.end() && found->second.counter) return *found->second.counter;
  if (const absl::Status status = CheckNew(name, MetricKind::kCounter); !status.ok()) {
    shared_.ReportMisuse([&] { return status; });
    return *refused_counter_;
  }
  Metric& metric = metrics_[std::string(name)];
  metric.counter = NewMetric<Counter, CounterTable>(name, true, &shared_);
  return *metric.counter;
}

Gauge& MetricRegistry::gauge(std::string_view name) {
  MutexLock lock(&mutex_);
  const auto found = metrics_.find(name);
  if (found != metrics_.end() && found->second.gauge) return *found->second.gauge;
  if (const absl::Status status = CheckNew(name, MetricKind::kGauge); !status.ok()) {
    shared_.ReportMisuse([&] { return status; });
    return *refused_gauge_;
  }
  Metric& metric = metrics_[std::string(name)];
  metric.gauge = NewMetric<Gauge, GaugeTable>(name, true, &shared_);
  return *metric.gauge;
}

Histogram& MetricRegistry::histogram(std::string_view name, std::span<const double> bounds) {
  MutexLock lock(&mutex_);
  const auto found = metrics_.find(name);
  if (found != metrics_.end() && found->second.histogram) return *found->second.histogram;
  absl::Status status = CheckNew(name, MetricKind::kHistogram);
  if (status.ok()) status = CheckBounds(name, bounds);
  if (!status.ok()) {
    shared_.ReportMisuse([&] { return status; });
    return *refused_histogram_;
  }
  for (const std::string_view suffix : kHistogramSuffixes) {
    metrics_[StrCat(name, suffix)].reserved_by = std::string(name);
  }
  Metric& metric = metrics_[std::string(name)];
  metric.histogram = NewMetric<Histogram, HistogramTable>(
      name, true, &shared_, std::vector<double>(bounds.begin(), bounds.end()));
  return *metric.histogram;
}

void MetricRegistry::Collect(int64_t now_ms, std::vector<OutgoingSample>* out) {
  const auto add = [&](const Labels& labels, MetricKind kind, double value) {
    if (!std::isfinite(value)) {
      // Cannot be sent as JSON; only sums of huge numbers get here.
      shared_.CountInvalid();
      return;
    }
    out->push_back({&labels, kind, now_ms, value});
  };
  MutexLock lock(&mutex_);
  for (const auto& [name, metric] : metrics_) {
    if (metric.counter) {
      metric.counter->table_->ForEach([&](const CounterTable::Entry& entry) {
        add(entry.labels[0], MetricKind::kCounter, entry.series.value());
      });
    } else if (metric.gauge) {
      metric.gauge->table_->ForEach([&](const GaugeTable::Entry& entry) {
        add(entry.labels[0], MetricKind::kGauge, entry.series.value());
      });
    } else if (metric.histogram) {
      metric.histogram->table_->ForEach([&](const HistogramTable::Entry& entry) {
        const HistogramSeries::Snapshot snapshot = entry.series.Read();
        const size_t buckets = snapshot.cumulative.size();
        for (size_t i = 0; i < buckets; ++i) {
          add(entry.labels[i], MetricKind::kHistogram, static_cast<double>(snapshot.cumulative[i]));
        }
        add(entry.labels[buckets], MetricKind::kHistogram, snapshot.sum);
        add(entry.labels[buckets + 1], MetricKind::kHistogram,
            static_cast<double>(snapshot.cumulative.back()));
      });
    }
  }
}

}  // namespace tinyobs::sdk::internal
