#include "bench/peers/workloads.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <thread>
#include <utility>

#include "bench/peers/measure.h"

namespace tinyobs::bench {
namespace {

constexpr size_t kKeyBytes = 16;
constexpr size_t kValueBytes = 100;
constexpr uint64_t kSeriesCount = 1000;
constexpr uint64_t kChunksInPartition = 8;
constexpr size_t kBatchEntries = 100;
constexpr size_t kOpenLogBytes = 2 << 20;

// `number` in decimal, with zeros in front.
std::string Digits(uint64_t number, size_t width) {
  std::string text(width, '0');
  for (size_t i = width; i > 0 && number > 0; --i, number /= 10) {
    text[i - 1] = static_cast<char>('0' + number % 10);
  }
  return text;
}

std::string StandardKey(uint64_t number) { return Digits(number, kKeyBytes); }

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

class Suite {
 public:
  Suite(const WorkloadOptions& options, const Peer& peer, const Recorder& record)
      : options_(options),
        peer_(peer),
        record_(record),
        folder_(options.folder + "/" + peer.name) {}
  ~Suite() {
    engine_.reset();
    std::filesystem::remove_all(folder_);
    SyncDisk(options_.folder);
  }

  void Run() {
    const uint64_t n = options_.operations;
    if (Wanted({"fillseq"})) Fill("fillseq", n, false, false);
    if (Wanted({"fillsync"})) Fill("fillsync", std::max<uint64_t>(n / 1000, 100), true, true);
    if (Wanted({"fillrandom", "overwrite", "compact", "readrandom", "readmissing", "readseq",
                "readreverse", "seekrandom", "readwhilewriting"})) {
      // The later ones need what the earlier ones wrote, whether their figures are wanted or not.
      Fill("fillrandom", n, true, false);
      Measure("overwrite", n, [&] { PutMany(n, true, false, 2); });
      Compact();
      ReadRandom("readrandom", n, "");
      ReadRandom("readmissing", n, ".");
      Scan("readseq", false);
      Scan("readreverse", true);
      SeekRandom(n / 4);
      ReadWhileWriting(n / 2);
    }
    if (Wanted({"tsdbfill", "tsdbscan"})) TimeSeriesShape(std::max<uint64_t>(n / 5, 1000));
  }

  void RunOpen();

 private:
  bool Wanted(const std::vector<std::string>& benches) const {
    return options_.only.empty() || std::any_of(benches.begin(), benches.end(), [&](auto& bench) {
             return options_.only.contains(bench);
           });
  }

  void Record(const std::string& bench, const std::string& metric, bool higher, double value) {
    if (Wanted({bench})) record_({bench, metric, higher, peer_.name, value});
  }

  void Open() { engine_ = peer_.open(folder_, options_.settings); }

  void OpenFresh() {
    engine_.reset();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    Open();
    put_bytes_ = 0;
  }

  // Wall time is what the caller waits for; CPU time is that of the whole process, background
  // threads included, which is steadier on a shared machine.
  template <typename Body>
  void Measure(const std::string& bench, uint64_t operations, const Body& body) {
    const double wall = Seconds(CLOCK_MONOTONIC);
    const double cpu = Seconds(CLOCK_PROCESS_CPUTIME_ID);
    body();
    const double wall_seconds = Seconds(CLOCK_MONOTONIC) - wall;
    const double cpu_seconds = Seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    const double ops = static_cast<double>(operations);
    Record(bench, "ops_per_s", true, ops / wall_seconds);
    Record(bench, "cpu_us_per_op", false, cpu_seconds * 1e6 / ops);
    std::fprintf(stderr, "  %-10s %-18s %12.0f ops/s %9.3f cpu us/op\n", peer_.name.c_str(),
                 bench.c_str(), ops / wall_seconds, cpu_seconds * 1e6 / ops);
  }

  void PutMany(uint64_t operations, bool random, bool sync, uint64_t seed) {
    std::mt19937_64 numbers(seed);
    ValueSource values = ValueSource::HalfCompressible();
    for (uint64_t i = 0; i < operations; ++i) {
      engine_->Put(StandardKey(random ? numbers() % operations : i), values.Next(kValueBytes),
                   sync);
    }
    put_bytes_ += static_cast<double>(operations * (kKeyBytes + kValueBytes));
  }

  void Fill(const std::string& bench, uint64_t operations, bool random, bool sync) {
    OpenFresh();
    Measure(bench, operations, [&] { PutMany(operations, random, sync, 1); });
  }

  void Compact() {
    Measure("compact", options_.operations, [&] { engine_->CompactAll(); });
    CloseAndRecordSizes("compact");
    Open();  // reads of every engine start with an empty cache
  }

  void CloseAndRecordSizes(const std::string& bench) {
    const uint64_t written = engine_->TableBytesWritten();
    if (written > 0) {
      Record(bench, "write_amplification", false, static_cast<double>(written) / put_bytes_);
    }
    engine_.reset();
    Record(bench, "disk_bytes", false, FolderBytes(folder_));
  }

  // With a suffix, keys that fall between those that are there.
  void ReadRandom(const std::string& bench, uint64_t n, const char* suffix) {
    if (!Wanted({bench})) return;
    std::mt19937_64 numbers(3);
    std::string value;
    uint64_t found = 0;
    Measure(bench, n, [&] {
      for (uint64_t i = 0; i < n; ++i) {
        found += engine_->Get(StandardKey(numbers() % n) + suffix, &value) ? 1 : 0;
      }
    });
    if (suffix[0] != '\0') {
      Require(found == 0, bench, "found a key that was never written");
    } else {
      Require(found > n / 2, bench, "found too few keys");
      Record(bench, "memory_bytes", false, AnonymousBytes());
    }
  }

  void Scan(const std::string& bench, bool reverse) {
    if (!Wanted({bench})) return;
    // How many of the random keys are there is the same for every engine.
    if (entries_ == 0) {
      const auto cursor = engine_->NewCursor();
      for (cursor->SeekToFirst(); cursor->Valid(); cursor->Next()) ++entries_;
    }
    Require(entries_ > options_.operations / 2, bench, "too few entries");
    uint64_t bytes = 0;
    Measure(bench, entries_, [&] {
      const auto cursor = engine_->NewCursor();
      for (reverse ? cursor->SeekToLast() : cursor->SeekToFirst(); cursor->Valid();
           reverse ? cursor->Prev() : cursor->Next()) {
        bytes += cursor->key().size() + cursor->value().size();
      }
    });
    Require(bytes == entries_ * (kKeyBytes + kValueBytes), bench, "the scan missed entries");
  }

  // One cursor for all seeks, as a query uses it.
  void SeekRandom(uint64_t n) {
    if (!Wanted({"seekrandom"})) return;
    std::mt19937_64 numbers(4);
    uint64_t found = 0;
    Measure("seekrandom", n, [&] {
      const auto cursor = engine_->NewCursor();
      for (uint64_t i = 0; i < n; ++i) {
        cursor->Seek(StandardKey(numbers() % options_.operations));
        found += cursor->Valid() && cursor->value().size() == kValueBytes ? 1 : 0;
      }
    });
    Require(found > n / 2, "seekrandom", "found too few keys");
  }

  // One writer as fast as it can beside one reader, whose figure ops_per_s is. An engine that holds
  // the writer back reads faster: hence writes_per_s.
  void ReadWhileWriting(uint64_t n) {
    if (!Wanted({"readwhilewriting"})) return;
    std::atomic<bool> done{false};
    std::atomic<uint64_t> written{0};
    std::thread writer([&] {
      std::mt19937_64 numbers(5);
      ValueSource values = ValueSource::HalfCompressible();
      while (!done.load(std::memory_order_relaxed)) {
        engine_->Put(StandardKey(numbers() % options_.operations), values.Next(kValueBytes), false);
        written.fetch_add(1, std::memory_order_relaxed);
      }
    });
    std::mt19937_64 numbers(6);
    std::string value;
    uint64_t found = 0;
    double seconds = 0;
    uint64_t writes = 0;
    Measure("readwhilewriting", n, [&] {
      const double start = Seconds(CLOCK_MONOTONIC);
      for (uint64_t i = 0; i < n; ++i) {
        found += engine_->Get(StandardKey(numbers() % options_.operations), &value) ? 1 : 0;
      }
      seconds = Seconds(CLOCK_MONOTONIC) - start;
      writes = written.load(std::memory_order_relaxed);
    });
    done = true;
    writer.join();
    Record("readwhilewriting", "writes_per_s", true, static_cast<double>(writes) / seconds);
    Require(found > n / 2, "readwhilewriting", "found too few keys");
  }

  // Chunks of 1,000 series, one partition after another: within a partition keys come by time of
  // sealing, so neighbours in time are far apart in key order, but every partition is behind the
  // last.
  void TimeSeriesShape(uint64_t n) {
    OpenFresh();
    ValueSource values = ValueSource::Incompressible();
    std::mt19937_64 numbers(7);
    Measure("tsdbfill", n, [&] {
      std::vector<std::pair<std::string, std::string>> batch;
      for (uint64_t i = 0; i < n; ++i) {
        const uint64_t round = i / kSeriesCount;
        batch.emplace_back(Digits(round / kChunksInPartition, 6) + Digits(i % kSeriesCount, 10) +
                               Digits(round % kChunksInPartition, 8),
                           values.Next(200 + numbers() % 401));
        if (batch.size() == kBatchEntries || i + 1 == n) PutBatch(&batch);
      }
      engine_->Flush();
    });
    engine_->CompactAll();
    CloseAndRecordSizes("tsdbfill");
    Open();
    if (!Wanted({"tsdbscan"})) return;
    uint64_t entries = 0;
    Measure("tsdbscan", n, [&] {
      const auto cursor = engine_->NewCursor();
      for (cursor->SeekToFirst(); cursor->Valid(); cursor->Next()) {
        entries += cursor->value().size() >= 200 ? 1 : 0;
      }
    });
    Require(entries == n, "tsdbscan", "the scan missed entries");
  }

  void PutBatch(std::vector<std::pair<std::string, std::string>>* batch) {
    for (const auto& [key, value] : *batch) {
      put_bytes_ += static_cast<double>(key.size() + value.size());
    }
    engine_->PutBatch(*batch);
    batch->clear();
  }

  const WorkloadOptions& options_;
  const Peer& peer_;
  const Recorder& record_;
  const std::string folder_;
  std::unique_ptr<KeyValueEngine> engine_;
  double put_bytes_ = 0;  // keys and values since OpenFresh
  uint64_t entries_ = 0;  // after Compact
};

// The store is filled once and in key order, which is the quickest way to a large one; then each
// measured open finds a log of the same size.
void Suite::RunOpen() {
  if (!Wanted({"open"})) return;
  constexpr size_t kOpenValueBytes = 1000;
  uint64_t next = 0;
  ValueSource values = ValueSource::Incompressible();
  std::vector<std::pair<std::string, std::string>> batch;
  const auto append = [&](uint64_t bytes) {
    for (uint64_t done = 0; done < bytes; done += kKeyBytes + kOpenValueBytes) {
      batch.emplace_back(StandardKey(next++), values.Next(kOpenValueBytes));
      if (batch.size() == kBatchEntries) PutBatch(&batch);
    }
    if (!batch.empty()) PutBatch(&batch);
  };
  std::fprintf(stderr, "  %-10s open: filling %llu MB\n", peer_.name.c_str(),
               static_cast<unsigned long long>(options_.open_store_bytes / 1'000'000));
  OpenFresh();
  append(options_.open_store_bytes);
  engine_->Flush();
  const uint64_t megabytes = options_.open_store_bytes / 1'000'000;
  const std::string bench = megabytes % 1000 == 0
                                ? "open_" + std::to_string(megabytes / 1000) + "GB"
                                : "open_" + std::to_string(megabytes) + "MB";
  std::mt19937_64 numbers(8);
  std::string value;
  for (int i = 0; i < options_.opens; ++i) {
    append(kOpenLogBytes);
    engine_.reset();
    const double start = Seconds(CLOCK_MONOTONIC);
    Open();
    const double milliseconds = (Seconds(CLOCK_MONOTONIC) - start) * 1e3;
    record_({bench, "open_ms", false, peer_.name, milliseconds});
    for (int reads = 0; reads < 20'000; ++reads) {
      Require(engine_->Get(StandardKey(numbers() % next), &value), "open", "a key is missing");
    }
    const double memory = AnonymousBytes();
    record_({bench, "memory_bytes", false, peer_.name, memory});
    std::fprintf(stderr, "  %-10s %-18s %12.1f ms %12.1f MB\n", peer_.name.c_str(), bench.c_str(),
                 milliseconds, memory / 1e6);
  }
}

}  // namespace

const std::vector<std::string>& WorkloadNames() {
  static const auto& names = *new std::vector<std::string>{
      "fillseq",          "fillsync",    "fillrandom", "overwrite",   "compact",
      "readrandom",       "readmissing", "readseq",    "readreverse", "seekrandom",
      "readwhilewriting", "tsdbfill",    "tsdbscan",   "open"};
  return names;
}

void RunWorkloads(const WorkloadOptions& options, const Peer& peer, const Recorder& record) {
  Suite(options, peer, record).Run();
}

void RunOpen(const WorkloadOptions& options, const Peer& peer, const Recorder& record) {
  Suite(options, peer, record).RunOpen();
}

}  // namespace tinyobs::bench
