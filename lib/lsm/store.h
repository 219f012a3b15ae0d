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
// Thread-safety: Store is thread-safe. Iterators are one thread's. Readers never wait for writers.
// Lock order: see store.cc; one mutex per store, never held across I/O.
#ifndef TINYOBS_LIB_LSM_STORE_H_
#define TINYOBS_LIB_LSM_STORE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
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
}  // namespace tinyobs

namespace tinyobs::lsm {

inline constexpr int kLevels = 7;

enum class SyncPolicy {
  kAlways,    // OK from Write = survives power loss
  kInterval,  // OK = survives kill -9; power loss costs at most sync_interval_ms
  kNone,      // OK = survives kill -9
};

struct StoreOptions {
  FileSystem* file_system = nullptr;  // not owned; nullptr = FileSystem::Posix()
  Clock* clock = nullptr;             // not owned; nullptr = Clock::System()
  // Gets one line at a time, from any thread that is in the store, without a lock held. May call
  // Stats() and read, but must not write, flush, compact, resume or close.
  std::function<void(std::string_view)> logger;

  bool create_if_missing = true;
  // false: no threads; call RunBackgroundWork().
  bool background_threads = true;

  SyncPolicy sync_policy = SyncPolicy::kInterval;
  int64_t sync_interval_ms = 1000;

  size_t memtable_bytes = 8 << 20;     // flushed when larger
  size_t block_cache_bytes = 8 << 20;  // 0 = no cache
  size_t block_bytes = 16 << 10;       // before compression
  int block_restart_interval = 16;
  int filter_bits_per_key = 10;    // 0 = no filter
  uint64_t table_bytes = 8 << 20;  // target size of a compaction's output
  // Tables of L0 over one key that start a compaction, and at which writes wait. Tables that lie
  // side by side (of different partitions) count a quarter.
  int l0_compaction_trigger = 4;
  int l0_stall_trigger = 20;
  uint64_t level1_bytes =
      64 << 20;  // size target of L1; each deeper level is level_ratio times larger
  int level_ratio = 10;
  int max_open_tables = 512;

  // The partition a key belongs to: a prefix of the key, or any function that is monotone in it. No
  // table ever holds keys of two partitions, so DropRange of a partition unlinks files and rewrites
  // nothing. Empty = one partition.
  std::function<std::string_view(std::string_view key)> partition_of;
};

struct ReadOptions {
  // nullptr: the newest state at the time of the call.
  const class Snapshot* snapshot = nullptr;
  // Iterators stay within [lower_bound, upper_bound); empty = unbounded. Copied.
  std::string lower_bound;
  std::string upper_bound;
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

// A point in time to read from. Pins the versions of keys it can see; release it (destroy it) soon.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  virtual uint64_t sequence() const = 0;
};

struct LevelStats {
  uint64_t files = 0;
  uint64_t bytes = 0;
};

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
  uint64_t stalls = 0;
  int64_t stalled_ns = 0;
  uint64_t recovered_wal_records = 0;
  uint64_t dropped_torn_tail_bytes = 0;
  absl::Status background_error;  // not OK: writes are refused until Resume()
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

  // Waits for background work, syncs the log, releases the lock. Idempotent; later calls answer
  // FailedPrecondition.
  virtual absl::Status Close() = 0;

  // Applies the batch atomically: after a crash all of it is there or nothing. Waits while L0 is
  // too full. FailedPrecondition: closed or in background-error state. ResourceExhausted: disk
  // full. Unavailable: I/O.
  virtual absl::Status Write(const WriteOptions& options, const WriteBatch& batch) = 0;
  absl::Status Put(std::string_view key, std::string_view value, const WriteOptions& options = {});
  absl::Status Delete(std::string_view key, const WriteOptions& options = {});

  // NotFound when there is no such key. DataLoss: a damaged table.
  virtual absl::Status Get(const ReadOptions& options, std::string_view key,
                           std::string* value) const = 0;
  absl::Status Get(std::string_view key, std::string* value) const {
    return Get(ReadOptions(), key, value);
  }

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
  // Merges all tables that overlap [first, last] down to the lowest level that holds data. Empty
  // `last` = to the end.
  virtual absl::Status CompactRange(std::string_view first, std::string_view last) = 0;
  // Deletes the tables that lie wholly in [first, last): one manifest edit and unlinks, nothing is
  // rewritten. Keys of the range in the memtables or in tables that reach beyond it stay. Returns
  // the number of tables dropped.
  virtual absl::StatusOr<uint64_t> DropRange(std::string_view first, std::string_view last) = 0;

  virtual StoreStats Stats() const = 0;

  // Clears a background error whose cause is gone and retries the failed work.
  virtual absl::Status Resume() = 0;
  // With background_threads = false: one step of flush or compaction if due; true = more to do.
  virtual absl::StatusOr<bool> RunBackgroundWork() = 0;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_STORE_H_
