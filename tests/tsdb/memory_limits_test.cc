// What happens at Options::memory_budget_bytes, by the database's own figures: the head is sealed
// early, new series and large queries are refused by name, what was stored can always be opened
// again; and databases in one process do not share what is theirs. What the kernel counts is in
// memory_budget_test.cc.
#include <thread>

#include "tests/testing/temp_dir.h"
#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

using absl::StatusCode;

class MemoryLimitsTest : public DbTest {
 protected:
  static Labels Id(int i) {
    return Labels::Of("requests", {{"instance", StrCat("10.0.0.", i, ":9100")}, {"job", "api"}});
  }
  // Creates series until it is refused.
  absl::Status Fill() {
    Writer writer(db_.get(), &model_);
    for (int i = 0; i < 100'000; i += 100) {
      for (int j = i; j < i + 100; ++j) {
        if (const auto added = writer.Add(Id(j), kStartMs, j); !added.ok()) return added;
      }
      if (const auto committed = writer.Commit(); !committed.ok()) return committed;
    }
    return absl::OkStatus();
  }
};

// The clock stands still, as it does for a program that loads a day of history at once.
TEST_F(MemoryLimitsTest, ALongHeadIsSealedAsOftenAsNeeded) {
  options_.memory_budget_bytes = 4 << 20;
  options_.chunk_samples = 2000;
  Open();
  Writer writer(db_.get(), &model_);
  uint64_t most = 0;
  uint64_t most_in_memtables = 0;
  for (int i = 0; i < 800; ++i) {
    for (int j = 0; j < 1000; ++j) {
      ASSERT_OK(writer.Add(Id(j), kStartMs + i * 1000, 1.0 / (i * 1000 + j + 1)));
    }
    ASSERT_OK(writer.Commit());
    most = std::max(most, db_->Stats().memory.head_bytes);
    most_in_memtables = std::max(most_in_memtables, db_->Stats().memory.memtable_bytes);
  }
  EXPECT_LE(most, options_.memory_budget_bytes * 5 / 8) << "its share is a half";
  EXPECT_LE(most_in_memtables, options_.memory_budget_bytes / 4) << "its share is 3/16";
  // Not into crumbs.
  const DbStats stats = db_->Stats();
  EXPECT_GE(stats.samples - stats.head_samples, stats.chunks_sealed * 24);
  EXPECT_TRUE(Everything(*db_) == model_);
  // Nor does the log come back as one.
  Reopen();
  EXPECT_GT(db_->Stats().replayed_samples, 400'000u);
  EXPECT_LE(db_->Stats().memory.head_bytes, options_.memory_budget_bytes * 5 / 8);
  EXPECT_TRUE(Everything(*db_) == model_);
}

TEST_F(MemoryLimitsTest, NewSeriesAreRefusedByNameAndTheDatabaseOpensAgainAsItIs) {
  options_.memory_budget_bytes = 2 << 20;
  Open();
  const absl::Status refused = Fill();
  ASSERT_CODE(refused, StatusCode::kResourceExhausted);
  for (const char* const named : {"new series", "memory_budget_bytes", "2097152", "series index"}) {
    EXPECT_NE(refused.ToString().find(named), std::string::npos) << named << ": " << refused;
  }
  EXPECT_GT(model_.size(), 2000u);
  EXPECT_LE(db_->Stats().memory.used_bytes, options_.memory_budget_bytes);
  for (const bool clean : {false, true, true}) {
    ASSERT_OK(Put(Id(0), kStartMs + CountSamples(model_), 1));
    if (clean) {
      CloseAndReopen();
    } else {
      Reopen();
    }
    ASSERT_NE(db_, nullptr);
    EXPECT_EQ(db_->Stats().series, model_.size());
    EXPECT_EQ(db_->Stats().samples, CountSamples(model_));
    const Labels last = Id(static_cast<int>(model_.size()) - 1);
    EXPECT_EQ(
        Drain(db_->Select({Matcher::Equal("instance", std::string(last.Get("instance")))}, {}))
            .size(),
        1u);
  }
}

TEST_F(MemoryLimitsTest, ABudgetThatIsTooSmallForWhatIsStoredIsRefusedByOpen) {
  Open();
  {
    Writer writer(db_.get(), &model_);
    for (int i = 0; i < 20'000; ++i) ASSERT_OK(writer.Add(Id(i), kStartMs, i));
    ASSERT_OK(writer.Commit());
  }
  ASSERT_OK(db_->Close());
  db_.reset();
  Options small = options_;
  small.memory_budget_bytes = 1 << 20;
  const auto refused = Db::Open("db", small);
  ASSERT_CODE(refused, StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().ToString().find("memory_budget_bytes"), std::string::npos)
      << refused.status();
  EXPECT_CODE(Db::OpenReadOnly("db", small), StatusCode::kResourceExhausted);
  Open();
  EXPECT_TRUE(Everything(*db_) == model_);
}

TEST_F(MemoryLimitsTest, AQueryThatDoesNotFitIsRefusedAndOthersGoOn) {
  options_.memory_budget_bytes = 1 << 20;
  Open();
  const auto appender = db_->NewAppender();
  for (int i = 0; i < 200; ++i) {
    for (int j = 0; j < 1000; ++j) {
      ASSERT_OK(appender->Add(Id(0), kStartMs + i * 1000 + j, 1.0 / (i * 1000 + j + 1)));
    }
    ASSERT_OK(appender->Commit());
  }
  ASSERT_OK(db_->Flush());
  ASSERT_OK_AND_ASSIGN(const auto all, db_->SelectAll({}));
  while (all->Next()) {
  }
  EXPECT_TRUE(IsQueryLimit(all->status())) << all->status();
  EXPECT_NE(all->status().ToString().find("shorter range"), std::string::npos) << all->status();
  EXPECT_EQ(CountSamples(Drain(db_->SelectAll({kStartMs, kStartMs + 4999}))), 5000u);
  EXPECT_EQ(db_->Stats().memory.query_bytes, 0u);
}

// Each with its own folder, budget, limit and threads; one is full, the others do not notice.
TEST(ManyDatabases, InOneProcessShareNothing) {
  constexpr int kDatabases = 6;
  const testing::TempDir folder;
  std::vector<std::unique_ptr<Db>> dbs;
  for (int d = 0; d < kDatabases; ++d) {
    Options options;
    options.in_memory = d == kDatabases - 1;
    options.memory_budget_bytes = size_t{d == 0 ? 1u : 8u} << 20;
    options.max_series = d == 1 ? 10 : 0;
    options.chunk_samples = 10;
    options.head_segment_bytes = 50'000;
    options.sync_interval_ms = 1;
    ASSERT_OK_AND_ASSIGN(auto db, Db::Open(folder.File(std::to_string(d)), options));
    dbs.push_back(std::move(db));
  }
  EXPECT_CODE(Db::Open(folder.File("2")), StatusCode::kFailedPrecondition);
  std::vector<Model> models(kDatabases);
  std::vector<uint64_t> refused(kDatabases);
  std::vector<std::thread> threads;
  for (int d = 0; d < kDatabases; ++d) {
    threads.emplace_back([&, d] {
      Writer writer(dbs[d].get(), &models[d]);
      for (int i = 0; i < 100; ++i) {
        for (int j = 0; j < 50; ++j) {
          const int series = i % 10 == 0 ? i * 50 + j : j;
          ASSERT_OK(writer.Add(Labels::Of(StrCat("of_", d), {{"i", std::to_string(series)},
                                                             {"text", std::string(200, 'x')}}),
                               kStartMs + i * 1000, d * 1000 + i));
        }
        const absl::Status status = writer.Commit();
        if (status.ok()) continue;
        ASSERT_CODE(status, StatusCode::kResourceExhausted);
        ++refused[d];
      }
      EXPECT_TRUE(Everything(*dbs[d]) == models[d]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused[1], 100u);
  for (int d = 2; d < kDatabases; ++d) EXPECT_EQ(refused[d], 0u) << d;
  for (int d = 0; d < kDatabases; ++d) {
    EXPECT_EQ(dbs[d]->Stats().background_error, "") << d;
    EXPECT_EQ(dbs[d]->Stats().series, models[d].size()) << d;
  }
  // Closing one leaves the others as they are.
  ASSERT_OK(dbs[2]->Close());
  dbs[2].reset();
  for (const int d : {0, 1, 3, 4, 5}) EXPECT_TRUE(Everything(*dbs[d]) == models[d]) << d;
  Options options;
  options.max_series = 0;
  ASSERT_OK_AND_ASSIGN(const auto again, Db::Open(folder.File("2"), options));
  EXPECT_TRUE(Everything(*again) == models[2]);
}

}  // namespace
}  // namespace tinyobs::tsdb
