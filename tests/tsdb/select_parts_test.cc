// A query divided for several threads: the parts are one answer of one instant.
#include <thread>

#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {
namespace {

using Sets = std::vector<std::unique_ptr<SeriesSet>>;

class SelectPartsTest : public DbTest {
 protected:
  static constexpr int kSeries = 1000;

  // Half of the samples sealed, the others in the head.
  void Fill() {
    for (int time = 0; time < 20; ++time) {
      Writer writer(db_.get(), &model_);
      for (int i = 0; i < kSeries; ++i) {
        const Labels labels = Labels::Of("m", {{"i", std::to_string(i)}});
        ASSERT_OK(writer.Add(labels, kStartMs + time * 1000, time + i));
      }
      ASSERT_OK(writer.Commit());
      if (time == 9) {
        ASSERT_OK(db_->Flush());
      }
    }
  }
  Sets Parts(int parts, bool sorted = true, TimeRange range = {}) {
    SelectHints hints;
    hints.sorted = sorted;
    auto sets = db_->SelectParts({Matcher::Metric("m")}, range, hints, parts);
    EXPECT_OK(sets);
    return *std::move(sets);
  }
};

TEST_F(SelectPartsTest, TogetherTheyAreTheAnswerOfOne) {
  Open();
  Fill();
  for (const bool sorted : {true, false}) {
    for (const int parts : {1, 2, 3, 7}) {
      Sets sets = Parts(parts, sorted);
      EXPECT_EQ(sets.size(), static_cast<size_t>(parts));
      Model all;
      for (auto& set : sets) {
        Model part = Drain(std::move(set));
        EXPECT_GT(part.size(), 30u);
        all.merge(part);
        EXPECT_TRUE(part.empty()) << "a series is in two parts";
      }
      EXPECT_EQ(all, model_);
    }
  }
}

TEST_F(SelectPartsTest, OnePartAfterTheOtherIsTheOrderAskedFor) {
  Open();
  Fill();
  std::vector<Labels> order;
  for (const auto& set : Parts(4)) {
    while (set->Next()) order.push_back(set->labels());
  }
  EXPECT_EQ(order.size(), static_cast<size_t>(kSeries));
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST_F(SelectPartsTest, FewSeriesAreNotDivided) {
  Open();
  ASSERT_OK(Put(Labels::Of("m"), kStartMs, 1));
  EXPECT_EQ(Parts(8).size(), 1u);
  EXPECT_EQ(Parts(0).size(), 1u);
}

// A thread costs more than it takes to read them.
TEST_F(SelectPartsTest, ALookAtAHundredSeriesIsNotDivided) {
  Open();
  for (int i = 0; i < 100; ++i) {
    ASSERT_OK(Put(Labels::Of("m", {{"i", std::to_string(i)}}), kStartMs, 1));
  }
  EXPECT_EQ(Parts(8, false, {kStartMs - 300'000, kStartMs}).size(), 1u);
}

TEST_F(SelectPartsTest, AFewSeriesOverDaysAre) {
  Open();
  constexpr int64_t kDayMs = 86'400'000;
  for (int i = 0; i < 50; ++i) {
    const Labels labels = Labels::Of("m", {{"i", std::to_string(i)}});
    for (int64_t ms = 0; ms < kDayMs; ms += kHourMs) ASSERT_OK(Put(labels, kStartMs + ms, 1));
  }
  ASSERT_OK(db_->Flush());
  EXPECT_EQ(Parts(4, false, {kStartMs, kStartMs + kDayMs}).size(), 4u);
}

TEST_F(SelectPartsTest, AllPartsSeeTheInstantTheQueryBegan) {
  Open();
  Fill();
  const Model before = model_;
  Sets sets = Parts(3);
  Model seen = Drain(std::move(sets[0]));
  Fill();                                                               // the same samples again,
  ASSERT_OK(Put(Labels::Of("m", {{"i", "5"}}), kStartMs + 99'000, 1));  // and one more
  ASSERT_OK(db_->Flush());
  seen.merge(Drain(std::move(sets[1])));
  seen.merge(Drain(std::move(sets[2])));
  EXPECT_EQ(seen, before);
}

TEST_F(SelectPartsTest, ThreadsReadPartsWhileOthersWrite) {
  Open();
  Fill();
  const Model before = model_;
  Sets sets = Parts(4);
  std::vector<Model> models(sets.size());
  std::vector<std::thread> readers;
  for (size_t i = 0; i < sets.size(); ++i) {
    readers.emplace_back([&, i] { models[i] = Drain(std::move(sets[i])); });
  }
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK(Put(Labels::Of("m", {{"i", std::to_string(i)}}), kStartMs + 50'000, 1));
    if (i % 20 == 0) {
      ASSERT_OK(db_->Flush());
    }
  }
  for (std::thread& reader : readers) reader.join();
  Model all;
  for (Model& part : models) all.merge(part);
  EXPECT_EQ(all, before);
}

}  // namespace
}  // namespace tinyobs::tsdb
