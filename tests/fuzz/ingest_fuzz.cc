// DecodeIngest on hostile bodies: what it accepts keeps the limits, and what can be encoded again
// decodes to the same samples.
#include <bit>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "lib/base/check.h"
#include "lib/wire/ingest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace wire = tinyobs::wire;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto samples = wire::DecodeIngest(body, 1'700'000'000'000);
  if (!samples.ok()) {
    const auto message = samples.status().message();
    TINYOBS_CHECK(absl::IsInvalidArgument(samples.status()));
    TINYOBS_CHECK(message.find("invalid JSON: ") == 0 ||
                  message.find("too many metrics in request") == 0 ||
                  message.find("invalid metric at index ") == 0);
    return 0;
  }
  TINYOBS_CHECK(samples->size() <= wire::kMaxIngestSamples);
  for (const wire::IngestSample& sample : *samples) {
    TINYOBS_CHECK(std::isfinite(sample.value));
    TINYOBS_CHECK(!sample.labels.metric().empty());
    TINYOBS_CHECK(sample.labels.metric().size() <= wire::kMaxIngestNameBytes);
    TINYOBS_CHECK(sample.labels.size() <= wire::kMaxIngestLabels + 1);
  }
  const auto encoded = wire::EncodeIngest(*samples);
  TINYOBS_CHECK(encoded.ok());
  const auto again = wire::DecodeIngest(*encoded, 1'700'000'000'000);
  TINYOBS_CHECK(again.ok() && again->size() == samples->size());
  for (size_t i = 0; i < samples->size(); ++i) {
    TINYOBS_CHECK((*again)[i].labels == (*samples)[i].labels);
    TINYOBS_CHECK((*again)[i].type == (*samples)[i].type);
    TINYOBS_CHECK(std::bit_cast<uint64_t>((*again)[i].value) ==
                  std::bit_cast<uint64_t>((*samples)[i].value));
  }
  return 0;
}
