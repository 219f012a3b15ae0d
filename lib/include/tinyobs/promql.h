// PromQL in the library: the language of Prometheus 2.42 over any Querier, without a server.
//
//   auto result = tinyobs::Query(*db, "sum by (job) (rate(http_requests_total[5m]))", now_ms);
//
// What an expression means is defined by Prometheus 2.42: types, label rules, staleness, lookback,
// extrapolation, order of results and what is an error. Windows are closed on both sides,
// [t - range, t]. Native histograms do not exist here.
//
// Source: prometheus.io/docs/prometheus/2.42/querying/.
//
// Thread-safety: functions and plain data; a query may run on several threads of its own.
#ifndef TINYOBS_PROMQL_H_
#define TINYOBS_PROMQL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tinyobs/labels.h"
#include "tinyobs/querier.h"
#include "tinyobs/sample.h"

namespace tinyobs {

struct QueryOptions {
  // How far a selector looks back for a sample.
  int64_t lookback_ms = 5 * 60 * 1000;
  // Step of a subquery that names none: `x[1h:]`.
  int64_t subquery_step_ms = 60 * 1000;

  // Limits; 0 = none. Beyond one the query ends with an error that names it (IsQueryLimit).
  uint64_t max_samples = 50'000'000;  // that the query holds in memory at once, steps included
  uint64_t max_series = 0;            // that its selectors find, each
  size_t max_memory_bytes = 0;        // of its own, besides what the Querier's budget allows

  // Asked often, from any of the threads of the query; true ends it soon with Cancelled. A deadline
  // is a function that looks at a clock.
  std::function<bool()> cancelled = {};

  // Threads that evaluate, the caller's included; never more than there are processors.
  int threads = 1;

  // The coarsest resolution that the answer may come from; data that exists only in a coarser one
  // is answered from there in any case, with a warning.
  Resolution resolution = Resolution::kRaw;
};

// One element of an instant vector.
struct InstantSample {
  Labels labels;
  int64_t timestamp_ms = 0;
  double value = 0;
};

// One series of a matrix; at least one sample.
struct SeriesSamples {
  Labels labels;
  Columns samples;
};

struct QueryStats {
  uint64_t series_read = 0;   // that selectors found
  uint64_t samples_read = 0;  // decoded from the store
  uint64_t peak_samples = 0;  // held at once
  Resolution coarsest = Resolution::kRaw;
};

struct QueryResult {
  enum class Type { kScalar, kString, kVector, kMatrix };
  Type type = Type::kVector;

  Sample scalar;                      // kScalar; kString has its time, too
  std::string string;                 // kString
  std::vector<InstantSample> vector;  // kVector; in the order of sort() and topk() where it ends
                                      // with these, else in the order of labels
  std::vector<SeriesSamples> matrix;  // kMatrix; in the order of labels
  std::vector<std::string> warnings;  // sorted, each once
  QueryStats stats;
};

// At one time. A range vector (`x[5m]`) is a legal answer: kMatrix.
//
// InvalidArgument: the text is no query ("LINE:COLUMN: parse error: ...").
// FailedPrecondition: the query cannot be executed over this data, as Prometheus would say
// ("execution" error): a label set twice, many-to-many matching, ...
// ResourceExhausted: a limit (IsQueryLimit) or the memory budget. Cancelled: `cancelled` said so.
// DataLoss, Unavailable: as SeriesSet::status.
absl::StatusOr<QueryResult> Query(const Querier& querier, std::string_view query, int64_t time_ms,
                                  const QueryOptions& options = {});

// At start, start + step, ... up to end, both included. kMatrix always. The expression must be a
// scalar or an instant vector (InvalidArgument else), `step_ms` > 0 and `end_ms` >= `start_ms`.
// Cost: samples read + steps x series held; aggregations hold their groups only.
absl::StatusOr<QueryResult> QueryRange(const Querier& querier, std::string_view query,
                                       int64_t start_ms, int64_t end_ms, int64_t step_ms,
                                       const QueryOptions& options = {});

}  // namespace tinyobs

#endif  // TINYOBS_PROMQL_H_
