// The functions of PromQL: their names, arguments and results. What they do is evaluator business;
// here the parser learns what may stand where.
//
// The list is that of Prometheus 2.42. histogram_count, histogram_sum and histogram_fraction are
// about native histograms, which do not exist here: they are known, and give no element for a
// vector of plain samples, as there.
//
// Code asks for a function by its name, IdOf("rate"), which is looked up when it is compiled: there
// is no second list, of enumerators, to keep in step.
//
// Thread-safety: immutable.
#ifndef TINYOBS_LIB_PROMQL_FUNCTIONS_H_
#define TINYOBS_LIB_PROMQL_FUNCTIONS_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <utility>

#include "lib/promql/ast.h"

namespace tinyobs::promql {

// The place in kFunctions.
enum class FunctionId : uint8_t {};

struct Function {
  FunctionId id;
  std::string_view name;
  // One letter an argument: v instant vector, m range vector, s scalar, t string.
  std::string_view arguments;
  // Of these, how many at the end may be left out; the last one of kAnyNumber may be there any
  // number of times instead.
  int optional;
  ValueType returns;
};
inline constexpr int kAnyNumber = -1;

// In the order of their names.
inline constexpr auto kFunctions = [] {
  struct Signature {
    std::string_view arguments;
    int optional;
    ValueType returns;
    std::initializer_list<std::string_view> names;
  };
  constexpr ValueType kVector = ValueType::kInstantVector;
  const std::initializer_list<Signature> signatures = {
      {"", 0, ValueType::kScalar, {"pi", "time"}},
      {"v", 0, ValueType::kScalar, {"scalar"}},
      {"s", 0, kVector, {"vector"}},
      {"v", 0, kVector, {"abs",           "absent", "acos",  "acosh",    "asin",
                         "asinh",         "atan",   "atanh", "ceil",     "cos",
                         "cosh",          "deg",    "exp",   "floor",    "histogram_count",
                         "histogram_sum", "ln",     "log10", "log2",     "rad",
                         "sgn",           "sin",    "sinh",  "sort",     "sort_desc",
                         "sqrt",          "tan",    "tanh",  "timestamp"}},
      {"v",
       1,
       kVector,
       {"day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month",
        "year"}},
      {"vs", 0, kVector, {"clamp_max", "clamp_min"}},
      {"vs", 1, kVector, {"round"}},
      {"vss", 0, kVector, {"clamp"}},
      {"sv", 0, kVector, {"histogram_quantile"}},
      {"ssv", 0, kVector, {"histogram_fraction"}},
      {"vtttt", 0, kVector, {"label_replace"}},
      {"vttt", kAnyNumber, kVector, {"label_join"}},
      {"m",
       0,
       kVector,
       {"absent_over_time", "avg_over_time", "changes", "count_over_time", "delta", "deriv",
        "idelta", "increase", "irate", "last_over_time", "max_over_time", "min_over_time",
        "present_over_time", "rate", "resets", "stddev_over_time", "stdvar_over_time",
        "sum_over_time"}},
      {"ms", 0, kVector, {"predict_linear"}},
      {"mss", 0, kVector, {"holt_winters"}},
      {"sm", 0, kVector, {"quantile_over_time"}},
  };
  std::array<Function, 70> functions{};
  size_t count = 0;
  for (const Signature& signature : signatures) {
    for (const std::string_view name : signature.names) {
      functions[count++] = {{}, name, signature.arguments, signature.optional, signature.returns};
    }
  }
  std::ranges::sort(functions, {}, &Function::name);
  for (size_t i = 0; i < count; ++i) functions[i].id = static_cast<FunctionId>(i);
  return functions;
}();
static_assert(!kFunctions.front().name.empty());  // as many as the array has

// Null when there is none. Names are case-sensitive.
constexpr const Function* FindFunction(std::string_view name) {
  const auto found = std::ranges::lower_bound(kFunctions, name, {}, &Function::name);
  return found != kFunctions.end() && found->name == name ? found : nullptr;
}

// Does not compile for a name that is none.
consteval FunctionId IdOf(std::string_view name) { return FindFunction(name)->id; }

// A T for each function that `rows` names, T() for the others.
template <typename T>
constexpr auto ByFunction(std::initializer_list<std::pair<FunctionId, T>> rows) {
  std::array<T, kFunctions.size()> table{};
  for (const auto& [id, value] : rows) table[static_cast<size_t>(id)] = value;
  return table;
}

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_FUNCTIONS_H_
