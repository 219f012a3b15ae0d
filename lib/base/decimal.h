// The shortest decimal that reads back as the same double, always without an exponent: what Go
// calls format 'f', precision -1, and Prometheus makes label values and samples of.
//
// Not std::to_chars with chars_format::fixed: beyond 2^53 that writes every digit of the exact
// value (99999999999999991611392), where the shortest is filled up with zeros (1e23 as 1 and 23
// zeros).
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_BASE_DECIMAL_H_
#define TINYOBS_LIB_BASE_DECIMAL_H_

#include <cstddef>

namespace tinyobs {

// The longest: sign, "0.", 323 zeros and a digit; or 17 digits more for the others that are small.
inline constexpr size_t kMostDecimalBytes = 360;

// Writes `value`, or "NaN", "+Inf", "-Inf"; -0 keeps its sign. Returns the byte after the last one
// written, at most kMostDecimalBytes from `to`.
char* WriteDecimal(double value, char* to);

}  // namespace tinyobs

#endif  // TINYOBS_LIB_BASE_DECIMAL_H_
