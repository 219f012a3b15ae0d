// SampleFeed: samples from a source into an engine, with the time it takes the engine alone.
//
// One thread.
#ifndef TINYOBS_BENCH_PEERS_SAMPLE_FEED_H_
#define TINYOBS_BENCH_PEERS_SAMPLE_FEED_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/peers/measure.h"
#include "bench/peers/report.h"
#include "bench/peers/sample_engine.h"

namespace tinyobs::bench {

class SampleFeed {
 public:
  // Makes the first scrape, so that the memory for one is there before an engine's is measured.
  // `source` must outlive the feed; batches are of at most `batch` samples.
  SampleFeed(SampleSource* source, size_t batch)
      : source_(source), batch_(batch), known_(source->series_count()) {
    source_->Scrape(0, &scrape_);
  }

  // Scrapes from the one after the last up to `end`; series are created when they first appear.
  // `watch` is paused while samples are made; null = nobody measures.
  void RunTo(size_t end, SampleEngine* engine, Stopwatch* watch);

  // After each batch; not measured.
  void set_after_batch(std::function<void()> after) { after_batch_ = std::move(after); }

  const SampleTotals& totals() const { return totals_; }  // of everything so far
  uint64_t samples() const { return totals_.samples; }

 private:
  // Sorts a batch into samples of series that are known and first ones.
  void Sort(const SampleBatch& batch);

  SampleSource* const source_;
  const size_t batch_;
  std::vector<bool> known_;  // by series number
  size_t next_ = 0;
  SampleColumns scrape_;
  SampleColumns old_;  // of a batch, when it has new series too
  SampleColumns new_;
  std::vector<Labels> labels_;  // of new_
  SampleTotals totals_;
  std::function<void()> after_batch_;
};

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_PEERS_SAMPLE_FEED_H_
