// Rows of windows nobody vouches for: every truncation, every changed byte, and hand-made lies. The
// reader answers DataLoss (or FailedPrecondition for what a newer version may have written), or
// windows that are in order and inside their bounds; under the address sanitizer it also never
// reads past the end.
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/coding.h"
#include "lib/chunk/aggregate.h"
#include "lib/chunk/window.h"
#include "tests/chunk/sample_generators.h"

namespace tinyobs::chunk {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

constexpr uint64_t kSeed = 6;
constexpr int64_t kWidthMs = 300'000;

std::string Encode(const Columns& columns) {
  WindowAggregator aggregator;
  aggregator.Begin(0, INT64_MAX, kWidthMs);
  aggregator.AddSamples(columns.timestamps_ms, columns.values);
  std::string row;
  const std::vector<Window>& windows = aggregator.Finish();
  EncodeWindows(std::span(windows).first(std::min(windows.size(), kMaxWindows)), kWidthMs, &row);
  return row;
}

// Decodes from an allocation of exactly this size, all of it and each column alone, and checks what
// holds for any bytes.
absl::Status DecodeExactly(std::string_view bytes) {
  auto copy = std::make_unique<char[]>(bytes.size());
  std::memcpy(copy.get(), bytes.data(), bytes.size());
  const std::string_view row(copy.get(), bytes.size());

  std::vector<Window> out(1);
  out[0].count = 7;
  const absl::Status status = DecodeWindows(row, kWidthMs, &out);
  EXPECT_EQ(out[0].count, 7u);
  EXPECT_TRUE(status.ok() || absl::IsDataLoss(status) || absl::IsFailedPrecondition(status));
  EXPECT_TRUE(status.ok() || out.size() == 1) << "windows of a refused row were left";
  const auto header = ReadWindowRowHeader(row, kWidthMs);
  EXPECT_TRUE(header.ok() || !status.ok());
  if (status.ok() && header.ok()) {
    EXPECT_EQ(out.size(), 1 + header->count);
    EXPECT_EQ(out[1].start_ms, header->first_start_ms);
  }
  for (size_t i = 1; i < out.size(); ++i) {
    const Window& w = out[i];
    EXPECT_TRUE(w.start_ms <= w.first_ms && w.first_ms <= w.last_ms);
    EXPECT_LT(w.last_ms - w.start_ms, kWidthMs);
    EXPECT_TRUE(w.count >= 1 && w.count <= uint64_t{kWidthMs} && w.resets < uint64_t{kWidthMs});
    EXPECT_TRUE(i == 1 || out[i - 1].start_ms <= w.start_ms - kWidthMs);
  }
  for (uint32_t columns = 1; columns <= kAllWindowColumns; columns *= 2) {
    Windows some;
    some.start_ms = {1, 2};
    const absl::Status one = DecodeWindows(row, kWidthMs, columns, 0, INT64_MAX, &some);
    EXPECT_TRUE(one.ok() || !status.ok()) << "one column is not read where all are";
    EXPECT_TRUE(one.ok() || some.size() == 2);
    EXPECT_LE(some.size(), 2 + kMaxWindows);
  }
  return status;
}

bool IsRefused(std::string_view bytes) { return absl::IsDataLoss(DecodeExactly(bytes)); }

class HostileRow : public ::testing::TestWithParam<std::string> {
 protected:
  std::string Row(size_t samples) const {
    const auto kind = std::find_if(SampleKinds().begin(), SampleKinds().end(),
                                   [](const SampleKind& k) { return k.name == GetParam(); });
    Random random(kSeed);
    return Encode(kind->generate(&random, samples));
  }
};

TEST_P(HostileRow, EveryTruncationIsDataLoss) {
  for (const size_t n : {1u, 30u, 100u, 1000u}) {
    const std::string row = Row(n);
    for (size_t length = 0; length < row.size(); ++length) {
      ASSERT_TRUE(IsRefused(std::string_view(row).substr(0, length))) << length << " of " << n;
    }
    ASSERT_TRUE(DecodeExactly(row).ok());
    ASSERT_TRUE(IsRefused(row + std::string(1, '\0'))) << "a byte left over";
  }
}

TEST_P(HostileRow, EveryChangedByteIsRefusedOrDecodesToValidWindows) {
  Random random(kSeed);
  for (const size_t n : {1u, 30u, 1000u}) {
    const std::string row = Row(n);
    for (size_t at = 0; at < row.size(); ++at) {
      // Every value of the first bytes, where the structure is; some of the others.
      const size_t changes = at < 24 ? 255 : 6;
      for (size_t change = 1; change <= changes; ++change) {
        std::string damaged = row;
        const uint64_t flip = changes == 255 ? change : 1 + random.Below(255);
        damaged[at] = static_cast<char>(static_cast<uint8_t>(damaged[at]) ^ flip);
        DecodeExactly(damaged).IgnoreError();
        if (HasFailure()) FAIL() << "byte " << at << " flip " << flip << " of " << n;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Samples, HostileRow,
                         ::testing::Values("int_counter", "one_decimal_walk", "resets_and_stale",
                                           "full_precision", "decimals_with_specials", "constant",
                                           "mixed_exponents", "irregular_times"),
                         [](const auto& info) { return info.param; });

TEST(HostileRowBytes, RandomOnesBehindAValidHeadAreRefusedOrValid) {
  Random random(kSeed);
  for (int round = 0; round < 50'000; ++round) {
    std::string bytes;
    bytes.push_back(static_cast<char>(1 | random.Below(16) << 4));
    bytes.push_back(static_cast<char>(1 + random.Below(20)));
    bytes.push_back(static_cast<char>(random.Below(128)));
    // Some of the columns, each of some bytes.
    const uint64_t present = random.Below(1 << 12) & random.Bits();
    PutVarint64(&bytes, present);
    std::string body;
    for (size_t column = 0; column < 12; ++column) {
      if ((present >> column & 1) == 0) continue;
      const size_t size = random.Below(12);
      PutVarint64(&bytes, size);
      for (size_t i = 0; i < size; ++i) body.push_back(static_cast<char>(random.Bits()));
      if (size > 0 && random.Below(2) == 0) body[body.size() - size] &= 0x30;
    }
    DecodeExactly(bytes + body).IgnoreError();
    if (HasFailure()) FAIL() << "round " << round;
  }
}

// Two windows from 1970 on, the values integers, with the columns given: set, sizes, bytes.
std::string Make(std::string_view columns) { return "\x01\x02\0"s + std::string(columns); }

TEST(HostileRowBytes, HeadAndDirectoryAreChecked) {
  const auto nothing = "\0"sv;
  ASSERT_TRUE(DecodeExactly(Make(nothing)).ok()) << "one sample of 0 in each";
  EXPECT_TRUE(IsRefused(""));
  EXPECT_TRUE(IsRefused("\x00\x02\x00\x00"sv)) << "no codec is 0";
  EXPECT_TRUE(absl::IsFailedPrecondition(DecodeExactly("\x02\x02\x00\x00"sv)));
  EXPECT_TRUE(IsRefused("\x01\x00\x00\x00"sv)) << "no windows";
  EXPECT_TRUE(DecodeExactly("\x01\x80\x08\x00\x00"sv).ok()) << "1024";
  EXPECT_TRUE(IsRefused("\x01\x81\x08\x00\x00"sv)) << "1025";
  EXPECT_TRUE(IsRefused("\x01\x01\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"sv)) << "far off";
  EXPECT_TRUE(IsRefused(Make("\x01\x02\x30"sv))) << "a column beyond the end";
  EXPECT_TRUE(IsRefused(Make("\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x30\x02"sv)));
  EXPECT_TRUE(IsRefused(Make("\x01\x03\x30\x02\x00"sv))) << "bytes left in a column";
}

TEST(HostileRowBytes, ColumnsOfALaterVersionArePassedOver) {
  // Column 0 and column 20, which nobody knows.
  const std::string row = Make("\x81\x80\x40\x02\x03\x30\x02???"sv);
  std::vector<Window> out;
  ASSERT_TRUE(DecodeWindows(row, kWidthMs, &out).ok());
  ASSERT_EQ(out.size(), 2u);
  EXPECT_EQ(out[1].last, 1);
  EXPECT_TRUE(DecodeExactly(row).ok());
}

TEST(HostileRowBytes, TimesAndCountsStayInTheirWindows) {
  const auto constant = [](std::string_view column, int64_t number) {
    std::string bytes = "\x30";
    PutZigZag64(&bytes, number);
    return Make(std::string(column) + static_cast<char>(bytes.size()) + bytes);
  };
  const auto count = "\x08"sv;
  EXPECT_TRUE(DecodeExactly(constant(count, kWidthMs - 1)).ok());
  EXPECT_TRUE(IsRefused(constant(count, kWidthMs)));
  EXPECT_TRUE(IsRefused(constant(count, -1)));
  for (const auto times : {"\x10"sv, "\x20"sv}) {
    EXPECT_TRUE(DecodeExactly(constant(times, kWidthMs - 1)).ok());
    EXPECT_TRUE(IsRefused(constant(times, kWidthMs)));
    EXPECT_TRUE(IsRefused(constant(times, -1)));
  }
  const auto resets = "\x80\x04"sv;
  EXPECT_TRUE(IsRefused(constant(resets, 1))) << "of one sample";
  EXPECT_TRUE(DecodeExactly(Make("\x88\x04\x02\x02\x30\x02\x30\x02"sv)).ok()) << "of two";
  EXPECT_TRUE(IsRefused(constant(resets, -1)));
  // Gaps: the first has none; none is negative; none leads past the end of time.
  const auto gaps = [](int64_t last) {
    std::string column("\x00\x40\x00\x00"sv);  // 64 bits each, above 0
    PutFixed64(&column, 0);
    PutFixed64(&column, static_cast<uint64_t>(last));
    return Make("\x80\x08" + std::string(1, static_cast<char>(column.size())) + column);
  };
  EXPECT_TRUE(DecodeExactly(gaps(5)).ok());
  EXPECT_TRUE(DecodeExactly(gaps(INT64_MAX / kWidthMs - 1)).ok());
  EXPECT_TRUE(IsRefused(gaps(INT64_MAX / kWidthMs)));
  EXPECT_TRUE(IsRefused(gaps(-1)));
  EXPECT_TRUE(IsRefused(constant("\x80\x08"sv, 1))) << "a gap before the first";
}

TEST(HostileRowBytes, ValuesAreChecked) {
  // 2^51 is no decimal.
  EXPECT_TRUE(IsRefused(Make("\x01\x09\x30\x80\x80\x80\x80\x80\x80\x80\x08"sv)));
  EXPECT_TRUE(DecodeExactly(Make("\x01\x09\x30\xfe\xff\xff\xff\xff\xff\xff\x07"sv)).ok());
  EXPECT_TRUE(IsRefused(Make("\x01\x02\x31\x02"sv))) << "an exponent of its own";
  EXPECT_TRUE(IsRefused(Make("\x01\x02\xb0\x02"sv))) << "exceptions of its own";
  // sums: in tenths, of bits; with exceptions.
  const auto sum = [](std::string_view bytes) {
    return Make("\x04" + std::string(1, static_cast<char>(bytes.size())) + std::string(bytes));
  };
  EXPECT_TRUE(DecodeExactly(sum("\x31\x02"sv)).ok());
  EXPECT_TRUE(DecodeExactly(sum("\x3f\x02"sv)).ok());
  EXPECT_TRUE(IsRefused("\x11\x02\x00\x04\x02\x30\x02"sv)) << "coarser than the values";
  EXPECT_TRUE(DecodeExactly(sum("\xb0\x02\x01\x01\x03\x02"sv)).ok()) << "sum 1 is 0.001";
  EXPECT_TRUE(DecodeExactly(sum("\xb0\x02\x01\x01\x0f........"sv)).ok());
  EXPECT_TRUE(IsRefused(sum("\xb0\x02\x01\x01\x10\x02"sv))) << "exponent";
  EXPECT_TRUE(IsRefused(sum("\xb0\x02\x00"sv))) << "none";
  EXPECT_TRUE(IsRefused(sum("\xb0\x02\x01\x02\x03\x02"sv))) << "index";
  EXPECT_TRUE(IsRefused(sum("\xb0\x02\x02\x01\x03\x02\x00\x03\x02"sv))) << "twice";
  EXPECT_TRUE(IsRefused(sum("\xb0\x02\x03\x00\x03\x02\x01\x03\x02\x01\x03\x02"sv))) << "three";
  // Of the values: 8 places for two windows.
  const auto exception = [](char index) {
    return Make("\x80\x10\x0a\x01"s + index + "\1\2\3\4\5\6\7\x08");
  };
  EXPECT_TRUE(DecodeExactly(exception(7)).ok());
  EXPECT_TRUE(IsRefused(exception(8)));
}

}  // namespace
}  // namespace tinyobs::chunk
