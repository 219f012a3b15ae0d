// Aggregations and binary operators on random vectors against their definition, written down
// naively: one step at a time, labels as maps, nothing shared with the code under test but the
// parser.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lib/base/strings.h"
#include "lib/promql/aggregation.h"
#include "lib/promql/binary.h"
#include "lib/promql/parser.h"
#include "tests/promql/testing.h"
#include "tests/testing/status_matchers.h"

namespace tinyobs::promql {
namespace {

constexpr size_t kSteps = 5;
constexpr Steps kGrid{.start_ms = 0, .step_ms = 1'000, .count = kSteps};

using LabelMap = std::map<std::string, std::string>;
using Elements = std::vector<std::pair<LabelMap, double>>;  // of one step
using Answer = std::map<LabelMap, std::vector<double>>;     // of all; Absent() = none

LabelMap MapOf(const Labels& labels) {
  LabelMap map;
  for (const Label label : labels) map.emplace(label.name, label.value);
  return map;
}

LabelMap Cut(LabelMap labels, const std::vector<std::string>& names, bool keep) {
  const std::set<std::string, std::less<>> chosen(names.begin(), names.end());
  std::erase_if(labels, [&](const auto& label) {
    return chosen.contains(label.first) != keep || (!keep && label.first == kMetricName);
  });
  return labels;
}

Elements At(const Vector& vector, size_t step) {
  Elements elements;
  for (const VectorSeries& series : vector) {
    if (!IsAbsent(series.values[step])) {
      elements.emplace_back(MapOf(series.labels), series.values[step]);
    }
  }
  return elements;
}

Answer AnswerOf(const Vector& vector) {
  Answer answer;
  for (const VectorSeries& series : vector) {
    const bool is_new = answer.emplace(MapOf(series.labels), series.values).second;
    EXPECT_TRUE(is_new) << "twice: " << series.labels.ToString();
  }
  return answer;
}

void Put(const LabelMap& labels, size_t step, double value, Answer* answer) {
  const auto it = answer->try_emplace(labels, kSteps, Absent()).first;
  EXPECT_TRUE(IsAbsent(it->second[step]));
  it->second[step] = value;
}

// What should be zero may be the rounding error of numbers around one.
bool Close(double a, double b) { return SameValue(a, b) || std::abs(a - b) < 1e-12; }

bool Same(const Answer& a, const Answer& b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](const auto& x, const auto& y) {
           return x.first == y.first &&
                  std::equal(x.second.begin(), x.second.end(), y.second.begin(), Close);
         });
}

std::string Text(const Answer& answer) {
  std::string text;
  for (const auto& [labels, values] : answer) {
    text += "{";
    for (const auto& [name, value] : labels) StrAppend(&text, name, "=", value, " ");
    text += "}";
    for (const double value : values) {
      text += IsAbsent(value) ? std::string(" _") : StrCat(" ", value);
    }
    text += "\n";
  }
  return text;
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}
  size_t Below(size_t n) { return engine_() % n; }

  // Small label sets over few names, so that groups collide; each once, in order.
  Vector Series(const std::string& metric) {
    std::map<Labels, VectorSeries> all;
    const size_t density = 1 + Below(4);
    for (size_t i = Below(12); i > 0; --i) {
      std::vector<Labels::Pair> pairs = {{"__name__", Below(4) == 0 ? "other" : metric}};
      for (const char* const name : {"a", "b", "c"}) {
        pairs.emplace_back(name, std::string(Below(3), 'v'));
      }
      VectorSeries series{*Labels::Create(pairs), {}};
      for (size_t step = 0; step < kSteps; ++step) {
        series.values.push_back(Below(4) < density ? Value() : Absent());
      }
      if (std::all_of(series.values.begin(), series.values.end(), IsAbsent)) continue;
      all.emplace(series.labels, series);
    }
    Vector vector;
    for (auto& [labels, series] : all) vector.push_back(std::move(series));
    return vector;
  }

  std::string Names() {
    std::string text;
    for (const char* const name : {"a", "b", "__name__"}) {
      if (Below(name[0] == '_' ? 8 : 2) == 0) StrAppend(&text, text.empty() ? "" : ",", name);
    }
    return StrCat("(", text, ")");
  }

  std::string OneOf(std::initializer_list<const char*> words) {
    return *(words.begin() + Below(words.size()));
  }

 private:
  double Value() {
    switch (Below(12)) {
      case 0:
        return std::numeric_limits<double>::quiet_NaN();
      case 1:
        return HUGE_VAL * (Below(2) == 0 ? 1 : -1);
      default:
        return static_cast<double>(Below(9)) - 3;
    }
  }
  std::mt19937_64 engine_;
};

double Quantile(double phi, std::vector<double> values) {
  std::sort(values.begin(), values.end(),
            [](double a, double b) { return std::isnan(a) ? !std::isnan(b) : a < b; });
  const double rank = phi * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(rank);
  const size_t high = std::min(low + 1, values.size() - 1);
  const double weight = rank - std::floor(rank);
  return values[low] * (1 - weight) + values[high] * weight;
}

double NaiveFold(AggregateOp op, const std::vector<double>& values, double parameter) {
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  std::optional<double> min, max;
  bool nan = false, plus = false, minus = false;
  for (const double v : values) {
    sum += v;
    nan = nan || std::isnan(v);
    plus = plus || v == HUGE_VAL;
    minus = minus || v == -HUGE_VAL;
    if (std::isnan(v)) continue;
    min = std::min(min.value_or(v), v);
    max = std::max(max.value_or(v), v);
  }
  const double none = std::numeric_limits<double>::quiet_NaN();
  switch (op) {
    case AggregateOp::kSum:
      return sum;
    case AggregateOp::kAvg:
      return sum / n;
    case AggregateOp::kCount:
      return n;
    case AggregateOp::kMin:
      return min.value_or(none);
    case AggregateOp::kMax:
      return max.value_or(none);
    case AggregateOp::kGroup:
      return 1;
    case AggregateOp::kQuantile:
      return Quantile(parameter, values);
    default:
      break;
  }
  if (values.size() == 1) return 0;
  if (nan || plus || minus) return none;
  double squares = 0;
  for (const double v : values) squares += (v - sum / n) * (v - sum / n);
  return op == AggregateOp::kStdvar ? squares / n : std::sqrt(squares / n);
}

Answer NaiveAggregation(const AggregateExpr& expr, const Vector& input, double parameter) {
  Answer answer;
  for (size_t step = 0; step < kSteps; ++step) {
    std::map<LabelMap, Elements> groups;
    for (auto& element : At(input, step)) {
      groups[Cut(element.first, expr.grouping, !expr.without)].push_back(element);
    }
    for (auto& [labels, elements] : groups) {
      if (expr.op != AggregateOp::kTopK && expr.op != AggregateOp::kBottomK) {
        std::vector<double> values;
        for (const auto& element : elements) values.push_back(element.second);
        Put(labels, step, NaiveFold(expr.op, values, parameter), &answer);
        continue;
      }
      // Which of equal ones stay is for other tests: here all values differ.
      const bool top = expr.op == AggregateOp::kTopK;
      std::sort(elements.begin(), elements.end(), [&](const auto& a, const auto& b) {
        if (std::isnan(a.second) || std::isnan(b.second)) {
          return !std::isnan(a.second) && std::isnan(b.second);
        }
        return top ? a.second > b.second : a.second < b.second;
      });
      const auto k = static_cast<size_t>(std::max(parameter, 0.0));
      for (size_t i = 0; i < std::min(k, elements.size()); ++i) {
        Put(elements[i].first, step, elements[i].second, &answer);
      }
    }
  }
  return answer;
}

void MakeDistinct(Random* random, Vector* vector) {
  for (size_t step = 0; step < kSteps; ++step) {
    const size_t shift = random->Below(100);
    bool nan = false;
    for (size_t i = 0; i < vector->size(); ++i) {
      double& value = (*vector)[i].values[step];
      if (IsAbsent(value) || (std::isnan(value) && !nan)) {
        nan = nan || !IsAbsent(value);
        continue;
      }
      value = static_cast<double>((i * 37 + shift) % 101) - 50;
    }
  }
}

TEST(OperatorsProperty, AggregationsAreTheirDefinition) {
  for (uint64_t seed = 1; seed <= 4'000; ++seed) {
    Random random(seed);
    const std::string op = random.OneOf({"sum", "avg", "count", "min", "max", "group", "stddev",
                                         "stdvar", "topk", "bottomk", "quantile"});
    const bool ranks = op == "topk" || op == "bottomk";
    const double parameter =
        ranks ? static_cast<double>(random.Below(5)) : static_cast<double>(random.Below(5)) / 4;
    const std::string text =
        StrCat(op, random.OneOf({" by ", " without "}), random.Names(),
               ranks || op == "quantile" ? StrCat("(", parameter, ", x)") : "(x)");
    SCOPED_TRACE(StrCat("seed ", seed, ": ", text));
    ASSERT_OK_AND_ASSIGN(const ExprPtr parsed, ParseExpr(text));
    const auto& expr = As<AggregateExpr>(*parsed);
    Vector input = random.Series("m");
    if (ranks) MakeDistinct(&random, &input);
    const Answer wanted = NaiveAggregation(expr, input, parameter);

    const int workers = 1 + static_cast<int>(random.Below(3));
    const QueryOptions options;
    Budget budget(&options, nullptr);
    ASSERT_OK_AND_ASSIGN(const auto groups,
                         Aggregation::Create(expr, kGrid, std::vector<double>(kSteps, parameter),
                                             "", workers, &budget));
    const Vector original = input;
    for (VectorSeries& series : input) {
      const auto worker = static_cast<int>(random.Below(static_cast<size_t>(workers)));
      ASSERT_OK(groups->Add(worker, series.labels, series.values));
    }
    ASSERT_OK_AND_ASSIGN(const Vector result, groups->Finish());
    const Answer actual = AnswerOf(result);
    ASSERT_TRUE(Same(actual, wanted)) << "of\n"
                                      << Text(AnswerOf(original)) << "is\n"
                                      << Text(actual) << "expected\n"
                                      << Text(wanted);
  }
}

// The definition of one step; nothing where it is an error.
std::optional<Elements> NaiveBinary(const BinaryExpr& expr, Elements left, Elements right) {
  const VectorMatching& matching = *expr.matching;
  const auto key = [&](const LabelMap& labels) {
    return Cut(labels, matching.labels, matching.on);
  };
  Elements result;
  if (IsSetOp(expr.op)) {
    const auto in = [&](const LabelMap& labels, const Elements& elements) {
      return std::any_of(elements.begin(), elements.end(),
                         [&](const auto& element) { return key(element.first) == key(labels); });
    };
    for (const auto& element : left) {
      if (expr.op == BinaryOp::kOr || in(element.first, right) == (expr.op == BinaryOp::kAnd)) {
        result.push_back(element);
      }
    }
    if (expr.op != BinaryOp::kOr) return result;
    for (const auto& element : right) {
      if (!in(element.first, left)) result.push_back(element);
    }
    return result;
  }
  if (left.empty() || right.empty()) return result;
  using Cardinality = VectorMatching::Cardinality;
  const bool swapped = matching.cardinality == Cardinality::kOneToMany;
  if (swapped) std::swap(left, right);
  std::map<LabelMap, std::pair<LabelMap, double>> one;
  for (const auto& element : right) {
    if (!one.emplace(key(element.first), element).second) return {};
  }
  std::set<LabelMap> matched, labels_seen;
  for (const auto& [labels, value] : left) {
    const auto partner = one.find(key(labels));
    if (partner == one.end()) continue;
    const double l = swapped ? partner->second.second : value;
    const double r = swapped ? value : partner->second.second;
    double out = ApplyScalar(expr.op, l, r);
    if (IsComparison(expr.op) && !expr.return_bool) {
      if (out == 0) continue;
      out = l;
    }
    LabelMap metric = labels;
    if (DropsName(expr.op, false)) metric.erase("__name__");
    if (matching.cardinality == Cardinality::kOneToOne) {
      if (!matched.insert(partner->first).second) return {};
      const std::set<std::string> names(matching.labels.begin(), matching.labels.end());
      std::erase_if(metric,
                    [&](const auto& label) { return names.contains(label.first) != matching.on; });
    }
    for (const std::string& name : matching.include) {
      metric.erase(name);
      const auto taken = partner->second.first.find(name);
      if (taken != partner->second.first.end()) metric.insert(*taken);
    }
    if (expr.return_bool) metric.erase("__name__");
    if (!labels_seen.insert(metric).second) return {};
    result.emplace_back(metric, out);
  }
  return result;
}

TEST(OperatorsProperty, BinaryOperatorsAreTheirDefinition) {
  size_t answers = 0;
  for (uint64_t seed = 1; seed <= 12'000; ++seed) {
    Random random(seed);
    const std::string op =
        random.OneOf({"+", "-", "/", "%", "atan2", "==", "!=", ">", "<=", "and", "or", "unless"});
    const bool set = op == "and" || op == "or" || op == "unless";
    const bool comparison = op.find_first_of("=<>!") != std::string::npos;
    std::string text = StrCat("x ", op);
    if (comparison && random.Below(2) == 0) text += " bool";
    if (random.Below(4) != 0) {
      StrAppend(&text, random.OneOf({" on ", " ignoring "}), random.Names());
      if (!set && random.Below(2) == 0) {
        StrAppend(&text, random.OneOf({" group_left", " group_right"}),
                  random.OneOf({"", "(c)", "(a, c)", "(__name__)", "(d)"}));
      }
    }
    text += " y";
    SCOPED_TRACE(StrCat("seed ", seed, ": ", text));
    const auto parsed = ParseExpr(text);
    if (!parsed.ok()) continue;  // a label in on and in group_left
    const auto& expr = As<BinaryExpr>(**parsed);
    const Vector left = random.Series("l");
    const Vector right = random.Series(random.Below(2) == 0 ? "l" : "r");

    bool refused = false;
    Answer wanted;
    for (size_t step = 0; step < kSteps && !refused; ++step) {
      const auto elements = NaiveBinary(expr, At(left, step), At(right, step));
      refused = !elements.has_value();
      if (refused) break;
      for (const auto& [labels, value] : *elements) Put(labels, step, value, &wanted);
    }
    const QueryOptions options;
    Budget budget(&options, nullptr);
    ASSERT_OK(budget.Take((left.size() + right.size()) * kSteps));
    const auto result = ApplyVectorVector(expr, kGrid, left, right, &budget);
    const std::string inputs = StrCat("of\n", Text(AnswerOf(left)), "and\n", Text(AnswerOf(right)));
    ASSERT_EQ(result.ok(), !refused) << result.status() << inputs;
    if (refused) {
      ASSERT_CODE(result, absl::StatusCode::kFailedPrecondition);
      continue;
    }
    const Answer actual = AnswerOf(*result);
    ASSERT_TRUE(Same(actual, wanted)) << inputs << "is\n"
                                      << Text(actual) << "expected\n"
                                      << Text(wanted);
    ++answers;
    budget.GiveBack(result->size() * kSteps);
    ASSERT_OK(budget.Take(options.max_samples));
  }
  EXPECT_GT(answers, 4'000u);
}

}  // namespace
}  // namespace tinyobs::promql
