#include "lib/promql/expr_facts.h"

#include <algorithm>

#include "lib/promql/binary.h"
#include "lib/promql/functions.h"
#include "lib/promql/vector_functions.h"
#include "tinyobs/labels.h"

namespace tinyobs::promql {

namespace {

// The answer is another at another step, whatever the arguments are.
constexpr FunctionId kLookAtClock[] = {
    IdOf("day_of_month"), IdOf("day_of_week"), IdOf("day_of_year"), IdOf("days_in_month"),
    IdOf("hour"),         IdOf("minute"),      IdOf("month"),       IdOf("predict_linear"),
    IdOf("time"),         IdOf("timestamp"),   IdOf("year")};

template <typename List, typename Element>
bool Contains(const List& list, const Element& element) {
  return std::find(std::begin(list), std::end(list), element) != std::end(list);
}

bool CallHasOneName(const CallExpr& call) {
  switch (call.function->id) {
    case IdOf("label_join"):
    case IdOf("label_replace"):
      return TextOf(*call.args[1]) != kMetricName && HasOneName(*call.args[0]);
    case IdOf("last_over_time"):
    case IdOf("sort"):
    case IdOf("sort_desc"):
      return HasOneName(*call.args[0]);
    default:
      return true;
  }
}

bool BinaryHasOneName(const BinaryExpr& binary) {
  const Expr& left = *binary.args[0];
  if (binary.op == BinaryOp::kAnd || binary.op == BinaryOp::kUnless) return HasOneName(left);
  if (binary.op == BinaryOp::kOr) return false;
  // group_left(__name__) takes one over.
  if (binary.matching && !binary.matching->include.empty()) return false;
  return DropsName(binary.op, binary.return_bool) ||
         (HasOneName(left) && HasOneName(*binary.args[1]));
}

bool IsTopOrBottom(const Expr& aggregate) {
  const AggregateOp op = As<AggregateExpr>(aggregate).op;
  return op == AggregateOp::kTopK || op == AggregateOp::kBottomK;
}

}  // namespace

const Expr& Unwrapped(const Expr& expr) {
  return expr.kind == Expr::Kind::kParen ? Unwrapped(*expr.args[0]) : expr;
}

const std::string& TextOf(const Expr& expr) { return As<StringExpr>(Unwrapped(expr)).value; }

bool IsStepInvariant(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::kVector:
    case Expr::Kind::kMatrix:
    case Expr::Kind::kSubquery:
      return As<TimedExpr>(expr).when.at != TimeModifiers::At::kNone;
    case Expr::Kind::kAggregate:
      // As in Prometheus the parameter is not looked at.
      return IsStepInvariant(*expr.args.back());
    case Expr::Kind::kCall:
      if (Contains(kLookAtClock, As<CallExpr>(expr).function->id)) return false;
      break;
    default:
      break;
  }
  return std::all_of(expr.args.begin(), expr.args.end(),
                     [](const ExprPtr& arg) { return IsStepInvariant(*arg); });
}

bool HasOneName(const Expr& expr) {
  if (expr.type == ValueType::kScalar || expr.type == ValueType::kString) return true;
  switch (expr.kind) {
    case Expr::Kind::kUnary:
      return As<UnaryExpr>(expr).negative || HasOneName(*expr.args[0]);
    case Expr::Kind::kBinary:
      return BinaryHasOneName(As<BinaryExpr>(expr));
    case Expr::Kind::kAggregate:
      if (IsTopOrBottom(expr)) return HasOneName(*expr.args.back());
      return !Contains(As<AggregateExpr>(expr).grouping, kMetricName);
    case Expr::Kind::kCall:
      return CallHasOneName(As<CallExpr>(expr));
    case Expr::Kind::kVector:
    case Expr::Kind::kMatrix: {
      const auto& matchers = As<SelectorExpr>(expr).matchers;
      return std::any_of(matchers.begin(), matchers.end(), [](const Matcher& matcher) {
        return matcher.label() == kMetricName && matcher.op() == Matcher::Op::kEqual;
      });
    }
    default:  // parentheses, subqueries
      return HasOneName(*expr.args[0]);
  }
}

bool HasOrder(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::kBinary:
      if (As<BinaryExpr>(expr).matching) return false;
      break;
    case Expr::Kind::kAggregate:
      return IsTopOrBottom(expr);
    case Expr::Kind::kCall: {
      const FunctionId id = As<CallExpr>(expr).function->id;
      if (id == IdOf("sort") || id == IdOf("sort_desc")) return true;
      if (!IsElementFunction(id)) return false;
      break;
    }
    default:
      break;
  }
  return std::any_of(expr.args.begin(), expr.args.end(),
                     [](const ExprPtr& arg) { return HasOrder(*arg); });
}

}  // namespace tinyobs::promql
