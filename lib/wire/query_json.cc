// Answers as JSON. See the header for the shapes.
#include "lib/wire/query_json.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "lib/base/check.h"
#include "lib/base/strings.h"
#include "lib/wire/json_writer.h"
#include "lib/wire/number.h"
#include "lib/wire/rfc3339.h"

namespace tinyobs::wire {
namespace {

void AppendJsonString(std::string_view text, std::string* out) { JsonWriter(out).String(text); }

// Appends ,"labels":{...} or nothing when there is no label to show.
template <typename Keep>
void AppendLabels(const Labels& labels, Resolution resolution_to_show, const Keep& keep,
                  std::string* out) {
  std::string object;
  JsonWriter json(&object);
  json.StartObject();
  bool any = false;
  for (const Label label : labels) {
    if (label.name == kMetricName || !keep(label.name)) continue;
    json.Field(label.name, label.value);
    any = true;
  }
  if (resolution_to_show != Resolution::kRaw) {
    json.Field("__resolution__", ResolutionName(resolution_to_show));
    any = true;
  }
  json.EndObject();
  if (any) StrAppend(out, ",\"labels\":", object);
}

// One finished answer: an object written by `write`, and the newline.
template <typename Write>
std::string Body(const Write& write) {
  std::string body;
  JsonWriter json(&body);
  json.StartObject();
  write(json);
  json.EndObject();
  body.push_back('\n');
  return body;
}

}  // namespace

SamplesJson::SamplesJson(MayGrow may_grow)
    : may_grow_(std::move(may_grow)), body_("{\"metrics\":[") {}

bool SamplesJson::Add(const Labels& labels, std::string_view type, const Columns& columns,
                      Resolution resolution) {
  std::string before_value = "{\"name\":";
  AppendJsonString(labels.metric(), &before_value);
  before_value.append(",\"type\":");
  AppendJsonString(type, &before_value);
  before_value.append(",\"value\":");
  std::string after_value;
  AppendLabels(
      labels, resolution, [](std::string_view) { return true; }, &after_value);
  after_value.append(",\"timestamp\":\"");
  for (size_t i = 0; i < columns.size(); ++i) {
    if (count_++ > 0) body_.push_back(',');
    body_.append(before_value);
    AppendJsonNumber(columns.values[i], &body_);
    body_.append(after_value);
    AppendRfc3339(columns.timestamps_ms[i], &body_);
    body_.append("\"}");
    if (may_grow_ && !may_grow_(body_.size())) return false;
  }
  return true;
}

std::string SamplesJson::Finish() {
  StrAppend(&body_, "],\"count\":", count_, "}\n");
  return std::move(body_);
}

RangeJson::RangeJson(MayGrow may_grow) : may_grow_(std::move(may_grow)), body_("{\"data\":[") {}

bool RangeJson::Add(const Labels& labels, const Columns& points, Resolution resolution) {
  if (!first_) body_.push_back(',');
  first_ = false;
  body_.append("{\"metric\":");
  AppendJsonString(labels.metric(), &body_);
  AppendLabels(
      labels, Resolution::kRaw, [](std::string_view name) { return !name.starts_with('_'); },
      &body_);
  body_.append(",\"points\":[");
  for (size_t i = 0; i < points.size(); ++i) {
    StrAppend(&body_, i > 0 ? "," : "", "{\"t\":", points.timestamps_ms[i], ",\"v\":");
    AppendJsonNumber(points.values[i], &body_);
    body_.push_back('}');
    if (may_grow_ && !may_grow_(body_.size())) return false;
  }
  StrAppend(&body_, "],\"resolution\":\"", ResolutionName(resolution), "\"}");
  return !may_grow_ || may_grow_(body_.size());
}

std::string RangeJson::Finish() {
  body_.append("]}\n");
  return std::move(body_);
}

namespace {

// Adds what stands for the points [begin, end).
void AddMean(const Columns& points, size_t begin, size_t end, Columns* out) {
  // long double, so that a sum of large values does not become infinite.
  long double sum = 0;
  size_t count = 0;
  for (size_t i = begin; i < end; ++i) {
    if (std::isnan(points.values[i])) continue;
    sum += points.values[i];
    ++count;
  }
  out->Add(points.timestamps_ms[begin],
           count == 0 ? std::numeric_limits<double>::quiet_NaN()
                      : static_cast<double>(sum / static_cast<long double>(count)));
}

void AddLast(const Columns& points, size_t begin, size_t end, Columns* out) {
  size_t last = end - 1;
  while (last > begin && std::isnan(points.values[last])) --last;
  if (std::isnan(points.values[last])) last = end - 1;
  out->Add(points.timestamps_ms[last], points.values[last]);
}

}  // namespace

Columns ThinOut(const Columns& points, size_t max_points, ThinBy by) {
  TINYOBS_CHECK(max_points > 0);
  const size_t group = points.size() / max_points;
  if (points.size() <= max_points || group < 2) return points;
  Columns thin;
  thin.timestamps_ms.reserve(points.size() / group + 1);
  thin.values.reserve(points.size() / group + 1);
  for (size_t begin = 0; begin < points.size(); begin += group) {
    const size_t end = std::min(begin + group, points.size());
    by == ThinBy::kMean ? AddMean(points, begin, end, &thin) : AddLast(points, begin, end, &thin);
  }
  return thin;
}

std::string MetricsListJson(std::span<const std::string> names) {
  return Body([&](JsonWriter& json) {
    json.Key("metrics");
    json.StartArray();
    for (const std::string& name : names) json.String(name);
    json.EndArray();
    json.Field("count", uint64_t{names.size()});
  });
}

std::string IngestedJson(uint64_t count) {
  return Body([&](JsonWriter& json) {
    json.Field("status", "success");
    json.Field("count", count);
  });
}

std::string StatsJson(const StoreTotals& totals) {
  return Body([&](JsonWriter& json) {
    json.Field("TotalMetrics", totals.samples);
    json.Field("TotalSeries", totals.series);
    json.Field("SizeBytes", totals.bytes);
    const bool empty = totals.samples == 0;
    json.Field("OldestMetric", FormatRfc3339(empty ? kGoZeroTimeMs : totals.oldest_ms));
    json.Field("NewestMetric", FormatRfc3339(empty ? kGoZeroTimeMs : totals.newest_ms));
  });
}

std::string HealthJson(const HealthReport& report) {
  return Body([&](JsonWriter& json) {
    json.Field("status", report.healthy ? "healthy" : "degraded");
    json.Field("version", report.version);
    json.Field("uptime", FormatGoDuration(report.uptime_ms));
    json.Key("compaction");
    json.StartObject();
    json.Key("healthy");
    json.Bool(report.healthy);
    if (!report.last_error.empty()) json.Field("last_error", report.last_error);
    json.EndObject();
  });
}

std::string StorageJson(uint64_t used_bytes, uint64_t max_bytes) {
  return Body([&](JsonWriter& json) {
    json.Field("used_bytes", used_bytes);
    json.Field("max_bytes", max_bytes);
  });
}

std::string CardinalityJson(const CardinalityReport& report) {
  return Body([&](JsonWriter& json) {
    json.Field("total_series", report.series);
    json.Field("unique_metrics", report.metrics);
    json.Field("max_series_metric", report.max_series_metric);
    json.Field("max_series_count", report.max_series_count);
    json.Field("series_limit", report.series_limit);
    json.Field("per_metric_limit", report.per_metric_limit);
    json.Key("utilization_percent");
    json.Number(report.series_limit == 0 ? 0.0
                                         : 100.0 * static_cast<double>(report.series) /
                                               static_cast<double>(report.series_limit));
  });
}

std::string ErrorJson(std::string_view error, std::string_view message) {
  return Body([&](JsonWriter& json) {
    json.Field("error", error);
    json.Field("message", message);
  });
}

std::string CardinalityErrorJson(const CardinalityLimit& limit, std::string_view message) {
  return Body([&](JsonWriter& json) {
    json.Field("error", "cardinality limit exceeded");
    json.Field("current", limit.current);
    json.Field("limit", limit.limit);
    json.Field("message", message);
  });
}

std::string FormatGoDuration(int64_t duration_ms) {
  duration_ms = std::max<int64_t>(duration_ms, 0);
  if (duration_ms == 0) return "0s";
  if (duration_ms < 1000) return StrCat(duration_ms, "ms");
  std::string out;
  const int64_t hours = duration_ms / 3'600'000;
  const int64_t minutes = duration_ms / 60'000 % 60;
  if (hours > 0) StrAppend(&out, hours, "h");
  if (hours > 0 || minutes > 0) StrAppend(&out, minutes, "m");
  AppendTextNumber(static_cast<double>(duration_ms % 60'000) / 1000, &out);
  out.push_back('s');
  return out;
}

}  // namespace tinyobs::wire
