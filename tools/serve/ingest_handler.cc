// Order of refusals, as the original's: JSON, number of samples, then sample by sample, then what
// the database says (series limit, storage limit).
#include "tools/serve/ingest_handler.h"

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/wire/ingest.h"
#include "lib/wire/query_json.h"
#include "tools/serve/answers.h"
#include "tools/serve/turns.h"

namespace tinyobs::serve {
namespace {

using wire::IngestSample;

constexpr size_t kLargeBodyBytes = 1 << 20;
constexpr size_t kLargeBodiesAtOnce = 2;

// Metadata for every metric whose type the samples change. The last sample of a metric that names a
// type decides: one without a type does not say that the metric has none.
absl::Status AddTypes(const std::vector<IngestSample>& samples, const Querier& known,
                      Appender* appender) {
  absl::flat_hash_map<std::string_view, std::string_view> types;
  for (const IngestSample& sample : samples) {
    if (!sample.type.empty()) types[sample.labels.metric()] = sample.type;
  }
  for (const auto& [metric, type] : types) {
    MetricMetadata metadata = known.Metadata(metric);
    if (metadata.type == type) continue;
    metadata.type = std::string(type);
    TINYOBS_RETURN_IF_ERROR(appender->SetMetadata(metric, metadata));
  }
  return absl::OkStatus();
}

absl::Status Store(const std::vector<IngestSample>& samples, Db* db) {
  if (samples.empty()) return absl::OkStatus();
  const std::unique_ptr<Appender> appender = db->NewAppender();
  for (size_t i = 0; i < samples.size(); ++i) {
    const absl::Status added =
        appender->Add(samples[i].labels, samples[i].timestamp_ms, samples[i].value);
    if (added.ok()) continue;
    appender->Rollback();
    if (!absl::IsInvalidArgument(added)) return added;
    return absl::InvalidArgumentError(
        StrCat(wire::kInvalidMetricPrefix, i, ": ", FromAbsl(added.message())));
  }
  if (const absl::Status added = AddTypes(samples, *db, appender.get()); !added.ok()) {
    appender->Rollback();
    return added;
  }
  return appender->Commit();
}

}  // namespace

Handler IngestHandler(const HandlerContext* context) {
  const auto large_bodies = std::make_shared<Turns>(kLargeBodiesAtOnce);
  return [context, large_bodies](const HttpRequest& request) {
    const auto samples = [&] {
      const Turns::Turn turn(request.body.size() > kLargeBodyBytes ? large_bodies.get() : nullptr);
      return wire::DecodeIngest(request.body, context->clock->NowMs());
    }();
    if (!samples.ok()) return ErrorResponse(400, FromAbsl(samples.status().message()));
    const absl::Status stored = Store(*samples, context->db);
    if (stored.ok()) return JsonResponse(wire::IngestedJson(samples->size()));
    // Stats only now: they are for the message, and refusals are rare.
    const bool wants_usage = absl::IsResourceExhausted(stored);
    return WriteErrorResponse(stored, wants_usage ? context->db->Stats().disk_bytes : 0,
                              context->max_storage_bytes);
  };
}

}  // namespace tinyobs::serve
