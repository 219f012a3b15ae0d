#include "lib/chunk/decimal.h"

#include <bit>
#include <cmath>

#include "lib/base/check.h"

namespace tinyobs::chunk {
namespace {

static_assert(std::bit_cast<uint64_t>(kMagic) == kMagicBits);
constexpr double kLimit = static_cast<double>(kDecimalLimit);

double ToDouble(int64_t integer) { return ShiftedDouble(integer) - kMagic; }

// All ones below the sign: inverting them makes negative doubles descend with their magnitude.
uint64_t FlipIfNegative(uint64_t bits) {
  return bits ^ (static_cast<uint64_t>(static_cast<int64_t>(bits) >> 63) >> 1);
}

// The body of ToDecimals for one value; returns 0 when it fits. Integers are spared the division,
// which takes as long as all the rest.
template <bool kScaled>
inline uint64_t ToDecimal(double value, double power, int64_t* integer) {
  const double scaled = kScaled ? value * power : value;
  const double shifted = scaled + kMagic;  // rounds to the nearest integer
  const double back = kScaled ? (shifted - kMagic) / power : shifted - kMagic;
  *integer = ShiftedInteger(shifted);
  return (std::bit_cast<uint64_t>(back) ^ std::bit_cast<uint64_t>(value)) |
         (std::fabs(scaled) < kLimit - 1 ? 0 : 1);
}

template <bool kScaled>
uint32_t ToDecimalsOf(std::span<const double> values, double power, int64_t* integers,
                      uint64_t* misfits) {
  uint64_t count = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    misfits[i] = ToDecimal<kScaled>(values[i], power, &integers[i]);
    count += misfits[i] != 0;
  }
  return static_cast<uint32_t>(count);
}

}  // namespace

uint32_t ToDecimals(std::span<const double> values, int exponent, int64_t* integers,
                    uint64_t* misfits) {
  TINYOBS_DCHECK(exponent >= 0 && exponent < kBitsExponent);
  return exponent == 0 ? ToDecimalsOf<false>(values, 1, integers, misfits)
                       : ToDecimalsOf<true>(values, kPowersOfTen[exponent], integers, misfits);
}

bool FromDecimals(std::span<const int64_t> integers, int exponent, double* values) {
  TINYOBS_DCHECK(exponent >= 0 && exponent < kBitsExponent);
  uint64_t too_large = 0;
  if (exponent == 0) {
    for (size_t i = 0; i < integers.size(); ++i) {
      too_large |= static_cast<uint64_t>(integers[i]) + kDecimalLimit;
      values[i] = ToDouble(integers[i]);
    }
  } else {
    const double power = kPowersOfTen[exponent];
    for (size_t i = 0; i < integers.size(); ++i) {
      too_large |= static_cast<uint64_t>(integers[i]) + kDecimalLimit;
      values[i] = ToDouble(integers[i]) / power;
    }
  }
  return too_large >> 52 == 0;
}

double FromLargeDecimal(__int128 integer, int exponent) {
  TINYOBS_DCHECK(exponent >= 0 && exponent < kBitsExponent);
  // Shifted to the top, the quotient has more bits than a double; the last one takes note of a
  // remainder, and the only rounding is that of the conversion.
  auto magnitude = static_cast<unsigned __int128>(integer);
  if (integer < 0) magnitude = -magnitude;
  int shift = 0;
  for (; magnitude >> 127 == 0; ++shift) magnitude <<= 1;
  const auto power = static_cast<uint64_t>(kPowersOfTen[exponent]);
  const unsigned __int128 quotient = magnitude / power | (magnitude % power != 0 ? 1 : 0);
  const double result = std::ldexp(static_cast<double>(quotient), -shift);
  return integer < 0 ? -result : result;
}

int ExponentOf(double value, int least) {
  if (!std::isfinite(value)) return kBitsExponent;
  int64_t integer;
  for (int exponent = least; exponent < kBitsExponent; ++exponent) {
    if (ToDecimal<true>(value, kPowersOfTen[exponent], &integer) == 0) return exponent;
  }
  return kBitsExponent;
}

void ToOrderedBits(std::span<const double> values, int64_t* integers) {
  for (size_t i = 0; i < values.size(); ++i) {
    integers[i] = static_cast<int64_t>(FlipIfNegative(std::bit_cast<uint64_t>(values[i])));
  }
}

void FromOrderedBits(std::span<const int64_t> integers, double* values) {
  for (size_t i = 0; i < integers.size(); ++i) {
    values[i] = std::bit_cast<double>(FlipIfNegative(static_cast<uint64_t>(integers[i])));
  }
}

}  // namespace tinyobs::chunk
