// HttpServer: sockets, and nothing that knows what is served.
//
//   auto server = HttpServer::Listen({.address = "127.0.0.1", .port = 0});
//   (*server)->Serve(handler);
//   ... (*server)->port() ...
//   (*server)->Stop();
//
// One IoLoop a core, connections dealt out in turn. What waits for the disk runs on a WorkerPool,
// so that it does not hold up anybody's bytes. Queries, which mostly compute for less time than a
// change of threads takes, are run by the loops themselves; when a loop has one under way already,
// they run on a WorkerPool of their own, as does what may take minutes.
//
// Everything has a bound, because everything here is in the hands of strangers:
//  1. connections; one too many gets 503 and is closed,
//  2. header bytes (431) and body bytes (413), per request, and request bodies of all connections
//     together (503),
//  3. the time to send a header, a body, to take the next part of an answer, and to say nothing
//     between two requests; who exceeds one is disconnected,
//  4. handlers waiting (503 with Retry-After) and answers waiting to be taken (503). An answer that
//     was charged while it grew (HttpResponse::memory) is not charged again.
//
// A request of HTTP/1.1 has exactly one Host header (400). A target in absolute form ("GET
// http://localhost/x") is served as its path, with its authority in place of the Host header.
//
// Requests of one connection are answered in order, one at a time, pipelined or not.
//
// Thread-safety: thread-safe, except that Serve is called once and Stop by one thread.
#ifndef TINYOBS_TOOLS_SERVE_HTTP_SERVER_H_
#define TINYOBS_TOOLS_SERVE_HTTP_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tools/serve/byte_budget.h"
#include "tools/serve/http_counters.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

constexpr size_t kMaxRequestBytesInFlight = 64 << 20;
constexpr size_t kMaxResponseBytesInFlight = 256 << 20;

struct HttpServerOptions {
  std::string address = "127.0.0.1";  // an IP address, or "localhost"
  uint16_t port = 0;                  // 0 = any free port

  size_t io_threads = 0;             // 0 = one a core, at most 4
  size_t handler_threads = 0;        // 0 = two a core, 4 to 16: a commit waits for the disk
  size_t slow_handler_threads = 20;  // besides; for queries that no loop runs, and what is long
  size_t handler_queue = 128;        // of each of the two

  size_t max_connections = 1024;
  size_t max_header_bytes = 16 << 10;
  size_t max_body_bytes = 16 << 20;
  // The bodies of all connections together. Not owned; for handlers that take from them too.
  // nullptr = the server has its own of the sizes below.
  ByteBudget* request_bytes = nullptr;
  ByteBudget* response_bytes = nullptr;
  size_t max_request_bytes_in_flight = kMaxRequestBytesInFlight;
  size_t max_response_bytes_in_flight = kMaxResponseBytesInFlight;

  int64_t header_timeout_ms = 10'000;
  int64_t body_timeout_ms = 30'000;   // for the whole body
  int64_t write_timeout_ms = 10'000;  // for each part the client takes
  int64_t idle_timeout_ms = 60'000;
  int64_t stop_timeout_ms = 20'000;  // for requests in flight when Stop is called

  HttpCounters* counters = nullptr;  // not owned; nullptr = not counted for others to see
};

class HttpServer {
 public:
  // Binds and listens; connections wait in the kernel until Serve. FailedPrecondition: the address
  // is in use. PermissionDenied: a port below 1024. InvalidArgument: not an address of this
  // machine. The message says what to do.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Listen(const HttpServerOptions& options);
  ~HttpServer();

  // The real one when options.port was 0.
  uint16_t port() const;

  // `kind_of`: null = all are short.
  void Serve(Handler handler, KindOf kind_of = nullptr);

  // Stops accepting, closes idle connections, lets requests in flight finish for stop_timeout_ms,
  // then closes what is left and waits for running handlers. Idempotent.
  void Stop();

 private:
  class Impl;
  explicit HttpServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_HTTP_SERVER_H_
