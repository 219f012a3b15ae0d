// What a handler sees of HTTP: plain structs, no sockets and no Beast types, so that every route is
// tested by calling a function, and an embedder can mount the same handlers behind another server.
//
// Thread-safety: plain data. A Handler is called from many threads at once.
#ifndef TINYOBS_TOOLS_SERVE_HTTP_MESSAGE_H_
#define TINYOBS_TOOLS_SERVE_HTTP_MESSAGE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/serve/byte_budget.h"

namespace tinyobs::serve {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// The value of the first header of that name, compared without regard to case; "" when absent.
std::string_view FindHeader(const HttpHeaders& headers, std::string_view name);

struct HttpRequest {
  std::string method;  // "GET", in capitals
  std::string path;    // of the target, as sent: not decoded
  std::string query;   // of the target, after '?', as sent
  HttpHeaders headers;
  std::string body;
  // On Clock::MonotonicNs, when it was complete; 0 = not known.
  int64_t received_ns = 0;
  // Becomes true when nobody waits for the answer any more; null = not known.
  std::shared_ptr<const std::atomic<bool>> abandoned = nullptr;

  std::string_view Header(std::string_view name) const { return FindHeader(headers, name); }
  bool IsAbandoned() const {
    return abandoned != nullptr && abandoned->load(std::memory_order_relaxed);
  }
};

struct HttpResponse {
  int status = 200;
  HttpHeaders headers;  // without Content-Length, Connection and Date: the server's business
  std::string body;
  ByteLease memory = {};  // what was taken from the answers' budget while the body grew

  std::string_view Header(std::string_view name) const { return FindHeader(headers, name); }
  // Replaces or adds.
  void SetHeader(std::string_view name, std::string_view value);
};

// Must not block for longer than its own deadline: a server stops only when its handlers return.
using Handler = std::function<HttpResponse(const HttpRequest&)>;

// What a server wants to know of a request before it runs it; see HttpServer::Serve.
enum class RequestKind {
  kShort,  // done soon, or as soon as the disk is
  kQuery,  // mostly computes, mostly shortly, and yet for as long as somebody likes
  kLong,   // minutes
};
using KindOf = std::function<RequestKind(const HttpRequest&)>;

// "Bad Request" for 400; "" for a code nobody here uses.
std::string_view StatusText(int status);

bool EqualsIgnoringCase(std::string_view a, std::string_view b);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_HTTP_MESSAGE_H_
