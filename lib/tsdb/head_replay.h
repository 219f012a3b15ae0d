// HeadReplay: what the head's files hold, read back in the order it was written: the newest
// checkpoint, then the segments from its number on.
//
// All files are opened before the first is read: a process that only reads a database can go on
// although the writer meanwhile deletes them, because an open file stays. Records are decoded one
// at a time, so a replay needs memory for the largest commit and the decoder's states, however much
// there is to replay.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_TSDB_HEAD_REPLAY_H_
#define TINYOBS_LIB_TSDB_HEAD_REPLAY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/tsdb/commit_record.h"
#include "lib/tsdb/head_checkpoint.h"
#include "lib/tsdb/head_log.h"
#include "tinyobs/file_system.h"

namespace tinyobs::tsdb {

// Asked where a replay would give up, because `path` is damaged or missing: OK = go on with what
// comes after it, as a repair does. Empty = the status ends the replay.
using DamageCallback =
    std::function<absl::Status(const std::string& path, const absl::Status& status)>;

struct ReplayCallbacks {
  // Of the checkpoint.
  std::function<absl::Status(const CheckpointStretch&)> restore;
  // Of the segments, without the samples that the checkpoint holds. May move things out of the
  // commit. Series and metadata come although the checkpoint's time is past them.
  std::function<absl::Status(DecodedCommit*)> apply;
  // At each sixteenth, but not more often than every MiB, and at the end. May be empty.
  std::function<void(uint64_t bytes_done, uint64_t bytes_total)> progress;
  DamageCallback damaged = {};
};

class HeadReplay {
 public:
  // `files` is a listing of `folder`; its segments may still be written to. Aborted: a file of the
  // listing is gone, as it happens when the writer checkpoints meanwhile: list again. DataLoss: a
  // segment is missing.
  static absl::StatusOr<std::unique_ptr<HeadReplay>> Open(FileSystem* file_system,
                                                          const std::string& folder,
                                                          const HeadFiles& files,
                                                          const DamageCallback& damaged = {});

  // Once. DataLoss: damaged, or a segment ends torn while a later one has records; a torn end of
  // the last with records is an unfinished write, counted in `report`, and no file is changed.
  // Errors of callbacks as they come.
  absl::Status Run(const ReplayCallbacks& callbacks, ReplayReport* report);

 private:
  struct File {
    uint64_t number = 0;
    std::string path;
    std::unique_ptr<RandomAccessFile> file;
  };

  explicit HeadReplay(uint64_t checkpoint) : filter_(checkpoint) {}
  absl::Status OpenFile(FileSystem* file_system, uint64_t number, std::string path, File* out);
  absl::Status RunSegment(const File& segment, const ReplayCallbacks& callbacks,
                          ReplayReport* report);
  void Tell(const ReplayCallbacks& callbacks, uint64_t offset);

  ReplayFilter filter_;
  File checkpoint_;  // number 0: there is none
  std::vector<File> segments_;
  uint64_t total_bytes_ = 0;  // when they were opened
  uint64_t finished_bytes_ = 0;
  uint64_t told_bytes_ = 0;
  std::string unfinished_;  // the segment that ended without a seal, if one did
  CommitDecoder decoder_;
  DecodedCommit commit_;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_HEAD_REPLAY_H_
