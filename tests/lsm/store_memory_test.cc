// The accounts of StoreOptions::memory show what StoreStats shows, and nothing stays on them when
// the store is gone.
#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/memory_accountant.h"
#include "lib/base/strings.h"
#include "lib/lsm/store.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

class StoreMemoryTest : public ::testing::Test {
 protected:
  StoreMemoryTest() {
    options_.file_system = &fs_;
    options_.background_threads = false;
    options_.memtable_bytes = 256 << 10;
    options_.table_bytes = 128 << 10;
    options_.memory = {.memtables = memtables_, .block_cache = cache_, .tables = tables_};
  }
  void Open() {
    auto store = Store::Open("/db", options_);
    ASSERT_OK(store);
    store_ = *std::move(store);
  }
  void Fill(int keys) {
    for (int i = 0; i < keys; ++i) {
      ASSERT_OK(store_->Put(StrCat("key", 10'000 + i), std::string(1000, 'v')));
    }
  }
  void ReadAll() {
    const auto iterator = store_->NewIterator({});
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) continue;
    ASSERT_OK(iterator->status());
  }
  void ExpectAccountsAreStats() {
    const StoreStats stats = store_->Stats();
    EXPECT_EQ(memtables_->used(), stats.memtable_bytes);
    EXPECT_EQ(cache_->used(), stats.block_cache_bytes);
    EXPECT_EQ(tables_->used(), stats.table_memory_bytes);
  }

  testing::MemoryFileSystem fs_;
  MemoryAccountant accountant_{0};
  MemoryAccount* const memtables_ = accountant_.NewAccount("memtables");
  MemoryAccount* const cache_ = accountant_.NewAccount("block cache", 64 << 10);
  MemoryAccount* const tables_ = accountant_.NewAccount("tables");
  StoreOptions options_;
  std::unique_ptr<Store> store_;
};

TEST_F(StoreMemoryTest, AccountsFollowWritesReadsFlushesAndCompactions) {
  Open();
  ExpectAccountsAreStats();
  Fill(200);
  EXPECT_GT(memtables_->used(), 200'000u);
  ExpectAccountsAreStats();
  ASSERT_OK(store_->Flush());
  ReadAll();
  EXPECT_GT(tables_->used(), 0u);
  EXPECT_GT(cache_->used(), 0u);
  ExpectAccountsAreStats();
  Fill(600);
  ASSERT_OK(store_->Flush());
  ASSERT_OK(store_->CompactRange("", ""));
  ReadAll();
  ExpectAccountsAreStats();
  ASSERT_OK(store_->Close());
  store_ = nullptr;
  EXPECT_EQ(accountant_.used(), 0u);
}

TEST_F(StoreMemoryTest, AMemtableThatAReaderHoldsIsStillUsed) {
  Open();
  Fill(200);
  auto iterator = store_->NewIterator({});
  iterator->SeekToFirst();
  ASSERT_OK(store_->Flush());
  EXPECT_GT(memtables_->used(), 200'000u);
  EXPECT_LT(store_->Stats().memtable_bytes, 100'000u);
  iterator = nullptr;
  ExpectAccountsAreStats();
}

TEST_F(StoreMemoryTest, AReplayedLogIsUsedToo) {
  Open();
  Fill(100);
  store_ = nullptr;  // as if the process had died
  EXPECT_EQ(accountant_.used(), 0u);
  Open();
  ExpectAccountsAreStats();
  store_ = nullptr;
  ASSERT_OK_AND_ASSIGN(const auto reading, Store::OpenReadOnly("/db", options_));
  EXPECT_EQ(memtables_->used(), reading->Stats().memtable_bytes);
}

TEST_F(StoreMemoryTest, TheBlockCacheGivesWayWhileItsAccountIsOver) {
  Open();
  Fill(1000);
  ASSERT_OK(store_->Flush());
  ASSERT_OK(store_->CompactRange("", ""));
  ReadAll();
  // Each of the sixteen parts of the cache keeps the newest block, and passes the rest on.
  EXPECT_LE(cache_->used(), (64 << 10) + 16 * (20 << 10));
  EXPECT_LT(cache_->used(), 1000 * 1000 / 2);
  ExpectAccountsAreStats();
}

}  // namespace
}  // namespace tinyobs::lsm
