#include "lib/promql/printer.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/strings.h"
#include "lib/promql/functions.h"
#include "lib/promql/literals.h"

namespace tinyobs::promql {

namespace {

constexpr size_t kLineLength = 100;
// Deeper levels are indented as this one: each line of a query may be a few bytes, and a megabyte
// of them must not become hundreds.
constexpr size_t kMaxIndentLevel = 32;

std::string Join(std::span<const std::string> words) {
  std::string text;
  for (const std::string& word : words) StrAppend(&text, text.empty() ? "" : ", ", word);
  return text;
}

std::string ModifiersText(const TimeModifiers& when) {
  std::string text;
  if (when.at == TimeModifiers::At::kTimestamp) {
    char seconds[40];
    std::snprintf(seconds, sizeof(seconds), " @ %.3f", static_cast<double>(when.at_ms) / 1000);
    text += seconds;
  } else if (when.at != TimeModifiers::At::kNone) {
    text += when.at == TimeModifiers::At::kStart ? " @ start()" : " @ end()";
  }
  if (when.offset_ms > 0) StrAppend(&text, " offset ", DurationText(when.offset_ms));
  if (when.offset_ms < 0) StrAppend(&text, " offset -", DurationText(-when.offset_ms));
  return text;
}

std::string SelectorText(const VectorExpr& vector) {
  std::vector<std::string> texts(vector.matchers.size() - (vector.name.empty() ? 0 : 1));
  for (size_t i = 0; i < texts.size(); ++i) {
    const Matcher& matcher = vector.matchers[i];
    constexpr std::string_view kOps[] = {"=", "!=", "=~", "!~"};
    texts[i] = StrCat(matcher.label(), kOps[static_cast<size_t>(matcher.op())],
                      QuoteText(matcher.value()));
  }
  std::sort(texts.begin(), texts.end());
  std::string inside;
  for (const std::string& text : texts) StrAppend(&inside, inside.empty() ? "" : ",", text);
  if (!inside.empty()) inside = StrCat("{", inside, "}");
  return StrCat(vector.name, inside);
}

std::string AggregateHead(const AggregateExpr& aggregate) {
  std::string text(OpName(aggregate.op));
  if (aggregate.without || !aggregate.grouping.empty()) {
    StrAppend(&text, aggregate.without ? " without (" : " by (", Join(aggregate.grouping), ") ");
  }
  return text;
}

// Operator, bool and matching.
std::string BinaryMiddle(const BinaryExpr& binary) {
  std::string text(OpName(binary.op));
  if (binary.return_bool) text += " bool";
  if (!binary.matching.has_value()) return text;
  const VectorMatching& matching = *binary.matching;
  if (matching.labels.empty() && !matching.on) return text;
  StrAppend(&text, matching.on ? " on (" : " ignoring (", Join(matching.labels), ")");
  using Cardinality = VectorMatching::Cardinality;
  if (matching.cardinality == Cardinality::kManyToOne ||
      matching.cardinality == Cardinality::kOneToMany) {
    StrAppend(&text,
              matching.cardinality == Cardinality::kManyToOne ? " group_left (" : " group_right (",
              Join(matching.include), ")");
  }
  return text;
}

// Infinity is written +Inf, but not before ^: the sign would be that of the power, +(Inf ^ x).
bool IsPowerOfInfinity(const BinaryExpr& binary) {
  return binary.op == BinaryOp::kPow && binary.lhs->kind == Expr::Kind::kNumber &&
         As<NumberExpr>(*binary.lhs).value == std::numeric_limits<double>::infinity();
}

std::string SubqueryTail(const SubqueryExpr& subquery) {
  return StrCat("[", DurationText(subquery.range_ms), ":",
                subquery.step_ms > 0 ? DurationText(subquery.step_ms) : std::string(), "]",
                ModifiersText(subquery.when));
}

// One line, of which no more than `limit` bytes and a little are made: whoever only asks whether a
// tree fits a line must not pay for all of it at each level.
class LinePrinter {
 public:
  explicit LinePrinter(size_t limit) : limit_(limit) {}

  void Print(const Expr& expr) {
    if (text_.size() > limit_) return;
    switch (expr.kind) {
      case Expr::Kind::kNumber:
        text_ += NumberText(As<NumberExpr>(expr).value);
        return;
      case Expr::Kind::kString:
        text_ += QuoteText(As<StringExpr>(expr).value);
        return;
      case Expr::Kind::kParen:
        text_ += '(';
        Print(*As<ParenExpr>(expr).inner);
        text_ += ')';
        return;
      case Expr::Kind::kUnary:
        text_ += As<UnaryExpr>(expr).negative ? '-' : '+';
        Print(*As<UnaryExpr>(expr).inner);
        return;
      case Expr::Kind::kBinary: {
        const auto& binary = As<BinaryExpr>(expr);
        if (IsPowerOfInfinity(binary)) {
          text_ += "Inf";
        } else {
          Print(*binary.lhs);
        }
        StrAppend(&text_, " ", BinaryMiddle(binary), " ");
        Print(*binary.rhs);
        return;
      }
      case Expr::Kind::kAggregate: {
        const auto& aggregate = As<AggregateExpr>(expr);
        StrAppend(&text_, AggregateHead(aggregate), "(");
        if (aggregate.parameter != nullptr) {
          Print(*aggregate.parameter);
          text_ += ", ";
        }
        Print(*aggregate.inner);
        text_ += ')';
        return;
      }
      case Expr::Kind::kCall: {
        const auto& call = As<CallExpr>(expr);
        StrAppend(&text_, call.function->name, "(");
        for (size_t i = 0; i < call.args.size() && text_.size() <= limit_; ++i) {
          if (i > 0) text_ += ", ";
          Print(*call.args[i]);
        }
        text_ += ')';
        return;
      }
      case Expr::Kind::kVector:
        StrAppend(&text_, SelectorText(As<VectorExpr>(expr)),
                  ModifiersText(As<VectorExpr>(expr).when));
        return;
      case Expr::Kind::kMatrix: {
        const auto& matrix = As<MatrixExpr>(expr);
        StrAppend(&text_, SelectorText(*matrix.vector), "[", DurationText(matrix.range_ms), "]",
                  ModifiersText(matrix.vector->when));
        return;
      }
      case Expr::Kind::kSubquery:
        Print(*As<SubqueryExpr>(expr).inner);
        text_ += SubqueryTail(As<SubqueryExpr>(expr));
        return;
    }
  }
  std::string TakeText() { return std::move(text_); }

 private:
  const size_t limit_;
  std::string text_;
};

class PrettyPrinter {
 public:
  void Print(const Expr& expr, size_t level) {
    const std::string indent(2 * std::min(level, kMaxIndentLevel), ' ');
    const bool has_parts = expr.kind != Expr::Kind::kNumber && expr.kind != Expr::Kind::kString &&
                           expr.kind != Expr::Kind::kVector && expr.kind != Expr::Kind::kMatrix;
    LinePrinter line(has_parts ? kLineLength : SIZE_MAX);
    line.Print(expr);
    if (std::string text = line.TakeText(); !has_parts || text.size() <= kLineLength) {
      StrAppend(&text_, indent, text);
      return;
    }
    switch (expr.kind) {
      case Expr::Kind::kParen:
        StrAppend(&text_, indent, "(\n");
        Print(*As<ParenExpr>(expr).inner, level + 1);
        StrAppend(&text_, "\n", indent, ")");
        return;
      case Expr::Kind::kUnary: {
        const size_t at = text_.size();
        Print(*As<UnaryExpr>(expr).inner, level);
        text_.insert(text_.find_first_not_of(' ', at), 1, As<UnaryExpr>(expr).negative ? '-' : '+');
        return;
      }
      case Expr::Kind::kBinary: {
        const auto& binary = As<BinaryExpr>(expr);
        if (IsPowerOfInfinity(binary)) {
          StrAppend(&text_, indent, "  Inf");
        } else {
          Print(*binary.lhs, level + 1);
        }
        StrAppend(&text_, "\n", indent, BinaryMiddle(binary), "\n");
        Print(*binary.rhs, level + 1);
        return;
      }
      case Expr::Kind::kAggregate: {
        const auto& aggregate = As<AggregateExpr>(expr);
        StrAppend(&text_, indent, AggregateHead(aggregate), "(\n");
        if (aggregate.parameter != nullptr) {
          Print(*aggregate.parameter, level + 1);
          text_ += ",\n";
        }
        Print(*aggregate.inner, level + 1);
        StrAppend(&text_, "\n", indent, ")");
        return;
      }
      case Expr::Kind::kCall: {
        const auto& call = As<CallExpr>(expr);
        StrAppend(&text_, indent, call.function->name, "(\n");
        for (size_t i = 0; i < call.args.size(); ++i) {
          if (i > 0) text_ += ",\n";
          Print(*call.args[i], level + 1);
        }
        StrAppend(&text_, "\n", indent, ")");
        return;
      }
      case Expr::Kind::kSubquery:
        Print(*As<SubqueryExpr>(expr).inner, level);
        text_ += SubqueryTail(As<SubqueryExpr>(expr));
        return;
      default:
        return;
    }
  }
  std::string TakeText() { return std::move(text_); }

 private:
  std::string text_;
};

}  // namespace

std::string ToString(const Expr& expr) {
  LinePrinter printer(SIZE_MAX);
  printer.Print(expr);
  return printer.TakeText();
}

std::string Pretty(const Expr& expr) {
  PrettyPrinter printer;
  printer.Print(expr, 0);
  return printer.TakeText();
}

}  // namespace tinyobs::promql
