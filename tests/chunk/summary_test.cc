// A chunk's summary is what its samples say, exactly, and is only there where that is well defined
// and costs little.
#include "lib/chunk/summary.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/chunk/chunk.h"
#include "lib/chunk/decimal.h"
#include "tests/chunk/sample_generators.h"

namespace tinyobs::chunk {
namespace {

constexpr uint64_t kSeed = 77;

std::string Encode(const Columns& columns) {
  Encoder encoder;
  std::string chunk;
  encoder.Encode(columns.timestamps_ms, columns.values, &chunk);
  return chunk;
}

std::optional<Summary> SummaryOf(const std::string& chunk) {
  const auto summary = ReadSummary(chunk);
  EXPECT_TRUE(summary.ok()) << summary.status().ToString();
  return summary.ok() ? *summary : std::nullopt;
}

// By the definitions, one sample after the other.
Summary BruteForce(const Columns& columns, int exponent) {
  std::vector<int64_t> x(columns.size());
  std::vector<uint64_t> misfits(columns.size());
  EXPECT_EQ(ToDecimals(columns.values, exponent, x.data(), misfits.data()), 0u);
  Summary summary{.count = static_cast<uint32_t>(x.size()), .exponent = exponent};
  summary.first = summary.min = summary.max = x.front();
  summary.last = x.back();
  for (size_t i = 0; i < x.size(); ++i) {
    summary.min = std::min(summary.min, x[i]);
    summary.max = std::max(summary.max, x[i]);
    summary.sum += x[i];
    if (i > 0 && x[i] < x[i - 1]) summary.resets += x[i - 1];
  }
  return summary;
}

void ExpectSame(const Summary& a, const Summary& b) {
  EXPECT_EQ(a.count, b.count);
  EXPECT_EQ(a.exponent, b.exponent);
  EXPECT_EQ(a.first, b.first);
  EXPECT_EQ(a.last, b.last);
  EXPECT_EQ(a.min, b.min);
  EXPECT_EQ(a.max, b.max);
  EXPECT_EQ(a.resets, b.resets);
  EXPECT_TRUE(a.sum == b.sum);
  EXPECT_TRUE(a.increase() == b.increase());
}

class SummaryOfKind : public ::testing::TestWithParam<SampleKind> {};

TEST_P(SummaryOfKind, IsWhatTheSamplesSayAndCostsLessThanThreePercent) {
  Random random(kSeed);
  for (size_t n : {239, 240, 241, 480, 481, 1024, 3001, 8192}) {
    const Columns columns = GetParam().generate(&random, n);
    const std::string chunk = Encode(columns);
    const std::optional<Summary> summary = SummaryOf(chunk);
    if (!summary.has_value()) continue;
    SCOPED_TRACE(n);
    ASSERT_GE(n, kSummaryLeastSamples);
    ExpectSame(*summary, BruteForce(columns, summary->exponent));
    std::string bytes;
    AppendSummary(*summary, &bytes);
    EXPECT_LE(static_cast<double>(bytes.size()),
              0.033 * static_cast<double>(chunk.size() - bytes.size()));
    Columns decoded;
    ASSERT_TRUE(Decode(chunk, &decoded).ok());
    EXPECT_TRUE(SameSamples(decoded, columns));
  }
}

INSTANTIATE_TEST_SUITE_P(Samples, SummaryOfKind, ::testing::ValuesIn(SampleKinds()),
                         [](const auto& info) { return info.param.name; });

const SampleKind& Kind(const std::string& name) {
  for (const SampleKind& kind : SampleKinds()) {
    if (kind.name == name) return kind;
  }
  ADD_FAILURE() << name;
  return SampleKinds()[0];
}

TEST(Summary, LongChunksOfDecimalsHaveOne) {
  for (const char* name : {"int_counter", "jittered_times", "cpu_seconds", "one_decimal_walk",
                           "three_decimals_walk", "pages_of_bytes", "multiples_of"}) {
    Random random(kSeed);
    EXPECT_TRUE(SummaryOf(Encode(Kind(name).generate(&random, 1024))).has_value()) << name;
  }
}

// The numbers of every transform, and base and divisor, count from the summary's first.
TEST(Summary, ChunksOfEveryTransformHaveOne) {
  Random random(kSeed);
  for (const int64_t factor : {1, 4096}) {
    for (const int order : {0, 1, 2}) {
      Columns columns;
      int64_t x[3] = {};
      for (int i = 0; i < 1000; ++i) {
        x[order] = random.Between(0, 1000);
        for (int j = order; j > 0; --j) x[j - 1] += x[j];
        columns.Add(i * 1000 + static_cast<int64_t>(random.Below(2)),
                    static_cast<double>(123'456 + factor * x[0]));
      }
      const std::string chunk = Encode(columns);
      const std::optional<Summary> summary = SummaryOf(chunk);
      ASSERT_TRUE(summary.has_value()) << order;
      ExpectSame(*summary, BruteForce(columns, 0));
      Columns decoded;
      ASSERT_TRUE(Decode(chunk, &decoded).ok());
      EXPECT_TRUE(SameSamples(decoded, columns));
    }
  }
}

TEST(Summary, ChunksWithValuesThatAreNoDecimalsHaveNone) {
  Random random(kSeed);
  const Columns columns = Kind("three_decimals_walk").generate(&random, 1000);
  ASSERT_TRUE(SummaryOf(Encode(columns)).has_value());
  for (const double odd : {StaleNan(), std::nan(""), -0.0, HUGE_VAL, 0.1 + 0.2, 1e300}) {
    Columns with_odd = columns;
    with_odd.values[500] = odd;
    EXPECT_FALSE(SummaryOf(Encode(with_odd)).has_value()) << odd;
  }
  EXPECT_FALSE(SummaryOf(Encode(Kind("full_precision").generate(&random, 1000))).has_value());
}

TEST(Summary, SurvivesTheLargestIntegersOrIsLeftOut) {
  Random random(kSeed);
  for (size_t n : {2000u, 8192u}) {
    for (const int pattern : {0, 1, 2, 3}) {
      Columns columns;
      for (size_t i = 0; i < n; ++i) {
        const int64_t noise = random.Between(0, 1 << 30);
        const int64_t top = kDecimalLimit - 2;
        const int64_t integers[] = {top - noise, -top + noise, i % 2 ? top - noise : -top + noise,
                                    i < n / 2 ? -top + noise : top - noise};
        columns.Add(static_cast<int64_t>(i) * 1000, static_cast<double>(integers[pattern]));
      }
      const std::string chunk = Encode(columns);
      const std::optional<Summary> summary = SummaryOf(chunk);
      if (summary.has_value()) {
        ExpectSame(*summary, BruteForce(columns, summary->exponent));
      } else {
        EXPECT_EQ(n, 8192u) << "pattern " << pattern;
      }
      Columns decoded;
      ASSERT_TRUE(Decode(chunk, &decoded).ok());
      EXPECT_TRUE(SameSamples(decoded, columns));
    }
  }
}

// lib/chunk/FORMAT.md, "A chunk with a summary": a counter that starts again once.
TEST(Summary, HasTheBytesOfTheWorkedExample) {
  Columns columns;
  int64_t total = 1000;
  for (int i = 0; i < 480; ++i) {
    if (i == 300) total = 0;
    columns.Add(1'700'000'000'000 + i * 15'000, static_cast<double>(total) / 10);
    total += 1000 + i * i % 4093;
  }
  const std::string chunk = Encode(columns);
  const std::string expected(
      "\x11\xe0\x03\x80\xa0\xab\xfe\xf9\x62\x98\x75"              // head, count, times
      "\x01\xd0\x0f\xa8\xba\x42\xe8\x07\xb9\xde\x33\xc2\xcc\x67"  // summary
      "\xee\xdc\x83\x24"                                          // its sum
      "\x21\x00\xd0\x0f\x0d\x06\xbe\x01",                         // value section
      37);
  EXPECT_EQ(chunk.substr(0, expected.size()), expected);
  EXPECT_EQ(chunk.size(), 824u);
  const std::optional<Summary> summary = SummaryOf(chunk);
  ASSERT_TRUE(summary.has_value());
  ExpectSame(*summary, BruteForce(columns, 1));
  EXPECT_EQ(FromDecimal(summary->increase(), summary->exponent), 139307.7);
}

TEST(Summary, DamagedOnesAreRefused) {
  const auto refused = [](const Summary& summary) {
    std::string bytes;
    AppendSummary(summary, &bytes);
    ByteReader reader(bytes);
    ReadSummaryFields(&reader, summary.count);
    return !reader.ok();
  };
  const Summary good{.count = 300,
                     .exponent = 2,
                     .first = 5,
                     .last = 7,
                     .min = -3,
                     .max = 9,
                     .resets = 40,
                     .sum = 600};
  EXPECT_FALSE(refused(good));
  const auto with = [&](auto change) {
    Summary summary = good;
    change(&summary);
    return refused(summary);
  };
  EXPECT_TRUE(with([](Summary* s) { s->exponent = 15; }));
  EXPECT_TRUE(with([](Summary* s) { s->first = kDecimalLimit; }));
  EXPECT_TRUE(with([](Summary* s) { s->last = 10; })) << "above max";
  EXPECT_TRUE(with([](Summary* s) { s->last = -4; })) << "below min";
  EXPECT_TRUE(with([](Summary* s) { s->max = kDecimalLimit; }));
  EXPECT_TRUE(with([](Summary* s) { s->min = -kDecimalLimit - 1; }));
  EXPECT_TRUE(with([](Summary* s) { s->sum = 300 * 9 + 1; }));
  EXPECT_TRUE(with([](Summary* s) { s->sum = 300 * -3 - 1; }));
  EXPECT_TRUE(with([](Summary* s) { s->resets = 299 * 9 + 1; }));
  EXPECT_TRUE(with([](Summary* s) { s->resets = -299 * 9 - 1; }));
}

TEST(Summary, DecodeRefusesOneOfOtherSamples) {
  Random random(kSeed);
  const Columns columns = Kind("int_counter").generate(&random, 1024);
  const std::string chunk = Encode(columns);
  const Summary summary = SummaryOf(chunk).value();
  std::string bytes;
  AppendSummary(summary, &bytes);
  const size_t at = chunk.find(bytes);
  ASSERT_NE(at, std::string::npos);
  const auto decode_with = [&](Summary other) {
    std::string other_bytes;
    AppendSummary(other, &other_bytes);
    std::string damaged = chunk;
    damaged.replace(at, bytes.size(), other_bytes);
    Columns out;
    return Decode(damaged, &out);
  };
  EXPECT_TRUE(decode_with(summary).ok());
  Summary other = summary;
  --other.last;
  EXPECT_TRUE(absl::IsDataLoss(decode_with(other)));
  other = summary;
  other.exponent = 3;
  EXPECT_TRUE(absl::IsDataLoss(decode_with(other)));
}

// Against division with 113 bits, whose own rounding could only matter in a tie.
TEST(Decimal, LargeSumsAreRoundedOnce) {
  Random random(kSeed);
  for (int round = 0; round < 20'000; ++round) {
    auto integer = static_cast<__int128>(random.Bits()) << 47 | (random.Bits() >> 17);
    integer >>= random.Below(110);
    if (random.Below(2) == 0) integer = -integer;
    const int exponent = static_cast<int>(random.Below(15));
    const auto exact =
        static_cast<__float128>(integer) / static_cast<__float128>(kPowersOfTen[exponent]);
    ASSERT_EQ(FromDecimal(integer, exponent), static_cast<double>(exact)) << "round " << round;
  }
}

}  // namespace
}  // namespace tinyobs::chunk
