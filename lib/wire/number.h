// Numbers as text: the shortest decimal that reads back as the same double, bit for bit.
//
// One place, because the promise "what was acknowledged comes back bit-identical" runs through
// every text format, and printf needs 17 digits for it where 3 usually do. Plain decimals between
// 1e-6 and 1e21, exponent form outside, as the Go original and JavaScript write them, so that
// answers of old and new servers compare equal as text.
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_WIRE_NUMBER_H_
#define TINYOBS_LIB_WIRE_NUMBER_H_

#include <string>
#include <string_view>

namespace tinyobs::wire {

// Appends a JSON number. -0 keeps its sign. NaN and infinities have no JSON number: "null".
void AppendJsonNumber(double value, std::string* out);

// The same for text that has them (Prometheus): "NaN", "+Inf", "-Inf".
void AppendTextNumber(double value, std::string* out);

// Reads one JSON number, the whole of `text`, to the nearest double. False when it is not JSON
// ("+1", "01", ".5", "NaN") or too large for a double; too small becomes zero with its sign.
bool ParseJsonNumber(std::string_view text, double* value);

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_NUMBER_H_
