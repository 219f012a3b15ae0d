// tinyobs-serve: opens a database, serves it over HTTP, and stops cleanly.
//
// Start: flags -> database -> socket -> host metrics -> one line on stdout with the real address.
// Stop (SIGTERM or SIGINT): host metrics -> server (requests in flight finish) -> database, within
// 30 seconds; a second signal ends the process at once. Nothing acknowledged is lost either way.
//
// Exit status: 0 after a clean stop, 1 when it cannot start (or stop), 2 for a mistake on the
// command line.
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <vector>

#include "lib/base/strings.h"
#include "tinyobs/db.h"
#include "tinyobs/version.h"
#include "tools/dashboard/assets.h"
#include "tools/serve/app.h"
#include "tools/serve/file_handles.h"
#include "tools/serve/flags.h"
#include "tools/serve/host_metrics.h"
#include "tools/serve/http_server.h"
#include "tools/serve/log.h"

namespace tinyobs::serve {
namespace {

constexpr unsigned kStopSeconds = 30;
constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kGiB = uint64_t{1} << 30;
constexpr size_t kMostWaitingQueries = 128;

std::optional<std::string> EnvironmentVariable(std::string_view name) {
  const char* const value = std::getenv(std::string(name).c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

Options DbOptions(const Flags& flags) {
  Options options;
  options.sync_policy = flags.sync_policy;
  options.max_series = flags.max_series;
  options.max_series_per_metric = flags.max_series_per_metric;
  options.cardinality_dry_run = flags.cardinality_dry_run;
  options.max_storage_bytes = flags.max_storage_gb * kGiB;
  options.storage_full = flags.storage_full;
  options.downsampling = flags.downsampling;
  options.retention.raw_ms = flags.retention.raw_ms;
  if (flags.downsampling) options.retention = flags.retention;
  // The engine gets two thirds; the rest is for requests, and an eighth for the names of series.
  options.memory_budget_bytes = flags.max_memory_mb * kMiB * 2 / 3;
  options.logger = [](std::string_view line) { LogLine(line); };
  return options;
}

// As far back as there can be data, and a day, as a year may have 366; at least the original's 90.
int64_t MaxRangeMs(const Flags& flags) {
  constexpr int64_t kLeastMs = 90 * Flags::kDayMs;
  const Retention& keep = flags.retention;
  const int64_t longest_ms = flags.downsampling ? keep.one_hour_ms : keep.raw_ms;
  return longest_ms == 0 ? 0 : std::max(kLeastMs, longest_ms + Flags::kDayMs);
}

absl::StatusOr<std::unique_ptr<Db>> OpenDb(const Flags& flags) {
  std::error_code error;
  std::filesystem::create_directories(flags.storage_path, error);
  if (error) {
    return absl::PermissionDeniedError(StrCat("cannot make the folder ", flags.storage_path, ": ",
                                              error.message(),
                                              ". Choose another one with --storage.path=DIR"));
  }
  auto db = Db::Open(flags.storage_path, DbOptions(flags));
  if (db.ok()) return db;
  return absl::Status(
      db.status().code(),
      ToAbsl(StrCat("cannot open the database in ", flags.storage_path, ": ",
                    FromAbsl(db.status().message()),
                    ". If another tinyobs-serve uses this folder, stop it or choose another folder "
                    "with --storage.path=DIR")));
}

std::optional<Page> FindDashboardPage(std::string_view path) {
  const dashboard::Asset* const asset = dashboard::FindAsset(path);
  if (asset == nullptr) return std::nullopt;
  return Page{.content_type = asset->content_type, .body = asset->body, .etag = asset->etag};
}

// "[::1]" for addresses with colons.
std::string UrlHost(const std::string& address) {
  return address.find(':') == std::string::npos ? address : StrCat("[", address, "]");
}

// SIGTERM and SIGINT are blocked in every thread and taken here.
class StopSignals {
 public:
  StopSignals() {
    sigemptyset(&set_);
    sigaddset(&set_, SIGTERM);
    sigaddset(&set_, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set_, nullptr);
    signal(SIGPIPE, SIG_IGN);
  }
  std::string_view Wait() {
    int received = 0;
    sigwait(&set_, &received);
    // From now on a second one has its usual effect, and so has too much time.
    pthread_sigmask(SIG_UNBLOCK, &set_, nullptr);
    signal(SIGALRM, [](int) {
      constexpr std::string_view kLate = "stopping takes too long, giving up\n";
      [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, kLate.data(), kLate.size());
      _exit(1);
    });
    alarm(kStopSeconds);
    return received == SIGINT ? "SIGINT" : "SIGTERM";
  }

 private:
  sigset_t set_;
};

int Fail(const absl::Status& status) {
  LogLine(StrCat("error: ", FromAbsl(status.message())));
  return 1;
}

std::unique_ptr<HostMetrics> StartHostMetrics(const Flags& flags, Db* db) {
  if (!flags.host_metrics) return nullptr;
  auto started = HostMetrics::Start(
      {.storage_path = flags.storage_path, .db_stats = [db] { return db->Stats(); }}, db);
  if (started.ok()) return *std::move(started);
  // Worth a line, not worth refusing to serve.
  LogLine(StrCat("warning: no host metrics: ", FromAbsl(started.status().message())));
  return nullptr;
}

int Serve(const Flags& flags, StopSignals* signals) {
  // Before the database opens its files.
  const uint64_t handle_limit = RaiseHandleLimit();
  auto db = OpenDb(flags);
  if (!db.ok()) return Fail(db.status());

  HttpCounters counters;
  ByteBudget request_bytes(kMaxRequestBytesInFlight);
  // What the database does not get is for answers, mostly.
  ByteBudget response_bytes(std::min(kMaxResponseBytesInFlight, flags.max_memory_mb * kMiB / 3));
  HttpServerOptions server_options;
  server_options.address = flags.listen_address;
  server_options.port = flags.listen_port;
  server_options.max_connections = MaxConnections(handle_limit);
  server_options.request_bytes = &request_bytes;
  server_options.response_bytes = &response_bytes;
  // Threads of queries that wait for their turn, too.
  server_options.slow_handler_threads =
      static_cast<size_t>(flags.query_max_concurrency) + kMostWaitingQueries;
  server_options.counters = &counters;
  auto server = HttpServer::Listen(server_options);
  if (!server.ok()) return Fail(server.status());

  HandlerContext context;
  context.db = db->get();
  context.clock = Clock::System();
  context.start_ms = context.clock->NowMs();
  context.request_bytes = &request_bytes;
  context.response_bytes = &response_bytes;
  context.max_answer_bytes = std::min(context.max_answer_bytes, response_bytes.limit());
  context.max_promql_answer_bytes =
      std::min(context.max_promql_answer_bytes, response_bytes.limit());
  context.max_storage_bytes = flags.max_storage_gb * kGiB;
  context.max_range_ms = MaxRangeMs(flags);
  context.promql_timeout_ms = flags.query_timeout_ms;
  context.promql_max_samples = flags.query_max_samples;
  context.promql_max_concurrency = flags.query_max_concurrency;
  context.promql_lookback_ms = flags.query_lookback_ms;
  context.admin_api = flags.admin_api;
  context.storage_path = flags.storage_path;
  context.series_cache_bytes = flags.max_memory_mb * kMiB / 8;
  const uint16_t port = (*server)->port();
  (*server)->Serve(MakeApp(&context, &counters, AccessPolicy(flags.listen_address, port),
                           FindDashboardPage, server_options.max_body_bytes),
                   KindOfRequest);
  const auto host_metrics = StartHostMetrics(flags, db->get());

  std::printf("tinyobs-serve listening on http://%s:%d\n", UrlHost(flags.listen_address).c_str(),
              port);
  std::fflush(stdout);

  LogLine(StrCat("stopping: ", signals->Wait()));
  if (host_metrics != nullptr) {
    if (const absl::Status sent = host_metrics->Stop(); !sent.ok()) {
      LogLine(StrCat("warning: last host metrics: ", FromAbsl(sent.message())));
    }
  }
  (*server)->Stop();
  if (const absl::Status closed = (*db)->Close(); !closed.ok()) return Fail(closed);
  LogLine("stopped");
  return 0;
}

int Main(const std::vector<std::string>& arguments) {
  const auto flags = ParseFlags(arguments, EnvironmentVariable);
  if (!flags.ok()) {
    std::fprintf(stderr, "tinyobs-serve: %s\n", std::string(flags.status().message()).c_str());
    return 2;
  }
  if (flags->action == Flags::Action::kHelp) {
    std::fputs(HelpText().c_str(), stdout);
    return 0;
  }
  if (flags->action == Flags::Action::kVersion) {
    std::puts("tinyobs-serve " TINYOBS_VERSION);
    return 0;
  }
  // Before the first thread, which inherits the mask.
  StopSignals signals;
  for (const std::string& warning : flags->warnings) LogLine(warning);
  return Serve(*flags, &signals);
}

}  // namespace
}  // namespace tinyobs::serve

int main(int argc, char** argv) {
  // As glibc begins, and not rising with each large block that is freed: buffers of megabytes go
  // back to the system instead of leaving holes among series that stay. With many series that come
  // and go, this halves the memory of the process.
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
  // A heap a processor and not eight: what one query leaves free in its heap, the next one, on
  // another thread, takes again.
  mallopt(M_ARENA_MAX, static_cast<int>(std::max(1u, std::thread::hardware_concurrency())));
  return tinyobs::serve::Main(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
}
