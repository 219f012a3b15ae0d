#include "lib/promql/same_labels.h"

#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/strings.h"

namespace tinyobs::promql {

absl::Status SameLabelsError() {
  return absl::FailedPreconditionError("vector cannot contain metrics with the same labelset");
}

bool MergeColumn(const std::vector<double>& from, std::vector<double>* into) {
  for (size_t i = 0; i < from.size(); ++i) {
    if (IsAbsent(from[i])) continue;
    if (!IsAbsent((*into)[i])) return false;
    (*into)[i] = from[i];
  }
  return true;
}

absl::Status MergeSameLabels(Vector* vector, Budget* budget) {
  absl::flat_hash_map<absl::string_view, size_t> first;
  first.reserve(vector->size());
  size_t kept = 0;
  for (size_t i = 0; i < vector->size(); ++i) {
    VectorSeries& series = (*vector)[i];
    // The key of a short string lies in the object, so the object is where it stays first.
    if (kept != i) (*vector)[kept] = std::move(series);
    VectorSeries& moved = (*vector)[kept];
    const auto [it, is_new] = first.try_emplace(ToAbsl(moved.labels.canonical_bytes()), kept);
    if (is_new) {
      ++kept;
      continue;
    }
    if (!MergeColumn(moved.values, &(*vector)[it->second].values)) return SameLabelsError();
    budget->GiveBack(moved.values.size());
  }
  vector->resize(kept);
  return absl::OkStatus();
}

absl::Status SameLabelsCheck::Add(const Labels& labels) {
  MutexLock lock(&mutex_);
  if (!seen_.insert(labels.canonical_bytes()).second) return SameLabelsError();
  return absl::OkStatus();
}

}  // namespace tinyobs::promql
