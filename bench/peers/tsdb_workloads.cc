#include "bench/peers/tsdb_workloads.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>

#include "bench/peers/measure.h"
#include "bench/peers/sample_feed.h"
#include "bench/workload/capture.h"
#include "bench/workload/devops.h"

namespace tinyobs::bench {
namespace {

constexpr int64_t kHourMs = 3'600'000;

std::unique_ptr<SampleSource> MakeSource(const TsdbOptions& options, const std::string& workload) {
  if (workload == "capture") {
    std::string error;
    auto capture = ReadCapture(options.capture, &error);
    Require(capture != nullptr, "capture", error);
    return capture;
  }
  DevopsOptions devops;
  devops.series = options.series;
  devops.scrapes = options.scrapes;
  return std::make_unique<DevopsSource>(devops);
}

class Comparison {
 public:
  Comparison(const TsdbOptions& options, const std::string& workload, const SamplePeer& peer,
             const Recorder& record)
      : options_(options),
        workload_(workload),
        peer_(peer),
        record_(record),
        folder_(options.folder + "/" + peer.name),
        source_(MakeSource(options, workload)) {}

  void Run() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    AppendAll();
    engine_->CompactAll();
    Record("compact", "bytes_per_sample", false,
           FolderBytes(folder_) / static_cast<double>(totals_.samples));
    ScanAll();
    Ranges();
    engine_.reset();
    std::filesystem::remove_all(folder_);
    SyncDisk(options_.folder);
  }

 private:
  void Record(const std::string& what, const std::string& metric, bool higher, double value) {
    record_({workload_ + "_" + what, metric, higher, peer_.name, value});
    std::fprintf(stderr, "  %-8s %-16s %-18s %14.3f\n", peer_.name.c_str(),
                 (workload_ + "_" + what).c_str(), metric.c_str(), value);
  }

  void RecordRates(const std::string& what, const Stopwatch& watch, uint64_t samples) {
    const double cpu = watch.CpuSeconds();
    const double wall = watch.WallSeconds();
    Record(what, "samples_per_cpu_s", true, static_cast<double>(samples) / cpu);
    Record(what, "samples_per_s", true, static_cast<double>(samples) / wall);
  }

  // The first scrape, which creates the series where an engine knows of series, is not in the rate.
  void AppendAll() {
    SampleFeed feed(source_.get(), options_.batch);
    const double before = AnonymousBytes();
    double most = before;
    SampleEngineSettings settings;
    settings.memory_bytes = options_.memory_bytes;
    engine_ = peer_.open(folder_, settings);
    feed.set_after_batch([&] { most = std::max(most, AnonymousBytesNow()); });
    feed.RunTo(1, engine_.get(), nullptr);
    const uint64_t first = feed.samples();
    Stopwatch watch;
    feed.RunTo(source_->scrape_count(), engine_.get(), &watch);
    engine_->Flush();
    RecordRates("append", watch, feed.samples() - first);
    Record("append", "memory_peak_bytes", false, most - before);
    totals_ = feed.totals();
  }

  void ScanAll() {
    Stopwatch watch;
    const SampleTotals found = engine_->Scan();
    RecordRates("scan", watch, found.samples);
    Require(found == totals_, "scan",
            "found other samples than went in: " + std::to_string(found.samples) + " instead of " +
                std::to_string(totals_.samples));
  }

  // Any hour of any series that was there all the time.
  void Ranges() {
    SampleColumns scrape;
    source_ = MakeSource(options_, workload_);
    source_->Scrape(0, &scrape);
    const std::vector<uint32_t> series = scrape.series;
    const int64_t first_ms = scrape.timestamps_ms.front();
    for (size_t i = 1; i < source_->scrape_count(); ++i) source_->Scrape(i, &scrape);
    const int64_t last_ms = scrape.timestamps_ms.back();
    const int64_t latest_ms = std::max(first_ms, last_ms - kHourMs);
    std::mt19937_64 random(9);
    std::vector<double> microseconds;
    Columns columns;
    for (size_t i = 0; i < options_.ranges; ++i) {
      const uint32_t number = series[random() % series.size()];
      const int64_t from_ms =
          first_ms +
          static_cast<int64_t>(random() % static_cast<uint64_t>(latest_ms - first_ms + 1));
      const auto selector = source_->SelectorOf(number);
      const double start = Seconds(CLOCK_MONOTONIC);
      engine_->Range(number, selector, from_ms, from_ms + kHourMs, &columns);
      microseconds.push_back((Seconds(CLOCK_MONOTONIC) - start) * 1e6);
      Require(!columns.empty(), "range", "found nothing");
    }
    std::sort(microseconds.begin(), microseconds.end());
    Record("range", "p50_us", false, microseconds[microseconds.size() / 2]);
  }

  const TsdbOptions& options_;
  const std::string workload_;
  const SamplePeer& peer_;
  const Recorder& record_;
  const std::string folder_;
  std::unique_ptr<SampleSource> source_;
  std::unique_ptr<SampleEngine> engine_;
  SampleTotals totals_;
};

}  // namespace

const std::vector<std::string>& TsdbComparisonNames() {
  static const auto& names = *new std::vector<std::string>{"devops", "capture"};
  return names;
}

const std::vector<std::string>& TsdbWorkloadNames() {
  static const auto& names =
      *new std::vector<std::string>{"devops", "capture", "append", "append_small", "append_random",
                                    "replay", "day",     "open",   "codec",        "churn"};
  return names;
}

void RunComparison(const TsdbOptions& options, const std::string& workload, const SamplePeer& peer,
                   const Recorder& record) {
  Comparison(options, workload, peer, record).Run();
}

}  // namespace tinyobs::bench
