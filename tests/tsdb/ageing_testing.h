// What the tests of retention and of the storage limit share: a database that ages, a clock that is
// moved through days, and all windows there are, as text.
//
// Partitions are of one hour, so one of 5m windows is half a day and one of 1h windows eight days.
#ifndef TINYOBS_TESTS_TSDB_AGEING_TESTING_H_
#define TINYOBS_TESTS_TSDB_AGEING_TESTING_H_

#include <map>
#include <string>

#include "tests/tsdb/db_testing.h"

namespace tinyobs::tsdb {

inline constexpr int64_t kMinuteMs = 60'000;
inline constexpr int64_t kDayMs = 24 * kHourMs;
// 2023, at the start of a partition of every tier.
inline constexpr int64_t kEpochMs = int64_t{2460} * 192 * kHourMs;

inline Labels Gauge(const std::string& name) { return Labels::Of("g", {{"name", name}}); }

// Of each series, what is read at a resolution, to the bit: windows first, then raw samples.
inline std::map<std::string, std::string> Answers(const Db& db, Resolution resolution) {
  SelectHints hints;
  hints.resolution = resolution;
  hints.window_columns = kAllWindowColumns;
  std::map<std::string, std::string> answers;
  auto set = db.SelectAll({}, hints);
  EXPECT_OK(set);
  if (!set.ok()) return answers;
  while ((*set)->Next()) {
    std::string& text = answers[Text((*set)->labels())];
    const auto bits = [](double value) { return std::bit_cast<uint64_t>(value); };
    for (const Windows& w : (*set)->windows()) {
      text += StrCat(ResolutionName(w.resolution), ":\n");
      for (size_t i = 0; i < w.size(); ++i) {
        text += StrCat(w.start_ms[i], " ", w.count[i], " ", bits(w.sum[i]), " ", bits(w.min[i]),
                       " ", bits(w.max[i]), " ", w.first_ms[i], " ", bits(w.first[i]), " ");
        text += StrCat(w.last_ms[i], " ", bits(w.last[i]), " ", bits(w.increase[i]), " ",
                       w.resets[i], "\n");
      }
    }
    const Columns& raw = (*set)->columns();
    text += "raw:\n";
    for (size_t i = 0; i < raw.size(); ++i) {
      text += StrCat(raw.timestamps_ms[i], " ", bits(raw.values[i]), "\n");
    }
  }
  EXPECT_OK((*set)->status());
  return answers;
}

// How many samples answers at a resolution are made of, by series.
inline std::map<std::string, uint64_t> SamplesIn(const Db& db, Resolution resolution) {
  SelectHints hints;
  hints.resolution = resolution;
  hints.window_columns = kWindowCount;
  std::map<std::string, uint64_t> samples;
  auto set = db.SelectAll({}, hints);
  EXPECT_OK(set);
  while (set.ok() && (*set)->Next()) {
    uint64_t& count = samples[Text((*set)->labels())];
    for (const Windows& windows : (*set)->windows()) {
      for (const uint64_t of_window : windows.count) count += of_window;
    }
    count += (*set)->columns().size();
  }
  if (set.ok()) {
    EXPECT_OK((*set)->status());
  }
  return samples;
}

class AgeingTest : public DbTest {
 protected:
  AgeingTest() {
    options_.partition_ms = kHourMs;
    clock_.SetMs(kEpochMs);
  }
  // Until nothing is due.
  void Work() {
    for (int rounds = 0;; ++rounds) {
      ASSERT_LT(rounds, 100'000) << "background work without end";
      const auto more = db_->RunBackgroundWork();
      ASSERT_OK(more);
      if (!*more) return;
    }
  }
  void WorkAt(int64_t time_ms) {
    clock_.SetMs(time_ms);
    Work();
  }
  // A sample now, every `step_ms` until `end_ms`, and work each hour.
  void Live(const Labels& labels, int64_t end_ms, int64_t step_ms = 10 * kMinuteMs) {
    while (clock_.NowMs() < end_ms) {
      ASSERT_OK(Put(labels, clock_.NowMs(), static_cast<double>(clock_.NowMs() / kMinuteMs % 977)));
      clock_.AdvanceMs(step_ms);
      if (clock_.NowMs() % kHourMs == 0) Work();
    }
  }
  TierStats Tier(size_t tier) const { return db_->Stats().tiers[tier]; }
  RetentionStats Retained() const { return db_->Stats().retention; }
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_TESTS_TSDB_AGEING_TESTING_H_
