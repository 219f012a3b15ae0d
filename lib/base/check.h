// Checks of our own invariants.
//
// TINYOBS_CHECK is always on and cheap; TINYOBS_DCHECK only in builds without NDEBUG (the sanitizer
// configurations). Neither is ever applied to bytes that came from disk or from the network: those
// are answered with a Status. A failed check is a bug of ours, and going on would risk the user's
// data, so it prints where and ends the process; it is the only place in the library that may.
#ifndef TINYOBS_LIB_BASE_CHECK_H_
#define TINYOBS_LIB_BASE_CHECK_H_

#include <cstdio>
#include <cstdlib>

namespace tinyobs::internal {

[[noreturn]] inline void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: TinyObs invariant broken: %s\n", file, line, condition);
  std::abort();
}

}  // namespace tinyobs::internal

#define TINYOBS_CHECK(condition)                                        \
  do {                                                                  \
    if (!(condition)) [[unlikely]]                                      \
      ::tinyobs::internal::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#ifdef NDEBUG
#define TINYOBS_DCHECK(condition) \
  do {                            \
    (void)sizeof(condition);      \
  } while (false)
#else
#define TINYOBS_DCHECK(condition) TINYOBS_CHECK(condition)
#endif

#endif  // TINYOBS_LIB_BASE_CHECK_H_
