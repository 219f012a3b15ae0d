// Opening a database: identity, LSM, series, then the head from its newest checkpoint and the log.
//
// Order matters for crashes while opening: a fresh segment number is claimed durably before
// anything is sealed, because generations of chunks begin with it. Were it claimed later, a crash
// in the middle of a replay would let the next replay use the same generations for other chunks.
// FORMAT.md argues each crash point.
#include <algorithm>
#include <memory>
#include <utility>

#include "lib/base/checksum.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/db_impl.h"
#include "lib/tsdb/series_snapshot.h"
#include "lib/vfs/in_memory_file_system.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::tsdb {

namespace {

// Frozen chunks that replay lets gather before it seals.
constexpr uint64_t kReplayBacklogChunks = 4096;
constexpr size_t kLeastBudgetBytes = 1 << 20;
// Attempts to list and open the head's files beside a writer that replaces them.
constexpr int kReadOnlyTries = 16;
// Metrics whose metadata is kept even where fewer series are allowed.
constexpr uint64_t kLeastMetadata = 1000;
// Empty segments, one an open, that may lie around before they are swept up.
constexpr size_t kMaxEmptySegments = 8;
// A late buffer is four times as large and must fit a chunk.
constexpr uint32_t kMaxChunkSamples = chunk::kMaxSamples / 4;

absl::Status CheckOptions(const Options& options) {
  const auto refuse = [](std::string_view name, auto value, std::string_view expected) {
    return absl::InvalidArgumentError(
        StrCat("option ", name, " is ", value, "; expected ", expected));
  };
  if (options.chunk_samples < 1 || options.chunk_samples > kMaxChunkSamples) {
    return refuse("chunk_samples", options.chunk_samples, StrCat("1 to ", kMaxChunkSamples));
  }
  if (options.partition_ms < 1 || options.partition_ms > int64_t{UINT32_MAX}) {
    return refuse("partition_ms", options.partition_ms, "1 to 2^32-1");
  }
  if (options.sync_interval_ms < 1) {
    return refuse("sync_interval_ms", options.sync_interval_ms, "at least 1");
  }
  if (options.max_future_ms < 0) {
    return refuse("max_future_ms", options.max_future_ms, "at least 0");
  }
  if (options.head_segment_bytes < 1) return refuse("head_segment_bytes", 0, "at least 1");
  if (options.memory_budget_bytes < kLeastBudgetBytes) {
    return refuse("memory_budget_bytes", options.memory_budget_bytes, "at least 1 MiB");
  }
  if (options.in_memory && options.file_system != nullptr) {
    return refuse("file_system", "set", "null for a database in memory");
  }
  return absl::OkStatus();
}

// Unpredictable to clients is enough: the seed guards a hash table, not a secret.
uint64_t NewSeed(const std::string& path, Clock* clock) {
  std::string bytes = path;
  PutFixed64(&bytes, static_cast<uint64_t>(clock->NowMs()));
  PutFixed64(&bytes, static_cast<uint64_t>(clock->MonotonicNs()));
  PutFixed64(&bytes, reinterpret_cast<uintptr_t>(&bytes));  // differs by address space layout
  return Checksum64(bytes);
}

std::string IdentityPath(const std::string& path) { return path + "/IDENTITY"; }
std::string StorePath(const std::string& path) { return path + "/lsm"; }
std::string HeadPath(const std::string& path) { return path + "/head"; }

absl::StatusOr<Identity> CreateIdentity(FileSystem* file_system, const std::string& path,
                                        const Options& options, Clock* clock) {
  // The identity is the first thing of a database that is written: the rest without it is damage.
  if (file_system->FileExists(StorePath(path)) || file_system->FileExists(HeadPath(path))) {
    return absl::DataLossError(
        StrCat(IdentityPath(path), ": expected beside the other files of a database, found none"));
  }
  const Identity identity{NewSeed(path, clock), options.partition_ms};
  TINYOBS_RETURN_IF_ERROR(file_system->SyncDirectory(DirectoryOf(path)));
  TINYOBS_RETURN_IF_ERROR(
      ReplaceWholeFile(file_system, IdentityPath(path), EncodeIdentity(identity)));
  return identity;
}

absl::StatusOr<Identity> ReadIdentity(FileSystem* file_system, const std::string& path,
                                      const Options& options) {
  TINYOBS_ASSIGN_OR_RETURN(const std::string bytes,
                           ReadWholeFile(file_system, IdentityPath(path), 4096));
  TINYOBS_ASSIGN_OR_RETURN(const Identity identity, DecodeIdentity(bytes, IdentityPath(path)));
  if (identity.partition_ms != options.partition_ms) {
    return absl::InvalidArgumentError(StrCat("option partition_ms is ", options.partition_ms, "; ",
                                             path, " was created with ", identity.partition_ms));
  }
  return identity;
}

// How the budget is shared. Shares are limits, not reservations, and add up to more than the whole;
// what may be refused (series, queries) is refused when the whole is used up, too.
struct Shares {
  explicit Shares(size_t budget)
      : memtable(std::clamp<size_t>(budget / 16, 256 << 10, 64 << 20)),
        block_cache(budget / 8),
        tables(budget / 16),
        series(budget / 2),
        idle_series(budget / 8),
        queries(budget / 2) {}
  size_t memtable;  // of one; up to three exist
  size_t block_cache;
  size_t tables;
  size_t series;  // head and index, each
  size_t idle_series;
  size_t queries;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DbImpl>> DbImpl::Prepare(const std::string& path,
                                                        const Options& options, bool read_only) {
  TINYOBS_RETURN_IF_ERROR(CheckOptions(options));
  Surroundings around;
  around.read_only = read_only;
  around.memory = std::make_unique<MemoryAccountant>(options.memory_budget_bytes);
  const Shares shares(options.memory_budget_bytes);
  around.accounts = {
      .memtables = around.memory->NewAccount("memtables", 3 * shares.memtable),
      .block_cache = around.memory->NewAccount("block cache", shares.block_cache),
      .tables = around.memory->NewAccount("tables", shares.tables),
      .head = around.memory->NewAccount("head", shares.series),
      .index = around.memory->NewAccount("series index", shares.series),
      .idle_series = around.memory->NewAccount("idle series", shares.idle_series),
      .queries = around.memory->NewAccount("queries", shares.queries),
      .files = around.memory->NewAccount("files in memory"),
  };
  if (options.in_memory) around.own_files = NewInMemoryFileSystem(around.accounts.files);
  FileSystem* const file_system = options.in_memory                ? around.own_files.get()
                                  : options.file_system != nullptr ? options.file_system
                                                                   : FileSystem::Posix();
  Clock* const clock = options.clock != nullptr ? options.clock : Clock::System();
  const bool exists = file_system->FileExists(IdentityPath(path));
  if (!exists && read_only) {
    return absl::NotFoundError(StrCat(path, ": no TinyObs database here"));
  }
  if (!exists && !options.create_if_missing && !options.in_memory) {
    return absl::FailedPreconditionError(
        StrCat(path, ": no TinyObs database here, and create_if_missing is off"));
  }
  if (!exists) TINYOBS_RETURN_IF_ERROR(file_system->CreateDirectories(path));
  if (!read_only) {
    TINYOBS_ASSIGN_OR_RETURN(around.lock, file_system->LockFile(path + "/LOCK"));
  }
  // Asked again: who held the lock may have created it meanwhile.
  TINYOBS_ASSIGN_OR_RETURN(around.identity,
                           file_system->FileExists(IdentityPath(path))
                               ? ReadIdentity(file_system, path, options)
                               : CreateIdentity(file_system, path, options, clock));
  around.file_system = file_system;
  return std::unique_ptr<DbImpl>(new DbImpl(path, options, std::move(around)));
}

absl::StatusOr<std::unique_ptr<DbImpl>> DbImpl::Open(const std::string& path,
                                                     const Options& options) {
  TINYOBS_ASSIGN_OR_RETURN(auto db, Prepare(path, options, /*read_only=*/false));
  TINYOBS_RETURN_IF_ERROR(db->Recover());
  db->StartThreads();
  return db;
}

absl::StatusOr<std::unique_ptr<DbImpl>> DbImpl::OpenReadOnly(const std::string& path,
                                                             const Options& options) {
  TINYOBS_ASSIGN_OR_RETURN(auto db, Prepare(path, options, /*read_only=*/true));
  TINYOBS_RETURN_IF_ERROR(db->RecoverReadOnly());
  return db;
}

DbImpl::DbImpl(std::string path, const Options& options, Surroundings around)
    : path_(std::move(path)),
      head_folder_(HeadPath(path_)),
      options_(options),
      read_only_(around.read_only),
      memory_(std::move(around.memory)),
      accounts_(around.accounts),
      own_file_system_(std::move(around.own_files)),
      clock_(options.clock != nullptr ? options.clock : Clock::System()),
      file_system_(around.file_system),
      partitioning_(around.identity.partition_ms),
      lock_(std::move(around.lock)),
      seed_(around.identity.fingerprint_seed),
      index_(seed_),
      catalog_(&index_, options.max_series == 0 ? 0 : std::max(options.max_series, kLeastMetadata)),
      head_(partitioning_, {options.chunk_samples, /*max_age_ms=*/around.identity.partition_ms},
            accounts_.head),
      merge_(partitioning_),
      log_(file_system_, head_folder_),
      queue_([this](std::span<Queue::Job* const> jobs) { Lead(jobs); }) {}

absl::Status DbImpl::OpenStore() {
  const Shares shares(options_.memory_budget_bytes);
  lsm::StoreOptions options;
  options.file_system = file_system_;
  options.clock = clock_;
  options.logger = options_.logger;
  options.background_threads = options_.background_threads && !read_only_;
  // Every write of ours goes without the LSM's log, see Sealer.
  options.sync_policy = lsm::SyncPolicy::kNone;
  options.memtable_bytes = shares.memtable;
  options.block_cache_bytes = shares.block_cache;
  options.table_memory_bytes = shares.tables;
  options.memory = {accounts_.memtables, accounts_.block_cache, accounts_.tables};
  options.partition_of = PartitionPrefix;
  options.filter_prefix_bytes = kSeriesPrefixBytes;
  options.new_compaction_merger = [this] { return merge_.NewMerger(); };
  TINYOBS_ASSIGN_OR_RETURN(store_, read_only_ ? lsm::Store::OpenReadOnly(StorePath(path_), options)
                                              : lsm::Store::Open(StorePath(path_), options));
  chunks_.emplace(store_.get(), partitioning_, &merge_);
  idle_.emplace(store_.get(), seed_, shares.idle_series, accounts_.idle_series);
  sealer_.emplace(store_.get(), &index_, &catalog_, &*idle_, &membership_, &*chunks_, &head_,
                  shares.memtable);
  return absl::OkStatus();
}

// The series that were there when segment `checkpoint` began, at least: from the snapshot that a
// clean close left, or else from the rows of the LSM.
absl::Status DbImpl::LoadSeries(uint64_t checkpoint) {
  std::optional<SeriesRef> snapshot_end;
  if (checkpoint > 0) {
    SeriesRef end = 0;
    const absl::Status read = ReadSeriesSnapshot(
        file_system_, SeriesSnapshotPath(head_folder_, checkpoint), checkpoint, &index_, &end);
    if (read.ok()) snapshot_end = end;
    if (absl::IsDataLoss(read)) {
      Log(StrCat(path_, ": reading the rows of all series instead: ", read.ToString()));
    } else if (!read.ok() && !absl::IsNotFound(read)) {
      return read;
    }
  }
  TINYOBS_RETURN_IF_ERROR(catalog_.Load(*store_, snapshot_end));
  TINYOBS_RETURN_IF_ERROR(chunks_->Load(read_only_));
  TINYOBS_RETURN_IF_ERROR(idle_->Load());
  horizon_ms_ = chunks_->Totals().newest_ms;
  head_.SetHorizon(horizon_ms_);
  for (const SeriesRef ref : index_.Match({}).refs) head_.AddSeries(ref);
  accounts_.index->SetUsed(index_.MemoryBytes());
  // The whole budget and not their share: series that could be created must be there again.
  if (!memory_->over()) return absl::OkStatus();
  return absl::ResourceExhaustedError(
      StrCat(path_, ": the ", index_.size(), " series that are stored do not fit; raise ",
             "memory_budget_bytes: ", FromAbsl(accounts_.index->ExhaustedError(1).message())));
}

// Series with rows that neither snapshot nor log knew.
absl::Status DbImpl::LoadMissingSeries() {
  const uint64_t before = index_.size();
  TINYOBS_RETURN_IF_ERROR(catalog_.LoadMissing(*store_));
  // The log may name them from now on without their labels, so the next replay must know them.
  if (index_.size() > before && !read_only_) TINYOBS_RETURN_IF_ERROR(DropSeriesSnapshot());
  for (const SeriesRef ref : index_.Match({}).refs) {
    if (!head_.Contains(ref)) head_.AddSeries(ref);
  }
  accounts_.index->SetUsed(index_.MemoryBytes());
  return absl::OkStatus();
}

absl::Status DbImpl::Recover() {
  const int64_t started_ms = MonotonicMs();
  TINYOBS_RETURN_IF_ERROR(file_system_->CreateDirectories(head_folder_));
  TINYOBS_RETURN_IF_ERROR(OpenStore());
  TINYOBS_RETURN_IF_ERROR(file_system_->SyncDirectory(path_));
  TINYOBS_ASSIGN_OR_RETURN(const HeadFiles files, ListHeadFiles(file_system_, head_folder_));
  const uint64_t checkpoint = files.newest_checkpoint();
  TINYOBS_RETURN_IF_ERROR(LoadSeries(checkpoint));

  // A clean close writes the checkpoint first, then the series of the same number.
  if (!files.snapshots.empty() && files.snapshots.back() > checkpoint) {
    return absl::DataLossError(
        StrCat(CheckpointPath(head_folder_, files.snapshots.back()),
               ": expected beside the series of the same number, found none"));
  }
  const uint64_t newest_segment = files.segments.empty() ? 0 : files.segments.back();
  const uint64_t claimed = std::max({newest_segment + 1, checkpoint, uint64_t{1}});
  if (claimed > UINT32_MAX) {
    return absl::DataLossError(StrCat(head_folder_, ": segment number ", claimed, " is too large"));
  }
  TINYOBS_ASSIGN_OR_RETURN(const auto replay, HeadReplay::Open(file_system_, head_folder_, files));
  TINYOBS_RETURN_IF_ERROR(log_.Begin(claimed, /*abandon_old=*/false));
  head_.BeginSegment(static_cast<uint32_t>(claimed));
  // Begin has synced the folder, so the checkpoint's name is durable.
  TINYOBS_RETURN_IF_ERROR(DeleteReplaced(file_system_, head_folder_, checkpoint));
  TINYOBS_RETURN_IF_ERROR(ReplayHead(replay.get()));
  TINYOBS_RETURN_IF_ERROR(LoadMissingSeries());
  {
    MutexLock lock(&upkeep_);
    // What was replayed may not be synced, and ends torn: a checkpoint makes it one clean state.
    if (replay_.found_anything || files.segments.size() > kMaxEmptySegments) {
      TINYOBS_RETURN_IF_ERROR(WriteCheckpoint(claimed));
    }
    checkpointed_ = true;
    recovered_ = true;
  }
  MeasureHeadFolder();
  last_sync_ms_ = MonotonicMs();
  last_freeze_ms_ = MonotonicMs();
  replay_ms_ = MonotonicMs() - started_ms;
  if (replay_.found_anything) {
    Log(StrCat(path_, ": replayed ", replay_.samples, " samples of ", replay_.records,
               " commits in ", replay_ms_, " ms"));
  }
  if (replay_.torn_bytes > 0) {
    Log(StrCat(path_, ": cut ", replay_.torn_bytes, " bytes of an unfinished write"));
  }
  return absl::OkStatus();
}

// Beside a writer. The head's files are opened before the LSM, so what the writer seals and drops
// from the log in between is in both, and wins over itself; the other way round it would be in
// neither.
absl::Status DbImpl::RecoverReadOnly() {
  const int64_t started_ms = MonotonicMs();
  std::unique_ptr<HeadReplay> replay;
  for (int tries = 1; replay == nullptr; ++tries) {
    TINYOBS_ASSIGN_OR_RETURN(const HeadFiles files, ListHeadFiles(file_system_, head_folder_));
    auto opened = HeadReplay::Open(file_system_, head_folder_, files);
    if (opened.ok()) {
      replay = *std::move(opened);
    } else if (!absl::IsAborted(opened.status()) || tries == kReadOnlyTries) {
      return opened.status();
    }
  }
  TINYOBS_RETURN_IF_ERROR(OpenStore());
  TINYOBS_RETURN_IF_ERROR(LoadSeries(/*checkpoint=*/0));
  TINYOBS_RETURN_IF_ERROR(ReplayHead(replay.get()));
  TINYOBS_RETURN_IF_ERROR(LoadMissingSeries());
  replay_ms_ = MonotonicMs() - started_ms;
  return absl::OkStatus();
}

absl::Status DbImpl::ReplayHead(HeadReplay* replay) {
  const ReplayCallbacks callbacks{
      .restore = [this](const CheckpointStretch& stretch) -> absl::Status {
        if (read_only_ && !index_.Contains(stretch.ref)) return absl::OkStatus();
        TINYOBS_RETURN_IF_ERROR(head_.Restore(stretch.ref, stretch.late, stretch.first_ms,
                                              stretch.count, stretch.stream, MonotonicMs()));
        return SealReplayed();
      },
      .apply = [this](DecodedCommit* commit) { return ReplayCommit(commit); },
      .progress =
          [this](uint64_t done, uint64_t total) {
            if (done < total) {
              Log(StrCat(path_, ": replaying the head log, ", done >> 20, " of ", total >> 20,
                         " MiB"));
            }
          },
  };
  return replay->Run(callbacks, clock_, &replay_);
}

absl::Status DbImpl::ReplayCommit(DecodedCommit* commit) {
  for (const NewSeries& series : commit->new_series) {
    const auto known = index_.Find(series.canonical_labels, index_.KeyOf(series.canonical_labels));
    // A reader's rows are newer than the log: the series may be gone, or gone and back since. Its
    // samples of then are in the LSM.
    if (read_only_ &&
        (known.has_value() ? *known > series.ref : series.ref < index_.series_end())) {
      continue;
    }
    // It was idle or had no sample left, and came back under a new number; the rows do not know yet
    // that it had left. Neither checkpoint nor log have anything of it under the old one.
    if (known.has_value() && *known < series.ref && head_.IsIdle(*known)) {
      const SeriesId id = index_.IdOf(*known);
      if (id != series.id && !read_only_) {  // else the new row takes the place of the old one
        lsm::WriteBatch batch;
        catalog_.PutRemoved({&id, 1}, &batch);
        TINYOBS_RETURN_IF_ERROR(store_->Write({.sync = {}, .skip_wal = true}, batch));
      }
      index_.Remove({&*known, 1});
      head_.RemoveSeries({&*known, 1});
    }
    TINYOBS_RETURN_IF_ERROR(catalog_.Replay(series));
    if (!head_.Contains(series.ref)) head_.AddSeries(series.ref);
    if (idle_->size() > 0) {
      TINYOBS_ASSIGN_OR_RETURN(
          const auto found,
          idle_->Find(series.canonical_labels, index_.KeyOf(series.canonical_labels)));
      if (found.has_value()) sealer_->NoteRevived(1);
    }
  }
  for (const NamedMetadata& named : commit->metadata) {
    catalog_.SetMetadata(named.metric, named.metadata);
  }
  for (const int64_t time_ms : commit->samples.timestamps_ms) {
    if (!partitioning_.Contains(time_ms)) {
      return absl::DataLossError(
          StrCat("a sample at ", time_ms, " ms: expected a time with a partition, found none"));
    }
  }
  if (read_only_) DropUnknown(&commit->samples);
  if (const auto staged = head_.Stage(commit->samples, nullptr); !staged.ok()) {
    return absl::DataLossError(StrCat("a sample without its series: ", FromAbsl(staged.message())));
  }
  head_.Apply(MonotonicMs());
  return SealReplayed();
}

// A reader's LSM is newer than the log it reads: series may be gone.
void DbImpl::DropUnknown(SampleBatch* samples) const {
  size_t kept = 0;
  for (size_t i = 0; i < samples->size(); ++i) {
    if (!head_.Contains(samples->refs[i])) continue;
    samples->refs[kept] = samples->refs[i];
    samples->timestamps_ms[kept] = samples->timestamps_ms[i];
    samples->values[kept++] = samples->values[i];
  }
  samples->resize(kept);
}

absl::Status DbImpl::SealReplayed() {
  if (read_only_) {
    if (!accounts_.head->over()) return absl::OkStatus();
    // A reader has nowhere to seal to.
    return absl::ResourceExhaustedError(
        StrCat(path_, ": what the writer holds in memory does not fit here; raise ",
               "memory_budget_bytes: ", FromAbsl(accounts_.head->ExhaustedError(1).message())));
  }
  while (head_.Stats().frozen_chunks > kReplayBacklogChunks) {
    TINYOBS_RETURN_IF_ERROR(sealer_->Step().status());
  }
  return RelieveHead();
}

}  // namespace tinyobs::tsdb
