// The work of a flush or compaction: sorted entries in, tables out. Knows no locks, no manifest and
// no threads, so it is tested on its own.
//
// What is left out:
//  - a version of a key that a newer one hides from every snapshot and from readers at the newest
//    state;
//  - a tombstone that every reader sees, of a key that no deeper level can hold;
//  - what the filter removes and the merger joins. Both see only what no snapshot can see: older
//    entries are as they were when the snapshot was taken.
// What the merger emits keeps the sequence that its key had. A larger one, of an entry joined into
// it, could hide a later write of the key in a level above.
// Outputs are cut between user keys only: at about the target size, where the partition changes,
// where a part of the inputs begins that has nothing to do with the others, and before a table
// would overlap too much of the level below it. A cut for size is made, if one is near, where a
// table of the level below ends: whoever compacts the output later need not rewrite the other half
// of that table.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_LSM_COMPACTION_JOB_H_
#define TINYOBS_LIB_LSM_COMPACTION_JOB_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/iterator.h"
#include "lib/lsm/version.h"
#include "lib/lsm/version_edit.h"
#include "lib/sstable/table_options.h"
#include "lib/sstable/table_writer.h"
#include "tinyobs/file_system.h"

namespace tinyobs::lsm {

struct CompactionJobOptions {
  FileSystem* file_system = nullptr;  // not owned
  std::string folder;
  sstable::TableOptions table;
  // Outputs are cut at about this size; 0 = never (flush).
  uint64_t table_bytes = 0;
  // As in CompactionChoice: no output reaches from one into the next. Empty = one part.
  std::vector<KeyRange> ranges;
  // As in StoreOptions; may be empty.
  std::function<std::string_view(std::string_view)> partition_of;
  // Numbers of new tables. Called without locks held.
  std::function<uint64_t()> new_file_number;
  // Ascending: the sequences that snapshots read at. Readers without a snapshot see everything the
  // inputs hold.
  std::vector<uint64_t> snapshots;
  // Outputs go to `output_level` of `version`: what lies deeper decides whether tombstones are
  // still needed. Null: tombstones stay.
  std::shared_ptr<const Version> version;
  int output_level = 0;
  // In key order: an output overlaps at most so many bytes of them. 0 = no limit.
  TableList grandparents;
  uint64_t grandparent_bytes_max = 0;
  // As in StoreOptions; may be empty.
  std::function<FilterDecision(std::string_view key, std::string_view value)> filter;
  // Not owned; null = nothing is joined. REQUIRES: no deeper level holds a key of the input.
  CompactionMerger* merger = nullptr;
  // Set when the job failed because the merger did, or broke its promises; may be null.
  bool* merger_failed = nullptr;
  // Called as an output grows, with the bytes since the last call; may wait, may be empty. A status
  // that is not OK ends the job.
  std::function<absl::Status(uint64_t bytes)> on_written;
  // Ends the job early with Cancelled when it becomes true; may be null.
  const std::atomic<bool>* stop = nullptr;
};

struct CompactionResult {
  // In key order; every file and their folder are synced.
  std::vector<TableMeta> tables;
  uint64_t bytes_written = 0;
};

// Writes what `input` (over internal keys, not yet positioned) holds. On an error the files written
// so far are deleted as far as possible; what stays is swept at the next open. Errors: of the
// input, of the file system, of the merger; Cancelled.
absl::StatusOr<CompactionResult> RunCompactionJob(const CompactionJobOptions& options,
                                                  Iterator* input);

// Which versions of a key readers can still see. Snapshots split the sequence numbers into stripes:
// a version hidden by a newer one of the same stripe is seen by nobody.
class VisibilityStripes {
 public:
  explicit VisibilityStripes(std::vector<uint64_t> snapshots) : snapshots_(std::move(snapshots)) {}
  // The number of snapshots older than `sequence`.
  size_t StripeOf(uint64_t sequence) const;

 private:
  const std::vector<uint64_t> snapshots_;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_COMPACTION_JOB_H_
