// The verbs of the command line. Each prints to `out` and returns an error for the caller to print:
// InvalidArgument means the command line is wrong, everything else that the job failed.
#ifndef TINYOBS_TOOLS_CLI_VERBS_H_
#define TINYOBS_TOOLS_CLI_VERBS_H_

#include <string>

#include "absl/status/status.h"
#include "tools/cli/arguments.h"

namespace tinyobs::cli {

absl::Status List(const Arguments& arguments, std::string* out);
absl::Status Query(const Arguments& arguments, std::string* out);
absl::Status Stats(const Arguments& arguments, std::string* out);
absl::Status Health(const Arguments& arguments, std::string* out);
absl::Status Downsample(const Arguments& arguments, std::string* out);
absl::Status Ingest(const Arguments& arguments, std::string* out);

}  // namespace tinyobs::cli

#endif  // TINYOBS_TOOLS_CLI_VERBS_H_
