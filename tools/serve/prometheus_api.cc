// The table of parts, and the envelope that all of them use.
#include "tools/serve/prometheus_api.h"

#include <utility>

#include "lib/base/strings.h"
#include "lib/wire/prometheus_json.h"
#include "tools/serve/answer_room.h"
#include "tools/serve/answers.h"
#include "tools/serve/prometheus_request.h"

namespace tinyobs::serve {

void AddPrometheusApi(Router* router, const HandlerContext* context,
                      const std::shared_ptr<QueryGate>& gate) {
  AddQueryRoutes(router, context, gate);
  AddSeriesRoutes(router, context, gate);
  AddServerRoutes(router, context);
  AddExpressionRoutes(router, context);
}

void AddApi(Router* router, std::initializer_list<std::string_view> methods, std::string_view path,
            ApiFunction function) {
  const Handler handler = [function = std::move(function)](const HttpRequest& request) {
    auto response = function(request, PrometheusParameters(request));
    return response.ok() ? *std::move(response) : PrometheusErrorResponse(response.status());
  };
  for (const std::string_view method : methods) {
    router->Add(method, StrCat("/api/v1/", path), handler);
  }
}

absl::StatusOr<HttpResponse> SuccessResponse(
    const HandlerContext& context, const std::vector<std::string>& warnings,
    const std::function<bool(const wire::MayGrow&, std::string*)>& write) {
  AnswerRoom room(context.max_promql_answer_bytes, context.response_bytes);
  std::string body(wire::kPrometheusSuccess);
  if (!write([&room](size_t bytes) { return room.Fits(bytes); }, &body)) return room.status();
  wire::AppendSuccessEnd(warnings, &body);
  HttpResponse response = JsonResponse(std::move(body));
  response.memory = room.TakeMemory();
  return response;
}

HttpResponse SuccessResponse(std::string_view data) {
  std::string body = StrCat(wire::kPrometheusSuccess, data);
  wire::AppendSuccessEnd({}, &body);
  return JsonResponse(std::move(body));
}

}  // namespace tinyobs::serve
