// The steps of a connection.
#include "tools/serve/http_session.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <utility>

#include "lib/base/strings.h"
#include "lib/wire/query_json.h"
#include "tinyobs/clock.h"
#include "tools/serve/http_head.h"

namespace tinyobs::serve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

constexpr size_t kChunkBytes = 16 << 10;
constexpr int64_t kLingerMs = 2'000;
constexpr int64_t kNsInMs = 1'000'000;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

HttpResponse PlainError(int status, std::string_view message) {
  HttpResponse response{.status = status, .headers = {}, .body = {}};
  response.SetHeader("Content-Type", "application/json");
  if (status == 503) response.SetHeader("Retry-After", "1");
  response.body = wire::ErrorJson(StatusText(status), message);
  return response;
}

// The last line of defence: handlers do not throw, but memory can run out under any of them.
HttpResponse CallHandler(const Handler& handler, const HttpRequest& request) {
  try {
    return handler(request);
  } catch (const std::exception& error) {
    return PlainError(500, error.what());
  } catch (...) {
    return PlainError(500, "unknown error");
  }
}

}  // namespace

// The session lives in here while its handler runs, and is let go of by the leader: were a thread
// of the pool the last to, it would be destroyed there.
class HttpSession::Exchange : public Errand {
 public:
  Exchange(std::shared_ptr<HttpSession> session, HttpRequest request, bool keep_alive)
      : session_(std::move(session)), request_(std::move(request)), keep_alive_(keep_alive) {}

  void Run() override {
    answer_ = CallHandler(session_->server_->handler, request_);
    request_ = {};
  }
  void TakesLong() override { session_->WatchClient(); }
  void Finish() override { session_->Respond(std::move(answer_), keep_alive_); }

  // On a pool.
  static void RunAndPost(std::shared_ptr<Exchange> exchange) {
    exchange->Run();
    asio::io_context& context = exchange->session_->loop_->context;
    asio::post(context, [exchange = std::move(exchange)] { exchange->Finish(); });
  }

 private:
  const std::shared_ptr<HttpSession> session_;
  HttpRequest request_;
  const bool keep_alive_;
  HttpResponse answer_;
};

HttpSession::HttpSession(asio::ip::tcp::socket socket, Seat seat, ServerState* server, IoLoop* loop)
    : seat_(std::move(seat)),
      server_(server),
      loop_(loop),
      socket_(std::move(socket)),
      buffer_(server->options.max_header_bytes + (64 << 10)),
      request_memory_(server->request_bytes) {
  loop_->sessions.insert(this);
}

HttpSession::~HttpSession() {
  ReleaseBytes();
  loop_->sessions.erase(this);
}

void HttpSession::ReleaseBytes() {
  request_memory_.Clear();
  response_memory_.Clear();
}

void HttpSession::SetTimeout(int64_t timeout_ms) {
  deadline_ns_ = timeout_ms > 0 ? Clock::System()->MonotonicNs() + timeout_ms * kNsInMs : INT64_MAX;
}

void HttpSession::CloseIfIdle() {
  if (idle_) CloseNow();
}

void HttpSession::CloseNow() {
  if (abandoned_ != nullptr) *abandoned_ = true;
  ErrorCode ignored;
  socket_.close(ignored);
}

void HttpSession::CloseIfLate(int64_t now_ns) {
  if (now_ns < deadline_ns_) return;
  // Who says nothing for too long, or does not take leave, breaks no rule.
  if (!idle_ && !lingers_) ++server_->counters->timeouts;
  deadline_ns_ = INT64_MAX;
  CloseNow();
}

void HttpSession::WaitForRequest() {
  ReleaseBytes();
  if (server_->stopping) {
    Linger();
    return;
  }
  std::string().swap(body_);
  if (buffer_.size() > 0) {
    // Pipelined. Others have their turn first, and nothing is called ever deeper.
    asio::post(loop_->context, [self = shared_from_this()] { self->ReadHeader(); });
    return;
  }
  idle_ = true;
  SetTimeout(server_->options.idle_timeout_ms);
  socket_.async_read_some(buffer_.prepare(4096),
                          [self = shared_from_this()](ErrorCode error, size_t bytes) {
                            self->idle_ = false;
                            if (error) return;  // closed, or idle for too long: nobody to tell
                            self->buffer_.commit(bytes);
                            self->ReadHeader();
                          });
}

void HttpSession::ReadHeader() {
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(server_->options.max_header_bytes));
  parser_->body_limit(server_->options.max_body_bytes);
  // Mostly all of it is there.
  ErrorCode error;
  buffer_.consume(parser_->put(buffer_.data(), error));
  if (error != http::error::need_more) {
    OnHeader(error);
    return;
  }
  SetTimeout(server_->options.header_timeout_ms);
  http::async_read_header(
      socket_, buffer_, *parser_,
      [self = shared_from_this()](ErrorCode read_error, size_t) { self->OnHeader(read_error); });
}

void HttpSession::OnHeader(ErrorCode error) {
  if (error) {
    OnReadError(error);
    return;
  }
  const auto& message = parser_->get();
  version_ = message.version();
  head_request_ = message.method() == http::verb::head;
  // Two Host headers: whoever stands before us may have believed the other one.
  const size_t hosts = message.count(http::field::host);
  if (hosts > 1 || (hosts == 0 && version_ >= 11)) {
    ++server_->counters->requests_malformed;
    Refuse(400, hosts > 1 ? "more than one Host header" : "no Host header");
    return;
  }
  if (!parser_->is_done()) SetTimeout(server_->options.body_timeout_ms);
  if (version_ >= 11 && !parser_->is_done() &&
      beast::iequals(message[http::field::expect], "100-continue")) {
    asio::async_write(socket_, asio::buffer(kContinue.data(), kContinue.size()),
                      [self = shared_from_this()](ErrorCode write_error, size_t) {
                        if (!write_error) self->ReadBody();
                      });
    return;
  }
  ReadBody();
}

void HttpSession::ReadBody() {
  if (parser_->is_done()) {
    chunk_.reset();
    Dispatch();
    return;
  }
  if (chunk_ == nullptr) chunk_ = std::make_unique_for_overwrite<char[]>(kChunkBytes);
  auto& body = parser_->get().body();
  body.data = chunk_.get();
  body.size = kChunkBytes;
  body.more = true;
  http::async_read_some(
      socket_, buffer_, *parser_,
      [self = shared_from_this()](ErrorCode error, size_t) { self->OnBody(error); });
}

void HttpSession::OnBody(ErrorCode error) {
  // need_buffer only says that the chunk is full.
  if (error && error != http::error::need_buffer) {
    OnReadError(error);
    return;
  }
  const size_t bytes = kChunkBytes - parser_->get().body().size;
  if (!request_memory_.Resize(request_memory_.bytes() + bytes)) {
    ++server_->counters->requests_refused;
    Refuse(503, "too many request bodies at once");
    return;
  }
  server_->counters->request_body_bytes += bytes;
  body_.append(chunk_.get(), bytes);
  ReadBody();
}

void HttpSession::OnReadError(ErrorCode error) {
  if (error == http::error::body_limit) {
    Refuse(413, "request body too large (max " + std::to_string(server_->options.max_body_bytes) +
                    " bytes)");
  } else if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    Refuse(431, "request header too large (max " +
                    std::to_string(server_->options.max_header_bytes) + " bytes)");
  } else if (error.category() == make_error_code(http::error::bad_method).category() &&
             error != http::error::end_of_stream && error != http::error::partial_message) {
    ++server_->counters->requests_malformed;
    Refuse(400, "malformed HTTP: " + error.message());
  }
  // Else the client went away, or was late and the socket is closed.
}

void HttpSession::Dispatch() {
  HttpRequest request = MakeRequest(parser_->get(), std::move(body_));
  request.received_ns = Clock::System()->MonotonicNs();
  const RequestKind kind =
      server_->kind_of == nullptr ? RequestKind::kShort : server_->kind_of(request);
  if (kind != RequestKind::kShort) {
    abandoned_ = std::make_shared<std::atomic<bool>>(false);
    request.abandoned = abandoned_;
  }
  const bool keep_alive = parser_->keep_alive();
  std::string().swap(body_);
  parser_.reset();
  SetTimeout(0);
  auto exchange = std::make_unique<Exchange>(shared_from_this(), std::move(request), keep_alive);
  if (kind == RequestKind::kQuery) {
    std::unique_ptr<Errand> errand = std::move(exchange);
    if (loop_->TryRun(&errand)) return;
    exchange.reset(static_cast<Exchange*>(errand.release()));
  }
  WorkerPool* const pool = kind == RequestKind::kShort ? server_->pool : server_->slow_pool;
  if (!pool->TrySubmit([exchange = std::shared_ptr<Exchange>(std::move(exchange))]() mutable {
        Exchange::RunAndPost(std::move(exchange));
      })) {
    ++server_->counters->requests_refused;
    Respond(PlainError(503, "the server is busy, try again"), keep_alive);
    return;
  }
  if (kind != RequestKind::kShort) WatchClient();
}

void HttpSession::WatchClient() {
  watched_ = true;
  socket_.async_wait(asio::ip::tcp::socket::wait_read, [self = shared_from_this(),
                                                        abandoned = abandoned_](ErrorCode error) {
    // Answered meanwhile, or closed by us.
    if (error || self->abandoned_ != abandoned) return;
    char byte = 0;
    const ssize_t peeked = recv(self->socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    const bool open = peeked > 0 || (peeked < 0 && (errno == EAGAIN || errno == EINTR));
    if (!open) *abandoned = true;
  });
}

void HttpSession::Refuse(int status, std::string_view message) {
  chunk_.reset();
  std::string().swap(body_);
  parser_.reset();
  Respond(PlainError(status, message), /*keep_alive=*/false);
}

void HttpSession::Respond(HttpResponse answer, bool keep_alive) {
  abandoned_.reset();
  if (std::exchange(watched_, false)) {
    ErrorCode ignored;
    socket_.cancel(ignored);
  }
  request_memory_.Clear();
  response_memory_ =
      answer.memory.has_budget() ? std::move(answer.memory) : ByteLease(server_->response_bytes);
  if (!response_memory_.Resize(answer.body.size())) {
    ++server_->counters->requests_refused;
    response_memory_.Clear();
    answer = PlainError(503, "too many large answers at once, try again");
  }
  ++server_->counters->responses_by_class[std::clamp(answer.status / 100, 0, 5)];
  keep_alive_ = keep_alive && !server_->stopping;
  head_ = HeadOf(answer, version_, keep_alive_);
  answer_ = IsBodiless(answer) || head_request_ ? std::string() : std::move(answer.body);
  server_->counters->response_body_bytes += answer_.size();
  written_ = 0;
  Write();
}

void HttpSession::Write() {
  while (written_ < head_.size() + answer_.size()) {
    const size_t of_head = std::min(written_, head_.size());
    const size_t of_body = written_ - of_head;
    const std::array<asio::const_buffer, 2> rest = {
        asio::buffer(head_.data() + of_head, head_.size() - of_head),
        asio::buffer(answer_.data() + of_body, answer_.size() - of_body)};
    ErrorCode error;
    written_ += socket_.write_some(rest, error);
    if (error == asio::error::would_block) {
      SetTimeout(server_->options.write_timeout_ms);
      socket_.async_wait(asio::ip::tcp::socket::wait_write,
                         [self = shared_from_this()](ErrorCode wait_error) {
                           if (!wait_error) self->Write();
                         });
      return;
    }
    if (error) return;  // the client is gone
  }
  std::string().swap(answer_);  // an assignment would keep its memory
  if (keep_alive_) {
    WaitForRequest();
  } else {
    Linger();
  }
}

void HttpSession::Linger() {
  ReleaseBytes();
  ErrorCode ignored;
  if (!std::exchange(lingers_, true)) {
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    SetTimeout(kLingerMs);
  }
  buffer_.clear();
  socket_.async_read_some(buffer_.prepare(kChunkBytes),
                          [self = shared_from_this()](ErrorCode error, size_t bytes) {
                            self->lingered_bytes_ += bytes;
                            const size_t limit = 4 * self->server_->options.max_body_bytes;
                            if (error || bytes == 0 || self->lingered_bytes_ > limit) {
                              self->CloseNow();
                              return;
                            }
                            self->Linger();
                          });
}

}  // namespace tinyobs::serve
