// POST /v1/ingest: body -> samples -> one batch of the database, all of it or nothing.
//
// The `type` of a sample is metadata of its metric: written only when it differs from what the
// database knows, which after the first request is never. A sample without a type changes nothing.
//
// Bodies over 1 MiB are decoded two at a time, the others wait: the decoder needs several times the
// size of the text.
//
// Thread-safety: the handler is thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_INGEST_HANDLER_H_
#define TINYOBS_TOOLS_SERVE_INGEST_HANDLER_H_

#include "tools/serve/handler_context.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

// `context` must outlive the handler.
Handler IngestHandler(const HandlerContext* context);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_INGEST_HANDLER_H_
