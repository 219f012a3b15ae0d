// Client: measures a program and sends what it measured to TinyObs.
//
//   #include "tinyobs/sdk/http_client.h"
//
//   auto client = tinyobs::sdk::NewHttpClient({.service = "shop"});
//   if (!client.ok()) { ... client.status() says what to do ... }
//   (*client)->Start().IgnoreError();
//   (*client)->counter("orders_total").Inc({{"method", "card"}});
//   ...
//   absl::Status sent = (*client)->Stop();  // sends the rest
//
// Every flush_every_ms one thread, the only one, reads all metrics and sends them in batches, one
// after another: a second flush cannot begin before the last send has ended, however slow the
// server is. While the server is away the samples wait in a bounded queue, the oldest leave first,
// and the client tries again with growing pauses.
//
// Measuring never fails and never blocks on the network: what cannot be kept or sent is counted in
// Stats(), and status() holds the first mistake in the use of the API.
//
// Thread-safety: everything is thread-safe. No fork between Start and Stop.
#ifndef TINYOBS_SDK_CLIENT_H_
#define TINYOBS_SDK_CLIENT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tinyobs/clock.h"
#include "tinyobs/sdk/metrics.h"
#include "tinyobs/sdk/transport.h"

namespace tinyobs::sdk {

struct Config {
  // Required: the label `service` of every sample.
  std::string service;

  // For NewHttpClient (tinyobs/sdk/http_client.h) only.
  std::string endpoint = "http://localhost:8080/v1/ingest";
  std::string api_key = "";  // sent as "Authorization: Bearer <api_key>" when not empty
  int64_t send_timeout_ms = 5000;

  int64_t flush_every_ms = 5000;
  // Samples in one request; the server refuses more than 1000.
  size_t max_batch = 1000;
  // Samples that wait while the server is away (32 bytes each); beyond it the oldest are
  // dropped and counted. At least max_series, so that one flush always fits.
  size_t max_queue = 100'000;
  // Series this client may create over all metrics. A label set of a counter or gauge is one
  // series, of a histogram one per bound and three more. Guards against labels with unbounded
  // values (user ids).
  size_t max_series = 10'000;
  // Label sets that one metric may have, so that a label with unbounded values (a request id) costs
  // neither this program nor the server more than so many series. Those that exist go on; updates
  // of new ones are dropped and counted, and `logger` is told which label it is.
  size_t max_label_sets = 1'000;
  // How long Stop goes on trying to deliver the rest, plus at most one send timeout.
  int64_t stop_deadline_ms = 5000;

  // One line for each metric that first meets a limit. Must be thread-safe and must not call the
  // client. Empty = silent; Client::status() has the first one anyway.
  std::function<void(std::string_view)> logger = nullptr;
  // Not owned, must outlive the client. nullptr = the operating system's.
  Clock* clock = nullptr;
};

// Since the client was created.
struct ClientStats {
  uint64_t series = 0;           // that exist
  uint64_t updates_invalid = 0;  // negative counter amounts, NaN, infinities
  uint64_t updates_refused = 0;  // of label sets over a limit, invalid labels, kind conflicts
  // Times a new label set was dropped at max_label_sets or max_series; one that is asked for again
  // counts again.
  uint64_t label_sets_refused = 0;
  uint64_t samples_collected = 0;  // read from metrics at flushes
  uint64_t samples_sent = 0;
  uint64_t samples_dropped = 0;   // oldest, pushed out of the full queue
  uint64_t samples_rejected = 0;  // given up because the other side refused them
  uint64_t samples_unsent = 0;    // still waiting when Stop gave up
  uint64_t queue_samples = 0;     // waiting now
  uint64_t sends = 0;             // that succeeded
  uint64_t send_failures = 0;
  int64_t last_success_ms = 0;  // Unix milliseconds of the last successful send, 0 = none yet
  std::string last_error;       // of the last failed send; kept after it recovers
};

class Client {
 public:
  // InvalidArgument: no service, or a number out of range (the message names it). Nothing is sent
  // before Start, but metrics can be used at once.
  static absl::StatusOr<std::unique_ptr<Client>> Create(Config config,
                                                        std::unique_ptr<Transport> transport);
  // Calls Stop, so that forgetting it does not lose the last interval; its error is lost.
  virtual ~Client() = default;

  // The metric of this name; always the same object for the same name. When the name is invalid
  // (empty, over 256 bytes, not UTF-8) or is taken by another kind, the answer is a metric whose
  // updates are dropped and counted, and status() tells. Keep the reference: finding it takes a
  // lock and a lookup.
  virtual Counter& counter(std::string_view name) = 0;
  virtual Gauge& gauge(std::string_view name) = 0;
  // `bounds`: upper bounds of the buckets, finite and ascending, 1 to 100; only the first call for
  // a name decides. +Inf is added.
  virtual Histogram& histogram(std::string_view name,
                               std::span<const double> bounds = kDefaultHistogramBounds) = 0;

  // `collect` runs on the client's thread before the metrics are read for each flush: the place to
  // set gauges from what is only known when asked. It must be quick and must not call Flush or
  // Stop. What it refers to must live until Stop has returned.
  virtual void OnCollect(std::function<void()> collect) = 0;

  // Starts the thread; the first flush happens at once. FailedPrecondition: started before.
  virtual absl::Status Start() = 0;

  // Reads the metrics now and waits until everything collected so far was delivered or failed once.
  // Unavailable: it waits in the queue for the next try; the message is the transport's.
  // InvalidArgument or another code: samples were refused and given up. FailedPrecondition: not
  // running, or called from OnCollect.
  virtual absl::Status Flush() = 0;

  // The final flush, for at most stop_deadline_ms, then ends the thread. OK: everything was
  // delivered. Unavailable: samples were left (Stats().samples_unsent). Other codes as Flush.
  // Idempotent: later calls return the first answer. Updates afterwards are not sent any more.
  virtual absl::Status Stop() = 0;

  // OK, or the first mistake in the use of the API: kind conflict, invalid name, refused label set.
  virtual absl::Status status() const = 0;
  virtual ClientStats Stats() const = 0;
};

}  // namespace tinyobs::sdk

#endif  // TINYOBS_SDK_CLIENT_H_
