// One table of units, for both ways.
#include "lib/base/duration.h"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "lib/base/check.h"
#include "lib/base/strings.h"

namespace tinyobs {
namespace {

constexpr int64_t kDayMs = 24 * 3'600'000;
constexpr int64_t kMostMs = 100 * 365 * kDayMs;

struct Unit {
  std::string_view name;
  int64_t ms;
};
// "ms" before "m", which it begins with; from kPrinted on they are also written.
constexpr Unit kUnits[] = {{"ms", 1},        {"y", 365 * kDayMs}, {"w", 7 * kDayMs}, {"d", kDayMs},
                           {"h", 3'600'000}, {"m", 60'000},       {"s", 1000}};
constexpr size_t kPrinted = 3;

}  // namespace

absl::StatusOr<int64_t> ParseDurationMs(std::string_view text) {
  const auto refuse = [text] {
    return absl::InvalidArgumentError(StrCat("'", EscapeForMessage(text, 40),
                                             "' is no duration; write for example 90s, 15m, 1h30m, "
                                             "7d or 1y"));
  };
  int64_t total = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
    if (error != std::errc() || number < 0) return refuse();
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    const Unit* const unit =
        std::find_if(std::begin(kUnits), std::end(kUnits),
                     [rest](const Unit& u) { return rest.starts_with(u.name); });
    if (unit == std::end(kUnits) || number > kMostMs / unit->ms) return refuse();
    rest.remove_prefix(unit->name.size());
    total += number * unit->ms;
    if (total > kMostMs) return refuse();
  }
  if (total == 0) return refuse();
  return total;
}

std::string FormatDurationMs(int64_t duration_ms) {
  TINYOBS_CHECK(duration_ms >= 0);
  std::string text;
  const auto take = [&](const Unit& unit) {
    if (duration_ms >= unit.ms) StrAppend(&text, duration_ms / unit.ms, unit.name);
    duration_ms %= unit.ms;
  };
  std::for_each(std::begin(kUnits) + kPrinted, std::end(kUnits), take);
  take(kUnits[0]);
  return text.empty() ? "0" : text;
}

}  // namespace tinyobs
