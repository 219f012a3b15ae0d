// The devops mix: what a fleet of hosts with an exporter each sends, made by a seed.
//
// A host has 100 series of 8 labels, a metric each: 20 of CPU seconds with 2 decimals, 15 gauges of
// bytes in pages, 25 integer counters of which some start again now and then, 12 gauges with 1
// decimal, 13 that hardly change, 13 buckets of histograms, 2 of full precision. It is scraped
// each `step_ms`, at a moment of its own, to the millisecond.
//
// Noise is independent from series to series and from scrape to scrape, which real noise is not:
// these data pack worse than most real ones of the same kind. Values come from integers and one
// division, so they are the same on every machine. A series costs 16 bytes of state.
//
// One thread; labels and selectors are pure functions.
#ifndef TINYOBS_BENCH_WORKLOAD_DEVOPS_H_
#define TINYOBS_BENCH_WORKLOAD_DEVOPS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bench/workload/sample_source.h"

namespace tinyobs::bench {

// The begin of a partition of two hours, and of a day.
inline constexpr int64_t kDevopsStartMs = 1'700'006'400'000 / 86'400'000 * 86'400'000;

// Series number `series` of the fleet; its host is series / 100.
Labels DevopsLabels(size_t series);

struct DevopsOptions {
  size_t series = 10'000;
  size_t scrapes = 960;
  int64_t start_ms = kDevopsStartMs;
  int64_t step_ms = 15'000;
  uint64_t seed = 42;
  // false: host by host, as a collector hands them on. true: in an order without any locality, the
  // same each time.
  bool random_order = false;
};

class DevopsSource final : public SampleSource {
 public:
  explicit DevopsSource(const DevopsOptions& options);

  size_t series_count() const override { return states_.size(); }
  Labels LabelsOf(size_t series) const override { return DevopsLabels(series); }
  // Metric and instance.
  std::vector<Matcher> SelectorOf(size_t series) const override;
  size_t scrape_count() const override { return options_.scrapes; }
  void Scrape(size_t number, SampleColumns* out) override;

 private:
  struct State {
    int64_t x;      // or the bits of a double
    uint64_t rate;  // a number drawn once; what it means depends on the kind
  };

  double Next(size_t series, uint64_t noise);

  const DevopsOptions options_;
  std::vector<State> states_;
  std::vector<uint32_t> order_;  // empty = 0, 1, 2, ...
};

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_WORKLOAD_DEVOPS_H_
