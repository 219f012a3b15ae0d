// The resident memory of a process with very many series stays under Options::memory_budget_bytes
// and what a program is besides, while it appends, while it replays what a killed one left, while
// it flushes and compacts, and while it is asked; and a budget that is too small is answered with
// ResourceExhausted, never with growth.
//
// Method: each phase is a child process of its own (this program again, with TINYOBS_PHASE), so
// that its peak of resident memory, as the kernel counts it, is the phase's alone. What a child
// holds of its own is part of the allowance: handles and values of all series.
//
// The sizes below take a few seconds; memory_budget_large_test is the same with a million series.
// What is asserted is meaningless under sanitizers, and skipped there.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "lib/base/status_macros.h"
#include "tests/testing/temp_dir.h"
#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

constexpr uint64_t kSeries = 50'000;
constexpr uint64_t kBudgetMb = 20;
constexpr uint64_t kScrapes = 120;  // of all series
constexpr int64_t kScrapeMs = 15'000;
constexpr uint64_t kSeriesOfACommit = 10'000;
constexpr uint64_t kQueries = 4;  // at once
constexpr size_t kTooSmallBytesPerSeries = 100;
// What malloc wastes; the program, its libraries and threads; a handle and a value a series.
constexpr size_t kWasteFraction = 8;
constexpr uint64_t kProgramBytes = 32 << 20;
constexpr uint64_t kCallerBytesPerSeries = 16;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}
uint64_t SeriesCount() { return FromEnvironment("TINYOBS_SERIES", kSeries); }
int Scrapes() { return static_cast<int>(FromEnvironment("TINYOBS_SCRAPES", kScrapes)); }
size_t BudgetBytes() { return FromEnvironment("TINYOBS_BUDGET_MB", kBudgetMb) << 20; }
size_t TooSmallBudgetBytes() { return SeriesCount() * kTooSmallBytesPerSeries; }

// Eight labels, as a scraped program has them.
Labels LabelsOf(uint64_t i) {
  return Labels::Of(StrCat("metric_", i % 500), {{"job", StrCat("job-", i / 500 % 20)},
                                                 {"instance", StrCat("10.0.0.", i / 500, ":9100")},
                                                 {"region", "eu-west-1"},
                                                 {"zone", StrCat("zone-", i / 500 % 3)},
                                                 {"env", "production"},
                                                 {"team", StrCat("team-", i / 500 % 40)},
                                                 {"version", "1.27.3"}});
}
double ValueOf(uint64_t i, int scrape) {
  return i % 3 == 0 ? 1.0 : static_cast<double>(i % 1000) + scrape * static_cast<double>(i % 7);
}

// --- what children do

class Child {
 public:
  explicit Child(size_t budget_bytes) {
    options_.clock = &clock_;
    options_.max_series = 0;
    options_.memory_budget_bytes = budget_bytes;
  }

  absl::Status Open() {
    TINYOBS_ASSIGN_OR_RETURN(db_, Db::Open(std::getenv("TINYOBS_FOLDER"), options_));
    return absl::OkStatus();
  }

  absl::Status CreateSeries() {
    const auto appender = db_->NewAppender();
    for (uint64_t begin = 0; begin < SeriesCount(); begin += kSeriesOfACommit) {
      const uint64_t end = std::min(begin + kSeriesOfACommit, SeriesCount());
      for (uint64_t i = begin; i < end; ++i) {
        TINYOBS_RETURN_IF_ERROR(appender->Add(LabelsOf(i), kStartMs, ValueOf(i, 0)));
      }
      TINYOBS_RETURN_IF_ERROR(appender->Commit());
      for (uint64_t i = begin; i < end; ++i) {
        TINYOBS_ASSIGN_OR_RETURN(const SeriesHandle handle, appender->Resolve(LabelsOf(i)));
        handles_.push_back(handle);
      }
    }
    return absl::OkStatus();
  }

  absl::Status Append() {
    TINYOBS_RETURN_IF_ERROR(CreateSeries());
    const auto appender = db_->NewAppender();
    std::vector<double> values(kSeriesOfACommit);
    for (int scrape = 1; scrape < Scrapes(); ++scrape) {
      clock_.AdvanceMs(kScrapeMs);
      for (uint64_t begin = 0; begin < handles_.size(); begin += kSeriesOfACommit) {
        const uint64_t count = std::min<uint64_t>(kSeriesOfACommit, handles_.size() - begin);
        for (uint64_t i = 0; i < count; ++i) values[i] = ValueOf(begin + i, scrape);
        TINYOBS_RETURN_IF_ERROR(appender->AddAt(kStartMs + scrape * kScrapeMs,
                                                std::span(handles_).subspan(begin, count),
                                                std::span(values).first(count)));
        TINYOBS_RETURN_IF_ERROR(appender->Commit());
      }
    }
    return absl::OkStatus();
  }

  // Everything, by `kQueries` readers at once.
  absl::Status Query() const {
    std::vector<absl::Status> answers(kQueries);
    std::vector<std::thread> threads;
    for (absl::Status& answer : answers) {
      threads.emplace_back([this, &answer] { answer = CountAll(); });
    }
    for (std::thread& thread : threads) thread.join();
    for (const absl::Status& answer : answers) TINYOBS_RETURN_IF_ERROR(answer);
    return absl::OkStatus();
  }

  // What was sealed and comes again from the log counts twice until it is sealed again.
  absl::Status CheckAtLeast() const {
    if (db_->Stats().samples >= SeriesCount() * Scrapes()) return absl::OkStatus();
    return CheckCount();
  }
  absl::Status CheckCount() const {
    const uint64_t expected = SeriesCount() * Scrapes();
    if (const uint64_t found = db_->Stats().samples; found != expected) {
      return absl::InternalError(StrCat("expected ", expected, " samples, found ", found));
    }
    return absl::OkStatus();
  }

  Db& db() { return *db_; }
  void Leave() { db_.release(); }  // as if killed

 private:
  absl::Status CountAll() const {
    uint64_t samples = 0;
    TINYOBS_ASSIGN_OR_RETURN(const auto set, db_->SelectAll({}, {.sorted = false}));
    while (set->Next()) samples += set->columns().size();
    TINYOBS_RETURN_IF_ERROR(set->status());
    if (samples == SeriesCount() * Scrapes()) return absl::OkStatus();
    return absl::InternalError(StrCat("a query found ", samples, " samples"));
  }

  ManualClock clock_{kStartMs + kHourMs};
  Options options_;
  std::unique_ptr<Db> db_;
  std::vector<SeriesHandle> handles_;
};

absl::Status RunPhase(const std::string& phase) {
  Child child(phase == "exhaust" ? TooSmallBudgetBytes() : BudgetBytes());
  TINYOBS_RETURN_IF_ERROR(child.Open());
  absl::Status status;
  if (phase == "append") {
    status = child.Append();
  } else if (phase == "replay") {
    status = child.CheckAtLeast();
  } else if (phase == "compact") {
    status = child.db().Flush();
    if (status.ok()) status = child.CheckCount();
  } else if (phase == "query") {
    status = child.Query();
  } else if (phase == "exhaust") {
    const absl::Status refused = child.CreateSeries();
    if (!absl::IsResourceExhausted(refused) ||
        refused.ToString().find(std::to_string(TooSmallBudgetBytes())) == std::string::npos) {
      status = absl::InternalError(
          StrCat("expected a refusal that names the budget, found ", refused.ToString()));
    } else {
      status = child.db().LabelNames({}, {}).status();  // reads go on
    }
  }
  child.Leave();
  return status;
}

uint64_t PeakResidentBytes() {
  std::ifstream in("/proc/self/status");
  std::string word;
  while (in >> word) {
    uint64_t kib = 0;
    if (word == "VmHWM:" && in >> kib) return kib << 10;
  }
  return 0;
}

// Run by the parent only.
TEST(MemoryBudgetChild, DISABLED_Phase) {
  ASSERT_OK(RunPhase(std::getenv("TINYOBS_PHASE")));
  std::ofstream(std::getenv("TINYOBS_PEAK_FILE")) << PeakResidentBytes() << std::flush;
  ::_exit(0);  // the threads of the database are still at work
}

// --- the parent

class MemoryBudgetTest : public ::testing::Test {
 protected:
  void SetUp() override {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "a sanitizer's own memory is counted too";
#endif
  }
  // The peak of a child that went through `phase`.
  uint64_t PeakOf(const char* phase) {
    const auto started = std::chrono::steady_clock::now();
    const std::string peak_file = folder_.File("peak");
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::setenv("TINYOBS_PHASE", phase, 1);
      ::setenv("TINYOBS_FOLDER", folder_.File("db").c_str(), 1);
      ::setenv("TINYOBS_PEAK_FILE", peak_file.c_str(), 1);
      ::unsetenv("XML_OUTPUT_FILE");
      ::execl("/proc/self/exe", "child", "--gtest_also_run_disabled_tests",
              "--gtest_filter=MemoryBudgetChild.*", nullptr);
      ::_exit(127);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(pid, &status, 0), pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << phase << " failed";
    uint64_t peak = 0;
    std::ifstream(peak_file) >> peak;
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    std::printf("%-8s %7.1f MiB resident at most, %.1f s\n", phase,
                static_cast<double>(peak) / (1 << 20), seconds.count());
    return peak;
  }
  static uint64_t Allowed(size_t budget_bytes) {
    return budget_bytes + budget_bytes / kWasteFraction + kProgramBytes +
           SeriesCount() * kCallerBytesPerSeries;
  }

  testing::TempDir folder_;
};

TEST_F(MemoryBudgetTest, AppendReplayCompactionAndQueriesStayWithinIt) {
  for (const char* const phase : {"append", "replay", "compact", "query"}) {
    const uint64_t peak = PeakOf(phase);
    ASSERT_GT(peak, 0u);
    EXPECT_LE(peak, Allowed(BudgetBytes())) << phase;
    if (HasFatalFailure()) return;
  }
}

TEST_F(MemoryBudgetTest, ABudgetThatIsTooSmallIsRefusedNotExceeded) {
  const uint64_t peak = PeakOf("exhaust");
  ASSERT_GT(peak, 0u);
  EXPECT_LE(peak, Allowed(TooSmallBudgetBytes()));
}

}  // namespace
}  // namespace tinyobs::tsdb
