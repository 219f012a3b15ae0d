#include "lib/chunk/summary.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "lib/base/check.h"
#include "lib/chunk/decimal.h"

namespace tinyobs::chunk {
namespace {

// The first byte of a summary (FORMAT.md).
constexpr uint8_t kExponentMask = 0x0f;
constexpr uint8_t kRisingBit = 0x10;

// Two at a time, in the compilers' own vector types: plain loops over these comparisons are not
// vectorised, and this compiles to whatever the machine has.
using Integers = uint64_t __attribute__((vector_size(16)));
using Doubles = double __attribute__((vector_size(16)));

template <typename Vector>
Doubles AsDoubles(Vector vector) {
  return std::bit_cast<Doubles>(vector);
}
template <typename Vector>
Integers AsIntegers(Vector vector) {
  return std::bit_cast<Integers>(vector);
}
__int128 SumOfLanes(Integers lanes) {
  return static_cast<__int128>(static_cast<int64_t>(lanes[0])) + static_cast<int64_t>(lanes[1]);
}
Integers Load(const int64_t* from) {
  Integers vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}

bool IsDecimal(int64_t integer) { return integer >= -kDecimalLimit && integer < kDecimalLimit; }

bool FitsInt64(__int128 x) { return x == static_cast<int64_t>(x); }

// What the sum would be if the values went straight from first to last.
__int128 SumOfLine(const Summary& summary) {
  return static_cast<__int128>(summary.count) * (summary.first + summary.last) >> 1;
}

// As of a counter without resets. Implies nothing about order between.
bool Rises(const Summary& s) { return s.resets == 0 && s.min == s.first && s.max == s.last; }

}  // namespace

IntegerTotals TotalsOf(std::span<const int64_t> integers) {
  // Two lanes of everything, the first integer apart: half of the others, from -2^51 to 2^51 - 1,
  // sum up to what fits 64 bits. Unsigned, because whether they are in that range is known only
  // afterwards.
  static_assert(uint64_t{kMaxSamples / 2} * kDecimalLimit <= uint64_t{1} << 63);
  const size_t n = integers.size();
  const int64_t* const x = integers.data();
  const Integers magic = {kMagicBits, kMagicBits};
  const Integers limit = {kDecimalLimit, kDecimalLimit};
  const Integers first = {static_cast<uint64_t>(x[0]), static_cast<uint64_t>(x[0])};
  Doubles least = AsDoubles(first + magic);
  Doubles greatest = least;
  Integers sum = {};
  Integers lost = {};
  Integers resets = {};
  Integers excess = first + limit;
  const auto take = [&](Integers before, Integers now, Integers mask) {
    const Doubles value = AsDoubles(now + magic);
    const Integers falls = AsIntegers(value < AsDoubles(before + magic)) & mask;
    least = value < least ? value : least;
    greatest = value > greatest ? value : greatest;
    sum += now & mask;
    lost += before & falls;
    resets -= falls;
    excess |= now + limit;
  };
  size_t i = 1;
  for (; i + 2 <= n; i += 2) take(Load(x + i - 1), Load(x + i), Integers{~0ull, ~0ull});
  if (i < n) {
    const auto last = static_cast<uint64_t>(x[i]);
    take(Integers{static_cast<uint64_t>(x[i - 1]), last}, Integers{last, last}, Integers{~0ull, 0});
  }
  return {.min = ShiftedInteger(std::min(least[0], least[1])),
          .max = ShiftedInteger(std::max(greatest[0], greatest[1])),
          .sum = x[0] + SumOfLanes(sum),
          .lost = SumOfLanes(lost),
          .resets = resets[0] + resets[1],
          .in_range = (excess[0] | excess[1]) >> 52 == 0};
}

std::optional<Summary> Summarize(std::span<const int64_t> integers, int exponent) {
  const IntegerTotals totals = TotalsOf(integers);
  TINYOBS_DCHECK(totals.in_range);
  const Summary summary{.count = static_cast<uint32_t>(integers.size()),
                        .exponent = exponent,
                        .first = integers.front(),
                        .last = integers.back(),
                        .min = totals.min,
                        .max = totals.max,
                        .resets = static_cast<int64_t>(totals.lost),
                        .sum = totals.sum};
  if (!FitsInt64(totals.lost) || !FitsInt64(totals.sum - SumOfLine(summary))) return {};
  return summary;
}

void AppendSummary(const Summary& summary, std::string* out) {
  const bool rising = Rises(summary);
  out->push_back(static_cast<char>(summary.exponent | (rising ? kRisingBit : 0)));
  PutZigZag64(out, summary.first);
  PutZigZag64(out, summary.last - summary.first);
  if (!rising) {
    PutVarint64(out, static_cast<uint64_t>(summary.first - summary.min));
    PutVarint64(out, static_cast<uint64_t>(summary.max - summary.first));
    PutZigZag64(out, summary.resets);
  }
  PutZigZag64(out, static_cast<int64_t>(summary.sum - SumOfLine(summary)));
}

Summary ReadSummaryFields(ByteReader* reader, uint32_t count) {
  constexpr uint64_t kRange = uint64_t{2} * kDecimalLimit;
  const uint8_t kind = reader->Byte();
  Summary summary{.count = count, .exponent = kind & kExponentMask};
  summary.first = reader->ZigZag64();
  const int64_t rise = reader->ZigZag64();
  if ((kind & ~(kExponentMask | kRisingBit)) != 0 || summary.exponent == kBitsExponent ||
      !IsDecimal(summary.first) || rise < -static_cast<int64_t>(kRange) ||
      rise > static_cast<int64_t>(kRange)) {
    reader->Fail();
    return {};
  }
  summary.last = summary.first + rise;
  summary.min = summary.first;
  summary.max = summary.last;
  if ((kind & kRisingBit) == 0) {
    summary.min = summary.first - static_cast<int64_t>(reader->BoundedVarint64(kRange));
    summary.max = summary.first + static_cast<int64_t>(reader->BoundedVarint64(kRange));
    summary.resets = reader->ZigZag64();
  }
  summary.sum = SumOfLine(summary) + reader->ZigZag64();
  // All that can be said without the samples.
  const __int128 n = count;
  const int64_t largest = std::max(std::abs(summary.min), std::abs(summary.max));
  if (!IsDecimal(summary.min) || !IsDecimal(summary.max) || summary.last < summary.min ||
      summary.last > summary.max || summary.sum < n * summary.min ||
      summary.sum > n * summary.max || summary.resets > (n - 1) * largest ||
      summary.resets < -(n - 1) * largest) {
    reader->Fail();
  }
  return summary;
}

}  // namespace tinyobs::chunk
