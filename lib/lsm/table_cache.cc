#include "lib/lsm/table_cache.h"

#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"

namespace tinyobs::lsm {

TableCache::TableCache(FileSystem* file_system, std::string folder,
                       sstable::BlockCache* block_cache, int max_open_tables,
                       size_t memory_bytes_max, MemoryAccount* account)
    : file_system_(file_system),
      folder_(std::move(folder)),
      block_cache_(block_cache),
      open_tables_max_(static_cast<size_t>(max_open_tables)),
      memory_bytes_max_(memory_bytes_max),
      account_(account) {}

TableCache::~TableCache() {
  if (account_ != nullptr) account_->Release(memory_bytes());
}

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
  open_tables_.fetch_add(1, std::memory_order_relaxed);
  CloseExcess(meta.number);
  absl::StatusOr<std::shared_ptr<const sstable::TableReader>> reader = Open(meta);
  if (!reader.ok()) {
    open_tables_.fetch_sub(1, std::memory_order_relaxed);
    return reader;
  }
  {
    MutexLock lock(&shard.mutex);
    const auto [found, inserted] = shard.by_number.try_emplace(meta.number);
    if (inserted) {
      memory_bytes_.fetch_add((*reader)->MemoryUsageBytes(), std::memory_order_relaxed);
      if (account_ != nullptr) account_->Charge((*reader)->MemoryUsageBytes());
      shard.by_use.push_front({meta.number, *reader});
      found->second = shard.by_use.begin();
    } else {
      open_tables_.fetch_sub(1, std::memory_order_relaxed);  // another thread was faster
    }
  }
  CloseExcess(meta.number);  // if others were being opened meanwhile
  return reader;
}

void TableCache::CloseExcess(uint64_t number) {
  // The shard of `number` comes last: it has the table that was opened a moment ago.
  for (size_t i = 1; i <= kShards && IsExcess();) {
    Shard& shard = ShardOf(number + i);
    std::shared_ptr<const sstable::TableReader> closed;
    {
      MutexLock lock(&shard.mutex);
      if (shard.by_use.empty()) {
        ++i;
        continue;
      }
      closed = std::move(shard.by_use.back().reader);
      shard.by_number.erase(shard.by_use.back().number);
      shard.by_use.pop_back();
    }
    Close(std::move(closed));  // outside the lock
  }
}

void TableCache::Close(std::shared_ptr<const sstable::TableReader> reader) {
  const size_t bytes = reader->MemoryUsageBytes();
  reader = nullptr;  // before it counts as closed
  memory_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  if (account_ != nullptr) account_->Release(bytes);
  open_tables_.fetch_sub(1, std::memory_order_relaxed);
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
  std::shared_ptr<const sstable::TableReader> closed;
  Shard& shard = ShardOf(number);
  {
    MutexLock lock(&shard.mutex);
    const auto found = shard.by_number.find(number);
    if (found == shard.by_number.end()) return;
    closed = std::move(found->second->reader);
    shard.by_use.erase(found->second);
    shard.by_number.erase(found);
  }
  Close(std::move(closed));  // outside the lock
}

}  // namespace tinyobs::lsm
