#include "lib/promql/same_labels.h"

#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/strings.h"

namespace tinyobs::promql {

absl::Status SameLabelsError() {
  return absl::FailedPreconditionError("vector cannot contain metrics with the same labelset");
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
    VectorSeries& into = (*vector)[it->second];
    for (size_t step = 0; step < into.values.size(); ++step) {
      if (IsAbsent(moved.values[step])) continue;
      if (!IsAbsent(into.values[step])) return SameLabelsError();
      into.values[step] = moved.values[step];
    }
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
