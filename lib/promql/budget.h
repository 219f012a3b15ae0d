// Budget: what one query may hold and for how long.
//
// The rule: who makes a column that outlives the call takes for it, and a Vector that is handed on
// by value hands on the duty to give back, so a Vector is always charged with the values that it
// holds. What is not given back is when the query ends.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_LIB_PROMQL_BUDGET_H_
#define TINYOBS_LIB_PROMQL_BUDGET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/status/status.h"
#include "lib/base/memory_accountant.h"
#include "tinyobs/promql.h"

namespace tinyobs::promql {

class Budget {
 public:
  // `options` and `account` (may be null) outlive this.
  Budget(const QueryOptions* options, MemoryAccount* account);
  ~Budget();  // gives everything back
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  // Samples (values of columns, eight bytes each) that are held from now on. ResourceExhausted
  // beyond a limit, with its name and value.
  absl::Status Take(uint64_t samples);
  void GiveBack(uint64_t samples);
  // Bytes besides columns (labels, mostly), held until the query ends unless they are given back.
  absl::Status TakeBytes(size_t bytes) { return Charge(bytes); }
  void GiveBackBytes(size_t bytes);

  // Cancelled, once somebody said so. Cheap: asked per series and per few thousand samples.
  absl::Status Check() const;

  uint64_t samples() const { return samples_.load(std::memory_order_relaxed); }
  uint64_t peak_samples() const { return peak_.load(std::memory_order_relaxed); }

 private:
  absl::Status Charge(size_t bytes);

  const QueryOptions* const options_;
  MemoryAccount* const account_;
  std::atomic<uint64_t> samples_{0};
  std::atomic<uint64_t> peak_{0};
  std::atomic<size_t> bytes_{0};  // charged to account_
};

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_BUDGET_H_
