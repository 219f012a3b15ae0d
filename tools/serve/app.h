// All routes as one Handler: what the server mounts, what tests call, and what an embedder can put
// behind a port of their own.
//
// Thread-safety: the handler is thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_APP_H_
#define TINYOBS_TOOLS_SERVE_APP_H_

#include <cstddef>

#include "tools/serve/access.h"
#include "tools/serve/dashboard_handler.h"
#include "tools/serve/handler_context.h"
#include "tools/serve/http_counters.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

// `context` and `counters` must outlive the handler. `max_body_bytes` bounds a request's body after
// decompression.
Handler MakeApp(const HandlerContext* context, const HttpCounters* counters, AccessPolicy policy,
                FindPage find_page, size_t max_body_bytes);

// Of MakeApp's, for HttpServer::Serve: what reads as much as its sender likes is a query, what
// copies or deletes as much is long.
RequestKind KindOfRequest(const HttpRequest& request);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_APP_H_
