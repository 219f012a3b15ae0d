// Stats -> JSON.
#include "tools/serve/status_handler.h"

#include <algorithm>
#include <string>

#include "lib/base/strings.h"
#include "lib/wire/query_json.h"
#include "tinyobs/version.h"
#include "tools/serve/answers.h"

namespace tinyobs::serve {
namespace {

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayMs = 24 * kHourMs;
// Downsampling runs hourly: one run may be missed or fail and be tried again.
constexpr int64_t kDownsamplingLateMs = 2 * kHourMs;
constexpr uint64_t kDownsamplingFailures = 3;

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
    wire::StoreTotals totals{.samples = stats.samples,
                             .series = stats.series,
                             .bytes = stats.disk_bytes,
                             .oldest_ms = stats.oldest_ms,
                             .newest_ms = stats.newest_ms};
    // Of old times there are windows only.
    bool any = stats.samples > 0;
    for (const TierStats& tier : stats.tiers) {
      if (tier.samples == 0) continue;
      totals.oldest_ms = any ? std::min(totals.oldest_ms, tier.oldest_ms) : tier.oldest_ms;
      totals.newest_ms = any ? std::max(totals.newest_ms, tier.newest_ms) : tier.newest_ms;
      any = true;
    }
    return JsonResponse(wire::StatsJson(totals));
  };
}

Handler HealthHandler(const HandlerContext* context) {
  return [context](const HttpRequest&) {
    const DbStats stats = context->db->Stats();
    const DownsamplingStats& downsampling = stats.downsampling;
    wire::HealthReport report{.version = TINYOBS_VERSION,
                              .now_ms = context->clock->NowMs(),
                              .start_ms = context->start_ms};
    if (downsampling.next_run_ms != 0) {  // else it is off
      report.last_success_ms = downsampling.last_success_ms;
      report.last_attempt_ms = downsampling.last_run_ms;
      report.consecutive_errors = downsampling.consecutive_failures;
      report.last_error = downsampling.last_error;
      const int64_t good_ms = std::max(downsampling.last_success_ms, context->start_ms);
      report.healthy = downsampling.consecutive_failures <= kDownsamplingFailures &&
                       report.now_ms - good_ms <= kDownsamplingLateMs;
    }
    if (!stats.background_error.empty()) {
      report.healthy = false;
      report.last_error = stats.background_error;
    }
    HttpResponse response = JsonResponse(wire::HealthJson(report));
    if (!report.healthy) response.status = 503;
    return response;
  };
}

Handler StorageHandler(const HandlerContext* context) {
  return [context](const HttpRequest&) {
    const DbStats stats = context->db->Stats();
    return JsonResponse(
        wire::StorageJson(stats.disk_bytes, context->max_storage_bytes, stats.tiers));
  };
}

Handler CardinalityHandler(const HandlerContext* context) {
  return [context](const HttpRequest&) {
    return JsonResponse(wire::CardinalityJson(context->db->Cardinality()));
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
