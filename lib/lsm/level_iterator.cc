#include "lib/lsm/level_iterator.h"

#include <cstdint>
#include <utility>

namespace tinyobs::lsm {

// Wraps around: to the table before.
constexpr size_t kBackward = SIZE_MAX;

LevelIterator::LevelIterator(TableCache* cache, TableList tables,
                             const sstable::TableReadOptions& options, std::string prefix,
                             size_t seek_prefix_bytes)
    : cache_(cache),
      tables_(std::move(tables)),
      options_(options),
      prefix_(std::move(prefix)),
      seek_prefix_bytes_(seek_prefix_bytes) {}

bool LevelIterator::Enter(size_t index, size_t step) {
  if (current_.has_value() && index == index_ && seek_prefix_bytes_ == 0) return true;
  current_.reset();
  do {
    if (index >= tables_.size()) return false;  // also for -1
    // Forward, behind all that begins with the prefix.
    if (step != kBackward &&
        tables_[index]->smallest_user_key().substr(0, prefix_.size()) > prefix_) {
      return false;
    }
    if (reader_ == nullptr || index != index_) {
      reader_ = nullptr;
      absl::StatusOr<std::shared_ptr<const sstable::TableReader>> reader =
          cache_->Find(tables_[index]->meta);
      if (!reader.ok()) {
        status_ = std::move(reader).status();
        return false;
      }
      index_ = index;
      reader_ = *std::move(reader);
    }
    index += step;
  } while (!prefix_.empty() && !reader_->MayContainPrefix(prefix_));
  current_.emplace(reader_.get(), options_);
  return true;
}

void LevelIterator::SkipForward() {
  while (current_.has_value() && !current_->Valid()) {
    status_ = current_->status();
    if (!status_.ok() || !Enter(index_ + 1, 1)) return;
    current_->SeekToFirst();
  }
}

void LevelIterator::SkipBackward() {
  while (current_.has_value() && !current_->Valid()) {
    status_ = current_->status();
    if (!status_.ok() || !Enter(index_ - 1, kBackward)) return;
    current_->SeekToLast();
  }
}

void LevelIterator::SeekToFirst() {
  status_ = absl::OkStatus();
  if (!Enter(0, 1)) return;
  current_->SeekToFirst();
  SkipForward();
}

void LevelIterator::SeekToLast() {
  status_ = absl::OkStatus();
  if (!Enter(tables_.size() - 1, kBackward)) return;
  current_->SeekToLast();
  SkipBackward();
}

void LevelIterator::Seek(std::string_view target) {
  status_ = absl::OkStatus();
  const std::string_view user_key = UserKeyOf(target);
  if (seek_prefix_bytes_ > 0) prefix_ = user_key.substr(0, seek_prefix_bytes_);
  if (!Enter(FindTableIn(tables_, user_key), 1)) return;
  current_->Seek(target);
  SkipForward();
}

void LevelIterator::SeekForPrev(std::string_view target) {
  status_ = absl::OkStatus();
  size_t index = FindTableIn(tables_, UserKeyOf(target));
  if (index == tables_.size()) --index;
  if (!Enter(index, kBackward)) return;
  current_->SeekForPrev(target);
  SkipBackward();
}

void LevelIterator::Next() {
  current_->Next();
  SkipForward();
}

void LevelIterator::Prev() {
  current_->Prev();
  SkipBackward();
}

}  // namespace tinyobs::lsm
