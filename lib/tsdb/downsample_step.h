// DownsampleStep: what one step of the Downsampler reads and is going to write: series after
// series, of one partition, the windows they make in the coarser tier.
//
// Apart from the Downsampler, which decides what is done when and under which locks; here is how
// one series is done, the same way whether its partition is new, touched or late.
//
// Thread-safety: one thread; under ChunkStore::ageing_turn, from the first series to Commit.
#ifndef TINYOBS_LIB_TSDB_DOWNSAMPLE_STEP_H_
#define TINYOBS_LIB_TSDB_DOWNSAMPLE_STEP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/check.h"
#include "lib/base/iterator.h"
#include "lib/base/memory_accountant.h"
#include "lib/base/status_macros.h"
#include "lib/chunk/window.h"
#include "lib/lsm/store.h"
#include "lib/tsdb/chunk_scan.h"
#include "lib/tsdb/chunk_store.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/rows.h"
#include "lib/tsdb/window_rows.h"

namespace tinyobs::tsdb {

// The tier that is made of this one.
inline Tier CoarserThan(Tier tier) {
  TINYOBS_DCHECK(tier == Tier::kRaw || tier == Tier::kFiveMinutes);
  return tier == Tier::kRaw ? Tier::kFiveMinutes : Tier::kOneHour;
}

class DownsampleStep {
 public:
  DownsampleStep(ChunkStore* chunks, MemoryAccount* account, Tier tier, uint32_t partition)
      : chunks_(chunks),
        tier_(tier),
        partition_(partition),
        maker_(chunks->partitioning(), account),
        own_(tier, chunks->partitioning(tier), partition) {
    if (tier == Tier::kOneHour) return;
    const Tier coarser = CoarserThan(tier);
    const Partitioning& finer = chunks->partitioning(tier);
    const int64_t start_ms = finer.StartOfNumber(partition);
    const uint32_t number = chunks->partitioning(coarser).NumberOf(start_ms);
    span_ = {start_ms, finer.LastMsOf(partition)};
    coarser_.emplace(coarser, chunks->partitioning(coarser), number);
    // What has gone does not come back.
    coarser_is_gone_ = number < chunks->DroppedBefore(coarser);
  }

  // `coarser`: the mark of the coarser partition; with any, rows of a series in it are joined or
  // about to be. `may_be_there`: a row of this span may be, else none is.
  void Begin(Downsampled coarser, bool may_be_there) {
    joined_ = coarser != Downsampled::kNo;
    look_ = joined_ || may_be_there;
  }

  // Makes the windows of a series anew from its rows in the partition. `rows` is over the tier and
  // at the first key not before those of the series; it is left behind them. Chunks that are
  // damaged are counted by `losses`, unless that is null.
  absl::Status DoSeries(SeriesId series, Iterator* rows, Losses* losses) {
    const std::string prefix = SeriesPrefix(tier_, partition_, series);
    if (tier_ == Tier::kRaw) {
      TINYOBS_RETURN_IF_ERROR(maker_.FromSamples(prefix, partition_, rows, losses, &windows_));
    } else {
      TINYOBS_RETURN_IF_ERROR(own_.Load(series, rows));
      TINYOBS_RETURN_IF_ERROR(own_.Windows(&windows_));
      own_.ReplaceAll(windows_, &batch_);
      if (tier_ == Tier::kOneHour) return absl::OkStatus();
      windows_ = chunk::Rollup(windows_, WidthMs(Tier::kOneHour));
    }
    if (coarser_is_gone_) return absl::OkStatus();
    return PutWindows(series);
  }

  // Of a series: removes the windows that `doomed` wants, from its rows in the partition.
  template <typename Doomed>
  absl::Status RemoveWindows(SeriesId series, Iterator* rows, const Doomed& doomed) {
    MoveForward(SeriesPrefix(tier_, partition_, series), rows);
    TINYOBS_RETURN_IF_ERROR(own_.Load(series, rows));
    TINYOBS_ASSIGN_OR_RETURN(const bool changed, own_.Remove(doomed, &batch_));
    if (changed) changed_in_own_.push_back(series);
    return absl::OkStatus();
  }

  // Writes what was gathered, and what `change` does to the counts of the partition.
  // REQUIRES: holding the chunk store's turn.
  template <typename Change>
  absl::Status Commit(const Change& change) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    if (coarser_.has_value()) {
      PartitionCounts* const counts = chunks_->Staged(coarser_->tier(), coarser_->partition());
      coarser_->AddTo(counts);
      if (coarser_->tier() == Tier::kFiveMinutes) Touch(*coarser_, changed_);
    }
    PartitionCounts* const counts = chunks_->Staged(tier_, partition_);
    own_.AddTo(counts);
    if (tier_ == Tier::kFiveMinutes) Touch(own_, changed_in_own_);
    change(counts);
    if (coarser_.has_value() && coarser_->tier() == Tier::kOneHour) {
      ForgetIfEmpty(chunks_->Staged(coarser_->tier(), coarser_->partition()));
    }
    if (tier_ == Tier::kOneHour) ForgetIfEmpty(counts);
    TINYOBS_RETURN_IF_ERROR(chunks_->Commit(&batch_));
    chunks_->Publish();
    return absl::OkStatus();
  }

  lsm::WriteBatch& batch() { return batch_; }
  uint64_t samples() const { return maker_.samples(); }
  uint64_t rows_written() const {
    return own_.rows_written() + (coarser_.has_value() ? coarser_->rows_written() : 0);
  }

 private:
  // A partition of which nothing is left and nothing is to be told.
  static void ForgetIfEmpty(PartitionCounts* counts) {
    if (counts->samples == 0 && counts->downsampled == Downsampled::kYes) {
      counts->downsampled = Downsampled::kNo;
    }
  }
  void Touch(const WindowRows& rows,
             const std::vector<SeriesId>& series) ABSL_NO_THREAD_SAFETY_ANALYSIS {
    for (const SeriesId id : series) chunks_->Touch(rows.tier(), rows.partition(), id, &batch_);
  }

  // Puts `windows_`, which are all there are of the span, into the coarser tier.
  absl::Status PutWindows(SeriesId series) {
    if (!look_) {
      coarser_->Clear(series);
    } else {
      if (coarser_rows_ == nullptr) {
        coarser_rows_ = RowsBetween(
            chunks_->store(), SeriesPrefix(coarser_->tier(), coarser_->partition(), series),
            PrefixEnd(ChunkPrefix(coarser_->tier(), coarser_->partition())));
      }
      MoveForward(SeriesPrefix(coarser_->tier(), coarser_->partition(), series),
                  coarser_rows_.get());
      TINYOBS_RETURN_IF_ERROR(coarser_->Load(series, coarser_rows_.get()));
    }
    bool changed = false;
    if (joined_) {
      TINYOBS_RETURN_IF_ERROR(coarser_->Windows(&all_));
      chunk::SpliceWindows(span_.from_ms, span_.to_ms, windows_, &all_);
      changed = coarser_->ReplaceAll(all_, &batch_);
    } else {
      changed = coarser_->Replace(span_.from_ms, windows_, &batch_);
    }
    if (changed) changed_.push_back(series);
    return absl::OkStatus();
  }

  ChunkStore* const chunks_;
  const Tier tier_;
  const uint32_t partition_;
  WindowMaker maker_;
  WindowRows own_;  // of the partition itself, unless it is raw
  TimeRange span_;
  std::optional<WindowRows> coarser_;
  std::unique_ptr<Iterator> coarser_rows_;
  bool coarser_is_gone_ = false;
  bool joined_ = false;
  bool look_ = false;
  std::vector<chunk::Window> windows_;
  std::vector<chunk::Window> all_;
  std::vector<SeriesId> changed_;  // in the coarser tier
  std::vector<SeriesId> changed_in_own_;
  lsm::WriteBatch batch_;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_DOWNSAMPLE_STEP_H_
