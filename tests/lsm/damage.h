// What tests of Verify and Repair share: a small store with tables in several levels and a log, and
// ways to look at its files.
//
// Thread-safety: one thread.
#ifndef TINYOBS_TESTS_LSM_DAMAGE_H_
#define TINYOBS_TESTS_LSM_DAMAGE_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {

using Model = std::map<std::string, std::string>;

inline std::string Key(int i) {
  return StrCat(i % 2 == 0 ? "a" : "b", absl::Dec(i, absl::kZeroPad6));
}

// Keys of two partitions, by their first byte.
inline StoreOptions SmallOptions(FileSystem* file_system) {
  StoreOptions options;
  options.file_system = file_system;
  options.memtable_bytes = 256 << 10;
  options.table_bytes = 8 << 10;
  options.level1_bytes = 24 << 10;
  options.level_ratio = 3;
  options.block_bytes = 1024;
  options.sync_policy = SyncPolicy::kAlways;
  options.background_threads = false;
  options.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  return options;
}

inline std::unique_ptr<Store> Opened(absl::StatusOr<std::unique_ptr<Store>> store) {
  EXPECT_OK(store);
  return store.ok() ? *std::move(store) : nullptr;
}

inline Model Scan(const Store& store) {
  Model model;
  const auto iterator = store.NewIterator({});
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    model.emplace(iterator->key(), iterator->value());
  }
  EXPECT_OK(iterator->status());
  return model;
}

// Writes over `keys` keys, some deleted again, some only in the log in the end.
inline Model Fill(Store* store, int writes = 700, int keys = 300) {
  Model model;
  for (int i = 0; i < writes; ++i) {
    const std::string key = Key(i * 37 % keys);
    if (i % 11 == 0) {
      EXPECT_OK(store->Delete(key));
      model.erase(key);
    } else {
      model[key] = StrCat(i, std::string(100, 'v'));
      EXPECT_OK(store->Put(key, model[key]));
    }
    if (i % 60 == 59) {
      EXPECT_OK(store->Flush());
      EXPECT_OK(store->RunBackgroundWork());
    }
  }
  return model;
}

// Of the store in "/db", sorted.
inline std::vector<std::string> FilesLike(const testing::MemoryFileSystem& fs,
                                          std::string_view part) {
  std::vector<std::string> paths;
  for (const std::string& path : fs.Files()) {
    if (path.find(part) != std::string::npos && path.find("/lost/") == std::string::npos) {
      paths.push_back(path);
    }
  }
  return paths;
}

inline void FlipByte(testing::MemoryFileSystem* fs, const std::string& path, size_t offset) {
  std::string content = *fs->Contents(path);
  ASSERT_LT(offset, content.size()) << path;
  content[offset] ^= 0x20;
  ASSERT_OK(fs->SetContents(path, content));
}

}  // namespace tinyobs::lsm

#endif  // TINYOBS_TESTS_LSM_DAMAGE_H_
