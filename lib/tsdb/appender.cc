#include "lib/tsdb/appender.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/model/limits.h"

namespace tinyobs::tsdb {

namespace {
// Help texts are sentences, not documents.
constexpr size_t kMaxMetadataBytes = 4096;
}  // namespace

void CommitBatch::FindAgain(const SeriesIndex& index) {
  if (by_labels.empty() || index.removals() == removals) return;
  absl::flat_hash_map<std::string, SeriesRef> known;
  for (size_t i = 0; i < unknown.size(); ++i) {
    known.emplace(unknown[i].canonical_labels, static_cast<SeriesRef>(i | kUnknownSeries));
  }
  for (const auto& [begin, end] : by_labels) {
    for (size_t i = begin; i < end; ++i) {
      SeriesRef& ref = samples.refs[i];
      if (ref >= kUnknownSeries || index.Contains(ref)) continue;
      const Labels labels = names->LabelsOf(ref);
      if (labels.metric().empty()) continue;  // younger than `names`
      const std::string& canonical = labels.canonical_bytes();
      const auto next = static_cast<SeriesRef>(unknown.size() | kUnknownSeries);
      const auto [at, is_new] = known.try_emplace(canonical, next);
      if (is_new) {
        unknown.push_back({canonical, std::string(labels.metric()), index.KeyOf(canonical)});
      }
      ref = at->second;
    }
  }
}

absl::Status AppenderImpl::Refuse(size_t samples, absl::Status status) {
  environment_.samples_rejected->fetch_add(samples, std::memory_order_relaxed);
  return status;
}

absl::Status TooOldError(std::string_view series, int64_t timestamp_ms, int64_t oldest_ms) {
  return absl::InvalidArgumentError(
      StrCat(series, ": timestamp ", timestamp_ms, " ms is too old: nothing before ", oldest_ms,
             " ms is taken, as raw samples of then were dropped or are about to be; send samples "
             "sooner, or keep raw ones longer (Options::retention, max_storage_bytes)"));
}

std::string AppenderImpl::NameOf(SeriesHandle series) const {
  const auto ref = static_cast<SeriesRef>(series);
  return environment_.index->Contains(ref) ? environment_.index->LabelsOf(ref).ToString()
                                           : std::string("a removed series");
}

TimeRange AppenderImpl::AcceptedTimes() const {
  const int64_t now_ms = environment_.clock->NowMs();
  int64_t oldest_ms = environment_.oldest_accepted_ms->load(std::memory_order_relaxed);
  if (environment_.raw_retention_ms > 0) {
    oldest_ms = std::max(oldest_ms, now_ms - environment_.raw_retention_ms);
  }
  const int64_t future_ms = environment_.max_future_ms;
  return {oldest_ms, now_ms > INT64_MAX - future_ms ? INT64_MAX : now_ms + future_ms};
}

absl::Status AppenderImpl::CheckTimes(int64_t first_ms, int64_t last_ms,
                                      const std::function<std::string(bool first)>& describe) {
  const TimeRange accepted = AcceptedTimes();
  if (last_ms > accepted.to_ms) {
    const int64_t future_ms = environment_.max_future_ms;
    return absl::InvalidArgumentError(StrCat(describe(false), ": timestamp ", last_ms,
                                             " ms is in the future: the limit is ", future_ms,
                                             " ms after now, ", accepted.to_ms - future_ms, " ms"));
  }
  if (first_ms < accepted.from_ms) return TooOldError(describe(true), first_ms, accepted.from_ms);
  const Partitioning& partitioning = *environment_.partitioning;
  if (partitioning.Contains(first_ms) && partitioning.Contains(last_ms)) {
    batch_.oldest_ms = std::min(batch_.oldest_ms, first_ms);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(StrCat(
      describe(!partitioning.Contains(first_ms)), ": timestamp ",
      partitioning.Contains(last_ms) ? first_ms : last_ms,
      " ms is too far from 1970 to have a partition of ", partitioning.partition_ms(), " ms"));
}

// Only that they can be handles: whether the series is still there is known when it is its turn.
absl::Status AppenderImpl::CheckHandles(std::span<const SeriesHandle> series) {
  const SeriesRef limit = environment_.index->ref_limit();
  SeriesHandle greatest{};
  for (const SeriesHandle handle : series) greatest = std::max(greatest, handle);
  if (series.empty() || static_cast<uint64_t>(greatest) < limit) return absl::OkStatus();
  return absl::InvalidArgumentError(
      StrCat("not a handle of this database: ", static_cast<uint64_t>(greatest)));
}

absl::Status AppenderImpl::CheckLength(std::string_view what, size_t length, size_t values) {
  if (length == values) return absl::OkStatus();
  return Refuse(values, absl::InvalidArgumentError(StrCat("columns of different length: ", length,
                                                          " ", what, ", ", values, " values")));
}

// One handle or one time is that of all values.
absl::Status AppenderImpl::Append(std::span<const SeriesHandle> series,
                                  std::span<const int64_t> timestamps_ms,
                                  std::span<const double> values) {
  const size_t count = values.size();
  absl::Status status = CheckHandles(series);
  if (status.ok() && count > 0) {
    const auto [first, last] = std::minmax_element(timestamps_ms.begin(), timestamps_ms.end());
    status = CheckTimes(*first, *last, [&, first = first, last = last](bool is_first) {
      const auto at = static_cast<size_t>((is_first ? first : last) - timestamps_ms.begin());
      return timestamps_ms.size() == 1 && count > 1
                 ? "a scrape"
                 : NameOf(series[std::min(at, series.size() - 1)]);
    });
  }
  if (!status.ok()) return Refuse(count, std::move(status));
  Put(series, timestamps_ms, values);
  return absl::OkStatus();
}

void AppenderImpl::Put(std::span<const SeriesHandle> series, std::span<const int64_t> timestamps_ms,
                       std::span<const double> values) {
  const size_t count = values.size();
  SampleBatch& samples = batch_.samples;
  const size_t before = samples.size();
  samples.refs.resize(before + count, series.empty() ? 0 : static_cast<SeriesRef>(series[0]));
  if (series.size() == count) {
    for (size_t i = 0; i < count; ++i) samples.refs[before + i] = static_cast<SeriesRef>(series[i]);
  }
  if (timestamps_ms.size() == count) {
    samples.timestamps_ms.insert(samples.timestamps_ms.end(), timestamps_ms.begin(),
                                 timestamps_ms.end());
  } else {
    samples.timestamps_ms.resize(before + count, timestamps_ms[0]);
  }
  samples.values.insert(samples.values.end(), values.begin(), values.end());
}

absl::Status AppenderImpl::Add(const Labels& labels, int64_t timestamp_ms, double value) {
  const std::string_view metric = labels.metric();
  if (metric.empty()) {
    return Refuse(
        1, absl::InvalidArgumentError(StrCat(
               labels.ToString(), ": a series needs a metric name, the label ", kMetricName)));
  }
  if (auto status = CheckTimes(timestamp_ms, timestamp_ms, [&](bool) { return labels.ToString(); });
      !status.ok()) {
    return Refuse(1, std::move(status));
  }
  if (!batch_.names.has_value()) {
    batch_.removals = environment_.index->removals();
    batch_.names = environment_.index->PinNames();
  }
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
  const size_t at = batch_.samples.size();
  if (batch_.by_labels.empty() || batch_.by_labels.back().second != at) {
    batch_.by_labels.emplace_back(at, at);
  }
  ++batch_.by_labels.back().second;
  batch_.samples.Add(ref, timestamp_ms, value);
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
  return Append({&series, 1}, {&timestamp_ms, 1}, {&value, 1});
}

absl::Status AppenderImpl::AddAt(int64_t timestamp_ms, std::span<const SeriesHandle> series,
                                 std::span<const double> values) {
  TINYOBS_RETURN_IF_ERROR(CheckLength("series", series.size(), values.size()));
  return Append(series, {&timestamp_ms, 1}, values);
}

absl::Status AppenderImpl::AddBatch(std::span<const SeriesHandle> series,
                                    std::span<const int64_t> timestamps_ms,
                                    std::span<const double> values) {
  TINYOBS_RETURN_IF_ERROR(CheckLength("series", series.size(), values.size()));
  TINYOBS_RETURN_IF_ERROR(CheckLength("times", timestamps_ms.size(), values.size()));
  return Append(series, timestamps_ms, values);
}

absl::Status AppenderImpl::AddColumn(SeriesHandle series, std::span<const int64_t> timestamps_ms,
                                     std::span<const double> values) {
  TINYOBS_RETURN_IF_ERROR(CheckLength("times", timestamps_ms.size(), values.size()));
  return Append({&series, 1}, timestamps_ms, values);
}

absl::Status AppenderImpl::AddWhatFits(std::span<const SeriesHandle> series,
                                       std::span<const int64_t> timestamps_ms,
                                       std::span<const double> values, uint64_t* left_out,
                                       absl::Status* why) {
  *left_out = 0;
  *why = absl::OkStatus();
  TINYOBS_RETURN_IF_ERROR(CheckLength("series", series.size(), values.size()));
  TINYOBS_RETURN_IF_ERROR(CheckLength("times", timestamps_ms.size(), values.size()));
  if (auto status = CheckHandles(series); !status.ok()) {
    return Refuse(values.size(), std::move(status));
  }
  const TimeRange accepted = AcceptedTimes();
  const auto fits = [&](int64_t time_ms) {
    return time_ms >= accepted.from_ms && time_ms <= accepted.to_ms &&
           environment_.partitioning->Contains(time_ms);
  };
  std::vector<SeriesHandle> kept_series;
  Columns kept;
  if (!std::all_of(timestamps_ms.begin(), timestamps_ms.end(), fits)) {
    for (size_t i = 0; i < values.size(); ++i) {
      if (fits(timestamps_ms[i])) {
        kept_series.push_back(series[i]);
        kept.Add(timestamps_ms[i], values[i]);
      } else if ((*left_out)++ == 0) {  // the message is long, and one of many is enough
        *why =
            CheckTimes(timestamps_ms[i], timestamps_ms[i], [&](bool) { return NameOf(series[i]); });
      }
    }
    environment_.samples_rejected->fetch_add(*left_out, std::memory_order_relaxed);
    series = kept_series;
    timestamps_ms = kept.timestamps_ms;
    values = kept.values;
  }
  if (values.empty()) return absl::OkStatus();
  batch_.oldest_ms =
      std::min(batch_.oldest_ms, *std::min_element(timestamps_ms.begin(), timestamps_ms.end()));
  Put(series, timestamps_ms, values);
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
  batch_.metadata.push_back({std::string(metric), metadata});
  return absl::OkStatus();
}

absl::Status AppenderImpl::Commit() {
  if (batch_.empty()) return absl::OkStatus();
  const size_t samples = batch_.samples.refs.size();
  const absl::Status status = environment_.commit(&batch_);
  if (!status.ok()) {
    environment_.samples_rejected->fetch_add(samples, std::memory_order_relaxed);
  }
  Rollback();
  return status;
}

absl::Status AppenderImpl::CommitWhatFits(uint64_t* left_out, absl::Status* why) {
  batch_.keep_what_fits = true;
  const absl::Status status = batch_.empty() ? absl::OkStatus() : environment_.commit(&batch_);
  uint64_t refused = batch_.left_out;
  // The caller tries again without what is new, or because of a handle; or all of it later.
  if (absl::IsResourceExhausted(status)) {
    refused =
        static_cast<uint64_t>(std::count_if(batch_.samples.refs.begin(), batch_.samples.refs.end(),
                                            [](SeriesRef ref) { return ref >= kUnknownSeries; }));
  }
  environment_.samples_rejected->fetch_add(refused, std::memory_order_relaxed);
  *left_out = batch_.left_out;
  *why = batch_.why_left_out;
  Rollback();
  return status;
}

void AppenderImpl::Rollback() {
  batch_.samples.clear();
  batch_.metadata.clear();
  batch_.unknown.clear();
  batch_.by_labels.clear();
  batch_.names.reset();
  batch_.oldest_ms = INT64_MAX;
  batch_.keep_what_fits = false;
  batch_.left_out = 0;
  batch_.why_left_out = absl::OkStatus();
  unknown_by_labels_.clear();
}

}  // namespace tinyobs::tsdb
