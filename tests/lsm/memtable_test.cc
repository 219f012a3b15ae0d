// The memtable against a std::map, with keys in several orders, and with readers beside the writer.
#include "lib/lsm/memtable.h"

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"

namespace tinyobs::lsm {
namespace {

TEST(Memtable, FindsTheNewestVersionThatTheSequenceSees) {
  Memtable table;
  table.Add(5, ValueType::kPut, "k", "five");
  table.Add(9, ValueType::kDelete, "k", "");
  table.Add(12, ValueType::kPut, "k", "twelve");
  Memtable::Found found;
  EXPECT_FALSE(table.Get("k", 4, &found));
  ASSERT_TRUE(table.Get("k", 8, &found));
  EXPECT_EQ(found.value, "five");
  ASSERT_TRUE(table.Get("k", 9, &found));
  EXPECT_EQ(found.type, ValueType::kDelete);
  ASSERT_TRUE(table.Get("k", kMaxSequence, &found));
  EXPECT_EQ(found.value, "twelve");
  EXPECT_FALSE(table.Get("kk", 20, &found));
  EXPECT_FALSE(table.Get("", 20, &found));
}

TEST(Memtable, AKeyAndItsExtensionsKeepTheirOrder) {
  Memtable table;
  const std::vector<std::string> keys = {"a", std::string("a\0", 2), "a\xff", "aa", "b"};
  uint64_t sequence = 0;
  for (auto key = keys.rbegin(); key != keys.rend(); ++key) {
    table.Add(++sequence, ValueType::kPut, *key, *key);
  }
  auto iterator = table.NewIterator();
  std::vector<std::string> seen;
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
    seen.emplace_back(UserKeyOf(iterator->key()));
  }
  std::vector<std::string> expected = keys;
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(seen, expected);
}

enum class Order { kAscending, kDescending, kRandom, kRounds };

class MemtableOrderTest : public ::testing::TestWithParam<Order> {};

TEST_P(MemtableOrderTest, HoldsWhatAMapHoldsAndWalksBothWays) {
  constexpr int kCount = 5000;
  std::mt19937_64 random(7);
  Memtable table;
  std::map<std::string, std::string> model;  // internal key -> value
  for (int i = 0; i < kCount; ++i) {
    int n = i;
    if (GetParam() == Order::kDescending) n = kCount - i;
    if (GetParam() == Order::kRandom) n = static_cast<int>(random() % 3000);
    if (GetParam() == Order::kRounds) n = i % 50;
    const std::string key = StrCat("key", absl::Dec(n, absl::kZeroPad5));
    const auto type = i % 7 == 0 ? ValueType::kDelete : ValueType::kPut;
    const std::string value = type == ValueType::kPut ? StrCat("v", i) : "";
    table.Add(static_cast<uint64_t>(i) + 1, type, key, value);
    model[MakeInternalKey(key, PackTrailer(static_cast<uint64_t>(i) + 1, type))] = value;
  }
  auto iterator = table.NewIterator();
  iterator->SeekToFirst();
  for (const auto& [key, value] : model) {  // equal key lengths: memcmp order is internal order
    ASSERT_TRUE(iterator->Valid());
    ASSERT_EQ(iterator->key(), key);
    ASSERT_EQ(iterator->value(), value);
    iterator->Next();
  }
  EXPECT_FALSE(iterator->Valid());
  iterator->SeekToLast();
  for (auto entry = model.rbegin(); entry != model.rend(); ++entry) {
    ASSERT_TRUE(iterator->Valid());
    ASSERT_EQ(iterator->key(), entry->first);
    iterator->Prev();
  }
  EXPECT_FALSE(iterator->Valid());
  for (int i = 0; i < 500; ++i) {
    const std::string target =
        MakeInternalKey(StrCat("key", absl::Dec(random() % (kCount + 10), absl::kZeroPad5)),
                        SeekTrailer(random() % kCount));
    iterator->Seek(target);
    auto expected = model.lower_bound(target);
    ASSERT_EQ(iterator->Valid(), expected != model.end());
    if (iterator->Valid()) {
      ASSERT_EQ(iterator->key(), expected->first);
    }
    iterator->SeekForPrev(target);
    expected = model.upper_bound(target);
    ASSERT_EQ(iterator->Valid(), expected != model.begin());
    if (iterator->Valid()) {
      ASSERT_EQ(iterator->key(), std::prev(expected)->first);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Orders, MemtableOrderTest,
                         ::testing::Values(Order::kAscending, Order::kDescending, Order::kRandom,
                                           Order::kRounds));

TEST(Memtable, ReadersBesideTheWriterSeeEachEntryWholeAndInOrder) {
  Memtable table;
  std::atomic<uint64_t> written{0};
  std::atomic<bool> failed{false};
  constexpr uint64_t kCount = 20'000;
  std::vector<std::thread> readers;
  for (int r = 0; r < 2; ++r) {
    readers.emplace_back([&, r] {
      std::mt19937_64 random(static_cast<uint64_t>(r));
      while (written.load(std::memory_order_acquire) < kCount && !failed) {
        const uint64_t known = written.load(std::memory_order_acquire);
        if (known == 0) continue;
        const uint64_t n = random() % known;
        Memtable::Found found;
        const std::string key = StrCat("k", n * 7919 % kCount);
        if (!table.Get(key, kMaxSequence, &found) || found.value != key) failed = true;
        auto iterator = table.NewIterator();
        iterator->Seek(MakeInternalKey(key, 0));
        std::string last;
        for (int i = 0; i < 20 && iterator->Valid(); ++i, iterator->Next()) {
          const std::string now(UserKeyOf(iterator->key()));
          if (now <= last || iterator->value() != now) failed = true;
          last = now;
        }
      }
    });
  }
  for (uint64_t i = 0; i < kCount; ++i) {
    const std::string key = StrCat("k", i * 7919 % kCount);
    table.Add(i + 1, ValueType::kPut, key, key);
    written.store(i + 1, std::memory_order_release);
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_FALSE(failed);
  EXPECT_EQ(table.entries(), kCount);
}

}  // namespace
}  // namespace tinyobs::lsm
