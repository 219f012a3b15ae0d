#include "lib/sstable/table_iterator.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "lib/base/check.h"

namespace tinyobs::sstable {

namespace {

constexpr size_t kReadaheadMaxBytes = 256 << 10;
// Steps from a block to its neighbour before more than one block is read at once: a short scan
// should cost no more than it needs.
constexpr int64_t kStepsBeforeReadahead = 2;

}  // namespace

std::string_view ReadaheadBuffer::Read(const RandomAccessFile& file, uint64_t offset, size_t count,
                                       uint64_t limit) {
  const uint64_t end = offset + count;
  if (offset == block_end_) {
    run_ = std::max<int64_t>(run_, 0) + 1;
  } else if (end == block_begin_) {
    run_ = std::min<int64_t>(run_, 0) - 1;
  } else {
    run_ = 0;
  }
  block_begin_ = offset;
  block_end_ = end;
  if (offset < offset_ || end > offset_ + size_) {
    window_bytes_ = std::abs(run_) < kStepsBeforeReadahead
                        ? 0
                        : std::min(kReadaheadMaxBytes, 2 * std::max(count, window_bytes_));
    size_t wanted = std::max(least_bytes_, window_bytes_);
    if (wanted <= count) return {};
    wanted = std::min<uint64_t>(wanted, run_ < 0 ? end : limit - offset);
    if (wanted > capacity_) {
      buffer_ = std::make_unique_for_overwrite<char[]>(wanted);
      capacity_ = wanted;
    }
    size_ = 0;
    offset_ = run_ < 0 ? end - wanted : offset;
    const absl::StatusOr<size_t> got = file.Read(offset_, wanted, buffer_.get());
    if (!got.ok() || *got < end - offset_) return {};
    size_ = *got;
  }
  return std::string_view(buffer_.get() + (offset - offset_), count);
}

TableIterator::TableIterator(const TableReader* table, const TableReadOptions& options)
    : table_(table), options_(options), readahead_(options.readahead_bytes) {
  index_.Reset(&table->index(), table->trailer_bytes());
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

bool TableIterator::LoadBlock() {
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
      table_->ReadBlock(options_, *handle, &readahead_);
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
    if (!LoadBlock()) return;
    data_.SeekToFirst();
  }
}

void TableIterator::SkipBackward() {
  while (!data_.Valid()) {
    if (Failed()) return;
    index_.Prev();
    if (!LoadBlock()) return;
    data_.SeekToLast();
  }
}

void TableIterator::SeekToFirst() {
  status_ = absl::OkStatus();
  index_.SeekToFirst();
  if (!LoadBlock()) return;
  data_.SeekToFirst();
  SkipForward();
}

void TableIterator::SeekToLast() {
  status_ = absl::OkStatus();
  index_.SeekToLast();
  if (!LoadBlock()) return;
  data_.SeekToLast();
  SkipBackward();
}

void TableIterator::Seek(std::string_view target) {
  status_ = absl::OkStatus();
  index_.Seek(target);
  if (!LoadBlock()) return;
  data_.Seek(target);
  SkipForward();
}

void TableIterator::SeekForPrev(std::string_view target) {
  status_ = absl::OkStatus();
  index_.Seek(target);
  // Behind the last separator: behind every key.
  if (!index_.Valid() && index_.status().ok()) return SeekToLast();
  if (!LoadBlock()) return;
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
