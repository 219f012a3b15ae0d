// Literals: numbers, durations and strings of PromQL as values and as text again, by the rules of
// Go, which Prometheus took over.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_LITERALS_H_
#define TINYOBS_LIB_PROMQL_LITERALS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tinyobs::promql {

// A number without a sign. 0x is hexadecimal, a leading 0 octal if it can be, all else decimal; Inf
// and NaN in any case. False: it is none, or too large.
bool ParseNumber(std::string_view text, double* value);
// A number as Go's strconv.ParseFloat takes it, which is how bounds of buckets and times in URLs
// are read: with a sign, "0x1p-2", "1_000", "infinity"; too small is 0. False: it is none, or too
// large.
bool ParseFloatText(std::string_view number, double* value);
// The shortest decimal that reads back as the same double, with an exponent from 1e+06 on and below
// 1e-04; "NaN", "+Inf", "-Inf".
std::string NumberText(double value);

// "1h30m" and the like in milliseconds; "0" is allowed. InvalidArgument.
absl::StatusOr<int64_t> ParseDuration(std::string_view text);
// The same back; 0 is "0s". REQUIRES: not negative.
std::string DurationText(int64_t ms);

// The text of a string literal, quotes included. InvalidArgument says what is wrong.
absl::StatusOr<std::string> Unquote(std::string_view literal);
// A literal in double quotes that reads back as `text`, whatever bytes those are.
std::string QuoteText(std::string_view text);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_LITERALS_H_
