// UserIterator: internal entries -> what the user sees at one sequence: the newest visible version
// of each key, tombstones hidden, within bounds.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_LSM_USER_ITERATOR_H_
#define TINYOBS_LIB_LSM_USER_ITERATOR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "lib/base/iterator.h"

namespace tinyobs::lsm {

struct UserIteratorOptions {
  uint64_t sequence = 0;
  // [lower_bound, upper_bound) in user keys; empty = unbounded.
  std::string lower_bound;
  std::string upper_bound;
  // As in ReadOptions: upper_bound follows each Seek.
  size_t seek_prefix_bytes = 0;
  // Kept until the iterator dies: the memtables and the version that `entries` reads.
  std::shared_ptr<const void> pinned;
};

// `entries` is over internal keys.
std::unique_ptr<Iterator> NewUserIterator(UserIteratorOptions options,
                                          std::unique_ptr<Iterator> entries);

// Not Valid(), with this status.
std::unique_ptr<Iterator> NewErrorIterator(absl::Status status);

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_USER_ITERATOR_H_
