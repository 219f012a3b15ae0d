// What HTTP says before a body: a request's head as Beast has parsed it made an HttpRequest, and an
// answer's written as text. By hand, and not by Beast's serializer, which keeps each field in an
// allocation of its own.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_TOOLS_SERVE_HTTP_HEAD_H_
#define TINYOBS_TOOLS_SERVE_HTTP_HEAD_H_

#include <string>

#include "tools/serve/asio.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

// A target in absolute form, as for a proxy, becomes its path, and its authority the Host header.
HttpRequest MakeRequest(const boost::beast::http::request<boost::beast::http::buffer_body>& message,
                        std::string body);

// The answer is one without a body, whatever it holds.
bool IsBodiless(const HttpResponse& answer);

// Everything up to the body, with Date, Content-Length and Connection. `version`: of the request,
// 10 or 11.
std::string HeadOf(const HttpResponse& answer, unsigned version, bool keep_alive);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_HTTP_HEAD_H_
