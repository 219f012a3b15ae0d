// Chunks lose nothing: every kind of samples, in every length, comes back bit for bit; and they are
// as small as promised.
#include "lib/chunk/chunk.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/coding.h"
#include "tests/chunk/sample_generators.h"

namespace tinyobs::chunk {
namespace {

constexpr uint64_t kSeed = 20'240'602;

std::string Encode(const Columns& columns, ExponentHint* hint = nullptr) {
  Encoder encoder;
  std::string chunk;
  encoder.Encode(columns.timestamps_ms, columns.values, &chunk, hint);
  return chunk;
}

void ExpectRoundTrip(const Columns& columns, const std::string& chunk) {
  Columns decoded;
  const absl::Status status = Decode(chunk, &decoded);
  ASSERT_TRUE(status.ok()) << status.ToString();
  ASSERT_TRUE(SameSamples(decoded, columns)) << ToText(columns) << "became\n" << ToText(decoded);
  const auto header = ReadHeader(chunk);
  ASSERT_TRUE(header.ok()) << header.status().ToString();
  EXPECT_EQ(header->count, columns.size());
  EXPECT_EQ(header->first_ms, columns.timestamps_ms.front());
  EXPECT_EQ(header->last_ms, columns.timestamps_ms.back());
}

class ChunkOfKind : public ::testing::TestWithParam<SampleKind> {};

TEST_P(ChunkOfKind, RoundTripsInEveryLength) {
  Random random(kSeed);
  Encoder encoder;  // one for all: scratch of a longer chunk must not leak into a shorter one
  ExponentHint hint;
  std::vector<size_t> lengths = {kMaxSamples, kMaxSamples - 1, 1024, 1023, 513, 512, 480, 121};
  for (size_t n = 120; n >= 1; --n) lengths.push_back(n);
  for (const size_t n : lengths) {
    SCOPED_TRACE(n);
    const Columns columns = GetParam().generate(&random, n);
    ASSERT_EQ(columns.size(), n);
    std::string chunk;
    encoder.Encode(columns.timestamps_ms, columns.values, &chunk);
    ExpectRoundTrip(columns, chunk);
    ASSERT_EQ(Encode(columns), chunk) << "the bytes depend on what was encoded before";
    ExpectRoundTrip(columns, Encode(columns, &hint));
    if (HasFatalFailure()) return;
  }
}

TEST_P(ChunkOfKind, IsAsSmallAsPromised) {
  if (GetParam().most_bytes_per_sample == 0) return;
  Random random(kSeed);
  constexpr size_t kChunks = 50;
  constexpr size_t kSamples = 120;
  size_t bytes = 0;
  for (size_t i = 0; i < kChunks; ++i)
    bytes += Encode(GetParam().generate(&random, kSamples)).size();
  const double per_sample = static_cast<double>(bytes) / (kChunks * kSamples);
  RecordProperty("bytes_per_sample", std::to_string(per_sample));
  std::printf("%-26s %.3f B/sample, at most %.2f\n", GetParam().name.c_str(), per_sample,
              GetParam().most_bytes_per_sample);
  EXPECT_LE(per_sample, GetParam().most_bytes_per_sample);
}

INSTANTIATE_TEST_SUITE_P(Samples, ChunkOfKind, ::testing::ValuesIn(SampleKinds()),
                         [](const auto& info) { return info.param.name; });

// lib/chunk/FORMAT.md, "Worked example".
TEST(Chunk, HasTheBytesOfTheWorkedExample) {
  Columns columns;
  int64_t time = 1'700'000'000'000;
  for (const double value : {20.5, 20.7, 20.6, 20.9, 21.0}) {
    columns.Add(time, value);
    time += 15'000;
  }
  const std::string expected(
      "\x01\x05\x80\xa0\xab\xfe\xf9\x62\x98\x75"
      "\x01\x03\x00\x9a\x03\x50\x58",
      17);
  EXPECT_EQ(Encode(columns), expected);
  ExpectRoundTrip(columns, expected);
}

TEST(Chunk, DecodeAppendsToWhatIsThere) {
  Random random(kSeed);
  const Columns first = SampleKinds()[0].generate(&random, 30);
  Columns columns = first;
  Columns second;
  for (int i = 0; i < 40; ++i) second.Add(first.timestamps_ms.back() + 1 + i, i);
  ASSERT_TRUE(Decode(Encode(second), &columns).ok());
  Columns expected = first;
  for (size_t i = 0; i < second.size(); ++i) {
    expected.Add(second.timestamps_ms[i], second.values[i]);
  }
  EXPECT_TRUE(SameSamples(columns, expected));
}

TEST(Chunk, ColumnsWithRoomAreNotMoved) {
  Random random(kSeed);
  for (const size_t kind : {0, 1}) {  // regular times and others
    const Columns columns = SampleKinds()[kind].generate(&random, 100);
    Columns out;
    out.timestamps_ms.reserve(200);
    out.values.reserve(200);
    const int64_t* const times = out.timestamps_ms.data();
    const double* const values = out.values.data();
    const std::string chunk = Encode(columns);
    ASSERT_TRUE(Decode(chunk, &out).ok());
    ASSERT_TRUE(Decode(chunk, &out).ok());
    EXPECT_EQ(out.timestamps_ms.data(), times);
    EXPECT_EQ(out.values.data(), values);
  }
}

// How chunks are cut anew: decode what belongs together, encode it in other pieces.
TEST(Chunk, CuttingAnewLosesNothing) {
  Random random(kSeed);
  for (const SampleKind& kind : SampleKinds()) {
    const Columns columns = kind.generate(&random, 1000);
    Encoder encoder;
    Columns joined;
    for (size_t at = 0; at < 1000; at += 40) {
      std::string chunk;
      encoder.Encode(std::span(columns.timestamps_ms).subspan(at, 40),
                     std::span(columns.values).subspan(at, 40), &chunk);
      ASSERT_TRUE(Decode(chunk, &joined).ok());
    }
    EXPECT_TRUE(SameSamples(joined, columns)) << kind.name;
    ExpectRoundTrip(joined, Encode(joined));
  }
}

TEST(Chunk, EncodeAppendsToWhatIsThere) {
  Columns columns;
  columns.Add(1, 2);
  std::string out = "before";
  Encoder encoder;
  encoder.Encode(columns.timestamps_ms, columns.values, &out);
  EXPECT_EQ(out, "before" + Encode(columns));
}

TEST(Chunk, AnOddValueDoesNotTurnDecimalsIntoBits) {
  Columns columns;
  for (int i = 0; i < 120; ++i) columns.Add(1000 * i, (i * 37 % 100) / 10.0);
  const size_t plain = Encode(columns).size();
  for (const double odd : {0.1 + 0.2, StaleNan(), -0.0, 1e300}) {
    for (const size_t at : {0u, 1u, 60u, 119u}) {
      Columns with_odd = columns;
      with_odd.values[at] = odd;
      EXPECT_LE(Encode(with_odd).size(), plain + 24) << odd << " at " << at;
    }
  }
}

// The last fourteen values lie behind the places that are looked at to guess an exponent.
TEST(Chunk, LateDecimalsRaiseTheExponentForAll) {
  Columns columns;
  for (int i = 0; i < 120; ++i) columns.Add(1000 * i, i < 106 ? i % 7 : i % 7 + 0.125);
  EXPECT_LT(Encode(columns).size(), 150u) << "as exceptions they would take more";
  ExpectRoundTrip(columns, Encode(columns));
}

// An exponent of nine, which the odd one asks for, has no room for the others.
TEST(Chunk, ADecimalAmongLargeIntegersStaysAnException) {
  Columns columns;
  for (int i = 0; i < 120; ++i) columns.Add(1000 * i, (1ll << 45) + i * 97 % 64);
  columns.values[113] = 0.123456789;
  EXPECT_LT(Encode(columns).size(), 150u);
  ExpectRoundTrip(columns, Encode(columns));
}

TEST(Chunk, AHintOfTheSameSeriesChangesNothingAndAWrongOneLosesNothing) {
  Random random(kSeed);
  const Columns decimals = SampleKinds()[3].generate(&random, 120);
  ExponentHint hint;
  const std::string chunk = Encode(decimals, &hint);
  EXPECT_EQ(hint.exponent, 1);
  EXPECT_EQ(Encode(decimals, &hint), chunk);
  for (int8_t wrong = -1; wrong <= 15; ++wrong) {
    ExponentHint hint_of_another{wrong};
    ExpectRoundTrip(decimals, Encode(decimals, &hint_of_another));
  }
}

TEST(Chunk, ReadHeaderDoesNotNeedTheValues) {
  Random random(kSeed);
  const Columns columns = SampleKinds()[0].generate(&random, 120);
  const std::string chunk = Encode(columns);
  // Head, count, six bytes of first time, two of interval.
  const auto header = ReadHeader(std::string_view(chunk).substr(0, 10));
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->last_ms, columns.timestamps_ms.back());
}

TEST(ChunkDeathTest, OurOwnMistakesAreNotEncoded) {
  const auto encode = [](std::vector<int64_t> times, std::vector<double> values) {
    std::string out;
    Encoder().Encode(times, values, &out);
  };
  EXPECT_DEATH(encode({}, {}), "invariant");
  EXPECT_DEATH(encode({1, 2}, {1}), "invariant");
  EXPECT_DEATH(encode({1, 1}, {1, 1}), "invariant");
  EXPECT_DEATH(encode({2, 1}, {1, 1}), "invariant");
}

}  // namespace
}  // namespace tinyobs::chunk
