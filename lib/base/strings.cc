#include "lib/base/strings.h"

namespace tinyobs {

std::string EscapeForMessage(std::string_view bytes, size_t limit_bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  const bool cut = bytes.size() > limit_bytes;
  if (cut) bytes = bytes.substr(0, limit_bytes);
  out.reserve(bytes.size() + 3);
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\') {
      out.push_back(c);
    } else {
      out += "\\x";
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  if (cut) out += "...";
  return out;
}

}  // namespace tinyobs
