#include "lib/sstable/table_iterator.h"

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs::sstable {

absl::StatusOr<std::string_view> ReadaheadBuffer::Read(const RandomAccessFile& file,
                                                       uint64_t offset, size_t count,
                                                       uint64_t limit) {
  if (offset < offset_ || offset + count > offset_ + size_) {
    const size_t wanted = std::min<uint64_t>(std::max(count, window_bytes_), limit - offset);
    if (wanted > capacity_) {
      buffer_ = std::make_unique_for_overwrite<char[]>(wanted);
      capacity_ = wanted;
    }
    size_ = 0;
    TINYOBS_ASSIGN_OR_RETURN(size_, file.Read(offset, wanted, buffer_.get()));
    offset_ = offset;
    if (size_ < count) {
      return absl::DataLossError(StrCat("expected ", count, " bytes, found ", size_));
    }
  }
  return std::string_view(buffer_.get() + (offset - offset_), count);
}

TableIterator::TableIterator(const TableReader* table, const TableReadOptions& options)
    : table_(table), options_(options) {
  index_.Reset(&table->index(), table->trailer_bytes());
  if (options.readahead_bytes > 0) {
    readahead_ = std::make_unique<ReadaheadBuffer>(options.readahead_bytes);
  }
}

void TableIterator::DropBlock() {
  data_.Reset(nullptr, 0);
  block_.reset();
}

bool TableIterator::Failed() {
  if (absl::Status status = data_.status(); !status.ok()) {
    status_ = table_->AtBlock(block_offset_, status);
  } else if (status = index_.status(); !status.ok()) {
    status_ = table_->AtBlock(table_->index_offset(), status);
  } else {
    return false;
  }
  DropBlock();
  return true;
}

bool TableIterator::LoadBlock(bool forward) {
  if (!index_.Valid()) {
    if (!Failed()) DropBlock();
    return false;
  }
  absl::StatusOr<BlockHandle> handle = table_->HandleOf(index_.value());
  if (handle.ok() && block_ != nullptr && block_offset_ == handle->offset) return true;
  DropBlock();
  if (!handle.ok()) {
    status_ = std::move(handle).status();
    return false;
  }
  absl::StatusOr<std::shared_ptr<const Block>> block =
      table_->ReadBlock(options_, *handle, forward ? readahead_.get() : nullptr);
  if (!block.ok()) {
    status_ = std::move(block).status();
    return false;
  }
  block_ = *std::move(block);
  block_offset_ = handle->offset;
  data_.Reset(block_.get(), table_->trailer_bytes());
  return true;
}

void TableIterator::SkipForward() {
  while (!data_.Valid()) {
    if (Failed()) return;
    index_.Next();
    if (!LoadBlock(/*forward=*/true)) return;
    data_.SeekToFirst();
  }
}

void TableIterator::SkipBackward() {
  while (!data_.Valid()) {
    if (Failed()) return;
    index_.Prev();
    if (!LoadBlock(/*forward=*/false)) return;
    data_.SeekToLast();
  }
}

void TableIterator::SeekToFirst() {
  status_ = absl::OkStatus();
  index_.SeekToFirst();
  if (!LoadBlock(/*forward=*/true)) return;
  data_.SeekToFirst();
  SkipForward();
}

void TableIterator::SeekToLast() {
  status_ = absl::OkStatus();
  index_.SeekToLast();
  if (!LoadBlock(/*forward=*/false)) return;
  data_.SeekToLast();
  SkipBackward();
}

void TableIterator::Seek(std::string_view target) {
  status_ = absl::OkStatus();
  index_.Seek(target);
  if (!LoadBlock(/*forward=*/true)) return;
  data_.Seek(target);
  SkipForward();
}

void TableIterator::SeekForPrev(std::string_view target) {
  status_ = absl::OkStatus();
  index_.Seek(target);
  // Behind the last separator: behind every key.
  if (!index_.Valid() && index_.status().ok()) return SeekToLast();
  if (!LoadBlock(/*forward=*/false)) return;
  data_.SeekForPrev(target);
  SkipBackward();
}

void TableIterator::Next() {
  TINYOBS_DCHECK(Valid());
  data_.Next();
  if (!data_.Valid()) SkipForward();
}

void TableIterator::Prev() {
  TINYOBS_DCHECK(Valid());
  data_.Prev();
  if (!data_.Valid()) SkipBackward();
}

}  // namespace tinyobs::sstable
