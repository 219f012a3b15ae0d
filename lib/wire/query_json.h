// The JSON of the answers: /v1/query, /v1/query/range, /v1/metrics/list, /v1/stats, /v1/health,
// /v1/storage, /v1/cardinality, /v1/admin/downsample and every error.
//
// Key names, their order and their case are those of the Go original, because its dashboard and
// scripts read them. Each body is compact and ends in one newline. Answers of many samples are
// written series by series into one string, with everything that repeats in a series prepared once:
// a day of one metric is 100,000 copies of the same labels.
//
// Thread-safety: functions are pure; a writer object is one thread's.
#ifndef TINYOBS_LIB_WIRE_QUERY_JSON_H_
#define TINYOBS_LIB_WIRE_QUERY_JSON_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "tinyobs/appender.h"
#include "tinyobs/labels.h"
#include "tinyobs/querier.h"
#include "tinyobs/sample.h"
#include "tinyobs/stats.h"

namespace tinyobs::wire {

// Asked each time an answer has grown, with its size in bytes; false stops it. So the limit holds
// within a series too: one series can be millions of samples.
using MayGrow = std::function<bool(size_t bytes)>;

// GET /v1/query: {"metrics":[sample,...],"count":N}. A value JSON cannot carry (NaN, infinities) is
// null.
class SamplesJson {
 public:
  explicit SamplesJson(MayGrow may_grow = nullptr);
  // All samples of one series, `type` as it was ingested; before them, its windows: each is a gauge
  // of its average at its start, with the labels __resolution__, __sum__, __count__, __min__ and
  // __max__. False: stopped by `may_grow`, and nothing but destruction may follow. REQUIRES: those
  // columns of the windows.
  bool Add(const Labels& labels, std::string_view type, std::span<const Windows> windows,
           const Columns& columns);
  // Call once, last.
  std::string Finish();

 private:
  const MayGrow may_grow_;
  std::string body_;
  uint64_t count_ = 0;
};

// GET /v1/query/range: {"data":[{"metric":..,"labels":{..},"points":[{"t":..,"v":..}],
// "resolution":".."}],"warnings":[..]}. Labels that start with '_' are left out, and so are
// warnings when there is none.
class RangeJson {
 public:
  explicit RangeJson(MayGrow may_grow = nullptr);
  // False as for SamplesJson.
  bool Add(const Labels& labels, const Columns& points, Resolution resolution);
  std::string Finish(std::span<const std::string> warnings = {});

 private:
  const MayGrow may_grow_;
  std::string body_;
  bool first_ = true;
};

// {"metrics":["a","b"],"count":2}
std::string MetricsListJson(std::span<const std::string> names);

// {"status":"success","count":2}
std::string IngestedJson(uint64_t count);

struct StoreTotals {
  uint64_t samples = 0;
  uint64_t series = 0;
  uint64_t bytes = 0;
  int64_t oldest_ms = 0;  // both 0 and no samples: Go's zero time is written
  int64_t newest_ms = 0;
};
std::string StatsJson(const StoreTotals& totals);

// `compaction` is the original's name for downsampling. What is not known is left out.
struct HealthReport {
  bool healthy = true;
  std::string_view version = {};
  int64_t now_ms = 0;
  int64_t start_ms = 0;         // of the server
  int64_t last_success_ms = 0;  // 0 = none, as the next
  int64_t last_attempt_ms = 0;
  uint64_t consecutive_errors = 0;
  std::string_view last_error = {};
};
std::string HealthJson(const HealthReport& report);

// max_bytes 0 = no limit. `tiers` as in DbStats.
std::string StorageJson(uint64_t used_bytes, uint64_t max_bytes, std::span<const TierStats> tiers);

// POST /v1/admin/downsample: how long it took, how many rows of windows it wrote, what is there
// now.
std::string DownsampledJson(int64_t took_ms, uint64_t rows_written,
                            std::span<const TierStats> tiers);

// The original's keys first. `top_metrics` are those of `stats.largest`.
std::string CardinalityJson(const CardinalityStats& stats);

// {"error":"Bad Request","message":"..."}; `error` is the text of the HTTP status.
std::string ErrorJson(std::string_view error, std::string_view message);

// {"error":"cardinality limit exceeded","current":N,"limit":N,"message":"..."}
std::string CardinalityErrorJson(const CardinalityLimit& limit, std::string_view message);

// As Go prints a duration: "22ms", "1m2.5s", "26h0m1s". Never negative.
std::string FormatGoDuration(int64_t duration_ms);

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_QUERY_JSON_H_
