// The index against the plainest search: every matcher asked of every series.
#include "lib/tsdb/series_index.h"

#include <algorithm>
#include <random>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

SeriesRef Add(SeriesIndex* index, const Labels& labels) {
  const SeriesRef ref = index->ref_limit();
  index->Add(ref, index->NewSeriesId(labels.metric()), labels.canonical_bytes());
  return ref;
}

std::optional<SeriesRef> Find(const SeriesIndex& index, const Labels& labels) {
  return index.Find(labels.canonical_bytes(), index.KeyOf(labels.canonical_bytes()));
}

TEST(SeriesIndex, FindsExactlyWhatWasAdded) {
  SeriesIndex index(7);
  EXPECT_EQ(Find(index, Labels::Of("m")), std::nullopt);
  const SeriesRef a = Add(&index, Labels::Of("m", {{"a", "1"}}));
  const SeriesRef b = Add(&index, Labels::Of("m", {{"a", "1"}, {"b", ""}, {"c", "2"}}));
  EXPECT_EQ(Find(index, Labels::Of("m", {{"a", "1"}})), a);
  EXPECT_EQ(Find(index, Labels::Of("m", {{"c", "2"}, {"a", "1"}})), b);
  EXPECT_EQ(Find(index, Labels::Of("m")), std::nullopt);
  EXPECT_EQ(Find(index, Labels::Of("m", {{"a", "2"}})), std::nullopt);
  EXPECT_EQ(index.LabelsOf(b), Labels::Of("m", {{"a", "1"}, {"c", "2"}}));
  EXPECT_EQ(index.size(), 2u);
}

// Two label sets with one fingerprint must stay two series: the labels are compared after the hash.
TEST(SeriesIndex, AnEqualFingerprintIsNotTrusted) {
  SeriesIndex index(7);
  const Labels here = Labels::Of("m", {{"a", "1"}});
  const Labels other = Labels::Of("m", {{"a", "2"}});
  const SeriesRef ref = Add(&index, here);
  const SeriesKey key_of_here = index.KeyOf(here.canonical_bytes());
  EXPECT_EQ(index.Find(here.canonical_bytes(), key_of_here), ref);
  EXPECT_EQ(index.Find(other.canonical_bytes(), key_of_here), std::nullopt);
  const std::string longer = Labels::Of("m", {{"a", "1"}, {"b", "1"}}).canonical_bytes();
  EXPECT_EQ(index.Find(longer, key_of_here), std::nullopt);
  const std::string shorter = Labels::Of("m").canonical_bytes();
  EXPECT_EQ(index.Find(shorter, key_of_here), std::nullopt);
}

TEST(SeriesIndex, SeriesOfOneMetricHaveNeighbouringIds) {
  SeriesIndex index(7);
  const SeriesRef a0 = Add(&index, Labels::Of("a", {{"i", "0"}}));
  const SeriesRef b0 = Add(&index, Labels::Of("b", {{"i", "0"}}));
  const SeriesRef a1 = Add(&index, Labels::Of("a", {{"i", "1"}}));
  EXPECT_EQ(index.IdOf(a1), index.IdOf(a0) + 1);
  EXPECT_NE(index.IdOf(b0) >> 32, index.IdOf(a0) >> 32);
  // Ids told from outside (recovery) are not given again.
  index.Add(index.ref_limit(), (index.IdOf(a0) & ~UINT64_C(0xffffffff)) | 40,
            Labels::Of("a", {{"i", "2"}}).canonical_bytes());
  EXPECT_EQ(index.NewSeriesId("a") & 0xffffffff, 41u);
  index.Add(index.ref_limit(), SeriesId{90} << 32, Labels::Of("c").canonical_bytes());
  EXPECT_EQ(index.NewSeriesId("d") >> 32, 91u);
}

TEST(SeriesIndex, HolesAmongRefsAreNoSeries) {
  SeriesIndex index(7);
  index.Add(3, 5, Labels::Of("m").canonical_bytes());
  index.Add(6, 6, Labels::Of("n").canonical_bytes());
  EXPECT_FALSE(index.Contains(0));
  EXPECT_TRUE(index.Contains(3));
  EXPECT_FALSE(index.Contains(7));
  EXPECT_EQ(index.Match({}).refs, (std::vector<SeriesRef>{3, 6}));
  EXPECT_EQ(index.size(), 2u);
}

TEST(SeriesIndex, AnyMatchersSelectWhatASearchOfAllSeriesSelects) {
  std::mt19937 random(42);
  SeriesIndex index(random());
  std::vector<Labels> all;
  for (int i = 0; i < 400; ++i) {
    std::vector<Labels::Pair> pairs;
    for (const std::string name : {"a", "b", "c", "d"}) {
      const int values = name == "a" ? 2 : name == "b" ? 5 : name == "c" ? 50 : 400;
      if (random() % 4 > 0) pairs.emplace_back(name, StrCat("v", random() % values));
    }
    ASSERT_OK_AND_ASSIGN(const Labels labels, Labels::Create(StrCat("m", random() % 3), pairs));
    if (Find(index, labels).has_value()) continue;
    Add(&index, labels);
    all.push_back(labels);
  }
  const std::vector<std::string> names = {"__name__", "a", "b", "c", "d", "nobody"};
  const std::vector<std::string> values = {"", "m1", "v0", "v1", "v3", "v77", "unknown"};
  const std::vector<std::string> patterns = {"", ".*", ".+", "v.*", "v[0-3]", "m0|m1", "|v1", "x"};
  for (int round = 0; round < 3000; ++round) {
    std::vector<Matcher> matchers;
    std::string text;
    for (size_t count = random() % 4; count > 0; --count) {
      const auto op = static_cast<Matcher::Op>(random() % 4);
      const bool regex = op == Matcher::Op::kRegex || op == Matcher::Op::kNotRegex;
      ASSERT_OK_AND_ASSIGN(Matcher matcher,
                           Matcher::Create(op, names[random() % names.size()],
                                           regex ? patterns[random() % patterns.size()]
                                                 : values[random() % values.size()]));
      StrAppend(&text, matcher.ToString(), " ");
      matchers.push_back(std::move(matcher));
    }
    std::vector<SeriesRef> expected;
    for (SeriesRef ref = 0; ref < all.size(); ++ref) {
      bool matches = true;
      for (const Matcher& matcher : matchers) matches = matches && matcher.Matches(all[ref]);
      EXPECT_EQ(index.Matches(ref, matchers), matches);
      if (matches) expected.push_back(ref);
    }
    ASSERT_EQ(index.Match(matchers).refs, expected) << text;
  }
}

TEST(SeriesIndex, SortsAsLabelsSort) {
  SeriesIndex index(7);
  std::vector<Labels> all = {Labels::Of("b"),
                             Labels::Of("a", {{"x", "2"}}),
                             Labels::Of("a"),
                             Labels::Of("a", {{"x", "10"}}),
                             Labels::Of("a", {{"A", "1"}, {"x", "2"}}),
                             Labels::Of("a", {{"y", "0"}})};
  std::vector<SeriesRef> refs;
  for (const Labels& labels : all) refs.push_back(Add(&index, labels));
  index.SortByLabels(&refs);
  std::sort(all.begin(), all.end());
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(index.LabelsOf(refs[i]), all[i]) << i;
}

}  // namespace
}  // namespace tinyobs::tsdb
