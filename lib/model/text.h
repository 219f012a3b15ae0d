// How names and values are written in Prometheus' text: which names stand bare, which need quotes,
// what is escaped inside quotes.
//
// Shared by Labels::ToString and Matcher::ToString, and by whoever writes text output, so that
// there is one escaping rule: backslash, double quote and newline are escaped, all other UTF-8
// stands as it is.
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_MODEL_TEXT_H_
#define TINYOBS_LIB_MODEL_TEXT_H_

#include <string>
#include <string_view>

namespace tinyobs {

// [a-zA-Z_:][a-zA-Z0-9_:]*
bool IsPlainMetricName(std::string_view name);
// [a-zA-Z_][a-zA-Z0-9_]*
bool IsPlainLabelName(std::string_view name);

// "text" with its quotes.
void AppendQuoted(std::string_view text, std::string* out);
// Bare when it is plain, quoted otherwise.
void AppendLabelName(std::string_view name, std::string* out);

}  // namespace tinyobs

#endif  // TINYOBS_LIB_MODEL_TEXT_H_
