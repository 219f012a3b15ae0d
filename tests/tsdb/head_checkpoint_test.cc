// Head checkpoints: what was put in comes out, a file that is not whole is refused, and the filter
// skips exactly the samples that a slice holds.
#include "lib/tsdb/head_checkpoint.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/lsm/wal_reader.h"
#include "lib/tsdb/head.h"
#include "lib/tsdb/head_log.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

using testing::Keep;
using testing::MemoryFileSystem;

constexpr uint64_t kNumber = 7;
const std::string kFolder = "/head";

HeadPin PinOf(const std::vector<CheckpointStretch>& stretches) {
  HeadPin pin;
  pin.bytes = "other bytes";
  for (const CheckpointStretch& stretch : stretches) {
    HeadPin::Stretch& pinned = pin.stretches.emplace_back();
    pinned.ref = stretch.ref;
    pinned.late = stretch.late;
    pinned.first_ms = stretch.first_ms;
    pinned.count = stretch.count;
    pinned.offset = static_cast<uint32_t>(pin.bytes.size());
    pinned.bytes = static_cast<uint32_t>(stretch.stream.size());
    pin.bytes.append(stretch.stream);
  }
  return pin;
}

// What a reader hears, as text.
struct Heard {
  std::string text;
  CheckpointCallbacks callbacks{
      [this](const CheckpointSlice& slice) {
        text += "[" + std::to_string(slice.begin) + "," + std::to_string(slice.end) + ")@" +
                std::to_string(slice.records) + " ";
        return absl::OkStatus();
      },
      [this](const CheckpointStretch& stretch) {
        text += std::to_string(stretch.ref) + (stretch.late ? "late" : "") + ":" +
                std::to_string(stretch.first_ms) + "*" + std::to_string(stretch.count) + "=" +
                std::string(stretch.stream.substr(0, 10)) + " ";
        return absl::OkStatus();
      }};
};

class HeadCheckpointTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(disk_.CreateDirectories(kFolder)); }

  std::unique_ptr<HeadCheckpointWriter> NewWriter() {
    auto writer = HeadCheckpointWriter::Create(&disk_, kFolder, kNumber);
    EXPECT_OK(writer);
    return *std::move(writer);
  }
  void WriteTwoSlices() {
    auto writer = NewWriter();
    ASSERT_OK(writer->AddSlice({0, 1024, 5}, PinOf({{3, false, 1000, 2, "three"},
                                                    {3, true, -50, 1, "late"},
                                                    {1000, false, INT64_MIN, 1, ""}})));
    ASSERT_OK(writer->AddSlice({1024, kMaxSeriesRef + 1, 6},
                               PinOf({{kMaxSeriesRef, true, INT64_MAX, 9, "last"}})));
    ASSERT_OK(writer->Finish());
  }
  absl::Status Read(Heard* heard, uint64_t number = kNumber) {
    const std::string path = CheckpointPath(kFolder, kNumber);
    auto file = disk_.OpenRandomAccess(path);
    return file.ok() ? ReadHeadCheckpoint(file->get(), path, number, heard->callbacks)
                     : file.status();
  }

  MemoryFileSystem disk_;
};

TEST_F(HeadCheckpointTest, SlicesAndStretchesComeBackInOrder) {
  WriteTwoSlices();
  Heard heard;
  ASSERT_OK(Read(&heard));
  EXPECT_EQ(heard.text,
            "[0,1024)@5 3:1000*2=three 3late:-50*1=late 1000:-9223372036854775808*1= "
            "[1024,2147483648)@6 2147483647late:9223372036854775807*9=last ");
}

TEST_F(HeadCheckpointTest, TheExampleOfTheFormatHoldsToTheByte) {
  // With the stream that the head makes of these samples.
  Head head(Partitioning(7'200'000), {}, nullptr);
  head.AddSeries(3);
  SampleBatch batch;
  batch.Add(3, 1000, 1);
  batch.Add(3, 1015, 1);
  ASSERT_OK(head.Stage(batch, nullptr));
  head.Apply(/*now_ms=*/0);
  HeadPin pin;
  head.PinUnfrozen(0, 1024, &pin);
  auto writer = NewWriter();
  ASSERT_OK(writer->AddSlice({0, 1024, 5}, pin));
  ASSERT_OK(writer->Finish());
  const std::string path = CheckpointPath(kFolder, kNumber);
  ASSERT_OK_AND_ASSIGN(const auto file, disk_.OpenRandomAccess(path));
  ASSERT_OK_AND_ASSIGN(const auto reader,
                       lsm::WalReader::Open(file.get(), path, kWalKindCheckpoint, kNumber));
  const std::string expected[] = {std::string("\x01\x00\x80\x08\x05", 5),
                                  std::string("\x02\x06\xd0\x0f\x02\x04\x00\x06\x03\x1e", 10),
                                  "\x03\x02"};
  std::string_view record;
  for (const std::string& bytes : expected) {
    ASSERT_OK_AND_ASSIGN(const bool more, reader->Next(&record));
    EXPECT_TRUE(more);
    EXPECT_EQ(record, bytes);
  }
  ASSERT_OK_AND_ASSIGN(const bool more, reader->Next(&record));
  EXPECT_FALSE(more);
}

TEST_F(HeadCheckpointTest, ASliceLargerThanARecordComesBack) {
  const std::string stream(100'000, 'x');
  std::vector<CheckpointStretch> stretches;
  std::string expected = "[10,60)@0 ";
  for (SeriesRef ref = 10; ref < 50; ++ref) {
    stretches.push_back({ref, false, ref * 1000, 1, stream});
    expected += std::to_string(ref) + ":" + std::to_string(ref * 1000) + "*1=xxxxxxxxxx ";
  }
  auto writer = NewWriter();
  ASSERT_OK(writer->AddSlice({10, 60, 0}, PinOf(stretches)));
  ASSERT_OK(writer->AddSlice({60, 61, 1}, {}));
  ASSERT_OK(writer->Finish());
  Heard heard;
  ASSERT_OK(Read(&heard));
  EXPECT_EQ(heard.text, expected + "[60,61)@1 ");
}

TEST_F(HeadCheckpointTest, ItsNameAppearsOnlyWhenItIsDurableAndWhole) {
  for (uint64_t changes = 0;; ++changes) {
    MemoryFileSystem disk;
    ASSERT_OK(disk.CreateDirectories(kFolder));
    disk.PowerCutAfter(changes);
    absl::Status status;
    auto writer = HeadCheckpointWriter::Create(&disk, kFolder, kNumber);
    status = writer.status();
    if (status.ok()) status = (*writer)->AddSlice({0, 9, 1}, PinOf({{3, false, 1, 2, "three"}}));
    if (status.ok()) status = (*writer)->Finish();
    const bool finished = status.ok();
    writer = absl::UnavailableError("died");
    for (const Keep keep : {Keep::kNothing, Keep::kTorn, Keep::kReordered, Keep::kAll}) {
      const auto after = disk.CloneAfterCrash({keep, keep, changes});
      const std::string path = CheckpointPath(kFolder, kNumber);
      EXPECT_TRUE(!finished || after->FileExists(path));
      if (!after->FileExists(path)) continue;
      ASSERT_OK_AND_ASSIGN(const auto file, after->OpenRandomAccess(path));
      Heard heard;
      EXPECT_OK(ReadHeadCheckpoint(file.get(), path, kNumber, heard.callbacks)) << changes;
      EXPECT_EQ(heard.text, "[0,9)@1 3:1*2=three ");
    }
    if (finished) break;
  }
}

TEST_F(HeadCheckpointTest, AFlippedOrMissingByteIsDataLoss) {
  WriteTwoSlices();
  const std::string path = CheckpointPath(kFolder, kNumber);
  ASSERT_OK_AND_ASSIGN(const std::string good, disk_.Contents(path));
  for (size_t i = 0; i < good.size(); ++i) {
    std::string bytes = good;
    bytes[i] = static_cast<char>(bytes[i] ^ 0x10);
    ASSERT_OK(disk_.SetContents(path, bytes));
    Heard heard;
    EXPECT_FALSE(Read(&heard).ok()) << i;
    ASSERT_OK(disk_.SetContents(path, good.substr(0, i)));
    EXPECT_CODE(Read(&heard), absl::StatusCode::kDataLoss) << i;
  }
  ASSERT_OK(disk_.SetContents(path, good));
  Heard heard;
  EXPECT_CODE(Read(&heard, kNumber + 1), absl::StatusCode::kDataLoss);
  EXPECT_OK(Read(&heard));
}

TEST_F(HeadCheckpointTest, ErrorsOfCallbacksNameTheFile) {
  WriteTwoSlices();
  Heard heard;
  heard.callbacks.stretch = [](const CheckpointStretch&) {
    return absl::DataLossError("bad stream");
  };
  const absl::Status status = Read(&heard);
  EXPECT_CODE(status, absl::StatusCode::kDataLoss);
  EXPECT_NE(status.ToString().find("/head/000007.checkpoint: offset "), std::string::npos);
}

TEST(CheckpointDecoder, HostileRecordsAreRefused) {
  const std::vector<std::string> bad[] = {
      {""},
      {std::string("\x01\x00\x00\x00", 4)},                           // an empty slice
      {"\x01\x05\x05\x01", "\x01\x04\x05\x01"},                       // slices go back
      {std::string("\x02\x00\x00\x01\x00", 5)},                       // a stretch without a slice
      {"\x01\x05\x05\x01", std::string("\x02\x0a\x00\x01\x00", 5)},   // behind its slice
      {"\x01\x05\x05\x01", std::string("\x02\x00\x00\x00\x00", 5)},   // without samples
      {"\x01\x05\x05\x01", std::string("\x02\x00\x00\x01\x05x", 6)},  // a stream cut off
      {"\x01\x05\x05\x01", "\x02\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
      {"\x01\xff\xff\xff\xff\x0f\x01\x01"},  // refs beyond the largest
      {"\x01\x05\xff\xff\xff\xff\x0f\x01"},
      {"\x01\x05\x05\x01\x01"},                          // bytes left over
      {std::string("\x03\x00", 2), "\x01\x05\x05\x01"},  // something behind the end
  };
  for (const auto& records : bad) {
    Heard heard;
    CheckpointDecoder decoder(heard.callbacks);
    absl::Status status;
    for (const std::string& record : records) {
      EXPECT_OK(status);
      status = decoder.Decode(record);
    }
    EXPECT_CODE(status, absl::StatusCode::kDataLoss) << heard.text;
  }
  Heard heard;
  CheckpointDecoder decoder(heard.callbacks);
  EXPECT_CODE(decoder.Decode("\x04"), absl::StatusCode::kFailedPrecondition);
  EXPECT_FALSE(decoder.complete());
  ASSERT_OK(decoder.Decode("\x03\x01"));
  EXPECT_FALSE(decoder.complete()) << "a sample is missing";
}

TEST(ReplayFilter, SkipsWhatASliceHoldsAndNothingElse) {
  ReplayFilter filter(kNumber);
  filter.AddSlice({0, 10, 3});
  filter.AddSlice({10, 20, 5});
  filter.AddSlice({30, 40, 0});
  for (uint64_t segment = kNumber; segment <= kNumber + 1; ++segment) {
    for (uint64_t index = 0; index < 8; ++index) {
      SampleBatch batch;
      SampleBatch expected;
      for (SeriesRef ref = 0; ref < 50; ++ref) {
        const bool held =
            segment == kNumber && ((ref < 10 && index < 3) || (ref >= 10 && ref < 20 && index < 5));
        EXPECT_EQ(filter.Skip(segment, index, ref), held) << index << " " << ref;
        batch.Add(ref, ref, 0.5 * ref);
        if (!held) expected.Add(ref, ref, 0.5 * ref);
      }
      filter.Remove(segment, index, &batch);
      EXPECT_EQ(batch.refs, expected.refs);
      EXPECT_EQ(batch.timestamps_ms, expected.timestamps_ms);
      EXPECT_EQ(batch.values, expected.values);
    }
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
