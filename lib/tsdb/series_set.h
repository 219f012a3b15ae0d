// The answer of a Select: streams series by series out of one instant of head and LSM.
//
// Memory: what the head pinned, plus one series' samples in the range. Chunks are read and decoded
// as the caller moves on.
#ifndef TINYOBS_LIB_TSDB_SERIES_SET_H_
#define TINYOBS_LIB_TSDB_SERIES_SET_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "lib/base/iterator.h"
#include "lib/lsm/store.h"
#include "lib/tsdb/chunk_store.h"
#include "lib/tsdb/head.h"
#include "lib/tsdb/series_index.h"
#include "tinyobs/querier.h"

namespace tinyobs::tsdb {

class SeriesSetImpl : public SeriesSet {
 public:
  struct Source {
    const SeriesIndex* index = nullptr;
    const ChunkStore* chunks = nullptr;
    TimeRange range;
    uint64_t sample_limit = 0;
    std::vector<SeriesRef> refs;         // in the order of the answer
    std::vector<PinnedSeries> head;      // ascending by ref
    std::vector<uint32_t> partitions;    // that exist and overlap the range
    std::unique_ptr<Iterator> iterator;  // over the LSM as of the same instant
    std::unique_ptr<const lsm::Snapshot> snapshot;
  };
  explicit SeriesSetImpl(Source source) : source_(std::move(source)) {}

  bool Next() override;
  const Labels& labels() const override { return labels_; }
  const Columns& columns() const override { return columns_; }
  Resolution resolution() const override { return Resolution::kRaw; }
  absl::Status status() const override { return status_; }

 private:
  absl::Status Load(SeriesRef ref);

  Source source_;
  size_t next_ = 0;  // in source_.refs
  uint64_t samples_ = 0;
  ColumnMerger merger_;
  Labels labels_;
  Columns columns_;
  absl::Status status_;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_SERIES_SET_H_
