// Expressions: operators, calls, aggregations, parentheses and literals.
#include "lib/promql/parser.h"

#include <algorithm>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/promql/functions.h"
#include "lib/promql/grammar.h"
#include "lib/promql/literals.h"

namespace tinyobs::promql {
namespace {

// Of the operators, 0 for what is none.
int Precedence(Token token) {
  switch (token) {
    case Token::kOr:
      return 1;
    case Token::kAnd:
    case Token::kUnless:
      return 2;
    case Token::kEqual:
    case Token::kNotEqual:
    case Token::kLess:
    case Token::kGreater:
    case Token::kLessOrEqual:
    case Token::kGreaterOrEqual:
      return 3;
    case Token::kAdd:
    case Token::kSub:
      return 4;
    case Token::kMul:
    case Token::kDiv:
    case Token::kMod:
    case Token::kAtan2:
      return 5;
    case Token::kPow:
      return 6;
    default:
      return 0;
  }
}
constexpr int kLowest = 1;
// A sign binds as a factor does, so -2^2 is -(2^2).
constexpr int kAboveSign = 6;

BinaryOp BinaryOpOf(Token token) {
  return static_cast<BinaryOp>(static_cast<int>(token) - static_cast<int>(Token::kAdd));
}
bool IsAggregate(Token token) { return token >= Token::kSum && token <= Token::kQuantile; }

// Words that may name a metric, or a label of a grouping, though they mean something elsewhere.
bool MayNameMetric(Token token) {
  return token == Token::kIdentifier || token == Token::kMetricIdentifier || IsAggregate(token) ||
         token == Token::kAnd || token == Token::kOr || token == Token::kUnless ||
         token == Token::kBy || token == Token::kOffset || token == Token::kWithout ||
         token == Token::kStartOf || token == Token::kEndOf;
}
bool MayNameLabel(Token token) {
  return token == Token::kIdentifier || token == Token::kAtan2 || IsAggregate(token) ||
         token == Token::kAnd || token == Token::kOr || token == Token::kUnless ||
         (token >= Token::kBool && token <= Token::kEndOf && token != Token::kWithout);
}

absl::Status CheckSize(std::string_view text) {
  if (text.size() <= kMaxQueryBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("the query has ", text.size(), " bytes, the limit is ", kMaxQueryBytes));
}

}  // namespace

Parser::Parser(std::string_view query) : query_(query), lexer_(query) { Advance(); }

absl::StatusOr<ExprPtr> Parser::Whole() {
  if (next_.token == Token::kEnd) return Error(next_.span, "no expression found in input");
  TINYOBS_ASSIGN_OR_RETURN(ExprPtr expr, Binary(kLowest));
  if (next_.token != Token::kEnd) return Unexpected("", "");
  return expr;
}

absl::StatusOr<std::vector<Matcher>> Parser::Selector() {
  if (next_.token == Token::kEnd) return Error(next_.span, "no expression found in input");
  if (next_.token != Token::kLeftBrace && !MayNameMetric(next_.token)) return Unexpected("", "");
  TINYOBS_ASSIGN_OR_RETURN(std::unique_ptr<VectorExpr> vector, Vector());
  if (next_.token != Token::kEnd) return Unexpected("", "");
  return std::move(vector->matchers);
}

absl::Status Parser::Error(Span span, std::string_view message) const {
  const std::string_view before = query_.substr(0, std::min<size_t>(span.begin, query_.size()));
  const auto line = std::count(before.begin(), before.end(), '\n') + 1;
  const size_t column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
  return absl::InvalidArgumentError(StrCat(line, ":", column, ": parse error: ", message));
}

absl::Status Parser::Unexpected(std::string_view context, std::string_view expected) const {
  if (next_.token == Token::kError) return Error(next_.span, next_.text);
  std::string message = StrCat("unexpected ", Describe(next_));
  if (!context.empty()) StrAppend(&message, " in ", context);
  if (!expected.empty()) StrAppend(&message, ", expected ", expected);
  return Error(next_.span, message);
}

void Parser::Advance() {
  last_end_ = next_.span.end;
  next_ = lexer_.Next();
}

bool Parser::Accept(Token token) {
  if (next_.token != token) return false;
  Advance();
  return true;
}

absl::Status Parser::Expect(Token token, std::string_view context, std::string_view expected) {
  return Accept(token) ? absl::OkStatus() : Unexpected(context, expected);
}

absl::Status Parser::Finish(uint32_t begin, std::initializer_list<const Expr*> children,
                            Expr* node) {
  node->span = {begin, last_end_};
  for (const Expr* const child : children) {
    if (child != nullptr) node->height = std::max(node->height, child->height + 1);
  }
  if (node->height > kMaxHeight) return TooDeep(node->span);
  return absl::OkStatus();
}

absl::Status Parser::TooDeep(Span span) const {
  return Error(span, StrCat("expression is nested deeper than ", kMaxHeight, " levels"));
}

absl::Status Parser::Passed(const TypeCheck& check) const {
  return check.has_value() ? Error(check->span, check->message) : absl::OkStatus();
}

absl::StatusOr<ExprPtr> Parser::Binary(int least) {
  // Each level of nesting comes through here.
  if (++depth_ > kMaxHeight) return TooDeep(next_.span);
  absl::StatusOr<ExprPtr> expr = Operations(least);
  --depth_;
  return expr;
}

absl::StatusOr<ExprPtr> Parser::Operations(int least) {
  TINYOBS_ASSIGN_OR_RETURN(ExprPtr lhs, Unary());
  for (;;) {
    const Lexeme op = next_;
    const int precedence = Precedence(op.token);
    if (precedence == 0 || precedence < least) return lhs;
    Advance();
    auto node = std::make_unique<BinaryExpr>(BinaryOpOf(op.token), std::move(lhs), nullptr);
    VectorMatching matching;
    node->return_bool = Accept(Token::kBool);
    TINYOBS_RETURN_IF_ERROR(Matching(&matching));
    // Only ^ is right-associative.
    TINYOBS_ASSIGN_OR_RETURN(node->rhs,
                             Binary(op.token == Token::kPow ? precedence : precedence + 1));
    TINYOBS_RETURN_IF_ERROR(
        Finish(node->lhs->span.begin, {node->lhs.get(), node->rhs.get()}, node.get()));
    TINYOBS_RETURN_IF_ERROR(Passed(CheckBinary(op.span, std::move(matching), node.get())));
    lhs = std::move(node);
  }
}

absl::Status Parser::Matching(VectorMatching* matching) {
  if (next_.token != Token::kOn && next_.token != Token::kIgnoring) return absl::OkStatus();
  matching->on = next_.token == Token::kOn;
  Advance();
  TINYOBS_ASSIGN_OR_RETURN(matching->labels, LabelList());
  if (next_.token != Token::kGroupLeft && next_.token != Token::kGroupRight) {
    return absl::OkStatus();
  }
  matching->cardinality = next_.token == Token::kGroupLeft
                              ? VectorMatching::Cardinality::kManyToOne
                              : VectorMatching::Cardinality::kOneToMany;
  Advance();
  if (next_.token != Token::kLeftParen) return absl::OkStatus();
  TINYOBS_ASSIGN_OR_RETURN(matching->include, LabelList());
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> Parser::LabelList() {
  constexpr std::string_view kContext = "grouping opts";
  std::vector<std::string> labels;
  TINYOBS_RETURN_IF_ERROR(Expect(Token::kLeftParen, kContext, "\"(\""));
  while (!Accept(Token::kRightParen)) {
    if (!labels.empty()) {
      TINYOBS_RETURN_IF_ERROR(Expect(Token::kComma, kContext, "\",\" or \")\""));
      if (Accept(Token::kRightParen)) break;
    }
    if (!MayNameLabel(next_.token)) return Unexpected(kContext, "label");
    labels.emplace_back(next_.text);
    Advance();
  }
  return labels;
}

absl::StatusOr<ExprPtr> Parser::Unary() {
  if (next_.token != Token::kAdd && next_.token != Token::kSub) return Postfix();
  const uint32_t begin = next_.span.begin;
  const bool negative = next_.token == Token::kSub;
  Advance();
  TINYOBS_ASSIGN_OR_RETURN(ExprPtr inner, Binary(kAboveSign));
  if (inner->kind == Expr::Kind::kNumber) {
    if (negative) static_cast<NumberExpr&>(*inner).value *= -1;
    inner->span.begin = begin;
    return inner;
  }
  TINYOBS_RETURN_IF_ERROR(Passed(CheckSign({begin, last_end_}, *inner)));
  auto node = std::make_unique<UnaryExpr>(negative, std::move(inner));
  TINYOBS_RETURN_IF_ERROR(Finish(begin, {node->inner.get()}, node.get()));
  return ExprPtr(std::move(node));
}

absl::Status Parser::BadNumber() const {
  return Error(next_.span, StrCat("error parsing number: ", EscapeForMessage(next_.text, 60)));
}

absl::StatusOr<ExprPtr> Parser::Primary() {
  const uint32_t begin = next_.span.begin;
  switch (next_.token) {
    case Token::kNumber: {
      double value = 0;
      if (!ParseNumber(next_.text, &value)) return BadNumber();
      return Leaf(std::make_unique<NumberExpr>(value));
    }
    case Token::kString: {
      TINYOBS_ASSIGN_OR_RETURN(std::string text, Text());
      auto node = std::make_unique<StringExpr>(std::move(text));
      TINYOBS_RETURN_IF_ERROR(Finish(begin, {}, node.get()));
      return ExprPtr(std::move(node));
    }
    case Token::kLeftParen: {
      Advance();
      TINYOBS_ASSIGN_OR_RETURN(ExprPtr inner, Binary(kLowest));
      TINYOBS_RETURN_IF_ERROR(Expect(Token::kRightParen, "", ""));
      auto node = std::make_unique<ParenExpr>(std::move(inner));
      TINYOBS_RETURN_IF_ERROR(Finish(begin, {node->inner.get()}, node.get()));
      return ExprPtr(std::move(node));
    }
    case Token::kLeftBrace: {
      TINYOBS_ASSIGN_OR_RETURN(ExprPtr node, Vector());
      return node;
    }
    default:
      break;
  }
  if (!MayNameMetric(next_.token)) return Unexpected("", "");
  const Lexeme name = next_;
  // What a word is depends on the one behind it.
  Lexer ahead = lexer_;
  const Token after = ahead.Next().token;
  if (name.token == Token::kIdentifier && after == Token::kLeftParen) {
    Advance();
    return Call(name);
  }
  if (IsAggregate(name.token) &&
      (after == Token::kLeftParen || after == Token::kBy || after == Token::kWithout)) {
    Advance();
    return Aggregate(name);
  }
  TINYOBS_ASSIGN_OR_RETURN(ExprPtr node, Vector());
  return node;
}

absl::StatusOr<ExprPtr> Parser::Leaf(ExprPtr node) {
  const uint32_t begin = next_.span.begin;
  Advance();
  TINYOBS_RETURN_IF_ERROR(Finish(begin, {}, node.get()));
  return node;
}

absl::StatusOr<std::string> Parser::Text() {
  auto text = Unquote(next_.text);
  if (!text.ok()) return Error(next_.span, FromAbsl(text.status().message()));
  Advance();
  return *std::move(text);
}

absl::StatusOr<std::vector<ExprPtr>> Parser::Arguments(std::string_view context) {
  std::vector<ExprPtr> args;
  TINYOBS_RETURN_IF_ERROR(Expect(Token::kLeftParen, context, ""));
  while (!Accept(Token::kRightParen)) {
    if (!args.empty()) {
      const Span comma = next_.span;
      TINYOBS_RETURN_IF_ERROR(Expect(Token::kComma, "", ""));
      if (next_.token == Token::kRightParen) {
        return Error(comma, "trailing commas not allowed in function call args");
      }
    }
    TINYOBS_ASSIGN_OR_RETURN(ExprPtr arg, Binary(kLowest));
    args.push_back(std::move(arg));
  }
  return args;
}

absl::StatusOr<ExprPtr> Parser::Call(const Lexeme& name) {
  const Function* const function = FindFunction(name.text);
  if (function == nullptr) {
    return Error(name.span,
                 StrCat("unknown function with name \"", EscapeForMessage(name.text, 60), "\""));
  }
  auto node = std::make_unique<CallExpr>(function, function->returns);
  TINYOBS_ASSIGN_OR_RETURN(node->args, Arguments("function call"));
  TINYOBS_RETURN_IF_ERROR(Finish(name.span.begin, {}, node.get()));
  for (const ExprPtr& arg : node->args) {
    TINYOBS_RETURN_IF_ERROR(Finish(name.span.begin, {arg.get()}, node.get()));
  }
  TINYOBS_RETURN_IF_ERROR(Passed(CheckCall(*node)));
  return ExprPtr(std::move(node));
}

absl::StatusOr<ExprPtr> Parser::Aggregate(const Lexeme& name) {
  auto node = std::make_unique<AggregateExpr>(
      static_cast<AggregateOp>(static_cast<int>(name.token) - static_cast<int>(Token::kSum)));
  const auto grouping = [&]() -> absl::Status {
    if (next_.token != Token::kBy && next_.token != Token::kWithout) return absl::OkStatus();
    node->without = next_.token == Token::kWithout;
    Advance();
    TINYOBS_ASSIGN_OR_RETURN(node->grouping, LabelList());
    return absl::OkStatus();
  };
  const bool in_front = next_.token != Token::kLeftParen;
  if (in_front) TINYOBS_RETURN_IF_ERROR(grouping());
  TINYOBS_ASSIGN_OR_RETURN(std::vector<ExprPtr> args, Arguments("aggregation"));
  if (!in_front) TINYOBS_RETURN_IF_ERROR(grouping());
  node->span = {name.span.begin, last_end_};
  TINYOBS_RETURN_IF_ERROR(Passed(CheckArgumentCount(*node, args.size())));
  node->inner = std::move(args.back());
  if (args.size() == 2) node->parameter = std::move(args[0]);
  TINYOBS_RETURN_IF_ERROR(
      Finish(name.span.begin, {node->inner.get(), node->parameter.get()}, node.get()));
  TINYOBS_RETURN_IF_ERROR(Passed(CheckAggregate(*node)));
  return ExprPtr(std::move(node));
}

absl::StatusOr<ExprPtr> ParseExpr(std::string_view query) {
  TINYOBS_RETURN_IF_ERROR(CheckSize(query));
  return Parser(query).Whole();
}

absl::StatusOr<std::vector<Matcher>> ParseSelector(std::string_view text) {
  TINYOBS_RETURN_IF_ERROR(CheckSize(text));
  return Parser(text).Selector();
}

}  // namespace tinyobs::promql
