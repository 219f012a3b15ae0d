#include "tools/cli/arguments.h"

#include <algorithm>

#include "lib/base/strings.h"

namespace tinyobs::cli {

std::string Arguments::Get(const std::string& option, std::string_view otherwise) const {
  const auto found = options.find(option);
  return found != options.end() ? found->second : std::string(otherwise);
}

absl::StatusOr<Arguments> ParseArguments(const std::vector<std::string>& arguments,
                                         const std::vector<std::string>& known) {
  Arguments result;
  bool only_words = false;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (only_words || !argument.starts_with("--")) {
      result.words.push_back(argument);
      continue;
    }
    if (argument == "--") {
      only_words = true;
      continue;
    }
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return absl::InvalidArgumentError(StrCat("unknown option --", name));
    }
    if (equals != std::string::npos) {
      result.options[name] = argument.substr(equals + 1);
    } else if (i + 1 < arguments.size()) {
      result.options[name] = arguments[++i];
    } else {
      return absl::InvalidArgumentError(StrCat("option --", name, " needs a value"));
    }
  }
  return result;
}

}  // namespace tinyobs::cli
