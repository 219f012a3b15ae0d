// What the server says about itself and its store: /v1/metrics/list, /v1/stats, /v1/health,
// /v1/storage, /v1/cardinality, /metrics, /-/healthy, /-/ready.
//
// Thread-safety: the handlers are thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_STATUS_HANDLER_H_
#define TINYOBS_TOOLS_SERVE_STATUS_HANDLER_H_

#include "tools/serve/handler_context.h"
#include "tools/serve/http_counters.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

// `context` and `counters` must outlive the handlers.
Handler MetricsListHandler(const HandlerContext* context);
Handler StatsHandler(const HandlerContext* context);
// 503 while the database refuses writes, after more than three downsampling runs in a row that
// failed, and when two hours went by without one that succeeded (since start, at first).
Handler HealthHandler(const HandlerContext* context);
Handler StorageHandler(const HandlerContext* context);
// Who has the series, and what was refused. Answers at the limit, too; see Db::Cardinality for the
// cost.
Handler CardinalityHandler(const HandlerContext* context);
// The server's own figures as Prometheus text. The stored samples are not echoed here.
Handler OwnMetricsHandler(const HandlerContext* context, const HttpCounters* counters);
Handler HealthyHandler();
Handler ReadyHandler(const HandlerContext* context);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_STATUS_HANDLER_H_
