// Civil date arithmetic on the proleptic Gregorian calendar in eras of 400 years, counted from 1
// March so that the leap day is the last of its year.
#include "lib/wire/rfc3339.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace tinyobs::wire {
namespace {

constexpr int64_t kMsPerDay = 86'400'000;
constexpr int64_t kMinMs = -62'167'219'200'000;  // 0000-01-01T00:00:00Z
constexpr int64_t kMaxMs = 253'402'300'799'999;  // 9999-12-31T23:59:59.999Z

int64_t DaysFromCivil(int64_t year, int64_t month, int64_t day) {
  if (month <= 2) --year;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

struct CivilDate {
  int64_t year;
  int64_t month;
  int64_t day;
};

CivilDate CivilFromDays(int64_t days) {
  days += 719'468;
  const int64_t era = (days >= 0 ? days : days - 146'096) / 146'097;
  const int64_t day_of_era = days - era * 146'097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t shifted_month = (5 * day_of_year + 2) / 153;
  const int64_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month,
          day_of_year - (153 * shifted_month + 2) / 5 + 1};
}

int64_t DaysInMonth(int64_t year, int64_t month) {
  if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

// Takes the text apart from the left; after the first surprise everything is a failure.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  int64_t Digits(size_t count) {
    if (text_.size() < count) return Fail();
    int64_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      if (text_[i] < '0' || text_[i] > '9') return Fail();
      value = value * 10 + (text_[i] - '0');
    }
    text_.remove_prefix(count);
    return value;
  }
  // Digits with their value checked against a closed range.
  int64_t Digits(size_t count, int64_t low, int64_t high) {
    const int64_t value = Digits(count);
    return value < low || value > high ? Fail() : value;
  }
  void Expect(char upper) {
    if (!Take(upper)) Fail();
  }
  // True and consumed when the next character is `upper` or its lower case.
  bool Take(char upper) {
    if (text_.empty() || (text_[0] != upper && text_[0] != upper + ('a' - 'A'))) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool TakeExact(char c) {
    if (text_.empty() || text_[0] != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  void ExpectExact(char c) {
    if (!TakeExact(c)) Fail();
  }
  // 1 to 9 decimals as nanoseconds.
  int64_t Nanoseconds() {
    int64_t value = 0;
    int digits = 0;
    while (!text_.empty() && text_[0] >= '0' && text_[0] <= '9') {
      if (++digits > 9) return Fail();
      value = value * 10 + (text_[0] - '0');
      text_.remove_prefix(1);
    }
    if (digits == 0) return Fail();
    for (; digits < 9; ++digits) value *= 10;
    return value;
  }
  int64_t Fail() {
    ok_ = false;
    text_ = {};
    return 0;
  }
  bool ok() const { return ok_; }
  bool AtEnd() const { return text_.empty(); }

 private:
  std::string_view text_;
  bool ok_ = true;
};

enum class Zone { kRequired, kOptional };

std::optional<Rfc3339Time> ParseCalendarTime(std::string_view text, Zone zone, bool space_is_plus) {
  Scanner scan(text);
  const int64_t year = scan.Digits(4);
  scan.ExpectExact('-');
  const int64_t month = scan.Digits(2, 1, 12);
  scan.ExpectExact('-');
  const int64_t day = scan.Digits(2, 1, 31);
  scan.Expect('T');
  const int64_t hour = scan.Digits(2, 0, 23);
  scan.ExpectExact(':');
  const int64_t minute = scan.Digits(2, 0, 59);
  scan.ExpectExact(':');
  const int64_t second = scan.Digits(2, 0, 59);
  const int64_t nanoseconds = scan.TakeExact('.') ? scan.Nanoseconds() : 0;
  int64_t offset_minutes = 0;
  if (!(zone == Zone::kOptional && scan.AtEnd()) && !scan.Take('Z')) {
    const bool minus = scan.TakeExact('-');
    if (!minus && !scan.TakeExact('+') && !(space_is_plus && scan.TakeExact(' '))) scan.Fail();
    const int64_t hours = scan.Digits(2, 0, 23);
    scan.ExpectExact(':');
    offset_minutes = hours * 60 + scan.Digits(2, 0, 59);
    if (minus) offset_minutes = -offset_minutes;
  }
  if (!scan.ok() || !scan.AtEnd() || day > DaysInMonth(year, month)) return std::nullopt;
  const int64_t second_ms = DaysFromCivil(year, month, day) * kMsPerDay +
                            (hour * 60 + minute - offset_minutes) * 60'000 + second * 1'000;
  return Rfc3339Time{.timestamp_ms = second_ms + nanoseconds / 1'000'000,
                     .is_go_zero = second_ms == kGoZeroTimeMs && nanoseconds == 0};
}

void AppendPadded(int64_t value, int digits, std::string* out) {
  char buffer[8];
  for (int i = digits - 1; i >= 0; --i) {
    buffer[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  out->append(buffer, static_cast<size_t>(digits));
}

}  // namespace

std::optional<Rfc3339Time> ParseRfc3339(std::string_view text) {
  return ParseCalendarTime(text, Zone::kRequired, /*space_is_plus=*/false);
}

std::optional<int64_t> ParseUrlTime(std::string_view text) {
  if (const auto time = ParseCalendarTime(text, Zone::kOptional, /*space_is_plus=*/true)) {
    return time->timestamp_ms;
  }
  const char* const end = text.data() + text.size();
  int64_t whole = 0;
  if (const auto read = std::from_chars(text.data(), end, whole);
      read.ec == std::errc() && read.ptr == end) {
    if (whole < kMinMs / 1000 || whole > kMaxMs / 1000) return std::nullopt;
    return whole * 1000;
  }
  double seconds = 0;
  if (const auto read = std::from_chars(text.data(), end, seconds, std::chars_format::general);
      read.ec != std::errc() || read.ptr != end) {
    return std::nullopt;
  }
  // Written so that NaN fails it. Rounded, because 1700000000.123 has no exact double.
  if (!(seconds >= kMinMs / 1000.0 && seconds <= kMaxMs / 1000.0)) return std::nullopt;
  return static_cast<int64_t>(std::llround(seconds * 1000));
}

void AppendRfc3339(int64_t timestamp_ms, std::string* out) {
  timestamp_ms = std::clamp(timestamp_ms, kMinMs, kMaxMs);
  int64_t days = timestamp_ms / kMsPerDay;
  if (timestamp_ms % kMsPerDay < 0) --days;
  const int64_t in_day = timestamp_ms - days * kMsPerDay;
  const CivilDate date = CivilFromDays(days);
  AppendPadded(date.year, 4, out);
  out->push_back('-');
  AppendPadded(date.month, 2, out);
  out->push_back('-');
  AppendPadded(date.day, 2, out);
  out->push_back('T');
  AppendPadded(in_day / 3'600'000, 2, out);
  out->push_back(':');
  AppendPadded(in_day / 60'000 % 60, 2, out);
  out->push_back(':');
  AppendPadded(in_day / 1'000 % 60, 2, out);
  if (const int64_t ms = in_day % 1'000; ms != 0) {
    out->push_back('.');
    AppendPadded(ms, 3, out);
    while (out->back() == '0') out->pop_back();
  }
  out->push_back('Z');
}

std::string FormatRfc3339(int64_t timestamp_ms) {
  std::string out;
  AppendRfc3339(timestamp_ms, &out);
  return out;
}

}  // namespace tinyobs::wire
