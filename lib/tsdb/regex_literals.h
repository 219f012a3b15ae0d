// What can be said about a regular expression's matches without running it: that they are a few
// fixed strings ("prod|dev"), or that they all begin with one ("host-0001.*").
//
// Dashboards write most of their matchers that way. Fixed strings are looked up in the index
// instead of asking RE2 about every value of the label; a beginning is compared before RE2 is
// asked. Read from the text of the expression, by the few rules that make both certain; where in
// doubt nothing is claimed. (RE2 has PossibleMatchRange, which claims more and knows no sets.)
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_TSDB_REGEX_LITERALS_H_
#define TINYOBS_LIB_TSDB_REGEX_LITERALS_H_

#include <string>
#include <string_view>
#include <vector>

namespace tinyobs::tsdb {

struct RegexLiterals {
  bool is_set = false;           // the matches are exactly `set`
  std::vector<std::string> set;  // may repeat
  std::string prefix;            // all matches begin with it
};
// REQUIRES: `pattern` is a valid RE2 expression, matched from end to end.
RegexLiterals LiteralsOf(std::string_view pattern);

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_REGEX_LITERALS_H_
