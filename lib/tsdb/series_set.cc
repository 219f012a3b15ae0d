#include "lib/tsdb/series_set.h"

#include <algorithm>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs::tsdb {

absl::Status SeriesSetImpl::Load(SeriesRef ref) {
  const uint64_t limit = source_.sample_limit;
  // 0 would mean no limit; reading one sample too many is noticed below.
  const uint64_t read_limit = limit == 0 ? 0 : std::max<uint64_t>(1, limit - samples_);
  merger_.Start(source_.range);
  TINYOBS_RETURN_IF_ERROR(source_.chunks->Read(source_.index->IdOf(ref), source_.range,
                                               source_.partitions, read_limit,
                                               source_.iterator.get(), &merger_));
  const auto pinned = std::lower_bound(
      source_.head.begin(), source_.head.end(), ref,
      [](const PinnedSeries& series, SeriesRef wanted) { return series.ref < wanted; });
  if (pinned != source_.head.end() && pinned->ref == ref) {
    for (const auto& [generation, columns] : pinned->stretches) {
      merger_.Add(columns.timestamps_ms, columns.values, generation);
    }
  }
  merger_.Finish(&columns_);
  samples_ += columns_.size();
  if (limit > 0 && samples_ > limit) {
    return QueryLimitError(StrCat("the query selects more than ", limit, " samples, its limit"));
  }
  return absl::OkStatus();
}

bool SeriesSetImpl::Next() {
  while (status_.ok() && next_ < source_.refs.size()) {
    const SeriesRef ref = source_.refs[next_++];
    status_ = Load(ref);
    if (!status_.ok()) break;
    if (columns_.empty()) continue;
    labels_ = source_.index->LabelsOf(ref);
    return true;
  }
  columns_.clear();
  labels_ = Labels();
  // What keeps the LSM's tables alive is not needed any more.
  source_.iterator.reset();
  source_.snapshot.reset();
  return false;
}

}  // namespace tinyobs::tsdb
