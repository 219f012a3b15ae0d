#include "lib/tsdb/sealer.h"

#include <memory>
#include <vector>

#include "lib/base/status_macros.h"

namespace tinyobs::tsdb {

namespace {
// Of one step: some hundred kilobytes of rows, a millisecond or two.
constexpr size_t kChunksPerStep = 512;
constexpr size_t kSeriesPerBatch = 1024;
}  // namespace

absl::Status Sealer::SaveCatalog() {
  lsm::WriteOptions options;
  options.skip_wal = true;
  while (true) {
    lsm::WriteBatch batch;
    const Catalog::Unsaved unsaved = catalog_->PutUnsaved(kSeriesPerBatch, &batch);
    if (batch.empty()) return absl::OkStatus();
    TINYOBS_RETURN_IF_ERROR(store_->Write(options, batch));
    catalog_->MarkSaved(unsaved);
  }
}

void Sealer::Publish(size_t chunks) {
  MutexLock lock(&publish_);
  chunks_->Publish();
  head_->ReleaseFrozen(chunks);
  chunks_sealed_.fetch_add(chunks, std::memory_order_relaxed);
}

absl::StatusOr<bool> Sealer::Step() {
  MutexLock turn(&step_);
  // Frozen chunks first, catalog second: the series of every chunk we saw is in the catalog by
  // then.
  const auto frozen = head_->PeekFrozen(kChunksPerStep);
  TINYOBS_RETURN_IF_ERROR(SaveCatalog());
  std::vector<ChunkStore::NewChunk> chunks;
  for (const auto& chunk : frozen) {
    chunks.push_back({index_->IdOf(chunk->ref), chunk->generation, chunk->columns->timestamps_ms,
                      chunk->columns->values});
  }
  // Runs that need no look into the LSM go as one batch.
  for (size_t begin = 0; begin < frozen.size();) {
    size_t end = begin + 1;
    if (frozen[begin]->may_overlap) {
      TINYOBS_RETURN_IF_ERROR(chunks_->WriteOverlapping(chunks[begin]));
    } else {
      while (end < frozen.size() && !frozen[end]->may_overlap) ++end;
      TINYOBS_RETURN_IF_ERROR(chunks_->Write(std::span(chunks).subspan(begin, end - begin)));
    }
    Publish(end - begin);
    begin = end;
  }
  return frozen.size() == kChunksPerStep;
}

absl::Status Sealer::All() {
  // Bounded by what is there now: writers may freeze faster than we write.
  uint64_t left = head_->Stats().frozen_chunks;
  while (true) {
    TINYOBS_ASSIGN_OR_RETURN(const bool more, Step());
    if (!more || left <= kChunksPerStep) return absl::OkStatus();
    left -= kChunksPerStep;
  }
}

std::pair<PartitionCounts, HeadStats> Sealer::Counts() const {
  MutexLock lock(&publish_);
  return {chunks_->Totals(), head_->Stats()};
}

}  // namespace tinyobs::tsdb
