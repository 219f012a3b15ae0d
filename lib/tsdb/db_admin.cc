// What changes the set of series and partitions other than by writing samples: deleting, expiring,
// retiring idle series.
//
// A series may only go when no record of the head log and no checkpoint names its number, or the
// next replay would meet samples without a series. So each of these begins a new segment with a
// checkpoint, and then removes those of the series that the new segment has not named.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/db_impl.h"
#include "lib/tsdb/series_snapshot.h"

namespace tinyobs::tsdb {

namespace {

// Series taken out of memory, or frozen, in one turn of the queue: a millisecond or two.
constexpr size_t kRemovedPerTurn = 1024;
// Series that are looked at in one.
constexpr size_t kLookedAtPerTurn = 1 << 14;
// A series is idle when it has had no sample for half a partition; for a quarter, when that is so
// many of its intervals: under churn those that wait to go are as many as those that live.
constexpr int64_t kIdleFraction = 2;
constexpr int64_t kSoonIdleFraction = 4;
constexpr int64_t kIntervalsMissed = 4;
// How often they are looked for.
constexpr int64_t kLookFraction = 8;
// It takes a checkpoint to let series go, so some must have gathered.
constexpr size_t kLeastIdleSeries = 256;
constexpr size_t kLeastIdleFraction = 16;

}  // namespace

absl::Status DbImpl::DropSeriesSnapshot() {
  return DeleteSeriesSnapshots(file_system_, head_folder_);
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
      const int64_t last_ms = LastSampleMs(ref);
      series.push_back({ids.back(), labels.back(), partitioning_.NumberOf(last_ms), last_ms});
    }
    lsm::WriteBatch batch;
    if (go_idle) idle_.PutIdle(series, &batch);
    catalog_.PutRemoved(ids, &batch);
    if (const auto written = store_->Write(lsm::kUnlogged, batch); !written.ok()) {
      if (go_idle) idle_.Discard();
      return written;
    }
    {
      WriterMutexLock lock(&membership_);
      if (go_idle) idle_.Publish();
      index_.Remove(refs);
    }
    head_.RemoveSeries(refs);
    for (const std::string& canonical : labels) {
      if (go_idle) {
        cardinality_.NoteIdle(canonical);
      } else {
        cardinality_.Remove(MetricOf(canonical), 1);
      }
    }
    ChargeIndex();
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

// Series in memory that `is_idle` says are.
std::vector<SeriesRef> DbImpl::FindIdle(const std::function<bool(SeriesRef ref)>& is_idle) {
  std::vector<SeriesRef> idle;
  InTurns(index_.ref_limit(), kLookedAtPerTurn, [&](size_t begin, size_t end) {
    for (size_t at = begin; at < end; ++at) {
      const auto ref = static_cast<SeriesRef>(at);
      if (head_.Contains(ref) && is_idle(ref)) idle.push_back(ref);
    }
    return absl::OkStatus();
  }).IgnoreError();
  return idle;
}

// The leader's: whether neither head nor log know anything of the series.
bool DbImpl::MayGo(SeriesRef ref) const {
  return index_.Contains(ref) && head_.IsIdle(ref) && !named_->contains(ref);
}

absl::Status DbImpl::RetireIdleSeries() {
  const int64_t now_ms = clock_->NowMs();
  const int64_t look_ms = std::max<int64_t>(1, partitioning_.partition_ms() / kLookFraction);
  const int64_t begin_ms = partitioning_.StartOf(now_ms);
  const int64_t due_ms = begin_ms + (now_ms - begin_ms) / look_ms * look_ms;
  if (due_ms == retired_at_ms_) return absl::OkStatus();
  retired_at_ms_ = due_ms;
  const int64_t idle_ms = partitioning_.partition_ms() / kIdleFraction;
  const int64_t soon_ms = partitioning_.partition_ms() / kSoonIdleFraction;
  const NamesWatch watch(this);  // first: what is named after a look must be known
  const std::vector<SeriesRef> idle = FindIdle([&](SeriesRef ref) {
    const int64_t last_ms = LastSampleMs(ref);
    const int64_t step_ms = head_.StepMs(ref);
    return last_ms < due_ms - idle_ms ||
           (step_ms > 0 && last_ms < due_ms - std::max(soon_ms, kIntervalsMissed * step_ms));
  });
  const size_t least = std::max<size_t>(kLeastIdleSeries, index_.size() / kLeastIdleFraction);
  if (idle.size() < least) return absl::OkStatus();
  TINYOBS_RETURN_IF_ERROR(DropSeriesSnapshot());
  // What they still have in the head will not grow: the checkpoint has it sealed.
  TINYOBS_RETURN_IF_ERROR(InTurns(idle.size(), kRemovedPerTurn, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      head_.Freeze(idle[i], idle[i] + 1, MonotonicMs(), /*everything=*/true);
    }
    return absl::OkStatus();
  }));
  TINYOBS_RETURN_IF_ERROR(RotateAndCheckpoint());
  TINYOBS_RETURN_IF_ERROR(RemoveSeries(idle, /*go_idle=*/true, /*look=*/false));
  return absl::OkStatus();
}

absl::Status DbImpl::RemoveSeries(std::span<const SeriesRef> candidates, bool go_idle, bool look) {
  return InTurns(candidates.size(), kRemovedPerTurn, [&](size_t begin, size_t end) -> absl::Status {
    std::vector<SeriesRef> refs;
    for (const SeriesRef ref : candidates.subspan(begin, end - begin)) {
      if (!MayGo(ref)) continue;
      if (look) {
        TINYOBS_ASSIGN_OR_RETURN(const auto last, chunks_->LastPartitionOf(index_.IdOf(ref)));
        if (last.has_value()) continue;
      }
      refs.push_back(ref);
    }
    return TakeOut(refs, go_idle);
  });
}

absl::Status DbImpl::WriteIdle(const lsm::WriteBatch& batch) {
  WriterMutexLock lock(&membership_);
  if (const auto written = store_->Write(lsm::kUnlogged, batch); !written.ok()) {
    idle_.Discard();
    return written;
  }
  idle_.Publish();
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
  const absl::flat_hash_set<SeriesId> in_memory(ids.begin(), ids.end());
  std::erase_if(selection.idle, [&](const auto& entry) { return in_memory.contains(entry.id); });
  for (const SeriesSetImpl::Entry& entry : selection.idle) ids.push_back(entry.id);
  std::sort(ids.begin(), ids.end());
  TINYOBS_RETURN_IF_ERROR(chunks_->DeleteRange(ids, range).status());
  TINYOBS_RETURN_IF_ERROR(downsampler_->DeleteRange(ids, range));
  // The log still has the samples; after this nothing brings them back.
  TINYOBS_RETURN_IF_ERROR(RotateAndCheckpoint());
  TINYOBS_RETURN_IF_ERROR(RemoveSeries(selection.match.refs, /*go_idle=*/false, /*look=*/true));
  for (const SeriesSetImpl::Entry& entry : selection.idle) {
    TINYOBS_ASSIGN_OR_RETURN(const auto last, chunks_->LastPartitionOf(entry.id));
    if (last.has_value()) continue;
    const Labels labels = selection.groups[entry.group - 1]->LabelsOf(entry.ref);
    const std::string& canonical = labels.canonical_bytes();
    const std::string_view wanted = canonical;
    TINYOBS_ASSIGN_OR_RETURN(const auto found, idle_.Find({&wanted, 1}));
    if (!found[0].has_value() || found[0]->id != entry.id) continue;
    TINYOBS_RETURN_IF_ERROR(queue_.RunAlone([&]() -> absl::Status {
      return sealer_->Alone([&]() -> absl::Status {
        lsm::WriteBatch batch;
        TINYOBS_RETURN_IF_ERROR(idle_.PutRevived(canonical, &batch));
        if (batch.empty()) return absl::OkStatus();  // it is back in memory
        TINYOBS_RETURN_IF_ERROR(WriteIdle(batch));
        if (!index_.Find(canonical, index_.KeyOf(canonical)).has_value()) {
          cardinality_.Remove(MetricOf(canonical), 1);
        }
        return absl::OkStatus();
      });
    }));
  }
  return store_->Flush();
}

// Freezes the series that have something open or late before `time_ms`.
absl::StatusOr<int64_t> DbImpl::FreezeBefore(int64_t time_ms) {
  HeadPin pin;
  int64_t left_ms = INT64_MAX;
  TINYOBS_RETURN_IF_ERROR(
      InTurns(index_.ref_limit(), kRemovedPerTurn, [&](size_t begin, size_t end) {
        head_.PinUnfrozen(static_cast<SeriesRef>(begin), static_cast<SeriesRef>(end), &pin);
        for (const HeadPin::Stretch& stretch : pin.stretches) {
          if (stretch.first_ms >= time_ms) {
            left_ms = std::min(left_ms, stretch.first_ms);
            continue;
          }
          head_.Freeze(stretch.ref, stretch.ref + 1, MonotonicMs(), /*everything=*/true);
        }
        return absl::OkStatus();
      }));
  return left_ms;
}

absl::Status DbImpl::MakeRoom(int64_t dropped_before_ms) {
  bool is_full = absl::IsResourceExhausted(store_->Stats().background_error);
  {
    MutexLock lock(&state_);
    is_full = is_full || absl::IsResourceExhausted(error_);
  }
  if (!is_full) return absl::OkStatus();
  TINYOBS_RETURN_IF_ERROR(chunks_->UnlinkBefore(dropped_before_ms));
  return ResumeInTurn();
}

absl::Status DbImpl::DropBefore(int64_t time_ms) {
  MutexLock turn(&upkeep_);
  if (read_only_) return CheckWritable();
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  TINYOBS_RETURN_IF_ERROR(MakeRoom(time_ms));
  TINYOBS_RETURN_IF_ERROR(CheckWritable());
  return DropTiers({time_ms, time_ms, time_ms}, /*only_made=*/false).status();
}

absl::StatusOr<bool> DbImpl::HideIdle(uint32_t partition) {
  bool any = false;
  // At one instant between two commits, so that exactly those are taken off the count that were
  // on it: but for those that are in memory again. One that comes back later is a new one.
  TINYOBS_RETURN_IF_ERROR(queue_.RunAlone([&]() -> absl::Status {
    return sealer_->Alone([&]() -> absl::Status {
      absl::flat_hash_map<std::string, uint64_t> by_metric;
      const bool any_in_both = catalog_.saved_end() < index_.series_end();
      TINYOBS_RETURN_IF_ERROR(idle_.ForEach(partition, [&](const IdleSeries::Series& series) {
        const std::string_view labels = series.canonical_labels;
        if (any_in_both && index_.Find(labels, index_.KeyOf(labels)).has_value()) return;
        ++by_metric[ToAbsl(MetricOf(labels))];
      }));
      for (const auto& [metric, series] : by_metric) cardinality_.Remove(metric, series);
      WriterMutexLock lock(&membership_);
      any = idle_.Hide(partition);
      return absl::OkStatus();
    });
  }));
  return any;
}

absl::StatusOr<DbImpl::TierCounts> DbImpl::DropTiers(const TierTimes& times, bool only_made) {
  const auto look = [&](TierCounts* counts) {
    const auto until = [&](Tier tier, int64_t time_ms) {
      return only_made ? MadeUntil(tier, time_ms) : time_ms;
    };
    const ChunkStore::DropEnds ends =
        chunks_->EndsAt(until(Tier::kRaw, times[0]), until(Tier::kFiveMinutes, times[1]), times[2]);
    *counts = {};
    for (size_t i = 0; i < kDataTiers.size(); ++i) {
      for (const auto& [partition, unused] : chunks_->Counts(kDataTiers[i])) {
        (*counts)[i] += partition < ends[kDataTiers[i]] ? 1 : 0;
      }
    }
    return ends;
  };
  TierCounts counts;
  ChunkStore::DropEnds ends = look(&counts);
  if (only_made && counts == TierCounts{}) return counts;
  // What the head and the log have of these times would bring them back, and is in no window: it
  // goes into chunks. With none coming any more, the second look is the one that counts.
  RaiseFloor(partitioning_.StartOfNumber(ends[Tier::kRaw]));
  head_.WatchOldest();
  TINYOBS_ASSIGN_OR_RETURN(const int64_t left_ms,
                           FreezeBefore(partitioning_.StartOfNumber(ends[Tier::kRaw])));
  TINYOBS_RETURN_IF_ERROR(sealer_->All());
  ends = look(&counts);
  if (only_made && counts == TierCounts{}) return counts;
  // Partitions from these on are kept, and with them the series that were last seen in them.
  const int64_t kept_ms = partitioning_.StartOfNumber(ends[Tier::kRaw]);
  const int64_t kept_series_ms = partitioning_.StartOfNumber(ends[Tier::kIdle]);
  const NamesWatch watch(this);
  bool checkpointed = false;
  if (!chunks_->Partitions({INT64_MIN, kept_ms - 1}).empty()) {
    TINYOBS_RETURN_IF_ERROR(DropSeriesSnapshot());
    TINYOBS_RETURN_IF_ERROR(RotateAndCheckpoint());
    checkpointed = true;
  }
  TINYOBS_ASSIGN_OR_RETURN(const bool any_idle, HideIdle(ends[Tier::kIdle]));
  TINYOBS_ASSIGN_OR_RETURN(const uint64_t dropped, chunks_->DropBefore(ends, any_idle));
  partitions_dropped_ += dropped;
  idle_.Forget(ends[Tier::kIdle]);
  head_.SetOldest(left_ms);
  // After a checkpoint also those of which only the LSM knows whether they had a sample.
  std::vector<SeriesRef> empty = FindIdle([&](SeriesRef ref) {
    return (checkpointed ? head_.LastMs(ref) : LastSampleMs(ref)) < kept_series_ms;
  });
  if (empty.empty()) return counts;
  if (!checkpointed) {
    TINYOBS_RETURN_IF_ERROR(DropSeriesSnapshot());
    TINYOBS_RETURN_IF_ERROR(RotateAndCheckpoint());
  }
  if (horizon_ms_ >= kept_series_ms) {
    // Some may have younger chunks, of earlier lives. Commits go on meanwhile: a series that gets
    // samples is named, and stays.
    std::vector<SeriesRef> maybe;
    maybe.swap(empty);
    for (const SeriesRef ref : maybe) {
      TINYOBS_ASSIGN_OR_RETURN(const auto last, chunks_->LastPartitionOf(index_.IdOf(ref)));
      if (!last.has_value()) empty.push_back(ref);
    }
  }
  TINYOBS_RETURN_IF_ERROR(RemoveSeries(empty, /*go_idle=*/false, /*look=*/false));
  TINYOBS_RETURN_IF_ERROR(store_->Flush());
  return counts;
}

}  // namespace tinyobs::tsdb
