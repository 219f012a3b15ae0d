#include "lib/tsdb/head_replay.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/wal_reader.h"

namespace tinyobs::tsdb {

namespace {

// Of all there is, and in bytes, that are replayed between two reports at least.
constexpr uint64_t kProgressPart = 16;
constexpr uint64_t kProgressBytes = 1 << 20;

absl::Status Ask(const DamageCallback& damaged, const std::string& path,
                 const absl::Status& status) {
  return absl::IsDataLoss(status) && damaged ? damaged(path, status) : status;
}

}  // namespace

// Tells how far it is, up to byte `offset` of the present file.
void HeadReplay::Tell(const ReplayCallbacks& callbacks, uint64_t offset) {
  const uint64_t done = std::min(finished_bytes_ + offset, total_bytes_);
  const uint64_t step = std::max(kProgressBytes, total_bytes_ / kProgressPart);
  if (done < told_bytes_ + step || !callbacks.progress) return;
  told_bytes_ = done;
  callbacks.progress(done, total_bytes_);
}

absl::Status HeadReplay::OpenFile(FileSystem* file_system, uint64_t number, std::string path,
                                  File* out) {
  auto file = file_system->OpenRandomAccess(path);
  if (absl::IsNotFound(file.status())) {
    return absl::AbortedError(
        StrCat(path, ": gone since the folder was listed; list it again and open what is there"));
  }
  TINYOBS_RETURN_IF_ERROR(file.status());
  TINYOBS_ASSIGN_OR_RETURN(const uint64_t bytes, (*file)->Size());
  total_bytes_ += bytes;
  *out = {number, std::move(path), std::move(*file)};
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<HeadReplay>> HeadReplay::Open(FileSystem* file_system,
                                                             const std::string& folder,
                                                             const HeadFiles& files,
                                                             const DamageCallback& damaged) {
  const uint64_t checkpoint = files.newest_checkpoint();
  std::unique_ptr<HeadReplay> replay(new HeadReplay(checkpoint));
  // The checkpoint first: it is deleted before the segments that follow it are.
  if (checkpoint > 0) {
    TINYOBS_RETURN_IF_ERROR(replay->OpenFile(
        file_system, checkpoint, CheckpointPath(folder, checkpoint), &replay->checkpoint_));
  }
  uint64_t expected = std::max<uint64_t>(checkpoint, 1);
  for (const uint64_t number : files.segments) {
    if (number < expected) continue;  // replaced, and not deleted yet
    if (number > expected) {
      TINYOBS_ASSIGN_OR_RETURN(const HeadFiles now, ListHeadFiles(file_system, folder));
      if (now.newest_checkpoint() != checkpoint) {
        return absl::AbortedError(StrCat(folder, ": checkpoint ", now.newest_checkpoint(),
                                         " came since the folder was listed; list it again"));
      }
      const std::string missing = SegmentPath(folder, expected);
      TINYOBS_RETURN_IF_ERROR(
          Ask(damaged, missing,
              absl::DataLossError(StrCat(
                  missing,
                  ": expected a head log segment, because there are later ones; found none"))));
      expected = number;
    }
    TINYOBS_RETURN_IF_ERROR(replay->OpenFile(file_system, number, SegmentPath(folder, number),
                                             &replay->segments_.emplace_back()));
    ++expected;
  }
  return replay;
}

absl::Status HeadReplay::Run(const ReplayCallbacks& callbacks, ReplayReport* report) {
  if (checkpoint_.number > 0) {
    const CheckpointCallbacks pieces{[this](const CheckpointSlice& slice) {
                                       filter_.AddSlice(slice);
                                       return absl::OkStatus();
                                     },
                                     callbacks.restore};
    TINYOBS_RETURN_IF_ERROR(Ask(
        callbacks.damaged, checkpoint_.path,
        ReadHeadCheckpoint(checkpoint_.file.get(), checkpoint_.path, checkpoint_.number, pieces)));
    TINYOBS_ASSIGN_OR_RETURN(finished_bytes_, checkpoint_.file->Size());
  }
  for (const File& segment : segments_) {
    TINYOBS_RETURN_IF_ERROR(
        Ask(callbacks.damaged, segment.path, RunSegment(segment, callbacks, report)));
  }
  if (callbacks.progress) callbacks.progress(total_bytes_, total_bytes_);
  return absl::OkStatus();
}

absl::Status HeadReplay::RunSegment(const File& segment, const ReplayCallbacks& callbacks,
                                    ReplayReport* report) {
  TINYOBS_ASSIGN_OR_RETURN(auto reader, lsm::WalReader::Open(segment.file.get(), segment.path,
                                                             kWalKindHead, segment.number));
  decoder_.Reset();
  for (uint64_t index = 0;; ++index) {
    std::string_view record;
    TINYOBS_ASSIGN_OR_RETURN(const bool more, reader->Next(&record));
    if (!more) break;
    if (!unfinished_.empty()) {
      const std::string unfinished = std::exchange(unfinished_, {});
      TINYOBS_RETURN_IF_ERROR(Ask(
          callbacks.damaged, unfinished,
          absl::DataLossError(StrCat(unfinished, ": expected a sealed end, because ", segment.path,
                                     " has records; found none: records are missing"))));
    }
    const uint64_t offset = reader->record_offset();
    absl::Status status = decoder_.Decode(record, &commit_);
    if (status.ok()) {
      filter_.Remove(segment.number, index, &commit_.samples);
      ++report->records;
      report->samples += commit_.samples.size();
      status = callbacks.apply(&commit_);
    }
    if (!status.ok()) return WithContext(status, StrCat(segment.path, ": offset ", offset));
    Tell(callbacks, offset + record.size());
  }
  report->torn_bytes += reader->torn_bytes();
  if (reader->records() > 0 || reader->torn_bytes() > 0) {
    report->found_anything = true;
    if (!reader->sealed()) unfinished_ = segment.path;
  }
  finished_bytes_ += reader->file_bytes();
  return absl::OkStatus();
}

}  // namespace tinyobs::tsdb
