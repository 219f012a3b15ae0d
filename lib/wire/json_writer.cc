// The strings that RapidJSON would write in another way.
#include "lib/wire/json_writer.h"

#include <algorithm>

#include "lib/base/strings.h"
#include "lib/model/utf8.h"

namespace tinyobs::wire {
namespace {

constexpr std::string_view kSeparators = "\xE2\x80";  // then A8 or A9: U+2028, U+2029

// Of the first character, 1 to 4; 0 = it is none.
size_t Utf8Length(std::string_view text) {
  // Asking the one validator for each length keeps a single rule.
  for (size_t length = 1; length <= std::min<size_t>(4, text.size()); ++length) {
    if (IsValidUtf8(text.substr(0, length))) return length;
  }
  return 0;
}

// ASCII that stands for itself. Not a function: that would be called for each character.
constexpr auto kIsPlain = [](char c) {
  return c >= 0x20 && c < 0x7f && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
};

void AppendEscape(unsigned char c, std::string* out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  if (c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t') {
    out->push_back('\\');
    out->push_back(static_cast<char>(c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : c));
    return;
  }
  StrAppend(out, "\\u00", kHex.substr(c >> 4, 1), kHex.substr(c & 15, 1));
}

}  // namespace

bool NeedsGoEscapes(std::string_view text) {
  bool plain = true;
  for (const char signed_c : text) {
    const auto c = static_cast<unsigned char>(signed_c);
    plain &= c >= 0x20 && c < 0x80 && c != '<' && c != '>' && c != '&';
  }
  if (plain) return false;
  return !IsValidUtf8(text) || text.find(kSeparators) != std::string_view::npos ||
         std::any_of(text.begin(), text.end(), [](char c) {
           return (c >= 0 && c < 0x20) || c == '<' || c == '>' || c == '&';
         });
}

void AppendGoString(std::string_view text, std::string* out) {
  out->push_back('"');
  while (true) {
    // Mostly all of it.
    const auto plain =
        static_cast<size_t>(std::find_if_not(text.begin(), text.end(), kIsPlain) - text.begin());
    out->append(text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    const auto c = static_cast<unsigned char>(text[0]);
    const size_t length = Utf8Length(text);
    if (length == 0) {
      out->append("\\ufffd");
    } else if (length == 1 &&
               (c < 0x20 || std::string_view("\"\\<>&").find(text[0]) != std::string_view::npos)) {
      AppendEscape(c, out);
    } else if (length == 3 && text.starts_with(kSeparators) && (text[2] & 0x7e) == 0x28) {
      out->append(text[2] & 1 ? "\\u2029" : "\\u2028");
    } else {
      out->append(text.substr(0, length));
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  out->push_back('"');
}

}  // namespace tinyobs::wire
