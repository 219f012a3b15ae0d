// What the benchmarks measure with: clocks, memory of this process, bytes of a folder; and the end
// of a run that cannot go on.
//
// Thread-safe.
#ifndef TINYOBS_BENCH_PEERS_MEASURE_H_
#define TINYOBS_BENCH_PEERS_MEASURE_H_

#include <ctime>
#include <string>
#include <string_view>

namespace tinyobs::bench {

// Prints `what` and `detail` and ends the program when `ok` is false: a benchmark that goes on
// after an error measures nothing.
void Require(bool ok, std::string_view what, std::string_view detail);

// Of CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID.
double Seconds(clockid_t clock);

// Wall and CPU time of a run without its pauses, in which the benchmark makes its samples. CPU time
// is that of the whole process, background threads included, also while it pauses; only the calling
// thread's own is taken off. So work left to the background is counted, whenever it is done. One
// thread's.
class Stopwatch {
 public:
  Stopwatch();
  void Pause();
  void Resume();
  // Neither in a pause.
  double WallSeconds() const;
  double CpuSeconds() const;

 private:
  double wall_;  // of the begin, moved on by what the pauses took
  double cpu_;
  double pause_wall_ = 0;
  double pause_cpu_ = 0;
};

// Memory of this process that no file stands behind, so that maps of tables are not counted. What
// the allocator merely keeps is given back first.
double AnonymousBytes();
// The same without giving back: quick enough to be asked during a run.
double AnonymousBytesNow();

// Files below `folder`. One that is removed meanwhile counts nothing.
double FolderBytes(const std::string& folder);

// Until the disk that holds `folder` is quiet, so that the next run does not pay for this one's
// writes.
void SyncDisk(const std::string& folder);

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_PEERS_MEASURE_H_
