// Room for writes: what makes them slow, makes them wait, or makes a memtable go.
//
// All of it is done by the leader of the commit queue, so those behind it wait in line without
// knowing why. A leader that waits holds no lock, looks again whenever the store's state changes
// and at least every 10 ms (delays) or 50 ms (the shared budget, whose wakes may be missed), and
// gives up its delay when a flush, a sync or a close is behind it.
#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/store_impl.h"

namespace tinyobs::lsm {
namespace {

constexpr int64_t kDelaySliceMs = 10;
constexpr int64_t kBudgetPollMs = 50;
// Resuming by itself after a full disk: the first pause, doubled up to the last.
constexpr int64_t kRetryDelayMinNs = 100'000'000;
constexpr int64_t kRetryDelayMaxNs = 5'000'000'000;
constexpr int64_t kRetryPollMs = 50;

// While it lives, writes are held up.
class HoldUp {
 public:
  HoldUp(const Clock* clock, WriteHold reason, WriteHold* now, uint64_t* count, int64_t* total_ns)
      : clock_(clock), now_(now), total_ns_(total_ns), start_ns_(clock->MonotonicNs()) {
    *now = reason;
    ++*count;
  }
  ~HoldUp() {
    *now_ = WriteHold::kNone;
    *total_ns_ += clock_->MonotonicNs() - start_ns_;
  }
  HoldUp(const HoldUp&) = delete;
  HoldUp& operator=(const HoldUp&) = delete;

 private:
  const Clock* const clock_;
  WriteHold* const now_;
  int64_t* const total_ns_;
  const int64_t start_ns_;
};

}  // namespace

bool StoreImpl::IsPressed() const {
  return immutables_.size() >= kImmutablesMax || L0Pressure() >= options_.l0_slowdown_trigger ||
         (budget_ != nullptr && budget_->budget().Fill() > 0);
}

WritePressure StoreImpl::Pressure() const {
  return PressureOf({.l0_load = L0Pressure(),
                     .l0_slowdown = options_.l0_slowdown_trigger,
                     .l0_stall = options_.l0_stall_trigger,
                     .immutables = immutables_.size(),
                     .immutables_max = kImmutablesMax,
                     .active_fill = static_cast<double>(active_->MemoryUsageBytes()) /
                                    static_cast<double>(options_.memtable_bytes),
                     .budget_fill = budget_ != nullptr ? budget_->budget().Fill() : 0});
}

void StoreImpl::NoteWritten(size_t bytes) {
  counters_.bytes_put += bytes;
  if (IsPressed()) throttle_.Charge(bytes, Pressure().nearness, clock_->MonotonicNs());
  if (budget_ != nullptr) ReportMemtables();
}

void StoreImpl::Delay() {
  int64_t due_ns = throttle_.DueNs(clock_->MonotonicNs());
  if (due_ns == 0) return;
  const WriteHold reason = Pressure().reason;
  if (reason == WriteHold::kNone) return;  // other stores have freed memory
  StoreStats::Holds& holds = counters_.holds[static_cast<size_t>(reason)];
  const HoldUp hold(clock_, reason, &counters_.hold_now, &holds.delays, &holds.delayed_ns);
  if (!options_.background_threads) {
    // Nobody would do the work meanwhile: a step of it is the delay.
    MutexUnlock unlock(&mutex_);
    BackgroundStep().IgnoreError();  // it is in background_error_
    due_ns = 0;
  }
  while (due_ns > 0 && Refusal().ok() && IsPressed()) {
    const bool others_wait = std::any_of(writers_.begin() + 1, writers_.end(),
                                         [](const Commit* commit) { return !commit->batch; });
    if (others_wait) break;
    const int64_t start_ns = clock_->MonotonicNs();
    const int64_t slice_ms = std::clamp<int64_t>(due_ns / 1'000'000, 1, kDelaySliceMs);
    const bool woken = state_changed_.WaitFor(&mutex_, slice_ms);
    // The wait itself counts, should the clock stand still.
    due_ns -= woken ? clock_->MonotonicNs() - start_ns : slice_ms * 1'000'000;
  }
  throttle_.Owe(IsPressed() ? due_ns : 0, clock_->MonotonicNs());
}

void StoreImpl::WaitAsLeader(int64_t wait_ms) {
  const int64_t interval_ns = options_.sync_interval_ms * 1'000'000;
  const auto left_ns = [&] { return last_sync_ns_ + interval_ns - clock_->MonotonicNs(); };
  if (options_.sync_policy == SyncPolicy::kInterval) {
    wait_ms = std::clamp<int64_t>(left_ns() / 1'000'000, 1, wait_ms);
  }
  state_changed_.WaitFor(&mutex_, wait_ms);
  if (options_.sync_policy != SyncPolicy::kInterval || left_ns() > 0) return;
  MutexUnlock unlock(&mutex_);
  const absl::Status status = SyncLogs();
  if (!status.ok()) SetBackgroundError(status);
}

WriteHold StoreImpl::StallReason() const {
  if (immutables_.size() >= kImmutablesMax) return WriteHold::kMemtables;
  return L0Pressure() >= options_.l0_stall_trigger ? WriteHold::kL0 : WriteHold::kNone;
}

absl::Status StoreImpl::Stall() {
  const WriteHold reason = StallReason();
  if (reason == WriteHold::kNone) return Refusal();
  StoreStats::Holds& holds = counters_.holds[static_cast<size_t>(reason)];
  const HoldUp hold(clock_, reason, &counters_.hold_now, &holds.stalls, &holds.stalled_ns);
  absl::Status status = Refusal();
  while (status.ok() && StallReason() != WriteHold::kNone) {
    if (options_.background_threads) {
      WaitAsLeader(options_.sync_interval_ms);
    } else {
      MutexUnlock unlock(&mutex_);
      const absl::StatusOr<bool> more = BackgroundStep();
      status = more.status();
      if (!status.ok() || !*more) break;  // nothing is left that could help
    }
    if (status.ok()) status = Refusal();
  }
  return status;
}

absl::Status StoreImpl::MakeRoom() {
  TINYOBS_RETURN_IF_ERROR(Refusal());
  if (IsPressed()) {
    Delay();
    TINYOBS_RETURN_IF_ERROR(Refusal());
  }
  if (budget_ != nullptr) TINYOBS_RETURN_IF_ERROR(WaitForBudget());
  const bool full = active_->MemoryUsageBytes() >= options_.memtable_bytes ||
                    (budget_ != nullptr && budget_->flush_wanted());
  if (active_->empty() || !full) return absl::OkStatus();
  TINYOBS_RETURN_IF_ERROR(Stall());
  return SwitchMemtableLocked();
}

absl::Status StoreImpl::SwitchMemtableLocked() {
  MutexUnlock unlock(&mutex_);
  absl::Status status = SwitchMemtable();
  if (!status.ok()) SetBackgroundError(status);
  return status;
}

absl::Status StoreImpl::WaitForBudget() {
  const MemtableBudget& budget = budget_->budget();
  if (!budget.IsUsedUp()) return absl::OkStatus();
  StoreStats::Holds& holds = counters_.holds[static_cast<size_t>(WriteHold::kMemtableBudget)];
  const HoldUp hold(clock_, WriteHold::kMemtableBudget, &counters_.hold_now, &holds.stalls,
                    &holds.stalled_ns);
  while (budget.IsUsedUp()) {
    TINYOBS_RETURN_IF_ERROR(Refusal());
    const bool will_shrink = budget.WillShrink();
    // While we lead the queue, only we can switch our memtable.
    if (!active_->empty() && (budget_->flush_wanted() || !will_shrink)) {
      TINYOBS_RETURN_IF_ERROR(Stall());
      TINYOBS_RETURN_IF_ERROR(SwitchMemtableLocked());
    } else if (!options_.background_threads && !immutables_.empty() && !flush_running_) {
      MutexUnlock unlock(&mutex_);
      TINYOBS_RETURN_IF_ERROR(BackgroundStep().status());
    } else if (will_shrink || flush_running_) {
      WaitAsLeader(kBudgetPollMs);
    } else {
      return absl::ResourceExhaustedError(
          StrCat(path_, ": the stores that share ", budget.bytes(), " bytes for memtables use ",
                 budget.used_bytes(), ", and none of them can free any by itself: call ",
                 "RunBackgroundWork of those without threads, see Stats of those with an error"));
    }
  }
  return absl::OkStatus();
}

void StoreImpl::ReportMemtables() {
  if (budget_ == nullptr) return;
  MemtableBudget::Use use;
  if (!active_->empty()) use.active_bytes = active_->MemoryUsageBytes();
  for (const ImmutableMemtable& entry : immutables_) {
    use.unflushed_bytes += entry.memtable->MemoryUsageBytes();
  }
  use.flushes_by_itself = options_.background_threads && Refusal().ok();
  budget_->Report(use);
}

bool StoreImpl::SwitchForBudget() {
  // A queue that is not empty has a leader, who sees to it himself.
  if (budget_ == nullptr || !budget_->flush_wanted() || !writers_.empty() || active_->empty() ||
      StallReason() != WriteHold::kNone) {
    return false;
  }
  Commit commit;
  commit.run_alone = [this] {
    absl::Status status = SwitchMemtable();
    if (!status.ok()) SetBackgroundError(status);
    return status;
  };
  writers_.push_back(&commit);
  Lead(&commit).IgnoreError();  // it is in background_error_
  return true;
}

void StoreImpl::DoChoreOrWait() {
  ReportMemtables();  // an error changes what may be expected of us
  if (RetryIsDue()) {
    MutexUnlock unlock(&mutex_);
    Resume().IgnoreError();  // logged, and tried again
  } else if (absl::IsResourceExhausted(background_error_)) {
    state_changed_.WaitFor(&mutex_, kRetryPollMs);
  } else if (budget_ == nullptr || !background_error_.ok()) {
    state_changed_.Wait(&mutex_);
  } else if (!immutables_.empty() || !SwitchForBudget()) {
    state_changed_.WaitFor(&mutex_, kBudgetPollMs);
  }
}

bool StoreImpl::RetryIsDue() {
  if (closing() || !absl::IsResourceExhausted(background_error_)) return false;
  const int64_t now_ns = clock_->MonotonicNs();
  if (now_ns < retry_at_ns_) return false;
  // A store that resumed and failed again soon waits longer: what it needs is not there yet.
  const bool calm = now_ns - retry_at_ns_ >= kRetryDelayMaxNs;
  retry_delay_ns_ =
      calm ? kRetryDelayMinNs : std::clamp(2 * retry_delay_ns_, kRetryDelayMinNs, kRetryDelayMaxNs);
  retry_at_ns_ = now_ns + retry_delay_ns_;
  return true;
}

}  // namespace tinyobs::lsm
