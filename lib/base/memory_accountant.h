// MemoryAccountant: one budget that all parts of a database report to.
//
// Parts that each keep their own limit add up to more than anybody asked for, and what one leaves
// unused helps no other. So each part has an account, with a share of its own or none, and all
// accounts count against one total. Accounting is by agreement, not by an allocator hook: a part
// says what it took at the points where it knows (a block, an arena, a page), so that nothing is
// paid per sample and the figures have names.
//
// Two ways to report, of which an account uses one: Charge and Release of pieces, or SetUsed of the
// whole. What must not fail (memory that is taken already) uses Charge or SetUsed, may go over, and
// leaves it to over() that somebody flushes, evicts or slows down. What may be refused (a query, a
// new series) asks TryCharge first and answers ExhaustedError.
//
// Thread-safety: thread-safe; charging is two relaxed atomic additions (tens of ns when many
// threads do it at once: charge blocks, not samples). The figures of several accounts are of no one
// instant, their sums are exact once everybody is quiet.
#ifndef TINYOBS_LIB_BASE_MEMORY_ACCOUNTANT_H_
#define TINYOBS_LIB_BASE_MEMORY_ACCOUNTANT_H_

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/mutex.h"

namespace tinyobs {

// ResourceExhausted for want of memory, other than of file handles or of disk: with less in use, or
// asked for less, it would have been OK. The mark travels as a payload of the Status.
absl::Status MemoryExhaustedError(std::string_view message);
bool IsMemoryExhausted(const absl::Status& status);

class MemoryAccountant;

// What one part uses. Accounts lie on cache lines of their own.
class alignas(64) MemoryAccount {
 public:
  MemoryAccount(const MemoryAccount&) = delete;
  MemoryAccount& operator=(const MemoryAccount&) = delete;

  // Memory that is taken, or given back; the latter never more than the former.
  void Charge(size_t bytes);
  void Release(size_t bytes);
  // All that the part uses now, in place of what it said before.
  void SetUsed(size_t bytes);
  // Charges, or returns false and changes nothing: the share or the total would be exceeded.
  bool TryCharge(size_t bytes);

  size_t used() const { return used_.load(std::memory_order_relaxed); }
  // Of its own; 0 = the total only.
  size_t share() const { return share_bytes_; }
  // The share or the total is exceeded: shrink, or take no more.
  bool over() const;
  // What may still be charged here; SIZE_MAX without any limit.
  size_t left() const;
  const std::string& name() const { return name_; }

  // MemoryExhaustedError that names the limit in the way of `wanted_bytes`, its value and what uses
  // it.
  absl::Status ExhaustedError(size_t wanted_bytes) const;

 private:
  friend class MemoryAccountant;
  MemoryAccount(MemoryAccountant* accountant, std::string name, size_t share_bytes)
      : accountant_(accountant), name_(std::move(name)), share_bytes_(share_bytes) {}

  std::atomic<size_t> used_{0};
  MemoryAccountant* const accountant_;
  const std::string name_;
  const size_t share_bytes_;
};

class MemoryAccountant {
 public:
  // One line of Usage().
  struct Used {
    std::string name;
    size_t used_bytes = 0;
    size_t share_bytes = 0;  // 0 = none
  };

  // 0 = no limit.
  explicit MemoryAccountant(size_t limit_bytes) : limit_bytes_(limit_bytes) {}
  MemoryAccountant(const MemoryAccountant&) = delete;
  MemoryAccountant& operator=(const MemoryAccountant&) = delete;

  // A new account with nothing on it. Lives as long as the accountant, which must outlive its
  // users. The name goes into error messages and figures: "block cache".
  MemoryAccount* NewAccount(std::string name, size_t share_bytes = 0);

  size_t used() const { return used_.load(std::memory_order_relaxed); }
  size_t limit() const { return limit_bytes_; }
  bool over() const { return limit_bytes_ != 0 && used() > limit_bytes_; }
  // Accounts in the order of their creation.
  std::vector<Used> Usage() const;

 private:
  friend class MemoryAccount;

  std::atomic<size_t> used_{0};
  const size_t limit_bytes_;
  mutable Mutex mutex_;
  std::vector<std::unique_ptr<MemoryAccount>> accounts_ ABSL_GUARDED_BY(mutex_);
};

// Bytes on an account for as long as the object lives. A null account counts and limits nothing.
// Thread-safety: one thread's at a time.
class MemoryCharge {
 public:
  explicit MemoryCharge(MemoryAccount* account = nullptr) : account_(account) {}
  ~MemoryCharge() { Reset(); }
  MemoryCharge(MemoryCharge&& other) noexcept
      : account_(other.account_), bytes_(std::exchange(other.bytes_, 0)) {}
  MemoryCharge& operator=(MemoryCharge&& other) noexcept {
    if (this != &other) {
      Reset();
      account_ = other.account_;
      bytes_ = std::exchange(other.bytes_, 0);
    }
    return *this;
  }

  void Add(size_t bytes) {
    if (account_ != nullptr) account_->Charge(bytes);
    bytes_ += bytes;
  }
  // OK, or ResourceExhausted and nothing added.
  absl::Status TryAdd(size_t bytes) {
    if (account_ != nullptr && !account_->TryCharge(bytes)) return account_->ExhaustedError(bytes);
    bytes_ += bytes;
    return absl::OkStatus();
  }
  // Gives everything back.
  void Reset() {
    if (account_ != nullptr && bytes_ > 0) account_->Release(bytes_);
    bytes_ = 0;
  }
  size_t bytes() const { return bytes_; }

 private:
  MemoryAccount* account_;
  size_t bytes_ = 0;
};

}  // namespace tinyobs

#endif  // TINYOBS_LIB_BASE_MEMORY_ACCOUNTANT_H_
