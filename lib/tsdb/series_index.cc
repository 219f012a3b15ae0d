#include "lib/tsdb/series_index.h"

#include <algorithm>
#include <cstring>

#include "lib/base/check.h"
#include "lib/base/coding.h"

namespace tinyobs::tsdb {

SeriesIndex::SeriesIndex(uint64_t seed)
    : seed_(seed), by_labels_(/*bucket_count=*/0, RefHash{this}, RefEqual{this}) {}

bool SeriesIndex::Equals(SeriesRef ref, const LookupKey& key) const {
  if (series_[ref].hash != key.hash) return false;
  ByteReader labels(key.canonical_labels);
  bool equal = true;
  ForEachPair(ref, [&](const Pair& pair) {
    const std::string_view name = labels.LengthPrefixed();
    equal = labels.ok() && name == pair.name && labels.LengthPrefixed() == pair.value;
    return equal;
  });
  return equal && labels.empty();
}

std::optional<SeriesRef> SeriesIndex::Find(std::string_view canonical_labels,
                                           const SeriesKey& key) const {
  ReaderMutexLock lock(&lock_);
  const auto found = by_labels_.find(LookupKey{canonical_labels, key.fingerprint.low});
  if (found == by_labels_.end()) return std::nullopt;
  return *found;
}

bool SeriesIndex::Contains(SeriesRef ref) const {
  ReaderMutexLock lock(&lock_);
  return ref < series_.size() && series_[ref].pairs != nullptr;
}

uint64_t SeriesIndex::size() const {
  ReaderMutexLock lock(&lock_);
  return count_;
}

SeriesRef SeriesIndex::ref_limit() const {
  ReaderMutexLock lock(&lock_);
  return static_cast<SeriesRef>(series_.size());
}

std::string_view SeriesIndex::Store(std::string_view bytes) {
  if (bytes.empty()) return {};
  char* const to = arena_.Allocate(bytes.size());
  std::memcpy(to, bytes.data(), bytes.size());
  return {to, bytes.size()};
}

SeriesId SeriesIndex::NewSeriesId(std::string_view metric) {
  WriterMutexLock lock(&lock_);
  auto found = metrics_.find(metric);
  if (found == metrics_.end()) {
    found = metrics_.try_emplace(Store(metric), Metric{next_metric_id_++, 0}).first;
  }
  return SeriesId{found->second.id} << 32 | found->second.next_number++;
}

void SeriesIndex::NoteId(std::string_view metric, SeriesId id) {
  const auto metric_id = static_cast<uint32_t>(id >> 32);
  const auto number = static_cast<uint32_t>(id);
  auto found = metrics_.find(metric);
  if (found == metrics_.end()) {
    found = metrics_.try_emplace(Store(metric), Metric{metric_id, 0}).first;
  }
  found->second.next_number = std::max(found->second.next_number, number + 1);
  next_metric_id_ = std::max(next_metric_id_, metric_id + 1);
}

SeriesIndex::PairNumber SeriesIndex::PairFor(std::string_view name, std::string_view value) {
  auto of_name = names_.find(name);
  if (of_name == names_.end()) of_name = names_.try_emplace(Store(name)).first;
  auto& values = of_name->second.values;
  const auto found = values.find(value);
  if (found != values.end()) return found->second;
  const auto number = static_cast<PairNumber>(pairs_.size());
  pairs_.push_back({of_name->first, Store(value), {}});
  values.emplace(pairs_.back().value, number);
  return number;
}

void SeriesIndex::Add(SeriesRef ref, SeriesId id, std::string_view canonical_labels) {
  const SeriesKey key = KeyOf(canonical_labels);
  WriterMutexLock lock(&lock_);
  TINYOBS_CHECK(ref >= series_.size() && ref <= kMaxSeriesRef);
  std::string numbers;
  std::string_view metric;
  ByteReader labels(canonical_labels);
  while (!labels.empty()) {
    const std::string_view name = labels.LengthPrefixed();
    const std::string_view value = labels.LengthPrefixed();
    if (name == kMetricName) metric = value;
    const PairNumber number = PairFor(name, value);
    pairs_[number].postings.Append(ref);
    PutVarint64(&numbers, number);
  }
  TINYOBS_CHECK(labels.ok() && !numbers.empty());
  series_.resize(ref + 1);
  series_[ref] = {id, key.fingerprint.low, Store(numbers).data(),
                  static_cast<uint32_t>(numbers.size())};
  by_labels_.insert(ref);
  NoteId(metric, id);
  ++count_;
}

SeriesId SeriesIndex::IdOf(SeriesRef ref) const {
  ReaderMutexLock lock(&lock_);
  return series_[ref].id;
}

void SeriesIndex::AppendCanonicalLabels(SeriesRef ref, std::string* out) const {
  ReaderMutexLock lock(&lock_);
  ForEachPair(ref, [&](const Pair& pair) {
    PutLengthPrefixed(out, pair.name);
    PutLengthPrefixed(out, pair.value);
    return true;
  });
}

Labels SeriesIndex::LabelsOf(SeriesRef ref) const {
  std::string bytes;
  AppendCanonicalLabels(ref, &bytes);
  auto labels = Labels::FromCanonicalBytes(bytes);
  TINYOBS_CHECK(labels.ok());  // checked when they came in
  return *std::move(labels);
}

bool SeriesIndex::LessByLabels(SeriesRef a, SeriesRef b) const {
  const char* at_a = series_[a].pairs;
  const char* at_b = series_[b].pairs;
  const char* const limit_a = at_a + series_[a].pairs_bytes;
  const char* const limit_b = at_b + series_[b].pairs_bytes;
  while (at_a < limit_a && at_b < limit_b) {
    uint64_t number_a = 0;
    uint64_t number_b = 0;
    at_a = LoadVarint64(at_a, limit_a, &number_a);
    at_b = LoadVarint64(at_b, limit_b, &number_b);
    if (number_a == number_b) continue;
    const Pair& pair_a = pairs_[number_a];
    const Pair& pair_b = pairs_[number_b];
    if (const int order = pair_a.name.compare(pair_b.name); order != 0) return order < 0;
    return pair_a.value < pair_b.value;
  }
  return at_a == limit_a && at_b != limit_b;
}

void SeriesIndex::SortByLabels(std::vector<SeriesRef>* refs) const {
  ReaderMutexLock lock(&lock_);
  std::sort(refs->begin(), refs->end(),
            [this](SeriesRef a, SeriesRef b)
                ABSL_NO_THREAD_SAFETY_ANALYSIS { return LessByLabels(a, b); });
}

size_t SeriesIndex::MemoryBytes() const {
  ReaderMutexLock lock(&lock_);
  // Posting lists are estimated at two bytes a label, to not walk them all.
  return arena_.MemoryUsageBytes() * 2 + series_.capacity() * sizeof(Series) +
         by_labels_.capacity() * (sizeof(SeriesRef) + 1) +
         pairs_.size() * (sizeof(Pair) + 2 * sizeof(std::string_view));
}

}  // namespace tinyobs::tsdb
