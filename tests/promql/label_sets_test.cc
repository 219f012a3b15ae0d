// Label sets cut down and put together, compared with doing the same label by label.
#include "lib/promql/label_sets.h"

#include <random>
#include <set>

#include "gtest/gtest.h"
#include "lib/promql/group_index.h"
#include "tests/promql/testing.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {
namespace {

TEST(LabelSubset, KeepsTheNamedLabels) {
  LabelSubset subset({"job", "instance", "job"}, /*keep=*/true);
  EXPECT_EQ(LabelsOfSubset(subset.Of(TestLabels(R"(up{a="1",instance="i",job="j",z="2"})"))),
            TestLabels(R"({instance="i",job="j"})"));
  EXPECT_EQ(LabelsOfSubset(subset.Of(TestLabels(R"({a="1"})"))), Labels());
  EXPECT_EQ(LabelsOfSubset(subset.Of(Labels())), Labels());
}

TEST(LabelSubset, MayKeepTheMetricName) {
  LabelSubset subset({"__name__"}, /*keep=*/true);
  EXPECT_EQ(LabelsOfSubset(subset.Of(TestLabels(R"(up{job="j"})"))), TestLabels("up"));
}

TEST(LabelSubset, DropsTheNamedLabelsAndTheMetricName) {
  LabelSubset subset({"job"}, /*keep=*/false);
  EXPECT_EQ(LabelsOfSubset(subset.Of(TestLabels(R"(up{A="0",job="j",z="2"})"))),
            TestLabels(R"({A="0",z="2"})"));
  LabelSubset all({}, /*keep=*/false);
  EXPECT_EQ(LabelsOfSubset(all.Of(TestLabels(R"(up{A="0",job="j"})"))),
            TestLabels(R"({A="0",job="j"})"));
}

TEST(LabelSubset, LongNamesAndValuesAreCopiedWhole) {
  const std::string name(300, 'n');
  const std::string value(20'000, 'v');
  ASSERT_OK_AND_ASSIGN(const Labels labels, Labels::Create("up", {{name, value}, {"b", "1"}}));
  ASSERT_OK_AND_ASSIGN(const Labels wanted, Labels::Create({{name, value}}));
  EXPECT_EQ(LabelsOfSubset(LabelSubset({name}, true).Of(labels)), wanted);
  EXPECT_EQ(LabelsOfSubset(LabelSubset({"b"}, false).Of(labels)), wanted);
}

TEST(WithoutName, LeavesTheOthers) {
  // "A" is before "__name__", "a" after it.
  EXPECT_EQ(WithoutName(TestLabels(R"(up{A="0",a="1"})")), TestLabels(R"({A="0",a="1"})"));
  EXPECT_EQ(WithoutName(TestLabels(R"({a="1"})")), TestLabels(R"({a="1"})"));
  EXPECT_EQ(WithoutName(Labels()), Labels());
}

TEST(WithLabel, SetsReplacesAndRemoves) {
  const Labels labels = TestLabels(R"(up{b="1",d="2"})");
  EXPECT_EQ(WithLabel(labels, "c", "x"), TestLabels(R"(up{b="1",c="x",d="2"})"));
  EXPECT_EQ(WithLabel(labels, "A", "x"), TestLabels(R"(up{A="x",b="1",d="2"})"));
  EXPECT_EQ(WithLabel(labels, "e", "x"), TestLabels(R"(up{b="1",d="2",e="x"})"));
  EXPECT_EQ(WithLabel(labels, "d", "x"), TestLabels(R"(up{b="1",d="x"})"));
  EXPECT_EQ(WithLabel(labels, "d", ""), TestLabels(R"(up{b="1"})"));
  EXPECT_EQ(WithLabel(labels, "c", ""), labels);
  EXPECT_EQ(WithLabel(Labels(), "c", "x"), TestLabels(R"({c="x"})"));
}

TEST(ErrorText, IsPrometheusForm) {
  EXPECT_EQ(ErrorText(TestLabels(R"(up{a="x\"y"})")), R"({__name__="up", a="x\"y"})");
  EXPECT_EQ(ErrorText(Labels()), "{}");
}

TEST(GroupIndex, NumbersGroupsAsTheyAreFirstSeen) {
  GroupIndex index(LabelSubset({"a"}, true));
  EXPECT_EQ(index.Of(TestLabels(R"(m{a="x",b="1"})")), 0u);
  EXPECT_EQ(index.Of(TestLabels(R"(m{a="y",b="1"})")), 1u);
  EXPECT_EQ(index.Of(TestLabels(R"(m{b="1"})")), 2u);
  EXPECT_EQ(index.Of(TestLabels(R"(m{a="x",b="2"})")), 0u);
  EXPECT_EQ(index.size(), 3u);
  EXPECT_EQ(index.LabelsOf(1), TestLabels(R"({a="y"})"));
  EXPECT_EQ(index.LabelsOf(2), Labels());
}

// What the functions mean, with a string a label.
TEST(LabelSets, AgreeWithLabelByLabelOnRandomSets) {
  constexpr uint64_t kSeed = 6;
  SCOPED_TRACE(kSeed);
  std::mt19937_64 random(kSeed);
  const std::vector<std::string> names = {"A", "__name__", "_b", "a", "aa", "b", "job", "zz"};
  for (int round = 0; round < 2'000; ++round) {
    std::vector<Labels::Pair> pairs;
    std::set<std::string> chosen;
    for (const std::string& name : names) {
      if (random() % 2 != 0) pairs.emplace_back(name, std::string(1 + random() % 200, 'v'));
      if (random() % 3 == 0) chosen.insert(name);
    }
    const bool keep = random() % 2 != 0;
    ASSERT_OK_AND_ASSIGN(const Labels labels, Labels::Create(pairs));
    std::vector<Labels::Pair> left;
    for (const Labels::Pair& pair : pairs) {
      const bool named = chosen.contains(pair.first) || (!keep && pair.first == kMetricName);
      if (named == keep) left.push_back(pair);
    }
    ASSERT_OK_AND_ASSIGN(const Labels wanted, Labels::Create(left));
    LabelSubset subset({chosen.begin(), chosen.end()}, keep);
    ASSERT_EQ(LabelsOfSubset(subset.Of(labels)), wanted);

    const std::string& name = names[random() % names.size()];
    const std::string value(random() % 3, 'w');
    std::erase_if(pairs, [&](const Labels::Pair& pair) { return pair.first == name; });
    pairs.emplace_back(name, value);
    ASSERT_OK_AND_ASSIGN(const Labels with, Labels::Create(pairs));
    ASSERT_EQ(WithLabel(labels, name, value), with);
  }
}

}  // namespace
}  // namespace tinyobs::promql
