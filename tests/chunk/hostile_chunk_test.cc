// Bytes nobody vouches for: every truncation, every changed byte, and hand-made lies. The decoder
// answers DataLoss (or FailedPrecondition for what a newer version may have written), or valid
// samples; under the address sanitizer it also never reads past the end.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/coding.h"
#include "lib/chunk/aggregate.h"
#include "lib/chunk/chunk.h"
#include "lib/chunk/decimal.h"
#include "tests/chunk/sample_generators.h"

namespace tinyobs::chunk {
namespace {

using namespace std::string_view_literals;

constexpr uint64_t kSeed = 5;

std::string Encode(const Columns& columns) {
  Encoder encoder;
  std::string chunk;
  encoder.Encode(columns.timestamps_ms, columns.values, &chunk);
  return chunk;
}

// The aggregates of a window, a minute and all time: what can be decoded can be aggregated, and
// nothing goes wrong with the rest.
void AggregateExactly(std::string_view chunk, bool decodes) {
  static WindowAggregator* const aggregator = new WindowAggregator;
  for (const uint64_t width : {uint64_t{60'000}, UINT64_MAX}) {
    aggregator->Begin(INT64_MIN, INT64_MAX, width);
    const absl::Status status = aggregator->AddChunk(chunk);
    EXPECT_TRUE(status.ok() ||
                (!decodes && (absl::IsDataLoss(status) || absl::IsFailedPrecondition(status))))
        << status.ToString();
    uint64_t count = 0;
    for (const Window& window : aggregator->Finish()) count += window.count;
    EXPECT_LE(count, kMaxSamples);
  }
}

// Decodes from an allocation of exactly this size and checks what holds for any bytes.
absl::Status DecodeExactly(std::string_view bytes) {
  auto copy = std::make_unique<char[]>(bytes.size());
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  const std::string_view chunk(copy.get(), bytes.size());

  Columns out;
  out.Add(7, 8);
  const absl::Status status = Decode(chunk, &out);
  EXPECT_EQ(out.timestamps_ms.size(), out.values.size());
  EXPECT_EQ(out.timestamps_ms[0], 7);
  EXPECT_EQ(out.values[0], 8);
  const auto header = ReadHeader(chunk);
  const auto summary = ReadSummary(chunk);
  EXPECT_EQ(summary.ok(), header.ok());
  AggregateExactly(chunk, status.ok());
  if (!status.ok()) {
    EXPECT_TRUE(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status));
    EXPECT_EQ(out.size(), 1u) << "samples of a refused chunk were left in the output";
    return status;
  }
  EXPECT_TRUE(header.ok());
  if (!header.ok() || !summary.ok()) return status;
  if (summary->has_value()) {
    EXPECT_EQ((*summary)->count, header->count);
    EXPECT_EQ(FromDecimal((*summary)->first, (*summary)->exponent), out.values[1]);
    EXPECT_EQ(FromDecimal((*summary)->last, (*summary)->exponent), out.values.back());
  }
  EXPECT_EQ(out.size(), 1 + header->count);
  EXPECT_EQ(out.timestamps_ms[1], header->first_ms);
  EXPECT_EQ(out.timestamps_ms.back(), header->last_ms);
  for (size_t i = 2; i < out.size(); ++i) {
    EXPECT_LT(out.timestamps_ms[i - 1], out.timestamps_ms[i]);
  }
  return status;
}

bool IsRefused(std::string_view bytes) { return absl::IsDataLoss(DecodeExactly(bytes)); }

class HostileChunk : public ::testing::TestWithParam<SampleKind> {};

TEST_P(HostileChunk, EveryTruncationIsDataLoss) {
  Random random(kSeed);
  for (const size_t n : {1u, 2u, 3u, 10u, 61u, 130u}) {
    const std::string chunk = Encode(GetParam().generate(&random, n));
    for (size_t length = 0; length < chunk.size(); ++length) {
      ASSERT_TRUE(IsRefused(std::string_view(chunk).substr(0, length))) << length << " of " << n;
    }
    ASSERT_TRUE(DecodeExactly(chunk).ok());
    ASSERT_TRUE(IsRefused(chunk + std::string(1, '\0'))) << "a byte left over";
  }
}

TEST_P(HostileChunk, EveryChangedByteIsRefusedOrDecodesToValidSamples) {
  Random random(kSeed);
  for (const size_t n : {1u, 2u, 3u, 10u, 61u}) {
    const std::string chunk = Encode(GetParam().generate(&random, n));
    for (size_t at = 0; at < chunk.size(); ++at) {
      // Every value of the first bytes, where the structure is; some of the others.
      const size_t changes = at < 24 ? 255 : 6;
      for (size_t change = 1; change <= changes; ++change) {
        std::string damaged = chunk;
        const uint64_t flip = changes == 255 ? change : 1 + random.Below(255);
        damaged[at] = static_cast<char>(static_cast<uint64_t>(damaged[at]) ^ flip);
        DecodeExactly(damaged).IgnoreError();
        if (HasFailure()) FAIL() << "byte " << at << " flip " << flip << " of " << n;
      }
    }
  }
}

// Long chunks with a summary: the first 40 bytes have the structure.
TEST(HostileSummary, EveryChangedByteAndTruncationIsRefusedOrValid) {
  for (const char* name : {"int_counter", "jittered_times", "multiples_of"}) {
    const auto kind = std::find_if(SampleKinds().begin(), SampleKinds().end(),
                                   [&](const SampleKind& k) { return k.name == name; });
    Random random(kSeed);
    const std::string chunk = Encode(kind->generate(&random, 480));
    ASSERT_TRUE(ReadSummary(chunk).value().has_value()) << name;
    for (size_t at = 0; at < chunk.size(); ++at) {
      ASSERT_TRUE(IsRefused(std::string_view(chunk).substr(0, at))) << at << " of " << name;
      for (size_t flip = 1; flip < 256; flip += at < 40 ? 1 : 97) {
        std::string damaged = chunk;
        damaged[at] = static_cast<char>(static_cast<uint8_t>(damaged[at]) ^ flip);
        DecodeExactly(damaged).IgnoreError();
        if (HasFailure()) FAIL() << "byte " << at << " flip " << flip << " of " << name;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Samples, HostileChunk, ::testing::ValuesIn(SampleKinds()),
                         [](const auto& info) { return info.param.name; });

TEST(HostileBytes, RandomOnesBehindAValidHeadAreRefusedOrValid) {
  Random random(kSeed);
  for (int round = 0; round < 50'000; ++round) {
    std::string bytes = {static_cast<char>(1 | random.Below(3) << 5),
                         static_cast<char>(1 + random.Below(40)),
                         static_cast<char>(random.Below(9)), static_cast<char>(random.Below(128))};
    for (size_t i = random.Below(40); i > 0; --i) bytes.push_back(static_cast<char>(random.Bits()));
    DecodeExactly(bytes).IgnoreError();
    if (HasFailure()) FAIL() << "round " << round;
  }
}

std::vector<int64_t> TimesOf(std::string_view chunk) {
  Columns columns;
  EXPECT_TRUE(Decode(chunk, &columns).ok());
  return columns.timestamps_ms;
}

// A chunk at time 0 with the given head, count and rest; the rest begins with interval or span.
std::string Make(int head, std::string_view count, std::string_view rest) {
  return std::string(1, static_cast<char>(head)) + std::string(count) + '\0' + std::string(rest);
}

TEST(HostileBytes, HeadAndCountAreChecked) {
  const auto constant = "\x01\x30\x00"sv;  // interval 1, every value 0
  ASSERT_TRUE(DecodeExactly(Make(0x01, "\x02", constant)).ok());
  EXPECT_TRUE(IsRefused(""));
  EXPECT_TRUE(IsRefused(Make(0x00, "\x02", constant)));
  EXPECT_TRUE(IsRefused(Make(0x90, "\x02", constant))) << "no codec is 0";
  EXPECT_TRUE(absl::IsFailedPrecondition(DecodeExactly(Make(0x02, "\x02", constant))));
  EXPECT_TRUE(IsRefused(Make(0x11, "\x02", constant))) << "a summary, but of what";
  EXPECT_TRUE(absl::IsFailedPrecondition(DecodeExactly(Make(0x81, "\x02", constant))));
  EXPECT_TRUE(absl::IsFailedPrecondition(DecodeExactly(Make(0x61, "\x02", constant))));
  EXPECT_TRUE(IsRefused(Make(0x01, "\0"sv, constant))) << "count 0";
  EXPECT_TRUE(DecodeExactly(Make(0x01, "\x80\x40", constant)).ok()) << "8192";
  EXPECT_TRUE(IsRefused(Make(0x01, "\x81\x40", constant))) << "8193";
  EXPECT_TRUE(IsRefused(Make(0x01, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", constant)));
}

TEST(HostileBytes, TimesMustIncreaseAndStayInRange) {
  const auto values = "\x30\x00"sv;
  const auto with = [&](int head, std::string_view count, std::string_view times) {
    return Make(head, count, std::string(times) + std::string(values));
  };
  EXPECT_TRUE(IsRefused(with(0x01, "\x02", "\0"sv))) << "interval 0";
  // Time 0 plus 2^63 - 1 is the last; one more is not.
  EXPECT_TRUE(DecodeExactly(with(0x01, "\x02", "\xff\xff\xff\xff\xff\xff\xff\xff\x7f")).ok());
  EXPECT_TRUE(IsRefused(with(0x01, "\x02", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")));
  EXPECT_TRUE(IsRefused(with(0x01, "\x03", "\xff\xff\xff\xff\xff\xff\xff\xff\x7f")));
  EXPECT_TRUE(IsRefused(with(0x01, "\x05", "\x80\x80\x80\x80\x80\x80\x80\x80\x40")))
      << "wraps to 0";

  // Line of three with span 10: residual of the middle one, which is at 5.
  EXPECT_TRUE(DecodeExactly(with(0x21, "\x03", "\x0a\x00\x00\x08"sv)).ok());
  EXPECT_TRUE(IsRefused(with(0x21, "\x03", "\x0a\x00\x00\x0a"sv))) << "middle at the last";
  EXPECT_TRUE(IsRefused(with(0x21, "\x03", "\x0a\x00\x00\x09"sv))) << "middle at the first";
  EXPECT_TRUE(IsRefused(with(0x21, "\x02", "\x0a"sv))) << "a line of two";
  // Deltas of three with span 10.
  EXPECT_TRUE(DecodeExactly(with(0x41, "\x03", "\x0a\x00\x00\x0a"sv)).ok()) << "5 and 5";
  EXPECT_TRUE(IsRefused(with(0x41, "\x03", "\x0b\x00\x00\x0a"sv))) << "span does not agree";
  EXPECT_TRUE(IsRefused(with(0x41, "\x02", "\x0a\x00\x00\x0a"sv))) << "deltas of two";
}

TEST(HandMadeChunk, TheStepOfALineIsRoundedToNearestHalvesUp) {
  const auto line = [](std::string_view count, std::string_view span) {
    return Make(0x21, count, std::string(span) + std::string("\x00\x00\x00\x30\x00"sv));
  };
  EXPECT_EQ(TimesOf(line("\x04", "\x0b")), (std::vector<int64_t>{0, 4, 8, 11}));
  EXPECT_EQ(TimesOf(line("\x04", "\x0a")), (std::vector<int64_t>{0, 3, 6, 10}));
  EXPECT_EQ(TimesOf(line("\x03", "\x05")), (std::vector<int64_t>{0, 3, 5}));
}

TEST(HostileBytes, ValuesAreChecked) {
  const auto with = [&](std::string_view values) {
    return Make(0x01, "\x02", "\x01" + std::string(values));
  };
  EXPECT_TRUE(DecodeExactly(with("\x00\x01\x00\x00\x02"sv)).ok()) << "0 and 1";
  EXPECT_TRUE(IsRefused(with("\x70\x02"sv))) << "a constant with a divisor";
  EXPECT_TRUE(DecodeExactly(with("\x40\x02\x00\x01\x00\x00\x02"sv)).ok()) << "0 and 2";
  EXPECT_TRUE(IsRefused(with("\x40\x01\x00\x01\x00\x00\x02"sv))) << "divisor 1";
  EXPECT_TRUE(IsRefused(with("\x4f\x02\x00\x01\x00\x00\x02"sv))) << "bits with a divisor";
  EXPECT_TRUE(IsRefused(with("\x20\x02\x02"sv))) << "transform 2 of two samples";
  EXPECT_TRUE(IsRefused(Make(0x01, "\x01", "\x20\x02\x02"sv))) << "transform 2 of one sample";
  EXPECT_TRUE(IsRefused(Make(0x01, "\x01", "\x80\x10\x02"sv))) << "transform 1, nothing behind";
  // 2^51 is no decimal, as bits it is fine.
  EXPECT_TRUE(IsRefused(with("\x30\x80\x80\x80\x80\x80\x80\x80\x08"sv)));
  EXPECT_TRUE(DecodeExactly(with("\x30\xfe\xff\xff\xff\xff\xff\xff\x07"sv)).ok());
  EXPECT_TRUE(DecodeExactly(with("\x3f\x80\x80\x80\x80\x80\x80\x80\x08"sv)).ok());

  const auto bits = "\1\2\3\4\5\6\7\x08"sv;
  const auto exceptions = [&](std::string_view text) {
    std::string bytes = "\xb0" + std::string(1, '\0');
    for (const char c : text) bytes += c == '*' ? std::string(bits) : std::string(1, c);
    return with(bytes);
  };
  EXPECT_TRUE(DecodeExactly(exceptions("\x01\x01*"sv)).ok());
  EXPECT_TRUE(DecodeExactly(exceptions("\x02\x00*\x01*"sv)).ok());
  EXPECT_TRUE(IsRefused(exceptions("\x00"sv))) << "none";
  EXPECT_TRUE(IsRefused(exceptions("\x01\x02*"sv))) << "index";
  EXPECT_TRUE(IsRefused(exceptions("\x02\x01*\x00*"sv))) << "twice";
  EXPECT_TRUE(IsRefused(exceptions("\x03\x00*\x01*\x01*"sv))) << "more than samples";
}

}  // namespace
}  // namespace tinyobs::chunk
