// tinyobs lsm: looking into the files of a store, and mending them. For whoever has a disk and a
// question; everything else talks to the server.
//
// stats and verify read beside a running server and change nothing. repair needs the store for
// itself. The dumps print one file as text; they trust no byte of it.
#ifndef TINYOBS_TOOLS_CLI_LSM_COMMANDS_H_
#define TINYOBS_TOOLS_CLI_LSM_COMMANDS_H_

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "tools/cli/arguments.h"

namespace tinyobs::cli {

// What `tinyobs lsm --help` says behind the usage line.
extern const std::string_view kLsmHelp;

// The verb: words are a command and a path. InvalidArgument: the command line makes no sense. Any
// other error: it could not be done, or (verify) problems were found, which `out` lists.
absl::Status Lsm(const Arguments& arguments, std::string* out);

}  // namespace tinyobs::cli

#endif  // TINYOBS_TOOLS_CLI_LSM_COMMANDS_H_
