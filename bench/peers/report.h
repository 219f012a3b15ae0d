// What a benchmark against peers measured, as a table for people and as JSON to keep.
//
// Engines run in processes of their own (see lsm_bench.cc), so figures travel as lines of text; the
// report only ever sees lines. The JSON form is common to all benchmarks: tools/bench_readme.py
// reads it. A row carries medians and, under "runs", every repetition behind them.
//
// One thread.
#ifndef TINYOBS_BENCH_PEERS_REPORT_H_
#define TINYOBS_BENCH_PEERS_REPORT_H_

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tinyobs::bench {

// One figure of one run. `bench`, `metric` and `engine` are words without spaces.
struct Figure {
  std::string bench;
  std::string metric;  // ends in its unit: ops_per_s, disk_bytes, open_ms
  bool higher_is_better = true;
  std::string engine;
  double value = 0;

  std::string ToLine() const;  // with its newline
  static bool FromLine(const std::string& line, Figure* figure);
};

// What a figure of ours is to reach, whatever the peers do.
struct Target {
  std::string bench;
  std::string metric;
  double must = 0;
  double goal = 0;
};

using Recorder = std::function<void(const Figure&)>;

struct RunDescription {
  std::string benchmark;  // lsm
  std::string machine;
  std::string commit;
  bool quick = false;  // too short to be kept
  int repetitions = 0;
  // Ours first.
  std::vector<std::string> engines;
  std::vector<std::pair<std::string, std::string>> versions;  // by engine
  std::vector<std::pair<std::string, std::string>> settings;  // by what they are about
  std::vector<Target> targets;                                // of some rows
};

class Report {
 public:
  explicit Report(RunDescription run) : run_(std::move(run)) {}

  void Add(const Figure& figure);
  bool empty() const { return rows_.empty(); }

  std::string Header() const;  // versions and settings
  // A line a row: for each engine the median and (min..max), then how many times better ours is
  // than each peer: above 1 ours is better, whether high or low figures are. Where rows have
  // targets they stand at the end.
  std::string Table() const;
  std::string Json() const;

 private:
  struct Row {
    std::string bench;
    std::string metric;
    bool higher_is_better;
    std::map<std::string, std::vector<double>> runs;  // by engine
  };

  const Target* TargetOf(const Row& row) const;  // null = none

  const RunDescription run_;
  std::vector<Row> rows_;  // in the order of their first figures
};

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_PEERS_REPORT_H_
