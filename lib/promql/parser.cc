#include "lib/promql/parser.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/promql/functions.h"
#include "lib/promql/lexer.h"
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

class Parser {
 public:
  explicit Parser(std::string_view query) : query_(query), lexer_(query) { Advance(); }

  absl::StatusOr<ExprPtr> Whole() {
    if (next_.token == Token::kEnd) return Error(next_.span, "no expression found in input");
    TINYOBS_ASSIGN_OR_RETURN(ExprPtr expr, Binary(kLowest));
    if (next_.token != Token::kEnd) return Unexpected("", "");
    return expr;
  }

  absl::StatusOr<std::vector<Matcher>> Selector() {
    if (next_.token == Token::kEnd) return Error(next_.span, "no expression found in input");
    if (next_.token != Token::kLeftBrace && !MayNameMetric(next_.token)) return Unexpected("", "");
    TINYOBS_ASSIGN_OR_RETURN(std::unique_ptr<VectorExpr> vector, Vector());
    if (next_.token != Token::kEnd) return Unexpected("", "");
    return std::move(vector->matchers);
  }

 private:
  absl::Status Error(Span span, std::string_view message) const {
    const std::string_view before = query_.substr(0, std::min<size_t>(span.begin, query_.size()));
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
    return absl::InvalidArgumentError(StrCat(line, ":", column, ": parse error: ", message));
  }
  // That `next_` does not belong here.
  absl::Status Unexpected(std::string_view context, std::string_view expected) const {
    if (next_.token == Token::kError) return Error(next_.span, next_.text);
    std::string message = StrCat("unexpected ", Describe(next_));
    if (!context.empty()) StrAppend(&message, " in ", context);
    if (!expected.empty()) StrAppend(&message, ", expected ", expected);
    return Error(next_.span, message);
  }

  void Advance() {
    last_end_ = next_.span.end;
    next_ = lexer_.Next();
  }
  bool Accept(Token token) {
    if (next_.token != token) return false;
    Advance();
    return true;
  }
  absl::Status Expect(Token token, std::string_view context, std::string_view expected) {
    return Accept(token) ? absl::OkStatus() : Unexpected(context, expected);
  }

  // Gives a finished node its place, and its height over `children`.
  absl::Status Finish(uint32_t begin, std::initializer_list<const Expr*> children, Expr* node) {
    node->span = {begin, last_end_};
    for (const Expr* const child : children) {
      if (child != nullptr) node->height = std::max(node->height, child->height + 1);
    }
    if (node->height > kMaxHeight) return TooDeep(node->span);
    return absl::OkStatus();
  }
  absl::Status TooDeep(Span span) const {
    return Error(span, StrCat("expression is nested deeper than ", kMaxHeight, " levels"));
  }

  absl::Status ExpectType(const Expr& expr, ValueType type, std::string_view context) const {
    if (expr.type == type) return absl::OkStatus();
    return Error(expr.span, StrCat("expected type ", TypeName(type), " in ", context, ", got ",
                                   TypeName(expr.type)));
  }

  absl::StatusOr<ExprPtr> Binary(int least) {
    // Each level of nesting comes through here.
    if (++depth_ > kMaxHeight) return TooDeep(next_.span);
    absl::StatusOr<ExprPtr> expr = Operations(least);
    --depth_;
    return expr;
  }

  absl::StatusOr<ExprPtr> Operations(int least) {
    TINYOBS_ASSIGN_OR_RETURN(ExprPtr lhs, Unary());
    for (;;) {
      const Lexeme op = next_;
      const int precedence = Precedence(op.token);
      if (precedence == 0 || precedence < least) return lhs;
      Advance();
      auto node = std::make_unique<BinaryExpr>(BinaryOpOf(op.token), std::move(lhs), nullptr);
      VectorMatching matching;
      bool has_labels = false;
      node->return_bool = Accept(Token::kBool);
      TINYOBS_RETURN_IF_ERROR(Matching(&matching, &has_labels));
      // Only ^ is right-associative.
      TINYOBS_ASSIGN_OR_RETURN(node->rhs,
                               Binary(op.token == Token::kPow ? precedence : precedence + 1));
      TINYOBS_RETURN_IF_ERROR(
          Finish(node->lhs->span.begin, {node->lhs.get(), node->rhs.get()}, node.get()));
      TINYOBS_RETURN_IF_ERROR(CheckBinary(op, std::move(matching), has_labels, node.get()));
      lhs = std::move(node);
    }
  }

  // on(...), ignoring(...), group_left(...), group_right(...).
  absl::Status Matching(VectorMatching* matching, bool* has_labels) {
    if (next_.token != Token::kOn && next_.token != Token::kIgnoring) return absl::OkStatus();
    *has_labels = true;
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

  absl::StatusOr<std::vector<std::string>> LabelList() {
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

  absl::Status CheckBinary(const Lexeme& op, VectorMatching matching, bool has_labels,
                           BinaryExpr* node) const {
    using Cardinality = VectorMatching::Cardinality;
    const std::string_view name = OpName(node->op);
    if (node->return_bool && !IsComparison(node->op)) {
      return Error(op.span, "bool modifier can only be used on comparison operators");
    }
    for (const Expr* const side : {node->lhs.get(), node->rhs.get()}) {
      if (side->type != ValueType::kScalar && side->type != ValueType::kInstantVector) {
        return Error(side->span,
                     "binary expression must contain only scalar and instant vector "
                     "types");
      }
    }
    const bool scalars =
        node->lhs->type == ValueType::kScalar && node->rhs->type == ValueType::kScalar;
    const bool vectors = node->lhs->type == ValueType::kInstantVector &&
                         node->rhs->type == ValueType::kInstantVector;
    if (scalars && IsComparison(node->op) && !node->return_bool) {
      return Error(node->span, "comparisons between scalars must use BOOL modifier");
    }
    if (matching.on) {
      for (const std::string& label : matching.labels) {
        if (std::count(matching.include.begin(), matching.include.end(), label) > 0) {
          return Error(node->span, StrCat("label \"", label,
                                          "\" must not occur in ON and GROUP clause at once"));
        }
      }
    }
    if (IsSetOp(node->op)) {
      if (matching.cardinality != Cardinality::kOneToOne) {
        return Error(op.span, StrCat("no grouping allowed for \"", name, "\" operation"));
      }
      matching.cardinality = Cardinality::kManyToMany;
    }
    if (!vectors) {
      if (has_labels && !(matching.labels.empty() && !matching.on)) {
        return Error(node->span, "vector matching only allowed between instant vectors");
      }
      if (IsSetOp(node->op)) {
        return Error(op.span,
                     StrCat("set operator \"", name, "\" not allowed in binary scalar expression"));
      }
    }
    if (vectors) node->matching = std::move(matching);
    node->type = scalars ? ValueType::kScalar : ValueType::kInstantVector;
    return absl::OkStatus();
  }

  absl::StatusOr<ExprPtr> Unary() {
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
    if (inner->type != ValueType::kScalar && inner->type != ValueType::kInstantVector) {
      return Error({begin, last_end_},
                   StrCat("unary expression only allowed on expressions of type scalar or instant "
                          "vector, got \"",
                          TypeName(inner->type), "\""));
    }
    auto node = std::make_unique<UnaryExpr>(negative, std::move(inner));
    TINYOBS_RETURN_IF_ERROR(Finish(begin, {node->inner.get()}, node.get()));
    return ExprPtr(std::move(node));
  }

  // An expression and what follows it: ranges, subqueries, offset, @.
  absl::StatusOr<ExprPtr> Postfix() {
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

  // The next token as a duration above 0.
  absl::StatusOr<int64_t> Duration() {
    const auto duration = ParseDuration(next_.text);
    if (!duration.ok()) return Error(next_.span, FromAbsl(duration.status().message()));
    if (*duration == 0) return Error(next_.span, "duration must be greater than 0");
    Advance();
    return *duration;
  }

  absl::StatusOr<ExprPtr> Range(ExprPtr of) {
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
      if (of->type != ValueType::kInstantVector) {
        return Error(of->span, StrCat("subquery is only allowed on instant vector, got ",
                                      TypeName(of->type), " instead"));
      }
      auto node = std::make_unique<SubqueryExpr>(std::move(of));
      node->range_ms = range_ms;
      node->step_ms = step_ms;
      TINYOBS_RETURN_IF_ERROR(Finish(begin, {node->inner.get()}, node.get()));
      return ExprPtr(std::move(node));
    }
    TINYOBS_RETURN_IF_ERROR(Expect(Token::kRightBracket, "subquery or range", "\":\" or \"]\""));
    const Span brackets = {bracket, last_end_};
    if (of->kind != Expr::Kind::kVector) {
      return Error(brackets, "ranges only allowed for vector selectors");
    }
    std::unique_ptr<VectorExpr> vector(static_cast<VectorExpr*>(of.release()));
    if (vector->when.offset_ms != 0) {
      return Error(brackets, "no offset modifiers allowed before range");
    }
    if (vector->when.at != TimeModifiers::At::kNone) {
      return Error(brackets, "no @ modifiers allowed before range");
    }
    auto node = std::make_unique<MatrixExpr>(std::move(vector));
    node->range_ms = range_ms;
    TINYOBS_RETURN_IF_ERROR(Finish(begin, {node->vector.get()}, node.get()));
    return ExprPtr(std::move(node));
  }

  // Null when the node cannot have any.
  static TimeModifiers* ModifiersOf(Expr* expr) {
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

  absl::Status Offset(Expr* expr) {
    Advance();
    const bool negative = Accept(Token::kSub);
    if (next_.token != Token::kDuration) return Unexpected("offset", "duration");
    TINYOBS_ASSIGN_OR_RETURN(const int64_t offset_ms, Duration());
    expr->span.end = last_end_;
    TimeModifiers* const when = ModifiersOf(expr);
    if (when == nullptr) {
      return Error(expr->span,
                   "offset modifier must be preceded by an instant vector selector or "
                   "range vector selector or a subquery");
    }
    if (when->offset_ms != 0) return Error(expr->span, "offset may not be set multiple times");
    when->offset_ms = negative ? -offset_ms : offset_ms;
    return absl::OkStatus();
  }

  absl::Status At(Expr* expr) {
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
    TimeModifiers* const when = ModifiersOf(expr);
    if (when == nullptr) {
      return Error(expr->span,
                   "@ modifier must be preceded by an instant vector selector or range "
                   "vector selector or a subquery");
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
    return absl::OkStatus();
  }

  absl::Status BadNumber() const {
    return Error(next_.span, StrCat("error parsing number: ", EscapeForMessage(next_.text, 60)));
  }

  absl::StatusOr<ExprPtr> Primary() {
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

  absl::StatusOr<ExprPtr> Leaf(ExprPtr node) {
    const uint32_t begin = next_.span.begin;
    Advance();
    TINYOBS_RETURN_IF_ERROR(Finish(begin, {}, node.get()));
    return node;
  }

  // The string literal at hand.
  absl::StatusOr<std::string> Text() {
    auto text = Unquote(next_.text);
    if (!text.ok()) return Error(next_.span, FromAbsl(text.status().message()));
    Advance();
    return *std::move(text);
  }

  absl::StatusOr<std::vector<ExprPtr>> Arguments(std::string_view context) {
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

  absl::StatusOr<ExprPtr> Call(const Lexeme& name) {
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
    const size_t named = function->arguments.size();
    const size_t got = node->args.size();
    const size_t least =
        named - static_cast<size_t>(function->optional == kAnyNumber ? 1 : function->optional);
    const std::string in_call =
        StrCat(" argument(s) in call to \"", function->name, "\", got ", got);
    if (function->optional == 0 && got != named) {
      return Error(node->span, StrCat("expected ", named, in_call));
    }
    if (got < least) return Error(node->span, StrCat("expected at least ", least, in_call));
    if (function->optional > 0 && got > named) {
      return Error(node->span, StrCat("expected at most ", named, in_call));
    }
    const std::string context = StrCat("call to function \"", function->name, "\"");
    for (size_t i = 0; i < got; ++i) {
      const char letter = function->arguments[std::min(i, named - 1)];
      TINYOBS_RETURN_IF_ERROR(ExpectType(*node->args[i], TypeOfLetter(letter), context));
    }
    return ExprPtr(std::move(node));
  }

  absl::StatusOr<ExprPtr> Aggregate(const Lexeme& name) {
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
    if (args.empty()) return Error(node->span, "no arguments for aggregate expression provided");
    const size_t wanted = HasParameter(node->op) ? 2 : 1;
    if (args.size() != wanted) {
      return Error(node->span,
                   StrCat("wrong number of arguments for aggregate expression provided, expected ",
                          wanted, ", got ", args.size()));
    }
    if (wanted == 2) node->parameter = std::move(args[0]);
    node->inner = std::move(args[wanted - 1]);
    TINYOBS_RETURN_IF_ERROR(
        Finish(name.span.begin, {node->inner.get(), node->parameter.get()}, node.get()));
    TINYOBS_RETURN_IF_ERROR(
        ExpectType(*node->inner, ValueType::kInstantVector, "aggregation expression"));
    if (node->parameter != nullptr) {
      const ValueType type =
          node->op == AggregateOp::kCountValues ? ValueType::kString : ValueType::kScalar;
      TINYOBS_RETURN_IF_ERROR(ExpectType(*node->parameter, type, "aggregation parameter"));
    }
    return ExprPtr(std::move(node));
  }

  absl::StatusOr<std::unique_ptr<VectorExpr>> Vector() {
    auto node = std::make_unique<VectorExpr>();
    const uint32_t begin = next_.span.begin;
    if (next_.token != Token::kLeftBrace) {
      node->name = std::string(next_.text);
      Advance();
    }
    if (next_.token == Token::kLeftBrace) TINYOBS_RETURN_IF_ERROR(LabelMatchers(node.get()));
    TINYOBS_RETURN_IF_ERROR(Finish(begin, {}, node.get()));
    if (!node->name.empty()) {
      for (const Matcher& matcher : node->matchers) {
        if (matcher.label() == "__name__") {
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
    return node;
  }

  absl::Status LabelMatchers(VectorExpr* node) {
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

  const std::string_view query_;
  Lexer lexer_;
  Lexeme next_;
  uint32_t last_end_ = 0;  // of the token before
  uint32_t depth_ = 0;
};

absl::Status CheckSize(std::string_view text) {
  if (text.size() <= kMaxQueryBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("the query has ", text.size(), " bytes, the limit is ", kMaxQueryBytes));
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

absl::StatusOr<ExprPtr> ParseExpr(std::string_view query) {
  TINYOBS_RETURN_IF_ERROR(CheckSize(query));
  return Parser(query).Whole();
}

absl::StatusOr<std::vector<Matcher>> ParseSelector(std::string_view text) {
  TINYOBS_RETURN_IF_ERROR(CheckSize(text));
  return Parser(text).Selector();
}

}  // namespace tinyobs::promql
