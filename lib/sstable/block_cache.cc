#include "lib/sstable/block_cache.h"

#include <algorithm>
#include <list>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/check.h"
#include "lib/base/mutex.h"

namespace tinyobs::sstable {
namespace {

struct CacheKey {
  uint64_t table_id;
  uint64_t offset;
  friend bool operator==(const CacheKey&, const CacheKey&) = default;
};

// Offsets of neighbouring blocks differ in few bits, table ids in fewer: two multiplications spread
// them over the upper bits (the shard) and the lower ones (the hash table).
uint64_t HashOf(const CacheKey& key) {
  uint64_t hash = key.offset * 0x9e3779b97f4a7c15 + key.table_id;
  hash ^= hash >> 32;
  hash *= 0xd6e8feb86659fd93;
  return hash ^ (hash >> 29);
}

struct CacheKeyHash {
  size_t operator()(const CacheKey& key) const { return HashOf(key); }
};

// What an entry costs beyond its block: list node, hash slot, shared_ptr.
constexpr size_t kEntryOverheadBytes = 112;

}  // namespace

// One lock, one LRU list, one budget. On cache lines of its own, so that shards do not slow each
// other down.
class alignas(64) BlockCache::Shard {
 public:
  Shard(size_t capacity_bytes, MemoryAccount* account)
      : capacity_bytes_(capacity_bytes), account_(account) {}
  ~Shard() {
    if (account_ != nullptr) account_->Release(usage_bytes_);
  }

  std::shared_ptr<const Block> Lookup(const CacheKey& key) {
    MutexLock lock(&mutex_);
    const auto found = entries_.find(key);
    if (found == entries_.end()) {
      ++misses_;
      return nullptr;
    }
    ++hits_;
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return found->second->block;
  }

  std::shared_ptr<const Block> Insert(const CacheKey& key, std::shared_ptr<const Block> block) {
    const size_t cost = block->MemoryUsageBytes() + kEntryOverheadBytes;
    if (cost > capacity_bytes_) return block;
    std::list<Entry> evicted;  // dies after the lock is gone: freeing blocks takes time
    MutexLock lock(&mutex_);
    const auto [found, inserted] = entries_.try_emplace(key);
    if (!inserted) {
      by_use_.splice(by_use_.begin(), by_use_, found->second);
      return found->second->block;
    }
    by_use_.push_front({key, block, cost});
    found->second = by_use_.begin();
    const size_t before = usage_bytes_;
    usage_bytes_ += cost;
    size_t allowed = capacity_bytes_;
    if (account_ != nullptr && account_->over()) {
      allowed = std::min(allowed, std::max(before, 2 * cost) - cost);
    }
    while (usage_bytes_ > allowed) {
      const auto last = std::prev(by_use_.end());
      usage_bytes_ -= last->cost;
      ++evictions_;
      entries_.erase(last->key);
      evicted.splice(evicted.begin(), by_use_, last);
    }
    if (account_ != nullptr && usage_bytes_ > before) account_->Charge(usage_bytes_ - before);
    if (account_ != nullptr && usage_bytes_ < before) account_->Release(before - usage_bytes_);
    return block;
  }

  void AddStats(BlockCacheStats* stats) const {
    MutexLock lock(&mutex_);
    stats->usage_bytes += usage_bytes_;
    stats->blocks += entries_.size();
    stats->hits += hits_;
    stats->misses += misses_;
    stats->evictions += evictions_;
  }

 private:
  struct Entry {
    CacheKey key;
    std::shared_ptr<const Block> block;
    size_t cost;
  };

  const size_t capacity_bytes_;
  MemoryAccount* const account_;
  mutable Mutex mutex_;
  std::list<Entry> by_use_ ABSL_GUARDED_BY(mutex_);  // most recently used first
  absl::flat_hash_map<CacheKey, std::list<Entry>::iterator, CacheKeyHash> entries_
      ABSL_GUARDED_BY(mutex_);
  size_t usage_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t hits_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t misses_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t evictions_ ABSL_GUARDED_BY(mutex_) = 0;
};

BlockCache::BlockCache(size_t capacity_bytes, int shard_bits, MemoryAccount* account)
    : capacity_bytes_(capacity_bytes), shard_bits_(shard_bits) {
  TINYOBS_CHECK(shard_bits >= 0 && shard_bits <= 8);
  const size_t count = size_t{1} << shard_bits;
  for (size_t i = 0; i < count; ++i) {
    shards_.push_back(std::make_unique<Shard>(capacity_bytes / count, account));
  }
}

BlockCache::~BlockCache() = default;

BlockCache::Shard& BlockCache::ShardOf(uint64_t hash) const {
  // The upper bits; the hash tables use the lower ones.
  return *shards_[shard_bits_ == 0 ? 0 : hash >> (64 - shard_bits_)];
}

std::shared_ptr<const Block> BlockCache::Lookup(uint64_t table_id, uint64_t offset) {
  const CacheKey key{table_id, offset};
  return ShardOf(HashOf(key)).Lookup(key);
}

std::shared_ptr<const Block> BlockCache::Insert(uint64_t table_id, uint64_t offset,
                                                std::shared_ptr<const Block> block) {
  const CacheKey key{table_id, offset};
  return ShardOf(HashOf(key)).Insert(key, std::move(block));
}

BlockCacheStats BlockCache::Stats() const {
  BlockCacheStats stats;
  stats.capacity_bytes = capacity_bytes_;
  for (const auto& shard : shards_) shard->AddStats(&stats);
  return stats;
}

}  // namespace tinyobs::sstable
