// Copies of the database: a whole one for an embedder, and the snapshot of its series that a clean
// close leaves for the next open.
#include <string>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/db_impl.h"
#include "lib/tsdb/series_snapshot.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::tsdb {

namespace {
// Of the segment that a copy begins with: what was committed while the checkpoint was written.
constexpr uint64_t kMaxCopiedSegmentBytes = 1 << 30;
}  // namespace

// Beside the newest checkpoint, when there is one.
absl::Status DbImpl::SaveSeriesSnapshot() {
  TINYOBS_ASSIGN_OR_RETURN(const HeadFiles files, ListHeadFiles(file_system_, head_folder_));
  const uint64_t number = files.newest_checkpoint();
  if (number == 0 || (!files.snapshots.empty() && files.snapshots.back() == number)) {
    return absl::OkStatus();
  }
  // What was removed since must be as durable as the file that does not have it.
  TINYOBS_RETURN_IF_ERROR(store_->Flush());
  return WriteSeriesSnapshot(file_system_, SeriesSnapshotPath(head_folder_, number), number, index_,
                             catalog_.saved_end());
}

absl::Status DbImpl::Checkpoint(const std::string& folder) {
  MutexLock turn(&upkeep_);
  TINYOBS_RETURN_IF_ERROR(CheckWritable());
  if (options_.in_memory) {
    return absl::FailedPreconditionError(StrCat(path_, ": a database in memory cannot be copied"));
  }
  if (file_system_->FileExists(folder)) {
    return absl::FailedPreconditionError(StrCat(folder, ": exists; give a folder that does not"));
  }
  if (const std::string parent = DirectoryOf(folder); !file_system_->FileExists(parent)) {
    return absl::NotFoundError(StrCat(parent, ": no such folder; create it first"));
  }
  // A short log, so that little is copied while commits wait.
  TINYOBS_RETURN_IF_ERROR(RotateAndCheckpoint());
  const std::string partial = folder + ".partial";
  TINYOBS_RETURN_IF_ERROR(DeleteTree(file_system_, partial));
  absl::Status status = CopyTo(partial);
  if (status.ok()) status = file_system_->RenameFile(partial, folder);
  if (status.ok()) return file_system_->SyncDirectory(DirectoryOf(folder));
  DeleteTree(file_system_, partial).IgnoreError();  // the first error says more
  return status;
}

absl::Status DbImpl::CopyTo(const std::string& partial) {
  const std::string head = partial + "/head";
  TINYOBS_RETURN_IF_ERROR(file_system_->CreateDirectories(head));
  TINYOBS_RETURN_IF_ERROR(queue_.RunAlone([&]() -> absl::Status {
    const uint64_t number = log_.number();
    TINYOBS_RETURN_IF_ERROR(Fail("syncing the head log", log_.Sync()));
    return sealer_->Alone([&]() -> absl::Status {
      TINYOBS_RETURN_IF_ERROR(file_system_->LinkFile(CheckpointPath(head_folder_, number),
                                                     CheckpointPath(head, number)));
      TINYOBS_ASSIGN_OR_RETURN(
          const std::string segment,
          ReadWholeFile(file_system_, SegmentPath(head_folder_, number), kMaxCopiedSegmentBytes));
      TINYOBS_RETURN_IF_ERROR(ReplaceWholeFile(file_system_, SegmentPath(head, number), segment));
      return store_->Checkpoint(partial + "/lsm");
    });
  }));
  TINYOBS_RETURN_IF_ERROR(file_system_->LinkFile(path_ + "/IDENTITY", partial + "/IDENTITY"));
  TINYOBS_RETURN_IF_ERROR(file_system_->SyncDirectory(head));
  return file_system_->SyncDirectory(partial);
}

}  // namespace tinyobs::tsdb
