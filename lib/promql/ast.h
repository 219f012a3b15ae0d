// The tree of a PromQL expression: what the parser makes and everything else reads.
//
// Nodes are told apart by `kind`, so that whoever walks the tree is a switch, not a set of virtual
// methods spread over files; and the children of all are in one place, `args`, so that what is the
// same for many kinds is a loop. Types are settled by the parser: a tree that was parsed is
// well-typed.
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
struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

// Of kParen itself; of the others the struct below that has their name.
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

  Kind kind = Kind::kParen;
  ValueType type = ValueType::kScalar;
  uint32_t begin = 0;   // its first byte in the text of the query
  uint32_t height = 1;  // of the tree from here down, bounded by the parser: it may be recursed
  // What it is made of, as written: operands, arguments, what stands in the parentheses. Of an
  // aggregation the vector is the last.
  std::vector<ExprPtr> args;
};

struct NumberExpr final : Expr {
  double value = 0;
};

struct StringExpr final : Expr {
  std::string value;
};

struct UnaryExpr final : Expr {
  bool negative = false;  // else a plus, which changes nothing
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
  BinaryOp op{};
  bool return_bool = false;
  std::optional<VectorMatching> matching;  // between two vectors only
};

struct AggregateExpr final : Expr {
  AggregateOp op{};
  bool without = false;  // else by
  std::vector<std::string> grouping;
};

struct CallExpr final : Expr {
  const Function* function = nullptr;
};

// As written, in the order of Matcher::Op.
inline constexpr std::string_view kMatcherOps[] = {"=", "!=", "=~", "!~"};

// When to look: `offset` and `@`.
struct TimeModifiers {
  enum class At { kNone, kTimestamp, kStart, kEnd };
  int64_t offset_ms = 0;
  At at = At::kNone;
  int64_t at_ms = 0;  // with kTimestamp
};

// What may have them.
struct TimedExpr : Expr {
  TimeModifiers when;
  int64_t range_ms = 0;  // of kVector 0
};

// Of kVector and, with a range, kMatrix.
struct SelectorExpr final : TimedExpr {
  std::string name;               // before the braces; empty = none
  std::vector<Matcher> matchers;  // that of `name` last
};

struct SubqueryExpr final : TimedExpr {
  int64_t step_ms = 0;  // 0 = the default of the evaluation
};

template <typename Node>
const Node& As(const Expr& expr) {
  return static_cast<const Node&>(expr);
}

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_AST_H_
