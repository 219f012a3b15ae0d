// The clocks behind tinyobs/clock.h: the system's, and one that moves only when told to.
#ifndef TINYOBS_LIB_BASE_CLOCK_H_
#define TINYOBS_LIB_BASE_CLOCK_H_

#include <atomic>
#include <cstdint>

#include "tinyobs/clock.h"

namespace tinyobs {

// For tests and simulations. Thread-safe. Both readings move together.
class ManualClock : public Clock {
 public:
  explicit ManualClock(int64_t now_ms) : now_ms_(now_ms) {}

  int64_t NowMs() const override { return now_ms_.load(std::memory_order_relaxed); }
  int64_t MonotonicNs() const override { return NowMs() * 1'000'000; }

  void AdvanceMs(int64_t milliseconds) {
    now_ms_.fetch_add(milliseconds, std::memory_order_relaxed);
  }
  void SetMs(int64_t now_ms) { now_ms_.store(now_ms, std::memory_order_relaxed); }

 private:
  std::atomic<int64_t> now_ms_;
};

}  // namespace tinyobs

#endif  // TINYOBS_LIB_BASE_CLOCK_H_
