// FragmentArena: memory for the encoded bytes of open chunks, in 32-byte fragments that form
// chains.
//
// A million open chunks grow by a byte or two at a time. Buffers that double would be half empty
// and copied again and again; one malloc a piece would pay 16 bytes and a lock each. A chain of
// small fragments is 15 bytes too large on average, never moves, and can be handed from the open
// chunk to the queue of frozen ones by its number. Chains are linked backwards, because they are
// written at the end, and read rarely.
//
// Fragments lie in slabs. A slab whose fragments are all free goes back to the allocator; new
// fragments come from the lowest slab with room, so that after a burst the upper ones drain.
//
// Invariants: (1) fragment 0 does not exist: it ends a chain. (2) A fragment does not move.
// (3) `roomy_` are the slabs with room, except the current one.
//
// Thread-safety: thread-compatible. Add and FreeChains O(1) a fragment.
#ifndef TINYOBS_LIB_TSDB_FRAGMENT_ARENA_H_
#define TINYOBS_LIB_TSDB_FRAGMENT_ARENA_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/coding.h"

namespace tinyobs::tsdb {

class FragmentArena {
 public:
  static constexpr size_t kPayloadBytes = 28;

  // A new fragment behind `previous` (0: a chain begins). Its payload is garbage.
  uint32_t Add(uint32_t previous) {
    if (slabs_.empty() || slabs_[current_].full()) NextSlab();
    Slab& slab = slabs_[current_];
    uint32_t fragment = slab.free;
    if (fragment != 0) {
      slab.free = Previous(fragment);
      Prefetch(slab.free);  // the next one to be given out
    } else {
      fragment = current_ << kSlabBits | slab.fresh++;
    }
    ++slab.live;
    StoreFixed32(Payload(fragment) + kPayloadBytes, previous);
    return fragment;
  }

  // Frees the given fragments and all before them; overwrites `newest`. A chain is one of cache
  // misses, so they are walked side by side: give a dozen at a time.
  void FreeChains(std::span<uint32_t> newest) {
    for (bool more = true; more;) {
      more = false;
      for (uint32_t& fragment : newest) {
        if (fragment == 0) continue;
        const uint32_t previous = Previous(fragment);
        Prefetch(previous);
        Free(fragment);
        fragment = previous;
        more |= previous != 0;
      }
    }
  }

  // REQUIRES: not 0, as does Previous.
  char* Payload(uint32_t fragment) {
    return slabs_[fragment >> kSlabBits].memory->bytes + (fragment & kSlabMask) * kFragmentBytes;
  }
  const char* Payload(uint32_t fragment) const {
    return const_cast<FragmentArena*>(this)->Payload(fragment);
  }
  uint32_t Previous(uint32_t fragment) const {
    return LoadFixed32(Payload(fragment) + kPayloadBytes);
  }
  // Always inlined: a function that does nothing but prefetch has no effect in the eyes of GCC 12,
  // and calls of it vanish.
  [[gnu::always_inline]] void Prefetch(uint32_t fragment) const {
    if (fragment != 0) __builtin_prefetch(Payload(fragment), /*for writing*/ 1);
  }

  size_t MemoryBytes() const {
    return (slabs_.size() - vacant_.size()) * sizeof(SlabMemory) + slabs_.size() * sizeof(Slab);
  }

 private:
  static constexpr size_t kFragmentBytes = 32;
  static constexpr uint32_t kSlabBits = 13;
  static constexpr uint32_t kSlabFragments = 1 << kSlabBits;
  static constexpr uint32_t kSlabMask = kSlabFragments - 1;
  struct alignas(64) SlabMemory {
    char bytes[kSlabFragments * kFragmentBytes];
  };
  struct Slab {
    std::unique_ptr<SlabMemory> memory;  // null: vacant
    uint32_t free = 0;                   // fragments that were used, a chain
    uint32_t fresh = 0;                  // index of the first that never was
    uint32_t live = 0;

    bool full() const { return free == 0 && fresh == kSlabFragments; }
  };

  [[gnu::noinline]] void NextSlab() {  // out of the way of Add's few instructions
    if (!roomy_.empty()) {
      current_ = *roomy_.begin();
      roomy_.erase(roomy_.begin());
      return;
    }
    if (!vacant_.empty()) {
      current_ = vacant_.back();
      vacant_.pop_back();
    } else {
      TINYOBS_CHECK(slabs_.size() < UINT32_MAX >> kSlabBits);  // 128 GiB
      current_ = static_cast<uint32_t>(slabs_.size());
      slabs_.emplace_back();
    }
    Slab& slab = slabs_[current_];
    slab.memory = std::make_unique_for_overwrite<SlabMemory>();
    slab.fresh = current_ == 0 ? 1 : 0;
  }

  void Free(uint32_t fragment) {
    const uint32_t number = fragment >> kSlabBits;
    Slab& slab = slabs_[number];
    if (slab.full() && number != current_) roomy_.insert(number);
    StoreFixed32(Payload(fragment) + kPayloadBytes, slab.free);
    slab.free = fragment;
    if (--slab.live == 0 && number != current_) {
      roomy_.erase(number);
      vacant_.push_back(number);
      slab = Slab();
    }
  }

  std::vector<Slab> slabs_;
  uint32_t current_ = 0;  // where the next fragment comes from
  std::set<uint32_t> roomy_;
  std::vector<uint32_t> vacant_;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_FRAGMENT_ARENA_H_
