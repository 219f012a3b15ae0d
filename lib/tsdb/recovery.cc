// Recovering a database: series from the LSM or their snapshot, then the head from its newest
// checkpoint and the log.
//
// Order matters for crashes while opening: a fresh segment number is claimed durably before
// anything is sealed, because generations of chunks begin with it. Were it claimed later, a crash
// in the middle of a replay would let the next replay use the same generations for other chunks.
// FORMAT.md argues each crash point.
#include <algorithm>
#include <memory>
#include <utility>

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/db_impl.h"
#include "lib/tsdb/series_snapshot.h"

namespace tinyobs::tsdb {

namespace {

// Frozen chunks that replay lets gather before it seals.
constexpr uint64_t kReplayBacklogChunks = 4096;
// Attempts to list and open the head's files beside a writer that replaces them.
constexpr int kReadOnlyTries = 16;
// Empty segments, one an open, that may lie around before they are swept up.
constexpr size_t kMaxEmptySegments = 8;

}  // namespace

// The series that were there when segment `checkpoint` began, at least: from the snapshot that a
// clean close left, or else from the rows of the LSM.
absl::Status DbImpl::LoadSeries(uint64_t checkpoint) {
  // The whole budget and not their share: series that could be created must be there again.
  const size_t most_bytes = memory_->limit() - std::min(memory_->limit(), memory_->used());
  std::optional<SeriesRef> snapshot_end;
  absl::Status status;
  if (checkpoint > 0) {
    SeriesRef end = 0;
    status = ReadSeriesSnapshot(file_system_, SeriesSnapshotPath(head_folder_, checkpoint),
                                checkpoint, &index_, &end, most_bytes);
    if (status.ok()) snapshot_end = end;
    if (absl::IsDataLoss(status)) {
      Log(StrCat(path_, ": reading the rows of all series instead: ", status.ToString()));
    }
    if (absl::IsDataLoss(status) || absl::IsNotFound(status)) status = absl::OkStatus();
  }
  std::vector<SeriesId> twins;
  if (status.ok()) {
    status =
        catalog_.Load(*store_, snapshot_end, most_bytes, losses_ != nullptr ? &twins : nullptr);
  }
  // As soon as that is known, and not when all of them are in memory.
  const auto fits = [this](const absl::Status& loaded) {
    if (!absl::IsResourceExhausted(loaded) && !memory_->over()) return loaded;
    return absl::ResourceExhaustedError(StrCat(
        path_, ": the series that are stored do not fit; raise memory_budget_bytes: ",
        FromAbsl(loaded.ok() ? accounts_.index->ExhaustedError(1).message() : loaded.message())));
  };
  ChargeIndex();
  TINYOBS_RETURN_IF_ERROR(fits(status));
  TINYOBS_RETURN_IF_ERROR(chunks_->Load(read_only_));
  TINYOBS_RETURN_IF_ERROR(CountAgain(twins));
  TINYOBS_RETURN_IF_ERROR(idle_.Load(store_.get(), chunks_->unfinished_drop()[Tier::kIdle]));
  // Windows, too: series of which nothing else is left are not older than those.
  for (const Tier tier : kDataTiers) {
    horizon_ms_ = std::max(horizon_ms_, chunks_->Totals(tier).newest_ms);
  }
  head_.SetHorizon(horizon_ms_);
  for (const SeriesRef ref : index_.Match({}).refs) head_.AddSeries(ref);
  return fits(absl::OkStatus());
}

// Series with rows that neither snapshot nor log knew.
absl::Status DbImpl::LoadMissingSeries() {
  const uint64_t before = index_.size();
  TINYOBS_RETURN_IF_ERROR(catalog_.LoadMissing(*store_));
  // The log may name them from now on without their labels, so the next replay must know them.
  if (index_.size() > before && !read_only_) TINYOBS_RETURN_IF_ERROR(DropSeriesSnapshot());
  for (const SeriesRef ref : index_.Match({}).refs) {
    if (!head_.Contains(ref)) head_.AddSeries(ref);
  }
  ChargeIndex();
  return absl::OkStatus();
}

absl::Status DbImpl::CountSeries(bool any_in_both) {
  cardinality_.Clear();
  for (const std::string& metric : index_.LabelValues(kMetricName)) {
    const Matcher matcher = Matcher::Metric(metric);
    cardinality_.Add(metric, index_.Match({&matcher, 1}).refs.size());
  }
  const absl::Status counted = idle_.ForEach(UINT32_MAX, [&](const IdleSeries::Series& series) {
    const std::string_view labels = series.canonical_labels;
    if (any_in_both && index_.Find(labels, index_.KeyOf(labels)).has_value()) return;
    cardinality_.Add(MetricOf(labels), 1);
    cardinality_.NoteIdle(labels);
  });
  ChargeIndex();
  if (!absl::IsDataLoss(counted)) return counted;
  // Queries of that time will answer it, too. The others can do without.
  Log(StrCat(path_, ": not all idle series count for the series limit: ", counted.ToString()));
  return absl::OkStatus();
}

absl::Status DbImpl::CheckHeadRow(const HeadFiles& files) {
  std::string value;
  const absl::Status found = store_->Get(RowPrefix(RowKind::kHead), &value);
  if (!absl::IsNotFound(found)) TINYOBS_RETURN_IF_ERROR(found);
  ByteReader reader(value);
  const uint64_t segment = found.ok() ? reader.Varint64() : 0;
  const uint64_t checkpoint = found.ok() ? reader.Varint64() : 0;
  if (!reader.ok() || !reader.empty()) {
    return absl::DataLossError(StrCat(
        "row of the head: expected a segment and a checkpoint, found ", EscapeForMessage(value)));
  }
  noted_checkpoint_ = checkpoint;
  const uint64_t newest = files.newest_checkpoint();
  if (newest > checkpoint) {
    const std::string store = path_ + "/lsm";
    TINYOBS_RETURN_IF_ERROR(Salvage(
        store, absl::DataLossError(StrCat(
                   store, ": older than ", CheckpointPath(head_folder_, newest),
                   ": expected a store that was flushed for it, found one that was for checkpoint ",
                   checkpoint, " last: the end of its manifest is missing"))));
  }
  // A reader lists the files first, and the writer may have begun a segment since.
  if (!read_only_ && segment > 0 && segment >= newest &&
      !std::binary_search(files.segments.begin(), files.segments.end(), segment)) {
    const std::string path = SegmentPath(head_folder_, segment);
    TINYOBS_RETURN_IF_ERROR(Salvage(
        path,
        absl::DataLossError(StrCat(
            path, ": expected the newest head log segment, which had been begun; found none"))));
  }
  // A clean close writes the checkpoint first, then the series of the same number.
  if (!files.snapshots.empty() && files.snapshots.back() > newest) {
    const std::string path = CheckpointPath(head_folder_, files.snapshots.back());
    TINYOBS_RETURN_IF_ERROR(
        Salvage(path, absl::DataLossError(StrCat(
                          path, ": expected beside the series of the same number, found none"))));
  }
  return absl::OkStatus();
}

absl::Status DbImpl::Recover() {
  const int64_t started_ms = MonotonicMs();
  TINYOBS_RETURN_IF_ERROR(file_system_->CreateDirectories(head_folder_));
  TINYOBS_RETURN_IF_ERROR(OpenStore());
  TINYOBS_RETURN_IF_ERROR(file_system_->SyncDirectory(path_));
  TINYOBS_ASSIGN_OR_RETURN(const HeadFiles files, ListHeadFiles(file_system_, head_folder_));
  const uint64_t checkpoint = files.newest_checkpoint();
  TINYOBS_RETURN_IF_ERROR(CheckHeadRow(files));
  // After a repair the rows may be others than when the snapshot was written.
  if (losses_ != nullptr) TINYOBS_RETURN_IF_ERROR(DropSeriesSnapshot());
  TINYOBS_RETURN_IF_ERROR(LoadSeries(losses_ != nullptr ? 0 : checkpoint));

  const uint64_t newest_segment = files.segments.empty() ? 0 : files.segments.back();
  const uint64_t claimed = std::max({newest_segment + 1, checkpoint, uint64_t{1}});
  if (claimed > UINT32_MAX) {
    return absl::DataLossError(StrCat(head_folder_, ": segment number ", claimed, " is too large"));
  }
  TINYOBS_ASSIGN_OR_RETURN(const auto replay,
                           HeadReplay::Open(file_system_, head_folder_, files, OnDamage()));
  TINYOBS_RETURN_IF_ERROR(BeginSegment(claimed, /*abandon_old=*/false));
  // Begin has synced the folder, so the checkpoint's name is durable.
  TINYOBS_RETURN_IF_ERROR(DeleteReplaced(file_system_, head_folder_, checkpoint));
  TINYOBS_RETURN_IF_ERROR(ReplayHead(replay.get()));
  TINYOBS_RETURN_IF_ERROR(LoadMissingSeries());
  TINYOBS_RETURN_IF_ERROR(CountSeries(/*any_in_both=*/replay_.found_anything));
  TINYOBS_RETURN_IF_ERROR(PutAside());
  {
    MutexLock lock(&upkeep_);
    // What was replayed may not be synced, and ends torn: a checkpoint makes it one clean state.
    if (replay_.found_anything || files.segments.size() > kMaxEmptySegments || losses_ != nullptr) {
      TINYOBS_RETURN_IF_ERROR(WriteCheckpoint(claimed));
    }
    checkpointed_ = true;
    recovered_ = true;
  }
  MeasureHeadFolder();
  StartAgeing();
  last_sync_ms_ = MonotonicMs();
  last_freeze_ms_ = MonotonicMs();
  replay_ms_ = MonotonicMs() - started_ms;
  if (replay_.found_anything) {
    Log(StrCat(path_, ": replayed ", replay_.samples, " samples of ", replay_.records,
               " commits in ", replay_ms_, " ms"));
  }
  if (replay_.torn_bytes > 0) {
    Log(StrCat(path_, ": cut ", replay_.torn_bytes, " bytes of an unfinished write"));
  }
  return absl::OkStatus();
}

// Beside a writer. The head's files are opened before the LSM, so what the writer seals and drops
// from the log in between is in both, and wins over itself; the other way round it would be in
// neither.
absl::Status DbImpl::RecoverReadOnly() {
  const int64_t started_ms = MonotonicMs();
  std::unique_ptr<HeadReplay> replay;
  HeadFiles files;
  for (int tries = 1; replay == nullptr; ++tries) {
    TINYOBS_ASSIGN_OR_RETURN(files, ListHeadFiles(file_system_, head_folder_));
    auto opened = HeadReplay::Open(file_system_, head_folder_, files);
    if (opened.ok()) {
      replay = *std::move(opened);
    } else if (!absl::IsAborted(opened.status()) || tries == kReadOnlyTries) {
      return opened.status();
    }
  }
  TINYOBS_RETURN_IF_ERROR(OpenStore());
  files.snapshots.clear();  // which come and go meanwhile, and are not read
  TINYOBS_RETURN_IF_ERROR(CheckHeadRow(files));
  TINYOBS_RETURN_IF_ERROR(LoadSeries(/*checkpoint=*/0));
  TINYOBS_RETURN_IF_ERROR(ReplayHead(replay.get()));
  TINYOBS_RETURN_IF_ERROR(LoadMissingSeries());
  TINYOBS_RETURN_IF_ERROR(CountSeries(/*any_in_both=*/true));
  MeasureHeadFolder();
  replay_ms_ = MonotonicMs() - started_ms;
  return absl::OkStatus();
}

DamageCallback DbImpl::OnDamage() {
  if (losses_ == nullptr) return {};
  return [this](const std::string& path, const absl::Status& status) {
    losses_->head_files.push_back(path);
    return Salvage(path, status);
  };
}

absl::Status DbImpl::ReplayHead(HeadReplay* replay) {
  const ReplayCallbacks callbacks{
      .restore = [this](const CheckpointStretch& stretch) -> absl::Status {
        if ((read_only_ || losses_ != nullptr) && !index_.Contains(stretch.ref)) {
          if (losses_ != nullptr) losses_->samples += stretch.count;
          return absl::OkStatus();
        }
        TINYOBS_RETURN_IF_ERROR(head_.Restore(stretch.ref, stretch.late, stretch.first_ms,
                                              stretch.count, stretch.stream, MonotonicMs()));
        return SealReplayed();
      },
      .apply = [this](DecodedCommit* commit) { return ReplayCommit(commit); },
      .progress =
          [this](uint64_t done, uint64_t total) {
            if (done < total) {
              Log(StrCat(path_, ": replaying the head log, ", done >> 20, " of ", total >> 20,
                         " MiB"));
            }
          },
      .damaged = OnDamage(),
  };
  return replay->Run(callbacks, &replay_);
}

// Idle series with the labels of one of these and another id were deleted before it was created,
// but the removal of their rows was not flushed.
absl::Status DbImpl::ForgetIdle(std::span<const NewSeries> created) {
  std::vector<std::string_view> labels;
  for (const NewSeries& series : created) labels.push_back(series.canonical_labels);
  TINYOBS_ASSIGN_OR_RETURN(const auto found, idle_.Find(labels));
  for (size_t i = 0; i < created.size(); ++i) {
    if (!found[i].has_value() || found[i]->id == created[i].id) continue;
    if (!head_.Contains(created[i].ref)) continue;  // a repair could not make it
    lsm::WriteBatch batch;
    TINYOBS_RETURN_IF_ERROR(idle_.PutRevived(labels[i], &batch));
    TINYOBS_RETURN_IF_ERROR(WriteIdle(batch));
  }
  return absl::OkStatus();
}

absl::Status DbImpl::ReplayCommit(DecodedCommit* commit) {
  for (const NewSeries& series : commit->new_series) {
    const auto known = index_.Find(series.canonical_labels, index_.KeyOf(series.canonical_labels));
    // A reader's rows are newer than the log: the series may be gone, or gone and back since. Its
    // samples of then are in the LSM.
    if (read_only_ &&
        (known.has_value() ? *known > series.ref : series.ref < index_.series_end())) {
      continue;
    }
    // It was idle or had no sample left, and came back under a new number; the rows do not know yet
    // that it had left. Neither checkpoint nor log have anything of it under the old one.
    if (known.has_value() && *known < series.ref && head_.IsIdle(*known)) {
      const SeriesId id = index_.IdOf(*known);
      if (id != series.id && !read_only_) {  // else the new row takes the place of the old one
        lsm::WriteBatch batch;
        catalog_.PutRemoved({&id, 1}, &batch);
        TINYOBS_RETURN_IF_ERROR(store_->Write(lsm::kUnlogged, batch));
      }
      index_.Remove({&*known, 1});
      head_.RemoveSeries({&*known, 1});
    }
    if (const absl::Status added = catalog_.Replay(series); !added.ok()) {
      // Another series may have the number now, and the samples would be taken for its own.
      if (head_.Contains(series.ref)) return added;
      TINYOBS_RETURN_IF_ERROR(Salvage(head_folder_, added));
      continue;
    }
    if (!head_.Contains(series.ref)) head_.AddSeries(series.ref);
  }
  if (!read_only_) TINYOBS_RETURN_IF_ERROR(ForgetIdle(commit->new_series));
  for (const NamedMetadata& named : commit->metadata) {
    catalog_.SetMetadata(named.metric, named.metadata);
  }
  for (const int64_t time_ms : commit->samples.timestamps_ms) {
    if (!partitioning_.Contains(time_ms)) {
      return absl::DataLossError(
          StrCat("a sample at ", time_ms, " ms: expected a time with a partition, found none"));
    }
  }
  if (read_only_ || losses_ != nullptr) DropUnknown(&commit->samples);
  if (const auto staged = head_.Stage(commit->samples, nullptr); !staged.ok()) {
    return absl::DataLossError(StrCat("a sample without its series: ", FromAbsl(staged.message())));
  }
  head_.Apply(MonotonicMs());
  return SealReplayed();
}

// A reader's LSM is newer than the log it reads: series may be gone. A repair may have lost some.
void DbImpl::DropUnknown(SampleBatch* samples) {
  const size_t before = samples->size();
  samples->EraseIf([&](SeriesRef ref) { return !head_.Contains(ref); });
  if (losses_ != nullptr) losses_->samples += before - samples->size();
}

absl::Status DbImpl::SealReplayed() {
  if (read_only_) {
    if (!accounts_.head->over()) return absl::OkStatus();
    // A reader has nowhere to seal to.
    return absl::ResourceExhaustedError(
        StrCat(path_, ": what the writer holds in memory does not fit here; raise ",
               "memory_budget_bytes: ", FromAbsl(accounts_.head->ExhaustedError(1).message())));
  }
  while (head_.Stats().frozen_chunks > kReplayBacklogChunks) {
    TINYOBS_RETURN_IF_ERROR(sealer_->Step().status());
  }
  return RelieveHead();
}

}  // namespace tinyobs::tsdb
