#include "tools/cli/verbs.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <ctime>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/duration.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/wire/ingest.h"
#include "tinyobs/clock.h"
#include "tinyobs/labels.h"
#include "tools/cli/http.h"

namespace tinyobs::cli {
namespace {

using QueryPairs = std::vector<std::pair<std::string, std::string>>;
using simdjson::dom::element;

constexpr std::string_view kDefaultServer = "http://localhost:8080";

absl::Status ExpectWords(const Arguments& arguments, size_t count) {
  if (arguments.words.size() == count) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("expected ", count, " argument(s), got ", arguments.words.size()));
}

// A text field of an object, or "".
std::string_view Text(element object, const char* key) {
  std::string_view text;
  if (object[key].get_string().get(text) != simdjson::SUCCESS) return {};
  return text;
}

// Text of the server goes to a terminal: no escape sequence may pass.
std::string Printable(std::string_view text) {
  std::string result;
  for (const char c : text) {
    result += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  }
  return result;
}

std::string NumberText(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

std::string Rfc3339(int64_t unix_ms) {
  const time_t seconds = static_cast<time_t>(unix_ms / 1000);
  tm parts;
  gmtime_r(&seconds, &parts);
  char text[32];
  strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

absl::Status NotUnderstood(std::string_view path) {
  return absl::InternalError(
      StrCat("the answer to ", path, " was not understood; is that a TinyObs server?"));
}

// The server's answer, parsed. The document lives in `parser`.
absl::StatusOr<element> Ask(const Arguments& arguments, std::string_view path,
                            const QueryPairs& query, const std::string& body,
                            simdjson::dom::parser* parser, long* code = nullptr,
                            long timeout_s = 30) {
  TINYOBS_ASSIGN_OR_RETURN(const HttpAnswer answer, Request(arguments.Get("server", kDefaultServer),
                                                            path, query, body, timeout_s));
  element document;
  const bool parsed = parser->parse(answer.body).get(document) == simdjson::SUCCESS;
  if (code != nullptr) *code = answer.code;
  if (answer.code / 100 != 2 && code == nullptr) {
    std::string_view reason = parsed ? Text(document, "message") : std::string_view(answer.body);
    if (parsed && reason.empty()) reason = Text(document, "error");
    return absl::FailedPreconditionError(
        StrCat("the server answered ", answer.code, ": ", Printable(reason.substr(0, 500))));
  }
  if (!parsed || !document.is_object()) return NotUnderstood(path);
  return document;
}

// metric{a="b"} as the server knows it.
std::string SeriesText(element sample) {
  std::vector<Labels::Pair> pairs;
  simdjson::dom::object object;
  if (sample["labels"].get_object().get(object) == simdjson::SUCCESS) {
    for (const auto& [name, value] : object) {
      std::string_view text;
      if (value.get_string().get(text) == simdjson::SUCCESS) pairs.emplace_back(name, text);
    }
  }
  const auto labels = Labels::Create(Text(sample, "name"), std::move(pairs));
  return Printable(labels.ok() ? labels->ToString() : std::string(Text(sample, "name")));
}

}  // namespace

absl::Status List(const Arguments& arguments, std::string* out) {
  TINYOBS_RETURN_IF_ERROR(ExpectWords(arguments, 0));
  simdjson::dom::parser parser;
  TINYOBS_ASSIGN_OR_RETURN(const element answer,
                           Ask(arguments, "/v1/metrics/list", {}, "", &parser));
  simdjson::dom::array metrics;
  if (answer["metrics"].get_array().get(metrics) != simdjson::SUCCESS) {
    return NotUnderstood("/v1/metrics/list");
  }
  for (const element metric : metrics) {
    std::string_view name;
    if (metric.get_string().get(name) == simdjson::SUCCESS) StrAppend(out, Printable(name), "\n");
  }
  return absl::OkStatus();
}

absl::Status Query(const Arguments& arguments, std::string* out) {
  TINYOBS_RETURN_IF_ERROR(ExpectWords(arguments, 1));
  TINYOBS_ASSIGN_OR_RETURN(const int64_t since_ms, ParseDurationMs(arguments.Get("since", "1h")));
  const int64_t now_ms = Clock::System()->NowMs();
  simdjson::dom::parser parser;
  TINYOBS_ASSIGN_OR_RETURN(const element answer,
                           Ask(arguments, "/v1/query",
                               {{"metric", arguments.words[0]},
                                {"start", Rfc3339(now_ms - since_ms)},
                                // The next second: times here have no fraction.
                                {"end", Rfc3339(now_ms + 1000)}},
                               "", &parser));
  simdjson::dom::array samples;
  if (answer["metrics"].is_null()) return absl::OkStatus();  // nothing in the range
  if (answer["metrics"].get_array().get(samples) != simdjson::SUCCESS) {
    return NotUnderstood("/v1/query");
  }
  for (const element sample : samples) {
    double value = 0;
    if (sample["value"].get_double().get(value) != simdjson::SUCCESS) {
      return NotUnderstood("/v1/query");
    }
    StrAppend(out, Printable(Text(sample, "timestamp")), "  ", SeriesText(sample), "  ",
              NumberText(value), "\n");
  }
  return absl::OkStatus();
}

absl::Status Stats(const Arguments& arguments, std::string* out) {
  TINYOBS_RETURN_IF_ERROR(ExpectWords(arguments, 0));
  simdjson::dom::parser parser;
  TINYOBS_ASSIGN_OR_RETURN(const element answer, Ask(arguments, "/v1/stats", {}, "", &parser));
  const std::pair<const char*, const char*> rows[] = {{"TotalMetrics", "samples"},
                                                      {"TotalSeries", "series"},
                                                      {"SizeBytes", "bytes"},
                                                      {"OldestMetric", "oldest"},
                                                      {"NewestMetric", "newest"}};
  for (const auto& [key, label] : rows) {
    element value;
    if (answer[key].get(value) != simdjson::SUCCESS) return NotUnderstood("/v1/stats");
    const std::string_view text = Text(answer, key);
    StrAppend(out, label, std::string(9 - std::string_view(label).size(), ' '),
              text.empty() ? simdjson::minify(value) : Printable(text), "\n");
  }
  return absl::OkStatus();
}

absl::Status Health(const Arguments& arguments, std::string* out) {
  TINYOBS_RETURN_IF_ERROR(ExpectWords(arguments, 0));
  simdjson::dom::parser parser;
  long code = 0;
  TINYOBS_ASSIGN_OR_RETURN(const element answer,
                           Ask(arguments, "/v1/health", {}, "", &parser, &code));
  StrAppend(out, Printable(Text(answer, "status")), ", version ",
            Printable(Text(answer, "version")), ", up ", Printable(Text(answer, "uptime")), "\n");
  if (code == 200) return absl::OkStatus();
  return absl::FailedPreconditionError(StrCat("the server is not healthy (HTTP ", code, ")"));
}

absl::Status Downsample(const Arguments& arguments, std::string* out) {
  TINYOBS_RETURN_IF_ERROR(ExpectWords(arguments, 0));
  constexpr std::string_view kPath = "/v1/admin/downsample";
  simdjson::dom::parser parser;
  TINYOBS_ASSIGN_OR_RETURN(const element answer, Ask(arguments, kPath, {}, "{}", &parser, nullptr,
                                                     /*timeout_s=*/3600));
  uint64_t rows = 0;
  simdjson::dom::array tiers;
  if (answer["rows_written"].get_uint64().get(rows) != simdjson::SUCCESS ||
      answer["tiers"].get_array().get(tiers) != simdjson::SUCCESS) {
    return NotUnderstood(kPath);
  }
  StrAppend(out, "done in ", Printable(Text(answer, "duration")), ", ", rows,
            " rows of windows written\n");
  for (const element tier : tiers) {
    uint64_t count = 0;
    const bool raw = tier["samples"].get_uint64().get(count) == simdjson::SUCCESS;
    if (!raw && tier["windows"].get_uint64().get(count) != simdjson::SUCCESS) {
      return NotUnderstood(kPath);
    }
    const std::string_view name = Text(tier, "resolution");
    StrAppend(out, Printable(name), std::string(5 - std::min<size_t>(name.size(), 4), ' '), count,
              raw ? " samples\n" : " windows\n");
  }
  return absl::OkStatus();
}

absl::Status Ingest(const Arguments& arguments, std::string* out) {
  if (arguments.words.size() < 2) {
    return absl::InvalidArgumentError("expected a metric name and a value");
  }
  const std::string& number = arguments.words[1];
  wire::IngestSample sample;
  const auto [end, error] =
      std::from_chars(number.data(), number.data() + number.size(), sample.value);
  if (error != std::errc() || end != number.data() + number.size() ||
      !std::isfinite(sample.value)) {
    return absl::InvalidArgumentError(
        StrCat("'", EscapeForMessage(number, 40), "' is no finite number"));
  }
  std::vector<Labels::Pair> pairs;
  for (size_t i = 2; i < arguments.words.size(); ++i) {
    const std::string& word = arguments.words[i];
    const size_t equals = word.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          StrCat("labels are written name=value, not '", EscapeForMessage(word, 40), "'"));
    }
    pairs.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  TINYOBS_ASSIGN_OR_RETURN(sample.labels, Labels::Create(arguments.words[0], std::move(pairs)));
  sample.type = arguments.Get("type", "gauge");
  sample.timestamp_ms = Clock::System()->NowMs();
  TINYOBS_ASSIGN_OR_RETURN(const std::string body, wire::EncodeIngest({&sample, 1}));
  simdjson::dom::parser parser;
  TINYOBS_RETURN_IF_ERROR(Ask(arguments, "/v1/ingest", {}, body, &parser).status());
  StrAppend(out, "stored ", Printable(sample.labels.ToString()), " = ", NumberText(sample.value),
            "\n");
  return absl::OkStatus();
}

}  // namespace tinyobs::cli
