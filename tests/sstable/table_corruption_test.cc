// Damage: goal: whatever happened to a table's bytes, a reader answers right or with DataLoss.
//
// Method: a small table with compressed and plain blocks, several versions of keys and a filter;
// every byte flipped, the file cut at every length, lengthened, its blocks exchanged. Each variant
// is opened and read in every way there is.
#include <cstdint>
#include <memory>
#include <random>
#include <string>

#include "gtest/gtest.h"
#include "lib/base/coding.h"
#include "tests/sstable/sample_tables.h"
#include "tests/testing/memory_file_system.h"

namespace tinyobs::sstable {
namespace {

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

const TableOptions kSmallBlocks = {.block_bytes = 256, .block_restart_interval = 4};

Entries SmallEntries() {
  std::mt19937_64 random(11);
  return RandomEntries(random, 12, 8);
}

// Reads everything in every way. Every answer must be right; an error must be DataLoss and name the
// file. Returns whether there was one.
bool ReadsRightOrDataLoss(const std::string& bytes, const Entries& entries) {
  bool damaged = false;
  const auto check = [&damaged](const absl::Status& status) {
    if (status.ok()) return;
    damaged = true;
    EXPECT_CODE(status, kDataLoss);
    EXPECT_NE(status.ToString().find("test.sst: "), std::string::npos) << status;
  };
  const auto table = OpenTable(bytes);
  check(table.status());
  if (!table.ok()) return true;

  const auto iterator = (*table)->NewIterator({});
  auto at = entries.begin();
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), ++at) {
    EXPECT_TRUE(at != entries.end());
    if (at == entries.end()) return damaged;
    EXPECT_EQ(iterator->key(), at->first);
    EXPECT_EQ(iterator->value(), at->second);
  }
  check(iterator->status());
  EXPECT_TRUE(at == entries.end() || !iterator->status().ok()) << "a silent loss";
  auto back = entries.rbegin();
  for (iterator->SeekToLast(); iterator->Valid(); iterator->Prev(), ++back) {
    EXPECT_TRUE(back != entries.rend());
    if (back == entries.rend()) return damaged;
    EXPECT_EQ(iterator->key(), back->first);
  }
  check(iterator->status());
  EXPECT_TRUE(back == entries.rend() || !iterator->status().ok()) << "a silent loss";
  for (const auto& [key, value] : entries) {
    FoundEntry found;
    const auto result = (*table)->Get({}, key, &found);
    check(result.status());
    if (result.ok()) {
      EXPECT_TRUE(*result);
      EXPECT_EQ(found.value, value);
    }
  }
  const absl::Status verified = (*table)->Verify();
  check(verified);
  EXPECT_EQ(verified.ok(), !damaged);
  return damaged;
}

TEST(TableCorruption, TheUndamagedTableReadsRight) {
  const Entries entries = SmallEntries();
  const std::string bytes = BuildTable(kSmallBlocks, entries);
  TableProperties properties;
  BuildTable(kSmallBlocks, entries, &properties);
  ASSERT_GT(properties.data_blocks, 3u);
  ASSERT_LT(properties.data_bytes, properties.raw_data_bytes) << "some are compressed";
  EXPECT_FALSE(ReadsRightOrDataLoss(bytes, entries));
}

TEST(TableCorruption, EveryFlippedByteIsNoticed) {
  const Entries entries = SmallEntries();
  const std::string bytes = BuildTable(kSmallBlocks, entries);
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int mask : {0x01, 0x80, 0xff}) {
      SCOPED_TRACE(::testing::Message() << "byte " << i << " mask " << mask);
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ mask);
      ASSERT_TRUE(ReadsRightOrDataLoss(damaged, entries));
    }
  }
}

TEST(TableCorruption, EveryTruncationIsNoticed) {
  const Entries entries = SmallEntries();
  const std::string bytes = BuildTable(kSmallBlocks, entries);
  for (size_t size = 0; size < bytes.size(); ++size) {
    SCOPED_TRACE(size);
    EXPECT_CODE(OpenTable(bytes.substr(0, size)), kDataLoss);
    EXPECT_CODE(OpenTable(bytes.substr(bytes.size() - size)), kDataLoss);
  }
}

TEST(TableCorruption, ZerosOrGarbageBehindTheEndAreNoticed) {
  const std::string bytes = BuildTable(kSmallBlocks, SmallEntries());
  EXPECT_CODE(OpenTable(bytes + std::string(1, '\0')), kDataLoss);
  EXPECT_CODE(OpenTable(bytes + std::string(4096, '\0')), kDataLoss);
  EXPECT_CODE(OpenTable(bytes + bytes), kDataLoss) << "a footer at another place";
}

TEST(TableCorruption, AnEmptyFileAndOtherPeoplesFilesAreNotTables) {
  EXPECT_CODE(OpenTable(""), kDataLoss);
  EXPECT_CODE(OpenTable(std::string(10'000, '\0')), kDataLoss);
  const absl::Status status = OpenTable("#!/bin/sh\necho a script that is long enough\n").status();
  EXPECT_CODE(status, kDataLoss);
  EXPECT_NE(status.ToString().find("test.sst"), std::string::npos) << status;
  EXPECT_NE(status.ToString().find("magic expected"), std::string::npos) << status;
}

TEST(TableCorruption, AMisplacedBlockIsNoticedThoughItsBytesAreSound) {
  // Two blocks of the same length: a disk that mixes them up returns bytes whose own checksum is
  // right. The checksum knows the place, so it is not.
  Entries entries;
  for (char c = 'a'; c <= 'f'; ++c) entries[Key(std::string(1, c))] = std::string(300, c);
  const std::string bytes =
      BuildTable({.block_bytes = 256, .compression = Compression::kNone}, entries);
  ASSERT_FALSE(ReadsRightOrDataLoss(bytes, entries));
  ASSERT_OK_AND_ASSIGN(const auto table, OpenTable(bytes));
  const size_t block = table->properties().data_bytes / table->properties().data_blocks;
  std::string exchanged = bytes;
  exchanged.replace(0, block, bytes, block, block);
  exchanged.replace(block, block, bytes, 0, block);
  EXPECT_TRUE(ReadsRightOrDataLoss(exchanged, entries));
}

TEST(TableCorruption, MessagesNameFileOffsetExpectedAndFound) {
  std::string bytes = BuildTable(kSmallBlocks, SmallEntries());
  bytes[3] ^= 1;
  ASSERT_OK_AND_ASSIGN(const auto table, OpenTable(bytes));
  const auto iterator = table->NewIterator({});
  iterator->SeekToFirst();
  EXPECT_FALSE(iterator->Valid());
  const std::string message = iterator->status().ToString();
  EXPECT_NE(message.find("test.sst: block at offset 0: checksum expected "), std::string::npos)
      << message;
  EXPECT_NE(message.find(", found "), std::string::npos) << message;
}

TEST(TableCorruption, AnErrorEndsTheIterationAndASeekElsewhereGoesOn) {
  const Entries entries = SmallEntries();
  std::string bytes = BuildTable(kSmallBlocks, entries);
  bytes[3] ^= 1;
  ASSERT_OK_AND_ASSIGN(const auto table, OpenTable(bytes));
  const auto iterator = table->NewIterator({});
  iterator->SeekToLast();
  ASSERT_TRUE(iterator->Valid());
  while (iterator->Valid()) iterator->Prev();
  EXPECT_CODE(iterator->status(), kDataLoss);
  iterator->Seek(entries.rbegin()->first);
  EXPECT_TRUE(iterator->Valid());
  EXPECT_OK(iterator->status());
}

TEST(TableCorruption, ADamagedEntryUnderARightChecksumDoesNotLoseTheRestOfItsBlockSilently) {
  Entries entries;
  for (char c = 'a'; c <= 'z'; ++c) entries[Key(std::string(1, c))] = std::string(100, c);
  const TableOptions options = {.block_bytes = 512, .compression = Compression::kNone};
  std::string bytes = BuildTable(options, entries);
  // Entries have 3 lengths, 9 bytes of key, 100 of value; the second one claims a longer value.
  const size_t entry_bytes = 3 + 9 + 100;
  ASSERT_EQ(bytes[entry_bytes + 2], 100);
  bytes[entry_bytes + 2] = 127;
  ASSERT_OK_AND_ASSIGN(const auto sound, OpenTable(BuildTable(options, entries)));
  BlockIterator index;
  index.Reset(&sound->index(), 8);
  index.SeekToFirst();
  const BlockHandle first = sound->HandleOf(index.value()).value();
  StoreFixed64(bytes.data() + first.size + 1,
               PlacedChecksum(std::string_view(bytes).substr(0, first.size + 1), 0));

  ASSERT_OK_AND_ASSIGN(const auto table, OpenTable(bytes));
  const auto iterator = table->NewIterator({});
  size_t read = 0;
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next()) ++read;
  EXPECT_CODE(iterator->status(), kDataLoss);
  EXPECT_LT(read, 5u);
  read = 0;
  for (iterator->SeekToLast(); iterator->Valid(); iterator->Prev()) ++read;
  EXPECT_CODE(iterator->status(), kDataLoss);
  EXPECT_LT(read, entries.size());
  EXPECT_CODE(table->Verify(), kDataLoss);
}

TEST(TableCorruption, AReadErrorIsPassedOnAsItCame) {
  testing::MemoryFileSystem fs;
  ASSERT_OK(fs.CreateDirectories("/d"));
  {
    ASSERT_OK_AND_ASSIGN(const auto file, fs.CreateWritable("/d/t.sst"));
    ASSERT_OK(file->Append(BuildTable(kSmallBlocks, SmallEntries())));
  }
  const auto open = [&]() -> absl::StatusOr<std::unique_ptr<TableReader>> {
    return TableReader::Open({}, "/d/t.sst", fs.OpenRandomAccess("/d/t.sst").value());
  };
  for (uint64_t read = 0; read < 2; ++read) {
    fs.AddFault({.operation = testing::Operation::kRead, .skip = read});
    EXPECT_CODE(open(), absl::StatusCode::kUnavailable) << read;
    fs.ClearFaults();
  }
  ASSERT_OK_AND_ASSIGN(const auto table, open());
  fs.AddFault({.operation = testing::Operation::kRead});
  const auto iterator = table->NewIterator({});
  iterator->SeekToFirst();
  EXPECT_FALSE(iterator->Valid());
  EXPECT_CODE(iterator->status(), absl::StatusCode::kUnavailable);
  iterator->SeekToFirst();
  EXPECT_TRUE(iterator->Valid()) << "a read that fails once can go well the next time";
  fs.AddFault({.operation = testing::Operation::kRead});
  FoundEntry found;
  EXPECT_CODE(table->Get({}, SmallEntries().begin()->first, &found),
              absl::StatusCode::kUnavailable);
}

// A table whose bytes are sound but whose content breaks a promise, for Verify.
class ForgedTable {
 public:
  explicit ForgedTable(const Entries& entries) { BuildTable({}, entries, &properties); }

  TableProperties properties;
  std::vector<std::pair<std::string, std::string>> data;
  std::string separator;
  bool filter = false;
  std::string restarts;  // instead of those the data block would have

  std::string Bytes() const {
    std::string out;
    std::string scratch;
    BlockBuilder data_block(16);
    for (const auto& [key, value] : data) data_block.Add(key, value);
    std::string raw(data_block.Finish());
    if (!restarts.empty()) raw.replace(raw.size() - 8, 8, restarts);
    TableProperties said = properties;
    BlockHandle handle;
    handle.size = AppendBlock(raw, Compression::kNone, 0, &scratch, &out);
    said.raw_data_bytes = raw.size();
    said.data_bytes = handle.end();
    BlockBuilder index(1);
    std::string encoded;
    EncodeHandle(handle, &encoded);
    index.Add(separator.empty() ? data.back().first : separator, encoded);
    const std::string_view index_raw = index.Finish();
    said.index_bytes = index_raw.size();
    Footer footer;
    footer.filter.offset = out.size();
    if (filter) {
      FilterBuilder builder(64);
      builder.Add("something else");
      const std::string bytes = builder.Finish();
      footer.filter.size = AppendBlock(bytes, Compression::kNone, out.size(), &scratch, &out);
    }
    said.filter_bytes = footer.filter.size;
    std::string properties_raw;
    EncodeProperties(said, &properties_raw);
    footer.properties.offset = out.size();
    footer.properties.size =
        AppendBlock(properties_raw, Compression::kNone, out.size(), &scratch, &out);
    footer.index.offset = out.size();
    footer.index.size = AppendBlock(index_raw, Compression::kNone, out.size(), &scratch, &out);
    return out + EncodeFooter(footer, out.size());
  }
};

TEST(TableVerify, FindsEveryBrokenPromise) {
  const Entries entries = {{Key("a"), "1"}, {Key("b"), "2"}};
  const auto verify = [](const ForgedTable& forged) -> std::string {
    const auto table = OpenTable(forged.Bytes());
    EXPECT_OK(table);
    const absl::Status status = (*table)->Verify();
    EXPECT_TRUE(status.ok() || absl::IsDataLoss(status)) << status;
    return status.ToString();
  };
  ForgedTable sound(entries);
  sound.data.assign(entries.begin(), entries.end());
  EXPECT_EQ(verify(sound), "OK");

  ForgedTable forged = sound;
  std::swap(forged.data[0], forged.data[1]);
  EXPECT_NE(verify(forged).find("is not after"), std::string::npos);
  forged = sound;
  forged.data.pop_back();
  EXPECT_NE(verify(forged).find("properties say 2 entries, found 1"), std::string::npos);
  forged = sound;
  forged.data[1].second = "longer";
  EXPECT_NE(verify(forged).find("value bytes"), std::string::npos);
  forged = sound;
  forged.data[0].first = Key("0");
  EXPECT_NE(verify(forged).find("properties say keys"), std::string::npos);
  forged = sound;
  forged.separator = Key("a");
  EXPECT_NE(verify(forged).find("separator"), std::string::npos);
  forged = sound;
  forged.filter = true;
  EXPECT_NE(verify(forged).find("missing in the filter"), std::string::npos);
  forged = sound;
  forged.properties.user_keys = 1;
  EXPECT_NE(verify(forged).find("user keys"), std::string::npos);
  // Entries are 13 bytes each: 3 lengths, 9 bytes of key, 1 of value.
  const auto restarts = [](std::initializer_list<uint32_t> words) {
    std::string bytes;
    for (const uint32_t word : words) PutFixed32(&bytes, word);
    return bytes;
  };
  forged = sound;
  forged.restarts = restarts({0, 13, 2});
  EXPECT_EQ(verify(forged), "OK");
  forged.restarts = restarts({0, 12, 2});
  EXPECT_NE(verify(forged).find("restart point 12 is no entry"), std::string::npos);
}

}  // namespace
}  // namespace tinyobs::sstable
