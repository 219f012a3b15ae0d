// Lexer: the text of a query as tokens.
//
// What a word is depends on where it stands: within braces everything is a label name, within
// brackets a duration is expected, and elsewhere keywords are told by name, whatever their case.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_PROMQL_LEXER_H_
#define TINYOBS_LIB_PROMQL_LEXER_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/promql/ast.h"

namespace tinyobs::promql {

enum class Token {
  kEnd,
  kError,  // `text` says what is wrong
  kIdentifier,
  kMetricIdentifier,  // has a colon
  kNumber,
  kDuration,
  kString,
  kLeftParen,
  kRightParen,
  kLeftBrace,
  kRightBrace,
  kLeftBracket,
  kRightBracket,
  kComma,
  kColon,
  kAt,
  kAssign,      // =
  kRegexMatch,  // =~
  kRegexNotMatch,
  // The order of BinaryOp.
  kAdd,
  kSub,
  kMul,
  kDiv,
  kMod,
  kPow,
  kAtan2,
  kEqual,
  kNotEqual,
  kLess,
  kGreater,
  kLessOrEqual,
  kGreaterOrEqual,
  kAnd,
  kOr,
  kUnless,
  // The order of AggregateOp.
  kSum,
  kAvg,
  kCount,
  kMin,
  kMax,
  kGroup,
  kStddev,
  kStdvar,
  kTopK,
  kBottomK,
  kCountValues,
  kQuantile,
  // Other words.
  kBool,
  kBy,
  kGroupLeft,
  kGroupRight,
  kIgnoring,
  kOffset,
  kOn,
  kWithout,
  kStartOf,  // start
  kEndOf,    // end
};

struct Lexeme {
  Token token = Token::kEnd;
  std::string_view text;  // as written; of kError the message
  Span span;
};

class Lexer {
 public:
  // `text` must outlive the lexer and what it returns.
  explicit Lexer(std::string_view text) : text_(text) {}

  // After kEnd or kError: the same again.
  Lexeme Next();

 private:
  Lexeme Emit(Token token) { return {token, text_.substr(begin_, at_ - begin_), {begin_, at_}}; }
  Lexeme Fail(std::string message);
  // The character `ahead` of the next one, or 0 at the end.
  char Peek(uint32_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool Accept(char c);
  void SkipSpaceAndComments();
  Lexeme String(char quote);
  Lexeme NumberOrDuration();
  bool TakeNumber();
  bool TakeDuration();
  Lexeme Word();

  const std::string_view text_;
  std::string error_;
  uint32_t at_ = 0;
  uint32_t begin_ = 0;  // of the token at hand
  bool in_braces_ = false;
  bool in_brackets_ = false;
  bool colon_seen_ = false;  // within these brackets
  uint32_t parens_ = 0;
};

// As it stands in messages: what it is, not how it was written.
std::string Describe(const Lexeme& lexeme);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_LEXER_H_
