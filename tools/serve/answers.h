// Answers that several handlers give, and the one place where a Status becomes an HTTP code.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_TOOLS_SERVE_ANSWERS_H_
#define TINYOBS_TOOLS_SERVE_ANSWERS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

HttpResponse JsonResponse(std::string body);
HttpResponse TextResponse(int status, std::string_view body);
// {"error":"<text of the status>","message":"<message>"}
HttpResponse ErrorResponse(int status, std::string_view message);
// As Go's net/http answers what it does not know.
HttpResponse NotFoundResponse();

// A refused write. The series limit is 400 with its figures; another ResourceExhausted is 507;
// Unavailable and FailedPrecondition are 503 with Retry-After, since both can pass;
// InvalidArgument is 400; anything else is 500.
// `used_bytes` and `limit_bytes` (0 = none) of the disk are for the message of the storage limit.
HttpResponse WriteErrorResponse(const absl::Status& status, uint64_t used_bytes,
                                uint64_t limit_bytes);

// A refused query. A QueryLimitError (more samples or bytes than an answer may have) is 422;
// another ResourceExhausted (file handles, memory), DeadlineExceeded, Unavailable and
// FailedPrecondition are 503; InvalidArgument is 400; anything else is 500.
HttpResponse QueryErrorResponse(const absl::Status& status);

// A refused request of Prometheus' API, {"status":"error","errorType":..,"error":..}, with its
// codes: InvalidArgument is bad_data, 400; FailedPrecondition and a QueryLimitError are execution,
// 422; Cancelled is canceled and DeadlineExceeded timeout, both 503; NotFound is not_found, 404;
// Unavailable and another ResourceExhausted are unavailable, 503; anything else is internal, 500.
HttpResponse PrometheusErrorResponse(const absl::Status& status);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_ANSWERS_H_
