// HttpSession: one connection, from accept to close. Internal to HttpServer.
//
// A chain of callbacks, each of which starts the next step; the session lives as long as a step
// holds it. All of it runs on the leader of its IoLoop, except the handler. A query's is an errand
// of the loop's if it can be; others run on a pool and post their answer back.
//
//   wait for a byte -> header -> [100 Continue] -> body -> handler -> answer -> wait ...
//                        any error -> answer -> linger -> close
//
// A small query is four system calls: wait, read, write, and a read that finds nothing. So headers
// are parsed and answers written at once where that is possible, and there is no timer a
// connection: HttpServer looks now and then who is late.
//
// While a query runs that takes long, the socket is watched: when the client closes, the request is
// marked as abandoned, so that it ends. One who closes only its sending side counts as gone, too;
// it still gets the answer. After a pipelined request the end cannot be seen, and is not.
//
// Lingering: closing a socket that has unread bytes resets the connection, and the client may never
// see the answer (a 413 to a client that is still sending). So the sending side is shut, and what
// comes in is thrown away for a moment.
#ifndef TINYOBS_TOOLS_SERVE_HTTP_SESSION_H_
#define TINYOBS_TOOLS_SERVE_HTTP_SESSION_H_

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "lib/base/mutex.h"
#include "tools/serve/asio.h"
#include "tools/serve/http_server.h"
#include "tools/serve/io_loop.h"
#include "tools/serve/worker_pool.h"

namespace tinyobs::serve {

// What the sessions of one server share.
struct ServerState {
  explicit ServerState(const HttpServerOptions& server_options)
      : options(server_options),
        counters(options.counters != nullptr ? options.counters : &own_counters),
        own_request_bytes(options.max_request_bytes_in_flight),
        own_response_bytes(options.max_response_bytes_in_flight),
        request_bytes(options.request_bytes != nullptr ? options.request_bytes
                                                       : &own_request_bytes),
        response_bytes(options.response_bytes != nullptr ? options.response_bytes
                                                         : &own_response_bytes) {}

  // False: max_connections are open.
  bool TryBeginSession() {
    MutexLock lock(&mutex);
    if (sessions >= options.max_connections) return false;
    ++sessions;
    ++counters->connections_open;
    return true;
  }
  void SessionEnds() {
    MutexLock lock(&mutex);
    --sessions;
    --counters->connections_open;
    session_ended.NotifyAll();
  }

  const HttpServerOptions options;
  HttpCounters own_counters;
  HttpCounters* const counters;
  ByteBudget own_request_bytes;
  ByteBudget own_response_bytes;
  ByteBudget* const request_bytes;
  ByteBudget* const response_bytes;
  Handler handler;                  // set before the first session
  KindOf kind_of;                   // the same; null = all are short
  WorkerPool* pool = nullptr;       // the same
  WorkerPool* slow_pool = nullptr;  // the same
  std::atomic<bool> stopping{false};

  Mutex mutex;
  CondVar session_ended;
  size_t sessions ABSL_GUARDED_BY(mutex) = 0;
};

// One of max_connections, taken when a connection is accepted: were it counted when its loop gets
// to it, a burst would pass the limit.
class Seat {
 public:
  // REQUIRES: TryBeginSession said yes.
  explicit Seat(ServerState* server) : server_(server) {}
  Seat(Seat&& other) noexcept : server_(std::exchange(other.server_, nullptr)) {}
  Seat& operator=(Seat&&) = delete;
  ~Seat() {
    if (server_ != nullptr) server_->SessionEnds();
  }

 private:
  ServerState* server_;
};

// All on the leader of its loop.
class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  HttpSession(boost::asio::ip::tcp::socket socket, Seat seat, ServerState* server, IoLoop* loop);
  ~HttpSession();

  void Start() { WaitForRequest(); }
  // The server stops: closes when no request is being read or answered.
  void CloseIfIdle();
  void CloseNow();
  // Closes when a limit of time is over at `now_ns`.
  void CloseIfLate(int64_t now_ns);

 private:
  class Exchange;  // a request, its handler and its answer
  using Parser = boost::beast::http::request_parser<boost::beast::http::buffer_body>;
  using ErrorCode = boost::beast::error_code;

  void WaitForRequest();
  void ReadHeader();
  void OnHeader(ErrorCode error);
  void ReadBody();
  void OnBody(ErrorCode error);
  void OnReadError(ErrorCode error);
  void Dispatch();
  void WatchClient();
  // Answers on behalf of the server and closes: the rest of the request is unknown.
  void Refuse(int status, std::string_view message);
  void Respond(HttpResponse answer, bool keep_alive);
  void Write();
  void Linger();
  void ReleaseBytes();
  // For what the session waits for next; 0 = as long as it takes.
  void SetTimeout(int64_t timeout_ms);

  const Seat seat_;  // first, so that it is given back last
  ServerState* const server_;
  IoLoop* const loop_;
  boost::asio::ip::tcp::socket socket_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::unique_ptr<char[]> chunk_;  // where the parser puts the next part of the body
  std::string body_;
  ByteLease request_memory_;
  ByteLease response_memory_;
  std::string head_;    // of the answer
  std::string answer_;  // its body
  size_t written_ = 0;  // of both
  // Of the query that runs, else null.
  std::shared_ptr<std::atomic<bool>> abandoned_;
  int64_t deadline_ns_ = INT64_MAX;
  bool idle_ = false;
  bool watched_ = false;
  bool lingers_ = false;
  bool head_request_ = false;
  bool keep_alive_ = false;  // behind the answer
  unsigned version_ = 11;
  size_t lingered_bytes_ = 0;
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_HTTP_SESSION_H_
