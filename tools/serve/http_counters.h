// HttpCounters: what the HTTP server counts and /metrics shows; apart, so that neither needs the
// other.
//
// Thread-safety: atomics; each figure is right, a set of them need not be of one instant.
#ifndef TINYOBS_TOOLS_SERVE_HTTP_COUNTERS_H_
#define TINYOBS_TOOLS_SERVE_HTTP_COUNTERS_H_

#include <atomic>
#include <cstdint>

namespace tinyobs::serve {

// Since start.
struct HttpCounters {
  std::atomic<uint64_t> connections_accepted{0};
  std::atomic<uint64_t> connections_refused{0};  // over max_connections
  std::atomic<int64_t> connections_open{0};
  std::atomic<uint64_t> requests_refused{0};  // 503: queue or a byte budget was full
  std::atomic<uint64_t> requests_malformed{0};
  std::atomic<uint64_t> timeouts{0};
  std::atomic<uint64_t> responses_by_class[6] = {};  // [2] = 2xx ...
  std::atomic<uint64_t> request_body_bytes{0};
  std::atomic<uint64_t> response_body_bytes{0};
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_HTTP_COUNTERS_H_
