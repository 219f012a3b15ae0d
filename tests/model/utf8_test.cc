#include "lib/model/utf8.h"

#include <cstdint>
#include <string>

#include "gtest/gtest.h"

namespace tinyobs {
namespace {

// The textbook encoder, for every number up to 2^21, legal or not.
std::string Encode(uint32_t code, int bytes) {
  switch (bytes) {
    case 1:
      return {static_cast<char>(code)};
    case 2:
      return {static_cast<char>(0xc0 | code >> 6), static_cast<char>(0x80 | (code & 0x3f))};
    case 3:
      return {static_cast<char>(0xe0 | code >> 12), static_cast<char>(0x80 | (code >> 6 & 0x3f)),
              static_cast<char>(0x80 | (code & 0x3f))};
    default:
      return {static_cast<char>(0xf0 | code >> 18), static_cast<char>(0x80 | (code >> 12 & 0x3f)),
              static_cast<char>(0x80 | (code >> 6 & 0x3f)),
              static_cast<char>(0x80 | (code & 0x3f))};
  }
}

int ShortestLength(uint32_t code) {
  return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

TEST(Utf8, AcceptsEveryScalarValueInItsShortestFormAndNothingElse) {
  for (uint32_t code = 0; code < 1 << 21; ++code) {
    const bool scalar = code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
    for (int bytes = ShortestLength(code); bytes <= 4; ++bytes) {
      const bool expected = scalar && bytes == ShortestLength(code);
      ASSERT_EQ(IsValidUtf8(Encode(code, bytes)), expected) << std::hex << code << " in " << bytes;
    }
  }
}

TEST(Utf8, TruncatedSequencesAreRefusedAtEveryPlaceInALongText) {
  for (const std::string& character : {std::string("é"), std::string("€"), std::string("😀")}) {
    for (size_t before = 0; before < 20; ++before) {
      const std::string text = std::string(before, 'a') + character;
      EXPECT_TRUE(IsValidUtf8(text));
      EXPECT_TRUE(IsValidUtf8(text + std::string(20, 'b')));
      for (size_t cut = 1; cut < character.size(); ++cut) {
        const std::string torn = text.substr(0, text.size() - cut);
        EXPECT_FALSE(IsValidUtf8(torn));
        EXPECT_FALSE(IsValidUtf8(torn + std::string(20, 'b')));
      }
    }
  }
}

TEST(Utf8, LoneContinuationAndUnusedBytesAreRefused) {
  for (int byte = 0x80; byte < 0x100; ++byte) {
    EXPECT_FALSE(IsValidUtf8(std::string(1, static_cast<char>(byte)))) << byte;
  }
  EXPECT_TRUE(IsValidUtf8(""));
  EXPECT_TRUE(IsValidUtf8(std::string(3, '\0')));
}

}  // namespace
}  // namespace tinyobs
