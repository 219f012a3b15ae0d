// TableReader: an open table.
//
// Index, filter and properties are read once at open and stay in memory (about 0.3 % of the file
// plus the filter), so a lookup costs at most one read: the data block, and none when the filter
// says no or the block is cached. Every block is checked against its checksum each time it is read
// from the file, always: there is no option to skip it.
//
// Thread-safety: thread-safe; a reader is immutable after Open.
#ifndef TINYOBS_LIB_SSTABLE_TABLE_READER_H_
#define TINYOBS_LIB_SSTABLE_TABLE_READER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/iterator.h"
#include "lib/sstable/block_reader.h"
#include "lib/sstable/filter.h"
#include "lib/sstable/table_format.h"
#include "lib/sstable/table_options.h"
#include "tinyobs/file_system.h"

namespace tinyobs::sstable {

class BlockCache;
class ReadaheadBuffer;

// What a lookup found.
struct FoundEntry {
  // Of the entry's key, as TrailerOf in key_order.h; 0 in tables without trailers.
  uint64_t trailer = 0;
  std::string_view value;
  // From TableReader::Get: `value` is valid as long as this is held.
  std::shared_ptr<const Block> block;
};

class TableReader {
 public:
  // `name` is for error messages. Two reads. DataLoss: damaged or not a table; the message names
  // file, offset, expected and found. FailedPrecondition: a newer format version. Errors of the
  // file as they come.
  static absl::StatusOr<std::unique_ptr<TableReader>> Open(const TableReaderOptions& options,
                                                           std::string name,
                                                           std::unique_ptr<RandomAccessFile> file);
  TableReader(const TableReader&) = delete;
  TableReader& operator=(const TableReader&) = delete;
  ~TableReader();

  // The first entry whose key is >= `target` and has `target`'s user key: with trailers that put
  // the newest version first, the newest one that is not newer than `target`. Returns false when
  // there is none. DataLoss, errors of the file.
  absl::StatusOr<bool> Get(const TableReadOptions& options, std::string_view target,
                           FoundEntry* found) const;

  // False: no entry has this user key. True: probably one has, or the filter knows prefixes, and
  // one has that of the key. No I/O.
  bool MayContain(std::string_view user_key) const {
    return MayContain(user_key, FilterHash(user_key));
  }
  // The same for whoever asks many tables: `hash` is FilterHash of the user key.
  bool MayContain(std::string_view user_key, uint64_t hash) const {
    if (!filter_.has_value()) return true;
    const size_t known_bytes = properties_.filter_prefix_bytes;
    const bool whole = known_bytes == 0 || user_key.size() <= known_bytes;
    return filter_->MayContain(whole ? hash : FilterHash(user_key.substr(0, known_bytes)));
  }
  // False: no entry's user key begins with `prefix`. True: one may, or the filter cannot tell,
  // because it knows no prefixes or only longer ones. No I/O.
  bool MayContainPrefix(std::string_view prefix) const {
    const size_t known_bytes = properties_.filter_prefix_bytes;
    return known_bytes == 0 || prefix.size() < known_bytes ||
           MayContain(prefix.substr(0, known_bytes));
  }

  // Over whole keys (user key and trailer), in the order of key_order.h. The reader must outlive
  // it. The iterator pins one block at a time.
  std::unique_ptr<Iterator> NewIterator(const TableReadOptions& options) const;

  // Reads the whole file and checks every promise of the format: checksums, order, counts, index
  // separators, filter. DataLoss says what is wrong. For repair tools and tests; costs a full scan.
  absl::Status Verify() const;

  const TableProperties& properties() const { return properties_; }
  uint64_t file_bytes() const { return file_bytes_; }
  const std::string& name() const { return name_; }
  // Of index, filter and the object, without cached blocks.
  size_t MemoryUsageBytes() const;

  // For TableIterator and TableLookup. The block at `handle`, from the cache, `readahead` (may be
  // null) or the file.
  absl::StatusOr<std::shared_ptr<const Block>> ReadBlock(const TableReadOptions& options,
                                                         const BlockHandle& handle,
                                                         ReadaheadBuffer* readahead) const;
  // Also for them. Decodes an index entry's value.
  absl::StatusOr<BlockHandle> HandleOf(std::string_view index_value) const;
  const Block& index() const { return *index_; }
  uint64_t index_offset() const { return index_offset_; }
  size_t trailer_bytes() const { return properties_.trailer_bytes; }
  // DataLoss about the block at `offset`, with the file's name.
  absl::Status AtBlock(uint64_t offset, const absl::Status& status) const;

 private:
  TableReader(const TableReaderOptions& options, std::string name,
              std::unique_ptr<RandomAccessFile> file);
  absl::Status Load();
  absl::Status LoadProperties(absl::StatusOr<RawBlock> raw);
  absl::Status LoadFilter(absl::StatusOr<RawBlock> raw);
  absl::Status LoadIndex(absl::StatusOr<RawBlock> raw);
  absl::Status CheckLoaded(const Footer& footer) const;
  absl::Status AtFooter(const absl::Status& status) const;
  absl::StatusOr<std::shared_ptr<const Block>> ReadBlockFromFile(const BlockHandle& handle,
                                                                 ReadaheadBuffer* readahead) const;

  const std::string name_;
  const std::unique_ptr<RandomAccessFile> file_;
  BlockCache* const cache_;
  const uint64_t cache_table_id_;
  uint64_t file_bytes_ = 0;
  uint64_t data_end_ = 0;  // where the data blocks end
  uint64_t index_offset_ = 0;
  uint64_t index_bytes_ = 0;  // decompressed
  TableProperties properties_;
  std::shared_ptr<const Block> index_;
  std::optional<Filter> filter_;
};

// Lookups in one table whose keys ascend: neighbours share the search of the index and the block,
// and with it the cache's lock.
//
// Thread-safety: one thread.
class TableLookup {
 public:
  // `table` must outlive it.
  TableLookup(const TableReader* table, const TableReadOptions& options)
      : table_(table), options_(options) {}

  // As TableReader::Get, but the filter is not asked, and the value is valid until the next call or
  // the end of this object. REQUIRES: `target` is not before that of the last call.
  absl::StatusOr<bool> Get(std::string_view target, FoundEntry* found);

 private:
  friend class TableReader;

  const TableReader* const table_;
  const TableReadOptions options_;
  BlockIterator index_;  // on the entry of block_
  BlockIterator data_;
  uint64_t block_offset_ = 0;
  std::shared_ptr<const Block> block_;  // null: none was read yet, or it failed
};

}  // namespace tinyobs::sstable

#endif  // TINYOBS_LIB_SSTABLE_TABLE_READER_H_
