// Who runs, who waits, who runs again and who is refused. Threads meet on conditions, nothing waits
// a fixed time.
#include "tools/serve/query_gate.h"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/memory_accountant.h"
#include "tests/serve/fake_db.h"
#include "tinyobs/querier.h"

namespace tinyobs::serve {
namespace {

constexpr int64_t kNever = INT64_MAX / 2;

absl::StatusOr<HttpResponse> Answered() { return HttpResponse{.headers = {}, .body = "done"}; }
absl::StatusOr<HttpResponse> Short() { return MemoryExhaustedError("memory of queries"); }

class QueryGateTest : public testing::Test {
 protected:
  QueryGateTest() {
    context_.db = &db_;
    context_.clock = Clock::System();
    context_.response_bytes = &answers_;
    context_.promql_max_concurrency = 2;
  }

  void WaitUntil(int begun) {
    MutexLock lock(&mutex_);
    while (begun_ < begun) changed_.Wait(&mutex_);
  }
  // A work that says it began, and ends when it is let go.
  absl::StatusOr<HttpResponse> Held(absl::StatusOr<HttpResponse> answer) {
    MutexLock lock(&mutex_);
    ++begun_;
    most_ = std::max(most_, ++now_);
    changed_.NotifyAll();
    while (!released_) changed_.Wait(&mutex_);
    --now_;
    return answer;
  }
  void Release() {
    MutexLock lock(&mutex_);
    released_ = true;
    changed_.NotifyAll();
  }

  ByteBudget answers_{1000};
  HandlerContext context_;
  FakeDb db_;
  QueryGate gate_{&context_};
  const HttpRequest request_;

  Mutex mutex_;
  CondVar changed_;
  int begun_ ABSL_GUARDED_BY(mutex_) = 0;
  int now_ ABSL_GUARDED_BY(mutex_) = 0;
  int most_ ABSL_GUARDED_BY(mutex_) = 0;
  bool released_ ABSL_GUARDED_BY(mutex_) = false;
};

TEST_F(QueryGateTest, SoManyRunAtOnceAndTheOthersWait) {
  std::atomic<int> answered{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; ++i) {
    threads.emplace_back([&] {
      answered += gate_
                      .Run(request_, kNever,
                           [&](int running) {
                             EXPECT_GE(running, 1);
                             EXPECT_LE(running, 2);
                             return Held(Answered());
                           })
                      .ok();
    });
  }
  WaitUntil(2);
  Release();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(answered, 20);
  MutexLock lock(&mutex_);
  EXPECT_EQ(most_, 2);
}

TEST_F(QueryGateTest, WhoFindsMemoryShortRunsAgainAloneAndBeforeThoseWhoCameLater) {
  std::vector<std::thread> threads;
  threads.emplace_back([&] {
    EXPECT_TRUE(gate_.Run(request_, kNever, [&](int) { return Held(Answered()); }).ok());
  });
  WaitUntil(1);
  std::atomic<int> tries{0};
  std::atomic<bool> alone{false};
  threads.emplace_back([&] {
    const auto answer = gate_.Run(request_, kNever, [&](int running) {
      if (++tries == 1) return Short();
      EXPECT_EQ(running, 1);
      alone = true;
      // Whoever may start now has the time to do so.
      for (int i = 0; i < 1000; ++i) std::this_thread::yield();
      alone = false;
      return Answered();
    });
    EXPECT_TRUE(answer.ok()) << answer.status();
  });
  while (tries == 0) std::this_thread::yield();
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      EXPECT_TRUE(gate_
                      .Run(request_, kNever,
                           [&](int) {
                             EXPECT_FALSE(alone);
                             return Answered();
                           })
                      .ok());
    });
  }
  Release();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(tries, 2);
}

TEST_F(QueryGateTest, WhoDoesNotFitAloneIsRefusedAtOnce) {
  int tries = 0;
  const auto answer = gate_.Run(request_, kNever, [&](int) {
    ++tries;
    return Short();
  });
  EXPECT_TRUE(IsQueryLimit(answer.status())) << answer.status();
  EXPECT_EQ(tries, 1);
  const auto limit = gate_.Run(request_, kNever, [&](int) -> absl::StatusOr<HttpResponse> {
    ++tries;
    return QueryLimitError("too many samples");
  });
  EXPECT_EQ(limit.status().message(), "too many samples");
  EXPECT_EQ(tries, 2);
  const auto files = gate_.Run(request_, kNever, [&](int) -> absl::StatusOr<HttpResponse> {
    ++tries;
    return absl::ResourceExhaustedError("too many open files");
  });
  EXPECT_FALSE(IsQueryLimit(files.status()));
  EXPECT_EQ(tries, 3);
}

TEST_F(QueryGateTest, AnswersOnTheirWayAreWaitedForButNotForever) {
  ByteLease answer(&answers_);
  ASSERT_TRUE(answer.Resize(900));
  int tries = 0;
  const auto in_vain = gate_.Run(request_, kNever, [&](int) {
    ++tries;
    return Short();
  });
  // Not its limit: it may fit later.
  EXPECT_TRUE(absl::IsResourceExhausted(in_vain.status()) && !IsQueryLimit(in_vain.status()));
  EXPECT_EQ(tries, 2);

  tries = 0;
  std::thread reader;
  const auto later = gate_.Run(request_, kNever, [&](int) {
    if (++tries > 1) return Answered();
    reader = std::thread([&] { answer.Clear(); });
    return Short();
  });
  reader.join();
  EXPECT_TRUE(later.ok()) << later.status();
}

TEST_F(QueryGateTest, WhoWaitsEndsInTimeOrWhenItsClientIsGone) {
  context_.promql_max_concurrency = 1;
  std::thread runs([&] {
    EXPECT_TRUE(gate_.Run(request_, kNever, [&](int) { return Held(Answered()); }).ok());
  });
  WaitUntil(1);
  const auto never = [](int) -> absl::StatusOr<HttpResponse> {
    ADD_FAILURE() << "started";
    return Answered();
  };
  const int64_t begin_ns = Clock::System()->MonotonicNs();
  const auto late = gate_.Run(request_, begin_ns + 20'000'000, never);
  EXPECT_TRUE(absl::IsDeadlineExceeded(late.status())) << late.status();
  EXPECT_GE(Clock::System()->MonotonicNs(), begin_ns + 20'000'000);

  HttpRequest left;
  const auto abandoned = std::make_shared<std::atomic<bool>>(false);
  left.abandoned = abandoned;
  std::thread client([&] { *abandoned = true; });
  const auto gone = gate_.Run(left, kNever, never);
  EXPECT_TRUE(absl::IsCancelled(gone.status())) << gone.status();
  client.join();

  // Neither left a place behind.
  Release();
  runs.join();
  EXPECT_TRUE(gate_.Run(request_, kNever, [](int) { return Answered(); }).ok());
  // Without any time left nothing starts.
  EXPECT_TRUE(absl::IsDeadlineExceeded(gate_.Run(request_, begin_ns, never).status()));
}

}  // namespace
}  // namespace tinyobs::serve
