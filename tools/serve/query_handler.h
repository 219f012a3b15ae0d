// GET /v1/query (samples) and GET /v1/query/range (one metric as points to draw).
//
// Every query has a deadline and a limit on samples and on bytes of the answer; beyond one the
// client gets an error that names the limit, and never part of an answer. A growing answer takes
// from the budget of all answers (503 when nothing is left). Both wait for their turn (QueryGate).
//
// /v1/query/range answers from the coarsest windows that are no longer than the range divided by
// maxPoints (tinyobs/querier.h, ChooseResolution); `resolution` asks for others. All points of a
// series are of its resolution (chart_points.h) unless resolution=raw asks for samples where there
// are some. `agg` says what a point is of the samples it stands for; without it, the mean, and for
// counters the last, so that a rate can be made of it. /v1/query gives samples, and where they are
// too old, or `resolution` asks for it, windows.
//
// Thread-safety: the handlers are thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_QUERY_HANDLER_H_
#define TINYOBS_TOOLS_SERVE_QUERY_HANDLER_H_

#include <memory>

#include "tools/serve/handler_context.h"
#include "tools/serve/http_message.h"
#include "tools/serve/query_gate.h"

namespace tinyobs::serve {

// `context` must outlive the handlers.
Handler QueryHandler(const HandlerContext* context, std::shared_ptr<QueryGate> gate);
Handler QueryRangeHandler(const HandlerContext* context, std::shared_ptr<QueryGate> gate);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_QUERY_HANDLER_H_
