#include "lib/tsdb/appender.h"

#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/model/limits.h"

namespace tinyobs::tsdb {

namespace {
// Help texts are sentences, not documents.
constexpr size_t kMaxMetadataBytes = 4096;
}  // namespace

absl::Status AppenderImpl::CheckTime(int64_t timestamp_ms,
                                     const std::function<std::string()>& describe) {
  const int64_t now_ms = environment_.clock->NowMs();
  // Unsigned, because two times may be further apart than an int64 can say.
  const bool future =
      timestamp_ms > now_ms && static_cast<uint64_t>(timestamp_ms) - static_cast<uint64_t>(now_ms) >
                                   static_cast<uint64_t>(environment_.max_future_ms);
  if (!future && environment_.partitioning->Contains(timestamp_ms)) return absl::OkStatus();
  environment_.samples_rejected->fetch_add(1, std::memory_order_relaxed);
  if (future) {
    return absl::InvalidArgumentError(
        StrCat(describe(), ": timestamp ", timestamp_ms, " ms is in the future: the limit is ",
               environment_.max_future_ms, " ms after now, ", now_ms, " ms"));
  }
  return absl::InvalidArgumentError(StrCat(describe(), ": timestamp ", timestamp_ms,
                                           " ms is too far from 1970 to have a partition of ",
                                           environment_.partitioning->partition_ms(), " ms"));
}

absl::Status AppenderImpl::Add(const Labels& labels, int64_t timestamp_ms, double value) {
  const std::string_view metric = labels.metric();
  if (metric.empty()) {
    environment_.samples_rejected->fetch_add(1, std::memory_order_relaxed);
    return absl::InvalidArgumentError(
        StrCat(labels.ToString(), ": a series needs a metric name, the label ", kMetricName));
  }
  TINYOBS_RETURN_IF_ERROR(CheckTime(timestamp_ms, [&] { return labels.ToString(); }));
  const std::string& canonical = labels.canonical_bytes();
  const SeriesKey key = environment_.index->KeyOf(canonical);
  SeriesRef ref;
  if (const auto known = environment_.index->Find(canonical, key); known.has_value()) {
    ref = *known;
  } else {
    const auto next = static_cast<SeriesRef>(batch_.unknown.size() | kUnknownSeries);
    const auto [at, is_new] = unknown_by_labels_.try_emplace(canonical, next);
    if (is_new) batch_.unknown.push_back({canonical, std::string(metric), key});
    ref = at->second;
  }
  batch_.record.samples.push_back({ref, timestamp_ms, value});
  return absl::OkStatus();
}

absl::StatusOr<SeriesHandle> AppenderImpl::Resolve(const Labels& labels) {
  const std::string& canonical = labels.canonical_bytes();
  const auto known = environment_.index->Find(canonical, environment_.index->KeyOf(canonical));
  if (!known.has_value()) {
    return absl::NotFoundError(StrCat("no series ", labels.ToString()));
  }
  return static_cast<SeriesHandle>(*known);
}

absl::Status AppenderImpl::Add(SeriesHandle series, int64_t timestamp_ms, double value) {
  const auto number = static_cast<uint64_t>(series);
  if (number > kMaxSeriesRef || !environment_.index->Contains(static_cast<SeriesRef>(number))) {
    environment_.samples_rejected->fetch_add(1, std::memory_order_relaxed);
    return absl::InvalidArgumentError(StrCat("not a handle of this database: ", number));
  }
  const auto ref = static_cast<SeriesRef>(number);
  TINYOBS_RETURN_IF_ERROR(
      CheckTime(timestamp_ms, [&] { return environment_.index->LabelsOf(ref).ToString(); }));
  batch_.record.samples.push_back({ref, timestamp_ms, value});
  return absl::OkStatus();
}

absl::Status AppenderImpl::SetMetadata(std::string_view metric, const MetricMetadata& metadata) {
  if (metric.empty() || metric.size() > kMaxMetadataBytes) {
    return absl::InvalidArgumentError(StrCat("metadata of ", EscapeForMessage(metric),
                                             ": a metric name has 1 to ", kMaxMetadataBytes,
                                             " bytes, not ", metric.size()));
  }
  const size_t bytes = metadata.type.size() + metadata.help.size() + metadata.unit.size();
  if (bytes > kMaxMetadataBytes) {
    return absl::InvalidArgumentError(StrCat("metadata of ", EscapeForMessage(metric), ": ", bytes,
                                             " bytes; the limit is ", kMaxMetadataBytes));
  }
  batch_.record.metadata.push_back({std::string(metric), metadata});
  return absl::OkStatus();
}

absl::Status AppenderImpl::Commit() {
  if (batch_.record.samples.empty() && batch_.record.metadata.empty()) return absl::OkStatus();
  const size_t samples = batch_.record.samples.size();
  const absl::Status status = environment_.commit(&batch_);
  if (!status.ok()) {
    environment_.samples_rejected->fetch_add(samples, std::memory_order_relaxed);
  }
  Rollback();
  return status;
}

void AppenderImpl::Rollback() {
  batch_.record.clear();
  batch_.unknown.clear();
  unknown_by_labels_.clear();
}

}  // namespace tinyobs::tsdb
