// GET /v1/query (raw samples) and GET /v1/query/range (one metric as points to draw).
//
// Every query has a deadline and a limit on samples and on bytes of the answer; beyond one the
// client gets an error that names the limit, and never part of an answer. A growing answer takes
// from the budget of all answers (503 when nothing is left).
//
// More points than maxPoints are thinned out; `agg` says how: "mean" (default) or "last", which is
// what a counter needs so that a rate can be made of it.
//
// Thread-safety: the handlers are thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_QUERY_HANDLER_H_
#define TINYOBS_TOOLS_SERVE_QUERY_HANDLER_H_

#include "tools/serve/handler_context.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

// `context` must outlive the handlers.
Handler QueryHandler(const HandlerContext* context);
Handler QueryRangeHandler(const HandlerContext* context);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_QUERY_HANDLER_H_
