// Is TinyObs worth it against what people store samples in who have no time-series store, and does
// it reach its own targets?
//
// The same samples go into TinyObs, LevelDB, RocksDB and SQLite, in rotating order, each in a
// process of its own (sample_engine.h says what is equal); then TinyObs alone runs what has a
// target of its own. A row is the median over the repetitions.
//
// `tools/bench tsdb` builds and runs this with all it needs. By hand:
//
//   tsdb_bench --dir FOLDER [--quick] [--repetitions N] [--only NAME,...] [--capture FILE]
//              [--series N] [--scrapes N] [--large-series N] [--large-scrapes N]
//              [--churn-series N] [--churn-active N] [--churn-days N]
//              [--json FILE] [--commit ID] [--machine TEXT]
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include "bench/peers/harness.h"
#include "bench/peers/tsdb_workloads.h"

namespace tinyobs::bench {
namespace {

// To see that all of it works, in a minute or two; no target holds at these sizes.
void MakeQuick(TsdbOptions* options) {
  options->series = 2'000;
  options->scrapes = 240;
  options->ranges = 500;
  options->small_scrapes = 500;
  options->large_series = 50'000;
  options->large_scrapes = 30;
  options->replay_series = 20'000;
  options->replay_scrapes = 50;
  options->day_scrapes = 1'440;
  options->opens = 1;
  options->churn_series = 50'000;
  options->churn_active = 2'000;
  options->churn_days = 4;
}

bool Wanted(const TsdbOptions& options, const std::string& name) {
  return options.only.empty() || options.only.contains(name);
}

std::string Megabytes(size_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

RunDescription Describe(const Arguments& arguments, const TsdbOptions& options,
                        const std::vector<SamplePeer>& peers) {
  const auto text = [](size_t number) { return std::to_string(number); };
  RunDescription run = Describe("tsdb", arguments);
  run.settings.emplace_back(
      "samples", "devops: " + text(options.series) + " series of 8 labels, " +
                     text(options.scrapes) + " scrapes 15 s apart, host by host; capture: " +
                     (options.capture.empty() ? "none" : "a node exporter's, as it was") +
                     "; batches of at most " + text(options.batch));
  run.settings.emplace_back(
      "all engines", "every batch logged, none synced; " + Megabytes(options.memory_bytes) +
                         " of memory for memtables and caches; an append ends with a flush, and "
                         "compactions that come after it are not in its rate; range: one series, "
                         "one hour, columns out");
  run.settings.emplace_back(
      "tinyobs alone",
      Megabytes(options.large_memory_bytes) + " of memory; append: " + text(options.large_series) +
          " series x " + text(options.large_scrapes) + " scrapes and " + text(options.series) +
          " x " + text(options.small_scrapes) + "; replay: " + text(options.replay_series) + " x " +
          text(options.replay_scrapes) + "; day: " + text(options.series) + " x " +
          text(options.day_scrapes) + "; churn: " + text(options.churn_series) + " series, " +
          text(options.churn_active) + " at a time, " + text(options.churn_days) +
          " days of which " + text(options.churn_kept_days) + " are kept, " +
          Megabytes(options.churn_memory_bytes));
  run.settings.emplace_back("targets", "against RocksDB: append 10x, bytes 8x, scan 10x");
  for (const SamplePeer& peer : peers) {
    run.engines.push_back(peer.name);
    run.versions.emplace_back(peer.name, peer.version);
    run.settings.emplace_back(peer.name, peer.own_settings);
  }
  run.targets = TsdbTargets();
  return run;
}

int Main(int argc, char** argv) {
  TsdbOptions options;
  const std::map<std::string, size_t TsdbOptions::*> sizes = {
      {"--series", &TsdbOptions::series},
      {"--scrapes", &TsdbOptions::scrapes},
      {"--large-series", &TsdbOptions::large_series},
      {"--large-scrapes", &TsdbOptions::large_scrapes},
      {"--churn-series", &TsdbOptions::churn_series},
      {"--churn-active", &TsdbOptions::churn_active},
      {"--churn-days", &TsdbOptions::churn_days}};
  std::map<std::string, size_t> given;
  const Arguments arguments = ParseArguments(
      argc, argv, TsdbWorkloadNames(), [&](const std::string& flag, const std::string& value) {
        if (flag == "--capture") {
          options.capture = value;
          return true;
        }
        if (!sizes.contains(flag)) return false;
        given[flag] = static_cast<size_t>(Positive(flag, value));
        return true;
      });
  if (arguments.quick) MakeQuick(&options);
  for (const auto& [flag, number] : given) options.*sizes.at(flag) = number;
  options.churn_series = std::max(options.churn_series, options.churn_active);
  options.folder = arguments.folder;
  options.only = arguments.only;

  const std::vector<SamplePeer> peers = {TinyObsSamplePeer(), KeyValueSamplePeer(LevelDbPeer()),
                                         KeyValueSamplePeer(RocksDbPeer()), SqliteSamplePeer()};
  Report report(Describe(arguments, options, peers));
  CatchSignals();
  std::printf("%s\n", report.Header().c_str());
  std::fflush(stdout);
  for (int repetition = 0; repetition < arguments.repetitions; ++repetition) {
    std::fprintf(stderr, "repetition %d of %d\n", repetition + 1, arguments.repetitions);
    for (const std::string& name : TsdbWorkloadNames()) {
      if (!Wanted(options, name)) continue;
      if (name == "capture" && options.capture.empty()) continue;
      const auto& compared = TsdbComparisonNames();
      if (std::find(compared.begin(), compared.end(), name) != compared.end()) {
        for (size_t i = 0; i < peers.size(); ++i) {
          const SamplePeer& peer = peers[(i + static_cast<size_t>(repetition)) % peers.size()];
          RunIsolated([&](const Recorder& record) { RunComparison(options, name, peer, record); },
                      &report);
        }
      }
      const bool once = name == "churn";  // long, and hardly noisy
      if (name == "devops" || (once && repetition > 0)) continue;
      RunIsolated([&](const Recorder& record) { RunAlone(options, name, record); }, &report);
    }
  }
  Finish(report, arguments);
  return 0;
}

}  // namespace
}  // namespace tinyobs::bench

int main(int argc, char** argv) { return tinyobs::bench::Main(argc, argv); }
