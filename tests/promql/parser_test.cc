// What is a query, what is none and why, and that a tree as text is the same tree again.
#include "lib/promql/parser.h"

#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/promql/functions.h"
#include "lib/promql/printer.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {
namespace {

ExprPtr Parsed(std::string_view query) {
  auto expr = ParseExpr(query);
  EXPECT_TRUE(expr.ok()) << query << ": " << expr.status();
  return expr.ok() ? *std::move(expr) : nullptr;
}

std::string Canonical(std::string_view query) {
  const ExprPtr expr = Parsed(query);
  return expr == nullptr ? "" : ToString(*expr);
}

// Every operation in parentheses of its own: how the parser understood precedence.
std::string Grouped(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::kBinary: {
      const std::string_view op = OpName(As<BinaryExpr>(expr).op);
      return StrCat("(", Grouped(*expr.args[0]), op, Grouped(*expr.args[1]), ")");
    }
    case Expr::Kind::kUnary:
      return StrCat(As<UnaryExpr>(expr).negative ? "-(" : "+(", Grouped(*expr.args[0]), ")");
    case Expr::Kind::kParen:
      return Grouped(*expr.args[0]);
    default:
      return ToString(expr);
  }
}

TEST(ParserTest, OperatorsBindAsDocumented) {
  const std::vector<std::pair<std::string_view, std::string_view>> kCases = {
      {"1 + 2 * 3", "(1+(2*3))"},
      {"1 * 2 + 3", "((1*2)+3)"},
      {"2 ^ 3 ^ 2", "(2^(3^2))"},
      {"8 - 3 - 2", "((8-3)-2)"},
      {"8 / 4 / 2 % 3", "(((8/4)/2)%3)"},
      {"a atan2 b * c", "((aatan2b)*c)"},
      {"-2 ^ 2", "-((2^2))"},
      {"2 ^ -1", "(2^-1)"},
      {"2 ^ -1 ^ 2 * 3", "((2^-((1^2)))*3)"},
      {"-a * b", "(-(a)*b)"},
      {"a == bool b + 1", "(a==(b+1))"},
      {"a and b or c unless d", "((aandb)or(cunlessd))"},
      {"a or b and c", "(aor(bandc))"},
      {"a > 1 and b < 2", "((a>1)and(b<2))"},
      {"a > b == bool c", "((a>b)==c)"},
      {"- -1", "1"},
      {"+-a", "+(-(a))"},
  };
  for (const auto& [query, grouped] : kCases) {
    const ExprPtr expr = Parsed(query);
    ASSERT_NE(expr, nullptr);
    EXPECT_EQ(Grouped(*expr), grouped) << query;
  }
}

TEST(ParserTest, TheCanonicalTextIsThatOfTheSameTree) {
  const std::vector<std::pair<std::string_view, std::string_view>> kCases = {
      {"up", "up"},
      {"  up # the end\n", "up"},
      {"up{}", "up"},
      {"up{job='a',}", R"(up{job="a"})"},
      {R"({__name__="up",job!~"a|b"})", R"({__name__="up",job!~"a|b"})"},
      {"job:rate:5m", "job:rate:5m"},
      {"sum", "sum"},
      {"by + without", "by + without"},
      {"{on=\"1\", sum!=''}", R"({on="1",sum!=""})"},
      {"up[5m]", "up[5m]"},
      {"up[1h30m]", "up[1h30m]"},
      {"up[90m]", "up[1h30m]"},
      {"up[7d]", "up[1w]"},
      {"up[8d]", "up[8d]"},
      {"up[36h]", "up[1d12h]"},
      {"up offset 5m", "up offset 5m"},
      {"up offset -5m", "up offset -5m"},
      {"up @ 1603774568", "up @ 1603774568.000"},
      {"up @ -1.5 offset 1m", "up @ -1.500 offset 1m"},
      {"up offset 1m @ start()", "up @ start() offset 1m"},
      {"up[5m] @ end() offset 1m", "up[5m] @ end() offset 1m"},
      {"rate(up[5m])[1h:1m] @ 10", "rate(up[5m])[1h:1m] @ 10.000"},
      {"up[1h:]", "up[1h:]"},
      {"(1 + 2)[1h:]", ""},  // a scalar
      {"sum(up)", "sum(up)"},
      {"SUM BY (Job, instance,) (up)", "sum by (Job, instance) (up)"},
      {"sum(up) without (job)", "sum without (job) (up)"},
      {"sum without () (up)", "sum without () (up)"},
      {"sum by () (up)", "sum(up)"},
      {"topk by (job) (3, up)", "topk by (job) (3, up)"},
      {"count_values('v', up)", R"(count_values("v", up))"},
      {"quantile(0.9, up)", "quantile(0.9, up)"},
      {"a + on (x) group_left (y) b", "a + on (x) group_left (y) b"},
      {"a * ignoring(x) group_right b", "a * ignoring (x) group_right () b"},
      {"a == bool on() b", "a == bool on () b"},
      {"a + ignoring() b", "a + b"},
      {"a + on() 1", "a + 1"},
      {"1 + on() group_left (x) - 2", "1 + -2"},
      {"1 == bool 2", "1 == bool 2"},
      {"time()", "time()"},
      {"hour()", "hour()"},
      {"hour(up)", "hour(up)"},
      {"round(up, 0.5)", "round(up, 0.5)"},
      {"label_join(up, 'd', '-', 'a', 'b', 'c')", R"(label_join(up, "d", "-", "a", "b", "c"))"},
      {"label_join(up, 'd', '-')", R"(label_join(up, "d", "-"))"},
      {"histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))",
       "histogram_quantile(0.9, sum by (le) (rate(x_bucket[5m])))"},
      {"0x1F + 010 + 1e3 + .5 + 5. + Inf + nan", "31 + 8 + 1000 + 0.5 + 5 + +Inf + NaN"},
      {"1000000", "1e+06"},
      {"-up", "-up"},
      {"'a\\tb'", R"("a\tb")"},
      {"start + end", "start + end"},
  };
  for (const auto& [query, text] : kCases) {
    if (text.empty()) {
      EXPECT_FALSE(ParseExpr(query).ok()) << query;
      continue;
    }
    EXPECT_EQ(Canonical(query), text) << query;
    EXPECT_EQ(Canonical(text), text) << query;
  }
}

TEST(ParserTest, TypesAreKnown) {
  EXPECT_EQ(Parsed("1")->type, ValueType::kScalar);
  EXPECT_EQ(Parsed("1 + time()")->type, ValueType::kScalar);
  EXPECT_EQ(Parsed("-(1)")->type, ValueType::kScalar);
  EXPECT_EQ(Parsed("'x'")->type, ValueType::kString);
  EXPECT_EQ(Parsed("up")->type, ValueType::kInstantVector);
  EXPECT_EQ(Parsed("1 + up")->type, ValueType::kInstantVector);
  EXPECT_EQ(Parsed("vector(1)")->type, ValueType::kInstantVector);
  EXPECT_EQ(Parsed("scalar(up)")->type, ValueType::kScalar);
  EXPECT_EQ(Parsed("up[5m]")->type, ValueType::kRangeVector);
  EXPECT_EQ(Parsed("up[5m:1m]")->type, ValueType::kRangeVector);
}

TEST(ParserTest, AnErrorSaysWhereAndWhat) {
  const std::vector<std::pair<std::string_view, std::string_view>> kCases = {
      {"", "1:1: parse error: no expression found in input"},
      {"# nothing", "no expression found in input"},
      {"1 +", "1:4: parse error: unexpected end of input"},
      {"a b", "1:3: parse error: unexpected identifier \"b\""},
      {"a\n+\n)", "3:1: parse error: unexpected right parenthesis ')'"},
      {"(a", "unclosed left parenthesis"},
      {"a[5m", "unclosed left bracket"},
      {"a{", "unexpected end of input inside braces"},
      {"a{b}",
       "1:4: parse error: unexpected \"}\" in label matching, expected label matching "
       "operator"},
      {"a{b=c}", "unexpected identifier \"c\" in label matching, expected string"},
      {"a{b=\"c\" d=\"e\"}", "expected \",\" or \"}\""},
      {"a{,}", "expected identifier or \"}\""},
      {"a{b=~\"(\"}", "1:3: parse error: "},
      {"a{b==\"c\"}", "unexpected"},
      {"{}", "vector selector must contain at least one non-empty matcher"},
      {"{a=\"\"}", "vector selector must contain at least one non-empty matcher"},
      {"{a=~\".*\"}", "vector selector must contain at least one non-empty matcher"},
      {"a{__name__=\"b\"}", "metric name must not be set twice: \"a\" or \"b\""},
      {"a[5]", "missing unit character in duration"},
      {"a[0s]", "duration must be greater than 0"},
      {"a[5x]", "bad number or duration syntax: \"5x\""},
      {"a[5m][5m]", "ranges only allowed for vector selectors"},
      {"a offset 5m [5m]", "no offset modifiers allowed before range"},
      {"a @ 1 [5m]", "no @ modifiers allowed before range"},
      {"(a)[5m]", "ranges only allowed for vector selectors"},
      {"a[5m][5m:1m]", "subquery is only allowed on instant vector, got range vector instead"},
      {"a offset 1m offset 1m", "offset may not be set multiple times"},
      {"a @ 1 @ 2", "@ <timestamp> may not be set multiple times"},
      {"1 offset 5m", "offset modifier must be preceded by"},
      {"sum(a) @ 5", "@ modifier must be preceded by"},
      {"a @ x", "unexpected identifier \"x\" in @, expected timestamp"},
      {"a @ Inf", "timestamp out of bounds for @ modifier"},
      {"a offset", "unexpected end of input in offset, expected duration"},
      {"nothing(a)", "1:1: parse error: unknown function with name \"nothing\""},
      {"rate(a)", "expected type range vector in call to function \"rate\", got instant vector"},
      {"rate()", "expected 1 argument(s) in call to \"rate\", got 0"},
      {"round()", "expected at least 1 argument(s) in call to \"round\", got 0"},
      {"round(a, 1, 2)", "expected at most 2 argument(s) in call to \"round\", got 3"},
      {"label_join(a, 'b')", "expected at least 3 argument(s)"},
      {"label_join(a, 'b', 'c', d)", "expected type string in call to function \"label_join\""},
      {"rate(a[5m],)", "trailing commas not allowed in function call args"},
      {"sum()", "no arguments for aggregate expression provided"},
      {"sum(a, b)", "wrong number of arguments for aggregate expression provided, expected 1"},
      {"topk(a)", "expected 2, got 1"},
      {"topk('a', b)", "expected type scalar in aggregation parameter, got string"},
      {"sum(a[5m])", "expected type instant vector in aggregation expression, got range vector"},
      {"sum by a (b)", "unexpected identifier \"a\" in grouping opts, expected \"(\""},
      {"sum by (1) (b)", "unexpected number \"1\" in grouping opts, expected label"},
      {"sum by (a b) (c)", "expected \",\" or \")\""},
      {"sum by (a:b) (c)", "unexpected metric identifier \"a:b\" in grouping opts, expected label"},
      {"a + bool b", "bool modifier can only be used on comparison operators"},
      {"1 > 2", "comparisons between scalars must use BOOL modifier"},
      {"1 and a", "set operator \"and\" not allowed in binary scalar expression"},
      {"a and on(x) group_left b", "no grouping allowed for \"and\" operation"},
      {"a + on(x) 1", "vector matching only allowed between instant vectors"},
      {"a + on(x) group_left(x) b", "label \"x\" must not occur in ON and GROUP clause at once"},
      {"a[5m] + 1", "binary expression must contain only scalar and instant vector types"},
      {"'a' + 1", "binary expression must contain only scalar and instant vector types"},
      {"-a[5m]", "unary expression only allowed on expressions of type scalar or instant vector"},
      {"-'a'", "unary expression only allowed"},
      {"a + + ", "unexpected end of input"},
      {"\"a", "unterminated quoted string"},
      {"'a\n'", "unterminated quoted string"},
      {"`a", "unterminated raw string"},
      {R"("\q")", "unknown escape sequence"},
      {"a $ b", "unexpected character: '$'"},
      {"a ! b", "unexpected character after '!'"},
      {"a =~ b", "unexpected"},
      {"5x", "bad number or duration syntax"},
      {"1e", "error parsing number"},
      {"on", "unexpected <on>"},
      {"a ON b", "1:3: parse error: unexpected <ON>"},
      {"a Atan2", "1:8: parse error: unexpected end of input"},
      {"a{b AND}", "unexpected identifier \"AND\" in label matching"},
      {"1 Sum", "unexpected <aggr:Sum>"},
      {"a SUM(b)", "unexpected <aggr:SUM>"},
      {"5m", "unexpected duration \"5m\""},
      {"holt_winters(a[5m], 1)", "expected 3 argument(s)"},
  };
  for (const auto& [query, message] : kCases) {
    const auto expr = ParseExpr(query);
    ASSERT_CODE(expr, absl::StatusCode::kInvalidArgument) << query;
    EXPECT_NE(expr.status().message().find(ToAbsl(message)), absl::string_view::npos)
        << query << ": " << expr.status().message();
    EXPECT_NE(expr.status().message().find("parse error: "), absl::string_view::npos);
  }
}

TEST(ParserTest, EveryFunctionTakesWhatItsRowSays) {
  for (const Function& function : kFunctions) {
    EXPECT_EQ(FindFunction(function.name), &function);
    std::string args;
    for (const char letter : function.arguments) {
      StrAppend(&args, args.empty() ? "" : ", ",
                letter == 'v'   ? "a"
                : letter == 'm' ? "a[5m]"
                : letter == 's' ? "1"
                                : "\"x\"");
    }
    const std::string call = StrCat(function.name, "(", args, ")");
    EXPECT_EQ(Canonical(call), call);
  }
  EXPECT_EQ(FindFunction("Rate"), nullptr);
  EXPECT_EQ(FindFunction(""), nullptr);
}

TEST(ParserTest, StringsAreUtf8) {
  for (const std::string_view bad : {"\"a\xff\"", "'\xc3'", "`\xed\xa0\x80`", "up{a=\"\uFFFD\"}"}) {
    EXPECT_CODE(ParseExpr(bad), absl::StatusCode::kInvalidArgument) << bad;
  }
  for (const std::string_view good : {"\"\\xff\"", "'\\uFFFD'", "`é`", "1 # \xff"}) {
    EXPECT_CODE(ParseExpr(good), absl::StatusCode::kOk) << good;
  }
}

TEST(ParserTest, ASelectorIsReadAlone) {
  ASSERT_OK_AND_ASSIGN(const auto matchers, ParseSelector("up{job=~\"a.*\"}"));
  ASSERT_EQ(matchers.size(), 2u);
  EXPECT_EQ(matchers[0].ToString(), "job=~\"a.*\"");
  EXPECT_EQ(matchers[1].ToString(), "__name__=\"up\"");
  EXPECT_CODE(ParseSelector("{}"), absl::StatusCode::kOk);
  for (const std::string_view bad : {"", "up[5m]", "up offset 1m", "sum(up)", "1", "up up"}) {
    EXPECT_CODE(ParseSelector(bad), absl::StatusCode::kInvalidArgument) << bad;
  }
}

TEST(ParserTest, DepthAndLengthAreBounded) {
  const auto repeated = [](std::string_view text, size_t times) {
    std::string all;
    for (size_t i = 0; i < times; ++i) all += text;
    return all;
  };
  EXPECT_OK(ParseExpr(repeated("(", 490) + "1" + repeated(")", 490)));
  EXPECT_OK(ParseExpr("1" + repeated(" + 1", 490)));
  for (const std::string& deep :
       {repeated("(", 100'000), repeated("-", 100'000) + "1", "1" + repeated("+1", 100'000),
        repeated("abs(", 50'000), "1" + repeated("^1", 100'000), repeated("sum(", 2'000) + "a"}) {
    const auto expr = ParseExpr(deep);
    ASSERT_CODE(expr, absl::StatusCode::kInvalidArgument);
    EXPECT_NE(expr.status().message().find("deeper than 500 levels"), absl::string_view::npos)
        << expr.status().message();
  }
  EXPECT_CODE(ParseExpr(std::string(kMaxQueryBytes + 1, ' ')), absl::StatusCode::kInvalidArgument);
}

TEST(PrinterTest, LongExpressionsAreBrokenWhereTheyHaveParts) {
  const std::string name(60, 'a');
  const ExprPtr expr = Parsed(StrCat("sum by (job) (rate(", name, "[5m])) / on (job) (topk(3, ",
                                     name, "{x=\"", name, "\"}))"));
  ASSERT_NE(expr, nullptr);
  EXPECT_EQ(Pretty(*expr), StrCat("  sum by (job) (rate(", name, "[5m]))\n", "/ on (job)\n",
                                  "  (\n", "    topk(\n", "      3,\n", "      ", name, "{x=\"",
                                  name, "\"}\n", "    )\n", "  )"));
  EXPECT_EQ(Canonical(Pretty(*expr)), ToString(*expr));
  EXPECT_EQ(Pretty(*Parsed("a+b")), "a + b");
  EXPECT_EQ(Pretty(*Parsed("a{c=~'x',b='y',c!='z'}")), R"(a{b="y",c!="z",c=~"x"})");
}

TEST(PrinterTest, ThePowerOfInfinityKeepsItsTree) {
  EXPECT_EQ(Canonical("-Inf ^ 2"), "-Inf ^ 2");
  EXPECT_EQ(Canonical("Inf ^ 2 + Inf"), "Inf ^ 2 + +Inf");
  const std::string name(100, 'a');
  EXPECT_EQ(Pretty(*Parsed("Inf ^ " + name)), "  Inf\n^\n  " + name);
}

// Indentation would make hundreds of megabytes of a megabyte of short lines far inside.
TEST(PrinterTest, PrettyTextIsBoundedAtGreatDepth) {
  constexpr size_t kDepth = 490;
  constexpr size_t kArguments = 5'000;
  std::string query(kDepth, '(');
  query += "label_join(x, \"a\", \"-\"";
  for (size_t i = 0; i < kArguments; ++i) query += ",\"b\"";
  query += ")" + std::string(kDepth, ')');
  const ExprPtr expr = Parsed(query);
  ASSERT_NE(expr, nullptr);
  const std::string pretty = Pretty(*expr);
  EXPECT_LT(pretty.size(), 100 * (kArguments + 2 * kDepth));
  EXPECT_EQ(Canonical(pretty), ToString(*expr));
}

}  // namespace
}  // namespace tinyobs::promql
