// Random operations on a database and on a plain list of samples must agree, whatever happens in
// between: samples in order, late, repeated and refused, by labels, by handle and as columns;
// deletions, expiry, copies, idle series that leave memory and come back, flushes, restarts, kills,
// and power cuts at random moments under each of the three sync policies.
//
// Method: each run draws its own options (tiny, so that a few hundred samples fill chunks,
// partitions, segments and memtables), some of them anew at each open, and does everything a
// database can do. What a crash may leave is db_history.h's business. The default is a few seconds
// of such runs; TINYOBS_OPERATIONS=1000000 asks for at least so many operations. A failure prints
// the one command that repeats it.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "tests/tsdb/db_history.h"

namespace tinyobs::tsdb {
namespace {

using testing::Keep;

constexpr uint64_t kFirstSeed = 7'000;
constexpr uint64_t kOperationsOfARun = 400;
constexpr std::chrono::seconds kDefaultTime(6);
constexpr int64_t kMaxFutureMs = 5'000;
constexpr uint64_t kCrowd = 300;  // more than are let stay for being few

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

// One run: a database, its history, and all randomness from one seed.
class ModelRun {
 public:
  explicit ModelRun(uint64_t seed) : random_(seed) {
    options_.file_system = &disk_;
    options_.clock = &clock_;
    options_.background_threads = false;
    options_.max_series = 0;
    options_.max_future_ms = kMaxFutureMs;
    options_.memory_budget_bytes = 4 << 20;
    options_.partition_ms = 1000 + static_cast<int64_t>(Below(20'000));
    options_.sync_policy = static_cast<SyncPolicy>(Below(3));
    options_.sync_interval_ms = 1 + static_cast<int64_t>(Below(2'000));
  }

  uint64_t operations() const { return operations_; }

  void Do(uint64_t operations) {
    Recovered({});
    while (operations_ < operations && !::testing::Test::HasFailure()) {
      ++operations_;
      clock_.AdvanceMs(static_cast<int64_t>(Below(300)));
      Step();
    }
    if (::testing::Test::HasFailure()) return;
    disk_.ClearFaults();
    cut_is_due_ = false;
    Kill();
    if (!Recovered({})) return;
    ASSERT_OK(db_->Flush());
    CheckAll();
    ASSERT_EQ(db_->Stats().samples, CountSamples(history_.state()));
  }

 private:
  uint64_t Below(uint64_t limit) { return limit == 0 ? 0 : random_() % limit; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  void Step() {
    const uint64_t kind = Below(100);
    if (kind < 46) {
      WriteBatch();
    } else if (kind < 49) {
      WriteCrowd();
    } else if (kind < 51) {
      Delete();
    } else if (kind < 52) {
      DropBefore();
    } else if (kind < 53) {
      Copy();
    } else if (kind < 55) {
      clock_.AdvanceMs(2 * options_.partition_ms);  // whoever is silent now goes idle
      Work();
    } else if (kind < 62) {
      CheckRange();
    } else if (kind < 66) {
      CheckMatcher();
    } else if (kind < 67) {
      CheckAll();
    } else if (kind < 74) {
      Work();
    } else if (kind < 76) {
      if (Answered(db_->Sync())) history_.AllIsDurable();
    } else if (kind < 80) {
      if (Answered(db_->Flush())) history_.AllIsDurable();
    } else if (kind < 84) {
      clock_.AdvanceMs(static_cast<int64_t>(Below(40'000)));
    } else if (kind < 87) {
      if (!Answered(db_->Close())) return;
      history_.AllIsDurable();
      Kill();
      Recovered({});
    } else if (kind < 91) {
      Kill();
      Recovered({});
    } else if (kind < 95) {
      LosePower({});
    } else {
      cut_is_due_ = true;
      disk_.PowerCutAfter(Below(OneIn(2) ? 10 : 80));
    }
  }

  void Kill() {
    handles_.clear();
    db_ = nullptr;
  }
  // With the options that may differ from open to open drawn anew.
  absl::Status Open() {
    options_.chunk_samples = 1 + static_cast<uint32_t>(Below(OneIn(2) ? 12 : 200));
    options_.head_segment_bytes = 200 + Below(OneIn(2) ? 5'000 : 100'000);
    auto db = Db::Open("db", options_);
    if (db.ok()) db_ = *std::move(db);
    return db.status();
  }
  // Opens what a process left that ended, by Close or killed: nothing acknowledged may be missing.
  // False: the power went.
  bool Recovered(const History::Batch& pending) {
    if (!Answered(Open(), pending)) return false;
    history_.AllIsDurable();  // an open ends with a checkpoint of what it replayed
    CheckAll();
    return true;
  }

  // False: the power had been cut; it is back now, and what it left is checked and open.
  bool Answered(const absl::Status& status, const History::Batch& pending = {},
                const History::Doomed& doomed = nullptr) {
    if (status.ok()) return true;
    if (cut_is_due_) {
      LosePower(pending, doomed);
    } else {
      ADD_FAILURE() << status;
    }
    return false;
  }
  void LosePower(const History::Batch& pending, const History::Doomed& doomed = nullptr) {
    Kill();
    cut_is_due_ = false;
    disk_.Crash({.keep_bytes = SomeKeep(), .keep_names = SomeKeep(), .seed = random_()});
    while (OneIn(3)) {  // again, while it opens
      disk_.PowerCutAfter(Below(40));
      Open().IgnoreError();
      Kill();
      disk_.Crash({.keep_bytes = SomeKeep(), .keep_names = SomeKeep(), .seed = random_()});
    }
    ASSERT_OK(Open());
    const Model found = Everything(*db_);
    ASSERT_EQ(history_.WhyNotAfterPowerLoss(found, pending, doomed), "")
        << "sync policy " << static_cast<int>(options_.sync_policy) << ", "
        << history_.undurable_commits() << " commits not durable, " << pending.size()
        << " samples under way";
    history_.StartFrom(found);
  }
  Keep SomeKeep() {
    constexpr Keep kAny[] = {Keep::kNothing, Keep::kTorn, Keep::kReordered, Keep::kAll};
    return kAny[Below(std::size(kAny))];
  }

  void Work() {
    while (true) {
      const absl::StatusOr<bool> more = db_->RunBackgroundWork();
      if (!Answered(more.status())) return;
      NoteTime();
      if (!*more) return;
    }
  }

  // --- reading

  void CheckAll() {
    ASSERT_EQ(Difference(Everything(*db_), history_.state()), "");
    ASSERT_OK_AND_ASSIGN(const auto series, db_->Series({}, {}));
    ASSERT_TRUE(std::is_sorted(series.begin(), series.end()));
    ASSERT_GE(series.size(), history_.state().size());
    ASSERT_EQ(series.size(), db_->Stats().series);
  }
  Labels Crowd(uint64_t i) {
    const Labels labels = Labels::Of("crowd", {{"host", std::to_string(i)}});
    labels_.emplace(Text(labels), labels);
    return labels;
  }
  // Enough series that it pays to take them out of memory.
  void WriteCrowd() {
    const auto appender = db_->NewAppender();
    History::Batch batch;
    const uint64_t end = OneIn(2) ? kCrowd : Below(20);
    for (uint64_t i = OneIn(2) ? 0 : Below(end); i < end; ++i) {
      batch.push_back({Text(Crowd(i)), SomeTime(), std::bit_cast<uint64_t>(SomeValue())});
      EXPECT_OK(appender->Add(Crowd(i), batch.back().timestamp_ms,
                              std::bit_cast<double>(batch.back().bits)));
    }
    last_ = batch;
    if (!Answered(appender->Commit(), batch) || batch.empty()) return;
    history_.Acknowledge(std::move(batch), clock_.NowMs());
    NoteTime();
  }

  // --- deleting and copying

  void Delete() {
    ASSERT_OK_AND_ASSIGN(const Matcher host,
                         Matcher::Create(Matcher::Op::kRegex, "host", OneIn(2) ? "[12].*|" : ".*"));
    constexpr const char* kMetrics[] = {"m", "n", "churn", "crowd"};
    const std::vector<Matcher> matchers = {Matcher::Metric(kMetrics[Below(4)]), host};
    TimeRange range;
    if (OneIn(2)) {
      range.from_ms = clock_.NowMs() - static_cast<int64_t>(Below(200'000));
      range.to_ms = range.from_ms + static_cast<int64_t>(Below(50'000));
    }
    const History::Doomed doomed = [&](const std::string& text, int64_t time_ms) {
      if (time_ms < range.from_ms || time_ms > range.to_ms) return false;
      const Labels& labels = labels_.at(text);
      return matchers[0].Matches(labels) && matchers[1].Matches(labels);
    };
    if (!Answered(db_->Delete(matchers, range), {}, doomed)) return;
    history_.AllIsDurable();
    history_.Erase(doomed);
    CheckAll();
  }
  void DropBefore() {
    const int64_t time_ms = clock_.NowMs() - static_cast<int64_t>(Below(200'000));
    const int64_t kept_ms = time_ms / options_.partition_ms * options_.partition_ms;
    const History::Doomed doomed = [&](const std::string&, int64_t at_ms) {
      return at_ms < kept_ms;
    };
    if (!Answered(db_->DropBefore(time_ms), {}, doomed)) return;
    history_.Erase(doomed);
    CheckAll();
  }
  void Copy() {
    const std::string folder = "copy" + std::to_string(++copies_);
    if (!Answered(db_->Checkpoint(folder))) return;
    history_.AllIsDurable();
    if (OneIn(2)) {
      auto copy = Db::Open(folder, options_);
      if (!Answered(copy.status())) return;
      ASSERT_EQ(Difference(Everything(**copy), history_.state()), "");
      ASSERT_EQ((*copy)->Stats().series, db_->Stats().series);
    } else {
      ASSERT_OK_AND_ASSIGN(const auto copy, Db::OpenReadOnly(folder, options_));
      ASSERT_EQ(Difference(Everything(*copy), history_.state()), "");
    }
  }

  void CheckRange() {
    const int64_t from = clock_.NowMs() - static_cast<int64_t>(Below(200'000));
    const int64_t to = from + static_cast<int64_t>(Below(20'000));
    ASSERT_EQ(Difference(Drain(db_->SelectAll({from, to})), history_.InRange({from, to})), "")
        << from << " to " << to;
  }
  void CheckMatcher() {
    ASSERT_OK_AND_ASSIGN(
        const Matcher matcher,
        Matcher::Create(OneIn(2) ? Matcher::Op::kRegex : Matcher::Op::kNotRegex, "host", "[12]|"));
    const Matcher metric = Matcher::Metric(OneIn(2) ? "m" : "churn");
    Model expected = history_.state();
    std::erase_if(expected, [&](const auto& series) {
      const Labels& labels = labels_.at(series.first);
      return !matcher.Matches(labels) || !metric.Matches(labels);
    });
    ASSERT_EQ(Difference(Drain(db_->Select({matcher, metric}, {})), expected), "");
  }

  // --- writing

  Labels SomeLabels() {
    // Few that are there all the time, and some that come and go.
    const Labels labels =
        OneIn(8) ? Labels::Of("churn", {{"pod", std::to_string(clock_.NowMs() / 10'000 % 1000)}})
                 : Labels::Of(OneIn(2) ? "m" : "n", {{"host", std::to_string(Below(5))}});
    labels_.emplace(Text(labels), labels);
    return labels;
  }
  // Mostly now, sometimes anywhere before.
  int64_t SomeTime() {
    switch (Below(10)) {
      case 0:
        return clock_.NowMs() - static_cast<int64_t>(Below(2'000));
      case 1:
        return clock_.NowMs() - static_cast<int64_t>(Below(200'000));
      case 2:
        return clock_.NowMs() / 1000 * 1000;  // the same for many
      case 3:
        return clock_.NowMs() + static_cast<int64_t>(Below(kMaxFutureMs + 1));
      default:
        return clock_.NowMs();
    }
  }
  double SomeValue() {
    switch (Below(5)) {
      case 0:
        return static_cast<double>(Below(100));
      case 1:
        return std::bit_cast<double>(random_());
      case 2:
        return static_cast<double>(Below(10'000)) / 100;
      case 3:
        return 42;
      default:
        return OneIn(2) ? StaleNan() : -0.0;
    }
  }

  // False: there is no such series, or it has left memory.
  bool FindHandle(Appender* appender, const Labels& labels, SeriesHandle* handle) {
    const std::string text = Text(labels);
    if (history_.state().count(text) == 0) return false;
    if (handles_.count(text) == 0) {
      const auto resolved = appender->Resolve(labels);
      if (db_->Stats().idle_series > 0 && absl::IsNotFound(resolved.status())) return false;
      EXPECT_OK(resolved);
      if (!resolved.ok()) return false;
      handles_[text] = *resolved;
    }
    *handle = handles_[text];
    return true;
  }

  // Adds to the appender and to `batch` in one of the ways there are.
  void AddSome(Appender* appender, History::Batch* batch) {
    const Labels labels = SomeLabels();
    SeriesHandle handle;
    const uint64_t way = Below(6);
    if (way < 3 || !FindHandle(appender, labels, &handle)) {
      for (uint64_t i = 1 + Below(6); i > 0; --i) {
        batch->push_back({Text(labels), SomeTime(), std::bit_cast<uint64_t>(SomeValue())});
        const History::Sample& sample = batch->back();
        EXPECT_OK(appender->Add(labels, sample.timestamp_ms, std::bit_cast<double>(sample.bits)));
      }
      return;
    }
    std::vector<SeriesHandle> series;
    std::vector<int64_t> times;
    std::vector<double> values;
    const int64_t one_time = SomeTime();
    for (uint64_t i = 1 + Below(20); i > 0; --i) {
      const Labels other = way == 5 ? labels : SomeLabels();
      if (!FindHandle(appender, other, &handle)) continue;
      series.push_back(handle);
      times.push_back(way == 3 ? one_time : SomeTime());
      values.push_back(SomeValue());
      batch->push_back({Text(other), times.back(), std::bit_cast<uint64_t>(values.back())});
    }
    if (series.empty()) return;
    EXPECT_OK(way == 3   ? appender->AddAt(one_time, series, values)
              : way == 4 ? appender->AddBatch(series, times, values)
                         : appender->AddColumn(series[0], times, values));
  }

  void WriteBatch() {
    const auto appender = db_->NewAppender();
    History::Batch batch;
    if (OneIn(8)) {
      batch = last_;  // sent again
      for (const History::Sample& sample : batch) {
        EXPECT_OK(appender->Add(labels_.at(sample.labels), sample.timestamp_ms,
                                std::bit_cast<double>(sample.bits)));
      }
    } else {
      for (uint64_t i = Below(5); i > 0; --i) AddSome(appender.get(), &batch);
    }
    if (OneIn(10)) {
      const int64_t future = clock_.NowMs() + kMaxFutureMs + 1 + static_cast<int64_t>(Below(99));
      EXPECT_CODE(appender->Add(SomeLabels(), future, 1), absl::StatusCode::kInvalidArgument);
    }
    if (OneIn(20)) {
      appender->Rollback();
      batch.clear();
    }
    last_ = batch;
    const absl::Status committed = appender->Commit();
    if (absl::IsNotFound(committed) && !handles_.empty()) {
      handles_.clear();  // one was of a series that is gone; nothing is stored
      CheckAll();
      return;
    }
    if (!Answered(committed, batch)) return;
    if (batch.empty()) return;  // goes no way at all
    history_.Acknowledge(std::move(batch), clock_.NowMs());
    NoteTime();
  }

  // A call that keeps the promise of the policy was answered with OK.
  void NoteTime() {
    if (options_.sync_policy == SyncPolicy::kAlways) history_.AllIsDurable();
    if (options_.sync_policy == SyncPolicy::kInterval) {
      history_.IsDurableUntil(clock_.NowMs() - options_.sync_interval_ms);
    }
  }

  std::mt19937_64 random_;
  testing::MemoryFileSystem disk_;
  ManualClock clock_{kStartMs + kHourMs};
  Options options_;
  std::unique_ptr<Db> db_;
  History history_;
  History::Batch last_;                          // that was tried
  std::map<std::string, Labels> labels_;         // by their text
  std::map<std::string, SeriesHandle> handles_;  // of the open database
  bool cut_is_due_ = false;
  int copies_ = 0;
  uint64_t operations_ = 0;
};

TEST(DbModel, TheDatabaseAnswersLikeAListOfSamplesWhateverHappens) {
  const uint64_t first_seed = FromEnvironment("TINYOBS_SEED", kFirstSeed);
  // A seed alone asks for that one run.
  const uint64_t wanted =
      FromEnvironment("TINYOBS_OPERATIONS", std::getenv("TINYOBS_SEED") != nullptr ? 1 : 0);
  const auto start = std::chrono::steady_clock::now();
  uint64_t operations = 0;
  uint64_t seed = first_seed;
  const auto more = [&] {
    return wanted > 0 ? operations < wanted
                      : std::chrono::steady_clock::now() - start < kDefaultTime;
  };
  for (; more(); ++seed) {
    ModelRun run(seed);
    run.Do(kOperationsOfARun);
    operations += run.operations();
    if (HasFailure()) {
      FAIL() << "run " << seed << ", operation " << run.operations()
             << "; repeat with: bazel test //tests/tsdb:db_model_test --test_env=TINYOBS_SEED="
             << seed;
    }
  }
  std::printf("seeds %llu to %llu: %llu operations\n", static_cast<unsigned long long>(first_seed),
              static_cast<unsigned long long>(seed - 1),
              static_cast<unsigned long long>(operations));
}

}  // namespace
}  // namespace tinyobs::tsdb
