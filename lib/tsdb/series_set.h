// The answer of a Select: streams series by series out of one instant of head and LSM, raw samples
// and windows of the coarser tiers, each for the times that the plan (read_plan.h) gave it.
//
// Memory: what the head pinned (encoded), plus one series' samples in the range; both are charged
// to the queries' account. A query that does not fit ends with ResourceExhausted, which is a limit
// (IsQueryLimit) when nobody else has anything on the account.
// Chunks are read and decoded as the caller moves on. In the order of ids the LSM is read from
// front to back; in the order of labels each series costs a seek in each partition.
#ifndef TINYOBS_LIB_TSDB_SERIES_SET_H_
#define TINYOBS_LIB_TSDB_SERIES_SET_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/memory_accountant.h"
#include "lib/lsm/store.h"
#include "lib/tsdb/catalog.h"
#include "lib/tsdb/chunk_scan.h"
#include "lib/tsdb/head.h"
#include "lib/tsdb/series_index.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

class SeriesSetImpl : public SeriesSet {
 public:
  // One series of the answer.
  struct Entry {
    SeriesId id = 0;
    SeriesRef ref = 0;   // in the index of its group
    uint32_t group = 0;  // 0 = in memory, else the place in `groups` + 1
  };
  // What the parts of an answer share; the last one that is done lets go of it.
  struct Instant {
    std::optional<SeriesNames> names;                        // of those in memory
    std::vector<std::shared_ptr<const SeriesIndex>> groups;  // of idle series
    HeadPin head;                                            // stretches ascend by ref
    MemoryCharge head_charge;
    std::unique_ptr<const lsm::Snapshot> snapshot;  // of the LSM, of the same instant
  };
  struct Source {
    std::shared_ptr<const Instant> instant;
    TimeRange range;
    uint64_t sample_limit = 0;
    std::vector<Entry> entries;       // in the order of the answer
    std::unique_ptr<ChunkScan> scan;  // at the snapshot, of raw samples
    // Tiers that answer a part of the range, coarser ones first; mostly none.
    struct Tier {
      Resolution resolution = Resolution::kFiveMinutes;
      std::vector<TimeRange> pieces;
      std::unique_ptr<ChunkScan> scan;
    };
    std::vector<Tier> tiers;
    uint32_t window_columns = 0;  // as in SelectHints, as the next
    WindowValue window_value = WindowValue::kByType;
    const Catalog* catalog = nullptr;  // knows types
    MemoryAccount* memory = nullptr;
  };
  explicit SeriesSetImpl(Source source);

  // Brings `entries` into the order of labels.
  static void SortByLabels(const Instant& instant, std::vector<Entry>* entries);
  // `alone`: nobody else took memory, so it would be the same again.
  static absl::Status MemoryError(std::string_view message, bool alone);

  bool Next() override;
  const Labels& labels() const override { return labels_; }
  const Columns& columns() const override { return columns_; }
  std::span<const Windows> windows() const override { return windows_; }
  Resolution resolution() const override { return resolution_; }
  absl::Status status() const override { return status_; }

 private:
  absl::Status Load(const Entry& entry);
  absl::Status LoadHead(SeriesRef ref);
  // Little more than `room` windows, of all tiers.
  absl::Status LoadWindows(SeriesId series, uint32_t columns, uint64_t room);
  // Turns windows_ into points of columns_.
  void DrawWindows(WindowValue value);
  WindowValue ValueFor(std::string_view metric) const;
  absl::Status OverBudget(const absl::Status& exhausted) const;
  static Labels LabelsOf(const Instant& instant, const Entry& entry);

  Source source_;
  size_t next_ = 0;  // in source_.entries
  uint64_t samples_ = 0;
  ColumnMerger merger_;
  MemoryCharge columns_charge_;
  Columns stretch_;
  Labels labels_;
  Columns columns_;
  std::vector<Windows> windows_;
  Resolution resolution_ = Resolution::kRaw;
  absl::Status status_;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_SERIES_SET_H_
