// The rows of tsdb_bench about TinyObs alone: an absolute figure each, beside what it must reach.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "bench/peers/counting_file_system.h"
#include "bench/peers/harness.h"
#include "bench/peers/measure.h"
#include "bench/peers/sample_feed.h"
#include "bench/peers/tsdb_tinyobs.h"
#include "bench/peers/tsdb_workloads.h"
#include "bench/workload/capture.h"
#include "bench/workload/devops.h"

namespace tinyobs::bench {
namespace {

constexpr size_t kScrapesInMinute = 4;

class Alone {
 public:
  Alone(const TsdbOptions& options, const Recorder& record)
      : options_(options), record_(record), folder_(options.folder + "/alone") {
    Clear();
  }
  ~Alone() { std::filesystem::remove_all(folder_); }

  void Append(const std::string& bench, size_t series, size_t scrapes, bool random_order,
              const std::string& memory_bench);
  void Replay();
  void Day();
  void Open();
  void Capture();

 private:
  void Clear() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    SyncDisk(options_.folder);
  }
  void Record(const std::string& bench, const std::string& metric, bool higher, double value) {
    record_({bench, metric, higher, "tinyobs", value});
    std::fprintf(stderr, "  %-8s %-16s %-18s %14.3f\n", "tinyobs", bench.c_str(), metric.c_str(),
                 value);
  }

  const TsdbOptions& options_;
  const Recorder& record_;
  const std::string folder_;
};

DevopsSource Source(size_t series, size_t scrapes, bool random_order = false) {
  DevopsOptions devops;
  devops.series = series;
  devops.scrapes = scrapes;
  devops.random_order = random_order;
  return DevopsSource(devops);
}

// From the second scrape to the end of a flush of everything: log, sealing, tables. Memory is read
// before that flush, when chunks are open at any length.
void Alone::Append(const std::string& bench, size_t series, size_t scrapes, bool random_order,
                   const std::string& memory_bench) {
  Clear();
  DevopsSource source = Source(series, scrapes, random_order);
  SampleFeed feed(&source, options_.batch);
  const double before = AnonymousBytes();
  TinyObsSettings settings;
  settings.memory_bytes = options_.large_memory_bytes;
  TinyObsSamples engine(folder_, settings);
  engine.Reserve(series);
  Stopwatch create;
  feed.RunTo(1, &engine, &create);
  const double first = static_cast<double>(feed.samples());
  Record(bench, "new_series_per_cpu_s", true, first / create.CpuSeconds());
  Stopwatch watch;
  feed.RunTo(scrapes, &engine, &watch);
  if (!memory_bench.empty()) {
    watch.Pause();
    const double bytes = AnonymousBytes() - before;
    const MemoryStats parts = engine.store().db().Stats().memory;
    const auto engine_bytes = static_cast<double>(parts.memtable_bytes + parts.block_cache_bytes);
    const auto count = static_cast<double>(series);
    Record(memory_bench, "bytes_per_series", false, (bytes - engine_bytes) / count);
    Record(memory_bench, "memory_bytes", false, bytes);
    std::fprintf(stderr, "    of it: head %.1f, index %.1f, memtables and block cache %.1f MB\n",
                 static_cast<double>(parts.head_bytes) / 1e6,
                 static_cast<double>(parts.index_bytes) / 1e6, engine_bytes / 1e6);
    watch.Resume();
  }
  engine.Flush();
  const double samples = static_cast<double>(feed.samples()) - first;
  Record(bench, "samples_per_cpu_s", true, samples / watch.CpuSeconds());
  Record(bench, "samples_per_s", true, samples / watch.WallSeconds());
}

// A process appends and ends in the middle of its life; the log is one segment, so that all of it
// is replayed.
void Alone::Replay() {
  Clear();
  TinyObsSettings settings;
  settings.memory_bytes = options_.large_memory_bytes;
  settings.head_segment_bytes = uint64_t{4} << 30;
  RunApart([&] {
    DevopsSource source = Source(options_.replay_series, options_.replay_scrapes);
    SampleFeed feed(&source, options_.batch);
    TinyObsSamples engine(folder_, settings);
    feed.RunTo(1, &engine, nullptr);
    const uint64_t log_bytes = engine.store().db().Stats().head_log_bytes;
    const uint64_t samples = feed.samples();
    feed.RunTo(source.scrape_count(), &engine, nullptr);
    Record("log", "bytes_per_sample", false,
           static_cast<double>(engine.store().db().Stats().head_log_bytes - log_bytes) /
               static_cast<double>(feed.samples() - samples));
    std::fflush(nullptr);
    std::_Exit(0);  // nothing is closed
  });
  settings.now_ms += static_cast<int64_t>(options_.replay_scrapes) * 15'000;
  const double before = AnonymousBytes();
  const Stopwatch watch;
  TinyObsStore store(folder_, settings);
  const double wall = watch.WallSeconds();
  const double cpu = watch.CpuSeconds();
  const auto samples = static_cast<double>(store.db().Stats().replayed_samples);
  Require(samples == static_cast<double>(options_.replay_series * options_.replay_scrapes),
          "replay", "not every sample came back");
  Record("replay", "samples_per_s", true, samples / wall);
  Record("replay", "samples_per_cpu_s", true, samples / cpu);
  Record("replay", "memory_bytes", false, AnonymousBytes() - before);
}

// A day of samples, with what is due in the background done each minute of it.
void Alone::Day() {
  Clear();
  CountingFileSystem files("/head/");  // logs have a row of their own
  {
    TinyObsSettings settings;
    settings.memory_bytes = options_.memory_bytes;
    settings.threads = false;
    settings.file_system = &files;
    DevopsSource source = Source(options_.series, options_.day_scrapes);
    SampleFeed feed(&source, options_.batch);
    TinyObsSamples engine(folder_, settings);
    Stopwatch watch;
    for (size_t end = kScrapesInMinute; end <= options_.day_scrapes; end += kScrapesInMinute) {
      feed.RunTo(end, &engine, &watch);
      engine.store().DoBackgroundWork();
    }
    Record("day", "samples_per_cpu_s", true,
           static_cast<double>(feed.samples()) / watch.CpuSeconds());
    // Flush and close have their figures here, as Reopen begins the counters anew.
    engine.Flush();
    engine.store().clock().Set(engine.store().clock().NowMs() + 4 * 3'600'000);
    engine.store().DoBackgroundWork();
    const DbStats stats = engine.store().db().Stats();
    const auto flushed = static_cast<double>(stats.bytes_written_by_flush);
    Record("day", "write_amplification", false,
           (flushed + static_cast<double>(stats.bytes_written_by_compaction)) / flushed);
    Record("day", "peak_space_ratio", false,
           static_cast<double>(files.peak_bytes()) / static_cast<double>(files.bytes()));
    Record("day", "bytes_per_sample", false,
           static_cast<double>(stats.disk_bytes) / static_cast<double>(feed.samples()));
  }
}

// After a clean end, with the files in the page cache, until the first query has its answer.
void Alone::Open() {
  Clear();
  TinyObsSettings settings;
  settings.memory_bytes = options_.large_memory_bytes;
  const size_t series = options_.large_series;
  RunApart([&] {
    DevopsSource source = Source(series, 2);
    SampleFeed feed(&source, options_.batch);
    TinyObsSamples engine(folder_, settings);
    feed.RunTo(2, &engine, nullptr);
  });
  settings.now_ms += 30'000;
  const DevopsSource source = Source(1, 1);
  for (int i = 0; i < options_.opens; ++i) {
    RunApart([&] {
      const double before = AnonymousBytes();
      const Stopwatch watch;
      TinyObsSamples engine(folder_, settings);
      Columns columns;
      engine.Range(0, source.SelectorOf(series / 2), 0, INT64_MAX, &columns);
      const double seconds = watch.WallSeconds();
      Require(columns.size() == 2, "open", "the samples of a series are not there");
      Record("open_" + SizeName(series), "open_ms", false, seconds * 1e3);
      Record("open_" + SizeName(series), "memory_bytes", false, AnonymousBytes() - before);
    });
  }
}

// What a sample more costs: the database with all scrapes less one with only the first. Labels,
// index and fixed parts are the same in both, and would be most of the bytes of ten minutes.
void Alone::Capture() {
  std::string error;
  const auto capture = ReadCapture(options_.capture, &error);
  Require(capture != nullptr, "capture", error);
  double bytes[2];
  uint64_t samples[2];
  const size_t ends[2] = {1, capture->scrape_count()};
  for (int i = 0; i < 2; ++i) {
    Clear();
    TinyObsSettings settings;
    SampleFeed feed(capture.get(), options_.batch);
    TinyObsSamples engine(folder_, settings);
    feed.RunTo(ends[i], &engine, nullptr);
    engine.CompactAll();
    bytes[i] = FolderBytes(folder_);
    samples[i] = feed.samples();
  }
  if (samples[1] == samples[0]) return;
  Record("capture_more", "bytes_per_sample", false,
         (bytes[1] - bytes[0]) / static_cast<double>(samples[1] - samples[0]));
}

}  // namespace

std::string SizeName(size_t number) {
  if (number % 1'000'000 == 0) return std::to_string(number / 1'000'000) + "m";
  if (number % 1'000 == 0) return std::to_string(number / 1'000) + "k";
  return std::to_string(number);
}

std::vector<Target> TsdbTargets() {
  return {{"append_1m", "samples_per_cpu_s", 8e6, 15e6},
          {"append_10k", "samples_per_cpu_s", 15e6, 25e6},
          {"append_random_1m", "samples_per_cpu_s", 5e6, 10e6},
          {"memory_1m", "bytes_per_series", 400, 300},
          {"log", "bytes_per_sample", 6, 3.5},
          {"replay", "samples_per_s", 8e6, 20e6},
          {"day", "write_amplification", 4, 2.5},
          {"day", "peak_space_ratio", 1.3, 1.15},
          {"open_1m", "open_ms", 1000, 200},
          {"capture_more", "bytes_per_sample", 0.55, 0.48},
          {"codec_120", "decode_memcpy_ratio", 2.5, 1.5},
          {"codec_120", "aggregated_samples_per_s", 150e6, 300e6},
          {"codec_512", "decode_memcpy_ratio", 2.5, 1.5},
          {"codec_512", "aggregated_samples_per_s", 150e6, 300e6},
          {"churn", "memory_ratio", 1.5, 1.5}};
}

void RunAlone(const TsdbOptions& options, const std::string& workload, const Recorder& record) {
  Alone alone(options, record);
  const std::string large = SizeName(options.large_series);
  if (workload == "append") {
    alone.Append("append_" + large, options.large_series, options.large_scrapes, false,
                 "memory_" + large);
  }
  if (workload == "append_random") {
    alone.Append("append_random_" + large, options.large_series, options.large_scrapes, true, "");
  }
  if (workload == "append_small") {
    alone.Append("append_" + SizeName(options.series), options.series, options.small_scrapes, false,
                 "");
  }
  if (workload == "replay") alone.Replay();
  if (workload == "day") alone.Day();
  if (workload == "open") alone.Open();
  if (workload == "capture") alone.Capture();
  if (workload == "codec") RunCodec(options, record);
  if (workload == "churn") RunChurn(options, record);
}

}  // namespace tinyobs::bench
