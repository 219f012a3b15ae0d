// Budget: what one query may hold and for how long.
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

  // Cancelled, once somebody said so. Cheap: asked per series and per few thousand samples.
  absl::Status Check() const;

  uint64_t peak_samples() const;

 private:
  const QueryOptions* const options_;
  MemoryAccount* const account_;
  std::atomic<uint64_t> samples_{0};
  std::atomic<uint64_t> peak_{0};
};

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_BUDGET_H_
