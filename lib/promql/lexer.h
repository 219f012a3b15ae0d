// Lexer: the text of a query as tokens.
//
// What a word is depends on where it stands: within braces everything is a label name, within
// brackets a duration is expected, and elsewhere keywords are told by name, whatever their case.
//
// A symbol or keyword is known by its text, Is("offset"), rather than by an enumerator that has to
// be named, listed, lexed and described for each; only the classes are enumerated.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_PROMQL_LEXER_H_
#define TINYOBS_LIB_PROMQL_LEXER_H_

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/promql/ast.h"

namespace tinyobs::promql {

enum class Token : uint8_t {
  kEnd,
  kError,  // `text` says what is wrong
  kNumber,
  kDuration,
  kString,
  kSymbol,
  // From here on words, if they begin with a letter.
  kIdentifier,
  kMetricIdentifier,  // has a colon
  kKeyword,
  kAggregateOp,
  kBinaryOp,
};

struct Lexeme {
  bool Is(std::string_view wanted) const { return word == wanted; }

  Token token = Token::kEnd;
  uint8_t op = 0;         // of kAggregateOp and kBinaryOp: which
  std::string_view text;  // as written; of kError the message
  std::string_view word;  // of symbols, keywords and operators, in lower case
  uint32_t begin = 0;     // its first byte in the query
};

class Lexer {
 public:
  // `text` must outlive the lexer and what it returns.
  explicit Lexer(std::string_view text) : text_(text) {}

  // After kEnd or kError: the same again. An error's text lives as long as the lexer.
  Lexeme Next();

 private:
  std::string_view Text() const { return text_.substr(begin_, at_ - begin_); }
  Lexeme Emit(Token token) const { return {token, 0, Text(), {}, begin_}; }
  Lexeme Fail(std::string message);
  // The character `ahead` of the next one, or 0 at the end.
  char Peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  bool Accept(char c);
  void Skip(bool (*belongs)(char));
  Lexeme String(char quote);
  Lexeme NumberOrDuration();
  bool TakeNumber();
  bool TakeDuration();
  Lexeme Word();
  Lexeme Symbol();

  std::string_view text_;
  std::string error_;
  uint32_t at_ = 0;
  uint32_t begin_ = 0;              // of the token at hand
  std::array<uint32_t, 3> open_{};  // parentheses, braces, brackets
  bool colon_seen_ = false;         // within these brackets
};

// As it stands in messages: what it is and how it was written.
std::string Describe(const Lexeme& lexeme);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_LEXER_H_
