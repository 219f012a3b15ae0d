// What the limiter asks of those who charge it, by a clock that is moved by hand.
#include "lib/lsm/rate_limiter.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(RateLimiter, LetsATenthOfASecondPassAtOnceAndThenTheRate) {
  ManualClock clock(1000);
  RateLimiter limiter(1000, &clock);
  EXPECT_EQ(limiter.Charge(100), 0);
  EXPECT_EQ(limiter.Charge(500), kSecond / 2);
  clock.AdvanceMs(500);
  EXPECT_EQ(limiter.Charge(250), kSecond / 4);
}

TEST(RateLimiter, WhoComesLaterWaitsLonger) {
  ManualClock clock(1000);
  RateLimiter limiter(1000, &clock);
  EXPECT_EQ(limiter.Charge(1100), kSecond);
  EXPECT_EQ(limiter.Charge(1000), 2 * kSecond);
  EXPECT_EQ(limiter.Charge(0), 2 * kSecond);
}

TEST(RateLimiter, AnIdleHourSavesUpNoMoreThanTheBurst) {
  ManualClock clock(1000);
  RateLimiter limiter(1000, &clock);
  clock.AdvanceMs(3'600'000);
  EXPECT_EQ(limiter.Charge(1100), kSecond);
}

TEST(RateLimiter, WhoeverDoesNotWaitPutsOthersOffForASecondAtMost) {
  ManualClock clock(1000);
  RateLimiter limiter(1000, &clock);
  limiter.ChargeWithoutWaiting(600);
  EXPECT_EQ(limiter.Charge(0), kSecond / 2);
  limiter.ChargeWithoutWaiting(1'000'000);
  EXPECT_EQ(limiter.Charge(0), kSecond);
  // What others already owe is not forgiven.
  EXPECT_EQ(limiter.Charge(2000), 3 * kSecond);
  limiter.ChargeWithoutWaiting(1000);
  EXPECT_EQ(limiter.Charge(0), 3 * kSecond);
}

TEST(RateLimiter, SurvivesTheSmallestRate) {
  ManualClock clock(1000);
  RateLimiter limiter(0, &clock);
  for (int i = 0; i < 100; ++i) EXPECT_GT(limiter.Charge(UINT64_MAX), 0);
}

class RateLimitedStoreTest : public ::testing::Test {
 protected:
  void Fill(Store* store) {
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 2000; ++i) {
        ASSERT_OK(store->Put(StrCat("key", i), std::string(100, static_cast<char>('a' + i % 26))));
      }
      ASSERT_OK(store->Flush());
    }
  }

  testing::MemoryFileSystem fs_;
  ManualClock clock_{1000};
};

TEST_F(RateLimitedStoreTest, ChargesFlushesAndCompactions) {
  StoreOptions options;
  options.file_system = &fs_;
  options.background_threads = false;  // charged, but nobody waits
  options.rate_limiter = std::make_shared<RateLimiter>(1'000'000'000, &clock_);
  ASSERT_OK_AND_ASSIGN(auto store, Store::Open("/db", options));
  Fill(store.get());
  ASSERT_OK(store->CompactRange("", ""));
  const StoreStats stats = store->Stats();
  ASSERT_GT(stats.bytes_written_by_compaction, 0u);
  const uint64_t bytes = stats.bytes_written_by_flush + stats.bytes_written_by_compaction;
  const int64_t owed = options.rate_limiter->Charge(200'000'000) - kSecond / 10;
  EXPECT_NEAR(static_cast<double>(owed), static_cast<double>(bytes), 1000.0);
}

TEST_F(RateLimitedStoreTest, ClosingEndsTheWait) {
  StoreOptions options;
  options.file_system = &fs_;
  options.clock = &clock_;  // stands still: who waits, waits until the store closes
  options.sync_policy = SyncPolicy::kNone;
  options.l0_compaction_trigger = 2;
  options.l0_slowdown_trigger = 12;
  options.rate_limiter = std::make_shared<RateLimiter>(1, &clock_);
  ASSERT_OK_AND_ASSIGN(auto store, Store::Open("/db", options));
  Fill(store.get());
  EXPECT_OK(store->Close());
  EXPECT_EQ(store->Stats().compactions, 0u);
}

}  // namespace
}  // namespace tinyobs::lsm
