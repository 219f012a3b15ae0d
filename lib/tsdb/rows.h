// Walks over rows of the LSM: all of a kind, of a series, of a partition.
//
// Whoever walks meets each row once, so none is put into the block cache, where it would only push
// out what queries come back to. (Few lookups at a time go to the store itself.)
//
// Thread-safety: an iterator is one thread's.
#ifndef TINYOBS_LIB_TSDB_ROWS_H_
#define TINYOBS_LIB_TSDB_ROWS_H_

#include <memory>
#include <string>
#include <utility>

#include "lib/base/iterator.h"
#include "lib/lsm/store.h"

namespace tinyobs::tsdb {

// On the first of the rows whose keys begin with `prefix`. `snapshot`: null = the newest state.
inline std::unique_ptr<Iterator> RowsOf(const lsm::Store* store, std::string prefix,
                                        const lsm::Snapshot* snapshot = nullptr) {
  lsm::ReadOptions options;
  options.snapshot = snapshot;
  options.prefix = std::move(prefix);
  options.fill_cache = false;
  auto rows = store->NewIterator(options);
  rows->SeekToFirst();
  return rows;
}

// On the first of the rows [first, end).
inline std::unique_ptr<Iterator> RowsBetween(const lsm::Store* store, std::string first,
                                             std::string end) {
  lsm::ReadOptions options;
  options.lower_bound = std::move(first);
  options.upper_bound = std::move(end);
  options.fill_cache = false;
  auto rows = store->NewIterator(options);
  rows->SeekToFirst();
  return rows;
}

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_ROWS_H_
