// Is our LSM as fast as LevelDB and RocksDB at what key-value engines are measured by, and at what
// a time-series store asks?
//
// Each repetition runs every engine once, in rotating order, each workload (workloads.h) on the
// same bytes; a row is the median over the repetitions.
//
// `tools/bench lsm` builds and runs this with all it needs. By hand:
//
//   lsm_bench --dir FOLDER [--quick] [--repetitions N] [--operations N] [--only NAME,...]
//             [--json FILE] [--commit ID] [--machine TEXT]
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/peers/harness.h"
#include "bench/peers/key_value_engine.h"
#include "bench/peers/report.h"
#include "bench/peers/workloads.h"

namespace tinyobs::bench {
namespace {

RunDescription Describe(const Arguments& arguments, const WorkloadOptions& workloads,
                        const std::vector<Peer>& peers) {
  const EngineSettings& settings = workloads.settings;
  const auto kib = [](size_t bytes) { return std::to_string(bytes >> 10) + " KiB"; };
  RunDescription run = Describe("lsm", arguments);
  run.settings.emplace_back(
      "operations", std::to_string(workloads.operations) +
                        "; fillsync a thousandth, seekrandom a quarter, readwhilewriting half, "
                        "tsdbfill and tsdbscan a fifth; open: a store of " +
                        std::to_string(workloads.open_store_bytes / 1'000'000) +
                        " MB with 2 MiB in its log, files in the page cache");
  run.settings.emplace_back(
      "all engines",
      "Snappy; memtable " + kib(settings.memtable_bytes) + ", at most " +
          std::to_string(settings.memtables) + "; block cache " + kib(settings.block_cache_bytes) +
          "; blocks " + kib(settings.block_bytes) + ", restart points every " +
          std::to_string(settings.block_restart_interval) + "; tables " +
          kib(settings.table_bytes) + ", at most " + std::to_string(settings.open_files) +
          " open; L1 " + kib(settings.level1_bytes) + ", levels grow tenfold; L0 compacted at " +
          std::to_string(settings.l0_compaction_trigger) + " tables; " +
          std::to_string(settings.filter_bits_per_key) +
          " filter bits a key; every write logged, none synced but in fillsync; checksums verified "
          "on every read of a block");
  for (const Peer& peer : peers) {
    run.engines.push_back(peer.name);
    run.versions.emplace_back(peer.name, peer.version);
    run.settings.emplace_back(peer.name, peer.own_settings);
  }
  return run;
}

int Main(int argc, char** argv) {
  WorkloadOptions workloads;
  int operations = 0;
  const Arguments arguments = ParseArguments(
      argc, argv, WorkloadNames(), [&](const std::string& flag, const std::string& value) {
        if (flag == "--operations") operations = std::max(10'000, Positive(flag, value));
        return flag == "--operations";
      });
  if (arguments.quick) {
    workloads.operations = 100'000;
    workloads.open_store_bytes = 64'000'000;
  }
  if (operations > 0) workloads.operations = static_cast<uint64_t>(operations);
  workloads.folder = arguments.folder;
  workloads.only = arguments.only;
  workloads.opens = arguments.repetitions;
  const std::vector<Peer> peers = {TinyObsPeer(), LevelDbPeer(), RocksDbPeer()};
  Report report(Describe(arguments, workloads, peers));
  CatchSignals();
  std::printf("%s\n", report.Header().c_str());
  std::fflush(stdout);
  for (int repetition = 0; repetition < arguments.repetitions; ++repetition) {
    std::fprintf(stderr, "repetition %d of %d\n", repetition + 1, arguments.repetitions);
    for (size_t i = 0; i < peers.size(); ++i) {
      const Peer& peer = peers[(i + static_cast<size_t>(repetition)) % peers.size()];
      RunIsolated([&](const Recorder& record) { RunWorkloads(workloads, peer, record); }, &report);
    }
  }
  for (const Peer& peer : peers) {
    RunIsolated([&](const Recorder& record) { RunOpen(workloads, peer, record); }, &report);
  }
  Finish(report, arguments);
  return 0;
}

}  // namespace
}  // namespace tinyobs::bench

int main(int argc, char** argv) { return tinyobs::bench::Main(argc, argv); }
