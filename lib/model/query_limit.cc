// The mark of a query limit: an empty payload, so that nobody parses an error message.
#include "absl/strings/cord.h"
#include "lib/base/strings.h"
#include "tinyobs/querier.h"

namespace tinyobs {
namespace {

constexpr char kPayloadType[] = "tinyobs/query-limit";

}  // namespace

bool IsQueryLimit(const absl::Status& status) {
  return absl::IsResourceExhausted(status) && status.GetPayload(kPayloadType).has_value();
}

absl::Status QueryLimitError(std::string_view message) {
  absl::Status status = absl::ResourceExhaustedError(ToAbsl(message));
  status.SetPayload(kPayloadType, absl::Cord());
  return status;
}

}  // namespace tinyobs
