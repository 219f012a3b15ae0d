#include "lib/sstable/block_reader.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/strings.h"

namespace tinyobs::sstable {
namespace {

// The largest key of the format, with the largest trailer.
constexpr size_t kMaxKeyBytes = kMaxUserKeyBytes + 8;

// The three lengths at the start of an entry. Returns the byte behind them, nullptr on damage.
inline const char* LoadEntryHeader(const char* from, const char* limit, uint64_t* shared,
                                   uint64_t* unshared, uint64_t* value_size) {
  if (limit - from >= 3 && ((from[0] | from[1] | from[2]) & 0x80) == 0) [[likely]] {
    *shared = static_cast<unsigned char>(from[0]);
    *unshared = static_cast<unsigned char>(from[1]);
    *value_size = static_cast<unsigned char>(from[2]);
    return from + 3;
  }
  from = LoadVarint64(from, limit, shared);
  if (from != nullptr) from = LoadVarint64(from, limit, unshared);
  if (from != nullptr) from = LoadVarint64(from, limit, value_size);
  return from;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Block>> Block::Create(RawBlock raw) {
  if (raw.size < 4) {
    return absl::DataLossError(StrCat("block of ", raw.size, " bytes, expected at least 4"));
  }
  if (raw.size > kMaxBlockBytes) {
    return absl::DataLossError(
        StrCat("block of ", raw.size, " bytes, the limit is ", kMaxBlockBytes));
  }
  const char* const bytes = raw.bytes.get();
  const uint32_t count = LoadFixed32(bytes + raw.size - 4);
  if (count > (raw.size - 4) / 4) {
    return absl::DataLossError(StrCat(count, " restart points in a block of ", raw.size, " bytes"));
  }
  const auto entries_bytes = static_cast<uint32_t>(raw.size - 4 - size_t{4} * count);
  if ((count == 0) != (entries_bytes == 0)) {
    return absl::DataLossError(
        StrCat(count, " restart points for ", entries_bytes, " bytes of entries"));
  }
  for (uint32_t i = 0, least = 0; i < count; ++i) {
    const uint32_t offset = LoadFixed32(bytes + entries_bytes + size_t{4} * i);
    if (i == 0 ? offset != 0 : (offset < least || offset >= entries_bytes)) {
      return absl::DataLossError(
          StrCat("restart point ", i, " is ", offset, ", expected ", least, " to ", entries_bytes));
    }
    least = offset + 1;
  }
  return std::make_shared<const Block>(std::move(raw), entries_bytes, count);
}

void BlockIterator::Reset(const Block* block, size_t trailer_bytes) {
  block_ = block;
  trailer_bytes_ = trailer_bytes;
  entries_ = block == nullptr ? nullptr : block->entries().data();
  entries_bytes_ = block == nullptr ? 0 : block->entries().size();
  corrupt_ = false;
  past_.clear();
  Invalidate();
}

void BlockIterator::Invalidate() {
  valid_ = false;
  key_ = {};
  value_ = {};
}

void BlockIterator::Corrupt(size_t offset) {
  Invalidate();
  corrupt_ = true;
  offset_ = static_cast<uint32_t>(offset);
  next_offset_ = static_cast<uint32_t>(entries_bytes_);
}

absl::Status BlockIterator::status() const {
  if (!corrupt_) return absl::OkStatus();
  return absl::DataLossError(StrCat("entry at byte ", offset_, " of the block is damaged"));
}

void BlockIterator::StartAt(uint32_t restart_index) {
  corrupt_ = false;
  key_ = {};
  next_offset_ = block_->restart(restart_index);
}

bool BlockIterator::DecodeNext() {
  const char* const limit = entries_ + entries_bytes_;
  const char* at = entries_ + next_offset_;
  if (at == limit) {
    Invalidate();
    return false;
  }
  offset_ = next_offset_;
  uint64_t shared = 0;
  uint64_t unshared = 0;
  uint64_t value_size = 0;
  at = LoadEntryHeader(at, limit, &shared, &unshared, &value_size);
  if (at == nullptr || unshared > static_cast<size_t>(limit - at) ||
      value_size > static_cast<size_t>(limit - at) - unshared || shared > key_.size() ||
      shared + unshared < trailer_bytes_ || shared + unshared > kMaxKeyBytes) [[unlikely]] {
    Corrupt(offset_);
    return false;
  }
  if (shared == 0) {
    key_ = std::string_view(at, unshared);
  } else {
    AssembleKey(shared, std::string_view(at, unshared));
  }
  value_ = std::string_view(at + unshared, value_size);
  next_offset_ = static_cast<uint32_t>(at + unshared + value_size - entries_);
  valid_ = true;
  return true;
}

void BlockIterator::AssembleKey(size_t shared, std::string_view rest) {
  const size_t size = shared + rest.size();
  if (size > key_capacity_) {
    const size_t capacity = std::max(size, 2 * key_capacity_);
    auto larger = std::make_unique_for_overwrite<char[]>(capacity);
    std::memcpy(larger.get(), key_.data(), shared);
    large_key_ = std::move(larger);
    key_buffer_ = large_key_.get();
    key_capacity_ = capacity;
  } else if (key_.data() != key_buffer_) {
    std::memcpy(key_buffer_, key_.data(), shared);
  }
  std::memcpy(key_buffer_ + shared, rest.data(), rest.size());
  key_ = std::string_view(key_buffer_, size);
}

void BlockIterator::SeekToFirst() {
  if (entries_bytes_ == 0) return Invalidate();
  StartAt(0);
  DecodeNext();
}

void BlockIterator::SeekToLast() {
  if (entries_bytes_ == 0) return Invalidate();
  StartAt(block_->restart_count() - 1);
  while (DecodeNext() && next_offset_ < entries_bytes_) {
  }
}

bool BlockIterator::RestartKey(uint32_t restart_index, std::string_view* key) {
  const uint32_t offset = block_->restart(restart_index);
  const char* const limit = entries_ + entries_bytes_;
  uint64_t shared = 0;
  uint64_t unshared = 0;
  uint64_t value_size = 0;
  const char* const at = LoadEntryHeader(entries_ + offset, limit, &shared, &unshared, &value_size);
  if (at == nullptr || shared != 0 || unshared > static_cast<size_t>(limit - at) ||
      unshared < trailer_bytes_) [[unlikely]] {
    Corrupt(offset);
    return false;
  }
  *key = std::string_view(at, unshared);
  return true;
}

bool BlockIterator::FindRestart(std::string_view target, uint32_t* restart_index) {
  uint32_t left = 0;
  uint32_t right = block_->restart_count() - 1;
  while (left < right) {
    const uint32_t middle = left + (right - left + 1) / 2;
    std::string_view key;
    if (!RestartKey(middle, &key)) return false;
    if (CompareKeys(key, target, trailer_bytes_) < 0) {
      left = middle;
    } else {
      right = middle - 1;
    }
  }
  *restart_index = left;
  return true;
}

void BlockIterator::Seek(std::string_view target) {
  TINYOBS_DCHECK(target.size() >= trailer_bytes_);
  uint32_t restart_index = 0;
  if (entries_bytes_ == 0) return Invalidate();
  if (!FindRestart(target, &restart_index)) return;
  StartAt(restart_index);
  while (DecodeNext() && CompareKeys(key_, target, trailer_bytes_) < 0) {
  }
}

void BlockIterator::SeekForPrev(std::string_view target) {
  Seek(target);
  if (corrupt_) return;
  if (!valid_) return SeekToLast();
  if (CompareKeys(key_, target, trailer_bytes_) > 0) Prev();
}

void BlockIterator::Next() {
  TINYOBS_DCHECK(valid_);
  DecodeNext();
}

uint32_t BlockIterator::RestartBefore(uint32_t offset) const {
  uint32_t left = 0;
  uint32_t right = block_->restart_count() - 1;
  while (left < right) {
    const uint32_t middle = left + (right - left + 1) / 2;
    if (block_->restart(middle) < offset) {
      left = middle;
    } else {
      right = middle - 1;
    }
  }
  return left;
}

void BlockIterator::Prev() {
  TINYOBS_DCHECK(valid_);
  if (!past_.empty() && past_.back().offset == offset_) {
    past_.pop_back();
    if (!past_.empty()) return StandOnPast();
  }
  past_.clear();
  if (offset_ == 0) return Invalidate();
  FillPast(RestartBefore(offset_), offset_);
}

void BlockIterator::FillPast(uint32_t restart_index, uint32_t limit) {
  StartAt(restart_index);
  past_keys_.clear();
  while (next_offset_ < limit) {
    if (!DecodeNext()) return past_.clear();
    if (past_.size() == kMaxRestartInterval || next_offset_ > limit) {
      past_.clear();
      return Corrupt(offset_);
    }
    past_.push_back({offset_, next_offset_, static_cast<uint32_t>(past_keys_.size()),
                     static_cast<uint32_t>(key_.size()), value_});
    past_keys_.append(key_);
  }
  StandOnPast();
}

void BlockIterator::StandOnPast() {
  const PastEntry& entry = past_.back();
  offset_ = entry.offset;
  next_offset_ = entry.next_offset;
  key_ = std::string_view(past_keys_).substr(entry.key_offset, entry.key_size);
  value_ = entry.value;
  valid_ = true;
}

}  // namespace tinyobs::sstable
