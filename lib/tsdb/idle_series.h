// IdleSeries: series that no longer get samples, out of memory but not forgotten.
//
// Under churn (pods, deployments) most series of a month are dead after hours, while their samples
// are kept as long as any. In the index each would cost its 100 bytes for good. So a series that is
// idle for some partitions moves into the LSM, under a tier of its own and grouped by the partition
// of its last sample: a query from then on needs the group, an older one too, and when that
// partition expires, the group leaves with it, by unlinking files. In memory stays which groups
// there are; those that queries ask for are loaded as small indexes and kept while there is room.
//
//   04 | last partition | series id    -> labels
//   00 'i' | fingerprint | series id   -> last partition     finds the one with given labels
//
// What the second kind says is believed only when the first kind has it, too. So when a group has
// gone nobody need look for the rows that point to it: compactions leave them out as they come by.
//
// A series that gets samples again is found here by its labels, and comes back into the index under
// a new ref and its old id; so one label set has one id, always. Until the catalog has written its
// row it is in both places, and only then, in the same batch, leaves this one.
//
// Readers: who takes a snapshot of the LSM and matches the index at one instant sees each series in
// at least one of the two, as long as who moves it out of the index writes before it removes. Those
// in both are told apart by their id.
//
// Thread-safety: thread-safe. Put*, Publish and Discard are for one thread at a time, one batch
// after the other: neither the leader nor the sealer while the other is at it.
#ifndef TINYOBS_LIB_TSDB_IDLE_SERIES_H_
#define TINYOBS_LIB_TSDB_IDLE_SERIES_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/base/memory_accountant.h"
#include "lib/base/mutex.h"
#include "lib/lsm/store.h"
#include "lib/lsm/write_batch.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/series_index.h"

namespace tinyobs::tsdb {

class IdleSeries {
 public:
  struct Series {
    SeriesId id = 0;
    std::string_view canonical_labels;
    uint32_t partition = 0;       // of the last sample
    int64_t last_ms = INT64_MAX;  // its time, or a later one
  };
  struct Found {
    SeriesId id = 0;
    uint32_t partition = 0;
  };

  // Groups are kept up to `cache_bytes`, and while `account` (may be null) is not over; groups that
  // queries hold come on top.
  IdleSeries(uint64_t seed, size_t cache_bytes, MemoryAccount* account);
  ~IdleSeries();

  // Finds the groups of `store`, but for those before `dropped_before`: a drop that was cut short
  // takes them along. Call once, before anything else but IsGarbage. `store` must be opened with
  // PartitionPrefix and outlive this, but for the destructor. DataLoss.
  absl::Status Load(lsm::Store* store, uint32_t dropped_before = 0);

  bool empty() const;

  // --- One thread. Each adds to `batch`; then, once that is written, Publish, or, if it was not,
  // Discard.
  // Moves series here. Their rows in the catalog are removed in the same batch, by the caller.
  // REQUIRES: not here; no partition that is hidden.
  void PutIdle(std::span<const Series> series, lsm::WriteBatch* batch);
  // The series with these labels is in the index again, and its row in this batch. No effect when
  // it is not here. Errors of Find.
  absl::Status PutRevived(std::string_view canonical_labels, lsm::WriteBatch* batch);
  void Publish();
  void Discard();

  // --- Dropping the range of the groups before `partition`. First they are seen no more (true:
  // there are any), ...
  bool Hide(uint32_t partition);
  // ... and when they have gone, durably, so may what points to them.
  void Forget(uint32_t partition);
  // The LSM's compaction filter: the row points to a group that is not there.
  bool IsGarbage(std::string_view key, std::string_view value) const;

  // Of each of these label sets the idle series that has it. Costs nothing when there are none;
  // else a look at the filters of the LSM's tables, each of which is opened once for all of them:
  // ask for many at a time. DataLoss.
  absl::StatusOr<std::vector<std::optional<Found>>> Find(
      std::span<const std::string_view> canonical_labels) const;

  // Calls visit for each series of the groups before `partition`, by group and id. Costs some 0.1
  // us each. DataLoss.
  absl::Status ForEach(uint32_t partition,
                       const std::function<void(const Series& series)>& visit) const;

  // The groups whose last partition is `partition` or later, as of `snapshot`, but for those known
  // to have no sample at or after `from_ms`. Refs in them mean nothing outside. Loading one costs
  // about 2 us a series. DataLoss.
  absl::StatusOr<std::vector<std::shared_ptr<const SeriesIndex>>> Groups(
      uint32_t partition, const lsm::Snapshot& snapshot, int64_t from_ms = INT64_MIN) const;

 private:
  struct Group {
    int64_t newest_ms = INT64_MIN;  // no sample of its series is newer
    bool hidden = false;
    // What is loaded is right for snapshots from `valid_from` on, unless it is being changed.
    bool changing = false;
    uint64_t valid_from = 0;
    std::shared_ptr<const SeriesIndex> index;  // nullptr = not loaded
    size_t bytes = 0;                          // of it
    uint64_t last_use = 0;
  };
  absl::StatusOr<bool> Has(const Found& series, std::string_view canonical_labels) const;
  void Stage(uint32_t partition, int64_t newest_ms) ABSL_LOCKS_EXCLUDED(mutex_);
  absl::StatusOr<std::shared_ptr<const SeriesIndex>> LoadGroup(uint32_t partition,
                                                               const lsm::Snapshot& snapshot) const;
  void Keep(uint32_t partition, uint64_t sequence, std::shared_ptr<const SeriesIndex> index) const
      ABSL_LOCKS_EXCLUDED(mutex_);
  void Unload(Group* group) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  lsm::Store* store_ = nullptr;  // from Load on
  const uint64_t seed_;
  const size_t cache_bytes_;
  MemoryAccount* const account_;

  std::set<uint32_t> staged_;  // groups that change; the leader's, until Publish or Discard

  mutable Mutex mutex_;
  bool loaded_ ABSL_GUARDED_BY(mutex_) = false;
  // Those that revival has emptied stay until the next open, for snapshots from before.
  mutable std::map<uint32_t, Group> groups_ ABSL_GUARDED_BY(mutex_);
  mutable size_t cached_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  mutable uint64_t uses_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_IDLE_SERIES_H_
