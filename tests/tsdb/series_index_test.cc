// The index against the plainest search: every matcher asked of every series, while series come and
// go. The model is a map from refs to labels.
#include "lib/tsdb/series_index.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::tsdb {
namespace {

SeriesRef Add(SeriesIndex* index, const Labels& labels) {
  const SeriesRef ref = index->next_ref();
  index->Add(ref, index->NewSeriesId(labels.metric(), ref), labels.canonical_bytes());
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

TEST(SeriesIndex, AnIdIsTheMetricAndTheRefAndNeverGivenAgain) {
  SeriesIndex index(7);
  const SeriesRef a0 = Add(&index, Labels::Of("a", {{"i", "0"}}));
  const SeriesRef b0 = Add(&index, Labels::Of("b", {{"i", "0"}}));
  const SeriesRef a1 = Add(&index, Labels::Of("a", {{"i", "1"}}));
  EXPECT_EQ(index.IdOf(a0) >> 32, index.IdOf(a1) >> 32);
  EXPECT_NE(index.IdOf(b0) >> 32, index.IdOf(a0) >> 32);
  EXPECT_EQ(static_cast<SeriesRef>(index.IdOf(a1)), a1);
  // Planned together, before the first of the metric is there.
  EXPECT_EQ(index.NewSeriesId("c", 10) >> 32, index.NewSeriesId("c", 11) >> 32);
  // Ids told from outside are not given again.
  index.Add(30, SeriesId{90} << 32 | 17, Labels::Of("d").canonical_bytes());
  EXPECT_EQ(index.next_ref(), 31u);
  EXPECT_EQ(index.NewSeriesId("d", 31), SeriesId{90} << 32 | 31);
  EXPECT_EQ(index.NewSeriesId("e", 32) >> 32, 91u);
  index.RaiseNext(1000, 500);
  EXPECT_EQ(index.next_ref(), 1000u);
  EXPECT_EQ(index.NewSeriesId("f", 1000) >> 32, 500u);
  index.RaiseNext(10, 5);
  EXPECT_EQ(index.next_ref(), 1000u);
}

TEST(SeriesIndex, RemovedSeriesAreGoneWithTheirNames) {
  SeriesIndex index(7);
  const SeriesRef a = Add(&index, Labels::Of("a", {{"only", "here"}}));
  const SeriesRef b = Add(&index, Labels::Of("b", {{"x", "1"}}));
  const SeriesId id = index.IdOf(a);
  const SeriesNames names = index.PinNames();
  index.Remove(std::vector<SeriesRef>{a});
  EXPECT_EQ(Find(index, Labels::Of("a", {{"only", "here"}})), std::nullopt);
  EXPECT_FALSE(index.Contains(a));
  EXPECT_EQ(index.IdOf(a), 0u);
  EXPECT_TRUE(index.LabelsOf(a).empty());
  EXPECT_EQ(index.Match({}).refs, std::vector<SeriesRef>{b});
  EXPECT_EQ(index.LabelNames(), (std::vector<std::string>{"__name__", "x"}));
  EXPECT_TRUE(index.LabelValues("only").empty());
  EXPECT_EQ(index.LabelValues("__name__"), std::vector<std::string>{"b"});
  // Who began before still knows.
  EXPECT_EQ(names.IdOf(a), id);
  EXPECT_EQ(names.LabelsOf(a), Labels::Of("a", {{"only", "here"}}));
  // The same labels again are another series.
  const SeriesRef again = Add(&index, Labels::Of("a", {{"only", "here"}}));
  EXPECT_GT(again, b);
  EXPECT_NE(index.IdOf(again), id);
  EXPECT_EQ(index.LabelValues("only"), std::vector<std::string>{"here"});
}

TEST(SeriesIndex, NamesOutliveTheTableTheyWereTakenFrom) {
  SeriesIndex index(7);
  std::vector<SeriesRef> refs;
  for (int i = 0; i < 2000; ++i) {
    refs.push_back(Add(&index, Labels::Of("m", {{"i", std::to_string(i)}})));
  }
  const SeriesNames names = index.PinNames();
  const size_t before = index.MemoryBytes();
  index.Remove(refs);
  EXPECT_LT(index.MemoryBytes(), before / 10);  // the table was replaced
  EXPECT_EQ(names.LabelsOf(1999), Labels::Of("m", {{"i", "1999"}}));
  EXPECT_EQ(names.IdOf(5000), 0u);
  EXPECT_EQ(index.size(), 0u);
  EXPECT_EQ(index.next_ref(), 2000u);
  EXPECT_EQ(Add(&index, Labels::Of("m", {{"i", "7"}})), 2000u);
}

// Of many series that came only few stay: memory follows these.
TEST(SeriesIndex, ChurnCostsMemoryForTheLivingOnly) {
  SeriesIndex index(7);
  std::vector<SeriesRef> living;
  size_t most = 0;
  for (int i = 0; i < 60'000; ++i) {
    living.push_back(Add(&index, Labels::Of("m", {{"pod", StrCat("pod-", i)}, {"job", "x"}})));
    if (living.size() == 4000) {
      // All but every fortieth, so that those that stay are far apart.
      std::vector<SeriesRef> stay;
      std::vector<SeriesRef> go;
      for (size_t k = 0; k < living.size(); ++k) {
        (k % 40 == 0 && k >= 2000 ? stay : go).push_back(living[k]);
      }
      index.Remove(go);
      living = stay;
    }
    most = std::max(most, index.MemoryBytes());
  }
  EXPECT_EQ(index.size(), living.size());
  EXPECT_LT(most, size_t{5} << 20);
}

// Refs may be anywhere: a few far apart must not cost an array over all that lie between.
TEST(SeriesIndex, RefsFarApartCostLittle) {
  SeriesIndex index(7);
  for (SeriesRef i = 0; i < 16; ++i) {
    const SeriesRef ref = i * (kMaxSeriesRef / 16) + 77;
    index.Add(ref, ref, Labels::Of("m", {{"i", std::to_string(i)}}).canonical_bytes());
  }
  EXPECT_LT(index.MemoryBytes(), size_t{4} << 20);
  const auto matcher = Matcher::Create(Matcher::Op::kRegex, "i", "[0-3]");
  EXPECT_EQ(index.Match(std::vector<Matcher>{*matcher}).refs.size(), 4u);
  EXPECT_EQ(index.Match({}).refs.size(), 16u);
}

TEST(SeriesIndex, MemoryIsWithinTheBudgetPerSeries) {
  SeriesIndex index(7);
  constexpr int kSeries = 20'000;
  for (int i = 0; i < kSeries; ++i) {
    Add(&index, Labels::Of(StrCat("node_metric_", i % 100, "_total"),
                           {{"cluster", "prod-eu-1"},
                            {"cpu", std::to_string(i % 64)},
                            {"device", StrCat("nvme", i % 7)},
                            {"env", "prod"},
                            {"instance", StrCat("host-", i / 100, ".example:9100")},
                            {"job", "node-exporter"},
                            {"mode", StrCat("m", i % 9)}}));
  }
  EXPECT_LT(index.MemoryBytes() / kSeries, 100u);
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

class Model {
 public:
  explicit Model(uint32_t seed) : random_(seed), index_(random_()) {}

  void AddRandom() {
    std::vector<Labels::Pair> pairs;
    for (const std::string name : {"a", "b", "c", "d"}) {
      const int values = name == "a" ? 2 : name == "b" ? 5 : name == "c" ? 50 : 400;
      if (Random(4) > 0) pairs.emplace_back(name, StrCat("v", Random(values)));
    }
    const auto labels = Labels::Create(StrCat("m", Random(3)), pairs);
    ASSERT_OK(labels);
    const auto found = Find(index_, *labels);
    ASSERT_EQ(found.has_value(), there_.contains(labels->canonical_bytes())) << labels->ToString();
    if (found.has_value()) return;
    if (Random(50) == 0) index_.RaiseNext(index_.next_ref() + Random(500), 0);
    const SeriesRef ref = Add(&index_, *labels);
    EXPECT_TRUE(ids_.insert(index_.IdOf(ref)).second);
    all_.emplace(ref, *labels);
    there_.insert(labels->canonical_bytes());
  }

  void RemoveSome() {
    std::vector<SeriesRef> refs;
    const uint32_t of = 2 + Random(8);
    for (const auto& [ref, labels] : all_) {
      if (Random(of) == 0) refs.push_back(ref);
    }
    index_.Remove(refs);
    for (const SeriesRef ref : refs) {
      there_.erase(all_.at(ref).canonical_bytes());
      all_.erase(ref);
    }
  }

  Matcher RandomMatcher() {
    static const std::vector<std::string> kNames = {"__name__", "a", "b", "c", "d", "nobody"};
    static const std::vector<std::string> kValues = {"", "m1", "v0", "v1", "v3", "v77", "unknown"};
    static const std::vector<std::string> kPatterns = {
        "",        ".*",    ".+",     "v.*",      "v[0-3]", "m0|m1",         "|v1",
        "x",       "v1.*",  "v1.+",   "(v1|v2)",  "()",     "(?:v3|v33)",    "v3?",
        "v(1|2).", "v\\d+", "(?i)V1", "v1|v2.*",  "(|v2)",  "v3{2}",         "[v]1",
        "v7\\d|",  "v\\.1", "v+1",    "v1|v1|v1", "nobody", "v1(?:|0|1|2).*"};
    const auto op = static_cast<Matcher::Op>(Random(4));
    const bool regex = op == Matcher::Op::kRegex || op == Matcher::Op::kNotRegex;
    const auto& texts = regex ? kPatterns : kValues;
    return *Matcher::Create(op, kNames[Random(kNames.size())], texts[Random(texts.size())]);
  }

  void Check() {
    std::vector<Matcher> matchers;
    std::string text;
    for (size_t count = Random(4); count > 0; --count) {
      matchers.push_back(RandomMatcher());
      StrAppend(&text, matchers.back().ToString(), " ");
    }
    std::vector<SeriesRef> expected;
    std::set<std::string> names;
    std::set<std::string> values;
    for (const auto& [ref, labels] : all_) {
      bool matches = true;
      for (const Matcher& matcher : matchers) matches = matches && matcher.Matches(labels);
      ASSERT_EQ(index_.Matches(ref, matchers), matches) << text << labels.ToString();
      if (!matches) continue;
      expected.push_back(ref);
      for (const Label label : labels) {
        names.emplace(label.name);
        if (label.name == "c") values.emplace(label.value);
      }
    }
    ASSERT_EQ(index_.Match(matchers).refs, expected) << text;
    ASSERT_EQ(index_.size(), all_.size());
    const auto first_of = [](const std::set<std::string>& from, const ListHints& listing) {
      std::vector<std::string> some;
      for (const std::string& text : from) {
        if (text.starts_with(listing.prefix) && (listing.limit == 0 || some.size() < listing.limit))
          some.push_back(text);
      }
      return some;
    };
    const ListHints listing{Random(2) == 0 ? "v1" : "", Random(2) * Random(8)};
    ASSERT_EQ(index_.LabelNames(&expected), first_of(names, {})) << text;
    ASSERT_EQ(index_.LabelValues("c", &expected, listing), first_of(values, listing)) << text;
    if (matchers.empty()) {
      ASSERT_EQ(index_.LabelNames(), first_of(names, {}));
      ASSERT_EQ(index_.LabelValues("c", nullptr, listing), first_of(values, listing));
    }
    const size_t limit = Random(2) * Random(20);
    std::vector<Labels> sorted;
    for (const SeriesRef ref : expected) sorted.push_back(all_.at(ref));
    std::sort(sorted.begin(), sorted.end());
    if (limit > 0 && limit < sorted.size()) sorted.resize(limit);
    index_.SortByLabels(&expected, limit);
    ASSERT_EQ(expected.size(), sorted.size());
    for (size_t i = 0; i < sorted.size(); ++i) ASSERT_EQ(index_.LabelsOf(expected[i]), sorted[i]);
  }

  uint32_t Random(size_t below) { return random_() % below; }
  bool failed() const { return ::testing::Test::HasFatalFailure(); }

 private:
  std::mt19937 random_;
  SeriesIndex index_;
  std::map<SeriesRef, Labels> all_;
  std::set<std::string> there_;  // their canonical bytes
  std::set<SeriesId> ids_;
};

TEST(SeriesIndex, AnyMatchersSelectWhatASearchOfAllSeriesSelects) {
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    SCOPED_TRACE(StrCat("seed ", seed));
    Model model(seed);
    for (int round = 0; round < 25 && !model.failed(); ++round) {
      for (uint32_t i = model.Random(60); i > 0; --i) model.AddRandom();
      if (model.Random(4) == 0) model.RemoveSome();
      for (int i = 0; i < 20 && !model.failed(); ++i) model.Check();
    }
  }
}

// More values than one hold of the lock evaluates, and more expressions than the cache keeps.
TEST(SeriesIndex, ExpressionsOverManyValuesStayRightAsValuesCome) {
  SeriesIndex index(7);
  const auto expect_right = [&] {
    for (int k = 0; k < 300; ++k) {
      const auto matcher = Matcher::Create(Matcher::Op::kRegex, "i", StrCat(".*", k % 290, "[05]"));
      size_t expected = 0;
      for (SeriesRef ref = 0; ref < index.next_ref(); ++ref) {
        expected += k % 50 == 0 && matcher->Matches(std::to_string(ref));
      }
      const size_t found = index.Match(std::vector<Matcher>{*matcher}).refs.size();
      if (k % 50 == 0) {
        ASSERT_EQ(found, expected) << k;
      }
    }
  };
  for (int i = 0; i < 1500; ++i) Add(&index, Labels::Of("m", {{"i", std::to_string(i)}}));
  expect_right();
  for (int i = 1500; i < 1700; ++i) Add(&index, Labels::Of("m", {{"i", std::to_string(i)}}));
  expect_right();
}

// Readers of every kind beside a leader who adds, removes and so replaces the table: under TSan.
TEST(SeriesIndex, ReadersAndTheLeaderDoNotDisturbEachOther) {
  SeriesIndex index(7);
  std::atomic<bool> done{false};
  const Labels stays = Labels::Of("stays", {{"i", "x"}});
  const SeriesRef stays_ref = Add(&index, stays);
  std::vector<std::thread> readers;
  for (int k = 0; k < 3; ++k) {
    readers.emplace_back([&, k] {
      const std::vector<Matcher> matchers = {
          *Matcher::Create(Matcher::Op::kRegex, "i", k == 0 ? "x|1.*3" : ".*(x|7)")};
      do {
        const auto matched = index.Match(matchers);
        EXPECT_FALSE(matched.refs.empty());
        const SeriesNames names = index.PinNames();
        for (const SeriesRef ref : matched.refs) names.LabelsOf(ref);
        EXPECT_EQ(names.LabelsOf(stays_ref), stays);
        EXPECT_EQ(Find(index, stays), stays_ref);
        index.LabelValues("i", nullptr, ListHints{"1", 10});
        std::vector<SeriesRef> refs = matched.refs;
        index.SortByLabels(&refs);
        index.MemoryBytes();
      } while (!done);
    });
  }
  for (int round = 0; round < 20; ++round) {
    std::vector<SeriesRef> refs;
    for (int i = 0; i < 400; ++i) {
      refs.push_back(Add(&index, Labels::Of("m", {{"i", StrCat(i, "r", round)}})));
    }
    index.Remove(refs);
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(index.size(), 1u);
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
