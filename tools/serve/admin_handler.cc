// Db::Downsample -> JSON.
#include "tools/serve/admin_handler.h"

#include <atomic>
#include <memory>

#include "lib/base/strings.h"
#include "lib/wire/query_json.h"
#include "tools/serve/answers.h"

namespace tinyobs::serve {
namespace {

HttpResponse Refused(const absl::Status& status) {
  int code = 500;
  if (absl::IsResourceExhausted(status)) code = 507;
  if (absl::IsUnavailable(status)) code = 503;
  if (absl::IsFailedPrecondition(status)) code = 409;  // it is off
  return ErrorResponse(code, StrCat("failed to downsample: ", FromAbsl(status.message())));
}

}  // namespace

Handler DownsampleHandler(const HandlerContext* context) {
  const auto running = std::make_shared<std::atomic<bool>>(false);
  return [context, running](const HttpRequest&) {
    if (running->exchange(true)) {
      return ErrorResponse(409, "downsampling is under way; see compaction in /v1/health");
    }
    const uint64_t rows_before = context->db->Stats().downsampling.rows_written;
    const int64_t start_ns = context->clock->MonotonicNs();
    const absl::Status done = context->db->Downsample();
    const int64_t took_ms = (context->clock->MonotonicNs() - start_ns) / 1'000'000;
    running->store(false);
    if (!done.ok()) return Refused(done);
    const DbStats stats = context->db->Stats();
    return JsonResponse(
        wire::DownsampledJson(took_ms, stats.downsampling.rows_written - rows_before, stats.tiers));
  };
}

}  // namespace tinyobs::serve
