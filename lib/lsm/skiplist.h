// SkipList: the sorted set of entries inside a memtable.
//
// DESCRIPTION. Entries are added and never removed or changed; readers need no lock and never wait.
// A skip list instead of a balanced tree because an insert changes a few pointers, each with one
// atomic store, so a reader sees the list before or after and nothing between.
//
// IMPLEMENTATION. A node is one piece of arena memory: the links of its upper levels, its link of
// level 0, then the entry's bytes, so that a step of a search touches one or two cache lines and no
// key pointer is followed. Insert remembers where the last entry went (the "finger") and tries
// there first: keys that come nearly in order, which is how time series come, cost a few
// comparisons instead of a search from the top.
//
// Invariants:
//  1. Links of a node are set before the node is reachable (release store into the predecessor).
//  2. Level n+1 is a subsequence of level n.
//  3. finger_[n] is the last node of level n before one position, the same for all levels.
//
// Thread-safety: one thread inserts at a time (the next must happen after the last); any number
// read meanwhile. The arena must outlive the list.
#ifndef TINYOBS_LIB_LSM_SKIPLIST_H_
#define TINYOBS_LIB_LSM_SKIPLIST_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

#include "lib/base/arena.h"

namespace tinyobs::lsm {

// `Order` has `int Compare(const char* entry, const Key& key)`: < 0, 0, > 0, and `Key`.
template <typename Order>
class SkipList {
 public:
  using Key = typename Order::Key;
  static constexpr int kMaxHeight = 12;
  // A key whose place is within the finger's gap on one of these levels (some 4^3 neighbours) is
  // inserted from there; others are searched from the top, as trying more levels would only add
  // comparisons to random inserts.
  static constexpr int kFingerLevels = 3;

  class Node {
   public:
    const char* entry() const { return reinterpret_cast<const char*>(this + 1); }
    char* entry() { return reinterpret_cast<char*>(this + 1); }
    Node* Next(int level) const { return Link(level)->load(std::memory_order_acquire); }

   private:
    friend class SkipList;
    using AtomicLink = std::atomic<Node*>;

    // The links of higher levels stand before the node, the entry behind it.
    const AtomicLink* Link(int level) const {
      return reinterpret_cast<const AtomicLink*>(reinterpret_cast<const char*>(this) -
                                                 sizeof(AtomicLink) * static_cast<size_t>(level));
    }
    AtomicLink* Link(int level) {
      return const_cast<AtomicLink*>(std::as_const(*this).Link(level));
    }
    void SetNext(int level, Node* node) { Link(level)->store(node, std::memory_order_release); }
    void InitNext(int level, Node* node) { Link(level)->store(node, std::memory_order_relaxed); }

    AtomicLink level0_;
  };

  explicit SkipList(Arena* arena) : arena_(arena), head_(NewNode(0, kMaxHeight)) {
    for (int level = 0; level < kMaxHeight; ++level) {
      finger_[level] = head_;
    }
  }
  SkipList(const SkipList&) = delete;
  SkipList& operator=(const SkipList&) = delete;

  // A node with room for `bytes` of entry. Fill entry() in, then Insert it (or leave it).
  Node* Allocate(size_t bytes) {
    allocated_height_ = RandomHeight();
    return NewNode(bytes, allocated_height_);
  }

  // `node` is the one that Allocate returned last; `key` is its key.
  // REQUIRES: no entry compares equal to `key`.
  void Insert(Node* node, const Key& key) {
    const int height = allocated_height_;
    MoveFinger(key);
    for (int level = 0; level < height; ++level) {
      node->InitNext(level, finger_[level]->Next(level));
      finger_[level]->SetNext(level, node);
      finger_[level] = node;  // the next key is likely to come right behind this one
    }
    if (height > height_.load(std::memory_order_relaxed)) {
      height_.store(height, std::memory_order_relaxed);
    }
  }

  // nullptr = none.
  Node* First() const { return head_->Next(0); }
  Node* Last() const {
    Node* node = head_;
    for (int level = Height() - 1; level >= 0; --level) {
      while (Node* const next = node->Next(level)) node = next;
    }
    return node == head_ ? nullptr : node;
  }
  // The first node that is >= `key`.
  Node* FindAtOrAfter(const Key& key) const {
    Node* before = head_;
    Node* known_after = nullptr;  // compared already on a higher level
    for (int level = Height() - 1;; --level) {
      Node* next = before->Next(level);
      while (next != nullptr && next != known_after && Order::Compare(next->entry(), key) < 0) {
        before = next;
        next = before->Next(level);
      }
      if (level == 0) return next;
      known_after = next;
    }
  }
  // The last node that is < `key`.
  Node* FindBefore(const Key& key) const {
    Node* before = head_;
    for (int level = Height() - 1; level >= 0; --level) {
      Node* next = before->Next(level);
      while (next != nullptr && Order::Compare(next->entry(), key) < 0) {
        before = next;
        next = before->Next(level);
      }
    }
    return before == head_ ? nullptr : before;
  }

 private:
  Node* NewNode(size_t bytes, int height) {
    const size_t links_above = sizeof(std::atomic<Node*>) * static_cast<size_t>(height - 1);
    char* const memory =
        arena_->Allocate(links_above + sizeof(Node) + bytes, alignof(std::atomic<Node*>));
    for (int i = 0; i < height; ++i) new (memory + i * sizeof(Node)) std::atomic<Node*>(nullptr);
    return reinterpret_cast<Node*>(memory + links_above);
  }

  int RandomHeight() {
    // xorshift: each level holds a quarter of the one below. The seed is fixed, so a run repeats.
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    int height = 1;
    for (uint64_t bits = random_ >> 20; height < kMaxHeight && (bits & 3) == 0; bits >>= 2)
      ++height;
    return height;
  }

  int Height() const { return height_.load(std::memory_order_relaxed); }

  bool IsBefore(Node* node, const Key& key) const {
    return node == head_ || Order::Compare(node->entry(), key) < 0;
  }

  // Makes the finger stand right before `key` on every level.
  void MoveFinger(const Key& key) {
    // The finger's gaps are nested: where level n's gap holds the key, all gaps above do, and where
    // it begins before the key, they do too.
    Node* before = nullptr;  // known to be
    Node* after = nullptr;   // known to be, or null
    int level = 0;
    for (; level < kFingerLevels; ++level) {
      if (before == nullptr && !IsBefore(finger_[level], key)) continue;
      after = finger_[level]->Next(level);
      if (after == nullptr || Order::Compare(after->entry(), key) > 0) break;
      before = after;
    }
    if (level == kFingerLevels) {  // far away: search from the top
      level = Height();
      before = head_;
      after = nullptr;
    } else if (before == nullptr) {
      before = finger_[level];
    }
    while (--level >= 0) {
      Node* next = before->Next(level);
      while (next != after && Order::Compare(next->entry(), key) < 0) {
        before = next;
        next = before->Next(level);
      }
      after = next;
      finger_[level] = before;
    }
  }

  Arena* const arena_;
  Node* const head_;
  std::atomic<int> height_{1};
  Node* finger_[kMaxHeight];
  int allocated_height_ = 0;
  uint64_t random_ = 0x9e3779b97f4a7c15;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_SKIPLIST_H_
