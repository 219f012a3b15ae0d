// CommitQueue: one leader at a time, who commits for all who wait (group commit).
//
// A sync takes milliseconds, whoever asks for it. So writers line up; the first becomes the leader,
// takes the others that wait along, and everybody shares one write and one sync. While it works the
// next group gathers. The leader is also the only one who touches the head log and creates series:
// being at the front is the lock, and no mutex is held during I/O.
//
// RunAlone lets other work that needs this place (new segment, sync) wait in the same line.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_LIB_TSDB_COMMIT_QUEUE_H_
#define TINYOBS_LIB_TSDB_COMMIT_QUEUE_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/mutex.h"

namespace tinyobs::tsdb {

// `Work` is what one writer brings. The leader sets the status of each.
template <typename Work>
class CommitQueue {
 public:
  struct Job {
    Work* work = nullptr;
    absl::Status status;
  };
  // Runs on one of the waiting threads, never two at once.
  using Lead = std::function<void(std::span<Job* const> jobs)>;

  explicit CommitQueue(Lead lead) : lead_(std::move(lead)) {}

  // Blocks until a leader has dealt with `work`.
  absl::Status Commit(Work* work) {
    Waiter self;
    self.job.work = work;
    return Run(&self);
  }

  // Runs `alone` while nobody else leads.
  absl::Status RunAlone(const std::function<absl::Status()>& alone) {
    Waiter self;
    self.alone = &alone;
    return Run(&self);
  }

 private:
  // Of one group, to bound how long the first waits for the last.
  static constexpr size_t kMaxGroup = 64;

  struct Waiter {
    Job job;
    const std::function<absl::Status()>* alone = nullptr;
    bool done = false;
    CondVar wake;
  };

  absl::Status Run(Waiter* self) {
    MutexLock lock(&mutex_);
    waiting_.push_back(self);
    while (!self->done && waiting_.front() != self) self->wake.Wait(&mutex_);
    if (self->done) return self->job.status;

    size_t members = 1;
    std::vector<Job*> jobs;
    if (self->alone == nullptr) {
      jobs.push_back(&self->job);
      for (; members < waiting_.size() && members < kMaxGroup; ++members) {
        if (waiting_[members]->alone != nullptr) break;
        jobs.push_back(&waiting_[members]->job);
      }
    }
    mutex_.Unlock();
    if (self->alone != nullptr) {
      self->job.status = (*self->alone)();
    } else {
      lead_(jobs);
    }
    mutex_.Lock();
    for (; members > 0; --members) {
      Waiter* const member = waiting_.front();
      waiting_.pop_front();
      if (member == self) continue;
      member->done = true;
      member->wake.Notify();  // under the lock: the waiter lives on its thread's stack
    }
    if (!waiting_.empty()) waiting_.front()->wake.Notify();
    return self->job.status;
  }

  const Lead lead_;
  Mutex mutex_;
  std::deque<Waiter*> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_COMMIT_QUEUE_H_
