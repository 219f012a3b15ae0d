#include "lib/lsm/compaction_job.h"

#include <algorithm>
#include <array>
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
    return writer_->Add(key, value);
  }

  // Ends the open table, if any: written, synced, closed.
  absl::Status FinishTable() {
    if (!open()) return absl::OkStatus();
    TINYOBS_ASSIGN_OR_RETURN(const sstable::TableProperties properties, writer_->Finish());
    meta_.file_bytes = writer_->FileSizeBytes();
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
  absl::Status Open() {
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
  std::vector<uint64_t> numbers_;
  CompactionResult result_;
};

// Decides where one output ends and the next begins. Asked once per user key, in order.
class OutputCutter {
 public:
  explicit OutputCutter(const CompactionJobOptions& options) : options_(options) {}

  bool CutBefore(std::string_view user_key, const OutputWriter& output) {
    const bool partition = PartitionChanges(user_key);
    const bool overlap = OverlapsTooMuch(user_key, output.open());
    const bool full =
        options_.table_bytes > 0 && output.open() && output.FileSizeBytes() >= options_.table_bytes;
    if (partition || overlap || full) overlapped_bytes_ = 0;
    return partition || overlap || full;
  }

 private:
  bool PartitionChanges(std::string_view user_key) {
    if (!options_.partition_of) return false;
    const std::string_view partition = options_.partition_of(user_key);
    if (partition_.has_value() && *partition_ == partition) return false;
    const bool first = !partition_.has_value();
    partition_ = partition;
    return !first;
  }

  bool OverlapsTooMuch(std::string_view user_key, bool open) {
    if (options_.grandparent_bytes_max == 0) return false;
    const TableList& tables = options_.grandparents;
    for (;
         next_ < tables.size() && CompareUserKeys(user_key, tables[next_]->largest_user_key()) > 0;
         ++next_) {
      if (open) overlapped_bytes_ += tables[next_]->meta.file_bytes;
    }
    return overlapped_bytes_ > options_.grandparent_bytes_max;
  }

  const CompactionJobOptions& options_;
  std::optional<std::string> partition_;
  size_t next_ = 0;  // the first grandparent that is not wholly before the current key
  uint64_t overlapped_bytes_ = 0;
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
                          OutputWriter* output, uint64_t* entries_in) {
  const VisibilityStripes stripes(options.snapshots);
  OutputCutter cutter(options);
  BottomCheck bottom(options.version.get(), options.output_level);
  std::string user_key;  // of the last entry
  bool has_user_key = false;
  size_t newer_stripe = 0;  // of the last entry, which is the next newer version of `user_key`
  for (input->SeekToFirst(); input->Valid(); input->Next()) {
    ++*entries_in;
    if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) {
      return absl::CancelledError("the store is closing");
    }
    const std::string_view key = input->key();
    const uint64_t trailer = TrailerOf(key);
    const size_t stripe = stripes.StripeOf(SequenceOf(trailer));
    const bool is_newest = !has_user_key || UserKeyOf(key) != user_key;
    if (is_newest) {
      user_key = UserKeyOf(key);
      has_user_key = true;
      if (cutter.CutBefore(user_key, *output)) TINYOBS_RETURN_IF_ERROR(output->FinishTable());
    } else if (stripe == newer_stripe) {
      continue;  // hidden from everybody
    }
    newer_stripe = stripe;
    if (TypeOf(trailer) == ValueType::kDelete && stripe == 0 && bottom.IsBottom(user_key)) {
      continue;  // hides nothing; older versions of this input are in the same stripe
    }
    TINYOBS_RETURN_IF_ERROR(output->Add(key, trailer, input->value()));
  }
  return input->status();
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
  uint64_t entries_in = 0;
  absl::Status status = WriteOutputs(options, input, &output, &entries_in);
  if (status.ok()) status = output.Finish();
  if (!status.ok()) {
    output.Abandon();
    return status;
  }
  CompactionResult result = output.TakeResult();
  result.entries_in = entries_in;
  return result;
}

}  // namespace tinyobs::lsm
