#include "lib/tsdb/downsampler.h"

#include <algorithm>
#include <memory>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/chunk_scan.h"
#include "lib/tsdb/downsample_step.h"

namespace tinyobs::tsdb {

namespace {

// At which a batch is written, at most; and what a step may put into one memtable.
constexpr size_t kBatchBytes = 1 << 20;
constexpr size_t kMemtablePart = 4;
// Samples a step looks at, about: 10 ms.
constexpr uint64_t kStepSamples = 1 << 21;
// Touched series done under one hold of the turn: a millisecond or two.
constexpr size_t kTouchedSeries = 32;

}  // namespace

Downsampler::Downsampler(ChunkStore* chunks, MemoryAccount* account, size_t memtable_bytes)
    : chunks_(chunks),
      account_(account),
      batch_bytes_(std::min(kBatchBytes, memtable_bytes / kMemtablePart)) {}

absl::Status Downsampler::CheckPartitionMs(int64_t partition_ms) {
  const Partitioning raw(partition_ms);
  const int64_t hour_ms = WidthMs(Tier::kOneHour);
  const auto windows = [&raw](Tier tier) {
    return TierPartitioning(raw, tier).partition_ms() / WidthMs(tier);
  };
  if (partition_ms > 0 && partition_ms % hour_ms == 0 &&
      windows(Tier::kFiveMinutes) <= int64_t{chunk::kMaxWindows} &&
      windows(Tier::kOneHour) <= int64_t{chunk::kMaxWindows}) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(StrCat("option partition_ms is ", partition_ms,
                                           "; with downsampling expected 1 to 5 whole hours"));
}

void Downsampler::Advance() {
  ++place_.partition;
  place_.after.clear();
}

bool Downsampler::FindWork(int64_t closed_ms) {
  for (; place_.phase < kPhases.size(); place_ = {place_.phase + 1, 0, ""}) {
    const auto [tier, touched] = kPhases[place_.phase];
    const uint32_t first = std::max(place_.partition, chunks_->DroppedBefore(tier));
    for (const auto& [partition, counts] : chunks_->Counts(tier)) {
      if (partition < first) continue;
      const bool is_due = touched
                              ? counts.downsampled == Downsampled::kYes && counts.touched > 0
                              : counts.downsampled == Downsampled::kUnderWay ||
                                    (counts.downsampled == Downsampled::kNo &&
                                     chunks_->partitioning(tier).LastMsOf(partition) < closed_ms);
      if (!is_due) continue;
      if (partition != place_.partition) place_ = {place_.phase, partition, ""};
      return true;
    }
  }
  return false;
}

absl::StatusOr<bool> Downsampler::Step(int64_t closed_ms, Losses* losses) {
  MutexLock lock(&mutex_);
  MutexLock ageing(&chunks_->ageing_turn());
  if (!FindWork(closed_ms)) {
    place_ = {};
    return false;
  }
  const auto [tier, touched] = kPhases[place_.phase];
  if (losses != nullptr && chunks_->partitioning(tier).LastMsOf(place_.partition) >=
                               losses->before_ms[static_cast<size_t>(tier) - 1]) {
    losses = nullptr;
  }
  const absl::StatusOr<bool> more = touched
                                        ? TouchedStep(tier, place_.partition, &place_.after, losses)
                                        : PassStep(tier, place_.partition, losses);
  if (more.ok()) {
    if (!*more) Advance();
    return true;
  }
  if (absl::IsDataLoss(more.status())) {
    Advance();
  } else {
    place_ = {};
  }
  return more.status();
}

absl::StatusOr<bool> Downsampler::PassStep(Tier tier, uint32_t partition, Losses* losses) {
  MemoryCharge charge(account_);
  charge.Add(batch_bytes_);
  DownsampleStep work(chunks_, account_, tier, partition);
  SeriesId next = 0;
  {
    // From here on every change leaves a row: also those that come while we read.
    MutexLock turn(&chunks_->turn());
    chunks_->Unstage();
    PartitionCounts* const counts = chunks_->Staged(tier, partition);
    next = counts->next_series;
    if (counts->downsampled == Downsampled::kNo) {
      counts->downsampled = Downsampled::kUnderWay;
      next = counts->next_series = 0;
      lsm::WriteBatch batch;
      TINYOBS_RETURN_IF_ERROR(chunks_->Commit(&batch));
      chunks_->Publish();
    }
    work.Begin(CoarserState(tier, partition), /*may_be_there=*/false);
    chunks_->Unstage();
  }
  const auto rows_from = [&](SeriesId first) {
    return RowsBetween(chunks_->store(), SeriesPrefix(tier, partition, first),
                       PrefixEnd(ChunkPrefix(tier, partition)));
  };
  auto rows = rows_from(next);
  uint64_t series = 0;
  while (work.batch().size_bytes() < batch_bytes_ && work.samples() < kStepSamples) {
    if (rows->Valid()) {
      TINYOBS_ASSIGN_OR_RETURN(const ChunkKey key, ParseChunkKey(rows->key()));
      TINYOBS_RETURN_IF_ERROR(PassBy(work.DoSeries(key.series, rows.get(), losses), losses));
      MoveForward(PrefixEnd(SeriesPrefix(tier, partition, key.series)), rows.get());
      next = key.series + 1;
      ++series;
    } else {
      if (rows->status().ok()) break;
      TINYOBS_RETURN_IF_ERROR(PassBy(rows->status(), losses));
      // What lies behind the damage is looked for in ever longer steps, then shorter ones back.
      SeriesId damaged = next;
      for (int bit = 0; bit < 64 && !rows->status().ok(); ++bit) {
        damaged = next;
        next += std::min(SeriesId{1} << bit, UINT64_MAX - next);
        rows = rows_from(next);
      }
      if (!rows->status().ok()) break;  // there is nothing
      while (next - damaged > 1) {
        const SeriesId between = damaged + (next - damaged) / 2;
        auto rows_between = rows_from(between);
        const bool is_behind = rows_between->status().ok();
        (is_behind ? next : damaged) = between;
        if (is_behind) rows = std::move(rows_between);
      }
    }
  }
  const bool more = rows->Valid();
  MutexLock turn(&chunks_->turn());
  chunks_->Unstage();
  TINYOBS_RETURN_IF_ERROR(work.Commit([&](PartitionCounts* counts) {
    counts->downsampled = more ? Downsampled::kUnderWay : Downsampled::kYes;
    counts->next_series = more ? next : 0;
  }));
  rows_written_.fetch_add(work.rows_written(), std::memory_order_relaxed);
  series_done_.fetch_add(series, std::memory_order_relaxed);
  return more;
}

Downsampled Downsampler::CoarserState(Tier tier, uint32_t partition) const {
  if (tier == Tier::kOneHour) return Downsampled::kNo;
  const Tier coarser = CoarserThan(tier);
  return chunks_
      ->Staged(coarser, chunks_->partitioning(coarser).NumberOf(
                            chunks_->partitioning(tier).StartOfNumber(partition)))
      ->downsampled;
}

absl::StatusOr<bool> Downsampler::TouchedStep(Tier tier, uint32_t partition, std::string* after,
                                              Losses* losses) {
  MemoryCharge charge(account_);
  charge.Add(batch_bytes_);
  DownsampleStep work(chunks_, account_, tier, partition);
  // From the last look at the series to the batch: what comes in between would be forgotten.
  MutexLock turn(&chunks_->turn());
  chunks_->Unstage();
  work.Begin(CoarserState(tier, partition), /*may_be_there=*/true);
  const std::string prefix = TouchedPrefix(tier, partition);
  const auto touched = RowsOf(chunks_->store(), prefix);
  // Others may have been touched behind the walk.
  const std::string first = touched->Valid() ? std::string(touched->key()) : "";
  if (!after->empty()) {
    touched->Seek(*after);
    if (touched->Valid() && touched->key() == *after) touched->Next();
  }
  const bool from_first = touched->Valid() ? touched->key() == first : first.empty();
  std::unique_ptr<Iterator> rows;
  uint64_t series = 0;
  for (; touched->Valid() && series < kTouchedSeries && work.batch().size_bytes() < batch_bytes_ &&
         work.samples() < kStepSamples;
       touched->Next()) {
    ByteReader key(touched->key().substr(prefix.size()));
    const SeriesId id = key.BigEndian64();
    if (!key.ok() || !key.empty()) {
      return absl::DataLossError(
          StrCat("not the key of a touched series: ", EscapeForMessage(touched->key())));
    }
    const std::string of_series = SeriesPrefix(tier, partition, id);
    if (rows == nullptr) {
      rows = RowsBetween(chunks_->store(), of_series, PrefixEnd(ChunkPrefix(tier, partition)));
    }
    MoveForward(of_series, rows.get());
    TINYOBS_RETURN_IF_ERROR(PassBy(work.DoSeries(id, rows.get(), losses), losses));
    work.batch().Delete(touched->key());
    *after = std::string(touched->key());
    ++series;
  }
  TINYOBS_RETURN_IF_ERROR(touched->status());
  const bool more = touched->Valid();
  TINYOBS_RETURN_IF_ERROR(work.Commit([&](PartitionCounts* counts) {
    counts->touched -= std::min(counts->touched, series);
    if (!more && from_first) {
      counts->touched = 0;
      // Nothing is left of it, and nothing of it in the coarser tier.
      if (counts->samples == 0) counts->downsampled = Downsampled::kNo;
    } else {
      counts->touched = std::max<uint64_t>(counts->touched, 1);
    }
  }));
  rows_written_.fetch_add(work.rows_written(), std::memory_order_relaxed);
  series_done_.fetch_add(series, std::memory_order_relaxed);
  return more;
}

absl::Status Downsampler::DeleteRange(std::span<const SeriesId> series, TimeRange range) {
  MutexLock lock(&mutex_);
  // Where the finer tier was dropped, nothing can be made anew.
  for (const Tier tier : {Tier::kFiveMinutes, Tier::kOneHour}) {
    const Tier finer = tier == Tier::kFiveMinutes ? Tier::kRaw : Tier::kFiveMinutes;
    const uint32_t dropped = chunks_->DroppedBefore(finer);
    if (dropped == 0) continue;
    const int64_t dropped_ms = chunks_->partitioning(finer).StartOfNumber(dropped);
    const auto doomed = [&](const chunk::Window& window) {
      return window.start_ms < dropped_ms && window.start_ms <= range.to_ms &&
             window.start_ms + WidthMs(tier) - 1 >= range.from_ms;
    };
    for (const uint32_t partition : chunks_->Partitions(range, tier)) {
      if (chunks_->partitioning(tier).StartOfNumber(partition) >= dropped_ms) break;
      for (size_t begin = 0; begin < series.size(); begin += kTouchedSeries) {
        const auto some = series.subspan(begin, std::min(kTouchedSeries, series.size() - begin));
        MutexLock ageing(&chunks_->ageing_turn());
        MutexLock turn(&chunks_->turn());
        chunks_->Unstage();
        DownsampleStep work(chunks_, account_, tier, partition);
        const auto rows = RowsBetween(chunks_->store(), SeriesPrefix(tier, partition, some.front()),
                                      PrefixEnd(SeriesPrefix(tier, partition, some.back())));
        for (const SeriesId id : some) {
          TINYOBS_RETURN_IF_ERROR(work.RemoveWindows(id, rows.get(), doomed));
        }
        if (work.batch().empty()) continue;
        TINYOBS_RETURN_IF_ERROR(work.Commit([](PartitionCounts*) {}));
      }
    }
  }
  for (const Tier tier : {Tier::kRaw, Tier::kFiveMinutes}) {
    for (const uint32_t partition : chunks_->Partitions(range, tier)) {
      std::string after;
      for (bool more = true; more;) {
        MutexLock ageing(&chunks_->ageing_turn());
        {
          MutexLock turn(&chunks_->turn());
          chunks_->Unstage();
          const PartitionCounts counts = *chunks_->Staged(tier, partition);
          chunks_->Unstage();
          if (counts.downsampled != Downsampled::kYes || counts.touched == 0) break;
        }
        TINYOBS_ASSIGN_OR_RETURN(more, TouchedStep(tier, partition, &after, nullptr));
      }
    }
  }
  return absl::OkStatus();
}

std::vector<TierStats> Downsampler::Tiers(int64_t closed_ms) const {
  std::vector<TierStats> all;
  for (const Tier tier : kDataTiers) {
    TierStats& stats = all.emplace_back();
    const PartitionCounts totals = chunks_->Totals(tier);
    stats.rows = totals.chunks;
    stats.samples = totals.samples;
    stats.touched_series = totals.touched;
    const std::string prefix = TierPrefix(tier);
    stats.bytes = chunks_->store()->RangeBytes(prefix, PrefixEnd(prefix));
    if (totals.samples > 0) {
      stats.oldest_ms = totals.oldest_ms;
      stats.newest_ms = totals.newest_ms;
    }
    const Partitioning& cut = chunks_->partitioning(tier);
    bool is_complete = tier != Tier::kOneHour;
    for (const auto& [partition, counts] : chunks_->Counts(tier)) {
      ++stats.partitions;
      if (tier == Tier::kOneHour) continue;
      if (!counts.InCoarser()) {
        is_complete = false;
        if (cut.LastMsOf(partition) < closed_ms) ++stats.waiting_partitions;
      } else if (is_complete) {
        stats.complete_ms = cut.LastMsOf(partition) + 1;
      }
    }
  }
  return all;
}

}  // namespace tinyobs::tsdb
