// The rare repair of text that is not UTF-8.
#include "lib/wire/json_writer.h"

#include <algorithm>

namespace tinyobs::wire {

std::string ReplaceBadUtf8(std::string_view text) {
  std::string repaired;
  repaired.reserve(text.size() + 8);
  while (!text.empty()) {
    size_t good = 0;
    // A character is 1 to 4 bytes; asking the one validator for each length keeps a single rule.
    for (size_t length = 1; length <= std::min<size_t>(4, text.size()); ++length) {
      if (IsValidUtf8(text.substr(0, length))) {
        good = length;
        break;
      }
    }
    if (good == 0) {
      repaired.append("\xEF\xBF\xBD");
      text.remove_prefix(1);
    } else {
      repaired.append(text.substr(0, good));
      text.remove_prefix(good);
    }
  }
  return repaired;
}

}  // namespace tinyobs::wire
