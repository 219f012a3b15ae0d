#include "lib/promql/functions.h"

#include <algorithm>
#include <iterator>

namespace tinyobs::promql {

namespace {

constexpr Function kFunctions[] = {
    {FunctionId::kAbs, "abs", "v", 0, ValueType::kInstantVector},
    {FunctionId::kAbsent, "absent", "v", 0, ValueType::kInstantVector},
    {FunctionId::kAbsentOverTime, "absent_over_time", "m", 0, ValueType::kInstantVector},
    {FunctionId::kAcos, "acos", "v", 0, ValueType::kInstantVector},
    {FunctionId::kAcosh, "acosh", "v", 0, ValueType::kInstantVector},
    {FunctionId::kAsin, "asin", "v", 0, ValueType::kInstantVector},
    {FunctionId::kAsinh, "asinh", "v", 0, ValueType::kInstantVector},
    {FunctionId::kAtan, "atan", "v", 0, ValueType::kInstantVector},
    {FunctionId::kAtanh, "atanh", "v", 0, ValueType::kInstantVector},
    {FunctionId::kAvgOverTime, "avg_over_time", "m", 0, ValueType::kInstantVector},
    {FunctionId::kCeil, "ceil", "v", 0, ValueType::kInstantVector},
    {FunctionId::kChanges, "changes", "m", 0, ValueType::kInstantVector},
    {FunctionId::kClamp, "clamp", "vss", 0, ValueType::kInstantVector},
    {FunctionId::kClampMax, "clamp_max", "vs", 0, ValueType::kInstantVector},
    {FunctionId::kClampMin, "clamp_min", "vs", 0, ValueType::kInstantVector},
    {FunctionId::kCos, "cos", "v", 0, ValueType::kInstantVector},
    {FunctionId::kCosh, "cosh", "v", 0, ValueType::kInstantVector},
    {FunctionId::kCountOverTime, "count_over_time", "m", 0, ValueType::kInstantVector},
    {FunctionId::kDayOfMonth, "day_of_month", "v", 1, ValueType::kInstantVector},
    {FunctionId::kDayOfWeek, "day_of_week", "v", 1, ValueType::kInstantVector},
    {FunctionId::kDayOfYear, "day_of_year", "v", 1, ValueType::kInstantVector},
    {FunctionId::kDaysInMonth, "days_in_month", "v", 1, ValueType::kInstantVector},
    {FunctionId::kDeg, "deg", "v", 0, ValueType::kInstantVector},
    {FunctionId::kDelta, "delta", "m", 0, ValueType::kInstantVector},
    {FunctionId::kDeriv, "deriv", "m", 0, ValueType::kInstantVector},
    {FunctionId::kExp, "exp", "v", 0, ValueType::kInstantVector},
    {FunctionId::kFloor, "floor", "v", 0, ValueType::kInstantVector},
    {FunctionId::kHistogramCount, "histogram_count", "v", 0, ValueType::kInstantVector},
    {FunctionId::kHistogramFraction, "histogram_fraction", "ssv", 0, ValueType::kInstantVector},
    {FunctionId::kHistogramQuantile, "histogram_quantile", "sv", 0, ValueType::kInstantVector},
    {FunctionId::kHistogramSum, "histogram_sum", "v", 0, ValueType::kInstantVector},
    {FunctionId::kHoltWinters, "holt_winters", "mss", 0, ValueType::kInstantVector},
    {FunctionId::kHour, "hour", "v", 1, ValueType::kInstantVector},
    {FunctionId::kIdelta, "idelta", "m", 0, ValueType::kInstantVector},
    {FunctionId::kIncrease, "increase", "m", 0, ValueType::kInstantVector},
    {FunctionId::kIrate, "irate", "m", 0, ValueType::kInstantVector},
    {FunctionId::kLabelJoin, "label_join", "vttt", kAnyNumber, ValueType::kInstantVector},
    {FunctionId::kLabelReplace, "label_replace", "vtttt", 0, ValueType::kInstantVector},
    {FunctionId::kLastOverTime, "last_over_time", "m", 0, ValueType::kInstantVector},
    {FunctionId::kLn, "ln", "v", 0, ValueType::kInstantVector},
    {FunctionId::kLog10, "log10", "v", 0, ValueType::kInstantVector},
    {FunctionId::kLog2, "log2", "v", 0, ValueType::kInstantVector},
    {FunctionId::kMaxOverTime, "max_over_time", "m", 0, ValueType::kInstantVector},
    {FunctionId::kMinOverTime, "min_over_time", "m", 0, ValueType::kInstantVector},
    {FunctionId::kMinute, "minute", "v", 1, ValueType::kInstantVector},
    {FunctionId::kMonth, "month", "v", 1, ValueType::kInstantVector},
    {FunctionId::kPi, "pi", "", 0, ValueType::kScalar},
    {FunctionId::kPredictLinear, "predict_linear", "ms", 0, ValueType::kInstantVector},
    {FunctionId::kPresentOverTime, "present_over_time", "m", 0, ValueType::kInstantVector},
    {FunctionId::kQuantileOverTime, "quantile_over_time", "sm", 0, ValueType::kInstantVector},
    {FunctionId::kRad, "rad", "v", 0, ValueType::kInstantVector},
    {FunctionId::kRate, "rate", "m", 0, ValueType::kInstantVector},
    {FunctionId::kResets, "resets", "m", 0, ValueType::kInstantVector},
    {FunctionId::kRound, "round", "vs", 1, ValueType::kInstantVector},
    {FunctionId::kScalar, "scalar", "v", 0, ValueType::kScalar},
    {FunctionId::kSgn, "sgn", "v", 0, ValueType::kInstantVector},
    {FunctionId::kSin, "sin", "v", 0, ValueType::kInstantVector},
    {FunctionId::kSinh, "sinh", "v", 0, ValueType::kInstantVector},
    {FunctionId::kSort, "sort", "v", 0, ValueType::kInstantVector},
    {FunctionId::kSortDesc, "sort_desc", "v", 0, ValueType::kInstantVector},
    {FunctionId::kSqrt, "sqrt", "v", 0, ValueType::kInstantVector},
    {FunctionId::kStddevOverTime, "stddev_over_time", "m", 0, ValueType::kInstantVector},
    {FunctionId::kStdvarOverTime, "stdvar_over_time", "m", 0, ValueType::kInstantVector},
    {FunctionId::kSumOverTime, "sum_over_time", "m", 0, ValueType::kInstantVector},
    {FunctionId::kTan, "tan", "v", 0, ValueType::kInstantVector},
    {FunctionId::kTanh, "tanh", "v", 0, ValueType::kInstantVector},
    {FunctionId::kTime, "time", "", 0, ValueType::kScalar},
    {FunctionId::kTimestamp, "timestamp", "v", 0, ValueType::kInstantVector},
    {FunctionId::kVector, "vector", "s", 0, ValueType::kInstantVector},
    {FunctionId::kYear, "year", "v", 1, ValueType::kInstantVector},
};
static_assert(std::size(kFunctions) == static_cast<size_t>(FunctionId::kYear) + 1);

}  // namespace

const Function* FindFunction(std::string_view name) {
  const Function* const found = std::lower_bound(
      std::begin(kFunctions), std::end(kFunctions), name,
      [](const Function& function, std::string_view wanted) { return function.name < wanted; });
  return found != std::end(kFunctions) && found->name == name ? found : nullptr;
}

std::span<const Function> AllFunctions() { return kFunctions; }

}  // namespace tinyobs::promql
