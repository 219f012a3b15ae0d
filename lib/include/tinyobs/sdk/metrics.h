// Counter, Gauge, Histogram: what a program measures.
//
//   requests.Inc({{"method", "GET"}, {"status", "200"}});
//
//   sdk::CounterSeries& hits = cache.With({{"result", "hit"}});  // once
//   hits.Inc();                                                  // in the hot loop
//
// An update changes a number in memory, nothing else; the client reads the numbers once per flush
// and sends those. So memory grows with the number of label sets, which is limited, and never with
// the number of updates or with the time the server is away. (The Go original sends every single
// update, and its buffer is bounded by memory only.) What happens between two flushes is in the
// counters and histograms, and of a gauge only the last value is kept.
//
// Label sets: in any order; a label with an empty value is no label; `service` belongs to the
// client and is replaced. A refused label set (Config::max_label_sets, max_series, the limits of
// /v1/ingest: 20 labels, 256 bytes a name, 1024 a value) does not fail the program: its updates are
// counted in Stats::updates_refused and Client::status() says which was the first.
//
// Lifetime: all objects belong to their Client and die with it.
// Thread-safety: everything here is thread-safe. With(labels) and the calls with labels take a
// short lock per metric and hash the labels; updates of a bound counter or gauge are one atomic
// operation, of a bound histogram an uncontended lock.
#ifndef TINYOBS_SDK_METRICS_H_
#define TINYOBS_SDK_METRICS_H_

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace tinyobs::sdk {

namespace internal {
class CounterTable;
class GaugeTable;
class HistogramTable;
class MetricRegistry;
struct HistogramState;
struct SharedState;
template <typename Series>
class SeriesTable;
}  // namespace internal

using LabelPair = std::pair<std::string_view, std::string_view>;
using LabelList = std::initializer_list<LabelPair>;

// One label set of a counter.
class CounterSeries {
 public:
  CounterSeries(internal::SharedState* shared, bool live) : shared_(shared), live_(live) {}
  CounterSeries(const CounterSeries&) = delete;
  CounterSeries& operator=(const CounterSeries&) = delete;

  void Inc() { Add(1); }
  // A negative or non-finite amount is ignored and counted in Stats::updates_invalid.
  void Add(double amount);
  // For totals that somebody else counts, such as the kernel's. May be lower than before: readers
  // take that as a restart of the source. Negative and non-finite totals are ignored and counted.
  void SetTotal(double total);

  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  internal::SharedState* const shared_;
  const bool live_;
  std::atomic<double> value_{0};
};

// One label set of a gauge.
class GaugeSeries {
 public:
  GaugeSeries(internal::SharedState* shared, bool live) : shared_(shared), live_(live) {}
  GaugeSeries(const GaugeSeries&) = delete;
  GaugeSeries& operator=(const GaugeSeries&) = delete;

  // Non-finite values cannot travel as JSON; they are ignored and counted in
  // Stats::updates_invalid.
  void Set(double value);
  void Add(double amount);
  void Sub(double amount) { Add(-amount); }
  void Inc() { Add(1); }
  void Dec() { Add(-1); }

  double value() const { return value_.load(std::memory_order_relaxed); }

 private:
  internal::SharedState* const shared_;
  const bool live_;
  std::atomic<double> value_{0};
};

// One label set of a histogram.
class HistogramSeries {
 public:
  HistogramSeries(internal::SharedState* shared, bool live, std::span<const double> bounds);
  ~HistogramSeries();
  HistogramSeries(const HistogramSeries&) = delete;
  HistogramSeries& operator=(const HistogramSeries&) = delete;

  // A non-finite value is ignored and counted in Stats::updates_invalid.
  void Observe(double value);

  struct Snapshot {
    // Observations <= bounds[i]; one more at the end for +Inf, equal to the number of observations.
    std::vector<uint64_t> cumulative;
    double sum = 0;
  };
  Snapshot Read() const;

 private:
  internal::SharedState* const shared_;
  const bool live_;
  const std::unique_ptr<internal::HistogramState> state_;
};

// A number that only grows: requests, bytes, errors. Each label set starts at zero with the process
// and is sent as the running total, so that rate() works and a lost batch loses no counts.
class Counter {
 public:
  explicit Counter(std::unique_ptr<internal::CounterTable> table);
  ~Counter();

  CounterSeries& With(LabelList labels);
  CounterSeries& With(std::span<const LabelPair> labels);

  void Inc() { Add(1); }
  void Inc(LabelList labels) { Add(1, labels); }
  void Add(double amount, LabelList labels = {});

 private:
  friend class internal::MetricRegistry;
  const std::unique_ptr<internal::CounterTable> table_;
};

// A number that goes up and down: memory, queue length, temperature.
class Gauge {
 public:
  explicit Gauge(std::unique_ptr<internal::GaugeTable> table);
  ~Gauge();

  GaugeSeries& With(LabelList labels);
  GaugeSeries& With(std::span<const LabelPair> labels);

  void Set(double value, LabelList labels = {});
  void Add(double amount, LabelList labels = {});
  void Sub(double amount, LabelList labels = {}) { Add(-amount, labels); }
  void Inc() { Add(1); }
  void Inc(LabelList labels) { Add(1, labels); }
  void Dec() { Add(-1); }
  void Dec(LabelList labels) { Add(-1, labels); }

 private:
  friend class internal::MetricRegistry;
  const std::unique_ptr<internal::GaugeTable> table_;
};

// How values are spread: latencies, sizes. Sent as Prometheus histograms: `<name>_bucket` with
// label `le` for every bound and `+Inf`, `<name>_sum` and `<name>_count`, all running totals.
// (The Go original sends the increase since its last flush and mislabels the last bucket: rate()
// over those is wrong, a lost batch loses observations, and the bound 10 is missing.)
class Histogram {
 public:
  explicit Histogram(std::unique_ptr<internal::HistogramTable> table);
  ~Histogram();

  HistogramSeries& With(LabelList labels);
  HistogramSeries& With(std::span<const LabelPair> labels);

  void Observe(double value, LabelList labels = {});

 private:
  friend class internal::MetricRegistry;
  const std::unique_ptr<internal::HistogramTable> table_;
};

// Seconds, from a millisecond to ten: the bounds of the original.
inline constexpr double kDefaultHistogramBounds[] = {0.001, 0.005, 0.01, 0.025, 0.05, 0.1,
                                                     0.25,  0.5,   1,    2.5,   5,    10};

}  // namespace tinyobs::sdk

#endif  // TINYOBS_SDK_METRICS_H_
