#include "lib/promql/literals.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/charconv.h"
#include "absl/strings/escaping.h"
#include "lib/base/decimal.h"
#include "lib/base/strings.h"
#include "lib/model/utf8.h"

namespace tinyobs::promql {

namespace {

struct Unit {
  std::string_view name;
  int64_t ms;
  bool exact;  // only written when nothing remains: 9d is not 1w2d
};
constexpr Unit kUnits[] = {{"y", 365 * 86'400'000LL, true},
                           {"w", 7 * 86'400'000LL, true},
                           {"d", 86'400'000, false},
                           {"h", 3'600'000, false},
                           {"m", 60'000, false},
                           {"s", 1'000, false},
                           {"ms", 1, false}};

absl::Status Invalid(std::string_view what) { return absl::InvalidArgumentError(ToAbsl(what)); }

bool IsHexDigit(char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsOctalDigit(char c) { return c >= '0' && c <= '7'; }

// Of an escape with a backslash, 0 if there is none that begins with `c`.
size_t EscapeLength(char c, char quote) {
  if (IsOctalDigit(c) || c == 'x') return 4;
  if (c == 'u') return 6;
  if (c == 'U') return 10;
  return c == quote || std::string_view("abfnrtv\\").find(c) != std::string_view::npos ? 2 : 0;
}

}  // namespace

bool ParseFloatText(std::string_view number, double* value) {
  std::string text = absl::AsciiStrToLower(ToAbsl(number));
  const bool negative = text.starts_with('-');
  const bool has_sign = negative || text.starts_with('+');
  if (has_sign) text.erase(0, 1);
  const bool hex = text.starts_with("0x");
  if (hex) text.erase(0, 2);
  const auto is_digit = [&](size_t i) {
    return i < text.size() && (hex ? IsHexDigit(text[i]) : IsDigit(text[i]));
  };
  // What Abseil takes beyond Go: other words, another sign, hexadecimal without an exponent.
  const bool is_word = text == "inf" || text == "infinity" || (text == "nan" && !has_sign);
  const bool begins = is_digit(0) || text.starts_with('.') || text.starts_with('_');
  if (hex ? !begins || text.find('p') == std::string::npos : !begins && !is_word) return false;
  // Underscores stand between digits, or behind 0x.
  for (size_t i = 0; i < text.size(); ++i) {
    const bool behind_digit = i == 0 ? hex : is_digit(i - 1);
    if (text[i] == '_' && !(behind_digit && is_digit(i + 1))) return false;
  }
  std::erase(text, '_');
  const auto read = absl::from_chars(text.data(), text.data() + text.size(), *value,
                                     hex ? absl::chars_format::hex : absl::chars_format::general);
  if (read.ptr != text.data() + text.size()) return false;
  // Out of range: a number too small is as near as it gets, one too large is none.
  if (read.ec != std::errc() && !(*value < 1)) return false;
  if (negative) *value = -*value;
  return true;
}

bool ParseNumber(std::string_view text, double* value) {
  if (!text.starts_with('0')) return ParseFloatText(text, value);
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  const char* const end = text.data() + text.size();
  int64_t integer = 0;
  const auto read = std::from_chars(text.data() + (hex ? 2 : 0), end, integer, hex ? 16 : 8);
  if (read.ec != std::errc() || read.ptr != end) return ParseFloatText(text, value);
  *value = static_cast<double>(integer);
  return true;
}

std::string NumberText(double value) {
  const double size = std::fabs(value);
  char text[kMostDecimalBytes];
  const bool has_exponent = (size > 0 && size < 1e-4) || (size >= 1e6 && std::isfinite(size));
  char* const end =
      has_exponent
          ? std::to_chars(text, text + sizeof(text), value, std::chars_format::scientific).ptr
          : WriteDecimal(value, text);
  return std::string(text, end);
}

absl::StatusOr<int64_t> ParseDuration(std::string_view text) {
  // In nanoseconds it has to fit int64, as it does for others that read the same text.
  constexpr int64_t kMost = INT64_MAX / 1'000'000;
  if (text == "0") return 0;
  if (text.empty()) return Invalid("empty duration string");
  int64_t total = 0;
  const Unit* next_unit = kUnits;  // they come from large to small, each once
  for (std::string_view rest = text; !rest.empty();) {
    int64_t number = 0;
    const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (read.ec == std::errc::result_out_of_range) return Invalid("duration out of range");
    const size_t digits = static_cast<size_t>(read.ptr - rest.data());
    const size_t next = std::min(rest.find_first_of("0123456789", digits), rest.size());
    const std::string_view name = rest.substr(digits, next - digits);
    next_unit = std::find_if(next_unit, std::end(kUnits),
                             [&](const Unit& unit) { return unit.name == name; });
    if (!IsDigit(rest[0]) || next_unit == std::end(kUnits)) {
      return Invalid(StrCat("not a valid duration string: \"", EscapeForMessage(text, 60), "\""));
    }
    if (number > (kMost - total) / next_unit->ms) return Invalid("duration out of range");
    total += number * next_unit->ms;
    ++next_unit;
    rest.remove_prefix(next);
  }
  return total;
}

std::string DurationText(int64_t ms) {
  if (ms == 0) return "0s";
  std::string text;
  for (const Unit& unit : kUnits) {
    if (unit.exact && ms % unit.ms != 0) continue;
    if (const int64_t count = ms / unit.ms; count > 0) StrAppend(&text, count, unit.name);
    ms %= unit.ms;
  }
  return text;
}

absl::StatusOr<std::string> Unquote(std::string_view literal) {
  if (literal.size() < 2 || literal.front() != literal.back()) {
    return Invalid("unterminated string");
  }
  const char quote = literal.front();
  std::string_view rest = literal.substr(1, literal.size() - 2);
  if (quote == '`') return std::string(rest);
  std::string text;
  while (true) {
    const size_t plain = std::min(rest.find('\\'), rest.size());
    text += rest.substr(0, plain);
    rest.remove_prefix(plain);
    if (rest.empty()) return text;
    if (rest.size() == 1) return Invalid("escape sequence not terminated");
    // Which escapes there are is Go's rule; what they mean Abseil knows.
    const size_t length = EscapeLength(rest[1], quote);
    const bool octal = IsOctalDigit(rest[1]);
    if (length == 0) {
      return Invalid(StrCat("unknown escape sequence \\", EscapeForMessage(rest.substr(1, 1))));
    }
    const std::string_view escape = rest.substr(0, length);
    const auto digits = escape.begin() + (octal ? 1 : 2);
    if (escape.size() < length ||
        !std::all_of(digits, escape.end(), octal ? IsOctalDigit : IsHexDigit)) {
      return Invalid("illegal character in escape sequence");
    }
    std::string meaning;
    if (!absl::CUnescape(ToAbsl(escape), &meaning)) {
      return Invalid(octal ? "escape sequence is above 255"
                           : "escape sequence is an invalid Unicode code point");
    }
    text += meaning;
    rest.remove_prefix(length);
  }
}

std::string QuoteText(std::string_view text) {
  constexpr std::string_view kEscaped = "\a\b\f\n\r\t\v\\\"";
  std::string out = "\"";
  while (!text.empty()) {
    const auto byte = static_cast<unsigned char>(text[0]);
    const size_t length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    std::string_view character = text.substr(0, length);
    if (const size_t found = kEscaped.find(text[0]); found != std::string_view::npos) {
      StrAppend(&out, "\\", std::string_view("abfnrtv\\\"").substr(found, 1));
    } else if (byte < 0x20 || byte == 0x7f || !IsValidUtf8(character)) {
      StrAppend(&out, "\\x", absl::Hex(byte, absl::kZeroPad2));
      character = text.substr(0, 1);
    } else if (byte == 0xc2 && character < "\xc2\xa0") {  // control characters
      StrAppend(&out, "\\u00", absl::Hex(static_cast<unsigned char>(text[1])));
    } else {
      out += character;
    }
    text.remove_prefix(character.size());
  }
  return out + '"';
}

}  // namespace tinyobs::promql
