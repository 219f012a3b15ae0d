// Label sets cut down and put together: what by, without, on, ignoring and a dropped metric name
// leave of them, and what group_left and count_values add.
//
// Grouping happens for every series of a query, so the key of a group is written into a buffer that
// is reused, as canonical bytes (tinyobs/labels.h): runs of labels are copied as they stand, no
// label becomes a string of its own, and the Labels of a group are made once, when it is new.
//
// Thread-safety: a LabelSubset is one thread's (it has the buffer); the functions are pure.
#ifndef TINYOBS_LIB_PROMQL_LABEL_SETS_H_
#define TINYOBS_LIB_PROMQL_LABEL_SETS_H_

#include <string>
#include <string_view>
#include <vector>

#include "tinyobs/labels.h"

namespace tinyobs::promql {

class LabelSubset {
 public:
  // keep: only these names are left; else all but these and, as in Prometheus, but __name__. In any
  // order, also with repetitions.
  LabelSubset(std::vector<std::string> names, bool keep);

  // Canonical bytes of what is left of `labels`; valid until the next call and as long as `labels`.
  std::string_view Of(const Labels& labels);

 private:
  std::vector<std::string> names_;  // sorted
  bool keep_;
  std::string buffer_;
};

// Of bytes that LabelSubset gave.
Labels LabelsOfSubset(std::string_view canonical_bytes);

Labels WithoutName(const Labels& labels);

// `labels` with this label set to `value`, or without it when `value` is empty. Both are from
// other Labels, or otherwise known to be a legal label.
Labels WithLabel(const Labels& labels, std::string_view name, std::string_view value);

// {__name__="up", job="a"}: the form of Prometheus' execution errors.
std::string ErrorText(const Labels& labels);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_LABEL_SETS_H_
