// Version: the tables that make up the store at one moment, level by level.
//
// Immutable: a flush or compaction makes a new Version next to the old one, and readers go on with
// the one they pinned. A table's file may go only when the last Version that holds it is gone; the
// TableFile's destructor tells the TableRegistry, and the store unlinks from there, so that no
// reader ever does I/O by letting go.
//
// Levels are called upper and deeper: L0 is the uppermost, kLevels - 1 the deepest.
//
// Invariants (1 and 2 hold by construction or are checked whenever a Version is made; 3 takes
// reading the tables, and is checked by Store::Verify):
//  1. L0 is ordered newest first (largest sequence); its tables may overlap.
//  2. Levels >= 1 are ordered by key, and no user key is in two tables of one level.
//  3. For every user key, versions in an upper level are newer than those in a deeper one.
//
// Thread-safety: Version is immutable; TableRegistry is thread-safe.
#ifndef TINYOBS_LIB_LSM_VERSION_H_
#define TINYOBS_LIB_LSM_VERSION_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/mutex.h"
#include "lib/lsm/internal_key.h"
#include "lib/lsm/store.h"
#include "lib/lsm/version_edit.h"

namespace tinyobs::lsm {

// Which tables some Version still holds, and which files may go.
class TableRegistry {
 public:
  // `on_obsolete` (may be empty) runs, without locks of the registry, whenever a file may go; it
  // must not call the registry.
  explicit TableRegistry(std::function<void()> on_obsolete = {})
      : on_obsolete_(std::move(on_obsolete)) {}
  void Add(uint64_t number) ABSL_LOCKS_EXCLUDED(mutex_);
  // Its last holder is still there, but no later Version has it. Once per table.
  void MarkObsolete() ABSL_LOCKS_EXCLUDED(mutex_);
  // `obsolete`: after MarkObsolete.
  void Remove(uint64_t number, bool obsolete) ABSL_LOCKS_EXCLUDED(mutex_);
  bool Contains(uint64_t number) const ABSL_LOCKS_EXCLUDED(mutex_);
  // Files that nobody needs since the last call; the caller unlinks them.
  std::vector<uint64_t> TakeObsolete() ABSL_LOCKS_EXCLUDED(mutex_);
  bool HasObsolete() const ABSL_LOCKS_EXCLUDED(mutex_);
  // Whether files are left that go as soon as their last holder lets go.
  bool AwaitsObsolete() const ABSL_LOCKS_EXCLUDED(mutex_);

 private:
  const std::function<void()> on_obsolete_;
  mutable Mutex mutex_;
  absl::flat_hash_set<uint64_t> alive_ ABSL_GUARDED_BY(mutex_);
  size_t awaited_ ABSL_GUARDED_BY(mutex_) = 0;  // of these, the marked ones
  std::vector<uint64_t> obsolete_ ABSL_GUARDED_BY(mutex_);
};

// A table that is part of one Version or more.
class TableFile {
 public:
  TableFile(TableMeta meta, std::shared_ptr<TableRegistry> registry);
  ~TableFile();
  TableFile(const TableFile&) = delete;
  TableFile& operator=(const TableFile&) = delete;

  const TableMeta meta;
  std::string_view smallest_user_key() const { return UserKeyOf(meta.smallest); }
  std::string_view largest_user_key() const { return UserKeyOf(meta.largest); }
  // No later Version has it: its file goes with the last holder.
  void MarkObsolete() const;

 private:
  const std::shared_ptr<TableRegistry> registry_;
  mutable std::atomic<bool> obsolete_{false};
};

// Held by Versions and by running jobs; the last of them frees it.
using TablePtr = std::shared_ptr<const TableFile>;
using TableList = std::vector<TablePtr>;

// A range of user keys, both ends included; `to_end` = no upper end.
struct KeyRange {
  std::string_view first;
  std::string_view last;
  bool to_end = false;

  bool Overlaps(const TableFile& table) const {
    return CompareUserKeys(table.largest_user_key(), first) >= 0 &&
           (to_end || CompareUserKeys(table.smallest_user_key(), last) <= 0);
  }
};

class Version {
 public:
  // Without tables.
  Version() = default;

  // `base` with `edit` applied. `replaced` gets the tables of `base` that the result does not have
  // (may be null). DataLoss: the edit does not fit `base` or breaks an invariant.
  static absl::StatusOr<std::shared_ptr<const Version>> Apply(
      const Version& base, const VersionEdit& edit, const std::shared_ptr<TableRegistry>& registry,
      TableList* replaced);

  const TableList& level(int level) const { return levels_[static_cast<size_t>(level)]; }
  uint64_t LevelBytes(int level) const { return bytes_[static_cast<size_t>(level)]; }
  // The largest number of L0 tables over one key: what a read pays. Tables of different partitions
  // never lie over each other. What delays and stalls of writes count is L0Load, which is made of
  // this (compaction_picker.h).
  int l0_depth() const { return static_cast<int>(l0_rows_.size()); }
  // All of L0 as SideBySide sorts it: a cursor needs one open table a row.
  const std::vector<TableList>& l0_rows() const { return l0_rows_; }

  // The tables of `level` that overlap `range`, in the level's order.
  TableList Overlapping(int level, const KeyRange& range) const;

  // All tables, as an edit that makes this Version out of nothing.
  void AppendTo(VersionEdit* edit) const;

 private:
  friend class VersionBuilder;
  absl::Status CheckAndCount();

  std::array<TableList, kLevels> levels_;
  std::array<uint64_t, kLevels> bytes_ = {};
  std::vector<TableList> l0_rows_;
};

// Many edits -> one Version: sorted and checked once, however long the manifest is.
//
// Thread-safety: one thread.
class VersionBuilder {
 public:
  // `registry` learns of every table that is added.
  VersionBuilder(const Version& base, std::shared_ptr<TableRegistry> registry);

  // DataLoss: the edit removes what is not there, adds what is, or changes a table that it moves.
  absl::Status Apply(const VersionEdit& edit);
  // DataLoss: tables of a level overlap. `replaced` as in Version::Apply. Call once, last.
  absl::StatusOr<std::shared_ptr<const Version>> Build(TableList* replaced);

 private:
  struct Place {
    int level;
    TablePtr table;
  };

  const std::shared_ptr<TableRegistry> registry_;
  absl::flat_hash_map<uint64_t, Place> places_;  // by table number
  TableList removed_;
};

// Index of the first table whose largest user key is >= `user_key`; `tables` is in key order.
size_t FindTableIn(const TableList& tables, std::string_view user_key);
// The tables of `tables` that overlap `range`; `tables` is in key order, without overlap.
TableList OverlappingIn(const TableList& tables, const KeyRange& range);
// `tables` in as few rows as can be, each in key order and without overlap: as many as tables lie
// over one key at most. O(n log n).
std::vector<TableList> SideBySide(const TableList& tables);

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_VERSION_H_
