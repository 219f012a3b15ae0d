// Options of tables: plain structs, the defaults are what you read here.
#ifndef TINYOBS_LIB_SSTABLE_TABLE_OPTIONS_H_
#define TINYOBS_LIB_SSTABLE_TABLE_OPTIONS_H_

#include <cstddef>
#include <cstdint>

namespace tinyobs::sstable {

class BlockCache;

// Values reach disk; never renumber.
enum class Compression : uint8_t {
  kNone = 0,
  kSnappy = 1,
};

// How a table is written. The reader needs none of it: what it must know is in the file.
struct TableOptions {
  // A data block is closed when it reaches this size, before compression. Larger blocks compress
  // better and need less index; smaller ones cost less per random read. 256 B to 64 MiB.
  size_t block_bytes = 16 << 10;
  // Every n-th key of a block is stored whole and can be found by binary search. 1 to 1,024. More
  // saves bytes and costs comparisons.
  int block_restart_interval = 16;
  // Bits of Bloom filter per distinct user key; 0 = no filter. 10 lets about 1 % of the lookups of
  // absent keys through, 16 about 0.2 %. At most 64.
  int filter_bits_per_key = 10;
  // Of each user key that has so many, the first bytes go into the filter in place of the key, each
  // such prefix once, for TableReader::MayContainPrefix; 0 = whole keys. At most 65,536.
  size_t filter_prefix_bytes = 0;
  // The last bytes of each key that order versions and are no part of the user key: see
  // key_order.h. 0 or 8.
  size_t trailer_bytes = 8;
  // A block is stored compressed only where that saves at least an eighth of it.
  Compression compression = Compression::kSnappy;
  // Finished blocks are gathered to writes of about this size.
  size_t write_buffer_bytes = 256 << 10;
};

// How a table is opened.
struct TableReaderOptions {
  // Not owned, must outlive the reader; nullptr = every block comes from the file system.
  BlockCache* block_cache = nullptr;
};

// How one read goes.
struct TableReadOptions {
  // false for long scans (compaction, export) that would push useful blocks out of the cache. A
  // block that is in the cache is used either way.
  bool fill_cache = true;
  // Iterators read at least this much at once from the file, where blocks are not cached. 0 = they
  // find out: from the third block in a row on, forward or backward, 2 blocks and then twice as
  // much each time, up to 256 KiB. Memory: this much per iterator.
  size_t readahead_bytes = 0;
};

}  // namespace tinyobs::sstable

#endif  // TINYOBS_LIB_SSTABLE_TABLE_OPTIONS_H_
