// Cardinality: how many series there are, of which metrics, and whether there may be more.
//
// A label with unbounded values (a request id) makes a series of every request, and memory and disk
// follow. So series are limited, in total and, if asked for, per metric, and a refusal says what to
// change: the metric that has most of them, and its label with the most different values.
//
// Counts are exact: every series that exists counts once, in memory or idle. The leader of the
// commit queue counts a new series when it plans it and takes it back when the commit fails, so two
// batches of one group cannot both take the last place. Nothing of this is on disk: Open counts the
// series again, which a crash cannot get wrong.
//
// Labels are looked at only when somebody asks (a refusal, Stats): their values are then read from
// the index into a sketch per label (DistinctSketch), and the next time only those of series that
// are new since. So a new series costs one look-up of its metric, a known one nothing. Of idle
// series the values are taken while they leave memory, if their metric is a large one. At most
// kMaxSketched metrics have sketches, of at most kMaxLabels labels each: 200 KiB if each has ten.
//
// Thread-safety: thread-safe. Admit is the leader's.
#ifndef TINYOBS_LIB_TSDB_CARDINALITY_H_
#define TINYOBS_LIB_TSDB_CARDINALITY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "lib/tsdb/distinct_sketch.h"
#include "lib/tsdb/series_index.h"
#include "tinyobs/appender.h"
#include "tinyobs/stats.h"

namespace tinyobs::tsdb {

// The value of `__name__`; empty when there is none. REQUIRES: canonical.
std::string_view MetricOf(std::string_view canonical_labels);

class Cardinality {
 public:
  struct Limits {
    uint64_t series = 0;  // 0 = none, as the next
    uint64_t series_per_metric = 0;
    bool dry_run = false;  // admit all, count what would be refused
  };
  struct NewcomerLabels {
    std::string_view metric;
    std::string_view canonical;
  };

  // `index` must outlive this. `seed`: of the hashes of values, which clients choose.
  Cardinality(const SeriesIndex* index, uint64_t seed, Limits limits)
      : index_(index), seed_(seed), limits_(limits) {}

  // Counts new series, all or, if one is too many, none: CardinalityLimitError then. `now_ms`:
  // monotonic. `warning` gets a line for the log when some were refused (or would have been), at
  // most once a minute.
  absl::Status Admit(std::span<const NewcomerLabels> series, int64_t now_ms, std::string* warning);
  // The same, but counts those that fit, in order, and says which they are.
  absl::Status AdmitWhatFits(std::span<const NewcomerLabels> series, int64_t now_ms,
                             std::string* warning, std::vector<bool>* admitted);

  // Series that are there already, or are gone.
  void Add(std::string_view metric, uint64_t series);
  void Remove(std::string_view metric, uint64_t series);
  // A series is leaving memory, or has left it in an earlier life: it still counts, and now is the
  // time to look at its labels.
  void NoteIdle(std::string_view canonical_labels);
  void Clear();

  uint64_t total() const;
  uint64_t refused_series() const;
  // The metrics with the most series first, `top` of them, each with its labels.
  CardinalityStats Stats(size_t top) const;
  size_t MemoryBytes() const;

 private:
  static constexpr size_t kMaxSketched = 64;
  static constexpr size_t kMaxLabels = 32;

  struct Label {
    std::string name;
    DistinctSketch values;
  };
  // Of one metric.
  struct Sketches {
    std::vector<Label> labels;
    SeriesRef end = 0;       // series in memory below it were looked at
    uint64_t looked_at = 0;  // series
    uint64_t most = 0;       // series of the metric at any one time
  };
  struct Metric {
    uint64_t series = 0;
    uint64_t added = 0;  // since its labels were looked at
  };
  using Metrics = absl::flat_hash_map<std::string, Metric>;

  Metric* Give(std::string_view metric) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Take(std::string_view metric, uint64_t series) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void AddValues(std::string_view canonical_labels, Sketches* sketches) const;
  // The metric's sketches, new ones in place of a smaller metric's if need be; null: all others are
  // larger.
  Sketches* SketchesOf(std::string_view metric) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Looks at series that are new since the last time, if they are more than `tolerated_part` of
  // those that were looked at.
  void LookAt(const std::string& metric, double tolerated_part) const ABSL_LOCKS_EXCLUDED(mutex_);
  std::vector<CardinalityStats::Label> LabelsOf(const std::string& metric) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What to say about a refusal because of the limit on `metric`, or on all.
  CardinalityLimit Explain(std::optional<std::string_view> metric, std::string_view refused_labels)
      ABSL_LOCKS_EXCLUDED(mutex_);
  std::string LargestMetric() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const SeriesIndex* const index_;
  const uint64_t seed_;
  const Limits limits_;

  mutable Mutex mutex_;
  mutable Metrics metrics_ ABSL_GUARDED_BY(mutex_);  // those with series
  mutable absl::flat_hash_map<std::string, Sketches> sketches_ ABSL_GUARDED_BY(mutex_);
  uint64_t total_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t name_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t refused_commits_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t refused_series_ ABSL_GUARDED_BY(mutex_) = 0;
  std::string first_refused_ ABSL_GUARDED_BY(mutex_);
  std::string last_refused_ ABSL_GUARDED_BY(mutex_);
  uint64_t changes_ ABSL_GUARDED_BY(mutex_) = 0;  // series that came or went
  std::string largest_ ABSL_GUARDED_BY(mutex_);   // metric, as of largest_at_ changes
  uint64_t largest_at_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<int64_t> warned_ms_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_CARDINALITY_H_
