// The arithmetic of binary operators: over two numbers, and over columns in place. The loops are
// templates over the operator, so that each is one plain loop that the compiler can vectorise.
#include "lib/promql/binary.h"

#include <cmath>

#include "lib/base/check.h"
#include "lib/promql/binary_columns.h"

namespace tinyobs::promql {
namespace {

// Calls use(f), where f(left, right) is the arithmetic operator. C's pow, fmod and atan2 have the
// special cases of Go's.
template <typename Use>
auto WithArithmetic(BinaryOp op, Use use) {
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
      return use([](double l, double r) { return std::pow(l, r); });
    default:
      TINYOBS_DCHECK(op == BinaryOp::kAtan2);
      return use([](double l, double r) { return std::atan2(l, r); });
  }
}

template <typename Use>
auto WithComparison(BinaryOp op, Use use) {
  switch (op) {
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

double ApplyScalar(BinaryOp op, double left, double right) {
  const auto apply = [&](auto f) { return static_cast<double>(f(left, right)); };
  return IsComparison(op) ? WithComparison(op, apply) : WithArithmetic(op, apply);
}

void ApplyColumns(BinaryOp op, bool return_bool, bool swapped, bool keep_other,
                  std::span<const double> other, std::span<double> values) {
  if (!IsComparison(op)) {
    WithArithmetic(op, [&](auto f) {
      if (swapped) {
        Change([&](double v, double o) { return f(o, v); }, other, values);
      } else {
        Change(f, other, values);
      }
    });
    return;
  }
  if (swapped) {
    constexpr BinaryOp kMirrored[] = {BinaryOp::kEqual,          BinaryOp::kNotEqual,
                                      BinaryOp::kGreater,        BinaryOp::kLess,
                                      BinaryOp::kGreaterOrEqual, BinaryOp::kLessOrEqual};
    op = kMirrored[static_cast<int>(op) - static_cast<int>(BinaryOp::kEqual)];
  }
  WithComparison(op, [&](auto f) {
    const double absent = Absent();
    if (return_bool) {
      Change([&](double v, double o) { return f(v, o) ? 1.0 : 0.0; }, other, values);
    } else if (keep_other) {
      Change([&](double v, double o) { return f(v, o) ? o : absent; }, other, values);
    } else {
      Change([&](double v, double o) { return f(v, o) ? v : absent; }, other, values);
    }
  });
}

void ApplyVectorScalar(BinaryOp op, bool return_bool, bool scalar_on_left,
                       std::span<const double> scalar, std::span<double> values) {
  ApplyColumns(op, return_bool, scalar_on_left, /*keep_other=*/false, scalar, values);
}

bool DropsName(BinaryOp op, bool return_bool) { return op <= BinaryOp::kPow || return_bool; }

}  // namespace tinyobs::promql
