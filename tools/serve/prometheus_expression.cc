// What can be said of an expression without evaluating it: its text in canonical form, its tree.
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/promql/ast.h"
#include "lib/promql/functions.h"
#include "lib/promql/parser.h"
#include "lib/promql/printer.h"
#include "lib/wire/json_writer.h"
#include "lib/wire/number.h"
#include "lib/wire/prometheus_json.h"
#include "tools/serve/prometheus_api.h"
#include "tools/serve/prometheus_request.h"

namespace tinyobs::serve {
namespace {

using promql::As;
using promql::Expr;
using wire::JsonWriter;

absl::StatusOr<promql::ExprPtr> QueryParameter(const UrlParameters& parameters) {
  auto expr = promql::ParseExpr(parameters.Get("query"));
  if (!expr.ok()) return InvalidParameter("query", FromAbsl(expr.status().message()));
  return expr;
}

std::string_view ShortTypeName(promql::ValueType type) {
  switch (type) {
    case promql::ValueType::kScalar:
      return "scalar";
    case promql::ValueType::kString:
      return "string";
    case promql::ValueType::kInstantVector:
      return "vector";
    case promql::ValueType::kRangeVector:
      return "matrix";
  }
  return "";
}

// A tree as JSON, with the keys of Prometheus 3.0.
class TreeJson {
 public:
  explicit TreeJson(std::string* out) : json_(out) {}

  // The parser bounds the height, and so the depth of this recursion. Null is null.
  void Write(const Expr* expr) {
    if (expr == nullptr) return Null();
    json_.StartObject();
    switch (expr->kind) {
      case Expr::Kind::kNumber: {
        json_.Field("type", "numberLiteral");
        std::string text;
        wire::AppendSampleValue(As<promql::NumberExpr>(*expr).value, &text);
        json_.Field("val", text);
        break;
      }
      case Expr::Kind::kString:
        json_.Field("type", "stringLiteral");
        json_.Field("val", As<promql::StringExpr>(*expr).value);
        break;
      case Expr::Kind::kParen:
        json_.Field("type", "parenExpr");
        Child("expr", expr->args[0].get());
        break;
      case Expr::Kind::kUnary:
        json_.Field("type", "unaryExpr");
        json_.Field("op", As<promql::UnaryExpr>(*expr).negative ? "-" : "+");
        Child("expr", expr->args[0].get());
        break;
      case Expr::Kind::kBinary:
        Binary(As<promql::BinaryExpr>(*expr));
        break;
      case Expr::Kind::kAggregate: {
        const auto& node = As<promql::AggregateExpr>(*expr);
        json_.Field("type", "aggregation");
        json_.Field("op", promql::OpName(node.op));
        Child("expr", node.args.back().get());
        Child("param", promql::HasParameter(node.op) ? node.args[0].get() : nullptr);
        Strings("grouping", node.grouping);
        Flag("without", node.without);
        break;
      }
      case Expr::Kind::kCall:
        Call(As<promql::CallExpr>(*expr));
        break;
      case Expr::Kind::kVector:
        json_.Field("type", "vectorSelector");
        Selector(As<promql::SelectorExpr>(*expr));
        break;
      case Expr::Kind::kMatrix:
        json_.Field("type", "matrixSelector");
        Number("range", As<promql::SelectorExpr>(*expr).range_ms);
        Selector(As<promql::SelectorExpr>(*expr));
        break;
      case Expr::Kind::kSubquery: {
        const auto& node = As<promql::SubqueryExpr>(*expr);
        json_.Field("type", "subquery");
        Child("expr", node.args[0].get());
        Number("range", node.range_ms);
        Number("step", node.step_ms);
        When(node.when);
        break;
      }
    }
    json_.EndObject();
  }

 private:
  void Null() { json_.Number(std::numeric_limits<double>::quiet_NaN()); }
  void Child(std::string_view key, const Expr* expr) {
    json_.Key(key);
    Write(expr);
  }
  void Number(std::string_view key, int64_t value) {
    json_.Key(key);
    json_.Int(value);
  }
  void Flag(std::string_view key, bool value) {
    json_.Key(key);
    json_.Bool(value);
  }
  void Strings(std::string_view key, const std::vector<std::string>& texts) {
    json_.Key(key);
    json_.StartArray();
    for (const std::string& text : texts) json_.String(text);
    json_.EndArray();
  }

  void Binary(const promql::BinaryExpr& node) {
    json_.Field("type", "binaryExpr");
    json_.Field("op", promql::OpName(node.op));
    Child("lhs", node.args[0].get());
    Child("rhs", node.args[1].get());
    Flag("bool", node.return_bool);
    json_.Key("matching");
    if (!node.matching.has_value()) return Null();
    constexpr std::string_view kCards[] = {"one-to-one", "many-to-one", "one-to-many",
                                           "many-to-many"};
    json_.StartObject();
    json_.Field("card", kCards[static_cast<size_t>(node.matching->cardinality)]);
    Strings("labels", node.matching->labels);
    Flag("on", node.matching->on);
    Strings("include", node.matching->include);
    json_.EndObject();
  }

  void Call(const promql::CallExpr& node) {
    json_.Field("type", "call");
    json_.Key("func");
    json_.StartObject();
    json_.Field("name", node.function->name);
    json_.Key("argTypes");
    json_.StartArray();
    for (const char letter : node.function->arguments) {
      json_.String(letter == 'v'   ? "vector"
                   : letter == 'm' ? "matrix"
                   : letter == 's' ? "scalar"
                                   : "string");
    }
    json_.EndArray();
    Number("variadic", node.function->optional);
    json_.Field("returnType", ShortTypeName(node.function->returns));
    json_.EndObject();
    json_.Key("args");
    json_.StartArray();
    for (const promql::ExprPtr& arg : node.args) Write(arg.get());
    json_.EndArray();
  }

  void Selector(const promql::SelectorExpr& node) {
    json_.Field("name", node.name);
    json_.Key("matchers");
    json_.StartArray();
    for (const Matcher& matcher : node.matchers) {
      json_.StartObject();
      json_.Field("name", matcher.label());
      json_.Field("value", matcher.value());
      json_.Field("type", promql::kMatcherOps[static_cast<size_t>(matcher.op())]);
      json_.EndObject();
    }
    json_.EndArray();
    When(node.when);
  }

  void When(const promql::TimeModifiers& when) {
    using At = promql::TimeModifiers::At;
    Number("offset", when.offset_ms);
    json_.Key("timestamp");
    if (when.at == At::kTimestamp) {
      json_.Int(when.at_ms);
    } else {
      Null();
    }
    json_.Key("startOrEnd");
    if (when.at == At::kStart || when.at == At::kEnd) {
      json_.String(when.at == At::kStart ? "start" : "end");
    } else {
      Null();
    }
  }

  JsonWriter json_;
};

absl::StatusOr<HttpResponse> FormatQuery(const UrlParameters& parameters) {
  TINYOBS_ASSIGN_OR_RETURN(const promql::ExprPtr expr, QueryParameter(parameters));
  std::string data;
  JsonWriter(&data).String(promql::Pretty(*expr));
  return SuccessResponse(data);
}

absl::StatusOr<HttpResponse> ParseQuery(const UrlParameters& parameters) {
  TINYOBS_ASSIGN_OR_RETURN(const promql::ExprPtr expr, QueryParameter(parameters));
  std::string data;
  TreeJson(&data).Write(expr.get());
  return SuccessResponse(data);
}

// No exemplars are kept.
absl::StatusOr<HttpResponse> QueryExemplars(const UrlParameters& parameters) {
  TINYOBS_ASSIGN_OR_RETURN(const TimeRange range, RangeParameter(parameters));
  if (range.to_ms < range.from_ms) {
    return absl::InvalidArgumentError("end timestamp must not be before start timestamp");
  }
  TINYOBS_ASSIGN_OR_RETURN(const promql::ExprPtr expr, promql::ParseExpr(parameters.Get("query")));
  // The tree's text says what is in it: quotes within strings are escaped there.
  std::string tree;
  TreeJson(&tree).Write(expr.get());
  for (const std::string_view kind : {"vectorSelector", "matrixSelector"}) {
    if (tree.find(StrCat("\"type\":\"", kind, "\"")) != std::string::npos) {
      return SuccessResponse("[]");
    }
  }
  return HttpResponse{.status = 204, .headers = {}, .body = {}};
}

}  // namespace

void AddExpressionRoutes(Router* router, const HandlerContext*) {
  const auto add = [router](std::string_view path,
                            absl::StatusOr<HttpResponse> (*function)(const UrlParameters&)) {
    AddApi(router, {"GET", "POST"}, path,
           [function](const HttpRequest&, const UrlParameters& parameters) {
             return function(parameters);
           });
  };
  add("format_query", FormatQuery);
  add("parse_query", ParseQuery);
  add("query_exemplars", QueryExemplars);
}

}  // namespace tinyobs::serve
