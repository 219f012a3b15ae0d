// SeriesTable: label sets, their refs and their posting lists, without locks: what SeriesIndex
// guards and, when too much of it is dead, replaces.
//
// A label pair is stored once, as the canonical bytes it has in every label set (name and value
// with their lengths), and has a number. A series is the list of its pairs' numbers (1-3 bytes
// each), because the same few hundred names and values make up a million label sets. So comparing a
// series with canonical labels is one memcmp a label. A million series of 8 labels, 100 metrics of
// 10,000 hosts, take 58 bytes each, posting lists included.
//
// Entries are in pages of 64 refs, pages in groups of 128, because series come and go: what is left
// of ten million refs must cost memory for the hundred thousand that are alive. A page has entries
// for the refs that were ever added to it, packed; a bit each says which.
//
// Removed series stay in the posting lists, marked dead in their page, until the table is replaced
// by its Compacted copy: removing from the middle of a delta-coded list would rewrite it. Their
// entries stay readable as long, so that a query that found a series can still say its name.
//
// Invariants: a pair's list is ascending; `live` counts are exact; no two living series have equal
// labels.
//
// Thread-safety: thread-compatible.
#ifndef TINYOBS_LIB_TSDB_SERIES_TABLE_H_
#define TINYOBS_LIB_TSDB_SERIES_TABLE_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/arena.h"
#include "lib/base/checksum.h"
#include "lib/base/coding.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/number_table.h"
#include "lib/tsdb/postings.h"

namespace tinyobs::tsdb {

using PairNumber = uint32_t;
using NameNumber = uint32_t;
inline constexpr uint32_t kNoNumber = NumberTable::kNone;
inline constexpr SeriesRef kNoSeries = NumberTable::kNone;

// Whether these are labels as every series has them: canonical, with a metric name.
bool AreSeriesLabels(std::string_view bytes);

class SeriesTable {
 public:
  struct Pair {
    const char* text = nullptr;  // canonical bytes: name and value, each behind its length
    uint32_t value_at = 0;       // offset of the value's bytes in them
    uint32_t value_bytes = 0;
    NameNumber name = 0;
    uint32_t position = 0;   // among the pairs of its name
    uint32_t live = 0;       // series
    uint32_t metric_id = 0;  // of a metric name, 0 = none yet
    Postings postings;

    std::string_view bytes() const { return {text, size_t{value_at} + value_bytes}; }
    std::string_view value() const { return {text + value_at, value_bytes}; }
  };
  struct Name {
    std::string_view name;
    std::vector<PairNumber> pairs;  // in order of creation; only grows
    uint64_t live = 0;              // series
  };
  struct Series {
    const char* pairs = nullptr;  // numbers as varints, by label name
    SeriesId id = 0;
    uint32_t hash = 0;  // HashOf its labels
    uint32_t pairs_bytes = 0;
  };

  explicit SeriesTable(uint64_t seed) : seed_(seed) {}
  SeriesTable(const SeriesTable&) = delete;
  SeriesTable& operator=(const SeriesTable&) = delete;

  // --- Building. Seeded, because clients choose what is hashed.
  uint32_t HashOf(std::string_view bytes) const {
    return static_cast<uint32_t>(Fingerprint(bytes, seed_).low);
  }
  // The number of this pair, a new one if need be. REQUIRES: canonical.
  PairNumber PairFor(std::string_view pair_bytes);
  // Adds a series, in no posting list yet. False: the ref is or was taken, or the labels are there.
  // REQUIRES: pairs by name, at least one; `hash` is HashOf the canonical labels.
  bool Insert(SeriesRef ref, SeriesId id, uint32_t hash, std::span<const PairNumber> pairs);
  // The same from canonical labels.
  bool Insert(SeriesRef ref, SeriesId id, std::string_view canonical_labels);
  // Appends it to its lists. REQUIRES: inserted; greater than all refs in the lists.
  void Post(SeriesRef ref);
  // The same for all series of a table that has no lists yet; refs may have come in any order.
  void PostAll();
  void ReserveSeries(size_t count) { by_labels_.Reserve(count); }
  // REQUIRES: Lives(ref).
  void Remove(SeriesRef ref);
  // What lives, and nothing else. Costs about 0.3 us a series.
  std::unique_ptr<SeriesTable> Compacted() const;

  // --- Reading
  uint64_t live() const { return live_; }
  uint64_t dead() const { return dead_; }  // in the lists
  // One more than the largest ref ever inserted here.
  SeriesRef ref_end() const { return ref_end_; }
  size_t MemoryBytes() const;

  bool Lives(SeriesRef ref) const {
    const Page* const page = PageOf(ref);
    return page != nullptr && (page->live >> (ref % kPageRefs) & 1) != 0;
  }
  // Also of a dead series that is not compacted away yet; nullptr when there is none.
  const Series* EntryOf(SeriesRef ref) const {
    const Page* const page = PageOf(ref);
    return page == nullptr ? nullptr : page->EntryOf(ref);
  }
  // Calls visit(ref) for the living refs of [begin, end), ascending, until it returns false;
  // returns the ref to go on with.
  template <typename Visit>
  SeriesRef ForEachLivingFrom(SeriesRef begin, SeriesRef end, Visit visit) const;
  // All of them.
  template <typename Visit>
  void ForEachLiving(Visit visit) const {
    ForEachLivingFrom(0, ref_end_, [&](SeriesRef ref) {
      visit(ref);
      return true;
    });
  }

  SeriesRef Find(std::string_view canonical_labels, uint32_t hash) const {
    return by_labels_.Find(hash, [&](SeriesRef ref) { return Equals(ref, canonical_labels); });
  }
  // REQUIRES: inserted.
  void PrefetchEntry(SeriesRef ref) const { __builtin_prefetch(PageOf(ref)->EntryOf(ref)); }
  bool Equals(SeriesRef ref, std::string_view canonical_labels) const;

  uint32_t pair_count() const { return pair_count_; }
  const Pair& PairAt(PairNumber number) const {
    return pair_blocks_[number / kBlockPairs][number % kBlockPairs];
  }
  // nullptr when no series ever had it; it may have no living series.
  const Pair* FindPair(std::string_view name, std::string_view value) const;
  const std::vector<Name>& names() const { return names_; }
  const Name* FindName(std::string_view name) const {
    const auto found = name_numbers_.find(name);
    return found == name_numbers_.end() ? nullptr : &names_[found->second];
  }

  // Calls visit(number, pair) for each label of the series, by name, until it returns false.
  template <typename Visit>
  void ForEachPair(const Series& series, Visit visit) const {
    const char* at = series.pairs;
    const char* const limit = at + series.pairs_bytes;
    while (at < limit) {
      uint64_t number = 0;
      at = LoadVarint64(at, limit, &number);
      const auto pair = static_cast<PairNumber>(number);
      if (!visit(pair, PairAt(pair))) return;
    }
  }
  void AppendLabels(const Series& series, std::string* canonical_labels) const {
    ForEachPair(series, [&](PairNumber, const Pair& pair) {
      canonical_labels->append(pair.bytes());
      return true;
    });
  }
  // The number of its pair of this name, or kNoNumber.
  PairNumber PairOf(const Series& series, NameNumber name) const;
  // 0 = none yet.
  uint32_t MetricId(std::string_view metric) const;

 private:
  static constexpr uint32_t kPageRefs = 64;
  static constexpr uint32_t kGroupPages = 128;
  static constexpr uint32_t kBlockPairs = 128;

  struct ViewHash {
    size_t operator()(std::string_view bytes) const { return Checksum64(bytes); }
  };
  struct Page {
    uint64_t live = 0;
    uint64_t present = 0;               // refs with an entry, the dead too
    std::unique_ptr<Series[]> entries;  // of those, in order; Room() of them

    Series* EntryOf(SeriesRef ref) const {
      if (present == UINT64_MAX) return &entries[ref % kPageRefs];
      const uint64_t bit = uint64_t{1} << ref % kPageRefs;
      return (present & bit) == 0 ? nullptr : &entries[std::popcount(present & (bit - 1))];
    }
    size_t Room() const {
      return entries == nullptr ? 0 : std::max(4u, std::bit_ceil<unsigned>(std::popcount(present)));
    }
  };
  using Group = std::array<Page, kGroupPages>;

  const Page* PageOf(SeriesRef ref) const {
    const size_t group = ref / (kPageRefs * kGroupPages);
    if (group >= groups_.size() || groups_[group] == nullptr) return nullptr;
    return &(*groups_[group])[ref / kPageRefs % kGroupPages];
  }
  Page* MutablePage(SeriesRef ref) { return const_cast<Page*>(PageOf(ref)); }
  // A new entry for a ref that has none.
  Series* MakeEntry(SeriesRef ref);
  Pair& MutablePair(PairNumber number) {
    return pair_blocks_[number / kBlockPairs][number % kBlockPairs];
  }
  std::string_view Store(std::string_view bytes);

  const uint64_t seed_;
  Arena arena_;
  std::vector<std::unique_ptr<Group>> groups_;
  NumberTable by_labels_;  // living series
  std::vector<std::unique_ptr<Pair[]>> pair_blocks_;
  uint32_t pair_count_ = 0;
  NumberTable by_pair_;
  std::vector<Name> names_;
  absl::flat_hash_map<std::string_view, NameNumber, ViewHash> name_numbers_;
  SeriesRef ref_end_ = 0;
  uint64_t live_ = 0;
  uint64_t dead_ = 0;
  size_t page_bytes_ = 0;
  size_t postings_bytes_ = 0;
};

template <typename Visit>
SeriesRef SeriesTable::ForEachLivingFrom(SeriesRef begin, SeriesRef end, Visit visit) const {
  for (SeriesRef ref = begin; ref < end;) {
    const SeriesRef page_end = ref / kPageRefs * kPageRefs + kPageRefs;
    const size_t group = ref / (kPageRefs * kGroupPages);
    if (group >= groups_.size()) return end;
    if (groups_[group] == nullptr) {
      ref = static_cast<SeriesRef>((group + 1) * kPageRefs * kGroupPages);
      continue;
    }
    uint64_t left = PageOf(ref)->live & UINT64_MAX << ref % kPageRefs;
    for (; left != 0; left &= left - 1) {
      const SeriesRef at = page_end - kPageRefs + static_cast<SeriesRef>(std::countr_zero(left));
      if (at >= end) return end;
      if (!visit(at)) return at + 1;
    }
    ref = page_end;
  }
  return end;
}

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_SERIES_TABLE_H_
