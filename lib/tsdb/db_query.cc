// Queries and figures.
//
// A query sees one instant: the head is pinned, and the LSM's snapshot taken, under one hold of the
// head's lock; what a chunk loses there it has here. Which series there are is looked up before,
// and what was created in between is added under that same hold.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/db_impl.h"

namespace tinyobs::tsdb {

namespace {

void SortUnique(std::vector<std::string>* strings) {
  std::sort(strings->begin(), strings->end());
  strings->erase(std::unique(strings->begin(), strings->end()), strings->end());
}

// Joins what several indexes listed, sorted, up to the limit.
std::vector<std::string> Joined(std::vector<std::vector<std::string>> lists, size_t limit) {
  std::vector<std::string> all;
  for (std::vector<std::string>& list : lists) {
    std::move(list.begin(), list.end(), std::back_inserter(all));
  }
  if (lists.size() > 1) SortUnique(&all);
  if (limit > 0 && all.size() > limit) all.resize(limit);
  return all;
}

}  // namespace

absl::StatusOr<DbImpl::Selection> DbImpl::SelectSeries(std::span<const Matcher> matchers,
                                                       TimeRange range) const {
  Selection selection;
  // A series is added to one side before it is taken from the other, and taken only while nobody
  // holds membership_: so each is seen, perhaps twice.
  selection.match = index_.Match(matchers);
  if (idle_->size() == 0) return selection;
  const auto snapshot = store_->NewSnapshot();
  TINYOBS_ASSIGN_OR_RETURN(selection.groups,
                           idle_->Groups(partitioning_.NumberOf(range.from_ms), *snapshot));
  absl::flat_hash_set<SeriesId> seen;
  for (uint32_t group = 0; group < selection.groups.size(); ++group) {
    for (const SeriesRef ref : selection.groups[group]->Match(matchers).refs) {
      if (seen.empty()) {
        for (const SeriesRef in_memory : selection.match.refs) seen.insert(index_.IdOf(in_memory));
      }
      const SeriesId id = selection.groups[group]->IdOf(ref);
      if (seen.insert(id).second) selection.idle.push_back({id, ref, group + 1});
    }
  }
  return selection;
}

absl::StatusOr<std::unique_ptr<SeriesSet>> DbImpl::Select(const std::vector<Matcher>& matchers,
                                                          TimeRange range,
                                                          const SelectHints& hints) const {
  const bool refuses_empty = std::any_of(matchers.begin(), matchers.end(),
                                         [](const Matcher& m) { return !m.MatchesEmpty(); });
  if (!refuses_empty) {
    return absl::InvalidArgumentError(
        "a query needs at least one matcher that does not accept the empty string");
  }
  return SelectMatching(matchers, range, hints);
}

absl::StatusOr<std::unique_ptr<SeriesSet>> DbImpl::SelectAll(TimeRange range,
                                                             const SelectHints& hints) const {
  return SelectMatching({}, range, hints);
}

absl::StatusOr<std::unique_ptr<SeriesSet>> DbImpl::SelectMatching(
    const std::vector<Matcher>& matchers, TimeRange range, const SelectHints& hints) const {
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  SeriesSetImpl::Source source;
  Selection selection;
  source.range = range;
  source.sample_limit = hints.sample_limit;
  source.memory = accounts_.queries;
  source.head_charge = MemoryCharge(accounts_.queries);
  std::vector<uint32_t> partitions;
  {
    ReaderMutexLock lock(&membership_);
    TINYOBS_ASSIGN_OR_RETURN(selection, SelectSeries(matchers, range));
    TINYOBS_RETURN_IF_ERROR(head_.Pin(
        range,
        [&](SeriesRef) {
          std::vector<SeriesRef>& refs = selection.match.refs;
          const SeriesRef ref_limit = index_.ref_limit();
          for (SeriesRef ref = selection.match.ref_limit; ref < ref_limit; ++ref) {
            if (index_.Matches(ref, matchers)) refs.push_back(ref);
          }
          source.snapshot = store_->NewSnapshot();
          partitions = chunks_->Partitions(range);
          return refs;
        },
        &source.head));
    source.names = index_.PinNames();
    // With idle series among them the labels themselves are compared, below.
    if (hints.sorted && selection.idle.empty()) index_.SortByLabels(&selection.match.refs);
  }
  const size_t head_bytes =
      source.head.bytes.capacity() + source.head.stretches.capacity() * sizeof(HeadPin::Stretch);
  if (const auto charged = source.head_charge.TryAdd(head_bytes); !charged.ok()) {
    return QueryLimitError(StrCat("the newest samples of the query's ", selection.match.refs.size(),
                                  " series do not fit into memory; ask for fewer series or a ",
                                  "shorter range: ", FromAbsl(charged.message())));
  }
  source.groups = std::move(selection.groups);
  const std::vector<SeriesRef>& refs = selection.match.refs;
  source.entries.reserve(refs.size() + selection.idle.size());
  absl::flat_hash_set<SeriesId> in_memory;  // an idle one may have come back meanwhile
  for (const SeriesRef ref : refs) {
    source.entries.push_back({source.names->IdOf(ref), ref, 0});
    if (!selection.idle.empty()) in_memory.insert(source.entries.back().id);
  }
  for (const SeriesSetImpl::Entry& entry : selection.idle) {
    if (!in_memory.contains(entry.id)) source.entries.push_back(entry);
  }
  if (!hints.sorted) {
    std::sort(source.entries.begin(), source.entries.end(),
              [](const auto& a, const auto& b) { return a.id < b.id; });
  } else if (!selection.idle.empty()) {
    SeriesSetImpl::SortByLabels(&source);
  }
  source.scan = std::make_unique<ChunkScan>(store_.get(), source.snapshot.get(), partitioning_,
                                            std::move(partitions), range, source.entries.size());
  return std::make_unique<SeriesSetImpl>(std::move(source));
}

absl::StatusOr<std::vector<Labels>> DbImpl::Series(const std::vector<Matcher>& matchers,
                                                   TimeRange range, const ListHints& hints) const {
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  ReaderMutexLock lock(&membership_);
  TINYOBS_ASSIGN_OR_RETURN(Selection selection, SelectSeries(matchers, range));
  std::vector<Labels> all;
  if (selection.idle.empty()) {
    std::vector<SeriesRef>& refs = selection.match.refs;
    index_.SortByLabels(&refs, hints.limit);
    all.reserve(refs.size());
    for (const SeriesRef ref : refs) all.push_back(index_.LabelsOf(ref));
    return all;
  }
  for (const SeriesRef ref : selection.match.refs) all.push_back(index_.LabelsOf(ref));
  for (const SeriesSetImpl::Entry& entry : selection.idle) {
    all.push_back(selection.groups[entry.group - 1]->LabelsOf(entry.ref));
  }
  std::sort(all.begin(), all.end());
  if (hints.limit > 0 && all.size() > hints.limit) all.resize(hints.limit);
  return all;
}

absl::StatusOr<std::vector<std::string>> DbImpl::LabelNames(const std::vector<Matcher>& matchers,
                                                            TimeRange range,
                                                            const ListHints& hints) const {
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  ReaderMutexLock lock(&membership_);
  TINYOBS_ASSIGN_OR_RETURN(const Selection selection, SelectSeries(matchers, range));
  const Listing listing{hints.prefix, hints.limit};
  std::vector<std::vector<std::string>> lists;
  lists.push_back(matchers.empty() ? index_.LabelNames(listing)
                                   : index_.LabelNames(selection.match.refs, listing));
  for (const auto& group : selection.groups) {
    lists.push_back(group->LabelNames(group->Match(matchers).refs, listing));
  }
  return Joined(std::move(lists), hints.limit);
}

absl::StatusOr<std::vector<std::string>> DbImpl::LabelValues(std::string_view label,
                                                             const std::vector<Matcher>& matchers,
                                                             TimeRange range,
                                                             const ListHints& hints) const {
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  ReaderMutexLock lock(&membership_);
  TINYOBS_ASSIGN_OR_RETURN(const Selection selection, SelectSeries(matchers, range));
  const Listing listing{hints.prefix, hints.limit};
  std::vector<std::vector<std::string>> lists;
  lists.push_back(matchers.empty() ? index_.LabelValues(label, listing)
                                   : index_.LabelValues(label, selection.match.refs, listing));
  for (const auto& group : selection.groups) {
    lists.push_back(group->LabelValues(label, group->Match(matchers).refs, listing));
  }
  return Joined(std::move(lists), hints.limit);
}

MetricMetadata DbImpl::Metadata(std::string_view metric) const { return catalog_.Metadata(metric); }

uint64_t DbImpl::SeriesCount() const {
  const uint64_t idle = idle_->size();
  return index_.size() + idle - std::min(idle, sealer_->in_both());
}

uint64_t DbImpl::DiskBytes() const {
  return store_->Stats().disk_bytes + other_head_bytes_ + log_.disk_bytes() + kIdentityBytes;
}

DbStats DbImpl::Stats() const {
  DbStats stats;
  stats.series = SeriesCount();
  stats.idle_series = stats.series - std::min(stats.series, index_.size());
  stats.max_series = options_.max_series;
  const auto [sealed, head] = sealer_->Counts();
  stats.samples = sealed.samples + head.samples;
  if (stats.samples > 0) {
    stats.oldest_ms = std::min(sealed.oldest_ms, head.oldest_ms);
    stats.newest_ms = std::max(sealed.newest_ms, head.newest_ms);
  }
  stats.head_samples = head.samples;
  stats.head_log_bytes = other_head_bytes_ + log_.segment_bytes();

  const lsm::StoreStats store = store_->Stats();
  stats.disk_bytes = store.disk_bytes + other_head_bytes_ + log_.disk_bytes() + kIdentityBytes;
  for (const lsm::LevelStats& level : store.levels) {
    stats.levels.push_back({level.files, level.bytes});
  }
  stats.flushes = store.flushes;
  stats.compactions = store.compactions;
  stats.bytes_written_by_flush = store.bytes_written_by_flush;
  stats.bytes_written_by_compaction = store.bytes_written_by_compaction;
  stats.stalls = store.AllHolds().stalls;

  stats.memory.budget_bytes = memory_->limit();
  stats.memory.used_bytes = memory_->used();
  stats.memory.head_bytes = accounts_.head->used();
  stats.memory.index_bytes = accounts_.index->used();
  stats.memory.memtable_bytes = accounts_.memtables->used();
  stats.memory.block_cache_bytes = accounts_.block_cache->used();
  stats.memory.table_bytes = accounts_.tables->used();
  stats.memory.idle_series_bytes = accounts_.idle_series->used();
  stats.memory.query_bytes = accounts_.queries->used();
  stats.memory.file_bytes = accounts_.files->used();
  stats.samples_appended = samples_appended_;
  stats.samples_rejected = samples_rejected_;
  stats.commits = commits_;
  stats.chunks_sealed = sealer_->chunks_sealed();
  stats.partitions_merged = partitions_merged_;
  stats.partitions_dropped = partitions_dropped_;
  stats.replayed_samples = replay_.samples;
  stats.replay_ms = replay_ms_;
  MutexLock lock(&state_);
  const absl::Status& error = error_.ok() ? store.background_error : error_;
  if (!error.ok()) stats.background_error = std::string(FromAbsl(error.message()));
  return stats;
}

}  // namespace tinyobs::tsdb
