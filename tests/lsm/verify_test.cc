// Verify: silent on a sound store, loud about each kind of damage, and never in the way.
#include <atomic>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/compaction_job.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/manifest.h"
#include "lib/lsm/memtable.h"
#include "lib/lsm/store.h"
#include "tests/lsm/damage.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::MemoryFileSystem;

// The problems, one a line.
std::string Problems(const Store& store) {
  const auto report = store.Verify();
  EXPECT_OK(report);
  std::string lines;
  if (!report.ok()) return lines;
  for (const FileProblem& problem : report->problems) {
    EXPECT_CODE(problem.status, StatusCode::kDataLoss);
    StrAppend(&lines, problem.file, ": ", FromAbsl(problem.status.message()), "\n");
  }
  return lines;
}

bool Contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(Verify, FindsNothingInASoundStoreAndCountsEverything) {
  MemoryFileSystem fs;
  auto store = Opened(Store::Open("/db", SmallOptions(&fs)));
  EXPECT_EQ(Problems(*store), "");
  const Model model = Fill(store.get());
  const uint64_t changes = fs.Changes();
  const auto report = store->Verify();
  ASSERT_OK(report);
  EXPECT_TRUE(report->problems.empty()) << report->problems[0].status;
  EXPECT_EQ(report->tables, FilesLike(fs, ".sst").size());
  EXPECT_GE(report->entries + report->log_records, model.size());
  EXPECT_GT(report->log_records, 0u);
  EXPECT_GE(report->logs, 1u);
  EXPECT_GT(report->table_bytes, 0u);
  EXPECT_EQ(fs.Changes(), changes);
  ASSERT_OK(store->Close());
  EXPECT_CODE(store->Verify(), StatusCode::kFailedPrecondition);
}

TEST(Verify, NoticesEveryFlippedByteOfATableAndNamesTheFile) {
  MemoryFileSystem fs;
  auto store = Opened(Store::Open("/db", SmallOptions(&fs)));
  Fill(store.get(), 200);
  ASSERT_OK(store->Flush());
  const std::string path = FilesLike(fs, ".sst").front();
  const size_t bytes = fs.Contents(path)->size();
  for (size_t offset = 0; offset < bytes; offset += 13) {
    FlipByte(&fs, path, offset);
    const auto report = store->Verify();
    ASSERT_OK(report);
    ASSERT_EQ(report->problems.size(), 1u) << offset;
    EXPECT_EQ(report->problems[0].file, path);
    FlipByte(&fs, path, offset);
  }
  EXPECT_EQ(Problems(*store), "");
}

TEST(Verify, NoticesAMissingTableAndGoesOnWithTheOthers) {
  MemoryFileSystem fs;
  auto store = Opened(Store::Open("/db", SmallOptions(&fs)));
  Fill(store.get());
  const std::vector<std::string> tables = FilesLike(fs, ".sst");
  ASSERT_GE(tables.size(), 4u);
  ASSERT_OK(fs.DeleteFile(tables[0]));
  FlipByte(&fs, tables[2], 10);
  const std::string problems = Problems(*store);
  EXPECT_TRUE(Contains(problems, StrCat(tables[0], ": the manifest names this table")));
  EXPECT_TRUE(Contains(problems, tables[2]));
  EXPECT_EQ(std::count(problems.begin(), problems.end(), '\n'), 2);
}

TEST(Verify, NoticesDamageInManifestCurrentAndLog) {
  MemoryFileSystem fs;
  auto store = Opened(Store::Open("/db", SmallOptions(&fs)));
  Fill(store.get());
  for (const std::string& path : {FilesLike(fs, "MANIFEST-").back(), FilesLike(fs, ".log").back(),
                                  std::string("/db/CURRENT")}) {
    const size_t offset = path == "/db/CURRENT" ? 3 : 45;
    FlipByte(&fs, path, offset);
    EXPECT_TRUE(Contains(Problems(*store), path)) << path;
    FlipByte(&fs, path, offset);
  }
  EXPECT_EQ(Problems(*store), "");
}

// A store that is wrong although every checksum is right: made of tables by hand.
class ForgedStore : public ::testing::Test {
 protected:
  struct Entry {
    std::string key;
    uint64_t sequence;
    ValueType type = ValueType::kPut;
  };

  TableMeta AddTable(int level, const std::vector<Entry>& entries) {
    Memtable memtable;
    for (const Entry& entry : entries) memtable.Add(entry.sequence, entry.type, entry.key, "v");
    CompactionJobOptions job;
    job.file_system = &fs_;
    job.folder = "/db";
    job.table.trailer_bytes = kTrailerBytes;
    job.new_file_number = [this] { return next_number_++; };
    const auto iterator = memtable.NewIterator();
    const auto result = RunCompactionJob(job, iterator.get());
    EXPECT_OK(result);
    EXPECT_EQ(result->tables.size(), 1u);
    state_.added.push_back({level, result->tables[0]});
    return result->tables[0];
  }

  std::string Open() {
    state_.next_file_number = next_number_ + 1;
    state_.log_number = next_number_ + 1;
    state_.last_sequence = 1000;
    EXPECT_OK(ManifestWriter::Create(&fs_, "/db", next_number_, state_));
    store_ = Opened(Store::Open("/db", SmallOptions(&fs_)));
    return store_ == nullptr ? "cannot open" : Problems(*store_);
  }

  void SetUp() override { ASSERT_OK(fs_.CreateDirectories("/db")); }

  MemoryFileSystem fs_;
  uint64_t next_number_ = 1;
  VersionEdit state_;
  std::unique_ptr<Store> store_;
};

TEST_F(ForgedStore, ASoundOneHasNoProblems) {
  AddTable(0, {{"a1", 9}, {"a2", 8}});
  AddTable(0, {{"a1", 7}, {"a3", 6, ValueType::kDelete}});
  AddTable(1, {{"a1", 5}, {"a2", 2}});
  AddTable(3, {{"a1", 1}, {"a3", 3}});
  EXPECT_EQ(Open(), "");
}

TEST_F(ForgedStore, AnOlderVersionInAnUpperLevelIsNoticed) {
  AddTable(1, {{"a1", 5}, {"a2", 2}});
  AddTable(2, {{"a2", 3}});
  const std::string problems = Open();
  EXPECT_TRUE(Contains(problems,
                       "/db/000001.sst: key \"a2\": version 2 in level 1 hides version 3 "
                       "of table 2 in level 2"))
      << problems;
}

TEST_F(ForgedStore, TablesOfL0ThatHideEachOthersKeysAreNoticed) {
  AddTable(0, {{"a1", 9}, {"a2", 2}});
  AddTable(0, {{"a2", 5}});
  EXPECT_TRUE(Contains(Open(), "version 2 in level 0 hides version 5"));
}

TEST_F(ForgedStore, TheSameEntryTwiceIsNoticed) {
  AddTable(1, {{"a1", 5}});
  AddTable(2, {{"a1", 5}});
  EXPECT_TRUE(Contains(Open(), "hides version 5"));
}

TEST_F(ForgedStore, ATableOverTwoPartitionsIsNoticed) {
  AddTable(1, {{"a1", 5, ValueType::kDelete}, {"b1", 6}});
  EXPECT_TRUE(Contains(Open(), "spans the partitions \"a\" and \"b\""));
}

TEST_F(ForgedStore, WrongCountsAndSequencesInTheManifestAreNoticed) {
  AddTable(1, {{"a1", 5, ValueType::kDelete}, {"a2", 6}});
  AddTable(1, {{"a3", 5}, {"a4", 6}});
  AddTable(1, {{"a5", 5}, {"a6", 6}});
  state_.added[0].meta.tombstones = 0;
  state_.added[1].meta.smallest_sequence = 4;
  state_.added[2].meta.largest_sequence = 7;
  const std::string problems = Open();
  EXPECT_TRUE(Contains(problems, "000001.sst: the manifest says 0 tombstones, found 1"));
  EXPECT_TRUE(Contains(problems, "000002.sst: the manifest says 4 as the smallest sequence"));
  EXPECT_TRUE(Contains(problems, "000003.sst: the manifest says 7 as the largest sequence"));
}

TEST(Verify, RunsBesideWritesFlushesAndCompactions) {
  MemoryFileSystem fs;
  StoreOptions options = SmallOptions(&fs);
  options.background_threads = true;
  options.sync_policy = SyncPolicy::kAlways;
  auto store = Opened(Store::Open("/db", options));
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; !stop; ++i) ASSERT_OK(store->Put(Key(i * 7919 % 500), std::string(2000, 'v')));
  });
  while (store->Stats().compactions < 10 && !HasFailure()) EXPECT_EQ(Problems(*store), "");
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace tinyobs::lsm
