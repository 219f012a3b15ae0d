#include "lib/promql/budget.h"

#include "lib/base/strings.h"

namespace tinyobs::promql {

namespace {

// Half a terabyte: refused where there is no limit, too, before an allocation is.
constexpr uint64_t kBeyondAnyMachine = uint64_t{1} << 36;

}  // namespace

Budget::Budget(const QueryOptions* options, MemoryAccount* account)
    : options_(options), account_(account) {}

Budget::~Budget() {
  if (account_ != nullptr) account_->Release(bytes_.load(std::memory_order_relaxed));
}

absl::Status Budget::Charge(size_t bytes) {
  const size_t limit = options_->max_memory_bytes;
  const size_t before = bytes_.fetch_add(bytes, std::memory_order_relaxed);
  absl::Status refused;
  if (limit > 0 && (bytes > limit || before > limit - bytes)) {
    refused = QueryLimitError(StrCat(
        "the query needs more memory than its limit of ", limit,
        " bytes (max_memory_bytes): ask for fewer series, a shorter range or a larger step"));
  } else if (account_ != nullptr && !account_->TryCharge(bytes)) {
    refused = account_->ExhaustedError(bytes);
  }
  if (!refused.ok()) bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  return refused;
}

absl::Status Budget::Take(uint64_t samples) {
  const uint64_t limit = options_->max_samples;
  const uint64_t before = samples_.fetch_add(samples, std::memory_order_relaxed);
  absl::Status refused;
  if (samples > kBeyondAnyMachine || (limit > 0 && (samples > limit || before > limit - samples))) {
    // Begins with the words of Prometheus, which clients know.
    refused = QueryLimitError(StrCat(
        "query processing would load too many samples into memory in query execution: the limit "
        "is ",
        limit, " (max_samples); ask for fewer series, a shorter range or a larger step"));
  } else {
    refused = Charge(samples * sizeof(double));
  }
  if (!refused.ok()) {
    samples_.fetch_sub(samples, std::memory_order_relaxed);
    return refused;
  }
  uint64_t peak = peak_.load(std::memory_order_relaxed);
  while (peak < before + samples &&
         !peak_.compare_exchange_weak(peak, before + samples, std::memory_order_relaxed)) {
  }
  return absl::OkStatus();
}

void Budget::GiveBack(uint64_t samples) {
  samples_.fetch_sub(samples, std::memory_order_relaxed);
  GiveBackBytes(samples * sizeof(double));
}

void Budget::GiveBackBytes(size_t bytes) {
  bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  if (account_ != nullptr) account_->Release(bytes);
}

absl::Status Budget::Check() const {
  if (options_->cancelled && options_->cancelled()) {
    return absl::CancelledError("query was canceled in expression evaluation");
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::promql
