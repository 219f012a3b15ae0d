// Windows are what the samples say, joined to longer ones the same, and come back from their bytes
// to the bit: for every kind of series, times regular, jittered, with gaps and before 1970, and
// random mixtures with resets, NaN, infinities, -0 and staleness markers.
#include "lib/chunk/window.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/chunk/aggregate.h"
#include "lib/chunk/chunk.h"
#include "lib/chunk/decimal.h"
#include "tests/chunk/sample_generators.h"
#include "tests/chunk/window_text.h"

namespace tinyobs::chunk {
namespace {

constexpr uint64_t kSeed = 815;
constexpr int64_t kFiveMinutesMs = 300'000;
constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kForever = std::numeric_limits<int64_t>::max();

uint64_t Bits(double value) { return std::bit_cast<uint64_t>(value); }

bool SameValue(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

void ExpectSame(const std::vector<Window>& actual, const std::vector<Window>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_TRUE(SameWindow(actual[i], expected[i])) << i << '\n'
                                                    << WindowsToText({&actual[i], 1}) << " not\n"
                                                    << WindowsToText({&expected[i], 1});
  }
}

// ---------------------------------------------------------------------------------- the material

// Samples in [start, ...) of a random character: value and times chosen apart.
Columns RandomSeries(Random* random, size_t n, bool* decimals) {
  const uint64_t times = random->Below(5);
  const uint64_t kind = random->Below(8);
  const int64_t interval =
      std::vector<int64_t>{1'000, 15'000, 17'000, 60'000, 400'000}[random->Below(5)];
  int64_t time = random->Between(-2, 2) * 1'700'000'000'000 / 2 + random->Between(-400'000, 0);
  const auto digits = static_cast<int>(random->Below(5));
  const uint64_t odd = random->Below(3) == 0 ? 2 + random->Below(60) : 0;
  const uint64_t stale = random->Below(3) == 0 ? 2 + random->Below(60) : 0;
  int64_t integer = random->Between(-1'000'000, 1'000'000'000);
  *decimals = odd == 0 && kind < 6;
  Columns columns;
  for (size_t i = 0; i < n; ++i) {
    double value = 0;
    if (kind < 3) {  // a counter, rising; one of three starts again
      if (integer < 0 || (kind == 2 && random->Below(40) == 0)) integer = 0;
      integer += static_cast<int64_t>(random->Below(3000));
    } else {
      integer += random->Between(-5'000, 5'000);
    }
    value = FromDecimal(integer, digits);
    if (kind == 5) value = static_cast<double>(integer * 4096);
    if (kind == 6) value = std::sqrt(std::fabs(value)) * (i % 7 == 0 ? -1 : 1);
    if (kind == 7 && random->Below(10) == 0) value /= 3;
    if (odd != 0 && random->Below(odd) == 0) {
      constexpr double kInfinity = std::numeric_limits<double>::infinity();
      const double odds[] = {std::nan("7"), kInfinity, -kInfinity, -0.0, 1e300, 0x1p60, 5e-324};
      value = odds[random->Below(std::size(odds))];
    }
    if (stale != 0 && random->Below(stale) == 0) value = StaleNan();
    columns.Add(time, value);
    time += interval;
    if (times == 1) time += random->Between(-400, 400);
    if (times == 2 && random->Below(30) == 0) time += random->Between(0, 5'000'000);
    if (times == 3) time += random->Between(0, 900'000);
  }
  return columns;
}

std::vector<Window> Aggregate(const Columns& columns, int64_t width_ms, Random* random) {
  WindowAggregator aggregator;
  constexpr int64_t kFar = int64_t{1} << 50;
  aggregator.Begin(-kFar / kHourMs * kHourMs, kFar, static_cast<uint64_t>(width_ms));
  Encoder encoder;
  for (size_t at = 0; at < columns.size();) {
    const size_t n = std::min(columns.size() - at, 1 + random->Below(1000));
    const std::span<const int64_t> times = std::span(columns.timestamps_ms).subspan(at, n);
    const std::span<const double> values = std::span(columns.values).subspan(at, n);
    std::string chunk;
    encoder.Encode(times, values, &chunk);
    EXPECT_TRUE(aggregator.AddChunk(chunk).ok());
    at += n;
  }
  return aggregator.Finish();
}

// By the definitions, in the plain way.
std::vector<Window> BruteForce(const Columns& columns, int64_t width_ms) {
  std::vector<Window> result;
  for (size_t i = 0; i < columns.size(); ++i) {
    const int64_t time = columns.timestamps_ms[i];
    const double value = columns.values[i];
    if (IsStaleNan(value)) continue;
    const int64_t start = (time - (time % width_ms + width_ms) % width_ms);
    if (result.empty() || result.back().start_ms != start) {
      result.push_back({.start_ms = start,
                        .first_ms = time,
                        .first = value,
                        .last = value,
                        .min = value,
                        .max = value});
    }
    Window& w = result.back();
    if (w.count > 0 && value < w.last) {
      ++w.resets;
      w.lost.value += w.last;
    }
    ++w.count;
    w.last_ms = time;
    w.last = value;
    w.sum.value += value;
    if (std::isnan(w.min) || value < w.min) w.min = value;
    if (std::isnan(w.max) || value > w.max) w.max = value;
  }
  return result;
}

void ExpectWhatSamplesSay(const std::vector<Window>& actual, const std::vector<Window>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  const auto near = [](double a, double b, double size) {
    return SameValue(a, b) || std::fabs(a - b) <= 1e-12 * size;
  };
  for (size_t i = 0; i < actual.size(); ++i) {
    const Window& a = actual[i];
    const Window& e = expected[i];
    ASSERT_TRUE(a.start_ms == e.start_ms && a.first_ms == e.first_ms && a.last_ms == e.last_ms)
        << i;
    ASSERT_EQ(a.count, e.count) << i;
    ASSERT_EQ(a.resets, e.resets) << i;
    ASSERT_TRUE(Bits(a.first) == Bits(e.first) && Bits(a.last) == Bits(e.last)) << i;
    ASSERT_TRUE(SameValue(a.min, e.min) && SameValue(a.max, e.max)) << i;
    const double size = std::max(std::fabs(e.min), std::fabs(e.max)) * double(e.count);
    if (size < 1e290) {
      ASSERT_TRUE(near(a.sum.value, e.sum.value, size)) << i << " " << a.sum.value;
      ASSERT_TRUE(near(a.lost.value, e.lost.value, size)) << i;
      const double increase = e.last - e.first + e.lost.value;
      ASSERT_TRUE(near(a.increase, increase, size)) << i << " " << a.increase << " " << increase;
    }
  }
}

std::string Encode(std::span<const Window> windows, int64_t width_ms) {
  std::string row;
  EncodeWindows(windows, width_ms, &row);
  return row;
}

// In rows of random lengths.
std::vector<Window> ThereAndBack(const std::vector<Window>& windows, int64_t width_ms,
                                 Random* random) {
  std::vector<Window> result;
  const size_t most = 1 + random->Below(kMaxWindows);
  for (size_t at = 0; at < windows.size();) {
    const size_t n = std::min(windows.size() - at, 1 + random->Below(most));
    const std::string row = Encode(std::span(windows).subspan(at, n), width_ms);
    const absl::Status status = DecodeWindows(row, width_ms, &result);
    EXPECT_TRUE(status.ok()) << status.ToString();
    const auto header = ReadWindowRowHeader(row, width_ms);
    EXPECT_TRUE(header.ok() && header->count == n &&
                header->first_start_ms == windows[at].start_ms);
    at += n;
  }
  return result;
}

// ---------------------------------------------------------------------------------- properties

class WindowsOfRandomSeries : public ::testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override {
    SCOPED_TRACE(GetParam());
    Random random(kSeed + GetParam());
    columns_ = RandomSeries(&random, 1 + random.Below(6000), &decimals_);
    five_minutes_ = Aggregate(columns_, kFiveMinutesMs, &random);
    hours_ = Aggregate(columns_, kHourMs, &random);
  }

  Columns columns_;
  bool decimals_ = false;
  std::vector<Window> five_minutes_;
  std::vector<Window> hours_;
};

TEST_P(WindowsOfRandomSeries, AreWhatTheSamplesSay) {
  ExpectWhatSamplesSay(five_minutes_, BruteForce(columns_, kFiveMinutesMs));
  ExpectWhatSamplesSay(hours_, BruteForce(columns_, kHourMs));
}

TEST_P(WindowsOfRandomSeries, OfAnHourAreThoseOfFiveMinutesJoined) {
  const std::vector<Window> joined = Rollup(five_minutes_, kHourMs);
  if (decimals_) {
    ExpectSame(joined, hours_);
  } else {
    ExpectWhatSamplesSay(joined, hours_);
  }
}

TEST_P(WindowsOfRandomSeries, ComeBackFromTheirBytesToTheBit) {
  Random random(GetParam());
  ExpectSame(ThereAndBack(five_minutes_, kFiveMinutesMs, &random), five_minutes_);
  ExpectSame(ThereAndBack(hours_, kHourMs, &random), hours_);
}

TEST_P(WindowsOfRandomSeries, HaveTheSameBytesHoweverTheyCameToBe) {
  if (!decimals_ || hours_.empty()) return;
  Random random(GetParam());
  const std::vector<Window> again = ThereAndBack(five_minutes_, kFiveMinutesMs, &random);
  const std::vector<Window> joined = Rollup(again, kHourMs);
  ASSERT_EQ(joined.size(), hours_.size());
  const size_t n = std::min(hours_.size(), kMaxWindows);
  EXPECT_EQ(Encode(std::span(joined).first(n), kHourMs),
            Encode(std::span(hours_).first(n), kHourMs));
}

// Over [i, j) of the windows: their increases and what lies between them, against the samples.
TEST_P(WindowsOfRandomSeries, AddUpToTheIncreaseOfAnyAlignedRange) {
  if (!decimals_) return;
  Random random(GetParam());
  for (int round = 0; round < 5 && !five_minutes_.empty(); ++round) {
    const size_t begin = random.Below(five_minutes_.size());
    const size_t end = begin + 1 + random.Below(five_minutes_.size() - begin);
    ExactSum windows;
    for (size_t i = begin; i < end; ++i) {
      const Window& w = five_minutes_[i];
      windows.Add(NumberOf(w.last));
      windows.Add(-static_cast<__int128>(NumberOf(w.first).integer), NumberOf(w.first).exponent);
      windows.Add(w.lost);
      if (i == begin) continue;
      const double last = five_minutes_[i - 1].last;
      windows.Add(NumberOf(w.first));
      if (w.first < last) continue;
      windows.Add(-static_cast<__int128>(NumberOf(last).integer), NumberOf(last).exponent);
    }
    ExactSum samples;
    bool any = false;
    double before = 0;
    for (size_t i = 0; i < columns_.size(); ++i) {
      const double value = columns_.values[i];
      if (IsStaleNan(value) || columns_.timestamps_ms[i] < five_minutes_[begin].start_ms ||
          columns_.timestamps_ms[i] >= five_minutes_[end - 1].start_ms + kFiveMinutesMs) {
        continue;
      }
      if (any) {
        samples.Add(NumberOf(value));
        if (value >= before) {
          samples.Add(-static_cast<__int128>(NumberOf(before).integer), NumberOf(before).exponent);
        }
      }
      any = true;
      before = value;
    }
    EXPECT_EQ(windows.Value(), samples.Value()) << begin << " to " << end;
  }
}

TEST_P(WindowsOfRandomSeries, ColumnsAndRangesAreTheOnesAskedFor) {
  Random random(GetParam());
  if (five_minutes_.empty()) return;
  const size_t n = std::min(five_minutes_.size(), kMaxWindows);
  const std::string row = Encode(std::span(five_minutes_).first(n), kFiveMinutesMs);
  for (int round = 0; round < 40; ++round) {
    const uint32_t columns = round < 9 ? 1u << round : static_cast<uint32_t>(random.Below(256));
    int64_t from = INT64_MIN;
    int64_t to = INT64_MAX;
    if (round % 2 == 1) {
      from = five_minutes_[random.Below(n)].start_ms + random.Between(-1, kFiveMinutesMs);
      to = from + random.Between(-1, 4 * kHourMs);
    }
    Windows out;
    ASSERT_TRUE(DecodeWindows(row, kFiveMinutesMs, columns, from, to, &out).ok());
    std::vector<Window> expected;
    for (size_t i = 0; i < n; ++i) {
      const Window& w = five_minutes_[i];
      if (w.start_ms <= to && w.start_ms + kFiveMinutesMs - 1 >= from) expected.push_back(w);
    }
    const size_t m = expected.size();
    ASSERT_EQ(out.size(), m);
    const auto has = [&](uint32_t column) { return (columns & column) != 0 ? m : 0; };
    ASSERT_EQ(out.count.size(), has(kWindowCount));
    ASSERT_EQ(out.sum.size(), has(kWindowSum));
    ASSERT_EQ(out.min.size(), has(kWindowMin));
    ASSERT_EQ(out.max.size(), has(kWindowMax));
    ASSERT_EQ(out.first.size(), has(kWindowFirst));
    ASSERT_EQ(out.first_ms.size(), has(kWindowFirst));
    ASSERT_EQ(out.last.size(), has(kWindowLast));
    ASSERT_EQ(out.last_ms.size(), has(kWindowLast));
    ASSERT_EQ(out.increase.size(), has(kWindowIncrease));
    ASSERT_EQ(out.resets.size(), has(kWindowResets));
    for (size_t i = 0; i < m; ++i) {
      const Window& e = expected[i];
      ASSERT_EQ(out.start_ms[i], e.start_ms);
      const auto same = [i](const auto& column, auto value) {
        return column.empty() || std::memcmp(&column[i], &value, sizeof(value)) == 0;
      };
      ASSERT_TRUE(same(out.count, e.count) && same(out.resets, e.resets)) << i;
      ASSERT_TRUE(same(out.first_ms, e.first_ms) && same(out.last_ms, e.last_ms)) << i;
      ASSERT_TRUE(same(out.first, e.first) && same(out.last, e.last)) << i;
      ASSERT_TRUE(same(out.min, e.min) && same(out.max, e.max)) << i;
      ASSERT_TRUE(same(out.sum, e.sum.value) && same(out.increase, e.increase)) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, WindowsOfRandomSeries, ::testing::Range<uint64_t>(0, 150));

class WindowsOfKind : public ::testing::TestWithParam<SampleKind> {};

TEST_P(WindowsOfKind, ComeBackFromTheirBytesToTheBit) {
  if (GetParam().name == "extreme_times" || GetParam().name == "widest_regular_times" ||
      GetParam().name == "consecutive_ms_to_the_end") {
    GTEST_SKIP() << "windows of these are not five minutes";
  }
  Random random(kSeed);
  for (int round = 0; round < 5; ++round) {
    const Columns columns = GetParam().generate(&random, 1 + random.Below(4000));
    for (const int64_t width_ms : {kFiveMinutesMs, kHourMs}) {
      const std::vector<Window> windows = Aggregate(columns, width_ms, &random);
      ExpectSame(ThereAndBack(windows, width_ms, &random), windows);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Samples, WindowsOfKind, ::testing::ValuesIn(SampleKinds()),
                         [](const auto& info) { return info.param.name; });

std::vector<Window> WindowsOf(const std::vector<double>& values, int64_t interval_ms) {
  WindowAggregator aggregator;
  aggregator.Begin(0, INT64_MAX, kFiveMinutesMs);
  std::vector<int64_t> times;
  for (size_t i = 0; i < values.size(); ++i) times.push_back(interval_ms * static_cast<int64_t>(i));
  aggregator.AddSamples(times, values);
  return aggregator.Finish();
}

TEST(Rows, TheSameDecimalsHaveTheSameBytesWhateverTheirExponents) {
  std::vector<Window> windows = WindowsOf({1, 2.5, 4, 7, 3, 0, 9, 9}, 60'000);
  const std::string row = Encode(windows, kFiveMinutesMs);
  for (Window& w : windows) {
    for (Number* const number : {&w.sum, &w.lost}) {
      number->integer *= 1000;
      number->exponent += 3;
    }
  }
  EXPECT_EQ(Encode(windows, kFiveMinutesMs), row);
}

TEST(Rows, OfGaugesDoNotKeepResetsAndSayThatTheyDoNotKnowTheIncrease) {
  std::vector<Window> windows = WindowsOf({1, 5, 4, 7, 3, 0, 9, 2, 9, 1}, 60'000);
  const size_t with_resets = Encode(windows, kFiveMinutesMs).size();
  ForgetRiseOfGauge(windows);
  const std::string row = Encode(windows, kFiveMinutesMs);
  EXPECT_LT(row.size(), with_resets);
  std::vector<Window> decoded;
  ASSERT_TRUE(DecodeWindows(row, kFiveMinutesMs, &decoded).ok());
  ASSERT_EQ(decoded.size(), 2u);
  EXPECT_EQ(decoded[0].sum.value, 20);
  EXPECT_EQ(decoded[1].min, 0);
  const std::vector<Window> hours = Rollup(decoded, kHourMs);
  decoded.push_back(hours[0]);
  for (const Window& w : decoded) {
    EXPECT_EQ(w.resets, 0u);
    EXPECT_TRUE(std::isnan(w.lost.value) && std::isnan(w.increase));
  }
  decoded.pop_back();
  EXPECT_EQ(Encode(decoded, kFiveMinutesMs), row) << "once not kept, never kept";
  Windows columns;
  ASSERT_TRUE(DecodeWindows(row, kFiveMinutesMs, kWindowIncrease, 0, kForever, &columns).ok());
  EXPECT_TRUE(std::isnan(columns.increase.at(1)));
}

TEST(Rows, OfACounterKeepResetsHoweverManyAsLongAsItMostlyRises) {
  std::vector<Window> windows = WindowsOf({1, 2, 3, 4, 1, 2, 3, 4, 1, 2}, 60'000);  // 2 of 10
  const std::string row = Encode(windows, kFiveMinutesMs);
  ForgetRiseOfGauge(windows);
  EXPECT_EQ(Encode(windows, kFiveMinutesMs), row);
  EXPECT_EQ(windows[0].resets, 1u);
}

TEST(Rollup, ACounterThatStartsAgainBetweenTwoWindowsGrewByItsFirstValue) {
  const std::vector<Window> windows = WindowsOf({10, 11, 12, 13, 14, 3, 4, 5, 6, 7}, 60'000);
  ASSERT_EQ(windows.size(), 2u);
  const Window hour = Rollup(windows, kHourMs)[0];
  EXPECT_EQ(hour.increase, 4 + 3 + 4);
  EXPECT_EQ(hour.resets, 1u);
  EXPECT_EQ(hour.lost.value, 14);
}

TEST(Splice, ReplacesTheWindowsOfARangeAndNoOthers) {
  const auto at = [](std::vector<int64_t> starts, double value) {
    std::vector<Window> windows;
    for (const int64_t start : starts) windows.push_back({.start_ms = start, .last = value});
    return windows;
  };
  std::vector<Window> windows = at({0, 10, 20, 30, 40}, 1);
  SpliceWindows(10, 40, at({15, 20, 25, 35}, 2), &windows);
  std::vector<int64_t> starts;
  for (const Window& w : windows) starts.push_back(w.start_ms);
  EXPECT_EQ(starts, (std::vector<int64_t>{0, 15, 20, 25, 35, 40}));
  EXPECT_EQ(windows[2].last, 2);
  SpliceWindows(15, 36, {}, &windows);
  EXPECT_EQ(windows.size(), 2u);
  SpliceWindows(50, 60, at({50}, 3), &windows);
  EXPECT_EQ(windows.back().last, 3);
}

}  // namespace
}  // namespace tinyobs::chunk
