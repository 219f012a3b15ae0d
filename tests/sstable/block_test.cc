// Blocks: a builder and an iterator that must agree with a sorted map in every direction.
#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "lib/sstable/block_builder.h"
#include "lib/sstable/block_reader.h"
#include "tests/sstable/sample_tables.h"

namespace tinyobs::sstable {
namespace {

absl::StatusOr<std::shared_ptr<const Block>> BlockOf(std::string_view payload) {
  RawBlock raw{std::make_unique<char[]>(payload.size()), payload.size()};
  std::memcpy(raw.bytes.get(), payload.data(), payload.size());
  return Block::Create(std::move(raw));
}

std::shared_ptr<const Block> BlockWith(const Entries& entries, int restart_interval) {
  BlockBuilder builder(restart_interval);
  for (const auto& [key, value] : entries) builder.Add(key, value);
  const size_t expected_size = builder.SizeBytes();
  const std::string_view payload = builder.Finish();
  EXPECT_EQ(payload.size(), expected_size);
  auto block = BlockOf(payload);
  EXPECT_OK(block);
  return *block;
}

// Checks that both stand on the same entry, or on none.
void ExpectSame(const BlockIterator& iterator, const Entries& entries, Entries::const_iterator at) {
  ASSERT_OK(iterator.status());
  ASSERT_EQ(iterator.Valid(), at != entries.end());
  if (at == entries.end()) return;
  ASSERT_EQ(iterator.key(), at->first);
  ASSERT_EQ(iterator.value(), at->second);
}

TEST(Block, AnEmptyBlockHasNoEntries) {
  const auto block = BlockWith(Entries(), 16);
  BlockIterator iterator;
  iterator.Reset(block.get(), 8);
  EXPECT_FALSE(iterator.Valid());
  iterator.SeekToFirst();
  EXPECT_FALSE(iterator.Valid());
  iterator.SeekToLast();
  EXPECT_FALSE(iterator.Valid());
  iterator.Seek(Key("a"));
  EXPECT_FALSE(iterator.Valid());
  iterator.SeekForPrev(Key("a"));
  EXPECT_FALSE(iterator.Valid());
  EXPECT_OK(iterator.status());
}

TEST(Block, NeighbouringKeysShareTheirPrefix) {
  BlockBuilder builder(16);
  const std::string prefix(100, 'p');
  builder.Add(prefix + "1", "");
  const size_t one = builder.SizeBytes();
  builder.Add(prefix + "2", "");
  EXPECT_EQ(builder.SizeBytes(), one + 4) << "three lengths and one byte";
}

TEST(Block, EveryWalkAndSeekAgreesWithAMap) {
  for (const size_t trailer_bytes : {size_t{0}, size_t{8}}) {
    for (const int restart_interval : {1, 2, 3, 16, 1024}) {
      std::mt19937_64 random(restart_interval);
      const Entries entries = RandomEntries(random, 200, trailer_bytes);
      const auto block = BlockWith(entries, restart_interval);
      BlockIterator iterator;
      iterator.Reset(block.get(), trailer_bytes);

      iterator.SeekToFirst();
      for (auto at = entries.begin(); at != entries.end(); ++at, iterator.Next()) {
        ASSERT_NO_FATAL_FAILURE(ExpectSame(iterator, entries, at));
      }
      ASSERT_NO_FATAL_FAILURE(ExpectSame(iterator, entries, entries.end()));
      iterator.SeekToLast();
      for (auto at = entries.rbegin(); at != entries.rend(); ++at, iterator.Prev()) {
        ASSERT_NO_FATAL_FAILURE(ExpectSame(iterator, entries, std::prev(at.base())));
      }
      ASSERT_NO_FATAL_FAILURE(ExpectSame(iterator, entries, entries.end()));

      // Seeks to keys that are and are not there, then steps to and fro.
      const Entries targets = RandomEntries(random, 300, trailer_bytes);
      for (const auto& [target, unused] : targets) {
        auto at = entries.lower_bound(target);
        iterator.Seek(target);
        ASSERT_NO_FATAL_FAILURE(ExpectSame(iterator, entries, at));
        for (int step = 0; step < 8 && at != entries.end(); ++step) {
          if (random() % 3 == 0) {
            iterator.Next();
            ++at;
          } else {
            iterator.Prev();
            at = at == entries.begin() ? entries.end() : std::prev(at);
          }
          ASSERT_NO_FATAL_FAILURE(ExpectSame(iterator, entries, at));
        }
        const auto behind = entries.upper_bound(target);
        iterator.SeekForPrev(target);
        ASSERT_NO_FATAL_FAILURE(ExpectSame(
            iterator, entries, behind == entries.begin() ? entries.end() : std::prev(behind)));
      }
    }
  }
}

TEST(Block, LongKeysAndValuesNeedMoreThanOneLengthByte) {
  Entries entries(KeyLess{0});
  for (int i = 0; i < 40; ++i) {
    entries[std::string(1 + i * 37, 'k') + static_cast<char>('a' + i % 3)] =
        std::string(i * 1000, 'v');
  }
  const auto block = BlockWith(entries, 4);
  BlockIterator iterator;
  iterator.Reset(block.get(), 0);
  iterator.SeekToFirst();
  for (auto at = entries.begin(); at != entries.end(); ++at, iterator.Next()) {
    ASSERT_NO_FATAL_FAILURE(ExpectSame(iterator, entries, at));
  }
  EXPECT_FALSE(iterator.Valid());
}

TEST(Block, RestartPointsThatLieAreDataLoss) {
  const auto fixed = [](std::initializer_list<uint32_t> words) {
    std::string bytes;
    for (const uint32_t word : words) PutFixed32(&bytes, word);
    return bytes;
  };
  constexpr auto kDataLoss = absl::StatusCode::kDataLoss;
  EXPECT_CODE(BlockOf(""), kDataLoss);
  EXPECT_CODE(BlockOf("abc"), kDataLoss);
  EXPECT_CODE(BlockOf(fixed({1})), kDataLoss) << "more restart points than bytes";
  EXPECT_CODE(BlockOf(fixed({0xffffffff})), kDataLoss);
  EXPECT_CODE(BlockOf(fixed({0, 1})), kDataLoss) << "a restart point without entries";
  EXPECT_CODE(BlockOf("entries" + fixed({0})), kDataLoss) << "entries without restart point";
  EXPECT_CODE(BlockOf("entries" + fixed({1, 1})), kDataLoss) << "the first is not 0";
  EXPECT_CODE(BlockOf("entries" + fixed({0, 0, 2})), kDataLoss) << "not ascending";
  EXPECT_CODE(BlockOf("entries" + fixed({0, 7, 2})), kDataLoss) << "behind the entries";
}

TEST(Block, DamagedEntriesEndTheIterationWithDataLoss) {
  std::string restarts;
  PutFixed32(&restarts, 0);
  PutFixed32(&restarts, 1);
  const std::string good("\x00\x01\x01kv", 5);
  const std::string damages[] = {
      std::string("\x01\x01\x01kv", 5),  // shares more than the key before
      std::string("\x00\x7f\x01kv", 5),  // key beyond the block
      std::string("\x00\x01\x7fkv", 5),  // value beyond the block
      std::string("\x00\x80", 2),        // a length that does not end
      std::string("\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00", 12),  // 2^64 - 1
  };
  for (const std::string& damage : damages) {
    const auto damaged = BlockOf(damage + restarts);
    ASSERT_OK(damaged);
    BlockIterator iterator;
    iterator.Reset(damaged->get(), 0);
    iterator.SeekToFirst();
    EXPECT_FALSE(iterator.Valid());
    EXPECT_CODE(iterator.status(), absl::StatusCode::kDataLoss);
    iterator.Seek("k");
    EXPECT_FALSE(iterator.Valid());
    EXPECT_CODE(iterator.status(), absl::StatusCode::kDataLoss);
    iterator.SeekToLast();
    EXPECT_CODE(iterator.status(), absl::StatusCode::kDataLoss);
    iterator.SeekForPrev("k");
    EXPECT_CODE(iterator.status(), absl::StatusCode::kDataLoss);
  }
  // Damage behind a good entry: the good one is read, what follows is not silently the end.
  std::string second = damages[1];
  second[0] = 1;
  const auto block = BlockOf(good + second + restarts);
  ASSERT_OK(block);
  BlockIterator iterator;
  iterator.Reset(block->get(), 0);
  iterator.SeekToFirst();
  ASSERT_TRUE(iterator.Valid());
  iterator.Next();
  EXPECT_FALSE(iterator.Valid());
  EXPECT_CODE(iterator.status(), absl::StatusCode::kDataLoss);
  iterator.SeekToFirst();
  EXPECT_TRUE(iterator.Valid()) << "a seek starts afresh";
  EXPECT_OK(iterator.status());
}

TEST(Block, AKeyShorterThanItsTrailerIsDataLoss) {
  BlockBuilder builder(16);
  builder.Add("short", "value");
  const auto block = BlockOf(builder.Finish());
  ASSERT_OK(block);
  BlockIterator iterator;
  iterator.Reset(block->get(), 8);
  iterator.SeekToFirst();
  EXPECT_CODE(iterator.status(), absl::StatusCode::kDataLoss);
}

TEST(Block, ABackwardStepFromARestartPointThatIsNoEntryIsDataLoss) {
  // The second restart point is inside the first value, which looks like an entry that reaches into
  // the second one.
  std::string payload("\x00\x01\x03k\x00\x00\x05", 7);
  payload += std::string("\x00\x01\x05lvalue", 9);
  for (const uint32_t word : {0, 4, 2}) PutFixed32(&payload, word);
  const auto block = BlockOf(payload);
  ASSERT_OK(block);
  BlockIterator iterator;
  iterator.Reset(block->get(), 0);
  iterator.SeekToFirst();
  iterator.Next();
  ASSERT_TRUE(iterator.Valid());
  ASSERT_EQ(iterator.key(), "l");
  iterator.Prev();
  EXPECT_FALSE(iterator.Valid());
  EXPECT_CODE(iterator.status(), absl::StatusCode::kDataLoss);
}

TEST(Block, ABackwardStepRemembersNoMoreThanOneLegalInterval) {
  // One restart point for more entries than a writer may put behind it.
  BlockBuilder builder(1 << 20);
  for (uint32_t i = 0; i < kMaxRestartInterval + 2; ++i) {
    std::string key;
    PutBigEndian32(&key, i);
    builder.Add(key, "");
  }
  const auto block = BlockOf(builder.Finish());
  ASSERT_OK(block);
  BlockIterator iterator;
  iterator.Reset(block->get(), 0);
  iterator.SeekToLast();
  ASSERT_TRUE(iterator.Valid());
  iterator.Prev();
  EXPECT_FALSE(iterator.Valid());
  EXPECT_CODE(iterator.status(), absl::StatusCode::kDataLoss);
}

}  // namespace
}  // namespace tinyobs::sstable
