// Parameters -> tinyobs::Query -> JSON.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/memory_accountant.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/wire/json_writer.h"
#include "lib/wire/prometheus_json.h"
#include "lib/wire/rfc3339.h"
#include "rapidjson/document.h"
#include "tinyobs/promql.h"
#include "tools/serve/answers.h"
#include "tools/serve/prometheus_api.h"
#include "tools/serve/prometheus_request.h"
#include "tools/serve/query_gate.h"

namespace tinyobs::serve {
namespace {

constexpr int64_t kHourMs = 3'600'000;
constexpr int64_t kNsInMs = 1'000'000;
constexpr int64_t kMostPoints = 11'000;
constexpr std::string_view kTruncated = "results truncated due to limit";

struct Question {
  std::string_view text;
  // An instant query has both times alike and no step.
  int64_t start_ms = 0;
  int64_t end_ms = 0;
  int64_t step_ns = 0;

  int64_t timeout_ms = 0;
  QueryOptions options;
  bool stats = false;
  size_t limit = 0;  // of series in the answer; 0 = none
};

class Queries {
 public:
  Queries(const HandlerContext* context, std::shared_ptr<QueryGate> gate)
      : context_(context), gate_(std::move(gate)) {}

  // What parameters beside query and times say, over what flags say.
  absl::StatusOr<Question> QuestionOf(const UrlParameters& parameters) const;
  // Step and times are in order, and not too many points.
  static absl::Status CheckRange(const Question& question);
  // In its turn. Cancelled: the client is gone. DeadlineExceeded: its time is over. Else as
  // QueryRange. The answer's text has `more` behind its data.
  absl::StatusOr<HttpResponse> Answer(const HttpRequest& request, const Question& question,
                                      bool values_too = false, std::string_view more = {});

  int64_t now_ms() const { return context_->clock->NowMs(); }

 private:
  absl::StatusOr<QueryResult> Ask(const HttpRequest& request, const Question& question,
                                  int64_t deadline_ns, int running,
                                  wire::QueryTimings* timings) const;

  const HandlerContext* const context_;
  const std::shared_ptr<QueryGate> gate_;
};

// max_source_resolution: none coarser than this.
absl::StatusOr<Resolution> ResolutionParameter(std::string_view text, int64_t step_ns) {
  if (text.empty()) return Resolution::kRaw;
  if (text == "auto") return ChooseResolution(step_ns / kNsInMs / 5);
  const auto ns = ParsePrometheusDuration(text);
  if (!ns.ok()) return InvalidParameter("max_source_resolution", FromAbsl(ns.status().message()));
  return ChooseResolution(std::max<int64_t>(*ns, 0) / kNsInMs);
}

absl::StatusOr<Question> Queries::QuestionOf(const UrlParameters& parameters) const {
  Question question;
  question.text = parameters.Get("query");
  question.timeout_ms = context_->promql_timeout_ms;
  question.options.lookback_ms = context_->promql_lookback_ms;
  question.options.max_samples = context_->promql_max_samples;
  question.stats = !parameters.Get("stats").empty();
  TINYOBS_ASSIGN_OR_RETURN(question.limit, LimitParameter(parameters));
  if (const std::string_view text = parameters.Get("timeout"); !text.empty()) {
    const auto ns = ParsePrometheusDuration(text);
    if (!ns.ok()) return InvalidParameter("timeout", FromAbsl(ns.status().message()));
    question.timeout_ms = std::min(question.timeout_ms, *ns / kNsInMs);
  }
  if (const std::string_view text = parameters.Get("lookback_delta"); !text.empty()) {
    const auto ns = ParsePrometheusDuration(text);
    if (!ns.ok()) {
      return absl::InvalidArgumentError(
          StrCat("error parsing lookback delta duration: ", FromAbsl(ns.status().message())));
    }
    if (*ns >= kNsInMs) question.options.lookback_ms = *ns / kNsInMs;
  }
  return question;
}

absl::Status Queries::CheckRange(const Question& question) {
  if (question.end_ms < question.start_ms) {
    return InvalidParameter("end", "end timestamp must not be before start time");
  }
  if (question.step_ns <= 0) {
    return InvalidParameter("step",
                            "zero or negative query resolution step widths are not accepted. Try "
                            "a positive integer");
  }
  const __int128 range_ns = static_cast<__int128>(question.end_ms - question.start_ms) * kNsInMs;
  if (range_ns / question.step_ns > kMostPoints) {
    return absl::InvalidArgumentError(
        "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query "
        "resolution (?step=XX)");
  }
  // Times are milliseconds; a shorter step would stand still. Prometheus divides by it, and says
  // so.
  if (question.step_ns < kNsInMs) {
    return absl::FailedPreconditionError("query resolution step widths below 1ms are not accepted");
  }
  return absl::OkStatus();
}

absl::StatusOr<QueryResult> Queries::Ask(const HttpRequest& request, const Question& question,
                                         int64_t deadline_ns, int running,
                                         wire::QueryTimings* timings) const {
  Clock* const clock = context_->clock;
  const int64_t begin_ns = clock->MonotonicNs();
  QueryOptions options = question.options;
  options.cancelled = [&request, clock, deadline_ns] {
    return request.IsAbandoned() || clock->MonotonicNs() >= deadline_ns;
  };
  // Asked once: it reads a file.
  static const int processors = static_cast<int>(std::thread::hardware_concurrency());
  options.threads = std::max(1, processors / running);
  auto result = question.step_ns == 0
                    ? Query(*context_->db, question.text, question.start_ms, options)
                    : QueryRange(*context_->db, question.text, question.start_ms, question.end_ms,
                                 question.step_ns / kNsInMs, options);
  timings->queue =
      static_cast<double>(begin_ns - (deadline_ns - question.timeout_ms * kNsInMs)) / 1e9;
  timings->evaluation = static_cast<double>(clock->MonotonicNs() - begin_ns) / 1e9;
  if (!absl::IsCancelled(result.status())) return result;
  if (request.IsAbandoned()) {
    return absl::CancelledError("query was canceled in expression evaluation");
  }
  return absl::DeadlineExceededError("query timed out in expression evaluation");
}

// An answer counts as memory of queries until it is written: what it took while it was evaluated
// was given back with the evaluation.
class ResultMemory {
 public:
  ResultMemory(MemoryAccount* account, const QueryResult& result) : account_(account) {
    if (account_ == nullptr) return;
    for (const InstantSample& sample : result.vector) {
      bytes_ += sizeof(sample) + sample.labels.canonical_bytes().size();
    }
    for (const SeriesSamples& series : result.matrix) {
      bytes_ += sizeof(series) + series.labels.canonical_bytes().size() +
                series.samples.size() * (sizeof(int64_t) + sizeof(double));
    }
    account_->Charge(bytes_);
  }
  ~ResultMemory() {
    if (account_ != nullptr) account_->Release(bytes_);
  }
  ResultMemory(const ResultMemory&) = delete;
  ResultMemory& operator=(const ResultMemory&) = delete;

 private:
  MemoryAccount* const account_;
  size_t bytes_ = 0;
};

// To at most `limit` series.
void Truncate(size_t limit, QueryResult* result) {
  if (limit == 0 || std::max(result->vector.size(), result->matrix.size()) <= limit) return;
  if (result->vector.size() > limit) result->vector.resize(limit);
  if (result->matrix.size() > limit) result->matrix.resize(limit);
  result->warnings.emplace_back(kTruncated);
}

absl::StatusOr<HttpResponse> Queries::Answer(const HttpRequest& request, const Question& question,
                                             bool values_too, std::string_view more) {
  const int64_t deadline_ns = gate_->DeadlineNs(request, question.timeout_ms);
  return gate_->Run(request, deadline_ns, [&](int running) -> absl::StatusOr<HttpResponse> {
    wire::QueryTimings timings;
    TINYOBS_ASSIGN_OR_RETURN(QueryResult result,
                             Ask(request, question, deadline_ns, running, &timings));
    const ResultMemory memory(context_->db->query_memory(), result);
    Truncate(question.limit, &result);
    const wire::QueryJsonOptions options{.timings = question.stats ? &timings : nullptr,
                                         .values_too = values_too};
    return SuccessResponse(*context_, result.warnings,
                           [&](const wire::MayGrow& may_grow, std::string* out) {
                             if (!wire::AppendQueryData(result, options, may_grow, out)) {
                               return false;
                             }
                             out->append(more);
                             return true;
                           });
  });
}

ApiFunction InstantQuery(const std::shared_ptr<Queries>& queries) {
  return [queries](const HttpRequest& request,
                   const UrlParameters& parameters) -> absl::StatusOr<HttpResponse> {
    TINYOBS_ASSIGN_OR_RETURN(const int64_t time_ms,
                             TimeParameter(parameters, "time", queries->now_ms()));
    TINYOBS_ASSIGN_OR_RETURN(Question question, queries->QuestionOf(parameters));
    question.start_ms = question.end_ms = time_ms;
    TINYOBS_ASSIGN_OR_RETURN(question.options.resolution,
                             ResolutionParameter(parameters.Get("max_source_resolution"), 0));
    auto answer = queries->Answer(request, question);
    if (absl::IsInvalidArgument(answer.status())) {
      return InvalidParameter("query", FromAbsl(answer.status().message()));
    }
    return answer;
  };
}

ApiFunction RangeQuery(const std::shared_ptr<Queries>& queries) {
  return [queries](const HttpRequest& request,
                   const UrlParameters& parameters) -> absl::StatusOr<HttpResponse> {
    const auto required = [&parameters](std::string_view name,
                                        const auto& parse) -> absl::StatusOr<int64_t> {
      const auto value = parse(parameters.Get(name));
      if (!value.ok()) return InvalidParameter(name, FromAbsl(value.status().message()));
      return value;
    };
    Question times;
    TINYOBS_ASSIGN_OR_RETURN(times.start_ms, required("start", ParsePrometheusTime));
    TINYOBS_ASSIGN_OR_RETURN(times.end_ms, required("end", ParsePrometheusTime));
    // Said before a step that is no duration, as there.
    if (times.end_ms >= times.start_ms) {
      TINYOBS_ASSIGN_OR_RETURN(times.step_ns, required("step", ParsePrometheusDuration));
    }
    TINYOBS_RETURN_IF_ERROR(Queries::CheckRange(times));
    TINYOBS_ASSIGN_OR_RETURN(Question question, queries->QuestionOf(parameters));
    question.start_ms = times.start_ms;
    question.end_ms = times.end_ms;
    question.step_ns = times.step_ns;
    TINYOBS_ASSIGN_OR_RETURN(
        question.options.resolution,
        ResolutionParameter(parameters.Get("max_source_resolution"), times.step_ns));
    return queries->Answer(request, question);
  };
}

// --- the original's routes: its envelope and its errors around the same answers

// {"status":"success","data":{..},"query":".."} and a newline.
HttpResponse OriginalAnswer(Queries* queries, const HttpRequest& request,
                            const Question& question) {
  if (question.text.empty()) return ErrorResponse(400, "query parameter is required");
  std::string query(",\"query\":");
  wire::JsonWriter(&query).String(question.text);
  auto answer = queries->Answer(request, question, /*values_too=*/true, query);
  if (answer.ok()) {
    answer->body.push_back('\n');
    return *std::move(answer);
  }
  const std::string_view message = FromAbsl(answer.status().message());
  if (absl::IsInvalidArgument(answer.status())) {
    return ErrorResponse(400, StrCat("query parse error: ", message));
  }
  if (absl::IsFailedPrecondition(answer.status())) {
    return ErrorResponse(422, StrCat("query execution error: ", message));
  }
  return QueryErrorResponse(answer.status());
}

Handler OriginalInstantQuery(const std::shared_ptr<Queries>& queries) {
  return [queries](const HttpRequest& request) {
    const UrlParameters parameters = PrometheusParameters(request);
    auto question = queries->QuestionOf(parameters);
    if (!question.ok()) return QueryErrorResponse(question.status());
    // A time that cannot be read is now, as for the original's other routes.
    question->start_ms = ParsePrometheusTime(parameters.Get("time")).value_or(queries->now_ms());
    question->end_ms = question->start_ms;
    return OriginalAnswer(queries.get(), request, *question);
  };
}

// The original's JSON body. Its times may be text or numbers.
HttpResponse ExecuteQuery(Queries* queries, const HttpRequest& request) {
  rapidjson::Document json;
  // Iterative: nesting costs no stack.
  json.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseStopWhenDoneFlag |
             rapidjson::kParseValidateEncodingFlag>(request.body.data(), request.body.size());
  if (json.HasParseError() || !json.IsObject()) {
    return ErrorResponse(400, "invalid JSON: the body must be an object with \"query\"");
  }
  const auto text = [&json](std::string_view name) -> std::string {
    // Not a range-based for, whose != RapidJSON's iterators have twice in C++20.
    for (auto at = json.MemberBegin(); at < json.MemberEnd(); ++at) {
      const auto& [key, value] = *at;
      if (!EqualsIgnoringCase({key.GetString(), key.GetStringLength()}, name)) continue;
      if (value.IsString()) return {value.GetString(), value.GetStringLength()};
      if (value.IsNumber()) return StrCat(value.GetDouble());
    }
    return {};
  };
  const std::string query = text("query");
  auto question = queries->QuestionOf({});
  if (!question.ok()) return QueryErrorResponse(question.status());
  question->text = query;
  question->end_ms = wire::ParseUrlTime(text("end")).value_or(queries->now_ms());
  question->start_ms = wire::ParseUrlTime(text("start")).value_or(queries->now_ms() - kHourMs);
  const std::string step = text("step");
  const auto step_ns = ParsePrometheusDuration(step.empty() ? "15s" : step);
  if (!step_ns.ok()) {
    return ErrorResponse(400,
                         StrCat("invalid step duration: ", FromAbsl(step_ns.status().message())));
  }
  question->step_ns = *step_ns;
  if (const absl::Status checked = Queries::CheckRange(*question); !checked.ok()) {
    return ErrorResponse(400, FromAbsl(checked.message()));
  }
  return OriginalAnswer(queries, request, *question);
}

}  // namespace

void AddQueryRoutes(Router* router, const HandlerContext* context,
                    const std::shared_ptr<QueryGate>& gate) {
  const auto queries = std::make_shared<Queries>(context, gate);
  AddApi(router, {"GET", "POST"}, "query", InstantQuery(queries));
  AddApi(router, {"GET", "POST"}, "query_range", RangeQuery(queries));
  router->Add("GET", "/v1/query/instant", OriginalInstantQuery(queries));
  router->Add("POST", "/v1/query/instant", OriginalInstantQuery(queries));
  router->Add("POST", "/v1/query/execute", [queries](const HttpRequest& request) {
    return ExecuteQuery(queries.get(), request);
  });
}

}  // namespace tinyobs::serve
