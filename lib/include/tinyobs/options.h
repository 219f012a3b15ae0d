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
// Db::Sync, Flush and Close make durable what was acknowledged before. Of the writes that kInterval
// and kNone lose in a power cut, samples that had been sealed already may be there: such a commit
// is there in part.

// How long each resolution is kept, in milliseconds; 0 = forever. Partitions leave as a whole, when
// their last moment is older and the next coarser resolution has them, so some data is older: of
// raw samples by up to one partition (Options::partition_ms), of windows by up to 12 and 192, and
// by however long no run succeeds (Options::downsampling). Finer ones leave first: raw_ms <=
// five_minutes_ms <= one_hour_ms, or Open answers InvalidArgument.
struct Retention {
  int64_t raw_ms = 0;
  int64_t five_minutes_ms = 0;
  int64_t one_hour_ms = 0;
};

// What happens at Options::max_storage_bytes.
enum class StorageFull {
  kReject,      // commits are refused until there is room again
  kDropOldest,  // the oldest partitions go, see there
};

struct Options {
  // --- durability
  SyncPolicy sync_policy = SyncPolicy::kInterval;
  int64_t sync_interval_ms = 1000;

  // --- limits
  // Series that may exist at once; a new one beyond it is refused with ResourceExhausted. 0 = no
  // limit. A series that expired or was deleted no longer counts.
  uint64_t max_series = 10'000;
  // The same for the series of each metric name, so that one that explodes does not take the room
  // of the others. 0 = no limit.
  uint64_t max_series_per_metric = 0;
  // Refuse no series: count what the two limits above would refuse (Db::Cardinality) and name it in
  // the log, once a minute. For finding out which limit fits.
  bool cardinality_dry_run = false;
  // Refuse samples further in the future than this, so that one wrong clock cannot open partitions
  // of next year.
  int64_t max_future_ms = 24 * 3600 * 1000;
  // Of the files in the database's folder, all bytes of all of them: tables, logs, checkpoints,
  // what flushes and compactions are just writing, what was replaced and a running query still
  // reads. (A file system that gives out blocks may use more where files are many and small.) 0 =
  // no limit.
  //
  // The database keeps a reserve of this for itself: an eighth, but not more than
  // memory_budget_bytes. When less is left, commits are refused with ResourceExhausted, and reads
  // and the work of the background go on, which needs the reserve and gives it back. So the limit
  // holds, but for what must be written to make room and is larger than the reserve: a compaction
  // needs once more what it rewrites, as a rule a part of one partition of raw samples (merging one
  // that is over waits for room, and commits then for it); downsampling some percent of that. Of a
  // limit below 8 MiB memtables may be more than the reserve, too, by up to 0.7 MiB. (Measured: 5 %
  // over a limit of 8 MiB that was written anew every second; without threads never.)
  uint64_t max_storage_bytes = 0;
  // kDropOldest: a little before commits would be refused, the partitions of the oldest raw samples
  // are dropped (downsampled first, with Options::downsampling), when there are none any more those
  // of 5m, then of 1h windows, until less than 95 % of what commits may fill is in use. Not the
  // partition of now, and with background_threads = false in RunBackgroundWork only: commits are
  // refused if that comes too late.
  StorageFull storage_full = StorageFull::kReject;

  // --- ageing
  // Makes windows of five minutes of the raw samples, and windows of an hour of those, hourly, for
  // whole partitions that are over (tinyobs/windows.h; Db::Downsample). partition_ms must be 1
  // to 5 whole hours then. A run that fails is tried again after 30 seconds, and then after twice
  // as long each time, up to an hour. Nothing leaves before it was made into windows; but what is
  // damaged, has expired and made five runs fail is passed by, logged and counted
  // (DownsamplingStats::damage_passed_by).
  bool downsampling = false;
  // With a limit on raw samples older ones are refused with InvalidArgument, and so are samples of
  // times before which raw samples were dropped (that too with downsampling and kDropOldest).
  Retention retention;

  // --- memory
  // Bounds the memory of everything: head (samples not yet sealed), series index, memtables of the
  // storage engine, block cache, indexes of open tables, queries, and the replay of Open. At least
  // 1 MiB. Not counted: the code, the caller's own batches and columns, what malloc wastes (glibc:
  // less with mallopt(M_MMAP_THRESHOLD, 128 << 10), where series come and go). Reckon
  // with 300 bytes for each series that gets samples, and 16 MiB for the rest.
  //
  // How it is shared: memtables at most three sixteenths, block cache an eighth, table indexes a
  // sixteenth, idle series looked up for queries an eighth; head, series index and queries at most
  // half each, and all together no more than the whole. The block cache gives way to the others.
  // What happens at it, one after the other: the block cache shrinks; open chunks are sealed before
  // they are full, which Commit waits for, so writing gets slower; a Commit with new series is
  // refused with ResourceExhausted, which names the budget, its value and what uses it; and so is a
  // query that would need more than is left. Nothing that is stored is dropped.
  size_t memory_budget_bytes = 64 << 20;

  // The files live in memory, within memory_budget_bytes, and nothing remains after Close: a cache
  // of metrics, a test. Everything else is as on a disk. `path` is only a name then; `file_system`
  // must be null, create_if_missing true, and no second process can read along. Commits leave a
  // quarter of the budget free, which Delete and DropBefore need.
  bool in_memory = false;

  // --- layout on disk
  // A series' open chunk is sealed at this many samples ...
  uint32_t chunk_samples = 120;
  // ... or when it is this old, or at the end of its partition. Raw data is partitioned by this
  // span too: expiry drops whole files. Do not change it for an existing database.
  int64_t partition_ms = 2 * 3600 * 1000;
  // The head log is cut into segments of this size; when one is full, the head is checkpointed and
  // older ones go. So it bounds what Open has to replay.
  uint64_t head_segment_bytes = 32 << 20;

  // --- surroundings; not owned, must outlive the database. nullptr = the operating system's.
  Clock* clock = nullptr;
  FileSystem* file_system = nullptr;
  // Rare events worth a line (recovery and its progress, torn tails, I/O errors). Must be
  // thread-safe and must not call the database. Empty = silent.
  std::function<void(std::string_view)> logger;

  // false: the library starts no thread, and the caller runs Db::RunBackgroundWork() itself (games,
  // single-threaded devices, simulations, programs that fork). Sealing, checkpoints, flushes,
  // compactions, the syncs of kInterval and retries after an error then happen in there, and in
  // Commit as far as a bound would be exceeded otherwise. With a clock of one's own every run is
  // the same.
  bool background_threads = true;
  // false: FailedPrecondition when the folder holds no database.
  bool create_if_missing = true;
};

}  // namespace tinyobs

#endif  // TINYOBS_OPTIONS_H_
