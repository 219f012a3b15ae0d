// Two maps and the checks around them.
#include "tools/serve/routes.h"

#include <utility>

#include "lib/base/check.h"
#include "lib/base/strings.h"
#include "tools/serve/answers.h"

namespace tinyobs::serve {

void Router::Add(std::string_view method, std::string_view path, Handler handler) {
  TINYOBS_CHECK(method == "GET" || method == "POST");
  const bool added =
      routes_[std::string(path)].emplace(std::string(method), std::move(handler)).second;
  TINYOBS_CHECK(added);
}

HttpResponse Router::Handle(const HttpRequest& request) const {
  const std::string_view host = request.Header("Host");
  if (!policy_.HostAllowed(host)) {
    return ErrorResponse(
        403, StrCat("Host \"", EscapeForMessage(host),
                    "\" is not this machine; use localhost or 127.0.0.1, or let the server listen "
                    "on another address with --web.listen-address"));
  }
  // Not one conditional expression: its type would be std::string, gone at the semicolon.
  std::string_view method = request.method;
  if (method == "HEAD") method = "GET";
  const auto path = routes_.find(request.path);
  if (path == routes_.end()) {
    return method == "GET" && fallback_ ? fallback_(request) : NotFoundResponse();
  }
  const std::string_view origin = request.Header("Origin");
  HttpResponse response;
  if (const auto handler = path->second.find(method); handler != path->second.end()) {
    if (method == "POST" && !policy_.OriginAllowed(origin, host)) {
      return ErrorResponse(403,
                           StrCat("pages of ", EscapeForMessage(origin), " may not write here"));
    }
    response = handler->second(request);
  } else if (method == "OPTIONS") {
    response.status = 204;
  } else {
    return NotFoundResponse();
  }
  policy_.AddCorsHeaders(origin, &response);
  return response;
}

}  // namespace tinyobs::serve
