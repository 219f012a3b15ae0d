// What can be known of an expression without evaluating it.
//
// Thread-safety: pure functions; O(size of the tree).
#ifndef TINYOBS_LIB_PROMQL_EXPR_FACTS_H_
#define TINYOBS_LIB_PROMQL_EXPR_FACTS_H_

#include <string>

#include "lib/promql/ast.h"

namespace tinyobs::promql {

// What is inside of any number of parentheses.
const Expr& Unwrapped(const Expr& expr);
// Of a string argument.
const std::string& TextOf(const Expr& expr);

// The same at every step: all its selectors have `@`, and nothing in it looks at the clock. It is
// evaluated once.
bool IsStepInvariant(const Expr& expr);

// All series of the vector have one metric name, or none: dropping the name makes no two the same.
bool HasOneName(const Expr& expr);

// sort(), topk() and their like, and what is done to them element by element: at a single step, the
// series come in an order that means something.
bool HasOrder(const Expr& expr);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_EXPR_FACTS_H_
