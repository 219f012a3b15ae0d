// Ageing: windows are made of what is over, and partitions leave when they have expired or when
// there is no room for them.
//
// A run goes through four phases, in steps, so that nobody waits long for it:
//
//   seal        from here on samples of times that are about to leave are refused (the floor); what
//               the head has of partitions that are over goes into chunks
//   downsample  the Downsampler's walk
//   expire      whole partitions, oldest first, up to the first that is too young or has not been
//               made into windows
//
// That nothing leaves before it was made into windows hangs on the order, and not on time: however
// long no run came or succeeded, a partition that is not in the coarser tier stays, with all behind
// it. And on the floor: it is raised before what the head has is sealed, and asked by the leader of
// the commits, so between the look whether windows are made and the drop nothing old can come in.
//
// What is damaged makes a run fail, and its partition stays, for somebody to repair it; but once it
// has expired and the runs go on failing it holds up what is behind it no longer: then windows are
// made of the rest, and the loss is counted and logged.
//
// When the disk is full, the same way of dropping is used with another choice: the oldest.
#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/db_impl.h"

namespace tinyobs::tsdb {

namespace {
// Of the storage limit, what the database keeps for what it must write itself.
constexpr uint64_t kReserveFraction = 8;
constexpr uint64_t kLogFraction = 8;
// Between attempts to make room that found nothing to drop.
constexpr int64_t kRoomRetryMs = 30'000;
// Of runs: a minute after open, when a program that just started has better to do, and hourly. One
// that failed is tried again soon, because most causes pass; and then at leisure, because the
// others do not, and the log would be full of them.
constexpr int64_t kFirstRunMs = 60'000;
constexpr int64_t kRunPeriodMs = 3'600'000;
constexpr int64_t kRunRetryMs = 30'000;
// Runs that fail before damage is taken for a loss: a quarter of an hour.
constexpr int kFailuresBeforeLoss = 5;
}  // namespace

uint64_t DbImpl::CommitRoomBytes() const {
  const uint64_t limit = options_.max_storage_bytes;
  return limit - std::min<uint64_t>(limit / kReserveFraction, options_.memory_budget_bytes);
}

// An empty memtable has memory, too, which must not fill a tiny limit.
uint64_t DbImpl::UnflushedBytes() const {
  return std::min<uint64_t>(accounts_.memtables->used(), options_.max_storage_bytes / 10);
}

bool DbImpl::RoomIsLow() const {
  return options_.max_storage_bytes > 0 && options_.storage_full == StorageFull::kDropOldest &&
         DiskBytes() + UnflushedBytes() >= CommitRoomBytes() / 40 * 39;
}

bool DbImpl::HasFloor() const {
  return options_.downsampling || options_.retention.raw_ms > 0 ||
         options_.storage_full == StorageFull::kDropOldest;
}

void DbImpl::RaiseFloor(int64_t time_ms) {
  if (HasFloor() && oldest_accepted_ms_ < time_ms) oldest_accepted_ms_ = time_ms;
}

int64_t DbImpl::OldestAcceptedMs() const {
  const int64_t raw_ms = options_.retention.raw_ms;
  return std::max<int64_t>(oldest_accepted_ms_, raw_ms > 0 ? clock_->NowMs() - raw_ms : INT64_MIN);
}

// A checkpoint of many open chunks is large: it is paid for by as much log. But of a small limit,
// the log must not take the most.
uint64_t DbImpl::FullSegmentBytes() const {
  uint64_t bytes = options_.head_segment_bytes;
  if (options_.max_storage_bytes > 0) bytes = std::min(bytes, CommitRoomBytes() / kLogFraction);
  return std::max<uint64_t>(bytes, checkpoint_bytes_);
}

bool DbImpl::LogFillsDisk() const {
  return options_.max_storage_bytes > 0 && log_.records() > 0 &&
         DiskBytes() + UnflushedBytes() >= CommitRoomBytes() &&
         log_.disk_bytes() > checkpoint_bytes_;
}

void DbImpl::StartAgeing() {
  const uint32_t dropped_before = chunks_->DroppedBefore(Tier::kRaw);
  if (dropped_before > 0) RaiseFloor(partitioning_.StartOfNumber(dropped_before));
  if (!Ages()) return;
  MutexLock turn(&ageing_);
  next_run_ms_ = MonotonicMs() + kFirstRunMs;
  MutexLock lock(&state_);
  downsampling_.next_run_ms = clock_->NowMs() + kFirstRunMs;
}

// --- a run

absl::Status DbImpl::Downsample() {
  MutexLock turn(&ageing_);
  TINYOBS_RETURN_IF_ERROR(CheckWritable());
  if (!options_.downsampling) {
    return absl::FailedPreconditionError(
        StrCat(path_, ": downsampling is off; turn on the option downsampling"));
  }
  // One that is under way may have passed by what there is to do.
  for (bool own = run_.phase == AgeingPhase::kNone;; own = true) {
    if (own) BeginRun(clock_->NowMs());
    while (run_.phase != AgeingPhase::kNone) {
      if (Stopping()) {
        return absl::FailedPreconditionError(StrCat(path_, ": the database is being closed"));
      }
      RunStep();
    }
    if (own) return run_.status;
  }
}

void DbImpl::BeginRun(int64_t closed_ms, bool for_room) {
  run_ = {AgeingPhase::kSeal, closed_ms, clock_->NowMs(), MonotonicMs(), {}, absl::OkStatus()};
  if (failures_ < kFailuresBeforeLoss) return;
  run_.losses.before_ms = ExpiredMs();
  for (size_t i = 0; for_room && i < kDataTiers.size(); ++i) {
    const auto partitions = chunks_->Counts(kDataTiers[i]);
    if (partitions.empty()) continue;
    int64_t* const before_ms = &run_.losses.before_ms[i];
    *before_ms = std::max(
        *before_ms, chunks_->partitioning(kDataTiers[i]).LastMsOf(partitions.front().first) + 1);
    return;
  }
}

void DbImpl::RunStep() {
  absl::Status status;
  switch (run_.phase) {
    case AgeingPhase::kNone:
      return;
    case AgeingPhase::kSeal:
      status = SealEnded(run_.closed_ms);
      run_.phase = options_.downsampling ? AgeingPhase::kDownsample : AgeingPhase::kExpire;
      break;
    case AgeingPhase::kDownsample: {
      const absl::StatusOr<bool> more = downsampler_->Step(run_.closed_ms, &run_.losses);
      status = more.status();
      if (more.ok() && !*more) run_.phase = AgeingPhase::kExpire;
      break;
    }
    case AgeingPhase::kExpire:
      status = Expire();
      EndRun(std::move(status));
      return;
  }
  // Damage is passed by: what lies behind it shall not wait for somebody to repair it.
  if (status.ok() || absl::IsDataLoss(status)) {
    run_.status.Update(status);
  } else {
    EndRun(std::move(status));
  }
}

void DbImpl::EndRun(absl::Status status) {
  run_.status.Update(status);
  run_.phase = AgeingPhase::kNone;
  const bool ok = run_.status.ok();
  failures_ = ok ? 0 : failures_ + 1;
  const int64_t pause_ms =
      ok ? kRunPeriodMs : std::min(kRunPeriodMs, kRunRetryMs << std::min(failures_ - 1, 16));
  next_run_ms_ = MonotonicMs() + pause_ms;
  const std::string error(FromAbsl(run_.status.message()));
  if (run_.losses.count > 0) {
    Log(StrCat(path_, ": windows were made without what is damaged in partitions that leave, ",
               run_.losses.count, " losses: ", FromAbsl(run_.losses.last.message())));
  }
  if (!ok) Log(StrCat(path_, ": downsampling or expiry failed, to be tried again: ", error));
  MutexLock lock(&state_);
  DownsamplingStats& stats = downsampling_;
  ++stats.runs;
  stats.last_run_ms = run_.started_ms;
  stats.last_run_took_ms = MonotonicMs() - run_.started_monotonic_ms;
  stats.last_error = error;
  stats.consecutive_failures = static_cast<uint64_t>(failures_);
  stats.next_run_ms = clock_->NowMs() + pause_ms;
  stats.damage_passed_by += run_.losses.count;
  if (ok) stats.last_success_ms = run_.started_ms;
}

absl::Status DbImpl::SealEnded(int64_t closed_ms) {
  const int64_t kept_ms = partitioning_.StartOfNumber(partitioning_.NumberOf(closed_ms));
  if (options_.retention.raw_ms > 0) {
    const int64_t expired_ms = clock_->NowMs() - options_.retention.raw_ms;
    RaiseFloor(partitioning_.StartOfNumber(partitioning_.NumberOf(expired_ms)));
  }
  TINYOBS_RETURN_IF_ERROR(FreezeBefore(kept_ms).status());
  return Fail("sealing chunks", sealer_->All());
}

bool DbImpl::AgeingStep() {
  MutexLock turn(&ageing_);
  if (run_.phase == AgeingPhase::kNone) {
    if (!Ages() || MonotonicMs() < next_run_ms_) return RoomStep();
    BeginRun(clock_->NowMs() - GraceMs());
  }
  RunStep();
  return true;
}

absl::StatusOr<bool> DbImpl::MergeRound() {
  // It begins with a flush.
  const uint64_t limit = options_.max_storage_bytes;
  const uint64_t room =
      limit > 0 ? limit - std::min(limit, DiskBytes() + accounts_.memtables->used()) : UINT64_MAX;
  auto merged = chunks_->MergeClosed(clock_->NowMs() - GraceMs(), MonotonicMs(), room);
  if (absl::IsDataLoss(merged.status())) {  // of old data; new data is still welcome
    Log(StrCat(path_, ": a partition cannot be merged, to be tried again: ",
               FromAbsl(merged.status().message())));
    return false;
  }
  if (!merged.ok()) return Fail("merging a partition that is over", merged.status());
  if (*merged) ++partitions_merged_;
  return *merged;
}

absl::StatusOr<bool> DbImpl::AgeingRound() {
  TINYOBS_RETURN_IF_ERROR(CheckWritable());
  TINYOBS_ASSIGN_OR_RETURN(const bool merged, MergeRound());
  return AgeingStep() || merged;
}

// --- dropping

// Before which samples and windows have expired.
DbImpl::TierTimes DbImpl::ExpiredMs() const {
  const auto before_ms = [now_ms = clock_->NowMs()](int64_t kept_ms) {
    return kept_ms > 0 ? now_ms - kept_ms : INT64_MIN;
  };
  const Retention& kept = options_.retention;
  return {before_ms(kept.raw_ms), before_ms(kept.five_minutes_ms), before_ms(kept.one_hour_ms)};
}

absl::Status DbImpl::Expire() {
  MutexLock turn(&upkeep_);
  TINYOBS_RETURN_IF_ERROR(CheckWritable());
  const auto dropped = DropTiers(ExpiredMs(), /*only_made=*/true);
  TINYOBS_RETURN_IF_ERROR(dropped.status());
  MutexLock lock(&state_);
  for (size_t i = 0; i < dropped->size(); ++i) retention_.partitions_expired[i] += (*dropped)[i];
  return absl::OkStatus();
}

// Not beyond the first partition whose windows are not made, as there would be none of it then.
int64_t DbImpl::MadeUntil(Tier tier, int64_t time_ms) const {
  if (!options_.downsampling || tier == Tier::kOneHour) return time_ms;
  // What came for times that had been dropped before, with the floor off, is in no window.
  const uint32_t dropped_before = chunks_->DroppedBefore(tier);
  for (const auto& [partition, counts] : chunks_->Counts(tier)) {
    const int64_t start_ms = chunks_->partitioning(tier).StartOfNumber(partition);
    if (start_ms >= time_ms) break;
    if (partition >= dropped_before && !counts.InCoarser()) return start_ms;
  }
  return time_ms;
}

// --- room

// Some partitions, or the pass that they wait for; true when there may be more to do.
bool DbImpl::RoomStep() {
  if (!RoomIsLow() && !making_room_) return false;
  // Files that a query still reads go by themselves when it is done, so they do not count.
  const uint64_t live_bytes = LiveBytes() + UnflushedBytes();
  const uint64_t target_bytes = CommitRoomBytes() / 20 * 19;
  making_room_ = live_bytes >= target_bytes;
  if (!making_room_ || MonotonicMs() < next_room_ms_) return false;
  MutexLock turn(&upkeep_);
  const auto dropped = CheckWritable().ok() ? DropOldest(live_bytes - target_bytes) : 0;
  if (dropped.ok() && *dropped > 0) return true;
  next_room_ms_ = MonotonicMs() + kRoomRetryMs;
  if (!dropped.ok()) {
    Log(StrCat(path_, ": no room could be made: ", FromAbsl(dropped.status().message())));
    return false;
  }
  if (!options_.downsampling) return false;
  BeginRun(clock_->NowMs(), /*for_room=*/true);  // after which there may be something
  return true;
}

// Finer before coarser: a sample that is gone can still be told by its window. The partition of now
// stays, whatever happens.
absl::StatusOr<uint64_t> DbImpl::DropOldest(uint64_t wanted_bytes) {
  const int64_t now_ms = clock_->NowMs();
  for (size_t i = 0; i < kDataTiers.size(); ++i) {
    const Partitioning& cut = chunks_->partitioning(kDataTiers[i]);
    const auto partitions = chunks_->Counts(kDataTiers[i]);
    if (partitions.empty() || partitions.front().first >= cut.NumberOf(now_ms)) continue;
    TierTimes times{INT64_MIN, INT64_MIN, INT64_MIN};
    uint64_t bytes = 0;
    for (const auto& [partition, counts] : partitions) {
      if (partition >= cut.NumberOf(now_ms) || bytes > wanted_bytes) break;
      times[i] = cut.LastMsOf(partition) + 1;
      bytes += chunks_->BytesOf(kDataTiers[i], partition);
    }
    TINYOBS_ASSIGN_OR_RETURN(const TierCounts counts, DropTiers(times, /*only_made=*/true));
    if (counts[i] == 0) return 0;  // its windows are not made yet
    Log(StrCat(path_, ": the limit of ", options_.max_storage_bytes,
               " bytes is near: dropped the oldest ", counts[i], " partitions of ",
               ResolutionName(static_cast<Resolution>(i)), " samples, of before ", times[i],
               " ms"));
    MutexLock lock(&state_);
    retention_.partitions_dropped_for_room += counts[i];
    return counts[i];
  }
  return 0;
}

}  // namespace tinyobs::tsdb
