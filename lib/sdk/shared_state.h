// What all metrics of one client share: the series budget and the counts of what was refused.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_LIB_SDK_SHARED_STATE_H_
#define TINYOBS_LIB_SDK_SHARED_STATE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "lib/wire/ingest.h"
#include "tinyobs/sdk/client.h"

namespace tinyobs::sdk::internal {

// What /v1/ingest takes, without `service`, which the client adds.
inline constexpr size_t kMaxUserLabels = wire::kMaxIngestLabels - 1;

struct SharedState {
  explicit SharedState(const Config& config)
      : service(config.service),
        max_series(config.max_series),
        max_label_sets(config.max_label_sets),
        logger(config.logger) {}

  // False, and nothing taken, when fewer than `count` are left.
  bool TakeSeries(size_t count) {
    size_t now = series.load();
    do {
      if (count > max_series - now) return false;
    } while (!series.compare_exchange_weak(now, now + count));
    return true;
  }
  void GiveBackSeries(size_t count) { series.fetch_sub(count); }

  void CountInvalid() { updates_invalid.fetch_add(1, std::memory_order_relaxed); }
  void CountRefused() { updates_refused.fetch_add(1, std::memory_order_relaxed); }

  // Keeps the first one. `describe` returns the Status and is only called for that one, because a
  // program that does it once often does it in a loop.
  template <typename Describe>
  void ReportMisuse(const Describe& describe) {
    if (misused.exchange(true)) return;
    absl::Status misuse = describe();
    MutexLock lock(&mutex);
    first_misuse = std::move(misuse);
  }
  absl::Status FirstMisuse() const {
    MutexLock lock(&mutex);
    return first_misuse;
  }

  const std::string service;
  const size_t max_series;
  const size_t max_label_sets;  // of a metric
  const std::function<void(std::string_view)> logger;
  std::atomic<size_t> series{0};  // never above max_series
  std::atomic<uint64_t> updates_invalid{0};
  std::atomic<uint64_t> updates_refused{0};
  std::atomic<uint64_t> label_sets_refused{0};

  std::atomic<bool> misused{false};

  mutable Mutex mutex;
  absl::Status first_misuse ABSL_GUARDED_BY(mutex);
};

}  // namespace tinyobs::sdk::internal

#endif  // TINYOBS_LIB_SDK_SHARED_STATE_H_
