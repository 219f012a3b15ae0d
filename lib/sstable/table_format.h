// The bytes of a table that are not blocks' contents: handles, block trailers, properties, footer.
// FORMAT.md is the specification; this is its one implementation.
//
// Everything here reads bytes that nobody vouches for: DataLoss with a reason, never a crash.
// Callers add the file's name and the offset.
//
// Thread-safety: pure functions and plain structs.
#ifndef TINYOBS_LIB_SSTABLE_TABLE_FORMAT_H_
#define TINYOBS_LIB_SSTABLE_TABLE_FORMAT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/sstable/table_options.h"

namespace tinyobs::sstable {

// "TinyObsT", the last eight bytes of every table.
inline constexpr uint64_t kMagic = 0x5473624f796e6954;
// The version that is written, and the only one that is read.
inline constexpr uint32_t kFormatVersion = 1;

// Limits of the format; a writer refuses what a reader would reject.
inline constexpr size_t kMaxUserKeyBytes = 64 << 10;
inline constexpr size_t kMaxValueBytes = 64 << 20;
// Entries from one restart point to the next. Bounds what a backward step must remember.
inline constexpr int kMaxRestartInterval = 1024;
// Of one block before compression: room for a largest value that comes to an almost full block.
inline constexpr size_t kMaxBlockBytes = 129 << 20;

// Behind each block's payload: compression u8, checksum u64.
inline constexpr size_t kBlockTrailerBytes = 9;
inline constexpr size_t kFooterBytes = 72;
// The end of the footer, which keeps its place and meaning in every future version: version u32,
// footer size u32, checksum u64, magic u64.
inline constexpr size_t kFooterTailBytes = 24;
// No version's footer is larger.
inline constexpr size_t kMaxFooterBytes = 512;

// Where a block's payload is; its trailer follows. Both in bytes.
struct BlockHandle {
  uint64_t offset = 0;
  uint64_t size = 0;

  // Behind the trailer.
  uint64_t end() const { return offset + size + kBlockTrailerBytes; }
  friend bool operator==(const BlockHandle&, const BlockHandle&) = default;
};

void EncodeHandle(const BlockHandle& handle, std::string* out);
// False unless `bytes` are exactly one handle that ends at or before `limit`.
bool DecodeHandle(std::string_view bytes, uint64_t limit, BlockHandle* handle);

// XXH3-64 of the bytes, moved by where they stand in the file, so that a block that a disk returns
// from the wrong place is noticed too.
uint64_t PlacedChecksum(std::string_view bytes, uint64_t offset);

// What a table says about itself.
struct TableProperties {
  uint64_t entries = 0;
  uint64_t user_keys = 0;        // distinct
  uint64_t raw_key_bytes = 0;    // as given to Add, trailers included
  uint64_t raw_value_bytes = 0;  // as given to Add
  uint64_t data_blocks = 0;
  uint64_t raw_data_bytes = 0;       // of the data blocks before compression
  uint64_t data_bytes = 0;           // of the data blocks in the file, block trailers included
  uint64_t index_bytes = 0;          // in memory
  uint64_t filter_bytes = 0;         // 0 = no filter
  uint64_t trailer_bytes = 0;        // of each key
  uint64_t filter_prefix_bytes = 0;  // 0 = the filter knows no prefixes
  std::string smallest_key;          // whole keys; empty in an empty table
  std::string largest_key;
  friend bool operator==(const TableProperties&, const TableProperties&) = default;
};

void EncodeProperties(const TableProperties& properties, std::string* out);
// Unknown fields are skipped. DataLoss: damaged or contradictory.
absl::StatusOr<TableProperties> DecodeProperties(std::string_view bytes);

struct Footer {
  BlockHandle filter;  // size 0 = none
  BlockHandle properties;
  BlockHandle index;
  friend bool operator==(const Footer&, const Footer&) = default;
};

// `footer_offset` is where the footer will stand, which is where the index block ends.
std::string EncodeFooter(const Footer& footer, uint64_t footer_offset);
// `tail` are the last bytes of a file of `file_size` bytes, kMaxFooterBytes of them or the whole
// file. FailedPrecondition: a newer version. DataLoss: not a table, or damaged; handles that do not
// lie behind each other without gaps, up to the footer, are damage too.
absl::StatusOr<Footer> DecodeFooter(std::string_view tail, uint64_t file_size);

// Appends payload and trailer of a block that will stand at `offset` to `out`, compressed where
// that pays; `scratch` is reused between calls. Returns the size of the stored payload.
uint64_t AppendBlock(std::string_view raw, Compression compression, uint64_t offset,
                     std::string* scratch, std::string* out);

// A block's payload, decompressed.
struct RawBlock {
  std::unique_ptr<char[]> bytes;
  size_t size = 0;
};
// Checks `stored` (payload and trailer, at `offset` of the file) and decompresses it. When the
// payload is not compressed and `owned` (may be null) is the buffer that `stored` points to the
// start of, the buffer is moved into the result instead of copied.
absl::StatusOr<RawBlock> DecodeStoredBlock(std::string_view stored, uint64_t offset,
                                           std::unique_ptr<char[]>* owned);

}  // namespace tinyobs::sstable

#endif  // TINYOBS_LIB_SSTABLE_TABLE_FORMAT_H_
