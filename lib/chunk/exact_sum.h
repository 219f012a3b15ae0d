// Sums that do not depend on the order or on how the samples were cut into chunks and windows.
//
// Decimals are added up as the integers they are (decimal.h), in 128 bits, and rounded once, when
// somebody asks; added up as doubles, 0.1 ten times is not 1, and a sum of such sums is again
// another. Values that are no decimals are added with Neumaier's compensation (ZAMM 54, 1974).
//
// Thread-safety: one thread's.
#ifndef TINYOBS_LIB_CHUNK_EXACT_SUM_H_
#define TINYOBS_LIB_CHUNK_EXACT_SUM_H_

#include <cmath>
#include <cstdint>

#include "lib/chunk/decimal.h"

namespace tinyobs::chunk {

// A value and, unless exponent is kBitsExponent, the decimal that it is or was rounded from:
// integer / 10^exponent.
struct Number {
  double value = 0;
  int64_t integer = 0;
  int exponent = 0;

  bool decimal() const { return exponent != kBitsExponent; }
};

// A value that is not known to be a decimal.
inline Number BitsOnly(double value) { return {.value = value, .exponent = kBitsExponent}; }

// The decimal of the least exponent that is this double, if there is one below kDecimalLimit.
Number NumberOf(double value);

// A sum of doubles as PromQL adds them up: with what rounding loses beside it.
struct NeumaierSum {
  double sum = 0;
  double lost = 0;

  void Add(double value) {
    const double total = sum + value;
    lost += std::fabs(sum) >= std::fabs(value) ? (sum - total) + value : (value - total) + sum;
    sum = total;
  }
};

// A sum that is exact while it is one of decimals (below 2^80 units of the smallest exponent's).
class ExactSum {
 public:
  void Add(__int128 integer, int exponent) {  // |integer| <= 2^64
    if (exponent != exponent_) integer = Align(integer, exponent);
    integer_ += integer;
    if (integer_ >= kLimit || integer_ <= -kLimit) Spill();
  }
  void Add(double value) { rest_.Add(value); }
  void Add(const Number& number) {
    if (number.decimal()) {
      Add(number.integer, number.exponent);
    } else {
      Add(number.value);
    }
  }
  double Value() const;
  // A decimal if the sum is one and fits its 64 bits.
  Number ToNumber() const;

  const NeumaierSum& rest() const { return rest_; }
  void set_rest(const NeumaierSum& rest) { rest_ = rest; }

 private:
  static constexpr __int128 kLimit = static_cast<__int128>(1) << 80;

  __int128 Align(__int128 integer, int exponent);
  void Spill();
  bool only_decimals() const { return rest_.sum == 0 && rest_.lost == 0; }

  __int128 integer_ = 0;
  int exponent_ = 0;
  NeumaierSum rest_;  // of what is no decimal
};

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_EXACT_SUM_H_
