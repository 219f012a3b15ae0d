// The usual client: samples go to a TinyObs server by POST /v1/ingest.
//
// Separate from client.h because it alone needs libcurl: a program that writes into a linked
// database (tinyobs/sdk/in_process_transport.h) does not.
#ifndef TINYOBS_SDK_HTTP_CLIENT_H_
#define TINYOBS_SDK_HTTP_CLIENT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tinyobs/sdk/client.h"
#include "tinyobs/sdk/transport.h"

namespace tinyobs::sdk {

struct HttpOptions {
  std::string endpoint = "http://localhost:8080/v1/ingest";
  std::string api_key = "";
  int64_t timeout_ms = 5000;  // for a whole request, connecting included
};

// One connection, kept open between requests. Answers of the server: 2xx = OK; 429, 5xx, no
// connection, no answer in time = Unavailable; 400, 413 = InvalidArgument with the server's
// message; 401, 403 = PermissionDenied; anything else, redirects included, = FailedPrecondition.
// Installs no signal handler and uses no SIGALRM. A proxy from the environment (http_proxy) is
// used unless the endpoint is this machine.
// InvalidArgument: the endpoint is no http or https URL, or the key holds control characters.
absl::StatusOr<std::unique_ptr<Transport>> NewHttpTransport(HttpOptions options);

// Client::Create over NewHttpTransport with the endpoint, key and timeout of `config`. Connects at
// the first flush, not here.
absl::StatusOr<std::unique_ptr<Client>> NewHttpClient(Config config);

}  // namespace tinyobs::sdk

#endif  // TINYOBS_SDK_HTTP_CLIENT_H_
