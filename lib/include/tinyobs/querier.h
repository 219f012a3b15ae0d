// Querier: how samples come out. The interface between whoever asks (PromQL, the server, an
// embedder) and whoever stores (tsdb), so that neither knows the other.
//
// All ranges are closed at both ends, [from_ms, to_ms], in milliseconds since the Unix epoch. A
// query sees every commit that was acknowledged before it began, and none in part.
//
// Thread-safety: a Querier is thread-safe; a SeriesSet is one thread's.
#ifndef TINYOBS_QUERIER_H_
#define TINYOBS_QUERIER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tinyobs/labels.h"
#include "tinyobs/matcher.h"
#include "tinyobs/sample.h"
#include "tinyobs/windows.h"

namespace tinyobs {

class MemoryAccount;  // lib/base/memory_accountant.h

struct TimeRange {
  int64_t from_ms = INT64_MIN;
  int64_t to_ms = INT64_MAX;
  friend bool operator==(const TimeRange&, const TimeRange&) = default;
};

// What the asker is going to do with the samples; a hint only, the answer is right without it.
struct SelectHints {
  int64_t step_ms = 0;        // distance of the points that will be drawn; 0 = every sample matters
  bool sorted = true;         // series in the order of Labels' operator<
  uint64_t sample_limit = 0;  // QueryLimitError beyond this many samples; 0 = no limit
  // The coarsest resolution that will do. Where the database has downsampled (Options::
  // downsampling), time is answered from windows of it, if they are made and nothing came late;
  // else from the next finer one. What is too old for a finer one is answered from a coarser one in
  // any case. Each moment counts once, whatever it comes from. ChooseResolution helps.
  Resolution resolution = Resolution::kRaw;
  // How windows are handed over: as points in SeriesSet::columns(), each at the start of its
  // window, with this value; those whose start is in the range ...
  WindowValue window_value = WindowValue::kByType;
  // ... or, if any WindowColumn is asked for, in SeriesSet::windows(), and columns() has raw
  // samples only; those that overlap the range.
  uint32_t window_columns = 0;
  // Then also this many windows before the range, if its beginning is answered from windows.
  int windows_before = 0;
};

// The coarsest resolution whose windows are no longer than a step of `step_ms`: each point that is
// drawn has a window of its own. kRaw for steps below five minutes, 0 included.
Resolution ChooseResolution(int64_t step_ms);

// What a list of names, values or series is needed for: to complete what somebody types, mostly.
struct ListHints {
  std::string prefix;  // only names or values that begin with it; Series ignores it
  size_t limit = 0;    // the first so many in order; 0 = all
};

// Series, one after another, each with its samples as columns.
//
//   while (set->Next()) { use(set->labels(), set->columns()); }
//   TINYOBS_RETURN_IF_ERROR(set->status());
class SeriesSet {
 public:
  virtual ~SeriesSet() = default;

  // Moves to the next series that has at least one sample in the range. False at the end and on an
  // error: ask status().
  virtual bool Next() = 0;

  // Of the current series; valid until the next call of Next().
  virtual const Labels& labels() const = 0;
  virtual const Columns& columns() const = 0;
  // At most one of each resolution, the older and coarser first, and all before columns(). Empty
  // unless SelectHints::window_columns asked for it.
  virtual std::span<const Windows> windows() const { return {}; }
  // The coarsest that anything of the current series came from.
  virtual Resolution resolution() const = 0;

  // OK, DataLoss (damaged bytes: file and offset in the message), ResourceExhausted (a limit, see
  // IsQueryLimit, or the memory budget: ask for less, or later; or file handles), Unavailable
  // (I/O). The columns of one series are in memory at a time and count against the budget until
  // Next().
  virtual absl::Status status() const = 0;
};

// A query that is too large for a limit of the asker or of the store, and would be again; other
// than ResourceExhausted because the machine has no memory or no file handle left, which passes.
// The mark travels as a payload of the Status.
bool IsQueryLimit(const absl::Status& status);
absl::Status QueryLimitError(std::string_view message);

class Querier {
 public:
  virtual ~Querier() = default;

  // Every series that all `matchers` accept and that has samples in `range`. At least one matcher
  // must refuse the empty string, or InvalidArgument (Prometheus' rule: never the whole database by
  // accident); SelectAll is the way to ask for everything.
  virtual absl::StatusOr<std::unique_ptr<SeriesSet>> Select(
      const std::vector<Matcher>& matchers, TimeRange range,
      const SelectHints& hints = {}) const = 0;
  virtual absl::StatusOr<std::unique_ptr<SeriesSet>> SelectAll(
      TimeRange range, const SelectHints& hints = {}) const = 0;

  // Select in 1 to `parts` sets of one instant, for as many threads: one after the other they are
  // the answer of Select, in the order that the hints ask for. The sample limit holds for each set.
  virtual absl::StatusOr<std::vector<std::unique_ptr<SeriesSet>>> SelectParts(
      const std::vector<Matcher>& matchers, TimeRange range, const SelectHints& hints,
      int parts) const;

  // The label sets alone, sorted. Series whose last sample is before `range` may still be listed
  // until their data expires. No matcher = all series. Cost: of the series accepted; with a limit,
  // they are still all looked at, as they come sorted.
  virtual absl::StatusOr<std::vector<Labels>> Series(const std::vector<Matcher>& matchers,
                                                     TimeRange range,
                                                     const ListHints& hints = {}) const = 0;

  // Distinct label names, and values of one label, sorted, over the series that `matchers` accept
  // (none = all). Without matchers, the cost is that of the answer; with a prefix and a limit it is
  // what a keystroke may cost, whatever the number of series.
  virtual absl::StatusOr<std::vector<std::string>> LabelNames(
      const std::vector<Matcher>& matchers, TimeRange range, const ListHints& hints = {}) const = 0;
  virtual absl::StatusOr<std::vector<std::string>> LabelValues(
      std::string_view label, const std::vector<Matcher>& matchers, TimeRange range,
      const ListHints& hints = {}) const = 0;

  // Empty metadata when nothing is known.
  virtual MetricMetadata Metadata(std::string_view metric) const = 0;

  // What a query's own working memory counts against, besides the samples that a SeriesSet holds.
  // Null = nothing.
  virtual MemoryAccount* query_memory() const { return nullptr; }
};

}  // namespace tinyobs

#endif  // TINYOBS_QUERIER_H_
