// What the tests of the database share: opening on a file system of the test, and a model to
// compare with.
//
// The model is the plainest thing that can be right: a map from labels to a map from time to the
// bits of the value.
#ifndef TINYOBS_TESTS_TSDB_DB_TESTING_H_
#define TINYOBS_TESTS_TSDB_DB_TESTING_H_

#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/strings.h"
#include "tests/testing/memory_file_system.h"
#include "tests/testing/status_matchers.h"
#include "tinyobs/db.h"

namespace tinyobs::tsdb {

inline constexpr int64_t kHourMs = 3600 * 1000;
// A round number in 2023, at the start of a partition.
inline constexpr int64_t kStartMs = int64_t{472'222} * kHourMs;

using Points = std::map<int64_t, uint64_t>;   // time -> bits of the value
using Model = std::map<std::string, Points>;  // labels as text -> samples

inline std::string Text(const Labels& labels) { return labels.ToString(); }

// Everything a set yields; records a failure unless it ends well.
inline Model Drain(absl::StatusOr<std::unique_ptr<SeriesSet>> set) {
  Model model;
  EXPECT_OK(set);
  if (!set.ok()) return model;
  while ((*set)->Next()) {
    const Columns& columns = (*set)->columns();
    EXPECT_FALSE(columns.empty());
    EXPECT_EQ(columns.timestamps_ms.size(), columns.values.size());
    Points& points = model[Text((*set)->labels())];
    EXPECT_TRUE(points.empty()) << "a series came twice: " << Text((*set)->labels());
    for (size_t i = 0; i < columns.size(); ++i) {
      if (i > 0) {
        EXPECT_LT(columns.timestamps_ms[i - 1], columns.timestamps_ms[i]);
      }
      points[columns.timestamps_ms[i]] = std::bit_cast<uint64_t>(columns.values[i]);
    }
  }
  EXPECT_OK((*set)->status());
  return model;
}

inline Model Everything(const Db& db) { return Drain(db.SelectAll({})); }

inline uint64_t CountSamples(const Model& model) {
  uint64_t count = 0;
  for (const auto& [labels, points] : model) count += points.size();
  return count;
}

// Batches that go into a database and, when they are acknowledged, into a model.
class Writer {
 public:
  Writer(Db* db, Model* model) : appender_(db->NewAppender()), model_(model) {}

  absl::Status Add(const Labels& labels, int64_t timestamp_ms, double value) {
    absl::Status status = appender_->Add(labels, timestamp_ms, value);
    if (status.ok()) {
      batch_.push_back({Text(labels), {timestamp_ms, std::bit_cast<uint64_t>(value)}});
    }
    return status;
  }
  absl::Status Commit() {
    absl::Status status = appender_->Commit();
    if (status.ok()) ApplyTo(model_);
    batch_.clear();
    return status;
  }
  // What is added and not committed.
  void ApplyTo(Model* model) const {
    for (const auto& [labels, point] : batch_) (*model)[labels][point.first] = point.second;
  }

 private:
  std::unique_ptr<Appender> appender_;
  Model* const model_;
  std::vector<std::pair<std::string, std::pair<int64_t, uint64_t>>> batch_;
};

// A database on a disk in memory, with a clock moved by hand and no threads.
class DbTest : public ::testing::Test {
 protected:
  DbTest() {
    options_.file_system = &disk_;
    options_.clock = &clock_;
    options_.background_threads = false;
    options_.max_series = 0;
    options_.logger = [this](std::string_view line) { log_.emplace_back(line); };
  }

  void Open() {
    auto db = Db::Open("db", options_);
    ASSERT_OK(db);
    db_ = *std::move(db);
  }
  // As if the process had died (kill -9).
  void Kill() { db_.reset(); }
  void Reopen() {
    Kill();
    Open();
  }
  void CloseAndReopen() {
    ASSERT_OK(db_->Close());
    Reopen();
  }
  absl::Status Put(const Labels& labels, int64_t timestamp_ms, double value) {
    Writer writer(db_.get(), &model_);
    if (auto status = writer.Add(labels, timestamp_ms, value); !status.ok()) return status;
    return writer.Commit();
  }

  testing::MemoryFileSystem disk_;
  ManualClock clock_{kStartMs + kHourMs};
  Options options_;
  std::vector<std::string> log_;
  Model model_;
  std::unique_ptr<Db> db_;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_TESTS_TSDB_DB_TESTING_H_
