#include "lib/lsm/level_iterator.h"

#include <utility>

namespace tinyobs::lsm {

LevelIterator::LevelIterator(TableCache* cache, TableList tables,
                             const sstable::TableReadOptions& options)
    : cache_(cache), tables_(std::move(tables)), options_(options) {}

bool LevelIterator::Enter(size_t index) {
  if (current_ != nullptr && index == index_) return true;
  current_ = nullptr;
  reader_ = nullptr;
  if (index >= tables_.size()) return false;  // also for -1
  absl::StatusOr<std::shared_ptr<const sstable::TableReader>> reader =
      cache_->Find(tables_[index]->meta);
  if (!reader.ok()) {
    status_ = std::move(reader).status();
    return false;
  }
  index_ = index;
  reader_ = *std::move(reader);
  current_ = reader_->NewIterator(options_);
  return true;
}

void LevelIterator::SkipForward() {
  while (current_ != nullptr && !current_->Valid()) {
    status_ = current_->status();
    if (!status_.ok() || !Enter(index_ + 1)) return;
    current_->SeekToFirst();
  }
}

void LevelIterator::SkipBackward() {
  while (current_ != nullptr && !current_->Valid()) {
    status_ = current_->status();
    if (!status_.ok() || !Enter(index_ - 1)) return;
    current_->SeekToLast();
  }
}

void LevelIterator::SeekToFirst() {
  status_ = absl::OkStatus();
  if (!Enter(0)) return;
  current_->SeekToFirst();
  SkipForward();
}

void LevelIterator::SeekToLast() {
  status_ = absl::OkStatus();
  if (!Enter(tables_.size() - 1)) return;
  current_->SeekToLast();
  SkipBackward();
}

void LevelIterator::Seek(std::string_view target) {
  status_ = absl::OkStatus();
  if (!Enter(FindTableIn(tables_, UserKeyOf(target)))) return;
  current_->Seek(target);
  SkipForward();
}

void LevelIterator::SeekForPrev(std::string_view target) {
  status_ = absl::OkStatus();
  size_t index = FindTableIn(tables_, UserKeyOf(target));
  if (index == tables_.size()) --index;
  if (!Enter(index)) return;
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
