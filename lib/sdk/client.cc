// The client is three parts side by side: the registry holds the numbers, the batcher decides when
// they are read and sent, the transport carries them.
#include "tinyobs/sdk/client.h"

#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/sdk/batcher.h"
#include "lib/sdk/metric_registry.h"
#include "lib/wire/ingest.h"
#include "tinyobs/labels.h"

namespace tinyobs::sdk {
namespace {

constexpr int64_t kMaxIntervalMs = 24 * 3600 * 1000;

absl::Status CheckRange(const char* name, uint64_t value, uint64_t least, uint64_t most) {
  if (value >= least && value <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("Config::", name, " is ", value, "; allowed are ", least, " to ", most));
}

absl::Status Check(const Config& config) {
  if (config.service.empty()) {
    return absl::InvalidArgumentError("Config::service is required: the name of this program");
  }
  if (config.service.size() > wire::kMaxIngestLabelValueBytes) {
    return absl::InvalidArgumentError(StrCat("Config::service has ", config.service.size(),
                                             " bytes; the most is ",
                                             wire::kMaxIngestLabelValueBytes));
  }
  TINYOBS_RETURN_IF_ERROR(Labels::Create("m", {{"service", config.service}}).status());
  // A negative number becomes a huge one here and is refused with the others.
  TINYOBS_RETURN_IF_ERROR(CheckRange("flush_every_ms", static_cast<uint64_t>(config.flush_every_ms),
                                     1, kMaxIntervalMs));
  TINYOBS_RETURN_IF_ERROR(CheckRange(
      "stop_deadline_ms", static_cast<uint64_t>(config.stop_deadline_ms), 1, kMaxIntervalMs));
  TINYOBS_RETURN_IF_ERROR(CheckRange(
      "send_timeout_ms", static_cast<uint64_t>(config.send_timeout_ms), 1, kMaxIntervalMs));
  TINYOBS_RETURN_IF_ERROR(CheckRange("max_batch", config.max_batch, 1, wire::kMaxIngestSamples));
  TINYOBS_RETURN_IF_ERROR(CheckRange("max_series", config.max_series, 1, 10'000'000));
  TINYOBS_RETURN_IF_ERROR(CheckRange("max_label_sets", config.max_label_sets, 1, 10'000'000));
  return CheckRange("max_queue", config.max_queue, config.max_series, 100'000'000);
}

class ClientImpl final : public Client {
 public:
  ClientImpl(Config config, std::unique_ptr<Transport> transport)
      : clock_(config.clock != nullptr ? config.clock : Clock::System()),
        registry_(config),
        transport_(std::move(transport)),
        batcher_(OptionsOf(config, clock_), transport_.get(),
                 [this](std::vector<OutgoingSample>* out) { Collect(out); }) {}

  // Before any other member goes.
  ~ClientImpl() override { batcher_.Stop().IgnoreError(); }

  Counter& counter(std::string_view name) override { return registry_.counter(name); }
  Gauge& gauge(std::string_view name) override { return registry_.gauge(name); }
  Histogram& histogram(std::string_view name, std::span<const double> bounds) override {
    return registry_.histogram(name, bounds);
  }

  void OnCollect(std::function<void()> collect) override {
    MutexLock lock(&mutex_);
    callbacks_.push_back(std::move(collect));
  }

  absl::Status Start() override { return batcher_.Start(); }
  absl::Status Flush() override { return batcher_.Flush(); }
  absl::Status Stop() override { return batcher_.Stop(); }

  absl::Status status() const override { return registry_.shared().FirstMisuse(); }

  ClientStats Stats() const override {
    const internal::SharedState& shared = registry_.shared();
    BatcherStats batcher = batcher_.Stats();
    ClientStats stats;
    stats.series = shared.series.load();
    stats.updates_invalid = shared.updates_invalid.load();
    stats.updates_refused = shared.updates_refused.load();
    stats.label_sets_refused = shared.label_sets_refused.load();
    stats.samples_collected = batcher.collected;
    stats.samples_sent = batcher.sent;
    stats.samples_dropped = batcher.dropped;
    stats.samples_rejected = batcher.rejected;
    stats.samples_unsent = batcher.unsent;
    stats.queue_samples = batcher.queued;
    stats.sends = batcher.sends;
    stats.send_failures = batcher.send_failures;
    stats.last_success_ms = batcher.last_success_ms;
    stats.last_error = std::move(batcher.last_error);
    return stats;
  }

 private:
  static BatcherOptions OptionsOf(const Config& config, Clock* clock) {
    BatcherOptions options;
    options.interval_ms = config.flush_every_ms;
    options.max_batch = config.max_batch;
    options.max_queue = config.max_queue;
    options.stop_deadline_ms = config.stop_deadline_ms;
    options.clock = clock;
    return options;
  }

  void Collect(std::vector<OutgoingSample>* out) {
    std::vector<std::function<void()>> callbacks;
    {
      // Called without the lock: a callback may register another one.
      MutexLock lock(&mutex_);
      callbacks = callbacks_;
    }
    for (const auto& callback : callbacks) callback();
    registry_.Collect(clock_->NowMs(), out);
  }

  Clock* const clock_;
  internal::MetricRegistry registry_;
  const std::unique_ptr<Transport> transport_;
  Mutex mutex_;
  std::vector<std::function<void()>> callbacks_ ABSL_GUARDED_BY(mutex_);
  Batcher batcher_;  // last: its thread uses everything above
};

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Create(Config config,
                                                       std::unique_ptr<Transport> transport) {
  TINYOBS_RETURN_IF_ERROR(Check(config));
  if (transport == nullptr) return absl::InvalidArgumentError("the transport is null");
  return std::unique_ptr<Client>(
      std::make_unique<ClientImpl>(std::move(config), std::move(transport)));
}

}  // namespace tinyobs::sdk
