// The JSON of Prometheus' HTTP API: {"status":"success","data":...} and its errors, values and
// times in the very text that Prometheus 2.42 writes, since clients compare and parse it.
//
// Written by hand into one string and not with JsonWriter, because an answer is millions of numbers
// and little else: a point goes into a block on the stack and from there, with many others, into
// the string. Most values of metrics are whole or have few decimals; those are written as integers,
// the others as the shortest decimal that reads back.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_WIRE_PROMETHEUS_JSON_H_
#define TINYOBS_LIB_WIRE_PROMETHEUS_JSON_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "lib/wire/query_json.h"
#include "tinyobs/labels.h"
#include "tinyobs/promql.h"

namespace tinyobs::wire {

// A sample's value, without quotes: plain decimals from 1e-6 to below 1e21, "1e-07" and "1e+21"
// outside, "NaN", "+Inf", "-Inf".
void AppendSampleValue(double value, std::string* out);
// A sample's time in seconds with no or three decimals: "1.500".
void AppendSampleTime(int64_t timestamp_ms, std::string* out);

// Seconds, of "stats".
struct QueryTimings {
  double queue = 0;       // from the request's arrival to the evaluation
  double evaluation = 0;  // all of it
};

struct QueryJsonOptions {
  const QueryTimings* timings = nullptr;  // null = no "stats"
  // Elements of an instant vector have "values", a list of the one pair, besides "value".
  bool values_too = false;
};

// {"resultType":..,"result":..,"stats":..}, what "data" is of a query. False: stopped by
// `may_grow`, and `out` is of no use. At most 64 KiB are written between two calls of it.
bool AppendQueryData(const QueryResult& result, const QueryJsonOptions& options,
                     const MayGrow& may_grow, std::string* out);

// [{"__name__":"up",..},..] and ["a","b"]. False as above.
bool AppendLabelSets(std::span<const Labels> sets, const MayGrow& may_grow, std::string* out);
bool AppendStrings(std::span<const std::string> texts, const MayGrow& may_grow, std::string* out);

// A successful answer is kPrometheusSuccess, its data, and this.
inline constexpr std::string_view kPrometheusSuccess = R"({"status":"success","data":)";
void AppendSuccessEnd(std::span<const std::string> warnings, std::string* out);

// {"status":"error","errorType":..,"error":..}
std::string PrometheusErrorJson(std::string_view type, std::string_view message);

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_PROMETHEUS_JSON_H_
