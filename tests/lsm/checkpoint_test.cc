// Checkpoint: the copy is whole or not there, holds what was acknowledged, and lives alone.
//
// Method: a store in memory file systems; the power is cut after each single change that a
// checkpoint makes, and what is left is opened.
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"
#include "tests/testing/temp_dir.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::Fault;
using testing::Keep;
using testing::MemoryFileSystem;
using testing::Operation;

using Model = std::map<std::string, std::string>;

std::string Key(int i) { return StrCat("key", absl::Dec(i, absl::kZeroPad6)); }

StoreOptions SmallOptions(FileSystem* file_system) {
  StoreOptions options;
  options.file_system = file_system;
  options.memtable_bytes = 128 << 10;
  options.table_bytes = 16 << 10;
  options.level1_bytes = 64 << 10;
  options.block_bytes = 1024;
  options.background_threads = false;
  return options;
}

std::unique_ptr<Store> OpenStore(const std::string& path, const StoreOptions& options) {
  auto store = Store::Open(path, options);
  EXPECT_OK(store);
  return store.ok() ? *std::move(store) : nullptr;
}

Model Scan(const Store& store) {
  Model model;
  const auto iterator = store.NewIterator({});
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    model.emplace(iterator->key(), iterator->value());
  }
  EXPECT_OK(iterator->status());
  return model;
}

// Keys in several tables of several levels, the last ones in the log only.
Model Fill(Store* store, int writes = 600) {
  Model model;
  for (int i = 0; i < writes; ++i) {
    const std::string key = Key(i * 37 % 400);
    const std::string value = StrCat(i, std::string(200, 'v'));
    EXPECT_OK(store->Put(key, value));
    model[key] = value;
    if (i % 50 == 0) {
      EXPECT_OK(store->Flush());
      EXPECT_OK(store->RunBackgroundWork());
      EXPECT_OK(store->Delete(Key(i % 400)));
      model.erase(Key(i % 400));
    }
  }
  return model;
}

bool HasFilesIn(const MemoryFileSystem& fs, std::string_view folder) {
  for (const std::string& path : fs.Files()) {
    if (path.starts_with(StrCat(folder, "/"))) return true;
  }
  return false;
}

TEST(Checkpoint, TheCopyHoldsEverythingAndNeitherTouchesTheOther) {
  MemoryFileSystem fs;
  auto store = OpenStore("/db", SmallOptions(&fs));
  const Model model = Fill(store.get());
  ASSERT_OK(store->Checkpoint("/copies/first/"));
  EXPECT_FALSE(HasFilesIn(fs, "/copies/first.partial"));

  auto copy = OpenStore("/copies/first", SmallOptions(&fs));
  EXPECT_EQ(Scan(*copy), model);
  EXPECT_GE(copy->Stats().last_sequence, 600u);
  EXPECT_EQ(copy->Stats().recovered_wal_records, 0u);
  // The original rewrites and deletes all of its tables; the copy overwrites everything.
  for (const auto& [key, value] : model) {
    ASSERT_OK(store->Delete(key));
    ASSERT_OK(copy->Put(key, "copy"));
  }
  ASSERT_OK(store->CompactRange("", ""));
  EXPECT_TRUE(Scan(*store).empty());
  ASSERT_OK(copy->CompactRange("", ""));
  ASSERT_OK(copy->Close());
  copy = OpenStore("/copies/first", SmallOptions(&fs));
  EXPECT_EQ(Scan(*copy).size(), model.size());
  EXPECT_EQ(Scan(*copy).begin()->second, "copy");
  EXPECT_TRUE(Scan(*store).empty());
}

TEST(Checkpoint, WritesWithoutALogAreInTheCopy) {
  MemoryFileSystem fs;
  auto store = OpenStore("/db", SmallOptions(&fs));
  WriteOptions without_log;
  without_log.skip_wal = true;
  ASSERT_OK(store->Put("a", "1", without_log));
  ASSERT_OK(store->Checkpoint("/copy"));
  EXPECT_EQ(Scan(*OpenStore("/copy", SmallOptions(&fs))), (Model{{"a", "1"}}));
}

TEST(Checkpoint, AnEmptyStoreHasAnEmptyCopy) {
  MemoryFileSystem fs;
  auto store = OpenStore("/db", SmallOptions(&fs));
  ASSERT_OK(store->Checkpoint("/copy"));
  EXPECT_TRUE(Scan(*OpenStore("/copy", SmallOptions(&fs))).empty());
}

TEST(Checkpoint, RefusesAFolderThatExistsAndAClosedStore) {
  MemoryFileSystem fs;
  auto store = OpenStore("/db", SmallOptions(&fs));
  ASSERT_OK(fs.CreateDirectories("/copy"));
  EXPECT_CODE(store->Checkpoint("/copy"), StatusCode::kAlreadyExists);
  EXPECT_CODE(store->Checkpoint(""), StatusCode::kInvalidArgument);
  ASSERT_OK(store->Close());
  EXPECT_CODE(store->Checkpoint("/other"), StatusCode::kFailedPrecondition);
}

TEST(Checkpoint, ReplacesALeftOverButNotFilesOfOthers) {
  MemoryFileSystem fs;
  auto store = OpenStore("/db", SmallOptions(&fs));
  ASSERT_OK(store->Put("a", "1"));
  ASSERT_OK(fs.CreateDirectories("/copy.partial"));
  ASSERT_OK(fs.CreateWritable("/copy.partial/000001.sst"));
  ASSERT_OK(fs.CreateWritable("/copy.partial/CURRENT.tmp"));
  ASSERT_OK(store->Checkpoint("/copy"));
  EXPECT_FALSE(fs.FileExists("/copy/000001.sst"));

  ASSERT_OK(fs.CreateDirectories("/second.partial"));
  ASSERT_OK(fs.CreateWritable("/second.partial/letter.txt"));
  EXPECT_CODE(store->Checkpoint("/second"), StatusCode::kFailedPrecondition);
  EXPECT_TRUE(fs.FileExists("/second.partial/letter.txt"));
  EXPECT_FALSE(fs.FileExists("/second"));
}

// Every file of the folder with its size.
std::map<std::string, uint64_t> FilesIn(MemoryFileSystem* fs, std::string_view folder) {
  std::map<std::string, uint64_t> files;
  for (const std::string& path : fs->Files()) {
    if (path.starts_with(StrCat(folder, "/"))) files[path] = fs->FileSize(path).value_or(9999);
  }
  return files;
}

TEST(Checkpoint, AStoreOfSomebodyWithTheNameOfALeftOverIsLeftAlone) {
  MemoryFileSystem fs;
  auto store = OpenStore("/db", SmallOptions(&fs));
  Fill(store.get(), 100);
  // Open, with a lock, a log, tables and a manifest.
  auto other = OpenStore("/copy.partial", SmallOptions(&fs));
  Model model = Fill(other.get(), 100);
  auto files = FilesIn(&fs, "/copy.partial");
  EXPECT_CODE(store->Checkpoint("/copy"), StatusCode::kFailedPrecondition);
  EXPECT_EQ(FilesIn(&fs, "/copy.partial"), files);
  EXPECT_FALSE(fs.FileExists("/copy"));
  EXPECT_EQ(Scan(*other), model);
  // Closed: all is in tables.
  ASSERT_OK(other->Close());
  other = nullptr;
  files = FilesIn(&fs, "/copy.partial");
  EXPECT_CODE(store->Checkpoint("/copy"), StatusCode::kFailedPrecondition);
  EXPECT_EQ(FilesIn(&fs, "/copy.partial"), files);
  EXPECT_EQ(Scan(*OpenStore("/copy.partial", SmallOptions(&fs))), model);
  EXPECT_OK(store->Checkpoint("/elsewhere"));
}

TEST(Checkpoint, OneFileThatNoCopyHasSavesAllOfTheFolder) {
  for (const char* const name : {"LOCK", "000007.log", "letter.txt", "7.sst"}) {
    SCOPED_TRACE(name);
    MemoryFileSystem fs;
    auto store = OpenStore("/db", SmallOptions(&fs));
    Fill(store.get(), 100);
    ASSERT_OK(store->Checkpoint("/first"));
    ASSERT_OK(fs.RenameFile("/first", "/copy.partial"));
    ASSERT_OK(fs.CreateWritable(StrCat("/copy.partial/", name)));
    const auto files = FilesIn(&fs, "/copy.partial");
    ASSERT_GT(files.size(), 3u);
    const absl::Status status = store->Checkpoint("/copy");
    EXPECT_CODE(status, StatusCode::kFailedPrecondition);
    EXPECT_NE(status.ToString().find(StrCat("/copy.partial: holds ", name)), std::string::npos)
        << status;
    EXPECT_EQ(FilesIn(&fs, "/copy.partial"), files);
    EXPECT_FALSE(fs.FileExists("/copy"));
    // As the message says.
    ASSERT_OK(fs.RenameFile("/copy.partial", "/away"));
    EXPECT_OK(store->Checkpoint("/copy"));
  }
}

// All that a copy can be when the power goes.
TEST(Checkpoint, ReplacesALeftOverWithWhateverACopyHas) {
  for (const char* const last : {"tables", "manifest", "CURRENT.tmp", "CURRENT"}) {
    SCOPED_TRACE(last);
    MemoryFileSystem fs;
    auto store = OpenStore("/db", SmallOptions(&fs));
    Fill(store.get(), 100);
    ASSERT_OK(store->Checkpoint("/old"));
    ASSERT_OK(fs.RenameFile("/old", "/copy.partial"));
    if (last == std::string_view("CURRENT.tmp")) {
      ASSERT_OK(fs.RenameFile("/copy.partial/CURRENT", "/copy.partial/CURRENT.tmp"));
    } else if (last != std::string_view("CURRENT")) {
      ASSERT_OK(fs.DeleteFile("/copy.partial/CURRENT"));
    }
    for (const auto& [path, size] : FilesIn(&fs, "/copy.partial")) {
      const bool is_manifest = path.find("MANIFEST") != std::string::npos;
      if (last == std::string_view("tables") && is_manifest) {
        ASSERT_OK(fs.DeleteFile(path));
      }
    }
    const Model model = Fill(store.get(), 300);
    ASSERT_OK(store->CompactRange("", ""));
    ASSERT_OK(store->Checkpoint("/copy"));
    EXPECT_FALSE(fs.FileExists("/copy.partial"));
    uint64_t tables = 0;
    for (const LevelStats& level : store->Stats().levels) tables += level.files;
    EXPECT_EQ(FilesIn(&fs, "/copy").size(), tables + 2);  // manifest and CURRENT
    EXPECT_EQ(Scan(*OpenStore("/copy", SmallOptions(&fs))), Scan(*store));
  }
}

TEST(Checkpoint, AFailureLeavesNoFolderAndAStoreThatGoesOn) {
  const std::pair<Operation, std::string> faults[] = {
      {Operation::kLink, "copy.partial"},   {Operation::kCreate, "copy.partial/MANIFEST"},
      {Operation::kSync, "copy.partial"},   {Operation::kSyncDirectory, "copy.partial"},
      {Operation::kRename, "copy.partial"}, {Operation::kSyncDirectory, "/backups"},
  };
  for (const auto& [operation, path] : faults) {
    SCOPED_TRACE(path);
    MemoryFileSystem fs;
    ASSERT_OK(fs.CreateDirectories("/backups"));
    auto store = OpenStore("/db", SmallOptions(&fs));
    const Model model = Fill(store.get());
    Fault fault;
    fault.operation = operation;
    fault.path_contains = path;
    fs.AddFault(fault);
    EXPECT_CODE(store->Checkpoint("/backups/copy"), StatusCode::kUnavailable);
    EXPECT_FALSE(fs.FileExists("/backups/copy"));
    EXPECT_FALSE(HasFilesIn(fs, "/backups/copy.partial"));
    EXPECT_OK(store->Put("more", "1"));
    EXPECT_OK(store->Checkpoint("/backups/copy"));
    EXPECT_EQ(Scan(*OpenStore("/backups/copy", SmallOptions(&fs))).size(), model.size() + 1);
  }
}

TEST(Checkpoint, APowerCutAtEachStepLeavesTheWholeCopyOrNone) {
  uint64_t whole = 0;
  uint64_t none = 0;
  for (const Keep keep : {Keep::kNothing, Keep::kTorn, Keep::kReordered, Keep::kAll}) {
    bool done = false;
    for (uint64_t step = 0; !done; ++step) {
      SCOPED_TRACE(StrCat("step ", step, ", keep ", static_cast<int>(keep)));
      MemoryFileSystem fs;
      StoreOptions options = SmallOptions(&fs);
      options.sync_policy = SyncPolicy::kAlways;
      options.table_bytes = 8 << 10;
      options.block_bytes = 4096;
      auto store = OpenStore("/db", options);
      const Model model = Fill(store.get(), 130);
      fs.PowerCutAfter(step);
      done = store->Checkpoint("/copy").ok();
      store = nullptr;
      fs.Crash({.keep_bytes = keep, .keep_names = keep, .seed = step + 1});

      EXPECT_TRUE(fs.FileExists("/copy") || !done);
      if (fs.FileExists("/copy")) {
        ++whole;
        StoreOptions existing = options;
        existing.create_if_missing = false;
        auto copy = OpenStore("/copy", existing);
        ASSERT_NE(copy, nullptr);
        EXPECT_EQ(Scan(*copy), model);
      } else {
        ++none;
      }
      store = OpenStore("/db", options);
      ASSERT_NE(store, nullptr);
      EXPECT_EQ(Scan(*store), model);
      const std::string name = fs.FileExists("/copy") ? "/second" : "/copy";
      ASSERT_OK(store->Checkpoint(name));
      EXPECT_EQ(Scan(*OpenStore(name, options)), model);
    }
  }
  EXPECT_GE(whole, 4u);
  EXPECT_GE(none, 40u);
  std::printf("%llu power cuts: %llu left the copy, %llu none\n",
              static_cast<unsigned long long>(whole + none), static_cast<unsigned long long>(whole),
              static_cast<unsigned long long>(none));
}

// What was acknowledged before the call is there; what came later is there in order.
TEST(Checkpoint, GoesOnBesideWritesFlushesAndCompactions) {
  const testing::TempDir folder;
  StoreOptions options = SmallOptions(nullptr);
  options.background_threads = true;
  options.sync_policy = SyncPolicy::kNone;
  auto store = OpenStore(folder.File("db"), options);
  std::atomic<int> acknowledged{0};
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 1; !stop; ++i) {
      ASSERT_OK(store->Put(Key(i), std::string(3000, 'v')));
      ASSERT_OK(store->Put(Key(i % 100), std::string(3000, 'w')));
      acknowledged = i;
    }
  });
  for (int round = 0; round < 4; ++round) {
    while (acknowledged <= round * 200) std::this_thread::yield();
    const int before = acknowledged;
    const std::string name = folder.File(StrCat("copy", round));
    ASSERT_OK(store->Checkpoint(name));
    auto copy = OpenStore(name, options);
    ASSERT_NE(copy, nullptr);
    const Model model = Scan(*copy);
    for (int i = 1; i <= before; ++i) ASSERT_EQ(model.count(Key(i)), 1u) << i;
    const int last = std::stoi(model.rbegin()->first.substr(3));
    for (int i = before; i <= last; ++i) ASSERT_EQ(model.count(Key(i)), 1u) << i;
  }
  stop = true;
  writer.join();
}

}  // namespace
}  // namespace tinyobs::lsm
