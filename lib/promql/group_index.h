// GroupIndex: from a series to the group that by, without, on or ignoring put it in.
//
// Thread-safety: one thread's.
#ifndef TINYOBS_LIB_PROMQL_GROUP_INDEX_H_
#define TINYOBS_LIB_PROMQL_GROUP_INDEX_H_

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/strings.h"
#include "lib/promql/label_sets.h"

namespace tinyobs::promql {

// Numbers groups 0, 1, 2, ... in the order in which they are first seen.
class GroupIndex {
 public:
  explicit GroupIndex(LabelSubset subset) : subset_(std::move(subset)) {}

  // The number of the group; size() before the call if it is new.
  size_t Of(const Labels& labels) { return OfKey(subset_.Of(labels)); }
  size_t OfKey(std::string_view key) {
    // Series come in order, mostly: the next one is often of the same group.
    if (!keys_.empty() && last_key_ == key) return last_;
    const auto found = index_.find(ToAbsl(key));
    if (found != index_.end()) {
      last_ = found->second;
    } else {
      last_ = keys_.size();
      keys_.emplace_back(key);
      index_.emplace(ToAbsl(keys_.back()), last_);
    }
    last_key_ = keys_[last_];
    return last_;
  }

  size_t size() const { return keys_.size(); }
  // Canonical bytes of the group's labels.
  const std::string& key(size_t group) const { return keys_[group]; }
  Labels LabelsOf(size_t group) const { return LabelsOfSubset(keys_[group]); }

 private:
  LabelSubset subset_;
  std::deque<std::string> keys_;  // a deque: index_ and last_key_ point into it
  absl::flat_hash_map<absl::string_view, size_t> index_;
  size_t last_ = 0;
  std::string_view last_key_;
};

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_GROUP_INDEX_H_
