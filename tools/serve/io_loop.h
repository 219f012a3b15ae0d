// IoLoop: an io_context, the connections it was dealt, and the two threads that run it in turn.
//
// One of the two leads: it waits for sockets and runs callbacks, so what belongs to the loop needs
// no lock. Most queries are answered in less time than it takes to wake another thread and to be
// woken by it, so the leader runs them itself, as errands, between two callbacks. The other thread
// looks every millisecond while there are errands, and takes the lead when it sees one for the
// second time; who ran it posts the end of it to the loop and then looks itself. When nothing
// happens both sleep. Running an errand costs no system call while the other is looking.
//
// The alternatives: a pool that runs every handler (two switches of threads a request, five times
// the cost of a small query), or an io_context with many threads (the same switches, on other
// threads, and a lock for each connection).
//
// Invariants: 1. one thread is between Lead's beginning and its end, or running an errand that
// nobody has taken the lead from; 2. there is no errand while nobody looks (TryRun refuses).
//
// Thread-safety: context is thread-safe; the rest is the leader's, but Start and Stop are the
// owner's.
#ifndef TINYOBS_TOOLS_SERVE_IO_LOOP_H_
#define TINYOBS_TOOLS_SERVE_IO_LOOP_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>

#include "absl/container/flat_hash_set.h"
#include "lib/base/mutex.h"
#include "tools/serve/asio.h"

namespace tinyobs::serve {

class HttpSession;

// What the leader does between two callbacks.
class Errand {
 public:
  virtual ~Errand() = default;
  // On a thread that leads when it begins, not necessarily when it ends.
  virtual void Run() = 0;
  // By the leader, while another thread is still in Run: it takes long.
  virtual void TakesLong() = 0;
  // By the leader, after Run. The last call.
  virtual void Finish() = 0;
};

class IoLoop {
 public:
  void Start();
  // Callbacks that have not run are kept, and go with the context. Waits for an errand.
  void Stop();

  // False: this is no time for errands; `errand` is as it was. Else it runs when the callback that
  // calls this has returned.
  bool TryRun(std::unique_ptr<Errand>* errand);
  // Whether the next errand costs a wake; from any thread.
  bool sleeps() const { return asleep_; }

  // Before the context, whose last callbacks hold sessions that leave this set.
  absl::flat_hash_set<HttpSession*> sessions;
  boost::asio::io_context context{1};
  boost::asio::steady_timer sweep{context};  // the server's

 private:
  // Who does what. Only the leader, or who takes the lead, changes it.
  enum State : int {
    kAlone,   // nobody looks
    kLeads,   // the leader waits or runs callbacks
    kErrand,  // it runs an errand
  };

  void Run(bool leads);
  // Until the lead is taken (true) or the loop ends (false).
  bool Lead();
  // Until this thread leads, an errand of the other's being under way, or the loop ends (false).
  bool Look();

  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ =
      boost::asio::make_work_guard(context);
  std::unique_ptr<Errand> next_;  // the leader's
  Errand* running_ = nullptr;     // for who takes the lead
  std::atomic<int> state_{kLeads};
  std::atomic<uint64_t> errands_{0};  // begun
  std::atomic<bool> asleep_{false};   // who looks is, until it is woken

  Mutex mutex_;
  CondVar wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread threads_[2];
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_IO_LOOP_H_
