// The tree of a PromQL expression: what the parser makes and everything else reads.
//
// One struct per kind of node, told apart by `kind`, so that whoever walks the tree is a switch
// that the compiler checks, not a set of virtual methods spread over files. Types are settled by
// the parser: a tree that was parsed is well-typed.
//
// Thread-safety: immutable once parsed; share freely.
#ifndef TINYOBS_LIB_PROMQL_AST_H_
#define TINYOBS_LIB_PROMQL_AST_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tinyobs/matcher.h"

namespace tinyobs::promql {

// What an expression evaluates to.
enum class ValueType { kScalar, kString, kInstantVector, kRangeVector };
// As it stands in messages: "scalar", "string", "instant vector", "range vector".
std::string_view TypeName(ValueType type);

// Bytes [begin, end) of the query's text.
struct Span {
  uint32_t begin = 0;
  uint32_t end = 0;
};

enum class BinaryOp {
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
};
std::string_view OpName(BinaryOp op);
constexpr bool IsComparison(BinaryOp op) {
  return op >= BinaryOp::kEqual && op <= BinaryOp::kGreaterOrEqual;
}
constexpr bool IsSetOp(BinaryOp op) { return op >= BinaryOp::kAnd; }

enum class AggregateOp {
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
};
std::string_view OpName(AggregateOp op);
constexpr bool HasParameter(AggregateOp op) { return op >= AggregateOp::kTopK; }

struct Function;  // functions.h

struct Expr {
  enum class Kind {
    kNumber,
    kString,
    kParen,
    kUnary,
    kBinary,
    kAggregate,
    kCall,
    kVector,
    kMatrix,
    kSubquery,
  };
  virtual ~Expr() = default;

  const Kind kind;
  ValueType type;
  Span span;
  uint32_t height = 1;  // of the tree from here down, bounded by the parser: it may be recursed

 protected:
  Expr(Kind of_kind, ValueType of_type) : kind(of_kind), type(of_type) {}
};
using ExprPtr = std::unique_ptr<Expr>;

struct NumberExpr final : Expr {
  explicit NumberExpr(double number) : Expr(Kind::kNumber, ValueType::kScalar), value(number) {}
  double value;
};

struct StringExpr final : Expr {
  explicit StringExpr(std::string text)
      : Expr(Kind::kString, ValueType::kString), value(std::move(text)) {}
  std::string value;
};

struct ParenExpr final : Expr {
  explicit ParenExpr(ExprPtr inside) : Expr(Kind::kParen, inside->type), inner(std::move(inside)) {}
  ExprPtr inner;
};

struct UnaryExpr final : Expr {
  UnaryExpr(bool minus, ExprPtr of)
      : Expr(Kind::kUnary, of->type), negative(minus), inner(std::move(of)) {}
  bool negative;  // else a plus, which changes nothing
  ExprPtr inner;
};

// Which elements of two vectors belong together.
struct VectorMatching {
  enum class Cardinality { kOneToOne, kManyToOne, kOneToMany, kManyToMany };
  Cardinality cardinality = Cardinality::kOneToOne;
  bool on = false;                   // by `labels`; else by all but `labels`
  std::vector<std::string> labels;   // as written
  std::vector<std::string> include;  // group_left(...): taken over from the "one" side
};

struct BinaryExpr final : Expr {
  BinaryExpr(BinaryOp with, ExprPtr left, ExprPtr right)
      : Expr(Kind::kBinary, ValueType::kInstantVector),
        op(with),
        lhs(std::move(left)),
        rhs(std::move(right)) {}
  BinaryOp op;
  ExprPtr lhs;
  ExprPtr rhs;
  bool return_bool = false;
  // Between two vectors only.
  std::optional<VectorMatching> matching;
};

struct AggregateExpr final : Expr {
  explicit AggregateExpr(AggregateOp with)
      : Expr(Kind::kAggregate, ValueType::kInstantVector), op(with) {}
  AggregateOp op;
  ExprPtr parameter;  // null if op has none
  ExprPtr inner;
  bool without = false;  // else by
  std::vector<std::string> grouping;
};

struct CallExpr final : Expr {
  CallExpr(const Function* called, ValueType returns)
      : Expr(Kind::kCall, returns), function(called) {}
  const Function* function;
  std::vector<ExprPtr> args;
};

// When to look: `offset` and `@`.
struct TimeModifiers {
  enum class At { kNone, kTimestamp, kStart, kEnd };
  int64_t offset_ms = 0;
  At at = At::kNone;
  int64_t at_ms = 0;  // with kTimestamp
};

struct VectorExpr final : Expr {
  VectorExpr() : Expr(Kind::kVector, ValueType::kInstantVector) {}
  std::string name;               // before the braces; empty = none
  std::vector<Matcher> matchers;  // that of `name` last
  TimeModifiers when;
};

struct MatrixExpr final : Expr {
  explicit MatrixExpr(std::unique_ptr<VectorExpr> of)
      : Expr(Kind::kMatrix, ValueType::kRangeVector), vector(std::move(of)) {}
  std::unique_ptr<VectorExpr> vector;  // has the modifiers, too
  int64_t range_ms = 0;
};

struct SubqueryExpr final : Expr {
  explicit SubqueryExpr(ExprPtr of)
      : Expr(Kind::kSubquery, ValueType::kRangeVector), inner(std::move(of)) {}
  ExprPtr inner;
  int64_t range_ms = 0;
  int64_t step_ms = 0;  // 0 = the default of the evaluation
  TimeModifiers when;
};

template <typename Node>
const Node& As(const Expr& expr) {
  return static_cast<const Node&>(expr);
}

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_AST_H_
