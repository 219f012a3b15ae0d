// StoreImpl: the one implementation of Store. Its methods are spread over files by what they do:
//
//   store_open.cc        open and recovery
//   store_write.cc       the commit queue: log, memtable, memtable switch
//   store_room.cc        room for writes: delays, stalls, the shared memtable budget
//   store_read.cc        lookups, iterators, snapshots
//   store_background.cc  flush, version installation, deletion of files
//   store_compaction.cc  compaction, CompactRange, DropRange
//   store_control.cc     Close, Resume, Stats
//   store_checkpoint.cc  Checkpoint
//   store_read_only.cc   OpenReadOnly, Refresh
//   store_verify.cc      Verify
//   store_repair.cc      Repair
//
// Who may do what, besides the locks:
//  - The commit queue (writers_): its front, the leader, is the only one who touches the log and
//    adds to the active memtable, without holding a lock. Whoever needs the log (sync, memtable
//    switch, close, resume) queues up like a writer.
//  - flush_running_: at most one flush at a time, whichever thread runs it.
//  - running_: the compactions and range drops at work, which never touch the same tables or ranges
//    (compaction_picker.h says why that is enough). Whoever holds picking_ adds to them, so what is
//    picked without a lock does not conflict with what another thread picks meanwhile.
//  - manifest_busy_: at most one thread changes the version and writes the manifest.
//  - checkpoint_running_: at most one checkpoint at a time; Close waits for it.
//
// Lock order: mutex_ before read_state_mutex_ and before the mutex of the memtable budget, which
// stores share. None is held during I/O, and never those of two stores.
#ifndef TINYOBS_LIB_LSM_STORE_IMPL_H_
#define TINYOBS_LIB_LSM_STORE_IMPL_H_

#include <atomic>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <span>
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
#include "lib/lsm/memtable_budget.h"
#include "lib/lsm/store.h"
#include "lib/lsm/table_cache.h"
#include "lib/lsm/version.h"
#include "lib/lsm/wal_writer.h"
#include "lib/lsm/write_throttle.h"
#include "lib/sstable/block_cache.h"
#include "tinyobs/clock.h"
#include "tinyobs/file_system.h"

namespace tinyobs::lsm {

// Memtables that wait for their flush before writers must wait for them.
inline constexpr size_t kImmutablesMax = 2;

// A copy that shares nothing with the original, for a status that several threads look at: the
// packaged Abseil is not built with ThreadSanitizer, which does not see the counting of references.
inline absl::Status Detached(const absl::Status& status) {
  return absl::Status(status.code(), status.message());
}

class WalReader;

// InvalidArgument: which option, and its range.
absl::Status CheckOptions(const StoreOptions& options);

class StoreImpl final : public Store {
 public:
  // `read_only`: then call Refresh instead of Recover.
  StoreImpl(std::string path, const StoreOptions& options, bool read_only = false);
  ~StoreImpl() override;

  // What a repair is to do, and did.
  struct Repairs {
    bool check_tables = false;  // reads every byte of them; else only what opening notices
    RepairReport report;
  };
  // Recovers what is on disk and starts the threads. Call once, first. With `repairs`, damage is
  // put aside where it would be an error otherwise.
  absl::Status Recover(Repairs* repairs);

  absl::Status Close() override;
  absl::Status Write(const WriteOptions& options, const WriteBatch& batch) override;
  absl::Status Get(const ReadOptions& options, std::string_view key,
                   std::string* value) const override;
  std::vector<absl::Status> MultiGet(const ReadOptions& options,
                                     std::span<const std::string_view> keys,
                                     std::vector<std::string>* values) const override;
  std::unique_ptr<Iterator> NewIterator(const ReadOptions& options) const override;
  std::unique_ptr<const Snapshot> NewSnapshot() const override;
  absl::Status Flush() override;
  absl::Status Sync() override;
  absl::Status CompactRange(std::string_view first, std::string_view last) override;
  absl::StatusOr<uint64_t> DropRange(std::string_view first, std::string_view last) override;
  absl::Status Checkpoint(const std::string& folder) override;
  absl::StatusOr<VerifyReport> Verify() const override;
  absl::Status Refresh() override;
  StoreStats Stats() const override;
  uint64_t RangeBytes(std::string_view first, std::string_view last) const override;
  absl::Status Resume() override;
  absl::StatusOr<bool> RunBackgroundWork() override;

 private:
  friend class SnapshotImpl;

  // What a reader needs, pinned together.
  struct ReadState {
    std::shared_ptr<Memtable> active;
    std::vector<std::shared_ptr<Memtable>> immutables;  // newest first
    std::shared_ptr<const Version> version;

    // `hash`: Memtable::HashOf(key).
    bool GetFromMemtables(std::string_view key, uint64_t hash, uint64_t sequence,
                          Memtable::Found* found) const;
  };
  struct ImmutableMemtable {
    std::shared_ptr<Memtable> memtable;
    uint64_t log_number = 0;  // the oldest log that holds entries of it
    // Its tables, once they are written: if the edit fails, the next try adds these.
    std::shared_ptr<const CompactionResult> tables;
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

  // A compaction or range drop at work.
  struct Job {
    CompactionChoice choice;
    std::shared_ptr<const Version> version;  // that it was picked from
  };
  using JobPlace = std::list<Job>::iterator;
  // Called without locks.
  using Pick =
      std::function<std::optional<CompactionChoice>(const Version& version, const Claims& claims)>;

  // --- store_open.cc
  // What is gathered while the logs are read.
  struct Replay {
    VersionEdit edit;  // tables made of replayed entries
    std::shared_ptr<Memtable> memtable;
    uint64_t last_sequence = 0;      // of the store
    uint64_t last_log_sequence = 0;  // of the records so far
    uint64_t records = 0;
    uint64_t dropped_bytes = 0;
    uint64_t log_number = 0;       // as in the manifest
    uint64_t previous_number = 0;  // the log before, 0 = none
    bool previous_sealed = false;
    bool has_hole = false;  // a log is missing or not whole, so what follows does not count
    Repairs* repairs = nullptr;
  };
  absl::Status OpenFolder(bool repairing);
  absl::Status ReadOrStartManifest(const std::vector<std::string>& names, Repairs* repairs,
                                   ManifestState* state);
  // In store_repair.cc. All tables of the manifest are there, and sound if that is asked for;
  // `repairs` drops others.
  absl::Status CheckTables(const std::vector<std::string>& names, Repairs* repairs,
                           ManifestState* state);
  absl::Status ReplayLogs(const std::vector<std::string>& names, Replay* replay);
  absl::Status ReplayLog(const RandomAccessFile& file, uint64_t number, Replay* replay);
  absl::Status ReplayRecords(WalReader* reader, const std::string& path, Replay* replay);
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
  // Runs the front of the queue, a group of writes with it if it is one, and takes it off.
  absl::Status Lead(Commit* leader) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status LeadWrites(Commit* leader) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void TakeGroup(Commit* leader) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status CommitGroup(uint64_t sequence, bool sync, Memtable* memtable)
      ABSL_LOCKS_EXCLUDED(mutex_);
  // OK, or why writes are refused.
  absl::Status Refusal() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Leader: the active memtable becomes immutable; a new log if the current one holds records.
  absl::Status SwitchMemtable() ABSL_LOCKS_EXCLUDED(mutex_);
  // Leader: log_ becomes a new, empty log.
  absl::Status StartNewLog() ABSL_LOCKS_EXCLUDED(mutex_);
  // Leader: syncs older logs first, so that history has no holes.
  absl::Status SyncLogs() ABSL_LOCKS_EXCLUDED(mutex_);

  // --- store_room.cc
  // Leader: makes the active memtable one with room, waiting while too much is unflushed.
  absl::Status MakeRoom() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Leader: `bytes` were written.
  void NoteWritten(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Whether writes may have to be slow; quick.
  bool IsPressed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  WritePressure Pressure() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Leader: waits, not for long, before the next write.
  void Delay() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits for a change, and keeps the promise of kInterval meanwhile: the sync thread queues behind
  // the leader.
  void WaitAsLeader(int64_t wait_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Why the active memtable must not become immutable yet.
  WriteHold StallReason() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Leader: waits until a switch of memtables is allowed.
  absl::Status Stall() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Leader: waits while the shared memory is used up.
  absl::Status WaitForBudget() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status SwitchMemtableLocked() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tells the budget, if there is one, what this store uses.
  void ReportMemtables() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What the flush thread does besides flushing: it resumes after a full disk, and switches the
  // memtable of an idle store when the budget wants it. Or it waits.
  void DoChoreOrWait() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Switches the memtable if the budget wants it and no write is under way; false = neither.
  bool SwitchForBudget() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The cause of the error may go away by itself, and it is time to see whether it did.
  bool RetryIsDue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  // --- store_read.cc
  std::shared_ptr<const ReadState> GetReadState() const ABSL_LOCKS_EXCLUDED(read_state_mutex_);
  // Whether snapshots hold on to the tables they see, instead of being heeded by compactions: a
  // process that writes knows nothing of the snapshots of one that reads, and a filter or merger
  // may be at work on what a new snapshot sees.
  bool SnapshotsPin() const {
    return read_only_ || options_.compaction_filter || options_.new_compaction_merger;
  }
  // The newest, or the one of the snapshot where that has one of its own.
  std::shared_ptr<const ReadState> GetReadState(const ReadOptions& options) const;
  void PublishReadState() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status ClosedError() const;
  // Of what `options` may see. Call after GetReadState.
  uint64_t ReadSequence(const ReadOptions& options) const;
  // A key on its way through the tables.
  struct PendingKey;
  // Answers all of `keys`, which ascend.
  void GetFromTables(const ReadOptions& options, const Version& version,
                     std::span<PendingKey> keys) const;
  // Answers those of `keys` that this table decides, and returns how many those are.
  size_t GetFromTable(const sstable::TableReadOptions& options, const TableFile& table,
                      std::span<PendingKey> keys) const;

  // --- store_background.cc; what is about compactions and jobs: store_compaction.cc
  void FlushThread() ABSL_LOCKS_EXCLUDED(mutex_);
  void CompactionThread() ABSL_LOCKS_EXCLUDED(mutex_);
  void SyncThread() ABSL_LOCKS_EXCLUDED(mutex_);
  // One step of flush or compaction, if due; true = more to do.
  absl::StatusOr<bool> BackgroundStep() ABSL_LOCKS_EXCLUDED(mutex_);
  // Flushes the oldest immutable memtable, if any. REQUIRES: the caller holds the flush slot.
  absl::Status FlushOldest() ABSL_LOCKS_EXCLUDED(mutex_);
  // Runs one due compaction, if any.
  absl::Status CompactOnce() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // What a merger or a damaged table spoils is worked around in the background, and an error for
  // who asked for the compaction.
  absl::Status RunCompaction(const Job& job, bool in_background) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status RewriteOrMove(const CompactionChoice& choice,
                             const std::shared_ptr<const Version>& version, bool join,
                             bool* merger_failed) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status WaitForRate(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mutex_);
  // Remembers which tables of the choice are damaged; false: none.
  bool SetAsideDamaged(const CompactionChoice& choice) ABSL_LOCKS_EXCLUDED(mutex_);
  // L0Load, but 0 when all that could make it smaller needs damaged tables.
  double L0Pressure() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayStartJob() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !picking_ && job_holds_ == 0;
  }
  // Adds what `pick` chooses to running_; its end(): nothing. In the background damaged tables are
  // taken, and so are ranges where somebody waits for jobs to end. REQUIRES: MayStartJob().
  JobPlace StartJob(const Pick& pick, bool in_background) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void EndJob(JobPlace job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Waits for the running jobs to end, and lets none start until ReleaseJobs.
  void HoldJobs() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReleaseJobs() ABSL_LOCKS_EXCLUDED(mutex_);
  CompactionJobOptions NewJobOptions();
  std::unique_ptr<Iterator> NewCompactionInput(const CompactionChoice& choice);
  // As far as is known without picking.
  bool CompactionIsDue() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Applies `edit` to the current version: manifest first, then memory. `on_installed` (may be
  // empty) runs under mutex_ in the same step.
  absl::Status InstallEdit(VersionEdit edit, const std::function<void()>& on_installed)
      ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status WriteManifest(const VersionEdit& edit, const Version& version);
  void DeleteObsoleteFiles() ABSL_LOCKS_EXCLUDED(mutex_);
  void DeleteFileOrLog(const std::string& path);
  std::shared_ptr<Memtable> NewMemtable() const {
    size_t bytes = options_.memtable_bytes;
    if (options_.memtable_budget) bytes = std::min(bytes, options_.memtable_budget->bytes() / 4);
    return std::make_shared<Memtable>(Memtable::FilterBytesFor(bytes), options_.memory.memtables);
  }
  // Without a filter, as few look anything up in it.
  std::shared_ptr<Memtable> NewReplayMemtable() const {
    return std::make_shared<Memtable>(0, options_.memory.memtables);
  }
  uint64_t NewFileNumber() { return next_file_number_.fetch_add(1, std::memory_order_relaxed); }
  // The first error stays until Resume; Cancelled (closing) is none.
  void SetBackgroundError(const absl::Status& status) ABSL_LOCKS_EXCLUDED(mutex_);
  // The slots: one flush, pick or edit of the manifest at a time.
  void TakeSlot(bool* slot) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ReleaseSlot(bool* slot) const ABSL_LOCKS_EXCLUDED(mutex_);
  bool closing() const { return closing_.load(std::memory_order_relaxed); }

  // --- store_control.cc
  void StopThreads() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status CloseAlone() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status FlushAtClose() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status ResumeAlone() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status FlushEverythingToResume() ABSL_LOCKS_EXCLUDED(mutex_);
  // In store_compaction.cc. Runs `work` on what `pick` chooses, when nothing that runs is in its
  // way; false: it chose nothing. `range` covers the choice, more or less: no compaction starts
  // there meanwhile.
  // `frees_space`: also while writes are refused for lack of space.
  absl::StatusOr<bool> RunInRange(const KeyRange& range, bool frees_space, const Pick& pick,
                                  const std::function<absl::Status(const Job&)>& work)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // --- store_checkpoint.cc
  absl::Status WriteCopy(const Version& version, const std::string& folder);

  // --- store_read_only.cc
  absl::Status LoadNewest() ABSL_LOCKS_EXCLUDED(mutex_);
  // `version` becomes the one of the manifest, whose tables are all open.
  absl::Status OpenTables(const Version& newest, std::shared_ptr<const Version>* version);
  absl::Status TryLoad(std::shared_ptr<const Version>* version) ABSL_LOCKS_EXCLUDED(mutex_);

  // --- store_verify.cc
  struct Verification;
  void VerifyTables(const Version& version, Verification* verification) const;
  void VerifyEntries(const Version& version, const TableList& tables,
                     Verification* verification) const;
  void VerifyManifest(Verification* verification) const ABSL_LOCKS_EXCLUDED(mutex_);
  void VerifyLogs(Verification* verification) const ABSL_LOCKS_EXCLUDED(mutex_);

  // --- store_repair.cc
  // Gives a file of this store a second name in the folder `lost`, durably; the sweep at the end of
  // the recovery takes the first one. `why` goes into the report.
  absl::Status PutAside(const std::string& name, const absl::Status& why, Repairs* repairs);
  // Not OK: an edit at the end of the manifest that is torn or missing had taken effect, as what it
  // let go is gone. What it added must not be swept.
  absl::Status CheckLastEdit(const std::vector<std::string>& names, const ManifestState& state);
  // What to go on with when ReadManifest failed with `why`.
  absl::StatusOr<ManifestState> ReplaceManifest(const std::vector<std::string>& names,
                                                const absl::Status& why, Repairs* repairs);
  // A version with all sound tables in the folder, as they are: in level 0.
  absl::StatusOr<std::shared_ptr<const Version>> GatherTables(const std::vector<std::string>& names,
                                                              Repairs* repairs);
  // All of `version` as one level.
  absl::StatusOr<std::shared_ptr<const Version>> MergeTables(const Version& version);

  // Runs the user's code, which may call Stats().
  void Log(std::string_view line) const ABSL_LOCKS_EXCLUDED(mutex_) {
    if (options_.logger) options_.logger(line);
  }

  const std::string path_;
  const StoreOptions options_;
  const bool read_only_;
  FileSystem* const file_system_;
  Clock* const clock_;
  const PickerOptions picker_options_;
  const std::unique_ptr<sstable::BlockCache> block_cache_;  // null = none
  const std::unique_ptr<TableCache> table_cache_;
  // Flush, compaction, version, error, closing: everyone looks again.
  mutable CondVar state_changed_;
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
  bool picking_ ABSL_GUARDED_BY(mutex_) = false;
  int job_holds_ ABSL_GUARDED_BY(mutex_) = 0;  // callers between HoldJobs and ReleaseJobs
  std::list<Job> running_ ABSL_GUARDED_BY(mutex_);
  uint64_t ended_jobs_ ABSL_GUARDED_BY(mutex_) = 0;
  std::list<KeyRange> waiting_ranges_ ABSL_GUARDED_BY(mutex_);  // of RunInRange
  bool nothing_to_pick_ ABSL_GUARDED_BY(mutex_) = false;        // until a version or job changes
  absl::flat_hash_set<uint64_t> damaged_tables_ ABSL_GUARDED_BY(mutex_);  // by number
  mutable bool manifest_busy_ ABSL_GUARDED_BY(mutex_) = false;
  bool checkpoint_running_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<ManifestWriter> manifest_;  // of whoever set manifest_busy_; null = dead
  uint64_t manifest_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Status background_error_ ABSL_GUARDED_BY(mutex_);
  mutable std::multiset<uint64_t> snapshots_ ABSL_GUARDED_BY(mutex_);
  StoreStats counters_ ABSL_GUARDED_BY(mutex_);  // the "since open" part, and hold_now
  WriteThrottle throttle_ ABSL_GUARDED_BY(mutex_);
  // Resuming by itself: when next, and how long after that the time after.
  int64_t retry_at_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  int64_t retry_delay_ns_ ABSL_GUARDED_BY(mutex_) = 0;
  std::unique_ptr<MemtableBudget::Member> budget_ ABSL_GUARDED_BY(mutex_);  // null = none

  mutable Mutex read_state_mutex_ ABSL_ACQUIRED_AFTER(mutex_);
  std::shared_ptr<const ReadState> read_state_ ABSL_GUARDED_BY(read_state_mutex_);

  std::vector<std::thread> threads_;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_STORE_IMPL_H_
