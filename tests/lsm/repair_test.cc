// Repair and repair_on_open: whatever is damaged, the store opens again, loses only what was
// damaged, and the damaged bytes are in `lost`, whole. Also when the power fails in the middle.
//
// Method: a small store in memory, closed in good order or by a crash; files are damaged behind its
// back; the result is compared with what was written, and must pass Verify.
#include <algorithm>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/compaction_job.h"
#include "lib/lsm/memtable.h"
#include "lib/lsm/store.h"
#include "tests/lsm/damage.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::Keep;
using testing::MemoryFileSystem;

class RepairTest : public ::testing::Test {
 protected:
  // A closed store, or one whose process died with records in its log.
  void Make(bool die = false, int writes = 700) {
    auto store = Opened(Store::Open("/db", SmallOptions(&fs_)));
    model_ = Fill(store.get(), writes);
    if (!die) {
      ASSERT_OK(store->Close());
    }
    store = nullptr;
  }

  // An empty disk.
  void Reset() {
    for (const std::string& path : fs_.Files()) ASSERT_OK(fs_.DeleteFile(path));
  }

  absl::StatusOr<RepairReport> Repair() { return Store::Repair("/db", SmallOptions(&fs_)); }

  // What the store holds; it must be sound.
  Model Content() {
    auto store = Opened(Store::Open("/db", SmallOptions(&fs_)));
    if (store == nullptr) return {};
    const auto report = store->Verify();
    EXPECT_OK(report);
    for (const FileProblem& problem : report->problems) ADD_FAILURE() << problem.status;
    return Scan(*store);
  }

  std::string LostCopyOf(const std::string& path) {
    const auto content = fs_.Contents(StrCat("/db/lost", path.substr(3)));
    EXPECT_OK(content);
    return content.value_or("");
  }

  MemoryFileSystem fs_;
  Model model_;
};

TEST_F(RepairTest, ASoundStoreIsLeftAsItIs) {
  Make(/*die=*/true);
  const std::vector<std::string> tables = FilesLike(fs_, ".sst");
  const auto report = Repair();
  ASSERT_OK(report);
  EXPECT_TRUE(report->quarantined.empty());
  EXPECT_FALSE(report->manifest_rebuilt);
  EXPECT_EQ(report->tables_kept, tables.size());
  EXPECT_EQ(report->log_records_kept, 700u % 60);
  EXPECT_GE(report->entries_kept + report->log_records_kept, model_.size());
  for (const std::string& path : tables) EXPECT_TRUE(fs_.FileExists(path));
  EXPECT_EQ(Content(), model_);
  EXPECT_FALSE(fs_.FileExists("/db/lost"));
}

TEST_F(RepairTest, IsRefusedWhileTheStoreIsOpenAndWhereThereIsNone) {
  auto store = Opened(Store::Open("/db", SmallOptions(&fs_)));
  EXPECT_CODE(Repair(), StatusCode::kFailedPrecondition);
  EXPECT_CODE(Store::Repair("/none", SmallOptions(&fs_)), StatusCode::kFailedPrecondition);
  EXPECT_FALSE(fs_.FileExists("/none"));
  ASSERT_OK(fs_.CreateDirectories("/other"));
  ASSERT_OK(fs_.CreateWritable("/other/letter.txt"));
  EXPECT_CODE(Store::Repair("/other", SmallOptions(&fs_)), StatusCode::kFailedPrecondition);
}

TEST_F(RepairTest, ADamagedTableGoesAndTheOthersStay) {
  Make(false, 290);  // each key once, so nothing older can show
  const std::vector<std::string> tables = FilesLike(fs_, ".sst");
  ASSERT_GE(tables.size(), 4u);
  FlipByte(&fs_, tables[1], 100);
  const std::string damaged = *fs_.Contents(tables[1]);
  const auto report = Repair();
  ASSERT_OK(report);
  ASSERT_EQ(report->quarantined.size(), 1u);
  EXPECT_EQ(report->quarantined[0].file, tables[1]);
  EXPECT_CODE(report->quarantined[0].status, StatusCode::kDataLoss);
  EXPECT_FALSE(report->manifest_rebuilt);
  EXPECT_EQ(report->tables_kept, tables.size() - 1);
  EXPECT_FALSE(fs_.FileExists(tables[1]));
  EXPECT_EQ(LostCopyOf(tables[1]), damaged);

  const Model content = Content();
  EXPECT_LT(content.size(), model_.size());
  EXPECT_GT(content.size(), model_.size() / 2);
  EXPECT_TRUE(std::includes(model_.begin(), model_.end(), content.begin(), content.end()));
}

TEST_F(RepairTest, AMissingTableIsGivenUp) {
  Make();
  const std::string path = FilesLike(fs_, ".sst")[2];
  ASSERT_OK(fs_.DeleteFile(path));
  EXPECT_CODE(Store::Open("/db", SmallOptions(&fs_)), StatusCode::kDataLoss);
  const auto report = Repair();
  ASSERT_OK(report);
  ASSERT_EQ(report->quarantined.size(), 1u);
  EXPECT_EQ(report->quarantined[0].file, path);
  EXPECT_FALSE(Content().empty());
}

// Everything can be found again without a manifest, deletions included, as no table was left over.
TEST_F(RepairTest, WithoutASoundManifestAllTablesAndLogsAreMerged) {
  const auto manifest = [this] { return FilesLike(fs_, "MANIFEST-").back(); };
  const std::pair<std::string, std::function<void()>> damages[] = {
      {"damaged manifest", [&] { FlipByte(&fs_, manifest(), 45); }},
      {"empty manifest", [&] { ASSERT_OK(fs_.SetContents(manifest(), "")); }},
      {"missing manifest", [&] { ASSERT_OK(fs_.DeleteFile(manifest())); }},
      {"manifest and CURRENT missing",
       [&] {
         ASSERT_OK(fs_.DeleteFile(manifest()));
         ASSERT_OK(fs_.DeleteFile("/db/CURRENT"));
       }},
      {"CURRENT names another",
       [&] { ASSERT_OK(fs_.SetContents("/db/CURRENT", "MANIFEST-999999\n")); }},
  };
  for (const bool die : {false, true}) {
    for (const auto& [name, damage] : damages) {
      SCOPED_TRACE(StrCat(name, die ? ", after a death" : ""));
      Reset();
      Make(die);
      damage();
      EXPECT_CODE(Store::Open("/db", SmallOptions(&fs_)), StatusCode::kDataLoss);
      const auto report = Repair();
      ASSERT_OK(report);
      EXPECT_TRUE(report->manifest_rebuilt);
      EXPECT_FALSE(report->quarantined.empty());
      EXPECT_GT(report->tables_kept, 3u);
      auto store = Opened(Store::Open("/db", SmallOptions(&fs_)));
      int levels = 0;
      for (const LevelStats& level : store->Stats().levels) levels += level.files > 0;
      EXPECT_EQ(levels, 1);
      store = nullptr;
      EXPECT_EQ(Content(), model_);
    }
  }
}

TEST_F(RepairTest, WithoutCurrentTheNewestSoundManifestCounts) {
  for (const std::string content : {"", "nonsense\n", "MANIFEST-000001", "long"}) {
    SCOPED_TRACE(content);
    Reset();
    Make();
    const std::vector<std::string> tables = FilesLike(fs_, ".sst");
    if (content.empty()) {
      ASSERT_OK(fs_.DeleteFile("/db/CURRENT"));
    } else {
      ASSERT_OK(
          fs_.SetContents("/db/CURRENT", content == "long" ? std::string(1000, 'x') : content));
    }
    EXPECT_CODE(Store::Open("/db", SmallOptions(&fs_)), StatusCode::kDataLoss);
    const auto report = Repair();
    ASSERT_OK(report);
    EXPECT_FALSE(report->manifest_rebuilt);
    ASSERT_EQ(report->quarantined.size(), 1u);
    EXPECT_EQ(report->quarantined[0].file, "/db/CURRENT");
    EXPECT_EQ(fs_.FileExists("/db/lost/CURRENT"), !content.empty());
    EXPECT_EQ(FilesLike(fs_, ".sst"), tables);
    EXPECT_EQ(Content(), model_);
  }
}

TEST_F(RepairTest, RecordsBeforeTheDamageInALogAreKept) {
  auto store = Opened(Store::Open("/db", SmallOptions(&fs_)));
  for (int i = 0; i < 100; ++i) ASSERT_OK(store->Put(Key(i), "v"));
  store = nullptr;
  const std::string path = FilesLike(fs_, ".log").back();
  const std::string content = *fs_.Contents(path);
  const size_t used = content.find_last_not_of('\0');
  FlipByte(&fs_, path, used / 2);
  EXPECT_CODE(Store::Open("/db", SmallOptions(&fs_)), StatusCode::kDataLoss);
  const auto report = Repair();
  ASSERT_OK(report);
  EXPECT_GT(report->log_records_kept, 30u);
  EXPECT_LT(report->log_records_kept, 70u);
  ASSERT_EQ(report->quarantined.size(), 1u);
  EXPECT_EQ(report->quarantined[0].file, path);
  EXPECT_EQ(LostCopyOf(path).size(), content.size());
  const Model kept = Content();
  EXPECT_EQ(kept.size(), report->log_records_kept);
  for (int i = 0; i < static_cast<int>(kept.size()); ++i) EXPECT_EQ(kept.count(Key(i)), 1u) << i;
}

// Nobody has flushed, so several logs are there; what follows on the damaged or missing one stays.
TEST_F(RepairTest, LogsBehindADamagedOrMissingOneAreKept) {
  for (const bool missing : {false, true}) {
    SCOPED_TRACE(missing);
    Reset();
    StoreOptions options = SmallOptions(&fs_);
    options.memtable_bytes = 64 << 10;
    testing::Fault no_tables;
    no_tables.operation = testing::Operation::kCreate;
    no_tables.path_contains = ".sst";
    no_tables.count = MemoryFileSystem::kUnlimited;
    auto store = Opened(Store::Open("/db", options));
    fs_.AddFault(no_tables);
    int written = 0;
    while (FilesLike(fs_, ".log").size() < 3 && written < 1000) {
      if (!store->Put(Key(written), std::string(2000, 'v')).ok()) break;
      ++written;
    }
    store = nullptr;
    fs_.ClearFaults();
    const std::vector<std::string> logs = FilesLike(fs_, ".log");
    ASSERT_GE(logs.size(), 2u);
    if (missing) {
      ASSERT_OK(fs_.DeleteFile(logs[0]));
    } else {
      FlipByte(&fs_, logs[0], 45);
    }
    const auto strict = Store::Open("/db", options);
    EXPECT_CODE(strict, StatusCode::kDataLoss);
    const auto report = Repair();
    ASSERT_OK(report);
    ASSERT_EQ(report->quarantined.size(), 1u);
    const Model kept = Content();
    EXPECT_EQ(kept.size(), report->log_records_kept);
    EXPECT_EQ(kept.count(Key(written - 1)), 1u);
    EXPECT_EQ(kept.count(Key(0)), 0u);
  }
}

TEST_F(RepairTest, SeveralDamagesAtOnce) {
  Make(/*die=*/true);
  const std::vector<std::string> tables = FilesLike(fs_, ".sst");
  FlipByte(&fs_, tables[0], 50);
  ASSERT_OK(fs_.SetContents(tables[1], "not a table"));
  ASSERT_OK(fs_.SetContents(tables[2], ""));
  FlipByte(&fs_, FilesLike(fs_, "MANIFEST-").back(), 50);
  FlipByte(&fs_, FilesLike(fs_, ".log").back(), 45);
  const auto report = Repair();
  ASSERT_OK(report);
  EXPECT_EQ(report->quarantined.size(), 5u);
  EXPECT_EQ(report->tables_kept, tables.size() - 3);
  EXPECT_FALSE(Content().empty());
  const auto again = Repair();
  ASSERT_OK(again);
  EXPECT_TRUE(again->quarantined.empty());
}

// The inputs of compactions that were about to be deleted come back beside the outputs.
TEST_F(RepairTest, TheNewerFileWinsWhereTwoTablesHoldTheSameEntry) {
  auto store = Opened(Store::Open("/db", SmallOptions(&fs_)));
  model_ = Fill(store.get());
  std::vector<std::pair<std::string, std::string>> inputs;
  for (const std::string& path : FilesLike(fs_, ".sst"))
    inputs.emplace_back(path, *fs_.Contents(path));
  ASSERT_OK(store->CompactRange("", ""));
  ASSERT_OK(store->Close());
  store = nullptr;
  for (const auto& [path, content] : inputs) {
    if (fs_.FileExists(path)) continue;
    ASSERT_OK(fs_.CreateWritable(path));
    ASSERT_OK(fs_.SetContents(path, content));
  }
  ASSERT_OK(fs_.DeleteFile(FilesLike(fs_, "MANIFEST-").back()));
  ASSERT_OK(Repair());
  // Deleted keys may be back, but no key has an old value.
  const Model content = Content();
  for (const auto& [key, value] : model_) {
    const auto found = content.find(key);
    ASSERT_NE(found, content.end()) << key;
    EXPECT_EQ(found->second, value) << key;
  }
}

// As after a compaction that joined values: input and output have an entry of the same name.
TEST_F(RepairTest, OfTwoDifferentEntriesOfOneNameTheNewerFilesWins) {
  ASSERT_OK(fs_.CreateDirectories("/db"));
  // Numbers in no order, so that being found first does not help.
  for (const uint64_t number : {7, 3, 9, 5}) {
    Memtable memtable;
    for (int i = 0; i < 10; ++i) {
      if (number == 9 && i >= 5) break;
      memtable.Add(100 + i, ValueType::kPut, Key(i * 2), StrCat("of ", number));
    }
    CompactionJobOptions job;
    job.file_system = &fs_;
    job.folder = "/db";
    job.table.trailer_bytes = kTrailerBytes;
    job.new_file_number = [number] { return number; };
    const auto entries = memtable.NewIterator();
    ASSERT_OK(RunCompactionJob(job, entries.get()));
  }
  const auto report = Repair();
  ASSERT_OK(report);
  EXPECT_EQ(report->tables_kept, 4u);
  EXPECT_EQ(report->entries_kept, 35u);
  const Model content = Content();
  ASSERT_EQ(content.size(), 10u);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(content.at(Key(i * 2)), i < 5 ? "of 9" : "of 7");
}

TEST_F(RepairTest, NothingInLostIsEverOverwritten) {
  Make();
  const std::string path = FilesLike(fs_, ".sst")[0];
  const std::string name = path.substr(4);
  ASSERT_OK(fs_.CreateDirectories("/db/lost"));
  for (const std::string suffix : {"", ".1"}) {
    ASSERT_OK(fs_.CreateWritable(StrCat("/db/lost/", name, suffix)));
    ASSERT_OK(fs_.SetContents(StrCat("/db/lost/", name, suffix), "of before"));
  }
  FlipByte(&fs_, path, 10);
  const std::string damaged = *fs_.Contents(path);
  ASSERT_OK(Repair());
  EXPECT_EQ(*fs_.Contents(StrCat("/db/lost/", name)), "of before");
  EXPECT_EQ(*fs_.Contents(StrCat("/db/lost/", name, ".1")), "of before");
  EXPECT_EQ(*fs_.Contents(StrCat("/db/lost/", name, ".2")), damaged);
}

TEST_F(RepairTest, OnOpenWhatOpeningNoticesIsRepairedAndCounted) {
  Make(/*die=*/true);
  const std::vector<std::string> tables = FilesLike(fs_, ".sst");
  ASSERT_OK(fs_.DeleteFile(tables[0]));
  FlipByte(&fs_, FilesLike(fs_, ".log").back(), 45);
  StoreOptions options = SmallOptions(&fs_);
  EXPECT_CODE(Store::Open("/db", options), StatusCode::kDataLoss);
  options.repair_on_open = true;
  std::string lines;
  options.logger = [&lines](std::string_view line) { StrAppend(&lines, line, "\n"); };
  auto store = Opened(Store::Open("/db", options));
  EXPECT_EQ(store->Stats().quarantined_files, 2u);
  EXPECT_NE(lines.find(tables[0]), std::string::npos) << lines;
  EXPECT_NE(lines.find("moved to /db/lost/"), std::string::npos) << lines;
  EXPECT_FALSE(Scan(*store).empty());
  ASSERT_OK(store->Put("a", "1"));
  ASSERT_OK(store->Close());
  store = Opened(Store::Open("/db", options));
  EXPECT_EQ(store->Stats().quarantined_files, 0u);
}

TEST_F(RepairTest, OnOpenANewStoreIsStillMade) {
  StoreOptions options = SmallOptions(&fs_);
  options.repair_on_open = true;
  auto store = Opened(Store::Open("/db", options));
  ASSERT_OK(store->Put("a", "1"));
  EXPECT_EQ(store->Stats().quarantined_files, 0u);
  store = nullptr;
  store = Opened(Store::Open("/db", options));
  EXPECT_EQ(Scan(*store), (Model{{"a", "1"}}));
}

TEST_F(RepairTest, AnErrorOfTheDiskIsNotTakenForDamage) {
  Make();
  const std::vector<std::string> files = fs_.Files();
  testing::Fault fault;
  fault.operation = testing::Operation::kRead;
  fault.path_contains = FilesLike(fs_, ".sst")[1];
  fs_.AddFault(fault);
  EXPECT_CODE(Repair(), StatusCode::kUnavailable);
  EXPECT_FALSE(fs_.FileExists("/db/lost"));
  ASSERT_OK(Repair());
  EXPECT_EQ(Content(), model_);
}

// Cuts the power after every change that a repair makes, and repairs again.
void CrashEverywhere(const std::function<void(MemoryFileSystem*)>& damage) {
  // What a repair without a crash leaves.
  Model expected;
  std::vector<std::pair<std::string, std::string>> damaged;
  const auto make = [&](MemoryFileSystem* fs) {
    auto store = Opened(Store::Open("/db", SmallOptions(fs)));
    Fill(store.get(), 250, 200);
    store = nullptr;
    damage(fs);
  };
  const auto content = [&](MemoryFileSystem* fs) {
    auto store = Opened(Store::Open("/db", SmallOptions(fs)));
    if (store == nullptr) return Model();
    const auto report = store->Verify();
    EXPECT_OK(report);
    for (const FileProblem& problem : report->problems) ADD_FAILURE() << problem.status;
    return Scan(*store);
  };
  {
    MemoryFileSystem fs;
    make(&fs);
    std::vector<std::pair<std::string, std::string>> before;
    for (const std::string& path : fs.Files()) before.emplace_back(path, *fs.Contents(path));
    const auto report = Store::Repair("/db", SmallOptions(&fs));
    ASSERT_OK(report);
    for (const FileProblem& problem : report->quarantined) {
      for (const auto& entry : before) {
        if (entry.first == problem.file) damaged.push_back(entry);
      }
    }
    expected = content(&fs);
    EXPECT_FALSE(expected.empty());
  }
  uint64_t cuts = 0;
  for (const Keep keep : {Keep::kNothing, Keep::kTorn, Keep::kReordered, Keep::kAll}) {
    bool done = false;
    for (uint64_t step = 0; !done; ++step, ++cuts) {
      SCOPED_TRACE(StrCat("step ", step, ", keep ", static_cast<int>(keep)));
      MemoryFileSystem fs;
      make(&fs);
      fs.PowerCutAfter(step);
      done = Store::Repair("/db", SmallOptions(&fs)).ok();
      fs.Crash({.keep_bytes = keep, .keep_names = keep, .seed = step + 1});
      ASSERT_OK(Store::Repair("/db", SmallOptions(&fs)));
      ASSERT_EQ(content(&fs), expected);
      for (const auto& [path, bytes] : damaged) {
        const auto lost = fs.Contents(StrCat("/db/lost", path.substr(3)));
        ASSERT_OK(lost);
        EXPECT_EQ(*lost, bytes);
      }
    }
  }
  std::printf("%llu power cuts\n", static_cast<unsigned long long>(cuts));
  EXPECT_GT(cuts, 60u);
}

TEST(RepairCrash, OfADamagedTableAndLog) {
  CrashEverywhere([](MemoryFileSystem* fs) {
    FlipByte(fs, FilesLike(*fs, ".sst")[1], 20);
    const std::string log = FilesLike(*fs, ".log").back();
    FlipByte(fs, log, fs->Contents(log)->find_last_not_of('\0') / 2);
  });
}

TEST(RepairCrash, OfADamagedManifest) {
  CrashEverywhere([](MemoryFileSystem* fs) {
    FlipByte(fs, FilesLike(*fs, "MANIFEST-").back(), 45);
    FlipByte(fs, FilesLike(*fs, ".sst")[1], 20);
  });
}

TEST(RepairCrash, OfAMissingCurrentAndADamagedLog) {
  CrashEverywhere([](MemoryFileSystem* fs) {
    EXPECT_OK(fs->DeleteFile("/db/CURRENT"));
    FlipByte(fs, FilesLike(*fs, ".log").back(), 45);
  });
}

}  // namespace
}  // namespace tinyobs::lsm
