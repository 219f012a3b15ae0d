#include "tools/cli/arguments.h"

#include <algorithm>
#include <charconv>

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

absl::StatusOr<int64_t> ParseDurationMs(std::string_view text) {
  const auto refuse = [text] {
    return absl::InvalidArgumentError(StrCat("'", EscapeForMessage(text, 40),
                                             "' is no duration; write for example 90s, 15m, 1h or "
                                             "7d"));
  };
  constexpr int64_t kMost = int64_t{100} * 365 * 24 * 3600 * 1000;
  struct Unit {
    std::string_view name;
    int64_t ms;
  };
  // "ms" before "m", which it begins with.
  constexpr Unit kUnits[] = {{"ms", 1},        {"s", 1000},           {"m", 60'000},
                             {"h", 3'600'000}, {"d", 24 * 3'600'000}, {"w", 7 * 24 * 3'600'000}};
  int64_t total = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc() || number < 0) return refuse();
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    const Unit* const unit =
        std::find_if(std::begin(kUnits), std::end(kUnits),
                     [rest](const Unit& u) { return rest.starts_with(u.name); });
    if (unit == std::end(kUnits) || number > kMost / unit->ms) return refuse();
    rest.remove_prefix(unit->name.size());
    total += number * unit->ms;
    if (total > kMost) return refuse();
  }
  if (total == 0) return refuse();
  return total;
}

}  // namespace tinyobs::cli
