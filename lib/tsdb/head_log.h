// HeadLog: the segments that make an acknowledged commit survive, and the checkpoints that let old
// segments go. Files of the folder `head`:
//
//   NNNNNN.log         segment: one record a commit (commit_record.h), in the order of commits
//   NNNNNN.series      the series that existed then; a clean close leaves it (series_snapshot.h)
//   NNNNNN.checkpoint  what the head held when segment NNNNNN was begun; replaces all before it
//
// Recovery is: newest checkpoint, then the segments from its number on, in order. Segments and
// checkpoints share one sequence of numbers; each open of the database claims a new one.
//
// A segment is sealed and synced before its successor takes a record. So a torn tail is legal only
// where no later segment has a record: anything else is damage, not an unfinished write, and is
// reported instead of leaving a hole in history.
//
// Thread-safety: one thread at a time (the leader of the commit queue), except where noted.
#ifndef TINYOBS_LIB_TSDB_HEAD_LOG_H_
#define TINYOBS_LIB_TSDB_HEAD_LOG_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/lsm/wal_writer.h"
#include "lib/tsdb/commit_record.h"
#include "tinyobs/file_system.h"

namespace tinyobs::tsdb {

// These follow the kinds of lib/lsm/wal_format.h. On disk: never renumber.
inline constexpr uint32_t kWalKindHead = 3;
inline constexpr uint32_t kWalKindCheckpoint = 4;

// The head folder's files.
struct HeadFiles {
  std::vector<uint64_t> segments;  // ascending
  std::vector<uint64_t> checkpoints;
  std::vector<uint64_t> snapshots;     // of the series
  std::vector<std::string> temporary;  // names of unfinished files

  uint64_t newest_checkpoint() const { return checkpoints.empty() ? 0 : checkpoints.back(); }
};
absl::StatusOr<HeadFiles> ListHeadFiles(FileSystem* file_system, const std::string& folder);
std::string SegmentPath(const std::string& folder, uint64_t number);
std::string CheckpointPath(const std::string& folder, uint64_t number);
std::string SeriesSnapshotPath(const std::string& folder, uint64_t number);
// Durably deletes the snapshots of series: something removes series.
absl::Status DeleteSeriesSnapshots(FileSystem* file_system, const std::string& folder);
// Deletes unfinished files and what checkpoint `number` replaces. REQUIRES: it is durable.
absl::Status DeleteReplaced(FileSystem* file_system, const std::string& folder, uint64_t number);
// Of all files in the folder.
absl::StatusOr<uint64_t> FolderBytes(FileSystem* file_system, const std::string& folder);

class HeadLog {
 public:
  HeadLog(FileSystem* file_system, std::string folder)
      : file_system_(file_system), folder_(std::move(folder)) {}

  // Begins segment `number`, durably named. The one before is sealed and synced first unless
  // `abandon_old`: after an error it is dead, and the caller takes no commit before a checkpoint
  // replaced it.
  absl::Status Begin(uint64_t number, bool abandon_old);

  // Adds a record; Write hands what was added to the file system. REQUIRES: Begin was OK.
  void Add(std::string_view record);
  absl::Status Write();
  absl::Status Sync();
  // Whether a record was written since the last Sync. Any thread.
  bool dirty() const { return dirty_.load(std::memory_order_relaxed); }

  // Of the current segment. Any thread.
  uint64_t number() const { return number_.load(std::memory_order_relaxed); }
  uint64_t segment_bytes() const { return segment_bytes_.load(std::memory_order_relaxed); }
  // Of the current segment, with the space allocated in advance.
  uint64_t disk_bytes() const { return disk_bytes_.load(std::memory_order_relaxed); }
  uint64_t records() const { return records_.load(std::memory_order_relaxed); }

 private:
  FileSystem* const file_system_;
  const std::string folder_;
  std::unique_ptr<lsm::WalWriter> writer_;
  std::atomic<bool> dirty_{false};
  std::atomic<uint64_t> number_{0};
  std::atomic<uint64_t> segment_bytes_{0};
  std::atomic<uint64_t> disk_bytes_{0};
  std::atomic<uint64_t> records_{0};
};

struct ReplayReport {
  uint64_t records = 0;
  uint64_t samples = 0;
  uint64_t torn_bytes = 0;
  // Whether the segments held anything, torn bytes included.
  bool found_anything = false;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_HEAD_LOG_H_
