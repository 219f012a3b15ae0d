// Head, head log, checkpoint and replay together: after a power cut at any point, a new head that
// replays the files holds what the old one held.
//
// Method: a head takes random commits, late and rewritten samples among them, while segments begin
// and checkpoints are written in slices with commits between. Nothing is frozen except at chosen
// moments, and what was frozen counts as durable only from the next checkpoint on, as in the LSM.
// The answer of a head is its series after "the last write of a time counts".
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/tsdb/head.h"
#include "lib/tsdb/head_checkpoint.h"
#include "lib/tsdb/head_log.h"
#include "lib/tsdb/head_replay.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

using testing::Keep;
using testing::MemoryFileSystem;
using Answer = std::map<SeriesRef, std::map<int64_t, double>>;

constexpr SeriesRef kSeries = 40;
constexpr SeriesRef kSliceSeries = 7;
const std::string kFolder = "/head";

// Later stretches win; the pin has them in that order.
void AddPin(const HeadPin& pin, Answer* answer) {
  for (size_t i = 0; i < pin.stretches.size(); ++i) {
    Columns columns;
    ASSERT_TRUE(pin.Decode(i, &columns));
    auto& series = (*answer)[pin.stretches[i].ref];
    for (size_t k = 0; k < columns.size(); ++k) {
      series[columns.timestamps_ms[k]] = columns.values[k];
    }
  }
}

std::unique_ptr<Head> MakeHead() {
  auto head = std::make_unique<Head>(Partitioning(7'200'000), Head::Limits{16, INT64_MAX},
                                     /*account=*/nullptr);
  for (SeriesRef ref = 0; ref < kSeries; ++ref) head->AddSeries(ref);
  return head;
}

class HeadRecovery : public ::testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    ASSERT_OK(disk_.CreateDirectories(kFolder));
    BeginSegment();
  }

  void BeginSegment() {
    ASSERT_OK(log_.Begin(++number_, /*abandon_old=*/false));
    head_->BeginSegment(static_cast<uint32_t>(number_));
  }

  void CommitSome() {
    for (uint64_t n = random_() % 4; n > 0; --n) {
      SampleBatch batch;
      for (uint64_t i = random_() % 20; i > 0; --i) {
        const bool late = random_() % 6 == 0;
        const int64_t t = ++now_ - (late ? static_cast<int64_t>(random_() % 60) : 0);
        batch.Add(static_cast<SeriesRef>(random_() % kSeries), t * 1000,
                  static_cast<double>(random_() % 100) / 4);
      }
      std::string record;
      BeginCommit({}, {}, &record);
      SampleSectionWriter writer(&record);
      ASSERT_OK(head_->Stage(batch, &writer));
      log_.Add(record);
      ASSERT_OK(log_.Write());
      ASSERT_OK(log_.Sync());
      head_->Apply(now_);
      for (size_t i = 0; i < batch.size(); ++i) {
        expected_[batch.refs[i]][batch.timestamps_ms[i]] = batch.values[i];
      }
    }
  }

  // What a power cut now leaves, replayed: with what is durable elsewhere, all that was committed.
  void Check() {
    const auto disk = disk_.CloneAfterCrash({Keep::kNothing, Keep::kNothing, 1});
    const auto head = MakeHead();
    head->BeginSegment(static_cast<uint32_t>(number_ + 1));
    ASSERT_OK_AND_ASSIGN(const HeadFiles files, ListHeadFiles(disk.get(), kFolder));
    ASSERT_OK_AND_ASSIGN(const auto replay, HeadReplay::Open(disk.get(), kFolder, files));
    const ReplayCallbacks callbacks{
        [&](const CheckpointStretch& stretch) {
          return head->Restore(stretch.ref, stretch.late, stretch.first_ms, stretch.count,
                               stretch.stream, 0);
        },
        [&](DecodedCommit* commit) {
          const absl::Status status = head->Stage(commit->samples, nullptr);
          head->Apply(0);
          return status;
        },
        nullptr};
    ReplayReport report;
    ASSERT_OK(replay->Run(callbacks, &report));
    Answer answer = durable_;
    HeadPin pin;
    ASSERT_OK(head->Pin(
        {INT64_MIN, INT64_MAX}, [](SeriesRef) { return AllRefs(); }, &pin));
    AddPin(pin, &answer);
    ASSERT_EQ(answer, expected_);
  }

  static std::vector<SeriesRef> AllRefs() {
    std::vector<SeriesRef> refs(kSeries);
    for (SeriesRef ref = 0; ref < kSeries; ++ref) refs[ref] = ref;
    return refs;
  }

  void Checkpoint() {
    ASSERT_OK_AND_ASSIGN(const auto writer, HeadCheckpointWriter::Create(&disk_, kFolder, number_));
    for (SeriesRef begin = 0; begin < kSeries; begin += kSliceSeries) {
      HeadPin pin;
      const uint64_t records = head_->PinUnfrozen(begin, begin + kSliceSeries, &pin);
      ASSERT_EQ(records, log_.records());
      ASSERT_OK(writer->AddSlice({begin, begin + kSliceSeries, records}, pin));
      CommitSome();
      Check();
    }
    HeadPin frozen;
    const size_t chunks = head_->PeekFrozen(SIZE_MAX, &frozen);
    AddPin(frozen, &durable_);
    head_->ReleaseFrozen(chunks);
    Check();
    ASSERT_OK(writer->Finish());
  }

  std::mt19937_64 random_{GetParam()};
  MemoryFileSystem disk_;
  HeadLog log_{&disk_, kFolder};
  std::unique_ptr<Head> head_ = MakeHead();
  uint64_t number_ = 0;
  int64_t now_ = 0;
  Answer expected_;
  Answer durable_;
};

TEST_P(HeadRecovery, AReplayedHeadHoldsWhatTheOldOneHeld) {
  for (int round = 0; round < 4; ++round) {
    CommitSome();
    Check();
    BeginSegment();
    CommitSome();
    Checkpoint();
    Check();
    ASSERT_OK(DeleteReplaced(&disk_, kFolder, number_));
    CommitSome();
    Check();
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, HeadRecovery, ::testing::Range<uint64_t>(1, 13));

}  // namespace
}  // namespace tinyobs::tsdb
