#include "tools/serve/host_metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "tinyobs/sdk/in_process_transport.h"

namespace tinyobs::serve {
namespace {

constexpr uint64_t kSectorBytes = 512;  // of /proc/diskstats, whatever the device's are
constexpr size_t kMaxProcFileBytes = 4 << 20;

// Takes the next word off the front; empty at the end.
std::string_view TakeWord(std::string_view* text) {
  const size_t begin = text->find_first_not_of(" \t");
  if (begin == std::string_view::npos) {
    *text = {};
    return {};
  }
  const size_t end = text->find_first_of(" \t", begin);
  const std::string_view word = text->substr(begin, end - begin);
  *text = end == std::string_view::npos ? std::string_view() : text->substr(end);
  return word;
}

template <typename T>
bool ParseNumber(std::string_view word, T* value) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *value);
  return error == std::errc() && end == word.data() + word.size();
}

template <typename T>
bool TakeNumber(std::string_view* text, T* value) {
  return ParseNumber(TakeWord(text), value);
}

// The words of a line as numbers, all of them or nothing.
template <size_t N>
bool TakeNumbers(std::string_view* text, std::array<uint64_t, N>* numbers) {
  for (uint64_t& number : *numbers) {
    if (!TakeNumber(text, &number)) return false;
  }
  return true;
}

template <typename Visit>
void ForEachLine(std::string_view text, const Visit& visit) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    visit(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  }
}

bool IsDigits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// sda1 of sda, nvme0n1p2 of nvme0n1.
bool IsPartitionOf(std::string_view device, std::string_view disk) {
  if (!device.starts_with(disk)) return false;
  std::string_view rest = device.substr(disk.size());
  if (IsDigits(disk.substr(disk.size() - 1)) && rest.starts_with('p')) {
    rest.remove_prefix(1);
    return IsDigits(rest);
  }
  return !IsDigits(disk.substr(disk.size() - 1)) && IsDigits(rest);
}

// Where the file system of `path` begins: up while the device stays the same.
std::string MountpointOf(const std::string& path) {
  char* const real = realpath(path.c_str(), nullptr);
  if (real == nullptr) return path;
  std::string at = real;
  std::free(real);
  struct stat here;
  if (stat(at.c_str(), &here) != 0) return path;
  while (at != "/") {
    const size_t slash = at.rfind('/');
    const std::string parent = slash == 0 ? "/" : at.substr(0, slash);
    struct stat above;
    if (stat(parent.c_str(), &above) != 0 || above.st_dev != here.st_dev) break;
    at = parent;
  }
  return at;
}

double AsDouble(uint64_t value) { return static_cast<double>(value); }

}  // namespace

std::optional<ProcStat> ParseProcStat(std::string_view text) {
  ProcStat stat;
  bool found = false;
  bool broken = false;
  ForEachLine(text, [&](std::string_view line) {
    const std::string_view key = TakeWord(&line);
    if (key == "cpu") {
      found = true;
      broken |= !TakeNumbers(&line, &stat.cpu_ticks);
    } else if (key.starts_with("cpu") && IsDigits(key.substr(3))) {
      ++stat.cpus;
    } else if (key == "ctxt") {
      broken |= !TakeNumber(&line, &stat.context_switches);
    } else if (key == "procs_running") {
      broken |= !TakeNumber(&line, &stat.processes_running);
    }
  });
  if (!found || broken) return std::nullopt;
  return stat;
}

std::optional<MemInfo> ParseMemInfo(std::string_view text) {
  MemInfo info;
  bool broken = false;
  int found = 0;
  ForEachLine(text, [&](std::string_view line) {
    const std::string_view key = TakeWord(&line);
    const auto take = [&](uint64_t* bytes) {
      uint64_t kib = 0;
      broken |= !TakeNumber(&line, &kib) || kib > (uint64_t{1} << 50);
      *bytes = kib * 1024;
      ++found;
    };
    if (key == "MemTotal:") take(&info.total_bytes);
    if (key == "MemAvailable:") take(&info.available_bytes);
    if (key == "SwapTotal:") take(&info.swap_total_bytes);
    if (key == "SwapFree:") take(&info.swap_free_bytes);
  });
  if (found != 4 || broken || info.total_bytes == 0 || info.available_bytes > info.total_bytes ||
      info.swap_free_bytes > info.swap_total_bytes) {
    return std::nullopt;
  }
  return info;
}

std::optional<std::array<double, 3>> ParseLoadAverage(std::string_view text) {
  std::array<double, 3> load;
  for (double& value : load) {
    if (!TakeNumber(&text, &value)) return std::nullopt;
  }
  return load;
}

std::optional<double> ParseUptime(std::string_view text) {
  double seconds = 0;
  if (!TakeNumber(&text, &seconds)) return std::nullopt;
  return seconds;
}

std::optional<ProcessStat> ParseProcessStat(std::string_view text) {
  // "pid (name) state ppid ...": the name may hold anything, so count from its last parenthesis.
  const size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  text.remove_prefix(name_end + 1);
  ProcessStat stat;
  uint64_t user = 0;
  uint64_t system = 0;
  // Field numbers of proc(5).
  for (int field = 3; field <= 24; ++field) {
    const std::string_view word = TakeWord(&text);
    bool ok = !word.empty();
    if (field == 14) ok = ParseNumber(word, &user);
    if (field == 15) ok = ParseNumber(word, &system);
    if (field == 20) ok = ParseNumber(word, &stat.threads);
    if (field == 22) ok = ParseNumber(word, &stat.start_ticks);
    if (field == 24) ok = ParseNumber(word, &stat.resident_pages);
    if (!ok) return std::nullopt;
  }
  stat.cpu_ticks = user + system;
  return stat;
}

std::vector<DiskStats> ParseDiskStats(std::string_view text) {
  std::vector<DiskStats> disks;
  ForEachLine(text, [&](std::string_view line) {
    std::array<uint64_t, 2> device_number;
    if (disks.size() == kMaxDevices || !TakeNumbers(&line, &device_number)) return;
    const std::string_view device = TakeWord(&line);
    // reads, merged, sectors, ms; writes, merged, sectors, ms; in flight, ms with I/O
    std::array<uint64_t, 10> numbers;
    if (device.empty() || !TakeNumbers(&line, &numbers)) return;
    if (device.starts_with("loop") || device.starts_with("ram")) return;
    if (numbers[0] == 0 && numbers[4] == 0) return;
    for (const DiskStats& disk : disks) {
      if (IsPartitionOf(device, disk.device)) return;
    }
    disks.push_back(
        {std::string(device), numbers[2] * kSectorBytes, numbers[6] * kSectorBytes, numbers[9]});
  });
  return disks;
}

std::vector<NetworkStats> ParseNetDev(std::string_view text) {
  std::vector<NetworkStats> interfaces;
  ForEachLine(text, [&](std::string_view line) {
    // The two header lines have no colon. Wide counters follow the colon without a space.
    const size_t colon = line.find(':');
    if (interfaces.size() == kMaxDevices || colon == std::string_view::npos) return;
    std::string_view before = line.substr(0, colon);
    const std::string_view name = TakeWord(&before);
    line.remove_prefix(colon + 1);
    // Received: bytes, packets, errors, drops, fifo, frame, compressed, multicast; then sent.
    std::array<uint64_t, 16> numbers;
    if (name.empty() || !TakeNumbers(&line, &numbers)) return;
    if (name == "lo" || name.starts_with("veth")) return;
    if (numbers[0] == 0 && numbers[8] == 0) return;
    interfaces.push_back({std::string(name), numbers[0], numbers[8],
                          numbers[2] + numbers[3] + numbers[10] + numbers[11]});
  });
  return interfaces;
}

std::optional<double> CpuUsagePercent(const ProcStat& before, const ProcStat& after) {
  double all = 0;
  double idle = 0;
  for (size_t i = 0; i < kCpuModes.size(); ++i) {
    const double ticks = AsDouble(after.cpu_ticks[i]) - AsDouble(before.cpu_ticks[i]);
    const bool is_idle = kCpuModes[i] == "idle" || kCpuModes[i] == "iowait";
    // Idle and iowait may step back a little (proc(5)); the others may not.
    if (ticks < 0 && !is_idle) return std::nullopt;
    all += ticks;
    if (is_idle) idle += ticks;
  }
  if (all <= 0 || idle < 0) return std::nullopt;
  return 100.0 * (all - idle) / all;
}

HostCollector::HostCollector(HostMetricsOptions options, sdk::Client* client)
    : options_(std::move(options)),
      client_(client),
      ticks_per_second_(static_cast<double>(sysconf(_SC_CLK_TCK))) {}

void HostCollector::Collect() {
  CollectCpu();
  CollectMemory();
  CollectDisks();
  CollectFileSystem();
  CollectNetwork();
  CollectProcess();
  CollectDatabase();
}

std::optional<std::string> HostCollector::Read(const char* name) {
  std::optional<std::string> text;
  const std::string path = StrCat(options_.proc_root, "/", name);
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file >= 0) {
    text.emplace();
    char buffer[16384];
    ssize_t count;
    while (text->size() < kMaxProcFileBytes && (count = read(file, buffer, sizeof(buffer))) > 0) {
      text->append(buffer, static_cast<size_t>(count));
    }
    close(file);
    // Files of one line: without the newline the last number is a word of its own.
    while (!text->empty() && text->back() == '\n') text->pop_back();
  }
  CountIfMissing(text);
  return text;
}

template <typename T>
void HostCollector::CountIfMissing(const std::optional<T>& parsed) {
  client_->counter("host_metrics_read_errors_total").Add(parsed ? 0 : 1);
}

void HostCollector::CollectCpu() {
  if (const auto text = Read("stat")) {
    const auto stat = ParseProcStat(*text);
    CountIfMissing(stat);
    if (stat) {
      for (size_t i = 0; i < kCpuModes.size(); ++i) {
        client_->counter("host_cpu_seconds_total")
            .With({{"mode", kCpuModes[i]}})
            .SetTotal(AsDouble(stat->cpu_ticks[i]) / ticks_per_second_);
      }
      client_->gauge("host_cpu_count").Set(AsDouble(stat->cpus));
      client_->counter("host_context_switches_total")
          .With({})
          .SetTotal(AsDouble(stat->context_switches));
      client_->gauge("host_processes_running").Set(AsDouble(stat->processes_running));
      if (last_stat_) {
        if (const auto usage = CpuUsagePercent(*last_stat_, *stat)) {
          client_->gauge("host_cpu_usage_percent").Set(*usage);
        }
      }
    }
    last_stat_ = stat;
  }
  if (const auto text = Read("loadavg")) {
    const auto load = ParseLoadAverage(*text);
    CountIfMissing(load);
    if (load) {
      client_->gauge("host_load1").Set((*load)[0]);
      client_->gauge("host_load5").Set((*load)[1]);
      client_->gauge("host_load15").Set((*load)[2]);
    }
  }
  if (const auto text = Read("uptime")) {
    const auto seconds = ParseUptime(*text);
    CountIfMissing(seconds);
    if (seconds) client_->gauge("host_uptime_seconds").Set(*seconds);
  }
}

void HostCollector::CollectMemory() {
  const auto text = Read("meminfo");
  if (!text) return;
  const auto info = ParseMemInfo(*text);
  CountIfMissing(info);
  if (!info) return;
  const uint64_t used = info->total_bytes - info->available_bytes;
  client_->gauge("host_memory_total_bytes").Set(AsDouble(info->total_bytes));
  client_->gauge("host_memory_available_bytes").Set(AsDouble(info->available_bytes));
  client_->gauge("host_memory_used_bytes").Set(AsDouble(used));
  client_->gauge("host_memory_usage_percent")
      .Set(100.0 * AsDouble(used) / AsDouble(info->total_bytes));
  client_->gauge("host_swap_total_bytes").Set(AsDouble(info->swap_total_bytes));
  client_->gauge("host_swap_used_bytes")
      .Set(AsDouble(info->swap_total_bytes - info->swap_free_bytes));
}

void HostCollector::CollectDisks() {
  const auto text = Read("diskstats");
  if (!text) return;
  for (const DiskStats& disk : ParseDiskStats(*text)) {
    const sdk::LabelPair label[] = {{"device", disk.device}};
    client_->counter("host_disk_read_bytes_total").With(label).SetTotal(AsDouble(disk.read_bytes));
    client_->counter("host_disk_written_bytes_total")
        .With(label)
        .SetTotal(AsDouble(disk.written_bytes));
    client_->counter("host_disk_io_seconds_total").With(label).SetTotal(AsDouble(disk.io_ms) / 1e3);
  }
}

void HostCollector::CollectFileSystem() {
  if (options_.storage_path.empty()) return;
  struct statvfs info;
  if (statvfs(options_.storage_path.c_str(), &info) != 0 || info.f_blocks == 0) {
    CountIfMissing(std::optional<int>());
    return;
  }
  if (mountpoint_.empty()) mountpoint_ = MountpointOf(options_.storage_path);
  const sdk::LabelPair label[] = {{"mountpoint", mountpoint_}};
  const double block = static_cast<double>(info.f_frsize);
  const double used = static_cast<double>(info.f_blocks - info.f_bfree);
  const double available = static_cast<double>(info.f_bavail);
  client_->gauge("host_filesystem_size_bytes").With(label).Set(AsDouble(info.f_blocks) * block);
  client_->gauge("host_filesystem_used_bytes").With(label).Set(used * block);
  client_->gauge("host_filesystem_available_bytes").With(label).Set(available * block);
  // As df: of what users other than root can have.
  if (used + available > 0) {
    client_->gauge("host_filesystem_usage_percent")
        .With(label)
        .Set(100.0 * used / (used + available));
  }
}

void HostCollector::CollectNetwork() {
  const auto text = Read("net/dev");
  if (!text) return;
  for (const NetworkStats& network : ParseNetDev(*text)) {
    const sdk::LabelPair label[] = {{"interface", network.interface}};
    client_->counter("host_network_receive_bytes_total")
        .With(label)
        .SetTotal(AsDouble(network.received_bytes));
    client_->counter("host_network_transmit_bytes_total")
        .With(label)
        .SetTotal(AsDouble(network.transmitted_bytes));
    client_->counter("host_network_errors_total").With(label).SetTotal(AsDouble(network.errors));
  }
}

void HostCollector::CollectProcess() {
  if (const auto text = Read("self/stat")) {
    const auto stat = ParseProcessStat(*text);
    CountIfMissing(stat);
    if (stat) {
      client_->counter("process_cpu_seconds_total")
          .With({})
          .SetTotal(AsDouble(stat->cpu_ticks) / ticks_per_second_);
      client_->gauge("process_resident_memory_bytes")
          .Set(AsDouble(stat->resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE)));
      client_->gauge("process_threads").Set(AsDouble(stat->threads));
    }
  }
  const std::string path = StrCat(options_.proc_root, "/self/fd");
  if (DIR* const directory = opendir(path.c_str())) {
    int names = 0;
    while (readdir(directory) != nullptr) ++names;
    closedir(directory);
    // Not ".", "..", nor the handle this very listing needs.
    client_->gauge("process_open_fds").Set(names > 3 ? names - 3 : 0);
  }
}

void HostCollector::CollectDatabase() {
  if (!options_.db_stats) return;
  const DbStats stats = options_.db_stats();
  const auto gauge = [&](const char* name, uint64_t value) {
    client_->gauge(name).Set(AsDouble(value));
  };
  const auto counter = [&](const char* name, uint64_t value) {
    client_->counter(name).With({}).SetTotal(AsDouble(value));
  };
  gauge("tinyobs_series", stats.series);
  gauge("tinyobs_series_limit", stats.max_series);
  gauge("tinyobs_storage_samples", stats.samples);
  gauge("tinyobs_storage_disk_bytes", stats.disk_bytes);
  gauge("tinyobs_storage_head_log_bytes", stats.head_log_bytes);
  gauge("tinyobs_head_samples", stats.head_samples);
  gauge("tinyobs_head_bytes", stats.memory.head_bytes + stats.memory.index_bytes);
  gauge("tinyobs_memtable_bytes", stats.memory.memtable_bytes);
  gauge("tinyobs_block_cache_bytes", stats.memory.block_cache_bytes);
  gauge("tinyobs_storage_writable", stats.background_error.empty() ? 1 : 0);
  for (size_t i = 0; i < stats.levels.size() && i < kMaxDevices; ++i) {
    const std::string level = StrCat(i);
    client_->gauge("tinyobs_storage_level_files")
        .Set(AsDouble(stats.levels[i].files), {{"level", level}});
    client_->gauge("tinyobs_storage_level_bytes")
        .Set(AsDouble(stats.levels[i].bytes), {{"level", level}});
  }
  counter("tinyobs_samples_appended_total", stats.samples_appended);
  counter("tinyobs_samples_rejected_total", stats.samples_rejected);
  counter("tinyobs_commits_total", stats.commits);
  counter("tinyobs_chunks_sealed_total", stats.chunks_sealed);
  counter("tinyobs_flushes_total", stats.flushes);
  counter("tinyobs_compactions_total", stats.compactions);
  counter("tinyobs_flush_written_bytes_total", stats.bytes_written_by_flush);
  counter("tinyobs_compaction_written_bytes_total", stats.bytes_written_by_compaction);
  counter("tinyobs_write_stalls_total", stats.stalls);
}

absl::StatusOr<std::unique_ptr<HostMetrics>> HostMetrics::Start(HostMetricsOptions options,
                                                                Appendable* database,
                                                                int64_t interval_ms) {
  sdk::Config config;
  config.service = "tinyobs-serve";
  config.flush_every_ms = interval_ms;
  // Far more than it needs; what a full disk holds back stays small.
  config.max_series = 2000;
  config.max_queue = 20'000;
  std::unique_ptr<HostMetrics> metrics(new HostMetrics);
  TINYOBS_ASSIGN_OR_RETURN(metrics->client_,
                           sdk::Client::Create(config, sdk::NewInProcessTransport(database)));
  metrics->collector_ = std::make_unique<HostCollector>(std::move(options), metrics->client_.get());
  metrics->client_->OnCollect([collector = metrics->collector_.get()] { collector->Collect(); });
  TINYOBS_RETURN_IF_ERROR(metrics->client_->Start());
  return metrics;
}

}  // namespace tinyobs::serve
