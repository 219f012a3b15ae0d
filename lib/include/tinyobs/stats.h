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

struct DbStats {
  uint64_t series = 0;
  uint64_t max_series = 0;  // the limit, 0 = none
  uint64_t samples = 0;     // stored now, each series and time once
  int64_t oldest_ms = 0;    // of the stored samples; 0 and `samples` 0 in an empty database
  int64_t newest_ms = 0;

  uint64_t disk_bytes = 0;  // everything under the database's folder
  uint64_t head_log_bytes = 0;
  uint64_t head_samples = 0;  // not yet in a sealed chunk
  uint64_t head_bytes = 0;    // memory of the head and the series index, estimated
  uint64_t memtable_bytes = 0;
  uint64_t block_cache_bytes = 0;
  std::vector<LevelStats> levels;

  // Since open.
  uint64_t samples_appended = 0;
  uint64_t samples_rejected = 0;
  uint64_t commits = 0;
  uint64_t chunks_sealed = 0;
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
