// The command line and the environment of tinyobs-serve.
//
// A flag beats the environment, the environment beats the default. A bad flag is a typing mistake
// somebody is looking at: an error. A bad variable may have been set years ago by somebody else,
// and the Go original starts anyway: logged, and the default is used. Except where the default
// deletes what the variable was meant to keep: those that stand for a flag are as strict as it.
//
// Thread-safety: pure functions.
#ifndef TINYOBS_TOOLS_SERVE_FLAGS_H_
#define TINYOBS_TOOLS_SERVE_FLAGS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tinyobs/options.h"

namespace tinyobs::serve {

struct Flags {
  static constexpr int64_t kDayMs = 24 * 3'600'000;
  enum class Action { kServe, kHelp, kVersion };
  Action action = Action::kServe;

  std::string listen_address = "127.0.0.1";
  uint16_t listen_port = 8080;
  bool admin_api = false;
  std::string storage_path = "./data/tinyobs";
  SyncPolicy sync_policy = SyncPolicy::kInterval;
  bool host_metrics = true;

  bool downsampling = true;
  // 0 = forever. Raw samples never longer than windows of 5m, and those never longer than of 1h.
  Retention retention = {
      .raw_ms = 14 * kDayMs, .five_minutes_ms = 90 * kDayMs, .one_hour_ms = 365 * kDayMs};
  StorageFull storage_full = StorageFull::kReject;

  // PromQL, as Prometheus' flags of these names.
  int64_t query_timeout_ms = 120'000;
  uint64_t query_max_samples = 50'000'000;
  int query_max_concurrency = 20;
  int64_t query_lookback_ms = 300'000;

  uint64_t max_series_per_metric = 0;  // 0 = no limit
  bool cardinality_dry_run = false;
  uint64_t max_series = 10'000;       // TINYOBS_MAX_CARDINALITY; 0 = no limit
  uint64_t max_storage_gb = 1;        // TINYOBS_MAX_STORAGE_GB; 0 = no limit
  uint64_t max_memory_mb = 48;        // TINYOBS_MAX_MEMORY_MB
  std::vector<std::string> warnings;  // to be logged: variables that could not be read
};

// The value of an environment variable, nullopt when it is not set.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;

// `arguments` without the program's name. A flag is --name=value or --name value. InvalidArgument:
// what is wrong, which flag was probably meant, and where to read more.
absl::StatusOr<Flags> ParseFlags(std::span<const std::string> arguments,
                                 const Environment& environment);

// What --help prints.
std::string HelpText();

}  // namespace tinyobs::serve

#endif  // TINYOBS_TOOLS_SERVE_FLAGS_H_
