// The pages: GET of every path that is not an API route.
//
// The browser asks again each time (Cache-Control: no-cache) and gets 304 while the ETag is the
// same, so a new binary is seen at once and an old page costs one small answer. The
// Content-Security-Policy lets the page load nothing from elsewhere and run no inline script: a
// metric's name can never become code.
//
// Thread-safety: the handler is thread-safe when `find` is.
#ifndef TINYOBS_TOOLS_SERVE_DASHBOARD_HANDLER_H_
#define TINYOBS_TOOLS_SERVE_DASHBOARD_HANDLER_H_

#include <functional>
#include <optional>
#include <string_view>

#include "tools/serve/http_message.h"

namespace tinyobs::serve {

struct Page {
  std::string_view content_type;
  std::string_view body;
  std::string_view etag;  // with its quotes
};
// The page at a URL path; "/" is the start page. The views live as long as the program.
using FindPage = std::function<std::optional<Page>(std::string_view path)>;

// /dashboard.html, the address of old versions, is sent to "/". 404 for what `find` does not know.
Handler DashboardHandler(FindPage find);

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_DASHBOARD_HANDLER_H_
