// What the server says about itself to Prometheus' clients, and the empty lists of what it does not
// do.
#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/promql/literals.h"
#include "lib/wire/json_writer.h"
#include "lib/wire/rfc3339.h"
#include "tinyobs/version.h"
#include "tools/serve/prometheus_api.h"
#include "tools/serve/prometheus_request.h"

namespace tinyobs::serve {
namespace {

using wire::JsonWriter;

// {"key":"value",...} as data.
HttpResponse TextsResponse(const std::vector<std::pair<std::string_view, std::string>>& fields) {
  std::string data;
  JsonWriter json(&data);
  json.StartObject();
  for (const auto& [key, value] : fields) json.Field(key, value);
  json.EndObject();
  return SuccessResponse(data);
}

// Clients choose by this version what they may ask for, so it is the API's; `revision` is ours.
HttpResponse BuildInfo() {
  return TextsResponse({{"version", "2.42.0+tinyobs"},
                        {"revision", TINYOBS_VERSION},
                        {"branch", "tinyobs"},
                        {"buildUser", ""},
                        {"buildDate", ""},
                        {"goVersion", ""}});
}

HttpResponse FlagsInfo(const HandlerContext& context) {
  return TextsResponse({{"query.lookback-delta", promql::DurationText(context.promql_lookback_ms)},
                        {"query.max-concurrency", StrCat(context.promql_max_concurrency)},
                        {"query.max-samples", StrCat(context.promql_max_samples)},
                        {"query.timeout", promql::DurationText(context.promql_timeout_ms)}});
}

HttpResponse RuntimeInfo(const HandlerContext& context) {
  const std::string start = wire::FormatRfc3339(context.start_ms);
  std::string data;
  JsonWriter json(&data);
  json.StartObject();
  json.Field("startTime", start);
  json.Field("CWD", "");
  json.Key("reloadConfigSuccess");
  json.Bool(true);
  json.Field("lastConfigTime", start);
  json.Field("corruptionCount", uint64_t{0});
  json.Field("goroutineCount", uint64_t{0});
  json.Field("GOMAXPROCS", uint64_t{std::thread::hardware_concurrency()});
  json.Field("GOGC", "");
  json.Field("GODEBUG", "");
  json.Field("storageRetention", "");
  json.EndObject();
  return SuccessResponse(data);
}

// The names of status/tsdb with the largest counts, and those.
using Counts = std::vector<std::pair<std::string, uint64_t>>;
constexpr size_t kMostCounts = 10;

template <typename Map>
Counts Largest(const Map& map) {
  Counts counts(map.begin(), map.end());
  const auto larger = [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  };
  const size_t shown = std::min(kMostCounts, counts.size());
  std::partial_sort(counts.begin(), counts.begin() + static_cast<ptrdiff_t>(shown), counts.end(),
                    larger);
  counts.resize(shown);
  return counts;
}

struct LabelCounts {
  Counts series_by_metric;
  Counts values_by_name;
  Counts bytes_by_name;
  Counts series_by_pair;
  uint64_t pairs = 0;
};

// Exact, by a look at each series: some 300 ns and 300 bytes.
absl::StatusOr<LabelCounts> CountLabels(const Db& db) {
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<Labels> all, db.Series({}, {}));
  using Map = absl::flat_hash_map<std::string, uint64_t>;
  Map pairs;
  Map metrics;
  Map values;
  Map bytes;
  for (const Labels& labels : all) {
    for (const Label label : labels) {
      if (label.name == kMetricName) ++metrics[std::string(label.value)];
      if (++pairs[StrCat(label.name, "=", label.value)] > 1) continue;
      ++values[std::string(label.name)];
      bytes[std::string(label.name)] += label.value.size();
    }
  }
  return LabelCounts{.series_by_metric = Largest(metrics),
                     .values_by_name = Largest(values),
                     .bytes_by_name = Largest(bytes),
                     .series_by_pair = Largest(pairs),
                     .pairs = pairs.size()};
}

// Of many series: what the database knows anyway. Values of a label are estimates, each metric's
// by itself, and pairs are those of the name.
LabelCounts EstimateLabels(const Db& db) {
  LabelCounts counts;
  std::map<std::string, uint64_t> values;
  const CardinalityStats stats = db.Cardinality(kMostCounts);
  for (const CardinalityStats::Metric& metric : stats.largest) {
    counts.series_by_metric.emplace_back(metric.name, metric.series);
    counts.series_by_pair.emplace_back(StrCat(kMetricName, "=", metric.name), metric.series);
    for (const auto& label : metric.labels) {
      values[label.name] = std::max(values[label.name], label.values);
    }
  }
  values[std::string(kMetricName)] = stats.metrics;
  for (const auto& [name, count] : values) counts.pairs += count;
  counts.values_by_name = Largest(values);
  return counts;
}

absl::StatusOr<HttpResponse> TsdbStatus(const HandlerContext& context) {
  constexpr uint64_t kMostCountedSeries = 100'000;
  const DbStats stats = context.db->Stats();
  LabelCounts counts;
  if (stats.series > kMostCountedSeries) {
    counts = EstimateLabels(*context.db);
  } else {
    TINYOBS_ASSIGN_OR_RETURN(counts, CountLabels(*context.db));
  }
  std::string data;
  JsonWriter json(&data);
  json.StartObject();
  json.Key("headStats");
  json.StartObject();
  json.Field("numSeries", stats.series);
  json.Field("numLabelPairs", counts.pairs);
  json.Field("chunkCount", stats.tiers.empty() ? 0 : stats.tiers[0].rows);
  json.Key("minTime");
  json.Int(stats.samples == 0 ? INT64_MAX : stats.oldest_ms);
  json.Key("maxTime");
  json.Int(stats.samples == 0 ? INT64_MIN : stats.newest_ms);
  json.EndObject();
  const auto list = [&json](std::string_view key, const Counts& list_counts) {
    json.Key(key);
    json.StartArray();
    for (const auto& [name, value] : list_counts) {
      json.StartObject();
      json.Field("name", name);
      json.Field("value", value);
      json.EndObject();
    }
    json.EndArray();
  };
  list("seriesCountByMetricName", counts.series_by_metric);
  list("labelValueCountByLabelName", counts.values_by_name);
  list("memoryInBytesByLabelName", counts.bytes_by_name);
  list("seriesCountByLabelValuePair", counts.series_by_pair);
  json.EndObject();
  return SuccessResponse(data);
}

absl::StatusOr<HttpResponse> Rules(const UrlParameters& parameters) {
  const std::string_view type = parameters.Get("type");
  if (!type.empty() && type != "alert" && type != "record") {
    return InvalidParameter("type", StrCat("not supported value ", promql::QuoteText(type)));
  }
  return SuccessResponse(R"({"groups":[]})");
}

constexpr std::pair<std::string_view, std::string_view> kEmpty[] = {
    {"alerts", R"({"alerts":[]})"},
    {"alertmanagers", R"({"activeAlertmanagers":[],"droppedAlertmanagers":[]})"},
    {"scrape_pools", R"({"scrapePools":[]})"},
    {"targets", R"({"activeTargets":[],"droppedTargets":[]})"},
    {"targets/metadata", "[]"},
    {"status/config", R"({"yaml":""})"},
    {"status/walreplay", R"({"min":0,"max":0,"current":0})"},
};

}  // namespace

void AddServerRoutes(Router* router, const HandlerContext* context) {
  for (const auto& [path, data] : kEmpty) {
    AddApi(router, {"GET"}, path, [data = data](const HttpRequest&, const UrlParameters&) {
      return SuccessResponse(data);
    });
  }
  const auto add = [router](std::string_view path, auto function) {
    AddApi(router, {"GET"}, path, [function](const HttpRequest&, const UrlParameters& parameters) {
      return function(parameters);
    });
  };
  add("rules", Rules);
  add("status/buildinfo", [](const UrlParameters&) { return BuildInfo(); });
  add("status/flags", [context](const UrlParameters&) { return FlagsInfo(*context); });
  add("status/runtimeinfo", [context](const UrlParameters&) { return RuntimeInfo(*context); });
  add("status/tsdb", [context](const UrlParameters&) { return TsdbStatus(*context); });
}

}  // namespace tinyobs::serve
