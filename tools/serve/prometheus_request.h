// What requests to Prometheus' HTTP API say: parameters in the URL, in a form, or in both, and the
// forms that times, durations and selectors have there.
//
// Errors are InvalidArgument in the words of Prometheus 2.42: `invalid parameter "step": ...`.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_TOOLS_SERVE_PROMETHEUS_REQUEST_H_
#define TINYOBS_TOOLS_SERVE_PROMETHEUS_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tinyobs/matcher.h"
#include "tinyobs/querier.h"
#include "tools/serve/http_message.h"
#include "tools/serve/url.h"

namespace tinyobs::serve {

// Those of the form first, which win over the URL's.
UrlParameters PrometheusParameters(const HttpRequest& request);

// invalid parameter "NAME": MESSAGE
absl::Status InvalidParameter(std::string_view name, std::string_view message);

// Seconds since the epoch, as Go writes numbers, or RFC 3339; in milliseconds.
//
// What is further than some 300,000 years from the epoch is the nearest time that is not, and NaN
// is the least. Prometheus takes these, too, but what it makes of them is defined nowhere: Go
// leaves open what the integer of NaN, infinity or 1e30 is (x86 has one answer, ARM another),
// and 2.42 counts the nanoseconds of a query's time in 64 bits, which outside of the years 1678 to
// 2261 begin again at the other end: it answers time=1e13 with the data of 2029.
absl::StatusOr<int64_t> ParsePrometheusTime(std::string_view text);
// The parameter `name`; `otherwise` when it is missing or empty.
absl::StatusOr<int64_t> TimeParameter(const UrlParameters& parameters, std::string_view name,
                                      int64_t otherwise);
// `start` and `end`, each without an end when missing; Prometheus' own least and greatest times are
// read as that, too.
absl::StatusOr<TimeRange> RangeParameter(const UrlParameters& parameters);

// Seconds, whole or decimal, or "1h30m", in nanoseconds.
absl::StatusOr<int64_t> ParsePrometheusDuration(std::string_view text);

// `limit`, 0 = none.
absl::StatusOr<size_t> LimitParameter(const UrlParameters& parameters);

// Each match[], a selector. Each has a matcher that refuses the empty string.
absl::StatusOr<std::vector<std::vector<Matcher>>> SelectorParameters(
    const UrlParameters& parameters);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_PROMETHEUS_REQUEST_H_
