// Aggregates of one series over consecutive windows of time, from its chunks: what PromQL's
// *_over_time and increase, and downsampling, are made of.
//
// Not "decode to columns, then loop over them": a chunk that lies in one window is answered from
// its summary, window edges in regular times are arithmetic (no timestamp is made), and decimals
// are added up as the integers they are, so a sum is that of the decimals, rounded once, whatever
// the order and however the samples were cut into chunks. (It may so differ in the last digit from
// adding up doubles.) Values that are no decimals are added with Neumaier's compensation.
//
// Thread-safety: an aggregator is one thread's; reuse it, it keeps its scratch space.
#ifndef TINYOBS_LIB_CHUNK_AGGREGATE_H_
#define TINYOBS_LIB_CHUNK_AGGREGATE_H_

#include <cmath>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lib/chunk/value_codec.h"

namespace tinyobs::chunk {

// Of the samples of one window, at least one. Staleness markers are no samples; other NaN are, with
// the rules of PromQL:
struct WindowAggregate {
  int64_t start_ms = 0;  // of the window
  int64_t first_ms = 0;  // of the first and the last sample
  int64_t last_ms = 0;
  uint64_t count = 0;
  double first = 0;
  double last = 0;
  double min = 0;  // NaN is passed over, unless there is nothing else
  double max = 0;
  double sum = 0;  // NaN if one value is, or if infinities of both signs are
  // last - first + what a counter lost at each decrease (the value before it), all of this
  // window's. Next to NaN nothing is a decrease. NaN when first or last is, or both are infinite.
  // From one window to the next the counter grew by first - last of the one before, or by first
  // when that is less than last.
  double increase = 0;
};

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
  double Value() const;

  const NeumaierSum& rest() const { return rest_; }
  void set_rest(const NeumaierSum& rest) { rest_ = rest; }

 private:
  static constexpr __int128 kLimit = static_cast<__int128>(1) << 80;

  __int128 Align(__int128 integer, int exponent);
  void Spill();

  __int128 integer_ = 0;
  int exponent_ = 0;
  NeumaierSum rest_;  // of what is no decimal
};

class WindowAggregator {
 public:
  // Windows [start + k * width, start + (k + 1) * width) up to `end_ms`, where the last is cut
  // short. REQUIRES: start <= end, width >= 1.
  void Begin(int64_t start_ms, int64_t end_ms, uint64_t width_ms);

  // Adds a chunk, whose times must all be after those added before (else the results mean nothing,
  // but nothing worse happens). Samples outside [start, end) are left out. Errors as of
  // chunk.h's Decode (as far as the chunk is read at all: the summary of one is believed); after
  // one the results mean nothing. 0.05 us with a summary, else 2-3 ns a sample.
  absl::Status AddChunk(std::string_view chunk);

  // The same for samples that are in no chunk yet, columns of equal length. Decimals are found
  // first and added up as exactly as those of a chunk. 5 ns a sample.
  void AddSamples(std::span<const int64_t> timestamps_ms, std::span<const double> values);

  // The windows that have samples, ascending; valid until the next Begin. Ends the round.
  const std::vector<WindowAggregate>& Finish();

 private:
  // A value as it is, and as an integer unless exponent is kBitsExponent.
  struct Number {
    double value = 0;
    int64_t integer = 0;
    int exponent = 0;
  };
  // Times of the samples at hand: times[i], or first + i * interval when regular.
  struct Times {
    const int64_t* times = nullptr;
    int64_t first_ms = 0;
    uint64_t interval_ms = 0;

    int64_t at(size_t i) const;
  };
  // Values of the samples at hand; see ValueScratch.
  struct Values {
    const int64_t* integers = nullptr;
    const double* doubles = nullptr;  // with kBitsExponent
    int exponent = 0;
    bool constant = false;  // all are integers[0]
    std::span<const Exception> exceptions;
  };

  uint64_t OffsetOf(int64_t time_ms) const;
  void OpenWindowOf(uint64_t offset);
  void CloseWindow();
  void AddSummary(const Summary& summary, int64_t first_ms, int64_t last_ms);
  bool AddWindows(const Times& times, Values values, size_t n);
  bool AddIntegers(const Times& times, const Values& values, size_t begin, size_t end);
  void AddTotals(const IntegerTotals& totals, uint64_t count, int64_t first, int64_t last,
                 int exponent);
  void NoteDecreaseTo(double value);
  void AddDoubles(const Times& times, const double* values, size_t begin, size_t end);
  void NoteTimes(int64_t first_ms, int64_t last_ms);

  // All offsets are milliseconds from start_ms_, so that the ends of int64 need no care.
  int64_t start_ms_ = 0;
  uint64_t width_ms_ = 1;
  uint64_t end_offset_ = 0;
  std::vector<WindowAggregate> windows_;

  // The open window: [open_from_, open_to_), empty when there is none.
  uint64_t open_from_ = 0;
  uint64_t open_to_ = 0;
  WindowAggregate open_;  // sum and increase when it is closed
  ExactSum sum_;
  ExactSum resets_;
  Number first_;
  Number last_;

  std::vector<int64_t> times_;
  std::vector<int64_t> integers_;
  std::vector<double> doubles_;
  ValueScratch scratch_;
  int exponent_hint_ = -1;
};

}  // namespace tinyobs::chunk

#endif  // TINYOBS_LIB_CHUNK_AGGREGATE_H_
