// MatcherCache: which values of a label a regular expression matches, remembered between queries.
//
// A dashboard asks the same expressions again and again, and RE2 over ten thousand values costs a
// millisecond each time. What is kept is one bit a value, in the order in which values came into
// the index: new ones only ever stand at the end, so an entry never becomes wrong, only short, and
// the next query evaluates what is missing. Not the resulting series: those change with every
// series that comes. When the index replaces its table, which renumbers values, everything is
// dropped.
//
// Bounded: kMaxEntries expressions, kMaxBytes (the newest may exceed it), least recently used goes.
//
// Thread-safety: thread-safe, but the table must not change during a call.
#ifndef TINYOBS_LIB_TSDB_MATCHER_CACHE_H_
#define TINYOBS_LIB_TSDB_MATCHER_CACHE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/mutex.h"
#include "lib/tsdb/series_table.h"
#include "tinyobs/matcher.h"

namespace tinyobs::tsdb {

class MatcherCache {
 public:
  static constexpr size_t kMaxEntries = 256;
  static constexpr size_t kMaxBytes = 4 << 20;

  // Evaluates up to `limit` values that are not known yet. When all are: true, and the pairs of
  // `name` whose value the expression matches (without the matcher's negation), or does not match,
  // are appended to `pairs`. REQUIRES: `regex` is one (or the negation of one) on the label `name`;
  // all its matches begin with `prefix`.
  bool List(const SeriesTable& table, const SeriesTable::Name& name, const Matcher& regex,
            std::string_view prefix, size_t limit, bool matching, std::vector<PairNumber>* pairs);
  void Clear();
  size_t MemoryBytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  struct Entry {
    Mutex mutex;
    std::vector<uint64_t> bits ABSL_GUARDED_BY(mutex);
    size_t evaluated ABSL_GUARDED_BY(mutex) = 0;
    // Under the cache's mutex:
    size_t bytes = 0;
    uint64_t last_use = 0;
    bool kept = true;  // still in the cache
  };

  std::shared_ptr<Entry> EntryFor(const Matcher& regex);

  Mutex mutex_;
  absl::flat_hash_map<std::string, std::shared_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);
  uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
  std::atomic<size_t> bytes_{0};
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_MATCHER_CACHE_H_
