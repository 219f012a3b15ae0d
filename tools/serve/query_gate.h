// QueryGate: which queries run, and which wait for their turn.
//
// A query says how much memory it needs by taking it. Guessing that beforehand would refuse what
// fits or admit what does not, and fixed parts of the budget for each would never give a large
// query the whole. So queries run at once, as many as may, and share what there is; one that finds
// it used up by the others gives back all it has, goes back to its place in the line and runs again
// alone: with the budget to itself, and nothing that can be refused by chance. Only who does not
// fit alone is refused. Memory is found to be short early (the faster the more queries run), so
// what is thrown away is little: of a hundred queries of which one or two fit at once, a tenth of
// all work (tests/e2e/query_load_test.py).
//
//  1. Turns are given in the order of arrival; a query keeps its place when it runs again.
//  2. While one waits to run alone nobody starts, and while it runs nobody else does. A query that
//     runs long can so hold up the others, as it can by taking all turns.
//  3. Who waits is told when its time is over, at that time, and soon after its client has gone.
//     Nothing starts whose time is over.
//  4. Answers on their way to clients are memory, too. Running alone waits for them, half a second
//     at most: a client that reads slowly must not hold up the others.
//
// Thread-safety: thread-safe. A turn nobody waits for costs a lock at its begin and its end.
#ifndef TINYOBS_TOOLS_SERVE_QUERY_GATE_H_
#define TINYOBS_TOOLS_SERVE_QUERY_GATE_H_

#include <cstdint>
#include <map>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "tools/serve/handler_context.h"
#include "tools/serve/http_message.h"

namespace tinyobs::serve {

class QueryGate {
 public:
  explicit QueryGate(const HandlerContext* context) : context_(context) {}
  QueryGate(const QueryGate&) = delete;
  QueryGate& operator=(const QueryGate&) = delete;

  // Called once or twice. `running`: how many run now, this one included. IsMemoryExhausted: it is
  // short; everything that was held is given back on return.
  using Work = absl::FunctionRef<absl::StatusOr<HttpResponse>(int running)>;
  // What `work` says in its turn. DeadlineExceeded and Cancelled: of a query that waited until
  // `deadline_ns` (of Clock::MonotonicNs), or for whose answer nobody waits. IsQueryLimit: it does
  // not fit into memory alone.
  absl::StatusOr<HttpResponse> Run(const HttpRequest& request, int64_t deadline_ns, Work work);
  // Of a request that may take so long from when it came.
  int64_t DeadlineNs(const HttpRequest& request, int64_t timeout_ms) const;

 private:
  // A place in the line, by arrival, while it waits.
  struct Waiting {
    CondVar wake;
    bool alone = false;
  };
  // What was so when a turn began.
  struct Turn {
    int running = 0;       // itself included
    uint64_t started = 0;  // turns until then, itself included
    bool memory_was_free = false;
  };

  absl::StatusOr<Turn> Begin(uint64_t place, bool alone, const HttpRequest& request,
                             int64_t deadline_ns);
  absl::StatusOr<HttpResponse> WorkInTurn(const Turn& turn, Work work, bool* was_alone);
  // True: nobody else had a turn at the same time.
  bool End(const Turn& turn);
  bool IsFree(bool alone) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void WakeFirst() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // No query holds anything worth mentioning, nor does an answer on its way.
  bool MemoryIsFree() const;

  const HandlerContext* const context_;
  Mutex mutex_;
  uint64_t next_place_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
  int running_ ABSL_GUARDED_BY(mutex_) = 0;
  bool runs_alone_ ABSL_GUARDED_BY(mutex_) = false;
  uint64_t started_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_QUERY_GATE_H_
