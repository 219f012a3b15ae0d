// OpenReadOnly: everything that was acknowledged when it was called, beside a writer in this or
// another process, and not one byte changed.
//
// Method: on a real disk, because that is where two processes meet. Step by step with one thread
// first: after each thing a writer does, a reader must show exactly the model, and the folder must
// be as it was. Then a process that writes, checkpoints, compacts, retires series and drops
// partitions without pause, while this one opens again and again: of what was acknowledged before
// an open and not dropped since, each sample must be there.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <map>
#include <new>

#include "lib/base/status_macros.h"
#include "tests/testing/temp_dir.h"
#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

using absl::StatusCode;

constexpr int64_t kPartitionMs = 60'000;
constexpr int64_t kStepMs = 1'000;

class ReadOnlyTest : public DbTest {
 protected:
  ReadOnlyTest() {
    options_.file_system = nullptr;
    options_.logger = nullptr;
    options_.partition_ms = kPartitionMs;
    options_.chunk_samples = 10;
    clock_.SetMs(kStartMs);
  }

  void Open() { ASSERT_OK_AND_ASSIGN(db_, Db::Open(path_, options_)); }
  absl::StatusOr<std::unique_ptr<Db>> Reader() const { return Db::OpenReadOnly(path_, options_); }
  void Work() {
    for (bool more = true; more;) {
      ASSERT_OK_AND_ASSIGN(more, db_->RunBackgroundWork());
    }
  }
  // Names, sizes and times of all files and folders.
  std::map<std::string, std::pair<uintmax_t, int64_t>> Listing() const {
    std::map<std::string, std::pair<uintmax_t, int64_t>> all;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path_)) {
      all[entry.path().string()] = {entry.is_regular_file() ? entry.file_size() : 0,
                                    entry.last_write_time().time_since_epoch().count()};
    }
    return all;
  }
  // A reader sees the model, and counts as the writer does.
  void ExpectTheModel() const {
    const auto before = Listing();
    {
      ASSERT_OK_AND_ASSIGN(const auto reader, Reader());
      EXPECT_EQ(Everything(*reader), model_);
      EXPECT_EQ(Listed(*reader), Listed(*db_));
      const DbStats found = reader->Stats();
      const DbStats expected = db_->Stats();
      EXPECT_EQ(found.series, expected.series);
      EXPECT_EQ(found.samples, expected.samples);
      EXPECT_GE(found.oldest_ms, expected.oldest_ms);
      EXPECT_EQ(found.newest_ms, expected.newest_ms);
      ASSERT_OK(reader->Close());
      EXPECT_CODE(reader->SelectAll({}), StatusCode::kFailedPrecondition);
    }
    EXPECT_EQ(Listing(), before);
  }
  static std::vector<std::string> Listed(const Db& db) {
    std::vector<std::string> listed;
    const auto series = db.Series({}, {}, {});
    EXPECT_OK(series);
    if (series.ok()) {
      for (const Labels& labels : *series) listed.push_back(Text(labels));
    }
    return listed;
  }

  testing::TempDir folder_;
  const std::string path_ = folder_.File("db");
};

Labels Id(int i) { return Labels::Of("m", {{"i", std::to_string(i)}}); }
Labels Once(int i) { return Labels::Of("once", {{"i", std::to_string(i)}}); }

TEST_F(ReadOnlyTest, TheBytesOnDiskAreThoseOfTheWholeFolder) {
  Open();
  for (int i = 0; i < 100; ++i) ASSERT_OK(Put(Labels::Of("m"), kStartMs + i * kStepMs, i));
  ASSERT_OK_AND_ASSIGN(const auto reader, Reader());
  uint64_t bytes = 0;
  for (const auto& [file, size_and_time] : Listing()) bytes += size_and_time.first;
  // But for small files of the LSM.
  EXPECT_NEAR(static_cast<double>(reader->Stats().disk_bytes), static_cast<double>(bytes), 200);
}

TEST_F(ReadOnlyTest, AReaderShowsWhatWasAcknowledgedAfterEachThingTheWriterDoes) {
  Open();
  ExpectTheModel();  // nothing
  for (int i = 0; i < 25; ++i) ASSERT_OK(Put(Id(i % 2), kStartMs + i * kStepMs, i));
  ExpectTheModel();  // in the head log only
  ASSERT_OK(Put(Id(0), kStartMs + 1, 7));
  ASSERT_OK(Put(Id(0), kStartMs + 2 * kStepMs, 8));
  ExpectTheModel();  // late, and written again
  ASSERT_OK(db_->Flush());
  ExpectTheModel();  // in tables only
  for (int i = 0; i < 300; ++i) ASSERT_OK(Put(Once(i), kStartMs + i, i));
  Work();
  ExpectTheModel();
  clock_.AdvanceMs(4 * kPartitionMs);
  ASSERT_OK(Put(Id(3), clock_.NowMs(), 1));
  ASSERT_OK(db_->Flush());
  Work();
  ASSERT_GE(db_->Stats().idle_series, 300u);
  ExpectTheModel();  // idle series
  ASSERT_OK(Put(Once(5), clock_.NowMs(), 1));
  ExpectTheModel();  // one came back
  ASSERT_OK(db_->Delete({Matcher::Metric("m")}, {kStartMs, kStartMs + 10 * kStepMs}));
  for (auto& [labels, points] : model_) {
    if (labels.starts_with("m{"))
      points.erase(points.begin(), points.upper_bound(kStartMs + 10 * kStepMs));
  }
  ExpectTheModel();
  ASSERT_OK(db_->DropBefore(clock_.NowMs()));
  for (auto at = model_.begin(); at != model_.end();) {
    at->second.erase(at->second.begin(), at->second.lower_bound(clock_.NowMs()));
    at = at->second.empty() ? model_.erase(at) : std::next(at);
  }
  ASSERT_EQ(model_.size(), 2u);
  ExpectTheModel();
  ASSERT_OK(db_->Close());
  ASSERT_OK_AND_ASSIGN(const auto reader, Reader());
  EXPECT_EQ(Everything(*reader), model_);
}

TEST_F(ReadOnlyTest, AnOpenReaderKeepsItsPictureWhileTheWriterGoesOn) {
  options_.head_segment_bytes = 2'000;
  Open();
  for (int i = 0; i < 120; ++i) {
    ASSERT_OK(Put(Id(i % 7), clock_.NowMs(), i));
    clock_.AdvanceMs(kStepMs);
    Work();
  }
  const Model then = model_;
  ASSERT_OK_AND_ASSIGN(const auto reader, Reader());
  ASSERT_OK_AND_ASSIGN(const auto begun, reader->SelectAll({}));
  for (int i = 0; i < 120; ++i) {
    ASSERT_OK(Put(Id(i % 7), clock_.NowMs(), i));
    clock_.AdvanceMs(kStepMs);
    Work();
  }
  ASSERT_OK(db_->DropBefore(clock_.NowMs() - kPartitionMs));
  ASSERT_OK(db_->Flush());
  Work();
  EXPECT_EQ(Everything(*reader), then);
  uint64_t samples = 0;
  while (begun->Next()) samples += begun->columns().size();
  EXPECT_OK(begun->status());
  EXPECT_EQ(samples, 120u);
}

TEST_F(ReadOnlyTest, EveryCallThatWritesIsRefused) {
  Open();
  ASSERT_OK(Put(Id(0), kStartMs, 1));
  const auto before = Listing();
  ASSERT_OK_AND_ASSIGN(const auto reader, Reader());
  const auto appender = reader->NewAppender();
  ASSERT_OK(appender->Add(Id(1), kStartMs, 1));
  EXPECT_CODE(appender->Commit(), StatusCode::kFailedPrecondition);
  ASSERT_OK_AND_ASSIGN(const SeriesHandle handle, appender->Resolve(Id(0)));
  ASSERT_OK(appender->Add(handle, kStartMs + 1, 1));
  EXPECT_CODE(appender->Commit(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(reader->Sync(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(reader->Flush(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(reader->Resume(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(reader->Delete({Matcher::Metric("m")}, {}), StatusCode::kFailedPrecondition);
  EXPECT_CODE(reader->DropBefore(kStartMs), StatusCode::kFailedPrecondition);
  EXPECT_CODE(reader->Checkpoint(folder_.File("copy")), StatusCode::kFailedPrecondition);
  ASSERT_OK_AND_ASSIGN(const bool more, reader->RunBackgroundWork());
  EXPECT_FALSE(more);
  EXPECT_EQ(Everything(*reader), model_);
  EXPECT_EQ(Listing(), before);
  EXPECT_FALSE(std::filesystem::exists(folder_.File("copy")));
}

TEST_F(ReadOnlyTest, NoDatabaseIsNotFoundAndNothingIsCreated) {
  EXPECT_CODE(Reader(), StatusCode::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(path_));
  std::filesystem::create_directory(path_);
  EXPECT_CODE(Reader(), StatusCode::kNotFound);
  EXPECT_TRUE(std::filesystem::is_empty(path_));
}

TEST_F(ReadOnlyTest, ATornTailIsLeftOutAndLeftAlone) {
  Open();
  for (int i = 0; i < 10; ++i) ASSERT_OK(Put(Id(0), kStartMs + i, i));
  db_.reset();
  const std::string log = path_ + "/head/000001.log";
  const auto bytes = std::filesystem::file_size(log);
  Points& points = model_[Text(Id(0))];
  for (uintmax_t cut = 1; cut < 40; ++cut) {
    std::filesystem::resize_file(log, bytes - cut);
    const auto before = Listing();
    ASSERT_OK_AND_ASSIGN(const auto reader, Reader());
    const Model found = Everything(*reader);
    ASSERT_EQ(found.size(), 1u);
    const Points& left = found.begin()->second;
    ASSERT_GE(left.size(), 7u);
    ASSERT_LE(left.size(), 9u);
    EXPECT_TRUE(std::equal(left.begin(), left.end(), points.begin()));
    EXPECT_EQ(Listing(), before);
  }
}

TEST_F(ReadOnlyTest, AHeadThatDoesNotFitTheBudgetIsRefusedByName) {
  options_.chunk_samples = 120;
  Open();
  Writer writer(db_.get(), &model_);
  for (int i = 0; i < 12'000; ++i) ASSERT_OK(writer.Add(Once(i), kStartMs, i));
  ASSERT_OK(writer.Commit());
  Options small = options_;
  small.memory_budget_bytes = 1 << 20;
  const auto refused = Db::OpenReadOnly(path_, small);
  ASSERT_CODE(refused, StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().ToString().find("memory_budget_bytes"), std::string::npos)
      << refused.status();
  EXPECT_NE(refused.status().ToString().find(path_), std::string::npos) << refused.status();
  ExpectTheModel();
}

// --- a writer that goes on in the middle of an open

// Refuses to write, and runs `meanwhile` before the n-th thing that is asked of it.
class Interrupted final : public FileSystem {
 public:
  Interrupted(FileSystem* files, int at, std::function<void()> meanwhile)
      : files_(files), at_(at), meanwhile_(std::move(meanwhile)) {}

  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) override {
    Count();
    return files_->OpenRandomAccess(path);
  }
  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) override {
    Count();
    return files_->ListDirectory(path);
  }
  absl::StatusOr<uint64_t> FileSize(const std::string& path) override {
    Count();
    return files_->FileSize(path);
  }
  bool FileExists(const std::string& path) override {
    Count();
    return files_->FileExists(path);
  }
  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override {
    return files_->FreeSpace(path);
  }
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateWritable(const std::string& path) override {
    return Refuse(path);
  }
  absl::Status DeleteFile(const std::string& path) override { return Refuse(path); }
  absl::Status RenameFile(const std::string& from, const std::string&) override {
    return Refuse(from);
  }
  absl::Status LinkFile(const std::string& from, const std::string&) override {
    return Refuse(from);
  }
  absl::Status CreateDirectories(const std::string& path) override { return Refuse(path); }
  absl::Status DeleteDirectory(const std::string& path) override { return Refuse(path); }
  absl::Status SyncDirectory(const std::string& path) override { return Refuse(path); }
  absl::StatusOr<std::unique_ptr<FileLock>> LockFile(const std::string& path) override {
    return Refuse(path);
  }

  bool interrupted() const { return count_ >= at_; }

 private:
  void Count() {
    if (++count_ == at_) meanwhile_();
  }
  static absl::Status Refuse(const std::string& path) {
    ADD_FAILURE() << "a reader changes " << path;
    return absl::PermissionDeniedError(path);
  }

  FileSystem* const files_;
  const int at_;
  const std::function<void()> meanwhile_;
  int count_ = 0;
};

TEST_F(ReadOnlyTest, AWriterMayDoAnythingInTheMiddleOfAnOpen) {
  options_.file_system = &disk_;
  ASSERT_OK_AND_ASSIGN(db_, Db::Open("db", options_));
  int next = 0;
  const auto put_many = [&] {
    Writer writer(db_.get(), &model_);
    for (int i = 0; i < 300; ++i) ASSERT_OK(writer.Add(Once(next++ % 1000), clock_.NowMs() + i, i));
    ASSERT_OK(writer.Commit());
  };
  // Series come, are sealed, become idle and leave memory; some of them come back.
  const auto goes_on = [&] {
    put_many();
    ASSERT_OK(db_->Flush());
    clock_.AdvanceMs(4 * kPartitionMs);
    ASSERT_OK(Put(Id(0), clock_.NowMs(), next));
    Work();
    ASSERT_GT(db_->Stats().idle_series, 0u);
    put_many();
    ASSERT_OK(db_->Flush());
    Work();
    ASSERT_OK(Put(Once(next), clock_.NowMs() + 500, next));
  };
  put_many();
  // Looking, the head's files, the LSM's manifest, the first of its tables; all tables are too
  // many.
  constexpr int kInterruptions = 24;
  for (int at = 1; at <= kInterruptions && !HasFatalFailure(); ++at) {
    const Model before = model_;
    Interrupted files(&disk_, at, goes_on);
    Options options = options_;
    options.file_system = &files;
    const auto reader = Db::OpenReadOnly("db", options);
    ASSERT_TRUE(files.interrupted());
    if (absl::IsAborted(reader.status()) || absl::IsUnavailable(reader.status())) continue;
    ASSERT_OK(reader) << "interrupted at " << at;
    const Model found = Everything(**reader);
    for (const auto& [labels, points] : before) {
      const auto series = found.find(labels);
      ASSERT_NE(series, found.end()) << labels << ", interrupted at " << at;
      ASSERT_TRUE(
          std::includes(series->second.begin(), series->second.end(), points.begin(), points.end()))
          << labels << ", interrupted at " << at;
    }
    for (const auto& [labels, points] : found) {
      const Points& all = model_[labels];
      ASSERT_TRUE(std::includes(all.begin(), all.end(), points.begin(), points.end())) << labels;
    }
  }
}

// --- another process

// What the two processes share.
struct Shared {
  std::atomic<int> begun{0};         // commits whose Commit was called
  std::atomic<int> acknowledged{0};  // and returned
  std::atomic<int64_t> floor_ms{0};  // samples before it may be dropped
  std::atomic<int> failed{0};
};
int64_t TimeOf(int i) { return kStartMs + i * kStepMs; }

// Commit i: a sample of one of seven series, and of one that never comes again.
absl::Status WriteWithoutEnd(const std::string& path, Shared* shared) {
  ManualClock clock(kStartMs);
  Options options;
  options.clock = &clock;
  options.max_series = 0;
  options.partition_ms = kPartitionMs;
  options.chunk_samples = 10;
  options.head_segment_bytes = 4'000;
  TINYOBS_ASSIGN_OR_RETURN(const auto db, Db::Open(path, options));
  const auto appender = db->NewAppender();
  for (int i = 1;; ++i) {
    clock.SetMs(TimeOf(i));
    shared->begun = i;
    TINYOBS_RETURN_IF_ERROR(appender->Add(Id(i % 7), TimeOf(i), i));
    TINYOBS_RETURN_IF_ERROR(appender->Add(Once(i), TimeOf(i), i));
    TINYOBS_RETURN_IF_ERROR(appender->Commit());
    shared->acknowledged = i;
    if (i % 97 == 0) TINYOBS_RETURN_IF_ERROR(db->Flush());
    if (i % 600 == 0) {
      shared->floor_ms = TimeOf(i - 1200);
      TINYOBS_RETURN_IF_ERROR(db->DropBefore(TimeOf(i - 1200)));
    }
  }
}

TEST_F(ReadOnlyTest, ASecondProcessSeesEverythingAcknowledgedWhileTheFirstWritesWithoutPause) {
  void* const memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(memory, MAP_FAILED);
  Shared* const shared = new (memory) Shared;
  const pid_t child = ::fork();
  if (child == 0) {
    const absl::Status status = WriteWithoutEnd(path_, shared);
    std::fprintf(stderr, "writer: %s\n", status.ToString().c_str());
    shared->failed = 1;
    ::_exit(1);
  }
  uint64_t most_idle = 0;
  int opens = 0;
  const auto check = [&] {
    const int acknowledged = shared->acknowledged;
    const auto reader = Reader();
    if (absl::IsAborted(reader.status()) || absl::IsUnavailable(reader.status())) return;
    ASSERT_OK(reader);
    ++opens;
    most_idle = std::max(most_idle, (*reader)->Stats().idle_series);
    const Model found = Everything(**reader);
    const int begun = shared->begun;
    const int64_t floor_ms = shared->floor_ms;
    for (int i = 1; i <= acknowledged; ++i) {
      if (TimeOf(i) < floor_ms) continue;
      for (const Labels& labels : {Id(i % 7), Once(i)}) {
        const auto series = found.find(Text(labels));
        ASSERT_NE(series, found.end()) << labels.ToString() << " of " << acknowledged;
        ASSERT_TRUE(series->second.contains(TimeOf(i))) << i << " of " << acknowledged;
      }
    }
    for (const auto& [labels, points] : found) {
      for (const auto& [time_ms, bits] : points) {
        const int64_t i = (time_ms - kStartMs) / kStepMs;
        ASSERT_LE(i, begun);
        ASSERT_EQ(std::bit_cast<double>(bits), static_cast<double>(i));
      }
    }
  };
  while (shared->acknowledged < 3000 && shared->failed == 0 && !HasFatalFailure()) {
    if (shared->acknowledged > 0) check();
  }
  ::kill(child, SIGKILL);
  int ended = 0;
  ASSERT_EQ(::waitpid(child, &ended, 0), child);
  EXPECT_EQ(shared->failed, 0);
  check();  // after it, too
  EXPECT_GT(opens, 3);
  EXPECT_GT(most_idle, 0u);
  ::munmap(memory, sizeof(Shared));
}

}  // namespace
}  // namespace tinyobs::tsdb
