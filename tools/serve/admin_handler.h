// What an operator asks for: POST /v1/admin/downsample.
//
// It does now what the database does hourly by itself, without waiting for the last partition to
// settle, and answers when it is done: after a long time off, say, or before data is looked at. One
// at a time, and none waits: a second request meanwhile is 409, as it could only do the same again.
// So is one while downsampling is off.
// A server that stops waits for it; should that take too long, nothing is lost, as a run that is
// cut short is done again.
//
// Thread-safety: the handler is thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_ADMIN_HANDLER_H_
#define TINYOBS_TOOLS_SERVE_ADMIN_HANDLER_H_

#include "tools/serve/handler_context.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

// `context` must outlive the handler.
Handler DownsampleHandler(const HandlerContext* context);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_ADMIN_HANDLER_H_
