// SeriesIndex: every series of the database in memory: labels -> ref, ref -> labels, and which
// series a set of matchers accepts.
//
// A label pair is stored once and has a number; a series is the list of its pairs' numbers (1-3
// bytes each), because the same few hundred names and values make up a million label sets. Each
// pair has its posting list. Lookup is by the seeded fingerprint of the canonical labels; a hit is
// trusted only after the labels themselves were compared.
//
// Matchers: equality starts from posting lists, shortest first. Any other matcher is then decided
// either on the candidates that are left or on the label's distinct values, whichever are fewer;
// one that accepts the empty string subtracts the series of the values it refuses, because a
// missing label counts as empty.
//
// Invariants: refs grow with each Add and are never reused; a pair's list is ascending.
//
// Thread-safety: thread-safe; readers share a lock. Add and NewSeriesId are meant for one writer
// (the leader of the commit queue), or two writers could plan the same ref.
#ifndef TINYOBS_LIB_TSDB_SERIES_INDEX_H_
#define TINYOBS_LIB_TSDB_SERIES_INDEX_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "lib/base/arena.h"
#include "lib/base/checksum.h"
#include "lib/base/coding.h"
#include "lib/base/shared_mutex.h"
#include "lib/model/series_key.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/postings.h"
#include "tinyobs/labels.h"
#include "tinyobs/matcher.h"

namespace tinyobs::tsdb {

class SeriesIndex {
 public:
  // `seed`: of the fingerprints, the database's own.
  explicit SeriesIndex(uint64_t seed);
  SeriesIndex(const SeriesIndex&) = delete;
  SeriesIndex& operator=(const SeriesIndex&) = delete;

  SeriesKey KeyOf(std::string_view canonical_labels) const {
    return SeriesKeyOfCanonicalBytes(canonical_labels, seed_);
  }
  std::optional<SeriesRef> Find(std::string_view canonical_labels, const SeriesKey& key) const;
  bool Contains(SeriesRef ref) const;
  // Series, and one more than the largest ref.
  uint64_t size() const;
  SeriesRef ref_limit() const;

  // An id that no series has or had, for a series of this metric. Ids that are not used stay
  // unused.
  SeriesId NewSeriesId(std::string_view metric);
  // REQUIRES: ref >= ref_limit(), labels canonical and not there yet.
  void Add(SeriesRef ref, SeriesId id, std::string_view canonical_labels);

  // REQUIRES: Contains(ref), as do the others that take refs.
  SeriesId IdOf(SeriesRef ref) const;
  Labels LabelsOf(SeriesRef ref) const;
  void AppendCanonicalLabels(SeriesRef ref, std::string* out) const;
  // In the order of Labels' operator<.
  void SortByLabels(std::vector<SeriesRef>* refs) const;

  // The series all `matchers` accept, ascending, as of one instant: `ref_limit` says which series
  // existed then.
  struct MatchResult {
    std::vector<SeriesRef> refs;
    SeriesRef ref_limit = 0;
  };
  MatchResult Match(std::span<const Matcher> matchers) const;
  // Whether all `matchers` accept this one series; false when there is none.
  bool Matches(SeriesRef ref, std::span<const Matcher> matchers) const;

  // Sorted, each once. Over all series, or over `refs` only.
  std::vector<std::string> LabelNames() const;
  std::vector<std::string> LabelNames(std::span<const SeriesRef> refs) const;
  std::vector<std::string> LabelValues(std::string_view name) const;
  std::vector<std::string> LabelValues(std::string_view name,
                                       std::span<const SeriesRef> refs) const;

  // Estimated.
  size_t MemoryBytes() const;

 private:
  using PairNumber = uint32_t;
  struct ViewHash {
    size_t operator()(std::string_view bytes) const { return Checksum64(bytes); }
  };
  struct Pair {
    std::string_view name;  // both in arena_
    std::string_view value;
    Postings postings;
  };
  struct Name {
    absl::flat_hash_map<std::string_view, PairNumber, ViewHash> values;
  };
  struct Metric {
    uint32_t id = 0;
    uint32_t next_number = 0;
  };
  struct Series {
    SeriesId id = 0;
    uint64_t hash = 0;            // low half of the fingerprint
    const char* pairs = nullptr;  // varints in arena_; nullptr = no such series
    uint32_t pairs_bytes = 0;
  };
  struct LookupKey {
    std::string_view canonical_labels;
    uint64_t hash;
  };
  struct RefHash {
    using is_transparent = void;
    const SeriesIndex* index;
    size_t operator()(SeriesRef ref) const { return index->HashOf(ref); }
    size_t operator()(const LookupKey& key) const { return key.hash; }
  };
  struct RefEqual {
    using is_transparent = void;
    const SeriesIndex* index;
    bool operator()(SeriesRef a, SeriesRef b) const { return a == b; }
    bool operator()(SeriesRef ref, const LookupKey& key) const { return index->Equals(ref, key); }
    bool operator()(const LookupKey& key, SeriesRef ref) const { return index->Equals(ref, key); }
  };

  // Called by the hash set, that is under lock_.
  uint64_t HashOf(SeriesRef ref) const ABSL_NO_THREAD_SAFETY_ANALYSIS { return series_[ref].hash; }
  bool Equals(SeriesRef ref, const LookupKey& key) const ABSL_NO_THREAD_SAFETY_ANALYSIS;

  // Calls visit(pair) for each label of the series, by name, until it returns false.
  template <typename Visit>
  void ForEachPair(SeriesRef ref, Visit visit) const ABSL_SHARED_LOCKS_REQUIRED(lock_);
  std::string_view ValueOf(SeriesRef ref, std::string_view name) const
      ABSL_SHARED_LOCKS_REQUIRED(lock_);
  bool LessByLabels(SeriesRef a, SeriesRef b) const ABSL_SHARED_LOCKS_REQUIRED(lock_);
  PairNumber PairFor(std::string_view name, std::string_view value)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  std::string_view Store(std::string_view bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);
  void NoteId(std::string_view metric, SeriesId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(lock_);

  std::vector<SeriesRef> AllRefs() const ABSL_SHARED_LOCKS_REQUIRED(lock_);
  // The series of all values of a label for which Matches() is `matching`.
  std::vector<SeriesRef> RefsOfValues(const Name& name, const Matcher& matcher, bool matching) const
      ABSL_SHARED_LOCKS_REQUIRED(lock_);
  // Narrows `refs` (none yet = all series) to what the matcher accepts.
  void Narrow(const Matcher& matcher, std::optional<std::vector<SeriesRef>>* refs) const
      ABSL_SHARED_LOCKS_REQUIRED(lock_);

  const uint64_t seed_;
  mutable SharedMutex lock_;
  Arena arena_ ABSL_GUARDED_BY(lock_);
  std::vector<Series> series_ ABSL_GUARDED_BY(lock_);  // by ref
  uint64_t count_ ABSL_GUARDED_BY(lock_) = 0;
  absl::flat_hash_set<SeriesRef, RefHash, RefEqual> by_labels_ ABSL_GUARDED_BY(lock_);
  std::deque<Pair> pairs_ ABSL_GUARDED_BY(lock_);
  absl::flat_hash_map<std::string_view, Name, ViewHash> names_ ABSL_GUARDED_BY(lock_);
  absl::flat_hash_map<std::string_view, Metric, ViewHash> metrics_ ABSL_GUARDED_BY(lock_);
  uint32_t next_metric_id_ ABSL_GUARDED_BY(lock_) = 1;
};

template <typename Visit>
void SeriesIndex::ForEachPair(SeriesRef ref, Visit visit) const {
  const Series& series = series_[ref];
  const char* at = series.pairs;
  const char* const limit = at + series.pairs_bytes;
  while (at < limit) {
    uint64_t number = 0;
    at = LoadVarint64(at, limit, &number);
    if (!visit(pairs_[number])) return;
  }
}

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_SERIES_INDEX_H_
