// Queries and figures.
//
// A query sees one instant: the head is pinned, and the LSM's snapshot taken, under one hold of the
// head's lock; what a chunk loses there it has here. Which series there are is looked up before,
// and what was created in between is added under that same hold.
#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/db_impl.h"

namespace tinyobs::tsdb {

namespace {

// What reading costs, about, and how long it must take to be worth the start of another thread.
constexpr double kSeriesNs = 800;
constexpr double kChunksNs = 300;  // of a series in a partition
constexpr double kSampleNs = 3;
constexpr double kPartNs = 150'000;
constexpr double kUsualIntervalMs = 15'000;

// Into how many parts, up to `most`, the series of a query are worth dividing.
size_t PartsFor(size_t series, size_t partitions, double partition_ms, TimeRange range, int most) {
  const double in_partitions = static_cast<double>(std::max<size_t>(partitions, 1));
  const double length_ms =
      std::min(static_cast<double>(range.to_ms) - static_cast<double>(range.from_ms),
               in_partitions * partition_ms);
  const double ns = static_cast<double>(series) * (kSeriesNs + in_partitions * kChunksNs +
                                                   length_ms / kUsualIntervalMs * kSampleNs);
  const double parts =
      std::min({ns / kPartNs, static_cast<double>(series), static_cast<double>(most)});
  return std::max<size_t>(1, static_cast<size_t>(std::max(parts, 0.0)));
}

// Joins what several indexes listed, each sorted, up to the limit.
std::vector<std::string> Joined(std::vector<std::vector<std::string>> lists, size_t limit) {
  std::vector<std::string> all = std::move(lists.front());
  for (size_t i = 1; i < lists.size(); ++i) {
    const auto middle = static_cast<ptrdiff_t>(all.size());
    std::move(lists[i].begin(), lists[i].end(), std::back_inserter(all));
    std::inplace_merge(all.begin(), all.begin() + middle, all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
  }
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
  TINYOBS_ASSIGN_OR_RETURN(selection.groups, IdleGroups(range));
  for (uint32_t group = 0; group < selection.groups.size(); ++group) {
    const std::vector<SeriesRef> refs = selection.groups[group]->Match(matchers).refs;
    const std::vector<SeriesId> ids = selection.groups[group]->PinNames().IdsOf(refs);
    for (size_t i = 0; i < refs.size(); ++i) {
      selection.idle.push_back({ids[i], refs[i], group + 1});
    }
  }
  return selection;
}

absl::StatusOr<std::vector<std::shared_ptr<const SeriesIndex>>> DbImpl::IdleGroups(
    TimeRange range) const {
  if (idle_.empty()) return std::vector<std::shared_ptr<const SeriesIndex>>();
  const auto snapshot = store_->NewSnapshot();
  return idle_.Groups(partitioning_.NumberOf(range.from_ms), *snapshot, range.from_ms);
}

absl::StatusOr<std::unique_ptr<SeriesSet>> DbImpl::Select(const std::vector<Matcher>& matchers,
                                                          TimeRange range,
                                                          const SelectHints& hints) const {
  TINYOBS_ASSIGN_OR_RETURN(auto parts, SelectParts(matchers, range, hints, 1));
  return std::move(parts.front());
}

absl::StatusOr<std::vector<std::unique_ptr<SeriesSet>>> DbImpl::SelectParts(
    const std::vector<Matcher>& matchers, TimeRange range, const SelectHints& hints,
    int parts) const {
  const bool refuses_empty = std::any_of(matchers.begin(), matchers.end(),
                                         [](const Matcher& m) { return !m.MatchesEmpty(); });
  if (!refuses_empty) {
    return absl::InvalidArgumentError(
        "a query needs at least one matcher that does not accept the empty string");
  }
  return SelectMatching(matchers, range, hints, parts);
}

absl::StatusOr<std::unique_ptr<SeriesSet>> DbImpl::SelectAll(TimeRange range,
                                                             const SelectHints& hints) const {
  TINYOBS_ASSIGN_OR_RETURN(auto parts, SelectMatching({}, range, hints, 1));
  return std::move(parts.front());
}

absl::StatusOr<std::vector<std::unique_ptr<SeriesSet>>> DbImpl::SelectMatching(
    const std::vector<Matcher>& matchers, TimeRange range, const SelectHints& hints,
    int parts) const {
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  auto instant = std::make_shared<SeriesSetImpl::Instant>();
  instant->head_charge = MemoryCharge(accounts_.queries);
  HeadPin& head = instant->head;
  Selection selection;
  std::vector<uint32_t> partitions;
  TierMarks marks;
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
          for (uint64_t version = 0;;) {  // marks and rows of one instant
            version = chunks_->marks_version();
            marks = chunks_->Marks(range);
            instant->snapshot = store_->NewSnapshot();
            if (chunks_->marks_version() == version) break;
          }
          partitions = chunks_->Partitions(range);
          return refs;
        },
        &head));
    instant->names = index_.PinNames();
    // With idle series among them the labels themselves are compared, below.
    if (hints.sorted && selection.idle.empty()) index_.SortByLabels(&selection.match.refs);
  }
  const size_t head_bytes =
      head.bytes.capacity() + head.stretches.capacity() * sizeof(HeadPin::Stretch) +
      (selection.match.refs.size() + selection.idle.size()) * sizeof(SeriesSetImpl::Entry);
  if (const auto charged = instant->head_charge.TryAdd(head_bytes); !charged.ok()) {
    return SeriesSetImpl::MemoryError(
        StrCat("the newest samples of the query's ", selection.match.refs.size(),
               " series do not fit into memory; ask for fewer series or a shorter range: ",
               FromAbsl(charged.message())),
        /*alone=*/accounts_.queries->used() == 0);
  }
  instant->groups = std::move(selection.groups);
  const std::vector<SeriesRef>& refs = selection.match.refs;
  std::vector<SeriesSetImpl::Entry> entries;
  entries.reserve(refs.size() + selection.idle.size());
  const std::vector<SeriesId> ids = instant->names->IdsOf(refs);
  for (size_t i = 0; i < refs.size(); ++i) entries.push_back({ids[i], refs[i], 0});
  entries.insert(entries.end(), selection.idle.begin(), selection.idle.end());
  if (!hints.sorted || !selection.idle.empty()) {
    // Of those that are in memory again, that one comes first and stays.
    const auto before = [](const auto& a, const auto& b) {
      return std::tie(a.id, a.group) < std::tie(b.id, b.group);
    };
    // Ids mostly ascend as refs do.
    if (!std::is_sorted(entries.begin(), entries.end(), before)) {
      std::sort(entries.begin(), entries.end(), before);
    }
    entries.erase(std::unique(entries.begin(), entries.end(),
                              [](const auto& a, const auto& b) { return a.id == b.id; }),
                  entries.end());
    if (hints.sorted) SeriesSetImpl::SortByLabels(*instant, &entries);
  }
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<ReadPiece> pieces,
                           PlanTiers(marks, hints, range, head, &partitions));

  // Neighbours stay together: their chunks lie side by side.
  const size_t sets = PartsFor(entries.size(), partitions.size(),
                               static_cast<double>(partitioning_.partition_ms()), range, parts);
  std::vector<std::unique_ptr<SeriesSet>> result;
  for (size_t part = 0; part < sets; ++part) {
    SeriesSetImpl::Source source;
    source.instant = instant;
    source.range = range;
    source.sample_limit = hints.sample_limit;
    source.memory = accounts_.queries;
    source.window_columns = hints.window_columns;
    source.window_value = hints.window_value;
    source.catalog = &catalog_;
    const auto at = [&](size_t i) {
      return entries.begin() + static_cast<ptrdiff_t>(entries.size() * i / sets);
    };
    source.entries.assign(at(part), at(part + 1));
    AddTiers(pieces, &source);
    source.scan = std::make_unique<ChunkScan>(store_.get(), instant->snapshot.get(), partitioning_,
                                              partitions, range, source.entries.size());
    result.push_back(std::make_unique<SeriesSetImpl>(std::move(source)));
  }
  return result;
}

// Which tier answers what: takes from the raw `partitions` those that a coarser one answers.
absl::StatusOr<std::vector<ReadPiece>> DbImpl::PlanTiers(const TierMarks& marks,
                                                         const SelectHints& hints, TimeRange range,
                                                         const HeadPin& head,
                                                         std::vector<uint32_t>* partitions) const {
  const Partitioning& days = chunks_->partitioning(Tier::kFiveMinutes);
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<uint32_t> newer, NotSealed(head));
  std::vector<ReadPiece> pieces =
      PlanReads(marks, partitioning_, days, range, hints.resolution, newer);
  std::erase_if(pieces,
                [](const ReadPiece& piece) { return piece.resolution == Resolution::kRaw; });
  if (!pieces.empty() && pieces.front().range.from_ms == range.from_ms &&
      range.from_ms > INT64_MIN / 2) {
    pieces.front().range.from_ms -= hints.windows_before * ResolutionMs(pieces.front().resolution);
  }
  // Borders between pieces are borders of raw partitions.
  std::erase_if(*partitions, [&](uint32_t partition) {
    const int64_t start_ms = std::max(partitioning_.StartOfNumber(partition), range.from_ms);
    return std::any_of(pieces.begin(), pieces.end(), [&](const ReadPiece& piece) {
      return piece.range.from_ms <= start_ms && start_ms <= piece.range.to_ms;
    });
  });
  return pieces;
}

void DbImpl::AddTiers(const std::vector<ReadPiece>& pieces, SeriesSetImpl::Source* source) const {
  for (const Resolution resolution : {Resolution::kOneHour, Resolution::kFiveMinutes}) {
    const Tier tier = resolution == Resolution::kOneHour ? Tier::kOneHour : Tier::kFiveMinutes;
    SeriesSetImpl::Source::Tier of_tier{resolution, {}, nullptr};
    for (const ReadPiece& piece : pieces) {
      if (piece.resolution == resolution) of_tier.pieces.push_back(piece.range);
    }
    if (of_tier.pieces.empty()) continue;
    const TimeRange all{of_tier.pieces.front().from_ms, of_tier.pieces.back().to_ms};
    of_tier.scan = std::make_unique<ChunkScan>(
        store_.get(), source->instant->snapshot.get(), chunks_->partitioning(tier),
        chunks_->Partitions(all, tier), all, source->entries.size(), tier);
    source->tiers.push_back(std::move(of_tier));
  }
}

// The raw partitions of what the head still has.
absl::StatusOr<std::vector<uint32_t>> DbImpl::NotSealed(const HeadPin& head) const {
  std::vector<uint32_t> partitions;
  Columns late;
  for (size_t i = 0; i < head.stretches.size(); ++i) {
    const HeadPin::Stretch& stretch = head.stretches[i];
    const uint32_t partition = partitioning_.NumberOf(stretch.first_ms);
    if (partitions.empty() || partitions.back() != partition) partitions.push_back(partition);
    if (!stretch.late || stretch.count == 1) continue;
    // Late samples that are not frozen may be of several partitions.
    if (!head.Decode(i, &late)) {
      return absl::DataLossError(StrCat("series ", stretch.ref, ": damaged samples in memory"));
    }
    for (const int64_t time_ms : late.timestamps_ms) {
      partitions.push_back(partitioning_.NumberOf(time_ms));
    }
  }
  std::sort(partitions.begin(), partitions.end());
  partitions.erase(std::unique(partitions.begin(), partitions.end()), partitions.end());
  return partitions;
}

bool DbImpl::HasNothingIn(TimeRange range) const {
  if (range.from_ms == TimeRange().from_ms && range.to_ms == TimeRange().to_ms) return false;
  const auto [sealed, head] = sealer_->Counts();
  PartitionCounts all = sealed;
  if (head.samples > 0) all.Include(head.oldest_ms, head.newest_ms);
  for (const Tier tier : {Tier::kFiveMinutes, Tier::kOneHour}) {
    const PartitionCounts totals = chunks_->Totals(tier);
    all.Include(totals.oldest_ms, totals.newest_ms);
  }
  return range.from_ms > all.newest_ms || range.to_ms < all.oldest_ms;
}

absl::StatusOr<std::vector<Labels>> DbImpl::Series(const std::vector<Matcher>& matchers,
                                                   TimeRange range, const ListHints& hints) const {
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  if (HasNothingIn(range)) return std::vector<Labels>();
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
  all.erase(std::unique(all.begin(), all.end()), all.end());
  if (hints.limit > 0 && all.size() > hints.limit) all.resize(hints.limit);
  return all;
}

// Joins what `list` says of the index in memory and of the groups of idle series; refs: those that
// the matchers accept, null = all.
absl::StatusOr<std::vector<std::string>> DbImpl::ListAll(
    const std::vector<Matcher>& matchers, TimeRange range, size_t limit,
    const std::function<std::vector<std::string>(const SeriesIndex& index,
                                                 const std::vector<SeriesRef>* refs)>& list) const {
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  if (HasNothingIn(range)) return std::vector<std::string>();
  ReaderMutexLock lock(&membership_);
  const auto list_matching = [&](const SeriesIndex& index) {
    if (matchers.empty()) return list(index, nullptr);
    const std::vector<SeriesRef> refs = index.Match(matchers).refs;
    return list(index, &refs);
  };
  // In this order, as in SelectSeries.
  std::vector<std::vector<std::string>> lists;
  lists.push_back(list_matching(index_));
  TINYOBS_ASSIGN_OR_RETURN(const auto groups, IdleGroups(range));
  for (const auto& group : groups) lists.push_back(list_matching(*group));
  return Joined(std::move(lists), limit);
}

absl::StatusOr<std::vector<std::string>> DbImpl::LabelNames(const std::vector<Matcher>& matchers,
                                                            TimeRange range,
                                                            const ListHints& hints) const {
  return ListAll(matchers, range, hints.limit, [&](const auto& index, const auto* refs) {
    return index.LabelNames(refs, hints);
  });
}

absl::StatusOr<std::vector<std::string>> DbImpl::LabelValues(std::string_view label,
                                                             const std::vector<Matcher>& matchers,
                                                             TimeRange range,
                                                             const ListHints& hints) const {
  return ListAll(matchers, range, hints.limit, [&](const auto& index, const auto* refs) {
    return index.LabelValues(label, refs, hints);
  });
}

MetricMetadata DbImpl::Metadata(std::string_view metric) const { return catalog_.Metadata(metric); }

uint64_t DbImpl::LiveBytes() const {
  return store_->Stats().disk_bytes + other_head_bytes_ + log_.disk_bytes() + kIdentityBytes;
}

CardinalityStats DbImpl::Cardinality(size_t largest) const { return cardinality_.Stats(largest); }

DbStats DbImpl::Stats() const {
  DbStats stats;
  stats.series = cardinality_.total();
  stats.series_refused = cardinality_.refused_series();
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
  stats.disk_bytes = DiskBytes();
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
  stats.memory.downsampling_bytes = accounts_.downsampling->used();
  stats.memory.file_bytes = accounts_.files->used();
  stats.samples_appended = samples_appended_;
  stats.samples_rejected = samples_rejected_;
  stats.commits = commits_;
  stats.chunks_sealed = sealer_->chunks_sealed();
  stats.partitions_merged = partitions_merged_;
  stats.partitions_dropped = partitions_dropped_;
  stats.replayed_samples = replay_.samples;
  stats.replay_ms = replay_ms_;
  stats.tiers = downsampler_->Tiers(clock_->NowMs() - GraceMs());
  MutexLock lock(&state_);
  stats.downsampling = downsampling_;
  stats.downsampling.rows_written = downsampler_->rows_written();
  stats.retention = retention_;
  stats.retention.oldest_accepted_ms = OldestAcceptedMs();
  const absl::Status& error = error_.ok() ? store.background_error : error_;
  if (!error.ok()) stats.background_error = std::string(FromAbsl(error.message()));
  return stats;
}

}  // namespace tinyobs::tsdb
