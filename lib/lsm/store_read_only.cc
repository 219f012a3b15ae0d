// OpenReadOnly and Refresh: reading a store that another process writes, without a lock and without
// a word to it.
//
// The writer may do anything meanwhile. What makes the picture whole is the order of reading:
//
//  1. The manifest: tables T and the log number L. T and the logs from L on are the whole store.
//  2. The logs from L on that are there now are opened, but not yet read.
//  3. The manifest again. If L is still the same, no flush of a logged memtable has taken effect
//     since 1, and a log is deleted only after that; so none was missing in 2. What was
//     acknowledged before the call is in T or in these logs. (The obvious other way, logs first,
//     would miss a memtable whose log was read before its last writes and deleted before its
//     table was known.)
//  4. All of T is opened. A compaction may have replaced and unlinked some of it since 1: then it
//     starts over, keeping open what it has. Afterwards files that are unlinked stay readable.
//  5. The logs are read into a memtable. The handles pin them as they are; a torn end is where the
//     writer is just now. Logs but the last are sealed before the next one exists.
//
// Each new state is an edit of the last one, so a table that stays is the same object, and its
// handle closes when the last iterator, snapshot or state that may need it is gone.
#include <algorithm>
#include <climits>
#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/store_impl.h"

namespace tinyobs::lsm {
namespace {

// Of loading, which starts over whenever the writer has just removed a file.
constexpr int kTriesMax = 100;

// Differs when the manifest has changed.
std::string StateOfManifest(FileSystem* file_system, const std::string& folder) {
  const absl::StatusOr<uint64_t> number = ReadCurrent(file_system, folder);
  if (!number.ok()) return std::string(FromAbsl(number.status().message()));
  const auto bytes = file_system->FileSize(ManifestFileName(folder, *number));
  return StrCat(*number, " ", bytes.value_or(0));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> Store::OpenReadOnly(const std::string& path,
                                                           const StoreOptions& options) {
  TINYOBS_RETURN_IF_ERROR(CheckOptions(options));
  StoreOptions reading = options;
  reading.background_threads = false;
  reading.memtable_budget = nullptr;
  reading.rate_limiter = nullptr;
  // None is closed before its last reader is gone.
  reading.max_open_tables = INT_MAX;
  reading.table_memory_bytes = SIZE_MAX;
  auto store = std::make_unique<StoreImpl>(path, reading, /*read_only=*/true);
  TINYOBS_RETURN_IF_ERROR(store->Refresh());
  return std::unique_ptr<Store>(std::move(store));
}

absl::Status StoreImpl::Refresh() {
  if (!read_only_) {
    return absl::FailedPreconditionError(
        StrCat(path_, ": not opened read-only; reads show the newest state anyway"));
  }
  if (closing()) return ClosedError();
  {
    MutexLock lock(&mutex_);
    TakeSlot(&manifest_busy_);
  }
  const absl::Status status = LoadNewest();
  for (const uint64_t number : registry_->TakeObsolete()) table_cache_->Evict(number);
  ReleaseSlot(&manifest_busy_);
  return status;
}

absl::Status StoreImpl::LoadNewest() {
  std::shared_ptr<const Version> current = std::make_shared<const Version>();
  {
    MutexLock lock(&mutex_);
    if (version_ != nullptr) current = version_;
  }
  std::shared_ptr<const Version> version = current;
  absl::Status status;
  for (int i = 0; i < kTriesMax; ++i) {
    const std::string before = StateOfManifest(file_system_, path_);
    status = TryLoad(&version);
    const bool may_be_overtaken =
        absl::IsNotFound(status) || absl::IsDataLoss(status) || absl::IsUnavailable(status);
    if (!may_be_overtaken) break;
    if (StateOfManifest(file_system_, path_) == before) break;  // nobody did: it is what it is
    status = absl::UnavailableError(
        StrCat(path_, ": changed ", i + 1,
               " times while it was opened; try again: ", FromAbsl(status.message())));
  }
  if (status.ok() || version == current) return status;
  // The tables that were opened for nothing.
  absl::flat_hash_set<const TableFile*> kept;
  for (int level = 0; level < kLevels; ++level) {
    for (const TablePtr& table : current->level(level)) kept.insert(table.get());
  }
  for (int level = 0; level < kLevels; ++level) {
    for (const TablePtr& table : version->level(level)) {
      if (!kept.contains(table.get())) table->MarkObsolete();
    }
  }
  return status;
}

absl::Status StoreImpl::TryLoad(std::shared_ptr<const Version>* version) {
  const auto unregistered = std::make_shared<TableRegistry>();
  absl::StatusOr<ManifestState> state = ReadManifest(file_system_, path_, unregistered);
  if (absl::IsNotFound(state.status())) {
    return absl::NotFoundError(StrCat(path_, ": holds no store"));
  }
  TINYOBS_RETURN_IF_ERROR(state.status());
  TINYOBS_ASSIGN_OR_RETURN(const std::vector<std::string> names,
                           file_system_->ListDirectory(path_));
  const std::vector<uint64_t> numbers = LogNumbers(names, state->log_number);
  std::vector<std::unique_ptr<RandomAccessFile>> logs;
  for (const uint64_t number : numbers) {
    TINYOBS_ASSIGN_OR_RETURN(logs.emplace_back(),
                             file_system_->OpenRandomAccess(LogFileName(path_, number)));
  }
  TINYOBS_ASSIGN_OR_RETURN(const ManifestState again,
                           ReadManifest(file_system_, path_, unregistered));
  if (again.log_number != state->log_number) {
    return absl::UnavailableError(StrCat("log ", state->log_number, " was flushed"));
  }
  TINYOBS_RETURN_IF_ERROR(OpenTables(*state->version, version));

  Replay replay;
  replay.memtable = NewReplayMemtable();
  replay.log_number = state->log_number;
  replay.last_sequence = state->last_sequence;
  uint64_t log_bytes = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    TINYOBS_RETURN_IF_ERROR(ReplayLog(*logs[i], numbers[i], &replay));
    log_bytes += logs[i]->Size().value_or(0);
  }
  // Readers pin the state first and take the sequence second, so the sequence goes first here.
  visible_sequence_.store(replay.last_sequence, std::memory_order_release);
  MutexLock lock(&mutex_);
  version_ = *version;
  active_ = std::move(replay.memtable);
  log_number_ = state->log_number;
  counters_.recovered_wal_records = replay.records;
  counters_.wal_bytes = log_bytes;
  PublishReadState();
  return absl::OkStatus();
}

absl::Status StoreImpl::OpenTables(const Version& newest, std::shared_ptr<const Version>* version) {
  VersionEdit before;
  (*version)->AppendTo(&before);
  VersionEdit edit;
  newest.AppendTo(&edit);
  for (const VersionEdit::Added& entry : before.added) {
    edit.removed.push_back({entry.level, entry.meta.number});
  }
  TableList replaced;
  TINYOBS_ASSIGN_OR_RETURN(*version, Version::Apply(**version, edit, registry_, &replaced));
  for (const TablePtr& table : replaced) table->MarkObsolete();
  for (int level = 0; level < kLevels; ++level) {
    for (const TablePtr& table : (*version)->level(level)) {
      const absl::Status status = table_cache_->Find(table->meta).status();
      if (absl::IsResourceExhausted(status)) {
        return absl::ResourceExhaustedError(
            StrCat(FromAbsl(status.message()), "; a read-only store holds all ", edit.added.size(),
                   " tables open: allow more open files (ulimit -n)"));
      }
      // A damaged table answers its readers, as in any store. A missing one was replaced.
      const bool damaged = absl::IsDataLoss(status) &&
                           file_system_->FileExists(TableFileName(path_, table->meta.number));
      if (!damaged) TINYOBS_RETURN_IF_ERROR(status);
    }
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::lsm
