// Listening, dealing connections out to the loops, and stopping.
#include "tools/serve/http_server.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "lib/base/strings.h"
#include "tinyobs/clock.h"
#include "tools/serve/http_session.h"

namespace tinyobs::serve {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using ErrorCode = boost::system::error_code;

// Ends where the connection ends, so it needs no length.
constexpr std::string_view kTooManyConnections =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
    "Connection: close\r\n\r\n"
    "{\"error\":\"Service Unavailable\",\"message\":\"too many connections\"}\n";

constexpr int64_t kAcceptRetryMs = 100;
constexpr int64_t kLongestSweepMs = 1'000;

size_t Cores() { return std::max<size_t>(1, std::thread::hardware_concurrency()); }

absl::Status ListenError(const HttpServerOptions& options, const ErrorCode& error) {
  const std::string what =
      StrCat("cannot listen on ", options.address, ":", options.port, ": ", error.message());
  if (error == asio::error::address_in_use) {
    return absl::FailedPreconditionError(
        StrCat(what,
               ". Another program uses this port; stop it, or choose another one with "
               "--web.listen-address=",
               options.address, ":PORT"));
  }
  if (error == asio::error::access_denied) {
    return absl::PermissionDeniedError(
        StrCat(what,
               ". Ports below 1024 need privileges; choose a higher one with "
               "--web.listen-address=",
               options.address, ":PORT"));
  }
  return absl::InvalidArgumentError(
      StrCat(what, ". --web.listen-address must be an IP address of this machine and a port"));
}

}  // namespace

class HttpServer::Impl {
 public:
  explicit Impl(const HttpServerOptions& options) : state_(options) {
    const size_t count = options.io_threads > 0 ? options.io_threads : std::min<size_t>(4, Cores());
    for (size_t i = 0; i < count; ++i) loops_.push_back(std::make_unique<IoLoop>());
    acceptor_.emplace(loops_[0]->context);
    accept_retry_.emplace(loops_[0]->context);
  }

  absl::Status Listen() {
    const HttpServerOptions& options = state_.options;
    ErrorCode error;
    const auto address = asio::ip::make_address(
        options.address == "localhost" ? "127.0.0.1" : options.address, error);
    if (error) return ListenError(options, error);
    const tcp::endpoint endpoint(address, options.port);
    acceptor_->open(endpoint.protocol(), error);
    if (error) return ListenError(options, error);
    acceptor_->set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_->bind(endpoint, error);
    if (!error) acceptor_->listen(asio::socket_base::max_listen_connections, error);
    if (error) return ListenError(options, error);
    port_ = acceptor_->local_endpoint(error).port();
    return error ? ListenError(options, error) : absl::OkStatus();
  }

  void Serve(Handler handler, KindOf kind_of) {
    state_.handler = std::move(handler);
    state_.kind_of = std::move(kind_of);
    const size_t threads = state_.options.handler_threads > 0
                               ? state_.options.handler_threads
                               : std::clamp<size_t>(2 * Cores(), 4, 16);
    pool_.emplace(threads, state_.options.handler_queue);
    state_.pool = &*pool_;
    slow_pool_.emplace(state_.kind_of ? state_.options.slow_handler_threads : 0,
                       state_.options.handler_queue);
    state_.slow_pool = &*slow_pool_;
    Accept();
    for (const auto& loop : loops_) {
      CloseLate(loop.get());
      loop->Start();
    }
  }

  void Stop() {
    if (state_.stopping.exchange(true)) return;
    if (!pool_.has_value()) return;  // never served
    asio::post(loops_[0]->context, [this] {
      ErrorCode ignored;
      acceptor_->close(ignored);
      accept_retry_->cancel();
    });
    ForEachSession([](HttpSession* session) { session->CloseIfIdle(); });
    WaitForSessions(state_.options.stop_timeout_ms);
    ForEachSession([](HttpSession* session) { session->CloseNow(); });
    pool_->Stop();
    slow_pool_->Stop();
    // Their last callbacks run with an error now.
    WaitForSessions(/*timeout_ms=*/5'000);
    for (const auto& loop : loops_) loop->Stop();
  }

  uint16_t port() const { return port_; }

 private:
  void Accept() {
    IoLoop* const loop = loops_[next_loop_++ % loops_.size()].get();
    acceptor_->async_accept(loop->context, [this, loop](ErrorCode error, tcp::socket socket) {
      if (state_.stopping || error == asio::error::operation_aborted) return;
      if (error) {
        // Out of file handles, mostly. Trying again at once would spin.
        accept_retry_->expires_after(std::chrono::milliseconds(kAcceptRetryMs));
        accept_retry_->async_wait([this](ErrorCode wait_error) {
          if (!wait_error && !state_.stopping) Accept();
        });
        return;
      }
      Welcome(loop, std::move(socket));
      Accept();
    });
  }

  void Welcome(IoLoop* loop, tcp::socket socket) {
    ++state_.counters->connections_accepted;
    ErrorCode ignored;
    if (!state_.TryBeginSession()) {
      ++state_.counters->connections_refused;
      socket.non_blocking(true, ignored);
      socket.write_some(asio::buffer(kTooManyConnections.data(), kTooManyConnections.size()),
                        ignored);
      socket.shutdown(tcp::socket::shutdown_send, ignored);
      return;
    }
    socket.set_option(tcp::no_delay(true), ignored);
    socket.non_blocking(true, ignored);
    asio::post(
        loop->context, [this, loop, socket = std::move(socket), seat = Seat(&state_)]() mutable {
          if (state_.stopping) return;
          std::make_shared<HttpSession>(std::move(socket), std::move(seat), &state_, loop)->Start();
        });
  }

  // Now and then, for ever: limits of time are kept to within a quarter, or a second.
  void CloseLate(IoLoop* loop) {
    const HttpServerOptions& options = state_.options;
    const int64_t shortest_ms = std::min({options.header_timeout_ms, options.body_timeout_ms,
                                          options.write_timeout_ms, options.idle_timeout_ms});
    loop->sweep.expires_after(
        std::chrono::milliseconds(std::clamp<int64_t>(shortest_ms / 4, 1, kLongestSweepMs)));
    loop->sweep.async_wait([this, loop](ErrorCode error) {
      if (error) return;
      const int64_t now_ns = Clock::System()->MonotonicNs();
      for (HttpSession* session : loop->sessions) session->CloseIfLate(now_ns);
      CloseLate(loop);
    });
  }

  template <typename Action>
  void ForEachSession(const Action& action) {
    for (const auto& loop : loops_) {
      asio::post(loop->context, [loop = loop.get(), action] {
        // A copy: closing may end a session, which leaves the set.
        const std::vector<HttpSession*> sessions(loop->sessions.begin(), loop->sessions.end());
        for (HttpSession* session : sessions) action(session);
      });
    }
  }

  void WaitForSessions(int64_t timeout_ms) {
    Clock* const clock = Clock::System();
    const int64_t deadline_ns = clock->MonotonicNs() + timeout_ms * 1'000'000;
    MutexLock lock(&state_.mutex);
    while (state_.sessions > 0) {
      const int64_t left_ms = (deadline_ns - clock->MonotonicNs()) / 1'000'000;
      if (left_ms <= 0) return;
      state_.session_ended.WaitFor(&state_.mutex, left_ms);
    }
  }

  // Before the loops: callbacks that never ran hold sessions, which refer to the state and go with
  // their loop.
  ServerState state_;
  std::vector<std::unique_ptr<IoLoop>> loops_;
  std::optional<tcp::acceptor> acceptor_;
  std::optional<asio::steady_timer> accept_retry_;
  std::optional<WorkerPool> pool_;
  std::optional<WorkerPool> slow_pool_;
  size_t next_loop_ = 0;
  uint16_t port_ = 0;
};

HttpServer::HttpServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpServer::~HttpServer() { Stop(); }

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Listen(const HttpServerOptions& options) {
  auto impl = std::make_unique<Impl>(options);
  if (absl::Status status = impl->Listen(); !status.ok()) return status;
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

uint16_t HttpServer::port() const { return impl_->port(); }
void HttpServer::Serve(Handler handler, KindOf kind_of) {
  impl_->Serve(std::move(handler), std::move(kind_of));
}
void HttpServer::Stop() { impl_->Stop(); }

}  // namespace tinyobs::serve
