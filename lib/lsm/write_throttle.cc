#include "lib/lsm/write_throttle.h"

#include <algorithm>
#include <cmath>

namespace tinyobs::lsm {
namespace {

constexpr double kFastestBytesPerSecond = 128 << 20;
constexpr double kHalvings = 7;  // on the way to the stop

}  // namespace

WritePressure PressureOf(const WriteLoad& load) {
  WritePressure worst;
  const auto consider = [&worst](WriteHold reason, double nearness) {
    nearness = std::clamp(nearness, 0.0, 1.0);
    if (worst.reason == WriteHold::kNone || nearness > worst.nearness) worst = {reason, nearness};
  };
  if (load.l0_load >= load.l0_slowdown) {
    // Equal marks: there is no way between, only the stop.
    const double way = std::max(load.l0_stall - load.l0_slowdown, 1);
    consider(WriteHold::kL0, (load.l0_load - load.l0_slowdown) / way);
  }
  if (load.immutables >= load.immutables_max) consider(WriteHold::kMemtables, load.active_fill);
  if (load.budget_fill > 0) consider(WriteHold::kMemtableBudget, load.budget_fill);
  return worst;
}

int64_t WriteThrottle::CostNs(uint64_t bytes, double nearness) {
  const double bytes_per_ns = kFastestBytesPerSecond * std::exp2(-kHalvings * nearness) / 1e9;
  return static_cast<int64_t>(
      std::min(static_cast<double>(bytes) / bytes_per_ns, static_cast<double>(kDebtMaxNs)));
}

void WriteThrottle::PassTime(int64_t now_ns) {
  debt_ns_ = std::max<int64_t>(debt_ns_ - std::max<int64_t>(now_ns - last_ns_, 0), 0);
  last_ns_ = now_ns;
}

void WriteThrottle::Charge(uint64_t bytes, double nearness, int64_t now_ns) {
  PassTime(now_ns);
  debt_ns_ = std::min(debt_ns_ + CostNs(bytes, nearness), kDebtMaxNs);
}

int64_t WriteThrottle::DueNs(int64_t now_ns) {
  PassTime(now_ns);
  return debt_ns_ < kWaitMinNs ? 0 : debt_ns_;
}

void WriteThrottle::Owe(int64_t debt_ns, int64_t now_ns) {
  debt_ns_ = std::clamp<int64_t>(debt_ns, 0, kDebtMaxNs);
  last_ns_ = now_ns;
}

}  // namespace tinyobs::lsm
