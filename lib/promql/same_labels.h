// Series that have become the same by losing a label: merged, or an error.
//
// Prometheus looks in two ways. Functions of an instant vector are evaluated step by step there, so
// two such series are one as long as they never have a value at the same step. Functions of a range
// vector, and the minus sign, go series by series, and two such series are an error.
#ifndef TINYOBS_LIB_PROMQL_SAME_LABELS_H_
#define TINYOBS_LIB_PROMQL_SAME_LABELS_H_

#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "lib/promql/budget.h"
#include "lib/promql/vector.h"

namespace tinyobs::promql {

// FailedPrecondition: "vector cannot contain metrics with the same labelset".
absl::Status SameLabelsError();

// Adds the values of one column to another. False: both have one at the same step.
bool MergeColumn(const std::vector<double>& from, std::vector<double>* into);

// Merges the series with the same labels into the first of each; gives back the columns of the
// others. SameLabelsError() where two have a value at the same step.
absl::Status MergeSameLabels(Vector* vector, Budget* budget);

// Sees each series of a stream once. Thread-safe.
class SameLabelsCheck {
 public:
  // SameLabelsError() for labels that were here before.
  absl::Status Add(const Labels& labels);

 private:
  Mutex mutex_;
  absl::flat_hash_set<std::string> seen_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_SAME_LABELS_H_
