#include "lib/promql/lexer.h"

#include <algorithm>
#include <span>
#include <utility>

#include "absl/strings/ascii.h"
#include "lib/base/strings.h"
#include "lib/model/utf8.h"

namespace tinyobs::promql {

namespace {

// In the order of BinaryOp and of AggregateOp. Queries may write words in any case.
constexpr std::string_view kBinaryOps[] = {
    "+", "-", "*", "/", "%", "^", "atan2", "==", "!=", "<", ">", "<=", ">=", "and", "or", "unless"};
constexpr std::string_view kAggregateOps[] = {"sum",  "avg",     "count",        "min",
                                              "max",  "group",   "stddev",       "stdvar",
                                              "topk", "bottomk", "count_values", "quantile"};
constexpr std::string_view kKeywords[] = {"bool",   "by", "group_left", "group_right", "ignoring",
                                          "offset", "on", "without",    "start",       "end"};
constexpr size_t kLongestWord = std::string_view("count_values").size();

constexpr std::string_view kBrackets = "({[)}]";  // those that close behind those that open
constexpr std::string_view kBracketNames[] = {"parenthesis", "brace", "bracket"};
constexpr size_t kRound = 0;
constexpr size_t kCurly = 1;
constexpr size_t kSquare = 2;

bool IsOneOf(std::string_view set, char c) { return set.find(c) != std::string_view::npos; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHexDigit(char c) { return absl::ascii_isxdigit(static_cast<unsigned char>(c)); }
bool IsAlpha(char c) { return c == '_' || absl::ascii_isalpha(static_cast<unsigned char>(c)); }
bool IsAlphanumeric(char c) { return IsAlpha(c) || IsDigit(c); }
bool IsAlphanumericOrColon(char c) { return IsAlphanumeric(c) || c == ':'; }
bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

std::string Quoted(char c) { return StrCat("'", EscapeForMessage(std::string_view(&c, 1)), "'"); }

// Makes `lexeme` the one of `words` that reads `text`, if there is one.
bool Find(std::span<const std::string_view> words, std::string_view text, Token token,
          Lexeme* lexeme) {
  // Most differ in the first character.
  const auto found = std::find_if(words.begin(), words.end(), [&](std::string_view word) {
    return word[0] == text[0] && word == text;
  });
  if (found == words.end()) return false;
  lexeme->token = token;
  lexeme->op = static_cast<uint8_t>(found - words.begin());
  lexeme->word = *found;
  return true;
}

}  // namespace

std::string_view OpName(BinaryOp op) { return kBinaryOps[static_cast<size_t>(op)]; }
std::string_view OpName(AggregateOp op) { return kAggregateOps[static_cast<size_t>(op)]; }

Lexeme Lexer::Fail(std::string message) {
  error_ = std::move(message);
  return {Token::kError, 0, error_, {}, begin_};
}

bool Lexer::Accept(char c) {
  if (at_ >= text_.size() || text_[at_] != c) return false;
  ++at_;
  return true;
}

void Lexer::Skip(bool (*belongs)(char)) {
  while (at_ < text_.size() && belongs(text_[at_])) ++at_;
}

Lexeme Lexer::Next() {
  if (!error_.empty()) return {Token::kError, 0, error_, {}, begin_};
  Skip(IsSpace);
  while (Accept('#')) {
    Skip([](char c) { return c != '\n'; });
    Skip(IsSpace);
  }
  begin_ = at_;
  if (at_ >= text_.size()) {
    if (open_[kCurly] > 0) return Fail("unexpected end of input inside braces");
    if (open_[kRound] > 0) return Fail("unclosed left parenthesis");
    if (open_[kSquare] > 0) return Fail("unclosed left bracket");
    return Emit(Token::kEnd);
  }
  const char c = text_[at_];
  if (IsAlpha(c) || (c == ':' && open_[kSquare] == 0 && open_[kCurly] == 0)) return Word();
  if (open_[kCurly] == 0 && (IsDigit(c) || (c == '.' && IsDigit(Peek(1))))) {
    return NumberOrDuration();
  }
  ++at_;
  return c == '"' || c == '\'' || c == '`' ? String(c) : Symbol();
}

// The rules of escapes are the parser's, which unquotes; here only the end is looked for.
Lexeme Lexer::String(char quote) {
  for (; at_ < text_.size(); ++at_) {
    const char c = text_[at_];
    if (c == quote) {
      ++at_;
      // U+FFFD is what Go's decoder says of bad bytes, so it is refused like them.
      if (!IsValidUtf8(Text()) || Text().find("\xEF\xBF\xBD") != std::string_view::npos) {
        return Fail("invalid UTF-8 rune");
      }
      return Emit(Token::kString);
    }
    if (quote == '`') continue;
    if (c == '\n') break;
    if (c == '\\' && at_ + 1 < text_.size()) ++at_;
  }
  return Fail(quote == '`' ? "unterminated raw string" : "unterminated quoted string");
}

bool Lexer::TakeNumber() {
  const bool hex = Accept('0') && (Accept('x') || Accept('X'));
  const auto is_digit = hex ? IsHexDigit : IsDigit;
  Skip(is_digit);
  if (Accept('.')) Skip(is_digit);
  if (!hex && (Accept('e') || Accept('E'))) {
    if (!Accept('+')) Accept('-');
    Skip(IsDigit);
  }
  // Else a unit, or the rest of a word, follows.
  return !IsAlphanumeric(Peek());
}

bool Lexer::TakeDuration() {
  do {
    const uint32_t number = at_;
    Skip(IsDigit);
    if (at_ == number) return false;
    if (Accept('m')) {
      Accept('s');
    } else if (IsOneOf("shdwy", Peek())) {
      ++at_;
    } else {
      return false;
    }
  } while (IsAlphanumeric(Peek()));
  return true;
}

Lexeme Lexer::NumberOrDuration() {
  if (TakeNumber()) {
    if (open_[kSquare] > 0) return Fail("missing unit character in duration");
    return Emit(Token::kNumber);
  }
  at_ = begin_;
  if (TakeDuration()) return Emit(Token::kDuration);
  Skip(IsAlphanumeric);
  return Fail(StrCat("bad number or duration syntax: \"", EscapeForMessage(Text(), 60), "\""));
}

Lexeme Lexer::Word() {
  const bool may_have_colons = open_[kCurly] == 0 && open_[kSquare] == 0;
  Skip(may_have_colons ? IsAlphanumericOrColon : IsAlphanumeric);
  if (open_[kSquare] > 0) return Fail(StrCat("unexpected character: ", Quoted(text_[begin_])));
  Lexeme lexeme = Emit(Token::kIdentifier);
  if (open_[kCurly] > 0) return lexeme;
  if (lexeme.text.find(':') != std::string_view::npos) return Emit(Token::kMetricIdentifier);
  if (lexeme.text.size() > kLongestWord) return lexeme;
  char buffer[kLongestWord];
  std::transform(lexeme.text.begin(), lexeme.text.end(), buffer,
                 [](char c) { return absl::ascii_tolower(static_cast<unsigned char>(c)); });
  const std::string_view lower(buffer, lexeme.text.size());
  if (lower == "inf" || lower == "nan") return Emit(Token::kNumber);
  Find(kKeywords, lower, Token::kKeyword, &lexeme) ||
      Find(kAggregateOps, lower, Token::kAggregateOp, &lexeme) ||
      Find(kBinaryOps, lower, Token::kBinaryOp, &lexeme);
  return lexeme;
}

Lexeme Lexer::Symbol() {
  const char c = text_[begin_];
  const bool in_braces = open_[kCurly] > 0;
  const bool is_long =
      (c == '!' && Accept('=')) || (in_braces ? (c == '=' || c == '!') && Accept('~')
                                              : (c == '=' || c == '<' || c == '>') && Accept('='));
  if (c == '!' && !is_long) {
    return Fail(StrCat("unexpected character after '!': ", Quoted(Peek())));
  }
  if (in_braces && !IsOneOf("{},=!", c)) {
    return Fail(StrCat("unexpected character inside braces: ", Quoted(c)));
  }
  const size_t bracket = kBrackets.find(c);
  if (bracket != std::string_view::npos) {
    const bool opens = bracket < open_.size();
    const size_t shape = bracket % open_.size();
    if (opens ? open_[shape] > 0 && shape != kRound : open_[shape] == 0) {
      return Fail(
          StrCat("unexpected ", opens ? "left " : "right ", kBracketNames[shape], " ", Quoted(c)));
    }
    open_[shape] += opens ? 1 : -1;
    if (c == '[') colon_seen_ = false;
  }
  if (c == ':' && std::exchange(colon_seen_, true)) return Fail("unexpected colon ':'");
  Lexeme lexeme = Emit(Token::kSymbol);
  lexeme.word = lexeme.text;
  if (bracket == std::string_view::npos &&
      !Find(kBinaryOps, lexeme.text, Token::kBinaryOp, &lexeme) && !IsOneOf(",:@=!", c)) {
    return Fail(StrCat("unexpected character: ", Quoted(c)));
  }
  return lexeme;
}

std::string Describe(const Lexeme& lexeme) {
  // What stands around the text of each class.
  constexpr std::string_view kAround[][2] = {{"end of input", ""},
                                             {"", ""},
                                             {"number \"", "\""},
                                             {"duration \"", "\""},
                                             {"string ", ""},
                                             {"\"", "\""},
                                             {"identifier \"", "\""},
                                             {"metric identifier \"", "\""},
                                             {"<", ">"},
                                             {"<aggr:", ">"},
                                             {"<op:", ">"}};
  const auto& [before, behind] = kAround[static_cast<size_t>(lexeme.token)];
  return StrCat(before, EscapeForMessage(lexeme.text, 60), behind);
}

}  // namespace tinyobs::promql
