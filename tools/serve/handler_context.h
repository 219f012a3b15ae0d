// What the handlers of one server share. Plain data, filled once at start.
//
// Thread-safety: immutable after start; what it points to is thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_HANDLER_CONTEXT_H_
#define TINYOBS_TOOLS_SERVE_HANDLER_CONTEXT_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "tinyobs/clock.h"
#include "tinyobs/db.h"
#include "tools/serve/byte_budget.h"

namespace tinyobs::serve {

struct HandlerContext {
  Db* db = nullptr;        // not owned
  Clock* clock = nullptr;  // not owned
  int64_t start_ms = 0;    // when the server started

  uint64_t max_storage_bytes = 0;  // the database's limit, for answers; 0 = none

  // Of the names of series that senders use, so that they are known again.
  size_t series_cache_bytes = 4 << 20;

  // Routes that delete and copy data (prometheus_admin.h), and where the database is, for copies.
  bool admin_api = false;
  std::string storage_path;

  // What bodies of all requests and of all answers hold together; not owned, nullptr = no limit.
  // Decompressed requests and growing answers take from them (503 when nothing is left).
  ByteBudget* request_bytes = nullptr;
  ByteBudget* response_bytes = nullptr;

  // A query beyond one of these is refused with a message that names it.
  uint64_t max_query_samples = 5'000'000;
  int64_t max_range_ms = 0;            // of /v1/query/range; 0 = none
  size_t max_answer_bytes = 32 << 20;  // before compression
  int64_t query_deadline_ms = 10'000;

  // PromQL: what Prometheus' flags of these names say.
  int64_t promql_timeout_ms = 120'000;
  uint64_t promql_max_samples = 50'000'000;
  int promql_max_concurrency = 20;
  int64_t promql_lookback_ms = 300'000;
  size_t max_promql_answer_bytes = 192 << 20;  // before compression; also of lists of series
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_HANDLER_CONTEXT_H_
