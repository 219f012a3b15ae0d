#include "lib/promql/type_checks.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "lib/base/strings.h"
#include "lib/promql/functions.h"
#include "tinyobs/labels.h"

namespace tinyobs::promql {
namespace {

ValueType TypeOfLetter(char letter) {
  switch (letter) {
    case 'v':
      return ValueType::kInstantVector;
    case 'm':
      return ValueType::kRangeVector;
    case 's':
      return ValueType::kScalar;
    default:
      return ValueType::kString;
  }
}

TypeCheck Error(Span span, std::string message) { return TypeError{span, std::move(message)}; }

TypeCheck ExpectType(const Expr& expr, ValueType type, std::string_view context) {
  if (expr.type == type) return {};
  return Error(expr.span, StrCat("expected type ", TypeName(type), " in ", context, ", got ",
                                 TypeName(expr.type)));
}

// Null when the node cannot have any.
TimeModifiers* ModifiersOf(Expr* expr) {
  switch (expr->kind) {
    case Expr::Kind::kVector:
      return &static_cast<VectorExpr*>(expr)->when;
    case Expr::Kind::kMatrix:
      return &static_cast<MatrixExpr*>(expr)->vector->when;
    case Expr::Kind::kSubquery:
      return &static_cast<SubqueryExpr*>(expr)->when;
    default:
      return nullptr;
  }
}

}  // namespace

std::string_view TypeName(ValueType type) {
  switch (type) {
    case ValueType::kScalar:
      return "scalar";
    case ValueType::kString:
      return "string";
    case ValueType::kInstantVector:
      return "instant vector";
    case ValueType::kRangeVector:
      return "range vector";
  }
  return "";
}

TypeCheck CheckBinary(Span op, VectorMatching matching, BinaryExpr* node) {
  using Cardinality = VectorMatching::Cardinality;
  const std::string_view name = OpName(node->op);
  if (node->return_bool && !IsComparison(node->op)) {
    return Error(op, "bool modifier can only be used on comparison operators");
  }
  for (const Expr* const side : {node->lhs.get(), node->rhs.get()}) {
    if (side->type != ValueType::kScalar && side->type != ValueType::kInstantVector) {
      return Error(side->span,
                   "binary expression must contain only scalar and instant vector types");
    }
  }
  const bool scalars =
      node->lhs->type == ValueType::kScalar && node->rhs->type == ValueType::kScalar;
  const bool vectors =
      node->lhs->type == ValueType::kInstantVector && node->rhs->type == ValueType::kInstantVector;
  if (scalars && IsComparison(node->op) && !node->return_bool) {
    return Error(node->span, "comparisons between scalars must use BOOL modifier");
  }
  if (matching.on) {
    for (const std::string& label : matching.labels) {
      if (std::count(matching.include.begin(), matching.include.end(), label) > 0) {
        return Error(node->span,
                     StrCat("label \"", label, "\" must not occur in ON and GROUP clause at once"));
      }
    }
  }
  if (IsSetOp(node->op)) {
    if (matching.cardinality != Cardinality::kOneToOne) {
      return Error(op, StrCat("no grouping allowed for \"", name, "\" operation"));
    }
    matching.cardinality = Cardinality::kManyToMany;
  }
  if (!vectors) {
    if (!matching.labels.empty()) {
      return Error(node->span, "vector matching only allowed between instant vectors");
    }
    if (IsSetOp(node->op)) {
      return Error(op,
                   StrCat("set operator \"", name, "\" not allowed in binary scalar expression"));
    }
  }
  if (vectors) node->matching = std::move(matching);
  node->type = scalars ? ValueType::kScalar : ValueType::kInstantVector;
  return {};
}

TypeCheck CheckSign(Span span, const Expr& inner) {
  if (inner.type == ValueType::kScalar || inner.type == ValueType::kInstantVector) return {};
  return Error(span, StrCat("unary expression only allowed on expressions of type scalar or "
                            "instant vector, got \"",
                            TypeName(inner.type), "\""));
}

TypeCheck CheckCall(const CallExpr& node) {
  const Function& function = *node.function;
  const size_t named = function.arguments.size();
  const size_t got = node.args.size();
  const size_t least =
      named - static_cast<size_t>(function.optional == kAnyNumber ? 1 : function.optional);
  const std::string in_call = StrCat(" argument(s) in call to \"", function.name, "\", got ", got);
  if (function.optional == 0 && got != named) {
    return Error(node.span, StrCat("expected ", named, in_call));
  }
  if (got < least) return Error(node.span, StrCat("expected at least ", least, in_call));
  if (function.optional > 0 && got > named) {
    return Error(node.span, StrCat("expected at most ", named, in_call));
  }
  const std::string context = StrCat("call to function \"", function.name, "\"");
  for (size_t i = 0; i < got; ++i) {
    const char letter = function.arguments[std::min(i, named - 1)];
    if (auto error = ExpectType(*node.args[i], TypeOfLetter(letter), context)) return error;
  }
  return {};
}

TypeCheck CheckArgumentCount(const AggregateExpr& node, size_t count) {
  if (count == 0) return Error(node.span, "no arguments for aggregate expression provided");
  const size_t wanted = HasParameter(node.op) ? 2 : 1;
  if (count == wanted) return {};
  return Error(node.span,
               StrCat("wrong number of arguments for aggregate expression provided, expected ",
                      wanted, ", got ", count));
}

TypeCheck CheckAggregate(const AggregateExpr& node) {
  if (auto error = ExpectType(*node.inner, ValueType::kInstantVector, "aggregation expression")) {
    return error;
  }
  if (node.parameter == nullptr) return {};
  const ValueType type =
      node.op == AggregateOp::kCountValues ? ValueType::kString : ValueType::kScalar;
  return ExpectType(*node.parameter, type, "aggregation parameter");
}

TypeCheck CheckSelector(VectorExpr* node) {
  if (!node->name.empty()) {
    for (const Matcher& matcher : node->matchers) {
      if (matcher.label() == kMetricName) {
        return Error(node->span, StrCat("metric name must not be set twice: \"", node->name,
                                        "\" or \"", matcher.value(), "\""));
      }
    }
    node->matchers.push_back(Matcher::Metric(node->name));
  }
  // Never all there is, by accident.
  if (std::all_of(node->matchers.begin(), node->matchers.end(),
                  [](const Matcher& matcher) { return matcher.MatchesEmpty(); })) {
    return Error(node->span, "vector selector must contain at least one non-empty matcher");
  }
  return {};
}

TypeCheck CheckSubquery(const Expr& of) {
  if (of.type == ValueType::kInstantVector) return {};
  return Error(of.span, StrCat("subquery is only allowed on instant vector, got ",
                               TypeName(of.type), " instead"));
}

TypeCheck CheckRange(Span brackets, const Expr& of) {
  if (of.kind != Expr::Kind::kVector) {
    return Error(brackets, "ranges only allowed for vector selectors");
  }
  const TimeModifiers& when = As<VectorExpr>(of).when;
  if (when.offset_ms != 0) return Error(brackets, "no offset modifiers allowed before range");
  if (when.at != TimeModifiers::At::kNone) {
    return Error(brackets, "no @ modifiers allowed before range");
  }
  return {};
}

TypeCheck SetOffset(int64_t offset_ms, Expr* expr) {
  TimeModifiers* const when = ModifiersOf(expr);
  if (when == nullptr) {
    return Error(expr->span,
                 "offset modifier must be preceded by an instant vector selector or range vector "
                 "selector or a subquery");
  }
  if (when->offset_ms != 0) return Error(expr->span, "offset may not be set multiple times");
  when->offset_ms = offset_ms;
  return {};
}

TypeCheck SetAt(TimeModifiers::At at, double seconds, Expr* expr) {
  TimeModifiers* const when = ModifiersOf(expr);
  if (when == nullptr) {
    return Error(expr->span,
                 "@ modifier must be preceded by an instant vector selector or range vector "
                 "selector or a subquery");
  }
  if (when->at != TimeModifiers::At::kNone) {
    return Error(expr->span, "@ <timestamp> may not be set multiple times");
  }
  // The whole of int64 in seconds is allowed; in milliseconds it has to fit, too.
  if (!(std::fabs(seconds) < 9.2e15)) {
    return Error(expr->span, "timestamp out of bounds for @ modifier");
  }
  when->at = at;
  when->at_ms = std::llround(seconds * 1000);
  return {};
}

}  // namespace tinyobs::promql
