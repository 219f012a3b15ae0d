#include "lib/tsdb/db_impl.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/series_set.h"

namespace tinyobs {

absl::StatusOr<std::unique_ptr<Db>> Db::Open(const std::string& path, const Options& options) {
  return tsdb::DbImpl::Open(path, options);
}

}  // namespace tinyobs

namespace tinyobs::tsdb {

namespace {

// Frozen chunks at which the sealer is woken before its time.
constexpr uint64_t kWakeFrozenChunks = 256;
// Of one commit's record. Far below what the log can frame.
constexpr size_t kMaxCommitBytes = 128 << 20;
// The longest a sample gets in a record.
constexpr size_t kMaxSampleBytes = 24;

size_t LargestRecordBytes(const CommitBatch& batch) {
  size_t bytes = 64 + batch.record.samples.size() * kMaxSampleBytes;
  for (const auto& series : batch.unknown) bytes += series.canonical_labels.size() + 24;
  for (const auto& named : batch.record.metadata) {
    bytes += named.metric.size() + named.metadata.type.size() + named.metadata.help.size() +
             named.metadata.unit.size() + 16;
  }
  return bytes;
}

}  // namespace

absl::Status DbImpl::CheckOpen() const {
  MutexLock lock(&state_);
  if (closed_) return absl::FailedPreconditionError(StrCat(path_, ": the database is closed"));
  return absl::OkStatus();
}

absl::Status DbImpl::CheckWritable() const {
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  MutexLock lock(&state_);
  if (error_.ok()) return absl::OkStatus();
  const std::string_view until = absl::IsResourceExhausted(error_)
                                     ? ": read-only until there is space or Resume(): "
                                     : ": read-only until Resume(): ";
  return absl::FailedPreconditionError(StrCat(path_, until, FromAbsl(error_.message())));
}

absl::Status DbImpl::Admission() const {
  TINYOBS_RETURN_IF_ERROR(CheckWritable());
  if (options_.max_storage_bytes > 0) {
    if (const uint64_t bytes = DiskBytes(); bytes >= options_.max_storage_bytes) {
      return absl::ResourceExhaustedError(
          StrCat(path_, ": ", bytes, " bytes on disk; the limit is ", options_.max_storage_bytes));
    }
  }
  return absl::OkStatus();
}

std::unique_ptr<Appender> DbImpl::NewAppender() {
  return std::make_unique<AppenderImpl>(AppenderImpl::Environment{
      &index_, &partitioning_, clock_, options_.max_future_ms, &samples_rejected_,
      [this](CommitBatch* batch) { return queue_.Commit(batch); }});
}

// Gives numbers to the batch's new series, or refuses the batch; writes its record to the log's
// buffer.
absl::Status DbImpl::Plan(CommitBatch* batch, GroupPlan* plan) {
  if (const size_t bytes = LargestRecordBytes(*batch); bytes > kMaxCommitBytes) {
    return absl::ResourceExhaustedError(StrCat("a commit of up to ", bytes, " bytes; the limit is ",
                                               kMaxCommitBytes, ": commit in smaller batches"));
  }
  std::vector<SeriesRef> refs(batch->unknown.size(), kUnknownSeries);
  uint64_t missing = 0;
  const CommitBatch::Unknown* first_missing = nullptr;
  for (size_t i = 0; i < refs.size(); ++i) {
    const CommitBatch::Unknown& unknown = batch->unknown[i];
    if (const auto known = index_.Find(unknown.canonical_labels, unknown.key)) {
      refs[i] = *known;
    } else if (const auto at = plan->created.find(unknown.canonical_labels);
               at != plan->created.end()) {
      refs[i] = at->second;
    } else {
      if (missing++ == 0) first_missing = &unknown;
    }
  }
  if (missing > 0 && options_.max_series > 0 && plan->series + missing > options_.max_series) {
    return CardinalityLimitError({plan->series, options_.max_series, first_missing->metric});
  }
  if (missing > uint64_t{kMaxSeriesRef} - plan->next_ref) {
    return absl::ResourceExhaustedError(
        StrCat("series ever created: the format ends at ", kMaxSeriesRef));
  }
  for (size_t i = 0; i < refs.size(); ++i) {
    if (refs[i] != kUnknownSeries) continue;
    CommitBatch::Unknown& unknown = batch->unknown[i];
    refs[i] = plan->next_ref++;
    ++plan->series;
    plan->created.emplace(unknown.canonical_labels, refs[i]);
    batch->record.new_series.push_back(
        {refs[i], index_.NewSeriesId(unknown.metric), std::move(unknown.canonical_labels)});
  }
  for (RefSample& sample : batch->record.samples) {
    if (sample.ref >= kUnknownSeries) sample.ref = refs[sample.ref - kUnknownSeries];
  }
  std::string record;
  EncodeCommit(batch->record, &record);
  log_.Add(record);
  return absl::OkStatus();
}

absl::Status DbImpl::WriteLog() {
  TINYOBS_RETURN_IF_ERROR(log_.Write());
  bool sync = options_.sync_policy == SyncPolicy::kAlways;
  if (options_.sync_policy == SyncPolicy::kInterval && !options_.background_threads) {
    sync = MonotonicMs() - last_sync_ms_ >= options_.sync_interval_ms;
  }
  if (!sync) return absl::OkStatus();
  last_sync_ms_ = MonotonicMs();
  return log_.Sync();
}

void DbImpl::Apply(const CommitRecord& commit) {
  for (const NewSeries& series : commit.new_series) {
    index_.Add(series.ref, series.id, series.canonical_labels);
  }
  for (const NamedMetadata& named : commit.metadata) {
    catalog_.SetMetadata(named.metric, named.metadata);
  }
  head_.Apply(commit.samples, index_.ref_limit(), MonotonicMs());
  samples_appended_.fetch_add(commit.samples.size(), std::memory_order_relaxed);
  commits_.fetch_add(1, std::memory_order_relaxed);
}

void DbImpl::Lead(std::span<Queue::Job* const> jobs) {
  absl::Status admission = Admission();
  if (admission.ok()) admission = SealBacklog();
  GroupPlan plan;
  plan.next_ref = index_.ref_limit();
  plan.series = index_.size();
  std::vector<Queue::Job*> planned;
  for (Queue::Job* const job : jobs) {
    job->status = admission.ok() ? Plan(job->work, &plan) : admission;
    if (job->status.ok()) planned.push_back(job);
  }
  if (planned.empty()) return;
  if (const absl::Status written = WriteLog(); !written.ok()) {
    Fail("writing the head log", written).IgnoreError();
    for (Queue::Job* const job : planned) job->status = written;
    return;
  }
  for (Queue::Job* const job : planned) Apply(job->work->record);
  if (head_.Stats().frozen_chunks >= kWakeFrozenChunks ||
      log_.segment_bytes() >= options_.head_segment_bytes) {
    WakeUpkeep();
  }
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
  SeriesIndex::MatchResult match = index_.Match(matchers);
  SeriesSetImpl::Source source;
  source.index = &index_;
  source.chunks = &*chunks_;
  source.range = range;
  source.sample_limit = hints.sample_limit;
  // Head, LSM and the set of series belong to one instant: what a chunk loses here it has there,
  // and of a commit we see all or nothing, its new series included.
  source.head = head_.Pin(range, [&](SeriesRef ref_limit) {
    std::vector<SeriesRef>& refs = match.refs;
    while (!refs.empty() && refs.back() >= ref_limit) refs.pop_back();
    for (SeriesRef ref = match.ref_limit; ref < ref_limit; ++ref) {
      if (index_.Matches(ref, matchers)) refs.push_back(ref);
    }
    source.snapshot = store_->NewSnapshot();
    source.partitions = chunks_->Partitions(range);
    return refs;
  });
  source.refs = std::move(match.refs);
  if (hints.sorted) index_.SortByLabels(&source.refs);
  lsm::ReadOptions options;
  options.snapshot = source.snapshot.get();
  source.iterator = store_->NewIterator(options);
  return std::make_unique<SeriesSetImpl>(std::move(source));
}

absl::StatusOr<std::vector<Labels>> DbImpl::Series(const std::vector<Matcher>& matchers,
                                                   TimeRange range) const {
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  std::vector<SeriesRef> refs = index_.Match(matchers).refs;
  index_.SortByLabels(&refs);
  std::vector<Labels> all;
  all.reserve(refs.size());
  for (const SeriesRef ref : refs) all.push_back(index_.LabelsOf(ref));
  return all;
}

absl::StatusOr<std::vector<std::string>> DbImpl::LabelNames(const std::vector<Matcher>& matchers,
                                                            TimeRange range) const {
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  return matchers.empty() ? index_.LabelNames() : index_.LabelNames(index_.Match(matchers).refs);
}

absl::StatusOr<std::vector<std::string>> DbImpl::LabelValues(std::string_view label,
                                                             const std::vector<Matcher>& matchers,
                                                             TimeRange range) const {
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  return matchers.empty() ? index_.LabelValues(label)
                          : index_.LabelValues(label, index_.Match(matchers).refs);
}

MetricMetadata DbImpl::Metadata(std::string_view metric) const { return catalog_.Metadata(metric); }

uint64_t DbImpl::DiskBytes() const {
  return store_->Stats().disk_bytes + other_head_bytes_ + log_.disk_bytes() + kIdentityBytes;
}

DbStats DbImpl::Stats() const {
  DbStats stats;
  stats.series = index_.size();
  stats.max_series = options_.max_series;
  const auto [sealed, head] = sealer_->Counts();
  stats.samples = sealed.samples + head.samples;
  if (stats.samples > 0) {
    stats.oldest_ms = std::min(sealed.oldest_ms, head.oldest_ms);
    stats.newest_ms = std::max(sealed.newest_ms, head.newest_ms);
  }
  stats.head_samples = head.samples;
  stats.head_bytes = head.bytes + index_.MemoryBytes();
  stats.head_log_bytes = other_head_bytes_ + log_.segment_bytes();

  const lsm::StoreStats store = store_->Stats();
  stats.disk_bytes = store.disk_bytes + other_head_bytes_ + log_.disk_bytes() + kIdentityBytes;
  stats.memtable_bytes = store.memtable_bytes;
  stats.block_cache_bytes = store.block_cache_bytes;
  for (const lsm::LevelStats& level : store.levels) {
    stats.levels.push_back({level.files, level.bytes});
  }
  stats.flushes = store.flushes;
  stats.compactions = store.compactions;
  stats.bytes_written_by_flush = store.bytes_written_by_flush;
  stats.bytes_written_by_compaction = store.bytes_written_by_compaction;
  stats.stalls = store.AllHolds().stalls;

  stats.samples_appended = samples_appended_;
  stats.samples_rejected = samples_rejected_;
  stats.commits = commits_;
  stats.chunks_sealed = sealer_->chunks_sealed();
  stats.replayed_samples = replay_.samples;
  stats.replay_ms = replay_ms_;
  MutexLock lock(&state_);
  const absl::Status& error = error_.ok() ? store.background_error : error_;
  if (!error.ok()) stats.background_error = std::string(FromAbsl(error.message()));
  return stats;
}

}  // namespace tinyobs::tsdb
