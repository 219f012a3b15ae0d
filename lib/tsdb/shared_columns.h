// SharedColumns: sorted samples that one writer extends while readers look at what they were given.
//
// A query must see the head as it was at one instant, and a million open chunks cannot be copied
// under a lock. So a query pins: it takes a reference to the columns and their length. Appending at
// the end is invisible to it, because it stays within the length; anything else (a late sample in
// the middle, a second value for the same time, growing beyond the capacity) is done on a fresh
// copy when somebody may be looking. The copy costs at most one chunk, and only where both happen.
//
// Invariant: while `pinned_`, elements [0, length at the last Pin) and the buffers never change.
//
// Thread-safety: the writer's methods, Pin included, under one lock; a Pin is read without any.
#ifndef TINYOBS_LIB_TSDB_SHARED_COLUMNS_H_
#define TINYOBS_LIB_TSDB_SHARED_COLUMNS_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>

#include "lib/base/check.h"
#include "tinyobs/sample.h"

namespace tinyobs::tsdb {

// A stretch of samples that does not change, and what keeps it alive.
struct PinnedColumns {
  std::shared_ptr<const Columns> owner;
  std::span<const int64_t> timestamps_ms;
  std::span<const double> values;

  bool empty() const { return timestamps_ms.empty(); }
  size_t size() const { return timestamps_ms.size(); }
};

inline PinnedColumns PinWhole(std::shared_ptr<const Columns> columns) {
  PinnedColumns pin;
  pin.timestamps_ms = columns->timestamps_ms;
  pin.values = columns->values;
  pin.owner = std::move(columns);
  return pin;
}

class SharedColumns {
 public:
  bool empty() const { return columns_ == nullptr; }
  size_t size() const { return columns_ == nullptr ? 0 : columns_->size(); }
  // REQUIRES: not empty, as does last_ms().
  int64_t first_ms() const { return columns_->timestamps_ms.front(); }
  int64_t last_ms() const { return columns_->timestamps_ms.back(); }

  // Puts the sample in its place; the value of a time that is there already is replaced. Returns
  // whether the time is new. O(1) at the end, O(size) elsewhere.
  bool Put(int64_t timestamp_ms, double value) {
    if (columns_ == nullptr) columns_ = std::make_shared<Columns>();
    auto& times = columns_->timestamps_ms;
    if (times.empty() || timestamp_ms > times.back()) {
      Reserve();
      columns_->Add(timestamp_ms, value);
      return true;
    }
    if (pinned_) Copy(columns_->size() + 1);
    return Insert(timestamp_ms, value);
  }

  PinnedColumns Pin() {
    if (columns_ == nullptr) return {};
    pinned_ = true;
    return PinWhole(columns_);
  }

  // Hands the samples over and is empty afterwards.
  std::shared_ptr<const Columns> Take() {
    pinned_ = false;
    return std::move(columns_);
  }

  size_t MemoryBytes() const {
    return columns_ == nullptr
               ? 0
               : sizeof(Columns) + columns_->timestamps_ms.capacity() * sizeof(Sample);
  }

 private:
  void Reserve() {
    auto& times = columns_->timestamps_ms;
    if (times.size() < std::min(times.capacity(), columns_->values.capacity())) return;
    const size_t capacity = std::max<size_t>(4, times.size() * 2);
    if (pinned_) {
      Copy(capacity);
    } else {
      times.reserve(capacity);
      columns_->values.reserve(capacity);
    }
  }

  void Copy(size_t capacity) {
    auto copy = std::make_shared<Columns>();
    copy->timestamps_ms.reserve(capacity);
    copy->values.reserve(capacity);
    copy->timestamps_ms.assign(columns_->timestamps_ms.begin(), columns_->timestamps_ms.end());
    copy->values.assign(columns_->values.begin(), columns_->values.end());
    columns_ = std::move(copy);
    pinned_ = false;
  }

  bool Insert(int64_t timestamp_ms, double value) {
    auto& times = columns_->timestamps_ms;
    auto& values = columns_->values;
    const auto at = std::lower_bound(times.begin(), times.end(), timestamp_ms);
    const auto index = at - times.begin();
    if (*at == timestamp_ms) {
      values[index] = value;
      return false;
    }
    times.insert(at, timestamp_ms);
    values.insert(values.begin() + index, value);
    return true;
  }

  std::shared_ptr<Columns> columns_;  // null = empty; shared with pins
  bool pinned_ = false;               // somebody may be looking at columns_
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_SHARED_COLUMNS_H_
