#include "lib/lsm/table_cache.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"

namespace tinyobs::lsm {

TableCache::TableCache(FileSystem* file_system, std::string folder,
                       sstable::BlockCache* block_cache, int max_open_tables)
    : file_system_(file_system),
      folder_(std::move(folder)),
      block_cache_(block_cache),
      shard_tables_max_(std::max<size_t>(1, static_cast<size_t>(max_open_tables) / kShards)) {}

absl::StatusOr<std::shared_ptr<const sstable::TableReader>> TableCache::Find(
    const TableMeta& meta) {
  Shard& shard = ShardOf(meta.number);
  {
    MutexLock lock(&shard.mutex);
    if (const auto found = shard.by_number.find(meta.number); found != shard.by_number.end()) {
      shard.by_use.splice(shard.by_use.begin(), shard.by_use, found->second);
      return found->second->reader;
    }
  }
  TINYOBS_ASSIGN_OR_RETURN(std::shared_ptr<const sstable::TableReader> reader, Open(meta));
  std::shared_ptr<const sstable::TableReader> closed;  // outside the lock
  MutexLock lock(&shard.mutex);
  if (const auto found = shard.by_number.find(meta.number); found != shard.by_number.end()) {
    return found->second->reader;  // another reader was faster
  }
  shard.by_use.push_front({meta.number, reader});
  shard.by_number[meta.number] = shard.by_use.begin();
  if (shard.by_use.size() > shard_tables_max_) {
    closed = std::move(shard.by_use.back().reader);
    shard.by_number.erase(shard.by_use.back().number);
    shard.by_use.pop_back();
  }
  return reader;
}

absl::StatusOr<std::shared_ptr<const sstable::TableReader>> TableCache::Open(
    const TableMeta& meta) {
  const std::string path = TableFileName(folder_, meta.number);
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> file = file_system_->OpenRandomAccess(path);
  if (absl::IsNotFound(file.status())) {
    return absl::DataLossError(StrCat(path, ": the manifest names this table, but it is missing"));
  }
  TINYOBS_RETURN_IF_ERROR(file.status());
  TINYOBS_ASSIGN_OR_RETURN(
      std::shared_ptr<const sstable::TableReader> reader,
      sstable::TableReader::Open({.block_cache = block_cache_}, path, *std::move(file)));
  const sstable::TableProperties& properties = reader->properties();
  if (reader->file_bytes() != meta.file_bytes || properties.entries != meta.entries ||
      properties.smallest_key != meta.smallest || properties.largest_key != meta.largest) {
    return absl::DataLossError(StrCat(path, ": expected ", meta.entries, " entries in ",
                                      meta.file_bytes, " bytes, found ", properties.entries, " in ",
                                      reader->file_bytes(), ": not the table of the manifest"));
  }
  return reader;
}

void TableCache::Evict(uint64_t number) {
  std::shared_ptr<const sstable::TableReader> closed;  // outside the lock
  Shard& shard = ShardOf(number);
  MutexLock lock(&shard.mutex);
  const auto found = shard.by_number.find(number);
  if (found == shard.by_number.end()) return;
  closed = std::move(found->second->reader);
  shard.by_use.erase(found->second);
  shard.by_number.erase(found);
}

size_t TableCache::open_tables() const {
  size_t count = 0;
  for (const Shard& shard : shards_) {
    MutexLock lock(&shard.mutex);
    count += shard.by_use.size();
  }
  return count;
}

}  // namespace tinyobs::lsm
