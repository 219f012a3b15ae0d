// Printer: a tree as text again.
//
// ToString is one line in canonical form; parsing it gives the same tree. Pretty breaks what is
// longer than a line, as Prometheus' format_query does.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_LIB_PROMQL_PRINTER_H_
#define TINYOBS_LIB_PROMQL_PRINTER_H_

#include <string>

#include "lib/promql/ast.h"

namespace tinyobs::promql {

std::string ToString(const Expr& expr);
std::string Pretty(const Expr& expr);

}  // namespace tinyobs::promql

#endif  // TINYOBS_LIB_PROMQL_PRINTER_H_
