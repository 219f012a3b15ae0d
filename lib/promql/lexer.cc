#include "lib/promql/lexer.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "lib/base/strings.h"

namespace tinyobs::promql {

namespace {

struct Keyword {
  std::string_view word;
  Token token;
};
// Lower case; queries may write them in any.
constexpr Keyword kKeywords[] = {
    {"and", Token::kAnd},
    {"or", Token::kOr},
    {"unless", Token::kUnless},
    {"atan2", Token::kAtan2},
    {"sum", Token::kSum},
    {"avg", Token::kAvg},
    {"count", Token::kCount},
    {"min", Token::kMin},
    {"max", Token::kMax},
    {"group", Token::kGroup},
    {"stddev", Token::kStddev},
    {"stdvar", Token::kStdvar},
    {"topk", Token::kTopK},
    {"bottomk", Token::kBottomK},
    {"count_values", Token::kCountValues},
    {"quantile", Token::kQuantile},
    {"bool", Token::kBool},
    {"by", Token::kBy},
    {"group_left", Token::kGroupLeft},
    {"group_right", Token::kGroupRight},
    {"ignoring", Token::kIgnoring},
    {"offset", Token::kOffset},
    {"on", Token::kOn},
    {"without", Token::kWithout},
    {"start", Token::kStartOf},
    {"end", Token::kEndOf},
    {"inf", Token::kNumber},
    {"nan", Token::kNumber},
};

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlpha(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string Quoted(char c) { return StrCat("'", EscapeForMessage(std::string_view(&c, 1)), "'"); }

}  // namespace

std::string_view OpName(BinaryOp op) {
  constexpr std::string_view kNames[] = {"+",  "-", "*", "/",  "%",  "^",   "atan2", "==",
                                         "!=", "<", ">", "<=", ">=", "and", "or",    "unless"};
  return kNames[static_cast<size_t>(op)];
}

std::string_view OpName(AggregateOp op) {
  constexpr std::string_view kNames[] = {"sum",  "avg",     "count",        "min",
                                         "max",  "group",   "stddev",       "stdvar",
                                         "topk", "bottomk", "count_values", "quantile"};
  return kNames[static_cast<size_t>(op)];
}

Lexeme Lexer::Fail(std::string message) {
  error_ = std::move(message);
  return {Token::kError, error_, {begin_, at_}};
}

bool Lexer::Accept(char c) {
  if (Peek() != c || at_ >= text_.size()) return false;
  ++at_;
  return true;
}

void Lexer::SkipSpaceAndComments() {
  while (at_ < text_.size()) {
    if (IsSpace(Peek())) {
      ++at_;
    } else if (Peek() == '#') {
      while (at_ < text_.size() && Peek() != '\n') ++at_;
    } else {
      return;
    }
  }
}

Lexeme Lexer::Next() {
  if (!error_.empty()) return {Token::kError, error_, {begin_, at_}};
  SkipSpaceAndComments();
  begin_ = at_;
  if (at_ >= text_.size()) {
    if (in_braces_) return Fail("unexpected end of input inside braces");
    if (parens_ > 0) return Fail("unclosed left parenthesis");
    if (in_brackets_) return Fail("unclosed left bracket");
    return Emit(Token::kEnd);
  }
  const char c = text_[at_];
  if (IsAlpha(c) || (c == ':' && !in_brackets_ && !in_braces_)) return Word();
  if (!in_braces_ && (IsDigit(c) || (c == '.' && IsDigit(Peek(1))))) return NumberOrDuration();
  ++at_;
  switch (c) {
    case '"':
    case '\'':
    case '`':
      return String(c);
    case ',':
      return Emit(Token::kComma);
    case '=':
      if (in_braces_ && Accept('~')) return Emit(Token::kRegexMatch);
      return Emit(!in_braces_ && Accept('=') ? Token::kEqual : Token::kAssign);
    case '!':
      if (Accept('=')) return Emit(Token::kNotEqual);
      if (in_braces_ && Accept('~')) return Emit(Token::kRegexNotMatch);
      return Fail(StrCat("unexpected character after '!': ", Quoted(Peek())));
    case '}':
      if (!in_braces_) return Fail("unexpected right brace '}'");
      in_braces_ = false;
      return Emit(Token::kRightBrace);
    case '{':
      if (in_braces_) return Fail("unexpected left brace '{'");
      in_braces_ = true;
      return Emit(Token::kLeftBrace);
    default:
      break;
  }
  if (in_braces_) return Fail(StrCat("unexpected character inside braces: ", Quoted(c)));
  switch (c) {
    case '*':
      return Emit(Token::kMul);
    case '/':
      return Emit(Token::kDiv);
    case '%':
      return Emit(Token::kMod);
    case '+':
      return Emit(Token::kAdd);
    case '-':
      return Emit(Token::kSub);
    case '^':
      return Emit(Token::kPow);
    case '<':
      return Emit(Accept('=') ? Token::kLessOrEqual : Token::kLess);
    case '>':
      return Emit(Accept('=') ? Token::kGreaterOrEqual : Token::kGreater);
    case '@':
      return Emit(Token::kAt);
    case '(':
      ++parens_;
      return Emit(Token::kLeftParen);
    case ')':
      if (parens_ == 0) return Fail("unexpected right parenthesis ')'");
      --parens_;
      return Emit(Token::kRightParen);
    case '[':
      if (in_brackets_) return Fail("unexpected left bracket '['");
      in_brackets_ = true;
      colon_seen_ = false;
      return Emit(Token::kLeftBracket);
    case ']':
      if (!in_brackets_) return Fail("unexpected right bracket ']'");
      in_brackets_ = false;
      return Emit(Token::kRightBracket);
    case ':':
      if (colon_seen_) return Fail("unexpected colon ':'");
      colon_seen_ = true;
      return Emit(Token::kColon);
    default:
      return Fail(StrCat("unexpected character: ", Quoted(c)));
  }
}

// The rules of escapes are the parser's, which unquotes; here only the end is looked for.
Lexeme Lexer::String(char quote) {
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == quote) {
      ++at_;
      return Emit(Token::kString);
    }
    if (quote == '`') continue;
    if (c == '\n') break;
    if (c == '\\' && at_ + 1 < text_.size()) ++at_;
  }
  return Fail(quote == '`' ? "unterminated raw string" : "unterminated quoted string");
}

bool Lexer::TakeNumber() {
  bool hex = false;
  if (Peek() == '0' && (Peek(1) == 'x' || Peek(1) == 'X')) {
    hex = true;
    at_ += 2;
  }
  const auto digits = [&] {
    while (IsDigit(Peek()) || (hex && absl::ascii_isxdigit(static_cast<unsigned char>(Peek())))) {
      ++at_;
    }
  };
  digits();
  if (Accept('.')) digits();
  if (!hex && (Peek() == 'e' || Peek() == 'E')) {
    ++at_;
    if (Peek() == '+' || Peek() == '-') ++at_;
    digits();
  }
  // A unit, or the rest of a word, follows.
  return !IsAlpha(Peek()) && !IsDigit(Peek());
}

bool Lexer::TakeDuration() {
  for (bool any = false;; any = true) {
    const uint32_t number = at_;
    while (IsDigit(Peek())) ++at_;
    if (at_ == number) return any && !IsAlpha(Peek());
    const char unit = Peek();
    if (std::string_view("smhdwy").find(unit) == std::string_view::npos || unit == '\0') {
      return false;
    }
    ++at_;
    if (unit == 'm') Accept('s');
  }
}

Lexeme Lexer::NumberOrDuration() {
  if (TakeNumber()) {
    if (in_brackets_) return Fail("missing unit character in duration");
    return Emit(Token::kNumber);
  }
  at_ = begin_;
  if (TakeDuration()) return Emit(Token::kDuration);
  while (IsAlpha(Peek()) || IsDigit(Peek())) ++at_;
  return Fail(StrCat("bad number or duration syntax: \"",
                     EscapeForMessage(text_.substr(begin_, at_ - begin_), 60), "\""));
}

Lexeme Lexer::Word() {
  bool colon = false;
  while (IsAlpha(Peek()) || IsDigit(Peek()) || (Peek() == ':' && !in_braces_ && !in_brackets_)) {
    colon = colon || Peek() == ':';
    ++at_;
  }
  if (in_brackets_) return Fail(StrCat("unexpected character: ", Quoted(text_[begin_])));
  if (in_braces_) return Emit(Token::kIdentifier);
  if (colon) return Emit(Token::kMetricIdentifier);
  const std::string lower = absl::AsciiStrToLower(ToAbsl(text_.substr(begin_, at_ - begin_)));
  for (const Keyword& keyword : kKeywords) {
    if (keyword.word == lower) return Emit(keyword.token);
  }
  return Emit(Token::kIdentifier);
}

std::string Describe(const Lexeme& lexeme) {
  const auto with_text = [&](std::string_view what) {
    return StrCat(what, " \"", EscapeForMessage(lexeme.text, 60), "\"");
  };
  switch (lexeme.token) {
    case Token::kEnd:
      return "end of input";
    case Token::kIdentifier:
      return with_text("identifier");
    case Token::kMetricIdentifier:
      return with_text("metric identifier");
    case Token::kNumber:
      return with_text("number");
    case Token::kDuration:
      return with_text("duration");
    case Token::kString:
      return StrCat("string ", EscapeForMessage(lexeme.text, 60));
    default:
      break;
  }
  const std::string word = absl::AsciiStrToLower(ToAbsl(lexeme.text));
  if (lexeme.token >= Token::kAdd && lexeme.token <= Token::kUnless) {
    return StrCat("<op:", word, ">");
  }
  if (lexeme.token >= Token::kSum && lexeme.token <= Token::kQuantile) {
    return StrCat("<aggr:", word, ">");
  }
  if (lexeme.token >= Token::kBool) return StrCat("<", word, ">");
  return StrCat("\"", lexeme.text, "\"");
}

}  // namespace tinyobs::promql
