// Each moment of a query is answered once, by the coarsest tier that was asked for and is right.
#include "lib/tsdb/read_plan.h"

#include <algorithm>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace tinyobs::tsdb {
namespace {

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kRawMs = 2 * kHourMs;
constexpr int64_t kDayMs = 24 * kHourMs;

class ReadPlanTest : public ::testing::Test {
 protected:
  uint32_t Raw(int64_t time_ms) const { return raw_.NumberOf(time_ms); }
  uint32_t Day(int64_t time_ms) const { return day_.NumberOf(time_ms); }
  std::vector<ReadPiece> Plan(TimeRange range, Resolution wanted,
                              std::vector<uint32_t> newer = {}) const {
    return PlanReads(marks_, raw_, day_, range, wanted, newer);
  }

  const Partitioning raw_{kRawMs};
  const Partitioning day_{kDayMs};
  TierMarks marks_;
};

// Ten days; of the first six no raw samples are left, of the first three no 5m windows.
class AgedTest : public ReadPlanTest {
 protected:
  AgedTest() {
    for (int64_t day = 3; day < 10; ++day) {
      marks_.five_minutes.push_back({Day(day * kDayMs), day < 9});
    }
    for (int64_t at = 6 * kDayMs; at < 10 * kDayMs + 3 * kRawMs; at += kRawMs) {
      marks_.raw.push_back({Raw(at), at < 10 * kDayMs});
    }
    marks_.five_minutes_from_ms = 3 * kDayMs;
    marks_.raw_from_ms = 6 * kDayMs;
  }
  PartitionMark& RawMark(int64_t time_ms) {
    return *std::find_if(marks_.raw.begin(), marks_.raw.end(),
                         [&](const PartitionMark& mark) { return mark.partition == Raw(time_ms); });
  }
};

TEST_F(ReadPlanTest, WithoutPartitionsOnePieceAnswersAllOfTime) {
  const TimeRange all;
  EXPECT_EQ(Plan(all, Resolution::kOneHour), (std::vector<ReadPiece>{{all, Resolution::kRaw}}));
}

TEST_F(AgedTest, TheFinestThatIsLeftAnswersUnlessMoreIsAllowed) {
  EXPECT_EQ(Plan({0, 20 * kDayMs}, Resolution::kRaw),
            (std::vector<ReadPiece>{{{0, 3 * kDayMs - 1}, Resolution::kOneHour},
                                    {{3 * kDayMs, 6 * kDayMs - 1}, Resolution::kFiveMinutes},
                                    {{6 * kDayMs, 20 * kDayMs}, Resolution::kRaw}}));
}

TEST_F(AgedTest, FiveMinutesAnswerUpToWhatIsNotDownsampledYet) {
  EXPECT_EQ(Plan({4 * kDayMs + 1, 20 * kDayMs}, Resolution::kFiveMinutes),
            (std::vector<ReadPiece>{{{4 * kDayMs + 1, 10 * kDayMs - 1}, Resolution::kFiveMinutes},
                                    {{10 * kDayMs, 20 * kDayMs}, Resolution::kRaw}}));
}

TEST_F(AgedTest, OneHourIsFollowedByTheFinerOnesWhereItIsNotMadeYet) {
  EXPECT_EQ(Plan({}, Resolution::kOneHour),
            (std::vector<ReadPiece>{{{INT64_MIN, 9 * kDayMs - 1}, Resolution::kOneHour},
                                    {{9 * kDayMs, 10 * kDayMs - 1}, Resolution::kFiveMinutes},
                                    {{10 * kDayMs, INT64_MAX}, Resolution::kRaw}}));
}

TEST_F(AgedTest, ALateSampleMakesItsPartitionReadFiner) {
  RawMark(7 * kDayMs + kRawMs).in_coarser = false;
  EXPECT_EQ(Plan({6 * kDayMs, 8 * kDayMs}, Resolution::kFiveMinutes),
            (std::vector<ReadPiece>{
                {{6 * kDayMs, 7 * kDayMs + kRawMs - 1}, Resolution::kFiveMinutes},
                {{7 * kDayMs + kRawMs, 7 * kDayMs + 2 * kRawMs - 1}, Resolution::kRaw},
                {{7 * kDayMs + 2 * kRawMs, 8 * kDayMs}, Resolution::kFiveMinutes}}));
  // And the 1h windows of its whole day are not used.
  EXPECT_EQ(Plan({7 * kDayMs, 8 * kDayMs - 1}, Resolution::kOneHour).size(), 3u);
}

TEST_F(AgedTest, ASampleThatIsNotSealedYetDoesTheSame) {
  EXPECT_EQ(Plan({7 * kDayMs, 8 * kDayMs - 1}, Resolution::kOneHour).size(), 1u);
  EXPECT_EQ(
      Plan({7 * kDayMs, 8 * kDayMs - 1}, Resolution::kOneHour, {Raw(7 * kDayMs)}),
      (std::vector<ReadPiece>{{{7 * kDayMs, 7 * kDayMs + kRawMs - 1}, Resolution::kRaw},
                              {{7 * kDayMs + kRawMs, 8 * kDayMs - 1}, Resolution::kFiveMinutes}}));
}

TEST_F(AgedTest, WhereRawIsGoneALateMarkChangesNothing) {
  // The 5m windows of day 4 changed, so the 1h windows are older than they are.
  marks_.five_minutes[1].in_coarser = false;
  EXPECT_EQ(Plan({4 * kDayMs, 5 * kDayMs - 1}, Resolution::kOneHour),
            (std::vector<ReadPiece>{{{4 * kDayMs, 5 * kDayMs - 1}, Resolution::kFiveMinutes}}));
}

// Whatever the marks: no gap, no overlap, no neighbours alike, and never a tier that is not right.
TEST(ReadPlanPropertyTest, PiecesCoverTheRangeOnce) {
  const uint64_t seed = 20'240'607;
  std::mt19937_64 random(seed);
  const Partitioning raw(kRawMs);
  const Partitioning day(kDayMs);
  for (int round = 0; round < 3'000; ++round) {
    SCOPED_TRACE(testing::Message() << "seed " << seed << ", round " << round);
    const auto below = [&](uint64_t end) { return static_cast<int64_t>(random() % end); };
    TierMarks marks;
    const int64_t start_ms = (below(40) - 20) * kDayMs;
    marks.five_minutes_from_ms = below(4) == 0 ? INT64_MIN : start_ms + below(4) * kDayMs;
    if (marks.five_minutes_from_ms != INT64_MIN || below(4) > 0) {
      marks.raw_from_ms = std::max(marks.five_minutes_from_ms, start_ms) + below(30) * kRawMs;
    }
    for (int64_t at = start_ms; at < start_ms + 6 * kDayMs; at += kRawMs) {
      if (at >= marks.raw_from_ms && below(5) > 0) {
        marks.raw.push_back({raw.NumberOf(at), below(4) > 0});
      }
      if (at % kDayMs == 0 && at >= marks.five_minutes_from_ms && below(5) > 0) {
        marks.five_minutes.push_back({day.NumberOf(at), below(3) > 0});
      }
    }
    std::vector<uint32_t> newer;
    for (const PartitionMark& mark : marks.raw) {
      if (below(12) == 0) newer.push_back(mark.partition);
    }
    TimeRange range;
    if (below(8) > 0) range.from_ms = start_ms + below(7 * kDayMs) - kDayMs / 2;
    if (below(8) > 0) range.to_ms = std::max(range.from_ms, start_ms) + below(7 * kDayMs);
    const auto wanted = static_cast<Resolution>(below(3));

    const std::vector<ReadPiece> pieces = PlanReads(marks, raw, day, range, wanted, newer);
    ASSERT_FALSE(pieces.empty());
    EXPECT_EQ(pieces.front().range.from_ms, range.from_ms);
    EXPECT_EQ(pieces.back().range.to_ms, range.to_ms);
    for (size_t i = 0; i < pieces.size(); ++i) {
      EXPECT_LE(pieces[i].range.from_ms, pieces[i].range.to_ms);
      if (i == 0) continue;
      EXPECT_EQ(pieces[i].range.from_ms, pieces[i - 1].range.to_ms + 1);
      EXPECT_NE(pieces[i].resolution, pieces[i - 1].resolution);
    }
    for (const ReadPiece& piece : pieces) {
      // Every raw partition that is there, by the definition in words.
      for (const PartitionMark& mark : marks.raw) {
        const int64_t at = raw.StartOfNumber(mark.partition);
        if (at + kRawMs <= piece.range.from_ms || at > piece.range.to_ms) continue;
        const bool is_newer = std::count(newer.begin(), newer.end(), mark.partition) > 0;
        const bool in_5m = mark.in_coarser && !is_newer;
        bool in_1h = false;
        for (const PartitionMark& of_day : marks.five_minutes) {
          if (of_day.partition == day.NumberOf(at)) in_1h = of_day.in_coarser;
        }
        for (const PartitionMark& other : marks.raw) {
          if (day.NumberOf(raw.StartOfNumber(other.partition)) != day.NumberOf(at)) continue;
          if (!other.in_coarser || std::count(newer.begin(), newer.end(), other.partition) > 0) {
            in_1h = false;
          }
        }
        Resolution right = Resolution::kRaw;
        if (wanted != Resolution::kRaw && in_5m) right = Resolution::kFiveMinutes;
        if (wanted == Resolution::kOneHour && in_1h) right = Resolution::kOneHour;
        EXPECT_EQ(piece.resolution, right) << "at " << at;
      }
    }
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
