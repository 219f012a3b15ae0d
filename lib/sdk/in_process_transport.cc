#include "tinyobs/sdk/in_process_transport.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "lib/base/strings.h"

namespace tinyobs::sdk {
namespace {

class InProcessTransport final : public Transport {
 public:
  explicit InProcessTransport(Appendable* database) : database_(database) {}

  absl::Status Send(std::span<const OutgoingSample> samples) override {
    const std::unique_ptr<Appender> appender = database_->NewAppender();
    std::vector<std::string> announced;
    for (const OutgoingSample& sample : samples) {
      absl::Status status = appender->Add(*sample.labels, sample.timestamp_ms, sample.value);
      const std::string_view metric = sample.labels->metric();
      if (status.ok() && !known_types_.contains(ToAbsl(metric))) {
        status = appender->SetMetadata(metric, {MetricKindName(sample.kind), "", ""});
        // Remembered at once, so that a batch announces a name once; forgotten if it fails.
        known_types_.emplace(metric);
        announced.emplace_back(metric);
      }
      if (!status.ok()) {
        appender->Rollback();
        return Refused(status, announced);
      }
    }
    const absl::Status status = appender->Commit();
    return status.ok() ? status : Refused(status, announced);
  }

 private:
  // Translates the database's words into the transport's.
  absl::Status Refused(const absl::Status& status, const std::vector<std::string>& announced) {
    for (const std::string& metric : announced) known_types_.erase(metric);
    CardinalityLimit limit;
    if (absl::IsResourceExhausted(status) && CardinalityLimitOf(status, &limit)) {
      return absl::InvalidArgumentError(status.message());
    }
    if (absl::IsResourceExhausted(status) || absl::IsFailedPrecondition(status)) {
      return absl::UnavailableError(status.message());
    }
    return status;
  }

  Appendable* const database_;
  // Names whose type was stored; as many as the client has metrics.
  absl::flat_hash_set<std::string> known_types_;
};

}  // namespace

std::unique_ptr<Transport> NewInProcessTransport(Appendable* database) {
  return std::make_unique<InProcessTransport>(database);
}

}  // namespace tinyobs::sdk
