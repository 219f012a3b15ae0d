// std::mutex with Clang's thread-safety annotations.
//
// Not absl::Mutex: the packaged Abseil is not built with ThreadSanitizer, which then reports races
// that are none. std::mutex is understood by TSan, and the annotations let `clang -Wthread-safety`
// prove at compile time that every ABSL_GUARDED_BY member is touched under its lock.
#ifndef TINYOBS_LIB_BASE_MUTEX_H_
#define TINYOBS_LIB_BASE_MUTEX_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#include "absl/base/thread_annotations.h"

namespace tinyobs {

class ABSL_LOCKABLE Mutex {
 public:
  void Lock() ABSL_EXCLUSIVE_LOCK_FUNCTION() { mutex_.lock(); }
  void Unlock() ABSL_UNLOCK_FUNCTION() { mutex_.unlock(); }
  bool TryLock() ABSL_EXCLUSIVE_TRYLOCK_FUNCTION(true) { return mutex_.try_lock(); }
  // Tells the analysis that the caller holds the lock where it cannot see so itself.
  void AssertHeld() const ABSL_ASSERT_EXCLUSIVE_LOCK() {}

 private:
  friend class CondVar;
  std::mutex mutex_;
};

class ABSL_SCOPED_LOCKABLE MutexLock {
 public:
  explicit MutexLock(Mutex* mutex) ABSL_EXCLUSIVE_LOCK_FUNCTION(mutex) : mutex_(mutex) {
    mutex_->Lock();
  }
  ~MutexLock() ABSL_UNLOCK_FUNCTION() { mutex_->Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex* const mutex_;
};

// Clang takes a scope that releases a lock, and gives it back at its end, only with this spelling,
// which Abseil has no macro for.
#if defined(__clang__)
#define TINYOBS_INTERNAL_RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))
#else
#define TINYOBS_INTERNAL_RELEASE(...)
#endif

// Releases a held lock for a scope and takes it again at its end.
class ABSL_SCOPED_LOCKABLE MutexUnlock {
 public:
  explicit MutexUnlock(Mutex* mutex) TINYOBS_INTERNAL_RELEASE(mutex) : mutex_(mutex) {
    mutex_->Unlock();
  }
  ~MutexUnlock() TINYOBS_INTERNAL_RELEASE() { mutex_->Lock(); }
  MutexUnlock(const MutexUnlock&) = delete;
  MutexUnlock& operator=(const MutexUnlock&) = delete;

 private:
  Mutex* const mutex_;
};

// Wakes may be spurious: always wait in a loop over the condition.
class CondVar {
 public:
  void Wait(Mutex* mutex) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // Returns false when `timeout_ms` passed without a wake.
  bool WaitFor(Mutex* mutex, int64_t timeout_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex) {
    std::unique_lock<std::mutex> lock(mutex->mutex_, std::adopt_lock);
    // The steady clock: setting the machine's clock must not stretch a wait.
    const auto status = condition_.wait_until(
        lock, std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms));
    lock.release();
    return status == std::cv_status::no_timeout;
  }
  void Notify() { condition_.notify_one(); }
  void NotifyAll() { condition_.notify_all(); }

 private:
  std::condition_variable condition_;
};

}  // namespace tinyobs

#endif  // TINYOBS_LIB_BASE_MUTEX_H_
