// Series limits: that counts are exact whatever happened before, that a refusal is all or nothing
// and names who is to blame, that everybody else goes on, and how far the estimates are off.
//
// The truth of every count is what Series() lists.
#include "lib/tsdb/cardinality.h"

#include <atomic>
#include <cmath>
#include <random>
#include <thread>

#include "gmock/gmock.h"
#include "lib/base/checksum.h"
#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

uint64_t Hash(uint64_t value, uint64_t seed) {
  return Fingerprint({reinterpret_cast<const char*>(&value), sizeof(value)}, seed).low;
}

// --- the sketch

TEST(DistinctSketch, IsAsPreciseAsItsSizeAllows) {
  // 1.04 / sqrt(256); single sketches are within four of it, their mean within much less.
  constexpr double kStandardError = 0.065;
  constexpr int kSketches = 40;
  for (const uint64_t values : {1, 10, 100, 500, 1'000, 3'000, 10'000, 100'000, 1'000'000}) {
    if (values > 100'000 && kSketches > 10) continue;
    double sum = 0;
    for (uint64_t seed = 1; seed <= kSketches; ++seed) {
      DistinctSketch sketch;
      for (uint64_t i = 0; i < values; ++i) sketch.Add(Hash(i, seed));
      const double error = sketch.Estimate() / static_cast<double>(values) - 1;
      EXPECT_LT(std::abs(error), 4 * kStandardError) << values << " values, seed " << seed;
      sum += error;
    }
    EXPECT_LT(std::abs(sum / kSketches), 4 * kStandardError / std::sqrt(kSketches)) << values;
  }
}

TEST(DistinctSketch, CountsAFewNearlyExactly) {
  EXPECT_EQ(DistinctSketch().Estimate(), 0);
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    DistinctSketch sketch;
    for (uint64_t i = 0; i < 8; ++i) sketch.Add(Hash(i, seed));
    EXPECT_NEAR(sketch.Estimate(), 8, 1.6) << "seed " << seed;
  }
}

TEST(DistinctSketch, TakesAnyOrderRepetitionAndMerging) {
  std::mt19937_64 random(7);
  DistinctSketch all, left, right;
  for (int i = 0; i < 5'000; ++i) {
    const uint64_t hash = Hash(random() % 2'000, 1);
    all.Add(hash);
    (i % 3 == 0 ? left : right).Add(hash);
    left.Add(hash ^ 0);  // some in both
  }
  left.Merge(right);
  EXPECT_EQ(left.Estimate(), all.Estimate());
  EXPECT_NEAR(all.Estimate(), 2'000, 500);
  // Hashes at the ends: no zeros at all, and nothing else.
  DistinctSketch ends;
  ends.Add(0);
  ends.Add(UINT64_MAX);
  EXPECT_NEAR(ends.Estimate(), 2, 0.5);
}

// --- the limits

class CardinalityTest : public DbTest {
 protected:
  void TearDown() override { db_ = nullptr; }  // before its disk

  // A commit of one sample each.
  absl::Status PutAll(const std::vector<Labels>& series, int64_t at_ms = kStartMs) {
    Writer writer(db_.get(), &model_);
    for (const Labels& labels : series) EXPECT_OK(writer.Add(labels, at_ms, 1));
    return writer.Commit();
  }
  absl::Status PutRange(std::string_view metric, std::string_view label, int begin, int end,
                        int64_t at_ms = kStartMs) {
    std::vector<Labels> series;
    for (int i = begin; i < end; ++i) {
      series.push_back(Labels::Of(metric, {{label, StrCat("value-", i)}}));
    }
    return PutAll(series, at_ms);
  }
  void Work() {
    for (bool more = true; more;) {
      ASSERT_OK_AND_ASSIGN(more, db_->RunBackgroundWork());
    }
  }
  void CheckCounts() {
    ASSERT_OK_AND_ASSIGN(const auto all, db_->Series({}, {}));
    std::map<std::string, uint64_t> expected;
    for (const Labels& labels : all) ++expected[std::string(labels.metric())];
    const CardinalityStats stats = db_->Cardinality(100);
    std::map<std::string, uint64_t> counted;
    for (const auto& metric : stats.largest) counted[metric.name] = metric.series;
    ASSERT_EQ(counted, expected);
    ASSERT_EQ(stats.series, all.size());
    ASSERT_EQ(stats.metrics, expected.size());
    ASSERT_EQ(db_->Stats().series, all.size());
  }
  // The limit behind `status`.
  static CardinalityLimit LimitOf(const absl::Status& status) {
    CardinalityLimit limit;
    EXPECT_TRUE(CardinalityLimitOf(status, &limit)) << status;
    return limit;
  }

  std::unique_ptr<testing::MemoryFileSystem> another_disk_;
};

TEST_F(CardinalityTest, ARefusalNamesTheMetricAndTheLabelToBlame) {
  options_.max_series = 1'000;
  Open();
  ASSERT_OK(PutRange("up", "host", 0, 20));
  int i = 0;
  absl::Status status;
  while (true) {
    status = Put(Labels::Of("requests", {{"method", i % 2 == 0 ? "GET" : "POST"},
                                         {"request_id", StrCat("id-", i)},
                                         {"status", StrCat(200 + i % 5)}}),
                 kStartMs, 1);
    if (!status.ok()) break;
    ++i;
  }
  EXPECT_EQ(i, 980);
  const CardinalityLimit limit = LimitOf(status);
  EXPECT_EQ(limit.current, 1'000u);
  EXPECT_EQ(limit.limit, 1'000u);
  EXPECT_FALSE(limit.per_metric);
  EXPECT_EQ(limit.metric, "requests");
  EXPECT_EQ(limit.metric_series, 980u);
  EXPECT_EQ(limit.label, "request_id");
  EXPECT_NEAR(static_cast<double>(limit.label_values), 980, 250);
  EXPECT_EQ(limit.label_example, "id-980");
  EXPECT_THAT(limit.refused, HasSubstr("request_id=\"id-980\""));
  const std::string message(status.message());
  EXPECT_THAT(message, HasSubstr("1000 series exist, the limit is 1000; metric requests has 980 of "
                                 "them, and its label request_id has about "));
  EXPECT_THAT(message,
              HasSubstr("\"id-980\" for one: remove that label; first refused: requests{"));

  const CardinalityStats stats = db_->Cardinality();
  EXPECT_EQ(stats.refused_commits, 1u);
  EXPECT_EQ(stats.refused_series, 1u);
  EXPECT_EQ(stats.first_refused, limit.refused);
  ASSERT_EQ(stats.largest.size(), 2u);
  ASSERT_EQ(stats.largest[0].labels.size(), 3u);
  EXPECT_EQ(stats.largest[0].labels[0].name, "request_id");
  EXPECT_EQ(stats.largest[0].labels[1].name, "status");
  // Estimates: two values may fall into one register.
  EXPECT_NEAR(static_cast<double>(stats.largest[0].labels[1].values), 5, 1);
  EXPECT_NEAR(static_cast<double>(stats.largest[0].labels[2].values), 2, 1);
  EXPECT_EQ(stats.largest[1].name, "up");

  // Known series pass, those of the metric too; nothing of a mixed batch is stored.
  ASSERT_OK(PutRange("up", "host", 0, 20, kStartMs + 1));
  EXPECT_CODE(PutRange("up", "host", 15, 21, kStartMs + 2), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(db_->Cardinality().last_refused, Text(Labels::Of("up", {{"host", "value-20"}})));
  EXPECT_EQ(Everything(*db_), model_);
  CheckCounts();
}

TEST_F(CardinalityTest, WithoutACulpritTheAdviceIsAnother) {
  options_.max_series = 300;
  Open();
  for (int i = 0; i < 60; ++i) ASSERT_OK(PutRange(StrCat("metric_", 10 + i), "host", 0, 5));
  const absl::Status status = PutRange("another", "host", 0, 1);
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("remove")));
  EXPECT_THAT(std::string(status.message()), HasSubstr("send fewer series, or raise the limit"));
}

TEST_F(CardinalityTest, EachMetricHasItsOwnLimit) {
  options_.max_series_per_metric = 10;
  Open();
  ASSERT_OK(PutRange("a", "x", 0, 8));
  ASSERT_OK(PutRange("b", "x", 0, 10));
  // A batch that has room in one metric and not in the other: nothing of it counts.
  std::vector<Labels> mixed;
  for (int i = 8; i < 11; ++i) {
    mixed.push_back(Labels::Of("c", {{"x", StrCat(i)}}));
    mixed.push_back(Labels::Of("a", {{"x", StrCat("value-", i)}}));
  }
  const absl::Status status = PutAll(mixed);
  const CardinalityLimit limit = LimitOf(status);
  EXPECT_TRUE(limit.per_metric);
  EXPECT_EQ(limit.metric, "a");
  EXPECT_EQ(limit.current, 8u);
  EXPECT_EQ(limit.limit, 10u);
  EXPECT_EQ(limit.label, "x");
  EXPECT_EQ(limit.refused, Text(Labels::Of("a", {{"x", "value-10"}})));
  EXPECT_NEAR(static_cast<double>(limit.label_values), 8, 1);  // an estimate
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("metric a has 8 series, the limit per metric is 10, and its label x has "
                        "about "));
  CheckCounts();
  ASSERT_OK(PutRange("a", "x", 0, 10));
  EXPECT_CODE(PutRange("a", "x", 10, 11), absl::StatusCode::kResourceExhausted);
  ASSERT_OK(PutRange("c", "x", 0, 10));
  // A deleted series makes room.
  ASSERT_OK(db_->Delete({Matcher::Metric("a"), Matcher::Equal("x", "value-3")}, {}));
  ASSERT_OK(PutRange("a", "x", 10, 11));
  EXPECT_CODE(PutRange("a", "x", 11, 12), absl::StatusCode::kResourceExhausted);
  Reopen();
  CheckCounts();
  EXPECT_CODE(PutRange("a", "x", 11, 12), absl::StatusCode::kResourceExhausted);
  ASSERT_OK(PutRange("a", "x", 4, 11));
}

TEST_F(CardinalityTest, ADryRunRefusesNothingAndSaysWhatItWouldHave) {
  options_.max_series = 10;
  options_.max_series_per_metric = 8;
  options_.cardinality_dry_run = true;
  Open();
  log_.clear();
  ASSERT_OK(PutRange("a", "x", 0, 8));
  EXPECT_TRUE(log_.empty());
  ASSERT_OK(PutRange("a", "x", 6, 10));
  ASSERT_OK(PutRange("b", "x", 0, 5));
  CheckCounts();
  const CardinalityStats stats = db_->Cardinality();
  EXPECT_TRUE(stats.dry_run);
  EXPECT_EQ(stats.series, 15u);
  EXPECT_EQ(stats.refused_commits, 2u);
  EXPECT_EQ(stats.refused_series, 7u);
  EXPECT_EQ(db_->Stats().series_refused, 7u);
  EXPECT_EQ(stats.first_refused, Text(Labels::Of("a", {{"x", "value-8"}})));
  EXPECT_EQ(stats.last_refused, Text(Labels::Of("b", {{"x", "value-0"}})));
  // One line a minute.
  ASSERT_EQ(log_.size(), 1u);
  EXPECT_THAT(log_[0],
              HasSubstr("dry run, nothing is refused: cardinality limit exceeded: metric a"));
  clock_.AdvanceMs(59'999);
  ASSERT_OK(PutRange("b", "x", 5, 6));
  EXPECT_EQ(log_.size(), 1u);
  clock_.AdvanceMs(1);
  ASSERT_OK(PutRange("b", "x", 6, 7));
  EXPECT_EQ(log_.size(), 2u);
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(CardinalityTest, RefusalsAreLoggedOnceAMinute) {
  options_.max_series = 2;
  Open();
  ASSERT_OK(PutRange("a", "x", 0, 2));
  log_.clear();
  for (int i = 0; i < 100; ++i) {
    EXPECT_CODE(PutRange("a", "x", 10 + i, 11 + i), absl::StatusCode::kResourceExhausted);
    clock_.AdvanceMs(1'000);
  }
  EXPECT_EQ(log_.size(), 2u);
  EXPECT_THAT(log_[0], HasSubstr("new series refused: cardinality limit exceeded"));
  EXPECT_EQ(db_->Cardinality().refused_series, 100u);
}

TEST_F(CardinalityTest, AFailedCommitTakesNoPlace) {
  options_.max_series = 10;
  Open();
  ASSERT_OK(PutRange("a", "x", 0, 4));
  disk_.AddFault({.operation = testing::Operation::kAppend});
  EXPECT_FALSE(PutRange("b", "x", 0, 6).ok());
  disk_.ClearFaults();
  ASSERT_OK(db_->Resume());
  CheckCounts();
  ASSERT_OK(PutRange("c", "x", 0, 6));
  EXPECT_CODE(PutRange("d", "x", 0, 1), absl::StatusCode::kResourceExhausted);
}

TEST_F(CardinalityTest, IdleSeriesCountComeBackFreelyAndAreBlamed) {
  options_.partition_ms = 60'000;
  options_.max_series = 1'000;
  Open();
  ASSERT_OK(PutRange("calm", "host", 0, 100));
  ASSERT_OK(PutRange("wild", "session", 0, 900));
  clock_.AdvanceMs(10 * options_.partition_ms);
  ASSERT_OK(db_->Flush());
  Work();
  ASSERT_EQ(db_->Stats().idle_series, 1'000u);
  for (int life = 0; life < 3; ++life) {
    CheckCounts();
    const absl::Status status = PutRange("calm", "host", 100, 101, clock_.NowMs());
    const CardinalityLimit limit = LimitOf(status);
    EXPECT_EQ(limit.current, 1'000u);
    EXPECT_EQ(limit.metric, "wild");
    EXPECT_EQ(limit.metric_series, 900u);
    EXPECT_EQ(limit.label, "session") << "life " << life;
    EXPECT_NEAR(static_cast<double>(limit.label_values), 900, 220);
    // Back in memory: still the same number of series.
    ASSERT_OK(PutRange("wild", "session", 10 * life, 10 * life + 10, clock_.NowMs()));
    CheckCounts();
    if (life == 0) Reopen();
    if (life == 1) CloseAndReopen();
  }
  // What expires makes room: all but the thirty that came back.
  ASSERT_OK(db_->DropBefore(clock_.NowMs() - options_.partition_ms));
  CheckCounts();
  EXPECT_EQ(db_->Stats().series, 30u);
  ASSERT_OK(PutRange("new", "x", 0, 970, clock_.NowMs()));
  EXPECT_CODE(PutRange("new", "x", 970, 971), absl::StatusCode::kResourceExhausted);
}

TEST_F(CardinalityTest, WhatFitsIsStoredAndTheRestIsCounted) {
  options_.max_series = 10;
  options_.max_series_per_metric = 6;
  Open();
  ASSERT_OK(PutRange("a", "x", 0, 4));
  const auto commit = [&](const std::vector<Labels>& series, uint64_t* left_out) {
    const auto appender = db_->NewAppender();
    // Two samples each, the second behind those of all others.
    for (int64_t t = 0; t < 2; ++t) {
      for (const Labels& labels : series) EXPECT_OK(appender->Add(labels, kStartMs + t, 2));
    }
    absl::Status why;
    EXPECT_OK(appender->CommitWhatFits(left_out, &why));
    EXPECT_EQ(why.ok(), *left_out == 0) << why;
    return why;
  };
  std::vector<Labels> series;
  for (const int i : {2, 7, 8, 9, 3}) {
    series.push_back(Labels::Of("a", {{"x", StrCat("value-", i)}}));
  }
  for (int i = 0; i < 6; ++i) series.push_back(Labels::Of("b", {{"y", StrCat(i)}}));
  uint64_t left_out = 0;
  EXPECT_TRUE(LimitOf(commit(series, &left_out)).limit > 0);
  EXPECT_EQ(left_out, 2u * 3);  // one of a beyond its metric's limit, two of b beyond that of all
  CheckCounts();
  EXPECT_EQ(db_->Stats().series, 10u);
  EXPECT_EQ(db_->Stats().series_refused, 3u);
  EXPECT_EQ(db_->Stats().samples_rejected, 6u);
  ASSERT_OK_AND_ASSIGN(const auto stored, db_->Series({Matcher::Metric("a")}, {}));
  EXPECT_EQ(stored.size(), 6u);
  // Nothing fits, and nothing is wrong.
  EXPECT_EQ(LimitOf(commit({Labels::Of("c")}, &left_out)).current, 10u);
  EXPECT_EQ(left_out, 2u);
  EXPECT_OK(commit({}, &left_out));
  EXPECT_EQ(left_out, 0u);
  CheckCounts();
  Reopen();
  CheckCounts();
  EXPECT_EQ(db_->Stats().series, 10u);
}

TEST_F(CardinalityTest, WhatFitsHasEveryIdleSeries) {
  options_.partition_ms = 60'000;
  options_.max_series = 1'000;
  Open();
  ASSERT_OK(PutRange("idle", "x", 0, 1'000));
  clock_.AdvanceMs(10 * options_.partition_ms);
  ASSERT_OK(db_->Flush());
  Work();
  ASSERT_EQ(db_->Stats().idle_series, 1'000u);
  const auto appender = db_->NewAppender();
  for (int i = 0; i < 10; ++i) {
    ASSERT_OK(appender->Add(Labels::Of("new", {{"x", StrCat(i)}}), clock_.NowMs(), 1));
    ASSERT_OK(appender->Add(Labels::Of("idle", {{"x", StrCat("value-", i)}}), clock_.NowMs(), 1));
  }
  uint64_t left_out = 0;
  absl::Status why;
  ASSERT_OK(appender->CommitWhatFits(&left_out, &why));
  EXPECT_EQ(left_out, 10u);
  EXPECT_EQ(db_->Stats().idle_series, 990u);
  CheckCounts();
}

TEST_F(CardinalityTest, TheLabelToBlameIsForgottenWithItsSeries) {
  options_.max_series = 600;
  Open();
  ASSERT_OK(PutRange("m", "request_id", 0, 600));
  EXPECT_EQ(LimitOf(PutRange("m", "request_id", 600, 601)).label, "request_id");
  ASSERT_OK(db_->Delete({Matcher::Metric("m")}, {}));
  ASSERT_OK(PutRange("m", "host", 0, 600));
  EXPECT_EQ(LimitOf(PutRange("m", "host", 600, 601)).label, "host");
  ASSERT_EQ(db_->Cardinality().largest[0].labels.size(), 1u);
}

// Creating, deleting, expiring, going idle and coming back, kills, closes and failed writes.
TEST_F(CardinalityTest, CountsAreWhatSeriesListsWhateverHappened) {
  options_.partition_ms = 60'000;
  options_.chunk_samples = 5;
  for (uint32_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    std::mt19937 random(seed);
    db_ = nullptr;
    another_disk_ = std::make_unique<testing::MemoryFileSystem>();
    options_.file_system = another_disk_.get();
    options_.max_series = seed % 2 == 0 ? 1'500 : 0;
    options_.max_series_per_metric = seed % 2 == 0 ? 600 : 0;
    Open();
    for (int step = 0; step < 120; ++step) {
      const int kind = static_cast<int>(random() % 16);
      const std::string metric = StrCat("m", random() % 4);
      const int begin = static_cast<int>(random() % 900);
      if (kind < 6) {
        const auto status =
            PutRange(metric, "x", begin, begin + static_cast<int>(random() % 400), clock_.NowMs());
        ASSERT_TRUE(status.ok() || absl::IsResourceExhausted(status)) << status;
      } else if (kind < 8) {
        clock_.AdvanceMs(3 * options_.partition_ms);
        ASSERT_OK(db_->Flush());
        Work();
      } else if (kind == 8) {
        ASSERT_OK(db_->Delete(
            {Matcher::Metric(metric),
             *Matcher::Create(Matcher::Op::kRegex, "x", StrCat(".*", begin % 10, ".*"))},
            {}));
      } else if (kind == 9) {
        ASSERT_OK(db_->DropBefore(clock_.NowMs() -
                                  static_cast<int64_t>(random() % 10) * options_.partition_ms));
      } else if (kind == 10) {
        Reopen();
      } else if (kind == 11) {
        CloseAndReopen();
      } else if (kind == 12) {
        Work();
      } else if (kind == 13) {
        // An error in the middle of something large, survived without a new start.
        another_disk_->AddFault({.operation = testing::Operation::kAppend, .skip = random() % 8});
        (random() % 2 == 0 ? db_->DropBefore(clock_.NowMs() - 2 * options_.partition_ms)
                           : PutRange(metric, "x", begin, begin + 50, clock_.NowMs()))
            .IgnoreError();
        another_disk_->ClearFaults();
        if (!db_->Resume().ok()) Reopen();
      }
      ASSERT_NO_FATAL_FAILURE(CheckCounts()) << "step " << step << ", kind " << kind;
    }
  }
}

TEST_F(CardinalityTest, SeriesThatComeBackWhileTheirGroupIsDroppedCountOnce) {
  options_.partition_ms = 60'000;
  options_.logger = nullptr;
  Open();
  constexpr int kSeries = 3'000;
  for (int round = 0; round < 8; ++round) {
    SCOPED_TRACE(StrCat("round ", round));
    ASSERT_OK(PutRange("m", "x", 0, kSeries, clock_.NowMs()));
    clock_.AdvanceMs(5 * options_.partition_ms);
    ASSERT_OK(db_->Flush());
    Work();
    ASSERT_EQ(db_->Stats().idle_series, uint64_t{kSeries});
    std::thread writer([&] {
      for (int i = round; i < kSeries; i += 10) {
        ASSERT_OK(PutRange("m", "x", i, i + 1, clock_.NowMs()));
      }
    });
    // Deleting, now and then, takes them one by one.
    absl::Status status = round % 4 == 3
                              ? db_->Delete({Matcher::Metric("m")}, {INT64_MIN, clock_.NowMs() - 1})
                              : db_->DropBefore(clock_.NowMs() - options_.partition_ms);
    writer.join();
    ASSERT_OK(status);
    ASSERT_NO_FATAL_FAILURE(CheckCounts());
    EXPECT_EQ(db_->Stats().series, uint64_t{kSeries} / 10);
  }
}

TEST_F(CardinalityTest, LimitsAreExactUnderSixteenWritersAndAfterAKill) {
  options_.background_threads = true;
  options_.logger = nullptr;
  options_.max_series_per_metric = 100;
  options_.max_series = 350;
  options_.sync_policy = SyncPolicy::kAlways;  // so that commits gather in groups
  Open();
  std::atomic<uint64_t> accepted{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 16; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 40; ++i) {
        // Three of one metric, one of a second: all or none of them.
        auto appender = db_->NewAppender();
        const std::string id = StrCat(thread, "-", i);
        for (int k = 0; k < 4; ++k) {
          const int metric = k < 3 ? i % 5 : (i + 1) % 5;
          ASSERT_OK(appender->Add(
              Labels::Of(StrCat("m", metric), {{"batch", id}, {"k", StrCat(k)}}), kStartMs, 1));
        }
        const absl::Status status = appender->Commit();
        if (status.ok()) {
          ++accepted;
        } else {
          ASSERT_NE(LimitOf(status).limit, 0u);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int life = 0; life < 3; ++life) {
    CheckCounts();
    const CardinalityStats stats = db_->Cardinality();
    EXPECT_EQ(stats.series, 4 * accepted);
    EXPECT_LE(stats.series, 350u);
    EXPECT_GT(stats.series, 346u);  // no four more fit
    for (const auto& metric : stats.largest) EXPECT_LE(metric.series, 100u);
    ASSERT_OK_AND_ASSIGN(const auto batches, db_->LabelValues("batch", {}, {}, {}));
    EXPECT_EQ(batches.size(), accepted);  // with all four each
    if (life == 0) {
      Kill();
      disk_.Crash({.keep_bytes = testing::Keep::kNothing, .keep_names = testing::Keep::kNothing});
      Open();
    }
    if (life == 1) CloseAndReopen();
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
