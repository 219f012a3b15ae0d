// Who may talk to the server, as far as a browser's headers tell.
//
// A server on loopback without a password is reachable by every page the user opens, in two ways:
//  1. DNS rebinding: a foreign name is made to point at 127.0.0.1, and the page of that name is
//     then "same origin" with us. Guard: while we listen on loopback only, the Host header must
//     name this machine: localhost, 127.0.0.1, [::1], or the address we listen on.
//  2. Cross-site requests: a foreign page sends a POST without being able to read the answer.
//     Guard: a POST with an Origin must come from one of our own.
// Reading answers across origins is the browser's to refuse; CORS headers, as the Go original sends
// them, open it for development pages on ports of this machine.
//
// No Host or no Origin header is allowed: browsers always send them, so it is a program, which
// could send anything.
//
// Thread-safety: immutable.
#ifndef TINYOBS_TOOLS_SERVE_ACCESS_H_
#define TINYOBS_TOOLS_SERVE_ACCESS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tools/serve/http_message.h"

namespace tinyobs::serve {

// 127.0.0.0/8, ::1 and "localhost".
bool IsLoopbackAddress(std::string_view address);

class AccessPolicy {
 public:
  AccessPolicy(std::string_view listen_address, uint16_t port);

  // False: the Host header is not a name of this machine, with or without a port in digits, while
  // only this machine may connect.
  bool HostAllowed(std::string_view host) const;
  // False: a page from elsewhere. `host` is the request's Host header.
  bool OriginAllowed(std::string_view origin, std::string_view host) const;
  // Adds the Access-Control headers when the origin is one of the development pages.
  void AddCorsHeaders(std::string_view origin, HttpResponse* response) const;

 private:
  bool IsCorsOrigin(std::string_view origin) const;

  const bool loopback_only_;
  const std::string listen_host_;  // as a Host header names it: "127.0.0.2", "[::1]"
  std::vector<std::string> cors_origins_;
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_ACCESS_H_
