#include "lib/chunk/window_row_reader.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "lib/base/strings.h"
#include "lib/chunk/decimal.h"

namespace tinyobs::chunk::window_columns {
namespace {

constexpr std::array<std::string_view, kColumns> kColumnNames = {
    "last", "first", "sum",  "count",  "first time", "span",
    "min",  "max",   "lost", "resets", "gaps",       "exceptions"};

}  // namespace

absl::Status DamagedRow(std::string_view what, std::string_view row) {
  return absl::DataLossError(StrCat("row of windows of ", row.size(), " bytes: damaged ", what));
}

absl::StatusOr<RowHead> ReadRowHead(std::string_view row, int64_t width_ms) {
  constexpr int64_t kEnd = std::numeric_limits<int64_t>::max();
  ByteReader reader(row);
  RowHead head;
  const uint8_t kind = reader.Byte();
  if (!reader.ok() || (kind & kCodecMask) == 0) return DamagedRow("head", row);
  if ((kind & kCodecMask) != kCodec) {
    return absl::FailedPreconditionError(
        StrCat("row of windows: head byte ", static_cast<int>(kind),
               " is of a newer version; this one reads codec ", static_cast<int>(kCodec)));
  }
  head.exponent = kind >> kExponentShift;
  head.count = static_cast<uint32_t>(reader.BoundedVarint64(kMaxWindows));
  head.number = reader.ZigZag64();
  if (!reader.ok() || head.count == 0 || head.number > kEnd / width_ms ||
      head.number < -(kEnd / width_ms)) {
    return DamagedRow("count or first window", row);
  }
  head.present = reader.Varint64();
  std::array<uint64_t, 64> sizes{};
  for (size_t column = 0; column < 64; ++column) {
    if ((head.present >> column & 1) != 0) sizes[column] = reader.BoundedVarint64(row.size());
  }
  for (size_t column = 0; column < 64; ++column) {
    const std::string_view bytes = reader.Bytes(sizes[column]);
    if (column < kColumns) head.columns[column] = bytes;
  }
  if (!reader.ok() || !reader.empty()) return DamagedRow("directory", row);
  return head;
}

bool RowReader::Fail(Column column) {
  damaged_ = kColumnNames[column];
  return false;
}

bool RowReader::Load(Column column, int64_t* out) {
  if (head_.columns[column].empty()) {
    std::fill_n(out, n_, 0);
    return true;
  }
  ByteReader reader(head_.columns[column]);
  const IntegerSection section = ReadIntegers(&reader, n_, nullptr, out);
  if (!reader.ok() || !reader.empty() || section.exceptions || section.exponent != 0) {
    return Fail(column);
  }
  if (section.constant) std::fill_n(out + 1, n_ - 1, out[0]);
  return true;
}

// Adds `least` to each, all of which must be below the width before.
bool RowReader::LoadBounded(Column column, int64_t least, int64_t* out) {
  if (!Load(column, out)) return false;
  uint64_t most = 0;
  for (size_t i = 0; i < n_; ++i) {
    most = std::max(most, Wrap(out[i]));
    out[i] = Plus(out[i], least);
  }
  return most < Wrap(width_ms_) || Fail(column);
}

bool RowReader::Starts() {
  if (!Load(kGaps, starts_)) return false;
  const auto end = Wrap(std::numeric_limits<int64_t>::max() / width_ms_);
  int64_t number = head_.number;
  if (starts_[0] != 0) return Fail(kGaps);
  starts_[0] = number * width_ms_;
  for (size_t i = 1; i < n_; ++i) {
    if (Wrap(starts_[i]) >= end - Wrap(number)) return Fail(kGaps);
    number += starts_[i] + 1;
    starts_[i] = number * width_ms_;
  }
  return true;
}

bool RowReader::Times() {
  if (!LoadBounded(kFirstTime, 0, first_ms_) || !LoadBounded(kSpan, 0, last_ms_)) return false;
  uint64_t most = 0;
  bool ends = false;  // beyond the end of time
  for (size_t i = 0; i < n_; ++i) {
    const uint64_t last = Wrap(first_ms_[i]) + Wrap(last_ms_[i]);
    most = std::max(most, last);
    first_ms_[i] = Plus(first_ms_[i], starts_[i]);
    last_ms_[i] = Plus(last_ms_[i], first_ms_[i]);
    ends |= last_ms_[i] < starts_[i];
  }
  return (!ends && most < Wrap(width_ms_)) || Fail(kSpan);
}

bool RowReader::Counts() { return LoadBounded(kCount, 1, counts_); }
bool RowReader::Resets() { return LoadBounded(kResets, 0, resets_); }

bool RowReader::Ends() {
  if (!Load(kLast, last_) || !Load(kFirst, first_)) return false;
  for (size_t i = 0; i < n_; ++i) {
    first_[i] = Plus(first_[i], FirstGuess(i, Wrap(counts_[i]), last_));
  }
  return true;
}

bool RowReader::LoadExceptions() {
  if (head_.columns[kExceptions].empty() || !exceptions_.empty()) return true;
  ByteReader reader(head_.columns[kExceptions]);
  ReadExceptions(&reader, 4 * n_, &exceptions_);
  return (reader.ok() && reader.empty()) || Fail(kExceptions);
}

// `place`: of the column among last, first, min, max.
bool RowReader::ToValues(Column column, const int64_t* integers, size_t place, double* values) {
  if (head_.exponent == kBitsExponent) {
    FromOrderedBits({integers, n_}, values);
  } else if (!FromDecimals({integers, n_}, head_.exponent, values)) {
    return Fail(column);
  }
  if (!LoadExceptions()) return false;
  for (const Exception& exception : exceptions_) {
    if (exception.index / n_ == place) values[exception.index % n_] = exception.value;
  }
  return true;
}

bool RowReader::EndValues() {
  return ToValues(kLast, last_, 0, last_values_) && ToValues(kFirst, first_, 1, first_values_);
}

bool RowReader::Extremes(Column column) {
  if (!Load(column, integers_)) return false;
  if (column == kMin) {
    for (size_t i = 0; i < n_; ++i) {
      integers_[i] = Minus(std::min(first_[i], last_[i]), integers_[i]);
    }
  } else {
    for (size_t i = 0; i < n_; ++i) {
      integers_[i] = Plus(std::max(first_[i], last_[i]), integers_[i]);
    }
  }
  return ToValues(column, integers_, column == kMin ? 2 : 3, values_);
}

bool RowReader::ReadSumExceptions(ByteReader* reader) {
  const uint64_t count = reader->BoundedVarint64(n_);
  size_t at = 0;
  for (uint64_t i = 0; i < count && reader->ok(); ++i) {
    const uint64_t gap = reader->BoundedVarint64(n_ - 1 - at);
    if (gap == 0 && i > 0) return false;
    at += gap;
    Number number{.exponent = reader->Byte()};
    if (number.exponent > kBitsExponent) return false;
    if (number.decimal()) {
      number.integer = reader->ZigZag64();
      number.value = FromDecimal(number.integer, number.exponent);
    } else {
      number.value = std::bit_cast<double>(reader->Fixed64());
    }
    sum_exceptions_.push_back({at, number});
  }
  return reader->ok() && count > 0;
}

bool RowReader::Sums(Column column) {
  sum_exponent_ = head_.exponent;
  sum_exceptions_.clear();
  bool odd = false;
  ByteReader reader(head_.columns[column]);
  if (reader.empty()) {
    std::fill_n(integers_, n_, 0);
  } else {
    const IntegerSection section = ReadIntegers(&reader, n_, nullptr, integers_);
    if (!reader.ok() || section.exponent < head_.exponent) return Fail(column);
    if (section.constant) std::fill_n(integers_ + 1, n_ - 1, integers_[0]);
    sum_exponent_ = section.exponent;
    odd = section.exceptions;
  }
  if ((odd && !ReadSumExceptions(&reader)) || !reader.empty()) return Fail(column);

  const Line line{first_, last_, first_values_, last_values_, head_.exponent};
  const int64_t* const k = column == kSum ? counts_ : resets_;
  for (size_t i = 0; i < n_; ++i) {
    integers_[i] = Plus(integers_[i], line.At(i, Wrap(k[i]), sum_exponent_));
  }
  if (sum_exponent_ == kBitsExponent) {
    FromOrderedBits({integers_, n_}, values_);
  } else {
    for (size_t i = 0; i < n_; ++i) values_[i] = FromDecimal(integers_[i], sum_exponent_);
  }
  for (const SumException& exception : sum_exceptions_) {
    values_[exception.at] = exception.number.value;
  }
  return true;
}

// The decimal of a first or last; the integer is that of its column, unless it is an exception.
Number RowReader::EndNumber(double value, int64_t integer) const {
  if (head_.exponent == kBitsExponent) return NumberOf(value);
  // Bits are compared, as -0 is no decimal.
  const double decimal = FromDecimalInteger(integer, head_.exponent);
  if (std::bit_cast<uint64_t>(decimal) != std::bit_cast<uint64_t>(value)) return NumberOf(value);
  return {.value = value, .integer = integer, .exponent = head_.exponent};
}

void RowReader::Increases() {
  if (!lost_kept()) {
    std::fill_n(values_, n_, std::numeric_limits<double>::quiet_NaN());
    return;
  }
  if (sum_exponent_ == head_.exponent && head_.exponent != kBitsExponent && exceptions_.empty() &&
      sum_exceptions_.empty()) {
    for (size_t i = 0; i < n_; ++i) {
      const __int128 rise = last_[i] - first_[i];
      values_[i] = FromDecimal(rise + integers_[i], head_.exponent);
    }
    return;
  }
  ForEachNumber([this](size_t i, const Number& lost) {
    values_[i] = lost.decimal()
                     ? IncreaseOf(EndNumber(first_values_[i], first_[i]),
                                  EndNumber(last_values_[i], last_[i]), lost)
                     : IncreaseOf(BitsOnly(first_values_[i]), BitsOnly(last_values_[i]), lost);
  });
}

}  // namespace tinyobs::chunk::window_columns
