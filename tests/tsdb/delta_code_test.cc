// The delta code: exact for every bit pattern, small for what measurements look like, and harmless
// on any bytes. Method: fixed cases for sizes and edges, random chains that writer and reader must
// walk with equal states, and each damage tried on a buffer of exactly its length.
#include "lib/tsdb/delta_code.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/chunk/decimal.h"

namespace tinyobs::tsdb {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double FromBits(uint64_t bits) { return std::bit_cast<double>(bits); }
uint64_t Bits(double value) { return std::bit_cast<uint64_t>(value); }

std::string Encode(DeltaState* state, int64_t t, double v) {
  char code[kMaxDeltaBytes];
  const size_t bytes = EncodeDelta(state, t, v, code);
  EXPECT_LE(bytes, kMaxDeltaBytes);
  return std::string(code, bytes);
}

DeltaState Started(int64_t t, double v, int hint = kNoExponent) {
  DeltaState state;
  StartDelta(&state, t, v, hint);
  return state;
}

// Decodes a copy of exactly this length, so that a sanitizer sees a read past the end.
const char* DecodeAll(const std::string& code, DeltaState* state, int64_t* t, double* v) {
  const std::vector<char> exact(code.begin(), code.end());
  const char* const limit = exact.data() + exact.size();
  const char* const after = DecodeDelta(exact.data(), limit, state, t, v);
  if (after == nullptr) return nullptr;
  EXPECT_EQ(after, limit);
  return code.data();
}

void ExpectRoundTrip(DeltaState* state, int64_t t, double v) {
  DeltaState reader = *state;
  const std::string code = Encode(state, t, v);
  int64_t time = 0;
  double value = 0;
  ASSERT_NE(DecodeAll(code, &reader, &time, &value), nullptr) << t << " " << v;
  EXPECT_EQ(time, t);
  EXPECT_EQ(Bits(value), Bits(v)) << v;
  EXPECT_EQ(reader, *state) << "after " << v;
}

TEST(DeltaCode, ARegularSampleOfAnUnchangedValueIsOneByte) {
  DeltaState state = Started(1000, 20.5);
  Encode(&state, 16'000, 20.5);
  EXPECT_EQ(state.step_ms, 15'000);
  EXPECT_EQ(Encode(&state, 31'000, 20.5), std::string("\x02"));
}

TEST(DeltaCode, CountersAndShortDecimalsTakeTwoOrThreeBytes) {
  DeltaState counter = Started(0, 1e9);
  Encode(&counter, 15'000, 1e9 + 40);
  EXPECT_EQ(Encode(&counter, 30'000, 1e9 + 40 + 1500).size(), 2u);
  DeltaState gauge = Started(0, 20.37);
  Encode(&gauge, 15'000, 20.41);
  EXPECT_EQ(Encode(&gauge, 30'000, 20.12).size(), 1u);
  EXPECT_EQ(Encode(&gauge, 45'000, 57.2).size(), 2u);
}

TEST(DeltaCode, AJitterOfMillisecondsIsOneMoreByte) {
  DeltaState state = Started(0, 7);
  Encode(&state, 15'000, 7);
  EXPECT_EQ(Encode(&state, 30'003, 7).size(), 2u);
  EXPECT_EQ(Encode(&state, 44'998, 7).size(), 2u);
}

TEST(DeltaCode, AnOddValueIsStoredWholeAndChangesTheExponent) {
  DeltaState state = Started(0, 3);
  ExpectRoundTrip(&state, 10, 3.25);
  EXPECT_EQ(state.exponent, 2);
  EXPECT_EQ(state.integer, 325);
  ExpectRoundTrip(&state, 20, 1.0 / 3);
  EXPECT_EQ(state.exponent, kNoExponent);
  ExpectRoundTrip(&state, 30, 4);
  EXPECT_EQ(state.exponent, 0);
}

TEST(DeltaCode, AHintKeepsTheExponentOfValuesThatNeedLess) {
  EXPECT_EQ(Started(0, 20, /*hint=*/2).integer, 2000);
  EXPECT_EQ(Started(0, 20, /*hint=*/2).exponent, 2);
  EXPECT_EQ(Started(0, 20.125, /*hint=*/2).exponent, 3);
  EXPECT_EQ(Started(0, std::nan(""), /*hint=*/2).exponent, kNoExponent);
}

TEST(DeltaCode, EverySpecialValueFollowsEveryOther) {
  const double values[] = {0.0,
                           -0.0,
                           1,
                           -1,
                           0.1,
                           123456.789,
                           0x1p51 - 2,
                           0x1p51 - 1,
                           0x1p51,
                           -0x1p51,
                           -0x1p51 + 2,
                           0x1p53,
                           1e14,
                           1e-14,
                           1e-15,
                           1e300,
                           -1e300,
                           std::numeric_limits<double>::denorm_min(),
                           std::numeric_limits<double>::max(),
                           kInfinity,
                           -kInfinity,
                           std::nan(""),
                           FromBits(0x7ff0000000000002),  // signalling, as staleness markers are
                           FromBits(0xfff8000000000123),
                           M_PI};
  for (const double first : values) {
    for (const double second : values) {
      for (const double third : values) {
        DeltaState state = Started(0, first);
        ExpectRoundTrip(&state, 10, second);
        ExpectRoundTrip(&state, 25, third);
      }
    }
  }
}

TEST(DeltaCode, EveryDistanceInTimeComesBack) {
  const int64_t times[] = {INT64_MIN,        INT64_MIN + 1, -1,       0, 1,
                           int64_t{1} << 31, INT64_MAX - 1, INT64_MAX};
  for (size_t a = 0; a < std::size(times); ++a) {
    for (size_t b = a + 1; b < std::size(times); ++b) {
      for (size_t c = b + 1; c < std::size(times); ++c) {
        DeltaState state = Started(times[a], 1);
        ExpectRoundTrip(&state, times[b], 2);
        ExpectRoundTrip(&state, times[c], 3);
      }
    }
  }
}

TEST(DeltaCode, RandomChainsComeBack) {
  std::mt19937_64 random(1);
  for (int chain = 0; chain < 300; ++chain) {
    DeltaState state = Started(static_cast<int64_t>(random() >> 20), 1, kNoExponent);
    for (int i = 0; i < 200; ++i) {
      const int64_t room = INT64_MAX - state.last_ms;
      const int64_t interval =
          random() % 4 == 0 ? 1 + static_cast<int64_t>(random() >> (1 + random() % 63)) : 15'000;
      double value = FromBits(random());
      if (random() % 8 != 0) {
        value = FromDecimal(static_cast<int64_t>(random() >> 14) >> random() % 50,
                            static_cast<int>(random() % 4));
      }
      ExpectRoundTrip(&state, state.last_ms + std::min(interval, room), value);
      if (state.last_ms == INT64_MAX) break;
    }
  }
}

TEST(DeltaCode, FindsTheLeastExponentThatFits) {
  std::mt19937_64 random(2);
  const auto expect_least = [](double value) {
    int64_t integer = -1;
    const int found = FindDecimal(value, &integer);
    int64_t least_integer = 0;
    int least = 0;
    while (least < kNoExponent && !ToDecimal(value, least, &least_integer)) ++least;
    EXPECT_EQ(found, least) << value;
    EXPECT_EQ(integer, least == kNoExponent ? 0 : least_integer) << value;
    EXPECT_EQ(found, chunk::ExponentOf(value, 0)) << value;
  };
  for (int i = 0; i < 200'000; ++i) {
    expect_least(FromBits(random()));
    expect_least(std::ldexp(static_cast<double>(random() >> 11), static_cast<int>(i % 80) - 90));
    const auto integer = static_cast<int64_t>(random()) >> (13 + random() % 50);
    expect_least(FromDecimal(integer, static_cast<int>(random() % kNoExponent)));
  }
}

TEST(DeltaCode, ACodeThatEndsEarlyIsRefused) {
  DeltaState state = Started(0, 1);
  for (const double value : {2.0, 1e9, M_PI, 0.25}) {
    const DeltaState before = state;
    const std::string code = Encode(&state, state.last_ms + 1'000'003, value);
    for (size_t length = 0; length < code.size(); ++length) {
      DeltaState reader = before;
      int64_t t;
      double v;
      EXPECT_EQ(DecodeAll(code.substr(0, length), &reader, &t, &v), nullptr) << length;
    }
  }
}

TEST(DeltaCode, WhatNoWriterMakesIsRefused) {
  const auto refused = [](DeltaState state, const std::string& code) {
    int64_t t;
    double v;
    return DecodeAll(code, &state, &t, &v) == nullptr;
  };
  const DeltaState no_step{1000, 5, 0, 0};
  EXPECT_TRUE(refused(no_step, "\x02")) << "the time before again";
  EXPECT_TRUE(refused(no_step, std::string("\x03\x01", 2))) << "a time before that";
  EXPECT_FALSE(refused(no_step, std::string("\x03\x02", 2)));
  const DeltaState at_the_end{INT64_MAX - 5, 5, 10, 0};
  EXPECT_TRUE(refused(at_the_end, "\x02")) << "the time wraps around";
  const DeltaState no_decimal{1000, 0, 10, kNoExponent};
  EXPECT_TRUE(refused(no_decimal, "\x02")) << "a difference to a value that is no decimal";
  std::string code;
  PutVarint64(&code, (ZigZag(chunk::kDecimalLimit) + 1) << 1);
  EXPECT_TRUE(refused({1000, 0, 10, 0}, code)) << "beyond the limit";
  EXPECT_FALSE(refused({1000, -1, 10, 0}, code));
}

TEST(DeltaCode, AnyBytesLeaveALegalState) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 100'000; ++i) {
    DeltaState state = Started(static_cast<int64_t>(random()), FromBits(random()));
    state.step_ms = static_cast<int32_t>(random() & INT32_MAX);
    std::string bytes;
    for (int k = 0; k < 12; ++k) bytes.push_back(static_cast<char>(random() >> random() % 60));
    const std::vector<char> exact(bytes.begin(), bytes.end());
    const char* at = exact.data();
    int64_t t = 0;
    double v = 0;
    while ((at = DecodeDelta(at, exact.data() + exact.size(), &state, &t, &v)) != nullptr) {
      ASSERT_TRUE(state.exponent >= 0 && state.exponent <= kNoExponent && state.step_ms >= 0);
    }
  }
}

}  // namespace
}  // namespace tinyobs::tsdb
