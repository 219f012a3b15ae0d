// Windows to bytes. The interface is window.h, the bytes are in FORMAT.md.
//
// Columns are written one after another into a body, and what they turned out to be before it: a
// column of zeros is left out, and where guesses are good most of them are.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <optional>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/chunk/decimal.h"
#include "lib/chunk/value_codec.h"
#include "lib/chunk/window.h"
#include "lib/chunk/window_columns.h"

namespace tinyobs::chunk {

using namespace window_columns;

namespace {

// The same decimal with as small an exponent as there is from `least` on.
Number Reduced(Number number, int least) {
  if (!number.decimal()) return number;
  for (; number.exponent > least && number.integer % 10 == 0; --number.exponent) {
    number.integer /= 10;
  }
  return number;
}

// The integer of this exponent, not below the number's, if it fits.
std::optional<int64_t> Scaled(const Number& number, int exponent) {
  const auto scale = static_cast<int64_t>(kPowersOfTen[exponent - number.exponent]);
  int64_t integer;
  if (__builtin_mul_overflow(number.integer, scale, &integer)) return std::nullopt;
  return integer;
}

// Writes the columns of one row, in ascending order.
class RowWriter {
 public:
  explicit RowWriter(std::span<const Window> windows) : windows_(windows) {
    const size_t n = windows.size();
    values_.resize(4 * n);
    for (size_t i = 0; i < n; ++i) {
      values_[i] = windows[i].last;
      values_[n + i] = windows[i].first;
      values_[2 * n + i] = windows[i].min;
      values_[3 * n + i] = windows[i].max;
    }
    exponent_ = ToIntegers(values_, -1, &integers_);
    for (auto& integers : column_.integers) integers.resize(std::max(integers.size(), n));
    last_ = integers_.integers[0].data();
    first_ = last_ + n;
  }

  int exponent() const { return exponent_; }

  // integer(i): that of window i.
  template <typename Integer>
  void Put(Column column, Integer integer) {
    int64_t* const x = column_.integers[0].data();
    uint64_t any = 0;
    for (size_t i = 0; i < windows_.size(); ++i) any |= Wrap(x[i] = integer(i));
    if (any != 0) Append(column, 0, false);
  }

  // number(i): that of window i; k(i): how many values it is the sum of.
  template <typename Get, typename K>
  void PutSums(Column column, Get number, K k) {
    const size_t n = windows_.size();
    const int exponent = SumExponent(number);
    const Line line{first_, last_, values_.data() + n, values_.data(), exponent_};
    int64_t* const x = column_.integers[0].data();
    exceptions_.clear();
    exception_at_.clear();
    uint64_t any = 0;
    for (size_t i = 0; i < n; ++i) {
      const Number sum = Reduced(number(i), std::min(exponent, exponent_));
      std::optional<int64_t> integer;
      if (exponent != kBitsExponent) {
        if (sum.decimal()) integer = Scaled(sum, exponent);
      } else if (!sum.decimal()) {
        integer = OrderedBits(sum.value);
      }
      if (!integer.has_value()) {
        exceptions_.push_back(Reduced(sum, 0));
        exception_at_.push_back(i);
      }
      x[i] = integer.has_value() ? Minus(*integer, line.At(i, k(i), exponent)) : 0;
      any |= Wrap(x[i]);
    }
    const bool odd = !exceptions_.empty();
    if (any == 0 && !odd && exponent == exponent_) return;
    Append(column, exponent, odd);
    if (odd) AppendSumExceptions(column);
  }

  void PutEmpty(Column column) {
    present_ |= uint64_t{1} << column;
    sizes_[column] = 0;
  }

  void PutExceptions() {
    if (integers_.exceptions.empty()) return;
    const size_t before = body_.size();
    AppendExceptions(integers_.exceptions, &body_);
    present_ |= uint64_t{1} << kExceptions;
    sizes_[kExceptions] = body_.size() - before;
  }

  // Of last, first, min and max, in this order.
  const int64_t* integers(size_t which) const { return last_ + which * windows_.size(); }

  // The directory and the columns.
  void Finish(std::string* out) const {
    PutVarint64(out, present_);
    for (size_t column = 0; column < kColumns; ++column) {
      if ((present_ >> column & 1) != 0) PutVarint64(out, sizes_[column]);
    }
    out->append(body_);
  }

 private:
  void Append(Column column, int exponent, bool exceptions) {
    const size_t before = body_.size();
    AppendIntegers(windows_.size(), exponent, exceptions, &column_, &body_);
    present_ |= uint64_t{1} << column;
    sizes_[column] = body_.size() - before;
  }

  // The least that fits all decimals, but not below that of the values; bits when those are, or
  // when most of the sums are no decimals.
  template <typename Get>
  int SumExponent(Get number) const {
    if (exponent_ == kBitsExponent) return kBitsExponent;
    size_t decimals = 0;
    int exponent = exponent_;
    for (size_t i = 0; i < windows_.size(); ++i) {
      const Number& sum = number(i);
      if (!sum.decimal()) continue;
      ++decimals;
      if (sum.exponent > exponent) exponent = std::max(exponent, Reduced(sum, exponent).exponent);
    }
    return 2 * decimals < windows_.size() ? kBitsExponent : exponent;
  }

  void AppendSumExceptions(Column column) {
    const size_t before = body_.size();
    PutVarint64(&body_, exceptions_.size());
    size_t previous = 0;
    for (size_t i = 0; i < exceptions_.size(); ++i) {
      const Number& number = exceptions_[i];
      PutVarint64(&body_, exception_at_[i] - previous);
      previous = exception_at_[i];
      body_.push_back(static_cast<char>(number.exponent));
      if (number.decimal()) {
        PutZigZag64(&body_, number.integer);
      } else {
        PutFixed64(&body_, std::bit_cast<uint64_t>(number.value));
      }
    }
    sizes_[column] += body_.size() - before;
  }

  const std::span<const Window> windows_;
  std::vector<double> values_;  // last, first, min, max: each of all windows
  ValueScratch integers_;       // of those
  int exponent_ = 0;
  const int64_t* last_ = nullptr;
  const int64_t* first_ = nullptr;
  ValueScratch column_;
  std::vector<Number> exceptions_;
  std::vector<size_t> exception_at_;
  std::array<size_t, kColumns> sizes_;
  uint64_t present_ = 0;  // a bit for each column that has bytes or means something without
  std::string body_;
};

void CheckWindows(std::span<const Window> windows, int64_t width_ms) {
  TINYOBS_CHECK(!windows.empty() && windows.size() <= kMaxWindows && width_ms >= 1);
  for (size_t i = 0; i < windows.size(); ++i) {
    const Window& w = windows[i];
    const uint64_t last = Wrap(w.last_ms) - Wrap(w.start_ms);
    TINYOBS_CHECK(w.start_ms % width_ms == 0 && (i == 0 || windows[i - 1].start_ms < w.start_ms));
    TINYOBS_CHECK(w.start_ms <= w.first_ms && w.first_ms <= w.last_ms && last < Wrap(width_ms));
    TINYOBS_CHECK(w.count >= 1 && w.count <= Wrap(width_ms) && w.resets < w.count);
  }
}

}  // namespace

void EncodeWindows(std::span<const Window> windows, int64_t width_ms, std::string* out) {
  CheckWindows(windows, width_ms);
  const auto& w = windows;
  RowWriter row(windows);
  const int64_t* const last = row.integers(0);
  const int64_t* const first = row.integers(1);
  const int64_t* const min = row.integers(2);
  const int64_t* const max = row.integers(3);
  row.Put(kLast, [&](size_t i) { return last[i]; });
  row.Put(kFirst, [&](size_t i) { return Minus(first[i], FirstGuess(i, w[i].count, last)); });
  row.PutSums(
      kSum, [&](size_t i) { return w[i].sum; }, [&](size_t i) { return w[i].count; });
  row.Put(kCount, [&](size_t i) { return static_cast<int64_t>(w[i].count - 1); });
  row.Put(kFirstTime, [&](size_t i) { return w[i].first_ms - w[i].start_ms; });
  row.Put(kSpan, [&](size_t i) { return w[i].last_ms - w[i].first_ms; });
  row.Put(kMin, [&](size_t i) { return Minus(std::min(first[i], last[i]), min[i]); });
  row.Put(kMax, [&](size_t i) { return Minus(max[i], std::max(first[i], last[i])); });
  if (std::all_of(w.begin(), w.end(), [](const Window& x) { return std::isnan(x.lost.value); })) {
    row.PutEmpty(kLost);
  } else {
    row.PutSums(
        kLost, [&](size_t i) { return w[i].lost; }, [&](size_t i) { return w[i].resets; });
    row.Put(kResets, [&](size_t i) { return static_cast<int64_t>(w[i].resets); });
  }
  row.Put(kGaps, [&](size_t i) {
    return i == 0 ? 0 : Minus(w[i].start_ms / width_ms, w[i - 1].start_ms / width_ms) - 1;
  });
  row.PutExceptions();

  out->push_back(static_cast<char>(kCodec | row.exponent() << kExponentShift));
  PutVarint64(out, w.size());
  PutZigZag64(out, w[0].start_ms / width_ms);
  row.Finish(out);
}

}  // namespace tinyobs::chunk
