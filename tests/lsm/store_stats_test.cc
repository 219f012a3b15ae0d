// StoreStats: sorted_runs counts all that a lookup may have to ask, and each reason of a hold has a
// name of its own.
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using testing::MemoryFileSystem;

TEST(StoreStats, SortedRunsAreMemtablesRowsOfLevel0AndLevelsInUse) {
  MemoryFileSystem fs;
  StoreOptions options;
  options.file_system = &fs;
  options.background_threads = false;
  options.l0_compaction_trigger = 10;
  options.l0_slowdown_trigger = 10;
  options.memtable_bytes = 256 << 10;
  options.partition_of = [](std::string_view key) { return key.substr(0, 1); };
  auto opened = Store::Open("/db", options);
  ASSERT_OK(opened);
  const std::unique_ptr<Store> store = *std::move(opened);
  const auto flush = [&](const std::string& key) {
    ASSERT_OK(store->Put(key, "v"));
    ASSERT_OK(store->Flush());
  };
  const auto runs = [&] { return store->Stats().sorted_runs; };
  EXPECT_EQ(runs(), 1u);  // the active memtable, empty as it is
  flush("a");
  EXPECT_EQ(runs(), 2u);
  flush("b");
  EXPECT_EQ(store->Stats().levels[0].files, 2u);
  EXPECT_EQ(runs(), 2u);  // beside the first: one row
  flush("a");
  EXPECT_EQ(runs(), 3u);
  ASSERT_OK(store->CompactRange("", ""));
  ASSERT_EQ(store->Stats().levels[0].files, 0u);
  EXPECT_EQ(store->Stats().levels[kLevels - 1].files, 2u);
  EXPECT_EQ(runs(), 2u);
  flush("a");
  EXPECT_EQ(runs(), 3u);  // memtable, L0, the last level
  // A memtable that waits for its flush.
  for (int i = 0; i < 80; ++i) ASSERT_OK(store->Put(StrCat("c", 100 + i), std::string(4000, 'v')));
  ASSERT_EQ(store->Stats().flushes, 4u);
  EXPECT_EQ(runs(), 4u);
  ASSERT_OK(store->Flush());
  EXPECT_EQ(runs(), 3u);  // their tables lie beside that of "a"
}

TEST(StoreStats, EachReasonOfAHoldHasAName) {
  std::set<std::string_view> names;
  for (int i = 0; i < kWriteHolds; ++i) names.insert(WriteHoldName(static_cast<WriteHold>(i)));
  EXPECT_EQ(names.size(), static_cast<size_t>(kWriteHolds));
  EXPECT_EQ(WriteHoldName(WriteHold::kNone), "none");
  EXPECT_EQ(WriteHoldName(WriteHold::kMemtables), "memtables");
  EXPECT_EQ(WriteHoldName(WriteHold::kL0), "l0");
  EXPECT_EQ(WriteHoldName(WriteHold::kMemtableBudget), "memtable_budget");
}

}  // namespace
}  // namespace tinyobs::lsm
