// Many writers, readers and the library's own threads at once. Worth most under ThreadSanitizer.
#include <atomic>
#include <thread>

#include "tests/testing/temp_dir.h"
#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

class DbConcurrencyTest : public DbTest {
 protected:
  DbConcurrencyTest() {
    options_.background_threads = true;
    options_.logger = nullptr;
  }

  static void Run(int threads, const std::function<void(int)>& body) {
    std::vector<std::thread> running;
    for (int i = 0; i < threads; ++i) running.emplace_back(body, i);
    for (std::thread& thread : running) thread.join();
  }
};

TEST_F(DbConcurrencyTest, WhatManyWritersCommitIsAllThere) {
  options_.chunk_samples = 10;
  options_.head_segment_bytes = 20'000;
  options_.sync_interval_ms = 1;
  Open();
  constexpr int kThreads = 6;
  constexpr int kCommits = 150;
  Run(kThreads, [&](int thread) {
    auto appender = db_->NewAppender();
    const Labels own = Labels::Of("own", {{"thread", std::to_string(thread)}});
    for (int i = 0; i < kCommits; ++i) {
      ASSERT_OK(appender->Add(own, kStartMs + i * 1000, i));
      // Everybody creates the same series at about the same time.
      ASSERT_OK(appender->Add(Labels::Of("shared", {{"i", std::to_string(i % 20)}}),
                              kStartMs + thread * kCommits + i, thread));
      ASSERT_OK(appender->Commit());
    }
  });
  EXPECT_EQ(db_->Stats().series, kThreads + 20u);
  const auto check = [&] {
    const Model found = Everything(*db_);
    EXPECT_EQ(found.size(), kThreads + 20u);
    EXPECT_EQ(CountSamples(found), 2u * kThreads * kCommits);
  };
  check();
  Reopen();
  check();
  ASSERT_OK(db_->Flush());
  check();
  EXPECT_EQ(db_->Stats().samples, 2u * kThreads * kCommits);
}

TEST_F(DbConcurrencyTest, AQuerySeesACommitWholeOrNotAtAll) {
  options_.chunk_samples = 5;
  options_.head_segment_bytes = 10'000;
  Open();
  std::atomic<bool> stop{false};
  std::atomic<int> acknowledged{0};
  std::atomic<int> readers_done{0};
  // Each commit writes value i to two old series and one new one, and rewrites one time in place.
  std::thread writer([&] {
    auto appender = db_->NewAppender();
    for (int i = 1; i <= 3000 && readers_done < 2; ++i) {
      const std::string name = std::to_string(i % 2 == 0 ? i : 0);
      ASSERT_OK(appender->Add(Labels::Of("m", {{"a", "z"}}), kStartMs + i * 1000, i));
      ASSERT_OK(appender->Add(Labels::Of("m", {{"a", "a"}}), kStartMs + i * 1000, i));
      ASSERT_OK(appender->Add(Labels::Of("m", {{"new", name}}), kStartMs + i * 1000, i));
      ASSERT_OK(appender->Add(Labels::Of("m", {{"a", "fixed"}}), kStartMs, i));
      ASSERT_OK(appender->Commit());
      acknowledged = i;
    }
    stop = true;
  });
  const auto reader = [&](int) {
    int last = 0;
    for (int query = 0; !stop; ++query) {
      if (query == 40) ++readers_done;  // enough of them met commits
      const int before = acknowledged;
      const Model found = Drain(db_->Select({Matcher::Metric("m")}, {}));
      if (found.empty()) {
        ASSERT_EQ(before, 0);
        continue;
      }
      const int seen = static_cast<int>(found.at("m{a=\"z\"}").size());
      ASSERT_GE(seen, std::max(before, last));
      last = seen;
      uint64_t total = 0;
      for (const auto& [labels, points] : found) total += points.size();
      ASSERT_EQ(total, 3u * seen + 1);
      ASSERT_EQ(found.at("m{a=\"a\"}").size(), static_cast<size_t>(seen));
      ASSERT_EQ(std::bit_cast<double>(found.at("m{a=\"fixed\"}").at(kStartMs)), seen);
    }
  };
  Run(2, reader);
  writer.join();
}

TEST_F(DbConcurrencyTest, TheSeriesLimitIsExactAndABatchIsAllOrNothing) {
  options_.max_series = 1000;
  Open();
  std::atomic<uint64_t> accepted{0};
  Run(16, [&](int thread) {
    auto appender = db_->NewAppender();
    for (int i = 0; i < 50; ++i) {
      // Two series of the thread's own and one that all share.
      for (int j = 0; j < 2; ++j) {
        ASSERT_OK(
            appender->Add(Labels::Of("m", {{"id", StrCat(thread, "-", i, "-", j)}}), kStartMs, 1));
      }
      ASSERT_OK(appender->Add(Labels::Of("shared"), kStartMs + i, 1));
      const absl::Status status = appender->Commit();
      if (status.ok()) {
        accepted += 2;
        continue;
      }
      ASSERT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << status;
      CardinalityLimit limit;
      ASSERT_TRUE(CardinalityLimitOf(status, &limit));
      ASSERT_EQ(limit.limit, 1000u);
      ASSERT_GE(limit.current, 999u);
      ASSERT_LE(limit.current, 1000u);
      ASSERT_EQ(limit.metric, "m");
    }
  });
  // 1 shared and 499 pairs: the thousandth place cannot take a pair.
  EXPECT_EQ(accepted, 998u);
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(db_->Stats().series, 999u);
    EXPECT_EQ(db_->Series({Matcher::Metric("m")}, {})->size(), 998u);
    EXPECT_OK(Put(Labels::Of("shared"), kStartMs + 1000 + round, 1));
    auto appender = db_->NewAppender();
    ASSERT_OK(appender->Add(Labels::Of("x", {{"a", "1"}}), kStartMs, 1));
    ASSERT_OK(appender->Add(Labels::Of("x", {{"a", "2"}}), kStartMs, 1));
    ASSERT_OK(appender->Add(Labels::Of("shared"), kStartMs + 5000, 1));
    EXPECT_CODE(appender->Commit(), absl::StatusCode::kResourceExhausted);
    EXPECT_EQ(Drain(db_->SelectAll({kStartMs + 5000, kStartMs + 5000})), Model{});
    if (round == 0) Reopen();
    if (round == 1) CloseAndReopen();
  }
  EXPECT_OK(Put(Labels::Of("last"), kStartMs, 1));
  EXPECT_CODE(Put(Labels::Of("one-too-many"), kStartMs, 1), absl::StatusCode::kResourceExhausted);
}

TEST_F(DbConcurrencyTest, CommitsShareSyncs) {
  options_.sync_policy = SyncPolicy::kAlways;
  Open();
  const uint64_t before = disk_.Count(testing::Operation::kSync);
  Run(8, [&](int thread) {
    for (int i = 0; i < 50; ++i) {
      auto appender = db_->NewAppender();
      ASSERT_OK(appender->Add(Labels::Of("m", {{"t", std::to_string(thread)}}), kStartMs + i, i));
      ASSERT_OK(appender->Commit());
    }
  });
  // Never more than one a commit; how many fewer is the scheduler's business.
  EXPECT_LE(disk_.Count(testing::Operation::kSync) - before, 400u + 20);
  disk_.Crash({.keep_bytes = testing::Keep::kNothing, .keep_names = testing::Keep::kNothing});
  Reopen();
  EXPECT_EQ(CountSamples(Everything(*db_)), 400u);
}

TEST_F(DbConcurrencyTest, EverythingAtOnceOnARealDisk) {
  testing::TempDir folder;
  Options options;
  options.chunk_samples = 20;
  options.partition_ms = 60'000;
  options.head_segment_bytes = 100'000;
  options.memory_budget_bytes = 1 << 20;
  options.sync_interval_ms = 5;
  options.max_series = 0;
  options.max_future_ms = INT64_MAX;
  ASSERT_OK_AND_ASSIGN(auto db, Db::Open(folder.File("db"), options));
  std::atomic<int> writers{3};
  Run(6, [&](int thread) {
    if (thread < 3) {
      auto appender = db->NewAppender();
      for (int i = 0; i < 200; ++i) {
        for (int j = 0; j < 10; ++j) {
          // Every fifth batch is late.
          const int64_t time = kStartMs + i * 1000 - (i % 5 == 0 ? 70'000 : 0);
          ASSERT_OK(appender->Add(
              Labels::Of("m", {{"j", std::to_string(j)}, {"t", std::to_string(thread)}}), time, i));
        }
        ASSERT_OK(appender->Commit());
      }
      --writers;
      return;
    }
    while (writers > 0) {
      if (thread == 3) Drain(db->Select({Matcher::Metric("m")}, {kStartMs, kStartMs + 100'000}));
      if (thread == 4) {
        ASSERT_OK(db->Flush());
        ASSERT_OK(db->Sync());
      }
      if (thread == 5) {
        ASSERT_EQ(db->Stats().background_error, "");
        ASSERT_OK(db->LabelValues("j", {Matcher::Equal("t", "1")}, {}));
      }
    }
  });
  const Model found = Everything(*db);
  ASSERT_OK(db->Close());
  db.reset();
  ASSERT_OK_AND_ASSIGN(db, Db::Open(folder.File("db"), options));
  EXPECT_EQ(Everything(*db), found);
  EXPECT_EQ(found.size(), 30u);
}

}  // namespace
}  // namespace tinyobs::tsdb
