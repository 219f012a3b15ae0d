// Date and time of day of a moment: UTC, as Go's time package counts them for any number of
// seconds.
//
// Not <chrono>'s calendar for all of it: its years are 16 bits, and what is beyond has an answer in
// Prometheus (a sample of NaN is in the year 292277022657), which is a matter of unsigned
// arithmetic from the first of a 400-year cycle.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_CALENDAR_H_
#define TINYOBS_LIB_PROMQL_CALENDAR_H_

#include <chrono>
#include <cstdint>

namespace tinyobs::promql {

struct CalendarTime {
  int64_t year;
  int month;        // 1-12
  int day;          // of the month, from 1
  int day_of_year;  // from 1
  int weekday;      // 0 is Sunday
  int days_in_month;
  int hour;
  int minute;
};

inline CalendarTime CalendarAt(int64_t unix_seconds) {
  using std::chrono::days, std::chrono::sys_days, std::chrono::year;
  constexpr uint64_t kDay = 86'400;
  constexpr uint64_t kDaysOf400Years = 146'097;
  // January 1 of the year kFirst, a Monday as that of 2001: 400 years are whole weeks.
  constexpr int64_t kFirst = -292'277'022'399;
  constexpr uint64_t kSecondsFromFirstTo1970 = 9'223'372'028'715'321'600;
  constexpr sys_days kCycle = year(2001) / 1 / 1;

  const uint64_t seconds = static_cast<uint64_t>(unix_seconds) + kSecondsFromFirstTo1970;
  const uint64_t day = seconds / kDay;
  const sys_days in_cycle = kCycle + days(day % kDaysOf400Years);
  const std::chrono::year_month_day date(in_cycle);
  CalendarTime time;
  time.year = kFirst + static_cast<int64_t>(day / kDaysOf400Years) * 400 +
              (static_cast<int>(date.year()) - 2001);
  time.month = static_cast<int>(static_cast<unsigned>(date.month()));
  time.day = static_cast<int>(static_cast<unsigned>(date.day()));
  time.day_of_year = static_cast<int>((in_cycle - sys_days(date.year() / 1 / 1)).count()) + 1;
  time.weekday = static_cast<int>((day + 1) % 7);
  const auto last = std::chrono::year_month_day_last(date.year(), date.month() / std::chrono::last);
  time.days_in_month = static_cast<int>(static_cast<unsigned>(last.day()));
  time.hour = static_cast<int>(seconds % kDay / 3'600);
  time.minute = static_cast<int>(seconds % 3'600 / 60);
  return time;
}

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_CALENDAR_H_
