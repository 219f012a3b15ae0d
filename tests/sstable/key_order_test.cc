#include "lib/sstable/key_order.h"

#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/sstable/sample_tables.h"

namespace tinyobs::sstable {
namespace {

TEST(KeyOrder, UserKeysComeFirstThenTrailers) {
  // In plain memcmp the trailer 0xff... of "a" would put it behind "ab".
  const std::vector<std::string> sorted = {Key("", 0),      Key("", ~0ull), Key("a", 5),
                                           Key("a", ~0ull), Key("ab", 0),   Key("ab", 256),
                                           Key("b", 1),     Key("\xff", 0), Key("\xff\xff", 0)};
  for (size_t i = 0; i < sorted.size(); ++i) {
    for (size_t j = 0; j < sorted.size(); ++j) {
      const int result = CompareKeys(sorted[i], sorted[j], 8);
      EXPECT_EQ(result < 0, i < j) << i << " " << j;
      EXPECT_EQ(result > 0, i > j) << i << " " << j;
    }
  }
}

TEST(KeyOrder, WithoutTrailersItIsPlainByteOrder) {
  EXPECT_LT(CompareKeys("", "a", 0), 0);
  EXPECT_LT(CompareKeys("a", "ab", 0), 0);
  EXPECT_LT(CompareKeys("a\x7f", "a\x80", 0), 0) << "bytes are unsigned";
  EXPECT_EQ(CompareKeys("ab", "ab", 0), 0);
}

TEST(Separator, IsShortWhereThereIsRoom) {
  EXPECT_EQ(SeparatorBetween("metric/aaaa/1", "metric/bbbb/1", 0), "metric/b");
  EXPECT_EQ(SeparatorBetween("abcxyz", "abd", 0), "abcy");
  EXPECT_EQ(SeparatorBetween("abcxyz", "abe", 0), "abd");
  EXPECT_EQ(SeparatorBetween("ab\xff\xff"
                             "1",
                             "ac", 0),
            "ab\xff\xff"
            "1")
      << "no room";
  EXPECT_EQ(SeparatorBetween("ab", "abc", 0), "ab") << "a prefix stays";
  EXPECT_EQ(SeparatorBetween(Key("abcdef", 9), Key("abzz", 3), 8), Key("abz", 0));
  EXPECT_EQ(SeparatorBetween(Key("same", 1), Key("same", 2), 8), Key("same", 1));
}

TEST(Separator, IsNeverBeforeTheFirstNorAtTheSecondKey) {
  for (const size_t trailer_bytes : {size_t{0}, size_t{8}}) {
    std::mt19937_64 random(7);
    const Entries entries = RandomEntries(random, 3000, trailer_bytes);
    size_t shortened = 0;
    for (auto b = std::next(entries.begin()); b != entries.end(); ++b) {
      const std::string& a = std::prev(b)->first;
      const std::string separator = SeparatorBetween(a, b->first, trailer_bytes);
      ASSERT_LE(CompareKeys(a, separator, trailer_bytes), 0);
      ASSERT_LT(CompareKeys(separator, b->first, trailer_bytes), 0);
      ASSERT_LE(separator.size(), a.size());
      if (separator != a) {
        // What TableReader::Get relies on to look into one block only.
        ASSERT_LT(UserKey(a, trailer_bytes), UserKey(separator, trailer_bytes));
        ASSERT_LT(UserKey(separator, trailer_bytes), UserKey(b->first, trailer_bytes));
        ++shortened;
      }
    }
    EXPECT_GT(shortened, 50u);
  }
}

}  // namespace
}  // namespace tinyobs::sstable
