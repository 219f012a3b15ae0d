// The commit queue: group commit, the memtable switch.
//
// Writers line up; the front one leads. It takes the batches that wait behind it, writes them to
// the log with one append (and one sync, if any of them asked), adds them to the memtable and wakes
// their owners. So the log and the memtable have one writer at a time without a lock held across
// I/O, and the more writers wait, the more commits share one sync.
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/store_impl.h"

namespace tinyobs::lsm {
namespace {

// A group stops growing here, so that the first of many writers does not wait for all of them.
constexpr size_t kGroupBytesMax = 1 << 20;

}  // namespace

absl::Status Store::Put(std::string_view key, std::string_view value, const WriteOptions& options) {
  WriteBatch batch;
  batch.Put(key, value);
  return Write(options, batch);
}

absl::Status Store::Delete(std::string_view key, const WriteOptions& options) {
  WriteBatch batch;
  batch.Delete(key);
  return Write(options, batch);
}

absl::Status StoreImpl::Write(const WriteOptions& options, const WriteBatch& batch) {
  TINYOBS_RETURN_IF_ERROR(batch.CheckLimits());
  if (options.skip_wal && options.sync.value_or(false)) {
    return absl::InvalidArgumentError("write: sync without a log");
  }
  if (batch.empty()) return absl::OkStatus();
  Commit commit;
  commit.batch = &batch;
  commit.log = !options.skip_wal;
  commit.sync = commit.log && options.sync.value_or(options_.sync_policy == SyncPolicy::kAlways);
  return RunCommit(&commit);
}

absl::Status StoreImpl::RunAlone(std::function<absl::Status()> run) {
  Commit commit;
  commit.run_alone = std::move(run);
  return RunCommit(&commit);
}

absl::Status StoreImpl::RunCommit(Commit* commit) {
  MutexLock lock(&mutex_);
  writers_.push_back(commit);
  while (!commit->done && writers_.front() != commit) commit->wake.Wait(&mutex_);
  return commit->done ? commit->status : Lead(commit);
}

absl::Status StoreImpl::Lead(Commit* commit) {
  absl::Status status;
  if (commit->run_alone) {
    group_.assign(1, commit);
    MutexUnlock unlock(&mutex_);
    status = commit->run_alone();
  } else {
    status = LeadWrites(commit);
  }
  for (Commit* const member : group_) {
    TINYOBS_DCHECK(writers_.front() == member);
    writers_.pop_front();
    if (member == commit) continue;
    if (!status.ok()) member->status = Detached(status);
    member->done = true;
    member->wake.Notify();
  }
  if (!writers_.empty()) writers_.front()->wake.Notify();
  return status;
}

absl::Status StoreImpl::LeadWrites(Commit* leader) {
  group_.assign(1, leader);
  TINYOBS_RETURN_IF_ERROR(MakeRoom());
  TakeGroup(leader);
  const uint64_t sequence = visible_sequence_.load(std::memory_order_relaxed) + 1;
  uint64_t next_sequence = sequence;
  size_t put_bytes = 0;
  bool sync = false;
  for (const Commit* member : group_) {
    next_sequence += member->batch->count();
    put_bytes += member->batch->data_bytes();
    sync |= member->sync;
  }
  if (next_sequence - 1 > kMaxSequence) {
    return absl::ResourceExhaustedError(
        StrCat(path_, ": all ", kMaxSequence, " sequence numbers ", "are used up"));
  }
  const uint64_t log_bytes_before = log_->size_bytes();
  Memtable* const memtable = active_.get();  // nobody but the leader replaces it
  absl::Status status;
  {
    MutexUnlock unlock(&mutex_);
    status = CommitGroup(sequence, sync, memtable);
    if (!status.ok()) SetBackgroundError(status);
  }
  counters_.bytes_written_by_wal += log_->size_bytes() - log_bytes_before;
  if (status.ok()) {
    visible_sequence_.store(next_sequence - 1, std::memory_order_release);
    NoteWritten(put_bytes);
  }
  return status;
}

void StoreImpl::TakeGroup(Commit* leader) {
  size_t bytes = leader->batch->size_bytes();
  for (size_t i = 1; i < writers_.size(); ++i) {
    Commit* const member = writers_[i];
    if (member->run_alone || (member->sync && !leader->sync)) break;
    bytes += member->batch->size_bytes();
    if (bytes > kGroupBytesMax) break;
    group_.push_back(member);
  }
}

absl::Status StoreImpl::CommitGroup(uint64_t sequence, bool sync, Memtable* memtable) {
  uint64_t next = sequence;
  bool logged = false;
  for (const Commit* member : group_) {
    if (member->log) {
      record_head_.clear();
      AppendBatchRecordHead(next, member->batch->count(), &record_head_);
      log_->Add(record_head_, member->batch->entries());
      logged = true;
    }
    next += member->batch->count();
  }
  if (logged) {
    TINYOBS_RETURN_IF_ERROR(log_->Write());
    if (!options_.background_threads && options_.sync_policy == SyncPolicy::kInterval) {
      sync |= clock_->MonotonicNs() - last_sync_ns_ >= options_.sync_interval_ms * 1'000'000;
    }
    if (sync) TINYOBS_RETURN_IF_ERROR(SyncLogs());
  }
  next = sequence;
  for (const Commit* member : group_) {
    BatchReader reader(member->batch->entries());
    ValueType type;
    std::string_view key, value;
    while (reader.Next(&type, &key, &value)) memtable->Add(next++, type, key, value);
    TINYOBS_CHECK(reader.ok());
  }
  return absl::OkStatus();
}

absl::Status StoreImpl::Refusal() const {
  if (closing()) return absl::FailedPreconditionError(StrCat(path_, ": the store is closed"));
  if (read_only_) {
    return absl::FailedPreconditionError(StrCat(path_, ": the store was opened read-only"));
  }
  if (background_error_.ok()) return absl::OkStatus();
  if (absl::IsResourceExhausted(background_error_)) {
    return absl::ResourceExhaustedError(StrCat(
        path_, ": writes are refused for now because of: ", FromAbsl(background_error_.message()),
        "; the store tries again by itself: free space or file handles"));
  }
  return absl::FailedPreconditionError(StrCat(
      path_,
      ": writes are refused until Resume() because of: ", FromAbsl(background_error_.message())));
}

absl::Status StoreImpl::SwitchMemtable() {
  // A log without records can go on: only writes without a log went into the memtable.
  if (log_->records() > 0) {
    TINYOBS_RETURN_IF_ERROR(log_->Seal());
    TINYOBS_RETURN_IF_ERROR(StartNewLog());
  }
  std::shared_ptr<Memtable> empty = NewMemtable();  // its filter is cleared without the lock
  MutexLock lock(&mutex_);
  immutables_.push_back({active_, active_log_number_, nullptr});
  ++switched_memtables_;
  active_ = std::move(empty);
  active_log_number_ = log_->identity().number;
  PublishReadState();
  ReportMemtables();
  state_changed_.NotifyAll();
  return absl::OkStatus();
}

absl::Status StoreImpl::StartNewLog() {
  const uint64_t number = NewFileNumber();
  TINYOBS_ASSIGN_OR_RETURN(
      std::shared_ptr<WalWriter> log,
      WalWriter::Create(
          file_system_, LogFileName(path_, number),
          {.kind = kWalKindStore, .number = number, .previous = log_->identity().number}));
  MutexLock lock(&mutex_);
  log_ = std::move(log);
  logs_[number] = log_;
  return absl::OkStatus();
}

absl::Status StoreImpl::SyncLogs() {
  std::vector<std::shared_ptr<WalWriter>> logs;
  {
    MutexLock lock(&mutex_);
    for (const auto& [number, log] : logs_) {
      if (number >= log_number_) logs.push_back(log);
    }
  }
  for (const std::shared_ptr<WalWriter>& log : logs) TINYOBS_RETURN_IF_ERROR(log->Sync());
  last_sync_ns_ = clock_->MonotonicNs();
  return absl::OkStatus();
}

absl::Status StoreImpl::Sync() {
  return RunAlone([this] {
    {
      MutexLock lock(&mutex_);
      TINYOBS_RETURN_IF_ERROR(Refusal());
    }
    absl::Status status = SyncLogs();
    if (!status.ok()) SetBackgroundError(status);
    return status;
  });
}

absl::Status StoreImpl::Flush() {
  uint64_t target = 0;
  TINYOBS_RETURN_IF_ERROR(RunAlone([this, &target] {
    {
      MutexLock lock(&mutex_);
      TINYOBS_RETURN_IF_ERROR(Refusal());
      target = switched_memtables_;
      if (active_->empty()) return absl::OkStatus();
      TINYOBS_RETURN_IF_ERROR(Stall());
    }
    absl::Status status = SwitchMemtable();
    if (!status.ok()) SetBackgroundError(status);
    MutexLock lock(&mutex_);
    target = switched_memtables_;
    return status;
  }));
  MutexLock lock(&mutex_);
  while (flushed_memtables_ < target) {
    TINYOBS_RETURN_IF_ERROR(Refusal());
    if (options_.background_threads) {
      state_changed_.Wait(&mutex_);
      continue;
    }
    TakeSlot(&flush_running_);
    absl::Status status = Refusal();  // it may have been closed meanwhile
    {
      MutexUnlock unlock(&mutex_);
      if (status.ok()) status = FlushOldest();
      ReleaseSlot(&flush_running_);
    }
    TINYOBS_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::lsm
