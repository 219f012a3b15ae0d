// Batcher: the one thread of a client. Reads the metrics at every tick, queues what it read and
// sends the queue in batches.
//
// Everything that touches the queue or the transport happens on this thread, so "one flush at a
// time" is not a flag that can be released too early, it is the shape of the program. The thread
// does one thing per turn (collect, or send one batch) and then looks at the clock again: a long
// backlog or a slow server delays the next collection by at most one send.
//
// Invariants:
//  1. At most max_queue samples wait; beyond it the oldest are dropped and counted.
//  2. A batch leaves the queue only after Send answered; Unavailable leaves it where it was.
//  3. collected = sent + dropped + rejected + unsent + queued, at every moment a lock is free.
//  4. A tick that was missed is skipped, not made up for.
//
// When a batch is refused (InvalidArgument) its first half is tried, and so on, growing again after
// each success: one bad sample does not take its 999 neighbours along. The number of such splits
// between two collections is limited, so a server that refuses everything is not hammered.
//
// Thread-safety: all public methods are thread-safe. Start once.
#ifndef TINYOBS_LIB_SDK_BATCHER_H_
#define TINYOBS_LIB_SDK_BATCHER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "tinyobs/clock.h"
#include "tinyobs/sdk/transport.h"

namespace tinyobs::sdk {

struct BatcherOptions {
  int64_t interval_ms = 5000;
  size_t max_batch = 1000;
  size_t max_queue = 100'000;
  int64_t stop_deadline_ms = 5000;
  // Pause after the first Unavailable; doubles with each further one up to the largest.
  int64_t first_backoff_ms = 1000;
  int64_t max_backoff_ms = 30'000;
  // Refused batches that are split between two collections; the rest is given up whole.
  int max_splits = 64;
  Clock* clock = nullptr;  // required
};

struct BatcherStats {
  uint64_t collected = 0;
  uint64_t sent = 0;
  uint64_t dropped = 0;
  uint64_t rejected = 0;
  uint64_t unsent = 0;
  uint64_t queued = 0;
  uint64_t sends = 0;
  uint64_t send_failures = 0;
  int64_t last_success_ms = 0;
  std::string last_error;
};

class Batcher {
 public:
  // Appends the current samples. Runs on the batcher's thread, without any of its locks. The labels
  // the samples point to must live as long as the batcher.
  using Collect = std::function<void(std::vector<OutgoingSample>*)>;

  // `transport` is borrowed.
  Batcher(BatcherOptions options, Transport* transport, Collect collect);
  ~Batcher();
  Batcher(const Batcher&) = delete;
  Batcher& operator=(const Batcher&) = delete;

  // See Client for the meaning and the status codes of these three.
  absl::Status Start();
  absl::Status Flush();
  absl::Status Stop();

  BatcherStats Stats() const;

  // Makes the thread look at the clock again: for clocks that are moved by hand.
  void ClockMoved();

 private:
  enum class Work { kCollect, kSend, kExit };

  void Run();
  // Waits until there is something to do.
  Work NextWork();
  // Whether a tick is due; if so, sets the time of the next.
  bool TakeTick(int64_t now_ns) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  int64_t WaitMs(int64_t now_ns) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CollectNow();
  void SendOneBatch();
  // Takes the outcome of a Send of the first `count` samples of the queue.
  void Settle(size_t count, const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void BackOff() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remember(const absl::Status& error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FinishFlushIfDone(bool failed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Exit() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool OnOwnThread() const;

  const BatcherOptions options_;
  Transport* const transport_;
  const Collect collect_;

  mutable Mutex mutex_;
  CondVar wake_;     // the thread waits here
  CondVar settled_;  // callers of Flush and Stop wait here

  bool started_ ABSL_GUARDED_BY(mutex_) = false;
  bool stop_requested_ ABSL_GUARDED_BY(mutex_) = false;
  bool final_collected_ ABSL_GUARDED_BY(mutex_) = false;
  bool exited_ ABSL_GUARDED_BY(mutex_) = false;
  int64_t stop_deadline_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status stop_status_ ABSL_GUARDED_BY(mutex_);

  // Flushes are numbered: each caller takes the next number, the thread serves all that are there
  // with one collection. flush_goal_ is the value that BatcherStats::collected had after it.
  uint64_t flushes_requested_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t flush_serving_ ABSL_GUARDED_BY(mutex_) = 0;  // 0 = none
  uint64_t flushes_done_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t flush_goal_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status serving_status_ ABSL_GUARDED_BY(mutex_);  // first error while serving or stopping
  absl::Status flush_status_ ABSL_GUARDED_BY(mutex_);    // of the last one done

  int64_t next_tick_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t retry_at_ns_ ABSL_GUARDED_BY(mutex_) = INT64_MIN;
  int64_t backoff_ms_ ABSL_GUARDED_BY(mutex_) = 0;
  size_t piece_ ABSL_GUARDED_BY(mutex_);  // samples in the next send
  int splits_left_ ABSL_GUARDED_BY(mutex_);
  BatcherStats stats_ ABSL_GUARDED_BY(mutex_);
  std::deque<OutgoingSample> queue_ ABSL_GUARDED_BY(mutex_);

  // The thread's own buffers.
  std::vector<OutgoingSample> collected_;
  std::vector<OutgoingSample> batch_;

  std::atomic<std::thread::id> own_thread_{};
  Mutex join_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  std::thread thread_ ABSL_GUARDED_BY(join_mutex_);
};

}  // namespace tinyobs::sdk

#endif  // TINYOBS_LIB_SDK_BATCHER_H_
