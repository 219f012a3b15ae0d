#include "lib/lsm/merging_iterator.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "lib/lsm/internal_key.h"

namespace tinyobs::lsm {
namespace {

class MergingIterator final : public Iterator {
 public:
  explicit MergingIterator(std::vector<std::unique_ptr<Iterator>> children) {
    children_.reserve(children.size());
    for (auto& child : children) children_.push_back({std::move(child), {}});
    heap_.reserve(children_.size());
  }

  bool Valid() const override { return !heap_.empty(); }

  void SeekToFirst() override {
    SeekAll(true, [](Iterator* child) { child->SeekToFirst(); });
  }
  void SeekToLast() override {
    SeekAll(false, [](Iterator* child) { child->SeekToLast(); });
  }
  void Seek(std::string_view target) override {
    SeekAll(true, [target](Iterator* child) { child->Seek(target); });
  }
  void SeekForPrev(std::string_view target) override {
    SeekAll(false, [target](Iterator* child) { child->SeekForPrev(target); });
  }

  void Next() override {
    if (!forward_) TurnTo(true);
    if (heap_.empty()) return;
    heap_[0]->iterator->Next();
    RestoreFront();
  }

  void Prev() override {
    if (forward_) TurnTo(false);
    if (heap_.empty()) return;
    heap_[0]->iterator->Prev();
    RestoreFront();
  }

  std::string_view key() const override { return heap_[0]->key; }
  std::string_view value() const override { return heap_[0]->iterator->value(); }
  absl::Status status() const override { return status_; }

 private:
  struct Child {
    std::unique_ptr<Iterator> iterator;
    std::string_view key;  // iterator->key() while the child is in the heap
  };

  bool IsBefore(const Child* a, const Child* b) const {
    const int order = CompareInternalKeys(a->key, b->key);
    return forward_ ? order < 0 : order > 0;
  }

  template <typename SeekChild>
  void SeekAll(bool forward, const SeekChild& seek) {
    forward_ = forward;
    status_ = absl::OkStatus();
    heap_.clear();
    for (Child& child : children_) {
      seek(child.iterator.get());
      if (!Enlist(&child)) return;
    }
    BuildHeap();
  }

  // Puts a child that stands somewhere into the (unordered) heap. False on its error.
  bool Enlist(Child* child) {
    if (child->iterator->Valid()) {
      child->key = child->iterator->key();
      heap_.push_back(child);
      return true;
    }
    return TakeError(child);
  }

  bool TakeError(Child* child) {
    status_ = child->iterator->status();
    if (!status_.ok()) heap_.clear();
    return status_.ok();
  }

  // All children but the front one stand on the wrong side of the current key.
  void TurnTo(bool forward) {
    Child* const front = heap_[0];
    const std::string current(front->key);
    forward_ = forward;
    heap_.clear();
    for (Child& child : children_) {
      if (&child != front) {
        if (forward) {
          child.iterator->Seek(current);
        } else {
          child.iterator->SeekForPrev(current);
        }
      }
      if (!Enlist(&child)) return;
    }
    BuildHeap();  // the front child is the front one again: its key is the extreme
  }

  void BuildHeap() {
    for (size_t i = heap_.size() / 2; i-- > 0;) SiftDown(i);
  }

  // The front child has moved.
  void RestoreFront() {
    Child* const front = heap_[0];
    if (front->iterator->Valid()) {
      front->key = front->iterator->key();
    } else {
      if (!TakeError(front)) return;
      heap_[0] = heap_.back();
      heap_.pop_back();
      if (heap_.empty()) return;
    }
    SiftDown(0);
  }

  void SiftDown(size_t hole) {
    Child* const moving = heap_[hole];
    const size_t size = heap_.size();
    while (true) {
      size_t child = 2 * hole + 1;
      if (child >= size) break;
      if (child + 1 < size && IsBefore(heap_[child + 1], heap_[child])) ++child;
      if (!IsBefore(heap_[child], moving)) break;
      heap_[hole] = heap_[child];
      hole = child;
    }
    heap_[hole] = moving;
  }

  std::vector<Child> children_;
  std::vector<Child*> heap_;  // of the children that are Valid(); empty = at an end or failed
  bool forward_ = true;
  absl::Status status_;
};

}  // namespace

std::unique_ptr<Iterator> NewMergingIterator(std::vector<std::unique_ptr<Iterator>> children) {
  if (children.size() == 1) return std::move(children[0]);
  return std::make_unique<MergingIterator>(std::move(children));
}

}  // namespace tinyobs::lsm
