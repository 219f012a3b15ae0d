// The Appender of a Db, and the batch it hands over.
//
// All that needs no order among writers is done here, on the writer's own thread: checks, hashing,
// looking up the series. Only label sets that no series in memory has are left for the leader of
// the commit queue, who alone may create series. A batch is columns of refs, times and values, 20
// bytes a sample, so that a scrape by handle is three copies and one pass over the times.
#ifndef TINYOBS_LIB_TSDB_APPENDER_H_
#define TINYOBS_LIB_TSDB_APPENDER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/model/series_key.h"
#include "lib/tsdb/commit_record.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/sample_batch.h"
#include "lib/tsdb/series_index.h"
#include "tinyobs/appender.h"
#include "tinyobs/clock.h"

namespace tinyobs::tsdb {

// A ref with this bit set is a place in CommitBatch::unknown.
inline constexpr SeriesRef kUnknownSeries = kMaxSeriesRef + 1;

struct CommitBatch {
  struct Unknown {
    std::string canonical_labels;
    std::string metric;
    SeriesKey key;
  };
  SampleBatch samples;
  std::vector<NamedMetadata> metadata;
  std::vector<Unknown> unknown;   // each label set once
  int64_t oldest_ms = INT64_MAX;  // not after any sample
  // The samples [first, second) that were added by labels, and what the series in memory were
  // called before the first of them; none yet = no such sample.
  std::vector<std::pair<size_t, size_t>> by_labels;
  std::optional<SeriesNames> names;
  uint64_t removals = 0;  // of the index then
  // Leave out new series beyond a limit, and count their samples, instead of refusing the batch.
  bool keep_what_fits = false;
  uint64_t left_out = 0;
  absl::Status why_left_out;

  bool empty() const { return samples.refs.empty() && metadata.empty(); }
  // The leader's: series that were found by labels and have left memory since are unknown again.
  void FindAgain(const SeriesIndex& index);
};

// A sample of before `oldest_ms`.
absl::Status TooOldError(std::string_view series, int64_t timestamp_ms, int64_t oldest_ms);

class AppenderImpl : public Appender {
 public:
  struct Environment {
    const SeriesIndex* index;
    const Partitioning* partitioning;
    const Clock* clock;
    int64_t max_future_ms;
    int64_t raw_retention_ms;                        // 0 = none
    const std::atomic<int64_t>* oldest_accepted_ms;  // before it, all raw samples have gone
    std::atomic<uint64_t>* samples_rejected;
    std::function<absl::Status(CommitBatch*)> commit;
  };
  explicit AppenderImpl(Environment environment) : environment_(std::move(environment)) {}

  absl::Status Add(const Labels& labels, int64_t timestamp_ms, double value) override;
  absl::StatusOr<SeriesHandle> Resolve(const Labels& labels) override;
  absl::Status Add(SeriesHandle series, int64_t timestamp_ms, double value) override;
  absl::Status AddAt(int64_t timestamp_ms, std::span<const SeriesHandle> series,
                     std::span<const double> values) override;
  absl::Status AddBatch(std::span<const SeriesHandle> series,
                        std::span<const int64_t> timestamps_ms,
                        std::span<const double> values) override;
  absl::Status AddColumn(SeriesHandle series, std::span<const int64_t> timestamps_ms,
                         std::span<const double> values) override;
  absl::Status AddWhatFits(std::span<const SeriesHandle> series,
                           std::span<const int64_t> timestamps_ms, std::span<const double> values,
                           uint64_t* left_out, absl::Status* why) override;
  absl::Status SetMetadata(std::string_view metric, const MetricMetadata& metadata) override;
  absl::Status Commit() override;
  absl::Status CommitWhatFits(uint64_t* left_out, absl::Status* why) override;
  void Rollback() override;

 private:
  // The times that are taken now, but for those without a partition.
  TimeRange AcceptedTimes() const;
  // `describe` names the series with the first or the last time, and is called only for the message
  // of a refusal.
  absl::Status CheckTimes(int64_t first_ms, int64_t last_ms,
                          const std::function<std::string(bool first)>& describe);
  std::string NameOf(SeriesHandle series) const;
  absl::Status CheckHandles(std::span<const SeriesHandle> series);
  absl::Status CheckLength(std::string_view what, size_t length, size_t values);
  absl::Status Refuse(size_t samples, absl::Status status);
  absl::Status Append(std::span<const SeriesHandle> series, std::span<const int64_t> timestamps_ms,
                      std::span<const double> values);
  // What is checked already.
  void Put(std::span<const SeriesHandle> series, std::span<const int64_t> timestamps_ms,
           std::span<const double> values);

  const Environment environment_;
  CommitBatch batch_;
  absl::flat_hash_map<std::string, SeriesRef> unknown_by_labels_;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_APPENDER_H_
