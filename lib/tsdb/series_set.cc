#include "lib/tsdb/series_set.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs::tsdb {

namespace {

absl::Status OverBudget(const absl::Status& exhausted) {
  return QueryLimitError(StrCat("a series of the query does not fit into memory; ask for a ",
                                "shorter range: ", FromAbsl(exhausted.message())));
}

}  // namespace

SeriesSetImpl::SeriesSetImpl(Source source)
    : source_(std::move(source)), columns_charge_(source_.memory) {}

void SeriesSetImpl::SortByLabels(Source* source) {
  std::vector<std::pair<Labels, Entry>> named;
  named.reserve(source->entries.size());
  for (const Entry& entry : source->entries) named.emplace_back(LabelsOf(*source, entry), entry);
  std::sort(named.begin(), named.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < named.size(); ++i) source->entries[i] = named[i].second;
}

Labels SeriesSetImpl::LabelsOf(const Source& source, const Entry& entry) {
  return entry.group == 0 ? source.names->LabelsOf(entry.ref)
                          : source.groups[entry.group - 1]->LabelsOf(entry.ref);
}

absl::Status SeriesSetImpl::LoadHead(SeriesRef ref) {
  const auto& stretches = source_.head.stretches;
  auto stretch = std::lower_bound(
      stretches.begin(), stretches.end(), ref,
      [](const HeadPin::Stretch& at, SeriesRef wanted) { return at.ref < wanted; });
  for (; stretch != stretches.end() && stretch->ref == ref; ++stretch) {
    if (!source_.head.Decode(static_cast<size_t>(stretch - stretches.begin()), &stretch_)) {
      return absl::DataLossError(StrCat("series ", ref, ": damaged samples in memory"));
    }
    merger_.Add(stretch_.timestamps_ms, stretch_.values, stretch->generation);
  }
  return absl::OkStatus();
}

absl::Status SeriesSetImpl::Load(const Entry& entry) {
  const uint64_t limit = source_.sample_limit;
  columns_charge_.Reset();  // the series before is done with
  // What the budget has room for, while samples are gathered and merged: three times 16 bytes.
  const uint64_t room = source_.memory->left() / (3 * sizeof(Sample)) + 1;
  // 0 would mean no limit; reading one sample too many is noticed below.
  const uint64_t wanted = limit == 0 ? UINT64_MAX : std::max<uint64_t>(1, limit - samples_);
  merger_.Start(source_.range);
  TINYOBS_RETURN_IF_ERROR(source_.scan->Read(entry.id, std::min(wanted, room), &merger_));
  if (entry.group == 0) TINYOBS_RETURN_IF_ERROR(LoadHead(entry.ref));
  const size_t bytes = 3 * merger_.size() * sizeof(Sample);
  if (merger_.size() > room) return OverBudget(source_.memory->ExhaustedError(bytes));
  if (auto charged = columns_charge_.TryAdd(bytes); !charged.ok()) return OverBudget(charged);
  merger_.Finish(&columns_);
  samples_ += columns_.size();
  if (limit > 0 && samples_ > limit) {
    return QueryLimitError(StrCat("the query selects more than ", limit, " samples, its limit"));
  }
  return absl::OkStatus();
}

bool SeriesSetImpl::Next() {
  while (status_.ok() && next_ < source_.entries.size()) {
    const Entry& entry = source_.entries[next_++];
    status_ = Load(entry);
    if (!status_.ok()) break;
    if (columns_.empty()) continue;
    labels_ = LabelsOf(source_, entry);
    return true;
  }
  columns_ = Columns();
  columns_charge_.Reset();
  labels_ = Labels();
  // What keeps the LSM's tables alive is not needed any more.
  source_.scan.reset();
  source_.snapshot.reset();
  source_.head = HeadPin();
  source_.head_charge.Reset();
  return false;
}

}  // namespace tinyobs::tsdb
