// Sealer: moves what is frozen in the head into the LSM, a bounded step at a time.
//
// Rows of new series and metadata go before the chunks, so that no chunk in the LSM lacks its
// series. Nothing is logged a second time: until the LSM flushes, the head log still has it all. A
// chunk stays in the head until its row is in the LSM, so a query finds it in one of them at every
// moment.
//
// Thread-safety: thread-safe. Steps exclude each other; queries never wait for one, commits only
// when the backlog is too long.
#ifndef TINYOBS_LIB_TSDB_SEALER_H_
#define TINYOBS_LIB_TSDB_SEALER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/base/shared_mutex.h"
#include "lib/lsm/store.h"
#include "lib/tsdb/catalog.h"
#include "lib/tsdb/chunk_store.h"
#include "lib/tsdb/head.h"
#include "lib/tsdb/idle_series.h"
#include "lib/tsdb/series_index.h"

namespace tinyobs::tsdb {

class Sealer {
 public:
  // All must outlive this.
  // `membership` is held exclusively while a series leaves the idle ones. `memtable_bytes`: of the
  // store; a step is less than one, or memtables would outgrow their share of the memory.
  Sealer(lsm::Store* store, SeriesIndex* index, Catalog* catalog, IdleSeries* idle,
         SharedMutex* membership, ChunkStore* chunks, Head* head, size_t memtable_bytes);

  // One step; true when there is more to do. Errors are the LSM's; what was not written stays in
  // the head and the next step tries again. May wait for the LSM (write stall).
  absl::StatusOr<bool> Step();
  // Until nothing is left of what was frozen before the call.
  absl::Status All();
  // Runs `alone` while no step does: for a copy of the database.
  absl::Status Alone(const std::function<absl::Status()>& alone);

  // Sealed and head counts that belong together.
  std::pair<PartitionCounts, HeadStats> Counts() const;
  uint64_t chunks_sealed() const { return chunks_sealed_.load(std::memory_order_relaxed); }

 private:
  absl::Status SaveCatalog() ABSL_EXCLUSIVE_LOCKS_REQUIRED(step_);
  absl::Status WriteRevived(const std::vector<std::string>& labels, lsm::WriteBatch* batch)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(step_);

  lsm::Store* const store_;
  SeriesIndex* const index_;
  Catalog* const catalog_;
  IdleSeries* const idle_;
  SharedMutex* const membership_;
  ChunkStore* const chunks_;
  Head* const head_;
  const size_t samples_per_step_;
  std::atomic<uint64_t> chunks_sealed_{0};

  // A turn rather than a lock: held while the LSM writes.
  Mutex step_;
  HeadPin pin_ ABSL_GUARDED_BY(step_);  // scratch, as the three below
  Columns samples_ ABSL_GUARDED_BY(step_);
  std::vector<NewChunk> new_chunks_ ABSL_GUARDED_BY(step_);
  std::vector<chunk::ExponentHint> hints_ ABSL_GUARDED_BY(step_);
  mutable Mutex publish_;  // makes "counted as sealed" and "gone from the head" one change
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_SEALER_H_
