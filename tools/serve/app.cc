// The table of routes.
#include "tools/serve/app.h"

#include <memory>
#include <utility>

#include "tools/serve/admin_handler.h"
#include "tools/serve/compression.h"
#include "tools/serve/ingest_handler.h"
#include "tools/serve/query_handler.h"
#include "tools/serve/routes.h"
#include "tools/serve/status_handler.h"

namespace tinyobs::serve {

Handler MakeApp(const HandlerContext* context, const HttpCounters* counters, AccessPolicy policy,
                FindPage find_page, size_t max_body_bytes) {
  const auto router = std::make_shared<Router>(std::move(policy));
  router->Add("POST", "/v1/ingest", IngestHandler(context));
  router->Add("GET", "/v1/query", QueryHandler(context));
  router->Add("GET", "/v1/query/range", QueryRangeHandler(context));
  router->Add("GET", "/v1/metrics/list", MetricsListHandler(context));
  router->Add("GET", "/v1/stats", StatsHandler(context));
  router->Add("GET", "/v1/cardinality", CardinalityHandler(context));
  router->Add("GET", "/v1/storage", StorageHandler(context));
  router->Add("GET", "/v1/health", HealthHandler(context));
  router->Add("POST", "/v1/admin/downsample", DownsampleHandler(context));
  router->Add("GET", "/metrics", OwnMetricsHandler(context, counters));
  router->Add("GET", "/-/healthy", HealthyHandler());
  router->Add("GET", "/-/ready", ReadyHandler(context));
  router->SetFallback(DashboardHandler(std::move(find_page)));
  return WithCompression([router](const HttpRequest& request) { return router->Handle(request); },
                         max_body_bytes, context->request_bytes);
}

}  // namespace tinyobs::serve
