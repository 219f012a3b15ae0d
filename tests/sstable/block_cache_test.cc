#include "lib/sstable/block_cache.h"

#include <atomic>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/coding.h"
#include "lib/base/memory_accountant.h"
#include "lib/sstable/block_builder.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::sstable {
namespace {

// A block that says which one it is.
std::shared_ptr<const Block> BlockNumber(uint64_t number, size_t bytes = 1000) {
  BlockBuilder builder(1);
  std::string value(bytes, '\0');
  StoreFixed64(value.data(), number);
  builder.Add("key", value);
  const std::string_view payload = builder.Finish();
  RawBlock raw{std::make_unique<char[]>(payload.size()), payload.size()};
  std::memcpy(raw.bytes.get(), payload.data(), payload.size());
  return Block::Create(std::move(raw)).value();
}

uint64_t NumberOf(const Block& block) {
  BlockIterator iterator;
  iterator.Reset(&block, 0);
  iterator.SeekToFirst();
  return iterator.Valid() ? LoadFixed64(iterator.value().data()) : ~0ull;
}

size_t CostOfOne() {
  BlockCache cache(1 << 20, 0);
  cache.Insert(1, 0, BlockNumber(0));
  return cache.Stats().usage_bytes;
}

TEST(BlockCache, WhatWasInsertedIsFoundUnderItsTableAndOffset) {
  BlockCache cache(1 << 20);
  const uint64_t table = cache.NewTableId();
  const uint64_t other = cache.NewTableId();
  EXPECT_NE(table, other);
  EXPECT_EQ(cache.Lookup(table, 0), nullptr);
  const auto block = BlockNumber(1);
  EXPECT_EQ(cache.Insert(table, 0, block), block);
  EXPECT_EQ(cache.Lookup(table, 0), block);
  EXPECT_EQ(cache.Lookup(table, 1), nullptr);
  EXPECT_EQ(cache.Lookup(other, 0), nullptr);
  EXPECT_EQ(cache.Stats().hits, 1u);
  EXPECT_EQ(cache.Stats().misses, 3u);
  EXPECT_EQ(cache.Stats().blocks, 1u);
}

TEST(BlockCache, TheLeastRecentlyUsedBlockLeavesFirst) {
  BlockCache cache(3 * CostOfOne(), /*shard_bits=*/0);
  for (uint64_t i = 0; i < 3; ++i) cache.Insert(1, i, BlockNumber(i));
  EXPECT_NE(cache.Lookup(1, 0), nullptr);  // 1 is now the oldest
  cache.Insert(1, 3, BlockNumber(3));
  EXPECT_EQ(cache.Lookup(1, 1), nullptr);
  for (const uint64_t kept : {0, 2, 3}) EXPECT_NE(cache.Lookup(1, kept), nullptr) << kept;
  EXPECT_EQ(cache.Stats().evictions, 1u);
}

TEST(BlockCache, UsageStaysWithinTheBudgetAndFallsBackToZero) {
  BlockCache cache(20 * CostOfOne(), /*shard_bits=*/1);
  for (uint64_t i = 0; i < 500; ++i) {
    cache.Insert(i % 7, i, BlockNumber(i, 100 + i * 7 % 3000));
    ASSERT_LE(cache.Stats().usage_bytes, cache.Stats().capacity_bytes);
  }
  EXPECT_GT(cache.Stats().blocks, 5u);
}

TEST(BlockCache, ItsAccountIsItsUsageAndEmptyWhenItIsGone) {
  MemoryAccountant accountant(0);
  MemoryAccount* const account = accountant.NewAccount("cache");
  {
    BlockCache cache(20 * CostOfOne(), /*shard_bits=*/1, account);
    for (uint64_t i = 0; i < 100; ++i) {
      cache.Insert(i % 7, i, BlockNumber(i, 100 + i * 7 % 3000));
      ASSERT_EQ(account->used(), cache.Stats().usage_bytes);
    }
    EXPECT_GT(account->used(), 0u);
  }
  EXPECT_EQ(account->used(), 0u);
}

TEST(BlockCache, GivesWayWhileTheTotalIsOverItsLimit) {
  const size_t one = CostOfOne();
  MemoryAccountant accountant(100 * one);
  MemoryAccount* const account = accountant.NewAccount("cache");
  MemoryAccount* const others = accountant.NewAccount("others");
  BlockCache cache(50 * one, /*shard_bits=*/0, account);
  for (uint64_t i = 0; i < 40; ++i) cache.Insert(1, i, BlockNumber(i));
  others->SetUsed(90 * one);
  for (uint64_t i = 40; i < 70; ++i) cache.Insert(1, i, BlockNumber(i));
  EXPECT_LE(accountant.used(), 101 * one);
  EXPECT_GE(account->used(), 9 * one) << "no further than it must";
  others->SetUsed(0);
  for (uint64_t i = 70; i < 200; ++i) cache.Insert(1, i, BlockNumber(i));
  EXPECT_EQ(account->used(), 50 * one) << "and takes it back";
}

TEST(BlockCache, ABlockInUseOutlivesItsEviction) {
  BlockCache cache(CostOfOne(), /*shard_bits=*/0);
  const auto pinned = cache.Insert(1, 0, BlockNumber(7));
  cache.Insert(1, 1, BlockNumber(8));
  EXPECT_EQ(cache.Lookup(1, 0), nullptr);
  EXPECT_EQ(NumberOf(*pinned), 7u);
}

TEST(BlockCache, TheSecondOfTwoInsertsGetsTheFirstOnesBlock) {
  BlockCache cache(1 << 20);
  const auto first = cache.Insert(1, 0, BlockNumber(1));
  EXPECT_EQ(cache.Insert(1, 0, BlockNumber(1)), first);
  EXPECT_EQ(cache.Stats().blocks, 1u);
}

TEST(BlockCache, ABlockLargerThanTheBudgetIsUsedButNotKept) {
  BlockCache cache(CostOfOne() - 1, /*shard_bits=*/0);
  const auto block = BlockNumber(1);
  EXPECT_EQ(cache.Insert(1, 0, block), block);
  EXPECT_EQ(cache.Lookup(1, 0), nullptr);
  EXPECT_EQ(cache.Stats().usage_bytes, 0u);
  BlockCache none(0);
  EXPECT_EQ(none.Insert(1, 0, block), block);
  EXPECT_EQ(none.Lookup(1, 0), nullptr);
}

TEST(BlockCache, ManyThreadsGetTheBlocksTheyAskFor) {
  BlockCache cache(64 * CostOfOne(), /*shard_bits=*/2);
  std::vector<std::thread> threads;
  std::atomic<uint64_t> wrong{0};
  constexpr uint64_t kLookups = 3000;
  for (uint64_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      std::mt19937_64 random(t);
      for (uint64_t i = 0; i < kLookups; ++i) {
        const uint64_t number = random() % 200;
        auto block = cache.Lookup(number % 3, number);
        if (block == nullptr) block = cache.Insert(number % 3, number, BlockNumber(number));
        if (NumberOf(*block) != number) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0u);
  const BlockCacheStats stats = cache.Stats();
  EXPECT_EQ(stats.hits + stats.misses, 4 * kLookups);
  EXPECT_GT(stats.hits, 0u);
  EXPECT_LE(stats.usage_bytes, stats.capacity_bytes);
}

}  // namespace
}  // namespace tinyobs::sstable
