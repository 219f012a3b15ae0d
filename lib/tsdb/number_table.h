// NumberTable: finds the numbers of things (series, label pairs) by the hash of their contents.
//
// A slot is the number and 32 bits of the hash, nothing else: 11-16 bytes an entry, the contents
// stay where they are, and a lookup touches one cache line here before it touches the thing itself.
// Not absl::flat_hash_set with a transparent hash: to grow it asks for the hash of every entry,
// which for a million series is a million cache misses under a lock that readers wait for. Here the
// hash is in the slot and its position is (hash * slots) >> 32, so entries lie in the order of
// their hashes and growing is one pass from front to back (5 ms for a million), to any size, not
// just to the double. And a batch of lookups can fetch its slots ahead.
//
// Equal hashes are common enough to be met (32 bits): the caller's comparison decides. Hashes must
// be seeded where others choose what is hashed, or they could fill one run of slots.
//
// Thread-safety: thread-compatible.
#ifndef TINYOBS_LIB_TSDB_NUMBER_TABLE_H_
#define TINYOBS_LIB_TSDB_NUMBER_TABLE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tinyobs::tsdb {

class NumberTable {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;  // no number

  size_t MemoryBytes() const { return slots_.capacity() * sizeof(Slot); }

  // Room for `count` entries without growing.
  void Reserve(size_t count) {
    const size_t slots = count + count / 2 + 8;
    if (slots > slots_.size()) Rebuild(slots);
  }

  // A number that was inserted under this hash and that `equal(number)` accepts, or kNone.
  template <typename Equal>
  uint32_t Find(uint32_t hash, Equal equal) const {
    if (slots_.empty()) return kNone;
    for (size_t at = Home(hash); slots_[at].number != kNone; at = After(at)) {
      if (slots_[at].hash == hash && equal(slots_[at].number)) return slots_[at].number;
    }
    return kNone;
  }

  // REQUIRES: number != kNone.
  void Insert(uint32_t hash, uint32_t number) {
    if ((count_ + 1) * 4 > slots_.size() * 3) Rebuild(slots_.size() + slots_.size() / 2 + 8);
    Place({number, hash});
    ++count_;
  }

  // No effect when it is not there.
  void Erase(uint32_t hash, uint32_t number) {
    if (slots_.empty()) return;
    size_t hole = Home(hash);
    while (slots_[hole].number != number) {
      if (slots_[hole].number == kNone) return;
      hole = After(hole);
    }
    // Entries behind move up as far as they may, so that no search ends at the hole too early.
    for (size_t at = After(hole); slots_[at].number != kNone; at = After(at)) {
      if (Distance(Home(slots_[at].hash), at) < Distance(hole, at)) continue;
      slots_[hole] = slots_[at];
      hole = at;
    }
    slots_[hole] = Slot();
    --count_;
  }

 private:
  struct Slot {
    uint32_t number = kNone;
    uint32_t hash = 0;
  };

  size_t Home(uint32_t hash) const { return (uint64_t{hash} * slots_.size()) >> 32; }
  size_t After(size_t at) const { return at + 1 == slots_.size() ? 0 : at + 1; }
  size_t Distance(size_t from, size_t to) const {
    return to >= from ? to - from : to + slots_.size() - from;
  }

  void Place(Slot slot) {
    size_t at = Home(slot.hash);
    while (slots_[at].number != kNone) at = After(at);
    slots_[at] = slot;
  }

  void Rebuild(size_t slots) {
    std::vector<Slot> old(slots);
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.number != kNone) Place(slot);
    }
  }

  std::vector<Slot> slots_;  // never full
  size_t count_ = 0;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_NUMBER_TABLE_H_
