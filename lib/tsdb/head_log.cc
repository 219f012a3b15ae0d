#include "lib/tsdb/head_log.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/wal_format.h"
#include "lib/lsm/wal_reader.h"

namespace tinyobs::tsdb {

namespace {

constexpr std::string_view kSegmentSuffix = ".log";
constexpr std::string_view kCheckpointSuffix = ".checkpoint";
constexpr std::string_view kSnapshotSuffix = ".series";
constexpr std::string_view kTemporarySuffix = ".tmp";

std::string NumberedPath(const std::string& folder, uint64_t number, std::string_view suffix) {
  char digits[32];
  std::snprintf(digits, sizeof(digits), "%06llu", static_cast<unsigned long long>(number));
  return StrCat(folder, "/", digits, suffix);
}

// The number of "000012.log"; 0 when the name is something else.
uint64_t NumberOf(std::string_view name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return 0;
  name.remove_suffix(suffix.size());
  if (name.size() < 6 || name.size() > 18) return 0;
  uint64_t number = 0;
  for (const char c : name) {
    if (c < '0' || c > '9') return 0;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

}  // namespace

std::string SegmentPath(const std::string& folder, uint64_t number) {
  return NumberedPath(folder, number, kSegmentSuffix);
}
std::string CheckpointPath(const std::string& folder, uint64_t number) {
  return NumberedPath(folder, number, kCheckpointSuffix);
}

std::string SeriesSnapshotPath(const std::string& folder, uint64_t number) {
  return NumberedPath(folder, number, kSnapshotSuffix);
}

absl::StatusOr<HeadFiles> ListHeadFiles(FileSystem* file_system, const std::string& folder) {
  HeadFiles files;
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           file_system->ListDirectory(folder));
  for (const std::string& name : names) {
    if (const uint64_t segment = NumberOf(name, kSegmentSuffix); segment > 0) {
      files.segments.push_back(segment);
    } else if (const uint64_t checkpoint = NumberOf(name, kCheckpointSuffix); checkpoint > 0) {
      files.checkpoints.push_back(checkpoint);
    } else if (const uint64_t snapshot = NumberOf(name, kSnapshotSuffix); snapshot > 0) {
      files.snapshots.push_back(snapshot);
    } else if (std::string_view(name).ends_with(kTemporarySuffix)) {
      files.temporary.push_back(name);
    }
  }
  std::sort(files.segments.begin(), files.segments.end());
  std::sort(files.checkpoints.begin(), files.checkpoints.end());
  std::sort(files.snapshots.begin(), files.snapshots.end());
  return files;
}

absl::Status DeleteReplaced(FileSystem* file_system, const std::string& folder, uint64_t number) {
  TINYOBS_ASSIGN_OR_RETURN(const HeadFiles files, ListHeadFiles(file_system, folder));
  for (const std::string& name : files.temporary) {
    TINYOBS_RETURN_IF_ERROR(file_system->DeleteFile(StrCat(folder, "/", name)));
  }
  const auto delete_older = [&](const std::vector<uint64_t>& numbers, std::string_view suffix) {
    absl::Status status;
    for (const uint64_t older : numbers) {
      if (older >= number || !status.ok()) break;
      status = file_system->DeleteFile(NumberedPath(folder, older, suffix));
    }
    return status;
  };
  TINYOBS_RETURN_IF_ERROR(delete_older(files.checkpoints, kCheckpointSuffix));
  TINYOBS_RETURN_IF_ERROR(delete_older(files.snapshots, kSnapshotSuffix));
  // Oldest first, so that what a crash leaves is without holes. Not synced: a name that comes back
  // is older than the checkpoint and is deleted again by the next open.
  return delete_older(files.segments, kSegmentSuffix);
}

absl::Status DeleteSeriesSnapshots(FileSystem* file_system, const std::string& folder) {
  TINYOBS_ASSIGN_OR_RETURN(const HeadFiles files, ListHeadFiles(file_system, folder));
  for (const uint64_t snapshot : files.snapshots) {
    TINYOBS_RETURN_IF_ERROR(file_system->DeleteFile(SeriesSnapshotPath(folder, snapshot)));
  }
  return files.snapshots.empty() ? absl::OkStatus() : file_system->SyncDirectory(folder);
}

absl::StatusOr<uint64_t> FolderBytes(FileSystem* file_system, const std::string& folder) {
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           file_system->ListDirectory(folder));
  uint64_t bytes = 0;
  for (const std::string& name : names) {
    // A file may go between listing and asking; a subfolder has no size.
    const auto size = file_system->FileSize(StrCat(folder, "/", name));
    if (size.ok()) bytes += *size;
  }
  return bytes;
}

absl::Status HeadLog::Begin(uint64_t number, bool abandon_old) {
  const uint64_t previous = writer_ == nullptr ? 0 : this->number();
  if (writer_ != nullptr && !abandon_old) {
    TINYOBS_RETURN_IF_ERROR(writer_->Seal());
    TINYOBS_RETURN_IF_ERROR(writer_->Sync());
    dirty_.store(false, std::memory_order_relaxed);
  }
  TINYOBS_ASSIGN_OR_RETURN(auto writer,
                           lsm::WalWriter::Create(file_system_, SegmentPath(folder_, number),
                                                  {kWalKindHead, number, previous}));
  TINYOBS_RETURN_IF_ERROR(writer->Sync());
  if (writer_ != nullptr) writer_->Close().IgnoreError();  // sealed, or dead
  writer_ = std::move(writer);
  dirty_.store(false, std::memory_order_relaxed);
  number_.store(number, std::memory_order_relaxed);
  segment_bytes_.store(writer_->size_bytes(), std::memory_order_relaxed);
  disk_bytes_.store(writer_->file_bytes(), std::memory_order_relaxed);
  records_.store(0, std::memory_order_relaxed);
  return absl::OkStatus();
}

void HeadLog::Add(std::string_view record) {
  writer_->Add(record);
  records_.fetch_add(1, std::memory_order_relaxed);
}

absl::Status HeadLog::Write() {
  dirty_.store(true, std::memory_order_relaxed);
  const absl::Status status = writer_->Write();
  segment_bytes_.store(writer_->size_bytes(), std::memory_order_relaxed);
  disk_bytes_.store(writer_->file_bytes(), std::memory_order_relaxed);
  return status;
}

absl::Status HeadLog::Sync() {
  TINYOBS_RETURN_IF_ERROR(writer_->Sync());
  dirty_.store(false, std::memory_order_relaxed);
  return absl::OkStatus();
}

}  // namespace tinyobs::tsdb
