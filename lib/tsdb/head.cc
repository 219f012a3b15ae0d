#include "lib/tsdb/head.h"

#include <algorithm>

#include "lib/base/check.h"

namespace tinyobs::tsdb {

namespace {

// The late buffer is larger than a chunk: it is cut into one chunk a partition when it is frozen,
// and late samples often come for many partitions at once (a backfill).
constexpr uint32_t kLateFactor = 4;

bool Overlaps(const PinnedColumns& pin, TimeRange range) {
  return !pin.empty() && pin.timestamps_ms.front() <= range.to_ms &&
         pin.timestamps_ms.back() >= range.from_ms;
}

}  // namespace

bool Head::Series::IsLate(int64_t timestamp_ms) const {
  if (!open.empty()) return timestamp_ms < open.first_ms();
  return (floor_ms != INT64_MIN && timestamp_ms <= floor_ms) ||
         (has_late() && timestamp_ms <= rare->late.last_ms());
}

void Head::SetHorizon(int64_t horizon_ms) {
  MutexLock lock(&mutex_);
  horizon_ms_ = horizon_ms;
}

void Head::SetEpoch(uint32_t epoch) {
  MutexLock lock(&mutex_);
  generation_ = std::max(generation_ + 1, Generation{epoch} << 32);
}

void Head::Apply(std::span<const RefSample> samples, SeriesRef ref_limit, int64_t now_ms) {
  MutexLock lock(&mutex_);
  if (ref_limit > series_.size()) series_.resize(ref_limit);
  for (const RefSample& sample : samples) {
    TINYOBS_DCHECK(sample.ref < series_.size());
    Put(sample.ref, &series_[sample.ref], sample.timestamp_ms, sample.value, now_ms);
  }
  stats_.applied += samples.size();
}

void Head::Put(SeriesRef ref, Series* series, int64_t timestamp_ms, double value, int64_t now_ms) {
  const bool late = series->IsLate(timestamp_ms);
  if (!late && !series->open.empty() &&
      timestamp_ms >= partitioning_.EndOf(series->open.first_ms())) {
    FreezeOpen(ref, series);
  }
  if (late && series->rare == nullptr) series->rare = std::make_unique<Rare>();
  if (series->open.empty() && !series->has_late()) series->opened_at_ms = now_ms;
  SharedColumns& columns = late ? series->rare->late : series->open;
  buffer_bytes_ -= columns.MemoryBytes();
  if (columns.Put(timestamp_ms, value)) ++stats_.samples;
  buffer_bytes_ += columns.MemoryBytes();
  stats_.oldest_ms = std::min(stats_.oldest_ms, timestamp_ms);
  stats_.newest_ms = std::max(stats_.newest_ms, timestamp_ms);
  if (late) {
    if (columns.size() >= limits_.chunk_samples * kLateFactor) FreezeLate(ref, series);
  } else {
    if (columns.size() >= limits_.chunk_samples) FreezeOpen(ref, series);
  }
}

void Head::Enqueue(SeriesRef ref, Series* series, Generation generation, bool may_overlap,
                   std::shared_ptr<const Columns> columns) {
  if (series->rare == nullptr) series->rare = std::make_unique<Rare>();
  stats_.frozen_samples += columns->size();
  ++stats_.frozen_chunks;
  auto chunk = std::make_shared<const FrozenChunk>(
      FrozenChunk{ref, generation, may_overlap, std::move(columns)});
  series->rare->frozen.push_back(chunk);
  frozen_.push_back(std::move(chunk));
}

void Head::FreezeOpen(SeriesRef ref, Series* series) {
  const int64_t first_ms = series->open.first_ms();
  series->floor_ms = std::max(series->floor_ms, series->open.last_ms());
  buffer_bytes_ -= series->open.MemoryBytes();
  // Above the floor and the horizon nothing can overlap: the sealer need not look. Below the
  // horizon the chunk may be merged with older ones, which then take its generation, so the next
  // chunk that reaches into them must have a newer one.
  const bool may_overlap = first_ms <= horizon_ms_;
  if (may_overlap) ++generation_;
  Enqueue(ref, series, generation_, may_overlap, series->open.Take());
}

void Head::FreezeLate(SeriesRef ref, Series* series) {
  SharedColumns& late = series->rare->late;
  series->floor_ms = std::max(series->floor_ms, late.last_ms());
  buffer_bytes_ -= late.MemoryBytes();
  const std::shared_ptr<const Columns> all = late.Take();
  // Newer than everything frozen before it; what is frozen later never overlaps without being
  // newer.
  const Generation generation = ++generation_;
  for (size_t begin = 0; begin < all->size();) {
    const int64_t end_ms = partitioning_.EndOf(all->timestamps_ms[begin]);
    auto piece = std::make_shared<Columns>();
    for (; begin < all->size() && all->timestamps_ms[begin] < end_ms; ++begin) {
      piece->Add(all->timestamps_ms[begin], all->values[begin]);
    }
    Enqueue(ref, series, generation, /*may_overlap=*/true, std::move(piece));
  }
}

std::vector<PinnedSeries> Head::Pin(
    TimeRange range, const std::function<std::vector<SeriesRef>(SeriesRef)>& locked) {
  MutexLock lock(&mutex_);
  const std::vector<SeriesRef> refs = locked(static_cast<SeriesRef>(series_.size()));
  std::vector<PinnedSeries> pinned;
  for (const SeriesRef ref : refs) {
    TINYOBS_DCHECK(ref < series_.size());
    Series& series = series_[ref];
    PinnedSeries pins{ref, {}};
    const auto add = [&](Generation generation, PinnedColumns columns) {
      if (Overlaps(columns, range)) pins.stretches.emplace_back(generation, std::move(columns));
    };
    if (series.rare != nullptr) {
      for (const FrozenPtr& chunk : series.rare->frozen) {
        add(chunk->generation, PinWhole(chunk->columns));
      }
      add(kHeadGeneration, series.rare->late.Pin());
    }
    add(kHeadGeneration + 1, series.open.Pin());
    if (!pins.stretches.empty()) pinned.push_back(std::move(pins));
  }
  return pinned;
}

std::vector<std::shared_ptr<const FrozenChunk>> Head::PeekFrozen(size_t limit) const {
  MutexLock lock(&mutex_);
  return {frozen_.begin(), frozen_.begin() + std::min(limit, frozen_.size())};
}

void Head::ReleaseFrozen(size_t count) {
  MutexLock lock(&mutex_);
  TINYOBS_CHECK(count <= frozen_.size());
  for (; count > 0; --count) {
    const FrozenPtr chunk = std::move(frozen_.front());
    frozen_.pop_front();
    Series& series = series_[chunk->ref];
    std::vector<FrozenPtr>& of_series = series.rare->frozen;
    TINYOBS_CHECK(!of_series.empty() && of_series.front() == chunk);
    of_series.erase(of_series.begin());
    if (of_series.empty() && series.rare->late.empty()) series.rare.reset();
    stats_.samples -= chunk->columns->size();
    stats_.frozen_samples -= chunk->columns->size();
    --stats_.frozen_chunks;
  }
}

void Head::Freeze(SeriesRef begin, SeriesRef end, int64_t now_ms, bool everything) {
  MutexLock lock(&mutex_);
  end = std::min<SeriesRef>(end, static_cast<SeriesRef>(series_.size()));
  for (SeriesRef ref = begin; ref < end; ++ref) {
    Series& series = series_[ref];
    if (!everything && now_ms - series.opened_at_ms < limits_.max_age_ms) continue;
    if (series.has_late()) FreezeLate(ref, &series);
    if (!series.open.empty()) FreezeOpen(ref, &series);
  }
}

std::vector<PinnedSeries> Head::PinUnfrozen(SeriesRef begin, SeriesRef end) {
  MutexLock lock(&mutex_);
  std::vector<PinnedSeries> pinned;
  end = std::min<SeriesRef>(end, static_cast<SeriesRef>(series_.size()));
  for (SeriesRef ref = begin; ref < end; ++ref) {
    Series& series = series_[ref];
    PinnedSeries pins{ref, {}};
    if (series.has_late()) pins.stretches.emplace_back(kHeadGeneration, series.rare->late.Pin());
    if (!series.open.empty()) pins.stretches.emplace_back(kHeadGeneration + 1, series.open.Pin());
    if (!pins.stretches.empty()) pinned.push_back(std::move(pins));
  }
  return pinned;
}

SeriesRef Head::ref_limit() const {
  MutexLock lock(&mutex_);
  return static_cast<SeriesRef>(series_.size());
}

HeadStats Head::Stats() const {
  MutexLock lock(&mutex_);
  HeadStats stats = stats_;
  stats.bytes = series_.capacity() * sizeof(Series) + buffer_bytes_ +
                stats_.frozen_samples * sizeof(Sample) + stats_.frozen_chunks * sizeof(FrozenChunk);
  return stats;
}

}  // namespace tinyobs::tsdb
