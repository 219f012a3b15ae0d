// What a database says about itself.
#ifndef TINYOBS_STATS_H_
#define TINYOBS_STATS_H_

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
  uint64_t file_bytes = 0;         // of Options::in_memory, else 0
};

struct DbStats {
  uint64_t series = 0;       // that exist: with a sample, in memory or not
  uint64_t idle_series = 0;  // of these, the ones that left memory
  uint64_t max_series = 0;   // the limit, 0 = none
  uint64_t samples = 0;      // stored now, each series and time once
  int64_t oldest_ms = 0;     // of the stored samples; 0 and `samples` 0 in an empty database
  int64_t newest_ms = 0;

  MemoryStats memory;

  uint64_t disk_bytes = 0;  // everything under the database's folder
  uint64_t head_log_bytes = 0;
  uint64_t head_samples = 0;  // not yet in a sealed chunk
  std::vector<LevelStats> levels;

  // Since open.
  uint64_t samples_appended = 0;
  uint64_t samples_rejected = 0;
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
