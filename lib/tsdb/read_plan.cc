#include "lib/tsdb/read_plan.h"

#include <algorithm>

namespace tinyobs::tsdb {

namespace {

// What is asked of raw partitions in ascending order.
class Planner {
 public:
  Planner(const TierMarks& marks, const Partitioning& raw, const Partitioning& five_minutes,
          Resolution wanted, std::span<const uint32_t> newer)
      : marks_(marks), raw_(raw), five_minutes_(five_minutes), wanted_(wanted), newer_(newer) {}

  Resolution ResolutionAt(uint32_t partition) const {
    const int64_t start_ms = raw_.StartOfNumber(partition);
    if (start_ms < marks_.five_minutes_from_ms) return Resolution::kOneHour;
    if (wanted_ == Resolution::kOneHour && InOneHour(start_ms)) return Resolution::kOneHour;
    if (start_ms < marks_.raw_from_ms) return Resolution::kFiveMinutes;
    if (wanted_ == Resolution::kRaw || !InFiveMinutes(partition)) return Resolution::kRaw;
    return Resolution::kFiveMinutes;
  }

 private:
  static bool IsIn(std::span<const PartitionMark> marks, uint32_t partition) {
    const auto at = std::lower_bound(
        marks.begin(), marks.end(), partition,
        [](const PartitionMark& mark, uint32_t number) { return mark.partition < number; });
    // Where there is no partition there is nothing to read; raw says so as well as any other.
    return at != marks.end() && at->partition == partition && at->in_coarser;
  }
  bool InFiveMinutes(uint32_t partition) const {
    return IsIn(marks_.raw, partition) &&
           !std::binary_search(newer_.begin(), newer_.end(), partition);
  }
  // Whether all raw partitions that the 5m partition of `time_ms` was made of are as it knows them.
  bool InOneHour(int64_t time_ms) const {
    if (!IsIn(marks_.five_minutes, five_minutes_.NumberOf(time_ms))) return false;
    const uint32_t first = raw_.NumberOf(five_minutes_.StartOf(time_ms));
    const uint32_t end = raw_.NumberOf(five_minutes_.EndOf(time_ms));
    const auto newer = std::lower_bound(newer_.begin(), newer_.end(), first);
    if (newer != newer_.end() && *newer < end) return false;
    auto mark = std::lower_bound(
        marks_.raw.begin(), marks_.raw.end(), first,
        [](const PartitionMark& at, uint32_t number) { return at.partition < number; });
    for (; mark != marks_.raw.end() && mark->partition < end; ++mark) {
      if (!mark->in_coarser) return false;
    }
    return true;
  }

  const TierMarks& marks_;
  const Partitioning& raw_;
  const Partitioning& five_minutes_;
  const Resolution wanted_;
  const std::span<const uint32_t> newer_;
};

}  // namespace

std::vector<ReadPiece> PlanReads(const TierMarks& marks, const Partitioning& raw,
                                 const Partitioning& five_minutes, TimeRange range,
                                 Resolution wanted, std::span<const uint32_t> newer) {
  // Where the answer may change: at the ends of the tiers and around what exists. There are gaps of
  // any length between partitions, so time itself is not walked.
  std::vector<int64_t> borders;
  const auto add = [&](int64_t time_ms) {
    if (time_ms > range.from_ms && time_ms <= range.to_ms) borders.push_back(time_ms);
  };
  add(marks.raw_from_ms);
  add(marks.five_minutes_from_ms);
  for (const PartitionMark& mark : marks.raw) {
    add(raw.StartOfNumber(mark.partition));
    add(raw.LastMsOf(mark.partition) + 1);
  }
  for (const PartitionMark& mark : marks.five_minutes) {
    add(five_minutes.StartOfNumber(mark.partition));
    add(five_minutes.LastMsOf(mark.partition) + 1);
  }
  std::sort(borders.begin(), borders.end());
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());

  const Planner planner(marks, raw, five_minutes, wanted, newer);
  std::vector<ReadPiece> pieces;
  int64_t from_ms = range.from_ms;
  for (size_t i = 0; i <= borders.size(); ++i) {
    const int64_t to_ms = i < borders.size() ? borders[i] - 1 : range.to_ms;
    const Resolution resolution = planner.ResolutionAt(raw.NumberOf(from_ms));
    if (pieces.empty() || pieces.back().resolution != resolution) {
      pieces.push_back({{from_ms, to_ms}, resolution});
    } else {
      pieces.back().range.to_ms = to_ms;
    }
    if (i < borders.size()) from_ms = borders[i];
  }
  return pieces;
}

}  // namespace tinyobs::tsdb
