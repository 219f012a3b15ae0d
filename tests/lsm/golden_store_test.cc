// A store of format version 1 as it was written once: today's reader must find the same content in
// it and go on with it, today's writer must write the same bytes.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "lib/lsm/store.h"
#include "tests/lsm/golden_store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::MemoryFileSystem;

constexpr char kFolder[] = "tests/golden/v1/lsm";

std::map<std::string, std::string> GoldenFiles() {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(kFolder)) {
    const std::string name = entry.path().filename().string();
    if (name == "README.md" || name.starts_with("BUILD")) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    files["/db/" + name] = std::string(std::istreambuf_iterator<char>(file), {});
  }
  return files;
}

class GoldenStore : public ::testing::Test {
 protected:
  GoldenStore() {
    EXPECT_OK(WriteGoldenStore(&anew_, "/db", &content_));
    EXPECT_OK(fs_.CreateDirectories("/db"));
    for (const auto& [path, bytes] : GoldenFiles()) {
      EXPECT_OK(fs_.CreateWritable(path));
      EXPECT_OK(fs_.SetContents(path, bytes));
    }
    EXPECT_OK(fs_.SyncDirectory("/db"));
    options_ = GoldenOptions(&fs_);
    options_.create_if_missing = false;
  }

  void ExpectContent(const Store& store) {
    const auto iterator = store.NewIterator({});
    auto at = content_.begin();
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), ++at) {
      ASSERT_NE(at, content_.end());
      EXPECT_EQ(iterator->key(), at->first);
      EXPECT_EQ(iterator->value(), at->second);
    }
    ASSERT_OK(iterator->status());
    EXPECT_EQ(at, content_.end());
    for (uint64_t i = 0; i < 100; ++i) {
      std::string value;
      const absl::Status status = store.Get(GoldenKey(i), &value);
      const auto expected = content_.find(GoldenKey(i));
      EXPECT_EQ(status.ok(), expected != content_.end()) << status;
      if (status.ok()) {
        EXPECT_EQ(value, expected->second);
      }
    }
  }
  void ExpectSound(const Store& store) {
    ASSERT_OK_AND_ASSIGN(const VerifyReport report, store.Verify());
    for (const FileProblem& problem : report.problems) {
      ADD_FAILURE() << problem.file << ": " << problem.status;
    }
  }

  MemoryFileSystem anew_;
  MemoryFileSystem fs_;
  StoreOptions options_;
  GoldenContent content_;
};

TEST_F(GoldenStore, HoldsTheSameContentAndGoesOn) {
  {
    ASSERT_OK_AND_ASSIGN(const auto store, Store::Open("/db", options_));
    EXPECT_EQ(store->Stats().recovered_wal_records, 6u);
    EXPECT_EQ(store->Stats().dropped_torn_tail_bytes, 0u);
    EXPECT_GE(store->Stats().levels[0].files, 6u) << "two flushes of three partitions";
    ExpectContent(*store);
    ExpectSound(*store);
    ASSERT_OK(store->Put("d/new", "value"));
    content_["d/new"] = "value";
    ASSERT_OK(store->CompactRange("", ""));
    ExpectContent(*store);
    ASSERT_OK(store->Close());
  }
  ASSERT_OK_AND_ASSIGN(const auto again, Store::Open("/db", options_));
  ExpectContent(*again);
  ExpectSound(*again);
}

TEST_F(GoldenStore, IsReadWithoutBeingChanged) {
  const auto before = GoldenFiles();
  ASSERT_OK_AND_ASSIGN(const auto store, Store::OpenReadOnly("/db", options_));
  ExpectContent(*store);
  for (const auto& [path, bytes] : before) EXPECT_EQ(fs_.Contents(path).value(), bytes) << path;
  EXPECT_EQ(fs_.Files().size(), before.size());
}

// All of them: the values are such that Snappy has nothing to choose.
TEST_F(GoldenStore, IsWrittenWithTheSameBytes) {
  const auto golden = GoldenFiles();
  for (const std::string& path : anew_.Files()) {
    if (path == "/db/LOCK") continue;
    ASSERT_EQ(golden.count(path), 1u) << path;
    EXPECT_TRUE(anew_.Contents(path).value() == golden.at(path)) << path << " has other bytes";
  }
  EXPECT_EQ(anew_.Files().size(), golden.size() + 1);
}

}  // namespace
}  // namespace tinyobs::lsm
