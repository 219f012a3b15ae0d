#include "lib/tsdb/idle_series.h"

#include <algorithm>
#include <utility>

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/rows.h"

namespace tinyobs::tsdb {

namespace {

absl::Status BadRow(std::string_view kind, std::string_view key, std::string_view value,
                    std::string_view expected) {
  return absl::DataLossError(StrCat(kind, " row ", EscapeForMessage(key), ": expected ", expected,
                                    ", found ", EscapeForMessage(value)));
}

}  // namespace

IdleSeries::IdleSeries(uint64_t seed, size_t cache_bytes, MemoryAccount* account)
    : seed_(seed), cache_bytes_(cache_bytes), account_(account) {}

IdleSeries::~IdleSeries() {
  if (account_ != nullptr) account_->SetUsed(0);
}

absl::Status IdleSeries::Load(lsm::Store* store, uint32_t dropped_before) {
  store_ = store;
  const auto rows = RowsBetween(store_, ChunkPrefix(Tier::kIdle, dropped_before),
                                PrefixEnd(TierPrefix(Tier::kIdle)));
  MutexLock lock(&mutex_);
  while (rows->Valid()) {
    const std::string prefix(rows->key().substr(0, kChunkPrefixBytes));
    if (prefix.size() < kChunkPrefixBytes) {
      return BadRow("idle series", rows->key(), rows->value(), "a partition and an id");
    }
    groups_[LoadBigEndian32(prefix.data() + 1)].newest_ms = INT64_MAX;  // not known
    rows->Seek(PrefixEnd(prefix));
  }
  loaded_ = true;
  return rows->status();
}

bool IdleSeries::empty() const {
  MutexLock lock(&mutex_);
  return groups_.empty();
}

void IdleSeries::Stage(uint32_t partition, int64_t newest_ms) {
  staged_.insert(partition);
  MutexLock lock(&mutex_);
  Group& group = groups_[partition];
  group.changing = true;
  group.newest_ms = std::max(group.newest_ms, newest_ms);
}

void IdleSeries::PutIdle(std::span<const Series> series, lsm::WriteBatch* batch) {
  for (const Series& idle : series) {
    std::string partition;
    PutBigEndian32(&partition, idle.partition);
    batch->Put(IdleSeriesKey(idle.partition, idle.id), idle.canonical_labels);
    batch->Put(IdleLookupKey(SeriesKeyOfCanonicalBytes(idle.canonical_labels, seed_), idle.id),
               partition);
    Stage(idle.partition, idle.last_ms);
  }
}

absl::Status IdleSeries::PutRevived(std::string_view canonical_labels, lsm::WriteBatch* batch) {
  TINYOBS_ASSIGN_OR_RETURN(const auto all_found, Find({&canonical_labels, 1}));
  const std::optional<Found>& found = all_found.front();
  if (!found.has_value()) return absl::OkStatus();
  batch->Delete(IdleSeriesKey(found->partition, found->id));
  batch->Delete(IdleLookupKey(SeriesKeyOfCanonicalBytes(canonical_labels, seed_), found->id));
  Stage(found->partition, INT64_MIN);
  return absl::OkStatus();
}

void IdleSeries::Publish() {
  const uint64_t sequence = store_->NewSnapshot()->sequence();
  MutexLock lock(&mutex_);
  for (const uint32_t partition : staged_) {
    Group& group = groups_[partition];
    Unload(&group);
    group.valid_from = sequence;
    group.changing = false;
  }
  staged_.clear();
}

void IdleSeries::Discard() {
  MutexLock lock(&mutex_);
  for (const uint32_t partition : staged_) groups_[partition].changing = false;
  staged_.clear();
}

bool IdleSeries::Hide(uint32_t partition) {
  MutexLock lock(&mutex_);
  const auto end = groups_.lower_bound(partition);
  for (auto at = groups_.begin(); at != end; ++at) {
    at->second.hidden = true;
    Unload(&at->second);
  }
  return end != groups_.begin();
}

void IdleSeries::Forget(uint32_t partition) {
  MutexLock lock(&mutex_);
  groups_.erase(groups_.begin(), groups_.lower_bound(partition));
}

bool IdleSeries::IsGarbage(std::string_view key, std::string_view value) const {
  static constexpr char kLookup[] = {0, static_cast<char>(RowKind::kIdle)};
  if (!key.starts_with(std::string_view(kLookup, sizeof(kLookup))) || value.size() != 4) {
    return false;
  }
  MutexLock lock(&mutex_);
  return loaded_ && !groups_.contains(LoadBigEndian32(value.data()));
}

absl::StatusOr<std::vector<std::optional<IdleSeries::Found>>> IdleSeries::Find(
    std::span<const std::string_view> canonical_labels) const {
  std::vector<std::optional<Found>> all_found(canonical_labels.size());
  if (all_found.empty() || empty()) return all_found;
  // In the order of the rows: all filters at once need not fit in memory.
  std::vector<std::pair<std::string, size_t>> wanted;  // prefix of the rows, place in the answer
  wanted.reserve(canonical_labels.size());
  for (const std::string_view labels : canonical_labels) {
    wanted.emplace_back(IdleLookupPrefix(SeriesKeyOfCanonicalBytes(labels, seed_)), wanted.size());
  }
  std::sort(wanted.begin(), wanted.end());
  // Each new series looks here in vain, at a random place: blocks read for that serve nobody again.
  lsm::ReadOptions options;
  options.prefix = RowPrefix(RowKind::kIdle);
  options.fill_cache = false;
  options.seek_prefix_bytes = wanted.front().first.size();
  const auto rows = store_->NewIterator(options);
  for (const auto& [prefix, place] : wanted) {
    for (rows->Seek(prefix); rows->Valid() && !all_found[place].has_value(); rows->Next()) {
      ByteReader id(rows->key().substr(prefix.size()));
      ByteReader partition(rows->value());
      const Found found{id.BigEndian64(), partition.BigEndian32()};
      if (!id.ok() || !id.empty() || !partition.ok() || !partition.empty()) {
        return BadRow("idle series", rows->key(), rows->value(), "an id and a partition");
      }
      TINYOBS_ASSIGN_OR_RETURN(const bool same, Has(found, canonical_labels[place]));
      if (same) all_found[place] = found;
    }
    TINYOBS_RETURN_IF_ERROR(rows->status());
  }
  return all_found;
}

// Whether that series is there and has these labels: equal fingerprints are not enough.
absl::StatusOr<bool> IdleSeries::Has(const Found& series, std::string_view canonical_labels) const {
  {
    MutexLock lock(&mutex_);
    const auto group = groups_.find(series.partition);
    if (group == groups_.end() || group->second.hidden) return false;
  }
  std::string labels;
  const absl::Status status = store_->Get(IdleSeriesKey(series.partition, series.id), &labels);
  if (absl::IsNotFound(status)) return false;
  TINYOBS_RETURN_IF_ERROR(status);
  return labels == canonical_labels;
}

absl::Status IdleSeries::ForEach(uint32_t partition,
                                 const std::function<void(const Series& series)>& visit) const {
  std::vector<uint32_t> groups;
  {
    MutexLock lock(&mutex_);
    for (const auto& [number, group] : groups_) {
      if (number < partition && !group.hidden) groups.push_back(number);
    }
  }
  for (const uint32_t number : groups) {
    const auto rows = RowsOf(store_, ChunkPrefix(Tier::kIdle, number));
    for (; rows->Valid(); rows->Next()) {
      ByteReader id(rows->key().substr(kChunkPrefixBytes));
      const SeriesId series = id.BigEndian64();
      if (!id.ok() || !id.empty()) {
        return BadRow("idle series", rows->key(), rows->value(), "an id, and labels");
      }
      visit({series, rows->value(), number});
    }
    TINYOBS_RETURN_IF_ERROR(rows->status());
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const SeriesIndex>> IdleSeries::LoadGroup(
    uint32_t partition, const lsm::Snapshot& snapshot) const {
  const auto rows = RowsOf(store_, ChunkPrefix(Tier::kIdle, partition), &snapshot);
  auto index = std::make_shared<SeriesIndex>(seed_);
  std::unique_ptr<SeriesTable> table = index->NewTable();
  SeriesRef ref = 0;
  for (; rows->Valid(); rows->Next()) {
    ByteReader id(rows->key().substr(kChunkPrefixBytes));
    const SeriesId series = id.BigEndian64();
    if (!id.ok() || !id.empty() || !AreSeriesLabels(rows->value()) || ref > kMaxSeriesRef ||
        !table->Insert(ref++, series, rows->value())) {
      return BadRow("idle series", rows->key(), rows->value(), "an id, and labels as no other's");
    }
  }
  TINYOBS_RETURN_IF_ERROR(rows->status());
  table->PostAll();
  index->Adopt(std::move(table));
  return index;
}

absl::StatusOr<std::vector<std::shared_ptr<const SeriesIndex>>> IdleSeries::Groups(
    uint32_t partition, const lsm::Snapshot& snapshot, int64_t from_ms) const {
  std::vector<std::shared_ptr<const SeriesIndex>> groups;
  std::vector<uint32_t> missing;
  const uint64_t sequence = snapshot.sequence();
  {
    MutexLock lock(&mutex_);
    for (auto at = groups_.lower_bound(partition); at != groups_.end(); ++at) {
      Group& group = at->second;
      if (group.hidden || group.newest_ms < from_ms) continue;
      if (group.index != nullptr && !group.changing && sequence >= group.valid_from) {
        group.last_use = ++uses_;
        if (group.index->size() > 0) groups.push_back(group.index);
      } else {
        missing.push_back(at->first);
      }
    }
  }
  for (const uint32_t number : missing) {
    TINYOBS_ASSIGN_OR_RETURN(auto index, LoadGroup(number, snapshot));
    if (index->size() > 0) groups.push_back(index);
    Keep(number, sequence, std::move(index));
  }
  return groups;
}

void IdleSeries::Unload(Group* group) const {
  cached_bytes_ -= group->bytes;
  group->bytes = 0;
  group->index.reset();
  if (account_ != nullptr) account_->SetUsed(cached_bytes_);
}

void IdleSeries::Keep(uint32_t partition, uint64_t sequence,
                      std::shared_ptr<const SeriesIndex> index) const {
  MutexLock lock(&mutex_);
  const auto at = groups_.find(partition);
  // Changed since the snapshot, or being changed: right for that snapshot only.
  if (at == groups_.end() || at->second.hidden || at->second.changing ||
      sequence < at->second.valid_from) {
    return;
  }
  Unload(&at->second);
  at->second.bytes = index->MemoryBytes();
  at->second.index = std::move(index);
  at->second.last_use = ++uses_;
  cached_bytes_ += at->second.bytes;
  if (account_ != nullptr) account_->SetUsed(cached_bytes_);
  while (cached_bytes_ > cache_bytes_ || (account_ != nullptr && account_->over())) {
    Group* oldest = nullptr;
    for (auto& [number, group] : groups_) {
      if (group.index == nullptr) continue;
      if (oldest == nullptr || group.last_use < oldest->last_use) oldest = &group;
    }
    if (oldest == nullptr) break;
    Unload(oldest);
  }
}

}  // namespace tinyobs::tsdb
