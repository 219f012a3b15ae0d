// Digits and exponent are std::to_chars'; where the point and the zeros go is decided here.
#include "lib/base/decimal.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>

namespace tinyobs {

char* WriteDecimal(double value, char* to) {
  if (!std::isfinite(value)) {
    const std::string_view text = std::isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
    return std::copy(text.begin(), text.end(), to);
  }
  // d.ddde+xx
  char scientific[32];
  const char* const end = std::to_chars(scientific, scientific + sizeof(scientific), value,
                                        std::chars_format::scientific)
                              .ptr;
  const char* at = scientific;
  if (*at == '-') *to++ = *at++;
  const char* const e = std::find(at, end, 'e');
  char digits[20];
  int count = 0;
  for (; at != e; ++at) {
    if (*at != '.') digits[count++] = *at;
  }
  int exponent = 0;
  std::from_chars(e + (e[1] == '+' ? 2 : 1), end, exponent);

  const int whole = exponent + 1;  // digits before the point, if positive
  if (whole <= 0) {
    to = std::copy_n("0.", 2, to);
    to = std::fill_n(to, -whole, '0');
    return std::copy_n(digits, count, to);
  }
  to = std::copy_n(digits, std::min(whole, count), to);
  if (whole >= count) return std::fill_n(to, whole - count, '0');
  *to++ = '.';
  return std::copy_n(digits + whole, count - whole, to);
}

}  // namespace tinyobs
