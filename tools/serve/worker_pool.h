// WorkerPool: threads that run handlers, behind a queue with an end. A thread starts when it is
// first needed, so that many cost nothing where few are.
//
// The queue is short on purpose: work that waits longer than a client does is work for nobody. When
// it is full the caller is told at once and answers "503, come back"; nothing ever waits without
// bound.
//
// Thread-safety: TrySubmit is thread-safe; Stop and the destructor are the owner's.
#ifndef TINYOBS_TOOLS_SERVE_WORKER_POOL_H_
#define TINYOBS_TOOLS_SERVE_WORKER_POOL_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "lib/base/mutex.h"

namespace tinyobs::serve {

class WorkerPool {
 public:
  // `queue_limit` tasks may wait besides the `most_threads` that run.
  WorkerPool(size_t most_threads, size_t queue_limit)
      : most_threads_(most_threads), queue_limit_(queue_limit) {}
  ~WorkerPool() { Stop(); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False: the queue is full, the pool is stopped, or there is no thread and none to be had; `task`
  // was not and will not be run.
  [[nodiscard]] bool TrySubmit(std::function<void()> task);

  // Runs what is queued, then ends the threads. Idempotent.
  void Stop();

 private:
  void Run();

  const size_t most_threads_;
  const size_t queue_limit_;
  Mutex mutex_;
  CondVar wake_;
  std::deque<std::function<void()>> queue_ ABSL_GUARDED_BY(mutex_);
  size_t idle_ ABSL_GUARDED_BY(mutex_) = 0;  // threads that wait for a task
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_WORKER_POOL_H_
