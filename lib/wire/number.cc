// Shortest decimals through std::to_chars and back through std::from_chars, both exact; only the
// choice of form and the strictness of JSON are ours.
#include "lib/wire/number.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "lib/base/check.h"

namespace tinyobs::wire {
namespace {

void AppendFinite(double value, std::string* out) {
  // The longest: 21 digits before the point, or "-0.00000" and 17 digits.
  char buffer[48];
  const double magnitude = std::fabs(value);
  const bool plain = magnitude == 0 || (magnitude >= 1e-6 && magnitude < 1e21);
  const auto [end, error] =
      std::to_chars(buffer, buffer + sizeof(buffer), value,
                    plain ? std::chars_format::fixed : std::chars_format::scientific);
  TINYOBS_CHECK(error == std::errc());
  std::string_view text(buffer, static_cast<size_t>(end - buffer));
  // to_chars pads exponents to two digits: 1e-07 becomes 1e-7.
  if (!plain && text.size() >= 4 && text[text.size() - 2] == '0' &&
      (text[text.size() - 3] == '-' || text[text.size() - 3] == '+')) {
    out->append(text.substr(0, text.size() - 2));
    out->push_back(text.back());
    return;
  }
  out->append(text);
}

}  // namespace

void AppendJsonNumber(double value, std::string* out) {
  if (!std::isfinite(value)) {
    out->append("null");
    return;
  }
  AppendFinite(value, out);
}

void AppendTextNumber(double value, std::string* out) {
  if (std::isnan(value)) {
    out->append("NaN");
  } else if (std::isinf(value)) {
    out->append(value > 0 ? "+Inf" : "-Inf");
  } else {
    AppendFinite(value, out);
  }
}

bool ParseJsonNumber(std::string_view text, double* value) {
  const auto is_digit = [&](size_t i) {
    return i < text.size() && text[i] >= '0' && text[i] <= '9';
  };
  const size_t first_digit = text.starts_with('-') ? 1 : 0;
  size_t at = first_digit;
  if (!is_digit(at)) return false;
  while (is_digit(at)) ++at;
  if (text[first_digit] == '0' && at > first_digit + 1) return false;
  const size_t integer_end = at;
  if (at < text.size() && text[at] == '.') {
    if (!is_digit(++at)) return false;
    while (is_digit(at)) ++at;
  }
  const size_t mantissa_end = at;
  int64_t exponent = 0;
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    const bool negative = ++at < text.size() && text[at] == '-';
    if (negative || (at < text.size() && text[at] == '+')) ++at;
    if (!is_digit(at)) return false;
    for (; is_digit(at); ++at) {
      // Clamped: beyond this any mantissa is out of range.
      exponent = std::min<int64_t>(exponent * 10 + (text[at] - '0'), 1'000'000'000);
    }
    if (negative) exponent = -exponent;
  }
  if (at != text.size()) return false;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), *value);
  if (read.ec == std::errc()) return true;
  // Out of range, but from_chars does not say at which end: the power of ten of the first digit
  // that counts does. There is one, since zero is in range.
  const size_t leading = text.find_first_of("123456789", first_digit);
  TINYOBS_CHECK(leading < mantissa_end);
  const auto power = leading < integer_end ? static_cast<int64_t>(integer_end - leading) - 1
                                           : -static_cast<int64_t>(leading - integer_end);
  if (power + exponent > 0) return false;
  *value = first_digit == 1 ? -0.0 : 0.0;
  return true;
}

}  // namespace tinyobs::wire
