// SeriesCache: the bytes that name a series on the wire -> its handle.
//
// Looking a series up by its labels means reading, copying and sorting them: 150 ns and more, for
// something that was done a minute ago with the same bytes. Here one hash of the bytes finds the
// handle. The labels are not compared then, so the hash has 128 bits and a seed that nobody
// outside knows: two names out of a million million share one with probability 1e-15.
//
// One open-addressing table of 24 bytes an entry, doubled while it is three quarters full. At its
// limit a new entry takes the place of the one in its first slot, whichever that is: of more series
// than fit, most are still found, where an order of age would find none of those that come in turn.
//
// A handle may be dead (tinyobs/appender.h); whoever finds out calls Forget.
//
// Thread-safety: thread-safe. Names are looked up many at a time, under one lock of readers, and
// with the table's cache misses overlapped.
#ifndef TINYOBS_LIB_WIRE_SERIES_CACHE_H_
#define TINYOBS_LIB_WIRE_SERIES_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "lib/base/checksum.h"
#include "lib/base/shared_mutex.h"
#include "tinyobs/appender.h"

namespace tinyobs::wire {

// No series has it.
inline constexpr SeriesHandle kNoSeries{UINT64_MAX};

class SeriesCache {
 public:
  struct Entry {
    Fingerprint128 name;
    SeriesHandle series = kNoSeries;
  };

  // Memory is taken as it fills: at most `max_bytes`, and while it grows half of that once more.
  explicit SeriesCache(size_t max_bytes);

  // `dialect` tells apart protocols, or settings, in which the same bytes mean different labels.
  Fingerprint128 NameOf(std::string_view bytes, uint64_t dialect) const {
    return Fingerprint(bytes, seed_ ^ dialect);
  }
  // Fills in the series of each entry; kNoSeries: not known.
  void Find(std::span<Entry> entries) const;
  // Adds them, or replaces what was known.
  void Insert(std::span<const Entry> entries);
  // As if these names had never been seen.
  void Forget(std::span<const Entry> entries);

  size_t bytes() const;

 private:
  // Where `name` is, or the empty slot that ends the search for it. REQUIRES: a table.
  size_t SlotOf(const Fingerprint128& name) const ABSL_SHARED_LOCKS_REQUIRED(mutex_);
  void Grow() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const uint64_t seed_;
  const size_t max_slots_;  // a power of two
  mutable SharedMutex mutex_;
  // A power of two of them, or none. Empty: name is all zeros, which no name hashes to in practice.
  // At least a quarter is empty, so that every search ends.
  std::vector<Entry> slots_ ABSL_GUARDED_BY(mutex_);
  size_t used_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tinyobs::wire

#endif  // TINYOBS_LIB_WIRE_SERIES_CACHE_H_
