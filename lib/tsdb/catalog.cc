#include "lib/tsdb/catalog.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs::tsdb {

namespace {

// A ref is an array index: a jump beyond this is damage, not series that are gone.
constexpr SeriesRef kMaxRefGap = 1 << 24;
// A batch is closed at this size; one more row (1 MiB at most) may be in it.
constexpr size_t kMaxBatchBytes = 4 << 20;

absl::Status BadRow(std::string_view kind, const Iterator& row, std::string_view expected) {
  return absl::DataLossError(StrCat(kind, " row ", EscapeForMessage(row.key()), ": expected ",
                                    expected, ", found ", EscapeForMessage(row.value())));
}

bool ReadMetadata(ByteReader* reader, MetricMetadata* metadata) {
  metadata->type = std::string(reader->LengthPrefixed());
  metadata->help = std::string(reader->LengthPrefixed());
  metadata->unit = std::string(reader->LengthPrefixed());
  return reader->ok() && reader->empty();
}

std::unique_ptr<Iterator> RowsOf(const lsm::Store& store, RowKind kind) {
  lsm::ReadOptions options;
  options.lower_bound = RowPrefix(kind);
  options.upper_bound = PrefixEnd(options.lower_bound);
  options.fill_cache = false;
  auto rows = store.NewIterator(options);
  rows->SeekToFirst();
  return rows;
}

// Labels as every series has them: canonical, with a metric name.
bool AreSeriesLabels(std::string_view bytes) {
  const auto labels = Labels::FromCanonicalBytes(bytes);
  return labels.ok() && !labels->metric().empty();
}

}  // namespace

absl::Status Catalog::Load(const lsm::Store& store) {
  // Rows come in the order of ids, the index wants the order of refs.
  std::vector<NewSeries> all;
  const auto series_rows = RowsOf(store, RowKind::kSeries);
  for (; series_rows->Valid(); series_rows->Next()) {
    ByteReader key(series_rows->key().substr(2));
    ByteReader value(series_rows->value());
    NewSeries series;
    series.id = key.BigEndian64();
    series.ref = static_cast<SeriesRef>(value.BoundedVarint64(kMaxSeriesRef));
    series.canonical_labels = std::string(value.rest());
    if (!key.ok() || !key.empty() || !value.ok() || !AreSeriesLabels(series.canonical_labels)) {
      return BadRow("series", *series_rows, "an id, a ref and labels");
    }
    all.push_back(std::move(series));
  }
  TINYOBS_RETURN_IF_ERROR(series_rows->status());
  std::sort(all.begin(), all.end(),
            [](const NewSeries& a, const NewSeries& b) { return a.ref < b.ref; });
  for (const NewSeries& series : all) TINYOBS_RETURN_IF_ERROR(Replay(series));

  const size_t prefix_bytes = RowPrefix(RowKind::kMetricMetadata).size();
  const auto metadata_rows = RowsOf(store, RowKind::kMetricMetadata);
  MutexLock lock(&mutex_);
  saved_end_ = index_->ref_limit();
  for (; metadata_rows->Valid(); metadata_rows->Next()) {
    ByteReader value(metadata_rows->value());
    Entry entry;
    if (!ReadMetadata(&value, &entry.metadata)) {
      return BadRow("metadata", *metadata_rows, "type, help and unit");
    }
    metadata_.insert_or_assign(std::string(metadata_rows->key().substr(prefix_bytes)),
                               std::move(entry));
  }
  return metadata_rows->status();
}

absl::Status Catalog::Replay(const NewSeries& series) {
  if (!AreSeriesLabels(series.canonical_labels)) {
    return absl::DataLossError(StrCat("series ", series.ref, ": expected labels, found ",
                                      EscapeForMessage(series.canonical_labels)));
  }
  const SeriesKey key = index_->KeyOf(series.canonical_labels);
  const std::optional<SeriesRef> known = index_->Find(series.canonical_labels, key);
  if (known.has_value()) {
    if (*known == series.ref && index_->IdOf(*known) == series.id) return absl::OkStatus();
    return absl::DataLossError(
        StrCat("series ", index_->LabelsOf(*known).ToString(), ": expected number ", *known,
               " and id ", index_->IdOf(*known), ", found ", series.ref, " and ", series.id));
  }
  const SeriesRef limit = index_->ref_limit();
  if (series.ref < limit || series.ref - limit > kMaxRefGap) {
    return absl::DataLossError(StrCat("series number ", series.ref, ": expected the next, ", limit,
                                      ", for ", EscapeForMessage(series.canonical_labels)));
  }
  index_->Add(series.ref, series.id, series.canonical_labels);
  return absl::OkStatus();
}

void Catalog::SetMetadata(std::string_view metric, const MetricMetadata& metadata) {
  MutexLock lock(&mutex_);
  auto found = metadata_.find(ToAbsl(metric));
  if (found == metadata_.end()) {
    if (metadata_limit_ > 0 && metadata_.size() >= metadata_limit_) return;
    found = metadata_.try_emplace(std::string(metric)).first;
  } else if (found->second.metadata == metadata) {
    return;
  }
  Entry& entry = found->second;
  entry.metadata = metadata;
  if (entry.changes == entry.saved_changes) unsaved_metrics_.emplace_back(metric);
  ++entry.changes;
}

MetricMetadata Catalog::Metadata(std::string_view metric) const {
  MutexLock lock(&mutex_);
  const auto found = metadata_.find(ToAbsl(metric));
  return found == metadata_.end() ? MetricMetadata() : found->second.metadata;
}

Catalog::Unsaved Catalog::PutUnsaved(size_t limit, lsm::WriteBatch* batch) {
  Unsaved unsaved;
  const SeriesRef ref_limit = index_->ref_limit();
  MutexLock lock(&mutex_);
  unsaved.ref_end = saved_end_;
  std::string value;
  const auto has_room = [&] { return batch->size_bytes() < kMaxBatchBytes; };
  for (; unsaved.ref_end < ref_limit && limit > 0 && has_room(); ++unsaved.ref_end) {
    if (!index_->Contains(unsaved.ref_end)) continue;
    value.clear();
    PutVarint64(&value, unsaved.ref_end);
    index_->AppendCanonicalLabels(unsaved.ref_end, &value);
    batch->Put(SeriesRowKey(index_->IdOf(unsaved.ref_end)), value);
    --limit;
  }
  for (const std::string& metric : unsaved_metrics_) {
    if (!has_room()) break;
    const Entry& entry = metadata_.at(metric);
    value.clear();
    PutMetadata(entry.metadata, &value);
    batch->Put(MetricMetadataRowKey(metric), value);
    unsaved.metrics.emplace_back(metric, entry.changes);
  }
  return unsaved;
}

void Catalog::MarkSaved(const Unsaved& saved) {
  MutexLock lock(&mutex_);
  saved_end_ = saved.ref_end;
  std::vector<std::string> again;  // changed while the batch was written
  for (const auto& [metric, changes] : saved.metrics) {
    Entry& entry = metadata_.at(metric);
    entry.saved_changes = changes;
    if (entry.changes != changes) again.push_back(metric);
  }
  // The list may have grown at its end since.
  again.insert(again.end(), unsaved_metrics_.begin() + saved.metrics.size(),
               unsaved_metrics_.end());
  unsaved_metrics_ = std::move(again);
}

}  // namespace tinyobs::tsdb
