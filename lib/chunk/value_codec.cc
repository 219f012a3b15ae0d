#include "lib/chunk/value_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "lib/base/check.h"
#include "lib/chunk/decimal.h"
#include "lib/chunk/patched_frame.h"

namespace tinyobs::chunk {
namespace {

constexpr int kTransformShift = 4;
constexpr uint8_t kGcdBit = 0x40;
constexpr uint8_t kExceptionsBit = 0x80;

// Values looked at to guess an exponent or a transform. Guesses cost bytes when wrong, never bits
// of a value.
constexpr size_t kExponentProbes = 16;
constexpr size_t kTransformProbes = 48;

uint64_t Wrap(int64_t x) { return static_cast<uint64_t>(x); }

// ------------------------------------------------------------------------------------ to integers

// An exponent that fits most of some values spread over the chunk; kBitsExponent when most fit
// none.
int GuessExponent(std::span<const double> values) {
  const size_t stride = std::max<size_t>(1, values.size() / kExponentProbes);
  int exponent = 0;
  size_t probes = 0;
  size_t without = 0;
  for (size_t i = 0; i < values.size() && probes < kExponentProbes; i += stride, ++probes) {
    const int fit = ExponentOf(values[i], exponent);
    if (fit == kBitsExponent) {
      if (++without > kExponentProbes / 2) return kBitsExponent;
    } else {
      exponent = fit;
    }
  }
  return 2 * without > probes ? kBitsExponent : exponent;
}

// A larger exponent that some of the misfits ask for; `exponent` when none does.
int LargerExponent(std::span<const double> values, const uint64_t* misfits, int exponent) {
  constexpr int kTries = 4;
  int larger = exponent;
  for (size_t i = 0, tries = 0; i < values.size() && tries < kTries; ++i) {
    if (misfits[i] == 0) continue;
    if (!std::isfinite(values[i])) continue;
    const int fit = ExponentOf(values[i], larger);
    if (fit != kBitsExponent) larger = fit;
    ++tries;
  }
  return larger;
}

// Lists the misfits as exceptions and puts the integer before into their place.
void ListExceptions(size_t n, const uint64_t* misfits, int64_t* integers,
                    std::vector<uint32_t>* exceptions) {
  // The leading ones take the first integer that means something.
  int64_t previous = 0;
  for (size_t i = 0; i < n; ++i) {
    if (misfits[i] == 0) {
      previous = integers[i];
      break;
    }
  }
  for (size_t i = 0; i < n; ++i) {
    if (misfits[i] != 0) {
      exceptions->push_back(static_cast<uint32_t>(i));
      integers[i] = previous;
    }
    previous = integers[i];
  }
}

// Fills integers[0] and exceptions; returns the exponent.
int ToIntegers(std::span<const double> values, int hint, ValueScratch* scratch) {
  const size_t n = values.size();
  int64_t* const integers = scratch->integers[0].data();
  uint64_t* const misfits = scratch->packed.data();
  scratch->exceptions.clear();
  const bool hinted = hint >= 0 && hint < kBitsExponent;
  if (hinted && ToDecimals(values, hint, integers, misfits) == 0) return hint;

  int exponent = GuessExponent(values);
  int best = kBitsExponent;
  uint32_t best_misses = static_cast<uint32_t>(n);
  int tried = kBitsExponent;
  while (exponent < kBitsExponent) {  // each round has a larger exponent
    const uint32_t misses = ToDecimals(values, exponent, integers, misfits);
    if (misses == 0) return exponent;
    tried = exponent;
    if (misses < best_misses) {
      best = exponent;
      best_misses = misses;
    }
    const int larger = LargerExponent(values, misfits, exponent);
    if (larger == exponent) break;
    exponent = larger;
  }
  // An exception costs about ten bytes, a value as bits six to eight.
  if (best == kBitsExponent || 2 * size_t{best_misses} > n) {
    ToOrderedBits(values, integers);
    return kBitsExponent;
  }
  if (tried != best) ToDecimals(values, best, integers, misfits);
  ListExceptions(n, misfits, integers, &scratch->exceptions);
  return best;
}

// ------------------------------------------------------------------------------------ common
// divisor

void Differences(std::span<const int64_t> from, int64_t* to) {
  for (size_t i = 1; i < from.size(); ++i) {
    to[i - 1] = static_cast<int64_t>(Wrap(from[i]) - Wrap(from[i - 1]));
  }
}

// The greatest common divisor of the differences of decimals (below 2^52), or 1. Most series have 1
// and say so within a few differences. For the others, whether all differences are multiples of
// what the first ones share is asked in doubles (exact below 2^53), eight cycles each instead of
// forty.
uint64_t CommonDivisor(std::span<const int64_t> differences) {
  constexpr size_t kExact = 8;
  uint64_t divisor = 0;
  size_t i = 0;
  for (size_t exact = 0; i < differences.size() && exact < kExact; ++i) {
    if (differences[i] == 0) continue;
    divisor = std::gcd(divisor, static_cast<uint64_t>(std::abs(differences[i])));
    if (divisor == 1) return 1;
    ++exact;
  }
  for (; i < differences.size(); ++i) {
    const auto difference = static_cast<double>(differences[i]);
    const auto by = static_cast<double>(divisor);
    // The quotient may be rounded; its nearest integer times the divisor is not.
    if (RoundToInteger(difference / by) * by == difference) continue;
    divisor = std::gcd(divisor, static_cast<uint64_t>(std::abs(differences[i])));
    if (divisor == 1) return 1;
  }
  return divisor;
}

// Does dividing save more than it costs to say?
bool DivisorPays(uint64_t divisor, size_t n) {
  if (divisor < 2) return false;
  const auto saved_bits = (std::bit_width(divisor) - 1) * n;
  return saved_bits >= 8 * static_cast<size_t>(VarintLength(divisor) + 2);
}

// x = (x - base) / divisor, all multiples. Exact in doubles: the quotient is an integer below 2^52.
void DivideAll(std::span<int64_t> integers, uint64_t divisor) {
  const int64_t base = integers[0];
  const auto by = static_cast<double>(divisor);
  for (int64_t& x : integers) x = static_cast<int64_t>(static_cast<double>(x - base) / by);
}

// ------------------------------------------------------------------------------------ transform

// Bits that each transform would take for numbers around its middle, judged by a sample. Odd
// stride, so that a pattern of two, four, ... samples does not hide.
Transform ChooseTransform(const ValueScratch& scratch, size_t n) {
  double best_bits = 0;
  int best = -1;
  for (size_t t = 0; t < 3 && t < n; ++t) {
    const int64_t* const x = scratch.integers[t].data();
    const size_t m = n - t;
    const int64_t middle = MiddleOf({x, m});
    const size_t stride = (m / kTransformProbes) | 1;
    uint64_t sum = 0;
    size_t probes = 0;
    for (size_t i = 0; i < m; i += stride, ++probes) {
      sum += std::bit_width(ZigZag(static_cast<int64_t>(Wrap(x[i]) - Wrap(middle))));
    }
    // Each difference more costs a number in front of the frame.
    const double bits =
        static_cast<double>(sum) / static_cast<double>(probes) * static_cast<double>(m) +
        16.0 * static_cast<double>(t);
    if (best < 0 || bits < best_bits) {
      best = static_cast<int>(t);
      best_bits = bits;
    }
  }
  return static_cast<Transform>(best);
}

void AppendExceptions(std::span<const double> values, const std::vector<uint32_t>& exceptions,
                      std::string* out) {
  PutVarint64(out, exceptions.size());
  uint32_t previous = 0;
  for (const uint32_t index : exceptions) {
    PutVarint64(out, index - previous);
    PutFixed64(out, std::bit_cast<uint64_t>(values[index]));
    previous = index;
  }
}

// ------------------------------------------------------------------------------------ reading

// Turns the frame at x[transform...] and the numbers before it back into integers.
void Integrate(Transform transform, size_t n, int64_t x0, int64_t d0, int64_t* x) {
  if (transform == Transform::kNone) return;
  uint64_t value = Wrap(x0);
  if (transform == Transform::kDelta) {
    x[0] = x0;
    for (size_t i = 1; i < n; ++i) {
      value += Wrap(x[i]);
      x[i] = static_cast<int64_t>(value);
    }
    return;
  }
  uint64_t delta = Wrap(d0);
  x[0] = x0;
  value += delta;
  x[1] = static_cast<int64_t>(value);
  for (size_t i = 2; i < n; ++i) {
    delta += Wrap(x[i]);
    value += delta;
    x[i] = static_cast<int64_t>(value);
  }
}

void MultiplyAll(size_t n, uint64_t divisor, int64_t base, int64_t* x) {
  for (size_t i = 0; i < n; ++i) x[i] = static_cast<int64_t>(Wrap(x[i]) * divisor + Wrap(base));
}

bool ToValues(std::span<const int64_t> integers, int exponent, double* values) {
  if (exponent != kBitsExponent) return FromDecimals(integers, exponent, values);
  FromOrderedBits(integers, values);
  return true;
}

void ReadExceptions(ByteReader* reader, std::span<double> values) {
  const uint64_t count = reader->BoundedVarint64(values.size());
  if (count == 0) return reader->Fail();
  size_t at = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t gap = reader->BoundedVarint64(values.size() - 1 - at);
    const uint64_t bits = reader->Fixed64();
    if (!reader->ok() || (gap == 0 && i > 0)) return reader->Fail();
    at += gap;
    values[at] = std::bit_cast<double>(bits);
  }
}

}  // namespace

void AppendValues(std::span<const double> values, ValueScratch* scratch, int* exponent_hint,
                  std::string* out) {
  const size_t n = values.size();
  for (auto& integers : scratch->integers) {
    if (integers.size() < n) integers.resize(n);
  }
  if (scratch->packed.size() < n) scratch->packed.resize(n);

  const int exponent = ToIntegers(values, *exponent_hint, scratch);
  *exponent_hint = exponent;
  const std::span<int64_t> x(scratch->integers[0].data(), n);
  const std::span<int64_t> delta(scratch->integers[1].data(), n - 1);
  auto kind = static_cast<uint8_t>(exponent | (scratch->exceptions.empty() ? 0 : kExceptionsBit));
  const auto put_kind = [&](Transform transform) {
    out->push_back(static_cast<char>(kind | static_cast<int>(transform) << kTransformShift));
  };

  if (std::all_of(x.begin(), x.end(), [&](int64_t y) { return y == x[0]; })) {
    put_kind(Transform::kConstant);
    PutZigZag64(out, x[0]);
  } else {
    Differences(x, delta.data());
    const uint64_t divisor = exponent == kBitsExponent ? 1 : CommonDivisor(delta);
    const int64_t base = x[0];
    if (DivisorPays(divisor, n)) {
      kind |= kGcdBit;
      DivideAll(x, divisor);
      Differences(x, delta.data());
    }
    Differences(delta, scratch->integers[2].data());
    const Transform transform = ChooseTransform(*scratch, n);
    put_kind(transform);
    if ((kind & kGcdBit) != 0) {
      PutVarint64(out, divisor);
      PutZigZag64(out, base);
    }
    if (transform != Transform::kNone) PutZigZag64(out, x[0]);
    if (transform == Transform::kDelta2) PutZigZag64(out, delta[0]);
    const auto order = static_cast<size_t>(transform);
    const std::span<const int64_t> numbers(scratch->integers[order].data(), n - order);
    AppendFrame(numbers, PlanFrame(numbers), &scratch->packed, out);
  }
  if (!scratch->exceptions.empty()) AppendExceptions(values, scratch->exceptions, out);
}

void ReadValues(ByteReader* reader, int64_t* integers, std::span<double> values) {
  const size_t n = values.size();
  const uint8_t kind = reader->Byte();
  const int exponent = kind & 0xf;
  const auto transform = static_cast<Transform>(kind >> kTransformShift & 3);
  const bool divided = (kind & kGcdBit) != 0;
  if (transform == Transform::kConstant) {
    integers[0] = reader->ZigZag64();
    if (divided || !ToValues({integers, 1}, exponent, values.data())) return reader->Fail();
    std::fill(values.begin() + 1, values.end(), values[0]);
  } else {
    uint64_t divisor = 1;
    int64_t base = 0;
    if (divided) {
      divisor = reader->Varint64();
      base = reader->ZigZag64();
      if (divisor < 2 || exponent == kBitsExponent) return reader->Fail();
    }
    const auto order = static_cast<size_t>(transform);
    if (order >= n) return reader->Fail();
    const int64_t x0 = order >= 1 ? reader->ZigZag64() : 0;
    const int64_t d0 = order >= 2 ? reader->ZigZag64() : 0;
    ReadFrame(reader, n - order, integers + order);
    if (!reader->ok()) return;
    Integrate(transform, n, x0, d0, integers);
    if (divided) MultiplyAll(n, divisor, base, integers);
    if (!ToValues({integers, n}, exponent, values.data())) return reader->Fail();
  }
  if ((kind & kExceptionsBit) != 0) ReadExceptions(reader, values);
}

}  // namespace tinyobs::chunk
