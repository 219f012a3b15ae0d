// The batcher's promises: one send at a time, a bounded queue, nothing lost silently, a final
// flush. Method: a transport that can be held and told what to answer, and a clock moved by hand;
// every wait is for an event, never for time.
#include "lib/sdk/batcher.h"

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "tests/sdk/fake_transport.h"
#include "tinyobs/labels.h"

namespace tinyobs::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BatcherTest : public ::testing::Test {
 protected:
  BatcherTest() { options_.clock = &clock_; }

  // Each collection appends `per_collection_` samples, numbered on through the life of the test.
  std::unique_ptr<Batcher> NewBatcher() {
    return std::make_unique<Batcher>(
        options_, &transport_, [this](std::vector<OutgoingSample>* out) {
          for (int i = 0; i < per_collection_; ++i) {
            out->push_back({&labels_, MetricKind::kGauge, clock_.NowMs(), next_value_++});
          }
          ++collections_;
        });
  }

  std::vector<double> SentValues() const {
    std::vector<double> values;
    for (const SentSample& sample : transport_.samples()) values.push_back(sample.value);
    return values;
  }

  static void ExpectBalanced(const BatcherStats& stats) {
    EXPECT_EQ(stats.collected,
              stats.sent + stats.dropped + stats.rejected + stats.unsent + stats.queued);
  }

  const Labels labels_ = Labels::Of("m");
  ManualClock clock_{1'000'000};
  FakeTransport transport_;
  BatcherOptions options_;
  std::atomic<int> per_collection_{1};
  std::atomic<int> collections_{0};
  double next_value_ = 0;
};

TEST_F(BatcherTest, FirstFlushHappensAtStartAndTheNextAfterTheInterval) {
  auto batcher = NewBatcher();
  ASSERT_TRUE(batcher->Start().ok());
  transport_.WaitForSendsEnded(1);
  clock_.AdvanceMs(4999);
  batcher->ClockMoved();
  clock_.AdvanceMs(1);
  batcher->ClockMoved();
  transport_.WaitForSendsEnded(2);
  ASSERT_TRUE(batcher->Stop().ok());
  const auto samples = transport_.samples();
  ASSERT_EQ(samples.size(), 3u);  // with the final one
  EXPECT_EQ(samples[0].timestamp_ms, 1'000'000);
  EXPECT_EQ(samples[1].timestamp_ms, 1'005'000);
}

TEST_F(BatcherTest, SlowTransportNeverSeesTwoSendsAndMissedTicksAreSkipped) {
  auto batcher = NewBatcher();
  transport_.Hold();
  ASSERT_TRUE(batcher->Start().ok());
  transport_.WaitForSendsBegun(1);
  std::vector<std::thread> callers;
  std::atomic<int> flushed{0};
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      EXPECT_TRUE(batcher->Flush().ok());
      ++flushed;
    });
  }
  for (int i = 0; i < 20; ++i) {
    clock_.AdvanceMs(5000);
    batcher->ClockMoved();
  }
  EXPECT_EQ(transport_.sends_begun(), 1);
  EXPECT_EQ(flushed, 0);
  EXPECT_EQ(collections_, 1);
  transport_.Release();
  for (std::thread& caller : callers) caller.join();
  ASSERT_TRUE(batcher->Stop().ok());
  EXPECT_FALSE(transport_.overlapped());
  // Start, one tick for the twenty missed, at most one each for the callers, and the last.
  EXPECT_LE(collections_, 7);
  ExpectBalanced(batcher->Stats());
}

TEST_F(BatcherTest, QueueIsSentInBatchesOfAtMostTheLimitInOrder) {
  options_.max_batch = 1000;
  per_collection_ = 2500;
  auto batcher = NewBatcher();
  ASSERT_TRUE(batcher->Start().ok());
  ASSERT_TRUE(batcher->Stop().ok());
  std::vector<size_t> sizes;
  for (const auto& batch : transport_.batches()) {
    EXPECT_LE(batch.size(), 1000u);
  }
  const std::vector<double> values = SentValues();
  ASSERT_GE(values.size(), 2500u);
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], static_cast<double>(i));
}

TEST_F(BatcherTest, FullQueueDropsTheOldestAndCountsThem) {
  options_.max_queue = 10;
  per_collection_ = 4;
  transport_.AnswerWith(absl::UnavailableError("down"));
  auto batcher = NewBatcher();
  ASSERT_TRUE(batcher->Start().ok());
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(absl::IsUnavailable(batcher->Flush()));
  const BatcherStats full = batcher->Stats();
  EXPECT_EQ(full.queued, 10u);
  EXPECT_EQ(full.dropped, full.collected - 10);
  ExpectBalanced(full);

  per_collection_ = 0;
  transport_.AnswerWith(absl::OkStatus());
  ASSERT_TRUE(batcher->Flush().ok());
  const double last = static_cast<double>(full.collected);
  const std::vector<double> values = SentValues();
  ASSERT_EQ(values.size(), 10u);
  EXPECT_EQ(values.front(), last - 10);
  EXPECT_EQ(values.back(), last - 1);
  ASSERT_TRUE(batcher->Stop().ok());
}

TEST_F(BatcherTest, UnavailableIsTriedAgainAfterGrowingPauses) {
  options_.interval_ms = 1'000'000;
  options_.first_backoff_ms = 1000;
  options_.max_backoff_ms = 4000;
  transport_.AnswerWith(absl::UnavailableError("down"));
  auto batcher = NewBatcher();
  ASSERT_TRUE(batcher->Start().ok());
  int sends = 1;
  for (const int64_t pause_ms : {1000, 2000, 4000, 4000}) {
    transport_.WaitForSendsEnded(sends);
    // Waits until the batcher has taken note of the answer.
    while (batcher->Stats().send_failures < static_cast<uint64_t>(sends)) std::this_thread::yield();
    clock_.AdvanceMs(pause_ms - 1);
    batcher->ClockMoved();
    EXPECT_EQ(transport_.sends_begun(), sends);
    clock_.AdvanceMs(1);
    batcher->ClockMoved();
    ++sends;
  }
  transport_.WaitForSendsEnded(sends);
  EXPECT_THAT(batcher->Stats().last_error, HasSubstr("down"));
  transport_.AnswerWith(absl::OkStatus());
  ASSERT_TRUE(batcher->Stop().ok());
  const BatcherStats stats = batcher->Stats();
  EXPECT_EQ(stats.sent, stats.collected);
  EXPECT_EQ(stats.last_success_ms, clock_.NowMs());
}

TEST_F(BatcherTest, StopSendsWhatWasCollectedLast) {
  options_.interval_ms = 1'000'000;
  auto batcher = NewBatcher();
  per_collection_ = 0;
  ASSERT_TRUE(batcher->Start().ok());
  ASSERT_TRUE(batcher->Flush().ok());
  per_collection_ = 3;
  ASSERT_TRUE(batcher->Stop().ok());
  EXPECT_THAT(SentValues(), ElementsAre(0, 1, 2));
}

TEST_F(BatcherTest, StopIsIdempotentAndEndsTheBatcher) {
  auto batcher = NewBatcher();
  ASSERT_TRUE(batcher->Start().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(batcher->Start()));
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] { EXPECT_TRUE(batcher->Stop().ok()); });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(batcher->Stop().ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(batcher->Flush()));
  EXPECT_TRUE(absl::IsFailedPrecondition(batcher->Start()));
  const int collections = collections_;
  clock_.AdvanceMs(100'000);
  batcher->ClockMoved();
  EXPECT_EQ(collections_, collections);
}

TEST_F(BatcherTest, StopWithoutStartSendsNothing) {
  auto batcher = NewBatcher();
  EXPECT_TRUE(batcher->Stop().ok());
  EXPECT_EQ(transport_.sends_begun(), 0);
}

TEST_F(BatcherTest, StopGivesUpAtItsDeadlineAndCountsWhatIsLeft) {
  options_.stop_deadline_ms = 3000;
  per_collection_ = 5;
  // Every attempt costs a second of the clock.
  transport_.AnswerWith([this](const FakeTransport::Batch&) {
    clock_.AdvanceMs(1000);
    return absl::UnavailableError("down");
  });
  options_.first_backoff_ms = 1;
  options_.max_backoff_ms = 1;
  auto batcher = NewBatcher();
  ASSERT_TRUE(batcher->Start().ok());
  transport_.WaitForSendsBegun(1);
  std::thread moving([&] {
    while (batcher->Stats().unsent == 0) {
      clock_.AdvanceMs(1);
      batcher->ClockMoved();
      std::this_thread::yield();
    }
  });
  const absl::Status stopped = batcher->Stop();
  moving.join();
  EXPECT_TRUE(absl::IsUnavailable(stopped)) << stopped;
  EXPECT_THAT(std::string(stopped.message()), HasSubstr("down"));
  EXPECT_EQ(batcher->Stop(), stopped);
  EXPECT_GE(batcher->Stats().unsent, 5u);
  ExpectBalanced(batcher->Stats());
}

TEST_F(BatcherTest, StopTriesAgainUntilTheServerIsBack) {
  options_.first_backoff_ms = 1;
  options_.stop_deadline_ms = 1'000'000'000;  // the clock below runs fast
  std::atomic<int> attempts{0};
  transport_.AnswerWith([&](const FakeTransport::Batch&) {
    clock_.AdvanceMs(1);
    return ++attempts < 4 ? absl::UnavailableError("restarting") : absl::OkStatus();
  });
  auto batcher = NewBatcher();
  ASSERT_TRUE(batcher->Start().ok());
  std::atomic<bool> stopped{false};
  std::thread moving([&] {
    while (!stopped) {
      clock_.AdvanceMs(1);
      batcher->ClockMoved();
      std::this_thread::yield();
    }
  });
  const absl::Status status = batcher->Stop();
  stopped = true;
  moving.join();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(batcher->Stats().unsent, 0u);
}

TEST_F(BatcherTest, OneRefusedSampleDoesNotTakeItsNeighboursAlong) {
  options_.interval_ms = 1'000'000;
  per_collection_ = 0;
  transport_.AnswerWith([](const FakeTransport::Batch& batch) {
    for (const SentSample& sample : batch) {
      if (sample.value == 617) return absl::InvalidArgumentError("617 is not welcome");
    }
    return absl::OkStatus();
  });
  auto batcher = NewBatcher();
  ASSERT_TRUE(batcher->Start().ok());
  ASSERT_TRUE(batcher->Flush().ok());
  per_collection_ = 1000;
  const absl::Status status = batcher->Flush();
  per_collection_ = 0;
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_EQ(SentValues().size(), 999u);
  EXPECT_EQ(batcher->Stats().rejected, 1u);
  EXPECT_THAT(batcher->Stats().last_error, HasSubstr("617"));
  EXPECT_LT(transport_.sends_begun(), 60);
  ASSERT_TRUE(batcher->Stop().ok());
}

TEST_F(BatcherTest, ServerThatRefusesEverythingIsNotHammered) {
  options_.max_splits = 8;
  options_.interval_ms = 1'000'000;
  per_collection_ = 0;
  transport_.AnswerWith(absl::InvalidArgumentError("no"));
  auto batcher = NewBatcher();
  ASSERT_TRUE(batcher->Start().ok());
  ASSERT_TRUE(batcher->Flush().ok());
  per_collection_ = 1000;
  EXPECT_TRUE(absl::IsInvalidArgument(batcher->Flush()));
  per_collection_ = 0;
  EXPECT_LT(transport_.sends_begun(), 40);
  EXPECT_EQ(batcher->Stats().rejected, 1000u);
  ExpectBalanced(batcher->Stats());
  ASSERT_TRUE(batcher->Stop().ok());
}

TEST_F(BatcherTest, OtherErrorsGiveTheBatchUpAtOnce) {
  options_.interval_ms = 1'000'000;
  per_collection_ = 0;
  auto batcher = NewBatcher();
  ASSERT_TRUE(batcher->Start().ok());
  ASSERT_TRUE(batcher->Flush().ok());
  transport_.AnswerWith(absl::PermissionDeniedError("who are you"));
  per_collection_ = 7;
  EXPECT_TRUE(absl::IsPermissionDenied(batcher->Flush()));
  per_collection_ = 0;
  EXPECT_EQ(transport_.sends_begun(), 1);
  EXPECT_EQ(batcher->Stats().rejected, 7u);
  EXPECT_EQ(batcher->Stats().queued, 0u);
  ASSERT_TRUE(batcher->Stop().ok());
}

TEST_F(BatcherTest, FlushAndStopFromTheCollectCallbackAreRefusedInsteadOfHanging) {
  Batcher* self = nullptr;
  std::atomic<bool> refused{false};
  Batcher batcher(options_, &transport_, [&](std::vector<OutgoingSample>*) {
    refused = absl::IsFailedPrecondition(self->Flush()) && absl::IsFailedPrecondition(self->Stop());
  });
  self = &batcher;
  ASSERT_TRUE(batcher.Start().ok());
  ASSERT_TRUE(batcher.Flush().ok());
  EXPECT_TRUE(refused);
}

}  // namespace
}  // namespace tinyobs::sdk
