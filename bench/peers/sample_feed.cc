#include "bench/peers/sample_feed.h"

#include <algorithm>

namespace tinyobs::bench {

void SampleFeed::RunTo(size_t end, SampleEngine* engine, Stopwatch* watch) {
  Stopwatch nobodys;
  if (watch == nullptr) watch = &nobodys;
  watch->Pause();
  for (; next_ < end; ++next_) {
    if (next_ > 0) source_->Scrape(next_, &scrape_);  // the first is there already
    for (size_t i = 0; i < scrape_.size(); ++i) {
      totals_.Add(scrape_.timestamps_ms[i], scrape_.values[i]);
    }
    for (size_t from = 0; from < scrape_.size(); from += batch_) {
      const SampleBatch batch = scrape_.batch().Part(from, std::min(batch_, scrape_.size() - from));
      Sort(batch);
      watch->Resume();
      if (new_.empty()) {
        engine->Append(batch);
      } else {
        engine->Create(labels_, new_.batch());
        if (!old_.empty()) engine->Append(old_.batch());
      }
      watch->Pause();
      if (after_batch_) after_batch_();
    }
  }
  watch->Resume();
}

void SampleFeed::Sort(const SampleBatch& batch) {
  old_.clear();
  new_.clear();
  labels_.clear();
  if (std::all_of(batch.series.begin(), batch.series.end(),
                  [&](uint32_t series) { return known_[series]; })) {
    return;
  }
  for (size_t i = 0; i < batch.size(); ++i) {
    const uint32_t series = batch.series[i];
    (known_[series] ? old_ : new_).Add(series, batch.timestamps_ms[i], batch.values[i]);
    if (known_[series]) continue;
    known_[series] = true;
    labels_.push_back(source_->LabelsOf(series));
  }
}

}  // namespace tinyobs::bench
