// Flush, compaction, the installation of versions, and the deletion of files nobody needs.
//
// The order that makes every step safe to die in: write the tables, sync them, sync the folder,
// append the edit to the manifest, sync it, take the new version into use, delete what it replaced.
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/level_iterator.h"
#include "lib/lsm/merging_iterator.h"
#include "lib/lsm/store_impl.h"

namespace tinyobs::lsm {
namespace {

// Compactions read their inputs in pieces of this size.
constexpr size_t kCompactionReadaheadBytes = 256 << 10;
// While readers pin tables that nobody else needs: how late their files may go at worst.
constexpr int64_t kObsoleteRecheckMs = 1000;

}  // namespace

void StoreImpl::TakeSlot(bool* slot) {
  while (*slot) state_changed_.Wait(&mutex_);
  *slot = true;
}

void StoreImpl::ReleaseSlot(bool* slot) {
  MutexLock lock(&mutex_);
  *slot = false;
  state_changed_.NotifyAll();
}

void StoreImpl::FlushThread() {
  MutexLock lock(&mutex_);
  while (!closing()) {
    if (immutables_.empty() || flush_running_ || !background_error_.ok()) {
      state_changed_.Wait(&mutex_);
      continue;
    }
    flush_running_ = true;
    MutexUnlock unlock(&mutex_);
    FlushOldest().IgnoreError();  // it is in background_error_
    ReleaseSlot(&flush_running_);
  }
}

void StoreImpl::CompactionThread() {
  MutexLock lock(&mutex_);
  while (!closing()) {
    const bool is_due = CompactionIsDue() && !compaction_running_ && background_error_.ok();
    // Whoever frees a table wakes us without mutex_ (it may hold that already, and readers must not
    // wait for it), so the wake may come between our look and our wait, and be lost. Tables are
    // marked obsolete under mutex_, so if none is (looked at first), there is nothing to miss.
    const bool awaits_obsolete = registry_->AwaitsObsolete();
    const bool has_obsolete = registry_->HasObsolete();
    if (!is_due && !has_obsolete) {
      if (awaits_obsolete) {
        state_changed_.WaitFor(&mutex_, kObsoleteRecheckMs);
      } else {
        state_changed_.Wait(&mutex_);
      }
      continue;
    }
    compaction_running_ |= is_due;
    MutexUnlock unlock(&mutex_);
    if (has_obsolete) DeleteObsoleteFiles();
    if (!is_due) continue;
    CompactOnce().IgnoreError();  // it is in background_error_
    ReleaseSlot(&compaction_running_);
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
  mutex_.Lock();
  const bool flush = !immutables_.empty() && !flush_running_;
  const bool compact = !flush && CompactionIsDue() && !compaction_running_;
  if (!flush && !compact) {
    mutex_.Unlock();
    return false;
  }
  bool* const slot = flush ? &flush_running_ : &compaction_running_;
  *slot = true;
  mutex_.Unlock();
  const absl::Status status = flush ? FlushOldest() : CompactOnce();
  ReleaseSlot(slot);
  TINYOBS_RETURN_IF_ERROR(status);
  MutexLock lock(&mutex_);
  return !immutables_.empty() || CompactionIsDue();
}

absl::StatusOr<bool> StoreImpl::RunBackgroundWork() {
  {
    MutexLock lock(&mutex_);
    TINYOBS_RETURN_IF_ERROR(Refusal());
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
  job.table.trailer_bytes = kTrailerBytes;
  job.partition_of = options_.partition_of;
  job.new_file_number = [this] { return NewFileNumber(); };
  MutexLock lock(&mutex_);
  job.snapshots.assign(snapshots_.begin(), snapshots_.end());
  return job;
}

absl::Status StoreImpl::FlushOldest() {
  std::shared_ptr<Memtable> memtable;
  {
    MutexLock lock(&mutex_);
    if (immutables_.empty()) return absl::OkStatus();
    memtable = immutables_.front().memtable;
  }
  const std::unique_ptr<Iterator> entries = memtable->NewIterator();
  absl::StatusOr<CompactionResult> result = RunCompactionJob(NewJobOptions(), entries.get());
  absl::Status status = result.status();
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
      ++counters_.flushes;
      counters_.bytes_written_by_flush += result->bytes_written;
    });
  }
  if (!status.ok()) {
    SetBackgroundError(status);
    return status;
  }
  DeleteObsoleteFiles();
  return absl::OkStatus();
}

bool StoreImpl::CompactionIsDue() const {
  const std::array<double, kLevels> scores = LevelScores(*version_, picker_options_);
  return *std::max_element(scores.begin(), scores.end()) >= 1;
}

absl::Status StoreImpl::CompactOnce() {
  std::shared_ptr<const Version> version;
  {
    MutexLock lock(&mutex_);
    version = version_;
  }
  const std::optional<CompactionChoice> choice = PickCompaction(*version, picker_options_, {});
  if (!choice.has_value()) return absl::OkStatus();
  return RunCompaction(version, *choice);
}

std::unique_ptr<Iterator> StoreImpl::NewCompactionInput(const CompactionChoice& choice) {
  sstable::TableReadOptions read;
  read.fill_cache = false;
  read.readahead_bytes = kCompactionReadaheadBytes;
  std::vector<std::unique_ptr<Iterator>> children;
  const auto add = [&](TableList tables) {
    if (tables.empty()) return;
    children.push_back(
        std::make_unique<LevelIterator>(table_cache_.get(), std::move(tables), read));
  };
  if (choice.level == 0) {
    for (TableList& row : SideBySide(choice.inputs)) add(std::move(row));
  } else {
    add(choice.inputs);
  }
  add(choice.next_inputs);
  return NewMergingIterator(std::move(children));
}

absl::Status StoreImpl::RunCompaction(const std::shared_ptr<const Version>& version,
                                      const CompactionChoice& choice) {
  VersionEdit edit;
  for (const TablePtr& table : choice.inputs) {
    edit.removed.push_back({choice.level, table->meta.number});
  }
  for (const TablePtr& table : choice.next_inputs) {
    edit.removed.push_back({choice.output_level(), table->meta.number});
  }
  absl::Status status;
  if (choice.trivial_move) {
    for (const TablePtr& table : choice.inputs) {
      edit.added.push_back({choice.output_level(), table->meta});
    }
    status = InstallEdit(std::move(edit), [this, &choice]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      counters_.trivial_moves += choice.inputs.size();
    });
  } else {
    CompactionJobOptions job = NewJobOptions();
    job.table_bytes = options_.table_bytes;
    job.version = version;
    job.output_level = choice.output_level();
    job.grandparents = choice.grandparents;
    job.grandparent_bytes_max = GrandparentOverlapLimit(picker_options_);
    job.stop = &closing_;
    const std::unique_ptr<Iterator> input = NewCompactionInput(choice);
    absl::StatusOr<CompactionResult> result = RunCompactionJob(job, input.get());
    status = result.status();
    if (status.ok()) {
      for (const TableMeta& meta : result->tables) {
        edit.added.push_back({choice.output_level(), meta});
      }
      status =
          InstallEdit(std::move(edit), [this, &choice, &result]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
            ++counters_.compactions;
            counters_.bytes_read_by_compaction += choice.InputBytes();
            counters_.bytes_written_by_compaction += result->bytes_written;
          });
    }
  }
  if (!status.ok()) SetBackgroundError(status);
  return status;
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
    for (const TablePtr& table : replaced) table->MarkObsolete();
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
    background_error_ = status;
    state_changed_.NotifyAll();
  }
  Log(StrCat(path_, ": writes are refused from now on: ", FromAbsl(status.message())));
}

}  // namespace tinyobs::lsm
