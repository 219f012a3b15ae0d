// Options of a database: a plain struct, the defaults are what you read here.
#ifndef TINYOBS_OPTIONS_H_
#define TINYOBS_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace tinyobs {

class Clock;
class FileSystem;

// What an acknowledged write is promised.
enum class SyncPolicy {
  kAlways,    // survives power loss. Writers that commit at the same time share one sync.
  kInterval,  // survives kill -9 at once; power loss costs at most sync_interval_ms of writes.
  kNone,      // survives kill -9; after power loss, whatever the operating system had written by
              // itself.
};

struct Options {
  // --- durability
  SyncPolicy sync_policy = SyncPolicy::kInterval;
  int64_t sync_interval_ms = 1000;

  // --- limits
  // Series that may exist at once; a new one beyond it is refused with ResourceExhausted. 0 = no
  // limit.
  uint64_t max_series = 10'000;
  // Refuse samples further in the future than this, so that one wrong clock cannot open partitions
  // of next year.
  int64_t max_future_ms = 24 * 3600 * 1000;
  // Everything on disk, logs and compaction scratch included, in bytes of files: a file system that
  // gives out blocks may use more where files are many and small. At the limit writes are refused
  // with ResourceExhausted and reads go on. 0 = no limit.
  uint64_t max_storage_bytes = 0;

  // --- memory
  // For memtables and block cache of the storage engine. The head (samples of the last two hours)
  // comes on top until the one budget for everything is in place.
  size_t memory_budget_bytes = 32 << 20;

  // --- layout on disk
  // A series' open chunk is sealed at this many samples ...
  uint32_t chunk_samples = 120;
  // ... or when it is this old, or at the end of its partition. Raw data is partitioned by this
  // span too: expiry drops whole files. Do not change it for an existing database.
  int64_t partition_ms = 2 * 3600 * 1000;
  // The head log is cut into segments of this size; when one is full, the head is checkpointed and
  // older ones go.
  uint64_t head_segment_bytes = 32 << 20;

  // --- surroundings; not owned, must outlive the database. nullptr = the operating system's.
  Clock* clock = nullptr;
  FileSystem* file_system = nullptr;
  // Rare events worth a line (recovery, torn tails, I/O errors). Must be thread-safe. Empty =
  // silent.
  std::function<void(std::string_view)> logger;

  // false: the library starts no thread; the caller runs Db::RunBackgroundWork() itself (games,
  // single-threaded devices, simulations).
  bool background_threads = true;
  // false: FailedPrecondition when the folder holds no database.
  bool create_if_missing = true;
};

}  // namespace tinyobs

#endif  // TINYOBS_OPTIONS_H_
