// One table of flags; parsing, help and suggestions read it.
#include "tools/serve/flags.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/duration.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs::serve {
namespace {

constexpr std::string_view kSeeHelp = ". See tinyobs-serve --help";

std::optional<uint64_t> ParseInteger(std::string_view text, uint64_t most) {
  uint64_t value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size() || value > most) {
    return std::nullopt;
  }
  return value;
}

// "127.0.0.1:8080", "[::1]:8080", ":8080" (this machine only), "localhost:0".
absl::Status SetListenAddress(std::string_view text, Flags* flags) {
  const size_t colon = text.rfind(':');
  const auto port =
      colon == std::string_view::npos
          ? std::nullopt
          : ParseInteger(text.substr(colon + 1), std::numeric_limits<uint16_t>::max());
  if (!port.has_value()) {
    return absl::InvalidArgumentError(
        StrCat("--web.listen-address=", text, " is not ADDRESS:PORT, as in 127.0.0.1:8080"));
  }
  std::string_view address = text.substr(0, colon);
  if (address.starts_with('[') && address.ends_with(']')) {
    address = address.substr(1, address.size() - 2);
  }
  flags->listen_address = address.empty() ? "127.0.0.1" : std::string(address);
  flags->listen_port = static_cast<uint16_t>(*port);
  return absl::OkStatus();
}

absl::Status SetSyncPolicy(std::string_view text, Flags* flags) {
  if (text == "always") {
    flags->sync_policy = SyncPolicy::kAlways;
  } else if (text == "interval") {
    flags->sync_policy = SyncPolicy::kInterval;
  } else if (text == "none") {
    flags->sync_policy = SyncPolicy::kNone;
  } else {
    return absl::InvalidArgumentError(
        StrCat("--storage.sync=", text, " is not one of always, interval, none"));
  }
  return absl::OkStatus();
}

constexpr uint64_t kMostSeries = uint64_t{1} << 40;

absl::Status SetMaxSeriesPerMetric(std::string_view text, Flags* flags) {
  const auto limit = ParseInteger(text, kMostSeries);
  if (!limit.has_value()) {
    return absl::InvalidArgumentError(StrCat("--storage.max-series-per-metric=", text,
                                             " is not an integer from 0 to ", kMostSeries));
  }
  flags->max_series_per_metric = *limit;
  return absl::OkStatus();
}

absl::Status SetRetention(std::string_view flag, std::string_view text, int64_t* duration_ms) {
  if (text == "0") {
    *duration_ms = 0;
    return absl::OkStatus();
  }
  const auto read = ParseDurationMs(text);
  if (!read.ok()) {
    return absl::InvalidArgumentError(
        StrCat(flag, ": ", FromAbsl(read.status().message()), ", or 0 for ever"));
  }
  *duration_ms = *read;
  return absl::OkStatus();
}

// A duration that is not 0.
absl::Status SetDuration(std::string_view flag, std::string_view text, int64_t* duration_ms) {
  const auto read = ParseDurationMs(text);
  if (!read.ok()) {
    return absl::InvalidArgumentError(StrCat(flag, ": ", FromAbsl(read.status().message())));
  }
  *duration_ms = *read;
  return absl::OkStatus();
}

template <typename Integer>
absl::Status SetInteger(std::string_view flag, std::string_view text, uint64_t least, uint64_t most,
                        Integer* number) {
  const auto read = ParseInteger(text, most);
  if (!read.has_value() || *read < least) {
    return absl::InvalidArgumentError(
        StrCat(flag, "=", text, " is not an integer from ", least, " to ", most));
  }
  *number = static_cast<Integer>(*read);
  return absl::OkStatus();
}

absl::Status SetStorageFull(std::string_view text, Flags* flags) {
  if (text == "reject") {
    flags->storage_full = StorageFull::kReject;
  } else if (text == "drop-oldest") {
    flags->storage_full = StorageFull::kDropOldest;
  } else {
    return absl::InvalidArgumentError(
        StrCat("--storage.full=", text, " is not one of reject, drop-oldest"));
  }
  return absl::OkStatus();
}

// Finer resolutions leave first: what is asked for would otherwise have holes in the middle.
absl::Status CheckRetention(const Flags& flags) {
  if (!flags.downsampling) return absl::OkStatus();
  const auto check = [](std::string_view finer, int64_t finer_ms, std::string_view coarser,
                        int64_t coarser_ms) {
    if (coarser_ms == 0 || (finer_ms != 0 && finer_ms <= coarser_ms)) return absl::OkStatus();
    const auto text = [](int64_t ms) { return ms == 0 ? "ever" : FormatDurationMs(ms); };
    return absl::InvalidArgumentError(
        StrCat(finer, " keeps its data for ", text(finer_ms), ", longer than ", coarser, " (",
               text(coarser_ms), "): raise ", coarser, " to as much, or lower ", finer));
  };
  const Retention& keep = flags.retention;
  TINYOBS_RETURN_IF_ERROR(check("--storage.retention.raw", keep.raw_ms, "--storage.retention.5m",
                                keep.five_minutes_ms));
  return check("--storage.retention.5m", keep.five_minutes_ms, "--storage.retention.1h",
               keep.one_hour_ms);
}

absl::Status SetStoragePath(std::string_view text, Flags* flags) {
  if (text.empty()) return absl::InvalidArgumentError("--storage.path needs a folder");
  flags->storage_path = std::string(text);
  return absl::OkStatus();
}

struct FlagRow {
  std::string_view name;
  std::string_view value;  // placeholder in the help; empty = the flag takes none
  std::string_view help;
  absl::Status (*set)(std::string_view value, Flags* flags);
  std::string_view variable = {};  // of the environment, with the same values; empty = none
};

constexpr FlagRow kFlags[] = {
    {"--web.listen-address", "ADDRESS:PORT",
     "where to listen (default 127.0.0.1:8080; port 0 = any free one)", SetListenAddress},
    {"--web.enable-admin-api", "",
     "let clients delete series and make snapshots, under /api/v1/admin",
     [](std::string_view, Flags* flags) {
       flags->admin_api = true;
       return absl::OkStatus();
     }},
    {"--storage.path", "DIR", "the database's folder, made when missing (default ./data/tinyobs)",
     SetStoragePath},
    {"--storage.sync", "WHEN",
     "always: an answered write survives power loss; interval (default): it survives a crash of "
     "the\n      process, power loss costs up to a second; none: as the operating system likes",
     SetSyncPolicy},
    {"--storage.max-series-per-metric", "N",
     "series that each metric may have (default 0 = no limit)", SetMaxSeriesPerMetric},
    {"--storage.cardinality-dry-run", "",
     "refuse no series: count and log what the limits would refuse",
     [](std::string_view, Flags* flags) {
       flags->cardinality_dry_run = true;
       return absl::OkStatus();
     }},
    {"--storage.retention.raw", "TIME",
     "how long samples are kept as they came (default 14d; as 15s, 1h30m, 2w, 1y; 0 = for ever)",
     [](std::string_view text, Flags* flags) {
       return SetRetention("--storage.retention.raw", text, &flags->retention.raw_ms);
     },
     "TINYOBS_RETENTION_RAW"},
    {"--storage.retention.5m", "TIME",
     "how long windows of five minutes are kept, at least as long as raw samples (default 90d)",
     [](std::string_view text, Flags* flags) {
       return SetRetention("--storage.retention.5m", text, &flags->retention.five_minutes_ms);
     },
     "TINYOBS_RETENTION_5M"},
    {"--storage.retention.1h", "TIME",
     "how long windows of an hour are kept, at least as long as those of five minutes (default 1y)",
     [](std::string_view text, Flags* flags) {
       return SetRetention("--storage.retention.1h", text, &flags->retention.one_hour_ms);
     },
     "TINYOBS_RETENTION_1H"},
    {"--no-downsampling", "",
     "make no windows: samples are kept as they came, for --storage.retention.raw",
     [](std::string_view, Flags* flags) {
       flags->downsampling = false;
       return absl::OkStatus();
     }},
    {"--storage.full", "WHAT",
     "at TINYOBS_MAX_STORAGE_GB, reject (default): writes are answered 507; drop-oldest: the "
     "oldest "
     "data\n      makes room",
     SetStorageFull, "TINYOBS_STORAGE_FULL"},
    {"--query.timeout", "TIME", "a PromQL query ends after this long (default 2m)",
     [](std::string_view text, Flags* flags) {
       return SetDuration("--query.timeout", text, &flags->query_timeout_ms);
     }},
    {"--query.max-samples", "N",
     "samples that one PromQL query may hold in memory (default 50000000; 0 = no limit)",
     [](std::string_view text, Flags* flags) {
       return SetInteger("--query.max-samples", text, 0, uint64_t{1} << 40,
                         &flags->query_max_samples);
     }},
    {"--query.max-concurrency", "N", "PromQL queries that run at once; others wait (default 20)",
     [](std::string_view text, Flags* flags) {
       return SetInteger("--query.max-concurrency", text, 1, 1000, &flags->query_max_concurrency);
     }},
    {"--query.lookback-delta", "TIME",
     "how far back PromQL looks for the latest sample of a series (default 5m)",
     [](std::string_view text, Flags* flags) {
       return SetDuration("--query.lookback-delta", text, &flags->query_lookback_ms);
     }},
    {"--no-host-metrics", "", "do not watch this machine and this server",
     [](std::string_view, Flags* flags) {
       flags->host_metrics = false;
       return absl::OkStatus();
     }},
    {"--help", "", "this text",
     [](std::string_view, Flags* flags) {
       flags->action = Flags::Action::kHelp;
       return absl::OkStatus();
     }},
    {"--version", "", "the version",
     [](std::string_view, Flags* flags) {
       flags->action = Flags::Action::kVersion;
       return absl::OkStatus();
     }},
};

struct VariableRow {
  std::string_view name;
  std::string_view help;
  uint64_t least;
  uint64_t most;
  void (*set)(uint64_t value, Flags* flags);
};

constexpr VariableRow kVariables[] = {
    {"PORT", "port to listen on (default 8080)", 0, 65'535,
     [](uint64_t value, Flags* flags) { flags->listen_port = static_cast<uint16_t>(value); }},
    {"TINYOBS_MAX_CARDINALITY", "series that may exist (default 10000; 0 = no limit)", 0,
     kMostSeries, [](uint64_t value, Flags* flags) { flags->max_series = value; }},
    {"TINYOBS_MAX_SERIES_PER_METRIC", "as --storage.max-series-per-metric", 0, kMostSeries,
     [](uint64_t value, Flags* flags) { flags->max_series_per_metric = value; }},
    {"TINYOBS_CARDINALITY_DRY_RUN", "1: as --storage.cardinality-dry-run", 0, 1,
     [](uint64_t value, Flags* flags) { flags->cardinality_dry_run = value == 1; }},
    {"TINYOBS_NO_DOWNSAMPLING", "1: as --no-downsampling", 0, 1,
     [](uint64_t value, Flags* flags) { flags->downsampling = value == 0; }},
    {"TINYOBS_MAX_STORAGE_GB", "disk space of the database (default 1; 0 = no limit)", 0,
     uint64_t{1} << 30, [](uint64_t value, Flags* flags) { flags->max_storage_gb = value; }},
    {"TINYOBS_MAX_MEMORY_MB", "memory of the storage engine (default 48)", 4, uint64_t{1} << 20,
     [](uint64_t value, Flags* flags) { flags->max_memory_mb = value; }},
};

// Edits (insert, delete, replace a character) from one text to the other.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row[b.size()];
}

absl::Status UnknownFlag(std::string_view name) {
  // Long garbage is not a typing mistake, and the distance is quadratic.
  if (name.size() > 100) return absl::InvalidArgumentError(StrCat("unknown flag", kSeeHelp));
  const auto nearest = std::min_element(
      std::begin(kFlags), std::end(kFlags), [name](const FlagRow& a, const FlagRow& b) {
        return EditDistance(a.name, name) < EditDistance(b.name, name);
      });
  return absl::InvalidArgumentError(
      StrCat("unknown flag ", name, "; did you mean ", nearest->name, "?", kSeeHelp.substr(1)));
}

absl::Status ReadEnvironment(const Environment& environment, Flags* flags) {
  for (const FlagRow& flag : kFlags) {
    if (flag.variable.empty()) continue;
    const auto text = environment(flag.variable);
    if (!text.has_value() || text->empty()) continue;
    if (const absl::Status set = flag.set(*text, flags); !set.ok()) {
      return absl::InvalidArgumentError(
          StrCat("variable ", flag.variable, ": ", FromAbsl(set.message())));
    }
  }
  for (const VariableRow& variable : kVariables) {
    const auto text = environment(variable.name);
    if (!text.has_value() || text->empty()) continue;
    const auto value = ParseInteger(*text, variable.most);
    if (value.has_value() && *value >= variable.least) {
      variable.set(*value, flags);
    } else {
      flags->warnings.push_back(StrCat("warning: ", variable.name, "=\"",
                                       EscapeForMessage(*text, 40), "\" is not an integer from ",
                                       variable.least, " to ", variable.most,
                                       ", using the default"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Flags> ParseFlags(std::span<const std::string> arguments,
                                 const Environment& environment) {
  Flags flags;
  TINYOBS_RETURN_IF_ERROR(ReadEnvironment(environment, &flags));
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    const size_t equals = argument.find('=');
    const std::string_view name = argument.substr(0, equals);
    const auto row = std::find_if(std::begin(kFlags), std::end(kFlags),
                                  [name](const FlagRow& flag) { return flag.name == name; });
    if (row == std::end(kFlags)) {
      if (!argument.starts_with("-")) {
        return absl::InvalidArgumentError(
            StrCat("unexpected argument \"", EscapeForMessage(argument), "\"", kSeeHelp));
      }
      return UnknownFlag(name);
    }
    std::string_view value;
    if (row->value.empty()) {
      if (equals != std::string_view::npos) {
        return absl::InvalidArgumentError(StrCat(name, " takes no value", kSeeHelp));
      }
    } else if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
    } else if (i + 1 < arguments.size()) {
      value = arguments[++i];
    } else {
      return absl::InvalidArgumentError(StrCat(name, " needs ", row->value, kSeeHelp));
    }
    TINYOBS_RETURN_IF_ERROR(row->set(value, &flags));
  }
  TINYOBS_RETURN_IF_ERROR(CheckRetention(flags));
  return flags;
}

std::string HelpText() {
  std::string text =
      "tinyobs-serve: stores metrics and shows them.\n\nUsage: tinyobs-serve [flags]\n\nFlags:\n";
  for (const FlagRow& flag : kFlags) {
    StrAppend(&text, "  ", flag.name, flag.value.empty() ? "" : "=", flag.value, "\n      ",
              flag.help, "\n");
  }
  text.append("\nEnvironment (a flag beats it):\n");
  for (const VariableRow& variable : kVariables) {
    StrAppend(&text, "  ", variable.name, "\n      ", variable.help, "\n");
  }
  for (const FlagRow& flag : kFlags) {
    if (flag.variable.empty()) continue;
    StrAppend(&text, "  ", flag.variable, "\n      as ", flag.name, "\n");
  }
  text.append(
      "\nTry it:\n"
      "  tinyobs-serve --storage.path=/tmp/tinyobs &\n"
      "  curl -d '{\"metrics\":[{\"name\":\"up\",\"value\":1}]}' localhost:8080/v1/ingest\n"
      "  curl 'localhost:8080/v1/query?metric=up'\n"
      "and open http://localhost:8080/ in a browser.\n");
  return text;
}

}  // namespace tinyobs::serve
