// Totals over the integers of a chunk: what is stored as its summary (FORMAT.md, "Summary") and
// what the aggregates of a window are made of.
//
// In integers because those are exact: a sum of decimals added up as doubles depends on the order
// and is no decimal any more. min, max and "is this a decrease" are asked of doubles that hold the
// integers (decimal.h), which any x86-64 compares two at a time; it does not do that with int64_t.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_CHUNK_SUMMARY_H_
#define TINYOBS_LIB_CHUNK_SUMMARY_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "lib/base/coding.h"

namespace tinyobs::chunk {

// A chunk never holds more: the decoder refuses larger counts before it allocates.
inline constexpr uint32_t kMaxSamples = 8192;

// Of the samples of one chunk, in its own integers: a value is its integer / 10^exponent. Only
// chunks of decimals without exceptions have one, so there is no NaN, infinity or -0 to define.
struct Summary {
  uint32_t count = 0;
  int exponent = 0;  // 0 to 14
  int64_t first = 0;
  int64_t last = 0;
  int64_t min = 0;
  int64_t max = 0;
  // The sum of the values right before each decrease: what a counter that starts again at 0 lost.
  // Its increase from the first to the last sample is last - first + resets. A number without
  // meaning for a gauge.
  int64_t resets = 0;
  __int128 sum = 0;

  __int128 increase() const { return static_cast<__int128>(last) - first + resets; }
};

// Chunks of fewer samples have no summary, nor have those where it would be more than a 32nd of the
// rest.
inline constexpr size_t kSummaryLeastSamples = 240;
inline constexpr size_t kSummaryLeastShare = 32;

struct IntegerTotals {
  int64_t min = 0;
  int64_t max = 0;
  __int128 sum = 0;
  __int128 lost = 0;      // the sum of those right before each decrease
  uint64_t resets = 0;    // decreases
  bool in_range = false;  // all were decimal integers (decimal.h); else the rest means nothing
};

// REQUIRES: not empty, at most kMaxSamples.
IntegerTotals TotalsOf(std::span<const int64_t> integers);

// Of decimal integers. Nothing when a field would not fit its 64 bits, which takes thousands of
// integers near 2^51.
std::optional<Summary> Summarize(std::span<const int64_t> integers, int exponent);

void AppendSummary(const Summary& summary, std::string* out);

// The summary of a chunk of `count` samples. Fails the reader when no samples could have it, as far
// as that can be said without them.
Summary ReadSummaryFields(ByteReader* reader, uint32_t count);

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_SUMMARY_H_
