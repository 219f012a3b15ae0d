// What there is: series, label names, label values, metadata.
#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "lib/base/memory_accountant.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/promql/literals.h"
#include "lib/wire/json_writer.h"
#include "lib/wire/prometheus_json.h"
#include "tools/serve/prometheus_api.h"
#include "tools/serve/prometheus_request.h"
#include "tools/serve/query_gate.h"

namespace tinyobs::serve {
namespace {

// Of series in one answer.
constexpr size_t kMostSeries = 1'000'000;
// Of memory that an element of a list takes while it is looked for and sorted. Beforehand: what is
// there is then charged as it is.
constexpr size_t kElementBytes = 160;

size_t BytesOf(const std::string& text) { return sizeof(text) + text.size() + 24; }
size_t BytesOf(const Labels& labels) { return BytesOf(labels.canonical_bytes()); }

// What every list is asked for.
struct ListRequest {
  TimeRange range;
  std::vector<std::vector<Matcher>> selectors;
  size_t limit = 0;  // 0 = none

  bool empty() const { return range.from_ms > range.to_ms; }
  // One more than will be shown, to know whether there are more.
  ListHints hints() const { return {.prefix = "", .limit = limit == 0 ? 0 : limit + 1}; }
};

absl::StatusOr<ListRequest> ListRequestOf(const UrlParameters& parameters) {
  ListRequest list;
  TINYOBS_ASSIGN_OR_RETURN(list.limit, LimitParameter(parameters));
  TINYOBS_ASSIGN_OR_RETURN(list.range, RangeParameter(parameters));
  TINYOBS_ASSIGN_OR_RETURN(list.selectors, SelectorParameters(parameters));
  return list;
}

// What `find(matchers, hints)` says; ResourceExhausted if there is no memory for it, which is known
// before it is all there.
template <typename T, typename Find>
absl::StatusOr<std::vector<T>> Found(const ListRequest& list, const std::vector<Matcher>& matchers,
                                     const Find& find, MemoryAccount* account,
                                     MemoryCharge* memory) {
  ListHints hints = list.hints();
  const size_t room = account == nullptr ? SIZE_MAX - 1 : account->left() / kElementBytes;
  if (hints.limit == 0 || hints.limit > room) hints.limit = room + 1;
  TINYOBS_ASSIGN_OR_RETURN(std::vector<T> some, find(matchers, hints));
  if (some.size() > room) return account->ExhaustedError(some.size() * kElementBytes);
  size_t bytes = 0;
  for (const T& element : some) bytes += BytesOf(element);
  TINYOBS_RETURN_IF_ERROR(memory->TryAdd(bytes));
  return some;
}

// The same for any of the selectors, sorted, each once; `memory` is what they hold.
template <typename T, typename Find>
absl::StatusOr<std::vector<T>> Union(const Db& db, const ListRequest& list, const Find& find,
                                     MemoryCharge* memory) {
  std::vector<T> all;
  if (list.empty()) return all;
  MemoryAccount* const account = db.query_memory();
  *memory = MemoryCharge(account);
  if (list.selectors.empty()) return Found<T>(list, {}, find, account, memory);
  for (const std::vector<Matcher>& matchers : list.selectors) {
    TINYOBS_ASSIGN_OR_RETURN(std::vector<T> some, Found<T>(list, matchers, find, account, memory));
    if (all.empty()) {
      all = std::move(some);
    } else {
      all.insert(all.end(), std::make_move_iterator(some.begin()),
                 std::make_move_iterator(some.end()));
    }
  }
  if (list.selectors.size() > 1) {
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
  }
  return all;
}

// Cuts to the limit; the warning, if it did.
template <typename T>
std::vector<std::string> Truncate(size_t limit, std::vector<T>* list) {
  if (limit == 0 || list->size() <= limit) return {};
  list->resize(limit);
  return {"results truncated due to limit"};
}

absl::StatusOr<HttpResponse> StringsResponse(const HandlerContext& context, size_t limit,
                                             std::vector<std::string> texts) {
  const std::vector<std::string> warnings = Truncate(limit, &texts);
  return SuccessResponse(context, warnings, [&](const wire::MayGrow& may_grow, std::string* out) {
    return wire::AppendStrings(texts, may_grow, out);
  });
}

absl::StatusOr<HttpResponse> ListSeries(const HandlerContext& context, const HttpRequest&,
                                        const UrlParameters& parameters) {
  if (parameters.GetAll("match[]").empty()) {
    return absl::InvalidArgumentError("no match[] parameter provided");
  }
  // These first, as there.
  TINYOBS_RETURN_IF_ERROR(LimitParameter(parameters).status());
  TINYOBS_RETURN_IF_ERROR(RangeParameter(parameters).status());
  auto list = ListRequestOf(parameters);
  if (!list.ok()) return InvalidParameter("match[]", FromAbsl(list.status().message()));
  MemoryCharge memory;
  const auto find = [&](const std::vector<Matcher>& matchers, ListHints hints) {
    hints.limit = std::min(hints.limit, kMostSeries + 1);
    return context.db->Series(matchers, list->range, hints);
  };
  TINYOBS_ASSIGN_OR_RETURN(std::vector<Labels> series,
                           Union<Labels>(*context.db, *list, find, &memory));
  if (series.size() > kMostSeries) {
    return QueryLimitError(StrCat("more than ", kMostSeries, " series match"));
  }
  const std::vector<std::string> warnings = Truncate(list->limit, &series);
  return SuccessResponse(context, warnings, [&](const wire::MayGrow& may_grow, std::string* out) {
    return wire::AppendLabelSets(series, may_grow, out);
  });
}

absl::StatusOr<HttpResponse> ListLabels(const HandlerContext& context, const HttpRequest&,
                                        const UrlParameters& parameters) {
  TINYOBS_ASSIGN_OR_RETURN(const ListRequest list, ListRequestOf(parameters));
  MemoryCharge memory;
  const auto find = [&](const std::vector<Matcher>& matchers, const ListHints& hints) {
    return context.db->LabelNames(matchers, list.range, hints);
  };
  TINYOBS_ASSIGN_OR_RETURN(std::vector<std::string> names,
                           Union<std::string>(*context.db, list, find, &memory));
  return StringsResponse(context, list.limit, std::move(names));
}

bool IsLabelName(std::string_view name) {
  const auto is_letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  return !name.empty() && is_letter(name[0]) && std::all_of(name.begin(), name.end(), [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9');
  });
}

absl::StatusOr<HttpResponse> ListValues(const HandlerContext& context, const HttpRequest& request,
                                        const UrlParameters& parameters) {
  // The route: .../label/NAME/values
  std::string_view name = request.path;
  name.remove_suffix(std::string_view("/values").size());
  name.remove_prefix(name.rfind('/') + 1);
  if (!IsLabelName(name)) {
    return absl::InvalidArgumentError(
        StrCat("invalid label name: ", promql::QuoteText(DecodeUrlText(name).value_or(""))));
  }
  TINYOBS_ASSIGN_OR_RETURN(const ListRequest list, ListRequestOf(parameters));
  MemoryCharge memory;
  const auto find = [&](const std::vector<Matcher>& matchers, const ListHints& hints) {
    return context.db->LabelValues(name, matchers, list.range, hints);
  };
  TINYOBS_ASSIGN_OR_RETURN(std::vector<std::string> values,
                           Union<std::string>(*context.db, list, find, &memory));
  return StringsResponse(context, list.limit, std::move(values));
}

// Of the metric itself, or of the histogram or summary that it is a part of.
std::pair<std::string_view, MetricMetadata> MetadataOf(const Db& db, std::string_view metric) {
  MetricMetadata metadata = db.Metadata(metric);
  for (const std::string_view suffix : {"_bucket", "_count", "_sum"}) {
    if (metadata != MetricMetadata()) break;
    if (!metric.ends_with(suffix)) continue;
    metric.remove_suffix(suffix.size());
    metadata = db.Metadata(metric);
  }
  return {metric, std::move(metadata)};
}

absl::StatusOr<HttpResponse> ListMetadata(const HandlerContext& context,
                                          const UrlParameters& parameters) {
  const std::string_view limit_text = parameters.Get("limit");
  const auto limit = LimitParameter(parameters);
  // A negative one is none here.
  if (!limit.ok() && !limit_text.starts_with('-')) {
    return absl::InvalidArgumentError("limit must be a number");
  }
  const size_t most = limit_text.empty() || !limit.ok() ? SIZE_MAX : *limit;
  std::vector<std::string> metrics;
  if (const std::string_view metric = parameters.Get("metric"); !metric.empty()) {
    metrics.emplace_back(metric);
  } else {
    TINYOBS_ASSIGN_OR_RETURN(metrics, context.db->LabelValues(kMetricName, {}, {}));
  }
  return SuccessResponse(context, {}, [&](const wire::MayGrow& may_grow, std::string* out) {
    wire::JsonWriter json(out);
    json.StartObject();
    std::set<std::string, std::less<>> shown;
    for (const std::string& metric : metrics) {
      const auto [name, metadata] = MetadataOf(*context.db, metric);
      if (metadata == MetricMetadata() || shown.contains(name)) continue;
      if (shown.size() >= most) break;
      shown.emplace(name);
      json.Key(name);
      json.StartArray();
      json.StartObject();
      json.Field("type", metadata.type.empty() ? "unknown" : metadata.type);
      json.Field("help", metadata.help);
      json.Field("unit", metadata.unit);
      json.EndObject();
      json.EndArray();
      if (!may_grow(out->size())) return false;
    }
    json.EndObject();
    return true;
  });
}

}  // namespace

void AddSeriesRoutes(Router* router, const HandlerContext* context,
                     const std::shared_ptr<QueryGate>& gate) {
  const auto in_turn = [context, gate](const auto& list) -> ApiFunction {
    return [context, gate, list](const HttpRequest& request, const UrlParameters& parameters) {
      return gate->Run(request, gate->DeadlineNs(request, context->promql_timeout_ms),
                       [&](int) { return list(*context, request, parameters); });
    };
  };
  AddApi(router, {"GET", "POST"}, "series", in_turn(ListSeries));
  AddApi(router, {"GET", "POST"}, "labels", in_turn(ListLabels));
  AddApi(router, {"GET"}, "label/*/values", in_turn(ListValues));
  AddApi(router, {"GET"}, "metadata",
         [context](const HttpRequest&, const UrlParameters& parameters) {
           return ListMetadata(*context, parameters);
         });
}

}  // namespace tinyobs::serve
