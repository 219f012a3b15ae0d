// Host metrics: the server watches its machine, its process and its own database, so that the first
// page a newcomer opens shows something real.
//
// It uses the SDK like any other program would, with the in-process transport; there is no second
// way into the database. What the kernel says is read from /proc by pure functions over text, which
// tests feed with captured and with damaged files. A file that is missing or odd (containers, other
// kernels) leaves its metrics out and counts in host_metrics_read_errors_total; nothing else
// suffers.
//
// Names end in their unit; totals are counters and end in _total. Disks, network interfaces and
// levels are labels, at most kMaxDevices of each kind.
//
// Thread-safety: the parsers are pure; HostCollector is one thread's; HostMetrics is thread-safe.
#ifndef TINYOBS_TOOLS_SERVE_HOST_METRICS_H_
#define TINYOBS_TOOLS_SERVE_HOST_METRICS_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tinyobs/appender.h"
#include "tinyobs/sdk/client.h"
#include "tinyobs/stats.h"

namespace tinyobs::serve {

inline constexpr size_t kMaxDevices = 32;

// Columns of a "cpu" line of /proc/stat, in the kernel's order.
inline constexpr std::array<std::string_view, 8> kCpuModes = {"user",   "nice", "system",  "idle",
                                                              "iowait", "irq",  "softirq", "steal"};

struct ProcStat {
  std::array<uint64_t, kCpuModes.size()> cpu_ticks = {};  // all CPUs together
  uint64_t cpus = 0;
  uint64_t context_switches = 0;
  uint64_t processes_running = 0;
};
struct MemInfo {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;
  uint64_t swap_total_bytes = 0;
  uint64_t swap_free_bytes = 0;
};
struct DiskStats {
  std::string device;
  uint64_t read_bytes = 0;
  uint64_t written_bytes = 0;
  uint64_t io_ms = 0;  // time with at least one request in flight
};
struct NetworkStats {
  std::string interface;
  uint64_t received_bytes = 0;
  uint64_t transmitted_bytes = 0;
  uint64_t errors = 0;  // both ways, drops included
};
struct ProcessStat {
  uint64_t cpu_ticks = 0;  // user and system
  uint64_t threads = 0;
  uint64_t start_ticks = 0;  // since boot
  uint64_t resident_pages = 0;
};

// Of the files of the same name under /proc. nullopt: not what the kernel documents.
std::optional<ProcStat> ParseProcStat(std::string_view text);
std::optional<MemInfo> ParseMemInfo(std::string_view text);
std::optional<std::array<double, 3>> ParseLoadAverage(std::string_view text);
std::optional<double> ParseUptime(std::string_view text);
std::optional<ProcessStat> ParseProcessStat(std::string_view text);
// Lines that are not understood are left out; so are loop and RAM devices, partitions of a disk in
// the list, the loopback, container interfaces (veth), and whatever was never used.
std::vector<DiskStats> ParseDiskStats(std::string_view text);
std::vector<NetworkStats> ParseNetDev(std::string_view text);

// Share of the time between two readings that was not idle and not waiting for disks, in percent.
// nullopt when no time has passed or a counter went back.
std::optional<double> CpuUsagePercent(const ProcStat& before, const ProcStat& after);

struct HostMetricsOptions {
  std::string storage_path;  // whose file system is reported; empty = none
  // Storage figures; empty = none. Called from the collecting thread.
  std::function<DbStats()> db_stats;
  std::string proc_root = "/proc";
};

// Reads everything once per Collect() and sets the client's metrics.
class HostCollector {
 public:
  // `client` is borrowed.
  HostCollector(HostMetricsOptions options, sdk::Client* client);

  void Collect();

 private:
  // nullopt, counted, when the file cannot be read.
  std::optional<std::string> Read(const char* name);
  template <typename T>
  void CountIfMissing(const std::optional<T>& parsed);

  void CollectCpu();
  void CollectMemory();
  void CollectDisks();
  void CollectFileSystem();
  void CollectNetwork();
  void CollectProcess();
  void CollectDatabase();

  const HostMetricsOptions options_;
  sdk::Client* const client_;
  const double ticks_per_second_;
  std::string mountpoint_;
  std::optional<ProcStat> last_stat_;
};

// The collector with a client of its own that writes into `database` every `interval_ms`, the first
// time at once, with service="tinyobs-serve".
class HostMetrics {
 public:
  // `database` is borrowed and must outlive Stop. InvalidArgument: interval_ms out of range.
  static absl::StatusOr<std::unique_ptr<HostMetrics>> Start(HostMetricsOptions options,
                                                            Appendable* database,
                                                            int64_t interval_ms = 5000);
  // Writes a last time and ends the thread. Idempotent. Call it before the database is closed.
  absl::Status Stop() { return client_->Stop(); }
  sdk::ClientStats Stats() const { return client_->Stats(); }

 private:
  HostMetrics() = default;

  std::unique_ptr<HostCollector> collector_;
  std::unique_ptr<sdk::Client> client_;  // goes first: its thread uses the collector
};

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_HOST_METRICS_H_
