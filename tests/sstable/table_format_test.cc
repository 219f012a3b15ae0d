// Handles, properties, footer and stored blocks, one by one.
#include "lib/sstable/table_format.h"

#include <snappy.h>

#include <string>

#include "gtest/gtest.h"
#include "lib/base/coding.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::sstable {
namespace {

constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

TEST(Handle, RoundTripsAndMustEndWithinTheLimit) {
  std::string bytes;
  EncodeHandle({1000, 50}, &bytes);
  BlockHandle handle;
  EXPECT_TRUE(DecodeHandle(bytes, 1059, &handle));
  EXPECT_EQ(handle, (BlockHandle{1000, 50}));
  EXPECT_FALSE(DecodeHandle(bytes, 1058, &handle)) << "the trailer must fit too";
  EXPECT_FALSE(DecodeHandle(bytes + "x", 2000, &handle));
  EXPECT_FALSE(DecodeHandle(bytes.substr(0, 2), 2000, &handle));
  bytes.clear();
  EncodeHandle({~0ull, ~0ull}, &bytes);
  EXPECT_FALSE(DecodeHandle(bytes, 2000, &handle)) << "no overflow";
}

TableProperties SomeProperties() {
  TableProperties properties;
  properties.entries = 300;
  properties.user_keys = 200;
  properties.raw_key_bytes = 1;
  properties.raw_value_bytes = 1ull << 40;
  properties.data_blocks = 3;
  properties.data_bytes = 5;
  properties.index_bytes = 6;
  properties.filter_bytes = 7;
  properties.trailer_bytes = 8;
  properties.smallest_key = "a12345678";
  properties.largest_key = "b12345678";
  return properties;
}

TEST(Properties, RoundTrip) {
  std::string bytes;
  EncodeProperties(SomeProperties(), &bytes);
  EXPECT_EQ(DecodeProperties(bytes).value(), SomeProperties());
  TableProperties with_prefix = SomeProperties();
  with_prefix.filter_prefix_bytes = 13;
  std::string longer;
  EncodeProperties(with_prefix, &longer);
  EXPECT_EQ(longer.size(), bytes.size() + 3) << "without it, not a byte";
  EXPECT_EQ(DecodeProperties(longer).value(), with_prefix);
}

TEST(Properties, UnknownOnesAreSkipped) {
  std::string bytes;
  EncodeProperties(SomeProperties(), &bytes);
  PutVarint64(&bytes, 99);
  PutLengthPrefixed(&bytes, "from the future");
  EXPECT_EQ(DecodeProperties(bytes).value(), SomeProperties());
}

TEST(Properties, EveryTruncationIsDataLoss) {
  std::string bytes;
  EncodeProperties(SomeProperties(), &bytes);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_CODE(DecodeProperties(std::string_view(bytes).substr(0, size)), kDataLoss) << size;
  }
  EXPECT_CODE(DecodeProperties(bytes + bytes), kDataLoss) << "twice";
}

TEST(Properties, ContradictionsAreDataLoss) {
  const auto decode = [](const TableProperties& properties) {
    std::string bytes;
    EncodeProperties(properties, &bytes);
    return DecodeProperties(bytes);
  };
  TableProperties bad = SomeProperties();
  bad.user_keys = 301;
  EXPECT_CODE(decode(bad), kDataLoss);
  bad = SomeProperties();
  bad.entries = 0;
  EXPECT_CODE(decode(bad), kDataLoss);
  bad = SomeProperties();
  bad.trailer_bytes = 7;
  EXPECT_CODE(decode(bad), kDataLoss);
  bad = SomeProperties();
  bad.smallest_key = "short";
  EXPECT_CODE(decode(bad), kDataLoss);
  bad = SomeProperties();
  std::swap(bad.smallest_key, bad.largest_key);
  EXPECT_CODE(decode(bad), kDataLoss);
  bad = SomeProperties();
  bad.filter_prefix_bytes = kMaxUserKeyBytes + 1;
  EXPECT_CODE(decode(bad), kDataLoss);
  bad = SomeProperties();
  bad.filter_prefix_bytes = 13;
  bad.filter_bytes = 0;
  EXPECT_CODE(decode(bad), kDataLoss);
}

// A footer at offset 1000, as the last bytes of a file.
const Footer kFooter = {{100, 200}, {309, 391}, {709, 282}};

TEST(Footer, RoundTrips) {
  const std::string bytes = EncodeFooter(kFooter, 1000);
  ASSERT_EQ(bytes.size(), kFooterBytes);
  EXPECT_EQ(DecodeFooter(bytes, 1072).value(), kFooter);
  EXPECT_EQ(DecodeFooter(std::string(440, 'x') + bytes, 1072).value(), kFooter);
}

TEST(Footer, AtAnotherPlaceItIsDataLoss) {
  const std::string bytes = EncodeFooter(kFooter, 1000);
  EXPECT_CODE(DecodeFooter(bytes, 1073), kDataLoss);
}

TEST(Footer, EveryFlippedBitIsDataLoss) {
  const std::string bytes = EncodeFooter(kFooter, 1000);
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_CODE(DecodeFooter(flipped, 1072), kDataLoss) << bit;
  }
}

TEST(Footer, EveryTruncationIsDataLoss) {
  const std::string bytes = EncodeFooter(kFooter, 1000);
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_CODE(DecodeFooter(std::string_view(bytes).substr(0, size), size), kDataLoss) << size;
    EXPECT_CODE(DecodeFooter(std::string_view(bytes).substr(bytes.size() - size), size), kDataLoss)
        << size;
  }
}

// A footer with any version and length, its checksum right.
std::string FooterOf(uint32_t version, std::string body, uint64_t offset) {
  PutFixed32(&body, version);
  PutFixed32(&body, static_cast<uint32_t>(body.size() + 20));
  PutFixed64(&body, PlacedChecksum(body, offset));
  PutFixed64(&body, kMagic);
  return body;
}

TEST(Footer, ANewerVersionIsFailedPreconditionWhateverItsLength) {
  for (const size_t body_bytes : {0, 48, 200}) {
    const std::string bytes = FooterOf(2, std::string(body_bytes, 'x'), 1000);
    const auto footer = DecodeFooter(bytes, 1000 + bytes.size());
    EXPECT_CODE(footer, absl::StatusCode::kFailedPrecondition);
    EXPECT_NE(footer.status().ToString().find("version 2"), std::string::npos);
  }
  EXPECT_CODE(DecodeFooter(FooterOf(0, std::string(48, 'x'), 1000), 1072), kDataLoss);
  EXPECT_CODE(DecodeFooter(FooterOf(1, std::string(40, 'x'), 1000), 1064), kDataLoss);
}

TEST(Footer, HandlesThatOverlapOrLeaveGapsAreDataLoss) {
  const auto decode = [](const Footer& footer) {
    return DecodeFooter(EncodeFooter(footer, 1000), 1072);
  };
  EXPECT_OK(decode(kFooter));
  EXPECT_OK(decode({{309, 0}, {309, 391}, {709, 282}})) << "no filter";
  EXPECT_CODE(decode({{100, 201}, {309, 391}, {709, 282}}), kDataLoss);
  EXPECT_CODE(decode({{100, 200}, {309, 390}, {709, 282}}), kDataLoss);
  EXPECT_CODE(decode({{100, 200}, {309, 391}, {709, 281}}), kDataLoss);
  EXPECT_CODE(decode({{100, 200}, {309, 391}, {709, ~0ull - 700}}), kDataLoss);
  EXPECT_CODE(decode({{~0ull, 200}, {309, 391}, {709, 282}}), kDataLoss);
}

std::string Stored(std::string_view raw, Compression compression, uint64_t offset) {
  std::string scratch;
  std::string out;
  const uint64_t payload_size = AppendBlock(raw, compression, offset, &scratch, &out);
  EXPECT_EQ(payload_size + kBlockTrailerBytes, out.size());
  return out;
}

std::string Raw(const RawBlock& block) { return std::string(block.bytes.get(), block.size); }

TEST(StoredBlock, CompressionIsKeptOnlyWhereItPays) {
  const std::string repeated(4000, 'a');
  const std::string compressed = Stored(repeated, Compression::kSnappy, 5);
  EXPECT_LT(compressed.size(), 300u);
  EXPECT_EQ(Raw(DecodeStoredBlock(compressed, 5, nullptr).value()), repeated);

  std::string random(4000, '\0');
  uint64_t state = 1;
  for (char& c : random) c = static_cast<char>((state = state * 6364136223846793005 + 1) >> 56);
  const std::string stored = Stored(random, Compression::kSnappy, 5);
  EXPECT_EQ(stored.size(), random.size() + kBlockTrailerBytes);
  EXPECT_EQ(Raw(DecodeStoredBlock(stored, 5, nullptr).value()), random);

  EXPECT_EQ(Stored(repeated, Compression::kNone, 5).size(), repeated.size() + kBlockTrailerBytes);
  EXPECT_EQ(Raw(DecodeStoredBlock(Stored("", Compression::kSnappy, 5), 5, nullptr).value()), "");
}

TEST(StoredBlock, AnOwnedBufferIsNotCopied) {
  const std::string stored = Stored("payload", Compression::kNone, 0);
  auto owned = std::make_unique<char[]>(stored.size());
  stored.copy(owned.get(), stored.size());
  const char* const address = owned.get();
  const auto raw = DecodeStoredBlock({address, stored.size()}, 0, &owned);
  ASSERT_OK(raw);
  EXPECT_EQ(raw->bytes.get(), address);
  EXPECT_EQ(Raw(*raw), "payload");
}

TEST(StoredBlock, EveryFlippedBitAndTruncationIsDataLoss) {
  for (const Compression compression : {Compression::kNone, Compression::kSnappy}) {
    const std::string stored = Stored(std::string(100, 'a'), compression, 77);
    for (size_t bit = 0; bit < 8 * stored.size(); ++bit) {
      std::string flipped = stored;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      EXPECT_CODE(DecodeStoredBlock(flipped, 77, nullptr), kDataLoss) << bit;
    }
    for (size_t size = 0; size < stored.size(); ++size) {
      EXPECT_CODE(DecodeStoredBlock(stored.substr(0, size), 77, nullptr), kDataLoss) << size;
    }
    EXPECT_CODE(DecodeStoredBlock(stored, 78, nullptr), kDataLoss) << "at the wrong place";
  }
}

TEST(StoredBlock, MessagesSayWhatWasExpectedAndFound) {
  std::string stored = Stored("payload", Compression::kNone, 0);
  stored[0] ^= 1;
  const std::string message = DecodeStoredBlock(stored, 0, nullptr).status().ToString();
  EXPECT_NE(message.find("checksum expected "), std::string::npos) << message;
  EXPECT_NE(message.find(", found "), std::string::npos) << message;
}

// What a forger, or a bug of a writer, could put under a right checksum.
std::string Forged(std::string payload, uint8_t compression) {
  payload.push_back(static_cast<char>(compression));
  PutFixed64(&payload, PlacedChecksum(payload, 0));
  return payload;
}

TEST(StoredBlock, LyingSnappyIsDataLossWithoutTheMemoryItClaims) {
  std::string huge;
  PutVarint64(&huge, 0xffffffff);
  EXPECT_CODE(DecodeStoredBlock(Forged(huge, 1), 0, nullptr), kDataLoss);
  std::string within_the_limit;
  PutVarint64(&within_the_limit, kMaxBlockBytes);
  const auto refused = DecodeStoredBlock(Forged(within_the_limit, 1), 0, nullptr);
  EXPECT_CODE(refused, kDataLoss);
  EXPECT_NE(refused.status().ToString().find("claims "), std::string::npos) << "before it is tried";
  std::string good;
  snappy::Compress("hello hello hello hello", 23, &good);
  EXPECT_OK(DecodeStoredBlock(Forged(good, 1), 0, nullptr));
  EXPECT_CODE(DecodeStoredBlock(Forged(good.substr(0, good.size() - 1), 1), 0, nullptr), kDataLoss);
  EXPECT_CODE(DecodeStoredBlock(Forged("", 1), 0, nullptr), kDataLoss);
  EXPECT_CODE(DecodeStoredBlock(Forged("x", 2), 0, nullptr), kDataLoss) << "unknown compression";
}

}  // namespace
}  // namespace tinyobs::sstable
