// StoreImpl: the one implementation of Store. Its methods are spread over files by what they do:
//
//   store_open.cc        open and recovery
//   store_write.cc       the commit queue: log, memtable, memtable switch
//   store_read.cc        lookups, iterators, snapshots
//   store_background.cc  flush, compaction, version installation, deletion of files
//   store_control.cc     Close, Resume, CompactRange, DropRange, Stats
//
// Who may do what, besides the locks:
//  - The commit queue (writers_): its front, the leader, is the only one who touches the log and
//    adds to the active memtable, without holding a lock. Whoever needs the log (sync, memtable
//    switch, close, resume) queues up like a writer.
//  - flush_running_, compaction_running_: at most one flush and one compaction at a time, whichever
//    thread runs them.
//  - manifest_busy_: at most one thread changes the version and writes the manifest.
//
// Lock order: mutex_ before read_state_mutex_. Neither is held during I/O.
#ifndef TINYOBS_LIB_LSM_STORE_IMPL_H_
#define TINYOBS_LIB_LSM_STORE_IMPL_H_

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/lsm/compaction_job.h"
#include "lib/lsm/compaction_picker.h"
#include "lib/lsm/manifest.h"
#include "lib/lsm/memtable.h"
#include "lib/lsm/store.h"
#include "lib/lsm/table_cache.h"
#include "lib/lsm/version.h"
#include "lib/lsm/wal_writer.h"
#include "lib/sstable/block_cache.h"
#include "tinyobs/clock.h"
#include "tinyobs/file_system.h"

namespace tinyobs::lsm {

// Memtables that wait for their flush before writers must wait for them.
inline constexpr size_t kImmutablesMax = 2;

class WalReader;

class StoreImpl final : public Store {
 public:
  StoreImpl(std::string path, const StoreOptions& options);
  ~StoreImpl() override;

  // Recovers what is on disk and starts the threads. Call once, first.
  absl::Status Recover();

  absl::Status Close() override;
  absl::Status Write(const WriteOptions& options, const WriteBatch& batch) override;
  absl::Status Get(const ReadOptions& options, std::string_view key,
                   std::string* value) const override;
  std::unique_ptr<Iterator> NewIterator(const ReadOptions& options) const override;
  std::unique_ptr<const Snapshot> NewSnapshot() const override;
  absl::Status Flush() override;
  absl::Status Sync() override;
  absl::Status CompactRange(std::string_view first, std::string_view last) override;
  absl::StatusOr<uint64_t> DropRange(std::string_view first, std::string_view last) override;
  StoreStats Stats() const override;
  absl::Status Resume() override;
  absl::StatusOr<bool> RunBackgroundWork() override;

 private:
  friend class SnapshotImpl;

  // What a reader needs, pinned together.
  struct ReadState {
    std::shared_ptr<Memtable> active;
    std::vector<std::shared_ptr<Memtable>> immutables;  // newest first
    std::shared_ptr<const Version> version;
  };
  struct ImmutableMemtable {
    std::shared_ptr<Memtable> memtable;
    uint64_t log_number = 0;  // the oldest log that holds entries of it
  };
  // One entry of the commit queue.
  struct Commit {
    const WriteBatch* batch = nullptr;  // null: not a write, `run_alone` instead
    bool log = true;
    bool sync = false;
    // Run by the leader, which owns the log meanwhile. Called without locks.
    std::function<absl::Status()> run_alone;
    bool done = false;
    absl::Status status;
    CondVar wake;
  };

  // --- store_open.cc
  struct Replay;
  absl::Status OpenFolder();
  absl::Status ReadOrStartManifest(const std::vector<std::string>& names, ManifestState* state);
  absl::Status ReplayLogs(const std::vector<std::string>& names, const ManifestState& state,
                          Replay* replay);
  absl::Status ReplayLog(WalReader* reader, const std::string& path, bool has_hole, Replay* replay);
  absl::Status ApplyRecord(std::string_view record, Replay* replay);
  absl::Status FlushReplayed(Replay* replay);
  // Deletes files of this store that nothing refers to. REQUIRES: what refers to them no more is
  // durable, and no job runs.
  void SweepFiles(uint64_t log_number, uint64_t manifest_number);
  void StartThreads();

  // --- store_write.cc
  absl::Status RunCommit(Commit* commit) ABSL_LOCKS_EXCLUDED(mutex_);
  // Runs `run` as the leader, when the commits queued before are done.
  absl::Status RunAlone(std::function<absl::Status()> run) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status LeadWrites(Commit* leader) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeGroup(Commit* leader) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CommitGroup(uint64_t sequence, bool sync, Memtable* memtable)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // OK, or why writes are refused.
  absl::Status Refusal() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Leader: makes the active memtable one with room, waiting while too much is unflushed.
  absl::Status MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MustStall() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits until a switch of memtables is allowed.
  absl::Status Stall() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Leader: the active memtable becomes immutable; a new log if the current one holds records.
  absl::Status SwitchMemtable() ABSL_LOCKS_EXCLUDED(mutex_);
  // Leader: log_ becomes a new, empty log.
  absl::Status StartNewLog() ABSL_LOCKS_EXCLUDED(mutex_);
  // Leader: syncs older logs first, so that history has no holes.
  absl::Status SyncLogs() ABSL_LOCKS_EXCLUDED(mutex_);

  // --- store_read.cc
  std::shared_ptr<const ReadState> GetReadState() const ABSL_LOCKS_EXCLUDED(read_state_mutex_);
  void PublishReadState() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status GetFromTables(const ReadOptions& options, const Version& version,
                             std::string_view internal_key, std::string* value) const;

  // --- store_background.cc
  void FlushThread() ABSL_LOCKS_EXCLUDED(mutex_);
  void CompactionThread() ABSL_LOCKS_EXCLUDED(mutex_);
  void SyncThread() ABSL_LOCKS_EXCLUDED(mutex_);
  // One step of flush or compaction, if due; true = more to do.
  absl::StatusOr<bool> BackgroundStep() ABSL_LOCKS_EXCLUDED(mutex_);
  // Flushes the oldest immutable memtable, if any. REQUIRES: the caller holds the flush slot.
  absl::Status FlushOldest() ABSL_LOCKS_EXCLUDED(mutex_);
  // Runs one due compaction, if any. REQUIRES: the caller holds the compaction slot.
  absl::Status CompactOnce() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status RunCompaction(const std::shared_ptr<const Version>& version,
                             const CompactionChoice& choice) ABSL_LOCKS_EXCLUDED(mutex_);
  CompactionJobOptions NewJobOptions();
  std::unique_ptr<Iterator> NewCompactionInput(const CompactionChoice& choice);
  bool CompactionIsDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Applies `edit` to the current version: manifest first, then memory. `on_installed` (may be
  // empty) runs under mutex_ in the same step.
  absl::Status InstallEdit(VersionEdit edit, const std::function<void()>& on_installed)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status WriteManifest(const VersionEdit& edit, const Version& version);
  void DeleteObsoleteFiles() ABSL_LOCKS_EXCLUDED(mutex_);
  void DeleteFileOrLog(const std::string& path);
  uint64_t NewFileNumber() { return next_file_number_.fetch_add(1, std::memory_order_relaxed); }
  // The first error stays until Resume; Cancelled (closing) is none.
  void SetBackgroundError(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // The slots: at most one flush and one compaction run at a time.
  void TakeSlot(bool* slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReleaseSlot(bool* slot) ABSL_LOCKS_EXCLUDED(mutex_);
  bool closing() const { return closing_.load(std::memory_order_relaxed); }

  // --- store_control.cc
  void StopThreads() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CloseAlone() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status ResumeAlone() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status FlushEverythingToResume() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CompactLevels(const KeyRange& range) ABSL_LOCKS_EXCLUDED(mutex_);
  // Runs `work` in the compaction slot, unless the store is closed or in error.
  absl::Status InCompactionSlot(const std::function<absl::Status()>& work)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Runs the user's code, which may call Stats().
  void Log(std::string_view line) const ABSL_LOCKS_EXCLUDED(mutex_) {
    if (options_.logger) options_.logger(line);
  }

  const std::string path_;
  const StoreOptions options_;
  FileSystem* const file_system_;
  Clock* const clock_;
  const PickerOptions picker_options_;
  const std::unique_ptr<sstable::BlockCache> block_cache_;  // null = none
  const std::unique_ptr<TableCache> table_cache_;
  CondVar state_changed_;  // flush, compaction, version, error, closing: everyone looks again
  const std::shared_ptr<TableRegistry> registry_;
  std::unique_ptr<FileLock> lock_;

  std::atomic<bool> closing_{false};
  std::atomic<bool> closed_{false};
  std::atomic<uint64_t> next_file_number_{1};
  // Writes up to here are visible to readers.
  std::atomic<uint64_t> visible_sequence_{0};

  // The leader's own; see above.
  std::shared_ptr<WalWriter> log_;
  std::vector<Commit*> group_;
  std::string record_head_;
  int64_t last_sync_ns_ = 0;

  mutable Mutex mutex_;
  CondVar closing_changed_;  // for the sync thread, which nothing else should wake
  std::deque<Commit*> writers_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Memtable> active_ ABSL_GUARDED_BY(mutex_);
  uint64_t active_log_number_ ABSL_GUARDED_BY(mutex_) = 0;
  std::deque<ImmutableMemtable> immutables_ ABSL_GUARDED_BY(mutex_);  // oldest first
  uint64_t switched_memtables_ ABSL_GUARDED_BY(mutex_) = 0;           // since open
  uint64_t flushed_memtables_ ABSL_GUARDED_BY(mutex_) = 0;
  std::shared_ptr<const Version> version_ ABSL_GUARDED_BY(mutex_);
  // Logs on disk by number; the last is the current one, whose writer log_ is.
  std::map<uint64_t, std::shared_ptr<WalWriter>> logs_ ABSL_GUARDED_BY(mutex_);
  uint64_t log_number_ ABSL_GUARDED_BY(mutex_) = 0;  // as in the manifest
  bool flush_running_ ABSL_GUARDED_BY(mutex_) = false;
  bool compaction_running_ ABSL_GUARDED_BY(mutex_) = false;
  bool manifest_busy_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<ManifestWriter> manifest_;  // of whoever set manifest_busy_; null = dead
  uint64_t manifest_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status background_error_ ABSL_GUARDED_BY(mutex_);
  mutable std::multiset<uint64_t> snapshots_ ABSL_GUARDED_BY(mutex_);
  StoreStats counters_ ABSL_GUARDED_BY(mutex_);  // the "since open" part

  mutable Mutex read_state_mutex_ ABSL_ACQUIRED_AFTER(mutex_);
  std::shared_ptr<const ReadState> read_state_ ABSL_GUARDED_BY(read_state_mutex_);

  std::vector<std::thread> threads_;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_STORE_IMPL_H_
