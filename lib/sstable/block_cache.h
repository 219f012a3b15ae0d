// BlockCache: decompressed data blocks of all tables of a store, within a budget of bytes.
//
// Least recently used leaves first. Split by hash into shards with a mutex each, because every
// random read comes through here; a shard's lock covers a hash lookup and a list splice, no I/O. A
// block is handed out as shared_ptr: whoever holds it pins it. An evicted block that is pinned
// lives until the last holder drops it and is then no longer counted, so memory may exceed the
// budget by one block per running iterator.
//
// While the memory account it reports to is over its limit, the cache gives way: each new block
// costs twice its size in old ones.
//
// Two readers that miss the same block at once both read it; the second Insert gets the first one's
// block. Blocks of deleted tables are not looked for: nobody asks for them, so they age out.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_LIB_SSTABLE_BLOCK_CACHE_H_
#define TINYOBS_LIB_SSTABLE_BLOCK_CACHE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "lib/base/memory_accountant.h"
#include "lib/sstable/block_reader.h"

namespace tinyobs::sstable {

struct BlockCacheStats {
  uint64_t capacity_bytes = 0;
  uint64_t usage_bytes = 0;
  uint64_t blocks = 0;
  // Since the cache was made.
  uint64_t hits = 0;
  uint64_t misses = 0;
  uint64_t evictions = 0;
};

class BlockCache {
 public:
  // A budget of 0 keeps nothing. `shard_bits` 0 to 8; tests use 0 for an exact LRU order.
  // `account` (may be null) is charged with the usage and must outlive the cache.
  explicit BlockCache(size_t capacity_bytes, int shard_bits = 4, MemoryAccount* account = nullptr);
  ~BlockCache();
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  // A number no other table of this cache has, to be the first half of its blocks' keys.
  uint64_t NewTableId() { return next_table_id_.fetch_add(1, std::memory_order_relaxed); }

  // The block, now the most recently used, or null.
  std::shared_ptr<const Block> Lookup(uint64_t table_id, uint64_t offset);
  // Adds a block and evicts what no longer fits. Returns the block to use: the one that was already
  // there, or `block`. A block larger than a shard's budget is not kept.
  std::shared_ptr<const Block> Insert(uint64_t table_id, uint64_t offset,
                                      std::shared_ptr<const Block> block);

  BlockCacheStats Stats() const;

 private:
  class Shard;

  Shard& ShardOf(uint64_t hash) const;

  const size_t capacity_bytes_;
  const int shard_bits_;
  std::vector<std::unique_ptr<Shard>> shards_;
  std::atomic<uint64_t> next_table_id_{1};
};

}  // namespace tinyobs::sstable

#endif  // TINYOBS_LIB_SSTABLE_BLOCK_CACHE_H_
