// Type checks: what the grammar lets through and PromQL still forbids, of one node whose parts have
// passed already.
//
// Apart from the grammar, since they are rules of another sort: they look at finished nodes, in the
// order and with the words of Prometheus, and know no tokens.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_TYPE_CHECKS_H_
#define TINYOBS_LIB_PROMQL_TYPE_CHECKS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "lib/promql/ast.h"

namespace tinyobs::promql {

// What is wrong, and where.
struct TypeError {
  Span span;
  std::string message;
};
using TypeCheck = std::optional<TypeError>;  // empty = nothing is

// Settles node->type and node->matching, of `matching` as it was written; `op` is the place of the
// operator.
TypeCheck CheckBinary(Span op, VectorMatching matching, BinaryExpr* node);

// Of a sign at `span` before `inner`.
TypeCheck CheckSign(Span span, const Expr& inner);

TypeCheck CheckCall(const CallExpr& node);

// Whether `count` arguments are right for the operator, before they are put in their places.
TypeCheck CheckArgumentCount(const AggregateExpr& node, size_t count);
TypeCheck CheckAggregate(const AggregateExpr& node);

// Adds the matcher of the name, if there is one.
TypeCheck CheckSelector(VectorExpr* node);

// Whether `[5m:]`, or `[5m]` at `brackets`, may follow `of`.
TypeCheck CheckSubquery(const Expr& of);
TypeCheck CheckRange(Span brackets, const Expr& of);

// Sets the modifier that `expr` ends with. The time of kTimestamp is in `seconds`.
TypeCheck SetOffset(int64_t offset_ms, Expr* expr);
TypeCheck SetAt(TimeModifiers::At at, double seconds, Expr* expr);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_TYPE_CHECKS_H_
