#include "lib/tsdb/catalog.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/rows.h"

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

absl::StatusOr<NewSeries> ParseSeriesRow(const Iterator& row) {
  ByteReader key(row.key().substr(2));
  ByteReader value(row.value());
  NewSeries series;
  series.id = key.BigEndian64();
  series.ref = static_cast<SeriesRef>(value.BoundedVarint64(kMaxSeriesRef));
  series.canonical_labels = std::string(value.rest());
  if (!key.ok() || !key.empty() || !value.ok() || !AreSeriesLabels(series.canonical_labels)) {
    return BadRow("series", row, "an id, a ref and labels");
  }
  return series;
}

}  // namespace

absl::Status Catalog::Load(const lsm::Store& store, std::optional<SeriesRef> snapshot_end,
                           size_t most_bytes, std::vector<SeriesId>* twins) {
  if (!snapshot_end.has_value()) TINYOBS_RETURN_IF_ERROR(LoadSeries(store, most_bytes, twins));
  TINYOBS_RETURN_IF_ERROR(LoadNext(store));
  {
    MutexLock lock(&mutex_);
    saved_end_ = snapshot_end.value_or(index_->series_end());
  }
  return LoadMetadata(store);
}

absl::Status Catalog::LoadSeries(const lsm::Store& store, size_t most_bytes,
                                 std::vector<SeriesId>* twins) {
  // Rows come in the order of ids, posting lists want the order of refs: they come last.
  std::unique_ptr<SeriesTable> table = index_->NewTable();
  const auto rows = RowsOf(&store, RowPrefix(RowKind::kSeries));
  for (; rows->Valid(); rows->Next()) {
    TINYOBS_ASSIGN_OR_RETURN(const NewSeries series, ParseSeriesRow(*rows));
    if (!table->Insert(series.ref, series.id, series.canonical_labels)) {
      if (twins == nullptr) {
        return BadRow("series", *rows, "a ref and labels that no other row has");
      }
      twins->push_back(series.id);
    }
    if (table->MemoryBytes() > most_bytes) {
      return absl::ResourceExhaustedError(StrCat("series take more than ", most_bytes, " bytes"));
    }
  }
  TINYOBS_RETURN_IF_ERROR(rows->status());
  table->PostAll();
  index_->Adopt(std::move(table));
  return absl::OkStatus();
}

absl::Status Catalog::LoadMissing(const lsm::Store& store) {
  if (std::max(index_->series_end(), saved_end()) >= stored_next_ref_) return absl::OkStatus();
  std::vector<NewSeries> missing;
  const auto rows = RowsOf(&store, RowPrefix(RowKind::kSeries));
  for (; rows->Valid(); rows->Next()) {
    TINYOBS_ASSIGN_OR_RETURN(NewSeries series, ParseSeriesRow(*rows));
    if (series.ref >= index_->series_end()) missing.push_back(std::move(series));
  }
  TINYOBS_RETURN_IF_ERROR(rows->status());
  std::sort(missing.begin(), missing.end(),
            [](const NewSeries& a, const NewSeries& b) { return a.ref < b.ref; });
  for (const NewSeries& series : missing) TINYOBS_RETURN_IF_ERROR(Replay(series));
  return absl::OkStatus();
}

absl::Status Catalog::LoadNext(const lsm::Store& store) {
  const auto row = RowsOf(&store, RowPrefix(RowKind::kNext));
  if (!row->Valid()) return row->status();
  ByteReader value(row->value());
  const uint64_t next_ref = value.BoundedVarint64(uint64_t{kMaxSeriesRef} + 1);
  const uint64_t next_metric_id = value.BoundedVarint64(UINT32_MAX);
  if (!value.ok() || !value.empty()) return BadRow("next", *row, "a ref and a metric id");
  stored_next_ref_ = static_cast<SeriesRef>(next_ref);
  index_->RaiseNext(stored_next_ref_, static_cast<uint32_t>(next_metric_id));
  return absl::OkStatus();
}

void Catalog::PutNext(lsm::WriteBatch* batch) const {
  std::string value;
  PutVarint64(&value, index_->next_ref());
  PutVarint64(&value, index_->next_metric_id());
  batch->Put(RowPrefix(RowKind::kNext), value);
}

absl::Status Catalog::LoadMetadata(const lsm::Store& store) {
  const size_t prefix_bytes = RowPrefix(RowKind::kMetricMetadata).size();
  const auto rows = RowsOf(&store, RowPrefix(RowKind::kMetricMetadata));
  MutexLock lock(&mutex_);
  for (; rows->Valid(); rows->Next()) {
    ByteReader value(rows->value());
    Entry entry;
    entry.metadata = ReadMetadata(&value);
    if (!value.ok() || !value.empty()) {
      return BadRow("metadata", *rows, "type, help and unit");
    }
    metadata_.insert_or_assign(std::string(rows->key().substr(prefix_bytes)), std::move(entry));
  }
  return rows->status();
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
  // Series of the log may have lower refs than the next: that counts those it tells of.
  const SeriesRef end = index_->series_end();
  const SeriesRef next = index_->next_ref();
  if (series.ref < end || (series.ref > next && series.ref - next > kMaxRefGap)) {
    return absl::DataLossError(StrCat("series number ", series.ref, ": expected one from ", end,
                                      " to ", next, ", for ",
                                      EscapeForMessage(series.canonical_labels)));
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
  // Not next_ref: that counts series which a commit has planned and not added yet, and these would
  // be taken for removed ones and never saved.
  const SeriesRef ref_limit = index_->series_end();
  MutexLock lock(&mutex_);
  unsaved.ref_end = saved_end_;
  std::string value;
  const auto has_room = [&] { return batch->size_bytes() < kMaxBatchBytes; };
  const SeriesRef first = unsaved.ref_end;
  for (; unsaved.ref_end < ref_limit && limit > 0 && has_room(); ++unsaved.ref_end) {
    value.clear();
    PutVarint64(&value, unsaved.ref_end);
    const size_t labels_at = value.size();
    SeriesId id = 0;
    if (!index_->Describe(unsaved.ref_end, &id, &value)) continue;  // removed
    if (static_cast<SeriesRef>(id) != unsaved.ref_end) {
      unsaved.revived.push_back(value.substr(labels_at));
    }
    batch->Put(SeriesRowKey(id), value);
    --limit;
  }
  if (unsaved.ref_end > first && !batch->empty()) PutNext(batch);
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

SeriesRef Catalog::saved_end() const {
  MutexLock lock(&mutex_);
  return saved_end_;
}

void Catalog::PutRemoved(std::span<const SeriesId> ids, lsm::WriteBatch* batch) const {
  for (const SeriesId id : ids) batch->Delete(SeriesRowKey(id));
  PutNext(batch);
}

}  // namespace tinyobs::tsdb
