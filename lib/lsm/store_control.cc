// What a caller asks of a store besides reading and writing: close, resume, compaction and deletion
// of ranges, statistics.
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
  absl::Status status;
  {
    MutexLock lock(&mutex_);
    // A job that a caller runs in a thread of his own.
    TakeSlot(&flush_running_);
    TakeSlot(&compaction_running_);
    status = background_error_;
  }
  if (status.ok()) status = SyncLogs();
  if (status.ok()) status = log_->Seal();
  if (status.ok()) status = log_->Close();
  if (status.ok() && manifest_ != nullptr) status = manifest_->Seal();
  if (status.ok() && manifest_ != nullptr) status = manifest_->Close();
  DeleteObsoleteFiles();
  ReleaseSlot(&flush_running_);
  ReleaseSlot(&compaction_running_);
  closed_.store(true, std::memory_order_relaxed);
  lock_ = nullptr;
  return status;
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
    TakeSlot(&compaction_running_);
  }
  const absl::Status status = FlushEverythingToResume();
  {
    MutexLock lock(&mutex_);
    background_error_ = status;
  }
  ReleaseSlot(&flush_running_);
  ReleaseSlot(&compaction_running_);
  Log(status.ok() ? StrCat(path_, ": resumed")
                  : StrCat(path_, ": cannot resume: ", FromAbsl(status.message())));
  return status;
}

// Nothing that failed is trusted again: the old logs (their ends are unknown) give way to a new
// one, everything they cover goes into tables, and the edits that say so go into a new manifest if
// the old one had a part in the failure.
absl::Status StoreImpl::FlushEverythingToResume() {
  TINYOBS_RETURN_IF_ERROR(StartNewLog());
  const uint64_t log_number = log_->identity().number;
  {
    MutexLock lock(&mutex_);
    if (!active_->empty()) {
      immutables_.push_back({active_, active_log_number_});
      ++switched_memtables_;
      active_ = std::make_shared<Memtable>();
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

absl::Status StoreImpl::InCompactionSlot(const std::function<absl::Status()>& work) {
  {
    MutexLock lock(&mutex_);
    while (compaction_running_ && Refusal().ok()) state_changed_.Wait(&mutex_);
    TINYOBS_RETURN_IF_ERROR(Refusal());
    compaction_running_ = true;
  }
  const absl::Status status = work();
  ReleaseSlot(&compaction_running_);
  DeleteObsoleteFiles();
  return status;
}

absl::Status StoreImpl::CompactRange(std::string_view first, std::string_view last) {
  TINYOBS_RETURN_IF_ERROR(Flush());
  const KeyRange range{first, last, last.empty()};
  return InCompactionSlot([&] { return CompactLevels(range); });
}

absl::Status StoreImpl::CompactLevels(const KeyRange& range) {
  for (int level = 0; level + 1 < kLevels; ++level) {
    std::shared_ptr<const Version> version;
    {
      MutexLock lock(&mutex_);
      version = version_;
    }
    int deepest = 0;
    for (int i = 1; i < kLevels; ++i) {
      if (!version->Overlapping(i, range).empty()) deepest = i;
    }
    if (level >= std::max(deepest, 1)) break;
    const std::optional<CompactionChoice> choice =
        PickRange(*version, picker_options_, level, range);
    if (choice.has_value()) TINYOBS_RETURN_IF_ERROR(RunCompaction(version, *choice));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> StoreImpl::DropRange(std::string_view first, std::string_view last) {
  uint64_t dropped = 0;
  TINYOBS_RETURN_IF_ERROR(InCompactionSlot([&] {
    VersionEdit edit;
    {
      MutexLock lock(&mutex_);
      for (int level = 0; level < kLevels; ++level) {
        for (const TablePtr& table : version_->level(level)) {
          const bool inside =
              CompareUserKeys(table->smallest_user_key(), first) >= 0 &&
              (last.empty() || CompareUserKeys(table->largest_user_key(), last) < 0);
          if (inside) edit.removed.push_back({level, table->meta.number});
        }
      }
    }
    dropped = edit.removed.size();
    if (dropped == 0) return absl::OkStatus();
    const absl::Status status = InstallEdit(std::move(edit), {});
    if (!status.ok()) SetBackgroundError(status);
    return status;
  }));
  return dropped;
}

StoreStats StoreImpl::Stats() const {
  MutexLock lock(&mutex_);
  StoreStats stats = counters_;
  for (int level = 0; level < kLevels; ++level) {
    LevelStats& entry = stats.levels[static_cast<size_t>(level)];
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
  for (const auto& [number, log] : logs_) stats.wal_bytes += log->size_bytes();
  stats.disk_bytes += stats.wal_bytes + manifest_bytes_;
  stats.last_sequence = visible_sequence_.load(std::memory_order_relaxed);
  stats.background_error = background_error_;
  return stats;
}

}  // namespace tinyobs::lsm
