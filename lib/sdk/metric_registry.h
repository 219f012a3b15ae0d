// MetricRegistry: the metrics of a client by name, and what they amount to at a given moment.
//
// A histogram also owns the names it sends (`_bucket`, `_sum`, `_count`): a counter of such a name
// would write into the same series, so it is a kind conflict as much as an equal name.
//
// Thread-safety: thread-safe. Metrics live as long as the registry.
#ifndef TINYOBS_LIB_SDK_METRIC_REGISTRY_H_
#define TINYOBS_LIB_SDK_METRIC_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "lib/sdk/shared_state.h"
#include "tinyobs/sdk/metrics.h"
#include "tinyobs/sdk/transport.h"

namespace tinyobs::sdk::internal {

class MetricRegistry {
 public:
  explicit MetricRegistry(const Config& config);
  ~MetricRegistry();

  // See Client.
  Counter& counter(std::string_view name);
  Gauge& gauge(std::string_view name);
  Histogram& histogram(std::string_view name, std::span<const double> bounds);

  // Appends the current value of every series, all with time `now_ms`, in a fixed order. A value
  // that overflowed to infinity is left out and counted as invalid.
  void Collect(int64_t now_ms, std::vector<OutgoingSample>* out);

  SharedState& shared() { return shared_; }
  const SharedState& shared() const { return shared_; }

 private:
  // Exactly one is set, or `reserved_by`, the histogram that sends under this name.
  struct Metric {
    std::unique_ptr<Counter> counter;
    std::unique_ptr<Gauge> gauge;
    std::unique_ptr<Histogram> histogram;
    std::string reserved_by;
  };
  using Metrics = std::map<std::string, Metric, std::less<>>;

  // Whether a new metric of this name and kind can be created; else the reason.
  absl::Status CheckNew(std::string_view name, MetricKind kind) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status Conflict(std::string_view name, MetricKind wanted) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  SharedState shared_;
  // Stand in for metrics that cannot be: they count updates as refused.
  const std::unique_ptr<Counter> refused_counter_;
  const std::unique_ptr<Gauge> refused_gauge_;
  const std::unique_ptr<Histogram> refused_histogram_;

  mutable Mutex mutex_;
  Metrics metrics_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::sdk::internal

#endif  // TINYOBS_LIB_SDK_METRIC_REGISTRY_H_
