// Parser: the text of a query to a typed tree (ast.h), the language of Prometheus 2.42.
//
// Recursive descent with precedence climbing: the grammar is small and each rule is one function
// here, so that error messages say what was expected where. Types are checked as nodes are made:
// there is no tree that is not well-typed.
//
// Source: the grammar as documented at prometheus.io/docs/prometheus/2.42/querying/.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_PARSER_H_
#define TINYOBS_LIB_PROMQL_PARSER_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/promql/ast.h"

namespace tinyobs::promql {

// Of a query's text. What is longer is refused before it is looked at.
inline constexpr size_t kMaxQueryBytes = 1 << 20;
// Of a tree, and so of whatever recurses over it; a chain of operators is as deep as it is long.
inline constexpr uint32_t kMaxHeight = 500;

// InvalidArgument: "LINE:COLUMN: parse error: ..." with the place counted from 1, in bytes.
absl::StatusOr<ExprPtr> ParseExpr(std::string_view query);

// The matchers of a selector such as `up{job="a"}` or `{job="a"}`: what match[] parameters hold.
// They may match everything, `{}`, which is for the caller to refuse.
absl::StatusOr<std::vector<Matcher>> ParseSelector(std::string_view text);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_PARSER_H_
