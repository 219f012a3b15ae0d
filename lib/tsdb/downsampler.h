// Downsampler: makes windows of five minutes out of raw samples, and windows of an hour out of
// those, and keeps them true when what they were made of changes.
//
//   raw partition P (2 h)  --windows-->  row in T(P), 12 of them, once P is over
//   5m partition T (1 day) --join------> one row per series, once T is over and all its P are in it
//                          --rollup----> row in U(T), 16 of them
//   1h partition U (16 d)  --join------> one row per series, once U is over
//
// The value of a row is a row of windows (lib/chunk/FORMAT.md), its key says where the span begins
// that it was made for. Rows of a series in a partition do not overlap.
//
// Windows are a function of the samples and of nothing else: not of how they were cut into chunks,
// nor of what order they came in, nor of what crash came between. So samples are brought into
// columns first, and aggregated window by window; chunk summaries would be faster, but what they
// say of values that are no decimals depends on the cut in the last bit. A crash therefore costs
// the work since the last flush of the LSM, and doing it again makes the same bytes.
//
// How nothing is missed: before the first series of a partition is looked at, the partition is
// marked (chunk_row.h, Downsampled), and from then on every change leaves a row `touched`. Such a
// series is done again from all its samples, under ChunkStore's turn, so that nothing comes between
// its last look and the batch that takes the row away. How nothing is done twice: how far a pass
// has come is in the batch with the rows it made. FORMAT.md argues each crash point.
//
// A run is one ascending walk: partitions that are over, then those touched, tier by tier. What is
// touched behind the walk waits for the next one, so a run ends however much comes late.
//
// Thread-safety: thread-safe; steps wait for each other and for what else ages chunks
// (ChunkStore::ageing_turn). Writers of chunks wait for some milliseconds at most.
#ifndef TINYOBS_LIB_TSDB_DOWNSAMPLER_H_
#define TINYOBS_LIB_TSDB_DOWNSAMPLER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/memory_accountant.h"
#include "lib/base/mutex.h"
#include "lib/tsdb/chunk_store.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/window_rows.h"
#include "tinyobs/querier.h"
#include "tinyobs/stats.h"

namespace tinyobs::tsdb {

class Downsampler {
 public:
  // `account` (may be null) is told of the memory of a step: a batch, and the samples of one series
  // in one partition or 4 MiB of them. `memtable_bytes`: of the store; a batch is less than one.
  Downsampler(ChunkStore* chunks, MemoryAccount* account, size_t memtable_bytes);

  // InvalidArgument: windows would not fit partitions of this length evenly, or a row.
  static absl::Status CheckPartitionMs(int64_t partition_ms);

  // A piece of a run, some 10 ms: partitions that ended at or before `closed_ms` are downsampled,
  // what was touched is done again. False: the run is over, the next step begins another. Nothing
  // is durable before the next flush of the LSM. On an error (DataLoss: damage that is no loss yet)
  // the partition stays as it is, to be tried again in the next run, and the next step goes on
  // behind.
  absl::StatusOr<bool> Step(int64_t closed_ms, Losses* losses = nullptr)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Of the series (ascending), takes the windows back that overlap `range`, after ChunkStore's
  // DeleteRange: where the samples were dropped, whole windows; where they are there, windows are
  // made anew of those that are left. Durable after the next flush of the LSM.
  absl::Status DeleteRange(std::span<const SeriesId> series, TimeRange range)
      ABSL_LOCKS_EXCLUDED(mutex_);

  // Of raw, 5m and 1h, in this order; `closed_ms` as of Step.
  std::vector<TierStats> Tiers(int64_t closed_ms) const;
  // Since open: rows of windows that were written, and series that were looked at.
  uint64_t rows_written() const { return rows_written_.load(std::memory_order_relaxed); }
  uint64_t series_done() const { return series_done_.load(std::memory_order_relaxed); }

 private:
  // What a step works on: partitions of a tier that are over, or those touched.
  struct Phase {
    Tier tier;
    bool touched;
  };
  static constexpr std::array kPhases = {
      Phase{Tier::kRaw, false}, Phase{Tier::kRaw, true}, Phase{Tier::kFiveMinutes, false},
      Phase{Tier::kFiveMinutes, true}, Phase{Tier::kOneHour, false}};
  struct Place {
    size_t phase = 0;
    uint32_t partition = 0;
    std::string after;  // of touched rows: the key of the last one
    friend bool operator==(const Place&, const Place&) = default;
  };
  // The first thing to do at or behind `place_`. False: nothing more.
  bool FindWork(int64_t closed_ms) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Advance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Of the partition that windows of this one go to.
  Downsampled CoarserState(Tier tier, uint32_t partition) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(chunks_->turn());

  // Each returns whether there is more in the partition. `losses`: null = damage is an error.
  absl::StatusOr<bool> PassStep(Tier tier, uint32_t partition, Losses* losses)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_, chunks_->ageing_turn());
  absl::StatusOr<bool> TouchedStep(Tier tier, uint32_t partition, std::string* after,
                                   Losses* losses)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_, chunks_->ageing_turn());

  ChunkStore* const chunks_;
  MemoryAccount* const account_;
  const size_t batch_bytes_;
  std::atomic<uint64_t> rows_written_{0};
  std::atomic<uint64_t> series_done_{0};

  Mutex mutex_;  // a turn: held during I/O
  Place place_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_DOWNSAMPLER_H_
