// Does a database in which series come and go cost what its living series cost, or what all that
// ever lived cost?
//
// Ten million series over ten days, a hundred thousand at a time: pods that are replaced, each
// with an instance label nobody has seen before. Every five minutes each living series gets a
// sample, the oldest few thousand fall silent, and as many new ones begin. Data older than two days
// are dropped every two hours. The same run without churn, with as many samples, is what its memory
// is compared with; each runs in a process of its own. Time is that of the samples and the database
// has no threads, so both do the same work in the same order each time.
#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include "bench/peers/harness.h"
#include "bench/peers/measure.h"
#include "bench/peers/tsdb_tinyobs.h"
#include "bench/peers/tsdb_workloads.h"
#include "bench/workload/devops.h"

namespace tinyobs::bench {
namespace {

constexpr int64_t kStepMs = 300'000;
constexpr int64_t kDayMs = 86'400'000;
constexpr size_t kStepsInDay = kDayMs / kStepMs;
constexpr size_t kStepsBetweenDrops = 24;

// What a run tells the one that started it.
struct Outcome {
  double peak_bytes = 0;  // of memory, above what there was before the database was opened
  double samples = 0;
  double cpu_seconds = 0;
  double series = 0;
  bool drops = false;
  double disk_before_bytes = 0;  // of the last drop, which leaves less than a day
  double disk_after_bytes = 0;
};

class Run {
 public:
  Run(const TsdbOptions& options, size_t all_series)
      : options_(options), all_(all_series), handles_(options.churn_active) {}

  void Do(const std::string& folder, Outcome* outcome) {
    std::filesystem::remove_all(folder);
    std::filesystem::create_directories(folder);
    values_.resize(options_.batch);
    times_.resize(options_.batch);
    const double before = AnonymousBytes();
    TinyObsSettings settings;
    settings.memory_bytes = options_.churn_memory_bytes;
    settings.threads = false;
    store_ = std::make_unique<TinyObsStore>(folder, settings);
    const Stopwatch watch;
    const size_t steps = options_.churn_days * kStepsInDay;
    Begin(0, options_.churn_active);
    for (size_t step = 1; step <= steps; ++step) {
      now_ms_ = kDevopsStartMs + static_cast<int64_t>(step) * kStepMs;
      AppendToLiving(step);
      const size_t wanted = options_.churn_active + (all_ - options_.churn_active) * step / steps;
      Begin(begun_, wanted);
      store_->DoBackgroundWork();
      if (step % kStepsBetweenDrops == 0) {
        outcome->drops =
            store_->DropBefore(now_ms_ - static_cast<int64_t>(options_.churn_kept_days) * kDayMs);
        store_->DoBackgroundWork();
      }
      outcome->peak_bytes = std::max(outcome->peak_bytes, AnonymousBytesNow() - before);
      if (step % kStepsInDay == 0) Say(step / kStepsInDay, AnonymousBytesNow() - before, folder);
    }
    outcome->cpu_seconds = watch.CpuSeconds();
    outcome->samples = samples_;
    outcome->series = static_cast<double>(store_->db().Stats().series);
    // All that is over goes: what is left is the last hours and those who live.
    store_->Flush();
    store_->DoBackgroundWork();
    outcome->disk_before_bytes = FolderBytes(folder);
    store_->DropBefore(now_ms_ - kDayMs / 4);
    store_->DoBackgroundWork();
    outcome->disk_after_bytes = FolderBytes(folder);
    store_.reset();
    std::filesystem::remove_all(folder);
    SyncDisk(options_.folder);
  }

 private:
  // Series `from` to `end` - 1 get their first sample, in the places of those that fall silent.
  void Begin(size_t from, size_t end) {
    std::vector<Labels> labels;
    std::vector<SeriesHandle> handles(options_.batch);
    while (from < end) {
      const size_t count = std::min(options_.batch, end - from);
      labels.clear();
      for (size_t i = 0; i < count; ++i) {
        labels.push_back(DevopsLabels(from + i));
        times_[i] = now_ms_;
        values_[i] = 0;
      }
      store_->Create(labels, {times_.data(), count}, {values_.data(), count}, handles.data());
      for (size_t i = 0; i < count; ++i) handles_[(from + i) % handles_.size()] = handles[i];
      from += count;
      samples_ += static_cast<double>(count);
    }
    begun_ = end;
  }

  // Counters that run at different speeds, a third of which rest.
  void AppendToLiving(size_t step) {
    for (size_t from = 0; from < handles_.size(); from += options_.batch) {
      const size_t count = std::min(options_.batch, handles_.size() - from);
      for (size_t i = 0; i < count; ++i) {
        times_[i] = now_ms_;
        values_[i] = static_cast<double>((from + i) % 3 * (step * ((from + i) % 997) + step % 7));
      }
      store_->Append({handles_.data() + from, count}, {times_.data(), count},
                     {values_.data(), count});
      samples_ += static_cast<double>(count);
    }
  }

  void Say(size_t day, double bytes, const std::string& folder) {
    const DbStats stats = store_->db().Stats();
    std::fprintf(
        stderr,
        "    day %zu: %zu series begun, %llu known, of them %llu idle, memory %.0f MB (head "
        "%.1f, index %.1f, idle %.1f, memtables %.1f, cache %.1f, tables %.1f), disk %.0f "
        "MB\n",
        day, begun_, static_cast<unsigned long long>(stats.series),
        static_cast<unsigned long long>(stats.idle_series), bytes / 1e6,
        static_cast<double>(stats.memory.head_bytes) / 1e6,
        static_cast<double>(stats.memory.index_bytes) / 1e6,
        static_cast<double>(stats.memory.idle_series_bytes) / 1e6,
        static_cast<double>(stats.memory.memtable_bytes) / 1e6,
        static_cast<double>(stats.memory.block_cache_bytes) / 1e6,
        static_cast<double>(stats.memory.table_bytes) / 1e6, FolderBytes(folder) / 1e6);
  }

  const TsdbOptions& options_;
  const size_t all_;
  std::unique_ptr<TinyObsStore> store_;
  std::vector<SeriesHandle> handles_;  // of the living; series n at n modulo its size
  std::vector<int64_t> times_;
  std::vector<double> values_;
  size_t begun_ = 0;
  int64_t now_ms_ = kDevopsStartMs;
  double samples_ = 0;
};

}  // namespace

void RunChurn(const TsdbOptions& options, const Recorder& record) {
  // As tinyobs-serve does, and as an embedder with the same concern would.
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
  void* shared =
      mmap(nullptr, 2 * sizeof(Outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Require(shared != MAP_FAILED, "mmap", std::strerror(errno));
  Outcome* const outcomes = static_cast<Outcome*>(shared);  // zeros
  for (int churns = 0; churns < 2; ++churns) {
    std::fprintf(stderr, "  %s churn\n", churns == 0 ? "without" : "with");
    RunApart([&] {
      Run(options, churns == 0 ? options.churn_active : options.churn_series)
          .Do(options.folder + "/churn", &outcomes[churns]);
    });
  }
  const auto figure = [&](const char* metric, bool higher, double value) {
    record({"churn", metric, higher, "tinyobs", value});
    std::fprintf(stderr, "  %-8s %-16s %-18s %14.3f\n", "tinyobs", "churn", metric, value);
  };
  const Outcome& steady = outcomes[0];
  const Outcome& churn = outcomes[1];
  figure("memory_ratio", false, churn.peak_bytes / steady.peak_bytes);
  figure("memory_peak_bytes", false, churn.peak_bytes);
  figure("samples_per_cpu_s", true, churn.samples / churn.cpu_seconds);
  if (churn.drops) {
    figure("disk_left_ratio", false, churn.disk_after_bytes / churn.disk_before_bytes);
  }
  munmap(shared, 2 * sizeof(Outcome));
}

}  // namespace tinyobs::bench
