// What the writer and the reader of a row of windows share: the columns' numbers and the guesses
// that columns are written against (FORMAT.md, "A row of windows").
//
// Apart from both so that neither sees the other: the reader trusts no byte, whoever wrote it.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_CHUNK_WINDOW_COLUMNS_H_
#define TINYOBS_LIB_CHUNK_WINDOW_COLUMNS_H_

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "lib/chunk/decimal.h"

namespace tinyobs::chunk::window_columns {

inline constexpr uint8_t kCodec = 1;
inline constexpr uint8_t kCodecMask = 0x0f;
inline constexpr int kExponentShift = 4;

// On disk: never renumber. What most rows have comes first: a set of the first seven is one byte.
enum Column : uint32_t {
  kLast = 0,
  kFirst = 1,
  kSum = 2,
  kCount = 3,
  kFirstTime = 4,
  kSpan = 5,
  kMin = 6,
  kMax = 7,
  kLost = 8,
  kResets = 9,
  kGaps = 10,
  kExceptions = 11,
  kColumns = 12,
};
inline uint64_t Wrap(int64_t x) { return static_cast<uint64_t>(x); }
inline int64_t Plus(int64_t a, int64_t b) { return static_cast<int64_t>(Wrap(a) + Wrap(b)); }
inline int64_t Minus(int64_t a, int64_t b) { return static_cast<int64_t>(Wrap(a) - Wrap(b)); }

inline int64_t OrderedBits(double value) {
  int64_t integer;
  ToOrderedBits({&value, 1}, &integer);
  return integer;
}

// What a sum of k values would be on a straight line from first to last.
struct Line {
  const int64_t* first;  // integers of `exponent`
  const int64_t* last;
  const double* first_values;
  const double* last_values;
  int exponent;

  // In units of `sum_exponent`, which is not smaller; ordered bits when that is kBitsExponent.
  int64_t At(size_t i, uint64_t k, int sum_exponent) const {
    if (k == 0) return 0;
    if (sum_exponent == kBitsExponent) {
      const double sum = static_cast<double>(k) * (first_values[i] + last_values[i]) * 0.5;
      return std::isnan(sum) ? 0 : OrderedBits(sum);
    }
    const auto scale = static_cast<uint64_t>(kPowersOfTen[sum_exponent - exponent]);
    return static_cast<int64_t>(k * scale * (Wrap(first[i]) + Wrap(last[i]))) >> 1;
  }
};

// `first` is near the last of the window before; it is `last` when there is one sample.
inline int64_t FirstGuess(size_t i, uint64_t count, const int64_t* last) {
  return last[i == 0 || count == 1 ? i : i - 1];
}

}  // namespace tinyobs::chunk::window_columns

#endif  // TINYOBS_LIB_CHUNK_WINDOW_COLUMNS_H_
