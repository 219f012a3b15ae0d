// Label sets cut down: what by, without, on, ignoring and a dropped metric name leave of them.
//
// Grouping happens for every series of a query, so the key of a group is written into a buffer that
// is reused, as canonical bytes (tinyobs/labels.h): no label becomes a string of its own, and the
// Labels of a group are made once, when it is new.
//
// Thread-safety: a LabelSubset is one thread's (it has the buffer); the functions are pure.
#ifndef TINYOBS_LIB_PROMQL_LABEL_SETS_H_
#define TINYOBS_LIB_PROMQL_LABEL_SETS_H_

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tinyobs/labels.h"

namespace tinyobs::promql {

class LabelSubset {
 public:
  // keep: only these names are left; else all but these and, as in Prometheus, but __name__.
  LabelSubset(std::vector<std::string> names, bool keep);

  // Canonical bytes of what is left of `labels`; valid until the next call.
  std::string_view Of(const Labels& labels);

 private:
  std::vector<std::string> names_;  // sorted
  bool keep_;
  std::string buffer_;
};

// Of bytes that LabelSubset gave.
Labels LabelsOfSubset(std::string_view canonical_bytes);

Labels WithoutName(const Labels& labels);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_LABEL_SETS_H_
