#include "lib/base/checksum.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace tinyobs {
namespace {

TEST(Checksum64, IsXxh3AsPublished) {
  // Values of the reference implementation: files of other machines depend on them.
  EXPECT_EQ(Checksum64(""), 0x2d06800538d394c2u);
  EXPECT_EQ(Checksum64("abc"), 0x78af5f94892f3950u);
}

TEST(Checksum64, TwoPiecesAreAsGoodAsOne) {
  const std::string text(1000, 'x');
  for (const size_t cut : {0, 1, 240, 999, 1000}) {
    const std::string_view whole = text;
    EXPECT_EQ(Checksum64(whole.substr(0, cut), whole.substr(cut)), Checksum64(whole)) << cut;
  }
}

TEST(Checksum64, EveryFlippedBitChangesIt) {
  std::string text = "a record of a log";
  const uint64_t sound = Checksum64(text);
  for (size_t bit = 0; bit < 8 * text.size(); ++bit) {
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
    EXPECT_NE(Checksum64(text), sound) << bit;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << bit % 8));
  }
}

TEST(Fingerprint, DependsOnBytesAndSeed) {
  EXPECT_EQ(Fingerprint("series", 1), Fingerprint("series", 1));
  EXPECT_NE(Fingerprint("series", 1), Fingerprint("series", 2));
  EXPECT_NE(Fingerprint("series", 1), Fingerprint("serieS", 1));
}

}  // namespace
}  // namespace tinyobs
