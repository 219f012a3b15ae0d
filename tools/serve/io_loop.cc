// Who leads, who looks, and how they change places.
#include "tools/serve/io_loop.h"

#include <utility>

namespace tinyobs::serve {
namespace {

constexpr int64_t kTickMs = 1;
// Without an errand, until who looks goes to sleep. The next errand then costs a wake.
constexpr int kQuietTicks = 32;

}  // namespace

void IoLoop::Start() {
  threads_[0] = std::thread([this] { Run(/*leads=*/true); });
  threads_[1] = std::thread([this] { Run(/*leads=*/false); });
}

void IoLoop::Stop() {
  work_.reset();
  context.stop();
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
    wake_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

bool IoLoop::TryRun(std::unique_ptr<Errand>* errand) {
  if (next_ != nullptr || state_ != kLeads) return false;
  next_ = std::move(*errand);
  return true;
}

void IoLoop::Run(bool leads) {
  while (true) {
    if (leads && !Lead()) return;
    if (!Look()) return;
    running_->TakesLong();
    leads = true;
  }
}

bool IoLoop::Lead() {
  while (context.run_one() > 0) {
    while (next_ != nullptr) {  // Finish may leave another one
      std::unique_ptr<Errand> errand = std::move(next_);
      running_ = errand.get();
      ++errands_;
      state_ = kErrand;
      if (asleep_) {
        MutexLock lock(&mutex_);
        if (asleep_.exchange(false)) wake_.Notify();
      }
      errand->Run();
      if (int expected = kErrand; !state_.compare_exchange_strong(expected, kLeads)) {
        state_ = kLeads;  // the other does; we look, from now on
        boost::asio::post(context, [errand = std::move(errand)] { errand->Finish(); });
        return true;
      }
      errand->Finish();
    }
  }
  return false;
}

bool IoLoop::Look() {
  MutexLock lock(&mutex_);
  uint64_t seen = errands_;
  for (int quiet = 0; !stopped_;) {
    if (quiet < kQuietTicks) {
      wake_.WaitFor(&mutex_, kTickMs);
    } else {
      // The leader counts, then looks whether we sleep; we say so, then look at the count.
      asleep_ = true;
      while (asleep_ && errands_ == seen && !stopped_) wake_.Wait(&mutex_);
      asleep_ = false;
    }
    if (const uint64_t now = errands_; now != seen) {
      seen = now;
      quiet = 0;
      continue;
    }
    if (int expected = kErrand; state_.compare_exchange_strong(expected, kAlone)) return true;
    ++quiet;
  }
  return false;
}

}  // namespace tinyobs::serve
