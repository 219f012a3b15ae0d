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
#include "lib/chunk/summary.h"

namespace tinyobs::chunk {

// On disk: never renumber.
enum class Transform : uint8_t { kNone = 0, kDelta = 1, kDelta2 = 2, kConstant = 3 };

// A value that is not its integer.
struct Exception {
  uint32_t index;
  double value;
};

// Values as integers: values[i] is integers[i] / 10^exponent, or has the bits integers[i] stands
// for when the exponent is kBitsExponent; unless it is an exception.
struct ValueScratch {
  // The integers, their differences, the differences of those.
  std::array<std::vector<int64_t>, 3> integers;
  std::vector<uint64_t> packed;
  std::vector<Exception> exceptions;  // ascending
  std::string summary;
};

// Fills integers[0] and exceptions of `scratch`; returns the exponent. `hint` is tried first, -1 is
// none. REQUIRES: not empty.
int ToIntegers(std::span<const double> values, int hint, ValueScratch* scratch);

// Appends the value section. `*exponent_hint` is the exponent of the series' chunk before, or -1;
// it is tried first and then set to the one used. When the chunk, whose times begin in `out` at
// `chunk_at`, is worth a summary, that is inserted at `summary_at` and true returned. REQUIRES: not
// empty.
bool AppendValues(std::span<const double> values, ValueScratch* scratch, int* exponent_hint,
                  size_t chunk_at, size_t summary_at, std::string* out);

// Appends the first n of scratch->integers[0] (any; overwritten) as a value section, but for the
// exceptions that it says will follow. REQUIRES: n >= 1; room for n in each vector of `scratch`.
void AppendIntegers(size_t n, int exponent, bool exceptions, ValueScratch* scratch,
                    std::string* out);

// Appends what ReadExceptions reads.
void AppendExceptions(const std::vector<Exception>& exceptions, std::string* out);

// What a value section says before the integers become doubles.
struct IntegerSection {
  int exponent = 0;
  bool constant = false;    // then only the first integer is there
  bool exceptions = false;  // then ReadExceptions has to follow
};

// Reads the integers of n samples into `integers`, which has room for DecodeRoom(n). `summary` is
// the chunk's, or null. Fails the reader when the bytes are no such section, and when first, last
// or exponent are not what the summary says; the integers then are anything. Whether they are
// decimal ones is for the caller to check.
IntegerSection ReadIntegers(ByteReader* reader, size_t n, const Summary* summary,
                            int64_t* integers);

// Reads the exceptions of n samples.
void ReadExceptions(ByteReader* reader, size_t n, std::vector<Exception>* out);

// Reads the values of values.size() samples. `integers` has room for DecodeRoom(values.size()).
// Fails the reader when the bytes are no such section; `values` then hold anything.
void ReadValues(ByteReader* reader, const Summary* summary, int64_t* integers,
                std::span<double> values);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_VALUE_CODEC_H_
