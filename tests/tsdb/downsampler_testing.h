// A Downsampler on a ChunkStore on a disk that can fail, and the windows that the definition gives,
// computed from the plain samples in the plainest way.
//
// Partitions are of one hour, so a partition of 5m windows is half a day and one of 1h windows
// eight days. Values are multiples of a hundredth, so that sums have one right answer; NaN and
// staleness markers are among them. Values that are no decimals are compared within what rounding
// may lose.
#ifndef TINYOBS_TESTS_TSDB_DOWNSAMPLER_TESTING_H_
#define TINYOBS_TESTS_TSDB_DOWNSAMPLER_TESTING_H_

#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lib/base/strings.h"
#include "lib/chunk/window.h"
#include "lib/tsdb/downsampler.h"
#include "lib/tsdb/window_rows.h"
#include "tests/tsdb/chunk_store_testing.h"
#include "tinyobs/sample.h"

namespace tinyobs::tsdb {

inline constexpr int64_t kHourMs = 3'600'000;
inline constexpr int64_t kMinuteMs = 60'000;
// 2023, at the start of a partition of every tier.
inline constexpr int64_t kStartMs = int64_t{2460} * 192 * kHourMs;

using WindowList = std::vector<chunk::Window>;
using TierModel = std::map<SeriesId, WindowList>;

// By the definition. Values are taken as hundredths if they are.
inline WindowList WindowsOf(const Samples& samples, int64_t width_ms) {
  WindowList windows;
  double before = 0;
  long double lost = 0, sum = 0;
  const auto close = [&] {
    if (windows.empty()) return;
    chunk::Window& window = windows.back();
    window.sum.value = static_cast<double>(std::isfinite(sum) ? std::round(sum * 100) : sum) / 100;
    const long double rise =
        static_cast<long double>(window.last) - static_cast<long double>(window.first) + lost;
    window.increase =
        static_cast<double>(std::isfinite(rise) ? std::round(rise * 100) : rise) / 100;
    if (window.min > window.max) window.min = window.max = std::numeric_limits<double>::quiet_NaN();
  };
  for (const auto& [time, value] : samples) {
    if (IsStaleNan(value)) continue;
    const int64_t start_ms = time - (time % width_ms + width_ms) % width_ms;
    if (windows.empty() || windows.back().start_ms != start_ms) {
      close();
      windows.push_back({.start_ms = start_ms, .first_ms = time, .first = value});
      windows.back().min = std::numeric_limits<double>::infinity();
      windows.back().max = -windows.back().min;
      lost = sum = 0;
    } else if (value < before) {
      ++windows.back().resets;
      lost += before;
    }
    chunk::Window& window = windows.back();
    window.last_ms = time;
    window.last = before = value;
    window.min = value < window.min ? value : window.min;
    window.max = value > window.max ? value : window.max;
    ++window.count;
    sum += value;
  }
  close();
  return windows;
}

inline std::string Text(const chunk::Window& window) {
  // Doubles as bits, all NaN alike.
  const auto text = [](double x) {
    return std::isnan(x) ? std::string("NaN") : StrCat(std::bit_cast<uint64_t>(x + 0.0), "=", x);
  };
  return StrCat(
      window.start_ms, ": ", window.first_ms, "..", window.last_ms, " count ", window.count,
      " resets ", window.resets, " first ", text(window.first), " last ", text(window.last),
      " min ", text(window.min), " max ", text(window.max), " sum ", text(window.sum.value),
      " increase ",
      // Next to NaN the last bit may differ.
      std::isnan(window.sum.value) ? std::to_string(window.increase) : text(window.increase));
}

class DownsamplerTest : public ChunkStoreTest {
 protected:
  DownsamplerTest() : ChunkStoreTest(kHourMs) {}

  static uint32_t RawNumber(int64_t hours) {
    return Partitioning(kHourMs).NumberOf(kStartMs + hours * kHourMs);
  }
  Downsampler& ds() {
    if (!downsampler_.has_value()) downsampler_.emplace(&*chunks_, nullptr, memtable_bytes_);
    return *downsampler_;
  }
  void Kill(const testing::CrashOptions& options = {}) {
    downsampler_.reset();
    Crash(options);
  }
  // A whole run, after the end of the one that was begun.
  absl::Status TryRun(int64_t closed_ms) {
    for (int run = 0; run < 2; ++run) {
      while (true) {
        const auto more = ds().Step(closed_ms);
        TINYOBS_RETURN_IF_ERROR(more.status());
        if (!*more) break;
        ++steps_;
      }
    }
    return absl::OkStatus();
  }
  void Run(int64_t closed_ms) { ASSERT_OK(TryRun(closed_ms)); }

  // What is in a tier; rows of a series must ascend and not overlap, and the partition rows must
  // count them.
  TierModel ReadTier(Tier tier) {
    TierModel found;
    std::map<uint32_t, std::pair<uint64_t, uint64_t>> counts;  // rows, windows
    lsm::ReadOptions options;
    options.prefix = std::string(1, static_cast<char>(tier));
    const auto rows = store_->NewIterator(options);
    for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
      ChunkKey key;
      EXPECT_TRUE(DecodeChunkKey(rows->key(), &key));
      WindowList windows;
      EXPECT_OK(chunk::DecodeWindows(rows->value(), WidthMs(tier), &windows));
      WindowList& all = found[key.series];
      EXPECT_FALSE(windows.empty());
      if (!all.empty() && !windows.empty()) {
        EXPECT_LT(all.back().start_ms, windows.front().start_ms) << key.series;
      }
      for (const chunk::Window& window : windows) {
        EXPECT_EQ(chunks_->partitioning(tier).NumberOf(window.start_ms), key.partition);
      }
      all.insert(all.end(), windows.begin(), windows.end());
      ++counts[key.partition].first;
      counts[key.partition].second += windows.size();
    }
    EXPECT_OK(rows->status());
    for (const auto& [partition, count] : chunks_->Counts(tier)) {
      EXPECT_EQ(std::pair(count.chunks, count.samples), counts[partition]) << partition;
      counts.erase(partition);
    }
    EXPECT_TRUE(counts.empty());
    return found;
  }
  // What must be: of samples in raw partitions that ended, at 1h of those in days that ended.
  TierModel Expected(Tier tier, int64_t closed_ms) {
    TierModel expected;
    const Partitioning& ended =
        chunks_->partitioning(tier == Tier::kOneHour ? Tier::kFiveMinutes : Tier::kRaw);
    for (const auto& [series, samples] : model_) {
      Samples some;
      for (const auto& [time, value] : samples) {
        if (ended.LastMsOf(ended.NumberOf(time)) < closed_ms) some[time] = value;
      }
      WindowList windows = WindowsOf(some, WidthMs(tier));
      ForgetRises(WindowsOf(some, WidthMs(Tier::kFiveMinutes)), &windows);
      if (!windows.empty()) expected[series] = std::move(windows);
    }
    return expected;
  }
  // What is kept of a gauge is decided for each raw partition, of an hour here, by its windows of
  // five minutes.
  static void ForgetRises(WindowList five_minutes, WindowList* windows) {
    const auto hour_of = [](const chunk::Window& window) { return window.start_ms / kHourMs; };
    for (auto begin = five_minutes.begin(); begin != five_minutes.end();) {
      const int64_t hour = hour_of(*begin);
      const auto end = std::find_if(begin, five_minutes.end(), [&](const chunk::Window& window) {
        return hour_of(window) != hour;
      });
      chunk::ForgetRiseOfGauge({begin, end});
      for (chunk::Window& window : *windows) {
        if (hour_of(window) != hour || !std::isnan(begin->lost.value)) continue;
        window.resets = 0;
        window.increase = std::numeric_limits<double>::quiet_NaN();
      }
      begin = end;
    }
  }
  void CheckTier(Tier tier, int64_t closed_ms) {
    const TierModel found = ReadTier(tier);
    const TierModel expected = Expected(tier, closed_ms);
    ASSERT_EQ(found.size(), expected.size()) << static_cast<int>(tier);
    for (const auto& [series, windows] : expected) {
      const auto at = found.find(series);
      ASSERT_NE(at, found.end()) << series;
      ASSERT_EQ(at->second.size(), windows.size()) << series;
      for (size_t i = 0; i < windows.size(); ++i) {
        ASSERT_EQ(Text(at->second[i]), Text(windows[i])) << "series " << series;
      }
    }
  }
  void CheckTiers(int64_t closed_ms) {
    CheckTier(Tier::kFiveMinutes, closed_ms);
    if (HasFatalFailure()) return;
    CheckTier(Tier::kOneHour, closed_ms);
  }
  // Every row that downsampling has to do with, as bytes.
  std::map<std::string, std::string> Rows() const {
    std::map<std::string, std::string> all;
    for (const std::string& prefix :
         {std::string(1, static_cast<char>(Tier::kFiveMinutes)),
          std::string(1, static_cast<char>(Tier::kOneHour)), RowPrefix(RowKind::kPartition),
          RowPrefix(RowKind::kTouched), RowPrefix(RowKind::kDropped)}) {
      lsm::ReadOptions options;
      options.prefix = prefix;
      const auto rows = store_->NewIterator(options);
      for (rows->SeekToFirst(); rows->Valid(); rows->Next()) {
        all.emplace(rows->key(), rows->value());
      }
      EXPECT_OK(rows->status());
    }
    return all;
  }
  // A sample each 15 s of one hour, of a counter or a gauge.
  static Samples HourOf(int64_t hour, double value, double step) {
    Samples samples;
    for (int i = 0; i < 240; ++i) {
      samples[kStartMs + hour * kHourMs + i * 15'000] = std::round((value + i * step) * 100) / 100;
    }
    return samples;
  }

  size_t memtable_bytes_ = 8 << 20;
  std::optional<Downsampler> downsampler_;
  uint64_t steps_ = 0;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_TESTS_TSDB_DOWNSAMPLER_TESTING_H_
