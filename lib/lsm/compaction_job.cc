#include "lib/lsm/compaction_job.h"

#include <algorithm>
#include <array>
#include <deque>
#include <optional>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/internal_key.h"

namespace tinyobs::lsm {
namespace {

// Writes the output tables.
class OutputWriter {
 public:
  explicit OutputWriter(const CompactionJobOptions& options) : options_(options) {}

  bool open() const { return writer_.has_value(); }
  uint64_t FileSizeBytes() const { return writer_->FileSizeBytes(); }

  absl::Status Add(std::string_view key, uint64_t trailer, std::string_view value) {
    if (!open()) TINYOBS_RETURN_IF_ERROR(Open());
    const uint64_t sequence = SequenceOf(trailer);
    meta_.smallest_sequence = std::min(meta_.smallest_sequence, sequence);
    meta_.largest_sequence = std::max(meta_.largest_sequence, sequence);
    meta_.tombstones += TypeOf(trailer) == ValueType::kDelete;
    TINYOBS_RETURN_IF_ERROR(writer_->Add(key, value));
    return Report(kReportBytes);
  }

  // Ends the open table, if any: written, synced, closed.
  absl::Status FinishTable() {
    if (!open()) return absl::OkStatus();
    TINYOBS_ASSIGN_OR_RETURN(const sstable::TableProperties properties, writer_->Finish());
    meta_.file_bytes = writer_->FileSizeBytes();
    TINYOBS_RETURN_IF_ERROR(Report(1));
    meta_.entries = properties.entries;
    meta_.smallest = properties.smallest_key;
    meta_.largest = properties.largest_key;
    TINYOBS_RETURN_IF_ERROR(file_->Sync());
    TINYOBS_RETURN_IF_ERROR(file_->Close());
    writer_.reset();
    file_.reset();
    result_.bytes_written += meta_.file_bytes;
    result_.tables.push_back(std::move(meta_));
    return absl::OkStatus();
  }

  absl::Status Finish() {
    TINYOBS_RETURN_IF_ERROR(FinishTable());
    return result_.tables.empty() ? absl::OkStatus()
                                  : options_.file_system->SyncDirectory(options_.folder);
  }
  CompactionResult TakeResult() { return std::move(result_); }

  // After a failure: nobody will ask for these files.
  void Abandon() {
    writer_.reset();
    file_.reset();
    for (const uint64_t number : numbers_) {
      options_.file_system->DeleteFile(TableFileName(options_.folder, number)).IgnoreError();
    }
  }

 private:
  static constexpr uint64_t kReportBytes = 64 << 10;

  // Calls on_written if there are `bytes_min` new bytes.
  absl::Status Report(uint64_t bytes_min) {
    if (!options_.on_written) return absl::OkStatus();
    const uint64_t size = writer_->FileSizeBytes();
    if (size < reported_bytes_ + bytes_min) return absl::OkStatus();
    const uint64_t bytes = size - reported_bytes_;
    reported_bytes_ = size;
    return options_.on_written(bytes);
  }

  absl::Status Open() {
    reported_bytes_ = 0;
    meta_ = TableMeta();
    meta_.number = options_.new_file_number();
    meta_.smallest_sequence = kMaxSequence;
    const std::string path = TableFileName(options_.folder, meta_.number);
    TINYOBS_ASSIGN_OR_RETURN(file_, options_.file_system->CreateWritable(path));
    numbers_.push_back(meta_.number);
    writer_.emplace(options_.table, path, file_.get());
    return absl::OkStatus();
  }

  const CompactionJobOptions& options_;
  std::unique_ptr<WritableFile> file_;
  std::optional<sstable::TableWriter> writer_;
  TableMeta meta_;  // of the open table
  uint64_t reported_bytes_ = 0;
  std::vector<uint64_t> numbers_;
  CompactionResult result_;
};

// Whether ascending user keys go on in the same partition and range of the job.
class PartTracker {
 public:
  explicit PartTracker(const CompactionJobOptions& options) : options_(options) {}

  // False for the first key.
  bool Changes(std::string_view user_key) {
    const size_t range = range_;
    while (range_ + 1 < options_.ranges.size() &&
           CompareUserKeys(user_key, options_.ranges[range_ + 1].first) >= 0) {
      ++range_;
    }
    bool changes = range_ != range;
    if (options_.partition_of) {
      const std::string_view partition = options_.partition_of(user_key);
      changes |= partition_.has_value() && *partition_ != partition;
      if (changes || !partition_.has_value()) partition_ = partition;
    }
    return changes;
  }

 private:
  const CompactionJobOptions& options_;
  size_t range_ = 0;
  std::optional<std::string> partition_;
};

// Decides where one output ends and the next begins. Asked once per user key, in order.
class OutputCutter {
 public:
  explicit OutputCutter(const CompactionJobOptions& options) : options_(options), part_(options) {}

  bool CutBefore(std::string_view user_key, const OutputWriter& output) {
    const bool part = part_.Changes(user_key);
    const size_t grandparent = next_;
    const bool overlap = OverlapsTooMuch(user_key, output.open());
    const bool full = output.open() && IsFull(output.FileSizeBytes(), next_ != grandparent);
    if (part || overlap || full) overlapped_bytes_ = 0;
    return part || overlap || full;
  }

 private:
  // `is_edge`: a table of the level below ends before the key.
  bool IsFull(uint64_t bytes, bool is_edge) const {
    if (options_.table_bytes == 0) return false;
    if (is_edge) return bytes >= options_.table_bytes / 4 * 3;
    const bool more_edges = next_ < options_.grandparents.size();
    return bytes >= options_.table_bytes + (more_edges ? options_.table_bytes / 4 : 0);
  }

  bool OverlapsTooMuch(std::string_view user_key, bool open) {
    const TableList& tables = options_.grandparents;
    for (;
         next_ < tables.size() && CompareUserKeys(user_key, tables[next_]->largest_user_key()) > 0;
         ++next_) {
      if (open) overlapped_bytes_ += tables[next_]->meta.file_bytes;
    }
    return options_.grandparent_bytes_max > 0 && overlapped_bytes_ > options_.grandparent_bytes_max;
  }

  const CompactionJobOptions& options_;
  PartTracker part_;
  size_t next_ = 0;  // the first grandparent that is not wholly before the current key
  uint64_t overlapped_bytes_ = 0;
};

// Takes what is kept, in order; leads runs of it through the merger, and writes.
//
// An entry waits here until the next one shows whether an older version of its key is kept too, for
// a snapshot: then the merger must not see it, as without it the older one would be seen by all.
class Joiner {
 public:
  Joiner(const CompactionJobOptions& options, OutputWriter* output)
      : options_(options), output_(output), cutter_(options), part_(options) {}

  // `may_join`: the newest version of its key, a put, and no snapshot sees it.
  absl::Status Add(std::string_view key, std::string_view value, bool is_newest, bool may_join) {
    if (options_.merger == nullptr) return Write(key, value, is_newest);
    if (!is_newest) {
      TINYOBS_RETURN_IF_ERROR(EndRun());
      if (std::exchange(is_held_, false)) {
        TINYOBS_RETURN_IF_ERROR(Write(held_key_, held_value_, true));
      }
      return Write(key, value, false);
    }
    TINYOBS_RETURN_IF_ERROR(GiveHeld());
    if (part_.Changes(UserKeyOf(key)) || !may_join) TINYOBS_RETURN_IF_ERROR(EndRun());
    if (!may_join) return Write(key, value, true);
    held_key_.assign(key);
    held_value_.assign(value);
    is_held_ = true;
    return absl::OkStatus();
  }

  absl::Status Finish() {
    TINYOBS_RETURN_IF_ERROR(GiveHeld());
    return EndRun();
  }

 private:
  absl::Status Write(std::string_view key, std::string_view value, bool is_newest) {
    if (is_newest && cutter_.CutBefore(UserKeyOf(key), *output_)) {
      TINYOBS_RETURN_IF_ERROR(output_->FinishTable());
    }
    return output_->Add(key, TrailerOf(key), value);
  }

  absl::Status GiveHeld() {
    if (!std::exchange(is_held_, false)) return absl::OkStatus();
    in_run_ = true;
    run_.push_back(held_key_);
    return Check(options_.merger->Add(UserKeyOf(held_key_), held_value_, emit_));
  }

  absl::Status EndRun() {
    if (!std::exchange(in_run_, false)) return absl::OkStatus();
    const absl::Status status = Check(options_.merger->Finish(emit_));
    run_.clear();
    return status;
  }

  absl::Status Emit(std::string_view user_key, std::string_view value) {
    while (!run_.empty() && CompareUserKeys(UserKeyOf(run_.front()), user_key) < 0) {
      run_.pop_front();
    }
    if (run_.empty() || UserKeyOf(run_.front()) != user_key) {
      broken_ = absl::InvalidArgumentError(
          StrCat("compaction merger: emitted a key of ", user_key.size(),
                 " bytes that is none of its run behind the last one emitted; nothing is changed"));
      return broken_;
    }
    written_ = Write(run_.front(), value, true);
    run_.pop_front();
    return written_;
  }

  // What the merger answered, unless a writer's error or a broken promise is behind it.
  absl::Status Check(const absl::Status& answer) {
    TINYOBS_RETURN_IF_ERROR(written_);
    const absl::Status& status = broken_.ok() ? answer : broken_;
    if (!status.ok() && options_.merger_failed != nullptr) *options_.merger_failed = true;
    return status;
  }

  const CompactionJobOptions& options_;
  OutputWriter* const output_;
  OutputCutter cutter_;
  PartTracker part_;  // of what comes in; the cutter's is of what goes out
  const CompactionMerger::Emit emit_ = [this](std::string_view key, std::string_view value) {
    return Emit(key, value);
  };
  bool is_held_ = false;
  std::string held_key_, held_value_;
  bool in_run_ = false;
  std::deque<std::string> run_;  // internal keys that the merger has and has not passed by emitting
  absl::Status written_, broken_;
};

// Answers for ascending user keys whether levels below the output may hold them.
class BottomCheck {
 public:
  BottomCheck(const Version* version, int output_level)
      : version_(version), output_level_(output_level) {}

  bool IsBottom(std::string_view user_key) {
    if (version_ == nullptr) return false;
    for (int level = output_level_ + 1; level < kLevels; ++level) {
      const TableList& tables = version_->level(level);
      size_t& at = at_[static_cast<size_t>(level)];
      while (at < tables.size() && CompareUserKeys(tables[at]->largest_user_key(), user_key) < 0) {
        ++at;
      }
      if (at < tables.size() && CompareUserKeys(tables[at]->smallest_user_key(), user_key) <= 0) {
        return false;
      }
    }
    return true;
  }

 private:
  const Version* const version_;
  const int output_level_;
  std::array<size_t, kLevels> at_ = {};
};

absl::Status WriteOutputs(const CompactionJobOptions& options, Iterator* input,
                          OutputWriter* output) {
  const VisibilityStripes stripes(options.snapshots);
  Joiner joiner(options, output);
  BottomCheck bottom(options.version.get(), options.output_level);
  std::string user_key;  // of the last entry
  bool has_user_key = false;
  std::string tombstone;    // scratch
  size_t newer_stripe = 0;  // of the last entry, which is the next newer version of `user_key`
  for (input->SeekToFirst(); input->Valid(); input->Next()) {
    if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) {
      return absl::CancelledError("the store is closing");
    }
    std::string_view key = input->key();
    std::string_view value = input->value();
    const uint64_t sequence = SequenceOf(TrailerOf(key));
    const size_t stripe = stripes.StripeOf(sequence);
    const bool is_newest = !has_user_key || UserKeyOf(key) != user_key;
    if (is_newest) {
      user_key = UserKeyOf(key);
      has_user_key = true;
    } else if (stripe == newer_stripe) {
      continue;  // hidden from everybody
    }
    newer_stripe = stripe;
    bool is_put = TypeOf(TrailerOf(key)) == ValueType::kPut;
    const bool unseen_by_snapshots = is_newest && stripe == options.snapshots.size();
    if (is_put && unseen_by_snapshots && options.filter &&
        options.filter(user_key, value) == FilterDecision::kRemove) {
      is_put = false;
      tombstone = MakeInternalKey(user_key, PackTrailer(sequence, ValueType::kDelete));
      key = tombstone;
      value = {};
    }
    if (!is_put && stripe == 0 && bottom.IsBottom(user_key)) {
      continue;  // hides nothing; older versions of this input are in the same stripe
    }
    TINYOBS_RETURN_IF_ERROR(joiner.Add(key, value, is_newest, is_put && unseen_by_snapshots));
  }
  TINYOBS_RETURN_IF_ERROR(input->status());
  return joiner.Finish();
}

}  // namespace

size_t VisibilityStripes::StripeOf(uint64_t sequence) const {
  if (snapshots_.empty()) return 0;
  return static_cast<size_t>(std::lower_bound(snapshots_.begin(), snapshots_.end(), sequence) -
                             snapshots_.begin());
}

absl::StatusOr<CompactionResult> RunCompactionJob(const CompactionJobOptions& options,
                                                  Iterator* input) {
  OutputWriter output(options);
  absl::Status status = WriteOutputs(options, input, &output);
  if (status.ok()) status = output.Finish();
  if (!status.ok()) {
    output.Abandon();
    return status;
  }
  CompactionResult result = output.TakeResult();
  return result;
}

}  // namespace tinyobs::lsm
