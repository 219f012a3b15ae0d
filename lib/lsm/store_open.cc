// Opening a store: the manifest gives the tables, the logs give what was not in tables yet.
//
// Whatever the logs hold goes into tables before the store accepts writes, so a store never runs
// with a log that another process wrote: such a log may end in a torn tail, may not be durable, and
// cannot be appended to.
#include <algorithm>
#include <utility>

#include "lib/base/check.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/store_impl.h"
#include "lib/lsm/wal_reader.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::lsm {

absl::Status CheckOptions(const StoreOptions& options) {
  const auto refuse = [](std::string_view what) {
    return absl::InvalidArgumentError(StrCat("StoreOptions: ", what));
  };
  if (options.memtable_bytes == 0 || options.memtable_bytes > (size_t{1} << 32)) {
    return refuse("memtable_bytes must be 1 to 4 GiB");
  }
  if (options.block_bytes < 256 || options.block_bytes > (size_t{64} << 20)) {
    return refuse("block_bytes must be 256 to 64 MiB");
  }
  if (options.block_restart_interval < 1 || options.block_restart_interval > 1024) {
    return refuse("block_restart_interval must be 1 to 1,024");
  }
  if (options.filter_bits_per_key < 0 || options.filter_bits_per_key > 64) {
    return refuse("filter_bits_per_key must be 0 to 64");
  }
  if (options.filter_prefix_bytes > (64 << 10)) {
    return refuse("filter_prefix_bytes must be 0 to 65,536");
  }
  if (options.table_bytes == 0) return refuse("table_bytes must not be 0");
  if (options.l0_compaction_trigger < 1) return refuse("l0_compaction_trigger must be at least 1");
  if (options.l0_stall_trigger <= options.l0_compaction_trigger) {
    return refuse("l0_stall_trigger must be larger than l0_compaction_trigger");
  }
  if (options.l0_slowdown_trigger < options.l0_compaction_trigger ||
      options.l0_slowdown_trigger > options.l0_stall_trigger) {
    return refuse("l0_slowdown_trigger must be l0_compaction_trigger to l0_stall_trigger");
  }
  if (options.memtable_budget != nullptr &&
      options.memtable_budget->bytes() < kMemtableBudgetBytesMin) {
    return refuse("memtable_budget must be at least 1 MiB");
  }
  if (options.level1_bytes == 0) return refuse("level1_bytes must not be 0");
  if (options.level_ratio < 2) return refuse("level_ratio must be at least 2");
  if (options.max_open_tables < 1) return refuse("max_open_tables must be at least 1");
  if (options.compaction_threads < 1 || options.compaction_threads > 64) {
    return refuse("compaction_threads must be 1 to 64");
  }
  if (options.sync_interval_ms < 1 || options.sync_interval_ms > 86'400'000) {
    return refuse("sync_interval_ms must be 1 to 86,400,000, a day");
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Store>> Store::Open(const std::string& path,
                                                   const StoreOptions& options) {
  TINYOBS_RETURN_IF_ERROR(CheckOptions(options));
  auto store = std::make_unique<StoreImpl>(path, options);
  StoreImpl::Repairs repairs;
  TINYOBS_RETURN_IF_ERROR(store->Recover(options.repair_on_open ? &repairs : nullptr));
  return std::unique_ptr<Store>(std::move(store));
}

StoreImpl::StoreImpl(std::string path, const StoreOptions& options, bool read_only)
    : path_(std::move(path)),
      options_(options),
      read_only_(read_only),
      file_system_(options.file_system != nullptr ? options.file_system : FileSystem::Posix()),
      clock_(options.clock != nullptr ? options.clock : Clock::System()),
      picker_options_{.l0_trigger = options.l0_compaction_trigger,
                      .level1_bytes = options.level1_bytes,
                      .level_ratio = options.level_ratio,
                      .table_bytes = options.table_bytes},
      block_cache_(options.block_cache_bytes == 0
                       ? nullptr
                       : std::make_unique<sstable::BlockCache>(options.block_cache_bytes, 4,
                                                               options.memory.block_cache)),
      table_cache_(std::make_unique<TableCache>(file_system_, path_, block_cache_.get(),
                                                options.max_open_tables, options.table_memory_bytes,
                                                options.memory.tables)),
      registry_(std::make_shared<TableRegistry>([this] { state_changed_.NotifyAll(); })) {}

absl::Status StoreImpl::Recover(Repairs* repairs) {
  TINYOBS_RETURN_IF_ERROR(OpenFolder(repairs != nullptr));
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           file_system_->ListDirectory(path_));
  ManifestState state;
  TINYOBS_RETURN_IF_ERROR(ReadOrStartManifest(names, repairs, &state));
  uint64_t next_number = std::max<uint64_t>(state.next_file_number, 1);
  for (const std::string& name : names) {
    next_number = std::max(next_number, ParseFileName(name).number + 1);
  }
  next_file_number_.store(next_number);

  Replay replay;
  replay.memtable = NewReplayMemtable();
  replay.last_sequence = state.last_sequence;
  replay.log_number = state.log_number;
  replay.repairs = repairs;
  TINYOBS_RETURN_IF_ERROR(ReplayLogs(names, &replay));
  TINYOBS_RETURN_IF_ERROR(FlushReplayed(&replay));
  TINYOBS_ASSIGN_OR_RETURN(std::shared_ptr<const Version> version,
                           Version::Apply(*state.version, replay.edit, registry_, nullptr));
  if (repairs != nullptr && repairs->report.manifest_rebuilt) {
    TINYOBS_ASSIGN_OR_RETURN(version, MergeTables(*version));
  }
  state.version = nullptr;

  // The manifest names the log before it exists: a log is known by its number alone.
  const uint64_t log_number = NewFileNumber();
  const uint64_t manifest_number = NewFileNumber();
  VersionEdit whole;
  whole.log_number = log_number;
  whole.next_file_number = next_file_number_.load();
  whole.last_sequence = replay.last_sequence;
  version->AppendTo(&whole);
  TINYOBS_ASSIGN_OR_RETURN(manifest_,
                           ManifestWriter::Create(file_system_, path_, manifest_number, whole));
  TINYOBS_ASSIGN_OR_RETURN(
      std::unique_ptr<WalWriter> log,
      WalWriter::Create(file_system_, LogFileName(path_, log_number),
                        {.kind = kWalKindStore, .number = log_number, .previous = 0}));
  log_ = std::move(log);
  last_sync_ns_ = clock_->MonotonicNs();
  visible_sequence_.store(replay.last_sequence);
  {
    MutexLock lock(&mutex_);
    version_ = version;
    active_ = NewMemtable();
    active_log_number_ = log_number;
    log_number_ = log_number;
    logs_[log_number] = log_;
    manifest_bytes_ = manifest_->size_bytes();
    counters_.recovered_wal_records = replay.records;
    counters_.dropped_torn_tail_bytes = replay.dropped_bytes;
    if (repairs != nullptr) {
      repairs->report.log_records_kept = replay.records;
      counters_.quarantined_files = repairs->report.quarantined.size();
    }
    PublishReadState();
  }
  SweepFiles(log_number, manifest_number);
  StartThreads();
  return absl::OkStatus();
}

absl::Status StoreImpl::OpenFolder(bool repairing) {
  bool exists = options_.create_if_missing || file_system_->FileExists(CurrentFileName(path_));
  if (!exists && repairing) {  // any file of a store will do
    const absl::StatusOr<std::vector<std::string>> names = file_system_->ListDirectory(path_);
    exists =
        names.ok() && std::any_of(names->begin(), names->end(), [](const std::string& name) {
          const FileType type = ParseFileName(name).type;
          return type == FileType::kTable || type == FileType::kLog || type == FileType::kManifest;
        });
  }
  if (!exists) return absl::FailedPreconditionError(StrCat(path_, ": holds no store"));
  TINYOBS_RETURN_IF_ERROR(file_system_->CreateDirectories(path_));
  TINYOBS_ASSIGN_OR_RETURN(lock_, file_system_->LockFile(LockFileName(path_)));
  return absl::OkStatus();
}

absl::Status StoreImpl::ReadOrStartManifest(const std::vector<std::string>& names, Repairs* repairs,
                                            ManifestState* state) {
  absl::StatusOr<ManifestState> read = ReadManifest(file_system_, path_, registry_);
  if (absl::IsNotFound(read.status())) {
    // A store that died while it was created leaves a manifest at most: CURRENT comes before the
    // first log and table.
    for (const std::string& name : names) {
      const FileType type = ParseFileName(name).type;
      if (type == FileType::kLog || type == FileType::kTable) {
        read = absl::DataLossError(StrCat(CurrentFileName(path_), ": missing, but there is ", name,
                                          "; a repair finds out what can be kept"));
        break;
      }
    }
    if (absl::IsNotFound(read.status())) {
      state->version = std::make_shared<const Version>();
      return file_system_->SyncDirectory(DirectoryOf(path_));
    }
  }
  if (repairs != nullptr && read.ok()) {
    if (absl::Status status = CheckLastEdit(names, *read); !status.ok()) read = std::move(status);
  }
  if (absl::IsDataLoss(read.status()) && repairs != nullptr) {
    read = ReplaceManifest(names, read.status(), repairs);
  }
  TINYOBS_RETURN_IF_ERROR(read.status());
  *state = *std::move(read);
  if (state->torn_bytes > 0) {
    Log(StrCat(ManifestFileName(path_, state->manifest_number), ": cut a torn tail of ",
               state->torn_bytes, " bytes: an edit that never took effect"));
  }
  return CheckTables(names, repairs, state);
}

absl::Status StoreImpl::ReplayLogs(const std::vector<std::string>& names, Replay* replay) {
  for (const uint64_t number : LogNumbers(names, replay->log_number)) {
    const std::string path = LogFileName(path_, number);
    TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<RandomAccessFile> file,
                             file_system_->OpenRandomAccess(path));
    const absl::Status status = ReplayLog(*file, number, replay);
    if (absl::IsDataLoss(status) && replay->repairs != nullptr) {
      // The records before the damage count, and so do the logs behind.
      TINYOBS_RETURN_IF_ERROR(PutAside(path.substr(path_.size() + 1), status, replay->repairs));
      replay->previous_number = number;
      replay->previous_sealed = true;
      replay->has_hole = false;
      continue;
    }
    TINYOBS_RETURN_IF_ERROR(status);
  }
  return absl::OkStatus();
}

absl::Status StoreImpl::ReplayLog(const RandomAccessFile& file, uint64_t number, Replay* replay) {
  const std::string path = LogFileName(path_, number);
  TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<WalReader> reader,
                           WalReader::Open(&file, path, kWalKindStore, number));
  // Records may only follow on a log that is there from its beginning to its end.
  const uint64_t expected = reader->identity().previous;
  const bool rebuilt = replay->repairs != nullptr && replay->repairs->report.manifest_rebuilt;
  const bool follows = replay->previous_number != 0
                           ? replay->previous_sealed && expected == replay->previous_number
                           : expected == 0 || expected < replay->log_number || rebuilt;
  replay->has_hole = replay->has_hole || !follows;
  const absl::Status status = ReplayRecords(reader.get(), path, replay);
  if (absl::IsDataLoss(status) && replay->has_hole && replay->repairs != nullptr) {
    // What was before this log is lost; its own records were durable, so they are kept.
    replay->has_hole = false;
    replay->previous_number = expected;
    replay->previous_sealed = true;
    TINYOBS_RETURN_IF_ERROR(ReplayLog(file, number, replay));
    return status;
  }
  TINYOBS_RETURN_IF_ERROR(status);
  replay->previous_number = number;
  replay->previous_sealed = reader->sealed();
  return absl::OkStatus();
}

absl::Status StoreImpl::ReplayRecords(WalReader* reader, const std::string& path, Replay* replay) {
  std::string_view record;
  uint64_t dropped_records = 0;
  while (true) {
    TINYOBS_ASSIGN_OR_RETURN(const bool more, reader->Next(&record));
    if (!more) break;
    if (replay->has_hole) {
      ++dropped_records;
      continue;
    }
    const absl::Status applied = ApplyRecord(record, replay);
    if (absl::IsDataLoss(applied)) {
      return absl::DataLossError(
          StrCat(path, ": offset ", reader->record_offset(), ": ", FromAbsl(applied.message())));
    }
    TINYOBS_RETURN_IF_ERROR(applied);
    ++replay->records;
  }
  if (replay->has_hole && reader->durable_bytes() > 0) {
    return absl::DataLossError(StrCat(path, ": offset 0: expected the end of log ",
                                      reader->identity().previous,
                                      " before it, found it missing or cut short, though it was "
                                      "durable when this log was synced"));
  }
  const uint64_t dropped_bytes = dropped_records > 0 ? reader->file_bytes() : reader->torn_bytes();
  if (dropped_bytes > 0 && !read_only_) {
    replay->dropped_bytes += dropped_bytes;
    Log(dropped_records > 0
            ? StrCat(path, ": dropped ", dropped_records, " records that were never durable: the ",
                     "log before it is incomplete")
            : StrCat(path, ": cut a torn tail of ", dropped_bytes, " bytes"));
  }
  return absl::OkStatus();
}

absl::Status StoreImpl::ApplyRecord(std::string_view record, Replay* replay) {
  BatchRecord batch;
  TINYOBS_RETURN_IF_ERROR(DecodeBatchRecord(record, &batch));
  if (batch.sequence <= replay->last_log_sequence) {
    return absl::DataLossError(StrCat("expected a sequence above ", replay->last_log_sequence,
                                      ", found ", batch.sequence));
  }
  BatchReader reader(batch.entries);
  ValueType type;
  std::string_view key, value;
  uint64_t sequence = batch.sequence;
  while (reader.Next(&type, &key, &value)) {
    if (sequence == batch.sequence + batch.count) return absl::DataLossError("too many entries");
    replay->memtable->Add(sequence++, type, key, value);
  }
  if (!reader.ok() || sequence != batch.sequence + batch.count) {
    return absl::DataLossError(
        StrCat("expected a batch of ", batch.count, " entries, found ", sequence - batch.sequence));
  }
  replay->last_log_sequence = sequence - 1;
  replay->last_sequence = std::max(replay->last_sequence, replay->last_log_sequence);
  if (read_only_ || replay->memtable->MemoryUsageBytes() < options_.memtable_bytes) {
    return absl::OkStatus();
  }
  return FlushReplayed(replay);
}

absl::Status StoreImpl::FlushReplayed(Replay* replay) {
  if (replay->memtable->empty()) return absl::OkStatus();
  CompactionJobOptions job = NewJobOptions();
  const std::unique_ptr<Iterator> entries = replay->memtable->NewIterator();
  TINYOBS_ASSIGN_OR_RETURN(CompactionResult result, RunCompactionJob(job, entries.get()));
  for (TableMeta& meta : result.tables) replay->edit.added.push_back({0, std::move(meta)});
  replay->memtable = NewReplayMemtable();
  return absl::OkStatus();
}

void StoreImpl::SweepFiles(uint64_t log_number, uint64_t manifest_number) {
  const absl::StatusOr<std::vector<std::string>> names = file_system_->ListDirectory(path_);
  if (!names.ok()) return;  // the next open sweeps
  for (const std::string& name : *names) {
    const ParsedFileName parsed = ParseFileName(name);
    const bool unused = (parsed.type == FileType::kLog && parsed.number < log_number) ||
                        (parsed.type == FileType::kTable && !registry_->Contains(parsed.number)) ||
                        (parsed.type == FileType::kManifest && parsed.number != manifest_number) ||
                        parsed.type == FileType::kTemporary;
    if (unused) DeleteFileOrLog(StrCat(path_, "/", name));
  }
}

void StoreImpl::StartThreads() {
  if (options_.memtable_budget != nullptr) {
    MutexLock lock(&mutex_);
    budget_ = std::make_unique<MemtableBudget::Member>(options_.memtable_budget,
                                                       [this] { state_changed_.NotifyAll(); });
    ReportMemtables();
  }
  if (!options_.background_threads) return;
  threads_.emplace_back([this] { FlushThread(); });
  for (int i = 0; i < options_.compaction_threads; ++i) {
    threads_.emplace_back([this] { CompactionThread(); });
  }
  if (options_.sync_policy == SyncPolicy::kInterval) {
    threads_.emplace_back([this] { SyncThread(); });
  }
}

}  // namespace tinyobs::lsm
