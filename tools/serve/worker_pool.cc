// A deque, a condition and threads.
#include "tools/serve/worker_pool.h"

#include <system_error>
#include <utility>

namespace tinyobs::serve {

bool WorkerPool::TrySubmit(std::function<void()> task) {
  MutexLock lock(&mutex_);
  if (stopped_) return false;
  if (idle_ <= queue_.size()) {
    if (threads_.size() < most_threads_) {
      try {
        threads_.emplace_back([this] { Run(); });
      } catch (const std::system_error&) {
        if (threads_.empty()) return false;  // no more threads to be had: those there are do it
      }
    } else if (queue_.size() - idle_ >= queue_limit_) {
      return false;
    }
  }
  queue_.push_back(std::move(task));
  wake_.Notify();
  return true;
}

void WorkerPool::Stop() {
  std::vector<std::thread> threads;
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
    wake_.NotifyAll();
    threads.swap(threads_);
  }
  for (std::thread& thread : threads) thread.join();
}

void WorkerPool::Run() {
  MutexLock lock(&mutex_);
  while (true) {
    while (queue_.empty() && !stopped_) {
      ++idle_;
      wake_.Wait(&mutex_);
      --idle_;
    }
    if (queue_.empty()) return;
    std::function<void()> task = std::move(queue_.front());
    queue_.pop_front();
    const MutexUnlock unlock(&mutex_);
    task();
    task = nullptr;  // with what it holds, before the lock is taken again
  }
}

}  // namespace tinyobs::serve
