// Comparisons of names; nothing is resolved.
#include "tools/serve/access.h"

#include <algorithm>

#include "lib/base/strings.h"

namespace tinyobs::serve {
namespace {

// "host", "host:port", "[v6]", "[v6]:port" without the port. "" when what follows the name is not a
// port: "localhost:80@evil.example" is a URL's user and host to some readers.
std::string_view WithoutPort(std::string_view host) {
  const size_t end = host.starts_with('[') ? host.find(']') : host.find(':');
  if (end == std::string_view::npos) return host;
  const std::string_view name = host.substr(0, host.starts_with('[') ? end + 1 : end);
  std::string_view port = host.substr(name.size());
  if (port.empty()) return name;
  if (!port.starts_with(':')) return {};
  port.remove_prefix(1);
  const bool digits = port.find_first_not_of("0123456789") == std::string_view::npos;
  return digits ? name : std::string_view();
}

std::string HostOf(std::string_view address) {
  return address.find(':') == std::string_view::npos ? std::string(address)
                                                     : StrCat("[", address, "]");
}

}  // namespace

bool IsLoopbackAddress(std::string_view address) {
  return address == "localhost" || address == "::1" || address.starts_with("127.");
}

AccessPolicy::AccessPolicy(std::string_view listen_address, uint16_t port)
    : loopback_only_(IsLoopbackAddress(listen_address)), listen_host_(HostOf(listen_address)) {
  for (const uint16_t page_port : {port, uint16_t{3000}}) {
    for (const std::string_view name : {"localhost", "127.0.0.1"}) {
      cors_origins_.push_back(StrCat("http://", name, ":", page_port));
    }
  }
}

bool AccessPolicy::HostAllowed(std::string_view host) const {
  if (!loopback_only_ || host.empty()) return true;
  const std::string_view name = WithoutPort(host);
  return EqualsIgnoringCase(name, "localhost") || name == "127.0.0.1" || name == "[::1]" ||
         name == listen_host_;
}

bool AccessPolicy::OriginAllowed(std::string_view origin, std::string_view host) const {
  if (origin.empty() || IsCorsOrigin(origin)) return true;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (origin.starts_with(scheme) && !host.empty() &&
        EqualsIgnoringCase(origin.substr(scheme.size()), host)) {
      return true;
    }
  }
  return false;
}

void AccessPolicy::AddCorsHeaders(std::string_view origin, HttpResponse* response) const {
  if (!IsCorsOrigin(origin)) return;
  response->SetHeader("Access-Control-Allow-Origin", origin);
  response->SetHeader("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
  response->SetHeader("Access-Control-Allow-Headers", "Content-Type, Authorization");
  response->SetHeader("Access-Control-Allow-Credentials", "true");
  response->SetHeader("Vary", "Origin");
}

bool AccessPolicy::IsCorsOrigin(std::string_view origin) const {
  return std::find(cors_origins_.begin(), cors_origins_.end(), origin) != cors_origins_.end();
}

}  // namespace tinyobs::serve
