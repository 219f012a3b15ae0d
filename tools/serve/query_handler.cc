// Parameters -> Select -> JSON.
#include "tools/serve/query_handler.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/duration.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/wire/ingest.h"
#include "lib/wire/query_json.h"
#include "lib/wire/rfc3339.h"
#include "tinyobs/matcher.h"
#include "tools/serve/answer_room.h"
#include "tools/serve/answers.h"
#include "tools/serve/chart_points.h"
#include "tools/serve/log.h"
#include "tools/serve/url.h"

namespace tinyobs::serve {
namespace {

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kDayMs = 24 * kHourMs;
constexpr int64_t kDefaultMaxPoints = 1000;
constexpr int64_t kMostMaxPoints = 5000;

// A time that cannot be read is not an error: the original logs it and takes the default.
int64_t TimeParameter(const UrlParameters& parameters, std::string_view name, int64_t otherwise) {
  const std::string_view text = parameters.Get(name);
  if (text.empty()) return otherwise;
  if (const auto time = wire::ParseUrlTime(text)) return *time;
  LogLine(StrCat("warning: cannot read ", name, "=\"", EscapeForMessage(text, 60),
                 "\" as a time, using the default"));
  return otherwise;
}

TimeRange RangeParameters(const UrlParameters& parameters, int64_t now_ms) {
  return {.from_ms = TimeParameter(parameters, "start", now_ms - kHourMs),
          .to_ms = TimeParameter(parameters, "end", now_ms)};
}

HttpResponse AnswerResponse(std::string body, AnswerRoom* room) {
  HttpResponse response = JsonResponse(std::move(body));
  response.memory = room->TakeMemory();
  return response;
}

// Walks a set within the limits of `context`. `add(set)` writes one series, false when it does not
// fit the room.
template <typename Add>
absl::Status ForEachSeries(const HandlerContext& context, int64_t deadline_ns, SeriesSet* set,
                           const AnswerRoom& room, const Add& add) {
  uint64_t samples = 0;
  while (set->Next()) {
    samples += set->columns().size();
    for (const Windows& windows : set->windows()) samples += windows.size();
    if (samples > context.max_query_samples) {
      return QueryLimitError(
          StrCat("query needs more than ", context.max_query_samples, " samples"));
    }
    if (!add(*set)) return room.status();
    if (context.clock->MonotonicNs() > deadline_ns) {
      return absl::DeadlineExceededError(
          StrCat("query takes longer than ", context.query_deadline_ms, " ms"));
    }
  }
  return set->status();
}

absl::StatusOr<HttpResponse> RunQuery(const HandlerContext& context, int64_t deadline_ns,
                                      std::string_view metric, TimeRange range,
                                      Resolution resolution) {
  const SelectHints hints{.sample_limit = context.max_query_samples,
                          .resolution = resolution,
                          .window_columns = kWindowSum | kWindowCount | kWindowMin | kWindowMax};
  TINYOBS_ASSIGN_OR_RETURN(
      const std::unique_ptr<SeriesSet> set,
      metric.empty() ? context.db->SelectAll(range, hints)
                     : context.db->Select({Matcher::Metric(std::string(metric))}, range, hints));
  AnswerRoom room(context.max_answer_bytes, context.response_bytes);
  wire::SamplesJson json([&room](size_t bytes) { return room.Fits(bytes); });
  // Series come sorted, so those of one metric are neighbours mostly.
  std::string known_metric;
  std::string type;
  TINYOBS_RETURN_IF_ERROR(
      ForEachSeries(context, deadline_ns, set.get(), room, [&](const SeriesSet& series) {
        if (const auto name = series.labels().metric(); name != known_metric) {
          known_metric = std::string(name);
          type = context.db->Metadata(name).type;
        }
        return json.Add(series.labels(), type, series.windows(), series.columns());
      }));
  return AnswerResponse(json.Finish(), &room);
}

struct RangeQuery {
  std::string_view metric;
  TimeRange range;
  size_t max_points = 0;
  std::optional<Resolution> resolution;  // none = what suits the points
  WindowValue value = WindowValue::kByType;
};

absl::StatusOr<HttpResponse> RunRangeQuery(const HandlerContext& context, int64_t deadline_ns,
                                           const RangeQuery& query) {
  const int64_t length_ms = query.range.to_ms - query.range.from_ms;
  const int64_t step_ms = length_ms / static_cast<int64_t>(query.max_points);
  ChartOptions chart{.range = query.range, .value = query.value, .max_points = query.max_points};
  if (chart.value == WindowValue::kByType) {
    const bool counter = context.db->Metadata(query.metric).type == "counter";
    chart.value = counter ? WindowValue::kLast : WindowValue::kAverage;
  }
  const SelectHints hints{.step_ms = step_ms,
                          .sample_limit = context.max_query_samples,
                          .resolution = query.resolution.value_or(ChooseResolution(step_ms)),
                          .window_columns = WindowColumnsOf(chart.value)};
  TINYOBS_ASSIGN_OR_RETURN(
      const std::unique_ptr<SeriesSet> set,
      context.db->Select({Matcher::Metric(std::string(query.metric))}, query.range, hints));
  AnswerRoom room(context.max_answer_bytes, context.response_bytes);
  wire::RangeJson json([&room](size_t bytes) { return room.Fits(bytes); });
  Resolution coarsest = Resolution::kRaw;
  TINYOBS_RETURN_IF_ERROR(
      ForEachSeries(context, deadline_ns, set.get(), room, [&](const SeriesSet& series) {
        coarsest = std::max(coarsest, series.resolution());
        // Who asks for raw samples gets them where they are.
        if (query.resolution != Resolution::kRaw) chart.even = series.resolution();
        return json.Add(series.labels(), ChartPoints(series.windows(), series.columns(), chart),
                        series.resolution());
      }));
  std::vector<std::string> warnings;
  if (length_ms < ResolutionMs(coarsest)) {
    warnings.push_back(StrCat("the range of ", FormatDurationMs(length_ms),
                              " is shorter than a window of the resolution that answers it, ",
                              ResolutionName(coarsest), ": a point is about all of its window"));
  }
  HttpResponse response = AnswerResponse(json.Finish(warnings), &room);
  response.SetHeader("Cache-Control", "no-cache");
  return response;
}

absl::StatusOr<size_t> MaxPointsParameter(const UrlParameters& parameters) {
  const std::string_view text = parameters.Get("maxPoints");
  if (text.empty()) return kDefaultMaxPoints;
  int64_t value = 0;
  const char* const begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto read = std::from_chars(begin, text.data() + text.size(), value);
  if (read.ec != std::errc() || read.ptr != text.data() + text.size()) {
    return absl::InvalidArgumentError(
        StrCat("invalid maxPoints: \"", text, "\" is not an integer"));
  }
  if (value < 1 || value > kMostMaxPoints) {
    return absl::InvalidArgumentError(StrCat("maxPoints must be between 1 and ", kMostMaxPoints));
  }
  return static_cast<size_t>(value);
}

absl::StatusOr<WindowValue> AggParameter(const UrlParameters& parameters) {
  constexpr std::pair<std::string_view, WindowValue> kValues[] = {
      {"", WindowValue::kByType}, {"mean", WindowValue::kAverage}, {"avg", WindowValue::kAverage},
      {"sum", WindowValue::kSum}, {"count", WindowValue::kCount},  {"min", WindowValue::kMin},
      {"max", WindowValue::kMax}, {"last", WindowValue::kLast}};
  const std::string_view text = parameters.Get("agg");
  for (const auto& [name, value] : kValues) {
    if (text == name) return value;
  }
  return absl::InvalidArgumentError(
      StrCat("invalid agg: \"", EscapeForMessage(text, 60),
             "\"; it must be mean (or avg), sum, count, min, max or last"));
}

// None: auto.
absl::StatusOr<std::optional<Resolution>> ResolutionParameter(const UrlParameters& parameters) {
  const std::string_view text = parameters.Get("resolution");
  if (text.empty() || text == "auto") return std::nullopt;
  for (const Resolution known :
       {Resolution::kRaw, Resolution::kFiveMinutes, Resolution::kOneHour}) {
    if (text == ResolutionName(known)) return known;
  }
  return absl::InvalidArgumentError(StrCat("invalid resolution: \"", EscapeForMessage(text, 60),
                                           "\"; it must be raw, 5m, 1h or auto"));
}

absl::StatusOr<RangeQuery> RangeQueryOf(const HandlerContext& context,
                                        const UrlParameters& parameters) {
  RangeQuery query;
  query.metric = parameters.Get("metric");
  if (query.metric.empty()) return absl::InvalidArgumentError("metric parameter required");
  if (query.metric.size() > wire::kMaxIngestNameBytes) {
    return absl::InvalidArgumentError("metric name too long (max 256 chars)");
  }
  query.range = RangeParameters(parameters, context.clock->NowMs());
  const auto& [from_ms, to_ms] = query.range;
  if (to_ms < from_ms) return absl::InvalidArgumentError("end must be after start");
  if (context.max_range_ms > 0 && to_ms - from_ms > context.max_range_ms) {
    return absl::InvalidArgumentError(
        StrCat("query window too large (max ", context.max_range_ms / kDayMs, " days)"));
  }
  TINYOBS_ASSIGN_OR_RETURN(query.max_points, MaxPointsParameter(parameters));
  TINYOBS_ASSIGN_OR_RETURN(query.value, AggParameter(parameters));
  TINYOBS_ASSIGN_OR_RETURN(query.resolution, ResolutionParameter(parameters));
  return query;
}

template <typename Work>
HttpResponse InTurn(const HandlerContext& context, QueryGate* gate, const HttpRequest& request,
                    const Work& work) {
  const int64_t deadline_ns = gate->DeadlineNs(request, context.query_deadline_ms);
  auto answer = gate->Run(request, deadline_ns, [&](int) { return work(deadline_ns); });
  return answer.ok() ? *std::move(answer) : QueryErrorResponse(answer.status());
}

}  // namespace

Handler QueryHandler(const HandlerContext* context, std::shared_ptr<QueryGate> gate) {
  return [context, gate = std::move(gate)](const HttpRequest& request) {
    const UrlParameters parameters(request.query);
    const TimeRange range = RangeParameters(parameters, context->clock->NowMs());
    if (range.from_ms >= range.to_ms) return ErrorResponse(400, "start must be before end");
    const auto resolution = ResolutionParameter(parameters);
    if (!resolution.ok()) return QueryErrorResponse(resolution.status());
    return InTurn(*context, gate.get(), request, [&](int64_t deadline_ns) {
      return RunQuery(*context, deadline_ns, parameters.Get("metric"), range,
                      resolution->value_or(Resolution::kRaw));
    });
  };
}

Handler QueryRangeHandler(const HandlerContext* context, std::shared_ptr<QueryGate> gate) {
  return [context, gate = std::move(gate)](const HttpRequest& request) {
    const UrlParameters parameters(request.query);
    const auto query = RangeQueryOf(*context, parameters);
    if (!query.ok()) return QueryErrorResponse(query.status());
    return InTurn(*context, gate.get(), request, [&](int64_t deadline_ns) {
      return RunRangeQuery(*context, deadline_ns, *query);
    });
  };
}

}  // namespace tinyobs::serve
