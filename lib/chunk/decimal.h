// Doubles <-> integers divided by a power of ten, and doubles <-> integers of the same order.
//
// Measurements are decimals that somebody printed: 20.7 is 207 / 10^1. As integers they difference
// and pack well; as bits of a double they look like noise. The division is done in double
// arithmetic on both sides, and an exponent is only used where it reproduces every bit, so nothing
// is lost by rounding (the idea of ALP, Afroozeh et al., 2023; there with two factors, here with
// one).
//
// Below 2^51 in magnitude an integer is turned into a double by putting its bits under the exponent
// of 1.5 * 2^52 and subtracting that number, and back by adding it: no conversion instruction, so
// the loops vectorise on any x86-64. Hence the limit.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_CHUNK_DECIMAL_H_
#define TINYOBS_LIB_CHUNK_DECIMAL_H_

#include <bit>
#include <cstdint>
#include <limits>
#include <span>

namespace tinyobs::chunk {

// Exponents 0 to 14 are powers of ten; this one says that integers are bits.
inline constexpr int kBitsExponent = 15;
// The last says of every product that it is no decimal, which spares the asker a branch.
inline constexpr double kPowersOfTen[kBitsExponent + 1] = {
    1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, std::numeric_limits<double>::quiet_NaN()};
// Decimal integers are of smaller magnitude.
inline constexpr int64_t kDecimalLimit = int64_t{1} << 51;

// Finds integers[i] with integers[i] / 10^exponent == values[i], bit for bit, below the limit.
// misfits[i] is 0 where there is one; elsewhere it is not 0 and integers[i] means nothing. Returns
// the number of misfits.
// REQUIRES: 0 <= exponent < kBitsExponent; spans of equal length.
uint32_t ToDecimals(std::span<const double> values, int exponent, int64_t* integers,
                    uint64_t* misfits);

// The inverse. False when an integer is not in [-kDecimalLimit, kDecimalLimit); the values are then
// meaningless.
bool FromDecimals(std::span<const int64_t> integers, int exponent, double* values);

// 1.5 * 2^52: a double whose last bit counts ones, with room below it for negative numbers.
inline constexpr double kMagic = 6755399441055744.0;
inline constexpr uint64_t kMagicBits = 0x4338000000000000;

// A double in the order of the decimal integers: kMagic + integer. Any double for other integers.
inline double ShiftedDouble(int64_t integer) {
  return std::bit_cast<double>(static_cast<uint64_t>(integer) + kMagicBits);
}
inline int64_t ShiftedInteger(double shifted) {
  return static_cast<int64_t>(std::bit_cast<uint64_t>(shifted) - kMagicBits);
}

// integer / 10^exponent, rounded once. The second for decimal integers, much faster.
double FromLargeDecimal(__int128 integer, int exponent);
inline double FromDecimal(__int128 integer, int exponent) {
  constexpr __int128 kExact = int64_t{1} << 53;
  if (integer < -kExact || integer > kExact) return FromLargeDecimal(integer, exponent);
  return static_cast<double>(static_cast<int64_t>(integer)) / kPowersOfTen[exponent];
}
inline double FromDecimalInteger(int64_t integer, int exponent) {
  return (ShiftedDouble(integer) - kMagic) / kPowersOfTen[exponent];
}

// To the nearest integer, halves to even. REQUIRES: |x| < kDecimalLimit. std::nearbyint is a call
// of the library on a plain x86-64, this is two additions.
inline double RoundToInteger(double x) { return (x + kMagic) - kMagic; }

// The least exponent from `least` on that fits this value; kBitsExponent when none does.
int ExponentOf(double value, int least);

// An integer in the order of the doubles, so that near values have near integers.
void ToOrderedBits(std::span<const double> values, int64_t* integers);
void FromOrderedBits(std::span<const int64_t> integers, double* values);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_DECIMAL_H_
