// Text to numbers, with Prometheus' arithmetic where it shows in the result.
#include "tools/serve/prometheus_request.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/promql/literals.h"
#include "lib/promql/parser.h"
#include "lib/wire/rfc3339.h"

namespace tinyobs::serve {
namespace {

// Some 300,000 years: far enough from the ends of int64 that no range or offset gets there.
constexpr int64_t kMostTimeMs = 10'000'000'000'000'000;

// As a number in a URL may be written: "1", "+1.5", "1e3", "NaN".
std::optional<double> ParseFloat(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

absl::Status BadTime(std::string_view text) {
  return absl::InvalidArgumentError(
      StrCat("cannot parse ", promql::QuoteText(text), " to a valid timestamp"));
}

// Prometheus' formatted ends of time, which clients send for "no end".
constexpr std::string_view kLeastTime = "-292273086-05-16T16:47:06Z";
constexpr std::string_view kGreatestTime = "292277025-08-18T07:12:54.999999999Z";

}  // namespace

UrlParameters PrometheusParameters(const HttpRequest& request) {
  UrlParameters parameters;
  std::string_view type = request.Header("Content-Type");
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  if (request.method == "POST" && EqualsIgnoringCase(type, "application/x-www-form-urlencoded")) {
    parameters.Add(request.body);
  }
  parameters.Add(request.query);
  return parameters;
}

absl::Status InvalidParameter(std::string_view name, std::string_view message) {
  return absl::InvalidArgumentError(StrCat("invalid parameter \"", name, "\": ", message));
}

absl::StatusOr<int64_t> ParsePrometheusTime(std::string_view text) {
  if (const auto seconds = ParseFloat(text)) {
    // Whole seconds and milliseconds apart, and both cut, so that no time differs by one.
    double whole = 0;
    const double fraction = std::round(std::modf(*seconds, &whole) * 1000) / 1000;
    if (!(std::fabs(whole) <= static_cast<double>(kMostTimeMs / 1000 - 1))) return BadTime(text);
    return static_cast<int64_t>(whole) * 1000 + static_cast<int64_t>(fraction * 1e9) / 1'000'000;
  }
  const auto time = wire::ParseRfc3339(text);
  if (!time.has_value() || std::abs(time->timestamp_ms) > kMostTimeMs) return BadTime(text);
  return time->timestamp_ms;
}

absl::StatusOr<int64_t> TimeParameter(const UrlParameters& parameters, std::string_view name,
                                      int64_t otherwise) {
  const std::string_view text = parameters.Get(name);
  if (text.empty()) return otherwise;
  const auto time = ParsePrometheusTime(text);
  if (time.ok()) return time;
  return InvalidParameter(
      name, StrCat("Invalid time value for '", name, "': ", FromAbsl(time.status().message())));
}

absl::StatusOr<TimeRange> RangeParameter(const UrlParameters& parameters) {
  TimeRange range;
  const auto read = [&](std::string_view name, int64_t* ms) {
    const std::string_view text = parameters.Get(name);
    if (text == kLeastTime || text == kGreatestTime) {
      *ms = text == kLeastTime ? INT64_MIN : INT64_MAX;
      return absl::OkStatus();
    }
    TINYOBS_ASSIGN_OR_RETURN(*ms, TimeParameter(parameters, name, *ms));
    return absl::OkStatus();
  };
  TINYOBS_RETURN_IF_ERROR(read("start", &range.from_ms));
  TINYOBS_RETURN_IF_ERROR(read("end", &range.to_ms));
  return range;
}

absl::StatusOr<int64_t> ParsePrometheusDuration(std::string_view text) {
  if (const auto seconds = ParseFloat(text)) {
    const double ns = *seconds * 1e9;
    if (std::isnan(ns)) return int64_t{-1};  // as little a duration as a negative one
    if (std::fabs(ns) >= 9.2e18) {
      return absl::InvalidArgumentError(StrCat("cannot parse ", promql::QuoteText(text),
                                               " to a valid duration. It overflows int64"));
    }
    return static_cast<int64_t>(ns);
  }
  if (const auto ms = promql::ParseDuration(text); ms.ok()) return *ms * 1'000'000;
  return absl::InvalidArgumentError(
      StrCat("cannot parse ", promql::QuoteText(text), " to a valid duration"));
}

absl::StatusOr<size_t> LimitParameter(const UrlParameters& parameters) {
  const std::string_view text = parameters.Get("limit");
  if (text.empty()) return 0;
  int64_t limit = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), limit);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) {
    return InvalidParameter("limit", StrCat(promql::QuoteText(text), " is not a number"));
  }
  if (limit < 0) return InvalidParameter("limit", "limit must be non-negative");
  return static_cast<size_t>(limit);
}

absl::StatusOr<std::vector<std::vector<Matcher>>> SelectorParameters(
    const UrlParameters& parameters) {
  std::vector<std::vector<Matcher>> selectors;
  for (const std::string_view text : parameters.GetAll("match[]")) {
    TINYOBS_ASSIGN_OR_RETURN(std::vector<Matcher> matchers, promql::ParseSelector(text));
    if (std::all_of(matchers.begin(), matchers.end(),
                    [](const Matcher& matcher) { return matcher.MatchesEmpty(); })) {
      return absl::InvalidArgumentError("match[] must contain at least one non-empty matcher");
    }
    selectors.push_back(std::move(matchers));
  }
  return selectors;
}

}  // namespace tinyobs::serve
