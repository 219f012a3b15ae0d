// The sending half of lib/wire/ingest.h. Linked by the SDK, so nothing here may pull in a parser.
#include <cmath>
#include <string>

#include "absl/status/status.h"
#include "lib/base/strings.h"
#include "lib/wire/ingest.h"
#include "lib/wire/json_writer.h"
#include "lib/wire/rfc3339.h"

namespace tinyobs::wire {

absl::StatusOr<std::string> EncodeIngest(std::span<const IngestSample> samples) {
  std::string body;
  body.reserve(16 + samples.size() * 160);
  std::string time;
  JsonWriter json(&body);
  json.StartObject();
  json.Key("metrics");
  json.StartArray();
  for (const IngestSample& sample : samples) {
    if (!std::isfinite(sample.value)) {
      return absl::InvalidArgumentError(
          StrCat("value of ", sample.labels.ToString(), " is not finite, JSON cannot carry it"));
    }
    json.StartObject();
    json.Field("name", sample.labels.metric());
    json.Field("type", sample.type);
    json.Key("value");
    json.Number(sample.value);
    if (sample.labels.size() > (sample.labels.metric().empty() ? 0u : 1u)) {
      json.Key("labels");
      json.StartObject();
      for (const Label label : sample.labels) {
        if (label.name != kMetricName) json.Field(label.name, label.value);
      }
      json.EndObject();
    }
    time.clear();
    AppendRfc3339(sample.timestamp_ms, &time);
    json.Field("timestamp", time);
    json.EndObject();
  }
  json.EndArray();
  json.EndObject();
  return body;
}

}  // namespace tinyobs::wire
