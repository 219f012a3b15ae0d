// ByteBudget: how many bytes the bodies of all requests, or of all answers, may hold together; and
// ByteLease: the part that one body holds, given back when it goes.
//
// A body is charged while it grows, not when it is complete: a limit that is asked afterwards has
// already been exceeded, by as many bodies as there are threads. What is charged is the size
// that is in memory, so for a compressed body both forms.
//
// Thread-safety: ByteBudget is thread-safe; a ByteLease is one thread's at a time.
#ifndef TINYOBS_TOOLS_SERVE_BYTE_BUDGET_H_
#define TINYOBS_TOOLS_SERVE_BYTE_BUDGET_H_

#include <atomic>
#include <cstddef>
#include <utility>

namespace tinyobs::serve {

class ByteBudget {
 public:
  explicit ByteBudget(size_t limit) : limit_(limit) {}
  [[nodiscard]] bool Take(size_t bytes) {
    if (used_.fetch_add(bytes, std::memory_order_relaxed) + bytes <= limit_) return true;
    Return(bytes);
    return false;
  }
  void Return(size_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  size_t used() const { return used_.load(std::memory_order_relaxed); }
  size_t limit() const { return limit_; }

 private:
  const size_t limit_;
  std::atomic<size_t> used_{0};
};

class ByteLease {
 public:
  // Without a budget every size fits.
  ByteLease() = default;
  // `budget` must outlive the lease; may be nullptr.
  explicit ByteLease(ByteBudget* budget) : budget_(budget) {}
  ByteLease(ByteLease&& other) noexcept
      : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  ByteLease& operator=(ByteLease&& other) noexcept {
    if (this == &other) return *this;
    Clear();
    budget_ = std::exchange(other.budget_, nullptr);
    bytes_ = std::exchange(other.bytes_, 0);
    return *this;
  }
  ~ByteLease() { Clear(); }

  // Takes or gives back the difference. False: the budget has not that much left, and the lease is
  // what it was. Smaller is never refused.
  [[nodiscard]] bool Resize(size_t bytes) {
    if (budget_ != nullptr) {
      if (bytes > bytes_ && !budget_->Take(bytes - bytes_)) return false;
      if (bytes < bytes_) budget_->Return(bytes_ - bytes);
    }
    bytes_ = bytes;
    return true;
  }
  void Clear() {
    if (budget_ != nullptr) budget_->Return(bytes_);
    bytes_ = 0;
  }
  size_t bytes() const { return bytes_; }
  bool has_budget() const { return budget_ != nullptr; }

 private:
  ByteBudget* budget_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_BYTE_BUDGET_H_
