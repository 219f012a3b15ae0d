// SampleSource: where the samples of a benchmark come from, scrape by scrape.
//
// Sources make their samples while the benchmark runs instead of beforehand: a million series with
// a hundred samples each would be gigabytes beside the memory that is to be measured. Whoever
// measures a rate takes the time spent in here off (CLOCK_THREAD_CPUTIME_ID: one thread makes
// them).
//
// The same source gives the same samples each time it is made: all randomness is seeded.
//
// One thread.
#ifndef TINYOBS_BENCH_WORKLOAD_SAMPLE_SOURCE_H_
#define TINYOBS_BENCH_WORKLOAD_SAMPLE_SOURCE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tinyobs/labels.h"
#include "tinyobs/matcher.h"

namespace tinyobs::bench {

// Columns; the i-th entries belong together. Series are numbers from 0 up.
struct SampleBatch {
  std::span<const uint32_t> series;
  std::span<const int64_t> timestamps_ms;
  std::span<const double> values;

  size_t size() const { return series.size(); }
  SampleBatch Part(size_t from, size_t count) const {
    return {series.subspan(from, count), timestamps_ms.subspan(from, count),
            values.subspan(from, count)};
  }
};

// A batch that owns its columns.
struct SampleColumns {
  std::vector<uint32_t> series;
  std::vector<int64_t> timestamps_ms;
  std::vector<double> values;

  size_t size() const { return series.size(); }
  bool empty() const { return series.empty(); }
  SampleBatch batch() const { return {series, timestamps_ms, values}; }
  void Add(uint32_t number, int64_t timestamp_ms, double value) {
    series.push_back(number);
    timestamps_ms.push_back(timestamp_ms);
    values.push_back(value);
  }
  void clear() {
    series.clear();
    timestamps_ms.clear();
    values.clear();
  }
};

class SampleSource {
 public:
  virtual ~SampleSource() = default;

  virtual size_t series_count() const = 0;
  virtual Labels LabelsOf(size_t series) const = 0;
  // What somebody who wants this series alone would ask for.
  virtual std::vector<Matcher> SelectorOf(size_t series) const = 0;

  virtual size_t scrape_count() const = 0;
  // Replaces `out`. To be called for 0, 1, 2, ... in turn; each series' times ascend.
  virtual void Scrape(size_t number, SampleColumns* out) = 0;
};

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_WORKLOAD_SAMPLE_SOURCE_H_
