// Stats -> JSON.
#include "tools/serve/status_handler.h"

#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/mutex.h"
#include "lib/base/strings.h"
#include "lib/wire/query_json.h"
#include "tinyobs/version.h"
#include "tools/serve/answers.h"

namespace tinyobs::serve {
namespace {

constexpr int64_t kDayMs = 24 * 3'600'000;
constexpr int64_t kCardinalityCacheMs = 10'000;

absl::StatusOr<wire::CardinalityReport> CountSeries(const HandlerContext& context) {
  auto all = context.db->Series({}, TimeRange{});
  if (!all.ok()) return std::move(all).status();
  wire::CardinalityReport report;
  report.series = all->size();
  report.series_limit = context.db->Stats().max_series;
  // Sorted by labels, but not necessarily by metric: labels whose names sort before __name__ come
  // first. So count by name.
  absl::flat_hash_map<std::string_view, uint64_t> series_by_metric;
  for (const Labels& labels : *all) ++series_by_metric[labels.metric()];
  report.metrics = series_by_metric.size();
  for (const auto& [metric, count] : series_by_metric) {
    const bool larger = count > report.max_series_count ||
                        (count == report.max_series_count && metric < report.max_series_metric);
    if (!larger) continue;
    report.max_series_metric = std::string(metric);
    report.max_series_count = count;
  }
  return report;
}

struct CardinalityCache {
  Mutex mutex;
  bool filled ABSL_GUARDED_BY(mutex) = false;
  int64_t filled_ns ABSL_GUARDED_BY(mutex) = 0;
  std::string body ABSL_GUARDED_BY(mutex);
};

}  // namespace

Handler MetricsListHandler(const HandlerContext* context) {
  return [context](const HttpRequest&) {
    // To the end of time, so that a client whose clock is a little ahead is seen.
    const TimeRange range{.from_ms = context->clock->NowMs() - kDayMs, .to_ms = INT64_MAX};
    const auto names = context->db->LabelValues(kMetricName, {}, range);
    if (!names.ok()) return QueryErrorResponse(names.status());
    return JsonResponse(wire::MetricsListJson(*names));
  };
}

Handler StatsHandler(const HandlerContext* context) {
  return [context](const HttpRequest&) {
    const DbStats stats = context->db->Stats();
    return JsonResponse(wire::StatsJson({.samples = stats.samples,
                                         .series = stats.series,
                                         .bytes = stats.disk_bytes,
                                         .oldest_ms = stats.oldest_ms,
                                         .newest_ms = stats.newest_ms}));
  };
}

Handler HealthHandler(const HandlerContext* context) {
  return [context](const HttpRequest&) {
    const std::string error = context->db->Stats().background_error;
    HttpResponse response =
        JsonResponse(wire::HealthJson({.healthy = error.empty(),
                                       .version = TINYOBS_VERSION,
                                       .uptime_ms = context->clock->NowMs() - context->start_ms,
                                       .last_error = error}));
    if (!error.empty()) response.status = 503;
    return response;
  };
}

Handler StorageHandler(const HandlerContext* context) {
  return [context](const HttpRequest&) {
    return JsonResponse(
        wire::StorageJson(context->db->Stats().disk_bytes, context->max_storage_bytes));
  };
}

Handler CardinalityHandler(const HandlerContext* context) {
  const auto cache = std::make_shared<CardinalityCache>();
  return [context, cache](const HttpRequest&) {
    // Held while counting, so that many askers at once count once.
    MutexLock lock(&cache->mutex);
    const int64_t now_ns = context->clock->MonotonicNs();
    if (!cache->filled || now_ns - cache->filled_ns > kCardinalityCacheMs * 1'000'000) {
      const auto report = CountSeries(*context);
      if (!report.ok()) return QueryErrorResponse(report.status());
      cache->body = wire::CardinalityJson(*report);
      cache->filled_ns = now_ns;
      cache->filled = true;
    }
    return JsonResponse(cache->body);
  };
}

Handler HealthyHandler() {
  return [](const HttpRequest&) { return TextResponse(200, "TinyObs is healthy.\n"); };
}

Handler ReadyHandler(const HandlerContext* context) {
  return [context](const HttpRequest&) {
    const std::string error = context->db->Stats().background_error;
    if (error.empty()) return TextResponse(200, "TinyObs is ready.\n");
    return TextResponse(503, StrCat("TinyObs is read-only: ", error, "\n"));
  };
}

}  // namespace tinyobs::serve
