// The head's encoding: what goes in comes out, in fragments and as one piece, and bytes that are no
// stream are refused.
#include "lib/tsdb/open_chunk.h"

#include <cmath>
#include <limits>
#include <random>

#include "gtest/gtest.h"
#include "lib/tsdb/head_pin.h"

namespace tinyobs::tsdb {
namespace {

using Samples = std::vector<Sample>;

void ExpectEqual(const Columns& columns, const Samples& samples) {
  ASSERT_EQ(columns.size(), samples.size());
  for (size_t i = 0; i < samples.size(); ++i) {
    ASSERT_EQ(columns.timestamps_ms[i], samples[i].timestamp_ms) << i;
    ASSERT_EQ(std::bit_cast<uint64_t>(columns.values[i]), std::bit_cast<uint64_t>(samples[i].value))
        << i;
  }
}

// Decimals, all sorts of bits, regular and irregular times.
Samples RandomSamples(std::mt19937_64* random, size_t count) {
  std::mt19937_64& r = *random;
  const double power = std::pow(10.0, static_cast<double>(r() % 4));
  const bool regular = r() % 2 == 0;
  Samples samples;
  int64_t t = static_cast<int64_t>(r() % 2'000'000'000'000) - 1'000'000'000'000;
  for (size_t i = 0; i < count; ++i) {
    t += regular && r() % 16 != 0 ? 15000 : 1 + static_cast<int64_t>(r() >> (r() % 50 + 14));
    double value = std::round(static_cast<double>(r() % 100'000)) / power;
    if (r() % 16 == 0) value = std::bit_cast<double>(r());
    if (r() % 32 == 0) value = -0.0;
    if (r() % 32 == 0) value = StaleNan();
    samples.push_back({t, value});
  }
  return samples;
}

std::string Encoded(const Samples& samples, int hint = kNoExponent) {
  std::string bytes;
  EncodeStream(samples, hint, &bytes);
  return bytes;
}

TEST(Stream, DecodesToWhatWasEncoded) {
  std::mt19937_64 random(1);
  for (size_t count = 1; count < 300; ++count) {
    const Samples samples = RandomSamples(&random, count);
    const std::string bytes = Encoded(samples, static_cast<int>(random() % 16));
    Columns columns;
    DeltaState end;
    ASSERT_TRUE(
        DecodeStream(bytes, samples[0].timestamp_ms, static_cast<uint32_t>(count), &columns, &end));
    ExpectEqual(columns, samples);
    EXPECT_EQ(end.last_ms, samples.back().timestamp_ms);
  }
}

TEST(Stream, AppendsBehindWhatIsThere) {
  const Samples samples{{10, 1}, {20, 2}};
  Columns columns;
  columns.Add(5, 0.5);
  ASSERT_TRUE(DecodeStream(Encoded(samples), 10, 2, &columns));
  ExpectEqual(columns, {{5, 0.5}, {10, 1}, {20, 2}});
  EXPECT_FALSE(DecodeStream("nonsense", 10, 2, &columns));
  ExpectEqual(columns, {{5, 0.5}, {10, 1}, {20, 2}});
}

TEST(Stream, TheStateAfterDecodingGoesOnWhereTheEncoderWas) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 300; ++round) {
    const Samples samples = RandomSamples(&random, 40);
    DeltaState state;
    char code[kMaxStartBytes];
    std::string bytes;
    for (size_t i = 0; i < samples.size(); ++i) {
      const auto& [t, v] = samples[i];
      bytes.append(code,
                   i == 0 ? StartStream(&state, t, v, code) : EncodeDelta(&state, t, v, code));
      Columns columns;
      DeltaState end;
      ASSERT_TRUE(DecodeStream(bytes, samples[0].timestamp_ms, static_cast<uint32_t>(i + 1),
                               &columns, &end));
      ASSERT_EQ(end, state);
    }
  }
}

TEST(Stream, ARegularScrapeOfAnUnchangedValueTakesOneByte) {
  Samples samples;
  for (int i = 0; i < 120; ++i) samples.push_back({1'700'000'000'000 + i * 15'000, 20.7});
  // Exponent, first value, step; then one byte each.
  EXPECT_LE(Encoded(samples).size(), 1u + 2u + 4u + 118u);
}

TEST(Stream, AnythingElseIsRefused) {
  std::mt19937_64 random(3);
  const Samples samples = RandomSamples(&random, 30);
  const std::string bytes = Encoded(samples);
  const int64_t first_ms = samples[0].timestamp_ms;
  Columns columns;
  EXPECT_FALSE(DecodeStream(bytes, first_ms, 0, &columns));
  EXPECT_FALSE(DecodeStream(bytes, first_ms, 29, &columns));
  EXPECT_FALSE(DecodeStream(bytes, first_ms, 31, &columns));
  EXPECT_FALSE(DecodeStream(bytes, first_ms, UINT32_MAX, &columns));
  EXPECT_FALSE(DecodeStream("", first_ms, 1, &columns));
  for (size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_FALSE(DecodeStream(bytes.substr(0, cut), first_ms, 30, &columns)) << cut;
  }
  EXPECT_TRUE(columns.empty());
  // Flipped bits make another stream or none.
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    columns.clear();
    if (!DecodeStream(damaged, first_ms, 30, &columns)) continue;
    ASSERT_EQ(columns.size(), 30u);
    for (size_t i = 1; i < 30; ++i) {
      ASSERT_LT(columns.timestamps_ms[i - 1], columns.timestamps_ms[i]);
    }
  }
  // Times at the ends of their range.
  for (const int64_t time :
       {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    columns.clear();
    DecodeStream(bytes, time, 30, &columns);
  }
}

TEST(EncodedStream, IsCopiedAsItWasAppended) {
  std::mt19937_64 random(4);
  FragmentArena arena;
  std::vector<std::string> contents(200);
  std::vector<EncodedStream> streams(contents.size());
  for (int i = 0; i < 40'000; ++i) {
    const size_t which = random() % (1 + random() % contents.size());  // some short, some long
    const size_t n = 1 + random() % (random() % 8 == 0 ? 40 : 3);
    std::string code;
    while (code.size() < n + 8) code.push_back(static_cast<char>(random()));  // rubbish beyond
    if (contents[which].size() + n > UINT16_MAX) continue;
    contents[which].append(code, 0, n);
    streams[which].Append(code.data(), n, &arena);
  }
  StreamCopier copier(&arena);
  for (int round = 0; round < 2; ++round) {
    std::string expected;
    for (size_t i = 0; i < streams.size(); ++i) {
      ASSERT_EQ(streams[i].bytes, contents[i].size());
      copier.Add(streams[i], expected.size());
      expected += contents[i];
    }
    std::string copy(expected.size(), '\0');
    copier.Run(copy.data());
    EXPECT_EQ(copy, expected);
  }
}

TEST(HeadPin, DecodesAStretchAtATime) {
  const Samples a{{10, 1.5}, {20, 2}};
  const Samples b{{7, -0.0}};
  HeadPin pin;
  for (const Samples& samples : {a, b}) {
    const std::string bytes = Encoded(samples);
    pin.stretches.push_back({.first_ms = samples[0].timestamp_ms,
                             .count = static_cast<uint32_t>(samples.size()),
                             .offset = static_cast<uint32_t>(pin.bytes.size()),
                             .bytes = static_cast<uint32_t>(bytes.size())});
    pin.bytes += bytes;
  }
  Columns columns;
  ASSERT_TRUE(pin.Decode(1, &columns));
  ExpectEqual(columns, b);
  ASSERT_TRUE(pin.Decode(0, &columns));
  ExpectEqual(columns, a);
  ++pin.stretches[0].count;
  EXPECT_FALSE(pin.Decode(0, &columns));
}

}  // namespace
}  // namespace tinyobs::tsdb
