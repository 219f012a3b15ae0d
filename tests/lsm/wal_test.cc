// The log: what was written is read back; a torn tail is told from damage.
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/lsm/wal_reader.h"
#include "lib/lsm/wal_writer.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::lsm {
namespace {

using absl::StatusCode;
using testing::Fault;
using testing::MemoryFileSystem;
using testing::Operation;

constexpr WalIdentity kIdentity{.kind = kWalKindStore, .number = 7, .previous = 5};
const char kPath[] = "/log";

struct Log {
  std::vector<std::string> records;
  absl::Status status;
  bool sealed = false;
  uint64_t torn_bytes = 0;
  uint64_t durable_bytes = 0;
};

class WalTest : public ::testing::Test {
 protected:
  WalTest() { EXPECT_OK(Create()); }

  absl::Status Create() {
    auto writer = WalWriter::Create(&fs_, kPath, kIdentity);
    if (!writer.ok()) return writer.status();
    writer_ = *std::move(writer);
    return absl::OkStatus();
  }
  void Write(std::string_view record) {
    writer_->Add(record);
    ASSERT_OK(writer_->Write());
  }
  std::string Bytes() { return *fs_.Contents(kPath); }

  Log Read(uint64_t number = kIdentity.number, uint32_t kind = kIdentity.kind) {
    Log log;
    auto file = fs_.OpenRandomAccess(kPath);
    EXPECT_OK(file);
    auto reader = WalReader::Open(file->get(), kPath, kind, number);
    if (!reader.ok()) {
      log.status = reader.status();
      return log;
    }
    std::string_view record;
    while (true) {
      auto more = (*reader)->Next(&record);
      if (!more.ok()) log.status = more.status();
      if (!more.ok() || !*more) break;
      log.records.emplace_back(record);
    }
    log.sealed = (*reader)->sealed();
    log.torn_bytes = (*reader)->torn_bytes();
    log.durable_bytes = (*reader)->durable_bytes();
    return log;
  }
  // What a reader says of `bytes`.
  Log ReadBytes(std::string_view bytes) {
    EXPECT_OK(fs_.SetContents(kPath, bytes));
    return Read();
  }

  MemoryFileSystem fs_;
  std::unique_ptr<WalWriter> writer_;
};

TEST_F(WalTest, RecordsOfAllSizesComeBackInOrder) {
  std::vector<std::string> records;
  for (const size_t size : {0u, 1u, 7u, 100u, 65'000u, 65'536u, 70'000u, 3u, 1'000'000u, 0u}) {
    records.emplace_back(size, static_cast<char>('a' + records.size()));
    writer_->Add(records.back().substr(0, size / 2), records.back().substr(size / 2));
  }
  ASSERT_OK(writer_->Write());
  ASSERT_OK(writer_->Seal());
  const Log log = Read();
  EXPECT_OK(log.status);
  EXPECT_EQ(log.records, records);
  EXPECT_TRUE(log.sealed);
  EXPECT_EQ(log.torn_bytes, 0u);
}

TEST_F(WalTest, TheBytesAreThoseOfTheExampleInTheFormatDescription) {
  ASSERT_OK_AND_ASSIGN(
      writer_, WalWriter::Create(&fs_, kPath, {.kind = kWalKindStore, .number = 2, .previous = 0}));
  Write("hi");
  const std::string expected(
      "\x0d\x3e\x2b\x56\x01\x02\x00\x00TinyObsL"
      "\x01\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00"
      "\x00\x00\x00\x00\x00\x00\x00\x00"
      "\xdb\x6b\xe3\x7f\x22\x00\x00\x00hi",
      50);
  EXPECT_EQ(Bytes(), expected);
}

TEST_F(WalTest, EverythingAddedGoesIntoOneAppend) {
  const uint64_t before = fs_.Count(Operation::kAppend);
  for (int i = 0; i < 100; ++i) writer_->Add("record");
  ASSERT_OK(writer_->Write());
  EXPECT_EQ(fs_.Count(Operation::kAppend), before + 1);
}

TEST_F(WalTest, AnEmptyFileIsALogWithoutRecords) {
  const Log log = Read();
  EXPECT_OK(log.status);
  EXPECT_TRUE(log.records.empty());
  EXPECT_FALSE(log.sealed);
}

TEST_F(WalTest, ALogCutAnywhereGivesTheWholeRecordsBeforeTheCut) {
  std::vector<uint64_t> ends;
  for (int i = 0; i < 5; ++i) {
    Write(std::string(static_cast<size_t>(i) * 10, 'x'));
    ends.push_back(writer_->size_bytes());
  }
  const std::string bytes = Bytes();
  for (size_t size = 0; size <= bytes.size(); ++size) {
    const Log log = ReadBytes(std::string_view(bytes).substr(0, size));
    ASSERT_OK(log.status) << size;
    size_t whole = 0;
    while (whole < ends.size() && ends[whole] <= size) ++whole;
    ASSERT_EQ(log.records.size(), whole) << size;
    // Zeros at the end do not count: they may have been allocated in advance.
    const uint64_t good = whole > 0 ? ends[whole - 1] : (size >= 40 ? 40 : 0);
    const size_t end = bytes.substr(good, size - good).find_last_not_of('\0') + 1;
    ASSERT_EQ(log.torn_bytes, end) << size;
  }
}

TEST_F(WalTest, DamageBeforeTheDurableMarkIsDataLossAndBehindItATornTail) {
  Write("first");
  ASSERT_OK(writer_->Sync());
  const uint64_t durable = writer_->size_bytes();
  Write("second");
  Write("third");
  const std::string bytes = Bytes();
  int torn = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const char flip : {'\x01', '\x80', '\xff'}) {
      std::string damaged = bytes;
      damaged[i] ^= flip;
      const Log log = ReadBytes(damaged);
      if (i < durable) {
        ASSERT_CODE(log.status, StatusCode::kDataLoss) << i;
      } else {
        ASSERT_OK(log.status) << i;
        ASSERT_GE(log.records.size(), 1u) << i;
        ASSERT_LT(log.records.size(), 3u) << i;
        ASSERT_GT(log.torn_bytes, 0u);
        ++torn;
      }
    }
  }
  EXPECT_GT(torn, 0);
}

TEST_F(WalTest, EveryDamagedByteOfASealedAndSyncedLogIsNoticedOrHarmless) {
  Write("first");
  Write(std::string(300, 'y'));
  ASSERT_OK(writer_->Sync());
  ASSERT_OK(writer_->Seal());
  const std::string bytes = Bytes();
  const std::vector<std::string> records = Read().records;
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] ^= '\x10';
    const Log log = ReadBytes(damaged);
    if (log.status.ok()) {
      ASSERT_EQ(log.records, records) << i;
    } else {
      ASSERT_CODE(log.status, StatusCode::kDataLoss) << i;
    }
  }
}

TEST_F(WalTest, AHoleOfZerosInTheUnsyncedPartIsATornTailEvenWithGoodRecordsBehind) {
  Write("first");
  ASSERT_OK(writer_->Sync());
  Write("lost page");
  Write("page that the disk wrote early");
  std::string bytes = Bytes();
  const size_t hole = bytes.find("lost page") - kFrameHeaderBytes;
  bytes.replace(hole, kFrameHeaderBytes + 9, kFrameHeaderBytes + 9, '\0');
  const Log log = ReadBytes(bytes);
  EXPECT_OK(log.status);
  EXPECT_EQ(log.records, std::vector<std::string>{"first"});
  EXPECT_EQ(log.torn_bytes, bytes.size() - hole);
}

TEST_F(WalTest, MarksFarBehindTheDamageAreFound) {
  Write("first");
  for (int i = 0; i < 40; ++i) Write(std::string(10'000, 'z'));
  ASSERT_OK(writer_->Sync());
  Write("last");
  std::string bytes = Bytes();
  bytes[50] ^= 1;
  EXPECT_CODE(ReadBytes(bytes).status, StatusCode::kDataLoss);
}

TEST_F(WalTest, AMarkInsideARecordIsNoMark) {
  // A record that holds the bytes of another log, marks and all.
  Write("first");
  ASSERT_OK(writer_->Sync());
  Write("second");
  ASSERT_OK(writer_->Seal());
  const std::string other = Bytes();
  ASSERT_OK(Create());
  Write("victim");
  Write(other);
  std::string bytes = Bytes();
  bytes[44] ^= 1;
  const Log log = ReadBytes(bytes);
  EXPECT_OK(log.status);
  EXPECT_TRUE(log.records.empty());
}

TEST_F(WalTest, AFileUnderAWrongNameOrOfAnotherKindIsDataLoss) {
  Write("first");
  EXPECT_CODE(Read(8).status, StatusCode::kDataLoss);
  EXPECT_CODE(Read(7, kWalKindManifest).status, StatusCode::kDataLoss);
}

TEST_F(WalTest, ANewerFormatVersionIsRefused) {
  Write("first");
  std::string bytes = Bytes();
  StoreFixed32(bytes.data() + kFrameHeaderBytes + 8, kWalFormatVersion + 1);
  StoreFixed32(bytes.data(),
               FrameChecksum(std::string_view(bytes).substr(4, 4 + kHeaderPayloadBytes), 0, 0));
  EXPECT_CODE(ReadBytes(bytes).status, StatusCode::kFailedPrecondition);
}

TEST_F(WalTest, AFailedWriteOrSyncKillsTheWriter) {
  Write("first");
  fs_.AddFault({.operation = Operation::kSync});
  EXPECT_CODE(writer_->Sync(), StatusCode::kUnavailable);
  EXPECT_CODE(writer_->Sync(), StatusCode::kUnavailable);
  writer_->Add("more");
  EXPECT_CODE(writer_->Write(), StatusCode::kUnavailable);
  EXPECT_EQ(Read().records.size(), 1u);
}

TEST_F(WalTest, TheFirstSyncMakesTheNameDurableToo) {
  Write("first");
  ASSERT_OK(writer_->Sync());
  fs_.Crash();
  EXPECT_EQ(Read().records.size(), 1u);
}

TEST_F(WalTest, ALogOfManyWritesGetsItsSpaceInAdvanceAndGivesTheRestBack) {
  for (int i = 0; i < 16; ++i) {
    Write("record");
    ASSERT_OK(writer_->Sync());
    EXPECT_EQ(writer_->file_bytes(), writer_->size_bytes()) << i;
  }
  EXPECT_EQ(fs_.Count(Operation::kPreallocate), 0u);
  uint64_t last_size = 0;
  while (writer_->size_bytes() < 3'000'000) {
    Write(std::string(10'000, 'r'));
    ASSERT_OK(writer_->Sync());
    last_size = *fs_.FileSize(kPath);
    ASSERT_EQ(last_size, writer_->file_bytes());
    ASSERT_LE(last_size, 2 * writer_->size_bytes() + 70'000);
  }
  EXPECT_LT(fs_.Count(Operation::kPreallocate), 10u);
  EXPECT_GT(last_size, writer_->size_bytes());
  // As a process leaves it that dies here.
  const uint64_t records = writer_->records();
  Log log = Read();
  EXPECT_OK(log.status);
  EXPECT_EQ(log.records.size(), records);
  EXPECT_EQ(log.torn_bytes, 0u);
  ASSERT_OK(writer_->Seal());
  EXPECT_EQ(*fs_.FileSize(kPath), writer_->size_bytes());
  EXPECT_EQ(writer_->file_bytes(), writer_->size_bytes());
  log = Read();
  EXPECT_OK(log.status);
  EXPECT_TRUE(log.sealed);
  EXPECT_EQ(log.records.size(), records);
}

TEST_F(WalTest, ALogOfFewWritesOrAManifestGetsNoSpaceInAdvance) {
  for (int i = 0; i < 16; ++i) Write(std::string(100'000, 'r'));
  ASSERT_OK_AND_ASSIGN(writer_, WalWriter::Create(&fs_, "/manifest", {kWalKindManifest, 3, 0}));
  for (int i = 0; i < 20; ++i) {
    Write("edit");
    ASSERT_OK(writer_->Sync());
  }
  EXPECT_EQ(fs_.Count(Operation::kPreallocate), 0u);
}

TEST_F(WalTest, AFileSystemThatCannotPreallocateIsAskedOnceAndIsNoTrouble) {
  fs_.AddFault({.operation = Operation::kPreallocate, .count = MemoryFileSystem::kUnlimited});
  for (int i = 0; i < 20; ++i) {
    Write("record");
    ASSERT_OK(writer_->Sync());
  }
  ASSERT_OK(writer_->Seal());
  EXPECT_EQ(fs_.Count(Operation::kPreallocate), 2u);  // the second gives back what it got
  EXPECT_EQ(Read().records.size(), 20u);
}

// In each way that a crash can leave it: all synced records, then a prefix of the others.
TEST_F(WalTest, APowerCutInASpaceAllocatedInAdvanceCutsNothingThatWasSynced) {
  for (int i = 0; i < 20; ++i) {
    Write(StrCat("synced", i));
    ASSERT_OK(writer_->Sync());
  }
  ASSERT_GT(writer_->file_bytes(), writer_->size_bytes());
  for (int i = 0; i < 10; ++i) Write(StrCat("unsynced", i));
  const uint64_t unsynced_bytes = writer_->size_bytes() - writer_->durable_bytes();
  int torn = 0, clean = 0;
  std::vector<std::string> remains;
  for (const testing::Keep keep : {testing::Keep::kNothing, testing::Keep::kTorn,
                                   testing::Keep::kReordered, testing::Keep::kAll}) {
    for (uint64_t seed = 0; seed < 50; ++seed) {
      const auto left = fs_.CloneAfterCrash(
          {.keep_bytes = keep, .keep_names = keep, .seed = seed, .page_bytes = 16});
      remains.push_back(*left->Contents(kPath));
    }
  }
  for (size_t at = 0; at < remains.size(); ++at) {
    const Log log = ReadBytes(remains[at]);
    ASSERT_OK(log.status) << at;
    ASSERT_GE(log.records.size(), 20u) << at;
    for (size_t i = 0; i < log.records.size(); ++i) {
      ASSERT_EQ(log.records[i], i < 20 ? StrCat("synced", i) : StrCat("unsynced", i - 20));
    }
    ASSERT_LE(log.torn_bytes, unsynced_bytes);
    ++(log.torn_bytes > 0 ? torn : clean);
  }
  EXPECT_GT(torn, 10);
  EXPECT_GT(clean, 10);
}

TEST_F(WalTest, DamageBeforeAMarkIsDataLossThoughZerosFollow) {
  for (int i = 0; i < 20; ++i) {
    Write("record");
    ASSERT_OK(writer_->Sync());
  }
  std::string bytes = Bytes();
  bytes.replace(60, 100, 100, '\0');
  EXPECT_CODE(ReadBytes(bytes).status, StatusCode::kDataLoss);
}

}  // namespace
}  // namespace tinyobs::lsm
