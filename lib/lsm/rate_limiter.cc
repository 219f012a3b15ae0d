#include "lib/lsm/rate_limiter.h"

#include <algorithm>

namespace tinyobs::lsm {

RateLimiter::RateLimiter(uint64_t bytes_per_second, Clock* clock)
    : ns_per_byte_(1e9 / static_cast<double>(std::max<uint64_t>(bytes_per_second, 1))),
      clock_(clock != nullptr ? clock : Clock::System()),
      busy_until_ns_(clock_->MonotonicNs() - kBurstNs) {}

int64_t RateLimiter::Advance(uint64_t bytes, int64_t now_ns) {
  // An hour at most for one charge: a rate of a few bytes per second must not overflow.
  const double cost_ns = std::min(static_cast<double>(bytes) * ns_per_byte_, 3.6e12);
  busy_until_ns_ = std::max(busy_until_ns_, now_ns - kBurstNs) + static_cast<int64_t>(cost_ns);
  return busy_until_ns_ - now_ns;
}

int64_t RateLimiter::Charge(uint64_t bytes) {
  MutexLock lock(&mutex_);
  return std::max<int64_t>(Advance(bytes, clock_->MonotonicNs()), 0);
}

void RateLimiter::ChargeWithoutWaiting(uint64_t bytes) {
  MutexLock lock(&mutex_);
  const int64_t now_ns = clock_->MonotonicNs();
  const int64_t latest_ns = std::max(busy_until_ns_, now_ns + kDebtMaxNs);
  Advance(bytes, now_ns);
  busy_until_ns_ = std::min(busy_until_ns_, latest_ns);
}

}  // namespace tinyobs::lsm
