// The head's files as a whole: segments written by HeadLog, checkpoints between them, and what
// HeadReplay makes of them, undamaged, torn, damaged, or deleted while they are read.
//
// The last test is a model: a head that keeps everything, commits at random, and checkpoints in
// slices with commits between them. After each step the disk is cloned as a power cut leaves it and
// replayed: every acknowledged sample is there, once, in order.
#include "lib/tsdb/head_log.h"

#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/tsdb/head_checkpoint.h"
#include "lib/tsdb/head_replay.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

using testing::Keep;
using testing::MemoryFileSystem;
struct TimedValue {
  int64_t t;
  double v;
  bool operator==(const TimedValue&) const = default;
};
using Samples = std::map<SeriesRef, std::vector<TimedValue>>;

const std::string kFolder = "/head";

// A checkpoint's stream in these tests: pairs as they are in memory.
std::string StreamOf(const std::vector<TimedValue>& samples) {
  return std::string(reinterpret_cast<const char*>(samples.data()),
                     samples.size() * sizeof(samples[0]));
}

// Writes like the head and its leader, and remembers what it wrote.
class Writer {
 public:
  explicit Writer(FileSystem* disk) : log_(disk, kFolder) {}

  absl::Status Begin(uint64_t number) {
    states_.clear();
    return log_.Begin(number, /*abandon_old=*/false);
  }
  absl::Status Commit(const SampleBatch& batch) {
    std::string record;
    BeginCommit({}, {}, &record);
    SampleSectionWriter writer(&record);
    writer.Begin(batch.size());
    for (size_t i = 0; i < batch.size(); ++i) {
      Put(&writer, batch.refs[i], batch.timestamps_ms[i], batch.values[i]);
    }
    writer.Finish();
    log_.Add(record);
    const absl::Status status = log_.Write();
    return status.ok() ? log_.Sync() : status;
  }
  absl::Status Commit(SeriesRef ref, int64_t t) {
    SampleBatch batch;
    batch.Add(ref, t, static_cast<double>(t));
    return Commit(batch);
  }
  // A slice of what is there now.
  absl::Status AddSlice(SeriesRef begin, SeriesRef end, HeadCheckpointWriter* checkpoint) {
    HeadPin pin;
    for (auto at = all_.lower_bound(begin); at != all_.end() && at->first < end; ++at) {
      const std::string stream = StreamOf(at->second);
      HeadPin::Stretch& stretch = pin.stretches.emplace_back();
      stretch.ref = at->first;
      stretch.count = static_cast<uint32_t>(at->second.size());
      stretch.offset = static_cast<uint32_t>(pin.bytes.size());
      stretch.bytes = static_cast<uint32_t>(stream.size());
      pin.bytes += stream;
    }
    return checkpoint->AddSlice({begin, end, log_.records()}, pin);
  }

  HeadLog& log() { return log_; }
  const Samples& all() const { return all_; }

 private:
  void Put(SampleSectionWriter* writer, SeriesRef ref, int64_t t, double v) {
    all_[ref].push_back({t, v});
    const auto [found, is_new] = states_.try_emplace(ref);
    if (is_new) StartDelta(&found->second, t, v, kNoExponent);
    if (is_new || t <= found->second.last_ms) {
      return writer->Absolute(ref, t, v, found->second, /*late=*/!is_new);
    }
    char code[kMaxDeltaBytes];
    const size_t bytes = EncodeDelta(&found->second, t, v, code);
    writer->Delta(ref, code, bytes);
  }

  HeadLog log_;
  std::map<SeriesRef, DeltaState> states_;
  Samples all_;
};

// What a replay brought.
struct Replayed {
  Samples samples;
  ReplayReport report;
  std::vector<std::pair<uint64_t, uint64_t>> progress;
  ReplayCallbacks callbacks{
      [this](const CheckpointStretch& stretch) {
        auto& series = samples[stretch.ref];
        EXPECT_EQ(stretch.stream.size(), stretch.count * sizeof(series[0]));
        series.resize(series.size() + stretch.count);
        std::memcpy(&series[series.size() - stretch.count], stretch.stream.data(),
                    stretch.stream.size());
        return absl::OkStatus();
      },
      [this](DecodedCommit* commit) {
        const SampleBatch& batch = commit->samples;
        for (size_t i = 0; i < batch.size(); ++i) {
          samples[batch.refs[i]].push_back({batch.timestamps_ms[i], batch.values[i]});
        }
        return absl::OkStatus();
      },
      [this](uint64_t done, uint64_t total) { progress.emplace_back(done, total); }};

  absl::Status Run(FileSystem* disk) {
    const auto files = ListHeadFiles(disk, kFolder);
    if (!files.ok()) return files.status();
    auto replay = HeadReplay::Open(disk, kFolder, *files);
    return replay.ok() ? (*replay)->Run(callbacks, &report) : replay.status();
  }
};

class HeadLogTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(disk_.CreateDirectories(kFolder)); }
  // Segments 1 to 3 with two commits each.
  void WriteThreeSegments() {
    for (uint64_t number = 1; number <= 3; ++number) {
      ASSERT_OK(writer_.Begin(number));
      ASSERT_OK(writer_.Commit(1, static_cast<int64_t>(number) * 1000));
      ASSERT_OK(writer_.Commit(2, static_cast<int64_t>(number) * 1000));
    }
  }
  // Behind the last record, in the place of zeros allocated in advance.
  void TearLastSegment(std::string_view bytes) {
    const std::string path = SegmentPath(kFolder, writer_.log().number());
    ASSERT_OK_AND_ASSIGN(std::string contents, disk_.Contents(path));
    contents.resize(writer_.log().segment_bytes());
    contents += bytes;
    ASSERT_OK(disk_.SetContents(path, contents));
  }

  MemoryFileSystem disk_;
  Writer writer_{&disk_};
};

TEST_F(HeadLogTest, AnEmptyFolderReplaysNothing) {
  Replayed replayed;
  ASSERT_OK(replayed.Run(&disk_));
  EXPECT_TRUE(replayed.samples.empty());
  EXPECT_FALSE(replayed.report.found_anything);
}

TEST_F(HeadLogTest, SegmentsReplayInOrder) {
  WriteThreeSegments();
  Replayed replayed;
  ASSERT_OK(replayed.Run(&disk_));
  EXPECT_EQ(replayed.samples, writer_.all());
  EXPECT_EQ(replayed.report.records, 6u);
  EXPECT_EQ(replayed.report.samples, 6u);
  EXPECT_EQ(replayed.report.torn_bytes, 0u);
  EXPECT_TRUE(replayed.report.found_anything);
}

TEST_F(HeadLogTest, AMissingSegmentIsDataLoss) {
  WriteThreeSegments();
  ASSERT_OK(disk_.DeleteFile(SegmentPath(kFolder, 2)));
  Replayed replayed;
  const absl::Status status = replayed.Run(&disk_);
  EXPECT_CODE(status, absl::StatusCode::kDataLoss);
  EXPECT_NE(status.ToString().find("/head/000002.log"), std::string::npos);
}

TEST_F(HeadLogTest, ATornTailIsCountedAndLeftAlone) {
  WriteThreeSegments();
  TearLastSegment("torn");
  ASSERT_OK_AND_ASSIGN(const std::string before, disk_.Contents(SegmentPath(kFolder, 3)));
  Replayed replayed;
  ASSERT_OK(replayed.Run(&disk_));
  EXPECT_EQ(replayed.samples, writer_.all());
  EXPECT_EQ(replayed.report.torn_bytes, 4u);
  ASSERT_OK_AND_ASSIGN(const std::string after, disk_.Contents(SegmentPath(kFolder, 3)));
  EXPECT_EQ(before, after);
}

TEST_F(HeadLogTest, ATornTailBeforeASegmentWithRecordsIsDataLoss) {
  ASSERT_OK(writer_.Begin(1));
  ASSERT_OK(writer_.Commit(1, 1000));
  HeadLog second(&disk_, kFolder);  // the first is not sealed, as after a crash
  ASSERT_OK(second.Begin(2, false));
  {
    Replayed replayed;
    EXPECT_OK(replayed.Run(&disk_));  // claimed, and nothing written yet
  }
  std::string record;
  BeginCommit({}, {}, &record);
  second.Add(record);
  ASSERT_OK(second.Write());
  Replayed replayed;
  EXPECT_CODE(replayed.Run(&disk_), absl::StatusCode::kDataLoss);
}

TEST_F(HeadLogTest, ASegmentThatNeedsTheOneBeforeIsDataLoss) {
  ASSERT_OK(writer_.Begin(1));
  ASSERT_OK(writer_.Commit(1, 1000));
  ASSERT_OK(writer_.log().Begin(2, false));  // the series goes on as if in segment 1
  ASSERT_OK(writer_.Commit(1, 2000));
  Replayed replayed;
  EXPECT_CODE(replayed.Run(&disk_), absl::StatusCode::kDataLoss);
}

TEST_F(HeadLogTest, ErrorsSayWhere) {
  ASSERT_OK(writer_.Begin(1));
  ASSERT_OK(writer_.Commit(1, 1000));
  writer_.log().Add("\x09");
  ASSERT_OK(writer_.log().Write());
  Replayed replayed;
  const absl::Status status = replayed.Run(&disk_);
  EXPECT_CODE(status, absl::StatusCode::kFailedPrecondition);
  EXPECT_NE(status.ToString().find("/head/000001.log: offset "), std::string::npos) << status;
}

TEST_F(HeadLogTest, AReplayGoesOnAlthoughTheFilesAreDeleted) {
  WriteThreeSegments();
  ASSERT_OK_AND_ASSIGN(const HeadFiles files, ListHeadFiles(&disk_, kFolder));
  ASSERT_OK_AND_ASSIGN(const auto replay, HeadReplay::Open(&disk_, kFolder, files));
  ASSERT_OK(DeleteReplaced(&disk_, kFolder, 3));
  Replayed replayed;
  ASSERT_OK(replay->Run(replayed.callbacks, &replayed.report));
  EXPECT_EQ(replayed.samples, writer_.all());
}

TEST_F(HeadLogTest, AFileGoneSinceTheListingAsksForAnother) {
  WriteThreeSegments();
  ASSERT_OK_AND_ASSIGN(HeadFiles files, ListHeadFiles(&disk_, kFolder));
  ASSERT_OK_AND_ASSIGN(auto checkpoint, HeadCheckpointWriter::Create(&disk_, kFolder, 3));
  ASSERT_OK(checkpoint->Finish());
  ASSERT_OK(DeleteReplaced(&disk_, kFolder, 3));
  EXPECT_CODE(HeadReplay::Open(&disk_, kFolder, files), absl::StatusCode::kAborted);
  // A listing that the deletions overtook may lack a file in the middle.
  files.segments = {2, 3};
  EXPECT_CODE(HeadReplay::Open(&disk_, kFolder, files), absl::StatusCode::kAborted);
  files.checkpoints = {1};
  EXPECT_CODE(HeadReplay::Open(&disk_, kFolder, files), absl::StatusCode::kAborted);
  ASSERT_OK_AND_ASSIGN(files, ListHeadFiles(&disk_, kFolder));
  EXPECT_OK(HeadReplay::Open(&disk_, kFolder, files));
}

TEST_F(HeadLogTest, ProgressEndsAtTheTotalAndComesNowAndThen) {
  ASSERT_OK(writer_.Begin(1));
  SampleBatch batch;
  for (SeriesRef ref = 0; ref < 60'000; ++ref) batch.Add(ref, 0, 0.1 * ref);
  for (int i = 0; i < 20; ++i) {
    batch.timestamps_ms.assign(batch.size(), (i + 1) * 15'000 + i);
    for (double& value : batch.values) value += 1.0 / 3;
    ASSERT_OK(writer_.Commit(batch));
  }
  Replayed replayed;
  ASSERT_OK(replayed.Run(&disk_));
  EXPECT_EQ(replayed.samples, writer_.all());
  ASSERT_GE(replayed.progress.size(), 3u);
  EXPECT_LE(replayed.progress.size(), 17u);
  for (size_t i = 1; i < replayed.progress.size(); ++i) {
    EXPECT_GT(replayed.progress[i].first, replayed.progress[i - 1].first);
  }
  EXPECT_EQ(replayed.progress.back().first, replayed.progress.back().second);
}

TEST_F(HeadLogTest, NothingIsAppliedTwiceWhereverTheCheckpointAndThePowerCutFall) {
  for (uint64_t seed = 1; seed <= 15; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    MemoryFileSystem disk;
    ASSERT_OK(disk.CreateDirectories(kFolder));
    Writer writer(&disk);
    uint64_t number = 1;
    int64_t now = 0;
    const auto commit_some = [&] {
      for (uint64_t n = random() % 4; n > 0; --n) {
        SampleBatch batch;  // may be empty: a record all the same
        for (uint64_t i = random() % 8; i > 0; --i) {
          const int64_t t = ++now - (random() % 5 == 0 ? static_cast<int64_t>(random() % 50) : 0);
          batch.Add(static_cast<SeriesRef>(random() % 40), t, static_cast<double>(now) / 8);
        }
        ASSERT_OK(writer.Commit(batch));
      }
    };
    const auto check = [&] {
      const auto after = disk.CloneAfterCrash({Keep::kNothing, Keep::kNothing, random()});
      Replayed replayed;
      ASSERT_OK(replayed.Run(after.get()));
      ASSERT_EQ(replayed.samples, writer.all());
    };
    ASSERT_OK(writer.Begin(number));
    for (int round = 0; round < 6; ++round) {
      commit_some();
      check();
      ASSERT_OK(writer.Begin(++number));
      commit_some();
      ASSERT_OK_AND_ASSIGN(auto checkpoint, HeadCheckpointWriter::Create(&disk, kFolder, number));
      for (SeriesRef begin = 0; begin < 40; begin += 7) {
        ASSERT_OK(writer.AddSlice(begin, begin + 7, checkpoint.get()));
        commit_some();
        check();
      }
      ASSERT_OK(checkpoint->Finish());
      check();
      ASSERT_OK(DeleteReplaced(&disk, kFolder, number));
      commit_some();
      check();
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
