// A method a rule, which begins at `next_` and leaves it behind what it has read.
//
// The first error stays, and ends the text: from then on no token is accepted, so that every rule
// comes back by itself, with a node that nobody looks at. Rules need not hand errors on, and say
// what is read where.
#include "lib/promql/parser.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/strings.h"
#include "lib/promql/functions.h"
#include "lib/promql/lexer.h"
#include "lib/promql/literals.h"
#include "tinyobs/labels.h"

namespace tinyobs::promql {
namespace {

using Kind = Expr::Kind;
using Cardinality = VectorMatching::Cardinality;
using At = TimeModifiers::At;

// In the order of BinaryOp.
constexpr int kPrecedence[] = {4, 4, 5, 5, 5, 6, 5, 3, 3, 3, 3, 3, 3, 2, 1, 2};
constexpr int kLowest = 1;
// A sign binds as a factor does, so -2^2 is -(2^2).
constexpr int kAboveSign = 6;

constexpr std::string_view kTypeNames[] = {"scalar", "string", "instant vector", "range vector"};

template <typename Words>
bool Contains(const Words& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Keywords and operators may name a metric, or a label of a grouping, where they mean nothing else.
bool IsWord(const Lexeme& lexeme) {
  return lexeme.token >= Token::kIdentifier &&
         (lexeme.word.empty() || (lexeme.word[0] >= 'a' && lexeme.word[0] <= 'z'));
}
bool MayNameMetric(const Lexeme& lexeme) {
  constexpr std::array<std::string_view, 6> kNever = {"atan2",       "bool",     "group_left",
                                                      "group_right", "ignoring", "on"};
  return IsWord(lexeme) && !Contains(kNever, lexeme.word);
}
bool MayNameLabel(const Lexeme& lexeme) {
  return IsWord(lexeme) && lexeme.token != Token::kMetricIdentifier && !lexeme.Is("without");
}

ValueType TypeOfLetter(char letter) {
  return static_cast<ValueType>(std::string_view("stvm").find(letter));
}

bool IsScalarOrInstant(const Expr& expr) {
  return expr.type == ValueType::kScalar || expr.type == ValueType::kInstantVector;
}

class Parser {
 public:
  explicit Parser(std::string_view query) : query_(query), lexer_(query) {
    if (query.size() > kMaxQueryBytes) {
      status_ = absl::InvalidArgumentError(
          StrCat("the query has ", query.size(), " bytes, the limit is ", kMaxQueryBytes));
      lexer_ = Lexer("");
    }
    after_ = lexer_.Next();
    Advance();
    Require(next_.token != Token::kEnd, next_.begin, "no expression found in input");
  }

  absl::StatusOr<ExprPtr> Whole() {
    ExprPtr expr = Binary(kLowest);
    if (next_.token != Token::kEnd) Unexpected("", "");
    if (!status_.ok()) return status_;
    return expr;
  }

  absl::StatusOr<std::vector<Matcher>> Selector() {
    if (!next_.Is("{") && !MayNameMetric(next_)) Unexpected("", "");
    const std::unique_ptr<SelectorExpr> selector = Vector(/*may_be_all=*/true);
    if (next_.token != Token::kEnd) Unexpected("", "");
    if (!status_.ok()) return status_;
    return std::move(selector->matchers);
  }

 private:
  template <typename... Pieces>
  void Fail(uint32_t begin, const Pieces&... message) {
    if (!status_.ok()) return;
    const std::string_view before = query_.substr(0, begin);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const size_t column = before.size() - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
    status_ = absl::InvalidArgumentError(StrCat(line, ":", column, ": parse error: ", message...));
    lexer_ = Lexer("");
    next_ = after_ = Lexeme();
  }

  template <typename... Pieces>
  void Require(bool holds, uint32_t begin, const Pieces&... message) {
    if (!holds) Fail(begin, message...);
  }

  // `next_` does not belong here.
  void Unexpected(std::string_view context, std::string_view expected) {
    if (next_.token == Token::kError) return Fail(next_.begin, next_.text);
    Fail(next_.begin, "unexpected ", Describe(next_), context.empty() ? "" : " in ", context,
         expected.empty() ? "" : ", expected ", expected);
  }

  void RequireHeight(uint32_t height, uint32_t begin) {
    Require(height <= kMaxHeight, begin, "expression is nested deeper than ", kMaxHeight,
            " levels");
  }

  void Advance() {
    next_ = after_;
    after_ = lexer_.Next();
  }

  bool Accept(std::string_view word) {
    if (!next_.Is(word)) return false;
    Advance();
    return true;
  }

  bool Expect(std::string_view word, std::string_view context, std::string_view expected) {
    if (Accept(word)) return true;
    Unexpected(context, expected);
    return false;
  }

  // A node that begins at `begin`, with its parts.
  template <typename Node, typename... Args>
  std::unique_ptr<Node> Make(uint32_t begin, Kind kind, ValueType type, Args&&... args) {
    auto node = std::make_unique<Node>();
    node->kind = kind;
    node->type = type;
    node->begin = begin;
    (TakeArg(std::forward<Args>(args), node.get()), ...);
    return node;
  }
  void TakeArg(ExprPtr arg, Expr* node) {
    node->height = std::max(node->height, arg->height + 1);
    RequireHeight(node->height, node->begin);
    node->args.push_back(std::move(arg));
  }

  // Operators of at least this precedence. Each level of nesting comes through here.
  ExprPtr Binary(int least) {
    RequireHeight(++depth_, next_.begin);
    ExprPtr expr = Unary();
    while (next_.token == Token::kBinaryOp && kPrecedence[next_.op] >= least) {
      expr = Operation(std::move(expr));
    }
    --depth_;
    return expr;
  }

  // What follows the left operand.
  ExprPtr Operation(ExprPtr left) {
    const Lexeme op = next_;
    Advance();
    auto node =
        Make<BinaryExpr>(left->begin, Kind::kBinary, ValueType::kInstantVector, std::move(left));
    node->op = static_cast<BinaryOp>(op.op);
    node->return_bool = Accept("bool");
    VectorMatching matching = Matching();
    // Only ^ is right-associative.
    TakeArg(Binary(kPrecedence[op.op] + (node->op == BinaryOp::kPow ? 0 : 1)), node.get());
    CheckBinary(op, std::move(matching), node.get());
    return node;
  }

  // on(...), ignoring(...), group_left(...), group_right(...).
  VectorMatching Matching() {
    VectorMatching matching;
    if (!next_.Is("on") && !next_.Is("ignoring")) return matching;
    matching.on = next_.Is("on");
    Advance();
    matching.labels = LabelList();
    const bool left = next_.Is("group_left");
    if (!left && !next_.Is("group_right")) return matching;
    matching.cardinality = left ? Cardinality::kManyToOne : Cardinality::kOneToMany;
    Advance();
    if (next_.Is("(")) matching.include = LabelList();
    return matching;
  }

  // Settles node->type and node->matching, of `matching` as it was written.
  void CheckBinary(const Lexeme& op, VectorMatching matching, BinaryExpr* node) {
    const Expr& left = *node->args[0];
    const Expr& right = *node->args[1];
    Require(IsComparison(node->op) || !node->return_bool, op.begin,
            "bool modifier can only be used on comparison operators");
    for (const Expr* const side : {&left, &right}) {
      Require(IsScalarOrInstant(*side), side->begin,
              "binary expression must contain only scalar and instant vector types");
    }
    const bool scalars = left.type == ValueType::kScalar && right.type == ValueType::kScalar;
    const bool vectors = left.type == ValueType::kInstantVector && right.type == left.type;
    Require(!scalars || !IsComparison(node->op) || node->return_bool, node->begin,
            "comparisons between scalars must use BOOL modifier");
    for (const std::string& label : matching.labels) {
      Require(!matching.on || !Contains(matching.include, label), node->begin, "label \"", label,
              "\" must not occur in ON and GROUP clause at once");
    }
    if (IsSetOp(node->op)) {
      Require(matching.cardinality == Cardinality::kOneToOne, op.begin,
              "no grouping allowed for \"", op.word, "\" operation");
      matching.cardinality = Cardinality::kManyToMany;
    }
    Require(vectors || matching.labels.empty(), node->begin,
            "vector matching only allowed between instant vectors");
    Require(vectors || !IsSetOp(node->op), op.begin, "set operator \"", op.word,
            "\" not allowed in binary scalar expression");
    if (vectors) node->matching = std::move(matching);
    if (scalars) node->type = ValueType::kScalar;
  }

  // What is between `(` or `{` and `close`: items with commas between them and perhaps behind them.
  template <typename ReadItem>
  void List(std::string_view close, std::string_view context, ReadItem read_item) {
    for (bool first = true; status_.ok() && !Accept(close); first = false) {
      if (!first) {
        Expect(",", context, close == ")" ? "\",\" or \")\"" : "\",\" or \"}\"");
        if (Accept(close)) return;
      }
      read_item(context);
    }
  }

  std::vector<std::string> LabelList() {
    std::vector<std::string> labels;
    Expect("(", "grouping opts", "\"(\"");
    List(")", "grouping opts", [&](std::string_view context) {
      if (!MayNameLabel(next_)) return Unexpected(context, "label");
      labels.emplace_back(next_.text);
      Advance();
    });
    return labels;
  }

  ExprPtr Unary() {
    const uint32_t begin = next_.begin;
    const bool negative = next_.Is("-");
    if (!negative && !next_.Is("+")) return Postfix();
    Advance();
    ExprPtr inner = Binary(kAboveSign);
    if (inner->kind == Kind::kNumber) {
      if (negative) static_cast<NumberExpr&>(*inner).value *= -1;
      inner->begin = begin;
      return inner;
    }
    Require(IsScalarOrInstant(*inner), begin,
            "unary expression only allowed on expressions of type scalar or instant vector, got \"",
            TypeName(inner->type), "\"");
    auto node = Make<UnaryExpr>(begin, Kind::kUnary, inner->type, std::move(inner));
    node->negative = negative;
    return node;
  }

  // An expression and what follows it: ranges, subqueries, offset, @.
  ExprPtr Postfix() {
    ExprPtr expr = Primary();
    while (true) {
      if (next_.Is("[")) {
        expr = Range(std::move(expr));
      } else if (Accept("offset")) {
        Offset(expr.get());
      } else if (Accept("@")) {
        AtTime(expr.get());
      } else {
        return expr;
      }
    }
  }

  ExprPtr Primary() {
    const uint32_t begin = next_.begin;
    if (next_.token == Token::kNumber) {
      auto node = Make<NumberExpr>(begin, Kind::kNumber, ValueType::kScalar);
      node->value = Number();
      return node;
    }
    if (next_.token == Token::kString) {
      auto node = Make<StringExpr>(begin, Kind::kString, ValueType::kString);
      node->value = Text();
      return node;
    }
    if (Accept("(")) {
      ExprPtr inner = Binary(kLowest);
      Expect(")", "", "");
      return Make<Expr>(begin, Kind::kParen, inner->type, std::move(inner));
    }
    // What a word is depends on the one behind it.
    if (next_.token == Token::kIdentifier && after_.Is("(")) return Call();
    if (next_.token == Token::kAggregateOp &&
        (after_.Is("(") || after_.Is("by") || after_.Is("without"))) {
      return Aggregate();
    }
    if (!next_.Is("{") && !MayNameMetric(next_)) Unexpected("", "");
    return Vector(/*may_be_all=*/false);
  }

  double Number() {
    double value = 0;
    if (!ParseNumber(next_.text, &value)) {
      Fail(next_.begin, "error parsing number: ", EscapeForMessage(next_.text, 60));
    }
    Advance();
    return value;
  }

  std::string Text() {
    absl::StatusOr<std::string> text = Unquote(next_.text);
    if (!text.ok()) Fail(next_.begin, FromAbsl(text.status().message()));
    Advance();
    return std::move(text).value_or("");
  }

  ExprPtr Call() {
    const Function* const function = FindFunction(next_.text);
    const uint32_t begin = next_.begin;
    auto node = Make<CallExpr>(begin, Kind::kCall, ValueType::kInstantVector);
    if (function == nullptr) {
      Fail(begin, "unknown function with name \"", EscapeForMessage(next_.text, 60), "\"");
      return node;
    }
    node->type = function->returns;
    node->function = function;
    Advance();
    Arguments(node.get());
    CheckCall(*node);
    return node;
  }

  void Arguments(Expr* node) {
    Expect("(", "aggregation", "");
    while (status_.ok() && !Accept(")")) {
      const uint32_t comma = next_.begin;
      if (!node->args.empty() && Expect(",", "", "")) {
        Require(!next_.Is(")"), comma, "trailing commas not allowed in function call args");
      }
      TakeArg(Binary(kLowest), node);
    }
  }

  template <typename... Pieces>
  void RequireType(const Expr& expr, ValueType type, const Pieces&... context) {
    Require(expr.type == type, expr.begin, "expected type ", TypeName(type), " in ", context...,
            ", got ", TypeName(expr.type));
  }

  void CheckCall(const CallExpr& node) {
    const Function& function = *node.function;
    const size_t most = function.arguments.size();
    const size_t least =
        most - static_cast<size_t>(function.optional == kAnyNumber ? 1 : function.optional);
    const size_t got = node.args.size();
    Require(
        got >= least && (got <= most || function.optional == kAnyNumber), node.begin, "expected ",
        function.optional == 0 ? ""
        : got < least          ? "at least "
                               : "at most ",
        got < least ? least : most, " argument(s) in call to \"", function.name, "\", got ", got);
    for (size_t i = 0; status_.ok() && i < got; ++i) {
      RequireType(*node.args[i], TypeOfLetter(function.arguments[std::min(i, most - 1)]),
                  "call to function \"", function.name, "\"");
    }
  }

  ExprPtr Aggregate() {
    auto node = Make<AggregateExpr>(next_.begin, Kind::kAggregate, ValueType::kInstantVector);
    node->op = static_cast<AggregateOp>(next_.op);
    Advance();
    const bool grouped_in_front = Grouping(node.get());
    Arguments(node.get());
    if (!grouped_in_front) Grouping(node.get());
    CheckAggregate(*node);
    return node;
  }

  bool Grouping(AggregateExpr* node) {
    if (!next_.Is("by") && !next_.Is("without")) return false;
    node->without = next_.Is("without");
    Advance();
    node->grouping = LabelList();
    return true;
  }

  void CheckAggregate(const AggregateExpr& node) {
    const size_t wanted = HasParameter(node.op) ? 2 : 1;
    const size_t got = node.args.size();
    Require(got > 0, node.begin, "no arguments for aggregate expression provided");
    Require(got == wanted, node.begin,
            "wrong number of arguments for aggregate expression provided, expected ", wanted,
            ", got ", got);
    if (!status_.ok()) return;
    RequireType(*node.args.back(), ValueType::kInstantVector, "aggregation expression");
    if (!HasParameter(node.op)) return;
    const bool is_label = node.op == AggregateOp::kCountValues;
    RequireType(*node.args[0], is_label ? ValueType::kString : ValueType::kScalar,
                "aggregation parameter");
  }

  // The next token as a duration above 0.
  int64_t Duration(std::string_view context) {
    if (next_.token != Token::kDuration) Unexpected(context, "duration");
    const absl::StatusOr<int64_t> duration = ParseDuration(next_.text);
    if (!duration.ok()) Fail(next_.begin, FromAbsl(duration.status().message()));
    Require(duration.value_or(0) > 0, next_.begin, "duration must be greater than 0");
    Advance();
    return duration.value_or(0);
  }

  ExprPtr Range(ExprPtr of) {
    constexpr std::string_view kContext = "subquery selector";
    const uint32_t bracket = next_.begin;
    Advance();
    const int64_t range_ms = Duration(kContext);
    if (Accept(":")) {
      auto node = Make<SubqueryExpr>(of->begin, Kind::kSubquery, ValueType::kRangeVector);
      node->range_ms = range_ms;
      const bool has_step = next_.token == Token::kDuration;
      if (has_step) node->step_ms = Duration(kContext);
      Expect("]", kContext, has_step ? "\"]\"" : "duration or \"]\"");
      Require(of->type == ValueType::kInstantVector, of->begin,
              "subquery is only allowed on instant vector, got ", TypeName(of->type), " instead");
      TakeArg(std::move(of), node.get());
      return node;
    }
    Expect("]", "subquery or range", "\":\" or \"]\"");
    Require(of->kind == Kind::kVector, bracket, "ranges only allowed for vector selectors");
    if (!status_.ok()) return of;
    auto& selector = static_cast<SelectorExpr&>(*of);
    Require(selector.when.offset_ms == 0, bracket, "no offset modifiers allowed before range");
    Require(selector.when.at == At::kNone, bracket, "no @ modifiers allowed before range");
    selector.kind = Kind::kMatrix;
    selector.type = ValueType::kRangeVector;
    selector.range_ms = range_ms;
    return of;
  }

  // Of what ends with `modifier`, which was just read; fails when it cannot have one.
  TimeModifiers* ModifiersOf(std::string_view modifier, Expr* expr) {
    const bool is_timed =
        expr->kind == Kind::kVector || expr->kind == Kind::kMatrix || expr->kind == Kind::kSubquery;
    Require(
        is_timed, expr->begin, modifier,
        " modifier must be preceded by an instant vector selector or range vector selector or a "
        "subquery");
    return is_timed ? &static_cast<TimedExpr*>(expr)->when : nullptr;
  }

  void Offset(Expr* expr) {
    const int sign = Accept("-") ? -1 : 1;
    const int64_t offset_ms = Duration("offset");
    TimeModifiers* const when = ModifiersOf("offset", expr);
    if (when == nullptr) return;
    Require(when->offset_ms == 0, expr->begin, "offset may not be set multiple times");
    when->offset_ms = sign * offset_ms;
  }

  void AtTime(Expr* expr) {
    At at = At::kTimestamp;
    double seconds = 0;
    if (next_.Is("start") || next_.Is("end")) {
      at = next_.Is("start") ? At::kStart : At::kEnd;
      Advance();
      Expect("(", "@", "timestamp");
      Expect(")", "@", "timestamp");
    } else {
      const bool negative = Accept("-");
      if (!negative) Accept("+");
      if (next_.token != Token::kNumber) Unexpected("@", "timestamp");
      seconds = negative ? -Number() : Number();
    }
    TimeModifiers* const when = ModifiersOf("@", expr);
    if (when == nullptr) return;
    Require(when->at == At::kNone, expr->begin, "@ <timestamp> may not be set multiple times");
    // The whole of int64 in seconds is allowed; in milliseconds it has to fit, too.
    const bool fits = std::fabs(seconds) < 9.2e15;
    Require(fits, expr->begin, "timestamp out of bounds for @ modifier");
    when->at = at;
    when->at_ms = fits ? std::llround(seconds * 1000) : 0;
  }

  std::unique_ptr<SelectorExpr> Vector(bool may_be_all) {
    auto node = Make<SelectorExpr>(next_.begin, Kind::kVector, ValueType::kInstantVector);
    if (!next_.Is("{")) {
      node->name = std::string(next_.text);
      Advance();
    }
    if (Accept("{")) {
      List("}", "label matching",
           [&](std::string_view context) { LabelMatcher(context, &node->matchers); });
    }
    if (!node->name.empty()) {
      for (const Matcher& matcher : node->matchers) {
        Require(matcher.label() != kMetricName, node->begin,
                "metric name must not be set twice: \"", node->name, "\" or \"", matcher.value(),
                "\"");
      }
      node->matchers.push_back(Matcher::Metric(node->name));
    }
    // Never all there is, by accident.
    Require(may_be_all || !std::all_of(node->matchers.begin(), node->matchers.end(),
                                       [](const Matcher& one) { return one.MatchesEmpty(); }),
            node->begin, "vector selector must contain at least one non-empty matcher");
    return node;
  }

  void LabelMatcher(std::string_view context, std::vector<Matcher>* matchers) {
    const Lexeme label = next_;
    if (label.token != Token::kIdentifier) return Unexpected(context, "identifier or \"}\"");
    Advance();
    const auto op = std::find(std::begin(kMatcherOps), std::end(kMatcherOps), next_.word);
    if (op == std::end(kMatcherOps)) return Unexpected(context, "label matching operator");
    Advance();
    if (next_.token != Token::kString) return Unexpected(context, "string");
    std::string value = Text();
    auto matcher = Matcher::Create(static_cast<Matcher::Op>(op - kMatcherOps),
                                   std::string(label.text), std::move(value));
    if (!matcher.ok()) return Fail(label.begin, FromAbsl(matcher.status().message()));
    matchers->push_back(*std::move(matcher));
  }

  const std::string_view query_;
  absl::Status status_;
  Lexer lexer_;
  Lexeme next_;
  Lexeme after_;  // the one behind it
  uint32_t depth_ = 0;
};

}  // namespace

std::string_view TypeName(ValueType type) { return kTypeNames[static_cast<size_t>(type)]; }

absl::StatusOr<ExprPtr> ParseExpr(std::string_view query) { return Parser(query).Whole(); }

absl::StatusOr<std::vector<Matcher>> ParseSelector(std::string_view text) {
  return Parser(text).Selector();
}

}  // namespace tinyobs::promql
