// Flush, the installation of versions, and the deletion of files nobody needs.
//
// The order that makes every step safe to die in: write the tables, sync them, sync the folder,
// append the edit to the manifest, sync it, take the new version into use, delete what it replaced.
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/rate_limiter.h"
#include "lib/lsm/store_impl.h"

namespace tinyobs::lsm {
void StoreImpl::TakeSlot(bool* slot) const {
  while (*slot) state_changed_.Wait(&mutex_);
  *slot = true;
}

void StoreImpl::ReleaseSlot(bool* slot) const {
  MutexLock lock(&mutex_);
  *slot = false;
  state_changed_.NotifyAll();
}

void StoreImpl::FlushThread() {
  MutexLock lock(&mutex_);
  while (!closing()) {
    if (immutables_.empty() || flush_running_ || !background_error_.ok()) {
      DoChoreOrWait();
      continue;
    }
    flush_running_ = true;
    MutexUnlock unlock(&mutex_);
    FlushOldest().IgnoreError();  // it is in background_error_
    ReleaseSlot(&flush_running_);
  }
}

void StoreImpl::SyncThread() {
  MutexLock lock(&mutex_);
  while (!closing()) {
    closing_changed_.WaitFor(&mutex_, options_.sync_interval_ms);
    if (closing() || !background_error_.ok()) continue;
    MutexUnlock unlock(&mutex_);
    Sync().IgnoreError();  // it is in background_error_
  }
}

absl::StatusOr<bool> StoreImpl::BackgroundStep() {
  DeleteObsoleteFiles();
  MutexLock lock(&mutex_);
  if (closing()) return ClosedError();
  if (!immutables_.empty() && !flush_running_) {
    flush_running_ = true;
    MutexUnlock unlock(&mutex_);
    const absl::Status status = FlushOldest();
    ReleaseSlot(&flush_running_);
    TINYOBS_RETURN_IF_ERROR(status);
  } else if (CompactionIsDue() && MayStartJob()) {
    TINYOBS_RETURN_IF_ERROR(CompactOnce());
  } else {
    return false;
  }
  return !immutables_.empty() || CompactionIsDue();
}

absl::StatusOr<bool> StoreImpl::RunBackgroundWork() {
  {
    MutexLock lock(&mutex_);
    if (RetryIsDue()) {
      MutexUnlock unlock(&mutex_);
      Resume().IgnoreError();  // what it could not clear is the next line's answer
    }
    TINYOBS_RETURN_IF_ERROR(Refusal());
    SwitchForBudget();
  }
  if (options_.sync_policy == SyncPolicy::kInterval && !options_.background_threads) {
    TINYOBS_RETURN_IF_ERROR(RunAlone([this] {
      const int64_t interval_ns = options_.sync_interval_ms * 1'000'000;
      if (clock_->MonotonicNs() - last_sync_ns_ < interval_ns) return absl::OkStatus();
      absl::Status status = SyncLogs();
      if (!status.ok()) SetBackgroundError(status);
      return status;
    }));
  }
  return BackgroundStep();
}

CompactionJobOptions StoreImpl::NewJobOptions() {
  CompactionJobOptions job;
  job.file_system = file_system_;
  job.folder = path_;
  job.table.block_bytes = options_.block_bytes;
  job.table.block_restart_interval = options_.block_restart_interval;
  job.table.filter_bits_per_key = options_.filter_bits_per_key;
  job.table.filter_prefix_bytes = options_.filter_prefix_bytes;
  job.table.trailer_bytes = kTrailerBytes;
  job.partition_of = options_.partition_of;
  job.new_file_number = [this] { return NewFileNumber(); };
  MutexLock lock(&mutex_);
  job.snapshots.assign(snapshots_.begin(), snapshots_.end());
  return job;
}

absl::Status StoreImpl::FlushOldest() {
  std::shared_ptr<Memtable> memtable;
  std::shared_ptr<const CompactionResult> result;  // of a try whose edit failed
  {
    MutexLock lock(&mutex_);
    if (immutables_.empty()) return absl::OkStatus();
    memtable = immutables_.front().memtable;
    result = immutables_.front().tables;
  }
  absl::Status status;
  if (result == nullptr) {
    const std::unique_ptr<Iterator> entries = memtable->NewIterator();
    absl::StatusOr<CompactionResult> written = RunCompactionJob(NewJobOptions(), entries.get());
    status = written.status();
    if (status.ok()) {
      result = std::make_shared<const CompactionResult>(*std::move(written));
      MutexLock lock(&mutex_);
      immutables_.front().tables = result;  // only who holds the slot takes the front away
    }
  }
  if (status.ok()) {
    VersionEdit edit;
    for (const TableMeta& meta : result->tables) edit.added.push_back({0, meta});
    {
      MutexLock lock(&mutex_);
      edit.log_number = immutables_.size() > 1 ? immutables_[1].log_number : active_log_number_;
    }
    status = InstallEdit(std::move(edit), [this, &result]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      immutables_.pop_front();
      ++flushed_memtables_;
      ReportMemtables();
      ++counters_.flushes;
      counters_.bytes_written_by_flush += result->bytes_written;
    });
    if (options_.rate_limiter) options_.rate_limiter->ChargeWithoutWaiting(result->bytes_written);
  }
  if (!status.ok()) {
    SetBackgroundError(status);
    return status;
  }
  DeleteObsoleteFiles();
  return absl::OkStatus();
}

absl::Status StoreImpl::InstallEdit(VersionEdit edit, const std::function<void()>& on_installed) {
  std::shared_ptr<const Version> base;
  {
    MutexLock lock(&mutex_);
    TakeSlot(&manifest_busy_);
    base = version_;  // stays the current one as long as we hold the slot
    edit.log_number = edit.log_number.value_or(log_number_);
  }
  edit.next_file_number = next_file_number_.load(std::memory_order_relaxed);
  edit.last_sequence = visible_sequence_.load(std::memory_order_relaxed);
  TableList replaced;
  absl::StatusOr<std::shared_ptr<const Version>> version =
      Version::Apply(*base, edit, registry_, &replaced);
  // An edit of our own that does not fit is our bug, but nothing was written yet.
  absl::Status status =
      version.ok() ? absl::OkStatus() : absl::InternalError(version.status().message());
  if (status.ok()) status = WriteManifest(edit, **version);
  if (status.ok()) {
    MutexLock lock(&mutex_);
    version_ = *std::move(version);
    log_number_ = *edit.log_number;
    manifest_bytes_ = manifest_->size_bytes();
    for (const TablePtr& table : replaced) {
      table->MarkObsolete();
      damaged_tables_.erase(table->meta.number);
    }
    nothing_to_pick_ = false;
    if (on_installed) on_installed();
    PublishReadState();
  }
  ReleaseSlot(&manifest_busy_);
  return status;
}

absl::Status StoreImpl::WriteManifest(const VersionEdit& edit, const Version& version) {
  if (manifest_ != nullptr && !manifest_->ShouldRotate()) {
    const absl::Status status = manifest_->Append(edit);
    // It may or may not be durable: only a new manifest can tell what holds.
    if (!status.ok()) manifest_ = nullptr;
    return status;
  }
  VersionEdit whole;
  whole.log_number = edit.log_number;
  whole.next_file_number = edit.next_file_number;
  whole.last_sequence = edit.last_sequence;
  version.AppendTo(&whole);
  const uint64_t old_number = manifest_ != nullptr ? manifest_->number() : 0;
  const uint64_t number = NewFileNumber();
  *whole.next_file_number = std::max(*whole.next_file_number, number + 1);
  manifest_ = nullptr;
  TINYOBS_ASSIGN_OR_RETURN(manifest_, ManifestWriter::Create(file_system_, path_, number, whole));
  if (old_number != 0) DeleteFileOrLog(ManifestFileName(path_, old_number));
  return absl::OkStatus();
}

void StoreImpl::DeleteObsoleteFiles() {
  for (const uint64_t number : registry_->TakeObsolete()) {
    table_cache_->Evict(number);
    DeleteFileOrLog(TableFileName(path_, number));
  }
  std::vector<std::shared_ptr<WalWriter>> logs;
  {
    MutexLock lock(&mutex_);
    while (!logs_.empty() && logs_.begin()->first < log_number_) {
      logs.push_back(std::move(logs_.begin()->second));
      logs_.erase(logs_.begin());
    }
  }
  for (const auto& log : logs) DeleteFileOrLog(log->path());
}

void StoreImpl::DeleteFileOrLog(const std::string& path) {
  const absl::Status status = file_system_->DeleteFile(path);
  if (status.ok() || absl::IsNotFound(status)) return;
  Log(StrCat(path, ": cannot be deleted now, the next open will: ", FromAbsl(status.message())));
}

void StoreImpl::SetBackgroundError(const absl::Status& status) {
  if (absl::IsCancelled(status)) return;
  {
    MutexLock lock(&mutex_);
    if (!background_error_.ok()) return;
    background_error_ = Detached(status);
    state_changed_.NotifyAll();
  }
  Log(StrCat(path_, ": writes are refused from now on: ", FromAbsl(status.message())));
}

}  // namespace tinyobs::lsm
