// Answers as JSON. See the header for the shapes.
#include "lib/wire/query_json.h"

#include <algorithm>

#include "lib/base/strings.h"
#include "lib/wire/json_writer.h"
#include "lib/wire/number.h"
#include "lib/wire/rfc3339.h"

namespace tinyobs::wire {
namespace {

void AppendJsonString(std::string_view text, std::string* out) { JsonWriter(out).String(text); }

// {"a":"b",...} without the closing brace; empty when no label is kept.
template <typename Keep>
std::string OpenLabels(const Labels& labels, const Keep& keep) {
  std::string object;
  for (const Label label : labels) {
    if (label.name == kMetricName || !keep(label.name)) continue;
    object.push_back(object.empty() ? '{' : ',');
    AppendJsonString(label.name, &object);
    object.push_back(':');
    AppendJsonString(label.value, &object);
  }
  return object;
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

bool SamplesJson::Add(const Labels& labels, std::string_view type, std::span<const Windows> windows,
                      const Columns& columns) {
  const std::string open_labels = OpenLabels(labels, [](std::string_view) { return true; });
  std::string name = "{\"name\":";
  AppendJsonString(labels.metric(), &name);
  const auto add = [&](std::string_view before_value, double value, const auto& add_labels,
                       int64_t time_ms) {
    if (count_++ > 0) body_.push_back(',');
    body_.append(before_value);
    AppendJsonNumber(value, &body_);
    add_labels();
    body_.append(",\"timestamp\":\"");
    AppendRfc3339(time_ms, &body_);
    body_.append("\"}");
    return !may_grow_ || may_grow_(body_.size());
  };
  const std::string gauge = StrCat(name, ",\"type\":\"gauge\",\"value\":");
  for (const Windows& tier : windows) {
    const std::string tier_labels =
        StrCat(",\"labels\":", open_labels.empty() ? "{" : StrCat(open_labels, ","),
               "\"__resolution__\":\"", ResolutionName(tier.resolution), "\",\"__sum__\":\"");
    for (size_t i = 0; i < tier.size(); ++i) {
      const auto add_labels = [&] {
        body_.append(tier_labels);
        AppendTextNumber(tier.sum[i], &body_);
        StrAppend(&body_, "\",\"__count__\":\"", tier.count[i], "\",\"__min__\":\"");
        AppendTextNumber(tier.min[i], &body_);
        body_.append("\",\"__max__\":\"");
        AppendTextNumber(tier.max[i], &body_);
        body_.append("\"}");
      };
      const double average = tier.sum[i] / static_cast<double>(tier.count[i]);
      if (!add(gauge, average, add_labels, tier.start_ms[i])) return false;
    }
  }
  std::string before_value = StrCat(name, ",\"type\":");
  AppendJsonString(type, &before_value);
  before_value.append(",\"value\":");
  const std::string all_labels =
      open_labels.empty() ? "" : StrCat(",\"labels\":", open_labels, "}");
  const auto add_labels = [&] { body_.append(all_labels); };
  for (size_t i = 0; i < columns.size(); ++i) {
    if (!add(before_value, columns.values[i], add_labels, columns.timestamps_ms[i])) return false;
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
  const std::string shown =
      OpenLabels(labels, [](std::string_view name) { return !name.starts_with('_'); });
  if (!shown.empty()) StrAppend(&body_, ",\"labels\":", shown, "}");
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

std::string RangeJson::Finish(std::span<const std::string> warnings) {
  body_.push_back(']');
  for (size_t i = 0; i < warnings.size(); ++i) {
    body_.append(i == 0 ? ",\"warnings\":[" : ",");
    AppendJsonString(warnings[i], &body_);
  }
  body_.append(warnings.empty() ? "}\n" : "]}\n");
  return std::move(body_);
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
    const bool empty = totals.samples == 0 && totals.newest_ms == 0;
    json.Field("OldestMetric", FormatRfc3339(empty ? kGoZeroTimeMs : totals.oldest_ms));
    json.Field("NewestMetric", FormatRfc3339(empty ? kGoZeroTimeMs : totals.newest_ms));
  });
}

std::string HealthJson(const HealthReport& report) {
  return Body([&](JsonWriter& json) {
    json.Field("status", report.healthy ? "healthy" : "degraded");
    json.Field("version", report.version);
    json.Field("uptime", FormatGoDuration(report.now_ms - report.start_ms));
    json.Key("compaction");
    json.StartObject();
    json.Key("healthy");
    json.Bool(report.healthy);
    if (report.last_success_ms != 0) {
      json.Field("last_success", FormatRfc3339(report.last_success_ms));
      json.Field("time_since_success", FormatGoDuration(report.now_ms - report.last_success_ms));
    }
    if (report.last_attempt_ms != 0) {
      json.Field("last_attempt", FormatRfc3339(report.last_attempt_ms));
    }
    if (report.consecutive_errors > 0) json.Field("consecutive_errors", report.consecutive_errors);
    if (!report.last_error.empty()) json.Field("last_error", report.last_error);
    json.EndObject();
  });
}

namespace {

void WriteTiers(std::span<const TierStats> tiers, JsonWriter& json) {
  json.Key("tiers");
  json.StartArray();
  for (size_t i = 0; i < tiers.size(); ++i) {
    const TierStats& tier = tiers[i];
    json.StartObject();
    json.Field("resolution", ResolutionName(static_cast<Resolution>(i)));
    json.Field("bytes", tier.bytes);
    json.Field("partitions", tier.partitions);
    json.Field(i == 0 ? "samples" : "windows", tier.samples);
    if (tier.samples > 0) {
      json.Field("oldest", FormatRfc3339(tier.oldest_ms));
      json.Field("newest", FormatRfc3339(tier.newest_ms));
    }
    json.Field("waiting_partitions", tier.waiting_partitions);
    json.EndObject();
  }
  json.EndArray();
}

}  // namespace

std::string StorageJson(uint64_t used_bytes, uint64_t max_bytes, std::span<const TierStats> tiers) {
  return Body([&](JsonWriter& json) {
    json.Field("used_bytes", used_bytes);
    json.Field("max_bytes", max_bytes);
    if (!tiers.empty()) WriteTiers(tiers, json);
  });
}

std::string DownsampledJson(int64_t took_ms, uint64_t rows_written,
                            std::span<const TierStats> tiers) {
  return Body([&](JsonWriter& json) {
    json.Field("status", "success");
    json.Field("duration", FormatGoDuration(took_ms));
    json.Field("rows_written", rows_written);
    WriteTiers(tiers, json);
  });
}

std::string CardinalityJson(const CardinalityStats& stats) {
  return Body([&](JsonWriter& json) {
    const bool empty = stats.largest.empty();
    json.Field("total_series", stats.series);
    json.Field("unique_metrics", stats.metrics);
    json.Field("max_series_metric", empty ? std::string_view() : stats.largest[0].name);
    json.Field("max_series_count", empty ? 0 : stats.largest[0].series);
    json.Field("series_limit", stats.max_series);
    json.Field("per_metric_limit", stats.max_series_per_metric);
    json.Key("utilization_percent");
    json.Number(stats.max_series == 0 ? 0.0
                                      : 100.0 * static_cast<double>(stats.series) /
                                            static_cast<double>(stats.max_series));
    json.Key("dry_run");
    json.Bool(stats.dry_run);
    json.Key("refused");
    json.StartObject();
    json.Field("requests", stats.refused_commits);
    json.Field("series", stats.refused_series);
    json.Field("first", stats.first_refused);
    json.Field("last", stats.last_refused);
    json.EndObject();
    json.Key("top_metrics");
    json.StartArray();
    for (const CardinalityStats::Metric& metric : stats.largest) {
      json.StartObject();
      json.Field("metric", metric.name);
      json.Field("series", metric.series);
      json.Key("labels");
      json.StartArray();
      for (const CardinalityStats::Label& label : metric.labels) {
        json.StartObject();
        json.Field("label", label.name);
        json.Field("values", label.values);
        json.EndObject();
      }
      json.EndArray();
      json.EndObject();
    }
    json.EndArray();
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
