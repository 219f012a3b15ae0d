// The series limit as a Status: the figures travel as a payload, so that the server can put them
// into its answer without parsing an error message.
//
// Payload: the numbers as varints, then the texts, each behind its length. It never leaves the
// process, but whoever holds a Status can attach bytes to it, so reading is checked.
#include <string>

#include "absl/strings/cord.h"
#include "lib/base/coding.h"
#include "lib/base/strings.h"
#include "tinyobs/appender.h"

namespace tinyobs {
namespace {

constexpr char kPayloadType[] = "tinyobs/cardinality-limit";

// What is wrong, who is to blame, what to do about it.
std::string Message(const CardinalityLimit& limit) {
  const std::string metric = EscapeForMessage(limit.metric);
  std::string text = "cardinality limit exceeded: ";
  if (limit.per_metric) {
    StrAppend(&text, "metric ", metric, " has ", limit.current, " series, the limit per metric is ",
              limit.limit);
  } else {
    StrAppend(&text, limit.current, " series exist, the limit is ", limit.limit);
    if (limit.metric_series > 0) {
      StrAppend(&text, "; metric ", metric, " has ", limit.metric_series, " of them");
    } else {
      StrAppend(&text, "; first refused is of metric ", metric);
    }
  }
  // To blame: nearly each series of the metric has a value of its own, and they are many of all.
  const bool blamed = limit.label_values > 1 && limit.label_values * 2 >= limit.metric_series &&
                      limit.metric_series * 10 >= limit.current;
  if (!limit.label.empty()) {
    StrAppend(&text, ", and its label ", EscapeForMessage(limit.label), " has about ",
              limit.label_values, " values");
    if (!limit.label_example.empty()) {
      StrAppend(&text, ", \"", EscapeForMessage(limit.label_example), "\" for one");
    }
  }
  text.append(blamed ? ": remove that label" : ": send fewer series, or raise the limit");
  if (!limit.refused.empty()) StrAppend(&text, "; first refused: ", limit.refused);
  return text;
}

}  // namespace

bool CardinalityLimitOf(const absl::Status& status, CardinalityLimit* out) {
  if (!absl::IsResourceExhausted(status)) return false;
  const auto payload = status.GetPayload(kPayloadType);
  if (!payload.has_value()) return false;
  const std::string bytes(*payload);
  ByteReader reader(bytes);
  CardinalityLimit limit;
  limit.per_metric = reader.Varint64() != 0;
  for (uint64_t* const number :
       {&limit.current, &limit.limit, &limit.metric_series, &limit.label_values}) {
    *number = reader.Varint64();
  }
  for (std::string* const text :
       {&limit.metric, &limit.label, &limit.label_example, &limit.refused}) {
    *text = std::string(reader.LengthPrefixed());
  }
  if (!reader.ok() || !reader.empty()) return false;
  *out = std::move(limit);
  return true;
}

absl::Status CardinalityLimitError(const CardinalityLimit& limit) {
  std::string payload;
  for (const uint64_t number : {uint64_t{limit.per_metric}, limit.current, limit.limit,
                                limit.metric_series, limit.label_values}) {
    PutVarint64(&payload, number);
  }
  for (const std::string_view text :
       {std::string_view(limit.metric), std::string_view(limit.label),
        std::string_view(limit.label_example), std::string_view(limit.refused)}) {
    PutLengthPrefixed(&payload, text);
  }
  absl::Status status = absl::ResourceExhaustedError(Message(limit));
  status.SetPayload(kPayloadType, absl::Cord(std::move(payload)));
  return status;
}

}  // namespace tinyobs
