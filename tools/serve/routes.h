// Router: method and path -> handler, and what is the same for every route.
//
// In order: the Host check; then the path, with or without "/prometheus" before it, which is where
// some put Prometheus. A path with empty parts, "." or ".." is 301 to the one without, as in Go's
// router, so that a client's base URL may end in a slash. A path nobody has added, or a method it
// does not have, is 404 with Go's text; but below /api/v1/ a wrong method is 405 and OPTIONS always
// 204, as in Prometheus. HEAD is answered as GET (the server leaves the body out). OPTIONS of a
// path that exists is 204. POST and PUT from a foreign page are 403. Every answer of a route
// carries the CORS headers of tools/serve/access.h.
//
// Thread-safety: Add before the first Handle; Handle is thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_ROUTES_H_
#define TINYOBS_TOOLS_SERVE_ROUTES_H_

#include <map>
#include <string>
#include <string_view>

#include "tools/serve/access.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

class Router {
 public:
  explicit Router(AccessPolicy policy) : policy_(std::move(policy)) {}

  // One * in the path stands for one part that is not empty, without '/'; a path without * wins.
  // REQUIRES: method is GET, POST or PUT; the pair is new.
  void Add(std::string_view method, std::string_view path, Handler handler);
  // For GET of every path that was not added.
  void SetFallback(Handler handler) { fallback_ = std::move(handler); }

  HttpResponse Handle(const HttpRequest& request) const;

 private:
  using Methods = std::map<std::string, Handler, std::less<>>;
  const Methods* FindMethods(std::string_view path) const;

  const AccessPolicy policy_;
  // path -> method -> handler
  std::map<std::string, Methods, std::less<>> routes_;
  Handler fallback_;
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_ROUTES_H_
