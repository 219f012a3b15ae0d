#include "lib/sdk/batcher.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/strings.h"

namespace tinyobs::sdk {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;
// Between the moment a flush is taken up and the end of its collection.
constexpr uint64_t kGoalUnknown = UINT64_MAX;

}  // namespace

Batcher::Batcher(BatcherOptions options, Transport* transport, Collect collect)
    : options_(options),
      transport_(transport),
      collect_(std::move(collect)),
      piece_(options.max_batch),
      splits_left_(options.max_splits) {
  TINYOBS_CHECK(options_.clock != nullptr && transport_ != nullptr);
  TINYOBS_CHECK(options_.max_batch > 0 && options_.max_queue > 0 && options_.interval_ms > 0);
}

Batcher::~Batcher() { Stop().IgnoreError(); }

bool Batcher::OnOwnThread() const { return own_thread_.load() == std::this_thread::get_id(); }

absl::Status Batcher::Start() {
  MutexLock join_lock(&join_mutex_);
  MutexLock lock(&mutex_);
  if (started_ || stop_requested_) {
    return absl::FailedPreconditionError("the client was started or stopped before");
  }
  started_ = true;
  next_tick_ns_ = options_.clock->MonotonicNs();
  thread_ = std::thread([this] { Run(); });
  return absl::OkStatus();
}

absl::Status Batcher::Flush() {
  if (OnOwnThread()) {
    return absl::FailedPreconditionError("Flush was called from a collect callback");
  }
  MutexLock lock(&mutex_);
  if (!started_ || stop_requested_) {
    return absl::FailedPreconditionError("the client is not running: call Start, before Stop");
  }
  const uint64_t ticket = ++flushes_requested_;
  wake_.Notify();
  while (flushes_done_ < ticket) settled_.Wait(&mutex_);
  return flush_status_;
}

absl::Status Batcher::Stop() {
  if (OnOwnThread()) {
    return absl::FailedPreconditionError("Stop was called from a collect callback");
  }
  absl::Status result;
  {
    MutexLock lock(&mutex_);
    if (!stop_requested_) {
      stop_requested_ = true;
      stop_deadline_ns_ = options_.clock->MonotonicNs() + options_.stop_deadline_ms * kNsPerMs;
      wake_.Notify();
    }
    while (started_ && !exited_) settled_.Wait(&mutex_);
    result = stop_status_;
  }
  MutexLock join_lock(&join_mutex_);
  if (thread_.joinable()) thread_.join();
  return result;
}

BatcherStats Batcher::Stats() const {
  MutexLock lock(&mutex_);
  BatcherStats stats = stats_;
  stats.queued = queue_.size();
  return stats;
}

void Batcher::ClockMoved() {
  MutexLock lock(&mutex_);
  wake_.Notify();
}

void Batcher::Run() {
  own_thread_.store(std::this_thread::get_id());
  while (true) {
    switch (NextWork()) {
      case Work::kCollect:
        CollectNow();
        break;
      case Work::kSend:
        SendOneBatch();
        break;
      case Work::kExit:
        // The system gives the id of an ended thread to the next one.
        own_thread_.store(std::thread::id());
        return;
    }
  }
}

Batcher::Work Batcher::NextWork() {
  MutexLock lock(&mutex_);
  while (true) {
    const int64_t now_ns = options_.clock->MonotonicNs();
    if (flush_serving_ == 0 && flushes_requested_ > flushes_done_) {
      flush_serving_ = flushes_requested_;
      flush_goal_ = kGoalUnknown;
      serving_status_ = absl::OkStatus();
      retry_at_ns_ = INT64_MIN;
      TakeTick(now_ns);  // one collection serves both
      return Work::kCollect;
    }
    if (stop_requested_ && !final_collected_) {
      final_collected_ = true;
      if (flush_serving_ == 0) serving_status_ = absl::OkStatus();
      backoff_ms_ = 0;
      retry_at_ns_ = INT64_MIN;
      return Work::kCollect;
    }
    if (stop_requested_ && (queue_.empty() || now_ns >= stop_deadline_ns_)) {
      Exit();
      return Work::kExit;
    }
    if (!stop_requested_ && TakeTick(now_ns)) return Work::kCollect;
    if (!queue_.empty() && now_ns >= retry_at_ns_) return Work::kSend;
    wake_.WaitFor(&mutex_, WaitMs(now_ns));
  }
}

bool Batcher::TakeTick(int64_t now_ns) {
  if (now_ns < next_tick_ns_) return false;
  const int64_t interval_ns = options_.interval_ms * kNsPerMs;
  next_tick_ns_ += interval_ns;
  if (next_tick_ns_ <= now_ns) next_tick_ns_ = now_ns + interval_ns;
  return true;
}

int64_t Batcher::WaitMs(int64_t now_ns) const {
  int64_t until_ns = stop_requested_ ? stop_deadline_ns_ : next_tick_ns_;
  if (!queue_.empty()) until_ns = std::min(until_ns, retry_at_ns_);
  // Rounded up: waking a moment too early would spin.
  return std::max<int64_t>(1, (until_ns - now_ns + kNsPerMs - 1) / kNsPerMs);
}

void Batcher::CollectNow() {
  collected_.clear();
  collect_(&collected_);

  MutexLock lock(&mutex_);
  queue_.insert(queue_.end(), collected_.begin(), collected_.end());
  stats_.collected += collected_.size();
  if (queue_.size() > options_.max_queue) {
    const size_t excess = queue_.size() - options_.max_queue;
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(excess));
    stats_.dropped += excess;
  }
  splits_left_ = options_.max_splits;
  if (flush_goal_ == kGoalUnknown) flush_goal_ = stats_.collected;
  FinishFlushIfDone(/*failed=*/false);
}

void Batcher::SendOneBatch() {
  {
    MutexLock lock(&mutex_);
    const size_t count = std::min(piece_, queue_.size());
    batch_.assign(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(count));
  }
  const absl::Status status = transport_->Send(batch_);

  MutexLock lock(&mutex_);
  Settle(batch_.size(), status);
}

void Batcher::Settle(size_t count, const absl::Status& status) {
  if (absl::IsUnavailable(status)) {
    Remember(status);
    BackOff();
    FinishFlushIfDone(/*failed=*/true);
    return;
  }
  backoff_ms_ = 0;
  retry_at_ns_ = INT64_MIN;
  if (absl::IsInvalidArgument(status) && count > 1 && splits_left_ > 0) {
    --splits_left_;
    ++stats_.send_failures;
    piece_ = count / 2;
    return;
  }
  if (status.ok()) {
    ++stats_.sends;
    stats_.sent += count;
    stats_.last_success_ms = options_.clock->NowMs();
  } else {
    Remember(status);
    stats_.rejected += count;
  }
  // Grows again slowly, so that the search for one bad sample stays short.
  piece_ = std::min(options_.max_batch, std::max<size_t>(piece_, 1) * 2);
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<ptrdiff_t>(count));
  FinishFlushIfDone(/*failed=*/false);
}

void Batcher::BackOff() {
  backoff_ms_ = std::clamp(backoff_ms_ * 2, options_.first_backoff_ms, options_.max_backoff_ms);
  retry_at_ns_ = options_.clock->MonotonicNs() + backoff_ms_ * kNsPerMs;
}

void Batcher::Remember(const absl::Status& error) {
  ++stats_.send_failures;
  stats_.last_error = error.ToString();
  // Refused is worse news than late.
  if (serving_status_.ok() || absl::IsUnavailable(serving_status_)) serving_status_ = error;
}

void Batcher::FinishFlushIfDone(bool failed) {
  if (flush_serving_ == 0) return;
  const uint64_t left_queue = stats_.collected - queue_.size();
  if (!failed && left_queue < flush_goal_) return;
  flushes_done_ = flush_serving_;
  flush_status_ = serving_status_;
  flush_serving_ = 0;
  settled_.NotifyAll();
}

void Batcher::Exit() {
  if (!queue_.empty()) {
    stats_.unsent += queue_.size();
    stop_status_ = absl::UnavailableError(StrCat(
        queue_.size(), " samples were not delivered before the deadline of ",
        options_.stop_deadline_ms,
        " ms; last error: ", stats_.last_error.empty() ? std::string("none") : stats_.last_error));
    queue_.clear();
  } else if (!absl::IsUnavailable(serving_status_)) {
    // An Unavailable that a later try made good is no failure of the stop.
    stop_status_ = serving_status_;
  }
  flushes_done_ = flushes_requested_;
  flush_status_ = stop_status_;
  exited_ = true;
  settled_.NotifyAll();
}

}  // namespace tinyobs::sdk
