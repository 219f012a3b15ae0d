// The table of routes.
#include "tools/serve/app.h"

#include <memory>
#include <utility>

#include "tools/serve/admin_handler.h"
#include "tools/serve/compression.h"
#include "tools/serve/ingest_handler.h"
#include "tools/serve/prometheus_admin.h"
#include "tools/serve/prometheus_api.h"
#include "tools/serve/query_gate.h"
#include "tools/serve/query_handler.h"
#include "tools/serve/remote_write_handler.h"
#include "tools/serve/routes.h"
#include "tools/serve/status_handler.h"

namespace tinyobs::serve {

Handler MakeApp(const HandlerContext* context, const HttpCounters* counters, AccessPolicy policy,
                FindPage find_page, size_t max_body_bytes) {
  const auto router = std::make_shared<Router>(std::move(policy));
  router->Add("POST", "/v1/ingest", IngestHandler(context));
  const auto write_side = std::make_shared<WriteSide>(context, max_body_bytes);
  router->Add("POST", "/api/v1/write", RemoteWriteHandler(write_side));
  router->Add("POST", "/api/v1/import/prometheus", ImportHandler(write_side));
  const auto gate = std::make_shared<QueryGate>(context);
  router->Add("GET", "/v1/query", QueryHandler(context, gate));
  router->Add("GET", "/v1/query/range", QueryRangeHandler(context, gate));
  router->Add("GET", "/v1/metrics/list", MetricsListHandler(context));
  router->Add("GET", "/v1/stats", StatsHandler(context));
  router->Add("GET", "/v1/cardinality", CardinalityHandler(context));
  router->Add("GET", "/v1/storage", StorageHandler(context));
  router->Add("GET", "/v1/health", HealthHandler(context));
  router->Add("POST", "/v1/admin/downsample", DownsampleHandler(context));
  router->Add("GET", "/metrics", OwnMetricsHandler(context, counters));
  router->Add("GET", "/-/healthy", HealthyHandler());
  router->Add("GET", "/-/ready", ReadyHandler(context));
  AddPrometheusApi(router.get(), context, gate);
  AddAdminRoutes(router.get(), context);
  router->SetFallback(DashboardHandler(std::move(find_page)));
  return WithCompression([router](const HttpRequest& request) { return router->Handle(request); },
                         max_body_bytes, context->request_bytes);
}

RequestKind KindOfRequest(const HttpRequest& request) {
  std::string_view path = request.path;
  if (constexpr std::string_view kPrefix = "/prometheus"; path.starts_with(kPrefix)) {
    path.remove_prefix(kPrefix.size());
  }
  if (path.starts_with("/api/v1/admin/")) return RequestKind::kLong;
  for (const std::string_view start :
       {"/v1/query", "/api/v1/query", "/api/v1/series", "/api/v1/label"}) {
    if (path.starts_with(start)) return RequestKind::kQuery;
  }
  return RequestKind::kShort;
}

}  // namespace tinyobs::serve
