// The arithmetic of binary operators: over two numbers, and over columns in place. The loops are
// templates over the operator, so that each is one plain loop that the compiler can vectorise.
#include "lib/promql/binary.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "lib/base/check.h"

namespace tinyobs::promql {
namespace {

// Go's power to a whole number is a product of squares, with the exponents of two apart, and may be
// some last digits off; C's is not. Those digits are all that is left after `% 7` or sin(), so they
// are made here in the same way. C's has Go's special cases.
double Power(double base, double exponent) {
  const double times = std::fabs(exponent);
  if (!(times >= 2 && times < 0x1p63) || times != std::floor(times) || base == 0 || base == 1 ||
      !std::isfinite(base)) {
    return std::pow(base, exponent);
  }
  constexpr int kFarOut = 1 << 12;  // certainly infinite, or zero
  int square_exponent = 0;
  double square = std::frexp(base, &square_exponent);
  double product = 1;
  int product_exponent = 0;
  for (auto left = static_cast<uint64_t>(times); left != 0; left >>= 1) {
    if (std::abs(square_exponent) > kFarOut) {
      product_exponent += square_exponent;
      break;
    }
    if ((left & 1) != 0) {
      product *= square;
      product_exponent += square_exponent;
    }
    square *= square;
    square_exponent *= 2;
    if (square < 0.5) {
      square *= 2;
      --square_exponent;
    }
  }
  return exponent < 0 ? std::ldexp(1 / product, -product_exponent)
                      : std::ldexp(product, product_exponent);
}

// Calls use(f), where f(left, right) is the operator. C's fmod and atan2 have the special
// cases of Go's.
template <typename Use>
auto WithOperator(BinaryOp op, Use use) {
  switch (op) {
    case BinaryOp::kAdd:
      return use([](double l, double r) { return l + r; });
    case BinaryOp::kSub:
      return use([](double l, double r) { return l - r; });
    case BinaryOp::kMul:
      return use([](double l, double r) { return l * r; });
    case BinaryOp::kDiv:
      return use([](double l, double r) { return l / r; });
    case BinaryOp::kMod:
      return use([](double l, double r) { return std::fmod(l, r); });
    case BinaryOp::kPow:
      return use(Power);
    case BinaryOp::kAtan2:
      return use([](double l, double r) { return std::atan2(l, r); });
    case BinaryOp::kEqual:
      return use([](double l, double r) { return l == r; });
    case BinaryOp::kNotEqual:
      return use([](double l, double r) { return l != r; });
    case BinaryOp::kLess:
      return use([](double l, double r) { return l < r; });
    case BinaryOp::kGreater:
      return use([](double l, double r) { return l > r; });
    case BinaryOp::kLessOrEqual:
      return use([](double l, double r) { return l <= r; });
    default:
      TINYOBS_DCHECK(op == BinaryOp::kGreaterOrEqual);
      return use([](double l, double r) { return l >= r; });
  }
}

// values[i] = f(values[i], other[i]) where both are present.
template <typename F>
void Change(F f, std::span<const double> other, std::span<double> values) {
  const double* __restrict o = other.data();
  double* __restrict v = values.data();
  const double absent = Absent();
  for (size_t i = 0; i < values.size(); ++i) {
    const double result = f(v[i], o[i]);
    v[i] = IsAbsent(v[i]) || IsAbsent(o[i]) ? absent : result;
  }
}

}  // namespace

void ApplyColumns(BinaryOp op, bool return_bool, bool swapped, bool keep_other,
                  std::span<const double> other, std::span<double> values) {
  WithOperator(op, [&](auto f) {
    // What becomes of f's answer and the two values.
    const auto change = [&](auto result) {
      if (swapped) {
        Change([&](double v, double o) { return result(f(o, v), v, o); }, other, values);
      } else {
        Change([&](double v, double o) { return result(f(v, o), v, o); }, other, values);
      }
    };
    const double absent = Absent();
    if (!IsComparison(op)) {
      change([](double answer, double, double) { return answer; });
    } else if (return_bool) {
      change([](bool holds, double, double) { return holds ? 1.0 : 0.0; });
    } else if (keep_other) {
      change([=](bool holds, double, double o) { return holds ? o : absent; });
    } else {
      change([=](bool holds, double v, double) { return holds ? v : absent; });
    }
  });
}

bool DropsName(BinaryOp op, bool return_bool) { return op <= BinaryOp::kPow || return_bool; }

}  // namespace tinyobs::promql
