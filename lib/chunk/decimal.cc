#include "lib/chunk/decimal.h"

#include <bit>
#include <cmath>

#include "lib/base/check.h"

namespace tinyobs::chunk {
namespace {

constexpr double kPowersOfTen[kBitsExponent] = {1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6, 1e7,
                                                1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};

// 1.5 * 2^52: a double whose last bit counts ones, with room below it for negative numbers.
constexpr double kMagic = 6755399441055744.0;
constexpr uint64_t kMagicBits = 0x4338000000000000;
static_assert(std::bit_cast<uint64_t>(kMagic) == kMagicBits);
constexpr double kLimit = static_cast<double>(kDecimalLimit);

double ToDouble(int64_t integer) {
  return std::bit_cast<double>(static_cast<uint64_t>(integer) + kMagicBits) - kMagic;
}

// All ones below the sign: inverting them makes negative doubles descend with their magnitude.
uint64_t FlipIfNegative(uint64_t bits) {
  return bits ^ (static_cast<uint64_t>(static_cast<int64_t>(bits) >> 63) >> 1);
}

// The body of ToDecimals for one value; returns 0 when it fits.
inline uint64_t ToDecimal(double value, double power, int64_t* integer) {
  const double scaled = value * power;
  const double shifted = scaled + kMagic;  // rounds to the nearest integer
  const double back = (shifted - kMagic) / power;
  *integer = static_cast<int64_t>(std::bit_cast<uint64_t>(shifted) - kMagicBits);
  return (std::bit_cast<uint64_t>(back) ^ std::bit_cast<uint64_t>(value)) |
         (std::fabs(scaled) < kLimit - 1 ? 0 : 1);
}

}  // namespace

uint32_t ToDecimals(std::span<const double> values, int exponent, int64_t* integers,
                    uint64_t* misfits) {
  TINYOBS_DCHECK(exponent >= 0 && exponent < kBitsExponent);
  const double power = kPowersOfTen[exponent];
  uint32_t count = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    misfits[i] = ToDecimal(values[i], power, &integers[i]);
    count += misfits[i] != 0;
  }
  return count;
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

int ExponentOf(double value, int least) {
  if (!std::isfinite(value)) return kBitsExponent;
  int64_t integer;
  for (int exponent = least; exponent < kBitsExponent; ++exponent) {
    if (ToDecimal(value, kPowersOfTen[exponent], &integer) == 0) return exponent;
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
