// Parameters -> Select -> JSON.
#include "tools/serve/query_handler.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/wire/ingest.h"
#include "lib/wire/query_json.h"
#include "lib/wire/rfc3339.h"
#include "tinyobs/matcher.h"
#include "tools/serve/answers.h"
#include "tools/serve/log.h"
#include "tools/serve/url.h"

namespace tinyobs::serve {
namespace {

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kMaxWindowMs = 90 * 24 * kHourMs;
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

// The room of one growing answer: its own limit, and its part of what all answers share.
class AnswerRoom {
 public:
  explicit AnswerRoom(const HandlerContext& context)
      : limit_(context.max_answer_bytes), memory_(context.response_bytes) {}

  // False: it may not become as large; status() says why.
  bool Fits(size_t bytes) {
    if (bytes > limit_) {
      status_ = QueryLimitError(StrCat("answer is larger than ", limit_, " bytes"));
      return false;
    }
    // In steps, so that the shared counter is not touched for every sample.
    constexpr size_t kStepBytes = 256 << 10;
    if (bytes <= memory_.bytes() || memory_.Resize(std::min(limit_, bytes + kStepBytes))) {
      return true;
    }
    status_ = absl::UnavailableError("too many large answers at once, try again");
    return false;
  }
  const absl::Status& status() const { return status_; }
  // For the answer, which holds it until it is sent.
  ByteLease TakeMemory() { return std::move(memory_); }

 private:
  const size_t limit_;
  ByteLease memory_;
  absl::Status status_;
};

// An answer and what it holds of the budget.
struct Answer {
  std::string body;
  ByteLease memory;
};

HttpResponse AnswerResponse(Answer answer) {
  HttpResponse response = JsonResponse(std::move(answer.body));
  response.memory = std::move(answer.memory);
  return response;
}

// Walks a set within the limits of `context`. `add(set)` writes one series, false when it does not
// fit the room.
template <typename Add>
absl::Status ForEachSeries(const HandlerContext& context, SeriesSet* set, const AnswerRoom& room,
                           const Add& add) {
  const int64_t deadline_ns = context.clock->MonotonicNs() + context.query_deadline_ms * 1'000'000;
  uint64_t samples = 0;
  while (set->Next()) {
    samples += set->columns().size();
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

absl::StatusOr<Answer> RunQuery(const HandlerContext& context, std::string_view metric,
                                TimeRange range) {
  const SelectHints hints{.step_ms = 0, .sorted = true, .sample_limit = context.max_query_samples};
  TINYOBS_ASSIGN_OR_RETURN(
      const std::unique_ptr<SeriesSet> set,
      metric.empty() ? context.db->SelectAll(range, hints)
                     : context.db->Select({Matcher::Metric(std::string(metric))}, range, hints));
  AnswerRoom room(context);
  wire::SamplesJson json([&room](size_t bytes) { return room.Fits(bytes); });
  // Series come sorted, so those of one metric are neighbours mostly.
  std::string known_metric;
  std::string type;
  TINYOBS_RETURN_IF_ERROR(ForEachSeries(context, set.get(), room, [&](const SeriesSet& series) {
    if (const auto name = series.labels().metric(); name != known_metric) {
      known_metric = std::string(name);
      type = context.db->Metadata(name).type;
    }
    return json.Add(series.labels(), type, series.columns(), series.resolution());
  }));
  return Answer{.body = json.Finish(), .memory = room.TakeMemory()};
}

absl::StatusOr<Answer> RunRangeQuery(const HandlerContext& context, std::string_view metric,
                                     TimeRange range, size_t max_points, wire::ThinBy by) {
  const SelectHints hints{
      .step_ms = (range.to_ms - range.from_ms) / static_cast<int64_t>(max_points),
      .sorted = true,
      .sample_limit = context.max_query_samples};
  TINYOBS_ASSIGN_OR_RETURN(
      const std::unique_ptr<SeriesSet> set,
      context.db->Select({Matcher::Metric(std::string(metric))}, range, hints));
  AnswerRoom room(context);
  wire::RangeJson json([&room](size_t bytes) { return room.Fits(bytes); });
  TINYOBS_RETURN_IF_ERROR(ForEachSeries(context, set.get(), room, [&](const SeriesSet& series) {
    return json.Add(series.labels(), wire::ThinOut(series.columns(), max_points, by),
                    series.resolution());
  }));
  return Answer{.body = json.Finish(), .memory = room.TakeMemory()};
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

absl::StatusOr<wire::ThinBy> AggParameter(const UrlParameters& parameters) {
  const std::string_view text = parameters.Get("agg");
  if (text.empty() || text == "mean") return wire::ThinBy::kMean;
  if (text == "last") return wire::ThinBy::kLast;
  return absl::InvalidArgumentError(
      ToAbsl(StrCat("invalid agg: \"", EscapeForMessage(text, 60), "\"; it must be mean or last")));
}

}  // namespace

Handler QueryHandler(const HandlerContext* context) {
  return [context](const HttpRequest& request) {
    const UrlParameters parameters(request.query);
    const TimeRange range = RangeParameters(parameters, context->clock->NowMs());
    if (range.from_ms >= range.to_ms) return ErrorResponse(400, "start must be before end");
    auto answer = RunQuery(*context, parameters.Get("metric"), range);
    return answer.ok() ? AnswerResponse(*std::move(answer)) : QueryErrorResponse(answer.status());
  };
}

Handler QueryRangeHandler(const HandlerContext* context) {
  return [context](const HttpRequest& request) {
    const UrlParameters parameters(request.query);
    const std::string_view metric = parameters.Get("metric");
    if (metric.empty()) return ErrorResponse(400, "metric parameter required");
    if (metric.size() > wire::kMaxIngestNameBytes) {
      return ErrorResponse(400, "metric name too long (max 256 chars)");
    }
    const TimeRange range = RangeParameters(parameters, context->clock->NowMs());
    if (range.to_ms < range.from_ms) return ErrorResponse(400, "end must be after start");
    if (range.to_ms - range.from_ms > kMaxWindowMs) {
      return ErrorResponse(400, "query window too large (max 90 days)");
    }
    const auto max_points = MaxPointsParameter(parameters);
    if (!max_points.ok()) return QueryErrorResponse(max_points.status());
    const auto by = AggParameter(parameters);
    if (!by.ok()) return QueryErrorResponse(by.status());
    auto answer = RunRangeQuery(*context, metric, range, *max_points, *by);
    if (!answer.ok()) return QueryErrorResponse(answer.status());
    HttpResponse response = AnswerResponse(*std::move(answer));
    response.SetHeader("Cache-Control", "no-cache");
    return response;
  };
}

}  // namespace tinyobs::serve
