// Windows over chunks say what the samples say, however they are cut into chunks and whichever way
// (summary, integers, columns) they are added.
#include "lib/chunk/aggregate.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/chunk/chunk.h"
#include "lib/chunk/decimal.h"
#include "tests/chunk/sample_generators.h"

namespace tinyobs::chunk {
namespace {

constexpr uint64_t kSeed = 4711;

std::string Encode(const Columns& columns) {
  Encoder encoder;
  std::string chunk;
  encoder.Encode(columns.timestamps_ms, columns.values, &chunk);
  return chunk;
}

Columns Slice(const Columns& columns, size_t begin, size_t end) {
  Columns slice;
  for (size_t i = begin; i < end; ++i) slice.Add(columns.timestamps_ms[i], columns.values[i]);
  return slice;
}

// With sums of plain doubles and, when all values are decimals, in units of 10^-14.
struct Expected {
  Window window;
  bool decimals = true;
  __int128 sum = 0;
  __int128 increase = 0;
  double resets = 0;
  double magnitude = 0;  // of what was added up
};

std::vector<Expected> BruteForce(const Columns& columns, int64_t start, int64_t end,
                                 uint64_t width) {
  std::vector<Expected> result;
  for (size_t i = 0; i < columns.size(); ++i) {
    const int64_t time = columns.timestamps_ms[i];
    const double value = columns.values[i];
    if (time < start || time >= end || IsStaleNan(value)) continue;
    const uint64_t offset = static_cast<uint64_t>(time) - static_cast<uint64_t>(start);
    const auto window = static_cast<int64_t>(static_cast<uint64_t>(start) + offset / width * width);
    if (result.empty() || result.back().window.start_ms != window) {
      result.push_back({.window = {.start_ms = window,
                                   .first_ms = time,
                                   .first = value,
                                   .last = value,
                                   .min = value,
                                   .max = value}});
    }
    Expected& e = result.back();
    Window& w = e.window;
    const auto units = [&](double v) -> __int128 {
      int64_t integer = 0;
      uint64_t misfit = 0;
      const int exponent = ExponentOf(v, 0);
      if (exponent == kBitsExponent) {
        e.decimals = false;
        return 0;
      }
      ToDecimals({&v, 1}, exponent, &integer, &misfit);
      return static_cast<__int128>(integer) * static_cast<int64_t>(kPowersOfTen[14 - exponent]);
    };
    e.sum += units(value);
    if (w.count > 0) e.increase += units(value) - (value < w.last ? 0 : units(w.last));
    if (w.count > 0 && value < w.last) e.resets += w.last;
    e.magnitude += std::isfinite(value) ? std::fabs(value) : 0;
    ++w.count;
    w.last_ms = time;
    w.last = value;
    w.sum.value += value;
    if (std::isnan(w.min) || value < w.min) w.min = value;
    if (std::isnan(w.max) || value > w.max) w.max = value;
  }
  return result;
}

void ExpectSameValue(double actual, double expected, const char* what) {
  EXPECT_TRUE(actual == expected || (std::isnan(actual) && std::isnan(expected)))
      << what << " " << actual << " instead of " << expected;
}

void ExpectClose(double actual, double expected, double magnitude, const char* what) {
  if (!std::isfinite(expected)) return ExpectSameValue(actual, expected, what);
  EXPECT_LE(std::fabs(actual - expected), 1e-11 * magnitude)
      << what << " " << actual << " instead of " << expected;
}

// `exact`: all chunks are of decimals, so sums have no error but one rounding.
void ExpectWindows(const std::vector<Window>& actual, const std::vector<Expected>& expected,
                   bool exact) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    const Window& a = actual[i];
    const Expected& e = expected[i];
    EXPECT_EQ(a.start_ms, e.window.start_ms);
    EXPECT_EQ(a.first_ms, e.window.first_ms);
    EXPECT_EQ(a.last_ms, e.window.last_ms);
    EXPECT_EQ(a.count, e.window.count);
    EXPECT_EQ(std::bit_cast<uint64_t>(a.first), std::bit_cast<uint64_t>(e.window.first));
    EXPECT_EQ(std::bit_cast<uint64_t>(a.last), std::bit_cast<uint64_t>(e.window.last));
    ExpectSameValue(a.min, e.window.min, "min");
    ExpectSameValue(a.max, e.window.max, "max");
    if (exact) {
      ASSERT_TRUE(e.decimals);
      EXPECT_EQ(a.sum.value, FromDecimal(e.sum, 14));
      EXPECT_EQ(a.increase, FromDecimal(e.increase, 14));
    } else if (e.magnitude < 1e300) {
      ExpectClose(a.sum.value, e.window.sum.value, e.magnitude, "sum");
      const double increase = e.window.last - e.window.first + e.resets;
      ExpectClose(a.increase, increase, 3 * e.magnitude, "increase");
    }
    if (::testing::Test::HasFailure()) FAIL() << "window " << i;
  }
}

class WindowsOfKind : public ::testing::TestWithParam<SampleKind> {};

TEST_P(WindowsOfKind, SayWhatTheSamplesSay) {
  const std::set<std::string> decimal_kinds = {
      "int_counter",          "jittered_times", "cpu_seconds",     "one_decimal_walk",
      "three_decimals_walk",  "pages_of_bytes", "rarely_changing", "constant",
      "resets_and_stale",     "multiples_of",   "parabola",        "irregular_times",
      "gaps_in_regular_times"};
  const bool exact = decimal_kinds.contains(GetParam().name);
  WindowAggregator aggregator;
  for (uint64_t seed = kSeed; seed < kSeed + 25; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const Columns columns = GetParam().generate(&random, 1 + random.Below(3000));
    const auto first = static_cast<uint64_t>(columns.timestamps_ms.front());
    const uint64_t span = static_cast<uint64_t>(columns.timestamps_ms.back()) - first;
    // Windows from one sample long to all of them, edges on and between samples.
    const uint64_t widths[] = {1 + span / columns.size(), 60'000, 1 + random.Below(span / 8 + 1),
                               span / (1 + random.Below(4)) | 1, UINT64_MAX};
    for (const uint64_t width : widths) {
      if (span / width > 10'000) continue;
      int64_t start = columns.timestamps_ms[random.Below(columns.size())];
      int64_t end = columns.timestamps_ms[random.Below(columns.size())];
      if (random.Below(2) == 0) start = columns.timestamps_ms.front();
      if (random.Below(2) == 0) end = INT64_MAX;
      if (random.Below(2) == 0 && start > INT64_MIN + 70'000) {
        start -= static_cast<int64_t>(random.Below(70'000));
      }
      if (end < start) std::swap(start, end);
      aggregator.Begin(start, end, width);
      const uint64_t longest = 1 + random.Below(1500);
      for (size_t at = 0; at < columns.size();) {
        const size_t until = std::min(columns.size(), at + 1 + random.Below(longest));
        const Columns slice = Slice(columns, at, until);
        if (random.Below(4) == 0) {
          aggregator.AddSamples(slice.timestamps_ms, slice.values);
        } else {
          ASSERT_TRUE(aggregator.AddChunk(Encode(slice)).ok());
        }
        at = until;
      }
      ExpectWindows(aggregator.Finish(), BruteForce(columns, start, end, width), exact);
      if (HasFatalFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Samples, WindowsOfKind, ::testing::ValuesIn(SampleKinds()),
                         [](const auto& info) { return info.param.name; });

std::vector<Window> OneWindow(const Columns& columns) {
  WindowAggregator aggregator;
  aggregator.Begin(INT64_MIN, INT64_MAX, UINT64_MAX);
  EXPECT_TRUE(aggregator.AddChunk(Encode(columns)).ok());
  return aggregator.Finish();
}

TEST(Windows, AWholeChunkIsAnsweredFromItsSummaryAlone) {
  Random random(kSeed);
  const Columns columns = SampleKinds()[0].generate(&random, 1024);
  const std::string chunk = Encode(columns);
  const std::string_view without_samples = std::string_view(chunk).substr(0, 40);
  const int64_t start = columns.timestamps_ms.front();
  const int64_t end = columns.timestamps_ms.back() + 1;
  WindowAggregator aggregator;
  aggregator.Begin(start, end, UINT64_MAX);
  ASSERT_TRUE(aggregator.AddChunk(without_samples).ok());
  ExpectWindows(aggregator.Finish(), BruteForce(columns, start, end, UINT64_MAX), true);
  // A part of it needs the samples.
  aggregator.Begin(start, end - 1, UINT64_MAX);
  EXPECT_TRUE(absl::IsDataLoss(aggregator.AddChunk(without_samples)));
  aggregator.Begin(start + 1, end, UINT64_MAX);
  EXPECT_TRUE(absl::IsDataLoss(aggregator.AddChunk(without_samples)));
}

TEST(Windows, ChunksOutsideAreNotRead) {
  Random random(kSeed);
  const Columns columns = SampleKinds()[0].generate(&random, 50);
  const std::string chunk = Encode(columns);
  const std::string_view head = std::string_view(chunk).substr(0, 10);
  WindowAggregator aggregator;
  aggregator.Begin(columns.timestamps_ms.back() + 1, INT64_MAX, 1000);
  EXPECT_TRUE(aggregator.AddChunk(head).ok());
  aggregator.Begin(0, columns.timestamps_ms.front(), 1000);
  EXPECT_TRUE(aggregator.AddChunk(head).ok());
  EXPECT_TRUE(aggregator.Finish().empty());
}

TEST(Windows, SumsOfDecimalsHaveOneRounding) {
  Columns columns;
  for (int i = 0; i < 10; ++i) columns.Add(i, 0.1);
  EXPECT_EQ(OneWindow(columns)[0].sum.value, 1.0);

  // Of another number of digits in the next chunk, and far larger ones.
  WindowAggregator aggregator;
  aggregator.Begin(0, 100, 100);
  ASSERT_TRUE(aggregator.AddChunk(Encode(columns)).ok());
  const std::vector<int64_t> times = {20, 21, 22, 23};
  aggregator.AddSamples(times, std::vector<double>{0.25, 1e15, 0.125, -1e15});
  const Window window = aggregator.Finish()[0];
  EXPECT_EQ(window.sum.value, 1.375);
  EXPECT_EQ(window.count, 14u);
}

TEST(Windows, CountersThatStartAgainGoOnGrowingAcrossChunks) {
  WindowAggregator aggregator;
  aggregator.Begin(0, 100, 100);
  Columns first;
  Columns second;
  for (const double value : {10., 15., 2.}) first.Add(static_cast<int64_t>(first.size()), value);
  for (const double value : {1., 4.}) second.Add(50 + static_cast<int64_t>(second.size()), value);
  ASSERT_TRUE(aggregator.AddChunk(Encode(first)).ok());
  ASSERT_TRUE(aggregator.AddChunk(Encode(second)).ok());
  EXPECT_EQ(aggregator.Finish()[0].increase, 5 + 2 + 1 + 3);
}

TEST(Windows, StalenessMarkersAreNoSamples) {
  Columns columns;
  for (const double value : {StaleNan(), 3., StaleNan(), 1., StaleNan()}) {
    columns.Add(static_cast<int64_t>(columns.size()), value);
  }
  const Window window = OneWindow(columns)[0];
  EXPECT_EQ(window.count, 2u);
  EXPECT_EQ(window.first_ms, 1);
  EXPECT_EQ(window.last_ms, 3);
  EXPECT_EQ(window.sum.value, 4);
  EXPECT_EQ(window.increase, 1);
  Columns stale;
  stale.Add(1, StaleNan());
  EXPECT_TRUE(OneWindow(stale).empty());
}

TEST(Windows, OtherNanIsCountedAndPassedOverByMinAndMax) {
  Columns columns;
  for (const double value : {5., std::nan(""), 2.}) {
    columns.Add(static_cast<int64_t>(columns.size()), value);
  }
  const Window window = OneWindow(columns)[0];
  EXPECT_EQ(window.count, 3u);
  EXPECT_TRUE(std::isnan(window.sum.value));
  EXPECT_EQ(window.min, 2);
  EXPECT_EQ(window.max, 5);
  EXPECT_EQ(window.increase, -3) << "next to NaN nothing is a decrease";
  Columns nan;
  nan.Add(1, std::nan(""));
  EXPECT_TRUE(std::isnan(OneWindow(nan)[0].min));
}

}  // namespace
}  // namespace tinyobs::chunk
