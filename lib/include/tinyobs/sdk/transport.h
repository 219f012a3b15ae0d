// Transport: the way samples leave the SDK. Over HTTP (tinyobs/sdk/http_client.h), straight into a
// linked database (tinyobs/sdk/in_process_transport.h), or a fake in a test.
//
// The client calls Send from one thread and never starts a Send before the last one has returned,
// so an implementation needs no lock of its own and may keep a connection open.
#ifndef TINYOBS_SDK_TRANSPORT_H_
#define TINYOBS_SDK_TRANSPORT_H_

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "tinyobs/labels.h"

namespace tinyobs::sdk {

enum class MetricKind : uint8_t { kCounter, kGauge, kHistogram };
// "counter", "gauge", "histogram": the `type` on the wire. Lives for ever.
const char* MetricKindName(MetricKind kind);

// One value of one series on its way out.
struct OutgoingSample {
  const Labels* labels = nullptr;  // with __name__ and service; never null, borrowed for the call
  MetricKind kind = MetricKind::kGauge;
  int64_t timestamp_ms = 0;  // since the Unix epoch
  double value = 0;          // finite
};

class Transport {
 public:
  virtual ~Transport() = default;

  // Delivers all of `samples` or none. Must return within a bounded time: the client's Stop waits
  // for it. Sending the same samples twice must be harmless (TinyObs: the last write wins).
  //
  // OK: stored. Unavailable: try the same samples again later. InvalidArgument: at least one sample
  // was refused for what it is; the client halves the batch to save the others. Anything else: the
  // samples are given up and counted.
  virtual absl::Status Send(std::span<const OutgoingSample> samples) = 0;
};

}  // namespace tinyobs::sdk

#endif  // TINYOBS_SDK_TRANSPORT_H_
