// Linear probing over a power of two of slots.
#include "lib/wire/series_cache.h"

#include <algorithm>
#include <bit>
#include <random>
#include <utility>

namespace tinyobs::wire {
namespace {

constexpr size_t kLeastSlots = 256;
// Names looked ahead of: about as many misses as a core has in flight.
constexpr size_t kAhead = 8;

uint64_t RandomSeed() {
  std::random_device random;
  return uint64_t{random()} << 32 | random();
}

}  // namespace

SeriesCache::SeriesCache(size_t max_bytes)
    : seed_(RandomSeed()),
      max_slots_(std::bit_floor(std::max(max_bytes / sizeof(Entry), kLeastSlots))) {}

size_t SeriesCache::SlotOf(const Fingerprint128& name) const {
  const size_t mask = slots_.size() - 1;
  size_t at = name.low & mask;
  while (slots_[at].name != name && slots_[at].name != Fingerprint128{}) at = (at + 1) & mask;
  return at;
}

void SeriesCache::Find(std::span<Entry> entries) const {
  ReaderMutexLock lock(&mutex_);
  if (slots_.empty()) return;
  const size_t mask = slots_.size() - 1;
  for (size_t i = 0; i < entries.size(); ++i) {
    if (i + kAhead < entries.size()) {
      __builtin_prefetch(&slots_[entries[i + kAhead].name.low & mask]);
    }
    entries[i].series = slots_[SlotOf(entries[i].name)].series;
  }
}

void SeriesCache::Insert(std::span<const Entry> entries) {
  WriterMutexLock lock(&mutex_);
  for (const Entry& entry : entries) {
    if ((used_ + 1) * 4 > slots_.size() * 3 && slots_.size() < max_slots_) Grow();
    size_t at = SlotOf(entry.name);
    if (slots_[at].name != entry.name) {
      if ((used_ + 1) * 4 <= slots_.size() * 3) {
        ++used_;
      } else {
        // Not empty, and stays so: whoever is searched for past this slot is still found.
        at = entry.name.low & (slots_.size() - 1);
        if (slots_[at].name == Fingerprint128{}) continue;
      }
    }
    slots_[at] = entry;
  }
}

void SeriesCache::Forget(std::span<const Entry> entries) {
  WriterMutexLock lock(&mutex_);
  if (slots_.empty()) return;
  // The names stay, for the searches that pass them.
  for (const Entry& entry : entries) slots_[SlotOf(entry.name)].series = kNoSeries;
}

void SeriesCache::Grow() {
  std::vector<Entry> old(std::max(slots_.size() * 2, kLeastSlots));
  old.swap(slots_);
  used_ = 0;
  for (const Entry& entry : old) {
    if (entry.series == kNoSeries) continue;
    slots_[SlotOf(entry.name)] = entry;
    ++used_;
  }
}

size_t SeriesCache::bytes() const {
  ReaderMutexLock lock(&mutex_);
  return slots_.size() * sizeof(Entry);
}

}  // namespace tinyobs::wire
