// TableCache: open tables, at most so many.
//
// An open table costs a file handle and its index and filter in memory. The least recently used one
// is closed when there are too many; readers that still hold it keep it open until they let go.
// Split by table number into shards, each with its own lock, as every lookup comes through here; no
// lock is held while a table is being opened.
//
// Thread-safety: thread-safe.
#ifndef TINYOBS_LIB_LSM_TABLE_CACHE_H_
#define TINYOBS_LIB_LSM_TABLE_CACHE_H_

#include <array>
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/lsm/version.h"
#include "lib/sstable/table_reader.h"
#include "tinyobs/file_system.h"

namespace tinyobs::lsm {

class TableCache {
 public:
  // `file_system` and `block_cache` (may be null) must outlive the cache and every reader from it.
  TableCache(FileSystem* file_system, std::string folder, sstable::BlockCache* block_cache,
             int max_open_tables);
  TableCache(const TableCache&) = delete;
  TableCache& operator=(const TableCache&) = delete;

  // Opens the table unless it is open. DataLoss: damaged, missing, or not the table that `meta`
  // describes. Errors of the file system as they come.
  absl::StatusOr<std::shared_ptr<const sstable::TableReader>> Find(const TableMeta& meta);
  // Forgets a table whose file goes.
  void Evict(uint64_t number);

  size_t open_tables() const;

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

  FileSystem* const file_system_;
  const std::string folder_;
  sstable::BlockCache* const block_cache_;
  const size_t shard_tables_max_;
  std::array<Shard, kShards> shards_;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_TABLE_CACHE_H_
