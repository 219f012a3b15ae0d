// RateLimiter: how many bytes per second compactions may write, so that they leave the disk to
// those who wait for it.
//
// Kept as one point in time: until when the bytes charged so far would keep a disk of the given
// rate busy. A charge moves the point on, and its caller waits until then. So whoever charges first
// goes on first, whatever the number of stores and threads, and no timer fills a bucket. The
// limiter never waits itself: a store must be able to stop waiting when it closes.
//
//   auto limiter = std::make_shared<RateLimiter>(20 << 20);  // 20 MiB/s, of all stores together
//   options.rate_limiter = limiter;
//
// Burst: an idle limiter lets one tenth of a second's bytes pass at once. Flushes are charged, and
// compactions make up for them, but never wait (writers wait for flushes); as this could put off
// compactions for ever, the debt that a charge without waiting leaves is at most a second's.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_LIB_LSM_RATE_LIMITER_H_
#define TINYOBS_LIB_LSM_RATE_LIMITER_H_

#include <cstdint>

#include "lib/base/mutex.h"
#include "tinyobs/clock.h"

namespace tinyobs::lsm {

class RateLimiter {
 public:
  static constexpr int64_t kBurstNs = 100'000'000;
  static constexpr int64_t kDebtMaxNs = 1'000'000'000;

  // `bytes_per_second` 0 counts as 1. `clock` must outlive the limiter; nullptr = Clock::System().
  explicit RateLimiter(uint64_t bytes_per_second, Clock* clock = nullptr);
  RateLimiter(const RateLimiter&) = delete;
  RateLimiter& operator=(const RateLimiter&) = delete;

  // `bytes` were written or are about to be. Returns how many nanoseconds the caller should wait
  // before it writes more: 0 = go on.
  int64_t Charge(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // For bytes whose writer does not wait.
  void ChargeWithoutWaiting(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  // Returns by how much the point is ahead of now.
  int64_t Advance(uint64_t bytes, int64_t now_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const double ns_per_byte_;
  Clock* const clock_;
  Mutex mutex_;
  int64_t busy_until_ns_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_RATE_LIMITER_H_
