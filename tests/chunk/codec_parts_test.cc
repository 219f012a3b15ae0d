// The steps of the codec alone: bit packing, frames, decimals.
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/coding.h"
#include "lib/chunk/bit_packing.h"
#include "lib/chunk/decimal.h"
#include "lib/chunk/patched_frame.h"
#include "tests/chunk/sample_generators.h"

namespace tinyobs::chunk {
namespace {

constexpr uint64_t kSeed = 91;

TEST(BitPacking, EveryWidthAndCountRoundTripsWithoutLookingPastTheEnd) {
  Random random(kSeed);
  for (int width = 0; width <= 64; ++width) {
    const uint64_t mask = width == 64 ? ~0ull : (1ull << width) - 1;
    for (size_t n : {0u, 1u, 2u, 7u, 8u, 9u, 15u, 16u, 17u, 40u, 119u, 120u}) {
      std::vector<uint64_t> numbers(n);
      for (uint64_t& number : numbers) number = random.Bits() & mask;
      std::string packed;
      PackBits(numbers.data(), n, width, &packed);
      ASSERT_EQ(packed.size(), PackedBytes(n, width));
      for (size_t spare : {0u, 1u, 7u, 8u, 9u, 100u}) {
        // An exact allocation, so that the address sanitizer sees the byte after it.
        const size_t size = packed.size() + spare;
        auto bytes = std::make_unique<char[]>(size);
        std::memcpy(bytes.get(), packed.data(), packed.size());
        std::memset(bytes.get() + packed.size(), 0xff, spare);
        std::vector<uint64_t> unpacked(RoundUpToUnpackStep(n), 1);
        UnpackBits(bytes.get(), bytes.get() + size, n, width, {}, unpacked.data());
        unpacked.resize(n);
        ASSERT_EQ(unpacked, numbers) << "width " << width << " n " << n << " spare " << spare;
      }
    }
  }
}

TEST(BitPacking, BitsAboveTheWidthAreLeftOut) {
  const std::vector<uint64_t> numbers = {~0ull, 0, ~0ull};
  std::string packed;
  PackBits(numbers.data(), numbers.size(), 3, &packed);
  EXPECT_EQ(packed, std::string("\xc7\x01", 2));
}

std::vector<int64_t> ThroughFrame(const std::vector<int64_t>& integers, FramePlan* plan,
                                  size_t* bytes) {
  *plan = PlanFrame(integers);
  std::vector<uint64_t> scratch;
  std::string frame = "before";
  AppendFrame(integers, *plan, 0, &scratch, &frame);
  *bytes = frame.size() - 6;
  ByteReader reader(std::string_view(frame).substr(6));
  std::vector<int64_t> read(DecodeRoom(integers.size()));
  ReadFrame(&reader, integers.size(), 0, read.data());
  EXPECT_TRUE(reader.ok() && reader.empty());
  read.resize(integers.size());
  return read;
}

TEST(PatchedFrame, IntegersOfEveryMagnitudeRoundTrip) {
  Random random(kSeed);
  FramePlan plan;
  size_t bytes;
  for (int round = 0; round < 3000; ++round) {
    std::vector<int64_t> integers(1 + random.Below(100));
    const int shift = static_cast<int>(random.Below(64));
    const auto offset = random.Bits() >> random.Below(64);
    for (int64_t& integer : integers) {
      integer = static_cast<int64_t>((random.Bits() >> shift) + offset);
      if (random.Below(20) == 0) integer = static_cast<int64_t>(random.Bits());
    }
    ASSERT_EQ(ThroughFrame(integers, &plan, &bytes), integers) << "round " << round;
    ASSERT_LE(bytes, (plan.bits + 7) / 8 + integers.size());
    ASSERT_LE(bytes, 12 + 8 * integers.size());
  }
}

TEST(PatchedFrame, ExtremesRoundTrip) {
  FramePlan plan;
  size_t bytes;
  for (const std::vector<int64_t>& integers :
       std::vector<std::vector<int64_t>>{{INT64_MIN, INT64_MAX},
                                         {INT64_MAX, INT64_MIN, 0, -1, 1},
                                         {INT64_MIN},
                                         {INT64_MAX, INT64_MAX},
                                         {0, 0, 0, 0, 0, 0, 0, INT64_MIN}}) {
    EXPECT_EQ(ThroughFrame(integers, &plan, &bytes), integers);
  }
}

TEST(PatchedFrame, EqualIntegersTakeNoBits) {
  FramePlan plan;
  size_t bytes;
  const std::vector<int64_t> integers(1000, -3);
  EXPECT_EQ(ThroughFrame(integers, &plan, &bytes), integers);
  EXPECT_EQ(bytes, 3u);
}

TEST(PatchedFrame, OutliersBecomePatchesInsteadOfWidth) {
  std::vector<int64_t> integers(1000);
  for (size_t i = 0; i < integers.size(); ++i) integers[i] = static_cast<int64_t>(i % 8);
  integers[0] = 1 << 30;
  integers[500] = -(1 << 30);
  integers[999] = 1 << 30;
  FramePlan plan;
  size_t bytes;
  EXPECT_EQ(ThroughFrame(integers, &plan, &bytes), integers);
  EXPECT_LE(plan.width, 4);
  EXPECT_EQ(plan.patches, 3u);
  EXPECT_LT(bytes, 1000u * 4 / 8 + 40);
}

TEST(PatchedFrame, DamagedFramesFailTheReader) {
  const auto fails = [](std::string_view bytes, size_t n) {
    ByteReader reader(bytes);
    std::vector<int64_t> out(DecodeRoom(n));
    ReadFrame(&reader, n, 0, out.data());
    return !reader.ok();
  };
  using namespace std::string_view_literals;
  EXPECT_FALSE(fails("\x04\x00\x00\x21"sv, 2));
  EXPECT_TRUE(fails("\x41\x00\x00\x21\x00\x00\x00\x00\x00\x00\x00\x00"sv, 1)) << "width 65";
  EXPECT_TRUE(fails("\x04\x03\x00\x21"sv, 2)) << "mode 3";
  EXPECT_TRUE(fails("\x04\x08\x00\x21"sv, 2)) << "unknown bit";
  EXPECT_TRUE(fails("\x04\x00\x00"sv, 2)) << "no packed bytes";
  EXPECT_TRUE(fails("\x04\x00"sv, 2)) << "no reference";
  EXPECT_FALSE(fails("\x04\x04\x00\x21\x01\x01\x09"sv, 2));
  EXPECT_TRUE(fails("\x04\x04\x00\x21\x00"sv, 2)) << "no patches";
  EXPECT_TRUE(fails("\x04\x04\x00\x21\x01\x02\x09"sv, 2)) << "patch index";
  EXPECT_TRUE(fails("\x04\x04\x00\x21\x02\x01\x09\x00\x09"sv, 2)) << "same patch twice";
  EXPECT_TRUE(fails("\x04\x04\x00\x21\x03\x00\x09\x01\x09\x01\x09"sv, 2)) << "too many patches";
  EXPECT_TRUE(fails("\x04\x04\x00\x21\x01\x01"sv, 2)) << "patch without a number";
}

bool RoundTripsAsDecimal(double value, int exponent) {
  int64_t integer = 0;
  uint64_t misfit = 0;
  if (ToDecimals({&value, 1}, exponent, &integer, &misfit) != 0) return false;
  EXPECT_EQ(misfit, 0u);
  double back = 0;
  EXPECT_TRUE(FromDecimals({&integer, 1}, exponent, &back));
  EXPECT_EQ(std::bit_cast<uint64_t>(back), std::bit_cast<uint64_t>(value));
  return true;
}

TEST(Decimal, ExponentIsTheNumberOfDecimals) {
  EXPECT_EQ(ExponentOf(0, 0), 0);
  EXPECT_EQ(ExponentOf(-17, 0), 0);
  EXPECT_EQ(ExponentOf(20.5, 0), 1);
  EXPECT_EQ(ExponentOf(20.5, 3), 3);
  EXPECT_EQ(ExponentOf(0.001, 0), 3);
  EXPECT_EQ(ExponentOf(1e-14, 0), 14);
  EXPECT_EQ(ExponentOf(1e-15, 0), kBitsExponent);
  EXPECT_EQ(ExponentOf(0.1 + 0.2, 0), kBitsExponent);
  EXPECT_EQ(ExponentOf(-0.0, 0), kBitsExponent);
  EXPECT_EQ(ExponentOf(std::numeric_limits<double>::infinity(), 0), kBitsExponent);
  EXPECT_EQ(ExponentOf(StaleNan(), 0), kBitsExponent);
  EXPECT_EQ(ExponentOf(0x1p60, 0), kBitsExponent);
}

TEST(Decimal, EveryShortDecimalNumberFits) {
  Random random(kSeed);
  for (int exponent = 0; exponent < kBitsExponent; ++exponent) {
    for (int i = 0; i < 2000; ++i) {
      const int64_t integer = random.Between(-(1ll << 49), 1ll << 49) >> random.Below(49);
      const double value = static_cast<double>(integer) / std::pow(10.0, exponent);
      if (integer == 0 && std::signbit(value)) continue;
      ASSERT_TRUE(RoundTripsAsDecimal(value, exponent)) << integer << " / 10^" << exponent;
    }
  }
}

TEST(Decimal, IntegersUpToTheLimitFitAndNoLargerOnes) {
  const auto limit = static_cast<double>(kDecimalLimit);
  EXPECT_TRUE(RoundTripsAsDecimal(limit - 2, 0));
  EXPECT_TRUE(RoundTripsAsDecimal(-(limit - 2), 0));
  EXPECT_FALSE(RoundTripsAsDecimal(limit, 0));
  EXPECT_FALSE(RoundTripsAsDecimal(-limit, 0));
  EXPECT_FALSE(RoundTripsAsDecimal(limit * 2, 0));

  double value;
  for (const int64_t integer : {kDecimalLimit, -kDecimalLimit - 1, INT64_MIN, INT64_MAX}) {
    EXPECT_FALSE(FromDecimals({&integer, 1}, 0, &value));
    EXPECT_FALSE(FromDecimals({&integer, 1}, 3, &value));
  }
  const int64_t least = -kDecimalLimit;
  ASSERT_TRUE(FromDecimals({&least, 1}, 0, &value));
  EXPECT_EQ(value, -limit);
}

TEST(OrderedBits, KeepOrderAndEveryBit) {
  const std::vector<double> ascending = {-std::numeric_limits<double>::infinity(),
                                         -1e300,
                                         -1,
                                         -5e-324,
                                         -0.0,
                                         0.0,
                                         5e-324,
                                         1,
                                         std::nextafter(1.0, 2.0),
                                         std::numeric_limits<double>::infinity()};
  std::vector<int64_t> integers(ascending.size());
  ToOrderedBits(ascending, integers.data());
  for (size_t i = 1; i < integers.size(); ++i) EXPECT_LT(integers[i - 1], integers[i]) << i;
  std::vector<double> back(ascending.size());
  FromOrderedBits(integers, back.data());
  EXPECT_EQ(std::memcmp(back.data(), ascending.data(), 8 * back.size()), 0);
}

}  // namespace
}  // namespace tinyobs::chunk
