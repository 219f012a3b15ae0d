// HttpSession: one connection, from accept to close. Internal to HttpServer.
//
// A chain of callbacks, each of which starts the next step; the session lives as long as a step
// holds it. All of it runs on the one thread of its IoLoop, except the handler, which runs on the
// pool and posts its answer back.
//
//   wait for a byte -> header -> [100 Continue] -> body -> handler -> answer -> wait ...
//                        any error -> answer -> linger -> close
//
// Lingering: closing a socket that has unread bytes resets the connection, and the client may never
// see the answer (a 413 to a client that is still sending). So the sending side is shut, and what
// comes in is thrown away for a moment.
#ifndef TINYOBS_TOOLS_SERVE_HTTP_SESSION_H_
#define TINYOBS_TOOLS_SERVE_HTTP_SESSION_H_

#include <atomic>
#include <memory>
#include <optional>
#include <thread>

#include "absl/container/flat_hash_set.h"
#include "lib/base/mutex.h"
#include "tools/serve/asio.h"
#include "tools/serve/http_server.h"
#include "tools/serve/worker_pool.h"

namespace tinyobs::serve {

// Counts bytes that requests or answers hold, up to a limit. Thread-safe.
class ByteBudget {
 public:
  explicit ByteBudget(size_t limit) : limit_(limit) {}
  [[nodiscard]] bool Take(size_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= limit_) return true;
    Return(bytes);
    return false;
  }
  void Return(size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  const size_t limit_;
  std::atomic<size_t> used_{0};
};

// What the sessions of one server share.
struct ServerState {
  explicit ServerState(const HttpServerOptions& server_options)
      : options(server_options),
        counters(options.counters != nullptr ? options.counters : &own_counters),
        request_bytes(options.max_request_bytes_in_flight),
        response_bytes(options.max_response_bytes_in_flight) {}

  void SessionBegins() {
    MutexLock lock(&mutex);
    ++sessions;
    ++counters->connections_open;
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
  ByteBudget request_bytes;
  ByteBudget response_bytes;
  Handler handler;             // set before the first session
  WorkerPool* pool = nullptr;  // the same
  std::atomic<bool> stopping{false};

  Mutex mutex;
  CondVar session_ended;
  size_t sessions ABSL_GUARDED_BY(mutex) = 0;
};

class HttpSession;

// An io_context, its thread, and the connections it was dealt (touched on that thread only).
struct IoLoop {
  // Before the context, whose last callbacks hold sessions that leave this set.
  absl::flat_hash_set<HttpSession*> sessions;
  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work =
      boost::asio::make_work_guard(context);
  std::thread thread;
};

class HttpSession : public std::enable_shared_from_this<HttpSession> {
 public:
  // On the loop's thread.
  HttpSession(boost::asio::ip::tcp::socket socket, ServerState* server, IoLoop* loop);
  ~HttpSession();

  void Start() { WaitForRequest(); }
  // The server stops: closes when no request is being read or answered.
  void CloseIfIdle();
  void CloseNow();

 private:
  using Parser = boost::beast::http::request_parser<boost::beast::http::buffer_body>;
  using Response = boost::beast::http::response<boost::beast::http::string_body>;
  using Serializer = boost::beast::http::response_serializer<boost::beast::http::string_body>;
  using ErrorCode = boost::beast::error_code;

  void WaitForRequest();
  void ReadHeader();
  void OnHeader(ErrorCode error);
  void ReadBody();
  void OnBody(ErrorCode error);
  void OnReadError(ErrorCode error);
  void Dispatch();
  // Answers on behalf of the server and closes: the rest of the request is unknown.
  void Refuse(int status, std::string_view message);
  void Respond(HttpResponse answer, bool keep_alive);
  void WriteSome();
  void OnWritten(ErrorCode error);
  void Linger();
  void ReleaseBytes();

  ServerState* const server_;
  IoLoop* const loop_;
  boost::beast::tcp_stream stream_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  std::unique_ptr<char[]> chunk_;  // where the parser puts the next part of the body
  std::string body_;
  size_t request_bytes_held_ = 0;
  size_t response_bytes_held_ = 0;
  std::optional<Response> response_;
  std::optional<Serializer> serializer_;
  bool idle_ = false;
  bool head_request_ = false;
  unsigned version_ = 11;
  size_t lingered_bytes_ = 0;
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_HTTP_SESSION_H_
