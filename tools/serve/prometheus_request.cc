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

// RFC 3339 as Go reads it: T and Z are capitals, decimals may follow a comma, an hour may have one
// digit.
std::optional<wire::Rfc3339Time> ParseGoTime(std::string_view text) {
  constexpr size_t kBehindHourDigit = std::string_view("2006-01-02T3").size();
  if (text.find_first_of("tz") != std::string_view::npos) return std::nullopt;
  std::string strict(text);
  std::replace(strict.begin(), strict.end(), ',', '.');
  if (strict.size() > kBehindHourDigit && strict[kBehindHourDigit] == ':') {
    strict.insert(kBehindHourDigit - 1, 1, '0');
  }
  return wire::ParseRfc3339(strict);
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
  if (double seconds = 0; promql::ParseFloatText(text, &seconds)) {
    // Written so that NaN is the least.
    if (!(seconds > -kMostTimeMs / 1000.0)) return -kMostTimeMs;
    if (seconds >= kMostTimeMs / 1000.0) return kMostTimeMs;
    // Whole seconds and milliseconds apart, and both cut, so that no time differs by one.
    double whole = 0;
    const double fraction = std::round(std::modf(seconds, &whole) * 1000) / 1000;
    return static_cast<int64_t>(whole) * 1000 + static_cast<int64_t>(fraction * 1e9) / 1'000'000;
  }
  if (text == kLeastTime || text == kGreatestTime) {
    return text == kLeastTime ? -kMostTimeMs : kMostTimeMs;
  }
  const auto time = ParseGoTime(text);
  if (!time.has_value()) return BadTime(text);
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
  if (double seconds = 0; promql::ParseFloatText(text, &seconds)) {
    const double ns = seconds * 1e9;
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
