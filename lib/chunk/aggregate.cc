#include "lib/chunk/aggregate.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/chunk/bit_packing.h"
#include "lib/chunk/chunk_head.h"
#include "lib/chunk/decimal.h"
#include "tinyobs/sample.h"

namespace tinyobs::chunk {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Does the summary tell how many decreases there are: none? Each of values that are not negative
// loses something.
bool NeverFalls(const Summary& summary) { return summary.resets == 0 && summary.min >= 0; }

}  // namespace

// ------------------------------------------------------------------------------------ windows

int64_t WindowAggregator::Times::at(size_t i) const {
  if (times != nullptr) return times[i];
  return static_cast<int64_t>(static_cast<uint64_t>(first_ms) + i * interval_ms);
}

uint64_t WindowAggregator::OffsetOf(int64_t time_ms) const {
  return static_cast<uint64_t>(time_ms) - static_cast<uint64_t>(start_ms_);
}

void WindowAggregator::Begin(int64_t start_ms, int64_t end_ms, uint64_t width_ms,
                             bool count_resets) {
  TINYOBS_CHECK(start_ms <= end_ms && width_ms >= 1);
  start_ms_ = start_ms;
  width_ms_ = width_ms;
  count_resets_ = count_resets;
  end_offset_ = OffsetOf(end_ms);
  windows_.clear();
  open_from_ = open_to_ = 0;
  open_.count = 0;
  exponent_hint_ = -1;
}

const std::vector<Window>& WindowAggregator::Finish() {
  CloseWindow();
  return windows_;
}

// Makes the window of this offset (below end_offset_) the open one.
void WindowAggregator::OpenWindowOf(uint64_t offset) {
  if (offset >= open_from_ && offset < open_to_) return;
  CloseWindow();
  const bool next = open_to_ > open_from_ && offset >= open_to_ && offset - open_to_ < width_ms_;
  open_from_ = next ? open_to_ : offset - offset % width_ms_;
  open_to_ = end_offset_ - open_from_ < width_ms_ ? end_offset_ : open_from_ + width_ms_;
  open_.count = open_.resets = 0;
  open_.min = kInfinity;
  open_.max = -kInfinity;
  open_.start_ms = static_cast<int64_t>(static_cast<uint64_t>(start_ms_) + open_from_);
  sum_ = {};
  lost_ = {};
}

void WindowAggregator::CloseWindow() {
  if (open_.count == 0) return;
  if (open_.min > open_.max) open_.min = open_.max = std::numeric_limits<double>::quiet_NaN();
  open_.first = first_.value;
  open_.last = last_.value;
  open_.sum = sum_.ToNumber();
  open_.lost = lost_.ToNumber();
  if (!first_.decimal() || !last_.decimal()) open_.lost = BitsOnly(open_.lost.value);
  open_.increase = IncreaseOf(first_, last_, open_.lost);
  windows_.push_back(open_);
  open_.count = 0;
}

void WindowAggregator::NoteTimes(int64_t first_ms, int64_t last_ms) {
  if (open_.count == 0) open_.first_ms = first_ms;
  open_.last_ms = last_ms;
}

// What `count` decimals that follow the samples so far add to the open window.
void WindowAggregator::AddTotals(const IntegerTotals& totals, uint64_t count, int64_t first,
                                 int64_t last, int exponent) {
  const double first_value = FromDecimalInteger(first, exponent);
  if (open_.count == 0) {
    first_ = {first_value, first, exponent};
  } else {
    NoteDecreaseTo(first_value);
  }
  last_ = {FromDecimalInteger(last, exponent), last, exponent};
  open_.count += count;
  open_.min = std::min(open_.min, FromDecimalInteger(totals.min, exponent));
  open_.max = std::max(open_.max, FromDecimalInteger(totals.max, exponent));
  sum_.Add(totals.sum, exponent);
  if (totals.lost != 0) lost_.Add(totals.lost, exponent);
  open_.resets += totals.resets;
}

void WindowAggregator::AddSummary(const Summary& summary, int64_t first_ms, int64_t last_ms) {
  NoteTimes(first_ms, last_ms);
  AddTotals({.min = summary.min, .max = summary.max, .sum = summary.sum, .lost = summary.resets},
            summary.count, summary.first, summary.last, summary.exponent);
}

// False when there are integers that are no decimals.
bool WindowAggregator::AddIntegers(const Times& times, const Values& values, size_t begin,
                                   size_t end) {
  if (begin == end) return true;
  const size_t count = end - begin;
  const int64_t* const x = values.integers + (values.constant ? 0 : begin);
  IntegerTotals totals = TotalsOf({x, values.constant ? 1 : count});
  if (!totals.in_range) return false;
  if (values.constant) totals.sum *= count;
  NoteTimes(times.at(begin), times.at(end - 1));
  AddTotals(totals, count, x[0], x[values.constant ? 0 : count - 1], values.exponent);
  return true;
}

// A decrease from the last sample so far, if that is what comes.
void WindowAggregator::NoteDecreaseTo(double value) {
  if (!(value < last_.value)) return;
  ++open_.resets;
  lost_.Add(last_);
}

// values[0] is that of sample `begin`.
void WindowAggregator::AddDoubles(const Times& times, const double* values, size_t begin,
                                  size_t end) {
  size_t at = begin;
  while (at < end && IsStaleNan(values[at - begin])) ++at;
  if (at == end) return;
  const Number first = BitsOnly(values[at - begin]);
  if (open_.count == 0) {
    open_.first_ms = times.at(at);
    first_ = first;
  } else {
    NoteDecreaseTo(first.value);
  }
  // In variables of its own: through members every step would wait for the one before in memory.
  NeumaierSum sum = sum_.rest();
  double min = open_.min;
  double max = open_.max;
  double lost = 0;
  uint64_t resets = 0;
  double before = first.value;
  size_t last = at;
  uint64_t count = 0;
  for (; at < end; ++at) {
    const double value = values[at - begin];
    if (IsStaleNan(value)) continue;
    sum.Add(value);
    min = value < min ? value : min;
    max = value > max ? value : max;
    // Without a branch, which a gauge would mispredict every other time.
    const uint64_t falls = -static_cast<uint64_t>(value < before);
    lost += std::bit_cast<double>(falls & std::bit_cast<uint64_t>(before));
    resets -= falls;
    before = value;
    last = at;
    ++count;
  }
  sum_.set_rest(sum);
  if (lost != 0) lost_.Add(lost);
  open_.resets += resets;
  open_.min = min;
  open_.max = max;
  open_.count += count;
  open_.last_ms = times.at(last);
  last_ = BitsOnly(before);
}

// Cuts n samples into windows, and each piece at its exceptions.
bool WindowAggregator::AddWindows(const Times& times, Values values, size_t n) {
  size_t at = 0;
  while (at < n && times.at(at) < start_ms_) ++at;
  while (at < n) {
    const uint64_t offset = OffsetOf(times.at(at));
    if (offset >= end_offset_) break;
    OpenWindowOf(offset);
    size_t end = at + 1;
    if (times.times != nullptr) {
      while (end < n && OffsetOf(times.times[end]) < open_to_) ++end;
    } else if (n > 1) {
      end = at + 1 + std::min<uint64_t>(n - at - 1, (open_to_ - offset - 1) / times.interval_ms);
    }
    while (at < end) {
      while (!values.exceptions.empty() && values.exceptions.front().index < at) {
        values.exceptions = values.exceptions.subspan(1);
      }
      const bool odd = !values.exceptions.empty() && values.exceptions.front().index < end;
      const size_t until = odd ? values.exceptions.front().index : end;
      if (values.exponent == kBitsExponent) {
        AddDoubles(times, values.doubles + at, at, until);
      } else if (!AddIntegers(times, values, at, until)) {
        return false;
      }
      if (odd) AddDoubles(times, &values.exceptions.front().value, until, until + 1);
      at = odd ? until + 1 : until;
    }
  }
  return true;
}

// ------------------------------------------------------------------------------------ input

absl::Status WindowAggregator::AddChunk(std::string_view chunk) {
  ByteReader reader(chunk);
  TINYOBS_ASSIGN_OR_RETURN(const ChunkHead head, ReadHead(chunk, &reader));
  const TimeHeader& header = head.times;
  if (header.last_ms < start_ms_ ||
      (header.first_ms >= start_ms_ && OffsetOf(header.first_ms) >= end_offset_)) {
    return absl::OkStatus();
  }
  if (head.summary.has_value() && header.first_ms >= start_ms_ &&
      (!count_resets_ || NeverFalls(*head.summary))) {
    OpenWindowOf(OffsetOf(header.first_ms));
    if (OffsetOf(header.last_ms) < open_to_) {
      AddSummary(*head.summary, header.first_ms, header.last_ms);
      return absl::OkStatus();
    }
  }

  const size_t n = header.count;
  Times times{.first_ms = header.first_ms, .interval_ms = header.interval_ms};
  if (header.shape != TimeShape::kRegular) {
    if (times_.size() < DecodeRoom(n)) times_.resize(DecodeRoom(n));
    ReadTimes(&reader, header, times_.data());
    times.times = times_.data();
  }
  if (integers_.size() < DecodeRoom(n)) integers_.resize(DecodeRoom(n));
  const IntegerSection section = ReadIntegers(&reader, n, head.summary_or_null(), integers_.data());
  scratch_.exceptions.clear();
  if (section.exceptions) ReadExceptions(&reader, n, &scratch_.exceptions);
  if (!reader.ok() || !reader.empty()) return DamagedChunk("times or values", chunk);
  Values values{.integers = integers_.data(),
                .exponent = section.exponent,
                .constant = section.constant,
                .exceptions = scratch_.exceptions};
  if (section.exponent == kBitsExponent) {
    if (section.constant) std::fill_n(integers_.begin(), n, integers_[0]);
    if (doubles_.size() < n) doubles_.resize(n);
    FromOrderedBits({integers_.data(), n}, doubles_.data());
    values.doubles = doubles_.data();
  }
  return AddWindows(times, values, n) ? absl::OkStatus() : DamagedChunk("values", chunk);
}

void WindowAggregator::AddSamples(std::span<const int64_t> timestamps_ms,
                                  std::span<const double> values) {
  TINYOBS_CHECK(timestamps_ms.size() == values.size());
  while (!values.empty()) {
    const size_t n = std::min<size_t>(values.size(), kMaxSamples);
    exponent_hint_ = ToIntegers(values.first(n), exponent_hint_, &scratch_);
    TINYOBS_CHECK(AddWindows({.times = timestamps_ms.data()},
                             {.integers = scratch_.integers[0].data(),
                              .doubles = values.data(),
                              .exponent = exponent_hint_,
                              .exceptions = scratch_.exceptions},
                             n));
    timestamps_ms = timestamps_ms.subspan(n);
    values = values.subspan(n);
  }
}

}  // namespace tinyobs::chunk
