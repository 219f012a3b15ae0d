// Reading: lookups, iterators, snapshots.
//
// A reader pins the state (memtables and version) first and takes the sequence second. The other
// way round, versions that are visible at its sequence could be merged away between the two.
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/internal_key.h"
#include "lib/lsm/level_iterator.h"
#include "lib/lsm/merging_iterator.h"
#include "lib/lsm/store_impl.h"
#include "lib/lsm/user_iterator.h"

namespace tinyobs::lsm {

class SnapshotImpl final : public Snapshot {
 public:
  explicit SnapshotImpl(const StoreImpl* store) : store_(store) {
    MutexLock lock(&store_->mutex_);
    sequence_ = store_->visible_sequence_.load(std::memory_order_acquire);
    entry_ = store_->snapshots_.insert(sequence_);
  }
  ~SnapshotImpl() override {
    MutexLock lock(&store_->mutex_);
    store_->snapshots_.erase(entry_);
  }

  uint64_t sequence() const override { return sequence_; }

 private:
  const StoreImpl* const store_;
  uint64_t sequence_;
  std::multiset<uint64_t>::iterator entry_;
};

std::unique_ptr<const Snapshot> StoreImpl::NewSnapshot() const {
  return std::make_unique<const SnapshotImpl>(this);
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

absl::Status StoreImpl::Get(const ReadOptions& options, std::string_view key,
                            std::string* value) const {
  if (closed_.load(std::memory_order_relaxed)) {
    return absl::FailedPreconditionError(StrCat(path_, ": the store is closed"));
  }
  const std::shared_ptr<const ReadState> state = GetReadState();
  const uint64_t sequence = options.snapshot != nullptr
                                ? options.snapshot->sequence()
                                : visible_sequence_.load(std::memory_order_acquire);
  Memtable::Found found;
  bool is_found = state->active->Get(key, sequence, &found);
  for (size_t i = 0; !is_found && i < state->immutables.size(); ++i) {
    is_found = state->immutables[i]->Get(key, sequence, &found);
  }
  if (is_found) {
    if (found.type == ValueType::kDelete) return absl::NotFoundError("no such key");
    value->assign(found.value);
    return absl::OkStatus();
  }
  return GetFromTables(options, *state->version, MakeInternalKey(key, SeekTrailer(sequence)),
                       value);
}

absl::Status StoreImpl::GetFromTables(const ReadOptions& options, const Version& version,
                                      std::string_view internal_key, std::string* value) const {
  const std::string_view key = UserKeyOf(internal_key);
  sstable::TableReadOptions read;
  read.fill_cache = options.fill_cache;
  // True: `status` is the answer.
  absl::Status answer;
  const auto look_into = [&](const TableFile& table) {
    if (CompareUserKeys(key, table.smallest_user_key()) < 0 ||
        CompareUserKeys(key, table.largest_user_key()) > 0) {
      return false;
    }
    const auto reader = table_cache_->Find(table.meta);
    if (!reader.ok()) {
      answer = reader.status();
      return true;
    }
    sstable::FoundEntry entry;
    const absl::StatusOr<bool> found = (*reader)->Get(read, internal_key, &entry);
    if (!found.ok()) {
      answer = found.status();
      return true;
    }
    if (!*found) return false;
    if (TypeOf(entry.trailer) == ValueType::kPut) {
      value->assign(entry.value);
    } else {
      answer = absl::NotFoundError("no such key");
    }
    return true;
  };
  for (const TablePtr& table : version.level(0)) {
    if (look_into(*table)) return answer;
  }
  for (int level = 1; level < kLevels; ++level) {
    const TableList& tables = version.level(level);
    if (tables.empty()) continue;
    const size_t index = FindTableIn(tables, key);
    if (index < tables.size() && look_into(*tables[index])) return answer;
  }
  return absl::NotFoundError("no such key");
}

std::unique_ptr<Iterator> StoreImpl::NewIterator(const ReadOptions& options) const {
  if (closed_.load(std::memory_order_relaxed)) {
    return NewErrorIterator(absl::FailedPreconditionError(StrCat(path_, ": the store is closed")));
  }
  std::shared_ptr<const ReadState> state = GetReadState();
  UserIteratorOptions user;
  user.sequence = options.snapshot != nullptr ? options.snapshot->sequence()
                                              : visible_sequence_.load(std::memory_order_acquire);
  user.lower_bound = options.lower_bound;
  user.upper_bound = options.upper_bound;

  std::vector<std::unique_ptr<Iterator>> children;
  if (!state->active->empty()) children.push_back(state->active->NewIterator());
  for (const auto& memtable : state->immutables) children.push_back(memtable->NewIterator());
  sstable::TableReadOptions read;
  read.fill_cache = options.fill_cache;
  const KeyRange range{options.lower_bound, options.upper_bound, options.upper_bound.empty()};
  const auto add = [&](TableList tables) {
    if (tables.empty()) return;
    children.push_back(
        std::make_unique<LevelIterator>(table_cache_.get(), std::move(tables), read));
  };
  // Which tables of L0 share a cursor does not matter: sequence numbers tell versions apart.
  for (const TableList& row : state->version->l0_rows()) add(OverlappingIn(row, range));
  for (int level = 1; level < kLevels; ++level) add(state->version->Overlapping(level, range));
  user.pinned = std::move(state);
  return NewUserIterator(std::move(user), NewMergingIterator(std::move(children)));
}

}  // namespace tinyobs::lsm
