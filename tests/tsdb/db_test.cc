// The database from outside: what goes in by labels comes out by matchers, before and after
// sealing, restarting and dying.
#include <cmath>
#include <limits>

#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

Labels Cpu(const std::string& host) { return Labels::Of("cpu", {{"host", host}}); }

Matcher Make(Matcher::Op op, std::string label, std::string value) {
  auto matcher = Matcher::Create(op, std::move(label), std::move(value));
  EXPECT_OK(matcher);
  return *std::move(matcher);
}

TEST_F(DbTest, SamplesAreFoundByLabelsInTheOrderOfLabels) {
  Open();
  ASSERT_OK(Put(Cpu("b"), kStartMs, 2));
  ASSERT_OK(Put(Cpu("a"), kStartMs, 1));
  ASSERT_OK(Put(Labels::Of("up"), kStartMs, 1));
  ASSERT_OK_AND_ASSIGN(auto set, db_->Select({Matcher::Metric("cpu")}, {}));
  ASSERT_TRUE(set->Next());
  EXPECT_EQ(set->labels(), Cpu("a"));
  EXPECT_EQ(set->columns().values, std::vector<double>{1});
  EXPECT_EQ(set->resolution(), Resolution::kRaw);
  ASSERT_TRUE(set->Next());
  EXPECT_EQ(set->labels(), Cpu("b"));
  EXPECT_FALSE(set->Next());
  EXPECT_FALSE(set->Next());
  EXPECT_OK(set->status());
}

TEST_F(DbTest, RangesAreClosedAtBothEnds) {
  Open();
  for (int i = 0; i < 500; ++i) ASSERT_OK(Put(Cpu("a"), kStartMs + i * 1000, i));
  const auto select = [&](int64_t from, int64_t to) {
    return CountSamples(Drain(db_->Select({Matcher::Metric("cpu")}, {from, to})));
  };
  for (const bool sealed : {false, true}) {
    if (sealed) {
      ASSERT_OK(db_->Flush());
    }
    EXPECT_EQ(select(kStartMs + 100'000, kStartMs + 200'000), 101u);
    EXPECT_EQ(select(kStartMs + 100'001, kStartMs + 199'999), 99u);
    EXPECT_EQ(select(kStartMs + 100'001, kStartMs + 100'999), 0u);
    EXPECT_EQ(select(kStartMs + 499'000, INT64_MAX), 1u);
    EXPECT_EQ(select(INT64_MIN, kStartMs), 1u);
    EXPECT_EQ(select(kStartMs + 1, kStartMs), 0u);
  }
}

TEST_F(DbTest, MatchersMeanWhatPrometheusMeans) {
  Open();
  ASSERT_OK(Put(Labels::Of("m", {{"a", "1"}, {"b", "x"}}), kStartMs, 1));
  ASSERT_OK(Put(Labels::Of("m", {{"a", "2"}}), kStartMs, 2));
  ASSERT_OK(Put(Labels::Of("m", {{"a", "10"}, {"b", "y"}}), kStartMs, 3));
  ASSERT_OK(Put(Labels::Of("n", {{"a", "1"}}), kStartMs, 4));
  using Op = Matcher::Op;
  const auto values = [&](std::vector<Matcher> matchers) {
    std::vector<double> found;
    for (const auto& [labels, points] : Drain(db_->Select(matchers, {}))) {
      for (const auto& [time, bits] : points) found.push_back(std::bit_cast<double>(bits));
    }
    std::sort(found.begin(), found.end());
    return found;
  };
  using Values = std::vector<double>;
  const Matcher m = Matcher::Metric("m");
  EXPECT_EQ(values({m}), (Values{1, 2, 3}));
  EXPECT_EQ(values({m, Matcher::Equal("a", "1")}), (Values{1}));
  EXPECT_EQ(values({Matcher::Equal("a", "1")}), (Values{1, 4}));
  EXPECT_EQ(values({m, Matcher::NotEqual("a", "1")}), (Values{2, 3}));
  EXPECT_EQ(values({m, Make(Op::kRegex, "a", "1.*")}), (Values{1, 3}));
  EXPECT_EQ(values({m, Make(Op::kRegex, "a", "1")}), (Values{1}));  // anchored
  EXPECT_EQ(values({m, Make(Op::kNotRegex, "a", "1.*")}), (Values{2}));
  // A missing label is the empty string.
  EXPECT_EQ(values({m, Matcher::Equal("b", "")}), (Values{2}));
  EXPECT_EQ(values({m, Matcher::NotEqual("b", "")}), (Values{1, 3}));
  EXPECT_EQ(values({m, Matcher::NotEqual("b", "x")}), (Values{2, 3}));
  EXPECT_EQ(values({m, Make(Op::kRegex, "b", "x?")}), (Values{1, 2}));
  EXPECT_EQ(values({m, Make(Op::kNotRegex, "b", "x|")}), (Values{3}));
  EXPECT_EQ(values({Matcher::NotEqual("b", "")}), (Values{1, 3}));
  EXPECT_EQ(values({m, Matcher::Equal("nobody", "")}), (Values{1, 2, 3}));
  EXPECT_EQ(values({m, Matcher::Equal("nobody", "x")}), (Values{}));
  EXPECT_EQ(values({m, Make(Op::kRegex, "nobody", ".+")}), (Values{}));
  EXPECT_CODE(db_->Select({}, {}), absl::StatusCode::kInvalidArgument);
  EXPECT_CODE(db_->Select({Make(Op::kRegex, "a", ".*")}, {}), absl::StatusCode::kInvalidArgument);
}

TEST_F(DbTest, NamesValuesAndSeriesAreListedSorted) {
  Open();
  ASSERT_OK(Put(Labels::Of("m", {{"a", "2"}, {"b", "x"}}), kStartMs, 1));
  ASSERT_OK(Put(Labels::Of("m", {{"a", "1"}}), kStartMs, 2));
  ASSERT_OK(Put(Labels::Of("n", {{"c", "3"}}), kStartMs, 4));
  using Strings = std::vector<std::string>;
  EXPECT_EQ(*db_->LabelNames({}, {}), (Strings{"__name__", "a", "b", "c"}));
  EXPECT_EQ(*db_->LabelNames({Matcher::Metric("n")}, {}), (Strings{"__name__", "c"}));
  EXPECT_EQ(*db_->LabelValues("a", {}, {}), (Strings{"1", "2"}));
  EXPECT_EQ(*db_->LabelValues("a", {Matcher::Equal("b", "x")}, {}), (Strings{"2"}));
  EXPECT_EQ(*db_->LabelValues("nobody", {}, {}), Strings{});
  const auto all = *db_->Series({}, {});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0], Labels::Of("m", {{"a", "1"}}));
  EXPECT_EQ(all[2], Labels::Of("n", {{"c", "3"}}));
  EXPECT_EQ(db_->Series({Matcher::Metric("m")}, {})->size(), 2u);
}

TEST_F(DbTest, TheLastWriteOfATimeWinsWhereverTheFirstOneIs) {
  options_.chunk_samples = 10;
  Open();
  for (int i = 0; i < 35; ++i) ASSERT_OK(Put(Cpu("a"), kStartMs + i * 1000, i));
  EXPECT_EQ(Everything(*db_), model_);
  // In the open chunk, in frozen ones, in sealed ones, in late ones.
  for (const int round : {1, 2, 3, 4}) {
    for (const int i : {33, 34, 3, 15, 3, 0, 29}) {
      ASSERT_OK(Put(Cpu("a"), kStartMs + i * 1000, i + round * 100));
      ASSERT_OK(Put(Cpu("a"), kStartMs + i * 1000 + 500, i + round * 1000));
    }
    EXPECT_EQ(Everything(*db_), model_) << "round " << round;
    if (round == 1) {
      ASSERT_OK(db_->Flush());
    }
    if (round == 2) CloseAndReopen();
    if (round == 3) Reopen();
    EXPECT_EQ(Everything(*db_), model_) << "after round " << round;
  }
  ASSERT_OK(db_->Flush());
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().samples, CountSamples(model_));
}

// Found by review: a merge gave old values the generation of an open chunk frozen in the same life,
// and a later open chunk of that life then tied with them.
TEST_F(DbTest, ARewriteOfMergedChunksWins) {
  Open();
  const Labels series = Cpu("a");
  const auto put = [&](int64_t from, int64_t to, int64_t step, double value) {
    Writer writer(db_.get(), &model_);
    for (int64_t i = from; i < to; i += step) ASSERT_OK(writer.Add(series, kStartMs + i, value));
    ASSERT_OK(writer.Commit());
  };
  put(5000, 5001, 1, 1);
  put(0, 960, 2, 1);
  put(1, 960, 2, 1);
  ASSERT_OK(db_->Flush());
  CloseAndReopen();
  put(0, 120, 1, 2);
  put(130, 490, 1, 2);
  EXPECT_EQ(Everything(*db_), model_);
  ASSERT_OK(db_->Flush());
  EXPECT_EQ(Everything(*db_), model_);
  CloseAndReopen();
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbTest, CommitsSealWhenTheHeadIsOverItsShareSoThatItStaysBounded) {
  options_.memory_budget_bytes = 1 << 20;
  Open();
  std::vector<Labels> series;
  for (int i = 0; i < 500; ++i) series.push_back(Cpu(std::to_string(i)));
  int64_t time_ms = kStartMs;
  for (int batch = 0; batch < 10; ++batch) {
    auto appender = db_->NewAppender();
    for (int i = 0; i < 240; ++i, ++time_ms) {
      for (const Labels& labels : series) ASSERT_OK(appender->Add(labels, time_ms, i));
    }
    ASSERT_OK(appender->Commit());
    // What one batch brings comes on top of the half of the budget that is the head's.
    EXPECT_LE(db_->Stats().memory.head_bytes, options_.memory_budget_bytes / 2 + (6 << 20));
    EXPECT_GT(db_->Stats().chunks_sealed + 1, static_cast<uint64_t>(batch));
  }
}

TEST_F(DbTest, WithinABatchTheLaterSampleWins) {
  Open();
  Writer writer(db_.get(), &model_);
  ASSERT_OK(writer.Add(Cpu("a"), kStartMs, 1));
  ASSERT_OK(writer.Add(Cpu("a"), kStartMs - 5, 2));
  ASSERT_OK(writer.Add(Cpu("a"), kStartMs, 3));
  ASSERT_OK(writer.Commit());
  EXPECT_EQ(Everything(*db_), model_);
  ASSERT_OK(db_->Flush());  // before, the one that was replaced is counted too
  EXPECT_EQ(db_->Stats().samples, 2u);
  Reopen();
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbTest, EveryBitOfAValueSurvives) {
  Open();
  const std::vector<double> values = {0.0,
                                      -0.0,
                                      StaleNan(),
                                      std::bit_cast<double>(0x7ff8000000000001),
                                      std::bit_cast<double>(0xfff123456789abcd),
                                      std::numeric_limits<double>::infinity(),
                                      -std::numeric_limits<double>::infinity(),
                                      std::numeric_limits<double>::denorm_min(),
                                      std::numeric_limits<double>::max(),
                                      0.1,
                                      1e300,
                                      9007199254740993.0,
                                      -1,
                                      1.0 / 3};
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_OK(Put(Cpu("a"), kStartMs + static_cast<int64_t>(i), values[i]));
  }
  EXPECT_EQ(Everything(*db_), model_);
  Reopen();  // through the log
  EXPECT_EQ(Everything(*db_), model_);
  CloseAndReopen();  // through a checkpoint
  EXPECT_EQ(Everything(*db_), model_);
  ASSERT_OK(db_->Flush());  // through the LSM
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbTest, TimesBefore1970AndFarApartAreKept) {
  Open();
  const int64_t partition = options_.partition_ms;
  for (const int64_t time :
       {int64_t{-1}, int64_t{0}, int64_t{1}, -partition, -partition - 1, -partition + 1,
        partition - 1, partition, int64_t{-8'000'000'000'000}, INT32_MIN * partition}) {
    ASSERT_OK(Put(Cpu("a"), time, static_cast<double>(time)));
  }
  EXPECT_EQ(Everything(*db_), model_);
  ASSERT_OK(db_->Flush());
  EXPECT_EQ(Everything(*db_), model_);
  CloseAndReopen();
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().oldest_ms, INT32_MIN * partition);
  EXPECT_EQ(db_->Stats().newest_ms, partition);
  EXPECT_EQ(CountSamples(Drain(db_->SelectAll({-partition, -1}))), 3u);
  EXPECT_CODE(Put(Cpu("a"), INT32_MIN * partition - 1, 0), absl::StatusCode::kInvalidArgument);
  EXPECT_CODE(Put(Cpu("a"), INT64_MIN, 0), absl::StatusCode::kInvalidArgument);
}

TEST_F(DbTest, SamplesTooFarInTheFutureAreRefusedAndNamed) {
  Open();
  const int64_t limit = clock_.NowMs() + options_.max_future_ms;
  ASSERT_OK(Put(Cpu("a"), limit, 1));
  for (const int64_t time : {limit + 1, INT64_MAX}) {
    const absl::Status status = Put(Cpu("a"), time, 1);
    EXPECT_CODE(status, absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.ToString().find("cpu{host=\"a\"}"), std::string::npos) << status;
  }
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().samples_rejected, 2u);
}

TEST_F(DbTest, ASeriesNeedsAMetricName) {
  Open();
  ASSERT_OK_AND_ASSIGN(const Labels nameless, Labels::Create({{"host", "a"}}));
  EXPECT_CODE(Put(nameless, kStartMs, 1), absl::StatusCode::kInvalidArgument);
}

TEST_F(DbTest, AMonthOfBackfillBehindLiveSamplesIsKept) {
  Open();
  ASSERT_OK(Put(Cpu("a"), kStartMs, -1));
  Writer writer(db_.get(), &model_);
  for (int i = 30 * 24 * 12; i > 0; --i) {
    ASSERT_OK(writer.Add(Cpu("a"), kStartMs - i * int64_t{300'000}, i));
  }
  ASSERT_OK(writer.Commit());
  ASSERT_OK(Put(Cpu("a"), kStartMs + 1000, -2));
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().samples, CountSamples(model_));
  CloseAndReopen();
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().samples, CountSamples(model_));
}

TEST_F(DbTest, SendingABatchAgainChangesNothing) {
  options_.chunk_samples = 16;
  Open();
  const auto send = [&] {
    Writer writer(db_.get(), &model_);
    for (int i = 0; i < 100; ++i) {
      ASSERT_OK(writer.Add(Cpu(std::to_string(i % 3)), kStartMs + i * 500, i));
    }
    ASSERT_OK(writer.Commit());
  };
  send();
  for (int round = 0; round < 20; ++round) {
    send();
    if (round % 5 == 2) {
      ASSERT_OK(db_->Flush());
    }
    if (round % 5 == 3) Reopen();
    EXPECT_EQ(Everything(*db_), model_);
  }
  ASSERT_OK(db_->Flush());
  EXPECT_EQ(db_->Stats().samples, 100u);
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbTest, HandlesNameSeriesThatExist) {
  Open();
  auto appender = db_->NewAppender();
  EXPECT_CODE(appender->Resolve(Cpu("a")), absl::StatusCode::kNotFound);
  ASSERT_OK(Put(Cpu("a"), kStartMs, 1));
  ASSERT_OK_AND_ASSIGN(const SeriesHandle handle, appender->Resolve(Cpu("a")));
  ASSERT_OK(appender->Add(handle, kStartMs + 1, 2));
  ASSERT_OK(appender->Commit());
  model_[Text(Cpu("a"))][kStartMs + 1] = std::bit_cast<uint64_t>(2.0);
  EXPECT_EQ(Everything(*db_), model_);
  for (const uint64_t wrong : {uint64_t{1}, uint64_t{0x80000000}, UINT64_MAX}) {
    EXPECT_CODE(appender->Add(static_cast<SeriesHandle>(wrong), kStartMs, 1),
                absl::StatusCode::kInvalidArgument);
  }
}

TEST_F(DbTest, RollbackForgetsTheBatch) {
  Open();
  auto appender = db_->NewAppender();
  ASSERT_OK(appender->Add(Cpu("a"), kStartMs, 1));
  appender->Rollback();
  ASSERT_OK(appender->Commit());
  EXPECT_TRUE(Everything(*db_).empty());
  EXPECT_EQ(db_->Stats().series, 0u);
}

TEST_F(DbTest, MetadataIsKeptByMetricAndTheLastWriterWins) {
  Open();
  const MetricMetadata first{"counter", "Seconds.", "s"};
  const MetricMetadata second{"gauge", "Other.", ""};
  auto appender = db_->NewAppender();
  ASSERT_OK(appender->SetMetadata("cpu", first));
  ASSERT_OK(appender->SetMetadata("mem", first));
  ASSERT_OK(appender->Commit());
  EXPECT_EQ(db_->Metadata("cpu"), first);
  EXPECT_EQ(db_->Metadata("nobody"), MetricMetadata());
  ASSERT_OK(appender->SetMetadata("cpu", second));
  ASSERT_OK(appender->Commit());
  for (int round = 0; round < 3; ++round) {
    EXPECT_EQ(db_->Metadata("cpu"), second);
    EXPECT_EQ(db_->Metadata("mem"), first);
    if (round == 0) Reopen();
    if (round == 1) CloseAndReopen();
  }
  EXPECT_CODE(appender->SetMetadata("", first), absl::StatusCode::kInvalidArgument);
  EXPECT_CODE(appender->SetMetadata("x", {"", std::string(5000, 'h'), ""}),
              absl::StatusCode::kInvalidArgument);
}

TEST_F(DbTest, TheSampleLimitOfAQueryIsExact) {
  options_.chunk_samples = 10;
  Open();
  for (int i = 0; i < 55; ++i) ASSERT_OK(Put(Cpu(i % 2 ? "a" : "b"), kStartMs + i, i));
  const auto select = [&](uint64_t limit) {
    SelectHints hints;
    hints.sample_limit = limit;
    auto set = db_->SelectAll({}, hints);
    EXPECT_OK(set);
    while ((*set)->Next()) {
    }
    return (*set)->status();
  };
  for (const bool sealed : {false, true}) {
    if (sealed) {
      ASSERT_OK(db_->Flush());
    }
    EXPECT_OK(select(55));
    EXPECT_CODE(select(54), absl::StatusCode::kResourceExhausted);
    EXPECT_CODE(select(27), absl::StatusCode::kResourceExhausted);
    EXPECT_CODE(select(1), absl::StatusCode::kResourceExhausted);
  }
}

TEST_F(DbTest, AQuerySeesTheInstantItBeganNotWhatCameLater) {
  options_.chunk_samples = 8;
  Open();
  for (int i = 0; i < 20; ++i) ASSERT_OK(Put(Cpu("a"), kStartMs + i * 1000, i));
  const Model before = model_;
  auto set = db_->SelectAll({});
  // Overwrites in the open chunk, late samples, new series, and everything sealed and flushed.
  for (int i = 0; i < 40; ++i) ASSERT_OK(Put(Cpu("a"), kStartMs + i * 500, -i));
  ASSERT_OK(Put(Cpu("b"), kStartMs, 1));
  ASSERT_OK(db_->Flush());
  EXPECT_EQ(Drain(std::move(set)), before);
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbTest, OldChunksAreSealedByAge) {
  Open();
  ASSERT_OK(Put(Cpu("a"), kStartMs, 1));
  ASSERT_OK(db_->RunBackgroundWork());
  EXPECT_EQ(db_->Stats().chunks_sealed, 0u);
  clock_.AdvanceMs(options_.partition_ms);
  ASSERT_OK(db_->RunBackgroundWork());
  EXPECT_EQ(db_->Stats().chunks_sealed, 1u);
  EXPECT_EQ(db_->Stats().head_samples, 0u);
  EXPECT_EQ(Everything(*db_), model_);
}

TEST_F(DbTest, FullSegmentsAreReplacedByACheckpoint) {
  options_.head_segment_bytes = 2000;
  Open();
  for (int i = 0; i < 2000; ++i) {
    ASSERT_OK(Put(Cpu(std::to_string(i % 10)), kStartMs + i * 1000, i * 0.1));
    ASSERT_OK(db_->RunBackgroundWork());
  }
  EXPECT_EQ(Everything(*db_), model_);
  // The open chunks and one or two segments; two thousand records would be twenty times as much.
  EXPECT_LT(db_->Stats().head_log_bytes, 6000u);
  Reopen();
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_LT(db_->Stats().replayed_samples, 200u);
}

TEST_F(DbTest, DiskBytesAreWhatTheFolderHolds) {
  Open();
  for (int i = 0; i < 300; ++i) ASSERT_OK(Put(Cpu("a"), kStartMs + i * 1000, i));
  EXPECT_NEAR(db_->Stats().disk_bytes, disk_.UsedBytes(), 64);
  ASSERT_OK(db_->Flush());
  EXPECT_NEAR(db_->Stats().disk_bytes, disk_.UsedBytes(), 64);
  CloseAndReopen();
  EXPECT_NEAR(db_->Stats().disk_bytes, disk_.UsedBytes(), 64);
}

TEST_F(DbTest, AtTheStorageLimitWritesAreRefusedAndReadsGoOn) {
  options_.max_storage_bytes = 20'000;
  Open();
  absl::Status status;
  for (int i = 0; i < 10'000 && status.ok(); ++i) status = Put(Cpu("a"), kStartMs + i, i * 0.37);
  EXPECT_CODE(status, absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().background_error, "");
  // The log is most of it: a checkpoint makes room, and writes are accepted again.
  ASSERT_OK(db_->Flush());
  EXPECT_OK(Put(Cpu("a"), kStartMs - 1, 1));
}

TEST_F(DbTest, SampleCountsAreExactAfterRestart) {
  options_.chunk_samples = 10;
  Open();
  for (int i = 0; i < 105; ++i) ASSERT_OK(Put(Cpu(std::to_string(i % 3)), kStartMs + i, i));
  EXPECT_EQ(db_->Stats().samples, 105u);
  Reopen();
  EXPECT_EQ(db_->Stats().samples, 105u);
  CloseAndReopen();
  EXPECT_EQ(db_->Stats().samples, 105u);
  EXPECT_EQ(db_->Stats().oldest_ms, kStartMs);
  EXPECT_EQ(db_->Stats().newest_ms, kStartMs + 104);
}

TEST_F(DbTest, TwoOpensOfOneFolderAreRefused) {
  Open();
  EXPECT_CODE(Db::Open("db", options_), absl::StatusCode::kFailedPrecondition);
  ASSERT_OK(db_->Close());
  EXPECT_OK(Db::Open("db", options_));  // Close has released the folder, not the destructor
}

TEST_F(DbTest, AClosedDatabaseAnswersFailedPrecondition) {
  Open();
  ASSERT_OK(Put(Cpu("a"), kStartMs, 1));
  auto appender = db_->NewAppender();
  ASSERT_OK(appender->Add(Cpu("a"), kStartMs + 1, 1));
  ASSERT_OK(db_->Close());
  ASSERT_OK(db_->Close());
  constexpr auto kCode = absl::StatusCode::kFailedPrecondition;
  EXPECT_CODE(appender->Commit(), kCode);
  EXPECT_CODE(db_->SelectAll({}), kCode);
  EXPECT_CODE(db_->Series({}, {}), kCode);
  EXPECT_CODE(db_->LabelNames({}, {}), kCode);
  EXPECT_CODE(db_->LabelValues("a", {}, {}), kCode);
  EXPECT_CODE(db_->Sync(), kCode);
  EXPECT_CODE(db_->Flush(), kCode);
  EXPECT_CODE(db_->Resume(), kCode);
  EXPECT_CODE(db_->RunBackgroundWork(), kCode);
  EXPECT_EQ(db_->Stats().series, 1u);
}

TEST_F(DbTest, OpenRefusesWhatItCannotOpen) {
  Options options = options_;
  options.create_if_missing = false;
  EXPECT_CODE(Db::Open("db", options), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(disk_.FileExists("db"));
  options = options_;
  options.chunk_samples = 0;
  EXPECT_CODE(Db::Open("db", options), absl::StatusCode::kInvalidArgument);
  options = options_;
  options.partition_ms = int64_t{1} << 32;
  EXPECT_CODE(Db::Open("db", options), absl::StatusCode::kInvalidArgument);
  Open();
  ASSERT_OK(db_->Close());
  db_.reset();
  options = options_;
  options.partition_ms = 1000;
  EXPECT_CODE(Db::Open("db", options), absl::StatusCode::kInvalidArgument);
}

TEST_F(DbTest, EveryDamagedByteOfTheIdentityIsNoticed) {
  Open();
  ASSERT_OK(db_->Close());
  db_.reset();
  ASSERT_OK_AND_ASSIGN(const std::string good, disk_.Contents("db/IDENTITY"));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x20);
    ASSERT_OK(disk_.SetContents("db/IDENTITY", bad));
    EXPECT_FALSE(Db::Open("db", options_).ok()) << "byte " << i;
  }
  ASSERT_OK(disk_.DeleteFile("db/IDENTITY"));
  EXPECT_CODE(Db::Open("db", options_), absl::StatusCode::kDataLoss);
}

TEST_F(DbTest, DamageBeforeTheTailOfTheLogIsDataLoss) {
  options_.sync_policy = SyncPolicy::kAlways;
  Open();
  for (int i = 0; i < 10; ++i) ASSERT_OK(Put(Cpu("a"), kStartMs + i, i));
  Kill();
  ASSERT_OK_AND_ASSIGN(std::string bytes, disk_.Contents("db/head/000001.log"));
  bytes[bytes.size() / 2] ^= 1;
  ASSERT_OK(disk_.SetContents("db/head/000001.log", bytes));
  EXPECT_CODE(Db::Open("db", options_), absl::StatusCode::kDataLoss);
}

TEST_F(DbTest, ATornTailIsCutCountedAndForgotten) {
  Open();
  for (int i = 0; i < 10; ++i) ASSERT_OK(Put(Cpu("a"), kStartMs + i, i));
  Kill();
  ASSERT_OK_AND_ASSIGN(std::string bytes, disk_.Contents("db/head/000001.log"));
  ASSERT_OK(disk_.SetContents("db/head/000001.log", bytes.substr(0, bytes.size() - 3)));
  Open();
  model_[Text(Cpu("a"))].erase(kStartMs + 9);
  EXPECT_EQ(Everything(*db_), model_);
  ASSERT_FALSE(log_.empty());
  EXPECT_NE(log_.back().find("unfinished write"), std::string::npos) << log_.back();
  ASSERT_OK(Put(Cpu("a"), kStartMs + 100, 1));
  Reopen();
  EXPECT_EQ(Everything(*db_), model_);
}

// That it left memory is in no table yet when its return is in the log already.
TEST_F(DbTest, AnIdleSeriesThatCameBackSurvivesAKill) {
  Open();
  for (int i = 0; i < 300; ++i) ASSERT_OK(Put(Cpu(std::to_string(i)), kStartMs + i, i));
  clock_.AdvanceMs(12 * kHourMs);
  ASSERT_OK(Put(Cpu("new"), clock_.NowMs(), 1));
  ASSERT_OK(db_->Flush());
  for (bool more = true; more;) {
    ASSERT_OK_AND_ASSIGN(more, db_->RunBackgroundWork());
  }
  ASSERT_GE(db_->Stats().idle_series, 300u);
  ASSERT_OK(Put(Cpu("5"), clock_.NowMs(), 2));
  Reopen();
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().series, 301u);
  ASSERT_OK(Put(Cpu("5"), clock_.NowMs() + 1, 3));
  Reopen();
  EXPECT_EQ(Everything(*db_), model_);
  EXPECT_EQ(db_->Stats().series, 301u);
}

TEST_F(DbTest, AMissingSegmentOrADamagedCheckpointIsDataLoss) {
  Open();
  ASSERT_OK(Put(Cpu("a"), kStartMs, 1));
  ASSERT_OK(db_->Close());
  db_.reset();
  ASSERT_OK_AND_ASSIGN(const std::string good, disk_.Contents("db/head/000002.checkpoint"));
  for (size_t i = 0; i < good.size(); i += 3) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    ASSERT_OK(disk_.SetContents("db/head/000002.checkpoint", bad));
    EXPECT_FALSE(Db::Open("db", options_).ok()) << "byte " << i;
  }
  ASSERT_OK(disk_.SetContents("db/head/000002.checkpoint", good));
  Open();
  EXPECT_EQ(Everything(*db_), model_);
  ASSERT_OK(Put(Cpu("a"), kStartMs + 1, 1));
  Kill();
  for (const std::string& path : disk_.Files()) {
    if (path.ends_with(".checkpoint")) {
      ASSERT_OK(disk_.DeleteFile(path));
    }
  }
  EXPECT_CODE(Db::Open("db", options_), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace tinyobs::tsdb
