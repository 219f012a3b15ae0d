#include "lib/tsdb/head_replay.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/wal_reader.h"

namespace tinyobs::tsdb {

namespace {

constexpr int64_t kProgressPeriodNs = 1'000'000'000;
constexpr uint64_t kProgressBytes = 64 << 20;
// The clock is looked at this often.
constexpr uint64_t kLookBytes = 1 << 20;

absl::Status WithContext(const absl::Status& status, std::string_view where) {
  return absl::Status(status.code(), StrCat(where, ": ", FromAbsl(status.message())));
}

absl::Status Ask(const DamageCallback& damaged, const std::string& path,
                 const absl::Status& status) {
  return absl::IsDataLoss(status) && damaged ? damaged(path, status) : status;
}

}  // namespace

// Decides when to tell.
class HeadReplay::Progress {
 public:
  Progress(const ReplayCallbacks& callbacks, Clock* clock, uint64_t total_bytes)
      : callbacks_(callbacks), clock_(clock), total_bytes_(total_bytes) {
    told_ns_ = clock->MonotonicNs();
  }

  // Up to byte `offset` of the present file.
  void At(uint64_t offset) {
    const uint64_t done = finished_bytes_ + offset;
    if (done < looked_bytes_ + kLookBytes) return;
    looked_bytes_ = done;
    const int64_t now_ns = clock_->MonotonicNs();
    if (done < told_bytes_ + kProgressBytes && now_ns - told_ns_ < kProgressPeriodNs) return;
    told_bytes_ = done;
    told_ns_ = now_ns;
    if (callbacks_.progress) callbacks_.progress(std::min(done, total_bytes_), total_bytes_);
  }
  void FileDone(uint64_t bytes) { finished_bytes_ += bytes; }
  void Done() {
    if (callbacks_.progress) callbacks_.progress(total_bytes_, total_bytes_);
  }

 private:
  const ReplayCallbacks& callbacks_;
  Clock* const clock_;
  const uint64_t total_bytes_;
  uint64_t finished_bytes_ = 0;
  uint64_t looked_bytes_ = 0;
  uint64_t told_bytes_ = 0;
  int64_t told_ns_;
};

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

absl::Status HeadReplay::Run(const ReplayCallbacks& callbacks, Clock* clock, ReplayReport* report) {
  Progress progress(callbacks, clock, total_bytes_);
  if (checkpoint_.number > 0) {
    const CheckpointCallbacks pieces{[this](const CheckpointSlice& slice) {
                                       filter_.AddSlice(slice);
                                       return absl::OkStatus();
                                     },
                                     callbacks.restore};
    TINYOBS_RETURN_IF_ERROR(Ask(
        callbacks.damaged, checkpoint_.path,
        ReadHeadCheckpoint(checkpoint_.file.get(), checkpoint_.path, checkpoint_.number, pieces)));
    TINYOBS_ASSIGN_OR_RETURN(const uint64_t bytes, checkpoint_.file->Size());
    progress.FileDone(bytes);
  }
  for (const File& segment : segments_) {
    TINYOBS_RETURN_IF_ERROR(
        Ask(callbacks.damaged, segment.path, RunSegment(segment, callbacks, &progress, report)));
  }
  progress.Done();
  return absl::OkStatus();
}

absl::Status HeadReplay::RunSegment(const File& segment, const ReplayCallbacks& callbacks,
                                    Progress* progress, ReplayReport* report) {
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
    progress->At(offset + record.size());
  }
  report->torn_bytes += reader->torn_bytes();
  if (reader->records() > 0 || reader->torn_bytes() > 0) {
    report->found_anything = true;
    if (!reader->sealed()) unfinished_ = segment.path;
  }
  progress->FileDone(reader->file_bytes());
  return absl::OkStatus();
}

}  // namespace tinyobs::tsdb
