// The values of a chunk <-> bytes (FORMAT.md, "Value section").
//
// Doubles become integers (decimal.h), lose a common divisor, are differenced zero, one or two
// times, and packed (patched_frame.h). What no decimal can express travels as exceptions. One
// integer pipeline instead of one codec per kind of data: counters, gauges, bytes and
// timestamps-as-values all end in the same packed frame, and decoding never branches per sample.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_CHUNK_VALUE_CODEC_H_
#define TINYOBS_LIB_CHUNK_VALUE_CODEC_H_

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "lib/base/coding.h"

namespace tinyobs::chunk {

// On disk: never renumber.
enum class Transform : uint8_t { kNone = 0, kDelta = 1, kDelta2 = 2, kConstant = 3 };

struct ValueScratch {
  // The integers, their differences, the differences of those.
  std::array<std::vector<int64_t>, 3> integers;
  std::vector<uint64_t> packed;
  std::vector<uint32_t> exceptions;  // indices, ascending
};

// Appends the value section. `*exponent_hint` is the exponent of the series' chunk before, or -1;
// it is tried first and then set to the one used. REQUIRES: not empty.
void AppendValues(std::span<const double> values, ValueScratch* scratch, int* exponent_hint,
                  std::string* out);

// Reads the values of values.size() samples. `integers` has room for DecodeRoom(values.size()).
// Fails the reader when the bytes are no such section; `values` then hold anything.
void ReadValues(ByteReader* reader, int64_t* integers, std::span<double> values);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_VALUE_CODEC_H_
