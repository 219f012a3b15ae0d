// The in-process transport against a database that is only an interface.
#include "tinyobs/sdk/in_process_transport.h"

#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/testing/label_appender.h"
#include "tinyobs/labels.h"

namespace tinyobs::sdk {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// What was committed, and what to answer.
struct FakeDatabase : public Appendable {
  std::unique_ptr<Appender> NewAppender() override;

  std::vector<std::string> samples;
  std::map<std::string, std::string> types;
  int metadata_calls = 0;
  absl::Status commit_status;
  std::string refused_metric;
};

class FakeAppender : public LabelAppender {
 public:
  using LabelAppender::Add;
  explicit FakeAppender(FakeDatabase* database) : database_(database) {}
  absl::Status Add(const Labels& labels, int64_t timestamp_ms, double value) override {
    if (labels.metric() == database_->refused_metric) return absl::InvalidArgumentError("refused");
    samples_.push_back(labels.ToString() + " " + std::to_string(timestamp_ms) + " " +
                       std::to_string(value));
    return absl::OkStatus();
  }
  absl::Status SetMetadata(std::string_view metric, const MetricMetadata& metadata) override {
    ++database_->metadata_calls;
    types_[std::string(metric)] = metadata.type;
    return absl::OkStatus();
  }
  absl::Status Commit() override {
    if (!database_->commit_status.ok()) return database_->commit_status;
    database_->samples.insert(database_->samples.end(), samples_.begin(), samples_.end());
    for (const auto& [metric, type] : types_) database_->types[metric] = type;
    return absl::OkStatus();
  }
  void Rollback() override {
    samples_.clear();
    types_.clear();
  }

 private:
  FakeDatabase* const database_;
  std::vector<std::string> samples_;
  std::map<std::string, std::string> types_;
};

std::unique_ptr<Appender> FakeDatabase::NewAppender() {
  return std::make_unique<FakeAppender>(this);
}

class InProcessTransportTest : public ::testing::Test {
 protected:
  absl::Status SendAll() {
    const OutgoingSample samples[] = {{&a_, MetricKind::kCounter, 1000, 1},
                                      {&b_, MetricKind::kGauge, 1000, 2},
                                      {&a2_, MetricKind::kCounter, 1000, 3}};
    return transport_->Send(samples);
  }

  const Labels a_ = Labels::Of("a");
  const Labels a2_ = Labels::Of("a", {{"x", "y"}});
  const Labels b_ = Labels::Of("b");
  FakeDatabase database_;
  const std::unique_ptr<Transport> transport_ = NewInProcessTransport(&database_);
};

TEST_F(InProcessTransportTest, CommitsSamplesWithTheTypeOfEachMetricOnce) {
  ASSERT_TRUE(SendAll().ok());
  EXPECT_THAT(database_.samples, ElementsAre(HasSubstr("a 1000 1"), HasSubstr("b 1000 2"),
                                             HasSubstr("a{x=\"y\"} 1000 3")));
  EXPECT_THAT(database_.types, ElementsAre(Pair("a", "counter"), Pair("b", "gauge")));
  EXPECT_EQ(database_.metadata_calls, 2);
  ASSERT_TRUE(SendAll().ok());
  EXPECT_EQ(database_.metadata_calls, 2);
}

TEST_F(InProcessTransportTest, FailedCommitAnnouncesTheTypesAgain) {
  database_.commit_status = absl::UnavailableError("disk");
  EXPECT_TRUE(absl::IsUnavailable(SendAll()));
  database_.commit_status = absl::OkStatus();
  ASSERT_TRUE(SendAll().ok());
  EXPECT_THAT(database_.types, ElementsAre(Pair("a", "counter"), Pair("b", "gauge")));
}

TEST_F(InProcessTransportTest, RefusedSampleStoresNothing) {
  database_.refused_metric = "b";
  EXPECT_TRUE(absl::IsInvalidArgument(SendAll()));
  EXPECT_TRUE(database_.samples.empty());
}

TEST_F(InProcessTransportTest, LimitsOfSeriesAreFinalAndOfDiskMayPass) {
  database_.commit_status = CardinalityLimitError({10, 10, "a"});
  EXPECT_TRUE(absl::IsInvalidArgument(SendAll()));
  database_.commit_status = absl::ResourceExhaustedError("disk full");
  EXPECT_TRUE(absl::IsUnavailable(SendAll()));
  database_.commit_status = absl::FailedPreconditionError("read-only");
  EXPECT_TRUE(absl::IsUnavailable(SendAll()));
}

}  // namespace
}  // namespace tinyobs::sdk
