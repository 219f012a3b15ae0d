// A year in minutes: ten series, a sample a second, 365 days, through the whole of a database:
// appended, sealed, downsampled, expired, on a clock that the benchmark turns. What is left on disk
// at the end, and while the year went by, is what a small installation needs.
//
//   tools/bench year
//
// The samples come from integers, so the generator knows every sum exactly; at the end all that is
// left is read back at each resolution and compared with it, hour by hour, and the rise of the
// counters over the year, resets included.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bench/peers/harness.h"
#include "bench/peers/measure.h"
#include "bench/peers/report.h"
#include "tinyobs/clock.h"
#include "tinyobs/db.h"

namespace tinyobs::bench {
namespace {

constexpr int64_t kSecondMs = 1'000;
constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayMs = 24 * kHourMs;
constexpr int64_t kStartMs = 1'700'000'000'000 / kDayMs * kDayMs;
constexpr size_t kSeries = 10;
// A client sends so often.
constexpr int64_t kCommitSeconds = 5;
constexpr int64_t kTickSeconds = 600;

class ManualClock final : public Clock {
 public:
  int64_t NowMs() const override { return now_ms_; }
  int64_t MonotonicNs() const override { return (now_ms_ - kStartMs) * 1'000'000; }
  void Set(int64_t now_ms) { now_ms_ = now_ms; }

 private:
  int64_t now_ms_ = kStartMs;
};

uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

struct Kind {
  const char* metric;
  const char* type;
  int64_t scale;  // a value is an integer divided by it
};
constexpr std::array<Kind, kSeries> kKinds = {{{"http_requests_total", "counter", 1},
                                               {"network_receive_bytes_total", "counter", 1},
                                               {"http_errors_total", "counter", 1},
                                               {"cpu_seconds_total", "counter", 100},
                                               {"cpu_usage_percent", "gauge", 10},
                                               {"temperature_celsius", "gauge", 10},
                                               {"memory_used_bytes", "gauge", 1},
                                               {"queue_length", "gauge", 1},
                                               {"latency_milliseconds", "gauge", 100},
                                               {"up", "gauge", 1}}};
bool IsCounter(size_t series) { return series < 4; }

// The integers behind the samples; what each series does next depends on the second alone.
class Generator {
 public:
  int64_t Next(size_t series, int64_t second) {
    const uint64_t noise = Mix(static_cast<uint64_t>(second) * kSeries + series);
    int64_t& x = state_[series];
    // A day's wave without a sine, which is not the same on every machine: 0 to 43,200.
    const int64_t wave = std::abs(second % 86'400 - 43'200);
    const auto below = [&](int64_t end) { return static_cast<int64_t>(noise >> 8) % end; };
    const bool restart = IsCounter(series) && second % (29 * 86'400) == 1'234'567;
    switch (series) {
      case 0:
        x += 20 + wave / 2'000 + below(9);
        break;
      case 1:
        x += 1'400 * below(60 + wave / 500);
        break;
      case 2:
        x += below(200) == 0 ? 1 : 0;
        break;
      case 3:
        x += 10 + wave / 1'000 + below(7);
        break;
      case 4:
        x = std::clamp<int64_t>(x + below(31) - 15, 50, 1'000);
        break;
      case 5:
        x = 215 + wave / 1'200 + (below(10) == 0 ? 1 : 0);
        break;
      case 6:
        x = std::max<int64_t>(100 << 20, x + 4'096 * (below(65) - 32));
        break;
      case 7:
        x = below(10) < 7 ? 0 : below(12);
        break;
      case 8:
        x = 400 + below(250) + below(40) * (below(20) == 0 ? 50 : 0);
        break;
      default:
        x = second % 86'400 < 30 ? 0 : 1;
    }
    if (restart) x = 0;
    return x;
  }

 private:
  std::array<int64_t, kSeries> state_ = {0, 0, 0, 0, 450, 215, int64_t{800} << 20, 0, 500, 1};
};

// What the generator knows of one series and hour.
struct Hour {
  int64_t sum = 0;
  int64_t rise_to_first = 0;  // how far a counter has risen since the start
  int64_t rise_to_last = 0;
  int64_t count = 0;
};

class Year {
 public:
  Year(std::string folder, int64_t days, int64_t raw_days)
      : folder_(std::move(folder)), days_(days), raw_days_(raw_days) {
    for (auto& hours : truth_) hours.resize(static_cast<size_t>(days_ * 24));
  }

  void Run() {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    Options options;
    options.clock = &clock_;
    options.background_threads = false;
    // A second of this clock is over in microseconds, and would be synced each.
    options.sync_policy = SyncPolicy::kNone;
    options.downsampling = true;
    options.retention.raw_ms = raw_days_ * kDayMs;
    options.retention.five_minutes_ms = 90 * kDayMs;
    options.retention.one_hour_ms = 365 * kDayMs;
    auto db = Db::Open(folder_, options);
    Require(db.status(), "open");
    db_ = *std::move(db);
    Begin();
    std::printf("%6s %10s %10s %10s %10s %10s   (MB)\n", "day", "on disk", "raw", "5m", "1h",
                "head");
    for (int64_t second = 0; second < days_ * 86'400; second += kCommitSeconds) {
      Append(second);
      if (second % kTickSeconds == 0) Work();
      peak_bytes_ = second % (6 * 3'600) == 0 ? std::max(peak_bytes_, DiskBytes()) : peak_bytes_;
      if (second > 0 && second % (30 * 86'400) == 0) Say(second / 86'400);
    }
    appender_.reset();
    Require(db_->Flush(), "flush");
    Work();
    Require(db_->Downsample(), "downsample");
    Work();
    Say(days_);
  }

  // Compares what is left with the truth, at every resolution.
  void Check() {
    for (const Resolution resolution :
         {Resolution::kRaw, Resolution::kFiveMinutes, Resolution::kOneHour}) {
      std::array<Found, kSeries> found;
      for (Found& of_series : found) of_series.hours.resize(truth_[0].size());
      // Two weeks of raw samples at once would be half the memory budget for each series.
      for (int64_t day = 0; day < days_; ++day) {
        const TimeRange range{kStartMs + day * kDayMs, kStartMs + (day + 1) * kDayMs - 1};
        SelectHints hints;
        hints.resolution = resolution;
        hints.window_columns = kAllWindowColumns;
        const auto set = db_->SelectAll(range, hints);
        Require(set.status(), "select");
        while ((*set)->Next()) {
          size_t series = 0;
          while (kKinds[series].metric != (*set)->labels().metric()) ++series;
          Gather(**set, &found[series]);
        }
        Require((*set)->status(), "select");
      }
      for (size_t series = 0; series < kSeries; ++series) CheckSeries(series, found[series]);
      std::printf("checked at %s: %zu series, every hour that is kept\n",
                  std::string(ResolutionName(resolution)).c_str(), kSeries);
    }
  }

  void Close() { Require(db_->Close(), "close"); }
  double DiskBytes() const { return FolderBytes(folder_); }
  double peak_bytes() const { return peak_bytes_; }
  double samples() const { return static_cast<double>(days_ * 86'400) * kSeries; }

 private:
  static void Require(const absl::Status& status, std::string_view what) {
    bench::Require(status.ok(), what, status.ToString());
  }

  void Begin() {
    appender_ = db_->NewAppender();
    std::array<int64_t, kSeries> first;
    for (size_t i = 0; i < kSeries; ++i) {
      MetricMetadata metadata;
      metadata.type = kKinds[i].type;
      Require(appender_->SetMetadata(kKinds[i].metric, metadata), "metadata");
      first[i] = Take(i, 0);
      Require(appender_->Add(LabelsOf(i), kStartMs, Value(i, first[i])), "add");
    }
    Require(appender_->Commit(), "commit");
    for (size_t i = 0; i < kSeries; ++i) {
      const auto handle = appender_->Resolve(LabelsOf(i));
      Require(handle.status(), "resolve");
      handles_[i] = *handle;
    }
  }

  static Labels LabelsOf(size_t series) {
    return Labels::Of(kKinds[series].metric, {{"instance", "router-1"}, {"job", "home"}});
  }
  static double Value(size_t series, int64_t x) {
    return static_cast<double>(x) / static_cast<double>(kKinds[series].scale);
  }

  // The next integer of a series, noted in the truth.
  int64_t Take(size_t series, int64_t second) {
    const int64_t x = generator_.Next(series, second);
    if (IsCounter(series) && second > 0) {
      rise_[series] += x >= last_[series] ? x - last_[series] : x;
    }
    last_[series] = x;
    Hour& hour = truth_[series][static_cast<size_t>(second / 3'600)];
    if (hour.count++ == 0) hour.rise_to_first = rise_[series];
    hour.rise_to_last = rise_[series];
    hour.sum += x;
    return x;
  }

  void Append(int64_t second) {
    std::array<double, kSeries> values;
    for (int64_t at = second; at < second + kCommitSeconds; ++at) {
      if (at == 0) continue;
      for (size_t i = 0; i < kSeries; ++i) values[i] = Value(i, Take(i, at));
      Require(appender_->AddAt(kStartMs + at * kSecondMs, handles_, values), "add");
    }
    clock_.Set(kStartMs + (second + kCommitSeconds) * kSecondMs);
    Require(appender_->Commit(), "commit");
  }

  void Work() {
    for (bool more = true; more;) {
      const auto worked = db_->RunBackgroundWork();
      Require(worked.status(), "background work");
      more = *worked;
    }
  }

  void Say(int64_t day) {
    const DbStats stats = db_->Stats();
    const auto tier = [&](size_t number) {
      return static_cast<double>(stats.tiers[number].bytes) / 1e6;
    };
    std::printf("%6lld %10.2f %10.2f %10.2f %10.2f %10.2f\n", static_cast<long long>(day),
                DiskBytes() / 1e6, tier(0), tier(1), tier(2),
                static_cast<double>(stats.head_log_bytes) / 1e6);
    std::fflush(stdout);
  }

  // What was read of one series.
  struct Found {
    struct Total {
      double sum = 0;
      uint64_t count = 0;
    };
    std::vector<Total> hours;
    // By the windows of an hour alone.
    double rise = 0;
    double last = 0;
    int64_t first_start_ms = -1;
    int64_t last_start_ms = -1;
  };

  static void Gather(const SeriesSet& set, Found* found) {
    const auto note = [&](int64_t time_ms, double sum, uint64_t count) {
      Found::Total& hour = found->hours[static_cast<size_t>((time_ms - kStartMs) / kHourMs)];
      hour.sum += sum;
      hour.count += count;
    };
    for (const Windows& windows : set.windows()) {
      for (size_t i = 0; i < windows.size(); ++i) {
        note(windows.start_ms[i], windows.sum[i], windows.count[i]);
        if (windows.resolution != Resolution::kOneHour) continue;
        if (found->first_start_ms < 0) {
          found->first_start_ms = windows.start_ms[i];
        } else {
          const double step = windows.first[i] - found->last;
          found->rise += step >= 0 ? step : windows.first[i];
        }
        found->rise += windows.increase[i];
        found->last = windows.last[i];
        found->last_start_ms = windows.start_ms[i];
      }
    }
    const Columns& raw = set.columns();
    for (size_t i = 0; i < raw.size(); ++i) note(raw.timestamps_ms[i], raw.values[i], 1);
  }

  void CheckSeries(size_t series, const Found& found) const {
    const auto scale = static_cast<double>(kKinds[series].scale);
    // Whole partitions leave, so the year's first hours may still be there, or not.
    size_t first = 0;
    while (first < found.hours.size() && found.hours[first].count == 0) ++first;
    bench::Require(static_cast<int64_t>(first) <= std::max<int64_t>(0, days_ - 365) * 24, "check",
                   "the beginning is missing");
    for (size_t hour = first; hour < found.hours.size(); ++hour) {
      const Hour& truth = truth_[series][hour];
      const Found::Total& total = found.hours[hour];
      const double sum = static_cast<double>(truth.sum) / scale;
      const bool right = total.count == static_cast<uint64_t>(truth.count) &&
                         std::abs(total.sum - sum) <= std::abs(sum) * 1e-12;
      bench::Require(right, kKinds[series].metric,
                     "hour " + std::to_string(hour) + ": count " + std::to_string(total.count) +
                         " of " + std::to_string(truth.count) + ", sum " +
                         std::to_string(total.sum) + " of " + std::to_string(sum));
    }
    if (!IsCounter(series) || found.first_start_ms < 0) return;
    const auto hour_of = [&](int64_t time_ms) -> const Hour& {
      return truth_[series][static_cast<size_t>((time_ms - kStartMs) / kHourMs)];
    };
    const double truth = static_cast<double>(hour_of(found.last_start_ms).rise_to_last -
                                             hour_of(found.first_start_ms).rise_to_first) /
                         scale;
    bench::Require(
        std::abs(found.rise - truth) <= truth * 1e-11, kKinds[series].metric,
        "rose by " + std::to_string(found.rise) + " instead of " + std::to_string(truth));
  }

  const std::string folder_;
  const int64_t days_;
  const int64_t raw_days_;
  ManualClock clock_;
  Generator generator_;
  std::unique_ptr<Db> db_;
  std::unique_ptr<Appender> appender_;
  std::array<SeriesHandle, kSeries> handles_{};
  std::array<int64_t, kSeries> last_{};
  std::array<int64_t, kSeries> rise_{};
  std::array<std::vector<Hour>, kSeries> truth_;
  double peak_bytes_ = 0;
};

}  // namespace

int Main(int argc, char** argv) {
  int days = 365;
  const Arguments arguments =
      ParseArguments(argc, argv, {"year"}, [&](const std::string& flag, const std::string& value) {
        if (flag != "--days") return false;
        days = Positive(flag, value);
        return true;
      });
  if (arguments.quick) days = std::min(days, 40);
  RunDescription description = Describe("year", arguments);
  description.engines = {"tinyobs"};
  description.settings = {
      {"samples", "10 series (4 counters, 6 gauges), a sample a second, " + std::to_string(days) +
                      " days, a commit each 5 s; no threads, simulated clock, no syncs"},
      {"retention", "raw 14 days, 5m 90 days, 1h 365 days"}};
  description.targets = {{"year", "disk_bytes", 25e6, 15e6}, {"year", "wall_s", 300, 120}};
  Report report(std::move(description));
  CatchSignals();
  for (int repetition = 0; repetition < arguments.repetitions; ++repetition) {
    RunIsolated(
        [&](const Recorder& record) {
          const Stopwatch watch;
          Year year(arguments.folder + "/year", days, 14);
          year.Run();
          const double wall = watch.WallSeconds();
          const double cpu = watch.CpuSeconds();
          year.Check();
          const double bytes = year.DiskBytes();
          const auto figure = [&](const char* metric, bool higher, double value) {
            record({"year", metric, higher, "tinyobs", value});
          };
          figure("disk_bytes", false, bytes);
          figure("disk_peak_bytes", false, std::max(bytes, year.peak_bytes()));
          figure("bytes_per_sample", false, bytes / year.samples());
          figure("wall_s", false, wall);
          figure("cpu_s", false, cpu);
          figure("samples_per_cpu_s", true, year.samples() / cpu);
          figure("memory_bytes", false, AnonymousBytes());
          year.Close();
          std::filesystem::remove_all(arguments.folder + "/year");
        },
        &report);
  }
  Finish(report, arguments);
  return 0;
}

}  // namespace tinyobs::bench

int main(int argc, char** argv) { return tinyobs::bench::Main(argc, argv); }
