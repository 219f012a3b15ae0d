// One HTTP request over libcurl, with errors that say what to do.
#ifndef TINYOBS_TOOLS_CLI_HTTP_H_
#define TINYOBS_TOOLS_CLI_HTTP_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace tinyobs::cli {

struct HttpAnswer {
  long code = 0;
  std::string body;  // at most 64 MiB
};

// A GET, or a POST of JSON when `body` is not empty, of `server` + `path`.
// InvalidArgument: `server` is no http or https URL. Unavailable: no answer.
absl::StatusOr<HttpAnswer> Request(const std::string& server, std::string_view path,
                                   const std::vector<std::pair<std::string, std::string>>& query,
                                   const std::string& body = "", long timeout_s = 30);

}  // namespace tinyobs::cli

#endif  // TINYOBS_TOOLS_CLI_HTTP_H_
