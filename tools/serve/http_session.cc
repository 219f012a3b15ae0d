// The steps of a connection.
#include "tools/serve/http_session.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <exception>
#include <utility>

#include "lib/base/strings.h"
#include "lib/wire/query_json.h"
#include "tinyobs/clock.h"

namespace tinyobs::serve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

constexpr size_t kChunkBytes = 16 << 10;
constexpr int64_t kLingerMs = 2'000;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

std::chrono::milliseconds Ms(int64_t ms) { return std::chrono::milliseconds(ms); }

std::string HttpDate() {
  const std::time_t now = std::time(nullptr);
  std::tm parts;
  gmtime_r(&now, &parts);
  char text[40];
  return std::string(text, std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts));
}

beast::string_view ToBeast(std::string_view text) { return {text.data(), text.size()}; }
std::string ToString(beast::string_view text) { return std::string(text.data(), text.size()); }

// A request target: "/path?query", or the same behind "http://authority" as for a proxy.
struct Target {
  std::string authority;  // "" when the target has none
  std::string path_and_query;
};

Target SplitTarget(std::string_view target) {
  constexpr std::string_view kScheme = "http://";
  if (!EqualsIgnoringCase(target.substr(0, kScheme.size()), kScheme)) {
    return {.authority = "", .path_and_query = std::string(target)};
  }
  target.remove_prefix(kScheme.size());
  const size_t end = std::min(target.find_first_of("/?"), target.size());
  const std::string_view rest = target.substr(end);
  return {.authority = std::string(target.substr(0, end)),
          .path_and_query = StrCat(rest.starts_with('/') ? "" : "/", rest)};
}

HttpRequest MakeRequest(const http::request<http::buffer_body>& message, std::string body) {
  HttpRequest request;
  request.method = ToString(message.method_string());
  const Target parts = SplitTarget({message.target().data(), message.target().size()});
  const std::string& target = parts.path_and_query;
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);
  for (const auto& field : message) {
    if (!parts.authority.empty() && field.name() == http::field::host) continue;
    request.headers.emplace_back(ToString(field.name_string()), ToString(field.value()));
  }
  if (!parts.authority.empty()) request.headers.emplace_back("Host", parts.authority);
  request.body = std::move(body);
  return request;
}

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

HttpSession::HttpSession(asio::ip::tcp::socket socket, Seat seat, ServerState* server, IoLoop* loop)
    : seat_(std::move(seat)),
      server_(server),
      loop_(loop),
      stream_(std::move(socket)),
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

void HttpSession::CloseIfIdle() {
  if (idle_) CloseNow();
}

void HttpSession::CloseNow() {
  if (abandoned_ != nullptr) *abandoned_ = true;
  stream_.close();
}

void HttpSession::WaitForRequest() {
  ReleaseBytes();
  if (server_->stopping) {
    Linger();
    return;
  }
  body_ = std::string();
  if (buffer_.size() > 0) {
    ReadHeader();
    return;
  }
  idle_ = true;
  stream_.expires_after(Ms(server_->options.idle_timeout_ms));
  stream_.async_read_some(buffer_.prepare(4096),
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
  stream_.expires_after(Ms(server_->options.header_timeout_ms));
  http::async_read_header(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](ErrorCode error, size_t) { self->OnHeader(error); });
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
  stream_.expires_after(Ms(server_->options.body_timeout_ms));
  if (version_ >= 11 && !parser_->is_done() &&
      beast::iequals(message[http::field::expect], "100-continue")) {
    asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()),
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
      stream_, buffer_, *parser_,
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
  if (error == beast::error::timeout) {
    ++server_->counters->timeouts;  // the stream has closed itself
    return;
  }
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
  // Else the client went away.
}

void HttpSession::Dispatch() {
  const bool keep_alive = parser_->keep_alive();
  auto request = std::make_shared<HttpRequest>(MakeRequest(parser_->get(), std::move(body_)));
  request->received_ns = Clock::System()->MonotonicNs();
  const bool slow = server_->is_slow && server_->is_slow(*request);
  if (slow) {
    abandoned_ = std::make_shared<std::atomic<bool>>(false);
    request->abandoned = abandoned_;
  }
  body_ = std::string();
  parser_.reset();
  stream_.expires_never();
  // The task gives its hold on the session away with the answer: were it the last one to let go,
  // the session would be destroyed on a thread that is not its own.
  auto task = [self = shared_from_this(), request, keep_alive]() mutable {
    HttpResponse answer = CallHandler(self->server_->handler, *request);
    request.reset();
    auto executor = self->stream_.get_executor();
    asio::post(executor,
               [self = std::move(self), answer = std::move(answer), keep_alive]() mutable {
                 HttpSession* const session = self.get();
                 session->Respond(std::move(answer), keep_alive);
               });
  };
  if (!(slow ? server_->slow_pool : server_->pool)->TrySubmit(std::move(task))) {
    ++server_->counters->requests_refused;
    Respond(PlainError(503, "the server is busy, try again"), keep_alive);
    return;
  }
  if (slow) WatchClient();
}

void HttpSession::WatchClient() {
  stream_.socket().async_wait(
      asio::ip::tcp::socket::wait_read,
      [self = shared_from_this(), abandoned = abandoned_](ErrorCode error) {
        // Answered meanwhile, or closed by us.
        if (error || self->abandoned_ != abandoned) return;
        char byte = 0;
        const ssize_t peeked =
            recv(self->stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
        const bool open = peeked > 0 || (peeked < 0 && (errno == EAGAIN || errno == EINTR));
        if (!open) *abandoned = true;
      });
}

void HttpSession::Refuse(int status, std::string_view message) {
  chunk_.reset();
  body_ = std::string();
  parser_.reset();
  Respond(PlainError(status, message), /*keep_alive=*/false);
}

void HttpSession::Respond(HttpResponse answer, bool keep_alive) {
  if (abandoned_ != nullptr) {
    abandoned_.reset();
    ErrorCode ignored;
    stream_.socket().cancel(ignored);  // the watch
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
  const bool bodiless = answer.status == 204 || answer.status == 304;
  response_.emplace(static_cast<http::status>(answer.status), version_);
  for (const auto& [name, value] : answer.headers) response_->insert(ToBeast(name), ToBeast(value));
  response_->set(http::field::date, HttpDate());
  response_->keep_alive(keep_alive && !server_->stopping);
  if (!bodiless) response_->content_length(answer.body.size());
  if (!bodiless && !head_request_) response_->body() = std::move(answer.body);
  server_->counters->response_body_bytes += response_->body().size();
  serializer_.emplace(*response_);
  WriteSome();
}

void HttpSession::WriteSome() {
  stream_.expires_after(Ms(server_->options.write_timeout_ms));
  http::async_write_some(
      stream_, *serializer_,
      [self = shared_from_this()](ErrorCode error, size_t) { self->OnWritten(error); });
}

void HttpSession::OnWritten(ErrorCode error) {
  if (error) {
    if (error == beast::error::timeout) ++server_->counters->timeouts;
    return;
  }
  if (!serializer_->is_done()) {
    WriteSome();
    return;
  }
  const bool keep_alive = response_->keep_alive();
  serializer_.reset();
  response_.reset();
  if (keep_alive) {
    WaitForRequest();
  } else {
    Linger();
  }
}

void HttpSession::Linger() {
  ReleaseBytes();
  ErrorCode ignored;
  if (lingered_bytes_ == 0) {
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    stream_.expires_after(Ms(kLingerMs));
  }
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(kChunkBytes),
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
