// What a database says about itself.
#ifndef TINYOBS_STATS_H_
#define TINYOBS_STATS_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace tinyobs {

struct LevelStats {
  uint64_t files = 0;
  uint64_t bytes = 0;
};

// Memory in use, by what for. What is counted: Options::memory_budget_bytes.
struct MemoryStats {
  uint64_t budget_bytes = 0;
  uint64_t used_bytes = 0;         // the sum of the others
  uint64_t head_bytes = 0;         // samples not yet in sealed chunks
  uint64_t index_bytes = 0;        // series, their labels and postings
  uint64_t memtable_bytes = 0;     // chunks not yet in tables
  uint64_t block_cache_bytes = 0;  // gives way when the others need room
  uint64_t table_bytes = 0;        // indexes and filters of open tables
  uint64_t idle_series_bytes = 0;  // idle series that queries asked for
  uint64_t query_bytes = 0;        // what running queries hold
  uint64_t downsampling_bytes = 0;
  uint64_t file_bytes = 0;  // of Options::in_memory, else 0
};

// How many series there are, of what, and what was refused for it. See Db::Cardinality.
struct CardinalityStats {
  struct Label {
    std::string name;
    uint64_t values = 0;  // different ones: an estimate, within some 15 %
  };
  struct Metric {
    std::string name;
    uint64_t series = 0;        // exact
    std::vector<Label> labels;  // the one with the most values first; empty = not known
  };
  uint64_t series = 0;
  uint64_t max_series = 0;  // 0 = no limit, as the next
  uint64_t max_series_per_metric = 0;
  bool dry_run = false;         // nothing is refused, and below is what would have been
  uint64_t metrics = 0;         // that have series
  std::vector<Metric> largest;  // the one with the most series first

  // Since open.
  uint64_t refused_commits = 0;
  uint64_t refused_series = 0;  // new ones of these commits, each time they were tried
  std::string first_refused;    // series, as text
  std::string last_refused;
};

// One resolution of what is stored. Times are milliseconds since the epoch.
struct TierStats {
  uint64_t partitions = 0;
  uint64_t rows = 0;     // chunks, or rows of windows
  uint64_t samples = 0;  // or windows; of the chunks, that is, without the head
  int64_t oldest_ms = 0;
  int64_t newest_ms = 0;
  uint64_t bytes = 0;  // of its files; what is in memory yet counts when it is flushed
  // Partitions that are over but not yet, or not wholly, in the next coarser resolution, and the
  // end of what is: everything before is. 0 = nothing is, or there is no coarser one.
  uint64_t waiting_partitions = 0;
  int64_t complete_ms = 0;
  // Series (in some partition) that changed after they were downsampled: at most so many.
  uint64_t touched_series = 0;
};

// Of the runs that downsample and expire (Options::downsampling, retention).
struct DownsamplingStats {
  // Of the wall clock, 0 = there was none since open; a run is from its first step to its last.
  int64_t last_run_ms = 0;
  int64_t last_success_ms = 0;
  int64_t last_run_took_ms = 0;
  uint64_t runs = 0;
  uint64_t rows_written = 0;
  std::string last_error;  // of the last run, empty = it went well
  uint64_t consecutive_failures = 0;
  // Damaged chunks, or else series in a partition, that expired without a window, since open.
  uint64_t damage_passed_by = 0;
  int64_t next_run_ms = 0;  // of the wall clock; 0 = never
};

// Partitions that left, since open; see also DbStats::partitions_dropped.
struct RetentionStats {
  std::array<uint64_t, 3> partitions_expired{};  // raw, 5m, 1h
  uint64_t partitions_dropped_for_room = 0;      // Options::storage_full
  // Older samples are refused; INT64_MIN = none are.
  int64_t oldest_accepted_ms = INT64_MIN;
};

struct DbStats {
  uint64_t series = 0;       // that exist: with a sample, in memory or not
  uint64_t idle_series = 0;  // of these, the ones that left memory
  uint64_t max_series = 0;   // the limit, 0 = none
  // Stored now, each series and time once; but one that is written again after its chunk was sealed
  // counts twice until the new one is sealed, too.
  uint64_t samples = 0;
  // No stored sample is outside; after a Delete there may be none at the very ends. 0, and
  // `samples` 0, in an empty database.
  int64_t oldest_ms = 0;
  int64_t newest_ms = 0;

  MemoryStats memory;

  uint64_t disk_bytes = 0;  // everything under the database's folder
  uint64_t head_log_bytes = 0;
  uint64_t head_samples = 0;  // not yet in a sealed chunk
  std::vector<LevelStats> levels;

  std::vector<TierStats> tiers;  // raw, 5m, 1h
  DownsamplingStats downsampling;
  RetentionStats retention;

  // Since open.
  uint64_t samples_appended = 0;
  uint64_t samples_rejected = 0;
  uint64_t series_refused = 0;  // as CardinalityStats::refused_series
  uint64_t commits = 0;
  uint64_t chunks_sealed = 0;
  uint64_t partitions_merged = 0;   // closed, and their chunks joined into larger ones
  uint64_t partitions_dropped = 0;  // see Db::DropBefore
  uint64_t flushes = 0;
  uint64_t compactions = 0;
  uint64_t bytes_written_by_flush = 0;
  uint64_t bytes_written_by_compaction = 0;
  uint64_t stalls = 0;
  uint64_t replayed_samples = 0;
  int64_t replay_ms = 0;

  // Empty while all is well; else why the database is read-only. See Db::Resume.
  std::string background_error;
};

}  // namespace tinyobs

#endif  // TINYOBS_STATS_H_
