// Arena: memory that is handed out in pieces and freed all at once.
//
// A memtable's nodes live and die together, so one bump pointer replaces millions of frees, and the
// arena's size is exactly the memtable's budget figure. Each block is charged when it is taken.
//
// Thread-safety: Allocate is one thread's (the writer's); MemoryUsageBytes may be called from any
// thread.
#ifndef TINYOBS_LIB_BASE_ARENA_H_
#define TINYOBS_LIB_BASE_ARENA_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "lib/base/memory_accountant.h"

namespace tinyobs {

class Arena {
 public:
  static constexpr size_t kBlockBytes = 64 * 1024;
  // Of an arena that has become large: allocators give blocks of this size back to the system,
  // while smaller ones stay in the heap, among what lives longer.
  static constexpr size_t kLargeBlockBytes = 4 * kBlockBytes;
  static constexpr size_t kSmallBlocks = 32;

  // `account` may be null and must outlive the arena.
  explicit Arena(MemoryAccount* account = nullptr) : charge_(account) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // Uninitialised memory, valid until the arena dies. `alignment` is a power of two up to 16.
  char* Allocate(size_t bytes, size_t alignment = 1) {
    const size_t padding = (alignment - reinterpret_cast<uintptr_t>(next_)) & (alignment - 1);
    if (padding + bytes <= left_) {
      char* const result = next_ + padding;
      next_ = result + bytes;
      left_ -= padding + bytes;
      return result;
    }
    return AllocateFromNewBlock(bytes);
  }

  // Everything the arena took from the heap.
  size_t MemoryUsageBytes() const { return usage_bytes_.load(std::memory_order_relaxed); }

 private:
  char* AllocateFromNewBlock(size_t bytes) {
    // A large piece gets a block of its own; the rest of the current block stays in use.
    const bool own_block = bytes > kBlockBytes / 4;
    const size_t size = own_block                       ? bytes
                        : blocks_.size() < kSmallBlocks ? kBlockBytes
                                                        : kLargeBlockBytes;
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(size));
    usage_bytes_.fetch_add(size + sizeof(blocks_[0]), std::memory_order_relaxed);
    charge_.Add(size + sizeof(blocks_[0]));
    char* const block = blocks_.back().get();
    if (!own_block) {
      next_ = block + bytes;
      left_ = size - bytes;
    }
    return block;
  }

  char* next_ = nullptr;
  size_t left_ = 0;
  std::vector<std::unique_ptr<char[]>> blocks_;
  std::atomic<size_t> usage_bytes_{0};
  MemoryCharge charge_;
};

}  // namespace tinyobs

#endif  // TINYOBS_LIB_BASE_ARENA_H_
