// Commits: what the leader of the commit queue does for those who wait.
#include "lib/tsdb/db_impl.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs {

absl::StatusOr<std::unique_ptr<Db>> Db::Open(const std::string& path, const Options& options) {
  return tsdb::DbImpl::Open(path, options);
}

absl::StatusOr<std::unique_ptr<Db>> Db::OpenReadOnly(const std::string& path,
                                                     const Options& options) {
  return tsdb::DbImpl::OpenReadOnly(path, options);
}

absl::StatusOr<std::vector<std::string>> Db::Repair(const std::string& path,
                                                    const Options& options) {
  return tsdb::DbImpl::Repair(path, options);
}

}  // namespace tinyobs

namespace tinyobs::tsdb {

namespace {

// Frozen chunks at which the sealer is woken before its time.
constexpr uint64_t kWakeFrozenChunks = 4096;
// Of one commit's record. Far below what the log can frame.
constexpr size_t kMaxCommitBytes = 128 << 20;
// The longest a sample gets in a record.
constexpr size_t kMaxSampleBytes = 40;
// Of the budget of a database in memory, what commits leave free.
constexpr size_t kReserveFraction = 4;
// Memory that a series takes before it has a sample, at least; what a new one must find free.
constexpr size_t kLeastSeriesBytes = 256;

size_t LargestRecordBytes(const CommitBatch& batch) {
  size_t bytes = 64 + batch.samples.size() * kMaxSampleBytes;
  for (const auto& series : batch.unknown) bytes += series.canonical_labels.size() + 24;
  for (const auto& named : batch.metadata) {
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
  if (read_only_) {
    return absl::FailedPreconditionError(StrCat(path_, ": opened for reading only"));
  }
  TINYOBS_RETURN_IF_ERROR(CheckOpen());
  MutexLock lock(&state_);
  if (error_.ok()) return absl::OkStatus();
  const std::string_view until = absl::IsResourceExhausted(error_)
                                     ? ": read-only until there is space or Resume(): "
                                     : ": read-only until Resume(): ";
  return absl::FailedPreconditionError(StrCat(path_, until, FromAbsl(error_.message())));
}

absl::Status DbImpl::Admission() {
  TINYOBS_RETURN_IF_ERROR(CheckWritable());
  if (options_.max_storage_bytes > 0) {
    if (RoomIsLow()) Wake(&ageing_worker_);
    // With what will be written without any more commits; what is being merged, once more.
    const uint64_t bytes = DiskBytes() + UnflushedBytes();
    if (bytes >= CommitRoomBytes() ||
        bytes + chunks_->merging_bytes() >= options_.max_storage_bytes) {
      Wake(&upkeep_worker_);
      return absl::ResourceExhaustedError(
          StrCat(path_, ": ", bytes, " bytes on disk or about to be; of the limit of ",
                 options_.max_storage_bytes, " commits may fill ", CommitRoomBytes(),
                 ": wait for retention, delete data, or raise max_storage_bytes"));
    }
  }
  // Files in memory: flushes and compactions write before they delete, and must not fail for that.
  if (const size_t reserve = options_.memory_budget_bytes / kReserveFraction;
      options_.in_memory && accounts_.files->left() < reserve) {
    return absl::ResourceExhaustedError(
        StrCat(path_, ": full; drop or delete samples, or raise memory_budget_bytes: ",
               FromAbsl(accounts_.files->ExhaustedError(reserve).message())));
  }
  return RelieveHead();
}

std::unique_ptr<Appender> DbImpl::NewAppender() {
  return std::make_unique<AppenderImpl>(
      AppenderImpl::Environment{&index_, &partitioning_, clock_, options_.max_future_ms,
                                options_.retention.raw_ms, &oldest_accepted_ms_, &samples_rejected_,
                                [this](CommitBatch* batch) { return queue_.Commit(batch); }});
}

// Finds the batch's label sets among the series, or gives them numbers, or refuses the batch.
absl::Status DbImpl::PlanSeries(CommitBatch* batch, GroupPlan* plan,
                                std::vector<NewSeries>* created) {
  std::vector<SeriesRef> refs(batch->unknown.size(), kUnknownSeries);
  std::vector<size_t> missing;
  for (size_t i = 0; i < refs.size(); ++i) {
    const CommitBatch::Unknown& unknown = batch->unknown[i];
    if (const auto known = index_.Find(unknown.canonical_labels, unknown.key)) {
      refs[i] = *known;
    } else if (const auto at = plan->created.find(unknown.canonical_labels);
               at != plan->created.end()) {
      refs[i] = at->second;
    } else {
      missing.push_back(i);
    }
  }
  if (!missing.empty()) {
    // Idle series come back under their old ids, and are not new to the limit.
    std::vector<std::string_view> labels;
    labels.reserve(missing.size());
    for (const size_t i : missing) labels.push_back(batch->unknown[i].canonical_labels);
    TINYOBS_ASSIGN_OR_RETURN(const auto idle, idle_.Find(labels));
    if (missing.size() > uint64_t{kMaxSeriesRef} - plan->next_ref) {
      return absl::ResourceExhaustedError(
          StrCat(path_, ": series ever created: the format ends at ", kMaxSeriesRef));
    }
    if (const size_t wanted = missing.size() * kLeastSeriesBytes;
        accounts_.head->left() < wanted || accounts_.index->left() < wanted) {
      MemoryAccount* const full =
          accounts_.head->left() < wanted ? accounts_.head : accounts_.index;
      return absl::ResourceExhaustedError(StrCat(path_, ": no room for ", missing.size(),
                                                 " new series; raise memory_budget_bytes: ",
                                                 FromAbsl(full->ExhaustedError(wanted).message())));
    }
    std::vector<Cardinality::NewcomerLabels> fresh;
    for (size_t i = 0; i < missing.size(); ++i) {
      const CommitBatch::Unknown& unknown = batch->unknown[missing[i]];
      if (!idle[i].has_value()) fresh.push_back({unknown.metric, unknown.canonical_labels});
    }
    std::string warning;
    std::vector<bool> fits;  // of fresh
    absl::Status admitted = batch->keep_what_fits
                                ? cardinality_.AdmitWhatFits(fresh, MonotonicMs(), &warning, &fits)
                                : cardinality_.Admit(fresh, MonotonicMs(), &warning);
    if (!warning.empty()) Log(StrCat(path_, ": ", warning));
    if (!admitted.ok() && !batch->keep_what_fits) return admitted;
    batch->why_left_out = std::move(admitted);
    size_t fresh_at = 0;
    for (size_t i = 0; i < missing.size(); ++i) {
      if (batch->keep_what_fits && !idle[i].has_value() && !fits[fresh_at++]) continue;
      CommitBatch::Unknown& unknown = batch->unknown[missing[i]];
      const SeriesRef ref = plan->next_ref++;
      refs[missing[i]] = ref;
      plan->created.emplace(unknown.canonical_labels, ref);
      const SeriesId id =
          idle[i].has_value() ? idle[i]->id : index_.NewSeriesId(unknown.metric, ref);
      if (!idle[i].has_value()) plan->fresh_metrics.push_back(std::move(unknown.metric));
      created->push_back({ref, id, std::move(unknown.canonical_labels)});
      head_.AddSeries(ref,
                      idle[i].has_value() ? partitioning_.LastMsOf(idle[i]->partition) : INT64_MIN);
    }
  }
  for (SeriesRef& ref : batch->samples.refs) {
    if (ref >= kUnknownSeries) ref = refs[ref - kUnknownSeries];
  }
  if (!batch->why_left_out.ok()) {
    const size_t before = batch->samples.size();
    batch->samples.EraseIf([](SeriesRef ref) { return ref == kUnknownSeries; });
    batch->left_out = before - batch->samples.size();
  }
  return absl::OkStatus();
}

// Counts what was planned last, from `begin` on, no more.
void DbImpl::TakeBack(GroupPlan* plan, size_t begin) {
  for (size_t i = begin; i < plan->fresh_metrics.size(); ++i) {
    cardinality_.Remove(plan->fresh_metrics[i], 1);
  }
  plan->fresh_metrics.resize(begin);
}

// Plans the batch's series, stages its samples and writes its record to the log's buffer.
absl::Status DbImpl::Plan(CommitBatch* batch, GroupPlan* plan) {
  batch->FindAgain(index_);
  if (const int64_t oldest_ms = oldest_accepted_ms_; batch->oldest_ms < oldest_ms) {
    // It was in time when it was added.
    return TooOldError("the oldest sample of a commit", batch->oldest_ms, oldest_ms);
  }
  if (const size_t bytes = LargestRecordBytes(*batch); bytes > kMaxCommitBytes) {
    return absl::ResourceExhaustedError(StrCat("a commit of up to ", bytes, " bytes; the limit is ",
                                               kMaxCommitBytes, ": commit in smaller batches"));
  } else if (const uint64_t limit = options_.max_storage_bytes;
             limit > 0 && DiskBytes() + plan->log_bytes + bytes > limit) {
    return absl::ResourceExhaustedError(
        StrCat(path_, ": a commit of up to ", bytes, " bytes; on disk are ", DiskBytes(),
               ", and the limit is ", limit, ": commit in smaller batches"));
  }
  std::vector<NewSeries> created;
  const size_t fresh_before = plan->fresh_metrics.size();
  TINYOBS_RETURN_IF_ERROR(PlanSeries(batch, plan, &created));
  if (batch->empty()) return absl::OkStatus();  // nothing of it fits
  std::string record;
  BeginCommit(created, batch->metadata, &record);
  SampleSectionWriter writer(&record);
  if (const absl::Status staged = head_.Stage(batch->samples, &writer); !staged.ok()) {
    // Nothing of this batch may stay, and no number of a series that does not exist.
    std::vector<SeriesRef> refs;
    for (const NewSeries& series : created) {
      plan->created.erase(series.canonical_labels);
      refs.push_back(series.ref);
    }
    TakeBack(plan, fresh_before);
    head_.RemoveSeries(refs);
    return staged;
  }
  if (!options_.in_memory) log_.Add(record);
  plan->log_bytes += record.size();
  if (named_.has_value()) named_->insert(batch->samples.refs.begin(), batch->samples.refs.end());
  plan->samples += batch->samples.size();
  std::move(created.begin(), created.end(), std::back_inserter(plan->new_series));
  return absl::OkStatus();
}

absl::Status DbImpl::WriteLog() {
  if (options_.in_memory) return absl::OkStatus();
  TINYOBS_RETURN_IF_ERROR(log_.Write());
  bool sync = options_.sync_policy == SyncPolicy::kAlways;
  if (options_.sync_policy == SyncPolicy::kInterval && !options_.background_threads) {
    sync = MonotonicMs() - last_sync_ms_ >= options_.sync_interval_ms;
  }
  if (!sync) return absl::OkStatus();
  last_sync_ms_ = MonotonicMs();
  return log_.Sync();
}

// The group is in the log: makes it visible. Series first, so that no sample is without one.
void DbImpl::Publish(const GroupPlan& plan) {
  for (const NewSeries& series : plan.new_series) {
    index_.Add(series.ref, series.id, series.canonical_labels);
  }
  if (!plan.new_series.empty()) ChargeIndex();
  head_.Apply(MonotonicMs());
  samples_appended_.fetch_add(plan.samples, std::memory_order_relaxed);
}

void DbImpl::Lead(std::span<Queue::Job* const> jobs) {
  const absl::Status admission = Admission();
  GroupPlan plan;
  plan.next_ref = index_.next_ref();
  std::vector<Queue::Job*> planned;
  for (Queue::Job* const job : jobs) {
    job->status = admission.ok() ? Plan(job->work, &plan) : admission;
    if (job->status.ok()) planned.push_back(job);
  }
  index_.RaiseNext(plan.next_ref, 0);  // also past numbers that were given and taken back
  if (planned.empty()) return;
  if (const absl::Status written = WriteLog(); !written.ok()) {
    Fail("writing the head log", written).IgnoreError();
    head_.Discard();
    std::vector<SeriesRef> refs;
    for (const NewSeries& series : plan.new_series) refs.push_back(series.ref);
    head_.RemoveSeries(refs);
    TakeBack(&plan, 0);
    for (Queue::Job* const job : planned) job->status = written;
    return;
  }
  Publish(plan);
  for (Queue::Job* const job : planned) {
    for (const NamedMetadata& named : job->work->metadata) {
      catalog_.SetMetadata(named.metric, named.metadata);
    }
  }
  commits_.fetch_add(planned.size(), std::memory_order_relaxed);
  if (head_.Stats().frozen_chunks >= kWakeFrozenChunks ||
      log_.segment_bytes() >= FullSegmentBytes()) {
    Wake(&upkeep_worker_);
  }
}

}  // namespace tinyobs::tsdb
