#include "lib/chunk/window.h"

#include <algorithm>
#include <cmath>

#include "lib/base/check.h"

namespace tinyobs::chunk {
namespace {

// The least multiple of the width from which a window of it holds this time.
int64_t StartOf(int64_t time_ms, int64_t width_ms) {
  const int64_t into = time_ms % width_ms;
  return time_ms - (into < 0 ? into + width_ms : into);
}

// Joins windows that all start in the one that is returned.
Window Join(std::span<const Window> windows, int64_t start_ms) {
  Window whole = windows[0];
  whole.start_ms = start_ms;
  ExactSum sum;
  ExactSum lost;
  for (size_t i = 0; i < windows.size(); ++i) {
    const Window& next = windows[i];
    sum.Add(next.sum);
    lost.Add(next.lost);
    if (i == 0) continue;
    const Window& before = windows[i - 1];
    if (next.first < before.last) {
      ++whole.resets;
      lost.Add(before.lost.decimal() ? NumberOf(before.last) : BitsOnly(before.last));
    }
    whole.resets += next.resets;
    whole.count += next.count;
    if (next.min < whole.min || std::isnan(whole.min)) whole.min = next.min;
    if (next.max > whole.max || std::isnan(whole.max)) whole.max = next.max;
  }
  whole.last = windows.back().last;
  whole.last_ms = windows.back().last_ms;
  whole.sum = sum.ToNumber();
  whole.lost = lost.ToNumber();
  if (std::isnan(whole.lost.value)) whole.resets = 0;
  if (windows.front().lost.decimal() && windows.back().lost.decimal()) {
    whole.increase = IncreaseOf(NumberOf(whole.first), NumberOf(whole.last), whole.lost);
  } else {
    whole.lost = BitsOnly(whole.lost.value);
    whole.increase = IncreaseOf(BitsOnly(whole.first), BitsOnly(whole.last), whole.lost);
  }
  return whole;
}

}  // namespace

double IncreaseOf(const Number& first, const Number& last, const Number& lost) {
  if (!first.decimal() || !last.decimal() || !lost.decimal()) {
    return lost.value + (last.value - first.value);
  }
  if (first.exponent == last.exponent &&
      (lost.integer == 0 || lost.exponent == last.exponent)) {  // nearly always
    const __int128 rise = static_cast<__int128>(last.integer) - first.integer;
    return FromDecimal(rise + lost.integer, last.exponent);
  }
  ExactSum sum;
  sum.Add(lost);
  sum.Add(last);
  sum.Add(-static_cast<__int128>(first.integer), first.exponent);
  return sum.Value();
}

std::vector<Window> Rollup(std::span<const Window> windows, int64_t width_ms) {
  TINYOBS_CHECK(width_ms >= 1);
  std::vector<Window> result;
  while (!windows.empty()) {
    const int64_t start = StartOf(windows[0].start_ms, width_ms);
    size_t n = 1;
    while (n < windows.size() && StartOf(windows[n].start_ms, width_ms) == start) ++n;
    result.push_back(Join(windows.first(n), start));
    windows = windows.subspan(n);
  }
  return result;
}

void ForgetRiseOfGauge(std::span<Window> windows) {
  uint64_t samples = 0;
  uint64_t resets = 0;
  for (const Window& window : windows) {
    samples += window.count;
    resets += window.resets;
  }
  if (resets <= samples / 4) return;
  for (Window& window : windows) {
    window.resets = 0;
    window.lost = BitsOnly(std::numeric_limits<double>::quiet_NaN());
    window.increase = window.lost.value;
  }
}

void SpliceWindows(int64_t from_ms, int64_t to_ms, std::span<const Window> with,
                   std::vector<Window>* windows) {
  const auto at = [&](int64_t time_ms) {
    return std::lower_bound(windows->begin(), windows->end(), time_ms,
                            [](const Window& w, int64_t t) { return w.start_ms < t; });
  };
  const auto after = windows->erase(at(from_ms), at(to_ms));
  windows->insert(after, with.begin(), with.end());
}

}  // namespace tinyobs::chunk
