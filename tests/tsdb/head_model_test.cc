// The head against a map per series, and against readers that run beside it.
//
// Random commits (staged, applied, discarded, refused), freezes, seals into a toy LSM, segments,
// restarts from a checkpoint, series that leave and come back. After each step everything that can
// be read (toy LSM below a pin) must be the map; no chunk that claims to overlap nothing may do so;
// the log must hold the batches bit for bit, and a replay of it must end in the same map.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <thread>

#include "gtest/gtest.h"
#include "lib/base/mutex.h"
#include "lib/tsdb/head.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

// By time; values as bits, so that all of them compare.
using Series = std::map<int64_t, uint64_t>;
using Contents = std::map<SeriesRef, Series>;

constexpr int64_t kPartitionMs = 1000;
constexpr SeriesRef kSpacing = 23;  // several pages, none of them full

struct Chunk {
  Generation generation;
  Series samples;

  int64_t first() const { return samples.begin()->first; }
  int64_t last() const { return samples.rbegin()->first; }
  bool Overlaps(const Chunk& other) const {
    return first() <= other.last() && other.first() <= last();
  }
};

Series ToSeries(const Columns& columns) {
  Series series;
  for (size_t i = 0; i < columns.size(); ++i) {
    series[columns.timestamps_ms[i]] = std::bit_cast<uint64_t>(columns.values[i]);
  }
  return series;
}

// Chunks of one series, later writes over older ones.
Series Merged(std::vector<Chunk> chunks) {
  std::stable_sort(chunks.begin(), chunks.end(),
                   [](const Chunk& a, const Chunk& b) { return a.generation < b.generation; });
  Series merged;
  for (const Chunk& chunk : chunks) {
    for (const auto& [time, bits] : chunk.samples) merged[time] = bits;
  }
  return merged;
}

// Not ASSERT_EQ on the maps, which prints them.
void ExpectEqual(SeriesRef ref, const Series& found, const Series& expected) {
  ASSERT_EQ(found.size(), expected.size()) << "series " << ref;
  for (auto a = found.begin(), b = expected.begin(); b != expected.end(); ++a, ++b) {
    ASSERT_EQ(*a, *b) << "series " << ref;
  }
}

class ModelRun {
 public:
  explicit ModelRun(uint64_t seed) : random_(seed) {
    limits_ = {.chunk_samples = 1 + Below(20), .max_age_ms = 100};
    series_ = 1 + Below(12);
    StartHead();
    for (uint32_t i = 0; i < series_; ++i) head_->AddSeries(i * kSpacing);
  }

  void Step() {
    ++now_ms_;
    switch (Below(16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
      case 5:
        Stage();
        break;
      case 6:
      case 7:
      case 8:
        Apply();
        break;
      case 9:
        Discard();
        break;
      case 10:
        StageUnknown();
        break;
      case 11:
        Freeze();
        break;
      case 12:
        Seal(Below(40));
        break;
      case 13:
        NewSegment();
        break;
      case 14:
        if (Below(4) == 0) Restart();
        break;
      case 15:
        if (Below(4) == 0) LeaveAndComeBack();
        break;
    }
    if (!::testing::Test::HasFatalFailure()) Check();
  }

  void Replay() {
    Head head(Partitioning(kPartitionMs), limits_, nullptr);
    head.BeginSegment(1);
    for (uint32_t i = 0; i < series_; ++i) head.AddSeries(i * kSpacing);
    for (const SampleBatch& batch : logged_) {
      ASSERT_OK(head.Stage(batch, nullptr));
      if (Below(2)) head.Apply(0);
    }
    head.Apply(0);
    HeadPin pin;
    ASSERT_OK(head.Pin(
        {}, [&](SeriesRef) { return AllRefs(); }, &pin));
    std::map<SeriesRef, std::vector<Chunk>> chunks;
    AddPinned(pin, &chunks);
    for (const auto& [ref, series] : model_) ExpectEqual(ref, Merged(chunks[ref]), series);
  }

 private:
  uint32_t Below(uint32_t limit) { return static_cast<uint32_t>(random_() % limit); }
  SeriesRef SomeRef() { return Below(series_) * kSpacing; }
  std::vector<SeriesRef> AllRefs() {
    std::vector<SeriesRef> refs;
    for (uint32_t i = 0; i < series_; ++i) refs.push_back(i * kSpacing);
    return refs;
  }

  void StartHead() {
    head_ = std::make_unique<Head>(Partitioning(kPartitionMs), limits_, nullptr);
    head_->BeginSegment(++segment_);
    decoder_.Reset();
  }

  double SomeValue() {
    switch (Below(8)) {
      case 0:
        return std::bit_cast<double>(random_());
      case 1:
        return Below(2) ? 0.0 : -0.0;
      case 2:
        return static_cast<double>(Below(1000)) / 100;
      default:
        return Below(5);
    }
  }

  void Stage() {
    SampleBatch batch;
    // Sometimes a batch that was tried before.
    if (Below(8) == 0 && !logged_.empty()) {
      batch = logged_.back();
    } else {
      const uint32_t count = Below(4) == 0 ? Below(80) : Below(6);
      for (uint32_t i = 0; i < count; ++i) {
        const SeriesRef ref = SomeRef();
        int64_t& newest = newest_[ref];
        int64_t time = newest;
        switch (Below(8)) {
          case 0:
            time -= Below(50);
            break;
          case 1:
            time -= Below(5) * kPartitionMs / 2;
            break;
          case 2:
            break;
          case 3:
            time += Below(3) * kPartitionMs / 2;
            break;
          default:
            time += 15;
            break;
        }
        newest = std::max(newest, time);
        batch.Add(ref, time, SomeValue());
      }
    }
    std::string record;
    BeginCommit({}, {}, &record);
    SampleSectionWriter writer(&record);
    ASSERT_OK(head_->Stage(batch, &writer));
    staged_.emplace_back(batch, record);
  }

  void StageUnknown() {
    SampleBatch batch;
    for (uint32_t i = Below(20); i > 0; --i) batch.Add(SomeRef(), Below(5000), SomeValue());
    batch.Add(Below(2) ? SomeRef() + 1 : 100'000, 1, 1);
    std::string record;
    SampleSectionWriter writer(&record);
    ASSERT_CODE(head_->Stage(batch, &writer), absl::StatusCode::kNotFound);
    ASSERT_TRUE(record.empty());
  }

  void Apply() {
    head_->Apply(now_ms_);
    for (const auto& [batch, record] : staged_) {
      DecodedCommit commit;
      ASSERT_OK(decoder_.Decode(record, &commit));
      ASSERT_EQ(commit.samples.refs, batch.refs);
      ASSERT_EQ(commit.samples.timestamps_ms, batch.timestamps_ms);
      for (size_t i = 0; i < batch.size(); ++i) {
        const auto bits = std::bit_cast<uint64_t>(batch.values[i]);
        ASSERT_EQ(std::bit_cast<uint64_t>(commit.samples.values[i]), bits);
        model_[batch.refs[i]][batch.timestamps_ms[i]] = bits;
      }
      logged_.push_back(batch);
      ++records_;
    }
    staged_.clear();
  }

  void Discard() {
    head_->Discard();
    staged_.clear();
  }

  void Freeze() {
    Apply();
    const SeriesRef begin = Below(2) ? 0 : SomeRef();
    head_->Freeze(begin, Below(2) ? UINT32_MAX : begin + Below(100), now_ms_, Below(2) == 0);
  }

  void Seal(size_t limit_samples) {
    HeadPin pin;
    const size_t chunks = head_->PeekFrozen(limit_samples, &pin);
    ASSERT_EQ(pin.stretches.size(), chunks);
    Columns columns;
    for (size_t i = 0; i < chunks; ++i) {
      const HeadPin::Stretch& stretch = pin.stretches[i];
      ASSERT_TRUE(pin.Decode(i, &columns));
      ASSERT_EQ(columns.timestamps_ms.front(), stretch.first_ms);
      Chunk chunk{stretch.generation, ToSeries(columns)};
      ASSERT_EQ(chunk.samples.size(), stretch.count);
      const Partitioning partitioning(kPartitionMs);
      ASSERT_EQ(partitioning.StartOf(chunk.first()), partitioning.StartOf(chunk.last()));
      PutIntoLsm(stretch, std::move(chunk));
    }
    head_->ReleaseFrozen(chunks);
  }

  void PutIntoLsm(const HeadPin::Stretch& stretch, Chunk chunk) {
    std::vector<Chunk>& sealed = lsm_[stretch.ref];
    for (const Chunk& older : sealed) {
      if (!older.Overlaps(chunk)) continue;
      ASSERT_TRUE(stretch.may_overlap) << "series " << stretch.ref;
      ASSERT_GT(stretch.generation, older.generation) << "series " << stretch.ref;
    }
    // Sometimes the whole connected group is merged; older samples then take the newer generation.
    const bool merge = stretch.may_overlap && Below(2) == 0;
    std::vector<Chunk> group{chunk};
    for (size_t i = 0; merge && i < sealed.size();) {
      if (!sealed[i].Overlaps(chunk)) {
        ++i;
        continue;
      }
      group.push_back(sealed[i]);
      chunk.samples = Merged(group);
      sealed.erase(sealed.begin() + static_cast<ptrdiff_t>(i));
      i = 0;
    }
    sealed.push_back(std::move(chunk));
  }

  void NewSegment() {
    Apply();
    head_->BeginSegment(++segment_);
    decoder_.Reset();
    records_ = 0;
  }

  void Restart() {
    Apply();
    Seal(SIZE_MAX);
    HeadPin pin;
    head_->PinUnfrozen(0, UINT32_MAX, &pin);
    StartHead();
    records_ = 0;
    int64_t horizon = INT64_MIN;
    for (const auto& [ref, chunks] : lsm_) {
      for (const Chunk& chunk : chunks) horizon = std::max(horizon, chunk.last());
    }
    head_->SetHorizon(horizon);
    for (const SeriesRef ref : AllRefs()) head_->AddSeries(ref);
    for (const HeadPin::Stretch& s : pin.stretches) {
      ASSERT_OK(head_->Restore(s.ref, s.late, s.first_ms, s.count, pin.Stream(s), now_ms_));
    }
  }

  void LeaveAndComeBack() {
    Apply();
    const SeriesRef ref = SomeRef();
    head_->Freeze(ref, ref + 1, now_ms_, /*everything=*/true);
    Seal(SIZE_MAX);
    ASSERT_TRUE(head_->IsIdle(ref));
    head_->RemoveSeries(std::vector<SeriesRef>{ref});
    ASSERT_FALSE(head_->Contains(ref));
    const Series& series = model_[ref];
    head_->AddSeries(ref, series.empty() ? INT64_MIN : series.rbegin()->first);
  }

  void AddPinned(const HeadPin& pin, std::map<SeriesRef, std::vector<Chunk>>* chunks) {
    Columns columns;
    for (size_t i = 0; i < pin.stretches.size(); ++i) {
      const HeadPin::Stretch& stretch = pin.stretches[i];
      ASSERT_TRUE(pin.Decode(i, &columns));
      ASSERT_EQ(columns.size(), stretch.count);
      (*chunks)[stretch.ref].push_back({stretch.generation, ToSeries(columns)});
    }
  }

  void Check() {
    HeadPin pin;
    auto chunks = lsm_;
    ASSERT_OK(head_->Pin(
        {}, [&](SeriesRef) { return AllRefs(); }, &pin));
    AddPinned(pin, &chunks);
    for (const auto& [ref, series] : model_) ExpectEqual(ref, Merged(chunks[ref]), series);
    uint64_t samples = 0;
    for (const HeadPin::Stretch& stretch : pin.stretches) samples += stretch.count;
    ASSERT_EQ(head_->Stats().samples, samples);
    // A narrow pin holds all that lies in its range.
    const int64_t from = static_cast<int64_t>(Below(20'000)) - 5000;
    const TimeRange range{from, from + Below(2000)};
    ASSERT_OK(head_->Pin(
        range, [&](SeriesRef) { return AllRefs(); }, &pin));
    chunks = lsm_;
    AddPinned(pin, &chunks);
    for (const auto& [ref, series] : model_) {
      const Series found = Merged(chunks[ref]);
      for (auto at = series.lower_bound(range.from_ms);
           at != series.end() && at->first <= range.to_ms; ++at) {
        ASSERT_TRUE(found.contains(at->first)) << ref;
        ASSERT_EQ(found.at(at->first), at->second) << ref;
      }
    }
    ASSERT_EQ(head_->PinUnfrozen(0, UINT32_MAX, &pin), records_);
  }

  std::mt19937_64 random_;
  Head::Limits limits_;
  uint32_t series_ = 0;
  uint32_t segment_ = 0;
  uint64_t records_ = 0;
  int64_t now_ms_ = 0;
  std::unique_ptr<Head> head_;
  CommitDecoder decoder_;
  std::map<SeriesRef, int64_t> newest_;
  std::vector<std::pair<SampleBatch, std::string>> staged_;
  std::vector<SampleBatch> logged_;
  std::map<SeriesRef, std::vector<Chunk>> lsm_;
  Contents model_;
};

TEST(HeadModel, ReadsWhatWasWrittenWhateverHappensInBetween) {
  const char* asked = std::getenv("TINYOBS_SEED");
  const uint64_t first = asked == nullptr ? 1 : std::strtoull(asked, nullptr, 10);
  const uint64_t last = asked == nullptr ? 20 : first;
  for (uint64_t seed = first; seed <= last; ++seed) {
    ModelRun run(seed);
    for (int step = 0; step < 200 && !HasFatalFailure(); ++step) run.Step();
    if (!HasFatalFailure()) run.Replay();
    if (HasFatalFailure()) FAIL() << "repeat with TINYOBS_SEED=" << seed;
  }
  std::printf("seeds %llu to %llu\n", static_cast<unsigned long long>(first),
              static_cast<unsigned long long>(last));
}

// --- readers beside commits

constexpr SeriesRef kMany = 150;
constexpr int kCommits = 600;

// One sample of each series, in two records of one group.
void Commit(Head* head, int number) {
  std::string log;
  for (SeriesRef begin : {SeriesRef{0}, kMany / 2}) {
    SampleBatch batch;
    for (SeriesRef ref = begin; ref < begin + kMany / 2; ++ref) batch.Add(ref, number, number);
    SampleSectionWriter writer(&log);
    ASSERT_OK(head->Stage(batch, &writer));
  }
  head->Apply(number);
}

std::vector<SeriesRef> ManyRefs() {
  std::vector<SeriesRef> refs;
  for (SeriesRef ref = 0; ref < kMany; ++ref) refs.push_back(ref);
  return refs;
}

TEST(HeadThreads, APinIsOneInstantWhileCommitsFreezesAndSealsGoOn) {
  Head head(Partitioning(100), {.chunk_samples = 20}, nullptr);
  head.BeginSegment(1);
  for (SeriesRef ref = 0; ref < kMany; ++ref) head.AddSeries(ref);
  Mutex lsm_mutex;
  std::vector<double> lsm(kMany, 0);  // newest sealed value
  std::atomic<bool> stop{false};
  std::atomic<int> pins{0};

  std::thread sealer([&] {
    HeadPin pin;
    Columns columns;
    while (!stop.load()) {
      const size_t chunks = head.PeekFrozen(200, &pin);
      {
        MutexLock lock(&lsm_mutex);
        for (size_t i = 0; i < chunks; ++i) {
          ASSERT_TRUE(pin.Decode(i, &columns));
          const SeriesRef ref = pin.stretches[i].ref;
          if (ref < kMany) lsm[ref] = std::max(lsm[ref], columns.values.back());
        }
      }
      head.ReleaseFrozen(chunks);
    }
  });
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 2; ++reader) {
    readers.emplace_back([&] {
      HeadPin pin;
      Columns columns;
      std::vector<double> newest;
      while (!stop.load()) {
        const auto snapshot = [&](SeriesRef ref_limit) {
          EXPECT_GE(ref_limit, kMany);
          MutexLock lock(&lsm_mutex);
          newest = lsm;
          return ManyRefs();
        };
        ASSERT_OK(head.Pin({}, snapshot, &pin));
        for (size_t i = 0; i < pin.stretches.size(); ++i) {
          ASSERT_TRUE(pin.Decode(i, &columns));
          double& value = newest[pin.stretches[i].ref];
          value = std::max(value, columns.values.back());
        }
        for (const double value : newest) ASSERT_EQ(value, newest[0]);
        head.Stats();
        ++pins;
      }
    });
  }
  uint32_t segment = 1;
  for (int number = 1; number <= kCommits || pins.load() < 20; ++number) {
    Commit(&head, number);
    if (number % 7 == 0) head.Freeze(0, kMany / 3, number, /*everything=*/true);
    if (number % 50 == 0) head.BeginSegment(++segment);
    // Lines beside them come and go.
    const auto extra = static_cast<SeriesRef>(kMany + number % 500);
    if (head.Contains(extra)) {
      head.RemoveSeries(std::vector<SeriesRef>{extra});
    } else {
      head.AddSeries(extra);
    }
    if (::testing::Test::HasFatalFailure()) break;
  }
  stop.store(true);
  sealer.join();
  for (std::thread& reader : readers) reader.join();
}

TEST(HeadThreads, ACheckpointSliceKnowsHowManyRecordsItHolds) {
  Head head(Partitioning(1'000'000), {.chunk_samples = kMaxStreamSamples}, nullptr);
  head.BeginSegment(1);
  for (SeriesRef ref = 0; ref < kMany; ++ref) head.AddSeries(ref);
  std::atomic<bool> stop{false};
  std::atomic<int> slices{0};
  std::thread checkpoint([&] {
    HeadPin pin;
    while (!stop.load()) {
      const uint64_t records = head.PinUnfrozen(10, kMany - 10, &pin);
      ASSERT_EQ(records % 2, 0u);
      ASSERT_EQ(pin.stretches.size(), records == 0 ? 0u : kMany - 20);
      for (const HeadPin::Stretch& s : pin.stretches) ASSERT_EQ(s.count, records / 2);
      ++slices;
    }
  });
  for (int number = 1; number <= 250; ++number) {  // no more than a short first chunk takes
    Commit(&head, number);
    while (slices.load() < number / 5 && !HasFatalFailure()) std::this_thread::yield();
  }
  stop.store(true);
  checkpoint.join();
}

}  // namespace
}  // namespace tinyobs::tsdb
