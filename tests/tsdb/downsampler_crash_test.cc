// A run that ends at any moment, with the power gone in the middle of any write, and is begun anew:
// the same bytes as one that was left alone.
#include <atomic>
#include <random>
#include <thread>

#include "lib/base/mutex.h"
#include "tests/tsdb/downsampler_testing.h"

namespace tinyobs::tsdb {
namespace {

using testing::Keep;

class DownsamplerCrashTest : public DownsamplerTest {
 protected:
  DownsamplerCrashTest() { memtable_bytes_ = 1 << 10; }  // batches of 256 B: many steps

  // Two half days that are over and a bit, four series; late data for a day that is joined.
  void WriteHistory() {
    std::vector<std::pair<SeriesId, Samples>> batch;
    for (int64_t hour = 0; hour < 27; ++hour) {
      batch.clear();
      for (int i = 0; i < 4; ++i) {
        if ((hour + i) % 5 == 0) continue;
        Samples samples;
        for (int k = 0; k < 12; ++k) {
          samples[kStartMs + hour * kHourMs + k * 5 * kMinuteMs + i] =
              static_cast<double>((hour * 7 + k * k) % 50) * 0.5;
        }
        batch.push_back({kSeries + i, samples});
      }
      ASSERT_OK(TryWrite(batch));
    }
    ASSERT_OK(TryRun(kStartMs + 14 * kHourMs));
    for (const int64_t hour : {3, 5, 7}) Write({{kStartMs + hour * kHourMs + 77, 99}});
    ASSERT_OK(store_->Flush());
    durable_ = model_;
  }
  void Begin() {
    downsampler_.reset();
    Close();
    disk_.Crash();
    for (const std::string& path : disk_.Files()) ASSERT_OK(disk_.DeleteFile(path));
    Open();
    model_.clear();
    durable_.clear();
    WriteHistory();
  }
  static constexpr int64_t kClosedMs = kStartMs + 27 * kHourMs;
};

TEST_F(DownsamplerCrashTest, ARunThatWasCutShortAnywhereEndsWithTheSameBytes) {
  Begin();
  steps_ = 0;
  ASSERT_OK(TryRun(kClosedMs));
  const uint64_t steps = steps_;
  ASSERT_GT(steps, 20u);
  CheckTiers(kClosedMs);
  ASSERT_OK(TryRun(kClosedMs));
  const auto expected = Rows();

  for (uint64_t step = 0; step <= steps; ++step) {
    // The flush that makes the steps durable, cut at each of its writes.
    bool flushed = false;
    for (uint64_t n = 0; !flushed; ++n) {
      SCOPED_TRACE(StrCat("after ", step, " steps, cut after ", n, " changes"));
      ASSERT_LT(n, 100u);
      Begin();
      for (uint64_t i = 0; i < step; ++i) ASSERT_OK(ds().Step(kClosedMs));
      disk_.PowerCutAfter(n);
      flushed = store_->Flush().ok();
      const Keep keep = std::array{Keep::kNothing, Keep::kTorn, Keep::kAll}[(step + n) % 3];
      Kill({.keep_bytes = keep, .keep_names = keep, .seed = step * 100 + n});
      ASSERT_OK(TryRun(kClosedMs));
      ASSERT_OK(TryRun(kClosedMs));
      ASSERT_EQ(Rows(), expected);
      if (n > 4 && step % 7 != 0) break;  // the rest of a flush is the same for all
    }
  }
}

// Late samples and deletions in between, some durable and some not.
TEST_F(DownsamplerCrashTest, WhatChangesBetweenCrashesIsNotForgotten) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    Begin();
    for (int round = 0; round < 12; ++round) {
      const auto steps = random() % 12;
      for (uint64_t i = 0; i < steps; ++i) ASSERT_OK(ds().Step(kClosedMs));
      const auto hour = static_cast<int64_t>(random() % 27);
      const SeriesId series = kSeries + random() % 4;
      const int64_t time = kStartMs + hour * kHourMs + static_cast<int64_t>(random() % kHourMs);
      if (random() % 3 == 0) {
        ASSERT_OK(chunks_->DeleteRange({&series, 1}, {time, time + 2 * kHourMs}));
        Forget(&model_, series, time, time + 2 * kHourMs);
        if (random() % 2 == 0) {
          ASSERT_OK(ds().DeleteRange({&series, 1}, {time, time + 2 * kHourMs}));
        }
      } else {
        Write({{time, round}}, series);
      }
      if (random() % 2 == 0) Flush();
      if (random() % 3 == 0) Kill();
      if (HasFatalFailure()) return;
    }
    ASSERT_OK(TryRun(kClosedMs));
    ASSERT_OK(TryRun(kClosedMs));
    CheckTiers(kClosedMs);
    EXPECT_EQ(chunks_->Totals().touched, 0u);
    if (HasFailure()) return;
  }
}

// Two threads: one writes late samples all the time, mostly into the hour that the other is just
// looking at.
TEST_F(DownsamplerCrashTest, SamplesThatComeLateDuringARunAreInTheNext) {
  Mutex mutex;  // of the test's own notes
  std::atomic<bool> done = false;
  std::atomic<int64_t> newest = 0;
  memtable_bytes_ = 8 << 20;  // an hour is one step
  const auto write = [&](std::vector<std::pair<SeriesId, Samples>> batch) {
    MutexLock lock(&mutex);
    EXPECT_OK(TryWrite(batch));
  };
  // So many that a series that was missed is hardly healed by the next sample that comes late.
  constexpr int kCount = 1000;
  const auto write_hour = [&](int64_t hour) {
    std::vector<std::pair<SeriesId, Samples>> batch;
    for (int i = 0; i < kCount; ++i) {
      const int64_t begin_ms = kStartMs + hour * kHourMs;
      batch.push_back({kSeries + i, {{begin_ms + i, 1}, {begin_ms + 30 * kMinuteMs, i * 0.5}}});
    }
    write(batch);
    newest = hour;
  };
  write_hour(0);
  std::thread writer([&] {
    std::mt19937_64 random(3);
    int64_t hour = -1;
    for (int i = 0; !done; ++i) {
      if (hour != newest) i = 0;
      if (i > 100) {  // enough for this hour
        std::this_thread::yield();
        continue;
      }
      hour = newest;
      const int64_t at = std::max<int64_t>(0, hour - (random() % 8 == 0 ? 5 : 0));
      const auto offset_ms = static_cast<int64_t>(random() % kHourMs);
      write({{kSeries + random() % kCount, {{kStartMs + at * kHourMs + offset_ms, i * 0.5}}}});
    }
  });
  ds();
  constexpr int64_t kHours = 40;
  for (int64_t hour = 1; hour <= kHours; ++hour) {
    EXPECT_OK(TryRun(kStartMs + hour * kHourMs));
    write_hour(hour);
  }
  done = true;
  writer.join();
  ASSERT_OK(TryRun(kStartMs + kHours * kHourMs));
  CheckTiers(kStartMs + kHours * kHourMs);
  EXPECT_EQ(chunks_->Totals().touched, 0u);
}

}  // namespace
}  // namespace tinyobs::tsdb
