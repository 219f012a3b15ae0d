// Clock: where the library gets the time from, so that tests and simulations can move it by hand.
//
// Thread-safety: implementations must be thread-safe.
#ifndef TINYOBS_CLOCK_H_
#define TINYOBS_CLOCK_H_

#include <cstdint>

namespace tinyobs {

class Clock {
 public:
  virtual ~Clock() = default;

  // Milliseconds since the Unix epoch, UTC. May jump when the machine's clock is set.
  virtual int64_t NowMs() const = 0;

  // Nanoseconds of a clock that never goes back; only differences mean something.
  virtual int64_t MonotonicNs() const = 0;

  // The operating system's clocks; lives as long as the process.
  static Clock* System();
};

}  // namespace tinyobs

#endif  // TINYOBS_CLOCK_H_
