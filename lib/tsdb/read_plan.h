// PlanReads: which tier answers which part of a query's time.
//
// Raw samples, 5m and 1h windows lie over each other for days or months: windows are made while the
// raw samples are still there. A query must take each moment from one of them only, or sums would
// count it twice; and from the best one that is right: a partition whose windows are not made yet,
// or are older than a late sample, is read finer. So the choice is made by partition, as the marks
// (chunk_store.h) are, and not by one border per tier.
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_TSDB_READ_PLAN_H_
#define TINYOBS_LIB_TSDB_READ_PLAN_H_

#include <cstdint>
#include <span>
#include <vector>

#include "lib/tsdb/key_schema.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

// What is known of one partition of a tier.
struct PartitionMark {
  uint32_t partition = 0;
  // Its windows are in the next coarser tier, and nothing has changed in it since.
  bool in_coarser = false;
};

struct TierMarks {
  // Of the partitions that exist, ascending.
  std::vector<PartitionMark> raw;
  std::vector<PartitionMark> five_minutes;
  // What is before them has left the tier: it is in the coarser one or nowhere. Raw samples leave
  // first (tinyobs/options.h).
  int64_t raw_from_ms = INT64_MIN;
  int64_t five_minutes_from_ms = INT64_MIN;
};

// A stretch of time, both ends included, and what answers it.
struct ReadPiece {
  TimeRange range;
  Resolution resolution = Resolution::kRaw;
  friend bool operator==(const ReadPiece&, const ReadPiece&) = default;
};

// Pieces that cover `range` without a gap or an overlap, ascending, neighbours of different
// resolution; borders lie between partitions. `wanted`: the coarsest resolution that will do;
// coarser ones answer only where nothing finer is left. `newer`, ascending: raw partitions with
// samples that are not sealed yet; no window has those. Cost: of the partitions in `range`.
std::vector<ReadPiece> PlanReads(const TierMarks& marks, const Partitioning& raw,
                                 const Partitioning& five_minutes, TimeRange range,
                                 Resolution wanted, std::span<const uint32_t> newer);

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_READ_PLAN_H_
