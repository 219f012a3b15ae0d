// Store: an ordered map of byte strings on disk, in the form of a log-structured merge tree.
//
// It knows bytes and order (memcmp) only: no series, no time. What a time-series database needs
// beyond a plain key-value store comes as generic hooks: output partitions, dropping a range as
// whole files, writes that need no log.
//
// Life of a write: WriteBatch -> WAL record (checksummed) -> memtable (arena skiplist) ->
// acknowledged. A full memtable becomes immutable and is flushed in the background into one L0
// table per partition; leveled compaction merges tables downwards. Every change of the set of
// tables is one record in the manifest. FORMAT.md has the bytes and the argument for each crash
// point.
//
//   StoreOptions options;
//   TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<Store> store, Store::Open("folder", options));
//   TINYOBS_RETURN_IF_ERROR(store->Put("key", "value"));
//   std::string value;
//   const absl::Status found = store->Get("key", &value);  // NotFound: no such key
//   ...
//   TINYOBS_RETURN_IF_ERROR(store->Close());
//
// Thread-safety: Store is thread-safe. Iterators are one thread's. Readers never wait for writers.
// Lock order: at the top of store_impl.h, with who may do what. No lock is held across I/O.
#ifndef TINYOBS_LIB_LSM_STORE_H_
#define TINYOBS_LIB_LSM_STORE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/iterator.h"
#include "lib/lsm/write_batch.h"

namespace tinyobs {
class Clock;
class FileSystem;
class MemoryAccount;
}  // namespace tinyobs

namespace tinyobs::lsm {

class MemtableBudget;
class RateLimiter;
class Snapshot;

inline constexpr int kLevels = 7;

enum class SyncPolicy {
  kAlways,    // OK from Write = survives power loss
  kInterval,  // OK = survives kill -9; power loss costs at most sync_interval_ms
  kNone,      // OK = survives kill -9
};

// What a compaction does with an entry. See StoreOptions::compaction_filter.
enum class FilterDecision { kKeep, kRemove };

// Joins values of adjacent keys while a compaction rewrites them; see
// StoreOptions::new_compaction_merger. One object serves one run of adjacent entries at a time, on
// one thread.
class CompactionMerger {
 public:
  // Takes an entry of the output. `key` and `value` are valid during the call only.
  using Emit = std::function<absl::Status(std::string_view key, std::string_view value)>;

  virtual ~CompactionMerger() = default;
  // The next entry of the run, in key order. Emits what is final; may hold back what it wants to
  // join with the entries to come. A status that is not OK fails the compaction.
  virtual absl::Status Add(std::string_view key, std::string_view value, const Emit& emit) = 0;
  // The run ends: emits what was held back. Add may follow, with another run.
  virtual absl::Status Finish(const Emit& emit) = 0;
};

// Accounts that a store reports its memory to, as it takes and returns it; null = none. Not owned,
// must outlive the store. They limit nothing but the block cache, which gives way while its account
// is over: the bounds are those of StoreOptions.
struct StoreMemory {
  MemoryAccount* memtables = nullptr;  // those that readers still hold included
  MemoryAccount* block_cache = nullptr;
  MemoryAccount* tables = nullptr;  // indexes and filters of open tables
};

struct StoreOptions {
  FileSystem* file_system = nullptr;  // not owned; nullptr = FileSystem::Posix()
  Clock* clock = nullptr;             // not owned; nullptr = Clock::System()
  // Gets one line at a time, from any thread that is in the store, without a lock held. May call
  // Stats() and read, but must not write, flush, compact, checkpoint, verify, resume or close.
  std::function<void(std::string_view)> logger;

  bool create_if_missing = true;
  // false: no threads; call RunBackgroundWork().
  bool background_threads = true;

  SyncPolicy sync_policy = SyncPolicy::kInterval;
  int64_t sync_interval_ms = 1000;

  // Flushed when larger. Memory comes in blocks of 64 KiB, so less than 256 KiB flushes all the
  // time.
  size_t memtable_bytes = 8 << 20;
  size_t block_cache_bytes = 8 << 20;  // 0 = no cache
  size_t block_bytes = 16 << 10;       // before compression
  int block_restart_interval = 16;
  int filter_bits_per_key = 10;  // 0 = no filter
  // Of each key that has so many bytes only these first ones go into the filter: an iterator with
  // ReadOptions::prefix of this length skips tables without it, and so does Get, which of a longer
  // key asks for that prefix. 0 = whole keys. Tables remember theirs, so it may change between
  // opens.
  size_t filter_prefix_bytes = 0;
  uint64_t table_bytes = 8 << 20;  // target size of a compaction's output
  // Tables of L0 over one key that start a compaction; from which on writes are delayed, the more
  // the closer to the third; at which they wait. In this order, the second may be equal to either.
  // Tables that lie side by side (of different partitions) count a quarter.
  int l0_compaction_trigger = 4;
  int l0_slowdown_trigger = 6;
  int l0_stall_trigger = 20;
  // Size target of the base level, the one that L0 goes into. The targets of the others follow from
  // the bytes in the last: each is level_ratio times the one above it. As long as the last level
  // has less than a few times level1_bytes it is the only one besides L0.
  uint64_t level1_bytes = 64 << 20;
  int level_ratio = 10;
  // Table files open at once. What running reads still hold when it has to make room comes on top.
  int max_open_tables = 512;
  // Of the indexes and filters of open tables; the same holds. A store whose tables need more reads
  // them again and again.
  size_t table_memory_bytes = 32 << 20;
  // Compactions that may run at once, never on the same tables or ranges. Flushes have a thread of
  // their own.
  int compaction_threads = 1;

  // Bounds the bytes per second that compactions write; flushes count but never wait, as writers
  // wait for them. May be shared by stores; null = no limit. Without background threads nothing
  // waits for it.
  std::shared_ptr<RateLimiter> rate_limiter;
  // Bounds the memory of the memtables of all stores that share it: the store with the largest
  // memtable flushes first. null = each store has its own memtable_bytes only.
  std::shared_ptr<MemtableBudget> memtable_budget;
  StoreMemory memory;

  // Asked once for each newest version of a key that a compaction rewrites and no snapshot can see;
  // kRemove = as if it had been deleted. Called by background threads, at the same time by several.
  // Must not call the store. Empty = everything is kept. A table that only moves to another level
  // is not rewritten, so an entry may go unasked until the next CompactRange, which rewrites all.
  std::function<FilterDecision(std::string_view key, std::string_view value)> compaction_filter;
  // Makes the object that joins adjacent entries, one for each compaction that writes to the last
  // level that holds the range, so that what is joined hides nothing older. It sees, in runs, what
  // the compaction keeps and no snapshot can see; a run ends at a partition, and where an entry
  // stands between that it must not see. What it emits must ascend and be keys of its run, and
  // replaces the run: a later write of an emitted key hides all that was joined into it. Such a
  // write may be there already, in a level above. A merger that fails or emits another key fails
  // the compaction that CompactRange asked for (with its status, or InvalidArgument), and nothing
  // is changed; compactions of the store's own are logged and done without joining. As the filter,
  // it does not see tables that only move. Empty, or what it returns is null = nothing is joined.
  // CompactRange makes and runs its mergers in the thread of its caller; the last one that it makes
  // sees all that the range held at the call, but for what snapshots see.
  std::function<std::unique_ptr<CompactionMerger>()> new_compaction_merger;

  // What Open does when a file is damaged or missing. false: DataLoss. true: Repair, then open;
  // what was put aside is logged and counted in Stats.
  bool repair_on_open = false;

  // The partition a key belongs to: a prefix of the key, or any function that is monotone in it. No
  // table ever holds keys of two partitions, so DropRange of a partition unlinks files and rewrites
  // nothing. Empty = one partition.
  std::function<std::string_view(std::string_view key)> partition_of;
};

struct ReadOptions {
  // nullptr: the newest state at the time of the call.
  const Snapshot* snapshot = nullptr;
  // Iterators stay within [lower_bound, upper_bound); empty = unbounded. Copied.
  std::string lower_bound;
  std::string upper_bound;
  // Iterators stay within the keys that begin with it; empty = all. Copied. With
  // StoreOptions::filter_prefix_bytes of its length (or less), tables without such keys are
  // skipped.
  std::string prefix;
  // > 0: each Seek confines the iterator to the keys that begin with the first so many bytes of its
  // target, and tables are skipped as with `prefix`. For many lookups at once: in ascending order
  // they open each table at most once. Only Seek, to targets of that length at least, and Next
  // then.
  size_t seek_prefix_bytes = 0;
  // false for long scans that would only push useful blocks out of the cache.
  bool fill_cache = true;
};

struct WriteOptions {
  // Overrides the store's policy for this write: true = synced before OK.
  std::optional<bool> sync;
  // The write is not logged: it becomes durable when a later Flush() returns OK and may be lost
  // before. For data that the caller's own log still covers.
  bool skip_wal = false;
};
inline constexpr WriteOptions kUnlogged{.sync = {}, .skip_wal = true};

// A point in time to read from. Pins the versions of keys it can see; release it (destroy it) soon.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  virtual uint64_t sequence() const = 0;
};

struct LevelStats {
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t target_bytes = 0;  // 0 = not in use, or L0, which counts tables
};

// Why writes are slow or wait.
enum class WriteHold {
  kNone,
  kMemtables,       // too many memtables wait for their flush
  kL0,              // too many tables of L0 wait for compaction
  kMemtableBudget,  // the memory that stores share is used up
};
inline constexpr int kWriteHolds = 4;
std::string_view WriteHoldName(WriteHold hold);

struct StoreStats {
  std::array<LevelStats, kLevels> levels;
  uint64_t memtable_bytes = 0;  // active and immutable
  uint64_t block_cache_bytes = 0;
  uint64_t block_cache_hits = 0;
  uint64_t block_cache_misses = 0;
  uint64_t wal_bytes = 0;   // of the logs on disk
  uint64_t disk_bytes = 0;  // tables, logs, manifest
  uint64_t last_sequence = 0;
  // Since open.
  uint64_t flushes = 0;
  uint64_t compactions = 0;
  uint64_t trivial_moves = 0;  // tables that changed their level without being rewritten
  uint64_t bytes_written_by_wal = 0;
  uint64_t bytes_written_by_flush = 0;
  uint64_t bytes_written_by_compaction = 0;
  uint64_t bytes_read_by_compaction = 0;
  uint64_t bytes_put = 0;  // keys and values of all writes: what amplification is relative to
  // By WriteHold: how often and how long writes were delayed (still accepted, but slower) or
  // waited.
  struct Holds {
    uint64_t delays = 0;
    int64_t delayed_ns = 0;
    uint64_t stalls = 0;
    int64_t stalled_ns = 0;
  };
  std::array<Holds, kWriteHolds> holds;
  Holds AllHolds() const;  // their sum
  WriteHold hold_now = WriteHold::kNone;
  uint64_t recovered_wal_records = 0;
  uint64_t dropped_torn_tail_bytes = 0;
  uint64_t quarantined_files = 0;  // put aside by a repair at open
  // Tables a compaction found damaged: reads of them answer DataLoss, compactions leave them alone.
  uint64_t damaged_tables = 0;
  uint64_t open_tables = 0;
  uint64_t table_memory_bytes = 0;  // their indexes and filters
  // Not OK: writes are refused until Resume(), which the store calls by itself, again and again, as
  // long as the reason is a full disk or a lack of file handles.
  absl::Status background_error;

  uint64_t sorted_runs = 0;  // that a lookup may have to ask, memtables included
  // Bytes written to disk (log, flush, compaction) per byte put, since open; 0 = nothing was put.
  double WriteAmplification() const;
};

struct FileProblem {
  std::string file;  // the path
  absl::Status status;
};

struct VerifyReport {
  uint64_t tables = 0;
  uint64_t entries = 0;
  uint64_t table_bytes = 0;
  uint64_t logs = 0;
  uint64_t log_records = 0;
  std::vector<FileProblem> problems;  // empty = all is well
};

struct RepairReport {
  uint64_t tables_kept = 0;
  uint64_t entries_kept = 0;
  uint64_t log_records_kept = 0;
  // Files moved to the folder `lost` of the store, with what was wrong.
  std::vector<FileProblem> quarantined;
  bool manifest_rebuilt = false;  // it was damaged: deleted keys may have come back
};

class Store {
 public:
  // FailedPrecondition: locked by another opener, a newer format, or nothing there and
  // !create_if_missing. DataLoss: a damaged manifest or log before its tail (file, offset,
  // expected, found). InvalidArgument: options. A torn tail of the last log (an unfinished write of
  // a process that died) is cut, counted and logged, not an error.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& path,
                                                     const StoreOptions& options);
  // Releases without flushing; what was acknowledged is in the log. All iterators and snapshots
  // must be gone.
  virtual ~Store() = default;

  // Opens what is there for reading, beside the process that writes, without locking and without
  // changing a byte. Shows the state at the time of the call (acknowledged writes with a log
  // included) until Refresh. Writes, flushes and compactions answer FailedPrecondition. NotFound:
  // no store there. ResourceExhausted: more tables than file handles; they are all held open, as
  // the writer may unlink them. DataLoss: as Open. Unavailable: the store changes faster than it
  // can be opened. Options that concern writing are ignored.
  static absl::StatusOr<std::unique_ptr<Store>> OpenReadOnly(const std::string& path,
                                                             const StoreOptions& options);

  // Makes a store that Open refuses with DataLoss openable, and loses as little as possible:
  // damaged tables, logs and manifests are moved to the folder `lost` of the store; what can be
  // read stays. With a sound manifest, all other tables stay where they are. Without, all tables
  // found are merged into one level, newest version of each key first; keys whose tombstone was
  // compacted away may come back from a table that was about to be deleted. The store must not be
  // open. FailedPrecondition: it is, or there is none.
  static absl::StatusOr<RepairReport> Repair(const std::string& path, const StoreOptions& options);

  // Waits for background work, syncs the log, flushes the memtables, so that the next open has
  // nothing to replay, and releases the lock. A flush that fails is logged and no error: the log
  // holds what was acknowledged. Idempotent; later calls answer FailedPrecondition.
  virtual absl::Status Close() = 0;

  // Applies the batch atomically: after a crash all of it is there or nothing. Takes longer, or
  // waits, while background work cannot keep up (StoreStats::holds). InvalidArgument: a limit of
  // WriteBatch, or a sync of a write without a log. FailedPrecondition: closed, read-only or in
  // background-error state. ResourceExhausted: disk full or no file handles, until the store has
  // found by itself that there are some again; or the memtable budget is used up by stores that
  // cannot flush. Unavailable: I/O. A batch that was refused is not there. One whose append or sync
  // failed is not there either, but as it may have reached the log, an open after a crash or a
  // Close before Resume may bring it back.
  virtual absl::Status Write(const WriteOptions& options, const WriteBatch& batch) = 0;
  absl::Status Put(std::string_view key, std::string_view value, const WriteOptions& options = {});
  absl::Status Delete(std::string_view key, const WriteOptions& options = {});

  // NotFound when there is no such key. DataLoss: a damaged table.
  virtual absl::Status Get(const ReadOptions& options, std::string_view key,
                           std::string* value) const = 0;
  absl::Status Get(std::string_view key, std::string* value) const {
    return Get(ReadOptions(), key, value);
  }

  // Looks up many keys at the state of one moment, each as Get: the i-th status and value belong to
  // the i-th key; a value that was not found is empty. Cheaper than as many Gets, the more so the
  // closer the keys are together.
  virtual std::vector<absl::Status> MultiGet(const ReadOptions& options,
                                             std::span<const std::string_view> keys,
                                             std::vector<std::string>* values) const = 0;

  // User keys in order, newest visible version of each, tombstones hidden. Pins memtables and
  // tables while it lives.
  virtual std::unique_ptr<Iterator> NewIterator(const ReadOptions& options) const = 0;
  virtual std::unique_ptr<const Snapshot> NewSnapshot() const = 0;

  // Everything written before the call is in tables and durable when this returns OK, skip_wal
  // writes included.
  virtual absl::Status Flush() = 0;
  // Everything acknowledged before the call survives power loss (syncs the log; skip_wal writes are
  // not covered).
  virtual absl::Status Sync() = 0;
  // Merges all tables that overlap [first, last], both ends included, down to the deepest level
  // that holds any of the range. Empty `last` = to the end. Flushes first. With a compaction filter
  // or merger all is rewritten, also what need not change its level. DataLoss: a damaged table; the
  // others may be done.
  virtual absl::Status CompactRange(std::string_view first, std::string_view last) = 0;
  // Deletes the tables that lie wholly in [first, last): one manifest edit and unlinks, nothing is
  // rewritten. Keys of the range in the memtables or in tables that reach beyond it stay, and so do
  // tables that lie over an older one that stays: nothing old or deleted comes back. Ranges that no
  // table reaches out of (whole partitions, flushed) go entirely. Snapshots lose what is dropped;
  // iterators keep it. Empty `last` = to the end. Works while writes are refused for lack of space:
  // this is how to make some. Returns the number of tables dropped.
  virtual absl::StatusOr<uint64_t> DropRange(std::string_view first, std::string_view last) = 0;

  // Makes a copy of the store, as of now, in `folder`, which must not exist: tables are
  // hard-linked, so it costs no copying and is a store of its own. Durable when OK; after an error
  // or a crash there is no `folder`, perhaps a `folder`.partial that the next call replaces.
  // AlreadyExists. FailedPrecondition: `folder` is on another disk, or the store is closed.
  virtual absl::Status Checkpoint(const std::string& folder) = 0;

  // Reads every byte of every table and log and checks every checksum and every invariant: order,
  // counts, ranges, sequences, the levels, the manifest. Runs beside everything else; what is wrong
  // is in the report. An error status: the check itself could not be done.
  virtual absl::StatusOr<VerifyReport> Verify() const = 0;

  // After OpenReadOnly: moves on to the newest state. Open iterators and snapshots keep theirs.
  // FailedPrecondition: not opened read-only. Else as OpenReadOnly; on an error the old state
  // stays.
  virtual absl::Status Refresh() = 0;

  virtual StoreStats Stats() const = 0;
  // Of the tables that hold any key of [first, last); empty `last` = to the end. Cheap.
  virtual uint64_t RangeBytes(std::string_view first, std::string_view last) const = 0;

  // Clears a background error whose cause is gone and retries the failed work.
  virtual absl::Status Resume() = 0;
  // With background_threads = false: one step of flush or compaction if due; true = more to do.
  // Tries to resume first, after a lack of space or file handles.
  virtual absl::StatusOr<bool> RunBackgroundWork() = 0;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_STORE_H_
