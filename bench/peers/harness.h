// What the benchmarks against peers have in common around their workloads: the flags that
// tools/bench gives, a process of its own for each engine, the table and the JSON at the end.
//
// An engine runs in a child process, so that neither its memory nor its leftover threads are
// counted with the next one's. The parent starts no thread, as it forks.
//
// One thread.
#ifndef TINYOBS_BENCH_PEERS_HARNESS_H_
#define TINYOBS_BENCH_PEERS_HARNESS_H_

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "bench/peers/report.h"

namespace tinyobs::bench {

struct Arguments {
  std::string folder;          // for data
  std::set<std::string> only;  // empty = all
  std::string json_file;       // empty = none
  std::string commit = "unknown";
  std::string machine = "unknown";
  bool quick = false;
  int repetitions = 5;  // with --quick 1, unless said otherwise
};

// `names`: what --only may hold. `own` gets the flags that are not common, with their values, and
// returns false for one it does not know either. Ends the program on a mistake.
Arguments ParseArguments(
    int argc, char** argv, const std::vector<std::string>& names,
    const std::function<bool(const std::string& flag, const std::string& value)>& own);

// A number above 0, or the program ends.
int Positive(const std::string& flag, const std::string& text);

// Of what all benchmarks describe alike.
RunDescription Describe(std::string benchmark, const Arguments& arguments);

// From here SIGINT and SIGTERM end the child first, so that nobody goes on writing.
void CatchSignals();

// Runs `work` in a child process and adds what it records to `report`.
void RunIsolated(const std::function<void(const Recorder&)>& work, Report* report);

// Within such a child: `work` in a process of its own. Ends the program when that one fails.
void RunApart(const std::function<void()>& work);

// Prints the table and writes the JSON file, if one was asked for.
void Finish(const Report& report, const Arguments& arguments);

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_PEERS_HARNESS_H_
