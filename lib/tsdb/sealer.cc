#include "lib/tsdb/sealer.h"

#include <algorithm>
#include <span>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/open_chunk.h"

namespace tinyobs::tsdb {

namespace {
// Of one step: some hundred kilobytes of rows, a few milliseconds, and 2 MiB of columns.
constexpr size_t kSamplesPerStep = 1 << 17;
// In any case less than a memtable, which small budgets make small: a sample takes up to 9 bytes.
constexpr size_t kMemtableBytesPerSample = 16;
constexpr size_t kSeriesPerBatch = 1024;

}  // namespace

Sealer::Sealer(lsm::Store* store, SeriesIndex* index, Catalog* catalog, IdleSeries* idle,
               SharedMutex* membership, ChunkStore* chunks, Head* head, size_t memtable_bytes)
    : store_(store),
      index_(index),
      catalog_(catalog),
      idle_(idle),
      membership_(membership),
      chunks_(chunks),
      head_(head),
      samples_per_step_(std::min(kSamplesPerStep, memtable_bytes / kMemtableBytesPerSample)) {}

absl::Status Sealer::WriteRevived(const std::vector<std::string>& labels, lsm::WriteBatch* batch) {
  absl::Status status;
  for (size_t i = 0; status.ok() && i < labels.size(); ++i) {
    status = idle_->PutRevived(labels[i], batch);
  }
  // A query that has looked at the index must still find there who leaves here.
  WriterMutexLock lock(membership_);
  if (status.ok()) status = store_->Write(lsm::kUnlogged, *batch);
  if (!status.ok()) {
    idle_->Discard();
    return status;
  }
  idle_->Publish();
  return absl::OkStatus();
}

absl::Status Sealer::SaveCatalog() {
  while (true) {
    lsm::WriteBatch batch;
    const Catalog::Unsaved unsaved = catalog_->PutUnsaved(kSeriesPerBatch, &batch);
    if (batch.empty()) return absl::OkStatus();
    if (unsaved.revived.empty()) {
      TINYOBS_RETURN_IF_ERROR(store_->Write(lsm::kUnlogged, batch));
    } else {
      TINYOBS_RETURN_IF_ERROR(WriteRevived(unsaved.revived, &batch));
    }
    catalog_->MarkSaved(unsaved);
  }
}

absl::StatusOr<bool> Sealer::Step() {
  MutexLock turn(&step_);
  // Frozen chunks first, catalog second: the series of every chunk we saw is in the catalog by
  // then.
  const size_t count = head_->PeekFrozen(samples_per_step_, &pin_);
  TINYOBS_RETURN_IF_ERROR(SaveCatalog());
  if (count == 0) return false;
  samples_.clear();
  for (const HeadPin::Stretch& stretch : pin_.stretches) {
    if (!DecodeStream(pin_.Stream(stretch), stretch.first_ms, stretch.count, &samples_)) {
      return absl::DataLossError(
          StrCat("series ", stretch.ref, ": a chunk in memory does not decode"));
    }
  }
  new_chunks_.clear();
  hints_.resize(count);
  size_t begin = 0;
  for (const HeadPin::Stretch& stretch : pin_.stretches) {
    chunk::ExponentHint& hint = hints_[new_chunks_.size()];
    hint.exponent = stretch.exponent;
    NewChunk& chunk = new_chunks_.emplace_back();
    chunk.series = index_->IdOf(stretch.ref);
    chunk.generation = stretch.generation;
    chunk.timestamps_ms = std::span(samples_.timestamps_ms).subspan(begin, stretch.count);
    chunk.values = std::span(samples_.values).subspan(begin, stretch.count);
    chunk.may_overlap = stretch.may_overlap;
    chunk.hint = &hint;
    begin += stretch.count;
  }
  // In the order of keys their places in the memtable are near each other: 4 % of all the work of
  // an append is saved. Those of one series keep the order they were written in.
  std::stable_sort(new_chunks_.begin(), new_chunks_.end(),
                   [](const NewChunk& a, const NewChunk& b) { return a.series < b.series; });
  {
    MutexLock writing(&chunks_->turn());
    TINYOBS_RETURN_IF_ERROR(chunks_->Write(new_chunks_));
    MutexLock lock(&publish_);
    chunks_->Publish();
    head_->ReleaseFrozen(count);
    chunks_sealed_.fetch_add(count, std::memory_order_relaxed);
  }
  return head_->Stats().frozen_chunks > 0;
}

absl::Status Sealer::All() {
  // Bounded by what is there now: writers may freeze faster than we write. Counted under the lock,
  // lest a step of another thread fall between the two and the end come too early.
  uint64_t end = 0;
  {
    MutexLock lock(&publish_);
    end = chunks_sealed() + head_->Stats().frozen_chunks;
  }
  while (true) {
    TINYOBS_ASSIGN_OR_RETURN(const bool more, Step());
    if (!more || chunks_sealed() >= end) return absl::OkStatus();
  }
}

absl::Status Sealer::Alone(const std::function<absl::Status()>& alone) {
  MutexLock turn(&step_);
  return alone();
}

std::pair<PartitionCounts, HeadStats> Sealer::Counts() const {
  MutexLock lock(&publish_);
  return {chunks_->Totals(), head_->Stats()};
}

}  // namespace tinyobs::tsdb
