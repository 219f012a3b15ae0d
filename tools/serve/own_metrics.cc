// GET /metrics: the process, the HTTP server and the database, for a Prometheus that watches this
// TinyObs.
#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "lib/wire/exposition_text.h"
#include "tinyobs/version.h"
#include "tools/serve/status_handler.h"

namespace tinyobs::serve {
namespace {

using wire::ExpositionWriter;

double ResidentBytes() {
  std::FILE* const file = std::fopen("/proc/self/statm", "re");
  if (file == nullptr) return 0;
  long total = 0;
  long resident = 0;
  if (std::fscanf(file, "%ld %ld", &total, &resident) != 2) resident = 0;
  std::fclose(file);
  return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

double OpenFiles() {
  DIR* const folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  int count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count - 3;  // ".", ".." and the folder itself
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

template <typename T>
void Single(ExpositionWriter* out, const char* name, const char* type, const char* help, T value) {
  out->Family(name, type, help);
  out->Sample(static_cast<double>(value));
}

void WriteProcess(const HandlerContext& context, ExpositionWriter* out) {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  Single(out, "process_cpu_seconds_total", "counter", "User and system CPU time spent, in seconds.",
         Seconds(usage.ru_utime) + Seconds(usage.ru_stime));
  Single(out, "process_resident_memory_bytes", "gauge", "Resident memory.", ResidentBytes());
  Single(out, "process_open_fds", "gauge", "Open file handles.", OpenFiles());
  Single(out, "process_start_time_seconds", "gauge", "Start of the server, Unix time in seconds.",
         static_cast<double>(context.start_ms) / 1000);
  out->Family("tinyobs_build_info", "gauge", "Version of the running server.");
  out->Sample(1, {{"version", TINYOBS_VERSION}});
}

void WriteHttp(const HttpCounters& http, ExpositionWriter* out) {
  Single(out, "tinyobs_http_connections", "gauge", "Open connections.",
         http.connections_open.load());
  Single(out, "tinyobs_http_connections_accepted_total", "counter", "Connections accepted.",
         http.connections_accepted.load());
  Single(out, "tinyobs_http_connections_refused_total", "counter",
         "Connections refused because too many were open.", http.connections_refused.load());
  Single(out, "tinyobs_http_requests_refused_total", "counter",
         "Requests answered 503 because a queue or a byte budget was full.",
         http.requests_refused.load());
  Single(out, "tinyobs_http_requests_malformed_total", "counter", "Requests that were not HTTP.",
         http.requests_malformed.load());
  Single(out, "tinyobs_http_timeouts_total", "counter", "Connections closed for being too slow.",
         http.timeouts.load());
  Single(out, "tinyobs_http_request_body_bytes_total", "counter", "Bytes of request bodies read.",
         http.request_body_bytes.load());
  Single(out, "tinyobs_http_response_body_bytes_total", "counter",
         "Bytes of answers begun to be written.", http.response_body_bytes.load());
  out->Family("tinyobs_http_responses_total", "counter", "Answers by class of their status.");
  constexpr const char* kClasses[6] = {"0xx", "1xx", "2xx", "3xx", "4xx", "5xx"};
  for (int i = 2; i < 6; ++i) {
    out->Sample(static_cast<double>(http.responses_by_class[i].load()), {{"class", kClasses[i]}});
  }
}

void WriteStore(const DbStats& stats, ExpositionWriter* out) {
  Single(out, "tinyobs_series", "gauge", "Series in the database.", stats.series);
  Single(out, "tinyobs_series_limit", "gauge", "Series the database may hold, 0 = no limit.",
         stats.max_series);
  Single(out, "tinyobs_series_refused_total", "counter",
         "New series refused at a series limit since start; in a dry run, that would have been.",
         stats.series_refused);
  Single(out, "tinyobs_samples", "gauge", "Samples in the database.", stats.samples);
  Single(out, "tinyobs_disk_bytes", "gauge", "Everything in the database's folder.",
         stats.disk_bytes);
  Single(out, "tinyobs_head_log_bytes", "gauge", "Size of the head log.", stats.head_log_bytes);
  Single(out, "tinyobs_head_samples", "gauge", "Samples not yet in a sealed chunk.",
         stats.head_samples);
  Single(out, "tinyobs_head_bytes", "gauge", "Memory of head and index, estimated.",
         stats.memory.head_bytes + stats.memory.index_bytes);
  Single(out, "tinyobs_memtable_bytes", "gauge", "Memory of memtables.",
         stats.memory.memtable_bytes);
  Single(out, "tinyobs_block_cache_bytes", "gauge", "Memory of the block cache.",
         stats.memory.block_cache_bytes);
  Single(out, "tinyobs_samples_appended_total", "counter", "Samples stored since start.",
         stats.samples_appended);
  Single(out, "tinyobs_samples_rejected_total", "counter", "Samples refused since start.",
         stats.samples_rejected);
  Single(out, "tinyobs_commits_total", "counter", "Batches stored since start.", stats.commits);
  Single(out, "tinyobs_chunks_sealed_total", "counter", "Chunks sealed since start.",
         stats.chunks_sealed);
  Single(out, "tinyobs_flushes_total", "counter", "Memtables written since start.", stats.flushes);
  Single(out, "tinyobs_compactions_total", "counter", "Compactions since start.",
         stats.compactions);
  Single(out, "tinyobs_flush_bytes_total", "counter", "Bytes written by flushes.",
         stats.bytes_written_by_flush);
  Single(out, "tinyobs_compaction_bytes_total", "counter", "Bytes written by compactions.",
         stats.bytes_written_by_compaction);
  Single(out, "tinyobs_write_stalls_total", "counter", "Writes that had to wait.", stats.stalls);
  Single(out, "tinyobs_read_only", "gauge", "1 while writes are refused after an I/O error.",
         stats.background_error.empty() ? 0 : 1);
}

double UnixSeconds(int64_t ms) { return static_cast<double>(ms) / 1000; }

void WriteTiers(const DbStats& stats, int64_t now_ms, ExpositionWriter* out) {
  const auto by_tier = [&](const char* name, const char* type, const char* help, const auto& of) {
    out->Family(name, type, help);
    for (size_t i = 0; i < stats.tiers.size(); ++i) {
      out->Sample(static_cast<double>(of(i)),
                  {{"resolution", ResolutionName(static_cast<Resolution>(i))}});
    }
  };
  const auto& tiers = stats.tiers;
  by_tier("tinyobs_tier_bytes", "gauge", "Files of each resolution.",
          [&](size_t i) { return tiers[i].bytes; });
  by_tier("tinyobs_tier_samples", "gauge", "Samples in sealed chunks; of 5m and 1h, windows.",
          [&](size_t i) { return tiers[i].samples; });
  by_tier("tinyobs_tier_partitions", "gauge", "Partitions of each resolution.",
          [&](size_t i) { return tiers[i].partitions; });
  by_tier("tinyobs_tier_waiting_partitions", "gauge",
          "Partitions that are over and not wholly in the next coarser resolution.",
          [&](size_t i) { return tiers[i].waiting_partitions; });
  by_tier("tinyobs_tier_lag_seconds", "gauge",
          "Age of the oldest data that waits for the next coarser resolution; 0 = none waits.",
          [&](size_t i) {
            const TierStats& tier = tiers[i];
            const int64_t done_ms = tier.complete_ms != 0 ? tier.complete_ms : tier.oldest_ms;
            return tier.waiting_partitions == 0 ? 0 : UnixSeconds(now_ms - done_ms);
          });
  by_tier("tinyobs_partitions_expired_total", "counter",
          "Partitions dropped since start because they were older than their retention.",
          [&](size_t i) { return stats.retention.partitions_expired[i]; });
  Single(out, "tinyobs_partitions_dropped_for_room_total", "counter",
         "Partitions dropped since start because the disk space was used up.",
         stats.retention.partitions_dropped_for_room);
  const DownsamplingStats& runs = stats.downsampling;
  Single(out, "tinyobs_downsampling_runs_total", "counter", "Runs since start.", runs.runs);
  Single(out, "tinyobs_downsampling_rows_total", "counter", "Rows of windows written since start.",
         runs.rows_written);
  Single(out, "tinyobs_downsampling_consecutive_failures", "gauge", "Runs that failed in a row.",
         runs.consecutive_failures);
  Single(out, "tinyobs_downsampling_last_success_timestamp_seconds", "gauge",
         "Unix time of the last run that succeeded; 0 = none since start.",
         UnixSeconds(runs.last_success_ms));
  Single(out, "tinyobs_downsampling_last_run_seconds", "gauge", "How long the last run took.",
         UnixSeconds(runs.last_run_took_ms));
}

}  // namespace

Handler OwnMetricsHandler(const HandlerContext* context, const HttpCounters* counters) {
  return [context, counters](const HttpRequest&) {
    ExpositionWriter out;
    WriteProcess(*context, &out);
    WriteHttp(*counters, &out);
    const DbStats stats = context->db->Stats();
    WriteStore(stats, &out);
    WriteTiers(stats, context->clock->NowMs(), &out);
    HttpResponse response;
    response.SetHeader("Content-Type", wire::kExpositionContentType);
    response.body = out.Finish();
    return response;
  };
}

}  // namespace tinyobs::serve
