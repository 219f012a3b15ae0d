// Passing an absl::Status up without three lines each time.
//
//   TINYOBS_RETURN_IF_ERROR(file->Sync());
//   TINYOBS_ASSIGN_OR_RETURN(auto table, OpenTable(path));
#ifndef TINYOBS_LIB_BASE_STATUS_MACROS_H_
#define TINYOBS_LIB_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define TINYOBS_RETURN_IF_ERROR(expression)                                              \
  do {                                                                                   \
    if (absl::Status tinyobs_status_ = (expression); !tinyobs_status_.ok()) [[unlikely]] \
      return tinyobs_status_;                                                            \
  } while (false)

#define TINYOBS_CONCAT_INNER_(a, b) a##b
#define TINYOBS_CONCAT_(a, b) TINYOBS_CONCAT_INNER_(a, b)

#define TINYOBS_ASSIGN_OR_RETURN(declaration, expression)                                 \
  TINYOBS_ASSIGN_OR_RETURN_IMPL_(TINYOBS_CONCAT_(tinyobs_result_, __LINE__), declaration, \
                                 expression)

#define TINYOBS_ASSIGN_OR_RETURN_IMPL_(result, declaration, expression) \
  auto result = (expression);                                           \
  if (!result.ok()) [[unlikely]]                                        \
    return std::move(result).status();                                  \
  declaration = *std::move(result)

#endif  // TINYOBS_LIB_BASE_STATUS_MACROS_H_
