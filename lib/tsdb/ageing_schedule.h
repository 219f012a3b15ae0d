// AgeingSchedule: when the next run of downsampling and expiry is due.
//
// Hourly, and a minute after open, when a program that just started has better to do. A run that
// failed is tried again soon, because most causes pass; and then at leisure, because the others do
// not, and the log would be full of them.
//
// Thread-safety: one thread at a time.
#ifndef TINYOBS_LIB_TSDB_AGEING_SCHEDULE_H_
#define TINYOBS_LIB_TSDB_AGEING_SCHEDULE_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace tinyobs::tsdb {

class AgeingSchedule {
 public:
  // Times are of the monotonic clock, in milliseconds.
  explicit AgeingSchedule(int64_t opened_ms) : next_ms_(opened_ms + kFirstMs) {}

  int64_t next_ms() const { return next_ms_; }
  // In a row, up to now.
  size_t failures() const { return failures_; }
  // A run has ended, whoever asked for it.
  void Ended(bool ok, int64_t now_ms) {
    failures_ = ok ? 0 : failures_ + 1;
    const bool soon = failures_ > 0 && failures_ <= kRetryMs.size();
    next_ms_ = now_ms + (soon ? kRetryMs[failures_ - 1] : kPeriodMs);
  }

 private:
  static constexpr int64_t kFirstMs = 60'000;
  static constexpr int64_t kPeriodMs = 3'600'000;
  static constexpr std::array<int64_t, 3> kRetryMs = {30'000, 60'000, 120'000};

  int64_t next_ms_;
  size_t failures_ = 0;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_AGEING_SCHEDULE_H_
