#include "lib/tsdb/series_set.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs::tsdb {

namespace {

// A window with all its columns.
constexpr size_t kWindowBytes = 11 * sizeof(int64_t);

double PointOf(const Windows& windows, size_t i, WindowValue value) {
  switch (value) {
    case WindowValue::kSum:
      return windows.sum[i];
    case WindowValue::kCount:
      return static_cast<double>(windows.count[i]);
    case WindowValue::kMin:
      return windows.min[i];
    case WindowValue::kMax:
      return windows.max[i];
    case WindowValue::kLast:
      return windows.last[i];
    case WindowValue::kByType:
    case WindowValue::kAverage:
      break;
  }
  return windows.sum[i] / static_cast<double>(windows.count[i]);
}

}  // namespace

absl::Status SeriesSetImpl::MemoryError(std::string_view message, bool alone) {
  return alone ? QueryLimitError(message) : MemoryExhaustedError(message);
}

absl::Status SeriesSetImpl::OverBudget(const absl::Status& exhausted) const {
  const size_t own = source_.instant->head_charge.bytes() + columns_charge_.bytes();
  return MemoryError(StrCat("a series of the query does not fit into memory; ask for a shorter ",
                            "range: ", FromAbsl(exhausted.message())),
                     /*alone=*/source_.memory->used() <= own);
}

SeriesSetImpl::SeriesSetImpl(Source source)
    : source_(std::move(source)), columns_charge_(source_.memory) {}

void SeriesSetImpl::SortByLabels(const Instant& instant, std::vector<Entry>* entries) {
  std::vector<std::pair<Labels, Entry>> named;
  named.reserve(entries->size());
  for (const Entry& entry : *entries) named.emplace_back(LabelsOf(instant, entry), entry);
  std::sort(named.begin(), named.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (size_t i = 0; i < named.size(); ++i) (*entries)[i] = named[i].second;
}

Labels SeriesSetImpl::LabelsOf(const Instant& instant, const Entry& entry) {
  return entry.group == 0 ? instant.names->LabelsOf(entry.ref)
                          : instant.groups[entry.group - 1]->LabelsOf(entry.ref);
}

absl::Status SeriesSetImpl::LoadHead(SeriesRef ref) {
  const HeadPin& head = source_.instant->head;
  const auto& stretches = head.stretches;
  auto stretch = std::lower_bound(
      stretches.begin(), stretches.end(), ref,
      [](const HeadPin::Stretch& at, SeriesRef wanted) { return at.ref < wanted; });
  for (; stretch != stretches.end() && stretch->ref == ref; ++stretch) {
    if (!head.Decode(static_cast<size_t>(stretch - stretches.begin()), &stretch_)) {
      return absl::DataLossError(StrCat("series ", ref, ": damaged samples in memory"));
    }
    merger_.Add(stretch_.timestamps_ms, stretch_.values, stretch->generation);
  }
  return absl::OkStatus();
}

absl::Status SeriesSetImpl::LoadWindows(SeriesId series, uint32_t columns, uint64_t room) {
  for (const Source::Tier& tier : source_.tiers) {
    Windows windows;
    windows.resolution = tier.resolution;
    TINYOBS_RETURN_IF_ERROR(tier.scan->ReadWindows(series, tier.pieces, columns, room, &windows));
    if (windows.empty()) continue;
    const size_t bytes = windows.size() * kWindowBytes;
    if (auto charged = columns_charge_.TryAdd(bytes); !charged.ok()) return OverBudget(charged);
    samples_ += windows.size();
    room -= std::min<uint64_t>(room, windows.size());
    resolution_ = std::max(resolution_, tier.resolution);
    windows_.push_back(std::move(windows));
  }
  return absl::OkStatus();
}

void SeriesSetImpl::DrawWindows(WindowValue value) {
  Columns all;
  for (const Windows& windows : windows_) {
    for (size_t i = 0; i < windows.size(); ++i) {
      const int64_t start_ms = windows.start_ms[i];
      if (start_ms < source_.range.from_ms) continue;  // it only overlaps the range
      all.Add(start_ms, PointOf(windows, i, value));
    }
  }
  windows_.clear();
  all.timestamps_ms.insert(all.timestamps_ms.end(), columns_.timestamps_ms.begin(),
                           columns_.timestamps_ms.end());
  all.values.insert(all.values.end(), columns_.values.begin(), columns_.values.end());
  if (!std::is_sorted(all.timestamps_ms.begin(), all.timestamps_ms.end())) {
    // A late sample has a finer piece of its own between coarser ones.
    std::vector<std::pair<int64_t, double>> points;
    for (size_t i = 0; i < all.size(); ++i) {
      points.emplace_back(all.timestamps_ms[i], all.values[i]);
    }
    std::sort(points.begin(), points.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    all.clear();
    for (const auto& [time_ms, point] : points) all.Add(time_ms, point);
  }
  columns_ = std::move(all);
}

absl::Status SeriesSetImpl::Load(const Entry& entry) {
  const uint64_t limit = source_.sample_limit;
  columns_charge_.Reset();  // the series before is done with
  windows_.clear();
  resolution_ = Resolution::kRaw;
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
  if (!source_.tiers.empty()) {
    const uint64_t windows_room =
        std::min(wanted, source_.memory->left() / kWindowBytes) + 1;  // as above
    if (source_.window_columns != 0) {
      TINYOBS_RETURN_IF_ERROR(LoadWindows(entry.id, source_.window_columns, windows_room));
    } else {
      const WindowValue value = ValueFor(LabelsOf(*source_.instant, entry).metric());
      TINYOBS_RETURN_IF_ERROR(LoadWindows(entry.id, WindowColumnsOf(value), windows_room));
      DrawWindows(value);
    }
  }
  if (limit > 0 && samples_ > limit) {
    return QueryLimitError(StrCat("the query selects more than ", limit, " samples, its limit"));
  }
  return absl::OkStatus();
}

WindowValue SeriesSetImpl::ValueFor(std::string_view metric) const {
  if (source_.window_value != WindowValue::kByType) return source_.window_value;
  return source_.catalog->Metadata(metric).type == "counter" ? WindowValue::kLast
                                                             : WindowValue::kAverage;
}

bool SeriesSetImpl::Next() {
  while (status_.ok() && next_ < source_.entries.size()) {
    const Entry& entry = source_.entries[next_++];
    status_ = Load(entry);
    if (!status_.ok()) break;
    if (columns_.empty() && windows_.empty()) continue;
    labels_ = LabelsOf(*source_.instant, entry);
    return true;
  }
  columns_ = Columns();
  columns_charge_.Reset();
  windows_.clear();
  labels_ = Labels();
  // What keeps the LSM's tables alive is not needed any more.
  source_.scan.reset();
  source_.tiers.clear();
  source_.instant.reset();
  return false;
}

}  // namespace tinyobs::tsdb
