// What tsdb_bench runs, in the calling process: the same samples into each engine (RunComparison),
// and the rows about TinyObs alone that have a target of their own.
//
// Samples are made while it runs (bench/workload); the time that takes is taken off. Rates are of
// whole work: what an engine leaves to its threads counts as CPU time, and an append ends with
// everything flushed. Every scan must find the very samples that went in.
#ifndef TINYOBS_BENCH_PEERS_TSDB_WORKLOADS_H_
#define TINYOBS_BENCH_PEERS_TSDB_WORKLOADS_H_

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "bench/peers/report.h"
#include "bench/peers/sample_engine.h"

namespace tinyobs::bench {

struct TsdbOptions {
  std::string folder;          // each run makes a folder of its own below it and removes it
  std::set<std::string> only;  // empty = all
  std::string capture;         // a file of capture.py; empty = none, its rows are left out
  size_t batch = 10'000;       // samples of a batch, at most; a scrape is one or more

  // The comparison.
  size_t memory_bytes = 64 << 20;
  size_t series = 10'000;  // of the devops mix; 15 s from scrape to scrape, everywhere
  size_t scrapes = 960;
  size_t ranges = 2'000;

  // TinyObs alone. Memory for everything; a million series need more than the comparison's.
  size_t large_memory_bytes = size_t{1} << 30;
  size_t small_scrapes = 3'000;     // of `series` series
  size_t large_series = 1'000'000;  // also in random order
  size_t large_scrapes = 150;
  size_t replay_series = 100'000;
  size_t replay_scrapes = 200;
  size_t day_scrapes = 5'760;  // of `series` series
  int opens = 5;
  size_t codec_samples = 4'000'000;  // of a kind; fewer would stay in a cache

  // Churn: so many series in all, so many at once, a sample each 5 minutes.
  // Enough for the series that are active. An eighth of it is block cache, which only churn fills.
  size_t churn_memory_bytes = 96 << 20;
  size_t churn_series = 10'000'000;
  size_t churn_active = 100'000;
  size_t churn_days = 10;
  size_t churn_kept_days = 2;
};

// What TsdbOptions::only may hold.
const std::vector<std::string>& TsdbWorkloadNames();
// devops, capture.
const std::vector<std::string>& TsdbComparisonNames();

// "1m", "10k", "500".
std::string SizeName(size_t number);
// Of the rows below, at the sizes they are meant for.
std::vector<Target> TsdbTargets();

// One of TsdbComparisonNames.
void RunComparison(const TsdbOptions& options, const std::string& workload, const SamplePeer& peer,
                   const Recorder& record);
// Any name but devops, whose rows are all comparisons.
void RunAlone(const TsdbOptions& options, const std::string& workload, const Recorder& record);
// Parts of it.
void RunCodec(const TsdbOptions& options, const Recorder& record);
void RunChurn(const TsdbOptions& options, const Recorder& record);

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_PEERS_TSDB_WORKLOADS_H_
