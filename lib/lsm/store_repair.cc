// Repair: what opening a store does when something is damaged or missing and the rest shall live.
//
// It is no program of its own but the ordinary recovery, which asks here instead of giving up. So a
// repaired store has gone through the same steps, in the same order, as any other, and dies as
// safely: nothing changes before the new manifest is durable.
//
// Damaged files get a second name in the folder `lost` before that, and lose their first one in the
// sweep behind it, like every file that the new manifest does not name. A rename would be simpler,
// but a log whose good records are not in tables yet must not go before these are.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/store_impl.h"
#include "lib/lsm/table_merge.h"
#include "lib/lsm/wal_reader.h"

namespace tinyobs::lsm {
namespace {

// Names that a lost file tries before it gives up.
constexpr int kLostNamesMax = 1000;

// Another status means that the file could not be read, which says nothing about it.
bool IsDamage(const absl::Status& status) {
  return absl::IsDataLoss(status) || absl::IsNotFound(status);
}

// Reads the table `number` and describes it. DataLoss: damaged.
absl::StatusOr<TableMeta> DescribeTable(FileSystem* file_system, const std::string& folder,
                                        uint64_t number) {
  const std::string path = TableFileName(folder, number);
  TINYOBS_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> file,
                           file_system->OpenRandomAccess(path));
  TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<sstable::TableReader> reader,
                           sstable::TableReader::Open({}, path, std::move(file)));
  TINYOBS_RETURN_IF_ERROR(reader->Verify());
  TableMeta meta;
  meta.number = number;
  meta.file_bytes = reader->file_bytes();
  meta.entries = reader->properties().entries;
  meta.smallest = reader->properties().smallest_key;
  meta.largest = reader->properties().largest_key;
  meta.smallest_sequence = kMaxSequence;
  if (reader->trailer_bytes() != kTrailerBytes || meta.entries == 0) {
    return absl::DataLossError(StrCat(path, ": not a table of a store"));
  }
  const std::unique_ptr<Iterator> entries = reader->NewIterator({});
  for (entries->SeekToFirst(); entries->Valid(); entries->Next()) {
    const uint64_t trailer = TrailerOf(entries->key());
    if (TypeOf(trailer) != ValueType::kPut && TypeOf(trailer) != ValueType::kDelete) {
      return absl::DataLossError(StrCat(path, ": entry \"", EscapeForMessage(entries->key()),
                                        "\" is neither a value nor a deletion"));
    }
    meta.tombstones += TypeOf(trailer) == ValueType::kDelete;
    meta.smallest_sequence = std::min(meta.smallest_sequence, SequenceOf(trailer));
    meta.largest_sequence = std::max(meta.largest_sequence, SequenceOf(trailer));
  }
  TINYOBS_RETURN_IF_ERROR(entries->status());
  return meta;
}

}  // namespace

absl::StatusOr<RepairReport> Store::Repair(const std::string& path, const StoreOptions& options) {
  TINYOBS_RETURN_IF_ERROR(CheckOptions(options));
  StoreOptions alone = options;
  alone.background_threads = false;
  alone.create_if_missing = false;
  alone.memtable_budget = nullptr;
  alone.rate_limiter = nullptr;
  StoreImpl store(path, alone);
  StoreImpl::Repairs repairs;
  repairs.check_tables = true;
  TINYOBS_RETURN_IF_ERROR(store.Recover(&repairs));
  TINYOBS_RETURN_IF_ERROR(store.Close());
  return std::move(repairs.report);
}

absl::Status StoreImpl::PutAside(const std::string& name, const absl::Status& why,
                                 Repairs* repairs) {
  const std::string lost = LostFolderName(path_);
  const std::string path = StrCat(path_, "/", name);
  TINYOBS_RETURN_IF_ERROR(file_system_->CreateDirectories(lost));
  std::string target = StrCat(lost, "/", name);
  absl::Status status = file_system_->LinkFile(path, target);
  for (int i = 1; absl::IsAlreadyExists(status) && i < kLostNamesMax; ++i) {
    target = StrCat(lost, "/", name, ".", i);
    status = file_system_->LinkFile(path, target);
  }
  const bool is_missing = absl::IsNotFound(status);
  if (!is_missing) TINYOBS_RETURN_IF_ERROR(status);
  TINYOBS_RETURN_IF_ERROR(file_system_->SyncDirectory(lost));
  Log(StrCat(path, is_missing ? ": given up: " : StrCat(": moved to ", target, ": "),
             FromAbsl(why.message())));
  repairs->report.quarantined.push_back({path, why});
  return absl::OkStatus();
}

absl::Status StoreImpl::CheckTables(const std::vector<std::string>& names, Repairs* repairs,
                                    ManifestState* state) {
  absl::flat_hash_set<uint64_t> there;
  for (const std::string& name : names) {
    const ParsedFileName parsed = ParseFileName(name);
    if (parsed.type == FileType::kTable) there.insert(parsed.number);
  }
  // A rebuilt manifest has checked its tables.
  const bool check =
      repairs != nullptr && repairs->check_tables && !repairs->report.manifest_rebuilt;
  TableCache disk(file_system_, path_, nullptr, 1);
  VersionEdit edit;
  for (int level = 0; level < kLevels; ++level) {
    for (const TablePtr& table : state->version->level(level)) {
      const uint64_t number = table->meta.number;
      const std::string path = TableFileName(path_, number);
      absl::Status status;
      if (!there.contains(number)) {
        status =
            absl::DataLossError(StrCat(path, ": the manifest names this table, but it is missing"));
      } else if (check) {
        const auto reader = disk.Find(table->meta);
        status = reader.ok() ? (*reader)->Verify() : reader.status();
        disk.Evict(number);
      }
      if (repairs == nullptr || !(status.ok() || IsDamage(status))) TINYOBS_RETURN_IF_ERROR(status);
      if (status.ok()) {
        if (repairs == nullptr) continue;
        ++repairs->report.tables_kept;
        repairs->report.entries_kept += table->meta.entries;
      } else {
        TINYOBS_RETURN_IF_ERROR(PutAside(path.substr(path_.size() + 1), status, repairs));
        edit.removed.push_back({level, number});
      }
    }
  }
  if (edit.removed.empty()) return absl::OkStatus();
  TINYOBS_ASSIGN_OR_RETURN(state->version,
                           Version::Apply(*state->version, edit, registry_, nullptr));
  return absl::OkStatus();
}

absl::Status StoreImpl::CheckLastEdit(const std::vector<std::string>& names,
                                      const ManifestState& state) {
  const auto damaged = [&](std::string_view missing) {
    return absl::DataLossError(StrCat(ManifestFileName(path_, state.manifest_number),
                                      ": its last edit is damaged or missing, as ", missing,
                                      " is gone, which that edit let go"));
  };
  const absl::flat_hash_set<std::string> there(names.begin(), names.end());
  // With a whole manifest a missing table is just that.
  for (int level = 0; level < kLevels && state.torn_bytes > 0; ++level) {
    for (const TablePtr& table : state.version->level(level)) {
      const std::string path = TableFileName(path_, table->meta.number);
      if (!there.contains(path.substr(path_.size() + 1))) return damaged(path);
    }
  }
  const std::vector<uint64_t> logs = LogNumbers(names, state.log_number);
  if (logs.empty()) return absl::OkStatus();
  const std::string first = LogFileName(path_, logs.front());
  TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<RandomAccessFile> file,
                           file_system_->OpenRandomAccess(first));
  const auto reader = WalReader::Open(file.get(), first, kWalKindStore, logs.front());
  if (!reader.ok()) return absl::OkStatus();  // damaged itself
  const uint64_t previous = (*reader)->identity().previous;
  absl::StatusOr<bool> more = true;
  for (std::string_view record; more.ok() && *more;) more = (*reader)->Next(&record);
  // Only a log that was durable shows that the one before it had been.
  const bool asks = previous >= state.log_number && (*reader)->durable_bytes() > 0;
  return asks ? damaged(LogFileName(path_, previous)) : absl::OkStatus();
}

absl::StatusOr<ManifestState> StoreImpl::ReplaceManifest(const std::vector<std::string>& names,
                                                         const absl::Status& why,
                                                         Repairs* repairs) {
  std::vector<uint64_t> manifests;
  for (const std::string& name : names) {
    const ParsedFileName parsed = ParseFileName(name);
    if (parsed.type == FileType::kManifest) manifests.push_back(parsed.number);
  }
  std::sort(manifests.begin(), manifests.end());
  const absl::StatusOr<uint64_t> current = ReadCurrent(file_system_, path_);
  if (current.ok()) {
    // Missing, perhaps.
    if (!std::binary_search(manifests.begin(), manifests.end(), *current))
      manifests.push_back(*current);
  } else {
    TINYOBS_RETURN_IF_ERROR(PutAside("CURRENT", why, repairs));
    // The newest manifest is the current one, or was about to be: its tables were durable first. An
    // older one may know too little, and what it does not know would be swept.
    if (!manifests.empty()) {
      absl::StatusOr<ManifestState> newest =
          ReadManifest(file_system_, path_, manifests.back(), registry_);
      if (newest.ok() || !IsDamage(newest.status())) return newest;
    }
  }
  for (const uint64_t number : manifests) {
    TINYOBS_RETURN_IF_ERROR(PutAside(ManifestBaseName(number), why, repairs));
  }
  repairs->report.manifest_rebuilt = true;
  ManifestState state;
  TINYOBS_ASSIGN_OR_RETURN(state.version, GatherTables(names, repairs));
  for (const TablePtr& table : state.version->level(0)) {
    state.last_sequence = std::max(state.last_sequence, table->meta.largest_sequence);
  }
  return state;
}

absl::StatusOr<std::shared_ptr<const Version>> StoreImpl::GatherTables(
    const std::vector<std::string>& names, Repairs* repairs) {
  VersionEdit edit;
  for (const std::string& name : names) {
    const ParsedFileName parsed = ParseFileName(name);
    if (parsed.type != FileType::kTable) continue;
    absl::StatusOr<TableMeta> meta = DescribeTable(file_system_, path_, parsed.number);
    if (meta.ok()) {
      edit.added.push_back({0, *std::move(meta)});
    } else if (IsDamage(meta.status())) {
      TINYOBS_RETURN_IF_ERROR(PutAside(name, meta.status(), repairs));
    } else {
      return meta.status();
    }
  }
  return Version::Apply(Version(), edit, registry_, nullptr);
}

absl::StatusOr<std::shared_ptr<const Version>> StoreImpl::MergeTables(const Version& version) {
  // Which table had been replaced by which is not known any more, but what comes from a newer file
  // is at least as new. No filter and no merger of the caller: what they did may be half there.
  CompactionJobOptions job = NewJobOptions();
  job.table_bytes = options_.table_bytes;
  job.version = std::make_shared<const Version>();
  job.output_level = kLevels - 1;
  TableCache disk(file_system_, path_, nullptr, 1);  // these tables go soon
  TableMerge entries(&disk, version.level(0));
  TINYOBS_ASSIGN_OR_RETURN(CompactionResult merged, RunCompactionJob(job, &entries));
  VersionEdit edit;
  for (TableMeta& meta : merged.tables) edit.added.push_back({kLevels - 1, std::move(meta)});
  return Version::Apply(Version(), edit, registry_, nullptr);
}

}  // namespace tinyobs::lsm
