// Memtable: the newest writes, sorted, in memory.
//
// One skip list of entries in one arena. An entry is one run of bytes, written once:
//   user key length u32 | value length u32 | user key | trailer 8 | value
// so the internal key (user key and trailer, internal_key.h) is a view into it, and lengths need no
// decoding in the comparisons that dominate inserts and lookups.
//
// Beside it a filter, one word a key: most lookups are for keys that are not here, and a search of
// the list is a dozen cache misses to find that out. Four bits in the word that the hash picks; at
// an entry of 128 bytes of memory each (4 in a word), some 0.5 % of absent keys are searched for.
//
// Thread-safety: one thread adds at a time; any number read meanwhile, without locks. Held by
// shared_ptr: readers pin it; whoever drops the last pin frees it.
#ifndef TINYOBS_LIB_LSM_MEMTABLE_H_
#define TINYOBS_LIB_LSM_MEMTABLE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "lib/base/arena.h"
#include "lib/base/iterator.h"
#include "lib/base/memory_accountant.h"
#include "lib/lsm/internal_key.h"
#include "lib/lsm/skiplist.h"

namespace tinyobs::lsm {

class Memtable {
 public:
  // `filter_bytes`: what the filter may take of the memory; 0 = no filter. `account`: charged with
  // MemoryUsageBytes() as long as the memtable lives; may be null.
  explicit Memtable(size_t filter_bytes = 0, MemoryAccount* account = nullptr);
  // A filter for a memtable of `memtable_bytes`.
  static size_t FilterBytesFor(size_t memtable_bytes) { return memtable_bytes / 64 + 8; }
  Memtable(const Memtable&) = delete;
  Memtable& operator=(const Memtable&) = delete;

  // REQUIRES: no entry has this key with this sequence.
  void Add(uint64_t sequence, ValueType type, std::string_view key, std::string_view value);

  struct Found {
    ValueType type;
    std::string_view value;  // valid as long as the memtable
  };
  // The newest version of `key` at `sequence`. False: none here.
  bool Get(std::string_view key, uint64_t sequence, Found* found) const {
    return Get(key, HashOf(key), sequence, found);
  }
  // The same, for who asks many memtables for one key.
  bool Get(std::string_view key, uint64_t hash, uint64_t sequence, Found* found) const;
  static uint64_t HashOf(std::string_view key);

  // Over internal keys. The memtable must outlive it.
  std::unique_ptr<Iterator> NewIterator() const;

  size_t MemoryUsageBytes() const { return arena_.MemoryUsageBytes() + 8 * filter_words_; }
  bool empty() const { return entries() == 0; }
  uint64_t entries() const { return entries_.load(std::memory_order_relaxed); }

 private:
  friend class MemtableIterator;

  // What a search compares with. The trailer is in its sorted form.
  struct Target {
    std::string_view user_key;
    uint64_t trailer;
  };
  struct EntryOrder {
    using Key = Target;
    static int Compare(const char* entry, const Target& target);
  };

  // `hash` as a word of the filter and bits of it.
  std::atomic<uint64_t>& FilterWordOf(uint64_t hash) const {
    return filter_[((hash >> 32) * filter_words_) >> 32];
  }
  static uint64_t FilterBitsOf(uint64_t hash) {
    return uint64_t{1} << (hash & 63) | uint64_t{1} << (hash >> 6 & 63) |
           uint64_t{1} << (hash >> 12 & 63) | uint64_t{1} << (hash >> 18 & 63);
  }

  // Written by who adds, before the entry becomes visible to a reader's sequence.
  const uint64_t filter_words_;
  const std::unique_ptr<std::atomic<uint64_t>[]> filter_;
  MemoryCharge filter_charge_;
  Arena arena_;
  SkipList<EntryOrder> list_;
  std::atomic<uint64_t> entries_{0};
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_MEMTABLE_H_
