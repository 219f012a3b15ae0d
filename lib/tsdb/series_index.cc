#include "lib/tsdb/series_index.h"

#include <algorithm>

#include "lib/base/check.h"

namespace tinyobs::tsdb {

namespace {

// Dead series beyond a fifth of the living at which the table is replaced: small tables need not
// be.
constexpr uint64_t kDeadTolerated = 256;

uint32_t HashOf(const SeriesKey& key) { return static_cast<uint32_t>(key.fingerprint.low); }

Labels LabelsFrom(const SeriesTable& table, SeriesRef ref) {
  const SeriesTable::Series* const series = table.EntryOf(ref);
  if (series == nullptr) return Labels();
  std::string bytes;
  table.AppendLabels(*series, &bytes);
  auto labels = Labels::FromCanonicalBytes(bytes);
  TINYOBS_CHECK(labels.ok());  // checked when they came in
  return *std::move(labels);
}

}  // namespace

SeriesId SeriesNames::IdOf(SeriesRef ref) const {
  ReaderMutexLock lock(&index_->lock_);
  const SeriesTable::Series* const series = table_->EntryOf(ref);
  return series == nullptr ? 0 : series->id;
}

std::vector<SeriesId> SeriesNames::IdsOf(std::span<const SeriesRef> refs) const {
  constexpr size_t kPerHold = 1024;  // the lock costs more than a series does
  std::vector<SeriesId> ids;
  ids.reserve(refs.size());
  while (ids.size() < refs.size()) {
    ReaderMutexLock lock(&index_->lock_);
    for (const size_t stop = std::min(refs.size(), ids.size() + kPerHold); ids.size() < stop;) {
      const SeriesTable::Series* const series = table_->EntryOf(refs[ids.size()]);
      ids.push_back(series == nullptr ? 0 : series->id);
    }
  }
  return ids;
}

Labels SeriesNames::LabelsOf(SeriesRef ref) const {
  ReaderMutexLock lock(&index_->lock_);
  return LabelsFrom(*table_, ref);
}

SeriesIndex::SeriesIndex(uint64_t seed)
    : seed_(seed), table_(std::make_shared<SeriesTable>(seed)) {}

std::optional<SeriesRef> SeriesIndex::Find(std::string_view canonical_labels,
                                           const SeriesKey& key) const {
  ReaderMutexLock lock(&lock_);
  const SeriesRef ref = table_->Find(canonical_labels, HashOf(key));
  if (ref == kNoSeries) return std::nullopt;
  return ref;
}

bool SeriesIndex::Contains(SeriesRef ref) const {
  ReaderMutexLock lock(&lock_);
  return table_->Lives(ref);
}

uint64_t SeriesIndex::size() const {
  ReaderMutexLock lock(&lock_);
  return table_->live();
}

SeriesRef SeriesIndex::next_ref() const {
  ReaderMutexLock lock(&lock_);
  return next_ref_;
}

SeriesRef SeriesIndex::series_end() const {
  ReaderMutexLock lock(&lock_);
  return table_->ref_end();
}

uint32_t SeriesIndex::next_metric_id() const {
  ReaderMutexLock lock(&lock_);
  return next_metric_id_;
}

void SeriesIndex::RaiseNext(SeriesRef next_ref, uint32_t next_metric_id) {
  WriterMutexLock lock(&lock_);
  next_ref_ = std::max(next_ref_, next_ref);
  next_metric_id_ = std::max(next_metric_id_, next_metric_id);
}

SeriesId SeriesIndex::NewSeriesId(std::string_view metric, SeriesRef ref) {
  WriterMutexLock lock(&lock_);
  uint32_t metric_id = table_->MetricId(metric);
  if (metric_id == 0) {
    const auto [planned, is_new] =
        planned_metrics_.try_emplace(std::string(metric), next_metric_id_);
    if (is_new) ++next_metric_id_;
    metric_id = planned->second;
  }
  return SeriesId{metric_id} << 32 | ref;
}

void SeriesIndex::Add(SeriesRef ref, SeriesId id, std::string_view canonical_labels) {
  WriterMutexLock lock(&lock_);
  TINYOBS_CHECK(ref >= table_->ref_end() && ref <= kMaxSeriesRef);
  TINYOBS_CHECK(table_->Insert(ref, id, canonical_labels));
  table_->Post(ref);
  next_ref_ = std::max(next_ref_, ref + 1);
  next_metric_id_ = std::max(next_metric_id_, static_cast<uint32_t>(id >> 32) + 1);
  // Those that were never used would stay; asked for again, they get another.
  if (!planned_metrics_.empty() && planned_metrics_.size() >= 1024) planned_metrics_.clear();
}

void SeriesIndex::Remove(std::span<const SeriesRef> refs) {
  std::shared_ptr<SeriesTable> table;
  {
    WriterMutexLock lock(&lock_);
    for (const SeriesRef ref : refs) table_->Remove(ref);
    ++removals_;
    if (table_->dead() <= kDeadTolerated + table_->live() / 5) return;
    table = table_;
  }
  // Nobody else changes it: the caller is the only one who may.
  Replace(table->Compacted());
}

void SeriesIndex::Adopt(std::unique_ptr<SeriesTable> table) {
  uint32_t next_metric_id = 0;
  table->ForEachLiving([&](SeriesRef ref) {
    next_metric_id =
        std::max(next_metric_id, static_cast<uint32_t>(table->EntryOf(ref)->id >> 32) + 1);
  });
  RaiseNext(table->ref_end(), next_metric_id);
  Replace(std::move(table));
}

void SeriesIndex::Replace(std::shared_ptr<SeriesTable> table) {
  WriterMutexLock lock(&lock_);
  cache_.Clear();
  planned_metrics_.clear();
  table_.swap(table);
  // The old one is freed by our caller's last reference, or by the last query that pins it: after
  // the lock, as parameters die last.
}

SeriesId SeriesIndex::IdOf(SeriesRef ref) const {
  ReaderMutexLock lock(&lock_);
  return table_->Lives(ref) ? table_->EntryOf(ref)->id : 0;
}

Labels SeriesIndex::LabelsOf(SeriesRef ref) const {
  ReaderMutexLock lock(&lock_);
  return table_->Lives(ref) ? LabelsFrom(*table_, ref) : Labels();
}

bool SeriesIndex::Describe(SeriesRef ref, SeriesId* id, std::string* canonical_labels) const {
  ReaderMutexLock lock(&lock_);
  if (!table_->Lives(ref)) return false;
  const SeriesTable::Series& series = *table_->EntryOf(ref);
  *id = series.id;
  table_->AppendLabels(series, canonical_labels);
  return true;
}

uint64_t SeriesIndex::removals() const {
  ReaderMutexLock lock(&lock_);
  return removals_;
}

SeriesNames SeriesIndex::PinNames() const {
  ReaderMutexLock lock(&lock_);
  return SeriesNames(this, table_);
}

size_t SeriesIndex::MemoryBytes() const {
  ReaderMutexLock lock(&lock_);
  return table_->MemoryBytes() + cache_.MemoryBytes();
}

}  // namespace tinyobs::tsdb
