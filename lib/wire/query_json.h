// The JSON of the answers: /v1/query, /v1/query/range, /v1/metrics/list, /v1/stats, /v1/health,
// /v1/storage, /v1/cardinality and every error.
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

namespace tinyobs::wire {

// Asked each time an answer has grown, with its size in bytes; false stops it. So the limit holds
// within a series too: one series can be millions of samples.
using MayGrow = std::function<bool(size_t bytes)>;

// GET /v1/query: {"metrics":[sample,...],"count":N}. A value JSON cannot carry (NaN, infinities) is
// null.
class SamplesJson {
 public:
  explicit SamplesJson(MayGrow may_grow = nullptr);
  // All samples of one series. `type` as it was ingested. Downsampled series carry the label
  // __resolution__. False: stopped by `may_grow`, and nothing but destruction may follow.
  bool Add(const Labels& labels, std::string_view type, const Columns& columns,
           Resolution resolution);
  // Call once, last.
  std::string Finish();

 private:
  const MayGrow may_grow_;
  std::string body_;
  uint64_t count_ = 0;
};

// GET /v1/query/range: {"data":[{"metric":..,"labels":{..},"points":[{"t":..,"v":..}],
// "resolution":".."}]}. Labels that start with '_' are left out.
class RangeJson {
 public:
  explicit RangeJson(MayGrow may_grow = nullptr);
  // False as for SamplesJson.
  bool Add(const Labels& labels, const Columns& points, Resolution resolution);
  std::string Finish();

 private:
  const MayGrow may_grow_;
  std::string body_;
  bool first_ = true;
};

// What stands for a group of neighbouring points.
enum class ThinBy {
  kMean,  // at the time of the first point
  kLast,  // the last point at its own time: the only one right for a counter, which may restart
          // within the group, and whose mean is then a value it never had
};

// More than `max_points` points become one for each floor(points / max_points) neighbours, so the
// answer may hold up to twice max_points. NaN does not count; a group of nothing else is NaN.
// REQUIRES: max_points > 0.
Columns ThinOut(const Columns& points, size_t max_points, ThinBy by = ThinBy::kMean);

// {"metrics":["a","b"],"count":2}
std::string MetricsListJson(std::span<const std::string> names);

// {"status":"success","count":2}
std::string IngestedJson(uint64_t count);

struct StoreTotals {
  uint64_t samples = 0;
  uint64_t series = 0;
  uint64_t bytes = 0;
  int64_t oldest_ms = 0;  // ignored when there are no samples: Go's zero time is written
  int64_t newest_ms = 0;
};
std::string StatsJson(const StoreTotals& totals);

struct HealthReport {
  bool healthy = true;
  std::string_view version;
  int64_t uptime_ms = 0;
  std::string_view last_error;  // written when not empty
};
std::string HealthJson(const HealthReport& report);

// max_bytes 0 = no limit.
std::string StorageJson(uint64_t used_bytes, uint64_t max_bytes);

struct CardinalityReport {
  uint64_t series = 0;
  uint64_t metrics = 0;
  std::string max_series_metric;
  uint64_t max_series_count = 0;
  uint64_t series_limit = 0;      // 0 = none
  uint64_t per_metric_limit = 0;  // 0 = none
};
std::string CardinalityJson(const CardinalityReport& report);

// {"error":"Bad Request","message":"..."}; `error` is the text of the HTTP status.
std::string ErrorJson(std::string_view error, std::string_view message);

// {"error":"cardinality limit exceeded","current":N,"limit":N,"message":"..."}
std::string CardinalityErrorJson(const CardinalityLimit& limit, std::string_view message);

// As Go prints a duration: "22ms", "1m2.5s", "26h0m1s". Never negative.
std::string FormatGoDuration(int64_t duration_ms);

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_QUERY_JSON_H_
