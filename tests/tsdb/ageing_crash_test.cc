// A life of 400 days with and without crashes: whatever the power cuts, what is left in each tier
// at the end is the same, to the bit.
//
// Method: one seeded stream of samples, some of them late, is written to two databases; one is
// killed or loses power every few hours of its clock, at a random change of the disk, and writes
// again what was not acknowledged. Both end with a run on demand.
#include <random>

#include "tests/tsdb/ageing_testing.h"

namespace tinyobs::tsdb {
namespace {

using testing::Keep;

constexpr int64_t kDays = 400;
constexpr int64_t kStepMs = 5 * kMinuteMs;
constexpr int64_t kStepsPerCommit = 12;

class AgeingCrashTest : public AgeingTest {
 protected:
  AgeingCrashTest() {
    options_.downsampling = true;
    options_.retention = {5 * kDayMs, 30 * kDayMs, 120 * kDayMs};
    options_.sync_policy = SyncPolicy::kAlways;
    options_.memory_budget_bytes = 4 << 20;
    options_.chunk_samples = 24;
  }

  // The samples of some minutes: a gauge, a counter with resets, one that comes and goes, and now
  // and then one that is days late.
  absl::Status WriteAt(int64_t now_ms) {
    std::mt19937_64 random(static_cast<uint64_t>(now_ms));
    const auto appender = db_->NewAppender();
    for (int64_t i = 0; i < kStepsPerCommit; ++i) {
      const int64_t time_ms = now_ms - i * kStepMs;
      const int64_t minutes = time_ms / kMinuteMs;
      const auto noise = static_cast<double>(random() % 1000);
      EXPECT_OK(appender->Add(Gauge("wave"), time_ms, 20 + noise / 100));
      EXPECT_OK(
          appender->Add(Labels::Of("c_total"), time_ms, static_cast<double>(minutes % 100'003)));
      if (time_ms / kDayMs % 3 == 0) {
        EXPECT_OK(appender->Add(Gauge("some"), time_ms, noise));
      }
    }
    if (random() % 16 == 0) {
      const auto late_ms = static_cast<int64_t>(random() % (4 * kDayMs));
      EXPECT_OK(appender->Add(Gauge("wave"), now_ms - late_ms, -1));
    }
    return appender->Commit();
  }

  // Runs the life; `crashes`: with them.
  void Live(bool crashes) {
    std::mt19937_64 random(7);
    Open();
    int64_t next_crash_ms = kEpochMs;
    for (int64_t now_ms = kEpochMs; now_ms < kEpochMs + kDays * kDayMs;
         now_ms += kStepsPerCommit * kStepMs) {
      clock_.SetMs(now_ms);
      if (crashes && now_ms >= next_crash_ms) {
        next_crash_ms = now_ms + static_cast<int64_t>(random() % (10 * kHourMs));
        disk_.PowerCutAfter(random() % 200);
      }
      while (!(WriteAt(now_ms).ok() && BackgroundWork())) {
        ASSERT_TRUE(crashes) << db_->Stats().background_error;
        Crash(random());
        if (HasFatalFailure()) return;
      }
    }
    if (disk_.PowerIsCut()) Crash(random());
    disk_.ClearFaults();
    clock_.AdvanceMs(kMinuteMs);
    ASSERT_OK(db_->Downsample());
  }
  bool BackgroundWork() {
    for (;;) {
      const auto more = db_->RunBackgroundWork();
      if (!more.ok() || disk_.PowerIsCut()) return false;
      if (!*more) return true;
    }
  }
  void Crash(uint64_t seed) {
    ++crashes_;
    db_.reset();
    constexpr Keep kKeeps[] = {Keep::kNothing, Keep::kTorn, Keep::kReordered, Keep::kAll};
    disk_.Crash({.keep_bytes = kKeeps[seed % 4], .keep_names = kKeeps[seed / 4 % 4], .seed = seed});
    Open();
  }

  int crashes_ = 0;
};

TEST_F(AgeingCrashTest, ALifeWithCrashesEndsWithTheSameTiersAsOneWithout) {
  constexpr std::array kResolutions = {Resolution::kRaw, Resolution::kFiveMinutes,
                                       Resolution::kOneHour};
  std::array<std::map<std::string, std::string>, 3> expected;
  Live(/*crashes=*/false);
  ASSERT_FALSE(HasFatalFailure());
  for (const Resolution resolution : kResolutions) {
    expected[static_cast<size_t>(resolution)] = Answers(*db_, resolution);
  }
  const auto tiers = db_->Stats().tiers;
  for (const TierStats& tier : tiers) EXPECT_GT(tier.samples, 0u);
  ASSERT_OK(db_->Close());
  db_.reset();
  for (const std::string& file : disk_.Files()) ASSERT_OK(disk_.DeleteFile(file));
  for (const char* folder : {"db/lsm", "db/head", "db"}) ASSERT_OK(disk_.DeleteDirectory(folder));
  ASSERT_OK(disk_.SyncDirectory("."));

  Live(/*crashes=*/true);
  ASSERT_FALSE(HasFatalFailure());
  EXPECT_GT(crashes_, 500);
  for (const Resolution resolution : kResolutions) {
    EXPECT_TRUE(Answers(*db_, resolution) == expected[static_cast<size_t>(resolution)])
        << "at " << ResolutionName(resolution) << " after " << crashes_ << " crashes";
  }
  for (size_t tier = 0; tier < tiers.size(); ++tier) {
    EXPECT_EQ(Tier(tier).partitions, tiers[tier].partitions);
    EXPECT_EQ(Tier(tier).oldest_ms, tiers[tier].oldest_ms);
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
