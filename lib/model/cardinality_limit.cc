// The series limit as a Status: the figures travel as a payload, so that the server can put them
// into its answer without parsing an error message.
//
// Payload: varint current, varint limit, length-prefixed metric name. It never leaves the process,
// but whoever holds a Status can attach bytes to it, so reading is checked.
#include <string>

#include "absl/strings/cord.h"
#include "lib/base/coding.h"
#include "lib/base/strings.h"
#include "tinyobs/appender.h"

namespace tinyobs {
namespace {

constexpr char kPayloadType[] = "tinyobs/cardinality-limit";

}  // namespace

bool CardinalityLimitOf(const absl::Status& status, CardinalityLimit* out) {
  if (!absl::IsResourceExhausted(status)) return false;
  const auto payload = status.GetPayload(kPayloadType);
  if (!payload.has_value()) return false;
  const std::string bytes(*payload);
  ByteReader reader(bytes);
  CardinalityLimit limit;
  limit.current = reader.Varint64();
  limit.limit = reader.Varint64();
  limit.metric = std::string(reader.LengthPrefixed());
  if (!reader.ok() || !reader.empty()) return false;
  *out = std::move(limit);
  return true;
}

absl::Status CardinalityLimitError(const CardinalityLimit& limit) {
  absl::Status status = absl::ResourceExhaustedError(StrCat(
      "cardinality limit exceeded: ", limit.current, " series exist, the limit is ", limit.limit,
      "; first series refused is of metric \"", EscapeForMessage(limit.metric), "\""));
  std::string payload;
  PutVarint64(&payload, limit.current);
  PutVarint64(&payload, limit.limit);
  PutLengthPrefixed(&payload, limit.metric);
  status.SetPayload(kPayloadType, absl::Cord(std::move(payload)));
  return status;
}

}  // namespace tinyobs
