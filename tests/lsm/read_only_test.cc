// OpenReadOnly and Refresh: a whole picture of a store that somebody else writes, and not one byte
// of it changed.
//
// Method for "whole": the writer's i-th batch puts key i and deletes key i - kWindow, so every
// state of the store is a window of kWindow keys without a gap, and its end tells how new it is. It
// must not be older than what was acknowledged before the call.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "lib/lsm/wal_reader.h"
#include "lib/lsm/wal_writer.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::MemoryFileSystem;
using testing::Operation;

using Model = std::map<std::string, std::string>;

constexpr int kWindow = 500;

std::string Key(int i) { return StrCat("key", absl::Dec(i, absl::kZeroPad8)); }
int IndexOf(const std::string& key) { return std::stoi(key.substr(3)); }

StoreOptions SmallOptions(FileSystem* file_system) {
  StoreOptions options;
  options.file_system = file_system;
  options.memtable_bytes = 128 << 10;
  options.table_bytes = 64 << 10;
  options.level1_bytes = 256 << 10;
  options.block_bytes = 1024;
  options.max_open_tables = 8;
  options.table_memory_bytes = 4096;
  options.background_threads = false;
  return options;
}

std::unique_ptr<Store> Opened(absl::StatusOr<std::unique_ptr<Store>> store) {
  EXPECT_OK(store);
  return store.ok() ? *std::move(store) : nullptr;
}

Model Scan(const Store& store, const Snapshot* snapshot = nullptr) {
  Model model;
  ReadOptions options;
  options.snapshot = snapshot;
  const auto iterator = store.NewIterator(options);
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    model.emplace(iterator->key(), iterator->value());
  }
  EXPECT_OK(iterator->status());
  return model;
}

// The i-th write. Values are long enough to fill memtables.
absl::Status WriteOne(Store* store, int i) {
  WriteBatch batch;
  batch.Put(Key(i), StrCat(i, std::string(1000, 'v')));
  if (i >= kWindow) batch.Delete(Key(i - kWindow));
  return store->Write({}, batch);
}

// The last write that a state shows, after checking that it is a state.
int CheckWindow(const Model& model) {
  if (model.empty()) return -1;
  const int first = IndexOf(model.begin()->first);
  const int last = IndexOf(model.rbegin()->first);
  EXPECT_EQ(static_cast<int>(model.size()), last - first + 1);
  EXPECT_EQ(first, std::max(0, last - kWindow + 1));
  return last;
}

TEST(ReadOnly, ShowsTablesAndLogWithoutLockingOrWriting) {
  MemoryFileSystem fs;
  auto writer = Opened(Store::Open("/db", SmallOptions(&fs)));
  for (int i = 0; i < 1100; ++i) ASSERT_OK(WriteOne(writer.get(), i));
  const uint64_t changes = fs.Changes();
  const uint64_t locks = fs.Count(Operation::kLock);
  auto reader = Opened(Store::OpenReadOnly("/db", SmallOptions(&fs)));
  EXPECT_EQ(Scan(*reader), Scan(*writer));
  EXPECT_EQ(CheckWindow(Scan(*reader)), 1099);
  std::string value;
  EXPECT_OK(reader->Get(Key(1099), &value));
  EXPECT_CODE(reader->Get(Key(10), &value), StatusCode::kNotFound);
  const std::string_view keys[] = {"key00001000", "none"};
  std::vector<std::string> values;
  const auto statuses = reader->MultiGet({}, keys, &values);
  EXPECT_OK(statuses[0]);
  EXPECT_CODE(statuses[1], StatusCode::kNotFound);
  EXPECT_GT(reader->Stats().recovered_wal_records, 0u);
  EXPECT_GT(reader->Stats().disk_bytes, reader->Stats().wal_bytes);
  EXPECT_OK(reader->Verify());
  EXPECT_OK(reader->Refresh());
  EXPECT_OK(reader->Close());
  EXPECT_CODE(reader->Refresh(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(fs.Changes(), changes);
  EXPECT_EQ(fs.Count(Operation::kLock), locks);
}

TEST(ReadOnly, RefusesWhatWouldWrite) {
  MemoryFileSystem fs;
  auto writer = Opened(Store::Open("/db", SmallOptions(&fs)));
  ASSERT_OK(writer->Put("a", "1"));
  auto reader = Opened(Store::OpenReadOnly("/db", SmallOptions(&fs)));
  const absl::Status status = reader->Put("a", "2");
  EXPECT_CODE(status, StatusCode::kFailedPrecondition);
  EXPECT_NE(FromAbsl(status.message()).find("read-only"), std::string_view::npos) << status;
  EXPECT_CODE(reader->Flush(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(reader->Sync(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(reader->CompactRange("", ""), StatusCode::kFailedPrecondition);
  EXPECT_CODE(reader->DropRange("", ""), StatusCode::kFailedPrecondition);
  EXPECT_CODE(reader->Checkpoint("/copy"), StatusCode::kFailedPrecondition);
  EXPECT_CODE(reader->RunBackgroundWork(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(writer->Refresh(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(Scan(*reader), (Model{{"a", "1"}}));
}

TEST(ReadOnly, NothingThereIsNotFoundAndStaysSo) {
  MemoryFileSystem fs;
  EXPECT_CODE(Store::OpenReadOnly("/db", SmallOptions(&fs)), StatusCode::kNotFound);
  EXPECT_FALSE(fs.FileExists("/db"));
}

TEST(ReadOnly, RefreshMovesOnAndOldIteratorsAndSnapshotsStay) {
  MemoryFileSystem fs;
  StoreOptions options = SmallOptions(&fs);
  auto writer = Opened(Store::Open("/db", options));
  for (int i = 0; i < 1000; ++i) ASSERT_OK(WriteOne(writer.get(), i));
  auto reader = Opened(Store::OpenReadOnly("/db", options));
  const Model before = Scan(*reader);
  const auto snapshot = reader->NewSnapshot();
  const auto iterator = reader->NewIterator({});

  // Everything is overwritten, and every file of before is deleted.
  for (int i = 1000; i < 2000; ++i) ASSERT_OK(WriteOne(writer.get(), i));
  ASSERT_OK(writer->CompactRange("", ""));
  EXPECT_EQ(Scan(*reader), before);
  ASSERT_OK(reader->Refresh());
  EXPECT_EQ(CheckWindow(Scan(*reader)), 1999);
  EXPECT_EQ(Scan(*reader, snapshot.get()), before);
  ReadOptions at_snapshot;
  at_snapshot.snapshot = snapshot.get();
  std::string value;
  EXPECT_OK(reader->Get(at_snapshot, Key(999 - kWindow + 1), &value));
  const std::string old_key = Key(999 - kWindow + 1);
  const std::string_view old_keys[] = {old_key};
  std::vector<std::string> values;
  EXPECT_OK(reader->MultiGet(at_snapshot, old_keys, &values)[0]);
  Model seen;
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    seen.emplace(iterator->key(), iterator->value());
  }
  EXPECT_OK(iterator->status());
  EXPECT_EQ(seen, before);
}

TEST(ReadOnly, HandlesOfTablesThatAreGoneAreClosedByRefresh) {
  MemoryFileSystem fs;
  auto writer = Opened(Store::Open("/db", SmallOptions(&fs)));
  auto reader = Opened(Store::OpenReadOnly("/db", SmallOptions(&fs)));
  int i = 0;
  for (int round = 0; round < 20; ++round) {
    for (const int end = i + 400; i < end; ++i) ASSERT_OK(WriteOne(writer.get(), i));
    ASSERT_OK(writer->CompactRange("", ""));
    ASSERT_OK(reader->Refresh());
    EXPECT_EQ(CheckWindow(Scan(*reader)), i - 1);
    uint64_t tables = 0;
    for (const LevelStats& level : reader->Stats().levels) tables += level.files;
    EXPECT_EQ(reader->Stats().open_tables, tables);
  }
}

TEST(ReadOnly, DamageIsDataLossAndTheOldStateStays) {
  MemoryFileSystem fs;
  StoreOptions options = SmallOptions(&fs);
  options.sync_policy = SyncPolicy::kAlways;
  auto writer = Opened(Store::Open("/db", options));
  ASSERT_OK(writer->Put("a", "1"));
  auto reader = Opened(Store::OpenReadOnly("/db", options));
  ASSERT_OK(writer->Put("b", "2"));
  ASSERT_OK(writer->Put("c", "3"));
  std::map<std::string, std::string> files;
  for (const std::string& path : fs.Files()) files[path] = *fs.Contents(path);
  for (const auto& [path, content] : files) {
    if (content.size() < 20) continue;
    std::string damaged = content;
    damaged[45] ^= 1;  // in the first record
    ASSERT_OK(fs.SetContents(path, damaged));
    EXPECT_CODE(reader->Refresh(), StatusCode::kDataLoss) << path;
    EXPECT_CODE(Store::OpenReadOnly("/db", options), StatusCode::kDataLoss) << path;
    EXPECT_EQ(Scan(*reader), (Model{{"a", "1"}}));
    ASSERT_OK(fs.SetContents(path, content));
  }
  ASSERT_OK(reader->Refresh());
  EXPECT_EQ(Scan(*reader).size(), 3u);
}

TEST(ReadOnly, ATornTailAndZerosBehindItAreJustTheEnd) {
  MemoryFileSystem fs;
  auto writer = Opened(Store::Open("/db", SmallOptions(&fs)));
  ASSERT_OK(writer->Put("a", "1"));
  ASSERT_OK(writer->Put("b", "2"));
  std::string log;
  for (const std::string& path : fs.Files()) {
    if (path.ends_with(".log")) log = path;
  }
  const std::string content = *fs.Contents(log);
  const size_t used = content.find_last_not_of('\0') + 1;
  ASSERT_OK(fs.SetContents(log, content.substr(0, used - 1) + std::string(1000, '\0')));
  EXPECT_EQ(Scan(*Opened(Store::OpenReadOnly("/db", SmallOptions(&fs)))), (Model{{"a", "1"}}));
  ASSERT_OK(fs.SetContents(log, content.substr(0, used) + std::string(100000, '\0')));
  EXPECT_EQ(Scan(*Opened(Store::OpenReadOnly("/db", SmallOptions(&fs)))).size(), 2u);
}

// Lets the writer do something between two steps of a reader.
class Interrupted final : public FileSystem {
 public:
  // `step` gets "list" or "open PATH" before each such operation.
  Interrupted(FileSystem* base, std::function<void(std::string_view)> step)
      : base_(base), step_(std::move(step)) {}

  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) override {
    step_(StrCat("open ", path));
    return base_->OpenRandomAccess(path);
  }
  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) override {
    step_("list");
    return base_->ListDirectory(path);
  }
  absl::StatusOr<uint64_t> FileSize(const std::string& path) override {
    return base_->FileSize(path);
  }
  bool FileExists(const std::string& path) override { return base_->FileExists(path); }

  // What a reader has no business with.
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateWritable(const std::string&) override {
    return Refused();
  }
  absl::Status DeleteFile(const std::string&) override { return Refused(); }
  absl::Status RenameFile(const std::string&, const std::string&) override { return Refused(); }
  absl::Status LinkFile(const std::string&, const std::string&) override { return Refused(); }
  absl::Status CreateDirectories(const std::string&) override { return Refused(); }
  absl::Status DeleteDirectory(const std::string&) override { return Refused(); }
  absl::Status SyncDirectory(const std::string&) override { return Refused(); }
  absl::StatusOr<uint64_t> FreeSpace(const std::string&) override { return Refused(); }
  absl::StatusOr<std::unique_ptr<FileLock>> LockFile(const std::string&) override {
    return Refused();
  }

 private:
  static absl::Status Refused() {
    ADD_FAILURE() << "a reader wrote";
    return absl::InternalError("a reader wrote");
  }

  FileSystem* const base_;
  const std::function<void(std::string_view)> step_;
};

TEST(ReadOnly, WhateverTheWriterDoesBetweenTwoStepsThePictureIsWhole) {
  using Deed = std::function<void(std::unique_ptr<Store>*, int* next)>;
  MemoryFileSystem fs;
  const StoreOptions options = SmallOptions(&fs);
  const auto write = [](Store* store, int* next) {
    for (const int end = *next + 50; *next < end; ++*next) ASSERT_OK(WriteOne(store, *next));
  };
  const Deed deeds[] = {
      [&](auto* writer, int* next) {  // a flush, and the log is gone
        write(writer->get(), next);
        ASSERT_OK((*writer)->Flush());
        write(writer->get(), next);
      },
      [&](auto* writer, int* next) {  // all tables are replaced
        write(writer->get(), next);
        ASSERT_OK((*writer)->CompactRange("", ""));
      },
      [&](auto* writer, int*) {  // another manifest, and no log is as it was
        ASSERT_OK((*writer)->Close());
        *writer = nullptr;
        *writer = Opened(Store::Open("/db", options));
      },
  };
  for (size_t deed = 0; deed < std::size(deeds); ++deed) {
    auto writer = Opened(Store::Open("/db", options));
    int next = 0;
    while (next < 600) {
      write(writer.get(), &next);
      if (next % 150 == 0) {
        ASSERT_OK(writer->Flush());
      }
    }
    // The deed is done before the step-th step of the reader.
    int steps = 0;
    for (int step = 0; step <= steps; ++step) {
      SCOPED_TRACE(StrCat("deed ", deed, " before step ", step));
      const int before = next - 1;
      steps = 0;
      Interrupted reading(&fs, [&](std::string_view) {
        if (steps++ == step) deeds[deed](&writer, &next);
      });
      auto reader = Opened(Store::OpenReadOnly("/db", SmallOptions(&reading)));
      ASSERT_NE(reader, nullptr);
      const int last = CheckWindow(Scan(*reader));
      EXPECT_GE(last, before);
      EXPECT_LT(last, next);
      ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(steps, 5);
    writer = nullptr;
    for (const std::string& path : fs.Files()) ASSERT_OK(fs.DeleteFile(path));
  }
}

TEST(ReadOnly, AStoreThatNeverStandsStillIsUnavailable) {
  MemoryFileSystem fs;
  const StoreOptions options = SmallOptions(&fs);
  auto writer = Opened(Store::Open("/db", options));
  int next = 0;
  Interrupted reading(&fs, [&](std::string_view operation) {
    if (operation != "list") return;
    ASSERT_OK(WriteOne(writer.get(), next++));
    ASSERT_OK(writer->Flush());
  });
  const absl::Status status = Store::OpenReadOnly("/db", SmallOptions(&reading)).status();
  EXPECT_CODE(status, StatusCode::kUnavailable);
  EXPECT_NE(FromAbsl(status.message()).find("try again"), std::string_view::npos) << status;
}

// A file whose content at each read is the next one of a list, as another process writes it.
class GrowingFile final : public RandomAccessFile {
 public:
  GrowingFile(uint64_t size, std::vector<std::string> contents)
      : size_(size), contents_(std::move(contents)) {}
  absl::StatusOr<size_t> Read(uint64_t offset, size_t count, char* buffer) const override {
    const std::string& content = contents_[std::min(reads_++, contents_.size() - 1)];
    if (offset >= content.size()) return size_t{0};
    return content.copy(buffer, count, offset);
  }
  absl::StatusOr<uint64_t> Size() const override { return size_; }

 private:
  const uint64_t size_;
  const std::vector<std::string> contents_;
  mutable size_t reads_ = 0;
};

TEST(ReadOnly, AFrameThatBecomesWholeWhileItIsReadIsNoDamage) {
  MemoryFileSystem fs;
  auto writer = WalWriter::Create(&fs, "/1", {.kind = 1, .number = 1, .previous = 0});
  ASSERT_OK(writer);
  const auto add = [&](std::string_view record) {
    (*writer)->Add(record);
    EXPECT_OK((*writer)->Sync());
    return *fs.Contents("/1");
  };
  const std::string one = add("one");
  add("two");
  const std::string three = add("three");  // with a mark that two was durable
  const std::string zeros(three.size() - one.size(), '\0');
  std::string torn_two = three;
  torn_two[one.size() + 2] ^= 1;  // of the frame behind
  for (const bool heals : {true, false}) {
    // Read for the header and the records, then for the rest, then again for the frame.
    const GrowingFile file(three.size(), {one + zeros, three, heals ? three : torn_two});
    auto reader = WalReader::Open(&file, "1", 1, 1);
    ASSERT_OK(reader);
    std::string_view record;
    ASSERT_TRUE(*(*reader)->Next(&record));
    EXPECT_EQ(record, "one");
    const auto more = (*reader)->Next(&record);
    ASSERT_EQ(more.status().code(), heals ? StatusCode::kOk : StatusCode::kDataLoss);
    if (heals) {
      EXPECT_FALSE(*more);
    }
  }
}

TEST(ReadOnly, ZerosThatAreCutOffWhileALogIsReadAreItsEnd) {
  MemoryFileSystem fs;
  auto writer = WalWriter::Create(&fs, "/1", {.kind = 1, .number = 1, .previous = 0});
  ASSERT_OK(writer);
  (*writer)->Add("one");
  ASSERT_OK((*writer)->Sync());
  const std::string one = *fs.Contents("/1");
  for (const size_t left : {one.size(), one.size() - 1, one.size() + 5}) {
    const std::string content = one + std::string(5, '\0');
    const GrowingFile file(one.size() + 100000, {content.substr(0, left)});
    auto reader = WalReader::Open(&file, "1", 1, 1);
    ASSERT_OK(reader);
    std::string_view record;
    const auto more = (*reader)->Next(&record);
    ASSERT_OK(more);
    EXPECT_EQ(*more, left >= one.size());
    EXPECT_OK((*reader)->Next(&record));
  }
}

TEST(ReadOnly, ADamagedTableIsAProblemOfItsReadersOnly) {
  MemoryFileSystem fs;
  auto writer = Opened(Store::Open("/db", SmallOptions(&fs)));
  for (int i = 0; i < 1000; ++i) ASSERT_OK(WriteOne(writer.get(), i));
  ASSERT_OK(writer->Flush());
  for (const std::string& path : fs.Files()) {
    if (!path.ends_with(".sst")) continue;
    ASSERT_OK(fs.SetContents(path, "no table"));
    break;
  }
  auto reader = Opened(Store::OpenReadOnly("/db", SmallOptions(&fs)));
  const auto report = reader->Verify();
  ASSERT_OK(report);
  EXPECT_EQ(report->problems.size(), 1u);
  const auto iterator = reader->NewIterator({});
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
  }
  EXPECT_CODE(iterator->status(), StatusCode::kDataLoss);
}

TEST(ReadOnly, MoreTablesThanFileHandlesIsSaidSo) {
  MemoryFileSystem fs;
  auto writer = Opened(Store::Open("/db", SmallOptions(&fs)));
  for (int i = 0; i < 1000; ++i) ASSERT_OK(WriteOne(writer.get(), i));
  testing::Fault fault;
  fault.operation = Operation::kOpen;
  fault.path_contains = ".sst";
  fault.skip = 2;
  fault.error = absl::ResourceExhaustedError("too many open files");
  fs.AddFault(fault);
  const absl::Status status = Store::OpenReadOnly("/db", SmallOptions(&fs)).status();
  EXPECT_CODE(status, StatusCode::kResourceExhausted);
  EXPECT_NE(FromAbsl(status.message()).find("ulimit"), std::string_view::npos) << status;
}

// Opens and refreshes as fast as it can while `acknowledged` grows to `end`.
void ReadBeside(const std::string& path, const StoreOptions& options,
                const std::function<int()>& acknowledged, int end) {
  std::unique_ptr<Store> reader;
  uint64_t rounds = 0;
  uint64_t overtaken = 0;
  int before = 0;
  do {
    before = acknowledged();
    absl::Status status;
    if (rounds++ % 4 == 0 || reader == nullptr) {
      auto opened = Store::OpenReadOnly(path, options);
      status = opened.status();
      if (opened.ok()) reader = *std::move(opened);
    } else {
      status = reader->Refresh();
    }
    if (absl::IsUnavailable(status)) {
      ++overtaken;
      continue;
    }
    ASSERT_OK(status);
    EXPECT_GE(CheckWindow(Scan(*reader)), before);
    if (rounds % 8 == 0) {
      const auto report = reader->Verify();
      ASSERT_OK(report);
      for (const FileProblem& problem : report->problems) ADD_FAILURE() << problem.status;
    }
  } while (before < end && !::testing::Test::HasFailure());
  std::printf("%llu states read, %llu times overtaken\n", static_cast<unsigned long long>(rounds),
              static_cast<unsigned long long>(overtaken));
  EXPECT_LE(overtaken, rounds / 10);
}

void HammerInAThread(const std::string& path, StoreOptions options, int writes) {
  const StoreOptions reading = options;
  options.background_threads = true;
  auto writer = Opened(Store::Open(path, options));
  std::atomic<int> acknowledged{-1};
  std::thread thread([&] {
    for (int i = 0; i < writes; ++i) {
      ASSERT_OK(WriteOne(writer.get(), i));
      acknowledged = i;
    }
  });
  while (acknowledged < 0) std::this_thread::yield();
  ReadBeside(
      path, reading, [&acknowledged] { return acknowledged.load(); }, writes - 1);
  thread.join();
}

TEST(ReadOnly, IsWholeBesideAWriterInMemory) {
  MemoryFileSystem fs;
  HammerInAThread("/db", SmallOptions(&fs), 20000);
}

TEST(ReadOnly, IsWholeBesideAWriterOnDisk) {
  const testing::TempDir folder;
  StoreOptions options = SmallOptions(nullptr);
  options.sync_policy = SyncPolicy::kAlways;  // many marks in the log
  HammerInAThread(folder.File("db"), options, 1200);
}

TEST(ReadOnly, IsWholeBesideAnotherProcess) {
  const testing::TempDir folder;
  const std::string path = folder.File("db");
  StoreOptions options = SmallOptions(nullptr);
  constexpr int kWrites = 8000;
  int pipe[2];
  ASSERT_EQ(::pipe(pipe), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    options.background_threads = true;
    auto writer = Store::Open(path, options);
    bool good = writer.ok();
    for (int i = 0; i < kWrites && good; ++i) {
      good = WriteOne(writer->get(), i).ok() && ::write(pipe[1], &i, sizeof(i)) == sizeof(i);
    }
    ::_exit(good ? 0 : 1);  // without closing
  }
  ::close(pipe[1]);
  int last = -1;
  const auto acknowledged = [&] {
    // Everything that is in the pipe, and at least one number: the writer must go on, too.
    int numbers[1024];
    const ssize_t bytes = last == kWrites - 1 ? 0 : ::read(pipe[0], numbers, sizeof(numbers));
    if (bytes > 0) last = numbers[static_cast<size_t>(bytes) / sizeof(int) - 1];
    if (bytes == 0) last = kWrites - 1;
    return last;
  };
  acknowledged();
  ReadBeside(path, options, acknowledged, kWrites - 1);
  int status = 0;
  if (HasFailure()) ::kill(child, SIGKILL);
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  ::close(pipe[0]);
}

}  // namespace
}  // namespace tinyobs::lsm
