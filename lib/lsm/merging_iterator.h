// MergingIterator: several sorted cursors as one.
//
// A binary heap of the children by their current key. Each child's key is kept next to the heap, so
// a comparison makes no virtual call, and a step costs one virtual Next and, while the same child
// stays in front, two comparisons.
//
// Invariants:
//  1. All children hold different keys (sequence numbers make internal keys unique).
//  2. While the direction is forward, every child other than the front one stands on its first key
//     behind the current key; backward, on its last key before it.
//  3. An error of any child makes the iterator !Valid() with that status: a merge that went on
//     without one child would bring deleted keys back.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_LSM_MERGING_ITERATOR_H_
#define TINYOBS_LIB_LSM_MERGING_ITERATOR_H_

#include <memory>
#include <vector>

#include "lib/base/iterator.h"

namespace tinyobs::lsm {

// Over internal keys. An only child is returned as it is.
std::unique_ptr<Iterator> NewMergingIterator(std::vector<std::unique_ptr<Iterator>> children);

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_MERGING_ITERATOR_H_
