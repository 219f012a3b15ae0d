// A line of conditions, of which the first is woken.
#include "tools/serve/query_gate.h"

#include <malloc.h>

#include <algorithm>

#include "lib/base/memory_accountant.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "tinyobs/querier.h"

namespace tinyobs::serve {
namespace {

constexpr int64_t kNsInMs = 1'000'000;
// A client that went is noticed by looking.
constexpr int64_t kLookMs = 100;
// For answers to be taken: in a local network, more than a hundred megabytes.
constexpr int64_t kAnswersMs = 500;
constexpr int64_t kLookAtMemoryMs = 5;
// Of a limit: as good as nothing. There are always some short answers.
constexpr size_t kLittlePart = 16;
// What took longer may have held much, as what found memory short did, which the allocator keeps in
// pieces between what lives on: it is told to give them back. That takes milliseconds.
constexpr int64_t kLongNs = 100 * kNsInMs;

}  // namespace

absl::StatusOr<HttpResponse> QueryGate::Run(const HttpRequest& request, int64_t deadline_ns,
                                            Work work) {
  uint64_t place = 0;
  {
    MutexLock lock(&mutex_);
    place = next_place_++;
  }
  for (bool alone = false;; alone = true) {
    TINYOBS_ASSIGN_OR_RETURN(const Turn turn, Begin(place, alone, request, deadline_ns));
    bool was_alone = false;
    absl::StatusOr<HttpResponse> answer = WorkInTurn(turn, work, &was_alone);
    if (!IsMemoryExhausted(answer.status())) return answer;
    if (was_alone && turn.memory_was_free) {
      return QueryLimitError(StrCat("the query does not fit into memory alone: ask for fewer ",
                                    "series, a shorter range or a larger step, or raise ",
                                    "TINYOBS_MAX_MEMORY_MB (", FromAbsl(answer.status().message()),
                                    ")"));
    }
    if (alone) return answer;
  }
}

int64_t QueryGate::DeadlineNs(const HttpRequest& request, int64_t timeout_ms) const {
  const int64_t since_ns =
      request.received_ns > 0 ? request.received_ns : context_->clock->MonotonicNs();
  return since_ns + timeout_ms * kNsInMs;
}

absl::StatusOr<HttpResponse> QueryGate::WorkInTurn(const Turn& turn, Work work, bool* was_alone) {
  // Ends the turn also when memory ran out under `work`, which the server catches.
  struct Ends {
    ~Ends() { *was_alone = gate->End(*turn); }
    QueryGate* const gate;
    const Turn* const turn;
    bool* const was_alone;
  } const ends{this, &turn, was_alone};
  const int64_t begin_ns = context_->clock->MonotonicNs();
  absl::StatusOr<HttpResponse> answer = work(turn.running);
  if (IsMemoryExhausted(answer.status()) || context_->clock->MonotonicNs() - begin_ns > kLongNs) {
    malloc_trim(0);
  }
  return answer;
}

absl::StatusOr<QueryGate::Turn> QueryGate::Begin(uint64_t place, bool alone,
                                                 const HttpRequest& request, int64_t deadline_ns) {
  MutexLock lock(&mutex_);
  int64_t waited_for_answers_ms = 0;
  while (true) {
    const int64_t now_ns = context_->clock->MonotonicNs();
    absl::Status end;
    if (request.IsAbandoned()) end = absl::CancelledError("query was canceled in query queue");
    if (now_ns >= deadline_ns) end = absl::DeadlineExceededError("query timed out in query queue");
    if (!end.ok()) {
      waiting_.erase(place);
      WakeFirst();
      return end;
    }
    int64_t wait_ms = kLookMs;
    if ((waiting_.empty() || waiting_.begin()->first >= place) && IsFree(alone)) {
      if (!alone || MemoryIsFree()) break;
      if (waited_for_answers_ms >= kAnswersMs) break;
      wait_ms = kLookAtMemoryMs;
      waited_for_answers_ms += wait_ms;
    }
    Waiting& self = waiting_[place];
    self.alone = alone;
    self.wake.WaitFor(&mutex_, std::min(wait_ms, (deadline_ns - now_ns) / kNsInMs + 1));
  }
  waiting_.erase(place);
  runs_alone_ = alone;
  const Turn turn{++running_, ++started_, MemoryIsFree()};
  WakeFirst();
  return turn;
}

bool QueryGate::End(const Turn& turn) {
  MutexLock lock(&mutex_);
  --running_;
  runs_alone_ = false;
  WakeFirst();
  return turn.running == 1 && turn.started == started_;
}

bool QueryGate::IsFree(bool alone) const {
  return !runs_alone_ && running_ < (alone ? 1 : context_->promql_max_concurrency);
}

void QueryGate::WakeFirst() {
  if (!waiting_.empty() && IsFree(waiting_.begin()->second.alone)) {
    waiting_.begin()->second.wake.Notify();
  }
}

bool QueryGate::MemoryIsFree() const {
  const MemoryAccount* const queries = context_->db->query_memory();
  const ByteBudget* const answers = context_->response_bytes;
  return (queries == nullptr || queries->used() <= queries->share() / kLittlePart) &&
         (answers == nullptr || answers->used() <= answers->limit() / kLittlePart);
}

}  // namespace tinyobs::serve
