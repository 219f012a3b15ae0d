#include "lib/base/coding.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace tinyobs {
namespace {

// Every power of two, its neighbours, and the ends.
std::vector<uint64_t> InterestingNumbers() {
  std::vector<uint64_t> numbers = {0, ~uint64_t{0}};
  for (int bit = 0; bit < 64; ++bit) {
    const uint64_t power = uint64_t{1} << bit;
    numbers.insert(numbers.end(), {power - 1, power, power + 1});
  }
  return numbers;
}

TEST(Fixed, LittleAndBigEndianHaveTheirBytesWhereTheyBelong) {
  std::string bytes;
  PutFixed32(&bytes, 0x01020304);
  PutFixed64(&bytes, 0x0102030405060708);
  PutBigEndian32(&bytes, 0x01020304);
  PutBigEndian64(&bytes, 0x0102030405060708);
  EXPECT_EQ(bytes,
            "\x04\x03\x02\x01\x08\x07\x06\x05\x04\x03\x02\x01"
            "\x01\x02\x03\x04\x01\x02\x03\x04\x05\x06\x07\x08");
  EXPECT_EQ(LoadFixed32(bytes.data()), 0x01020304u);
  EXPECT_EQ(LoadFixed64(bytes.data() + 4), 0x0102030405060708u);
  EXPECT_EQ(LoadBigEndian32(bytes.data() + 12), 0x01020304u);
  EXPECT_EQ(LoadBigEndian64(bytes.data() + 16), 0x0102030405060708u);
}

TEST(Fixed, BigEndianSortsByValue) {
  std::string last;
  PutBigEndian64(&last, 0);
  for (uint64_t value = 1; value != 0; value <<= 1) {
    std::string bytes;
    PutBigEndian64(&bytes, value);
    EXPECT_LT(last, bytes);
    last = bytes;
  }
}

TEST(Varint, RoundTripsInTheLengthPromised) {
  for (const uint64_t number : InterestingNumbers()) {
    std::string bytes;
    PutVarint64(&bytes, number);
    EXPECT_EQ(bytes.size(), static_cast<size_t>(VarintLength(number)));
    EXPECT_LE(bytes.size(), static_cast<size_t>(kMaxVarint64Bytes));
    uint64_t read = ~number;
    const char* const limit = bytes.data() + bytes.size();
    EXPECT_EQ(LoadVarint64(bytes.data(), limit, &read), limit);
    EXPECT_EQ(read, number);
  }
}

TEST(Varint, EveryTruncationIsRefused) {
  for (const uint64_t number : InterestingNumbers()) {
    std::string bytes;
    PutVarint64(&bytes, number);
    for (size_t size = 0; size < bytes.size(); ++size) {
      uint64_t read;
      EXPECT_EQ(LoadVarint64(bytes.data(), bytes.data() + size, &read), nullptr);
    }
  }
}

TEST(Varint, MoreThan64BitsOrTenBytesAreRefused) {
  const std::string nine(9, '\xff');
  uint64_t read = 0;
  const auto load = [&read](const std::string& bytes) {
    return LoadVarint64(bytes.data(), bytes.data() + bytes.size(), &read);
  };
  EXPECT_NE(load(nine + "\x01"), nullptr);
  EXPECT_EQ(read, ~uint64_t{0});
  EXPECT_EQ(load(nine + "\x02"), nullptr) << "bit 64";
  EXPECT_EQ(load(nine + "\x81" + std::string(1, '\0')), nullptr) << "an eleventh byte";
}

TEST(ZigZag, SmallMagnitudesStaySmallAndEverythingRoundTrips) {
  EXPECT_EQ(ZigZag(0), 0u);
  EXPECT_EQ(ZigZag(-1), 1u);
  EXPECT_EQ(ZigZag(1), 2u);
  EXPECT_EQ(ZigZag(-2), 3u);
  EXPECT_EQ(ZigZag(std::numeric_limits<int64_t>::min()), ~uint64_t{0});
  for (const uint64_t number : InterestingNumbers()) {
    EXPECT_EQ(UnZigZag(ZigZag(static_cast<int64_t>(number))), static_cast<int64_t>(number));
  }
}

TEST(ByteReader, ReadsFieldsInTheirOrder) {
  std::string bytes;
  bytes.push_back('\x07');
  PutFixed32(&bytes, 8);
  PutFixed64(&bytes, 9);
  PutBigEndian32(&bytes, 10);
  PutBigEndian64(&bytes, 11);
  PutVarint64(&bytes, 300);
  PutZigZag64(&bytes, -5);
  PutLengthPrefixed(&bytes, "text");
  bytes += "rest";
  ByteReader reader(bytes);
  EXPECT_EQ(reader.Byte(), 7);
  EXPECT_EQ(reader.Fixed32(), 8u);
  EXPECT_EQ(reader.Fixed64(), 9u);
  EXPECT_EQ(reader.BigEndian32(), 10u);
  EXPECT_EQ(reader.BigEndian64(), 11u);
  EXPECT_EQ(reader.BoundedVarint64(300), 300u);
  EXPECT_EQ(reader.ZigZag64(), -5);
  EXPECT_EQ(reader.LengthPrefixed(), "text");
  EXPECT_EQ(reader.remaining(), 4u);
  EXPECT_EQ(reader.rest(), "rest");
  EXPECT_EQ(reader.Bytes(4), "rest");
  EXPECT_TRUE(reader.ok());
  EXPECT_TRUE(reader.empty());
}

TEST(ByteReader, AViolationIsStickyAndReadsZeros) {
  const auto fails = [](std::string_view bytes, auto read) {
    ByteReader reader(bytes);
    read(reader);
    EXPECT_FALSE(reader.ok());
    EXPECT_TRUE(reader.empty()) << "a loop until empty() ends";
    EXPECT_EQ(reader.Byte(), 0);
    EXPECT_EQ(reader.Varint64(), 0u);
    EXPECT_EQ(reader.LengthPrefixed(), "");
    EXPECT_EQ(reader.Bytes(0), "");
    EXPECT_FALSE(reader.ok());
  };
  fails("", [](ByteReader& reader) { EXPECT_EQ(reader.Byte(), 0); });
  fails("abc", [](ByteReader& reader) { EXPECT_EQ(reader.Fixed32(), 0u); });
  fails("abcdefg", [](ByteReader& reader) { EXPECT_EQ(reader.Fixed64(), 0u); });
  fails("abc", [](ByteReader& reader) { EXPECT_EQ(reader.BigEndian32(), 0u); });
  fails("\x80", [](ByteReader& reader) { EXPECT_EQ(reader.Varint64(), 0u); });
  fails("\x05", [](ByteReader& reader) { EXPECT_EQ(reader.BoundedVarint64(4), 0u); });
  fails(
      "\x05"
      "abcd",
      [](ByteReader& reader) { EXPECT_EQ(reader.LengthPrefixed(), ""); });
  fails("abc", [](ByteReader& reader) { EXPECT_EQ(reader.Bytes(~uint64_t{0}), ""); });
}

}  // namespace
}  // namespace tinyobs
