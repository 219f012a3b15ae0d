#include "lib/tsdb/regex_literals.h"

namespace tinyobs::tsdb {

namespace {

// Reads literal characters off the front of `pattern` and appends them to `literal`: all but the
// last may be relied on, because what follows could be a repetition of it. Returns how many bytes
// of `literal` stood before the last character.
size_t ReadLiteral(std::string_view* pattern, std::string* literal) {
  size_t before_last = 0;
  while (!pattern->empty()) {
    char c = pattern->front();
    size_t bytes = 1;
    if (c == '\\') {
      // Before punctuation it makes a literal; before letters and digits it means something else.
      if (pattern->size() < 2) break;
      c = (*pattern)[1];
      const bool punctuation = (c >= '!' && c <= '/') || (c >= ':' && c <= '@') ||
                               (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
      if (!punctuation) break;
      bytes = 2;
    } else if (std::string_view(".+*?()|[]{}^$").find(c) != std::string_view::npos) {
      break;
    }
    const bool continues = (static_cast<unsigned char>(c) & 0xc0) == 0x80;  // of a UTF-8 sequence
    if (!continues) before_last = literal->size();
    literal->push_back(c);
    pattern->remove_prefix(bytes);
  }
  return before_last;
}

}  // namespace

RegexLiterals LiteralsOf(std::string_view pattern) {
  RegexLiterals literals;
  // One group around all is no more than its content.
  std::string_view rest = pattern;
  const bool grouped =
      rest.starts_with("(?:") || (rest.starts_with('(') && !rest.starts_with("(?"));
  if (grouped) rest.remove_prefix(rest.starts_with("(?:") ? 3 : 1);
  while (true) {
    std::string literal;
    const size_t before_last = ReadLiteral(&rest, &literal);
    const bool ends = rest == (grouped ? ")" : "");
    if (!ends && !rest.starts_with('|')) {
      // Something else than fixed strings. Without alternatives, which could begin otherwise, the
      // beginning is still known.
      if (!grouped && pattern.find('|') == std::string_view::npos) {
        // An operator takes its last character, perhaps from behind something empty: "x(?i)*".
        if (!rest.starts_with('.') && !rest.starts_with('[')) literal.resize(before_last);
        literals.prefix = std::move(literal);
      }
      literals.set.clear();
      return literals;
    }
    literals.set.push_back(std::move(literal));
    if (ends) break;
    rest.remove_prefix(1);
  }
  literals.is_set = true;
  if (literals.set.size() == 1) literals.prefix = literals.set[0];
  return literals;
}

}  // namespace tinyobs::tsdb
