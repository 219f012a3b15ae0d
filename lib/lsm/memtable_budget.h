// MemtableBudget: one bound on the memory of the memtables of several stores.
//
// A process with a store per tenant or per table cannot give each of them a full memtable: most are
// idle most of the time, and their memtables sit there half full. With a budget in common, the
// store that gains most by it flushes first, busy or idle.
//
//   StoreOptions options;
//   options.memtable_budget = std::make_shared<MemtableBudget>(64 << 20);
//   ... open several stores with it ...
//
// Counted: active memtables and those that wait for their flush; not what only readers still hold.
// Beyond three quarters of the budget the stores with the largest active memtables are told to
// flush, as many as it takes, and writes of all stores get slower; at the budget they wait. So it
// is exceeded at most by one group of commits (1 MiB, or one batch, if that is larger) a store.
//
// A store with background threads flushes by itself when told to. One without can only do so when
// it is written to or its RunBackgroundWork is called: it is not relied upon. When no other store
// will free anything, and the writer's own flush is not enough, the write is refused with
// ResourceExhausted, never kept waiting forever.
//
// How it stays free of deadlocks: the budget has a mutex of its own, taken last and held for a few
// sums only. It never calls a store; to tell one something it sets a flag and wakes its threads
// without a lock, and a store that waits looks again after a while, in case it missed the wake.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_LIB_LSM_MEMTABLE_BUDGET_H_
#define TINYOBS_LIB_LSM_MEMTABLE_BUDGET_H_

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "lib/base/mutex.h"

namespace tinyobs::lsm {

// Less would be a flush for every few blocks of memory.
inline constexpr size_t kMemtableBudgetBytesMin = 1 << 20;

class MemtableBudget {
 public:
  explicit MemtableBudget(size_t bytes) : bytes_(bytes) {}
  MemtableBudget(const MemtableBudget&) = delete;
  MemtableBudget& operator=(const MemtableBudget&) = delete;

  size_t bytes() const { return bytes_; }
  size_t used_bytes() const { return used_bytes_.load(std::memory_order_relaxed); }

  // What follows is for stores.

  struct Use {
    size_t active_bytes = 0;     // 0 = nothing to flush there
    size_t unflushed_bytes = 0;  // of memtables that wait for their flush
    bool flushes_by_itself = false;
    bool operator==(const Use&) const = default;
  };

  // A store's share, from its opening to its closing.
  class Member {
   public:
    // `wake` makes the store look at flush_wanted() and at the budget again. Called by any thread,
    // without the store's lock; must not block or call the budget.
    Member(std::shared_ptr<MemtableBudget> budget, std::function<void()> wake);
    ~Member();
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

    // One thread at a time. Cheap while nothing changes.
    void Report(const Use& use);
    // The active memtable should be flushed, so that others can go on.
    bool flush_wanted() const { return flush_wanted_.load(std::memory_order_relaxed); }
    const MemtableBudget& budget() const { return *budget_; }

   private:
    friend class MemtableBudget;
    const std::shared_ptr<MemtableBudget> budget_;
    const std::function<void()> wake_;
    Use reported_;  // the reporter's copy
    Use use_;       // guarded by the budget's mutex
    std::atomic<bool> flush_wanted_{false};
  };

  bool IsUsedUp() const { return used_bytes() >= bytes_; }
  // How far use is beyond the soft limit: 1 = used up; 0 or less = not.
  double Fill() const;
  // Whether some store will free memory without being asked again.
  bool WillShrink() const;

 private:
  size_t soft_bytes() const { return bytes_ / 4 * 3; }
  // Decides anew who should flush.
  void Rebalance() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t bytes_;
  std::atomic<size_t> used_bytes_{0};
  mutable Mutex mutex_;
  std::vector<Member*> members_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_MEMTABLE_BUDGET_H_
