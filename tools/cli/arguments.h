// A command line taken apart: words, and options of the form --name value or --name=value.
//
// Thread-safety: values; pure functions.
#ifndef TINYOBS_TOOLS_CLI_ARGUMENTS_H_
#define TINYOBS_TOOLS_CLI_ARGUMENTS_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tinyobs::cli {

struct Arguments {
  std::vector<std::string> words;
  std::map<std::string, std::string> options;  // without the dashes

  std::string Get(const std::string& option, std::string_view otherwise) const;
};

// InvalidArgument: an option not in `known`, or one without a value. "--" ends the options. A word
// that is a negative number is no option.
absl::StatusOr<Arguments> ParseArguments(const std::vector<std::string>& arguments,
                                         const std::vector<std::string>& known);

}  // namespace tinyobs::cli

#endif  // TINYOBS_TOOLS_CLI_ARGUMENTS_H_
