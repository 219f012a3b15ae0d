// Strings out of fields, and fields into a string.
#include "tools/serve/http_head.h"

#include <algorithm>
#include <ctime>
#include <string_view>
#include <utility>

#include "lib/base/strings.h"

namespace tinyobs::serve {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;

// Made once a second: it costs as much as a parser.
std::string_view HttpDate() {
  thread_local std::time_t made_at = -1;
  thread_local char text[40];
  thread_local size_t size = 0;
  if (const std::time_t now = std::time(nullptr); now != made_at) {
    std::tm parts;
    gmtime_r(&now, &parts);
    size = std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    made_at = now;
  }
  return {text, size};
}

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

}  // namespace

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

bool IsBodiless(const HttpResponse& answer) { return answer.status == 204 || answer.status == 304; }

std::string HeadOf(const HttpResponse& answer, unsigned version, bool keep_alive) {
  const auto reason = http::obsolete_reason(static_cast<http::status>(answer.status));
  std::string head = StrCat("HTTP/1.", version - 10, " ", answer.status, " ",
                            std::string_view(reason.data(), reason.size()), "\r\n");
  for (const auto& [name, value] : answer.headers) StrAppend(&head, name, ": ", value, "\r\n");
  StrAppend(&head, "Date: ", HttpDate(), "\r\n");
  if (version < 11 && keep_alive) head.append("Connection: keep-alive\r\n");
  if (version >= 11 && !keep_alive) head.append("Connection: close\r\n");
  if (!IsBodiless(answer)) StrAppend(&head, "Content-Length: ", answer.body.size(), "\r\n");
  return head.append("\r\n");
}

}  // namespace tinyobs::serve
