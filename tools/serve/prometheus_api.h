// Prometheus' HTTP API, its reading side, as of 2.42: everything under /api/v1 that Grafana,
// promtool and the like ask for, and the two routes of the original that take PromQL.
//
// What has nothing to tell here (rules, alerts, targets, exemplars) answers as a Prometheus that
// has none. Routes of 3.x that clients use if they are there are there, too: parse_query, `limit`,
// `lookback_delta`; and Thanos' max_source_resolution, the coarsest windows that will do: 0s (the
// default), 5m, 1h, or auto, which is a fifth of the step.
//
// Queries end at --query.timeout, or when their client is gone. At most --query.max-concurrency run
// at once, each on as many threads as it leaves the others processors; the server keeps the next
// ones waiting (HttpServer), and what comes here beyond is 503 with Retry-After.
//
// Thread-safety: the handlers are thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_PROMETHEUS_API_H_
#define TINYOBS_TOOLS_SERVE_PROMETHEUS_API_H_

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/wire/query_json.h"
#include "tools/serve/handler_context.h"
#include "tools/serve/http_message.h"
#include "tools/serve/query_gate.h"
#include "tools/serve/routes.h"
#include "tools/serve/url.h"

namespace tinyobs::serve {

// `context` must outlive the router. Queries and lists take their turns at `gate`.
void AddPrometheusApi(Router* router, const HandlerContext* context,
                      const std::shared_ptr<QueryGate>& gate);

// --- the parts of it

// query, query_range, /v1/query/execute, /v1/query/instant
void AddQueryRoutes(Router* router, const HandlerContext* context,
                    const std::shared_ptr<QueryGate>& gate);
// series, labels, label/NAME/values, metadata
void AddSeriesRoutes(Router* router, const HandlerContext* context,
                     const std::shared_ptr<QueryGate>& gate);
// status/*, rules, alerts, targets, ...
void AddServerRoutes(Router* router, const HandlerContext* context);
// format_query, parse_query, query_exemplars
void AddExpressionRoutes(Router* router, const HandlerContext* context);

// --- what they are made of

using ApiFunction =
    std::function<absl::StatusOr<HttpResponse>(const HttpRequest&, const UrlParameters&)>;
// Under /api/v1, with errors as Prometheus writes them.
void AddApi(Router* router, std::initializer_list<std::string_view> methods, std::string_view path,
            ApiFunction function);

// {"status":"success","data":<data>,...}; `write` appends the data, false when it may not grow.
absl::StatusOr<HttpResponse> SuccessResponse(
    const HandlerContext& context, const std::vector<std::string>& warnings,
    const std::function<bool(const wire::MayGrow&, std::string*)>& write);
// The same for data that is small and written.
HttpResponse SuccessResponse(std::string_view data);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_PROMETHEUS_API_H_
