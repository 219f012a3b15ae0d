#include "tinyobs/matcher.h"

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tinyobs/labels.h"

namespace tinyobs {
namespace {

using ::testing::HasSubstr;
using Op = Matcher::Op;

bool RegexMatches(std::string pattern, std::string_view value) {
  auto positive = Matcher::Create(Op::kRegex, "l", pattern);
  auto negative = Matcher::Create(Op::kNotRegex, "l", pattern);
  EXPECT_TRUE(positive.ok()) << positive.status().ToString();
  EXPECT_TRUE(negative.ok());
  EXPECT_NE(positive->Matches(value), negative->Matches(value)) << pattern;
  return positive->Matches(value);
}

TEST(Matcher, EqualityComparesTheWholeValue) {
  const Matcher equal = Matcher::Equal("job", "node");
  EXPECT_TRUE(equal.Matches("node"));
  EXPECT_FALSE(equal.Matches("node2"));
  EXPECT_FALSE(equal.Matches("nod"));
  const Matcher different = Matcher::NotEqual("job", "node");
  EXPECT_FALSE(different.Matches("node"));
  EXPECT_TRUE(different.Matches("node2"));
  EXPECT_TRUE(Matcher::Metric("up").Matches(Labels::Of("up")));
}

TEST(Matcher, AMissingLabelIsTheEmptyString) {
  const Labels labels = Labels::Of("up");
  EXPECT_TRUE(Matcher::Equal("job", "").Matches(labels));
  EXPECT_FALSE(Matcher::NotEqual("job", "").Matches(labels));
  EXPECT_TRUE(Matcher::NotEqual("job", "x").Matches(labels));
  EXPECT_TRUE(Matcher::Create(Op::kRegex, "job", ".*")->Matches(labels));
  EXPECT_FALSE(Matcher::Create(Op::kRegex, "job", ".+")->Matches(labels));
  EXPECT_TRUE(Matcher::Create(Op::kNotRegex, "job", ".+")->Matches(labels));
}

TEST(Matcher, SaysWhetherItMatchesTheEmptyString) {
  EXPECT_TRUE(Matcher::Equal("a", "").MatchesEmpty());
  EXPECT_FALSE(Matcher::Equal("a", "x").MatchesEmpty());
  EXPECT_TRUE(Matcher::NotEqual("a", "x").MatchesEmpty());
  EXPECT_TRUE(Matcher::Create(Op::kRegex, "a", "x?")->MatchesEmpty());
  EXPECT_TRUE(Matcher::Create(Op::kRegex, "a", "")->MatchesEmpty());
  EXPECT_FALSE(Matcher::Create(Op::kRegex, "a", "x+")->MatchesEmpty());
}

TEST(MatcherRegex, IsAnchoredAtBothEnds) {
  EXPECT_TRUE(RegexMatches("foo.*", "foobar"));
  EXPECT_FALSE(RegexMatches("foo", "foobar"));
  EXPECT_FALSE(RegexMatches("bar", "foobar"));
  EXPECT_FALSE(RegexMatches("a|ab", "abc"));
  // Anchors hold for every alternative, also when only a longer one reaches the end.
  EXPECT_TRUE(RegexMatches("a|ab", "ab"));
  EXPECT_FALSE(RegexMatches("foo", "foo\n"));
  EXPECT_FALSE(RegexMatches("", "x"));
  EXPECT_TRUE(RegexMatches("", ""));
}

TEST(MatcherRegex, DotDoesNotMatchNewlineUnlessAsked) {
  EXPECT_FALSE(RegexMatches("a.b", "a\nb"));
  EXPECT_FALSE(RegexMatches(".*", "a\nb"));
  EXPECT_TRUE(RegexMatches("(?s)a.b", "a\nb"));
  EXPECT_TRUE(RegexMatches("a[^x]b", "a\nb"));
}

TEST(MatcherRegex, WorksOnCharactersNotBytes) {
  EXPECT_TRUE(RegexMatches(".", "é"));
  EXPECT_TRUE(RegexMatches("..", "é😀"));
  EXPECT_TRUE(RegexMatches("\\pL+", "Grüße"));
  EXPECT_TRUE(RegexMatches("(?i)GRÜSSE", "grüsse"));
  EXPECT_FALSE(RegexMatches("(?i:a)b", "AB"));
  EXPECT_TRUE(RegexMatches(std::string("a\0b", 3), std::string_view("a\0b", 3)));
}

TEST(MatcherRegex, InvalidExpressionsAreRefusedWithReasonAndPattern) {
  const auto message = [](std::string pattern) {
    auto matcher = Matcher::Create(Op::kRegex, "job", std::move(pattern));
    EXPECT_TRUE(absl::IsInvalidArgument(matcher.status()));
    return std::string(matcher.status().message());
  };
  EXPECT_THAT(message("a("), HasSubstr("\"a(\" for label \"job\": missing )"));
  EXPECT_THAT(message("*"), HasSubstr("no argument for repetition operator"));
  EXPECT_THAT(message("(a)\\1"), HasSubstr("invalid escape sequence"));
  EXPECT_THAT(message("(?=a)"), HasSubstr("(?"));
  EXPECT_THAT(message("a\xff"), HasSubstr("invalid UTF-8"));
  // Anchoring by writing text around the pattern would make this one legal.
  EXPECT_THAT(message("a)|(b"), HasSubstr("unexpected )"));
  EXPECT_TRUE(absl::IsInvalidArgument(Matcher::Create(Op::kRegex, "", "a").status()));
  EXPECT_TRUE(absl::IsInvalidArgument(Matcher::Create(Op::kEqual, "", "a").status()));
}

TEST(MatcherRegex, HostilePatternsAreRefusedOrStayLinear) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      Matcher::Create(Op::kRegex, "l", "((((a{100}){100}){100}){100})").status()));
  // Exponential in a backtracking engine.
  EXPECT_FALSE(RegexMatches("(a*)*(a*)*(a|a)*b", std::string(20'000, 'a')));
  // Needs 2^18 automaton states: outgrows the memory bound and must still answer right.
  EXPECT_TRUE(RegexMatches("(a|b)*a(a|b){18}", std::string(5'000, 'a') + "abbbbbbbbbbbbbbbbbb"));
}

TEST(MatcherRegex, AnAlternationOfThousandsOfNamesFits) {
  std::string pattern = "none";
  for (int i = 0; i < 3000; ++i) pattern += "|host-" + std::to_string(i) + ".example.org:9100";
  EXPECT_TRUE(RegexMatches(pattern, "host-2999.example.org:9100"));
  EXPECT_FALSE(RegexMatches(pattern, "host-3000.example.org:9100"));
}

TEST(Matcher, CopiesShareTheExpressionAndOutliveTheOriginal) {
  auto original = std::make_unique<Matcher>(*Matcher::Create(Op::kRegex, "l", "a+"));
  const Matcher copy = *original;
  original.reset();
  EXPECT_TRUE(copy.Matches("aaa"));
  EXPECT_FALSE(copy.Matches("b"));
}

TEST(Matcher, TextFormIsPromQL) {
  EXPECT_EQ(Matcher::Equal("a", "x\"").ToString(), "a=\"x\\\"\"");
  EXPECT_EQ(Matcher::NotEqual("a", "x").ToString(), "a!=\"x\"");
  EXPECT_EQ(Matcher::Create(Op::kRegex, "a", "x\\d")->ToString(), "a=~\"x\\\\d\"");
  EXPECT_EQ(Matcher::Create(Op::kNotRegex, "a b", "x")->ToString(), "\"a b\"!~\"x\"");
}

}  // namespace
}  // namespace tinyobs
