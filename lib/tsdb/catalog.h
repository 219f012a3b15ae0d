// Catalog: the rows of the LSM that say which series and metrics exist, and their way there.
//
// A new series lives in the index and in the head log first; its row is written by the sealer,
// before any chunk of it. Series are saved in order of their refs, so one watermark says which rows
// are written. Metadata of metrics (type, help, unit) is small and read often: all of it is in
// memory.
//
// One more row says which ref and metric id come next: whoever had the last one may be gone.
//
// Invariant: the refs of the saved series are exactly those below the watermark.
//
// Thread-safety: thread-safe; PutUnsaved and MarkSaved are for one thread at a time (the sealer).
#ifndef TINYOBS_LIB_TSDB_CATALOG_H_
#define TINYOBS_LIB_TSDB_CATALOG_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "lib/base/mutex.h"
#include "lib/lsm/store.h"
#include "lib/lsm/write_batch.h"
#include "lib/tsdb/commit_record.h"
#include "lib/tsdb/series_index.h"
#include "tinyobs/sample.h"

namespace tinyobs::tsdb {

class Catalog {
 public:
  // `index` must outlive this. Metadata of at most `metadata_limit` metrics is kept, 0 = no limit:
  // clients choose the names, and metadata needs no series to exist. What is beyond is ignored.
  Catalog(SeriesIndex* index, uint64_t metadata_limit)
      : index_(index), metadata_limit_(metadata_limit) {}

  // Fills the index and the metadata from the LSM. DataLoss: a row that makes no sense. Call once.
  // `snapshot_end`: the index has been filled already, from a snapshot of all saved series below
  // it; then the rows of series are not read. ResourceExhausted: they take more than `most_bytes`.
  // `twins`, for a repair: gets the series whose ref or labels another row has, too, instead of a
  // DataLoss.
  absl::Status Load(const lsm::Store& store, std::optional<SeriesRef> snapshot_end = std::nullopt,
                    size_t most_bytes = SIZE_MAX, std::vector<SeriesId>* twins = nullptr);
  // After the head log was replayed on top of a snapshot: adds the series that have a row but were
  // in neither. There are none, unless a power failure took the end of the log after rows had been
  // flushed; only then the rows are read.
  absl::Status LoadMissing(const lsm::Store& store);

  // Adds a series that the head log told of. One that is there already with the same ref is fine.
  // DataLoss: labels that are none, or another series or ref than what is known.
  absl::Status Replay(const NewSeries& series);

  void SetMetadata(std::string_view metric, const MetricMetadata& metadata);
  MetricMetadata Metadata(std::string_view metric) const;

  // What has to be written. Rows of up to `limit` series are put into `batch`, and no more than
  // some megabytes: call until the batch stays empty.
  struct Unsaved {
    SeriesRef ref_end = 0;
    std::vector<std::pair<std::string, uint64_t>> metrics;  // and their state, as Entry::changes
    // Labels of those that were idle once: they must leave IdleSeries in the same batch.
    std::vector<std::string> revived;
  };
  Unsaved PutUnsaved(size_t limit, lsm::WriteBatch* batch);
  // The batch of that PutUnsaved is in the LSM.
  void MarkSaved(const Unsaved& saved);
  // All series below it have rows: what a snapshot of the index may contain.
  SeriesRef saved_end() const;

  // Series that leave the index, deleted or gone idle: their rows go. The head log must not name
  // them any more, or replay would bring them back. REQUIRES: no PutUnsaved waits for its
  // MarkSaved, as it could write the rows again.
  void PutRemoved(std::span<const SeriesId> ids, lsm::WriteBatch* batch) const;

 private:
  struct Entry {
    MetricMetadata metadata;
    uint64_t changes = 0;        // since open
    uint64_t saved_changes = 0;  // of those, in the row
  };

  absl::Status LoadSeries(const lsm::Store& store, size_t most_bytes, std::vector<SeriesId>* twins);
  absl::Status LoadMetadata(const lsm::Store& store);
  // Reads the row and tells the index.
  absl::Status LoadNext(const lsm::Store& store);
  void PutNext(lsm::WriteBatch* batch) const;

  SeriesIndex* const index_;
  const uint64_t metadata_limit_;
  SeriesRef stored_next_ref_ = 0;  // as the row said at Load

  mutable Mutex mutex_;
  SeriesRef saved_end_ ABSL_GUARDED_BY(mutex_) = 0;  // refs below it have rows
  absl::flat_hash_map<std::string, Entry> metadata_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::string> unsaved_metrics_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_CATALOG_H_
