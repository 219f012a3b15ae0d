// What is claimed about an expression against RE2 itself: random expressions over a small alphabet,
// every string up to some length.
#include "lib/tsdb/regex_literals.h"

#include <algorithm>
#include <random>
#include <set>

#include "gtest/gtest.h"
#include "tinyobs/matcher.h"

namespace tinyobs::tsdb {
namespace {

using Strings = std::vector<std::string>;

TEST(RegexLiterals, FixedStringsAndBeginningsAreSeen) {
  EXPECT_EQ(LiteralsOf("prod|dev").set, (Strings{"prod", "dev"}));
  EXPECT_EQ(LiteralsOf("(a|b|)").set, (Strings{"a", "b", ""}));
  EXPECT_EQ(LiteralsOf("(?:10\\.0\\.0\\.1:9100|h-2)").set, (Strings{"10.0.0.1:9100", "h-2"}));
  EXPECT_TRUE(LiteralsOf("").is_set);
  EXPECT_EQ(LiteralsOf("host-0001.*").prefix, "host-0001");
  EXPECT_FALSE(LiteralsOf("host-0001.*").is_set);
  EXPECT_EQ(LiteralsOf("a\\.b[cd]").prefix, "a.b");
  EXPECT_EQ(LiteralsOf("ab*").prefix, "a");
  EXPECT_EQ(LiteralsOf("h\xc3\xa4?").prefix, "h");  // two bytes are one character
  EXPECT_EQ(LiteralsOf("ab.*|cd").prefix, "");
  EXPECT_EQ(LiteralsOf("(?i)abc").prefix, "");
  EXPECT_EQ(LiteralsOf("x(?i)*").prefix, "");
  EXPECT_EQ(LiteralsOf("\\d").prefix, "");
}

TEST(RegexLiterals, ClaimNothingThatRe2Denies) {
  const Strings pieces = {"a", "b",   "-",    "|",    "(",   ")",   "(?:", "*",
                          "?", "+",   ".",    "[ab]", "\\.", "\\-", "\\d", "^",
                          "$", "{2}", "(?i)", "\\Q",  "\\E", "a|b"};
  Strings texts = {""};
  for (size_t begin = 0, length = 0; length < 4; ++length) {
    const size_t end = texts.size();
    for (; begin < end; ++begin) {
      for (const char c : std::string_view("abA-.1")) texts.push_back(texts[begin] + c);
    }
  }
  std::mt19937 random(3);
  int sets = 0;
  int prefixes = 0;
  for (int round = 0; round < 6000; ++round) {
    std::string pattern;
    for (size_t count = random() % 7; count > 0; --count)
      pattern += pieces[random() % pieces.size()];
    const auto matcher = Matcher::Create(Matcher::Op::kRegex, "l", pattern);
    if (!matcher.ok()) continue;
    const RegexLiterals literals = LiteralsOf(pattern);
    sets += literals.is_set;
    prefixes += !literals.is_set && !literals.prefix.empty();
    if (!literals.is_set && literals.prefix.empty()) continue;
    const std::set<std::string> set(literals.set.begin(), literals.set.end());
    for (const std::string& text : texts) {
      const bool matches = matcher->Matches(text);
      if (literals.is_set) {
        ASSERT_EQ(matches, set.contains(text)) << pattern << " of " << text;
      } else if (matches) {
        ASSERT_TRUE(text.starts_with(literals.prefix)) << pattern << " of " << text;
      }
    }
  }
  EXPECT_GT(sets, 100);
  EXPECT_GT(prefixes, 100);
}

}  // namespace
}  // namespace tinyobs::tsdb
