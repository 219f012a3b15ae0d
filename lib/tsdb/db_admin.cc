// What changes the set of series and partitions other than by writing samples: deleting, expiring,
// retiring idle series, copying the database.
//
// A series may only go when no record of the head log and no checkpoint names its number, or the
// next replay would meet samples without a series. So each of these begins a new segment with a
// checkpoint, and then removes those of the series that the new segment has not named.
#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/db_impl.h"
#include "lib/tsdb/series_snapshot.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::tsdb {

namespace {

// Series taken out of memory in one turn of the queue: a millisecond or two.
constexpr size_t kRemovedPerTurn = 1024;
// A series is idle when it has had no sample for so many whole partitions.
constexpr int64_t kIdlePartitions = 1;
// It takes a checkpoint to let series go, so some must have gathered.
constexpr size_t kLeastIdleSeries = 256;
constexpr size_t kLeastIdleFraction = 16;

// Of the segment that a copy begins with: what was committed while the checkpoint was written.
constexpr uint64_t kMaxCopiedSegmentBytes = 1 << 30;

lsm::WriteOptions Unlogged() {
  lsm::WriteOptions options;
  options.skip_wal = true;
  return options;
}

}  // namespace

absl::Status DbImpl::DropSeriesSnapshot() {
  return DeleteSeriesSnapshots(file_system_, head_folder_);
}

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

absl::Status DbImpl::TakeOut(std::span<const SeriesRef> refs, bool go_idle) {
  // The sealer writes rows of series: not while they are removed.
  return sealer_->Alone([&]() -> absl::Status {
    std::vector<SeriesId> ids;
    std::vector<std::string> labels;
    std::vector<IdleSeries::Series> series;
    labels.reserve(refs.size());
    for (const SeriesRef ref : refs) {
      ids.push_back(index_.IdOf(ref));
      labels.push_back(index_.LabelsOf(ref).canonical_bytes());
      series.push_back({ids.back(), labels.back(), partitioning_.NumberOf(LastSampleMs(ref))});
    }
    lsm::WriteBatch batch;
    if (go_idle) idle_->PutIdle(series, &batch);
    catalog_.PutRemoved(ids, &batch);
    if (const auto written = store_->Write(Unlogged(), batch); !written.ok()) {
      if (go_idle) idle_->Discard();
      return written;
    }
    {
      WriterMutexLock lock(&membership_);
      if (go_idle) idle_->Publish();
      index_.Remove(refs);
    }
    head_.RemoveSeries(refs);
    accounts_.index->SetUsed(index_.MemoryBytes());
    return absl::OkStatus();
  });
}

// While one of these lives, the leader notes which series the log names.
class DbImpl::NamesWatch {
 public:
  explicit NamesWatch(DbImpl* db) : db_(db) { Set(true); }
  ~NamesWatch() { Set(false); }
  NamesWatch(const NamesWatch&) = delete;
  NamesWatch& operator=(const NamesWatch&) = delete;

 private:
  void Set(bool on) {
    db_->queue_
        .RunAlone([this, on]() -> absl::Status {
          db_->named_.reset();
          if (on) db_->named_.emplace();
          return absl::OkStatus();
        })
        .IgnoreError();
  }
  DbImpl* const db_;
};

// The leader's. An upper bound: what the head knows may be a late sample of a series that was
// written to in an earlier life.
int64_t DbImpl::LastSampleMs(SeriesRef ref) const {
  return std::max(head_.LastMs(ref), horizon_ms_);
}

// Series with nothing in the head and no sample since `before_ms`; `maybe`: also those of which
// only the LSM knows whether they had one.
std::vector<SeriesRef> DbImpl::FindIdle(int64_t before_ms, bool maybe) {
  constexpr SeriesRef kPerTurn = 1 << 14;
  std::vector<SeriesRef> idle;
  const SeriesRef end = index_.ref_limit();
  for (SeriesRef begin = 0; begin < end; begin += kPerTurn) {
    queue_
        .RunAlone([&]() -> absl::Status {
          for (SeriesRef ref = begin; ref < std::min(end, begin + kPerTurn); ++ref) {
            if (!head_.Contains(ref) || !head_.IsIdle(ref)) continue;
            const int64_t last_ms = maybe ? head_.LastMs(ref) : LastSampleMs(ref);
            if (last_ms < before_ms) idle.push_back(ref);
          }
          return absl::OkStatus();
        })
        .IgnoreError();
  }
  return idle;
}

// The leader's: whether neither head nor log know anything of the series.
bool DbImpl::MayGo(SeriesRef ref) const {
  return index_.Contains(ref) && head_.IsIdle(ref) && !named_->contains(ref);
}

absl::Status DbImpl::RetireIdleSeries() {
  const uint32_t partition = partitioning_.NumberOf(clock_->NowMs());
  if (partition == retired_in_partition_) return absl::OkStatus();
  retired_in_partition_ = partition;
  const int64_t before_ms =
      partitioning_.StartOf(clock_->NowMs()) - kIdlePartitions * partitioning_.partition_ms();
  const NamesWatch watch(this);  // first: what is named after a look must be known
  const std::vector<SeriesRef> idle = FindIdle(before_ms, /*maybe=*/false);
  const size_t least = std::max<size_t>(kLeastIdleSeries, index_.size() / kLeastIdleFraction);
  if (idle.size() < least) return absl::OkStatus();
  TINYOBS_RETURN_IF_ERROR(DropSeriesSnapshot());
  TINYOBS_RETURN_IF_ERROR(RotateAndCheckpoint());
  for (size_t begin = 0; begin < idle.size(); begin += kRemovedPerTurn) {
    const auto slice =
        std::span(idle).subspan(begin, std::min(kRemovedPerTurn, idle.size() - begin));
    TINYOBS_RETURN_IF_ERROR(queue_.RunAlone([&]() -> absl::Status {
      std::vector<SeriesRef> refs;
      for (const SeriesRef ref : slice) {
        if (MayGo(ref)) refs.push_back(ref);
      }
      return TakeOut(refs, /*go_idle=*/true);
    }));
  }
  return absl::OkStatus();
}

absl::Status DbImpl::RemoveEmptySeries(std::span<const SeriesRef> candidates, bool look) {
  for (size_t begin = 0; begin < candidates.size(); begin += kRemovedPerTurn) {
    const auto slice =
        candidates.subspan(begin, std::min(kRemovedPerTurn, candidates.size() - begin));
    TINYOBS_RETURN_IF_ERROR(queue_.RunAlone([&]() -> absl::Status {
      std::vector<SeriesRef> refs;
      for (const SeriesRef ref : slice) {
        if (!MayGo(ref)) continue;
        if (look) {
          TINYOBS_ASSIGN_OR_RETURN(const auto last, chunks_->LastPartitionOf(index_.IdOf(ref)));
          if (last.has_value()) continue;
        }
        refs.push_back(ref);
      }
      return TakeOut(refs, /*go_idle=*/false);
    }));
  }
  return absl::OkStatus();
}

absl::Status DbImpl::WriteIdle(const lsm::WriteBatch& batch) {
  WriterMutexLock lock(&membership_);
  if (const auto written = store_->Write(Unlogged(), batch); !written.ok()) {
    idle_->Discard();
    return written;
  }
  idle_->Publish();
  return absl::OkStatus();
}

absl::Status DbImpl::Delete(const std::vector<Matcher>& matchers, TimeRange range) {
  if (std::all_of(matchers.begin(), matchers.end(),
                  [](const Matcher& m) { return m.MatchesEmpty(); })) {
    return absl::InvalidArgumentError(
        "a deletion needs at least one matcher that does not accept the empty string");
  }
  MutexLock turn(&upkeep_);
  TINYOBS_RETURN_IF_ERROR(CheckWritable());
  Selection selection;
  {
    ReaderMutexLock lock(&membership_);
    TINYOBS_ASSIGN_OR_RETURN(selection, SelectSeries(matchers, range));
  }
  const NamesWatch watch(this);
  TINYOBS_RETURN_IF_ERROR(DropSeriesSnapshot());
  // What is in the head goes into chunks first: there is one place to delete from.
  TINYOBS_RETURN_IF_ERROR(queue_.RunAlone([&]() -> absl::Status {
    for (const SeriesRef ref : selection.match.refs) {
      head_.Freeze(ref, ref + 1, MonotonicMs(), /*everything=*/true);
    }
    return absl::OkStatus();
  }));
  TINYOBS_RETURN_IF_ERROR(sealer_->All());
  std::vector<SeriesId> ids;
  for (const SeriesRef ref : selection.match.refs) ids.push_back(index_.IdOf(ref));
  for (const SeriesSetImpl::Entry& entry : selection.idle) ids.push_back(entry.id);
  std::sort(ids.begin(), ids.end());
  TINYOBS_RETURN_IF_ERROR(chunks_->DeleteRange(ids, range).status());
  // The log still has the samples; after this nothing brings them back.
  TINYOBS_RETURN_IF_ERROR(RotateAndCheckpoint());
  TINYOBS_RETURN_IF_ERROR(RemoveEmptySeries(selection.match.refs, /*look=*/true));
  for (const SeriesSetImpl::Entry& entry : selection.idle) {
    TINYOBS_ASSIGN_OR_RETURN(const auto last, chunks_->LastPartitionOf(entry.id));
    if (last.has_value()) continue;
    const Labels labels = selection.groups[entry.group - 1]->LabelsOf(entry.ref);
    const std::string& canonical = labels.canonical_bytes();
    TINYOBS_ASSIGN_OR_RETURN(const auto found, idle_->Find(canonical, index_.KeyOf(canonical)));
    if (!found.has_value() || found->id != entry.id) continue;
    TINYOBS_RETURN_IF_ERROR(sealer_->Alone([&]() -> absl::Status {
      lsm::WriteBatch batch;
      TINYOBS_RETURN_IF_ERROR(idle_->PutRevived(canonical, &batch));
      return WriteIdle(batch);
    }));
  }
  return store_->Flush();
}

// Freezes the series that have something open or late before `time_ms`.
absl::Status DbImpl::FreezeBefore(int64_t time_ms) {
  constexpr SeriesRef kPerTurn = 1024;
  HeadPin pin;
  const SeriesRef end = index_.ref_limit();
  for (SeriesRef begin = 0; begin < end; begin += kPerTurn) {
    TINYOBS_RETURN_IF_ERROR(queue_.RunAlone([&]() -> absl::Status {
      head_.PinUnfrozen(begin, begin + kPerTurn, &pin);
      for (const HeadPin::Stretch& stretch : pin.stretches) {
        if (stretch.first_ms >= time_ms) continue;
        head_.Freeze(stretch.ref, stretch.ref + 1, MonotonicMs(), /*everything=*/true);
      }
      return absl::OkStatus();
    }));
  }
  return absl::OkStatus();
}

absl::Status DbImpl::DropBefore(int64_t time_ms) {
  MutexLock turn(&upkeep_);
  TINYOBS_RETURN_IF_ERROR(CheckWritable());
  // Partitions from this one on are kept, and with them the series that were last seen in them.
  const uint32_t kept = partitioning_.NumberOf(time_ms);
  const int64_t kept_ms = partitioning_.StartOfNumber(kept);
  // What the head and the log have of the others would bring them back: it goes into chunks first.
  TINYOBS_RETURN_IF_ERROR(FreezeBefore(kept_ms));
  TINYOBS_RETURN_IF_ERROR(sealer_->All());
  const NamesWatch watch(this);
  bool checkpointed = false;
  if (!chunks_->Partitions({INT64_MIN, kept_ms - 1}).empty()) {
    TINYOBS_RETURN_IF_ERROR(DropSeriesSnapshot());
    TINYOBS_RETURN_IF_ERROR(RotateAndCheckpoint());
    checkpointed = true;
  }
  // The idle series of the others go in bounded batches, the last together with the partitions.
  TINYOBS_RETURN_IF_ERROR(sealer_->Alone([&]() -> absl::Status {
    while (true) {
      lsm::WriteBatch batch;
      const auto more = idle_->PutDropped(kept, &batch);
      if (!more.ok()) {
        idle_->Discard();
        return more.status();
      }
      if (*more) {
        TINYOBS_RETURN_IF_ERROR(WriteIdle(batch));
        continue;
      }
      const auto dropped = chunks_->DropBefore(time_ms, std::move(batch));
      if (!dropped.ok()) {
        idle_->Discard();
        return dropped.status();
      }
      partitions_dropped_ += *dropped;
      WriterMutexLock lock(&membership_);
      idle_->Publish();
      return absl::OkStatus();
    }
  }));
  std::vector<SeriesRef> empty = FindIdle(kept_ms, /*maybe=*/checkpointed);
  if (empty.empty()) return absl::OkStatus();
  if (!checkpointed) {
    TINYOBS_RETURN_IF_ERROR(DropSeriesSnapshot());
    TINYOBS_RETURN_IF_ERROR(RotateAndCheckpoint());
  }
  if (horizon_ms_ >= kept_ms) {
    // Some may have younger chunks, of earlier lives. Commits go on meanwhile: a series that gets
    // samples is named, and stays.
    std::vector<SeriesRef> maybe;
    maybe.swap(empty);
    for (const SeriesRef ref : maybe) {
      TINYOBS_ASSIGN_OR_RETURN(const auto last, chunks_->LastPartitionOf(index_.IdOf(ref)));
      if (!last.has_value()) empty.push_back(ref);
    }
  }
  TINYOBS_RETURN_IF_ERROR(RemoveEmptySeries(empty, /*look=*/false));
  return store_->Flush();
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
