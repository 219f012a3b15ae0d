// Is our LSM as fast as LevelDB and RocksDB at what key-value engines are measured by, and at what
// a time-series store asks?
//
// Each repetition runs every engine once, in rotating order, each workload (workloads.h) on the
// same bytes; a row is the median over the repetitions. An engine runs in a process of its own, so
// that neither its memory nor its leftover threads are counted with the next one's.
//
// `tools/bench lsm` builds and runs this with all it needs. By hand:
//
//   lsm_bench --dir FOLDER [--quick] [--repetitions N] [--operations N] [--only NAME,...]
//             [--json FILE] [--commit ID] [--machine TEXT]
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

#include "bench/peers/key_value_engine.h"
#include "bench/peers/report.h"
#include "bench/peers/workloads.h"

namespace tinyobs::bench {

void Require(bool ok, std::string_view what, std::string_view detail) {
  if (ok) return;
  std::fprintf(stderr, "lsm_bench: %.*s: %.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(detail.size()), detail.data());
  std::fflush(nullptr);
  std::_Exit(1);  // no destructors: engines may be in the middle of anything
}

namespace {

struct Arguments {
  WorkloadOptions workloads;
  std::string json_file;
  std::string commit = "unknown";
  std::string machine = "unknown";
  bool quick = false;
  int repetitions = 5;
};

int Positive(const std::string& flag, const std::string& text) {
  const int number = std::atoi(text.c_str());
  Require(number > 0, flag + " needs a number above 0, not", text);
  return number;
}

void ParseOnly(const std::string& text, std::set<std::string>* only) {
  std::string all;
  for (const std::string& name : WorkloadNames()) all += (all.empty() ? "" : ", ") + name;
  const std::vector<std::string>& known = WorkloadNames();
  std::istringstream names(text);
  for (std::string name; std::getline(names, name, ',');) {
    Require(std::find(known.begin(), known.end(), name) != known.end(),
            "unknown name in --only: " + name, "there are " + all);
    only->insert(name);
  }
  Require(!only->empty(), "--only names nothing", "there are " + all);
}

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--quick") {
      arguments.quick = true;
      arguments.repetitions = 1;
      arguments.workloads.operations = 100'000;
      arguments.workloads.open_store_bytes = 64'000'000;
      continue;
    }
    Require(i + 1 < argc, "needs a value or is unknown", flag);
    const std::string value = argv[++i];
    if (flag == "--dir") {
      arguments.workloads.folder = value;
    } else if (flag == "--json") {
      arguments.json_file = value;
    } else if (flag == "--commit") {
      arguments.commit = value;
    } else if (flag == "--machine") {
      arguments.machine = value;
    } else if (flag == "--repetitions") {
      arguments.repetitions = Positive(flag, value);
    } else if (flag == "--operations") {
      arguments.workloads.operations = std::max(10'000, Positive(flag, value));
    } else if (flag == "--only") {
      ParseOnly(value, &arguments.workloads.only);
    } else {
      Require(false, "unknown flag", flag);
    }
  }
  arguments.workloads.opens = arguments.repetitions;
  Require(!arguments.workloads.folder.empty(), "missing", "--dir FOLDER");
  return arguments;
}

RunDescription Describe(const Arguments& arguments, const std::vector<Peer>& peers) {
  const WorkloadOptions& workloads = arguments.workloads;
  const EngineSettings& settings = workloads.settings;
  const auto kib = [](size_t bytes) { return std::to_string(bytes >> 10) + " KiB"; };
  RunDescription run;
  run.benchmark = "lsm";
  run.machine = arguments.machine;
  run.commit = arguments.commit;
  run.quick = arguments.quick;
  run.repetitions = arguments.repetitions;
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

// The process of the engine that runs now; 0 = none.
volatile pid_t engine_process = 0;

// Leaves nobody who writes behind, so that the data can be removed at once.
extern "C" void EndAll(int signal) {
  const pid_t process = engine_process;
  if (process > 0) {
    kill(process, SIGKILL);
    while (waitpid(process, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  _exit(128 + signal);
}

// Runs `work` in a child process and adds what it records to `report`.
void RunIsolated(const std::function<void(const Recorder&)>& work, Report* report) {
  int ends[2];
  Require(pipe(ends) == 0, "pipe", std::strerror(errno));
  std::fflush(nullptr);
  const pid_t parent = getpid();
  sigset_t endings;
  sigset_t before;
  sigemptyset(&endings);
  sigaddset(&endings, SIGINT);
  sigaddset(&endings, SIGTERM);
  sigprocmask(SIG_BLOCK, &endings, &before);  // until engine_process is known
  const pid_t child = fork();
  Require(child >= 0, "fork", std::strerror(errno));
  if (child == 0) {
    signal(SIGINT, SIG_IGN);  // of the terminal: the parent sees to it
    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, nullptr);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) std::_Exit(1);
    close(ends[0]);
    work([&](const Figure& figure) {
      const std::string line = figure.ToLine();
      Require(write(ends[1], line.data(), line.size()) == static_cast<ssize_t>(line.size()),
              "write of a figure", std::strerror(errno));
    });
    std::fflush(nullptr);
    std::_Exit(0);
  }
  engine_process = child;
  sigprocmask(SIG_SETMASK, &before, nullptr);
  close(ends[1]);
  std::string text;
  char buffer[4096];
  ssize_t bytes;
  while ((bytes = read(ends[0], buffer, sizeof(buffer))) > 0 || (bytes < 0 && errno == EINTR)) {
    if (bytes > 0) text.append(buffer, static_cast<size_t>(bytes));
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  engine_process = 0;
  Require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "an engine's run failed",
          WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status)) : "see above");
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    Figure figure;
    Require(Figure::FromLine(line, &figure), "not a figure", line);
    report->Add(figure);
  }
}

int Main(int argc, char** argv) {
  const Arguments arguments = Parse(argc, argv);
  const WorkloadOptions& workloads = arguments.workloads;
  const std::vector<Peer> peers = {TinyObsPeer(), LevelDbPeer(), RocksDbPeer()};
  Report report(Describe(arguments, peers));
  signal(SIGINT, EndAll);
  signal(SIGTERM, EndAll);
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
  Require(!report.empty(), "nothing was measured", "see --only");
  std::printf("%s", report.Table().c_str());
  std::fflush(stdout);
  if (arguments.json_file.empty()) return 0;
  std::ofstream json(arguments.json_file);
  json << report.Json();
  json.close();
  Require(json.good(), "cannot write", arguments.json_file);
  return 0;
}

}  // namespace
}  // namespace tinyobs::bench

int main(int argc, char** argv) { return tinyobs::bench::Main(argc, argv); }
