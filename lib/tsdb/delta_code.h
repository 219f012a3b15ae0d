// The delta code: one sample as a few bytes, relative to the sample before it in its series.
//
// The same bytes go into the open chunk and into the head log: the sample is encoded once, and a
// replay copies instead of encoding. Values are differences of decimal integers (20.7 - 20.5 is 2
// at exponent 1), times are deviations from the first interval. So a regular scrape of an unchanged
// value is one byte, of a counter or a short decimal two or three. Exact for every bit pattern:
// what is no decimal (NaN with its payload, -0, infinities, full mantissas) is written as 8 bytes.
// XOR of neighbouring doubles, the usual way, needs 5 to 8 bytes on the same values.
//
//   z varint                bit 0: not at the expected time, last + step
//                           z >> 1: 0 = 8 bytes of a double follow,
//                                   k > 0: integer += unzigzag(k - 1), at the present exponent
//   8 bytes                 if z >> 1 is 0; integer and exponent are then found from the value anew
//   zigzag varint           if bit 0: time - (last + step), wrapping
//
// The step is the first interval. The state is a pure function of the samples since StartDelta, so
// writer and reader agree without a word. FORMAT.md holds a worked example.
//
// Cost: about 4 ns to encode or decode a decimal, 15 ns what is none. Both are always inlined: with
// the state in memory and registers saved around a call it is a fifth more.
//
// Thread-safety: pure functions on the caller's state.
#ifndef TINYOBS_LIB_TSDB_DELTA_CODE_H_
#define TINYOBS_LIB_TSDB_DELTA_CODE_H_

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "lib/base/coding.h"
#include "lib/chunk/decimal.h"

namespace tinyobs::tsdb {

// An exponent that says "the last value is no decimal".
inline constexpr int kNoExponent = chunk::kBitsExponent;

// What the next delta is relative to.
struct DeltaState {
  int64_t last_ms = 0;
  int64_t integer = 0;            // last value == integer / 10^exponent; 0 with kNoExponent
  int32_t step_ms = 0;            // >= 0; 0: not known yet
  int8_t exponent = kNoExponent;  // 0 to 14, or kNoExponent

  bool operator==(const DeltaState&) const = default;
};

// No delta is longer.
inline constexpr size_t kMaxDeltaBytes = 24;

namespace delta_internal {

inline constexpr double kLimit = static_cast<double>(chunk::kDecimalLimit);

}  // namespace delta_internal

// integer / 10^exponent. REQUIRES: exponent < kNoExponent, |integer| <= chunk::kDecimalLimit.
inline double FromDecimal(int64_t integer, int exponent) {
  return chunk::FromDecimalInteger(integer, exponent);
}

// Whether `value` is integer / 10^exponent to the last bit; sets `integer` if so.
inline bool ToDecimal(double value, int exponent, int64_t* integer) {
  using namespace delta_internal;
  const double power = chunk::kPowersOfTen[exponent];
  const double scaled = value * power;
  const double shifted = scaled + chunk::kMagic;  // the nearest integer is in its last bits
  const double back = (shifted - chunk::kMagic) / power;
  *integer = chunk::ShiftedInteger(shifted);
  return (std::bit_cast<uint64_t>(back) == std::bit_cast<uint64_t>(value)) &
         (std::fabs(scaled) < kLimit - 1);
}

// The least exponent at which `value` is a decimal, and its integer there; kNoExponent and 0 when
// there is none. About 8 ns. A full mantissa is refused by multiplications, each of which stands
// for all smaller exponents too: what is a decimal at 3 is one at 5 and 10. The division that
// decides is for likely exponents only.
//
// Writer and reader must find the same, so the answer must not depend on whether the compiler joins
// a multiplication with an addition: it does not, since below the limit the product of a decimal
// and its power is within 3/8 of the integer either way, and ToDecimal has the last word.
inline int FindDecimal(double value, int64_t* integer) {
  using namespace delta_internal;
  constexpr double kRoundingError = 0x1p-51;
  const auto in_range = [value](int exponent) {  // false for NaN
    return std::fabs(value * chunk::kPowersOfTen[exponent]) < kLimit - 1;
  };
  const auto is_near = [value](int exponent) {
    const double scaled = value * chunk::kPowersOfTen[exponent];
    const double error = scaled - chunk::RoundToInteger(scaled);
    return std::fabs(error) <= std::fabs(scaled) * kRoundingError;
  };
  int exponent = 0;
  if (in_range(10) && !is_near(10)) {
    exponent = 11;
  } else if (in_range(5) && !is_near(5)) {
    exponent = 6;
  }
  for (; exponent < kNoExponent && in_range(exponent); ++exponent) {
    if (is_near(exponent) && ToDecimal(value, exponent, integer)) return exponent;
  }
  *integer = 0;
  return kNoExponent;
}

// Begins with a sample that is stored whole. `exponent_hint` (of the series' chunk before) is tried
// first, so that a series keeps its exponent when a value happens to need less of it; kNoExponent
// for none. The step is not known afterwards.
inline void StartDelta(DeltaState* state, int64_t t, double v, int exponent_hint) {
  state->last_ms = t;
  state->step_ms = 0;
  state->exponent = static_cast<int8_t>(exponent_hint);
  if (!ToDecimal(v, exponent_hint, &state->integer)) {
    state->exponent = static_cast<int8_t>(FindDecimal(v, &state->integer));
  }
}

namespace delta_internal {

// Varints below this have up to four bytes.
inline constexpr uint64_t kSmallVarint = 1 << 28;

// Sets `code` to the bytes of a varint below kSmallVarint and returns their number. Lengths of
// deltas are unpredictable, and a mispredicted branch costs more than all of this.
inline size_t SmallVarint(uint64_t value, uint64_t* code) {
  const auto length = static_cast<size_t>(VarintLength(value));
  const uint64_t groups =
      (value & 0x7f) | (value & 0x3f80) << 1 | (value & 0x1fc000) << 2 | (value & 0xfe00000) << 3;
  *code = groups | (0x80808080 & ((uint64_t{1} << 8 * (length - 1)) - 1));
  return length;
}

// Of the interval to the sample before: learns the step from the first.
inline void LearnStep(DeltaState* state, uint64_t interval) {
  if (state->step_ms == 0 && interval <= uint64_t{INT32_MAX}) {
    state->step_ms = static_cast<int32_t>(interval);
  }
}

}  // namespace delta_internal

// Writes the sample at `out`, which has room for kMaxDeltaBytes, and moves the state on to it.
// Returns the number of bytes. REQUIRES: t > state->last_ms.
[[gnu::always_inline]] inline size_t EncodeDelta(DeltaState* state, int64_t t, double v,
                                                 char* out) {
  using delta_internal::kSmallVarint;
  const uint64_t interval = static_cast<uint64_t>(t) - static_cast<uint64_t>(state->last_ms);
  const uint64_t deviation = interval - static_cast<uint64_t>(state->step_ms);
  const uint64_t irregular = deviation != 0;
  const uint64_t time = ZigZag(static_cast<int64_t>(deviation));
  char* end = out;
  int64_t integer;
  if (ToDecimal(v, state->exponent, &integer)) [[likely]] {
    const uint64_t z = (ZigZag(integer - state->integer) + 1) << 1 | irregular;
    state->integer = integer;
    if ((z | time) < kSmallVarint) [[likely]] {
      // In one store, because the log copies these bytes at once: a load of what was stored in
      // pieces waits until all of them have left the processor.
      uint64_t code;
      size_t length = delta_internal::SmallVarint(z, &code);
      if (irregular) [[unlikely]] {
        uint64_t time_code;
        const size_t time_length = delta_internal::SmallVarint(time, &time_code);
        code |= time_code << 8 * length;
        length += time_length;
        delta_internal::LearnStep(state, interval);
      }
      StoreFixed64(out, code);
      state->last_ms = t;
      return length;
    }
    end = StoreVarint64(end, z);
  } else {
    *end++ = static_cast<char>(irregular);
    StoreFixed64(end, std::bit_cast<uint64_t>(v));
    end += sizeof(uint64_t);
    state->exponent = static_cast<int8_t>(FindDecimal(v, &state->integer));
  }
  if (irregular) {
    end = StoreVarint64(end, time);
    delta_internal::LearnStep(state, interval);
  }
  state->last_ms = t;
  return static_cast<size_t>(end - out);
}

// Reads one sample from [at, limit) and moves the state on to it; returns the byte after it.
// nullptr: damaged, that is the bytes end early, the integer is none that a writer makes, or the
// time is not after the one before; the state then means nothing. Any state with legal fields
// (exponent 0 to 15, step >= 0) is safe with any bytes.
[[gnu::always_inline]] inline const char* DecodeDelta(const char* at, const char* limit,
                                                      DeltaState* state, int64_t* t, double* v) {
  uint64_t z;
  if (at < limit && static_cast<unsigned char>(*at) < 0x80) [[likely]] {
    z = static_cast<unsigned char>(*at++);
  } else {
    at = LoadVarint64(at, limit, &z);
    if (at == nullptr) return nullptr;
  }
  if (z >> 1 != 0) [[likely]] {
    const auto integer = static_cast<int64_t>(static_cast<uint64_t>(state->integer) +
                                              static_cast<uint64_t>(UnZigZag((z >> 1) - 1)));
    const uint64_t in_range = static_cast<uint64_t>(integer) + uint64_t{chunk::kDecimalLimit};
    if (in_range >> 52 != 0 || state->exponent >= kNoExponent) return nullptr;
    state->integer = integer;
    *v = FromDecimal(integer, state->exponent);
  } else {
    if (limit - at < static_cast<ptrdiff_t>(sizeof(uint64_t))) return nullptr;
    *v = std::bit_cast<double>(LoadFixed64(at));
    at += sizeof(uint64_t);
    state->exponent = static_cast<int8_t>(FindDecimal(*v, &state->integer));
  }
  uint64_t interval = static_cast<uint64_t>(state->step_ms);
  if ((z & 1) != 0) {
    uint64_t deviation;
    at = LoadVarint64(at, limit, &deviation);
    if (at == nullptr) return nullptr;
    interval += static_cast<uint64_t>(UnZigZag(deviation));
    delta_internal::LearnStep(state, interval);
  }
  *t = static_cast<int64_t>(static_cast<uint64_t>(state->last_ms) + interval);
  if (*t <= state->last_ms) return nullptr;
  state->last_ms = *t;
  return at;
}

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_DELTA_CODE_H_
