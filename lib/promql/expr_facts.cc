#include "lib/promql/expr_facts.h"

#include <algorithm>

#include "lib/promql/binary.h"
#include "lib/promql/functions.h"
#include "lib/promql/vector_functions.h"
#include "tinyobs/labels.h"

namespace tinyobs::promql {

namespace {

bool CallIsStepInvariant(const CallExpr& call) {
  switch (call.function->id) {
    case FunctionId::kDayOfMonth:
    case FunctionId::kDayOfWeek:
    case FunctionId::kDayOfYear:
    case FunctionId::kDaysInMonth:
    case FunctionId::kHour:
    case FunctionId::kMinute:
    case FunctionId::kMonth:
    case FunctionId::kPredictLinear:
    case FunctionId::kTime:
    case FunctionId::kTimestamp:
    case FunctionId::kYear:
      return false;
    default:
      return std::all_of(call.args.begin(), call.args.end(),
                         [](const ExprPtr& arg) { return IsStepInvariant(*arg); });
  }
}

bool CallHasOneName(const CallExpr& call) {
  switch (call.function->id) {
    case FunctionId::kLabelJoin:
    case FunctionId::kLabelReplace:
      return TextOf(*call.args[1]) != kMetricName && HasOneName(*call.args[0]);
    case FunctionId::kLastOverTime:
    case FunctionId::kSort:
    case FunctionId::kSortDesc:
      return HasOneName(*call.args[0]);
    default:
      return true;
  }
}

bool BinaryHasOneName(const BinaryExpr& binary) {
  const Expr& lhs = *binary.lhs;
  const Expr& rhs = *binary.rhs;
  if (binary.op == BinaryOp::kAnd || binary.op == BinaryOp::kUnless) return HasOneName(lhs);
  if (binary.op == BinaryOp::kOr) return false;
  // group_left(__name__) takes one over.
  if (binary.matching && !binary.matching->include.empty()) return false;
  return DropsName(binary.op, binary.return_bool) || (HasOneName(lhs) && HasOneName(rhs));
}

}  // namespace

const Expr& Unwrapped(const Expr& expr) {
  const Expr* at = &expr;
  while (at->kind == Expr::Kind::kParen) at = As<ParenExpr>(*at).inner.get();
  return *at;
}

const std::string& TextOf(const Expr& expr) { return As<StringExpr>(Unwrapped(expr)).value; }

bool IsStepInvariant(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::kNumber:
    case Expr::Kind::kString:
      return true;
    case Expr::Kind::kParen:
      return IsStepInvariant(*As<ParenExpr>(expr).inner);
    case Expr::Kind::kUnary:
      return IsStepInvariant(*As<UnaryExpr>(expr).inner);
    case Expr::Kind::kBinary:
      return IsStepInvariant(*As<BinaryExpr>(expr).lhs) &&
             IsStepInvariant(*As<BinaryExpr>(expr).rhs);
    case Expr::Kind::kAggregate:
      // As in Prometheus the parameter is not looked at.
      return IsStepInvariant(*As<AggregateExpr>(expr).inner);
    case Expr::Kind::kCall:
      return CallIsStepInvariant(As<CallExpr>(expr));
    case Expr::Kind::kVector:
      return As<VectorExpr>(expr).when.at != TimeModifiers::At::kNone;
    case Expr::Kind::kMatrix:
      return IsStepInvariant(*As<MatrixExpr>(expr).vector);
    case Expr::Kind::kSubquery:
      return As<SubqueryExpr>(expr).when.at != TimeModifiers::At::kNone;
  }
  return false;
}

bool HasOneName(const Expr& expr) {
  if (expr.type == ValueType::kScalar) return true;
  switch (expr.kind) {
    case Expr::Kind::kNumber:
    case Expr::Kind::kString:
      return true;
    case Expr::Kind::kParen:
      return HasOneName(*As<ParenExpr>(expr).inner);
    case Expr::Kind::kUnary:
      return As<UnaryExpr>(expr).negative || HasOneName(*As<UnaryExpr>(expr).inner);
    case Expr::Kind::kBinary:
      return BinaryHasOneName(As<BinaryExpr>(expr));
    case Expr::Kind::kAggregate: {
      const auto& aggregate = As<AggregateExpr>(expr);
      if (aggregate.op == AggregateOp::kTopK || aggregate.op == AggregateOp::kBottomK) {
        return HasOneName(*aggregate.inner);
      }
      return std::find(aggregate.grouping.begin(), aggregate.grouping.end(), kMetricName) ==
             aggregate.grouping.end();
    }
    case Expr::Kind::kCall:
      return CallHasOneName(As<CallExpr>(expr));
    case Expr::Kind::kVector: {
      const auto& matchers = As<VectorExpr>(expr).matchers;
      return std::any_of(matchers.begin(), matchers.end(), [](const Matcher& matcher) {
        return matcher.label() == kMetricName && matcher.op() == Matcher::Op::kEqual;
      });
    }
    case Expr::Kind::kMatrix:
      return HasOneName(*As<MatrixExpr>(expr).vector);
    case Expr::Kind::kSubquery:
      return HasOneName(*As<SubqueryExpr>(expr).inner);
  }
  return false;
}

bool HasOrder(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::kParen:
      return HasOrder(*As<ParenExpr>(expr).inner);
    case Expr::Kind::kUnary:
      return HasOrder(*As<UnaryExpr>(expr).inner);
    case Expr::Kind::kBinary: {
      const auto& binary = As<BinaryExpr>(expr);
      return !binary.matching && (HasOrder(*binary.lhs) || HasOrder(*binary.rhs));
    }
    case Expr::Kind::kAggregate: {
      const AggregateOp op = As<AggregateExpr>(expr).op;
      return op == AggregateOp::kTopK || op == AggregateOp::kBottomK;
    }
    case Expr::Kind::kCall: {
      const auto& call = As<CallExpr>(expr);
      const FunctionId id = call.function->id;
      if (id == FunctionId::kSort || id == FunctionId::kSortDesc) return true;
      return IsElementFunction(id) && !call.args.empty() && HasOrder(*call.args[0]);
    }
    default:
      return false;
  }
}

}  // namespace tinyobs::promql
