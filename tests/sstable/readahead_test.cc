// Read-ahead: a scan needs few reads, a random seek never more than its block.
//
// Method: a table of uncompressed blocks of 1 KiB in a file that writes down each read.
#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/sstable/block_cache.h"
#include "tests/sstable/sample_tables.h"

namespace tinyobs::sstable {
namespace {

struct Piece {
  uint64_t offset;
  size_t count;
};

class RecordingFile final : public RandomAccessFile {
 public:
  // `refuse_from`: reads that reach beyond fail.
  RecordingFile(std::string bytes, std::vector<Piece>* reads, const uint64_t* refuse_from)
      : bytes_(std::move(bytes)), reads_(reads), refuse_from_(refuse_from) {}

  absl::StatusOr<size_t> Read(uint64_t offset, size_t count, char* buffer) const override {
    reads_->push_back({offset, count});
    if (offset + count > *refuse_from_) return absl::UnavailableError("bad sector");
    return bytes_.copy(buffer, count, offset);
  }
  absl::StatusOr<uint64_t> Size() const override { return bytes_.size(); }

 private:
  const std::string bytes_;
  std::vector<Piece>* const reads_;
  const uint64_t* const refuse_from_;
};

class ReadaheadTest : public ::testing::Test {
 protected:
  void Open(BlockCache* cache = nullptr) {
    for (int i = 0; i < 20'000; ++i) {
      entries_[Key(std::to_string(100'000 + i))] = std::string(50, 'v');
    }
    TableProperties properties;
    std::string bytes =
        BuildTable({.block_bytes = 1024, .compression = Compression::kNone}, entries_, &properties);
    data_bytes_ = properties.data_bytes;
    blocks_ = properties.data_blocks;
    auto table = TableReader::Open(
        {.block_cache = cache}, "test.sst",
        std::make_unique<RecordingFile>(std::move(bytes), &reads_, &refuse_from_));
    ASSERT_OK(table);
    table_ = *std::move(table);
    reads_.clear();
  }
  size_t Largest() const {
    return std::max_element(reads_.begin(), reads_.end(),
                            [](const Piece& a, const Piece& b) { return a.count < b.count; })
        ->count;
  }

  Entries entries_;
  uint64_t data_bytes_ = 0;
  uint64_t blocks_ = 0;
  uint64_t refuse_from_ = UINT64_MAX;
  std::vector<Piece> reads_;
  std::unique_ptr<TableReader> table_;
};

TEST_F(ReadaheadTest, AScanForwardReadsMoreAndMoreUpToALimit) {
  Open();
  const auto iterator = table_->NewIterator({});
  auto expected = entries_.begin();
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), ++expected) {
    ASSERT_EQ(iterator->key(), expected->first);
    ASSERT_EQ(iterator->value(), expected->second);
  }
  ASSERT_OK(iterator->status());
  EXPECT_TRUE(expected == entries_.end());
  ASSERT_GT(blocks_, 1000u);
  EXPECT_LT(reads_.size(), 20u);
  for (int i = 0; i < 2; ++i) EXPECT_LT(reads_[i].count, 1200u) << "one block";
  EXPECT_GT(reads_[2].count, 2000u);
  EXPECT_LT(reads_[2].count, 2400u);
  EXPECT_EQ(Largest(), size_t{256} << 10);
  // Each byte once, and no byte behind the data.
  uint64_t next = 0;
  for (const Piece& read : reads_) {
    EXPECT_LE(read.offset, next);
    EXPECT_GT(read.offset + 1200, next);  // the block that was cut off at the end of the window
    next = read.offset + read.count;
  }
  EXPECT_EQ(next, data_bytes_);
}

TEST_F(ReadaheadTest, AScanBackwardToo) {
  Open();
  const auto iterator = table_->NewIterator({});
  auto expected = entries_.rbegin();
  for (iterator->SeekToLast(); iterator->Valid(); iterator->Prev(), ++expected) {
    ASSERT_EQ(iterator->key(), expected->first);
  }
  ASSERT_OK(iterator->status());
  EXPECT_TRUE(expected == entries_.rend());
  EXPECT_LT(reads_.size(), 20u);
  EXPECT_EQ(Largest(), size_t{256} << 10);
  for (const Piece& read : reads_) EXPECT_LE(read.offset + read.count, data_bytes_);
  EXPECT_EQ(reads_.back().offset, 0u);
}

TEST_F(ReadaheadTest, RandomSeeksAndShortScansReadBlocksAlone) {
  Open();
  const auto iterator = table_->NewIterator({});
  std::mt19937_64 random(5);
  for (int i = 0; i < 500; ++i) {
    // Every now and then a few entries on, into the next block and no further.
    iterator->Seek(Key(std::to_string(100'000 + i * 7919 % 20'000)));
    for (uint64_t steps = random() % 10; steps > 0 && iterator->Valid(); --steps) iterator->Next();
  }
  ASSERT_OK(iterator->status());
  EXPECT_GE(reads_.size(), 400u);
  EXPECT_LE(Largest(), 1200u);
}

TEST_F(ReadaheadTest, ADirectionThatChangesStartsSmallAgain) {
  Open();
  const auto iterator = table_->NewIterator({});
  iterator->Seek(Key("110000"));
  for (int i = 0; i < 5000; ++i) iterator->Next();
  EXPECT_GT(Largest(), 50'000u);
  for (int i = 0; i < 5000; ++i) iterator->Prev();  // partly still in the window
  EXPECT_EQ(iterator->key(), Key("110000"));
  iterator->Seek(Key("100000"));
  reads_.clear();
  for (int i = 0; i < 40; ++i) iterator->Next();
  ASSERT_FALSE(reads_.empty());
  EXPECT_LT(Largest(), 2400u);
}

TEST_F(ReadaheadTest, CachedBlocksAreNotReadAhead) {
  BlockCache cache(8 << 20);
  Open(&cache);
  for (int round = 0; round < 2; ++round) {
    const auto iterator = table_->NewIterator({});
    size_t count = 0;
    for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++count;
    EXPECT_EQ(count, entries_.size());
    EXPECT_EQ(reads_.empty(), round == 1);
    reads_.clear();
  }
}

// What lies in front of a bad place is read all the same.
TEST_F(ReadaheadTest, AFailureAheadDoesNotSpoilTheBlocksBefore) {
  Open();
  refuse_from_ = 100'000;
  const auto iterator = table_->NewIterator({});
  size_t count = 0;
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++count;
  EXPECT_CODE(iterator->status(), absl::StatusCode::kUnavailable);
  EXPECT_GT(count, size_t{97} * 1000 / (data_bytes_ / entries_.size() + 1));
  refuse_from_ = UINT64_MAX;
  size_t again = 0;
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++again;
  EXPECT_OK(iterator->status());
  EXPECT_EQ(again, entries_.size());
}

}  // namespace
}  // namespace tinyobs::sstable
