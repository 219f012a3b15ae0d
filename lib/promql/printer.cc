#include "lib/promql/printer.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_join.h"
#include "lib/base/strings.h"
#include "lib/promql/functions.h"
#include "lib/promql/literals.h"

namespace tinyobs::promql {

namespace {

using Kind = Expr::Kind;

constexpr size_t kLineLength = 100;
// Deeper levels are indented as this one: each line of a query may be a few bytes, and a megabyte
// of them must not become hundreds.
constexpr size_t kMaxIndentLevel = 32;

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

std::string SelectorText(const SelectorExpr& selector) {
  std::vector<std::string> texts(selector.matchers.size() - (selector.name.empty() ? 0 : 1));
  for (size_t i = 0; i < texts.size(); ++i) {
    const Matcher& matcher = selector.matchers[i];
    texts[i] = StrCat(matcher.label(), kMatcherOps[static_cast<size_t>(matcher.op())],
                      QuoteText(matcher.value()));
  }
  std::sort(texts.begin(), texts.end());
  std::string text = selector.name;
  if (!texts.empty()) StrAppend(&text, "{", absl::StrJoin(texts, ","), "}");
  if (selector.kind == Kind::kMatrix) StrAppend(&text, "[", DurationText(selector.range_ms), "]");
  return text + ModifiersText(selector.when);
}

// What stands before the parenthesis, or all of what has no parts.
std::string Head(const Expr& expr) {
  switch (expr.kind) {
    case Kind::kNumber:
      return NumberText(As<NumberExpr>(expr).value);
    case Kind::kString:
      return QuoteText(As<StringExpr>(expr).value);
    case Kind::kCall:
      return std::string(As<CallExpr>(expr).function->name);
    case Kind::kAggregate: {
      const auto& node = As<AggregateExpr>(expr);
      if (!node.without && node.grouping.empty()) return std::string(OpName(node.op));
      return StrCat(OpName(node.op), node.without ? " without (" : " by (",
                    absl::StrJoin(node.grouping, ", "), ") ");
    }
    case Kind::kVector:
    case Kind::kMatrix:
      return SelectorText(As<SelectorExpr>(expr));
    default:
      return "";
  }
}

// Operator, bool and matching.
std::string BinaryMiddle(const BinaryExpr& binary) {
  std::string text(OpName(binary.op));
  if (binary.return_bool) text += " bool";
  if (!binary.matching.has_value()) return text;
  const VectorMatching& matching = *binary.matching;
  if (matching.labels.empty() && !matching.on) return text;
  StrAppend(&text, matching.on ? " on (" : " ignoring (", absl::StrJoin(matching.labels, ", "),
            ")");
  constexpr std::string_view kGroups[] = {"", " group_left (", " group_right (", ""};
  const std::string_view group = kGroups[static_cast<size_t>(matching.cardinality)];
  if (!group.empty()) StrAppend(&text, group, absl::StrJoin(matching.include, ", "), ")");
  return text;
}

// Infinity is written +Inf, but not before ^: the sign would be that of the power, +(Inf ^ x).
bool IsPowerOfInfinity(const BinaryExpr& binary) {
  const Expr& base = *binary.args[0];
  return binary.op == BinaryOp::kPow && base.kind == Kind::kNumber &&
         As<NumberExpr>(base).value == std::numeric_limits<double>::infinity();
}

std::string SubqueryTail(const SubqueryExpr& subquery) {
  return StrCat("[", DurationText(subquery.range_ms), ":",
                subquery.step_ms > 0 ? DurationText(subquery.step_ms) : std::string(), "]",
                ModifiersText(subquery.when));
}

class Printer {
 public:
  static constexpr size_t kOneLine = SIZE_MAX;

  // Makes no more than `limit` bytes and a little: whoever only asks whether a tree fits a line
  // must not pay for all of it at each level.
  explicit Printer(size_t limit) : limit_(limit) {}

  // On lines that begin at `level`, or on this line.
  void Print(const Expr& expr, size_t level) {
    if (text_.size() > limit_) return;
    std::string indent(level == kOneLine ? 0 : 2 * std::min(level, kMaxIndentLevel), ' ');
    if (level != kOneLine && (expr.args.empty() || FitsLine(expr))) {
      text_ += std::exchange(indent, "");
      level = kOneLine;
    }
    const bool broken = level != kOneLine;
    const size_t inner = broken ? level + 1 : kOneLine;
    switch (expr.kind) {
      case Kind::kUnary: {
        const char sign = As<UnaryExpr>(expr).negative ? '-' : '+';
        const size_t at = text_.size();
        if (!broken) text_ += sign;
        Print(*expr.args[0], level);
        if (broken) text_.insert(text_.find_first_not_of(' ', at), 1, sign);
        return;
      }
      case Kind::kSubquery:
        Print(*expr.args[0], level);
        text_ += SubqueryTail(As<SubqueryExpr>(expr));
        return;
      case Kind::kBinary: {
        const auto& binary = As<BinaryExpr>(expr);
        if (IsPowerOfInfinity(binary)) {
          StrAppend(&text_, indent, broken ? "  Inf" : "Inf");
        } else {
          Print(*binary.args[0], inner);
        }
        StrAppend(&text_, broken ? "\n" : " ", indent, BinaryMiddle(binary), broken ? "\n" : " ");
        Print(*binary.args[1], inner);
        return;
      }
      default:
        break;
    }
    StrAppend(&text_, indent, Head(expr));
    if (expr.args.empty() && expr.kind != Kind::kCall) return;
    text_ += broken ? "(\n" : "(";
    for (size_t i = 0; i < expr.args.size() && text_.size() <= limit_; ++i) {
      if (i > 0) text_ += broken ? ",\n" : ", ";
      Print(*expr.args[i], inner);
    }
    StrAppend(&text_, broken ? "\n" : "", indent, ")");
  }
  std::string TakeText() { return std::move(text_); }

 private:
  static bool FitsLine(const Expr& expr) {
    Printer line(kLineLength);
    line.Print(expr, kOneLine);
    return line.text_.size() <= kLineLength;
  }

  const size_t limit_;
  std::string text_;
};

std::string Text(const Expr& expr, size_t level) {
  Printer printer(SIZE_MAX);
  printer.Print(expr, level);
  return printer.TakeText();
}

}  // namespace

std::string ToString(const Expr& expr) { return Text(expr, Printer::kOneLine); }
std::string Pretty(const Expr& expr) { return Text(expr, 0); }

}  // namespace tinyobs::promql
