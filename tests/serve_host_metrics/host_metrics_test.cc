// Host metrics: parsers on captured and damaged text, and the collector over a /proc of the test.
#include "tools/serve/host_metrics.h"

#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lib/base/clock.h"
#include "lib/base/mutex.h"
#include "tests/sdk/fake_transport.h"
#include "tests/testing/label_appender.h"

namespace tinyobs::serve {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;

constexpr char kStat[] =
    "cpu  31371 1137 11114 393225 1036 0 409 48 0 0\n"
    "cpu0 13387 592 4345 200653 96 0 29 28 0 0\n"
    "cpu1 17984 545 6768 192571 940 0 379 19 0 0\n"
    "intr 1075300 0 0\n"
    "ctxt 2237403\n"
    "btime 1795435010\n"
    "procs_running 2\n";

constexpr char kMemInfo[] =
    "MemTotal:       24684100 kB\n"
    "MemFree:        22260736 kB\n"
    "MemAvailable:   23041708 kB\n"
    "SwapCached:            0 kB\n"
    "SwapTotal:       1000 kB\n"
    "SwapFree:         400 kB\n";

constexpr char kDiskStats[] =
    "   7       0 loop0 5 0 5 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
    "   8       0 sda 100 1 2000 30 200 2 4000 60 0 7500 90 0 0 0 0 0 0\n"
    "   8       1 sda1 90 1 1900 30 200 2 4000 60 0 70 90\n"
    " 259       0 nvme0n1 1 0 8 0 0 0 0 0 0 3 0 0 0 0 0\n"
    " 259       1 nvme0n1p2 1 0 8 0 0 0 0 0 0 3 0 0 0 0 0\n"
    " 253       0 dm-0 0 0 0 0 0 0 0 0 0 0 0\n"
    "   9       0 md127 4 0 16 0 0 0 0 0 0 1 0\n"
    "   8      16 sdb\n"
    "garbage\n";

constexpr char kNetDev[] =
    "Inter-|   Receive                                                |  Transmit\n"
    " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop\n"
    "    lo:  375532    1290    0    0    0     0          0         0   375532    1290    0    0  "
    " "
    " 0     0       0          0\n"
    "  eth0:816614655   17297    1    2    0     0          0         0   841333   10332    3    4 "
    " "
    "  0     0       0          0\n"
    "  ifb0:       0       0    0    0    0     0          0         0        0       0    0    0  "
    " "
    " 0     0       0          0\n"
    "veth12: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n"
    "  eth1: 12 what\n";

constexpr char kProcessStat[] =
    "6744 (tiny ) obs) R 6676 6676 8343 0 -1 4194304 98 0 0 0 150 50 0 0 20 0 7 0 220011 3133440 "
    "370 18446744073709551615 1 1\n";

TEST(HostMetricsParsers, ReadWhatTheKernelWrites) {
  const auto stat = ParseProcStat(kStat);
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->cpu_ticks[0], 31371u);
  EXPECT_EQ(stat->cpu_ticks[7], 48u);
  EXPECT_EQ(stat->cpus, 2u);
  EXPECT_EQ(stat->context_switches, 2237403u);
  EXPECT_EQ(stat->processes_running, 2u);

  const auto memory = ParseMemInfo(kMemInfo);
  ASSERT_TRUE(memory);
  EXPECT_EQ(memory->total_bytes, 24684100ull * 1024);
  EXPECT_EQ(memory->swap_free_bytes, 400ull * 1024);

  const auto load = ParseLoadAverage("0.96 0.63 0.34 2/235 6742");
  ASSERT_TRUE(load);
  EXPECT_EQ((*load)[2], 0.34);
  EXPECT_EQ(ParseUptime("2200.11 3932.26"), 2200.11);

  const auto process = ParseProcessStat(kProcessStat);
  ASSERT_TRUE(process);
  EXPECT_EQ(process->cpu_ticks, 200u);
  EXPECT_EQ(process->threads, 7u);
  EXPECT_EQ(process->start_ticks, 220011u);
  EXPECT_EQ(process->resident_pages, 370u);
}

TEST(HostMetricsParsers, DisksAreWholeUsedDevices) {
  const auto disks = ParseDiskStats(kDiskStats);
  ASSERT_EQ(disks.size(), 3u);
  EXPECT_EQ(disks[0].device, "sda");
  EXPECT_EQ(disks[0].read_bytes, 2000u * 512);
  EXPECT_EQ(disks[0].written_bytes, 4000u * 512);
  EXPECT_EQ(disks[0].io_ms, 7500u);
  EXPECT_EQ(disks[1].device, "nvme0n1");
  EXPECT_EQ(disks[2].device, "md127");
}

TEST(HostMetricsParsers, InterfacesAreUsedAndNotOfContainers) {
  const auto interfaces = ParseNetDev(kNetDev);
  ASSERT_EQ(interfaces.size(), 1u);
  EXPECT_EQ(interfaces[0].interface, "eth0");
  EXPECT_EQ(interfaces[0].received_bytes, 816614655u);
  EXPECT_EQ(interfaces[0].transmitted_bytes, 841333u);
  EXPECT_EQ(interfaces[0].errors, 10u);
}

TEST(HostMetricsParsers, DevicesAreLimited) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "8 0 disk" + std::to_string(i) + "x 1 0 1 0 1 0 1 0 0 0\n";
  EXPECT_EQ(ParseDiskStats(text).size(), kMaxDevices);
}

TEST(HostMetricsParsers, DamagedTextIsRefused) {
  EXPECT_FALSE(ParseProcStat(""));
  EXPECT_FALSE(ParseProcStat("cpu 1 2 3\n"));
  EXPECT_FALSE(ParseProcStat("cpu 1 2 3 4 5 6 7 x\n"));
  EXPECT_FALSE(ParseProcStat("cpu 99999999999999999999 2 3 4 5 6 7 8\n"));
  EXPECT_FALSE(ParseProcStat("cpu -1 2 3 4 5 6 7 8\n"));
  EXPECT_FALSE(ParseMemInfo("MemTotal: 1 kB\n"));
  EXPECT_FALSE(ParseMemInfo("MemTotal: 1 kB\nMemAvailable: 2 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB"));
  EXPECT_FALSE(ParseLoadAverage("0.1 0.2"));
  EXPECT_FALSE(ParseLoadAverage("a b c"));
  EXPECT_FALSE(ParseUptime(""));
  EXPECT_FALSE(ParseProcessStat("1 (x"));
  EXPECT_FALSE(ParseProcessStat("1 (x) R 1 2 3"));
  EXPECT_THAT(ParseDiskStats(std::string("\0\xff\n\n 8 0", 7)), IsEmpty());
  EXPECT_THAT(ParseNetDev(":::\n:"), IsEmpty());
}

TEST(HostMetricsParsers, EveryPrefixOfRealTextIsReadWithoutHarm) {
  for (const std::string text : {kStat, kMemInfo, kDiskStats, kNetDev, kProcessStat}) {
    for (size_t size = 0; size <= text.size(); ++size) {
      const std::string prefix = text.substr(0, size);  // own bytes: a sanitizer sees the end
      ParseProcStat(prefix);
      ParseMemInfo(prefix);
      ParseDiskStats(prefix);
      ParseNetDev(prefix);
      ParseProcessStat(prefix);
      ParseLoadAverage(prefix);
      ParseUptime(prefix);
    }
  }
}

TEST(CpuUsage, IsTheShareOfTimeNotIdle) {
  ProcStat before;
  ProcStat after;
  after.cpu_ticks = {20, 0, 10, 60, 10, 0, 0, 0};
  EXPECT_EQ(CpuUsagePercent(before, after), 30.0);
  EXPECT_FALSE(CpuUsagePercent(after, after));
  EXPECT_FALSE(CpuUsagePercent(after, before));
}

class HostCollectorTest : public ::testing::Test {
 protected:
  HostCollectorTest() {
    const char* const base = std::getenv("TEST_TMPDIR");
    root_ = std::string(base != nullptr ? base : "/tmp") + "/proc_XXXXXX";
    EXPECT_NE(mkdtemp(root_.data()), nullptr);
    for (const char* const folder : {"/self", "/net", "/self/fd"}) {
      EXPECT_EQ(mkdir((root_ + folder).c_str(), 0755), 0);
    }
    sdk::Config config;
    config.service = "tinyobs-serve";
    config.clock = &clock_;
    config.flush_every_ms = 3'600'000;
    client_ = *sdk::Client::Create(config, std::make_unique<sdk::BorrowedTransport>(&transport_));
    EXPECT_TRUE(client_->Start().ok());
  }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(root_ + "/" + name) << text;
  }
  void WriteAll() {
    Write("stat", kStat);
    Write("meminfo", kMemInfo);
    Write("loadavg", "0.96 0.63 0.34 2/235 6742\n");
    Write("uptime", "2200.11 3932.26\n");
    Write("diskstats", kDiskStats);
    Write("net/dev", kNetDev);
    Write("self/stat", kProcessStat);
  }
  std::map<std::string, double> Flushed() {
    EXPECT_TRUE(client_->Flush().ok());
    std::map<std::string, double> values;
    for (const auto& sample : transport_.samples()) values[sample.series] = sample.value;
    return values;
  }
  static std::string Of(const std::string& metric, const std::string& label = "") {
    // Labels are sorted by name; all of ours come before "service".
    return metric + "{" + label + (label.empty() ? "" : ",") + "service=\"tinyobs-serve\"}";
  }

  std::string root_;
  ManualClock clock_{1'700'000'000'000};
  sdk::FakeTransport transport_;
  std::unique_ptr<sdk::Client> client_;
};

TEST_F(HostCollectorTest, SetsEveryMetricFromItsFile) {
  WriteAll();
  DbStats stats;
  stats.samples_appended = 42;
  stats.disk_bytes = 1000;
  stats.levels = {{1, 10}, {2, 20}};
  HostCollector collector({root_, [&] { return stats; }, root_}, client_.get());
  collector.Collect();
  auto values = Flushed();
  EXPECT_THAT(values, Not(Contains(Key(Of("host_cpu_usage_percent")))));
  EXPECT_EQ(values[Of("host_memory_used_bytes")], (24684100.0 - 23041708.0) * 1024);
  EXPECT_EQ(values[Of("host_load1")], 0.96);
  EXPECT_EQ(values[Of("host_uptime_seconds")], 2200.11);
  EXPECT_EQ(values[Of("host_disk_io_seconds_total", "device=\"sda\"")], 7.5);
  EXPECT_EQ(values[Of("host_network_receive_bytes_total", "interface=\"eth0\"")], 816614655);
  EXPECT_EQ(values[Of("process_threads")], 7);
  EXPECT_EQ(values[Of("tinyobs_samples_appended_total")], 42);
  EXPECT_EQ(values[Of("tinyobs_storage_level_bytes", "level=\"1\"")], 20);
  EXPECT_EQ(values[Of("tinyobs_storage_writable")], 1);
  EXPECT_EQ(values[Of("host_metrics_read_errors_total")], 0);
  EXPECT_TRUE(client_->status().ok()) << client_->status();

  Write("stat", "cpu  31471 1137 11114 393325 1036 0 409 48 0 0\ncpu0 1 1\n");
  collector.Collect();
  EXPECT_EQ(Flushed()[Of("host_cpu_usage_percent")], 50);
}

TEST_F(HostCollectorTest, MissingAndDamagedFilesLeaveTheirMetricsOutAndCount) {
  WriteAll();
  Write("meminfo", "MemTotal: many kB\n");
  ASSERT_EQ(remove((root_ + "/loadavg").c_str()), 0);
  HostCollector collector({"/no/such/folder", nullptr, root_}, client_.get());
  collector.Collect();
  auto values = Flushed();
  EXPECT_EQ(values[Of("host_metrics_read_errors_total")], 3);
  EXPECT_THAT(values, Not(Contains(Key(Of("host_load1")))));
  EXPECT_THAT(values, Not(Contains(Key(Of("host_memory_total_bytes")))));
  EXPECT_THAT(values, Contains(Key(Of("host_uptime_seconds"))));
}

TEST_F(HostCollectorTest, ReadsThisMachine) {
  HostCollector collector({"/", nullptr}, client_.get());
  collector.Collect();
  auto values = Flushed();
  EXPECT_GT(values[Of("host_memory_total_bytes")], 0);
  EXPECT_GE(values[Of("host_cpu_count")], 1);
  EXPECT_GT(values[Of("process_resident_memory_bytes")], 0);
  EXPECT_GT(values[Of("process_open_fds")], 2);
  EXPECT_GT(values[Of("host_filesystem_size_bytes", "mountpoint=\"/\"")], 0);
}

// A database that only remembers which series came in.
class SeriesRecorder : public Appendable {
 public:
  std::unique_ptr<Appender> NewAppender() override { return std::make_unique<Recording>(this); }
  std::set<std::string> series() const {
    MutexLock lock(&mutex_);
    return series_;
  }

 private:
  class Recording : public LabelAppender {
   public:
    using LabelAppender::Add;
    explicit Recording(SeriesRecorder* owner) : owner_(owner) {}
    absl::Status Add(const Labels& labels, int64_t, double) override {
      batch_.insert(labels.ToString());
      return absl::OkStatus();
    }
    absl::Status SetMetadata(std::string_view, const MetricMetadata&) override {
      return absl::OkStatus();
    }
    absl::Status Commit() override {
      MutexLock lock(&owner_->mutex_);
      owner_->series_.merge(batch_);
      return absl::OkStatus();
    }
    void Rollback() override { batch_.clear(); }

   private:
    SeriesRecorder* const owner_;
    std::set<std::string> batch_;
  };

  mutable Mutex mutex_;
  std::set<std::string> series_ ABSL_GUARDED_BY(mutex_);
};

TEST(HostMetrics, WriteIntoTheDatabaseFromStartToStop) {
  SeriesRecorder database;
  HostMetricsOptions options;
  options.storage_path = "/";
  options.db_stats = [] { return DbStats(); };
  auto metrics = HostMetrics::Start(std::move(options), &database);
  ASSERT_TRUE(metrics.ok()) << metrics.status();
  EXPECT_TRUE((*metrics)->Stop().ok());
  EXPECT_TRUE((*metrics)->Stop().ok());
  for (const char* const name : {"host_load1", "host_memory_used_bytes", "tinyobs_series",
                                 "process_resident_memory_bytes"}) {
    EXPECT_THAT(database.series(), Contains(name + std::string("{service=\"tinyobs-serve\"}")));
  }
  EXPECT_EQ((*metrics)->Stats().samples_rejected, 0u);
  EXPECT_FALSE(HostMetrics::Start({}, &database, 0).ok());
}

}  // namespace
}  // namespace tinyobs::serve
