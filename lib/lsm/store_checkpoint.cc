// Checkpoint: a copy of the store made of hard links.
//
// Tables never change, so a second name for each, a manifest that lists them and a CURRENT are a
// whole store; it needs no log, because everything is flushed first. The version that is copied
// stays pinned, which keeps its tables from being unlinked; writes, flushes and compactions go on
// meanwhile.
//
// The copy is built under another name and takes its own by one rename, so a folder of that name is
// always whole: nobody has to guess whether a copy was finished. FORMAT.md argues each step.
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/store_impl.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::lsm {
namespace {

// Deletes a copy that was not finished. FailedPrecondition: it holds files that no copy has, a lock
// or a log among them: a store of somebody.
absl::Status RemoveCopy(FileSystem* file_system, const std::string& folder) {
  const absl::StatusOr<std::vector<std::string>> names = file_system->ListDirectory(folder);
  if (absl::IsNotFound(names.status())) return absl::OkStatus();
  TINYOBS_RETURN_IF_ERROR(names.status());
  for (const std::string& name : *names) {
    const FileType type = ParseFileName(name).type;
    if (type != FileType::kUnknown && type != FileType::kLock && type != FileType::kLog) continue;
    return absl::FailedPreconditionError(
        StrCat(folder, ": holds ", name, ", so it is no unfinished checkpoint; move it away"));
  }
  for (const std::string& name : *names) {
    TINYOBS_RETURN_IF_ERROR(file_system->DeleteFile(StrCat(folder, "/", name)));
  }
  return file_system->DeleteDirectory(folder);
}

}  // namespace

absl::Status StoreImpl::Checkpoint(const std::string& target) {
  std::string folder = target;
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  if (folder.empty())
    return absl::InvalidArgumentError("checkpoint: expected the path of a folder");
  // Before the slot: Close waits for the slot in the commit queue, which Flush goes through.
  TINYOBS_RETURN_IF_ERROR(Flush());
  std::shared_ptr<const Version> version;
  {
    MutexLock lock(&mutex_);
    TakeSlot(&checkpoint_running_);
    version = version_;
  }
  const std::string partial = StrCat(folder, ".partial");
  absl::Status status;
  if (closing()) {
    status = ClosedError();
  } else if (file_system_->FileExists(folder)) {
    status = absl::AlreadyExistsError(StrCat(folder, ": exists; a checkpoint needs a new folder"));
  } else {
    status = RemoveCopy(file_system_, partial);
    if (status.ok()) status = WriteCopy(*version, partial);
    if (status.ok()) status = file_system_->RenameFile(partial, folder);
    if (status.ok()) {
      status = file_system_->SyncDirectory(DirectoryOf(folder));
      // Without the sync nobody knows which name a power cut leaves.
      if (!status.ok()) file_system_->RenameFile(folder, partial).IgnoreError();
    }
    if (!status.ok()) RemoveCopy(file_system_, partial).IgnoreError();  // the first error counts
  }
  ReleaseSlot(&checkpoint_running_);
  return status;
}

absl::Status StoreImpl::WriteCopy(const Version& version, const std::string& folder) {
  TINYOBS_RETURN_IF_ERROR(file_system_->CreateDirectories(folder));
  VersionEdit whole;
  version.AppendTo(&whole);
  for (const VersionEdit::Added& entry : whole.added) {
    const uint64_t number = entry.meta.number;
    TINYOBS_RETURN_IF_ERROR(
        file_system_->LinkFile(TableFileName(path_, number), TableFileName(folder, number)));
  }
  const uint64_t manifest_number = NewFileNumber();
  whole.next_file_number = next_file_number_.load(std::memory_order_relaxed);
  whole.log_number = whole.next_file_number;  // no log is part of the copy
  whole.last_sequence = visible_sequence_.load(std::memory_order_acquire);
  // Syncs the folder, and with it the links, whose files were synced when they were written.
  TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<ManifestWriter> manifest,
                           ManifestWriter::Create(file_system_, folder, manifest_number, whole));
  TINYOBS_RETURN_IF_ERROR(manifest->Seal());
  TINYOBS_RETURN_IF_ERROR(manifest->Sync());
  return manifest->Close();
}

}  // namespace tinyobs::lsm
