// Where a window begins: the one rule that decides whether a sample counts, of range vectors and of
// the lookback alike.
//
// In Prometheus 2.x a window is closed on both sides, [end - length, end]; in 3.x it is open on the
// left. Whoever needs the rule asks here, so that the other one is one line.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_WINDOW_BOUNDS_H_
#define TINYOBS_LIB_PROMQL_WINDOW_BOUNDS_H_

#include <algorithm>
#include <cstdint>

namespace tinyobs::promql {

// The oldest time that a window of `length_ms` which ends at `end_ms` has. Both may lie as far out
// as ClampTime lets them.
constexpr int64_t OldestInWindow(int64_t end_ms, int64_t length_ms) { return end_ms - length_ms; }

// Times of a query are kept within +-2^61 ms (73 million years), and durations are shorter than
// 2^44 ms, so that sums of some of them cannot overflow.
constexpr int64_t kMaxTimeMs = int64_t{1} << 61;
constexpr int64_t ClampTime(int64_t time_ms) {
  return std::clamp(time_ms, -kMaxTimeMs, kMaxTimeMs);
}

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_WINDOW_BOUNDS_H_
