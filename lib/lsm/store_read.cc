// Reading: lookups, iterators, snapshots.
//
// A reader pins the state (memtables and version) first and takes the sequence second. The other
// way round, versions that are visible at its sequence could be merged away between the two.
#include <algorithm>
#include <optional>
#include <utility>

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/internal_key.h"
#include "lib/lsm/level_iterator.h"
#include "lib/lsm/merging_iterator.h"
#include "lib/lsm/store_impl.h"
#include "lib/lsm/user_iterator.h"

namespace tinyobs::lsm {
namespace {

absl::Status NoSuchKey() { return absl::NotFoundError("no such key"); }

// What a reader gets for the entry it found.
absl::Status TakeFound(ValueType type, std::string_view found, std::string* value) {
  if (type == ValueType::kDelete) return NoSuchKey();
  value->assign(found);
  return absl::OkStatus();
}

}  // namespace

class SnapshotImpl final : public Snapshot {
 public:
  explicit SnapshotImpl(const StoreImpl* store) : store_(store) {
    MutexLock lock(&store_->mutex_);
    sequence_ = store_->visible_sequence_.load(std::memory_order_acquire);
    entry_ = store_->snapshots_.insert(sequence_);
    if (store_->SnapshotsPin()) state_ = store_->GetReadState();
  }
  ~SnapshotImpl() override {
    MutexLock lock(&store_->mutex_);
    store_->snapshots_.erase(entry_);
  }

  uint64_t sequence() const override { return sequence_; }
  const std::shared_ptr<const StoreImpl::ReadState>& state() const { return state_; }

 private:
  const StoreImpl* const store_;
  uint64_t sequence_;
  // If SnapshotsPin().
  std::shared_ptr<const StoreImpl::ReadState> state_;
  std::multiset<uint64_t>::iterator entry_;
};

std::unique_ptr<const Snapshot> StoreImpl::NewSnapshot() const {
  return std::make_unique<const SnapshotImpl>(this);
}

std::shared_ptr<const StoreImpl::ReadState> StoreImpl::GetReadState(
    const ReadOptions& options) const {
  if (options.snapshot != nullptr && SnapshotsPin()) {
    return static_cast<const SnapshotImpl*>(options.snapshot)->state();
  }
  return GetReadState();
}

std::shared_ptr<const StoreImpl::ReadState> StoreImpl::GetReadState() const {
  MutexLock lock(&read_state_mutex_);
  return read_state_;
}

void StoreImpl::PublishReadState() {
  auto state = std::make_shared<ReadState>();
  state->active = active_;
  for (auto entry = immutables_.rbegin(); entry != immutables_.rend(); ++entry) {
    state->immutables.push_back(entry->memtable);
  }
  state->version = version_;
  std::shared_ptr<const ReadState> old;  // freed behind the lock, if nobody pins it
  {
    MutexLock lock(&read_state_mutex_);
    old = std::exchange(read_state_, std::move(state));
  }
}

bool StoreImpl::ReadState::GetFromMemtables(std::string_view key, uint64_t hash, uint64_t sequence,
                                            Memtable::Found* found) const {
  if (active->Get(key, hash, sequence, found)) return true;
  for (const auto& memtable : immutables) {
    if (memtable->Get(key, hash, sequence, found)) return true;
  }
  return false;
}

absl::Status StoreImpl::ClosedError() const {
  return absl::FailedPreconditionError(StrCat(path_, ": the store is closed"));
}

uint64_t StoreImpl::ReadSequence(const ReadOptions& options) const {
  return options.snapshot != nullptr ? options.snapshot->sequence()
                                     : visible_sequence_.load(std::memory_order_acquire);
}

struct StoreImpl::PendingKey {
  std::string_view internal_key;
  std::string* value;
  absl::Status* status;
  uint64_t hash;  // Memtable::HashOf, the same as tables' filters use
  bool done = false;

  size_t Answer(absl::Status answer) {
    *status = std::move(answer);
    done = true;
    return 1;
  }
};

absl::Status StoreImpl::Get(const ReadOptions& options, std::string_view key,
                            std::string* value) const {
  if (closed_.load(std::memory_order_relaxed)) return ClosedError();
  const std::shared_ptr<const ReadState> state = GetReadState(options);
  const uint64_t sequence = ReadSequence(options);
  Memtable::Found found;
  const uint64_t hash = Memtable::HashOf(key);
  if (state->GetFromMemtables(key, hash, sequence, &found)) {
    return TakeFound(found.type, found.value, value);
  }
  const std::string internal_key = MakeInternalKey(key, SeekTrailer(sequence));
  absl::Status status;
  PendingKey pending{internal_key, value, &status, hash};
  GetFromTables(options, *state->version, {&pending, 1});
  return status;
}

std::vector<absl::Status> StoreImpl::MultiGet(const ReadOptions& options,
                                              std::span<const std::string_view> keys,
                                              std::vector<std::string>* values) const {
  values->resize(keys.size());
  if (closed_.load(std::memory_order_relaxed)) {
    return std::vector<absl::Status>(keys.size(), ClosedError());
  }
  const std::shared_ptr<const ReadState> state = GetReadState(options);
  const uint64_t sequence = ReadSequence(options);
  // In key order, so that keys of one table and one block are neighbours.
  std::vector<std::pair<std::string_view, size_t>> sorted;
  sorted.reserve(keys.size());
  size_t key_bytes = 0;
  for (size_t i = 0; i < keys.size(); ++i) {
    sorted.emplace_back(keys[i], i);
    key_bytes += keys[i].size() + kTrailerBytes;
  }
  std::sort(sorted.begin(), sorted.end());

  std::vector<absl::Status> statuses(keys.size());
  std::vector<PendingKey> pending;
  std::string internal_keys;
  internal_keys.reserve(key_bytes);  // `pending` has views into it
  for (const auto& [key, index] : sorted) {
    std::string* const value = &(*values)[index];
    value->clear();
    Memtable::Found found;
    const uint64_t hash = Memtable::HashOf(key);
    if (state->GetFromMemtables(key, hash, sequence, &found)) {
      statuses[index] = TakeFound(found.type, found.value, value);
      continue;
    }
    const size_t begin = internal_keys.size();
    AppendInternalKey(key, SeekTrailer(sequence), &internal_keys);
    pending.push_back(
        {std::string_view(internal_keys).substr(begin), value, &statuses[index], hash});
  }
  GetFromTables(options, *state->version, pending);
  return statuses;
}

void StoreImpl::GetFromTables(const ReadOptions& options, const Version& version,
                              std::span<PendingKey> keys) const {
  sstable::TableReadOptions read;
  read.fill_cache = options.fill_cache;
  size_t left = keys.size();
  for (const TablePtr& table : version.level(0)) {
    if (left == 0) return;
    left -= GetFromTable(read, *table, keys);
  }
  for (int level = 1; level < kLevels; ++level) {
    const TableList& tables = version.level(level);
    for (size_t i = 0; i < keys.size() && left > 0;) {
      const size_t index = FindTableIn(tables, UserKeyOf(keys[i].internal_key));
      if (index == tables.size()) break;
      const std::string_view largest = tables[index]->largest_user_key();
      size_t end = i + 1;
      while (end < keys.size() &&
             CompareUserKeys(UserKeyOf(keys[end].internal_key), largest) <= 0) {
        ++end;
      }
      left -= GetFromTable(read, *tables[index], keys.subspan(i, end - i));
      i = end;
    }
  }
  for (PendingKey& key : keys) {
    if (!key.done) key.Answer(NoSuchKey());
  }
}

size_t StoreImpl::GetFromTable(const sstable::TableReadOptions& options, const TableFile& table,
                               std::span<PendingKey> keys) const {
  size_t answered = 0;
  // Opened for the first key that needs it.
  absl::StatusOr<std::shared_ptr<const sstable::TableReader>> reader = nullptr;
  std::optional<sstable::TableLookup> lookup;
  for (PendingKey& key : keys) {
    const std::string_view user_key = UserKeyOf(key.internal_key);
    if (key.done || CompareUserKeys(user_key, table.smallest_user_key()) < 0) continue;
    if (CompareUserKeys(user_key, table.largest_user_key()) > 0) break;
    if (reader.ok() && *reader == nullptr) reader = table_cache_->Find(table.meta);
    if (!reader.ok()) {
      answered += key.Answer(reader.status());
      continue;
    }
    if (!(*reader)->MayContain(user_key, key.hash)) continue;
    if (!lookup.has_value()) lookup.emplace(reader->get(), options);
    sstable::FoundEntry entry;
    const absl::StatusOr<bool> found = lookup->Get(key.internal_key, &entry);
    if (!found.ok()) {
      answered += key.Answer(found.status());
    } else if (*found) {
      answered += key.Answer(TakeFound(TypeOf(entry.trailer), entry.value, key.value));
    }
  }
  return answered;
}

std::unique_ptr<Iterator> StoreImpl::NewIterator(const ReadOptions& options) const {
  if (closed_.load(std::memory_order_relaxed)) return NewErrorIterator(ClosedError());
  std::shared_ptr<const ReadState> state = GetReadState(options);
  UserIteratorOptions user;
  user.sequence = ReadSequence(options);
  user.lower_bound = std::max(options.lower_bound, options.prefix);
  user.upper_bound = options.upper_bound;
  user.seek_prefix_bytes = options.seek_prefix_bytes;
  if (std::string end = PrefixEnd(options.prefix);
      !end.empty() && (user.upper_bound.empty() || end < user.upper_bound)) {
    user.upper_bound = std::move(end);
  }

  std::vector<std::unique_ptr<Iterator>> children;
  if (!state->active->empty()) children.push_back(state->active->NewIterator());
  for (const auto& memtable : state->immutables) children.push_back(memtable->NewIterator());
  sstable::TableReadOptions read;
  read.fill_cache = options.fill_cache;
  const KeyRange range{user.lower_bound, user.upper_bound, user.upper_bound.empty()};
  const auto add = [&](TableList tables) {
    if (tables.empty()) return;
    children.push_back(std::make_unique<LevelIterator>(table_cache_.get(), std::move(tables), read,
                                                       options.prefix, options.seek_prefix_bytes));
  };
  // Which tables of L0 share a cursor does not matter: sequence numbers tell versions apart.
  for (const TableList& row : state->version->l0_rows()) add(OverlappingIn(row, range));
  for (int level = 1; level < kLevels; ++level) add(state->version->Overlapping(level, range));
  user.pinned = std::move(state);
  return NewUserIterator(std::move(user), NewMergingIterator(std::move(children)));
}

}  // namespace tinyobs::lsm
