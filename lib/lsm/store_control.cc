// What a caller asks of a store as a whole: close, resume, statistics.
#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/store_impl.h"

namespace tinyobs::lsm {

StoreImpl::~StoreImpl() { StopThreads(); }

void StoreImpl::StopThreads() {
  {
    MutexLock lock(&mutex_);
    closing_.store(true, std::memory_order_relaxed);
    state_changed_.NotifyAll();
    closing_changed_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
}

absl::Status StoreImpl::Close() {
  {
    MutexLock lock(&mutex_);
    if (closing_.exchange(true)) return absl::OkStatus();
  }
  StopThreads();
  return RunAlone([this] { return CloseAlone(); });
}

absl::Status StoreImpl::CloseAlone() {
  if (read_only_) {
    closed_.store(true, std::memory_order_relaxed);
    return absl::OkStatus();
  }
  absl::Status status;
  {
    MutexLock lock(&mutex_);
    // A job that a caller runs in a thread of his own.
    TakeSlot(&flush_running_);
    HoldJobs();
    TakeSlot(&checkpoint_running_);
    status = Detached(background_error_);
  }
  if (status.ok()) status = SyncLogs();
  if (status.ok()) {
    // So that the next open has nothing to replay. Should it fail, nothing is lost: the logs are
    // durable already, and are replayed.
    const absl::Status flushed = FlushAtClose();
    if (flushed.ok()) {
      status = log_->Seal();
    } else {
      Log(StrCat(path_, ": closed without a flush: ", FromAbsl(flushed.message())));
    }
  }
  if (status.ok()) status = log_->Close();
  if (status.ok() && manifest_ != nullptr) status = manifest_->Seal();
  if (status.ok() && manifest_ != nullptr) status = manifest_->Close();
  DeleteObsoleteFiles();
  ReleaseSlot(&flush_running_);
  ReleaseJobs();
  ReleaseSlot(&checkpoint_running_);
  {
    MutexLock lock(&mutex_);
    budget_ = nullptr;
  }
  closed_.store(true, std::memory_order_relaxed);
  lock_ = nullptr;
  return status;
}

absl::Status StoreImpl::FlushAtClose() {
  bool active = false;
  size_t left = 0;
  {
    MutexLock lock(&mutex_);
    active = !active_->empty();
    left = immutables_.size() + (active ? 1 : 0);
  }
  if (active) TINYOBS_RETURN_IF_ERROR(SwitchMemtable());
  for (; left > 0; --left) TINYOBS_RETURN_IF_ERROR(FlushOldest());
  return absl::OkStatus();
}

absl::Status StoreImpl::Resume() {
  return RunAlone([this] { return ResumeAlone(); });
}

absl::Status StoreImpl::ResumeAlone() {
  {
    MutexLock lock(&mutex_);
    if (closing()) return absl::FailedPreconditionError(StrCat(path_, ": the store is closed"));
    if (background_error_.ok()) return absl::OkStatus();
    TakeSlot(&flush_running_);
    HoldJobs();
  }
  const absl::Status status = FlushEverythingToResume();
  bool is_news = false;  // not each time that a full disk is still full
  {
    MutexLock lock(&mutex_);
    is_news = status.code() != background_error_.code();
    background_error_ = Detached(status);
    ReportMemtables();
  }
  ReleaseSlot(&flush_running_);
  ReleaseJobs();
  if (is_news) {
    Log(status.ok() ? StrCat(path_, ": resumed")
                    : StrCat(path_, ": cannot resume: ", FromAbsl(status.message())));
  }
  return status;
}

// Nothing that failed is trusted again: the old logs (their ends are unknown) give way to a new
// one, everything they cover goes into tables, and the edits that say so go into a new manifest if
// the old one had a part in the failure.
absl::Status StoreImpl::FlushEverythingToResume() {
  // Not one more file for each attempt on a full disk.
  if (!log_->unused()) TINYOBS_RETURN_IF_ERROR(StartNewLog());
  const uint64_t log_number = log_->identity().number;
  {
    MutexLock lock(&mutex_);
    if (!active_->empty()) {
      immutables_.push_back({active_, active_log_number_, nullptr});
      ++switched_memtables_;
      active_ = NewMemtable();
    }
    active_log_number_ = log_number;
    PublishReadState();
  }
  while (true) {
    {
      MutexLock lock(&mutex_);
      if (immutables_.empty()) break;
    }
    TINYOBS_RETURN_IF_ERROR(FlushOldest());
  }
  VersionEdit edit;
  edit.log_number = log_number;
  TINYOBS_RETURN_IF_ERROR(InstallEdit(std::move(edit), {}));
  DeleteObsoleteFiles();
  SweepFiles(log_number, manifest_->number());
  return absl::OkStatus();
}

std::string_view WriteHoldName(WriteHold hold) {
  switch (hold) {
    case WriteHold::kNone:
      return "none";
    case WriteHold::kMemtables:
      return "memtables";
    case WriteHold::kL0:
      return "l0";
    case WriteHold::kMemtableBudget:
      return "memtable_budget";
  }
  return "none";
}

double StoreStats::WriteAmplification() const {
  if (bytes_put == 0) return 0;
  return static_cast<double>(bytes_written_by_wal + bytes_written_by_flush +
                             bytes_written_by_compaction) /
         static_cast<double>(bytes_put);
}

StoreStats::Holds StoreStats::AllHolds() const {
  Holds all;
  for (const Holds& hold : holds) {
    all.delays += hold.delays;
    all.delayed_ns += hold.delayed_ns;
    all.stalls += hold.stalls;
    all.stalled_ns += hold.stalled_ns;
  }
  return all;
}

StoreStats StoreImpl::Stats() const {
  MutexLock lock(&mutex_);
  StoreStats stats = counters_;
  const LevelTargets targets = TargetsOf(*version_, picker_options_);
  for (int level = 0; level < kLevels; ++level) {
    LevelStats& entry = stats.levels[static_cast<size_t>(level)];
    entry.target_bytes = targets.bytes[static_cast<size_t>(level)];
    entry.files = version_->level(level).size();
    entry.bytes = version_->LevelBytes(level);
    stats.disk_bytes += entry.bytes;
  }
  stats.memtable_bytes = active_->MemoryUsageBytes();
  for (const ImmutableMemtable& entry : immutables_) {
    stats.memtable_bytes += entry.memtable->MemoryUsageBytes();
  }
  if (block_cache_ != nullptr) {
    const sstable::BlockCacheStats cache = block_cache_->Stats();
    stats.block_cache_bytes = cache.usage_bytes;
    stats.block_cache_hits = cache.hits;
    stats.block_cache_misses = cache.misses;
  }
  stats.sorted_runs = 1 + immutables_.size() + version_->l0_rows().size();
  for (int level = 1; level < kLevels; ++level)
    stats.sorted_runs += version_->level(level).size() > 0;
  stats.open_tables = table_cache_->open_tables();
  stats.table_memory_bytes = table_cache_->memory_bytes();
  stats.damaged_tables = damaged_tables_.size();
  for (const auto& [number, log] : logs_) stats.wal_bytes += log->file_bytes();
  stats.disk_bytes += stats.wal_bytes + manifest_bytes_;
  stats.last_sequence = visible_sequence_.load(std::memory_order_relaxed);
  stats.background_error = Detached(background_error_);
  return stats;
}

uint64_t StoreImpl::RangeBytes(std::string_view first, std::string_view last) const {
  const std::shared_ptr<const ReadState> state = GetReadState();
  uint64_t bytes = 0;
  for (int level = 0; level < kLevels; ++level) {
    for (const TablePtr& table : state->version->Overlapping(level, {first, last, last.empty()})) {
      // The range of Overlapping has its end.
      if (last.empty() || CompareUserKeys(table->smallest_user_key(), last) < 0) {
        bytes += table->meta.file_bytes;
      }
    }
  }
  return bytes;
}

}  // namespace tinyobs::lsm
