#include "lib/chunk/value_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <optional>
#include <utility>

#include "lib/base/check.h"
#include "lib/chunk/decimal.h"
#include "lib/chunk/patched_frame.h"

namespace tinyobs::chunk {
namespace {

constexpr int kTransformShift = 4;
constexpr uint8_t kGcdBit = 0x40;
constexpr uint8_t kExceptionsBit = 0x80;

// Values looked at to guess an exponent. A wrong guess costs bytes, never a bit of a value.
constexpr size_t kExponentProbes = 16;

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
void ListExceptions(std::span<const double> values, const uint64_t* misfits, int64_t* integers,
                    std::vector<Exception>* exceptions) {
  const size_t n = values.size();
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
      exceptions->push_back({static_cast<uint32_t>(i), values[i]});
      integers[i] = previous;
    }
    previous = integers[i];
  }
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

// The transform whose frame is likely the smallest. Each difference more costs a number in front of
// the frame.
Transform ChooseTransform(const ValueScratch& scratch, size_t n) {
  constexpr uint64_t kNumberBits = 16;
  size_t best = 0;
  uint64_t best_bits = UINT64_MAX;
  for (size_t t = 0; t < 3 && t < n; ++t) {
    const uint64_t bits = EstimateFrameBits({scratch.integers[t].data(), n - t}) + kNumberBits * t;
    if (bits < best_bits) {
      best = t;
      best_bits = bits;
    }
  }
  return static_cast<Transform>(best);
}

void PutKind(uint8_t kind, Transform transform, std::string* out) {
  out->push_back(static_cast<char>(kind | static_cast<int>(transform) << kTransformShift));
}

// Appends the section, but for exceptions, if all integers are equal.
bool AppendConstant(std::span<const int64_t> x, uint8_t kind, std::string* out) {
  if (!std::all_of(x.begin(), x.end(), [&](int64_t y) { return y == x[0]; })) return false;
  PutKind(kind, Transform::kConstant, out);
  PutZigZag64(out, x[0]);
  return true;
}

// How integers are going to be written, which by then are what it says of scratch->integers.
struct IntegerPlan {
  uint8_t kind = 0;
  uint64_t divisor = 1;
  int64_t base = 0;
  Transform transform = Transform::kNone;
  std::span<const int64_t> numbers;  // that the frame is of
  FramePlan frame;
};

// For the first n of scratch->integers[0]; a divisor is looked for if they are `divisible`, which
// takes decimal integers.
IntegerPlan PlanIntegers(size_t n, uint8_t kind, bool divisible, ValueScratch* scratch) {
  const std::span<int64_t> x(scratch->integers[0].data(), n);
  const std::span<int64_t> delta(scratch->integers[1].data(), n - 1);
  IntegerPlan plan{.kind = kind, .base = x[0], .numbers = {}, .frame = {}};
  Differences(x, delta.data());
  if (divisible) plan.divisor = CommonDivisor(delta);
  if (DivisorPays(plan.divisor, n)) {
    plan.kind |= kGcdBit;
    DivideAll(x, plan.divisor);
    Differences(x, delta.data());
  }
  Differences(delta, scratch->integers[2].data());
  plan.transform = ChooseTransform(*scratch, n);
  const auto order = static_cast<size_t>(plan.transform);
  plan.numbers = {scratch->integers[order].data(), n - order};
  plan.frame = PlanFrame(plan.numbers);
  return plan;
}

// Appends the section, but for exceptions, the first number that stands for a value less `origin`.
void AppendPlanned(const IntegerPlan& plan, int64_t origin, ValueScratch* scratch,
                   std::string* out) {
  PutKind(plan.kind, plan.transform, out);
  if ((plan.kind & kGcdBit) != 0) {
    PutVarint64(out, plan.divisor);
    PutZigZag64(out, plan.base - origin);
    origin = 0;
  }
  if (plan.transform != Transform::kNone) {
    const int64_t x0 = scratch->integers[0][0];
    PutZigZag64(out, static_cast<int64_t>(Wrap(x0) - Wrap(std::exchange(origin, 0))));
  }
  if (plan.transform == Transform::kDelta2) PutZigZag64(out, scratch->integers[1][0]);
  AppendFrame(plan.numbers, plan.frame, origin, &scratch->packed, out);
}

// ------------------------------------------------------------------------------------ reading

// Turns the frame at x[transform...] and the numbers before it back into integers.
void Integrate(Transform transform, size_t n, int64_t x0, int64_t d0, int64_t* x) {
  if (transform == Transform::kNone) return;
  uint64_t value = Wrap(x0);
  if (transform == Transform::kDelta) {
    x[0] = x0;
    size_t i = 1;
    for (; i + 2 <= n; i += 2) {
      const uint64_t two = Wrap(x[i]) + Wrap(x[i + 1]);
      x[i] = static_cast<int64_t>(value + Wrap(x[i]));
      value += two;
      x[i + 1] = static_cast<int64_t>(value);
    }
    if (i < n) x[i] = static_cast<int64_t>(value + Wrap(x[i]));
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

}  // namespace

void AppendExceptions(const std::vector<Exception>& exceptions, std::string* out) {
  PutVarint64(out, exceptions.size());
  uint32_t previous = 0;
  for (const Exception& exception : exceptions) {
    PutVarint64(out, exception.index - previous);
    PutFixed64(out, std::bit_cast<uint64_t>(exception.value));
    previous = exception.index;
  }
}

int ToIntegers(std::span<const double> values, int hint, ValueScratch* scratch) {
  const size_t n = values.size();
  for (auto& integers : scratch->integers) {
    if (integers.size() < n) integers.resize(n);
  }
  if (scratch->packed.size() < n) scratch->packed.resize(n);
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
  ListExceptions(values, misfits, integers, &scratch->exceptions);
  return best;
}

bool AppendValues(std::span<const double> values, ValueScratch* scratch, int* exponent_hint,
                  size_t chunk_at, size_t summary_at, std::string* out) {
  const size_t n = values.size();
  const int exponent = ToIntegers(values, *exponent_hint, scratch);
  *exponent_hint = exponent;
  const std::span<int64_t> x(scratch->integers[0].data(), n);
  const bool exceptions = !scratch->exceptions.empty();
  const auto kind = static_cast<uint8_t>(exponent | (exceptions ? kExceptionsBit : 0));
  if (AppendConstant(x, kind, out)) {
    if (exceptions) AppendExceptions(scratch->exceptions, out);
    return false;
  }

  const int64_t first = x[0];
  std::optional<Summary> summary;
  if (n >= kSummaryLeastSamples && exponent != kBitsExponent && !exceptions) {
    summary = Summarize(x, exponent);
  }
  const IntegerPlan plan = PlanIntegers(n, kind, exponent != kBitsExponent, scratch);
  if (summary.has_value()) {
    scratch->summary.clear();
    AppendSummary(*summary, &scratch->summary);
    const size_t rest = out->size() - chunk_at + plan.frame.bits / 8;
    if (scratch->summary.size() * kSummaryLeastShare > rest) summary.reset();
  }
  if (summary.has_value()) out->insert(summary_at, scratch->summary);
  // The first number that stands for a value is relative to the summary's first.
  AppendPlanned(plan, summary.has_value() ? first : 0, scratch, out);
  if (exceptions) AppendExceptions(scratch->exceptions, out);
  return summary.has_value();
}

void AppendIntegers(size_t n, int exponent, bool exceptions, ValueScratch* scratch,
                    std::string* out) {
  const std::span<const int64_t> x(scratch->integers[0].data(), n);
  const auto kind = static_cast<uint8_t>(exponent | (exceptions ? kExceptionsBit : 0));
  if (AppendConstant(x, kind, out)) return;
  const bool divisible =
      exponent != kBitsExponent && std::all_of(x.begin(), x.end(), [](int64_t y) {
        return y >= -kDecimalLimit && y < kDecimalLimit;
      });
  AppendPlanned(PlanIntegers(n, kind, divisible, scratch), 0, scratch, out);
}

IntegerSection ReadIntegers(ByteReader* reader, size_t n, const Summary* summary,
                            int64_t* integers) {
  const uint8_t kind = reader->Byte();
  const auto transform = static_cast<Transform>(kind >> kTransformShift & 3);
  const bool divided = (kind & kGcdBit) != 0;
  IntegerSection section{.exponent = kind & 0xf,
                         .constant = transform == Transform::kConstant,
                         .exceptions = (kind & kExceptionsBit) != 0};
  if (section.constant) {
    integers[0] = reader->ZigZag64();
    if (divided || summary != nullptr) reader->Fail();
    return section;
  }
  int64_t origin = summary == nullptr ? 0 : summary->first;
  // The number read now may be the one that is relative to the summary's first.
  const auto from_origin = [&](int64_t number) {
    return static_cast<int64_t>(Wrap(number) + Wrap(std::exchange(origin, 0)));
  };
  uint64_t divisor = 1;
  int64_t base = 0;
  if (divided) {
    divisor = reader->Varint64();
    base = from_origin(reader->ZigZag64());
    if (divisor < 2 || section.exponent == kBitsExponent) reader->Fail();
  }
  const auto order = static_cast<size_t>(transform);
  if (order >= n) reader->Fail();
  const int64_t x0 = order >= 1 ? from_origin(reader->ZigZag64()) : 0;
  const int64_t d0 = order >= 2 ? reader->ZigZag64() : 0;
  if (!reader->ok()) return section;
  ReadFrame(reader, n - order, origin, integers + order);
  if (!reader->ok()) return section;
  Integrate(transform, n, x0, d0, integers);
  if (divided) MultiplyAll(n, divisor, base, integers);
  if (summary != nullptr && (section.exceptions || section.exponent != summary->exponent ||
                             integers[0] != summary->first || integers[n - 1] != summary->last)) {
    reader->Fail();
  }
  return section;
}

void ReadExceptions(ByteReader* reader, size_t n, std::vector<Exception>* out) {
  out->clear();
  const uint64_t count = reader->BoundedVarint64(n);
  if (count == 0) return reader->Fail();
  size_t at = 0;
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t gap = reader->BoundedVarint64(n - 1 - at);
    const uint64_t bits = reader->Fixed64();
    if (!reader->ok() || (gap == 0 && i > 0)) return reader->Fail();
    at += gap;
    out->push_back({static_cast<uint32_t>(at), std::bit_cast<double>(bits)});
  }
}

void ReadValues(ByteReader* reader, const Summary* summary, int64_t* integers,
                std::span<double> values) {
  const IntegerSection section = ReadIntegers(reader, values.size(), summary, integers);
  if (!reader->ok()) return;
  const size_t distinct = section.constant ? 1 : values.size();
  if (section.exponent == kBitsExponent) {
    FromOrderedBits({integers, distinct}, values.data());
  } else if (!FromDecimals({integers, distinct}, section.exponent, values.data())) {
    return reader->Fail();
  }
  if (section.constant) std::fill(values.begin() + 1, values.end(), values[0]);
  if (!section.exceptions) return;
  std::vector<Exception> exceptions;
  ReadExceptions(reader, values.size(), &exceptions);
  for (const Exception& exception : exceptions) values[exception.index] = exception.value;
}

}  // namespace tinyobs::chunk
