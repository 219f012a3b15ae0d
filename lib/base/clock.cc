#include "lib/base/clock.h"

#include <ctime>

namespace tinyobs {
namespace {

class SystemClock final : public Clock {
 public:
  int64_t NowMs() const override {
    timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
  }
  int64_t MonotonicNs() const override {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
  }
};

}  // namespace

Clock* Clock::System() {
  // Never destroyed, so that threads which outlive main may still read it.
  static Clock* const clock = new SystemClock;
  return clock;
}

}  // namespace tinyobs
