// Selectors, and what follows an expression: ranges, subqueries, offset and @.
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/promql/grammar.h"
#include "lib/promql/literals.h"

namespace tinyobs::promql {

absl::StatusOr<ExprPtr> Parser::Postfix() {
  TINYOBS_ASSIGN_OR_RETURN(ExprPtr expr, Primary());
  for (;;) {
    switch (next_.token) {
      case Token::kLeftBracket: {
        TINYOBS_ASSIGN_OR_RETURN(expr, Range(std::move(expr)));
        break;
      }
      case Token::kOffset:
        TINYOBS_RETURN_IF_ERROR(Offset(expr.get()));
        break;
      case Token::kAt:
        TINYOBS_RETURN_IF_ERROR(At(expr.get()));
        break;
      default:
        return expr;
    }
  }
}

absl::StatusOr<int64_t> Parser::Duration() {
  const auto duration = ParseDuration(next_.text);
  if (!duration.ok()) return Error(next_.span, FromAbsl(duration.status().message()));
  if (*duration == 0) return Error(next_.span, "duration must be greater than 0");
  Advance();
  return *duration;
}

absl::StatusOr<ExprPtr> Parser::Range(ExprPtr of) {
  const uint32_t begin = of->span.begin;
  const uint32_t bracket = next_.span.begin;
  Advance();
  if (next_.token != Token::kDuration) return Unexpected("subquery selector", "duration");
  TINYOBS_ASSIGN_OR_RETURN(const int64_t range_ms, Duration());
  if (Accept(Token::kColon)) {
    int64_t step_ms = 0;
    if (next_.token == Token::kDuration) {
      TINYOBS_ASSIGN_OR_RETURN(step_ms, Duration());
      TINYOBS_RETURN_IF_ERROR(Expect(Token::kRightBracket, "subquery selector", "\"]\""));
    } else {
      TINYOBS_RETURN_IF_ERROR(
          Expect(Token::kRightBracket, "subquery selector", "duration or \"]\""));
    }
    TINYOBS_RETURN_IF_ERROR(Passed(CheckSubquery(*of)));
    auto node = std::make_unique<SubqueryExpr>(std::move(of));
    node->range_ms = range_ms;
    node->step_ms = step_ms;
    TINYOBS_RETURN_IF_ERROR(Finish(begin, {node->inner.get()}, node.get()));
    return ExprPtr(std::move(node));
  }
  TINYOBS_RETURN_IF_ERROR(Expect(Token::kRightBracket, "subquery or range", "\":\" or \"]\""));
  TINYOBS_RETURN_IF_ERROR(Passed(CheckRange({bracket, last_end_}, *of)));
  std::unique_ptr<VectorExpr> vector(static_cast<VectorExpr*>(of.release()));
  auto node = std::make_unique<MatrixExpr>(std::move(vector));
  node->range_ms = range_ms;
  TINYOBS_RETURN_IF_ERROR(Finish(begin, {node->vector.get()}, node.get()));
  return ExprPtr(std::move(node));
}

absl::Status Parser::Offset(Expr* expr) {
  Advance();
  const bool negative = Accept(Token::kSub);
  if (next_.token != Token::kDuration) return Unexpected("offset", "duration");
  TINYOBS_ASSIGN_OR_RETURN(const int64_t offset_ms, Duration());
  expr->span.end = last_end_;
  return Passed(SetOffset(negative ? -offset_ms : offset_ms, expr));
}

absl::Status Parser::At(Expr* expr) {
  Advance();
  TimeModifiers::At at = TimeModifiers::At::kTimestamp;
  double seconds = 0;
  if (next_.token == Token::kStartOf || next_.token == Token::kEndOf) {
    at = next_.token == Token::kStartOf ? TimeModifiers::At::kStart : TimeModifiers::At::kEnd;
    Advance();
    TINYOBS_RETURN_IF_ERROR(Expect(Token::kLeftParen, "@", "timestamp"));
    TINYOBS_RETURN_IF_ERROR(Expect(Token::kRightParen, "@", "timestamp"));
  } else {
    const bool negative = next_.token == Token::kSub;
    if (negative || next_.token == Token::kAdd) Advance();
    if (next_.token != Token::kNumber) return Unexpected("@", "timestamp");
    if (!ParseNumber(next_.text, &seconds)) return BadNumber();
    if (negative) seconds = -seconds;
    Advance();
  }
  expr->span.end = last_end_;
  return Passed(SetAt(at, seconds, expr));
}

absl::StatusOr<std::unique_ptr<VectorExpr>> Parser::Vector() {
  auto node = std::make_unique<VectorExpr>();
  const uint32_t begin = next_.span.begin;
  if (next_.token != Token::kLeftBrace) {
    node->name = std::string(next_.text);
    Advance();
  }
  if (next_.token == Token::kLeftBrace) TINYOBS_RETURN_IF_ERROR(LabelMatchers(node.get()));
  TINYOBS_RETURN_IF_ERROR(Finish(begin, {}, node.get()));
  TINYOBS_RETURN_IF_ERROR(Passed(CheckSelector(node.get())));
  return node;
}

absl::Status Parser::LabelMatchers(VectorExpr* node) {
  constexpr std::string_view kContext = "label matching";
  Advance();
  while (!Accept(Token::kRightBrace)) {
    if (!node->matchers.empty()) {
      TINYOBS_RETURN_IF_ERROR(Expect(Token::kComma, kContext, "\",\" or \"}\""));
      if (Accept(Token::kRightBrace)) break;
    }
    if (next_.token != Token::kIdentifier) return Unexpected(kContext, "identifier or \"}\"");
    std::string label(next_.text);
    const Span span = next_.span;
    Advance();
    Matcher::Op op = Matcher::Op::kEqual;
    switch (next_.token) {
      case Token::kAssign:
        break;
      case Token::kNotEqual:
        op = Matcher::Op::kNotEqual;
        break;
      case Token::kRegexMatch:
        op = Matcher::Op::kRegex;
        break;
      case Token::kRegexNotMatch:
        op = Matcher::Op::kNotRegex;
        break;
      default:
        return Unexpected(kContext, "label matching operator");
    }
    Advance();
    if (next_.token != Token::kString) return Unexpected(kContext, "string");
    TINYOBS_ASSIGN_OR_RETURN(std::string value, Text());
    auto matcher = Matcher::Create(op, std::move(label), std::move(value));
    if (!matcher.ok()) {
      return Error({span.begin, last_end_}, FromAbsl(matcher.status().message()));
    }
    node->matchers.push_back(*std::move(matcher));
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::promql
