// Goal: gzip both ways without trusting what comes in. Method: round trips, every truncation, every
// flipped byte of a small body, and a bomb.
#include "tools/serve/compression.h"

#include <random>
#include <string>

#include "gtest/gtest.h"

namespace tinyobs::serve {
namespace {

TEST(Gzip, RoundTrips) {
  std::mt19937_64 random(3);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{16 << 10}, size_t{300'000}}) {
    std::string bytes(size, 'a');
    for (size_t i = 0; i < size; i += 7) bytes[i] = static_cast<char>(random());
    const auto back = Gunzip(Gzip(bytes), size);
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(*back, bytes);
  }
}

TEST(Gunzip, TakesSeveralMembers) {
  EXPECT_EQ(*Gunzip(Gzip("one ") + Gzip("two"), 100), "one two");
}

TEST(Gunzip, RefusesTruncatedAndDamagedBodies) {
  const std::string good = Gzip("{\"metrics\":[{\"name\":\"m\",\"value\":1}]}");
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_TRUE(absl::IsInvalidArgument(Gunzip(good.substr(0, length), 1000).status())) << length;
  }
  for (size_t at = 0; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x55);
    // Bytes of the header that mean nothing (time, system) may change; the content may not.
    const auto result = Gunzip(bad, 1000);
    if (result.ok()) {
      EXPECT_EQ(*result, *Gunzip(good, 1000)) << at;
      EXPECT_LT(at, 10u);
    }
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Gunzip(good + "garbage", 1000).status()));
}

TEST(Gunzip, StopsABombAtTheLimit) {
  const std::string bomb = Gzip(std::string(50 << 20, '\0'));
  EXPECT_LT(bomb.size(), 300'000u);
  EXPECT_TRUE(absl::IsResourceExhausted(Gunzip(bomb, 1 << 20).status()));
}

TEST(Gunzip, ChargesWhatItHolds) {
  ByteBudget budget(1 << 20);
  {
    ByteLease memory(&budget);
    const auto body = Gunzip(Gzip(std::string(500'000, 'a')), 1 << 20, &memory);
    ASSERT_TRUE(body.ok()) << body.status();
    EXPECT_GE(budget.used(), body->size());
    ByteLease second(&budget);
    EXPECT_TRUE(
        absl::IsUnavailable(Gunzip(Gzip(std::string(900'000, 'a')), 1 << 20, &second).status()));
  }
  EXPECT_EQ(budget.used(), 0u);
}

TEST(AcceptsGzip, ReadsWeights) {
  EXPECT_TRUE(AcceptsGzip("gzip"));
  EXPECT_TRUE(AcceptsGzip("deflate, GZIP , br"));
  EXPECT_TRUE(AcceptsGzip("gzip;q=0.1"));
  EXPECT_TRUE(AcceptsGzip("gzip; q=1"));
  EXPECT_FALSE(AcceptsGzip(""));
  EXPECT_FALSE(AcceptsGzip("br"));
  EXPECT_FALSE(AcceptsGzip("gzip;q=0"));
  EXPECT_FALSE(AcceptsGzip("gzip; q=0.000, br"));
  EXPECT_FALSE(AcceptsGzip("xgzip"));
}

}  // namespace
}  // namespace tinyobs::serve
