// Two maps and the checks around them.
#include "tools/serve/routes.h"

#include <utility>

#include "lib/base/check.h"
#include "lib/base/strings.h"
#include "tools/serve/answers.h"

namespace tinyobs::serve {

namespace {

constexpr std::string_view kPrefix = "/prometheus";
constexpr std::string_view kApi = "/api/v1/";

// "/a//b/./c/../d/" -> "/a/b/d/".
std::string CleanPath(std::string_view path) {
  std::string clean;
  std::string_view part;
  for (size_t begin = 0; begin < path.size(); begin += part.size() + 1) {
    part = path.substr(begin, path.find('/', begin) - begin);
    if (part == "..") {
      clean.resize(clean.empty() ? 0 : clean.rfind('/'));
    } else if (!part.empty() && part != ".") {
      StrAppend(&clean, "/", part);
    }
  }
  if (path.ends_with('/') || clean.empty()) clean.push_back('/');
  return clean;
}

HttpResponse MovedResponse(std::string_view path, std::string_view query) {
  HttpResponse response{.status = 301, .headers = {}, .body = {}};
  response.SetHeader("Location", StrCat(path, query.empty() ? "" : "?", query));
  return response;
}

// `methods`: a map from the names of those that are allowed.
template <typename Methods>
HttpResponse MethodNotAllowedResponse(const Methods& methods) {
  std::string allowed = methods.contains("GET") ? "GET, OPTIONS" : "OPTIONS";
  for (const std::string_view other : {"POST", "PUT"}) {
    if (methods.contains(other)) StrAppend(&allowed, ", ", other);
  }
  HttpResponse response = TextResponse(405, "Method Not Allowed\n");
  response.SetHeader("Allow", allowed);
  return response;
}

}  // namespace

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
  std::string_view path = request.path;
  if (path.find("//") != path.npos || path.find("/.") != path.npos) {
    if (const std::string clean = CleanPath(path); clean != path) {
      return MovedResponse(clean, request.query);
    }
  }
  const Methods* methods = FindMethods(path);
  if (methods == nullptr && path.starts_with(kPrefix)) {
    path.remove_prefix(kPrefix.size());
    methods = FindMethods(path);
  }
  const bool is_api = path.starts_with(kApi);
  if (methods == nullptr && !(is_api && method == "OPTIONS")) {
    return method == "GET" && fallback_ ? fallback_(request) : NotFoundResponse();
  }
  const std::string_view origin = request.Header("Origin");
  HttpResponse response;
  if (method == "OPTIONS") {
    response.status = 204;
  } else if (const auto handler = methods->find(method); handler != methods->end()) {
    if (method != "GET" && !policy_.OriginAllowed(origin, host)) {
      return ErrorResponse(403,
                           StrCat("pages of ", EscapeForMessage(origin), " may not write here"));
    }
    response = handler->second(request);
  } else {
    return is_api ? MethodNotAllowedResponse(*methods) : NotFoundResponse();
  }
  policy_.AddCorsHeaders(origin, &response);
  return response;
}

}  // namespace tinyobs::serve
