// Is our LSM as fast as LevelDB and RocksDB at what key-value engines are measured by, and at what
// a time-series store asks?
//
// The standard set (the names of LevelDB's db_bench): 16-byte keys, 100-byte values that compress
// to half. And the shape of a time-series store: 24-byte keys that come nearly in order, 200-600
// byte values that do not compress, in batches of 100.
//
// Each repetition runs every engine once, in rotating order, each workload on the same bytes; a row
// is the median over the repetitions. Wall time is what the caller waits for; CPU time is that of
// the whole process, background threads included, which is steadier on a shared machine.
//
//   lsm_bench --dir FOLDER [--quick] [--repetitions N] [--only NAME,...] [--json FILE] [--commit
//   ID] [--machine TEXT]
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "bench/peers/key_value_engine.h"

namespace tinyobs::bench {

void Require(bool ok, std::string_view what, std::string_view detail) {
  if (ok) return;
  std::fprintf(stderr, "lsm_bench: %.*s: %.*s\n", static_cast<int>(what.size()), what.data(),
               static_cast<int>(detail.size()), detail.data());
  std::exit(1);
}

namespace {

struct Arguments {
  std::string folder;
  std::string json_file;
  std::string commit = "unknown";
  std::string machine = "unknown";
  std::set<std::string> only;
  int repetitions = 5;
  uint64_t operations = 1'000'000;
};

double Seconds(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// `number` in decimal, with zeros in front.
std::string Digits(uint64_t number, size_t width) {
  std::string text(width, '0');
  for (size_t i = width; i > 0 && number > 0; --i, number /= 10) {
    text[i - 1] = static_cast<char>('0' + number % 10);
  }
  return text;
}

std::string Key16(uint64_t number) { return Digits(number, 16); }

// Values are pieces of one buffer, as making random bytes would be most of the time measured.
class ValueSource {
 public:
  // Half of each 100 bytes repeats the other half.
  static ValueSource HalfCompressible() {
    ValueSource source(301);
    for (size_t i = 0; i + 100 <= source.bytes_.size(); i += 100) {
      std::memcpy(&source.bytes_[i + 50], &source.bytes_[i], 50);
    }
    return source;
  }
  static ValueSource Incompressible() { return ValueSource(302); }

  std::string_view Next(size_t bytes) {
    if (at_ + bytes > bytes_.size()) at_ = 0;
    const std::string_view value(bytes_.data() + at_, bytes);
    at_ += bytes;
    return value;
  }

 private:
  explicit ValueSource(uint64_t seed) : bytes_(1 << 20, '\0') {
    std::mt19937_64 random(seed);
    for (size_t i = 0; i + 8 <= bytes_.size(); i += 8) {
      const uint64_t word = random();
      std::memcpy(&bytes_[i], &word, 8);
    }
    bytes_.resize(bytes_.size() / 100 * 100);
  }

  std::string bytes_;
  size_t at_ = 0;
};

// (bench, metric) -> engine -> one figure a repetition.
using Key = std::pair<std::string, std::string>;
std::map<Key, std::map<std::string, std::vector<double>>> figures;
std::vector<Key> order;
std::map<std::string, bool> higher_is_better;

void Record(const std::string& bench, const std::string& metric, bool higher,
            const std::string& engine, double figure) {
  const Key key(bench, metric);
  if (!figures.contains(key)) order.push_back(key);
  higher_is_better[metric] = higher;
  figures[key][engine].push_back(figure);
}

class Suite {
 public:
  Suite(const Arguments& arguments, const Peer& peer)
      : arguments_(arguments), peer_(peer), folder_(arguments.folder + "/" + peer.name) {}

  void Run() {
    const uint64_t n = arguments_.operations;
    Fill("fillseq", n, false, false);
    Fill("fillsync", std::max<uint64_t>(n / 1000, 100), true, true);
    Fill("fillrandom", n, true, false);
    ReadSet(n);
    TimeSeriesShape(std::max<uint64_t>(n / 5, 1000));
    engine_.reset();
    std::filesystem::remove_all(folder_);
  }

 private:
  bool Wanted(const std::string& bench) const {
    return arguments_.only.empty() || arguments_.only.contains(bench);
  }

  void OpenFresh() {
    engine_.reset();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    engine_ = peer_.open(folder_, settings_);
  }

  template <typename Body>
  void Measure(const std::string& bench, uint64_t operations, const Body& body) {
    const double wall = Seconds(CLOCK_MONOTONIC);
    const double cpu = Seconds(CLOCK_PROCESS_CPUTIME_ID);
    body();
    const double wall_seconds = Seconds(CLOCK_MONOTONIC) - wall;
    const double cpu_seconds = Seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    const double ops = static_cast<double>(operations);
    Record(bench, "ops_per_s", true, peer_.name, ops / wall_seconds);
    Record(bench, "cpu_us_per_op", false, peer_.name, cpu_seconds * 1e6 / ops);
    std::fprintf(stderr, "  %-10s %-18s %12.0f ops/s %9.3f cpu us/op\n", peer_.name.c_str(),
                 bench.c_str(), ops / wall_seconds, cpu_seconds * 1e6 / ops);
  }

  void Put(uint64_t operations, uint64_t keys, bool random, bool sync, uint64_t seed) {
    std::mt19937_64 numbers(seed);
    ValueSource values = ValueSource::HalfCompressible();
    for (uint64_t i = 0; i < operations; ++i) {
      const uint64_t number = random ? numbers() % keys : i;
      engine_->Put(Key16(number), values.Next(100), sync);
    }
  }

  void Fill(const std::string& bench, uint64_t operations, bool random, bool sync) {
    // The reads need what fillrandom wrote.
    if (!Wanted(bench) && bench != "fillrandom") return;
    OpenFresh();
    Measure(bench, operations, [&] { Put(operations, operations, random, sync, 1); });
  }

  void RecordFolder(const std::string& bench, double raw_bytes) {
    double bytes = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
      if (entry.is_regular_file()) bytes += static_cast<double>(entry.file_size());
    }
    Record(bench, "disk_bytes", false, peer_.name, bytes);
    const uint64_t written = engine_->TableBytesWritten();
    if (written > 0) {
      Record(bench, "write_amplification", false, peer_.name,
             static_cast<double>(written) / raw_bytes);
    }
  }

  void ReadSet(uint64_t n) {
    if (Wanted("overwrite")) {
      Measure("overwrite", n, [&] { Put(n, n, true, false, 2); });
    }
    if (Wanted("compact")) {
      Measure("compact", n, [&] { engine_->CompactAll(); });
      RecordFolder("compact", static_cast<double>(n) * 2 * 116);
    } else {
      engine_->CompactAll();
    }
    // Reads start from an engine opened anew, so that every engine starts with an empty cache.
    engine_.reset();
    engine_ = peer_.open(folder_, settings_);
    ReadRandom("readrandom", n, "");
    ReadRandom("readmissing", n, ".");
    Scan("readseq", n, false);
    Scan("readreverse", n, true);
    SeekRandom(n / 4);
    ReadWhileWriting(n / 2);
  }

  void ReadRandom(const std::string& bench, uint64_t n, const char* suffix) {
    if (!Wanted(bench)) return;
    std::mt19937_64 numbers(3);
    std::string value;
    uint64_t found = 0;
    Measure(bench, n, [&] {
      for (uint64_t i = 0; i < n; ++i) {
        found += engine_->Get(Key16(numbers() % n) + suffix, &value) ? 1 : 0;
      }
    });
    if (suffix[0] != '\0') Require(found == 0, bench, "found a key that was never written");
    if (suffix[0] == '\0') Require(found > n / 2, bench, "found too few keys");
  }

  void Scan(const std::string& bench, uint64_t n, bool reverse) {
    if (!Wanted(bench)) return;
    uint64_t entries = 0;
    uint64_t bytes = 0;
    const double wall = Seconds(CLOCK_MONOTONIC);
    const double cpu = Seconds(CLOCK_PROCESS_CPUTIME_ID);
    const auto cursor = engine_->NewCursor();
    for (reverse ? cursor->SeekToLast() : cursor->SeekToFirst(); cursor->Valid();
         reverse ? cursor->Prev() : cursor->Next()) {
      ++entries;
      bytes += cursor->key().size() + cursor->value().size();
    }
    const double wall_seconds = Seconds(CLOCK_MONOTONIC) - wall;
    const double cpu_seconds = Seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    Require(entries > n / 2 && bytes == entries * 116, bench, "the scan missed entries");
    const double ops = static_cast<double>(entries);
    Record(bench, "ops_per_s", true, peer_.name, ops / wall_seconds);
    Record(bench, "cpu_us_per_op", false, peer_.name, cpu_seconds * 1e6 / ops);
    std::fprintf(stderr, "  %-10s %-18s %12.0f ops/s %9.3f cpu us/op\n", peer_.name.c_str(),
                 bench.c_str(), ops / wall_seconds, cpu_seconds * 1e6 / ops);
  }

  void SeekRandom(uint64_t n) {
    if (!Wanted("seekrandom")) return;
    std::mt19937_64 numbers(4);
    uint64_t found = 0;
    Measure("seekrandom", n, [&] {
      const auto cursor = engine_->NewCursor();
      for (uint64_t i = 0; i < n; ++i) {
        cursor->Seek(Key16(numbers() % arguments_.operations));
        found += cursor->Valid() && cursor->value().size() == 100 ? 1 : 0;
      }
    });
    Require(found > n / 2, "seekrandom", "found too few keys");
  }

  // One writer as fast as it can; the figure is the reader's.
  void ReadWhileWriting(uint64_t n) {
    if (!Wanted("readwhilewriting")) return;
    std::atomic<bool> done{false};
    std::atomic<uint64_t> written{0};
    std::thread writer([&] {
      std::mt19937_64 numbers(5);
      ValueSource values = ValueSource::HalfCompressible();
      while (!done.load(std::memory_order_relaxed)) {
        engine_->Put(Key16(numbers() % arguments_.operations), values.Next(100), false);
        written.fetch_add(1, std::memory_order_relaxed);
      }
    });
    std::mt19937_64 numbers(6);
    std::string value;
    uint64_t found = 0;
    const double wall = Seconds(CLOCK_MONOTONIC);
    Measure("readwhilewriting", n, [&] {
      for (uint64_t i = 0; i < n; ++i) {
        found += engine_->Get(Key16(numbers() % arguments_.operations), &value) ? 1 : 0;
      }
    });
    const double seconds = Seconds(CLOCK_MONOTONIC) - wall;
    done = true;
    writer.join();
    Record("readwhilewriting", "writes_per_s", true, peer_.name,
           static_cast<double>(written.load()) / seconds);
    Require(found > n / 2, "readwhilewriting", "found too few keys");
  }

  // Chunks of 1,000 series, one partition after another: within a partition keys come by time of
  // sealing, so neighbours in time are far apart in key order, but every partition is behind the
  // last.
  void TimeSeriesShape(uint64_t n) {
    if (!Wanted("tsdbfill") && !Wanted("tsdbscan")) return;
    OpenFresh();
    ValueSource values = ValueSource::Incompressible();
    std::mt19937_64 numbers(7);
    constexpr uint64_t kSeries = 1000;
    constexpr uint64_t kChunksInPartition = 8;
    double raw_bytes = 0;
    Measure("tsdbfill", n, [&] {
      std::vector<std::pair<std::string, std::string>> batch;
      for (uint64_t i = 0; i < n; ++i) {
        const uint64_t round = i / kSeries;
        batch.emplace_back(Digits(round / kChunksInPartition, 6) + Digits(i % kSeries, 10) +
                               Digits(round % kChunksInPartition, 8),
                           values.Next(200 + numbers() % 401));
        raw_bytes += 24 + static_cast<double>(batch.back().second.size());
        if (batch.size() == 100 || i + 1 == n) {
          engine_->PutBatch(batch);
          batch.clear();
        }
      }
      engine_->Flush();
    });
    engine_->WaitForCompactions();
    RecordFolder("tsdbfill", raw_bytes);
    uint64_t entries = 0;
    Measure("tsdbscan", n, [&] {
      const auto cursor = engine_->NewCursor();
      for (cursor->SeekToFirst(); cursor->Valid(); cursor->Next()) {
        entries += cursor->value().size() >= 200 ? 1 : 0;
      }
    });
    Require(entries == n, "tsdbscan", "the scan missed entries");
  }

  const Arguments& arguments_;
  const Peer& peer_;
  const std::string folder_;
  const EngineSettings settings_;
  std::unique_ptr<KeyValueEngine> engine_;
};

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

void Print(const std::vector<Peer>& peers, const Arguments& arguments) {
  std::printf("%-18s %-20s", "bench", "metric");
  for (const Peer& peer : peers) std::printf(" %14s", peer.name.c_str());
  for (size_t i = 1; i < peers.size(); ++i) std::printf("  vs %-10s", peers[i].name.c_str());
  std::printf("\n");
  std::ostringstream rows;
  for (const Key& key : order) {
    const bool higher = higher_is_better[key.second];
    const double ours = Median(figures[key][peers[0].name]);
    std::printf("%-18s %-20s", key.first.c_str(), key.second.c_str());
    rows << (rows.tellp() > 0 ? ",\n" : "") << "{\"bench\":\"" << key.first << "\",\"metric\":\""
         << key.second << "\",\"better\":\"" << (higher ? "higher" : "lower")
         << "\",\"ours\":" << ours << ",\"peers\":{";
    for (const Peer& peer : peers) {
      const auto& values = figures[key][peer.name];
      if (values.empty()) {
        std::printf(" %14s", "-");
      } else {
        std::printf(" %14.3f", Median(values));
      }
    }
    bool first = true;
    for (size_t i = 1; i < peers.size(); ++i) {
      const auto& values = figures[key][peers[i].name];
      if (values.empty()) continue;
      const double theirs = Median(values);
      const double ratio = higher ? ours / theirs : theirs / ours;
      std::printf("  %8.2fx    ", ratio);
      rows << (first ? "" : ",") << "\"" << peers[i].name << "\":" << theirs;
      first = false;
    }
    rows << "}}";
    std::printf("\n");
  }
  if (arguments.json_file.empty()) return;
  std::ofstream json(arguments.json_file);
  json << "{\"machine\":\"" << arguments.machine << "\",\"commit\":\"" << arguments.commit
       << "\",\"repetitions\":" << arguments.repetitions
       << ",\"operations\":" << arguments.operations << ",\"versions\":{";
  for (size_t i = 0; i < peers.size(); ++i) {
    json << (i > 0 ? "," : "") << "\"" << peers[i].name << "\":\"" << peers[i].version << "\"";
  }
  json << "},\"rows\":[\n" << rows.str() << "]}\n";
  Require(json.good(), "writing", arguments.json_file);
}

Arguments Parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--quick") {
      arguments.operations = 100'000;
      arguments.repetitions = 1;
      continue;
    }
    Require(i + 1 < argc, "needs a value or is unknown", flag);
    const std::string value = argv[++i];
    if (flag == "--dir") {
      arguments.folder = value;
    } else if (flag == "--json") {
      arguments.json_file = value;
    } else if (flag == "--commit") {
      arguments.commit = value;
    } else if (flag == "--machine") {
      arguments.machine = value;
    } else if (flag == "--repetitions") {
      arguments.repetitions = std::max(1, std::atoi(value.c_str()));
    } else if (flag == "--operations") {
      arguments.operations = std::max(10'000, std::atoi(value.c_str()));
    } else if (flag == "--only") {
      std::istringstream names(value);
      for (std::string name; std::getline(names, name, ',');) arguments.only.insert(name);
    } else {
      Require(false, "unknown flag", flag);
    }
  }
  Require(!arguments.folder.empty(), "missing", "--dir FOLDER");
  return arguments;
}

int Main(int argc, char** argv) {
  const Arguments arguments = Parse(argc, argv);
  const std::vector<Peer> peers = {TinyObsPeer(), LevelDbPeer(), RocksDbPeer()};
  const EngineSettings settings;
  std::printf(
      "Settings, all engines: Snappy, memtable %zu KiB, block cache %zu KiB, blocks %zu KiB, "
      "tables "
      "%zu KiB, %d filter bits a key, checksums verified.\n",
      settings.memtable_bytes >> 10, settings.block_cache_bytes >> 10, settings.block_bytes >> 10,
      settings.table_bytes >> 10, settings.filter_bits_per_key);
  for (const Peer& peer : peers) std::printf("%s %s  ", peer.name.c_str(), peer.version.c_str());
  std::printf("\n%llu operations, median of %d\n",
              static_cast<unsigned long long>(arguments.operations), arguments.repetitions);
  std::fflush(stdout);
  for (int repetition = 0; repetition < arguments.repetitions; ++repetition) {
    std::fprintf(stderr, "repetition %d of %d\n", repetition + 1, arguments.repetitions);
    for (size_t i = 0; i < peers.size(); ++i) {
      Suite(arguments, peers[(i + repetition) % peers.size()]).Run();
    }
  }
  Print(peers, arguments);
  return 0;
}

}  // namespace
}  // namespace tinyobs::bench

int main(int argc, char** argv) { return tinyobs::bench::Main(argc, argv); }
