// Db::Delete and Db::Checkpoint behind Prometheus' parameters.
#include "tools/serve/prometheus_admin.h"

#include <cstdio>
#include <ctime>
#include <filesystem>
#include <random>
#include <string>
#include <system_error>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "tools/serve/prometheus_api.h"
#include "tools/serve/prometheus_request.h"

namespace tinyobs::serve {
namespace {

HttpResponse NoContent() { return {.status = 204, .headers = {}, .body = {}}; }

absl::StatusOr<HttpResponse> DeleteSeries(Db* db, const UrlParameters& parameters) {
  if (parameters.GetAll("match[]").empty()) {
    return absl::InvalidArgumentError("no match[] parameter provided");
  }
  TINYOBS_ASSIGN_OR_RETURN(const TimeRange range, RangeParameter(parameters));
  // All are read before the first is deleted.
  TINYOBS_ASSIGN_OR_RETURN(const auto selectors, SelectorParameters(parameters));
  for (const auto& matchers : selectors) {
    TINYOBS_RETURN_IF_ERROR(db->Delete(matchers, range));
  }
  return NoContent();
}

// 20260131T120000Z-0123456789abcdef: sorts by time, and two of one second differ.
std::string SnapshotName(int64_t now_ms) {
  const std::time_t seconds = now_ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char time[32];
  std::strftime(time, sizeof(time), "%Y%m%dT%H%M%SZ", &utc);
  std::random_device random;
  char number[24];
  std::snprintf(number, sizeof(number), "-%08x%08x", random(), random());
  return StrCat(time, number);
}

absl::StatusOr<HttpResponse> Snapshot(const HandlerContext& context) {
  const std::string folder = context.storage_path + "/snapshots";
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) {
    return absl::InternalError(
        StrCat("create snapshot directory: ", folder, ": ", error.message()));
  }
  const std::string name = SnapshotName(context.clock->NowMs());
  TINYOBS_RETURN_IF_ERROR(context.db->Checkpoint(StrCat(folder, "/", name)));
  return SuccessResponse(StrCat("{\"name\":\"", name, "\"}"));
}

}  // namespace

void AddAdminRoutes(Router* router, const HandlerContext* context) {
  const auto add = [&](std::string_view path, ApiFunction function) {
    AddApi(router, {"POST", "PUT"}, StrCat("admin/tsdb/", path),
           [context, function = std::move(function)](
               const HttpRequest& request,
               const UrlParameters& parameters) -> absl::StatusOr<HttpResponse> {
             if (!context->admin_api) return absl::UnavailableError("admin APIs disabled");
             return function(request, parameters);
           });
  };
  add("delete_series", [context](const HttpRequest&, const UrlParameters& parameters) {
    return DeleteSeries(context->db, parameters);
  });
  add("snapshot",
      [context](const HttpRequest&, const UrlParameters&) { return Snapshot(*context); });
  add("clean_tombstones",
      [](const HttpRequest&, const UrlParameters&) -> absl::StatusOr<HttpResponse> {
        return NoContent();
      });
}

}  // namespace tinyobs::serve
