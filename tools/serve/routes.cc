// Two maps and the checks around them.
#include "tools/serve/routes.h"

#include <utility>

#include "lib/base/check.h"
#include "lib/base/strings.h"
#include "tools/serve/answers.h"

namespace tinyobs::serve {

void Router::Add(std::string_view method, std::string_view path, Handler handler) {
  TINYOBS_CHECK(method == "GET" || method == "POST" || method == "PUT");
  const bool added =
      routes_[std::string(path)].emplace(std::string(method), std::move(handler)).second;
  TINYOBS_CHECK(added);
}

const Router::Methods* Router::FindMethods(std::string_view path) const {
  if (const auto exact = routes_.find(path); exact != routes_.end()) return &exact->second;
  for (const auto& [pattern, methods] : routes_) {
    const size_t star = pattern.find('*');
    if (star == std::string::npos) continue;
    const std::string_view before = std::string_view(pattern).substr(0, star);
    const std::string_view behind = std::string_view(pattern).substr(star + 1);
    if (path.size() <= before.size() + behind.size() || !path.starts_with(before) ||
        !path.ends_with(behind)) {
      continue;
    }
    const auto part = path.substr(star, path.size() - before.size() - behind.size());
    if (part.find('/') == std::string_view::npos) return &methods;
  }
  return nullptr;
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
  const Methods* methods = FindMethods(request.path);
  if (constexpr std::string_view kPrefix = "/prometheus";
      methods == nullptr && request.path.starts_with(kPrefix)) {
    methods = FindMethods(std::string_view(request.path).substr(kPrefix.size()));
  }
  if (methods == nullptr) {
    return method == "GET" && fallback_ ? fallback_(request) : NotFoundResponse();
  }
  const std::string_view origin = request.Header("Origin");
  HttpResponse response;
  if (const auto handler = methods->find(method); handler != methods->end()) {
    if (method != "GET" && !policy_.OriginAllowed(origin, host)) {
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
