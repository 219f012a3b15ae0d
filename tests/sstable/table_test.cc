// Whole tables against a sorted map: the same entries under many options must read the same.
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "lib/sstable/block_cache.h"
#include "tests/sstable/sample_tables.h"
#include "tests/testing/memory_file_system.h"

namespace tinyobs::sstable {
namespace {

struct Configuration {
  std::string name;
  TableOptions table;
  TableReadOptions read;
  size_t cache_bytes = 0;
};

std::vector<Configuration> Configurations() {
  std::vector<Configuration> all;
  all.push_back({"default", {}, {}, 1 << 20});
  all.push_back({"tiny_blocks", {.block_bytes = 256}, {}, 1 << 20});
  all.push_back({"no_cache", {.block_bytes = 512}, {}, 0});
  all.push_back({"tiny_cache", {.block_bytes = 512}, {}, 20'000});
  all.push_back({"no_filter", {.filter_bits_per_key = 0}, {}, 0});
  all.push_back({"restart_at_each_key", {.block_restart_interval = 1}, {}, 0});
  all.push_back({"one_restart_point", {.block_restart_interval = 1024}, {}, 0});
  all.push_back({"no_compression", {.block_bytes = 512, .compression = Compression::kNone}, {}, 0});
  all.push_back({"no_trailers", {.block_bytes = 512, .trailer_bytes = 0}, {}, 1 << 20});
  all.push_back({"prefix", {.block_bytes = 512, .filter_prefix_bytes = 3}, {}, 0});
  all.push_back({"readahead", {.block_bytes = 512}, {.readahead_bytes = 5000}, 0});
  all.push_back(
      {"no_fill", {.block_bytes = 512}, {.fill_cache = false, .readahead_bytes = 1}, 1 << 20});
  all.push_back({"every_write_at_once", {.block_bytes = 256, .write_buffer_bytes = 0}, {}, 0});
  return all;
}

class TableModel : public ::testing::TestWithParam<Configuration> {};

INSTANTIATE_TEST_SUITE_P(Configurations, TableModel, ::testing::ValuesIn(Configurations()),
                         [](const auto& info) { return info.param.name; });

void ExpectSame(const Iterator& iterator, const Entries& entries, Entries::const_iterator at) {
  ASSERT_OK(iterator.status());
  ASSERT_EQ(iterator.Valid(), at != entries.end());
  if (at == entries.end()) return;
  ASSERT_EQ(iterator.key(), at->first);
  ASSERT_EQ(iterator.value(), at->second);
}

void CheckWalks(const TableReader& table, const TableReadOptions& read, const Entries& entries) {
  const auto iterator = table.NewIterator(read);
  EXPECT_FALSE(iterator->Valid()) << "not before a seek";
  iterator->SeekToFirst();
  for (auto at = entries.begin(); at != entries.end(); ++at, iterator->Next()) {
    ASSERT_NO_FATAL_FAILURE(ExpectSame(*iterator, entries, at));
  }
  ASSERT_NO_FATAL_FAILURE(ExpectSame(*iterator, entries, entries.end()));
  iterator->SeekToLast();
  for (auto at = entries.rbegin(); at != entries.rend(); ++at, iterator->Prev()) {
    ASSERT_NO_FATAL_FAILURE(ExpectSame(*iterator, entries, std::prev(at.base())));
  }
  ASSERT_NO_FATAL_FAILURE(ExpectSame(*iterator, entries, entries.end()));
}

void CheckSeeks(const TableReader& table, const TableReadOptions& read, const Entries& entries,
                const Entries& targets, std::mt19937_64& random) {
  const auto iterator = table.NewIterator(read);
  for (const auto& [target, unused] : targets) {
    auto at = entries.lower_bound(target);
    iterator->Seek(target);
    ASSERT_NO_FATAL_FAILURE(ExpectSame(*iterator, entries, at));
    for (int step = 0; step < 6 && at != entries.end(); ++step) {
      if (random() % 2 == 0) {
        iterator->Next();
        ++at;
      } else {
        iterator->Prev();
        at = at == entries.begin() ? entries.end() : std::prev(at);
      }
      ASSERT_NO_FATAL_FAILURE(ExpectSame(*iterator, entries, at));
    }
    const auto behind = entries.upper_bound(target);
    iterator->SeekForPrev(target);
    ASSERT_NO_FATAL_FAILURE(ExpectSame(
        *iterator, entries, behind == entries.begin() ? entries.end() : std::prev(behind)));
  }
}

void CheckGets(const TableReader& table, const TableReadOptions& read, const Entries& entries,
               const Entries& targets, size_t trailer_bytes) {
  TableLookup lookup(&table, read);
  for (const auto& [target, unused] : targets) {
    FoundEntry found;
    const auto result = table.Get(read, target, &found);
    ASSERT_OK(result);
    const auto at = entries.lower_bound(target);
    const bool expected =
        at != entries.end() && UserKey(at->first, trailer_bytes) == UserKey(target, trailer_bytes);
    ASSERT_EQ(*result, expected);
    FoundEntry found_by_lookup;
    ASSERT_EQ(lookup.Get(target, &found_by_lookup).value(), expected);
    if (!expected) continue;
    ASSERT_EQ(found_by_lookup.value, at->second);
    ASSERT_EQ(found_by_lookup.trailer, found.trailer);
    for (size_t size = 0; size <= target.size() - trailer_bytes; ++size) {
      ASSERT_TRUE(table.MayContainPrefix(std::string_view(target).substr(0, size)));
    }
    ASSERT_EQ(found.value, at->second);
    ASSERT_EQ(found.trailer, trailer_bytes == 0 ? 0 : TrailerOf(at->first));
  }
}

TEST_P(TableModel, ReadsWhatWasWritten) {
  const Configuration& configuration = GetParam();
  const size_t trailer_bytes = configuration.table.trailer_bytes;
  constexpr uint64_t kSeed = 42;
  SCOPED_TRACE(::testing::Message() << "seed " << kSeed);
  std::mt19937_64 random(kSeed);
  for (const size_t count : {1, 2, 50, 2000}) {
    SCOPED_TRACE(count);
    const Entries entries = RandomEntries(random, count, trailer_bytes);
    Entries targets = RandomEntries(random, 500, trailer_bytes);
    for (const auto& [key, value] : entries) {
      if (random() % 4 == 0) targets[key] = value;
    }
    BlockCache cache(configuration.cache_bytes, 1);
    TableProperties properties;
    const std::string bytes = BuildTable(configuration.table, entries, &properties);
    ASSERT_OK_AND_ASSIGN(
        const auto table,
        OpenTable(bytes, {.block_cache = configuration.cache_bytes > 0 ? &cache : nullptr}));
    ASSERT_OK(table->Verify());
    EXPECT_EQ(table->properties(), properties);
    EXPECT_EQ(table->file_bytes(), bytes.size());
    // Twice: once cold, once with what the first time cached.
    for (int round = 0; round < 2; ++round) {
      ASSERT_NO_FATAL_FAILURE(CheckWalks(*table, configuration.read, entries));
      ASSERT_NO_FATAL_FAILURE(CheckSeeks(*table, configuration.read, entries, targets, random));
      ASSERT_NO_FATAL_FAILURE(
          CheckGets(*table, configuration.read, entries, targets, trailer_bytes));
    }
  }
}

TEST(Table, AnEmptyTableIsATable) {
  const std::string bytes = BuildTable({}, {});
  ASSERT_OK_AND_ASSIGN(const auto table, OpenTable(bytes));
  EXPECT_OK(table->Verify());
  EXPECT_EQ(table->properties().entries, 0u);
  FoundEntry found;
  EXPECT_FALSE(table->Get({}, Key("a"), &found).value());
  const auto iterator = table->NewIterator({});
  iterator->SeekToFirst();
  EXPECT_FALSE(iterator->Valid());
  iterator->SeekToLast();
  EXPECT_FALSE(iterator->Valid());
  iterator->Seek(Key("a"));
  EXPECT_FALSE(iterator->Valid());
  iterator->SeekForPrev(Key("a"));
  EXPECT_FALSE(iterator->Valid());
  EXPECT_OK(iterator->status());
}

TEST(Table, GetFindsTheNewestVersionThatIsNotNewerThanTheTarget) {
  Entries entries;
  // Trailers as a store would encode sequences 30, 20, 10: newer sorts first.
  for (const uint64_t sequence : {30, 20, 10}) {
    entries[Key("k", ~sequence)] = std::to_string(sequence);
  }
  entries[Key("j", ~uint64_t{5})] = "other";
  entries[Key("kk", ~uint64_t{5})] = "other";
  ASSERT_OK_AND_ASSIGN(const auto table, OpenTable(BuildTable({}, entries)));
  const auto get = [&](uint64_t sequence) -> std::string {
    FoundEntry found;
    if (!table->Get({}, Key("k", ~sequence), &found).value()) return "none";
    EXPECT_EQ(std::to_string(~found.trailer), found.value);
    return std::string(found.value);
  };
  EXPECT_EQ(get(100), "30");
  EXPECT_EQ(get(30), "30");
  EXPECT_EQ(get(29), "20");
  EXPECT_EQ(get(10), "10");
  EXPECT_EQ(get(9), "none");
}

TEST(Table, AFoundValueOutlivesItsPlaceInTheCache) {
  Entries entries;
  for (int i = 0; i < 100; ++i) entries[Key(std::to_string(i))] = std::string(300, 'a' + i % 26);
  BlockCache cache(3000, 0);
  ASSERT_OK_AND_ASSIGN(const auto table, OpenTable(BuildTable({.block_bytes = 512}, entries),
                                                   {.block_cache = &cache}));
  FoundEntry first;
  ASSERT_TRUE(table->Get({}, Key("0"), &first).value());
  for (int i = 0; i < 100; ++i) {
    FoundEntry other;
    ASSERT_TRUE(table->Get({}, Key(std::to_string(i)), &other).value());
  }
  EXPECT_GT(cache.Stats().evictions, 0u);
  EXPECT_EQ(first.value, std::string(300, 'a'));
}

TEST(Table, TheFilterSavesTheReadAndTheCacheTheSecondOne) {
  Entries entries;
  for (int i = 0; i < 1000; ++i) entries[Key(std::to_string(i))] = "value";
  std::atomic<uint64_t> reads{0};
  BlockCache cache(1 << 20);
  ASSERT_OK_AND_ASSIGN(const auto table,
                       OpenTable(BuildTable({}, entries), {.block_cache = &cache}, &reads));
  EXPECT_EQ(reads, 2u) << "open";
  FoundEntry found;
  ASSERT_TRUE(table->Get({}, Key("500"), &found).value());
  EXPECT_EQ(reads, 3u);
  ASSERT_TRUE(table->Get({}, Key("500"), &found).value());
  EXPECT_EQ(reads, 3u) << "cached";
  const uint64_t before = reads;
  const uint64_t lookups_before = cache.Stats().hits + cache.Stats().misses;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_FALSE(table->Get({}, Key(std::to_string(i) + "x"), &found).value());
  }
  EXPECT_LT(cache.Stats().hits + cache.Stats().misses - lookups_before, 30u) << "1 % false answers";
  EXPECT_LE(reads - before, 1u);
}

TEST(Table, ThePrefixIsRememberedUnlessThereIsNoFilter) {
  const Entries entries = {{Key("abc/1"), "v"}, {Key("abd/2"), "v"}};
  ASSERT_OK_AND_ASSIGN(const auto table,
                       OpenTable(BuildTable({.filter_prefix_bytes = 4}, entries)));
  EXPECT_EQ(table->properties().filter_prefix_bytes, 4u);
  EXPECT_TRUE(table->MayContainPrefix("abd/"));
  EXPECT_FALSE(table->MayContainPrefix("xbd/"));
  EXPECT_FALSE(table->MayContainPrefix("xbd/2")) << "by its first bytes";
  EXPECT_TRUE(table->MayContainPrefix("xbd")) << "nothing is known of shorter ones";
  EXPECT_TRUE(table->MayContain("abc/1"));
  EXPECT_TRUE(table->MayContain("abc/2")) << "the prefix is there";
  EXPECT_FALSE(table->MayContain("xbc/1"));
  EXPECT_FALSE(table->MayContain("abc")) << "shorter than a prefix, it would be there as a whole";
  const TableOptions without_filter = {.filter_bits_per_key = 0, .filter_prefix_bytes = 4};
  ASSERT_OK_AND_ASSIGN(const auto unfiltered, OpenTable(BuildTable(without_filter, entries)));
  EXPECT_EQ(unfiltered->properties().filter_prefix_bytes, 0u);
  EXPECT_TRUE(unfiltered->MayContainPrefix("xbd/"));
  ASSERT_OK_AND_ASSIGN(const auto empty, OpenTable(BuildTable({.filter_prefix_bytes = 4}, {})));
  EXPECT_EQ(empty->properties().filter_prefix_bytes, 0u);
}

TEST(Table, ReadaheadReadsManyBlocksAtOnce) {
  Entries entries;
  for (int i = 0; i < 5000; ++i) entries[Key(std::to_string(i))] = std::string(50, 'v');
  const std::string bytes =
      BuildTable({.block_bytes = 1024, .compression = Compression::kNone}, entries);
  const auto reads_of_scan = [&](size_t readahead_bytes) {
    std::atomic<uint64_t> reads{0};
    const auto table = OpenTable(bytes, {}, &reads).value();
    const auto iterator = table->NewIterator({.readahead_bytes = readahead_bytes});
    size_t count = 0;
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++count;
    EXPECT_OK(iterator->status());
    EXPECT_EQ(count, entries.size());
    return reads - 2;
  };
  EXPECT_LT(reads_of_scan(0), 20u);
  EXPECT_LT(reads_of_scan(64 << 10), 10u);
}

TEST(Table, AScanWithoutFillCacheLeavesTheCacheAlone) {
  Entries entries;
  for (int i = 0; i < 1000; ++i) entries[Key(std::to_string(i))] = std::string(50, 'v');
  BlockCache cache(1 << 20);
  ASSERT_OK_AND_ASSIGN(const auto table,
                       OpenTable(BuildTable({}, entries), {.block_cache = &cache}));
  const auto iterator = table->NewIterator({.fill_cache = false});
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) {
  }
  EXPECT_EQ(cache.Stats().blocks, 0u);
}

TEST(Table, TablesThatShareACacheDoNotSeeEachOthersBlocks) {
  BlockCache cache(1 << 20);
  const auto a = OpenTable(BuildTable({}, {{Key("k"), "a"}}), {.block_cache = &cache}).value();
  const auto b = OpenTable(BuildTable({}, {{Key("k"), "b"}}), {.block_cache = &cache}).value();
  for (int round = 0; round < 2; ++round) {
    FoundEntry found;
    ASSERT_TRUE(a->Get({}, Key("k"), &found).value());
    EXPECT_EQ(found.value, "a");
    ASSERT_TRUE(b->Get({}, Key("k"), &found).value());
    EXPECT_EQ(found.value, "b");
  }
}

TEST(Table, ManyThreadsReadOneTable) {
  std::mt19937_64 random(5);
  const Entries entries = RandomEntries(random, 1000, 8);
  BlockCache cache(10'000, 1);
  ASSERT_OK_AND_ASSIGN(const auto table, OpenTable(BuildTable({.block_bytes = 512}, entries),
                                                   {.block_cache = &cache}));
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      const auto iterator = table->NewIterator({});
      iterator->SeekToFirst();
      for (const auto& [key, value] : entries) {
        FoundEntry found;
        const auto result = table->Get({}, key, &found);
        if (!result.ok() || !*result || found.value != value) ++wrong;
        if (!iterator->Valid() || iterator->key() != key) ++wrong;
        if (iterator->Valid()) iterator->Next();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Table, ALargestValueAndALongestKeyFit) {
  Entries entries;
  const std::string key = Key(std::string(kMaxUserKeyBytes, 'k'));
  entries[Key("a")] = std::string(1000, 'x');
  entries[key] = std::string(kMaxValueBytes, 'v');
  ASSERT_OK_AND_ASSIGN(const auto table, OpenTable(BuildTable({}, entries)));
  FoundEntry found;
  ASSERT_TRUE(table->Get({}, key, &found).value());
  EXPECT_EQ(found.value.size(), kMaxValueBytes);
  EXPECT_OK(table->Verify());
}

TEST(TableWriter, RefusesWhatAReaderWouldNotTake) {
  const auto add = [](const TableOptions& options, std::vector<std::string> keys,
                      size_t value_bytes = 0) {
    std::string bytes;
    StringSink sink(&bytes);
    TableWriter writer(options, "t.sst", &sink);
    absl::Status status;
    for (const std::string& key : keys) status = writer.Add(key, std::string(value_bytes, 'v'));
    if (!status.ok()) {
      EXPECT_EQ(writer.Finish().status(), status) << "final";
      EXPECT_EQ(writer.Add(Key("zzz"), ""), status);
    }
    return status;
  };
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  EXPECT_OK(add({}, {Key("a"), Key("b")}));
  EXPECT_CODE(add({}, {Key("b"), Key("a")}), kInvalid);
  EXPECT_CODE(add({}, {Key("a"), Key("a")}), kInvalid) << "twice";
  EXPECT_CODE(add({}, {Key("a", 2), Key("a", 1)}), kInvalid) << "trailers count";
  EXPECT_CODE(add({}, {"short"}), kInvalid);
  EXPECT_CODE(add({}, {Key(std::string(kMaxUserKeyBytes + 1, 'k'))}), kInvalid);
  EXPECT_CODE(add({}, {Key("a")}, kMaxValueBytes + 1), kInvalid);
  EXPECT_CODE(add({.block_bytes = 255}, {Key("a")}), kInvalid);
  EXPECT_CODE(add({.block_restart_interval = 0}, {Key("a")}), kInvalid);
  EXPECT_CODE(add({.block_restart_interval = 1025}, {Key("a")}), kInvalid);
  EXPECT_CODE(add({.filter_bits_per_key = 65}, {Key("a")}), kInvalid);
  EXPECT_CODE(add({.filter_prefix_bytes = 65'537}, {Key("a")}), kInvalid);
  EXPECT_CODE(add({.trailer_bytes = 4}, {Key("a")}), kInvalid);
}

TEST(TableWriter, AFailedWriteIsReportedAndFinal) {
  testing::MemoryFileSystem fs;
  ASSERT_OK(fs.CreateDirectories("/d"));
  fs.SetCapacityBytes(1000);
  ASSERT_OK_AND_ASSIGN(const auto file, fs.CreateWritable("/d/t.sst"));
  TableWriter writer(
      {.block_bytes = 256, .compression = Compression::kNone, .write_buffer_bytes = 256},
      "/d/t.sst", file.get());
  absl::Status status;
  for (int i = 10; i < 99 && status.ok(); ++i) {
    status = writer.Add(Key(std::to_string(i)), std::string(100, 'v'));
  }
  EXPECT_CODE(status, absl::StatusCode::kResourceExhausted);
  EXPECT_CODE(writer.Finish(), absl::StatusCode::kResourceExhausted);
}

TEST(TableWriter, NothingComesAfterFinish) {
  std::string bytes;
  StringSink sink(&bytes);
  TableWriter writer({}, "t.sst", &sink);
  ASSERT_OK(writer.Add(Key("a"), ""));
  ASSERT_OK(writer.Finish());
  const size_t size = bytes.size();
  EXPECT_CODE(writer.Finish(), absl::StatusCode::kFailedPrecondition);
  EXPECT_CODE(writer.Add(Key("b"), ""), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(bytes.size(), size);
}

TEST(TableWriter, CompressionShrinksWhatRepeats) {
  Entries entries;
  for (int i = 0; i < 1000; ++i)
    entries[Key("series/" + std::to_string(i))] = std::string(100, 'v');
  TableProperties small;
  TableProperties plain;
  BuildTable({}, entries, &small);
  BuildTable({.compression = Compression::kNone}, entries, &plain);
  EXPECT_EQ(small.raw_data_bytes, plain.raw_data_bytes);
  EXPECT_LT(small.data_bytes * 3, plain.data_bytes);
}

}  // namespace
}  // namespace tinyobs::sstable
