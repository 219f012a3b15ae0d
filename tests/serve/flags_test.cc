// Goal: flags beat the environment, mistakes are explained. Method: argument lists against the
// outcome.
#include "tools/serve/flags.h"

#include <map>
#include <string>

#include "gtest/gtest.h"

namespace tinyobs::serve {
namespace {

absl::StatusOr<Flags> Parse(std::vector<std::string> arguments,
                            std::map<std::string, std::string> environment = {}) {
  return ParseFlags(arguments, [&](std::string_view name) -> std::optional<std::string> {
    const auto found = environment.find(std::string(name));
    if (found == environment.end()) return std::nullopt;
    return found->second;
  });
}

std::string Mistake(std::vector<std::string> arguments) {
  const auto flags = Parse(std::move(arguments));
  EXPECT_TRUE(absl::IsInvalidArgument(flags.status()));
  return std::string(flags.status().message());
}

TEST(ParseFlags, DefaultsAreThoseOfTheOriginalOnLoopback) {
  const auto flags = Parse({});
  ASSERT_TRUE(flags.ok());
  EXPECT_EQ(flags->listen_address, "127.0.0.1");
  EXPECT_EQ(flags->listen_port, 8080);
  EXPECT_EQ(flags->storage_path, "./data/tinyobs");
  EXPECT_EQ(flags->sync_policy, SyncPolicy::kInterval);
  EXPECT_TRUE(flags->host_metrics);
  EXPECT_EQ(flags->max_series, 10'000u);
  EXPECT_EQ(flags->max_storage_gb, 1u);
  EXPECT_EQ(flags->max_memory_mb, 48u);
  EXPECT_TRUE(flags->warnings.empty());
}

TEST(ParseFlags, ReadsFlagsInBothForms) {
  const auto flags = Parse({"--web.listen-address=0.0.0.0:0", "--storage.path", "/x",
                            "--storage.sync=always", "--no-host-metrics"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->listen_address, "0.0.0.0");
  EXPECT_EQ(flags->listen_port, 0);
  EXPECT_EQ(flags->storage_path, "/x");
  EXPECT_EQ(flags->sync_policy, SyncPolicy::kAlways);
  EXPECT_FALSE(flags->host_metrics);
  EXPECT_EQ(Parse({"--web.listen-address=[::1]:9"})->listen_address, "::1");
  EXPECT_EQ(Parse({"--web.listen-address=:9"})->listen_address, "127.0.0.1");
  EXPECT_EQ(Parse({"--help"})->action, Flags::Action::kHelp);
  EXPECT_EQ(Parse({"--version"})->action, Flags::Action::kVersion);
}

TEST(ParseFlags, QueryLimitsAreThoseOfPrometheus) {
  const auto flags = Parse({});
  ASSERT_TRUE(flags.ok());
  EXPECT_EQ(flags->query_timeout_ms, 120'000);
  EXPECT_EQ(flags->query_max_samples, 50'000'000u);
  EXPECT_EQ(flags->query_max_concurrency, 20);
  EXPECT_EQ(flags->query_lookback_ms, 300'000);
  const auto set = Parse({"--query.timeout=30s", "--query.max-samples=0", "--query.max-concurrency",
                          "4", "--query.lookback-delta=1m"});
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->query_timeout_ms, 30'000);
  EXPECT_EQ(set->query_max_samples, 0u);
  EXPECT_EQ(set->query_max_concurrency, 4);
  EXPECT_EQ(set->query_lookback_ms, 60'000);
  EXPECT_EQ(Mistake({"--query.max-concurrency=0"}),
            "--query.max-concurrency=0 is not an integer from 1 to 1000");
  EXPECT_NE(Mistake({"--query.timeout=0"}).find("--query.timeout: "), std::string::npos);
}

TEST(ParseFlags, EnvironmentIsReadAndFlagsBeatIt) {
  const std::map<std::string, std::string> environment = {{"PORT", "9000"},
                                                          {"TINYOBS_MAX_CARDINALITY", "5"},
                                                          {"TINYOBS_MAX_STORAGE_GB", "7"},
                                                          {"TINYOBS_MAX_MEMORY_MB", "64"}};
  const auto flags = Parse({}, environment);
  EXPECT_EQ(flags->listen_port, 9000);
  EXPECT_EQ(flags->listen_address, "127.0.0.1");
  EXPECT_EQ(flags->max_series, 5u);
  EXPECT_EQ(flags->max_storage_gb, 7u);
  EXPECT_EQ(flags->max_memory_mb, 64u);
  EXPECT_EQ(Parse({"--web.listen-address=127.0.0.1:1"}, environment)->listen_port, 1);
}

TEST(ParseFlags, SeriesLimitsInBothWays) {
  EXPECT_EQ(Parse({})->max_series_per_metric, 0u);
  EXPECT_FALSE(Parse({})->cardinality_dry_run);
  const auto flags =
      Parse({"--storage.max-series-per-metric=500", "--storage.cardinality-dry-run"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->max_series_per_metric, 500u);
  EXPECT_TRUE(flags->cardinality_dry_run);
  const std::map<std::string, std::string> environment = {{"TINYOBS_MAX_SERIES_PER_METRIC", "7"},
                                                          {"TINYOBS_CARDINALITY_DRY_RUN", "1"}};
  EXPECT_EQ(Parse({}, environment)->max_series_per_metric, 7u);
  EXPECT_TRUE(Parse({}, environment)->cardinality_dry_run);
  EXPECT_EQ(Parse({"--storage.max-series-per-metric", "8"}, environment)->max_series_per_metric,
            8u);
  EXPECT_NE(Mistake({"--storage.max-series-per-metric=many"}).find("is not an integer"),
            std::string::npos);
  EXPECT_EQ(Parse({}, {{"TINYOBS_CARDINALITY_DRY_RUN", "2"}})->warnings.size(), 1u);
}

TEST(ParseFlags, BadVariablesAreWarningsAndTheDefaultStays) {
  for (const char* const value : {"many", "-1", "1.5", "99999", " 1", "1x"}) {
    const auto flags = Parse({}, {{"PORT", value}});
    ASSERT_TRUE(flags.ok());
    EXPECT_EQ(flags->listen_port, 8080) << value;
    ASSERT_EQ(flags->warnings.size(), 1u) << value;
    EXPECT_NE(flags->warnings[0].find("PORT"), std::string::npos);
  }
  EXPECT_TRUE(Parse({}, {{"PORT", ""}})->warnings.empty());
}

TEST(ParseFlags, MistakesSuggestTheNearestFlag) {
  EXPECT_EQ(Mistake({"--storage-path=/x"}),
            "unknown flag --storage-path; did you mean --storage.path? See tinyobs-serve --help");
  EXPECT_EQ(Mistake({"--web.listen-adress=:1"}),
            "unknown flag --web.listen-adress; did you mean --web.listen-address? See "
            "tinyobs-serve --help");
  EXPECT_EQ(Mistake({"--web.listen-address=8080"}),
            "--web.listen-address=8080 is not ADDRESS:PORT, as in 127.0.0.1:8080");
  EXPECT_NE(Mistake({"--web.listen-address=:65536"}).find("ADDRESS:PORT"), std::string::npos);
  EXPECT_NE(Mistake({"--storage.sync=sometimes"}).find("always, interval, none"),
            std::string::npos);
  EXPECT_NE(Mistake({"--storage.path"}).find("needs DIR"), std::string::npos);
  EXPECT_NE(Mistake({"--storage.path="}).find("needs a folder"), std::string::npos);
  EXPECT_NE(Mistake({"--no-host-metrics=1"}).find("takes no value"), std::string::npos);
  EXPECT_NE(Mistake({"serve"}).find("unexpected argument"), std::string::npos);
  EXPECT_NE(Mistake({"--" + std::string(5000, 'x')}).find("unknown flag"), std::string::npos);
}

constexpr int64_t kDayMs = 24 * 3'600'000;

TEST(ParseFlags, RetentionIsFourteenDaysNinetyDaysAndAYear) {
  const auto flags = Parse({});
  ASSERT_TRUE(flags.ok());
  EXPECT_TRUE(flags->downsampling);
  EXPECT_EQ(flags->retention.raw_ms, 14 * kDayMs);
  EXPECT_EQ(flags->retention.five_minutes_ms, 90 * kDayMs);
  EXPECT_EQ(flags->retention.one_hour_ms, 365 * kDayMs);
  EXPECT_EQ(flags->storage_full, StorageFull::kReject);
}

TEST(ParseFlags, ReadsRetentionFromFlagsAndVariables) {
  const auto flags =
      Parse({"--storage.retention.raw=1d12h", "--storage.retention.5m", "2w",
             "--storage.retention.1h=0", "--storage.full=drop-oldest", "--no-downsampling"});
  ASSERT_TRUE(flags.ok()) << flags.status();
  EXPECT_EQ(flags->retention.raw_ms, kDayMs + kDayMs / 2);
  EXPECT_EQ(flags->retention.five_minutes_ms, 14 * kDayMs);
  EXPECT_EQ(flags->retention.one_hour_ms, 0);
  EXPECT_EQ(flags->storage_full, StorageFull::kDropOldest);
  EXPECT_FALSE(flags->downsampling);

  const std::map<std::string, std::string> environment = {{"TINYOBS_RETENTION_RAW", "6h"},
                                                          {"TINYOBS_RETENTION_5M", "7d"},
                                                          {"TINYOBS_RETENTION_1H", "2y"},
                                                          {"TINYOBS_STORAGE_FULL", "drop-oldest"},
                                                          {"TINYOBS_NO_DOWNSAMPLING", "1"}};
  const auto set = Parse({"--storage.retention.raw=1h"}, environment);
  ASSERT_TRUE(set.ok()) << set.status();
  EXPECT_EQ(set->retention.raw_ms, 3'600'000);
  EXPECT_EQ(set->retention.five_minutes_ms, 7 * kDayMs);
  EXPECT_EQ(set->retention.one_hour_ms, 730 * kDayMs);
  EXPECT_EQ(set->storage_full, StorageFull::kDropOldest);
  EXPECT_FALSE(set->downsampling);
}

TEST(ParseFlags, RetentionThatCannotBeReadIsAnErrorSinceTheDefaultWouldDelete) {
  EXPECT_EQ(Mistake({"--storage.retention.raw=forever"}),
            "--storage.retention.raw: 'forever' is no duration; write for example 90s, 15m, 1h30m, "
            "7d or 1y, or 0 for ever");
  const auto variable = Parse({}, {{"TINYOBS_RETENTION_5M", "1.5y"}});
  EXPECT_TRUE(absl::IsInvalidArgument(variable.status()));
  EXPECT_TRUE(variable.status().message().find("variable TINYOBS_RETENTION_5M: ") == 0)
      << variable.status();
  EXPECT_EQ(Mistake({"--storage.full=wait"}),
            "--storage.full=wait is not one of reject, drop-oldest");
}

TEST(ParseFlags, FinerDataThatOutlivesCoarserIsAnError) {
  EXPECT_EQ(Mistake({"--storage.retention.raw=180d"}),
            "--storage.retention.raw keeps its data for 180d, longer than --storage.retention.5m "
            "(90d): raise --storage.retention.5m to as much, or lower --storage.retention.raw");
  EXPECT_NE(Mistake({"--storage.retention.5m=0"})
                .find("for ever, longer than "
                      "--storage.retention.1h (365d)"),
            std::string::npos);
  EXPECT_TRUE(Parse({"--storage.retention.raw=180d", "--storage.retention.5m=180d"}).ok());
  EXPECT_TRUE(
      Parse({"--storage.retention.raw=0", "--storage.retention.5m=0", "--storage.retention.1h=0"})
          .ok());
  // Without windows there is nothing to outlive.
  EXPECT_TRUE(Parse({"--storage.retention.raw=180d", "--no-downsampling"}).ok());
}

TEST(HelpText, NamesEveryFlagAndVariable) {
  const std::string help = HelpText();
  for (const char* const name :
       {"--web.listen-address", "--storage.path", "--storage.sync", "--no-host-metrics", "--help",
        "--version", "PORT", "TINYOBS_MAX_CARDINALITY", "TINYOBS_MAX_STORAGE_GB",
        "TINYOBS_MAX_MEMORY_MB", "--storage.max-series-per-metric", "--storage.cardinality-dry-run",
        "TINYOBS_MAX_SERIES_PER_METRIC", "TINYOBS_CARDINALITY_DRY_RUN"}) {
    EXPECT_NE(help.find(name), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace tinyobs::serve
