// TableCache: open tables, at most so many and so large.
//
// An open table costs a file handle and its index and filter in memory, so both are limited: a
// store may be larger than the memory that knows its way about. When there are too many, one is
// closed; readers that still hold it keep it open until they let go, so that, beyond the limits,
// there may be as many as running iterators and lookups hold. One table may be open whatever its
// size.
//
// Split by table number into shards, each with its own lock, as every lookup comes through here; no
// lock is held while a table is being opened. The limits are common to all shards, the order of use
// is each shard's own: what is closed is the least recently used table of the shard that takes the
// new one, or of the next shard that has any.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_LIB_LSM_TABLE_CACHE_H_
#define TINYOBS_LIB_LSM_TABLE_CACHE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "lib/base/memory_accountant.h"
#include "lib/base/mutex.h"
#include "lib/lsm/version.h"
#include "lib/sstable/table_reader.h"
#include "tinyobs/file_system.h"

namespace tinyobs::lsm {

class TableCache {
 public:
  // `file_system` and `block_cache` (may be null) must outlive the cache and every reader from it.
  // `account` (may be null) is charged with memory_bytes().
  TableCache(FileSystem* file_system, std::string folder, sstable::BlockCache* block_cache,
             int max_open_tables, size_t memory_bytes_max = SIZE_MAX,
             MemoryAccount* account = nullptr);
  ~TableCache();
  TableCache(const TableCache&) = delete;
  TableCache& operator=(const TableCache&) = delete;

  // Opens the table unless it is open. DataLoss: damaged, missing, or not the table that `meta`
  // describes. Errors of the file system as they come.
  absl::StatusOr<std::shared_ptr<const sstable::TableReader>> Find(const TableMeta& meta);
  // Forgets a table whose file goes.
  void Evict(uint64_t number);

  // In the cache or being opened.
  size_t open_tables() const { return open_tables_.load(std::memory_order_relaxed); }
  // Of their indexes and filters.
  size_t memory_bytes() const { return memory_bytes_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    uint64_t number;
    std::shared_ptr<const sstable::TableReader> reader;
  };
  struct Shard {
    mutable Mutex mutex;
    std::list<Entry> by_use ABSL_GUARDED_BY(mutex);  // most recent first
    absl::flat_hash_map<uint64_t, std::list<Entry>::iterator> by_number ABSL_GUARDED_BY(mutex);
  };
  static constexpr size_t kShards = 8;

  Shard& ShardOf(uint64_t number) { return shards_[number % kShards]; }
  absl::StatusOr<std::shared_ptr<const sstable::TableReader>> Open(const TableMeta& meta);
  // Closes tables until no more than allowed are open, those that are being opened included, as far
  // as there are others; two threads at once may each close one for the same excess. `number`: of
  // the table that needs the room.
  void CloseExcess(uint64_t number);
  bool IsExcess() const {
    return open_tables() > open_tables_max_ ||
           (memory_bytes() > memory_bytes_max_ && open_tables() > 1);
  }
  // `reader`, which left the cache, closes unless somebody else holds it, and no longer counts.
  void Close(std::shared_ptr<const sstable::TableReader> reader);

  FileSystem* const file_system_;
  const std::string folder_;
  sstable::BlockCache* const block_cache_;
  const size_t open_tables_max_;
  const size_t memory_bytes_max_;
  MemoryAccount* const account_;
  std::atomic<size_t> open_tables_{0};
  std::atomic<size_t> memory_bytes_{0};
  std::array<Shard, kShards> shards_;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_TABLE_CACHE_H_
