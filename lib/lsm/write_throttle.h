// WriteThrottle: slows writes down before they would have to stop.
//
// When tables or memtables pile up faster than background work takes them away, writes must wait in
// the end. A stop is the worst way: nothing for seconds, to a client that had no warning. So from a
// lower mark on each write is made to take a minimum of time, the longer the nearer the stop is,
// and the pile settles where writes come in as fast as the work goes on.
//
// The law: at nearness 0 writes may go at 128 MiB/s, and each seventh of the way halves that, down
// to 1 MiB/s at the stop. Not a speed measured from the background work: the pile itself is the
// measurement (it grows exactly by what comes in too fast), so a speed that falls steadily with its
// height has one point of rest for every disk that is faster than 1 MiB/s and slower than 128, and
// needs no state that could be wrong after a change of load. Halving, because what matters is the
// ratio to a speed that is unknown by two orders of magnitude.
//
// Debts: a small write owes microseconds. They are gathered until there is a millisecond to wait,
// which a timer can do with some precision, and are paid off by time that passes anyway, so who
// writes slowly by himself never waits.
//
// Thread-safety: thread-compatible; in a store, guarded by its mutex.
#ifndef TINYOBS_LIB_LSM_WRITE_THROTTLE_H_
#define TINYOBS_LIB_LSM_WRITE_THROTTLE_H_

#include <cstddef>
#include <cstdint>

#include "lib/lsm/store.h"

namespace tinyobs::lsm {

// What a store looks like to its writers.
struct WriteLoad {
  double l0_load = 0;  // see L0Load
  int l0_slowdown = 0;
  int l0_stall = 0;
  // Memtables that wait for their flush; from `immutables_max` on no more are allowed.
  size_t immutables = 0;
  size_t immutables_max = 0;
  double active_fill = 0;  // the active memtable: 1 = full
  double budget_fill = 0;  // of the memory that stores share, beyond its soft limit: 1 = used up
};

struct WritePressure {
  WriteHold reason = WriteHold::kNone;  // kNone: writes go at full speed
  double nearness = 0;                  // 0 to 1: the stop
};

// The worst of the reasons to be slow.
WritePressure PressureOf(const WriteLoad& load);

class WriteThrottle {
 public:
  static constexpr int64_t kWaitMinNs = 1'000'000;
  // A debt does not grow beyond this: a huge batch holds up whoever comes next for no longer.
  static constexpr int64_t kDebtMaxNs = 1'000'000'000;

  // The least time that writing `bytes` may take.
  static int64_t CostNs(uint64_t bytes, double nearness);

  // `bytes` were written at `now_ns` (of one monotonic clock in all calls).
  void Charge(uint64_t bytes, double nearness, int64_t now_ns);
  // How long to wait before the next write: 0, or at least kWaitMinNs.
  int64_t DueNs(int64_t now_ns);
  // After waiting: so much is still owed.
  void Owe(int64_t debt_ns, int64_t now_ns);

 private:
  void PassTime(int64_t now_ns);

  int64_t debt_ns_ = 0;
  int64_t last_ns_ = 0;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_WRITE_THROTTLE_H_
