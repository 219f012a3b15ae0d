// Matcher: one condition on one label, PromQL's `=`, `!=`, `=~`, `!~`.
//
// A missing label matches as the empty string. Regular expressions are RE2 (linear time, so a
// hostile pattern cannot hang the process), anchored at both ends, and `.` does not match a
// newline, as in Prometheus 2.x.
//
// Thread-safety: immutable; share freely. Copies share the compiled expression.
#ifndef TINYOBS_MATCHER_H_
#define TINYOBS_MATCHER_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace tinyobs {

class Labels;

class Matcher {
 public:
  enum class Op { kEqual, kNotEqual, kRegex, kNotRegex };

  // InvalidArgument: an empty label name, or a regular expression RE2 refuses (its reason is in the
  // message).
  static absl::StatusOr<Matcher> Create(Op op, std::string label, std::string value);
  // For the two that cannot fail.
  static Matcher Equal(std::string label, std::string value);
  static Matcher NotEqual(std::string label, std::string value);
  // {__name__="metric"}
  static Matcher Metric(std::string metric);

  Op op() const { return op_; }
  const std::string& label() const { return label_; }
  const std::string& value() const { return value_; }

  bool Matches(std::string_view value) const;
  bool Matches(const Labels& labels) const;
  // True when a series without the label matches: such a matcher cannot start from a posting list.
  bool MatchesEmpty() const { return Matches(std::string_view()); }

  // label=~"value"
  std::string ToString() const;

 private:
  struct Regex;  // hides RE2 from the public headers

  Matcher(Op op, std::string label, std::string value);

  Op op_;
  std::string label_;
  std::string value_;
  std::shared_ptr<const Regex> regex_;
};

}  // namespace tinyobs

#endif  // TINYOBS_MATCHER_H_
