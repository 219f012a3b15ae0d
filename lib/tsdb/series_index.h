// SeriesIndex: every series of the database in memory: labels -> ref, ref -> labels, and which
// series a set of matchers accepts. SeriesTable holds it, this guards it.
//
// Lookup is by the seeded fingerprint of the canonical labels; a hit is trusted only after the
// labels themselves were compared.
//
// Matchers: equality starts from posting lists, shortest first. Any other matcher is decided on the
// label's distinct values, not on the series; what a regular expression matches among them is
// remembered (MatcherCache). One that accepts the empty string subtracts the series of the values
// it refuses, because a missing label counts as empty.
//
// Removing marks series dead, which readers skip at once. When the dead outnumber a fifth of the
// living, Remove replaces the table by a copy without them: the copy is made while readers go on,
// they only wait for a pointer to change hands.
//
// Invariant: refs grow with each Add and are never given twice, nor are ids.
//
// Thread-safety: thread-safe; readers share a lock, which is never held for a regular expression
// over more than some hundred values. What changes series (Add, Remove, NewSeriesId, ...) is for
// one thread at a time, the leader of the commit queue, or two could plan the same ref.
#ifndef TINYOBS_LIB_TSDB_SERIES_INDEX_H_
#define TINYOBS_LIB_TSDB_SERIES_INDEX_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "lib/base/shared_mutex.h"
#include "lib/lsm/wal_reader.h"
#include "lib/lsm/wal_writer.h"
#include "lib/model/series_key.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/matcher_cache.h"
#include "lib/tsdb/series_table.h"
#include "tinyobs/labels.h"
#include "tinyobs/matcher.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

class SeriesIndex;

// What series are called, as of the moment this was taken from the index: also of those that are
// removed since. Keeps a table that the index has replaced alive, so let it go with the query.
class SeriesNames {
 public:
  // 0 when there was no such series.
  SeriesId IdOf(SeriesRef ref) const;
  // Of each of them, in their order.
  std::vector<SeriesId> IdsOf(std::span<const SeriesRef> refs) const;
  // Empty when there was no such series.
  Labels LabelsOf(SeriesRef ref) const;

 private:
  friend class SeriesIndex;
  SeriesNames(const SeriesIndex* index, std::shared_ptr<const SeriesTable> table)
      : index_(index), table_(std::move(table)) {}

  const SeriesIndex* index_;
  std::shared_ptr<const SeriesTable> table_;
};

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
  uint64_t size() const;
  // The ref and metric id to give next; greater than all ever given.
  SeriesRef next_ref() const;
  uint32_t next_metric_id() const;
  SeriesRef ref_limit() const { return next_ref(); }
  // Counts the calls of Remove: as long as it stays, every ref that was found is still there.
  uint64_t removals() const;
  // One more than the largest ref that was added here; what is added next must not be below.
  SeriesRef series_end() const;

  // --- The leader only.
  // Tells of refs and metric ids that were given in an earlier life.
  void RaiseNext(SeriesRef next_ref, uint32_t next_metric_id);
  // The id of a new series of this metric under a ref that no series had: metric id << 32 | ref.
  SeriesId NewSeriesId(std::string_view metric, SeriesRef ref);
  // REQUIRES: ref greater than those of all series that are here; labels canonical and not there.
  void Add(SeriesRef ref, SeriesId id, std::string_view canonical_labels);
  // REQUIRES: Contains each.
  void Remove(std::span<const SeriesRef> refs);
  // For filling it from elsewhere, series in any order: a table, and replacing everything by it
  // once it has its posting lists.
  std::unique_ptr<SeriesTable> NewTable() const { return std::make_unique<SeriesTable>(seed_); }
  void Adopt(std::unique_ptr<SeriesTable> table);

  // Zero and empty, respectively, when there is no such series.
  SeriesId IdOf(SeriesRef ref) const;
  Labels LabelsOf(SeriesRef ref) const;
  // Both, appending the labels; false when there is no such series.
  bool Describe(SeriesRef ref, SeriesId* id, std::string* canonical_labels) const;
  SeriesNames PinNames() const;
  // In the order of Labels' operator<; the first `limit` of them, 0 = all. Those that are no series
  // any more are left out.
  void SortByLabels(std::vector<SeriesRef>* refs, size_t limit = 0) const;

  // The series all `matchers` accept, ascending, as of one instant: `ref_limit` says which series
  // existed then.
  struct MatchResult {
    std::vector<SeriesRef> refs;
    SeriesRef ref_limit = 0;
  };
  MatchResult Match(std::span<const Matcher> matchers) const;
  // Whether all `matchers` accept this one series; false when there is none.
  bool Matches(SeriesRef ref, std::span<const Matcher> matchers) const;

  // Sorted, each once: those of the series `refs`, or, without, of all.
  std::vector<std::string> LabelNames(const std::vector<SeriesRef>* refs = nullptr,
                                      const ListHints& hints = {}) const;
  std::vector<std::string> LabelValues(std::string_view name,
                                       const std::vector<SeriesRef>* refs = nullptr,
                                       const ListHints& hints = {}) const;

  // Writes all series below `end` as records of a log, and how many; see FORMAT.md. Takes the lock
  // for some thousand series at a time, so commits go on. Aborted: series were removed meanwhile.
  // Errors of the writer.
  absl::Status AppendSnapshot(SeriesRef end, lsm::WalWriter* writer) const;
  // Replaces everything by what AppendSnapshot wrote; `end` gets the one it was called with.
  // DataLoss: not whole, or not what it writes; then the index is as it was. ResourceExhausted: its
  // series take more than `most_bytes`; as soon as that is known.
  absl::Status LoadSnapshot(lsm::WalReader* reader, SeriesRef* end, size_t most_bytes = SIZE_MAX);

  // Exact but for the allocator's own. Any time, cheap.
  size_t MemoryBytes() const;

 private:
  friend class SeriesNames;
  using Refs = std::vector<SeriesRef>;
  // The pairs of a label that decide a matcher: the series that have one of them are those it
  // accepts, or those it refuses.
  struct Listed {
    std::vector<PairNumber> pairs;
    bool accepted = true;
  };

  void Replace(std::shared_ptr<SeriesTable> table) ABSL_LOCKS_EXCLUDED(lock_);
  // Evaluates at most `limit` values that are not known yet; false when there are more.
  bool ListPairs(const Matcher& matcher, const SeriesTable::Name& name, size_t limit,
                 Listed* listed) const ABSL_SHARED_LOCKS_REQUIRED(lock_);
  // The series of these pairs of one label, ascending; the dead included.
  Refs Union(std::span<const PairNumber> pairs, uint64_t count) const
      ABSL_SHARED_LOCKS_REQUIRED(lock_);
  // Keeps the series for whose pair of this name (or kNoNumber) `accept` is true.
  template <typename Accept>
  void EraseUnless(Refs* refs, NameNumber name, Accept accept) const
      ABSL_SHARED_LOCKS_REQUIRED(lock_);
  // Narrows `refs` (none yet = all series) to what the matcher accepts.
  void Narrow(const Matcher& matcher, std::optional<Refs>* refs) const
      ABSL_SHARED_LOCKS_REQUIRED(lock_);
  Refs AllRefs() const ABSL_SHARED_LOCKS_REQUIRED(lock_);

  const uint64_t seed_;
  mutable SharedMutex lock_;
  // Replaced as a whole; changed in place by the leader only, under the lock.
  std::shared_ptr<SeriesTable> table_ ABSL_GUARDED_BY(lock_);
  mutable MatcherCache cache_;  // of table_: cleared with it
  SeriesRef next_ref_ ABSL_GUARDED_BY(lock_) = 0;
  uint32_t next_metric_id_ ABSL_GUARDED_BY(lock_) = 1;
  uint64_t removals_ ABSL_GUARDED_BY(lock_) = 0;
  // Of metrics whose first series is planned but not added.
  absl::flat_hash_map<std::string, uint32_t> planned_metrics_ ABSL_GUARDED_BY(lock_);
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_SERIES_INDEX_H_
