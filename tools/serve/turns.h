// Turns: at most a few threads at once do something that needs much memory; the others wait.
//
// Decoding JSON takes several times the size of its text, which no byte budget for bodies sees.
// Waiting is bounded, since those inside never wait for anything but the processor.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_TURNS_H_
#define TINYOBS_TOOLS_SERVE_TURNS_H_

#include <cstddef>

#include "lib/base/mutex.h"

namespace tinyobs::serve {

class Turns {
 public:
  explicit Turns(size_t at_once) : free_(at_once) {}

  // Waits for a turn, and gives it back when it goes. Nullptr: nothing to wait for.
  class Turn {
   public:
    explicit Turn(Turns* turns) : turns_(turns) {
      if (turns_ != nullptr) turns_->Begin();
    }
    ~Turn() {
      if (turns_ != nullptr) turns_->End();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Turns* const turns_;
  };

 private:
  void Begin() {
    MutexLock lock(&mutex_);
    while (free_ == 0) ended_.Wait(&mutex_);
    --free_;
  }
  void End() {
    MutexLock lock(&mutex_);
    ++free_;
    ended_.Notify();
  }

  Mutex mutex_;
  CondVar ended_;
  size_t free_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_TURNS_H_
