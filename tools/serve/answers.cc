// See the header for the table.
#include "tools/serve/answers.h"

#include <utility>

#include "lib/base/strings.h"
#include "lib/wire/prometheus_json.h"
#include "lib/wire/query_json.h"
#include "tinyobs/appender.h"
#include "tinyobs/querier.h"

namespace tinyobs::serve {

HttpResponse JsonResponse(std::string body) {
  return {
      .status = 200, .headers = {{"Content-Type", "application/json"}}, .body = std::move(body)};
}

HttpResponse TextResponse(int status, std::string_view body) {
  return {.status = status,
          .headers = {{"Content-Type", "text/plain; charset=utf-8"},
                      {"X-Content-Type-Options", "nosniff"}},
          .body = std::string(body)};
}

HttpResponse ErrorResponse(int status, std::string_view message) {
  HttpResponse response = JsonResponse(wire::ErrorJson(StatusText(status), message));
  response.status = status;
  if (status == 503) response.SetHeader("Retry-After", "1");
  return response;
}

HttpResponse NotFoundResponse() { return TextResponse(404, "404 page not found\n"); }

HttpResponse WriteErrorResponse(const absl::Status& status, uint64_t used_bytes,
                                uint64_t limit_bytes) {
  const std::string_view message = FromAbsl(status.message());
  if (CardinalityLimit limit; CardinalityLimitOf(status, &limit)) {
    HttpResponse response = JsonResponse(wire::CardinalityErrorJson(limit, message));
    response.status = 400;
    return response;
  }
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return ErrorResponse(400, message);
    case absl::StatusCode::kResourceExhausted:
      // Commits may not fill the last eighth, or less: Options::max_storage_bytes.
      if (limit_bytes > 0 && used_bytes >= limit_bytes - limit_bytes / 8) {
        return ErrorResponse(507,
                             StrCat("Storage limit exceeded: ", used_bytes, "/", limit_bytes,
                                    " bytes used. Retention will make room; sooner does a larger "
                                    "TINYOBS_MAX_STORAGE_GB, a shorter --storage.retention.raw or "
                                    "--storage.full=drop-oldest (",
                                    message, ")"));
      }
      return ErrorResponse(507, message);
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kFailedPrecondition:
      return ErrorResponse(503, StrCat("failed to store metrics: ", message));
    default:
      return ErrorResponse(500, StrCat("failed to store metrics: ", message));
  }
}

HttpResponse QueryErrorResponse(const absl::Status& status) {
  const std::string_view message = FromAbsl(status.message());
  if (IsQueryLimit(status)) {
    return ErrorResponse(422, StrCat(message, "; narrow the time range or name a metric"));
  }
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return ErrorResponse(400, message);
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kFailedPrecondition:
      return ErrorResponse(503, StrCat("failed to query metrics: ", message));
    default:
      return ErrorResponse(500, StrCat("failed to query metrics: ", message));
  }
}

HttpResponse PrometheusErrorResponse(const absl::Status& status) {
  struct Kind {
    int code;
    std::string_view type;
  };
  const auto kind = [&status]() -> Kind {
    if (IsQueryLimit(status)) return {422, "execution"};
    switch (status.code()) {
      case absl::StatusCode::kInvalidArgument:
        return {400, "bad_data"};
      case absl::StatusCode::kFailedPrecondition:
        return {422, "execution"};
      case absl::StatusCode::kCancelled:
        return {503, "canceled"};
      case absl::StatusCode::kDeadlineExceeded:
        return {503, "timeout"};
      case absl::StatusCode::kNotFound:
        return {404, "not_found"};
      case absl::StatusCode::kUnavailable:
      case absl::StatusCode::kResourceExhausted:
        return {503, "unavailable"};
      default:
        return {500, "internal"};
    }
  }();
  HttpResponse response =
      JsonResponse(wire::PrometheusErrorJson(kind.type, FromAbsl(status.message())));
  response.status = kind.code;
  if (kind.type == "unavailable") response.SetHeader("Retry-After", "1");
  return response;
}

}  // namespace tinyobs::serve
