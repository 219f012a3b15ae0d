// A deque, a condition and threads.
#include "tools/serve/worker_pool.h"

#include <utility>

namespace tinyobs::serve {

WorkerPool::WorkerPool(size_t threads, size_t queue_limit) : queue_limit_(queue_limit) {
  threads_.reserve(threads);
  for (size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

bool WorkerPool::TrySubmit(std::function<void()> task) {
  MutexLock lock(&mutex_);
  if (stopped_ || queue_.size() >= queue_limit_) return false;
  queue_.push_back(std::move(task));
  wake_.Notify();
  return true;
}

void WorkerPool::Stop() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
    wake_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

void WorkerPool::Run() {
  while (true) {
    std::function<void()> task;
    {
      MutexLock lock(&mutex_);
      while (queue_.empty() && !stopped_) wake_.Wait(&mutex_);
      if (queue_.empty()) return;
      task = std::move(queue_.front());
      queue_.pop_front();
    }
    task();
  }
}

}  // namespace tinyobs::serve
