// Postings: which series have one label pair, as an ascending list of refs.
//
// Kept as varints of the distances, because a series appears in as many lists as it has labels and
// a plain array would cost 4 bytes each time where 1-2 do. Refs are given in order of creation, so
// adding is appending. Lists are read from front to back, which intersection wants anyway.
//
// Thread-safety: thread-compatible.
#ifndef TINYOBS_LIB_TSDB_POSTINGS_H_
#define TINYOBS_LIB_TSDB_POSTINGS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/tsdb/key_schema.h"

namespace tinyobs::tsdb {

class Postings {
 public:
  // REQUIRES: greater than every ref before.
  void Append(SeriesRef ref) {
    TINYOBS_DCHECK(count_ == 0 || ref > last_);
    PutVarint64(&distances_, count_ == 0 ? ref : ref - last_);
    last_ = ref;
    ++count_;
  }

  size_t count() const { return count_; }
  // On the heap.
  size_t MemoryBytes() const {
    constexpr size_t kInPlaceBytes = 15;  // of a std::string
    return distances_.capacity() <= kInPlaceBytes ? 0 : distances_.capacity() + 1;
  }
  // Gives back the room for growth.
  void Shrink() { distances_.shrink_to_fit(); }

  // Calls visit(ref) for each, ascending.
  template <typename Visit>
  void ForEach(Visit visit) const {
    const char* at = distances_.data();
    const char* const limit = at + distances_.size();
    uint64_t ref = 0;
    while (at < limit) {
      uint64_t distance = 0;
      at = LoadVarint64(at, limit, &distance);
      ref += distance;
      visit(static_cast<SeriesRef>(ref));
    }
  }

  std::vector<SeriesRef> ToVector() const {
    std::vector<SeriesRef> refs;
    refs.reserve(count_);
    ForEach([&](SeriesRef ref) { refs.push_back(ref); });
    return refs;
  }

  // Removes from the sorted `refs` what is not in this list.
  void IntersectInto(std::vector<SeriesRef>* refs) const {
    size_t kept = 0;
    size_t at = 0;
    ForEach([&](SeriesRef ref) {
      while (at < refs->size() && (*refs)[at] < ref) ++at;
      if (at < refs->size() && (*refs)[at] == ref) (*refs)[kept++] = ref;
    });
    refs->resize(kept);
  }

 private:
  std::string distances_;
  SeriesRef last_ = 0;
  uint32_t count_ = 0;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_POSTINGS_H_
