// The workloads of lsm_bench, run on one engine in the calling process.
//
// The standard set has the names of LevelDB's db_bench: 16-byte keys, 100-byte values that compress
// to about half. The shape of a time-series store (tsdbfill, tsdbscan): 24-byte keys that come
// nearly in order, values of 200-600 bytes that do not compress, in batches of 100. And `open`: how
// long it takes to open a store of 1 GB whose log holds 2 MiB.
//
// Every engine gets the same operations on the same bytes: all randomness is seeded.
#ifndef TINYOBS_BENCH_PEERS_WORKLOADS_H_
#define TINYOBS_BENCH_PEERS_WORKLOADS_H_

#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "bench/peers/key_value_engine.h"
#include "bench/peers/report.h"

namespace tinyobs::bench {

struct WorkloadOptions {
  std::string folder;          // a folder of its own is made below it for each engine, and removed
  std::set<std::string> only;  // empty = all
  uint64_t operations = 1'000'000;
  uint64_t open_store_bytes = 1'000'000'000;
  int opens = 5;
  EngineSettings settings;
};

// What WorkloadOptions::only may hold.
const std::vector<std::string>& WorkloadNames();

// All but `open`.
void RunWorkloads(const WorkloadOptions& options, const Peer& peer, const Recorder& record);
void RunOpen(const WorkloadOptions& options, const Peer& peer, const Recorder& record);

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_PEERS_WORKLOADS_H_
