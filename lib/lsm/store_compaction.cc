// Compaction and range drop: which thread does what to which tables, and what happens when it goes
// wrong. What to do is chosen by compaction_picker.h, and done by compaction_job.h.
//
// A damaged table is set aside, and choices that need it are not made: writes and all other
// compactions go on. L0 may then hold tables that cannot go down, and writes do not wait for those.
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/level_iterator.h"
#include "lib/lsm/merging_iterator.h"
#include "lib/lsm/rate_limiter.h"
#include "lib/lsm/store_impl.h"

namespace tinyobs::lsm {
namespace {

// Compactions read their inputs in pieces of this size.
constexpr size_t kCompactionReadaheadBytes = 256 << 10;
// While readers pin tables that nobody else needs: how late their files may go at worst.
constexpr int64_t kObsoleteRecheckMs = 1000;
// Compaction can wait, who reads cannot: with two processors, a writer and a reader, 241,000 reads
// a second instead of 213,000, and 4 % fewer writes (means of three runs that differ by a quarter).
// Not more, so that other programs on a busy machine do not starve it.
constexpr int kCompactionNice = 5;

// Where priorities belong to threads; elsewhere it would be the whole process.
void LowerPriorityOfThread() {
#ifdef __linux__
  static_cast<void>(!::nice(kCompactionNice));
#endif
}

}  // namespace

void StoreImpl::CompactionThread() {
  LowerPriorityOfThread();
  MutexLock lock(&mutex_);
  while (!closing()) {
    const bool is_due = CompactionIsDue() && MayStartJob() && background_error_.ok();
    // Whoever frees a table wakes us without mutex_ (it may hold that already, and readers must not
    // wait for it), so the wake may come between our look and our wait, and be lost. Tables are
    // marked obsolete under mutex_, so if none is (looked at first), there is nothing to miss.
    const bool awaits_obsolete = registry_->AwaitsObsolete();
    const bool has_obsolete = registry_->HasObsolete();
    if (!is_due && !has_obsolete) {
      if (awaits_obsolete) {
        state_changed_.WaitFor(&mutex_, kObsoleteRecheckMs);
      } else {
        state_changed_.Wait(&mutex_);
      }
      continue;
    }
    if (has_obsolete) {
      MutexUnlock unlock(&mutex_);
      DeleteObsoleteFiles();
    } else {
      CompactOnce().IgnoreError();  // it is in background_error_
    }
  }
}

bool StoreImpl::CompactionIsDue() const {
  if (nothing_to_pick_) return false;
  const std::array<double, kLevels> scores = LevelScores(*version_, picker_options_);
  return *std::max_element(scores.begin(), scores.end()) >= 1;
}

StoreImpl::JobPlace StoreImpl::StartJob(const Pick& pick, bool in_background) {
  TINYOBS_DCHECK(MayStartJob());
  picking_ = true;
  // Of one moment. Jobs may end while we pick, but none starts, and versions only gain what those
  // jobs and flushes write: what does not conflict now does not conflict then.
  const std::shared_ptr<const Version> version = version_;
  Claims claims;
  for (const Job& job : running_) claims.Add(job.choice);
  if (in_background) {
    for (const KeyRange& range : waiting_ranges_) {
      claims.outputs.push_back({Claims::kAnyLevel, range});
    }
    claims.tables.insert(damaged_tables_.begin(), damaged_tables_.end());
  }
  std::optional<CompactionChoice> choice;
  {
    MutexUnlock unlock(&mutex_);
    choice = pick(*version, claims);
  }
  picking_ = false;
  state_changed_.NotifyAll();
  if (!choice.has_value()) return running_.end();
  return running_.insert(running_.end(), Job{*std::move(choice), version});
}

void StoreImpl::EndJob(JobPlace job) {
  // The claims that a pick looks at are views of the jobs' keys.
  while (picking_) state_changed_.Wait(&mutex_);
  running_.erase(job);
  ++ended_jobs_;
  nothing_to_pick_ = false;
  state_changed_.NotifyAll();
}

void StoreImpl::HoldJobs() {
  ++job_holds_;
  while (picking_ || !running_.empty()) state_changed_.Wait(&mutex_);
}

void StoreImpl::ReleaseJobs() {
  MutexLock lock(&mutex_);
  --job_holds_;
  state_changed_.NotifyAll();
}

absl::Status StoreImpl::CompactOnce() {
  nothing_to_pick_ = true;  // unless something changes while we look
  const JobPlace job = StartJob(
      [this](const Version& version, const Claims& claims) {
        return PickCompaction(version, picker_options_, claims);
      },
      true);
  if (job == running_.end()) return absl::OkStatus();
  nothing_to_pick_ = false;
  absl::Status status;
  {
    MutexUnlock unlock(&mutex_);
    status = RunCompaction(*job, true);
  }
  EndJob(job);
  return status;
}

std::unique_ptr<Iterator> StoreImpl::NewCompactionInput(const CompactionChoice& choice) {
  sstable::TableReadOptions read;
  read.fill_cache = false;
  read.readahead_bytes = kCompactionReadaheadBytes;
  std::vector<std::unique_ptr<Iterator>> children;
  const auto add = [&](TableList tables) {
    if (tables.empty()) return;
    children.push_back(
        std::make_unique<LevelIterator>(table_cache_.get(), std::move(tables), read));
  };
  if (choice.level == 0) {
    for (TableList& row : SideBySide(choice.inputs)) add(std::move(row));
  } else {
    add(choice.inputs);
  }
  add(choice.next_inputs);
  return NewMergingIterator(std::move(children));
}

absl::Status StoreImpl::RunCompaction(const Job& running, bool in_background) {
  bool merger_failed = false;
  absl::Status status = RewriteOrMove(running.choice, running.version, true, &merger_failed);
  if (merger_failed) {
    if (!in_background) return status;
    // The store's work must go on: this time nothing is joined.
    Log(StrCat(path_, ": compaction: goes on without joining, as the merger failed: ",
               FromAbsl(status.message())));
    status = RewriteOrMove(running.choice, running.version, false, &merger_failed);
  }
  if (absl::IsDataLoss(status) && SetAsideDamaged(running.choice)) {
    return in_background ? absl::OkStatus() : status;
  }
  if (!status.ok()) SetBackgroundError(status);
  return status;
}

absl::Status StoreImpl::RewriteOrMove(const CompactionChoice& choice,
                                      const std::shared_ptr<const Version>& version, bool join,
                                      bool* merger_failed) {
  VersionEdit edit;
  for (const TablePtr& table : choice.inputs) {
    edit.removed.push_back({choice.level, table->meta.number});
  }
  for (const TablePtr& table : choice.next_inputs) {
    edit.removed.push_back({choice.output_level, table->meta.number});
  }
  if (choice.trivial_move) {
    for (const TablePtr& table : choice.inputs) {
      edit.added.push_back({choice.output_level, table->meta});
    }
    return InstallEdit(std::move(edit), [this, &choice]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
      counters_.trivial_moves += choice.inputs.size();
    });
  }
  CompactionJobOptions job = NewJobOptions();
  job.table_bytes = options_.table_bytes;
  job.ranges = choice.ranges;
  job.version = version;
  job.output_level = choice.output_level;
  job.grandparents = choice.grandparents;
  job.grandparent_bytes_max = GrandparentOverlapLimit(picker_options_);
  job.filter = options_.compaction_filter;
  std::unique_ptr<CompactionMerger> merger;
  if (join && options_.new_compaction_merger && IsBottom(*version, choice)) {
    merger = options_.new_compaction_merger();
  }
  job.merger = merger.get();
  job.merger_failed = merger_failed;
  if (options_.rate_limiter) {
    job.on_written = [this](uint64_t bytes) { return WaitForRate(bytes); };
  }
  job.stop = &closing_;
  const std::unique_ptr<Iterator> input = NewCompactionInput(choice);
  TINYOBS_ASSIGN_OR_RETURN(const CompactionResult result, RunCompactionJob(job, input.get()));
  for (const TableMeta& meta : result.tables) edit.added.push_back({choice.output_level, meta});
  return InstallEdit(std::move(edit), [this, &choice, &result]() ABSL_NO_THREAD_SAFETY_ANALYSIS {
    ++counters_.compactions;
    counters_.bytes_read_by_compaction += choice.InputBytes();
    counters_.bytes_written_by_compaction += result.bytes_written;
  });
}

absl::Status StoreImpl::WaitForRate(uint64_t bytes) {
  const int64_t wait_ns = options_.rate_limiter->Charge(bytes);
  if (!options_.background_threads) return absl::OkStatus();
  const int64_t until_ns = clock_->MonotonicNs() + wait_ns;
  MutexLock lock(&mutex_);
  while (!closing()) {
    const int64_t left_ns = until_ns - clock_->MonotonicNs();
    if (left_ns <= 0) return absl::OkStatus();
    closing_changed_.WaitFor(&mutex_, left_ns / 1'000'000 + 1);
  }
  return absl::CancelledError("the store is closing");
}

// Which of the inputs it was is found by reading them all: that is rare enough, and says it for
// certain.
bool StoreImpl::SetAsideDamaged(const CompactionChoice& choice) {
  bool found = false;
  for (const TableList* const tables : {&choice.inputs, &choice.next_inputs}) {
    for (const TablePtr& table : *tables) {
      const auto reader = table_cache_->Find(table->meta);
      const absl::Status status = reader.ok() ? (*reader)->Verify() : reader.status();
      if (!absl::IsDataLoss(status)) continue;
      found = true;
      {
        MutexLock lock(&mutex_);
        if (!damaged_tables_.insert(table->meta.number).second) continue;
      }
      Log(StrCat(FromAbsl(status.message()),
                 ": compactions leave this table alone from now on, and reads of it fail; close "
                 "the store and run Repair"));
    }
  }
  return found;
}

double StoreImpl::L0Pressure() const {
  const bool is_stuck = !damaged_tables_.empty() && nothing_to_pick_ && running_.empty();
  return is_stuck ? 0 : L0Load(*version_);
}

absl::StatusOr<bool> StoreImpl::RunInRange(const KeyRange& range, bool frees_space,
                                           const Pick& pick,
                                           const std::function<absl::Status(const Job&)>& work) {
  absl::Status status;
  bool is_picked = false;
  {
    MutexLock lock(&mutex_);
    std::optional<std::list<KeyRange>::iterator> waiting;
    while (true) {
      status = Refusal();
      if (!status.ok() && !(frees_space && absl::IsResourceExhausted(status))) break;
      status = absl::OkStatus();
      if (!MayStartJob()) {
        state_changed_.Wait(&mutex_);
        continue;
      }
      const uint64_t ended_jobs = ended_jobs_;
      bool is_blocked = false;
      const JobPlace job = StartJob(
          [&](const Version& version, const Claims& claims) -> std::optional<CompactionChoice> {
            std::optional<CompactionChoice> choice = pick(version, claims);
            is_blocked = choice.has_value() && claims.Conflict(*choice);
            if (is_blocked) return std::nullopt;
            return choice;
          },
          false);
      if (job != running_.end()) {
        is_picked = true;
        {
          MutexUnlock unlock(&mutex_);
          status = work(*job);
        }
        EndJob(job);
      }
      if (!is_blocked) break;
      if (!waiting.has_value()) waiting = waiting_ranges_.insert(waiting_ranges_.end(), range);
      if (ended_jobs == ended_jobs_) state_changed_.Wait(&mutex_);
    }
    if (waiting.has_value()) {
      while (picking_) state_changed_.Wait(&mutex_);  // as in EndJob
      waiting_ranges_.erase(*waiting);
      nothing_to_pick_ = false;
      state_changed_.NotifyAll();
    }
  }
  DeleteObsoleteFiles();
  if (absl::IsCancelled(status)) return ClosedError();
  TINYOBS_RETURN_IF_ERROR(status);
  return is_picked;
}

absl::Status StoreImpl::CompactRange(std::string_view first, std::string_view last) {
  TINYOBS_RETURN_IF_ERROR(Flush());
  const KeyRange range{first, last, last.empty()};
  const bool rewrite_all = options_.compaction_filter || options_.new_compaction_merger;
  bool more = true;
  for (int level = 0; more;) {
    TINYOBS_ASSIGN_OR_RETURN(more, RunInRange(
                                       range, /*frees_space=*/false,
                                       [&](const Version& version, const Claims& claims) {
                                         return PickRange(version, picker_options_, claims, level,
                                                          range, rewrite_all);
                                       },
                                       [&](const Job& job) {
                                         level = job.choice.output_level;
                                         return RunCompaction(job, false);
                                       }));
  }
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> StoreImpl::DropRange(std::string_view first, std::string_view last) {
  VersionEdit edit;
  const KeyRange range{first, last, last.empty()};
  const auto pick = [&](const Version& version, const Claims&) -> std::optional<CompactionChoice> {
    CompactionChoice choice;  // of tables of all levels, which nothing replaces
    edit.removed.clear();
    // From the oldest tables up: one that lies over an older one that stays must stay too, or what
    // it hides would come back.
    TableList stay;
    for (int level = kLevels - 1; level >= 0; --level) {
      const TableList tables = version.Overlapping(level, range);
      for (auto table = tables.rbegin(); table != tables.rend(); ++table) {
        const TableFile& candidate = **table;
        const KeyRange keys{candidate.smallest_user_key(), candidate.largest_user_key()};
        const bool inside = CompareUserKeys(keys.first, first) >= 0 &&
                            (last.empty() || CompareUserKeys(keys.last, last) < 0);
        const bool hides = std::any_of(
            stay.begin(), stay.end(), [&](const TablePtr& other) { return keys.Overlaps(*other); });
        if (!inside || hides) {
          stay.push_back(*table);
          continue;
        }
        edit.removed.push_back({level, candidate.meta.number});
        choice.inputs.push_back(*table);
      }
    }
    if (choice.inputs.empty()) return std::nullopt;
    return choice;
  };
  TINYOBS_RETURN_IF_ERROR(RunInRange(range, /*frees_space=*/true, pick, [&](const Job&) {
                            const absl::Status status = InstallEdit(edit, {});
                            if (!status.ok()) SetBackgroundError(status);
                            return status;
                          }).status());
  return edit.removed.size();
}

}  // namespace tinyobs::lsm
