// Appender: how samples get in.
//
// Samples are gathered in a batch and committed together, because durability and locking are paid
// per batch. A batch is all or nothing: when Commit fails, none of it is stored and none of its new
// series exist.
//
//   auto appender = db->NewAppender();
//   TINYOBS_RETURN_IF_ERROR(appender->Add(labels, now_ms, 21.5));
//   TINYOBS_RETURN_IF_ERROR(appender->Commit());
//
// Any order of time is accepted, within a batch and against what is stored. The same series and
// time twice: the last write wins, so sending a batch again is harmless.
//
// This header is an interface without an engine behind it: the SDK writes through it into a linked
// database, and tests give it a fake.
//
// Thread-safety: an Appender is one thread's; any number of them may work at once.
#ifndef TINYOBS_APPENDER_H_
#define TINYOBS_APPENDER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tinyobs/labels.h"
#include "tinyobs/sample.h"

namespace tinyobs {

// A handle of a series, good for any Appender of the same open database until it is closed or the
// series is removed: deleted, expired, or without samples for so long that it left memory. Then the
// Commit that uses it answers NotFound and stores nothing of its batch; Resolve the labels again,
// or add by labels, which always works. Adding by handle skips hashing and comparing labels. Never
// stored, never given to another database; a handle is not given twice, so an old one cannot name a
// new series.
enum class SeriesHandle : uint64_t {};

class Appender {
 public:
  virtual ~Appender() = default;

  // Adds a sample to the batch. Copies what it needs.
  // InvalidArgument: no metric name, or labels, a name or a value over the database's limits, or a
  // timestamp too far in the future; the message names the series, the limit and the value. The
  // batch is unchanged then.
  virtual absl::Status Add(const Labels& labels, int64_t timestamp_ms, double value) = 0;

  // The handle of a series that exists. NotFound: it does not (yet), or it is idle and has left
  // memory: commit its first sample by labels.
  virtual absl::StatusOr<SeriesHandle> Resolve(const Labels& labels) = 0;
  // Adds by handle. InvalidArgument: not a handle of this database, or the time.
  virtual absl::Status Add(SeriesHandle series, int64_t timestamp_ms, double value) = 0;

  // Many samples by handle, as columns; the i-th entries belong together. Spans of different length
  // are InvalidArgument, otherwise as Add; on an error nothing of the call is in the batch. Fastest
  // with the series in the same order each time, as a scrape has them: 20 bytes of memory and some
  // nanoseconds a sample.
  // A scrape: one sample each of many series, at one time.
  virtual absl::Status AddAt(int64_t timestamp_ms, std::span<const SeriesHandle> series,
                             std::span<const double> values) = 0;
  virtual absl::Status AddBatch(std::span<const SeriesHandle> series,
                                std::span<const int64_t> timestamps_ms,
                                std::span<const double> values) = 0;
  // Many samples of one series.
  virtual absl::Status AddColumn(SeriesHandle series, std::span<const int64_t> timestamps_ms,
                                 std::span<const double> values) = 0;

  // As AddBatch, but a time that is refused takes only its own sample with it: `*left_out` is how
  // many those are, and `*why` what Add would have answered for the first; OK when it is 0.
  virtual absl::Status AddWhatFits(std::span<const SeriesHandle> series,
                                   std::span<const int64_t> timestamps_ms,
                                   std::span<const double> values, uint64_t* left_out,
                                   absl::Status* why) {
    *left_out = 0;
    *why = absl::OkStatus();
    return AddBatch(series, timestamps_ms, values);  // a fake without limits, or one that refuses
  }

  // Sets type, help and unit of a metric name with this batch; the last writer wins.
  virtual absl::Status SetMetadata(std::string_view metric, const MetricMetadata& metadata) = 0;

  // Stores the batch. OK means durable as far as the database's sync policy promises
  // (tinyobs/options.h) and visible to every query that starts later. The batch is empty
  // afterwards, whatever the answer. ResourceExhausted: a limit (series, memory, disk) - see
  // CardinalityLimitOf for the series limit. NotFound: a handle whose series was removed meanwhile;
  // Resolve it again, or add by labels. FailedPrecondition: closed, or read-only after an I/O
  // error (Db::Resume). Unavailable: an I/O error.
  virtual absl::Status Commit() = 0;

  // As Commit, but a new series beyond a limit on series takes only its own samples with it:
  // `*left_out` is how many those are, and `*why` what Commit would have answered; OK when it is 0.
  // As many new series are stored as fit, the first ones of the batch.
  virtual absl::Status CommitWhatFits(uint64_t* left_out, absl::Status* why) {
    *left_out = 0;
    *why = absl::OkStatus();
    return Commit();  // a fake without limits, or one that refuses
  }

  // Forgets the batch.
  virtual void Rollback() = 0;
};

// What a database, or anything else that stores samples, offers to a writer.
class Appendable {
 public:
  virtual ~Appendable() = default;
  // Never null. Must be gone before the database is closed. Thread-safe.
  virtual std::unique_ptr<Appender> NewAppender() = 0;
};

// The series limit behind a refused Commit, and what to change so that it is not met again.
struct CardinalityLimit {
  uint64_t current = 0;  // series that exist: in all, or of `metric` when that is what is limited
  uint64_t limit = 0;
  std::string metric = {};         // the one with the most series, or the one that is limited
  bool per_metric = false;         // the limit is Options::max_series_per_metric
  uint64_t metric_series = 0;      // of `metric`; 0 = not known
  std::string label = {};          // of `metric`, the one with the most values; empty = not known
  uint64_t label_values = 0;       // about so many, some percent more or less
  std::string label_example = {};  // of its values, or empty
  std::string refused = {};        // the first series that was refused, as text
};
// Travels as a payload of the Status. False when `status` is about something else.
bool CardinalityLimitOf(const absl::Status& status, CardinalityLimit* out);
absl::Status CardinalityLimitError(const CardinalityLimit& limit);

}  // namespace tinyobs

#endif  // TINYOBS_APPENDER_H_
