// Iterator: a cursor over sorted key-value pairs; the shape every layer of the LSM reads through.
//
// Invariants of every implementation:
//  1. !Valid() whenever status() is not OK: a loop that only asks Valid() never walks past an
//     error, and a loop that ends must ask status() before it believes it saw everything.
//  2. key() and value() are valid until the next call that moves the iterator.
//  3. A new iterator is not Valid() until one of the Seek methods was called.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_BASE_ITERATOR_H_
#define TINYOBS_LIB_BASE_ITERATOR_H_

#include <string_view>

#include "absl/status/status.h"

namespace tinyobs {

class Iterator {
 public:
  virtual ~Iterator() = default;

  virtual bool Valid() const = 0;
  virtual void SeekToFirst() = 0;
  virtual void SeekToLast() = 0;
  // To the first key >= `target`.
  virtual void Seek(std::string_view target) = 0;
  // To the last key <= `target`.
  virtual void SeekForPrev(std::string_view target) = 0;
  // REQUIRES: Valid().
  virtual void Next() = 0;
  virtual void Prev() = 0;
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;

  virtual absl::Status status() const = 0;
};

}  // namespace tinyobs

#endif  // TINYOBS_LIB_BASE_ITERATOR_H_
