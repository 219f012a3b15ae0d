// Opening a database: identity, LSM, catalog, then the head from its newest checkpoint and the log.
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
#include "lib/tsdb/checkpoint.h"
#include "lib/tsdb/db_impl.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::tsdb {

namespace {

// Frozen samples that replay lets gather before it seals (1 MiB).
constexpr uint64_t kReplayBacklogSamples = 1 << 16;
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

}  // namespace

absl::StatusOr<std::unique_ptr<DbImpl>> DbImpl::Open(const std::string& path,
                                                     const Options& options) {
  TINYOBS_RETURN_IF_ERROR(CheckOptions(options));
  FileSystem* const file_system =
      options.file_system != nullptr ? options.file_system : FileSystem::Posix();
  Clock* const clock = options.clock != nullptr ? options.clock : Clock::System();
  const bool exists = file_system->FileExists(IdentityPath(path));
  if (!exists && !options.create_if_missing) {
    return absl::FailedPreconditionError(
        StrCat(path, ": no TinyObs database here, and create_if_missing is off"));
  }
  if (!exists) TINYOBS_RETURN_IF_ERROR(file_system->CreateDirectories(path));
  TINYOBS_ASSIGN_OR_RETURN(auto lock, file_system->LockFile(path + "/LOCK"));
  // Asked again: who held the lock may have created it meanwhile.
  TINYOBS_ASSIGN_OR_RETURN(const Identity identity,
                           file_system->FileExists(IdentityPath(path))
                               ? ReadIdentity(file_system, path, options)
                               : CreateIdentity(file_system, path, options, clock));
  std::unique_ptr<DbImpl> db(new DbImpl(path, options, identity, std::move(lock)));
  TINYOBS_RETURN_IF_ERROR(db->Recover());
  db->StartThreads();
  return db;
}

DbImpl::DbImpl(std::string path, const Options& options, const Identity& identity,
               std::unique_ptr<FileLock> lock)
    : path_(std::move(path)),
      head_folder_(HeadPath(path_)),
      options_(options),
      clock_(options.clock != nullptr ? options.clock : Clock::System()),
      file_system_(options.file_system != nullptr ? options.file_system : FileSystem::Posix()),
      partitioning_(identity.partition_ms),
      lock_(std::move(lock)),
      index_(identity.fingerprint_seed),
      catalog_(&index_, options.max_series == 0 ? 0 : std::max(options.max_series, kLeastMetadata)),
      head_(partitioning_, {options.chunk_samples, /*max_age_ms=*/identity.partition_ms}),
      log_(file_system_, head_folder_),
      queue_([this](std::span<Queue::Job* const> jobs) { Lead(jobs); }) {}

absl::Status DbImpl::OpenStore() {
  lsm::StoreOptions options;
  options.file_system = file_system_;
  options.clock = clock_;
  options.logger = options_.logger;
  options.background_threads = options_.background_threads;
  // Every write of ours goes without the LSM's log, see Sealer.
  options.sync_policy = lsm::SyncPolicy::kNone;
  options.memtable_bytes = std::max<size_t>(options_.memory_budget_bytes / 4, 256 << 10);
  options.block_cache_bytes = options_.memory_budget_bytes / 4;
  options.table_memory_bytes = options_.memory_budget_bytes / 8;
  options.partition_of = PartitionPrefix;
  TINYOBS_ASSIGN_OR_RETURN(store_, lsm::Store::Open(StorePath(path_), options));
  chunks_.emplace(store_.get(), partitioning_);
  sealer_.emplace(store_.get(), &index_, &catalog_, &*chunks_, &head_);
  return absl::OkStatus();
}

absl::Status DbImpl::Recover() {
  const int64_t started_ms = MonotonicMs();
  TINYOBS_RETURN_IF_ERROR(file_system_->CreateDirectories(head_folder_));
  TINYOBS_RETURN_IF_ERROR(OpenStore());
  TINYOBS_RETURN_IF_ERROR(file_system_->SyncDirectory(path_));
  TINYOBS_RETURN_IF_ERROR(catalog_.Load(*store_));
  TINYOBS_RETURN_IF_ERROR(chunks_->Load());
  head_.SetHorizon(chunks_->Totals().newest_ms);

  TINYOBS_ASSIGN_OR_RETURN(const HeadFiles files, ListHeadFiles(file_system_, head_folder_));
  const uint64_t checkpoint = files.newest_checkpoint();
  const uint64_t newest_segment = files.segments.empty() ? 0 : files.segments.back();
  const uint64_t claimed = std::max({newest_segment + 1, checkpoint, uint64_t{1}});
  if (claimed > UINT32_MAX) {
    return absl::DataLossError(StrCat(head_folder_, ": segment number ", claimed, " is too large"));
  }
  TINYOBS_RETURN_IF_ERROR(log_.Begin(claimed, /*abandon_old=*/false));
  head_.SetEpoch(static_cast<uint32_t>(claimed));
  // Begin has synced the folder, so the checkpoint's name is durable.
  TINYOBS_RETURN_IF_ERROR(DeleteReplaced(file_system_, head_folder_, checkpoint));

  TINYOBS_RETURN_IF_ERROR(ReplayHead(files, claimed, &replay_));
  // Series that have nothing in the head exist for queries too.
  head_.Apply({}, index_.ref_limit(), MonotonicMs());
  {
    MutexLock lock(&upkeep_);
    // What was replayed may not be synced, and ends torn: a checkpoint makes it one clean state.
    if (replay_.found_anything || files.segments.size() > kMaxEmptySegments) {
      TINYOBS_RETURN_IF_ERROR(Checkpoint(claimed));
    }
    checkpointed_ = true;
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

absl::Status DbImpl::ReplayHead(const HeadFiles& files, uint64_t claimed, ReplayReport* report) {
  const uint64_t checkpoint = files.newest_checkpoint();
  if (checkpoint > 0) {
    TINYOBS_RETURN_IF_ERROR(ReadCheckpoint(
        file_system_, head_folder_, checkpoint,
        [this](std::span<const RefSample> samples) { return ReplaySamples(samples); }));
  }
  return ReplaySegments(
      file_system_, head_folder_, std::max<uint64_t>(checkpoint, 1), claimed,
      [this](const CommitRecord& commit) { return ReplayCommit(commit); }, report);
}

absl::Status DbImpl::ReplayCommit(const CommitRecord& commit) {
  for (const NewSeries& series : commit.new_series) {
    TINYOBS_RETURN_IF_ERROR(catalog_.Replay(series));
  }
  for (const NamedMetadata& named : commit.metadata) {
    catalog_.SetMetadata(named.metric, named.metadata);
  }
  return ReplaySamples(commit.samples);
}

absl::Status DbImpl::ReplaySamples(std::span<const RefSample> samples) {
  for (const RefSample& sample : samples) {
    if (!index_.Contains(sample.ref)) {
      return absl::DataLossError(
          StrCat("a sample of series ", sample.ref, ": expected a series, found none"));
    }
    if (!partitioning_.Contains(sample.timestamp_ms)) {
      return absl::DataLossError(StrCat("a sample of series ", sample.ref, " at ",
                                        sample.timestamp_ms, " ms: no partition has this time"));
    }
  }
  head_.Apply(samples, index_.ref_limit(), MonotonicMs());
  while (head_.Stats().frozen_samples > kReplayBacklogSamples) {
    TINYOBS_ASSIGN_OR_RETURN(const bool more, sealer_->Step());
    if (!more) break;
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::tsdb
