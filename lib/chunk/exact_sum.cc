#include "lib/chunk/exact_sum.h"

#include <cmath>
#include <limits>

namespace tinyobs::chunk {

Number NumberOf(double value) {
  Number number{.value = value, .exponent = ExponentOf(value, 0)};
  uint64_t misfit;
  if (number.decimal()) ToDecimals({&value, 1}, number.exponent, &number.integer, &misfit);
  return number;
}

// Ten to the 14th times either leaves room in 127 bits.
__int128 ExactSum::Align(__int128 integer, int exponent) {
  if (integer_ == 0) exponent_ = exponent;
  for (; exponent < exponent_; ++exponent) integer *= 10;
  for (; exponent_ < exponent; ++exponent_) integer_ *= 10;
  return integer;
}

void ExactSum::Spill() {
  rest_.Add(FromDecimal(integer_, exponent_));
  integer_ = 0;
}

double ExactSum::Value() const {
  const double exact = FromDecimal(integer_, exponent_);
  if (only_decimals()) return exact;
  NeumaierSum total = rest_;
  total.Add(exact);
  if (std::isnan(total.sum)) return std::numeric_limits<double>::quiet_NaN();
  return std::isfinite(total.sum) ? total.sum + total.lost : total.sum;
}

Number ExactSum::ToNumber() const {
  const auto integer = static_cast<int64_t>(integer_);
  const double value = Value();
  if (!only_decimals() || integer != integer_) return BitsOnly(value);
  return {.value = value, .integer = integer, .exponent = exponent_};
}

}  // namespace tinyobs::chunk
