// Block and BlockIterator: a block's payload in memory, and a cursor over it.
//
// The payload is never copied or unpacked: a Block is one buffer and two numbers, and the iterator
// decodes entries in place. A key that is stored whole (restart points, every key of an index
// block) is a view into the buffer; others are assembled in one buffer of the iterator, so moving
// costs no allocation. BlockIterator has no virtual methods: TableIterator and TableReader::Get
// hold it by value and the compiler inlines it.
//
// A block with a right checksum can still hold nonsense (a bug, a forger), so each length is
// checked against what is left of the block; a violation ends the iteration with DataLoss.
//
// Invariants:
//  1. Block: the restart points are strictly ascending, the first is 0, all are inside the entries.
//  2. BlockIterator: Valid() implies status().ok().
//  3. Memory beyond the block is bounded by one key, and for Prev by the keys of one restart
//     interval.
//  4. Each Next moves at least one byte forward, so that no block can make a loop endless.
//
// Thread-safety: Block is immutable and shared freely; BlockIterator is one thread's.
#ifndef TINYOBS_LIB_SSTABLE_BLOCK_READER_H_
#define TINYOBS_LIB_SSTABLE_BLOCK_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/coding.h"
#include "lib/sstable/key_order.h"
#include "lib/sstable/table_format.h"

namespace tinyobs::sstable {

class Block {
 public:
  // DataLoss when the restart points are not what invariant 1 says.
  static absl::StatusOr<std::shared_ptr<const Block>> Create(RawBlock raw);

  // For make_shared in Create.
  Block(RawBlock raw, uint32_t entries_bytes, uint32_t restart_count)
      : raw_(std::move(raw)), entries_bytes_(entries_bytes), restart_count_(restart_count) {}

  std::string_view entries() const { return {raw_.bytes.get(), entries_bytes_}; }
  uint32_t restart_count() const { return restart_count_; }
  uint32_t restart(uint32_t index) const {
    return LoadFixed32(raw_.bytes.get() + entries_bytes_ + size_t{4} * index);
  }
  // Of the payload.
  size_t raw_bytes() const { return raw_.size; }
  // What the block costs in memory.
  size_t MemoryUsageBytes() const { return raw_.size + sizeof(Block) + 32; }

 private:
  const RawBlock raw_;
  const uint32_t entries_bytes_;
  const uint32_t restart_count_;
};

// The methods are those of tinyobs::Iterator, without virtual calls. Not Valid() until the first
// seek.
class BlockIterator {
 public:
  BlockIterator() = default;
  // key() and value() may point into the iterator itself.
  BlockIterator(const BlockIterator&) = delete;
  BlockIterator& operator=(const BlockIterator&) = delete;

  // Starts over on `block` (not owned, must live until the next Reset; nullptr = none).
  void Reset(const Block* block, size_t trailer_bytes);

  bool Valid() const { return valid_; }
  void SeekToFirst();
  void SeekToLast();
  // Keys of the block and `target` have at least `trailer_bytes` bytes; a shorter key in the block
  // is DataLoss.
  void Seek(std::string_view target);
  void SeekForPrev(std::string_view target);
  void Next();
  void Prev();

  std::string_view key() const { return key_; }
  // Into the block: valid as long as the block is.
  std::string_view value() const { return value_; }

  // Of the current entry in the block. REQUIRES: Valid().
  uint32_t offset() const { return offset_; }

  // DataLoss: the entries are damaged; names the byte in the block.
  absl::Status status() const;

 private:
  static constexpr size_t kInlineKeyBytes = 64;

  // An entry of the restart interval that Prev walks through.
  struct PastEntry {
    uint32_t offset;
    uint32_t next_offset;  // of the entry behind it
    uint32_t key_offset;   // in past_keys_
    uint32_t key_size;
    std::string_view value;
  };

  void Invalidate();
  void Corrupt(size_t offset);
  // Starts decoding at a restart point; the next DecodeNext reads its entry.
  void StartAt(uint32_t restart_index);
  // Decodes the entry at next_offset_. False (and !valid_) at the end or on damage.
  bool DecodeNext();
  // Puts `shared` bytes of the current key and `rest` into the key buffer.
  void AssembleKey(size_t shared, std::string_view rest);
  // The key at a restart point. False on damage.
  bool RestartKey(uint32_t restart_index, std::string_view* key);
  // The last restart point whose key is < `target`, or the first. False on damage.
  bool FindRestart(std::string_view target, uint32_t* restart_index);
  // The last restart point that is < `offset`. REQUIRES: offset > 0.
  uint32_t RestartBefore(uint32_t offset) const;
  // Decodes from a restart point up to the entry at `limit` (exclusive) into past_ and stands on
  // the last one.
  void FillPast(uint32_t restart_index, uint32_t limit);
  void StandOnPast();

  const Block* block_ = nullptr;
  const char* entries_ = nullptr;
  size_t entries_bytes_ = 0;
  size_t trailer_bytes_ = 0;

  bool valid_ = false;
  bool corrupt_ = false;
  uint32_t offset_ = 0;       // of the current entry; where the damage is when corrupt_
  uint32_t next_offset_ = 0;  // of the entry behind it
  std::string_view key_;
  std::string_view value_;
  // Holds key_ when the entry does not store it whole: inline_key_, or large_key_ once that is too
  // small.
  char* key_buffer_ = inline_key_;
  size_t key_capacity_ = kInlineKeyBytes;
  std::unique_ptr<char[]> large_key_;
  char inline_key_[kInlineKeyBytes];

  std::vector<PastEntry> past_;  // the interval Prev is in, up to the current entry; often empty
  std::string past_keys_;
};

}  // namespace tinyobs::sstable

#endif  // TINYOBS_LIB_SSTABLE_BLOCK_READER_H_
