// One binary operator over two columns, in place. Between binary.cc and binary_matching.cc.
//
// Thread-safety: pure.
#ifndef TINYOBS_LIB_PROMQL_BINARY_COLUMNS_H_
#define TINYOBS_LIB_PROMQL_BINARY_COLUMNS_H_

#include <span>

#include "lib/promql/ast.h"

namespace tinyobs::promql {

// values[i] = values[i] op other[i] (swapped: other[i] op values[i]), or Absent() where either is.
// A comparison without bool gives values[i] (keep_other: other[i]) where it holds, else Absent().
// The two do not overlap.
void ApplyColumns(BinaryOp op, bool return_bool, bool swapped, bool keep_other,
                  std::span<const double> other, std::span<double> values);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_BINARY_COLUMNS_H_
