// The body of POST /v1/ingest, written once for the server (decode), the SDK and the tools
// (encode).
//
//   {"metrics":[{"name":"m","type":"gauge","value":1.5,"labels":{"service":"s"},
//                "timestamp":"2025-11-18T00:00:00.123Z"}, ...]}
//
// Decoding is compatible with the clients of the Go original: key names without regard to case,
// unknown keys ignored, text after the first JSON value ignored, `labels` null or absent, and a
// timestamp that is absent, null or the year-1 zero time means "now", one instant for the whole
// request.
//
// Encode and decode are separate targets, so that the SDK does not link the parser.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_WIRE_INGEST_H_
#define TINYOBS_LIB_WIRE_INGEST_H_

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tinyobs/labels.h"

namespace tinyobs::wire {

struct IngestSample {
  Labels labels;     // with __name__
  std::string type;  // free text: "counter", "gauge", "histogram", "", ...
  int64_t timestamp_ms = 0;
  double value = 0;
};

// Limits of the original, in bytes; a request beyond them is refused whole.
inline constexpr size_t kMaxIngestSamples = 1000;
inline constexpr size_t kMaxIngestNameBytes = 256;
inline constexpr size_t kMaxIngestLabels = 20;
inline constexpr size_t kMaxIngestLabelNameBytes = 256;
inline constexpr size_t kMaxIngestLabelValueBytes = 1024;

// Starts every refusal that is about one sample; whoever has checks of its own per sample (a
// database's limits) says it the same way.
inline constexpr std::string_view kInvalidMetricPrefix = "invalid metric at index ";

// InvalidArgument with the message the original's clients read: "invalid JSON: ...",
// "too many metrics in request (max 1000)", "invalid metric at index I: <reason>". Checked in that
// order, each over the whole request, so the answer does not depend on where in the body the
// mistake is. Time O(body); memory O(body), whatever the body says. Nesting deeper than 64 is
// invalid JSON.
//
// Beyond the original's checks, because a label set cannot hold it: a label with an empty name, and
// a label called __name__. A label with an empty value is left out: it is the same as no label.
absl::StatusOr<std::vector<IngestSample>> DecodeIngest(std::string_view body, int64_t now_ms);

// A body for `samples`. Values must be finite: JSON has no NaN; InvalidArgument names the first
// series that is not.
absl::StatusOr<std::string> EncodeIngest(std::span<const IngestSample> samples);

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_INGEST_H_
