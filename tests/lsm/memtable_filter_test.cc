// The memtable's filter: it never hides an entry, whatever its size, and it keeps most lookups of
// absent keys away from the list.
//
// How often it lets an absent key pass is counted without a look inside: Get takes key and hash
// apart, so with the key of an entry and the hash of an absent key it answers what the filter says
// of that hash.
#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/memtable.h"

namespace tinyobs::lsm {
namespace {

std::string RandomBytes(std::mt19937_64* random, size_t max_bytes) {
  std::string bytes((*random)() % (max_bytes + 1), '\0');
  for (char& byte : bytes) byte = static_cast<char>((*random)());
  return bytes;
}

TEST(MemtableFilter, FindsEveryVersionOfEveryKeyWhateverTheSizeOfTheFilter) {
  constexpr uint64_t kSeed = 31;
  RecordProperty("seed", std::to_string(kSeed));
  std::mt19937_64 random(kSeed);
  for (const size_t filter_bytes : {0, 1, 7, 8, 15, 16, 24, 1000, 16 << 10, 1 << 20}) {
    SCOPED_TRACE(StrCat("seed ", kSeed, ", filter of ", filter_bytes, " bytes"));
    Memtable table(filter_bytes);
    struct Version {
      ValueType type;
      std::string value;
    };
    std::map<std::string, std::map<uint64_t, Version>> model;
    std::string last_key;
    for (uint64_t sequence = 1; sequence <= 3000; ++sequence) {
      // Of 4 one is another version of a key that is there.
      const std::string key = random() % 4 == 0 ? last_key : RandomBytes(&random, 40);
      const auto type = random() % 5 == 0 ? ValueType::kDelete : ValueType::kPut;
      std::string value = type == ValueType::kPut ? RandomBytes(&random, 60) : "";
      table.Add(sequence, type, key, value);
      // At once: a reader may ask as soon as the sequence is published.
      Memtable::Found found;
      ASSERT_TRUE(table.Get(key, sequence, &found)) << "sequence " << sequence;
      ASSERT_EQ(found.type, type);
      ASSERT_EQ(found.value, value);
      model[key][sequence] = {type, std::move(value)};
      last_key = key;
    }
    for (const auto& [key, versions] : model) {
      Memtable::Found found;
      for (const auto& [sequence, version] : versions) {
        ASSERT_TRUE(table.Get(key, Memtable::HashOf(key), sequence, &found));
        ASSERT_EQ(found.type, version.type);
        ASSERT_EQ(found.value, version.value);
      }
      ASSERT_FALSE(table.Get(key, versions.begin()->first - 1, &found));
    }
    for (int i = 0; i < 2000; ++i) {
      const std::string key = RandomBytes(&random, 40);
      Memtable::Found found;
      ASSERT_EQ(table.Get(key, kMaxSequence, &found), model.count(key) == 1);
    }
  }
}

// Of `kProbes` absent keys, those that pass.
double PassedPart(const Memtable& table, const std::string& key_of_entry,
                  const std::string& absent_prefix) {
  constexpr int kProbes = 20'000;
  int passed = 0;
  for (int i = 0; i < kProbes; ++i) {
    Memtable::Found found;
    const uint64_t hash = Memtable::HashOf(StrCat(absent_prefix, i));
    passed += table.Get(key_of_entry, hash, kMaxSequence, &found);
  }
  return static_cast<double>(passed) / kProbes;
}

TEST(MemtableFilter, LetsFewAbsentKeysPassWhenTheMemtableIsFull) {
  for (const size_t memtable_bytes : {256 << 10, 1 << 20, 8 << 20}) {
    SCOPED_TRACE(StrCat("memtable of ", memtable_bytes, " bytes"));
    Memtable table(Memtable::FilterBytesFor(memtable_bytes));
    EXPECT_EQ(PassedPart(table, "key00000001", "other"), 0);  // nothing is there
    // With lengths, trailer and links some 128 bytes each.
    for (uint64_t sequence = 1; sequence <= memtable_bytes / 128; ++sequence) {
      table.Add(sequence, ValueType::kPut, StrCat("key", absl::Dec(sequence, absl::kZeroPad8)),
                std::string(90, 'v'));
    }
    Memtable::Found found;
    ASSERT_TRUE(table.Get("key00000001", kMaxSequence, &found));
    EXPECT_LE(PassedPart(table, "key00000001", "other"), 0.03);
    EXPECT_LE(PassedPart(table, "key00000001", "key9"), 0.03);  // keys much like those there
  }
}

TEST(MemtableFilter, TakesASmallPartOfTheMemory) {
  for (const size_t memtable_bytes : {64 << 10, 1 << 20, 64 << 20}) {
    const size_t filter_bytes = Memtable::FilterBytesFor(memtable_bytes);
    EXPECT_GE(filter_bytes, 8u);
    EXPECT_LE(filter_bytes, memtable_bytes / 32);
    const size_t with = Memtable(filter_bytes).MemoryUsageBytes();
    EXPECT_EQ(with - Memtable().MemoryUsageBytes(), filter_bytes / 8 * 8);  // and is counted
  }
}

TEST(MemtableFilter, ReadersBesideTheWriterFindWhatIsPublished) {
  constexpr uint64_t kCount = 20'000;
  Memtable table(Memtable::FilterBytesFor(kCount * 16));  // crowded words
  std::atomic<uint64_t> published{0};
  std::atomic<bool> failed{false};
  std::thread reader([&] {
    std::mt19937_64 random(5);
    while (published.load(std::memory_order_acquire) < kCount && !failed) {
      const uint64_t known = published.load(std::memory_order_acquire);
      if (known == 0) continue;
      // The newest most often.
      const uint64_t n = random() % 2 == 0 ? known : 1 + random() % known;
      Memtable::Found found;
      if (!table.Get(StrCat("k", n), known, &found)) failed = true;
    }
  });
  for (uint64_t i = 1; i <= kCount; ++i) {
    table.Add(i, ValueType::kPut, StrCat("k", i), "v");
    published.store(i, std::memory_order_release);
  }
  reader.join();
  EXPECT_FALSE(failed);
}

}  // namespace
}  // namespace tinyobs::lsm
