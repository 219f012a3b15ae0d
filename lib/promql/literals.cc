#include "lib/promql/literals.h"

#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/charconv.h"
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

// Appends a code point as UTF-8; false when there is no such one.
bool AppendUtf8(uint32_t code, std::string* out) {
  if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
  if (code < 0x80) {
    *out += static_cast<char>(code);
    return true;
  }
  const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  constexpr uint32_t kLead[] = {0, 0xc0, 0xe0, 0xf0};
  *out += static_cast<char>(kLead[more] | (code >> (6 * more)));
  for (int i = more - 1; i >= 0; --i) *out += static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3f));
  return true;
}

}  // namespace

bool ParseNumber(std::string_view text, double* value) {
  if (text.size() == 3 && (text[0] == 'i' || text[0] == 'I')) {
    *value = std::numeric_limits<double>::infinity();
    return true;
  }
  if (text.size() == 3 && (text[0] == 'n' || text[0] == 'N')) {
    *value = std::numeric_limits<double>::quiet_NaN();
    return true;
  }
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex || (text.size() > 1 && text[0] == '0')) {
    const std::string_view digits = text.substr(hex ? 2 : 1);
    int64_t integer = 0;
    const auto read =
        std::from_chars(digits.data(), digits.data() + digits.size(), integer, hex ? 16 : 8);
    if (read.ec == std::errc() && read.ptr == digits.data() + digits.size()) {
      *value = static_cast<double>(integer);
      return true;
    }
    if (hex) return false;
  }
  // Not the standard library's, which does not say whether a number is too large or too small: what
  // is too small is zero here.
  const auto read = absl::from_chars(text.data(), text.data() + text.size(), *value);
  const bool too_large = read.ec == std::errc::result_out_of_range && *value > 1;
  return read.ec != std::errc::invalid_argument && !too_large &&
         read.ptr == text.data() + text.size();
}

std::string NumberText(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char text[40];
  auto end = std::to_chars(text, text + sizeof(text), value, std::chars_format::scientific).ptr;
  const std::string_view scientific(text, static_cast<size_t>(end - text));
  int exponent = 0;
  const std::string_view tail = scientific.substr(scientific.find('e') + 1);
  std::from_chars(tail.data() + (tail[0] == '+' ? 1 : 0), tail.data() + tail.size(), exponent);
  if (value != 0 && (exponent < -4 || exponent >= 6)) return std::string(scientific);
  end = std::to_chars(text, text + sizeof(text), value, std::chars_format::fixed).ptr;
  return std::string(text, end);
}

absl::StatusOr<int64_t> ParseDuration(std::string_view text) {
  // In nanoseconds it has to fit int64, as it does for others that read the same text.
  constexpr int64_t kMost = INT64_MAX / 1'000'000;
  const auto bad = [&] {
    return absl::InvalidArgumentError(
        ToAbsl(StrCat("not a valid duration string: \"", EscapeForMessage(text, 60), "\"")));
  };
  if (text == "0") return 0;
  if (text.empty()) return absl::InvalidArgumentError("empty duration string");
  int64_t total = 0;
  size_t next_unit = 0;  // they come from large to small, each once
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    int64_t number = 0;
    const auto read = std::from_chars(at, end, number);
    if (read.ec == std::errc::result_out_of_range) {
      return absl::InvalidArgumentError("duration out of range");
    }
    if (read.ec != std::errc() || *at == '-') return bad();
    at = read.ptr;
    const char* unit_end = at;
    while (unit_end != end && (*unit_end < '0' || *unit_end > '9')) ++unit_end;
    const std::string_view name(at, static_cast<size_t>(unit_end - at));
    while (next_unit < std::size(kUnits) && kUnits[next_unit].name != name) ++next_unit;
    if (next_unit == std::size(kUnits)) return bad();
    const int64_t unit_ms = kUnits[next_unit++].ms;
    if (number > (kMost - total) / unit_ms) {
      return absl::InvalidArgumentError("duration out of range");
    }
    total += number * unit_ms;
    at = unit_end;
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
  const auto bad = [](std::string_view what) { return absl::InvalidArgumentError(ToAbsl(what)); };
  if (literal.size() < 2 || literal.front() != literal.back()) return bad("unterminated string");
  const char quote = literal.front();
  const std::string_view text = literal.substr(1, literal.size() - 2);
  if (quote == '`') return std::string(text);
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    if (++i == text.size()) return bad("escape sequence not terminated");
    const char c = text[i];
    constexpr std::string_view kNames = "abfnrtv\\";
    constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\";
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
      out += kMeanings[known];
      continue;
    }
    if (c == quote) {
      out += quote;
      continue;
    }
    const bool octal = c >= '0' && c <= '7';
    const size_t digits = octal ? 3 : c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0)
      return bad(StrCat("unknown escape sequence \\", EscapeForMessage(text.substr(i, 1))));
    const std::string_view number = text.substr(octal ? i : i + 1, digits);
    uint32_t code = 0;
    const auto read =
        std::from_chars(number.data(), number.data() + number.size(), code, octal ? 8 : 16);
    if (number.size() < digits || read.ec != std::errc() ||
        read.ptr != number.data() + number.size()) {
      return bad("illegal character in escape sequence");
    }
    i += octal ? digits - 1 : digits;
    if (octal || c == 'x') {
      if (code > 255) return bad("escape sequence is above 255");
      out += static_cast<char>(code);
    } else if (!AppendUtf8(code, &out)) {
      return bad("escape sequence is an invalid Unicode code point");
    }
  }
  return out;
}

std::string QuoteText(std::string_view text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    constexpr std::string_view kNames = "abfnrtv\\\"";
    constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\\"";
    if (const size_t known = kMeanings.find(text[i]); known != std::string_view::npos) {
      out += '\\';
      out += kNames[known];
      ++i;
      continue;
    }
    const size_t length = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    const std::string_view sequence = text.substr(i, length);
    const bool control = c < 0x20 || c == 0x7f || (c == 0xc2 && sequence < "\xc2\xa0");
    if (c < 0x80 ? !control : IsValidUtf8(sequence) && sequence.size() == length && !control) {
      out += sequence;
      i += length;
    } else if (c == 0xc2 && control && IsValidUtf8(sequence)) {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\u%04x",
                    static_cast<unsigned>(static_cast<unsigned char>(text[i + 1])));
      out += escaped;
      i += 2;
    } else {
      char escaped[8];
      std::snprintf(escaped, sizeof(escaped), "\\x%02x", c);
      out += escaped;
      ++i;
    }
  }
  return out + '"';
}

}  // namespace tinyobs::promql
