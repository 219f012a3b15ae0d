// The parser's class: recursive descent, with precedence climbing for operators.
//
// A method a rule, which begins at `next_` and leaves it behind what it has read. parser.cc has
// expressions, parser_selectors.cc selectors and what follows them. Rules that are about types
// rather than tokens are in type_checks.h.
//
// Thread-safety: one thread's.
#ifndef TINYOBS_LIB_PROMQL_GRAMMAR_H_
#define TINYOBS_LIB_PROMQL_GRAMMAR_H_

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/promql/ast.h"
#include "lib/promql/lexer.h"
#include "lib/promql/type_checks.h"

namespace tinyobs::promql {

class Parser {
 public:
  explicit Parser(std::string_view query);

  absl::StatusOr<ExprPtr> Whole();
  absl::StatusOr<std::vector<Matcher>> Selector();

 private:
  absl::Status Error(Span span, std::string_view message) const;
  // That `next_` does not belong here.
  absl::Status Unexpected(std::string_view context, std::string_view expected) const;
  absl::Status BadNumber() const;
  absl::Status TooDeep(Span span) const;
  absl::Status Passed(const TypeCheck& check) const;

  void Advance();
  bool Accept(Token token);
  absl::Status Expect(Token token, std::string_view context, std::string_view expected);
  // Gives a finished node its place, and its height over `children`.
  absl::Status Finish(uint32_t begin, std::initializer_list<const Expr*> children, Expr* node);

  // Operators of at least this precedence.
  absl::StatusOr<ExprPtr> Binary(int least);
  absl::StatusOr<ExprPtr> Operations(int least);
  // on(...), ignoring(...), group_left(...), group_right(...).
  absl::Status Matching(VectorMatching* matching);
  absl::StatusOr<std::vector<std::string>> LabelList();
  absl::StatusOr<ExprPtr> Unary();
  absl::StatusOr<ExprPtr> Primary();
  absl::StatusOr<ExprPtr> Leaf(ExprPtr node);
  // The string literal at hand.
  absl::StatusOr<std::string> Text();
  absl::StatusOr<std::vector<ExprPtr>> Arguments(std::string_view context);
  absl::StatusOr<ExprPtr> Call(const Lexeme& name);
  absl::StatusOr<ExprPtr> Aggregate(const Lexeme& name);

  // An expression and what follows it: ranges, subqueries, offset, @.
  absl::StatusOr<ExprPtr> Postfix();
  // The next token as a duration above 0.
  absl::StatusOr<int64_t> Duration();
  absl::StatusOr<ExprPtr> Range(ExprPtr of);
  absl::Status Offset(Expr* expr);
  absl::Status At(Expr* expr);
  absl::StatusOr<std::unique_ptr<VectorExpr>> Vector();
  absl::Status LabelMatchers(VectorExpr* node);

  const std::string_view query_;
  Lexer lexer_;
  Lexeme next_;
  uint32_t last_end_ = 0;  // of the token before
  uint32_t depth_ = 0;
};

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_GRAMMAR_H_
