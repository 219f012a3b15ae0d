// A process that writes to a store on the real disk is killed with SIGKILL, again and again, on the
// same store. What the in-memory disk of crash_test.cc cannot show: that the calls we make of the
// operating system keep the promise "OK survives the death of the process", with threads, flushes,
// compactions and switches of logs running all the time.
//
// The child is this program again. Each of its writer threads makes one numbered write after the
// other and reports each through a pipe when it was acknowledged. The number of a writer's last
// write decides all that its keys must hold, so whoever opens the store next can check every key:
// the number is the last reported one, or one more (the write that was under way). A fresh process
// checks that, that every file is explained, and that checkpoints are whole; then it goes on
// writing until it is killed. Some are killed while they recover.
//
// Bounded by the number of kills, not by time. TINYOBS_KILLS changes it.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/store.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tinyobs::lsm {
namespace {

constexpr uint64_t kWriters = 4;
constexpr uint64_t kSlots = 300;  // keys of a writer, overwritten in turn

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
constexpr uint64_t kKills = 30;
#else
constexpr uint64_t kKills = 200;
#endif

// --- what the store must hold

std::string SlotKey(uint64_t writer, uint64_t slot) { return StrCat("w", writer, "/", slot); }
std::string LastKey(uint64_t writer) { return StrCat("w", writer, "/last"); }
bool Deletes(uint64_t number) { return number % 7 == 0; }
std::string ValueOf(uint64_t number) {
  return StrCat(number, "/",
                std::string(number * 7919 % 400, static_cast<char>('a' + number % 26)));
}

// The state after `number` writes of the writer.
void AddExpected(uint64_t writer, uint64_t number, std::map<std::string, std::string>* content) {
  if (number == 0) return;
  (*content)[LastKey(writer)] = StrCat(number);
  for (uint64_t n = number > kSlots ? number - kSlots + 1 : 1; n <= number; ++n) {
    if (!Deletes(n)) (*content)[SlotKey(writer, n % kSlots)] = ValueOf(n);
  }
}

StoreOptions SmallOptions(uint64_t round) {
  StoreOptions options;
  options.sync_policy = round % 8 == 0   ? SyncPolicy::kAlways
                        : round % 2 == 0 ? SyncPolicy::kInterval
                                         : SyncPolicy::kNone;
  options.sync_interval_ms = 5;
  options.memtable_bytes = 128 << 10;
  options.table_bytes = 32 << 10;
  options.level1_bytes = 64 << 10;
  options.level_ratio = 3;
  options.block_bytes = 1 << 10;
  options.compaction_threads = 2;
  options.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  return options;
}

// --- the child

// One message of the pipe: writer `writer` had or has made `number` writes.
struct Report {
  enum Kind : uint32_t { kFound, kAcknowledged } kind;
  uint32_t writer;
  uint64_t number;
};

[[noreturn]] void Fail(const std::string& why) {
  std::fprintf(stderr, "child: %s\n", why.c_str());
  ::_exit(1);
}
void Require(const absl::Status& status, const std::string& what) {
  if (!status.ok()) Fail(StrCat(what, ": ", status.ToString()));
}

void Send(int pipe, const Report& report) {
  // Less than PIPE_BUF: whole or not at all.
  if (::write(pipe, &report, sizeof(report)) != sizeof(report)) Fail("the pipe is broken");
}

// Checks everything in `store`; returns each writer's number.
std::array<uint64_t, kWriters> CheckContent(const Store& store, const std::string& what) {
  std::array<uint64_t, kWriters> numbers = {};
  std::map<std::string, std::string> expected;
  for (uint64_t w = 0; w < kWriters; ++w) {
    std::string last;
    const absl::Status status = store.Get(LastKey(w), &last);
    if (absl::IsNotFound(status)) continue;
    Require(status, what);
    numbers[w] = std::strtoull(last.c_str(), nullptr, 10);
    AddExpected(w, numbers[w], &expected);
  }
  ReadOptions options;
  options.lower_bound = "w";
  options.upper_bound = "x";
  const auto iterator = store.NewIterator(options);
  auto at = expected.begin();
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), ++at) {
    if (at == expected.end() || iterator->key() != at->first || iterator->value() != at->second) {
      Fail(StrCat(what, ": wrong at key ", iterator->key()));
    }
  }
  Require(iterator->status(), what);
  if (at != expected.end()) Fail(StrCat(what, ": lost key ", at->first));
  return numbers;
}

void CheckFiles(const Store& store, const std::string& folder) {
  uint64_t tables = 0, logs = 0, manifests = 0, expected = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const FileType type = ParseFileName(name).type;
    tables += type == FileType::kTable;
    logs += type == FileType::kLog;
    manifests += type == FileType::kManifest;
    if (type == FileType::kUnknown || type == FileType::kTemporary) Fail("unexplained: " + name);
  }
  for (const LevelStats& level : store.Stats().levels) expected += level.files;
  if (tables != expected || logs != 1 || manifests != 1) {
    Fail(StrCat(tables, " tables instead of ", expected, ", ", logs, " logs, ", manifests,
                " manifests"));
  }
}

void CheckSound(const Store& store) {
  const auto report = store.Verify();
  Require(report.status(), "verify");
  for (const FileProblem& problem : report->problems) Require(problem.status, problem.file);
}

// One act of upkeep, of any kind, beside the other writers.
void KeepUp(Store* store, const std::string& folder, uint64_t writer, uint64_t number,
            std::mt19937_64* random) {
  WriteOptions unlogged;
  unlogged.skip_wal = true;
  for (int i = 0; i < 20; ++i) {
    const std::string key = StrCat("junk", (*random)() % 1000);
    Require(store->Put(key, std::string(200, 'j'), unlogged), "junk");
  }
  switch ((*random)() % 5) {
    case 0:
      Require(store->Flush(), "flush");
      break;
    case 1:
      Require(store->CompactRange("w1", "w2"), "compact");
      break;
    case 2:
      Require(store->DropRange("j", "k").status(), "drop");
      break;
    case 3:
      Require(store->Sync(), "sync");
      break;
    default:
      Require(store->Checkpoint(StrCat(folder, ".copy", writer, ".", number)), "checkpoint");
  }
}

// What one writer does until the process is killed.
void WriteOn(Store* store, const std::string& folder, int pipe, uint64_t writer, uint64_t number) {
  std::mt19937_64 random(number * kWriters + writer);
  while (true) {
    ++number;
    WriteBatch batch;
    const std::string key = SlotKey(writer, number % kSlots);
    if (Deletes(number)) {
      batch.Delete(key);
    } else {
      batch.Put(key, ValueOf(number));
    }
    batch.Put(LastKey(writer), StrCat(number));
    Require(store->Write({}, batch), "write");
    Send(pipe, {Report::kAcknowledged, static_cast<uint32_t>(writer), number});
    if (random() % 40 == 0) KeepUp(store, folder, writer, number, &random);
  }
}

// Each copy is a store of its own and holds a moment of the past; then it may go. Under another
// name first: who dies while it removes one leaves half of it.
void CheckCopies(const std::string& folder, const std::array<uint64_t, kWriters>& numbers) {
  const std::filesystem::path path(folder);
  std::vector<std::filesystem::path> copies;
  for (const auto& entry : std::filesystem::directory_iterator(path.parent_path())) {
    const std::string name = entry.path().string();
    if (name.starts_with(folder + ".copy") || name.starts_with(folder + ".gone")) {
      copies.push_back(entry.path());
    }
  }
  for (const auto& copy : copies) {
    if (copy.string().starts_with(folder + ".copy") && copy.extension() != ".partial") {
      StoreOptions options = SmallOptions(0);
      options.background_threads = false;
      options.create_if_missing = false;
      auto store = Store::Open(copy.string(), options);
      Require(store.status(), "checkpoint");
      const std::array<uint64_t, kWriters> then = CheckContent(**store, "checkpoint");
      for (uint64_t w = 0; w < kWriters; ++w) {
        if (then[w] > numbers[w]) Fail("a checkpoint is ahead of its store");
      }
      CheckFiles(**store, copy.string());
    }
    const std::string gone = folder + ".gone";
    std::filesystem::remove_all(gone);  // of an earlier round
    if (copy != gone) std::filesystem::rename(copy, gone);
    std::filesystem::remove_all(gone);
  }
}

int RunChild(const std::string& folder, uint64_t round, int pipe, bool last) {
  StoreOptions options = SmallOptions(round);
  std::array<uint64_t, kWriters> numbers;
  uint64_t below_l0 = 0;  // tables
  {
    // Without threads, so that the files hold still.
    options.background_threads = false;
    auto store = Store::Open(folder, options);
    Require(store.status(), "open");
    numbers = CheckContent(**store, "store");
    CheckFiles(**store, folder);
    const StoreStats stats = (*store)->Stats();
    for (size_t level = 1; level < stats.levels.size(); ++level) {
      below_l0 += stats.levels[level].files;
    }
    if (round % 16 == 0 || last) CheckSound(**store);
  }
  CheckCopies(folder, numbers);
  for (uint64_t w = 0; w < kWriters; ++w) {
    Send(pipe, {Report::kFound, static_cast<uint32_t>(w), numbers[w]});
  }
  if (last) {
    if (below_l0 == 0) Fail("no compaction ever ran");
    return 0;
  }
  options.background_threads = true;
  auto store = Store::Open(folder, options);
  Require(store.status(), "open again");
  std::vector<std::thread> threads;
  for (uint64_t w = 0; w < kWriters; ++w) {
    threads.emplace_back(WriteOn, store->get(), folder, pipe, w, numbers[w]);
  }
  for (std::thread& thread : threads) thread.join();  // never
  return 1;
}

// --- the parent

// The child, with the read end of its pipe.
struct Child {
  pid_t pid = -1;
  int pipe = -1;
};

Child Start(const std::string& folder, uint64_t round, bool last) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return {};
  const std::string number = StrCat(round);
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::execl("/proc/self/exe", "kill_test", last ? "--last_child" : "--child", folder.c_str(),
            number.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  return {pid, ends[0]};
}

class Reports {
 public:
  // Reads one; false: none within `timeout_ms` (-1 = no limit) or the child is gone.
  bool ReadOne(int pipe, int timeout_ms) {
    pollfd wait = {pipe, POLLIN, 0};
    if (::poll(&wait, 1, timeout_ms) <= 0) return false;
    Report report;
    if (::read(pipe, &report, sizeof(report)) != sizeof(report)) return false;
    uint64_t& number = acknowledged_[report.writer];
    if (report.kind == Report::kAcknowledged) {
      EXPECT_EQ(report.number, number + 1) << "of writer " << report.writer;
      ++total_acknowledged_;
    } else {
      EXPECT_GE(report.number, number) << "acknowledged writes lost, writer " << report.writer;
      EXPECT_LE(report.number, number + 1) << "writer " << report.writer;
      ++found_;
      kept_in_flight_ += report.number > number;
    }
    number = report.number;
    return true;
  }

  uint64_t total_acknowledged() const { return total_acknowledged_; }
  uint64_t found() const { return found_; }
  uint64_t kept_in_flight() const { return kept_in_flight_; }

 private:
  std::array<uint64_t, kWriters> acknowledged_ = {};
  uint64_t total_acknowledged_ = 0;
  uint64_t found_ = 0;
  uint64_t kept_in_flight_ = 0;
};

TEST(Kill, WhatWasAcknowledgedSurvivesEveryKill) {
  const char* const wish = std::getenv("TINYOBS_KILLS");
  const uint64_t kills = wish == nullptr ? kKills : std::strtoull(wish, nullptr, 10);
  constexpr uint64_t kSeed = 4711;
  const testing::TempDir dir;
  const std::string folder = dir.File("store");
  std::mt19937_64 random(kSeed);
  Reports reports;
  uint64_t early_kills = 0;
  for (uint64_t round = 0; round < kills && !HasFailure(); ++round) {
    const Child child = Start(folder, round, false);
    ASSERT_GT(child.pid, 0);
    if (random() % 6 == 0) {
      // While it recovers or checks: whenever that is, it changes nothing that was promised.
      reports.ReadOne(child.pipe, static_cast<int>(random() % 12));
      ++early_kills;
    } else {
      for (uint64_t left = kWriters + random() % 1500; left > 0; --left) {
        if (!reports.ReadOne(child.pipe, -1)) break;
      }
    }
    ::kill(child.pid, SIGKILL);
    while (reports.ReadOne(child.pipe, -1)) {
    }
    ::close(child.pipe);
    int status = 0;
    ASSERT_EQ(::waitpid(child.pid, &status, 0), child.pid);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        << "round " << round << ": the child ended by itself, status " << status;
  }
  const Child child = Start(folder, kills, true);
  ASSERT_GT(child.pid, 0);
  while (reports.ReadOne(child.pipe, -1)) {
  }
  ::close(child.pipe);
  int status = 0;
  ASSERT_EQ(::waitpid(child.pid, &status, 0), child.pid);
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  std::printf(
      "seed %d: %d kills, %d of them during start and recovery; %d writes acknowledged, "
      "%s lost; %d unacknowledged ones under way were kept\n",
      static_cast<int>(kSeed), static_cast<int>(kills), static_cast<int>(early_kills),
      static_cast<int>(reports.total_acknowledged()), HasFailure() ? "some" : "none",
      static_cast<int>(reports.kept_in_flight()));
  EXPECT_GT(reports.total_acknowledged(), 10 * kills);
  EXPECT_GT(reports.found(), kWriters);
}

}  // namespace
}  // namespace tinyobs::lsm

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]).ends_with("child")) {
    return tinyobs::lsm::RunChild(argv[2], std::strtoull(argv[3], nullptr, 10), STDOUT_FILENO,
                                  std::string_view(argv[1]) == "--last_child");
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
