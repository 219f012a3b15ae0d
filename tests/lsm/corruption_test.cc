// Each byte of each file of a small store is damaged in turn. The store then gives right answers or
// says DataLoss; it never crashes, hangs or loses something in silence. (What it drops as a torn
// tail it counts; in a store that was closed nothing is torn.)
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/lsm/workload.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::Keep;
using testing::MemoryFileSystem;

// The last mark and the seal of a closed log hold no data and may go unnoticed.
constexpr uint64_t kEndOfLogBytes = 24;

class CorruptionTest : public ::testing::Test {
 protected:
  CorruptionTest() {
    options_.file_system = &fs_;
    options_.background_threads = false;
    options_.block_bytes = 256;
    options_.block_cache_bytes = 0;
    auto store = Store::Open("/db", options_);
    EXPECT_OK(store);
    // Two tables and a log.
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 12; ++i) {
        const std::string key = StrCat("key", i * 3 % 12 + round);
        const std::string value = StrCat("value", round, ".", i);
        EXPECT_OK((*store)->Put(key, value));
        content_[key] = value;
      }
      if (round < 2) {
        EXPECT_OK((*store)->Flush());
      }
    }
    EXPECT_OK((*store)->Close());
  }

  // Opens the damaged copy `fs` and reads everything. True: all is right.
  bool Check(MemoryFileSystem* fs, const std::string& what) {
    StoreOptions options = options_;
    options.file_system = fs;
    auto store = Store::Open("/db", options);
    if (!store.ok()) {
      EXPECT_TRUE(absl::IsDataLoss(store.status()) || absl::IsFailedPrecondition(store.status()))
          << what << store.status();
      return false;
    }
    EXPECT_LE((*store)->Stats().dropped_torn_tail_bytes, kEndOfLogBytes) << what;
    absl::Status status;
    const Content content = ContentOf(**store, &status);
    EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << what << status;
    if (status.ok()) {
      EXPECT_EQ(content, content_) << what;
    }
    for (const auto& [key, value] : content_) {
      std::string found;
      const absl::Status got = (*store)->Get(key, &found);
      EXPECT_TRUE(absl::IsDataLoss(got) || (got.ok() && found == value)) << what << got;
    }
    return status.ok();
  }

  MemoryFileSystem fs_;
  StoreOptions options_;
  Content content_;
};

TEST_F(CorruptionTest, EachFlippedByteIsNoticedOrHarmless) {
  std::map<std::string, int> noticed;
  for (const std::string& path : fs_.Files()) {
    const std::string bytes = *fs_.Contents(path);
    for (size_t i = 0; i < bytes.size() && !HasFailure(); ++i) {
      for (const char flip : {'\x01', '\x80'}) {
        auto copy = fs_.CloneAfterCrash({.keep_bytes = Keep::kAll, .keep_names = Keep::kAll});
        std::string damaged = bytes;
        damaged[i] ^= flip;
        ASSERT_OK(copy->SetContents(path, damaged));
        const bool right = Check(copy.get(), StrCat(path, " byte ", i, ": "));
        noticed[path.substr(path.size() - 3)] += !right;
      }
    }
  }
  EXPECT_GT(noticed["sst"], 100);
  EXPECT_GT(noticed["log"], 100);
  EXPECT_GT(noticed["ENT"], 10);  // CURRENT
}

TEST_F(CorruptionTest, EachFileCutShortAnywhereIsNoticedOrHarmless) {
  for (const std::string& path : fs_.Files()) {
    const std::string bytes = *fs_.Contents(path);
    const bool is_log = path.ends_with(".log");
    for (size_t size = 0; size < bytes.size() && !HasFailure(); ++size) {
      auto copy = fs_.CloneAfterCrash({.keep_bytes = Keep::kAll, .keep_names = Keep::kAll});
      ASSERT_OK(copy->SetContents(path, bytes.substr(0, size)));
      const std::string what = StrCat(path, " cut at ", size, ": ");
      if (!is_log && path.find("MANIFEST") == std::string::npos) {
        Check(copy.get(), what);
        continue;
      }
      // A log that lost its end looks like the log of a process that died; what it holds must still
      // be a beginning of the truth. The manifest of a closed store is a log as well.
      StoreOptions options = options_;
      options.file_system = copy.get();
      auto store = Store::Open("/db", options);
      if (!store.ok()) {
        EXPECT_CODE(store, StatusCode::kDataLoss) << what;
        continue;
      }
      absl::Status status;
      ContentOf(**store, &status);
      EXPECT_OK(status) << what;
    }
  }
}

}  // namespace
}  // namespace tinyobs::lsm
