// getrlimit, setrlimit and a subtraction.
#include "tools/serve/file_handles.h"

#include <sys/resource.h>

#include <algorithm>

namespace tinyobs::serve {
namespace {

constexpr uint64_t kUsualHandleLimit = 1024;
constexpr uint64_t kMostHandles = 65'536;  // some systems say "unlimited"
constexpr uint64_t kTableHandles = 512;    // tables the database keeps open
constexpr uint64_t kOtherHandles = 128;    // logs, tables being written, the sockets' own, /proc
constexpr uint64_t kFewestConnections = 16;
constexpr uint64_t kMostConnections = 1024;

}  // namespace

uint64_t RaiseHandleLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return kUsualHandleLimit;
  const rlim_t wanted = std::min<rlim_t>(limit.rlim_max, kMostHandles);
  if (wanted > limit.rlim_cur) {
    rlimit raised = limit;
    raised.rlim_cur = wanted;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return limit.rlim_cur;
}

size_t MaxConnections(uint64_t handle_limit) {
  constexpr uint64_t kSetAside = kTableHandles + kOtherHandles;
  const uint64_t left = handle_limit > kSetAside ? handle_limit - kSetAside : 0;
  return std::clamp(left, kFewestConnections, kMostConnections);
}

}  // namespace tinyobs::serve
