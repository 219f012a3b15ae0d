// Everything a database does besides taking samples and answering: syncing, sealing, checkpoints,
// Flush, Resume, Close and the three threads.
#include <algorithm>
#include <utility>

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/db_impl.h"

namespace tinyobs::tsdb {

namespace {
// Series looked at under one hold of the head's lock: some tens of microseconds.
constexpr SeriesRef kSliceSeries = 1024;
// How often old chunks are looked for. Ages are hours.
constexpr int64_t kFreezePeriodMs = 30'000;
// How long a thread sleeps when nothing wakes it.
constexpr int64_t kWorkPeriodMs = 1'000;
// A head over its share is frozen as a whole at most this often, because each time makes short
// chunks; or when its series have so many open samples each, on average.
constexpr int64_t kRelievePeriodMs = 10'000;
constexpr uint64_t kRelieveSamples = 32;
// Sealing steps between looks at other work.
constexpr int kStepsPerRound = 16;
// Between attempts to resume after a lack of space: the first pause, doubled up to the last.
constexpr int64_t kResumeDelayMinMs = 1'000;
constexpr int64_t kResumeDelayMaxMs = 16'000;
}  // namespace

void DbImpl::Log(std::string_view line) const {
  if (options_.logger) options_.logger(line);
}

absl::Status DbImpl::Fail(std::string_view during, const absl::Status& status) {
  if (status.ok()) return status;
  bool first = false;
  {
    MutexLock lock(&state_);
    if (error_.ok()) {
      first = true;
      error_ = WithContext(status, during);
    }
  }
  if (first) Log(StrCat(path_, ": read-only after an error: ", during, ": ", status.ToString()));
  return status;
}

absl::Status DbImpl::SyncSegment() {
  if (!log_.dirty()) return absl::OkStatus();
  last_sync_ms_ = MonotonicMs();
  return Fail("syncing the head log", log_.Sync());
}

// Also after an error of another file: what was acknowledged is no worse for it. A log that failed
// itself goes on failing.
absl::Status DbImpl::SyncLog() {
  return queue_.RunAlone([this]() -> absl::Status {
    // What the abandoned segment had is durable with the checkpoint that replaces it, not before.
    if (began_to_resume_) TINYOBS_RETURN_IF_ERROR(CheckWritable());
    return SyncSegment();
  });
}

// Logged and synced, once the segment is there and before it takes a commit: a segment that the row
// names and no checkpoint has replaced must be there.
absl::Status DbImpl::BeginSegment(uint64_t number, bool abandon_old) {
  TINYOBS_RETURN_IF_ERROR(log_.Begin(number, abandon_old));
  head_.BeginSegment(static_cast<uint32_t>(number));
  last_sync_ms_ = MonotonicMs();
  if (options_.in_memory) return absl::OkStatus();
  return PutHeadRow({.sync = true, .skip_wal = false});
}

absl::Status DbImpl::PutHeadRow(const lsm::WriteOptions& options) {
  std::string value;
  PutVarint64(&value, log_.number());
  PutVarint64(&value, noted_checkpoint_);
  return store_->Put(RowPrefix(RowKind::kHead), value, options);
}

// The leader's. What can be given back is open and frozen chunks; the rest of a head that is too
// large is series, and new ones are refused (PlanSeries).
absl::Status DbImpl::RelieveHead() {
  if (!accounts_.head->over()) return absl::OkStatus();
  const HeadStats stats = head_.Stats();
  const bool long_chunks = stats.samples - stats.frozen_samples >=
                           kRelieveSamples * std::max<uint64_t>(1, index_.size());
  if (const int64_t now_ms = MonotonicMs();
      long_chunks || now_ms - relieved_at_ms_ >= kRelievePeriodMs) {
    relieved_at_ms_ = now_ms;
    const SeriesRef end = index_.ref_limit();
    for (SeriesRef begin = 0; begin < end; begin += kSliceSeries) {
      head_.Freeze(begin, begin + kSliceSeries, now_ms, /*everything=*/true);
    }
  }
  while (accounts_.head->over() && head_.Stats().frozen_chunks > 0) {
    const auto more = sealer_->Step();
    if (!more.ok()) return Fail("sealing chunks", more.status());
    if (!*more) break;
  }
  return absl::OkStatus();
}

absl::Status DbImpl::InTurns(size_t count, size_t per_turn,
                             const std::function<absl::Status(size_t begin, size_t end)>& work) {
  for (size_t begin = 0; begin < count; begin += per_turn) {
    TINYOBS_RETURN_IF_ERROR(
        queue_.RunAlone([&] { return work(begin, std::min(begin + per_turn, count)); }));
  }
  return absl::OkStatus();
}

absl::Status DbImpl::FreezeSlices(bool everything) {
  return InTurns(index_.ref_limit(), kSliceSeries, [&](size_t begin, size_t end) {
    head_.Freeze(static_cast<SeriesRef>(begin), static_cast<SeriesRef>(end), MonotonicMs(),
                 everything);
    return absl::OkStatus();
  });
}

absl::Status DbImpl::WriteCheckpoint(uint64_t number) {
  TINYOBS_ASSIGN_OR_RETURN(const auto writer,
                           HeadCheckpointWriter::Create(file_system_, head_folder_, number));
  // Of a segment that does not exist yet, or only took what was replayed, no record is in it.
  const bool counts = recovered_ && number == log_.number();
  HeadPin pin;
  const SeriesRef end = index_.ref_limit();
  for (SeriesRef begin = 0; begin < end; begin += kSliceSeries) {
    const uint64_t records = head_.PinUnfrozen(begin, begin + kSliceSeries, &pin);
    TINYOBS_RETURN_IF_ERROR(
        writer->AddSlice({begin, begin + kSliceSeries, counts ? records : 0}, pin));
  }
  // What was frozen before its slice was copied is not in the checkpoint: it must be durable in the
  // LSM before the checkpoint counts.
  TINYOBS_RETURN_IF_ERROR(sealer_->All());
  // In the same flush, so that a store from before it is known by the row.
  noted_checkpoint_ = number;
  TINYOBS_RETURN_IF_ERROR(PutHeadRow(lsm::kUnlogged));
  TINYOBS_RETURN_IF_ERROR(store_->Flush());
  // The slices may hold what the log has not synced yet: without it, power loss would leave the
  // commits since then in part.
  if (counts) TINYOBS_RETURN_IF_ERROR(queue_.RunAlone([this] { return SyncSegment(); }));
  TINYOBS_RETURN_IF_ERROR(writer->Finish());
  const auto bytes = file_system_->FileSize(CheckpointPath(head_folder_, number));
  checkpoint_bytes_ = bytes.ok() ? *bytes : 0;
  checkpointed_ = true;
  return DeleteReplaced(file_system_, head_folder_, number);
}

absl::Status DbImpl::RotateAndCheckpoint() {
  if (options_.in_memory) {  // there is no log to replace
    TINYOBS_RETURN_IF_ERROR(Fail("sealing chunks", sealer_->All()));
    return store_->Flush();
  }
  uint64_t number = 0;
  checkpointed_ = false;  // should this fail, the new segment may be empty and still not be covered
  TINYOBS_RETURN_IF_ERROR(queue_.RunAlone([this, &number]() -> absl::Status {
    TINYOBS_RETURN_IF_ERROR(CheckWritable());
    number = log_.number() + 1;
    return Fail("beginning a head log segment", BeginSegment(number, /*abandon_old=*/false));
  }));
  MeasureHeadFolder();
  const absl::Status status = WriteCheckpoint(number);
  MeasureHeadFolder();
  return Fail("writing a checkpoint", status);
}

void DbImpl::MeasureHeadFolder() {
  const auto bytes = FolderBytes(file_system_, head_folder_);
  // The current segment grows; its size is counted apart, by the log. A reader has none.
  const absl::StatusOr<uint64_t> current =
      read_only_ ? 0 : file_system_->FileSize(SegmentPath(head_folder_, log_.number()));
  if (bytes.ok() && current.ok()) other_head_bytes_ = *bytes - std::min(*bytes, *current);
}

absl::Status DbImpl::Sync() {
  if (read_only_) return CheckWritable();
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  return SyncLog();
}

absl::Status DbImpl::Flush() {
  MutexLock turn(&upkeep_);
  TINYOBS_RETURN_IF_ERROR(CheckWritable());
  TINYOBS_RETURN_IF_ERROR(FreezeSlices(/*everything=*/true));
  return RotateAndCheckpoint();
}

absl::Status DbImpl::Resume() {
  MutexLock turn(&upkeep_);
  return ResumeInTurn();
}

absl::Status DbImpl::ResumeInTurn() {
  if (read_only_) return CheckWritable();
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  TINYOBS_RETURN_IF_ERROR(store_->Resume());
  {
    MutexLock lock(&state_);
    if (error_.ok()) return absl::OkStatus();
  }
  if (options_.in_memory) {  // there is no log, so nothing to replace
    TINYOBS_RETURN_IF_ERROR(sealer_->All());
    return ClearError();
  }
  // The old segment may be dead, and may hold a commit that was refused. A new one is begun, and no
  // commit goes into it before the checkpoint has replaced the old ones.
  uint64_t number = 0;
  checkpointed_ = false;  // the new segment is empty, but the abandoned one is not covered yet
  TINYOBS_RETURN_IF_ERROR(queue_.RunAlone([this, &number]() -> absl::Status {
    number = log_.number() + (began_to_resume_ ? 0 : 1);
    if (began_to_resume_) return absl::OkStatus();
    const uint64_t before = log_.number();
    const absl::Status begun = BeginSegment(number, /*abandon_old=*/true);
    began_to_resume_ = log_.number() != before;
    return begun;
  }));
  // Puts the row that names the segment, should BeginSegment have failed at that.
  TINYOBS_RETURN_IF_ERROR(WriteCheckpoint(number));
  began_to_resume_ = false;
  MeasureHeadFolder();
  return ClearError();
}

absl::Status DbImpl::ClearError() {
  {
    MutexLock lock(&state_);
    error_ = absl::OkStatus();
  }
  Log(StrCat(path_, ": resumed, writes are accepted again"));
  return absl::OkStatus();
}

absl::Status DbImpl::Close() {
  StopThreads();
  MutexLock ageing(&ageing_);
  MutexLock turn(&upkeep_);
  {
    MutexLock lock(&state_);
    if (closed_) return absl::OkStatus();
    closed_ = true;
  }
  if (read_only_ || options_.in_memory) return store_->Close();
  // From the front of the queue: commits that were admitted are done, later ones are refused.
  absl::Status status = queue_.RunAlone([this]() ABSL_NO_THREAD_SAFETY_ANALYSIS -> absl::Status {
    if (!checkpointed_ || log_.records() > 0) {
      TINYOBS_RETURN_IF_ERROR(WriteCheckpoint(log_.number() + 1));
    }
    return SaveSeriesSnapshot();
  });
  if (!status.ok()) {
    // The log still has everything, when it can be made durable.
    Log(StrCat(path_, ": no checkpoint at close: ", status.ToString()));
    status = queue_.RunAlone([this] { return log_.Sync(); });
  }
  const absl::Status store_status = store_->Close();
  lock_.reset();
  return status.ok() ? store_status : status;
}

DbImpl::~DbImpl() { StopThreads(); }

void DbImpl::ResumeIfDue() {
  {
    MutexLock lock(&state_);
    if (!absl::IsResourceExhausted(error_)) return;
  }
  const int64_t now_ms = MonotonicMs();
  if (now_ms < resume_at_ms_) return;
  const bool calm = now_ms - resume_at_ms_ >= kResumeDelayMaxMs;  // it went well for a while
  resume_delay_ms_ = calm ? kResumeDelayMinMs
                          : std::clamp(2 * resume_delay_ms_, kResumeDelayMinMs, kResumeDelayMaxMs);
  resume_at_ms_ = now_ms + resume_delay_ms_;
  Resume().IgnoreError();  // logged when it goes well, and tried again
}

absl::StatusOr<bool> DbImpl::UpkeepRound() {
  // An error is visible in Stats(); if it is no lack of space, trying again would hide it, and only
  // Resume() helps.
  ResumeIfDue();
  TINYOBS_RETURN_IF_ERROR(CheckWritable());
  const int64_t now_ms = MonotonicMs();
  if (now_ms - last_freeze_ms_ >= kFreezePeriodMs) {
    last_freeze_ms_ = now_ms;
    TINYOBS_RETURN_IF_ERROR(FreezeSlices(/*everything=*/false));
  }
  bool more = true;
  for (int step = 0; more && step < kStepsPerRound; ++step) {
    auto stepped = sealer_->Step();
    if (!stepped.ok()) return Fail("sealing chunks", stepped.status());
    more = *stepped;
  }
  if (!options_.in_memory && (log_.segment_bytes() >= FullSegmentBytes() || LogFillsDisk())) {
    MutexLock turn(&upkeep_);
    TINYOBS_RETURN_IF_ERROR(RotateAndCheckpoint());
  }
  {
    MutexLock turn(&upkeep_);
    TINYOBS_RETURN_IF_ERROR(RetireIdleSeries());
  }
  return more;
}

absl::StatusOr<bool> DbImpl::RunBackgroundWork() {
  if (options_.background_threads || read_only_) return false;
  ResumeIfDue();
  if (options_.sync_policy == SyncPolicy::kInterval &&
      MonotonicMs() - last_sync_ms_ >= options_.sync_interval_ms) {
    TINYOBS_RETURN_IF_ERROR(SyncLog());
  }
  TINYOBS_ASSIGN_OR_RETURN(const bool more, UpkeepRound());
  TINYOBS_ASSIGN_OR_RETURN(const bool aged, AgeingRound());
  TINYOBS_ASSIGN_OR_RETURN(const bool store_more, store_->RunBackgroundWork());
  return more || aged || store_more;
}

void DbImpl::StartThreads() {
  if (!options_.background_threads || read_only_) return;
  upkeep_worker_.thread =
      std::thread([this] { WorkLoop(&upkeep_worker_, [this] { return UpkeepRound(); }); });
  ageing_worker_.thread =
      std::thread([this] { WorkLoop(&ageing_worker_, [this] { return AgeingRound(); }); });
  if (options_.sync_policy == SyncPolicy::kInterval && !options_.in_memory) {
    sync_thread_ = std::thread([this] { SyncLoop(); });
  }
}

void DbImpl::StopThreads() {
  {
    MutexLock lock(&wake_mutex_);
    stop_ = true;
    upkeep_worker_.wake.Notify();
    wake_sync_.Notify();
    ageing_worker_.wake.Notify();
  }
  if (upkeep_worker_.thread.joinable()) upkeep_worker_.thread.join();
  if (ageing_worker_.thread.joinable()) ageing_worker_.thread.join();
  if (sync_thread_.joinable()) sync_thread_.join();
}

void DbImpl::Wake(Worker* worker) {
  MutexLock lock(&wake_mutex_);
  if (worker->due) return;
  worker->due = true;
  worker->wake.Notify();
}

bool DbImpl::Stopping() {
  MutexLock lock(&wake_mutex_);
  return stop_;
}

void DbImpl::WorkLoop(Worker* worker, const std::function<absl::StatusOr<bool>()>& round) {
  bool more = false;
  while (!Stopping()) {
    if (!more) {
      MutexLock lock(&wake_mutex_);
      if (!stop_ && !worker->due) worker->wake.WaitFor(&wake_mutex_, kWorkPeriodMs);
      if (stop_) return;
      worker->due = false;
    }
    const auto done = round();
    more = done.ok() && *done;
  }
}

void DbImpl::SyncLoop() {
  while (!Stopping()) {
    {
      MutexLock lock(&wake_mutex_);
      if (!stop_) wake_sync_.WaitFor(&wake_mutex_, options_.sync_interval_ms);
      if (stop_) return;
    }
    if (log_.dirty()) SyncLog().IgnoreError();  // Fail has latched the error
  }
}

}  // namespace tinyobs::tsdb
