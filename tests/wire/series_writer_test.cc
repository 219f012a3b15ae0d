// Goal: whatever comes in the way (limits, times, handles that died), the good part of a batch is
// stored once, the rest is counted with its reason, and a known series costs no labels.
// Method: a real database in memory on a clock moved by hand; names are canonical label bytes, so
// that nothing here depends on a protocol.
#include "lib/wire/series_writer.h"

#include <atomic>
#include <deque>
#include <map>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/strings.h"
#include "tinyobs/db.h"

namespace tinyobs::wire {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

constexpr int64_t kNow = 1'763'424'000'000;
constexpr int64_t kHour = 3'600'000;

class SeriesWriterTest : public testing::Test {
 protected:
  void Open(Options options = {}) {
    options.in_memory = true;
    options.background_threads = false;
    options.clock = &clock_;
    auto db = Db::Open("db", options);
    ASSERT_TRUE(db.ok()) << db.status();
    db_ = *std::move(db);
    writer_.emplace(db_.get(), db_.get(), 1 << 20);
  }

  void Add(const Labels& labels, const std::vector<Sample>& samples) {
    AddNamed(labels.canonical_bytes(), samples);
  }
  void AddNamed(std::string name, const std::vector<Sample>& samples) {
    const size_t begin = batch_.values.size();
    for (const Sample& sample : samples) {
      batch_.timestamps_ms.push_back(sample.timestamp_ms);
      batch_.values.push_back(sample.value);
    }
    batch_.series.push_back({names_.emplace_back(std::move(name)), begin, batch_.values.size()});
  }

  // What was added since the last call.
  WriteReport Write() {
    WriteReport report;
    const LabelsOf labels_of = [this](std::string_view name) -> absl::StatusOr<Labels> {
      ++labels_read_;
      auto labels = Labels::FromCanonicalBytes(name);
      if (!labels.ok()) return absl::InvalidArgumentError("no labels");
      return labels;
    };
    const absl::Status status = writer_->Write(batch_, labels_of, 0, &report);
    EXPECT_TRUE(status.ok()) << status;
    batch_.clear();
    return report;
  }

  // "labels" -> "time=value time=value", times after kNow.
  std::map<std::string, std::string> Stored() {
    std::map<std::string, std::string> out;
    const auto set = db_->SelectAll({});
    EXPECT_TRUE(set.ok());
    while ((*set)->Next()) {
      std::string& text = out[(*set)->labels().ToString()];
      const Columns& columns = (*set)->columns();
      for (size_t i = 0; i < columns.size(); ++i) {
        StrAppend(&text, i > 0 ? " " : "", columns.timestamps_ms[i] - kNow, "=", columns.values[i]);
      }
    }
    return out;
  }

  ManualClock clock_{kNow};
  std::unique_ptr<Db> db_;
  std::optional<SeriesWriter> writer_;
  SeriesBatch batch_;
  std::deque<std::string> names_;
  int labels_read_ = 0;
};

TEST_F(SeriesWriterTest, LabelsAreReadOnce) {
  Open();
  const Labels a = Labels::Of("m", {{"i", "a"}});
  const Labels b = Labels::Of("m", {{"i", "b"}});
  for (int64_t t = 0; t < 3; ++t) {
    Add(a, {{kNow + t, 1.0 * t}});
    Add(b, {{kNow + t, 2}, {kNow + t + 10, 3}});
    EXPECT_EQ(Write().stored, 3u);
    EXPECT_EQ(labels_read_, 2);
  }
  EXPECT_THAT(Stored(), UnorderedElementsAre(Pair("m{i=\"a\"}", "0=0 1=1 2=2"),
                                             Pair("m{i=\"b\"}", "0=2 1=2 2=2 10=3 11=3 12=3")));
}

TEST_F(SeriesWriterTest, KnownFreshAndWrongSeriesInOneBatch) {
  Open();
  Add(Labels::Of("a"), {{kNow, 1}});
  Write();
  AddNamed("garbage", {{kNow, 9}, {kNow + 1, 9}});
  Add(Labels::Of("b"), {{kNow + 2, 2}});
  Add(Labels::Of("a"), {{kNow + 3, 3}});
  AddNamed("more garbage", {{kNow, 9}});
  const WriteReport report = Write();
  EXPECT_EQ(report.stored, 2u);
  EXPECT_EQ(report.refused, 3u);
  EXPECT_THAT(report.reasons, ElementsAre("no labels"));
  EXPECT_THAT(Stored(), UnorderedElementsAre(Pair("a", "0=1 3=3"), Pair("b", "2=2")));
}

TEST_F(SeriesWriterTest, TheLastOfTwoSamplesOfOneTimeWins) {
  Open();
  for (int i = 0; i < 2; ++i) {
    Add(Labels::Of("a"), {{kNow, 1}});
    Add(Labels::Of("a"), {{kNow, 2}, {kNow, 3}});
    EXPECT_EQ(Write().refused, 0u);
    EXPECT_THAT(Stored(), ElementsAre(Pair("a", "0=3")));
  }
}

TEST_F(SeriesWriterTest, SamplesOfTheWrongTimeAreLeftOutAlone) {
  Options options;
  options.retention.raw_ms = kHour;
  Open(options);
  const auto add = [&] {
    Add(Labels::Of("a"), {{kNow - 2 * kHour, 1}, {kNow, 2}});
    Add(Labels::Of("b"), {{kNow, 3}});
    Add(Labels::Of("c"), {{kNow + 48 * kHour, 4}});
  };
  for (int i = 0; i < 2; ++i) {  // by labels, and then by handle
    add();
    const WriteReport report = Write();
    EXPECT_EQ(report.stored, 2u);
    EXPECT_EQ(report.refused, 2u);
    EXPECT_THAT(report.reasons, ElementsAre(HasSubstr("a: timestamp"), HasSubstr("in the future")));
    EXPECT_THAT(Stored(), ElementsAre(Pair("a", "0=2"), Pair("b", "0=3")));
    EXPECT_EQ(db_->Stats().samples_rejected, 2u * (i + 1));  // each once
  }
}

TEST_F(SeriesWriterTest, KnownSeriesPassAtTheLimitAndAsManyNewOnesAsFit) {
  Options options;
  options.max_series = 3;
  Open(options);
  Add(Labels::Of("a"), {{kNow, 1}});
  Write();
  for (const char* metric : {"b", "c", "d", "a", "e"}) Add(Labels::Of(metric), {{kNow + 1, 2}});
  const WriteReport report = Write();
  EXPECT_EQ(report.stored, 3u);
  EXPECT_EQ(report.refused, 2u);
  ASSERT_TRUE(report.limit.has_value());
  EXPECT_EQ(report.limit->limit, 3u);
  EXPECT_EQ(report.limit->current, 1u);
  EXPECT_THAT(report.reasons, ElementsAre(HasSubstr("cardinality limit exceeded")));
  EXPECT_THAT(Stored(),
              UnorderedElementsAre(Pair("a", "0=1 1=2"), Pair("b", "1=2"), Pair("c", "1=2")));
}

TEST_F(SeriesWriterTest, AMetricAtItsLimitDoesNotTakeTheOthersWithIt) {
  Options options;
  options.max_series_per_metric = 2;
  Open(options);
  for (const char* i : {"1", "2", "3", "4"}) {
    for (const char* metric : {"m", "n"}) Add(Labels::Of(metric, {{"i", i}}), {{kNow, 1}});
  }
  Add(Labels::Of("o"), {{kNow, 1}});
  const WriteReport report = Write();
  EXPECT_EQ(report.stored, 5u);
  EXPECT_EQ(report.refused, 4u);
  EXPECT_THAT(Stored(), SizeIs(5));
}

TEST_F(SeriesWriterTest, ManyMetricsAtTheirLimitsAtOnce) {
  Options options;
  options.max_series_per_metric = 1;
  Open(options);
  Add(Labels::Of("known"), {{kNow, 1}});
  Write();
  for (int metric = 0; metric < 100; ++metric) {
    for (const char* i : {"1", "2"}) {
      Add(Labels::Of(StrCat("m", metric), {{"i", i}}), {{kNow, 1}});
    }
  }
  Add(Labels::Of("known"), {{kNow + 1, 1}});
  const WriteReport report = Write();
  EXPECT_EQ(report.stored, 101u);
  EXPECT_EQ(report.refused, 100u);
  EXPECT_EQ(Stored()["known"], "0=1 1=1");
}

TEST_F(SeriesWriterTest, ASeriesThatWasDeletedComesBack) {
  Open();
  Add(Labels::Of("a"), {{kNow, 1}});
  Add(Labels::Of("b"), {{kNow, 1}});
  Write();
  ASSERT_TRUE(db_->Delete({Matcher::Metric("a")}, {}).ok());
  Add(Labels::Of("a"), {{kNow + 1, 2}});
  Add(Labels::Of("b"), {{kNow + 1, 2}});
  EXPECT_EQ(Write().refused, 0u);
  EXPECT_THAT(Stored(), ElementsAre(Pair("a", "1=2"), Pair("b", "0=1 1=2")));
  // Known again.
  labels_read_ = 0;
  Add(Labels::Of("a"), {{kNow + 2, 3}});
  Write();
  EXPECT_EQ(labels_read_, 0);
}

TEST_F(SeriesWriterTest, ADeadHandleAtTheLimitTakesNoKnownSeriesWithIt) {
  Options options;
  options.max_series = 2;
  Open(options);
  Add(Labels::Of("a"), {{kNow, 1}});
  Add(Labels::Of("b"), {{kNow, 1}});
  Write();
  ASSERT_TRUE(db_->Delete({Matcher::Metric("a")}, {}).ok());
  Add(Labels::Of("c"), {{kNow, 1}});
  Write();
  Add(Labels::Of("a"), {{kNow + 1, 2}});
  Add(Labels::Of("b"), {{kNow + 1, 2}});
  const WriteReport report = Write();
  EXPECT_EQ(report.stored, 1u);
  EXPECT_EQ(report.refused, 1u);
  EXPECT_THAT(Stored(), ElementsAre(Pair("b", "0=1 1=2"), Pair("c", "0=1")));
}

TEST_F(SeriesWriterTest, ManySamplesAreCommittedInParts) {
  Open();
  std::vector<Sample> samples;
  for (int64_t i = 0; i < 1000; ++i) samples.push_back({kNow + i, 1});
  for (int series = 0; series < 200; ++series) {
    Add(Labels::Of("m", {{"i", StrCat(series)}}), samples);
  }
  const uint64_t before = db_->Stats().commits;
  EXPECT_EQ(Write().stored, 200'000u);
  EXPECT_EQ(db_->Stats().commits - before, 4u);
  EXPECT_EQ(db_->Stats().samples_appended, 200'000u);
}

TEST_F(SeriesWriterTest, MetadataIsWrittenWhenItIsNewsAndEmptyFieldsSayNothing) {
  Open();
  batch_.metadata.push_back({"m", "counter", "Help.", ""});
  Write();
  EXPECT_EQ(db_->Metadata("m"), (MetricMetadata{"counter", "Help.", ""}));
  const uint64_t commits = db_->Stats().commits;
  batch_.metadata.push_back({"m", "counter", "", ""});
  Write();
  EXPECT_EQ(db_->Stats().commits, commits);
  batch_.metadata.push_back({"m", "gauge", "", "bytes"});
  batch_.metadata.push_back({"n", std::string_view(), names_.emplace_back(100'000, 'x'), ""});
  Add(Labels::Of("m"), {{kNow, 1}});
  EXPECT_EQ(Write().stored, 1u);
  EXPECT_EQ(db_->Metadata("m"), (MetricMetadata{"gauge", "Help.", "bytes"}));
  EXPECT_EQ(db_->Metadata("n"), MetricMetadata());  // too long
}

TEST_F(SeriesWriterTest, ManyThreadsWhileSeriesAreDeleted) {
  Open();
  constexpr int kThreads = 4;
  constexpr int kRounds = 50;
  std::vector<std::string> names;
  for (int i = 0; i < 20; ++i) {
    names.push_back(Labels::Of("m", {{"i", StrCat(i)}}).canonical_bytes());
  }
  const LabelsOf labels_of = Labels::FromCanonicalBytes;
  std::vector<std::thread> threads;
  std::atomic<uint64_t> stored = 0;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (int64_t round = 0; round < kRounds; ++round) {
        SeriesBatch batch;
        for (const std::string& name : names) {
          batch.series.push_back({name, batch.values.size(), batch.values.size() + 1});
          batch.timestamps_ms.push_back(kNow + round);
          batch.values.push_back(thread);
        }
        WriteReport report;
        EXPECT_TRUE(writer_->Write(batch, labels_of, 0, &report).ok());
        EXPECT_EQ(report.refused, 0u);
        stored += report.stored;
      }
    });
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(db_->Delete({Matcher::Metric("m")}, {kNow, kNow}).ok());
    EXPECT_TRUE(db_->Delete({Matcher::Equal("i", StrCat(i))}, {}).ok());
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(stored, uint64_t{kThreads} * kRounds * names.size());
  // The last deletion may have come after the last sample.
  for (const std::string& name : names) AddNamed(name, {{kNow, 1}});
  EXPECT_EQ(Write().stored, names.size());
  EXPECT_EQ(Stored().size(), names.size());
}

TEST_F(SeriesWriterTest, AnErrorThatPassesIsHandedUp) {
  Open();
  ASSERT_TRUE(db_->Close().ok());
  Add(Labels::Of("a"), {{kNow, 1}});
  WriteReport report;
  EXPECT_TRUE(
      absl::IsFailedPrecondition(writer_->Write(batch_, Labels::FromCanonicalBytes, 0, &report)));
  EXPECT_EQ(report.stored, 0u);
}

}  // namespace
}  // namespace tinyobs::wire
