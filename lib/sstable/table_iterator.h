// TableIterator: a cursor over a table: one BlockIterator on the index, one on a data block.
//
// Users get it from TableReader::NewIterator, or hold it by value where the virtual calls would
// cost.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_SSTABLE_TABLE_ITERATOR_H_
#define TINYOBS_LIB_SSTABLE_TABLE_ITERATOR_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "lib/base/iterator.h"
#include "lib/sstable/block_reader.h"
#include "lib/sstable/table_reader.h"

namespace tinyobs::sstable {

// A stretch of the file read ahead of a scan, which it recognises by itself: see
// TableReadOptions::readahead_bytes.
class ReadaheadBuffer {
 public:
  explicit ReadaheadBuffer(size_t least_bytes) : least_bytes_(least_bytes) {}

  // The `count` bytes at `offset`, a stored block, if they were read ahead or are worth reading
  // together with what lies behind them (before them in a backward scan), all within [0, limit).
  // Else an empty view: read the block alone. So it is when more cannot be read, too, as the block
  // itself may be readable. The view is valid until the next call.
  std::string_view Read(const RandomAccessFile& file, uint64_t offset, size_t count,
                        uint64_t limit);

 private:
  const size_t least_bytes_;
  // The block before, and how many were next to each other up to it: negative = backward.
  uint64_t block_begin_ = UINT64_MAX;
  uint64_t block_end_ = UINT64_MAX;
  int64_t run_ = 0;
  size_t window_bytes_ = 0;
  std::unique_ptr<char[]> buffer_;
  size_t capacity_ = 0;
  uint64_t offset_ = 0;
  size_t size_ = 0;
};

class TableIterator final : public Iterator {
 public:
  TableIterator(const TableReader* table, const TableReadOptions& options);

  bool Valid() const override { return data_.Valid(); }
  void SeekToFirst() override;
  void SeekToLast() override;
  void Seek(std::string_view target) override;
  void SeekForPrev(std::string_view target) override;
  void Next() override;
  void Prev() override;
  std::string_view key() const override { return data_.key(); }
  std::string_view value() const override { return data_.value(); }
  absl::Status status() const override { return status_; }

 private:
  // Puts data_ on the block of the current index entry, unless it is there. False: no such block
  // (the index iterator is at its end) or an error, now in status_.
  bool LoadBlock();
  void DropBlock();
  // Moves to the next (previous) block with entries while data_ is not valid.
  void SkipForward();
  void SkipBackward();
  // Takes over an error of data_ or index_.
  bool Failed();

  const TableReader* const table_;
  const TableReadOptions options_;
  absl::Status status_;
  BlockIterator index_;
  BlockIterator data_;
  std::shared_ptr<const Block> block_;  // that data_ is on; null = none
  uint64_t block_offset_ = 0;
  ReadaheadBuffer readahead_;
};

}  // namespace tinyobs::sstable

#endif  // TINYOBS_LIB_SSTABLE_TABLE_ITERATOR_H_
