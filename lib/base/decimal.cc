// The digits are std::to_chars'; the zeros of what is large are filled in here.
#include "lib/base/decimal.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

namespace tinyobs {

char* WriteDecimal(double value, char* to) {
  if (!std::isfinite(value)) {
    const std::string_view text = std::isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
    return std::copy(text.begin(), text.end(), to);
  }
  char* const limit = to + kMostDecimalBytes;
  constexpr double kAllDigitsFrom = 9'007'199'254'740'992;  // 2^53
  if (std::fabs(value) < kAllDigitsFrom) {
    return std::to_chars(to, limit, value, std::chars_format::fixed).ptr;
  }
  // d.ddde+xx: a whole number, which has no more digits than that.
  char* const end = std::to_chars(to, limit, value, std::chars_format::scientific).ptr;
  char* const e = std::find(to, end, 'e');
  int exponent = 0;
  std::from_chars(e + 2, end, exponent);
  char* const digits_end = std::remove(to, e, '.');
  const auto digits = digits_end - to - (value < 0 ? 1 : 0);
  return std::fill_n(digits_end, exponent + 1 - digits, '0');
}

}  // namespace tinyobs
