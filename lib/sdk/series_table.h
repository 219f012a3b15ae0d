// SeriesTable: the label sets of one metric, found fast and never moved.
//
// Looked up by the labels as the caller wrote them, sorted by name and length-prefixed into one
// short key; the canonical Labels that leave the process are built once, when the
// series is new. The key is a cache key of this table only and never leaves it: it is not the
// database's series key.
//
// A label set that cannot be accepted gets the table's sink, a series that counts its updates and
// is never sent, so a caller need not check.
//
// Thread-safety: thread-safe. References stay valid as long as the table.
#ifndef TINYOBS_LIB_SDK_SERIES_TABLE_H_
#define TINYOBS_LIB_SDK_SERIES_TABLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/coding.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/sdk/shared_state.h"
#include "tinyobs/labels.h"
#include "tinyobs/sdk/metrics.h"

namespace tinyobs::sdk::internal {

// The labels of a call in the order of the key. Views into the caller's strings.
class SortedPairs {
 public:
  // Leaves out pairs without a value and `service`, which is the client's. False: more pairs than a
  // series may have.
  bool Assign(std::span<const LabelPair> pairs);
  std::span<const LabelPair> get() const { return {pairs_.data(), count_}; }

 private:
  std::array<LabelPair, kMaxUserLabels> pairs_;
  size_t count_ = 0;
};

// What to tell about a metric that has `label_sets` and may not have more because of the option of
// this name.
std::string RefusedLabelSetMessage(std::string_view metric,
                                   std::span<const Labels* const> label_sets,
                                   std::string_view option, size_t limit);

// Series: CounterSeries, GaugeSeries or HistogramSeries.
template <typename Series>
class SeriesTable {
 public:
  struct Entry {
    template <typename... Arguments>
    explicit Entry(std::vector<Labels> all_labels, Arguments&&... arguments)
        : labels(std::move(all_labels)), series(std::forward<Arguments>(arguments)...) {}
    const std::vector<Labels> labels;
    Series series;
  };

  virtual ~SeriesTable() = default;

  Series& With(std::span<const LabelPair> pairs) {
    if (pairs.empty()) {
      if (Series* const series = unlabelled_.load(std::memory_order_acquire)) return *series;
    }
    SortedPairs sorted;
    if (!sorted.Assign(pairs)) {
      shared_->ReportMisuse([&] {
        return absl::InvalidArgumentError(StrCat("metric ", EscapeForMessage(name_), " was given ",
                                                 pairs.size(), " labels; the most is ",
                                                 kMaxUserLabels));
      });
      return sink_;
    }
    std::string key;
    for (const auto& [label, value] : sorted.get()) {
      PutLengthPrefixed(&key, label);
      PutLengthPrefixed(&key, value);
    }
    MutexLock lock(&mutex_);
    const auto found = by_key_.find(key);
    if (found != by_key_.end()) return found->second->series;
    Series* const series = Create(key, sorted.get());
    if (series == nullptr) return sink_;
    if (pairs.empty()) unlabelled_.store(series, std::memory_order_release);
    return *series;
  }

  // Calls visit(entry) for each label set, in the order of creation, under the table's lock.
  template <typename Visit>
  void ForEach(const Visit& visit) const {
    MutexLock lock(&mutex_);
    for (const Entry& entry : entries_) visit(entry);
  }

 protected:
  // `sink_arguments`: how a series is constructed, after `shared` and `live`.
  template <typename... SinkArguments>
  SeriesTable(std::string name, bool live, SharedState* shared, SinkArguments&&... sink_arguments)
      : name_(std::move(name)),
        shared_(shared),
        live_(live),
        sink_(shared, false, std::forward<SinkArguments>(sink_arguments)...) {}

  // The labels that leave the process, one per series of the label set.
  virtual absl::StatusOr<std::vector<Labels>> LabelsFor(std::span<const LabelPair> pairs) const = 0;
  virtual size_t series_per_label_set() const = 0;
  virtual void Emplace(std::deque<Entry>* entries, std::vector<Labels> labels) const = 0;

  const std::string name_;
  SharedState* const shared_;

 private:
  Series* Create(const std::string& key, std::span<const LabelPair> pairs)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!live_) return nullptr;  // its misuse was reported when the metric was asked for
    if (entries_.size() >= shared_->max_label_sets) {
      RefuseLabelSet("max_label_sets", shared_->max_label_sets);
      return nullptr;
    }
    if (!shared_->TakeSeries(series_per_label_set())) {
      RefuseLabelSet("max_series", shared_->max_series);
      return nullptr;
    }
    absl::StatusOr<std::vector<Labels>> labels = LabelsFor(pairs);
    if (!labels.ok()) {
      shared_->GiveBackSeries(series_per_label_set());
      shared_->ReportMisuse([&] { return labels.status(); });
      return nullptr;
    }
    Emplace(&entries_, *std::move(labels));
    by_key_.emplace(key, &entries_.back());
    return &entries_.back().series;
  }

  // Counts it; the first time for this metric says so, and which label is to blame.
  void RefuseLabelSet(const char* option, size_t limit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    shared_->label_sets_refused.fetch_add(1, std::memory_order_relaxed);
    if (said_) return;
    said_ = true;
    std::vector<const Labels*> label_sets;
    for (const Entry& entry : entries_) label_sets.push_back(&entry.labels[0]);
    const std::string message = RefusedLabelSetMessage(name_, label_sets, option, limit);
    shared_->ReportMisuse([&] { return absl::ResourceExhaustedError(message); });
    if (shared_->logger) shared_->logger(message);
  }

  const bool live_;
  bool said_ ABSL_GUARDED_BY(mutex_) = false;  // that label sets are refused
  Series sink_;
  std::atomic<Series*> unlabelled_{nullptr};
  mutable Mutex mutex_;
  std::deque<Entry> entries_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, Entry*> by_key_ ABSL_GUARDED_BY(mutex_);
};

// metric{pairs..., service, extra}: checks the limits of /v1/ingest. `extra` may be empty.
absl::StatusOr<Labels> MakeLabels(std::string_view metric, std::span<const LabelPair> pairs,
                                  std::string_view service, LabelPair extra = {});

// A metric of which each label set is one series.
template <typename Series>
class ScalarTable : public SeriesTable<Series> {
 public:
  using Entry = typename SeriesTable<Series>::Entry;

  ScalarTable(std::string name, bool live, SharedState* shared)
      : SeriesTable<Series>(std::move(name), live, shared) {}

 private:
  absl::StatusOr<std::vector<Labels>> LabelsFor(std::span<const LabelPair> pairs) const override {
    TINYOBS_ASSIGN_OR_RETURN(Labels labels, MakeLabels(this->name_, pairs, this->shared_->service));
    return std::vector<Labels>{std::move(labels)};
  }
  size_t series_per_label_set() const override { return 1; }
  void Emplace(std::deque<Entry>* entries, std::vector<Labels> labels) const override {
    entries->emplace_back(std::move(labels), this->shared_, true);
  }
};

// Classes of their own, not aliases: the public headers declare them by name.
class CounterTable final : public ScalarTable<CounterSeries> {
  using ScalarTable::ScalarTable;
};
class GaugeTable final : public ScalarTable<GaugeSeries> {
  using ScalarTable::ScalarTable;
};

// The labels of an entry: a bucket for each bound, the +Inf bucket, the sum, the count.
class HistogramTable final : public SeriesTable<HistogramSeries> {
 public:
  HistogramTable(std::string name, bool live, SharedState* shared, std::vector<double> bounds)
      : SeriesTable(std::move(name), live, shared, bounds), bounds_(std::move(bounds)) {}

 private:
  absl::StatusOr<std::vector<Labels>> LabelsFor(std::span<const LabelPair> pairs) const override;
  size_t series_per_label_set() const override { return bounds_.size() + 3; }
  void Emplace(std::deque<Entry>* entries, std::vector<Labels> labels) const override {
    entries->emplace_back(std::move(labels), shared_, true, bounds_);
  }

  const std::vector<double> bounds_;
};

}  // namespace tinyobs::sdk::internal

#endif  // TINYOBS_LIB_SDK_SERIES_TABLE_H_
