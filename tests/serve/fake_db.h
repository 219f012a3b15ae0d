// FakeDb: tinyobs::Db as a map, so that handlers are tested without an engine.
//
// Does what the interfaces promise: batches are all or nothing, the series limit counts, selects
// are closed at both ends, sorted, and honour the sample limit. A test can make writes and reads
// fail with a status of its choice.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_TESTS_SERVE_FAKE_DB_H_
#define TINYOBS_TESTS_SERVE_FAKE_DB_H_

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "tests/testing/label_appender.h"
#include "tinyobs/db.h"

namespace tinyobs::serve {

class FakeDb : public Db {
 public:
  std::unique_ptr<Appender> NewAppender() override { return std::make_unique<Batch>(this); }

  absl::StatusOr<std::unique_ptr<SeriesSet>> Select(const std::vector<Matcher>& matchers,
                                                    TimeRange range,
                                                    const SelectHints& hints) const override {
    MutexLock lock(&mutex_);
    last_hints_ = hints;
    if (!read_error_.ok()) return read_error_;
    auto set = std::make_unique<Set>();
    uint64_t samples = 0;
    for (const auto& [labels, points] : series_) {
      if (!Accepts(matchers, labels)) continue;
      Columns columns;
      for (auto at = points.lower_bound(range.from_ms);
           at != points.end() && at->first <= range.to_ms; ++at) {
        columns.Add(at->first, at->second);
      }
      samples += columns.size();
      if (hints.sample_limit > 0 && samples > hints.sample_limit) {
        return QueryLimitError("select needs more than " + std::to_string(hints.sample_limit) +
                               " samples");
      }
      if (!columns.empty()) set->rows.emplace_back(labels, std::move(columns));
    }
    set->resolution_of_all = resolution_;
    return set;
  }
  absl::StatusOr<std::unique_ptr<SeriesSet>> SelectAll(TimeRange range,
                                                       const SelectHints& hints) const override {
    return Select({}, range, hints);
  }
  absl::StatusOr<std::vector<Labels>> Series(const std::vector<Matcher>& matchers, TimeRange,
                                             const ListHints&) const override {
    MutexLock lock(&mutex_);
    std::vector<Labels> found;
    for (const auto& [labels, points] : series_) {
      if (Accepts(matchers, labels)) found.push_back(labels);
    }
    return found;
  }
  absl::StatusOr<std::vector<std::string>> LabelNames(const std::vector<Matcher>&, TimeRange,
                                                      const ListHints&) const override {
    return std::vector<std::string>();
  }
  absl::StatusOr<std::vector<std::string>> LabelValues(std::string_view label,
                                                       const std::vector<Matcher>&, TimeRange range,
                                                       const ListHints&) const override {
    MutexLock lock(&mutex_);
    std::set<std::string> values;
    for (const auto& [labels, points] : series_) {
      if (points.rbegin()->first < range.from_ms || points.begin()->first > range.to_ms) continue;
      if (labels.Has(label)) values.insert(std::string(labels.Get(label)));
    }
    return std::vector<std::string>(values.begin(), values.end());
  }
  MetricMetadata Metadata(std::string_view metric) const override {
    MutexLock lock(&mutex_);
    const auto found = metadata_.find(std::string(metric));
    return found == metadata_.end() ? MetricMetadata() : found->second;
  }

  absl::Status Close() override { return absl::OkStatus(); }
  absl::Status Sync() override { return absl::OkStatus(); }
  absl::Status Flush() override { return absl::OkStatus(); }
  absl::Status Delete(const std::vector<Matcher>&, TimeRange) override { return NotFaked(); }
  absl::Status DropBefore(int64_t) override { return NotFaked(); }
  absl::Status Downsample() override {
    if (on_downsample_) on_downsample_();
    MutexLock lock(&mutex_);
    ++ageing_.downsampling.rows_written;
    return downsample_status_;
  }
  absl::Status Checkpoint(const std::string&) override { return NotFaked(); }
  absl::Status Resume() override { return absl::OkStatus(); }
  absl::StatusOr<bool> RunBackgroundWork() override { return false; }
  DbStats Stats() const override {
    MutexLock lock(&mutex_);
    DbStats stats = ageing_;
    stats.series = series_.size();
    stats.max_series = max_series_;
    for (const auto& [labels, points] : series_) {
      if (stats.samples == 0 || points.begin()->first < stats.oldest_ms) {
        stats.oldest_ms = points.begin()->first;
      }
      if (stats.samples == 0 || points.rbegin()->first > stats.newest_ms) {
        stats.newest_ms = points.rbegin()->first;
      }
      stats.samples += points.size();
    }
    stats.disk_bytes = disk_bytes_;
    stats.background_error = background_error_;
    return stats;
  }

  CardinalityStats Cardinality(size_t) const override {
    MutexLock lock(&mutex_);
    CardinalityStats stats;
    stats.series = series_.size();
    stats.max_series = max_series_;
    for (const auto& [labels, points] : series_) {
      const auto same = std::find_if(stats.largest.begin(), stats.largest.end(),
                                     [&](const auto& m) { return m.name == labels.metric(); });
      if (same != stats.largest.end()) {
        ++same->series;
      } else {
        stats.largest.push_back({std::string(labels.metric()), 1, {}});
      }
    }
    stats.metrics = stats.largest.size();
    std::stable_sort(stats.largest.begin(), stats.largest.end(),
                     [](const auto& a, const auto& b) { return a.series > b.series; });
    return stats;
  }

  // --- what a test sets and asks
  void SetMaxSeries(uint64_t limit) {
    MutexLock lock(&mutex_);
    max_series_ = limit;
  }
  void SetWriteError(absl::Status status) {
    MutexLock lock(&mutex_);
    write_error_ = std::move(status);
  }
  void SetReadError(absl::Status status) {
    MutexLock lock(&mutex_);
    read_error_ = std::move(status);
  }
  void SetDiskBytes(uint64_t bytes) {
    MutexLock lock(&mutex_);
    disk_bytes_ = bytes;
  }
  void SetBackgroundError(std::string error) {
    MutexLock lock(&mutex_);
    background_error_ = error;
  }
  // Tiers, downsampling and retention of Stats.
  void SetAgeing(DbStats stats) {
    MutexLock lock(&mutex_);
    ageing_ = std::move(stats);
  }
  void SetDownsampleStatus(absl::Status status) {
    MutexLock lock(&mutex_);
    downsample_status_ = std::move(status);
  }
  // Runs within Downsample. Before the first call of it.
  void OnDownsample(std::function<void()> action) { on_downsample_ = std::move(action); }
  void SetResolution(Resolution resolution) {
    MutexLock lock(&mutex_);
    resolution_ = resolution;
  }
  // Samples later than this are refused by Add.
  void SetMaxTime(int64_t ms) {
    MutexLock lock(&mutex_);
    max_time_ms_ = ms;
  }
  SelectHints last_hints() const {
    MutexLock lock(&mutex_);
    return last_hints_;
  }
  int metadata_writes() const {
    MutexLock lock(&mutex_);
    return metadata_writes_;
  }
  void Put(const Labels& labels, int64_t timestamp_ms, double value) {
    MutexLock lock(&mutex_);
    series_[labels][timestamp_ms] = value;
  }

 private:
  struct Set : public SeriesSet {
    bool Next() override { return ++at < static_cast<int64_t>(rows.size()); }
    const Labels& labels() const override { return rows[static_cast<size_t>(at)].first; }
    const Columns& columns() const override { return rows[static_cast<size_t>(at)].second; }
    Resolution resolution() const override { return resolution_of_all; }
    absl::Status status() const override { return absl::OkStatus(); }

    std::vector<std::pair<Labels, Columns>> rows;
    Resolution resolution_of_all = Resolution::kRaw;
    int64_t at = -1;
  };

  class Batch : public LabelAppender {
   public:
    explicit Batch(FakeDb* db) : db_(db) {}
    using LabelAppender::Add;
    absl::Status Add(const Labels& labels, int64_t timestamp_ms, double value) override {
      if (timestamp_ms > db_->max_time_ms()) {
        return absl::InvalidArgumentError(labels.ToString() + " is too far in the future");
      }
      samples_.push_back({labels, {timestamp_ms, value}});
      return absl::OkStatus();
    }
    absl::Status SetMetadata(std::string_view metric, const MetricMetadata& metadata) override {
      metadata_[std::string(metric)] = metadata;
      return absl::OkStatus();
    }
    absl::Status Commit() override {
      const absl::Status status = db_->Store(samples_, metadata_);
      Rollback();
      return status;
    }
    void Rollback() override {
      samples_.clear();
      metadata_.clear();
    }

   private:
    FakeDb* const db_;
    std::vector<std::pair<Labels, Sample>> samples_;
    std::map<std::string, MetricMetadata> metadata_;
  };

  static absl::Status NotFaked() { return absl::UnimplementedError("the fake cannot do this"); }

  int64_t max_time_ms() const {
    MutexLock lock(&mutex_);
    return max_time_ms_;
  }

  static bool Accepts(const std::vector<Matcher>& matchers, const Labels& labels) {
    for (const Matcher& matcher : matchers) {
      if (!matcher.Matches(labels)) return false;
    }
    return true;
  }

  absl::Status Store(const std::vector<std::pair<Labels, Sample>>& samples,
                     const std::map<std::string, MetricMetadata>& metadata) {
    MutexLock lock(&mutex_);
    if (!write_error_.ok()) return write_error_;
    std::set<Labels> fresh;
    for (const auto& [labels, sample] : samples) {
      if (series_.contains(labels)) continue;
      fresh.insert(labels);
      if (max_series_ > 0 && series_.size() + fresh.size() > max_series_) {
        return CardinalityLimitError({.current = series_.size(),
                                      .limit = max_series_,
                                      .metric = std::string(labels.metric())});
      }
    }
    for (const auto& [labels, sample] : samples) {
      series_[labels][sample.timestamp_ms] = sample.value;
    }
    for (const auto& [metric, entry] : metadata) {
      metadata_[metric] = entry;
      ++metadata_writes_;
    }
    return absl::OkStatus();
  }

  mutable Mutex mutex_;
  std::map<Labels, std::map<int64_t, double>> series_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, MetricMetadata> metadata_ ABSL_GUARDED_BY(mutex_);
  uint64_t max_series_ ABSL_GUARDED_BY(mutex_) = 10'000;
  uint64_t disk_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t max_time_ms_ ABSL_GUARDED_BY(mutex_) = INT64_MAX;
  std::string background_error_ ABSL_GUARDED_BY(mutex_);
  absl::Status write_error_ ABSL_GUARDED_BY(mutex_);
  absl::Status read_error_ ABSL_GUARDED_BY(mutex_);
  mutable SelectHints last_hints_ ABSL_GUARDED_BY(mutex_);
  DbStats ageing_ ABSL_GUARDED_BY(mutex_);
  absl::Status downsample_status_ ABSL_GUARDED_BY(mutex_);
  std::function<void()> on_downsample_;
  Resolution resolution_ ABSL_GUARDED_BY(mutex_) = Resolution::kRaw;
  int metadata_writes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TESTS_SERVE_FAKE_DB_H_
