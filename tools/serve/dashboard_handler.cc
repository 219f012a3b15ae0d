// ETags and headers around constant bytes.
#include "tools/serve/dashboard_handler.h"

#include <utility>

#include "tools/serve/answers.h"

namespace tinyobs::serve {
namespace {

constexpr std::string_view kSecurityPolicy = "default-src 'self'; style-src 'self' 'unsafe-inline'";

// Weak comparison: the same page compressed has the same tag with W/ in front.
bool TagListContains(std::string_view list, std::string_view etag) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    std::string_view tag = list.substr(0, comma);
    list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    while (tag.starts_with(' ')) tag.remove_prefix(1);
    while (tag.ends_with(' ')) tag.remove_suffix(1);
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    if (tag == etag || tag == "*") return true;
  }
  return false;
}

}  // namespace

Handler DashboardHandler(FindPage find) {
  return [find = std::move(find)](const HttpRequest& request) {
    HttpResponse response;
    if (request.path == "/dashboard.html") {
      response.status = 302;
      response.SetHeader("Location", "/");
      return response;
    }
    const std::optional<Page> page = find(request.path);
    if (!page.has_value()) return NotFoundResponse();
    response.SetHeader("ETag", page->etag);
    response.SetHeader("Cache-Control", "no-cache");
    response.SetHeader("Content-Security-Policy", kSecurityPolicy);
    response.SetHeader("X-Content-Type-Options", "nosniff");
    response.SetHeader("Referrer-Policy", "no-referrer");
    if (TagListContains(request.Header("If-None-Match"), page->etag)) {
      response.status = 304;
      return response;
    }
    response.SetHeader("Content-Type", page->content_type);
    response.body = std::string(page->body);
    return response;
  };
}

}  // namespace tinyobs::serve
