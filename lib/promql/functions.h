// The functions of PromQL: their names, arguments and results. What they do is evaluator business;
// here the parser learns what may stand where.
//
// The list is that of Prometheus 2.42. histogram_count, histogram_sum and histogram_fraction are
// about native histograms, which do not exist here: they are known, and give no element for a
// vector of plain samples, as there.
//
// Thread-safety: immutable.
#ifndef TINYOBS_LIB_PROMQL_FUNCTIONS_H_
#define TINYOBS_LIB_PROMQL_FUNCTIONS_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "lib/promql/ast.h"

namespace tinyobs::promql {

// In the order of their names.
enum class FunctionId : uint8_t {
  kAbs,
  kAbsent,
  kAbsentOverTime,
  kAcos,
  kAcosh,
  kAsin,
  kAsinh,
  kAtan,
  kAtanh,
  kAvgOverTime,
  kCeil,
  kChanges,
  kClamp,
  kClampMax,
  kClampMin,
  kCos,
  kCosh,
  kCountOverTime,
  kDayOfMonth,
  kDayOfWeek,
  kDayOfYear,
  kDaysInMonth,
  kDeg,
  kDelta,
  kDeriv,
  kExp,
  kFloor,
  kHistogramCount,
  kHistogramFraction,
  kHistogramQuantile,
  kHistogramSum,
  kHoltWinters,
  kHour,
  kIdelta,
  kIncrease,
  kIrate,
  kLabelJoin,
  kLabelReplace,
  kLastOverTime,
  kLn,
  kLog10,
  kLog2,
  kMaxOverTime,
  kMinOverTime,
  kMinute,
  kMonth,
  kPi,
  kPredictLinear,
  kPresentOverTime,
  kQuantileOverTime,
  kRad,
  kRate,
  kResets,
  kRound,
  kScalar,
  kSgn,
  kSin,
  kSinh,
  kSort,
  kSortDesc,
  kSqrt,
  kStddevOverTime,
  kStdvarOverTime,
  kSumOverTime,
  kTan,
  kTanh,
  kTime,
  kTimestamp,
  kVector,
  kYear,
};

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

// Null when there is none. Names are case-sensitive.
const Function* FindFunction(std::string_view name);
// All, in the order of their ids.
std::span<const Function> AllFunctions();

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_FUNCTIONS_H_
