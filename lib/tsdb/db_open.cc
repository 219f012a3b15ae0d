// Before a database is recovered: are the options sound, is this a database, who has it, and how is
// the memory shared. And what it stands on: the LSM, opened with the hooks of this room.
//
// Apart from recovery.cc, because this is the same for every way to open (to write, to read, to
// repair) and knows nothing of what the files hold.
#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "lib/base/checksum.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/db_impl.h"
#include "lib/vfs/in_memory_file_system.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::tsdb {

namespace {

constexpr size_t kLeastBudgetBytes = 1 << 20;
// Metrics whose metadata is kept even where fewer series are allowed.
constexpr uint64_t kLeastMetadata = 1000;
// A late buffer is four times as large and must fit a chunk.
constexpr uint32_t kMaxChunkSamples = chunk::kMaxSamples / 4;

absl::Status CheckRetention(const Options& options) {
  const Retention& kept = options.retention;
  const std::array<std::pair<std::string_view, int64_t>, 3> tiers = {
      {{"retention.raw_ms", kept.raw_ms},
       {"retention.five_minutes_ms", kept.five_minutes_ms},
       {"retention.one_hour_ms", kept.one_hour_ms}}};
  for (size_t i = 0; i < tiers.size(); ++i) {
    const std::string_view name = tiers[i].first;
    const int64_t ms = tiers[i].second;
    const auto refuse = [&](std::string_view expected, auto... limit) {
      return absl::InvalidArgumentError(
          StrCat("option ", name, " is ", ms, "; expected ", expected, limit...));
    };
    if (ms < 0) return refuse("at least 0");
    if (i == 0 || ms == 0) continue;
    if (!options.downsampling) return refuse("0 without the option downsampling");
    const auto& [finer_name, finer_ms] = tiers[i - 1];
    // 0 is the longest.
    if (finer_ms == 0 || finer_ms > ms) {
      return refuse("at least ", finer_name, ", which is ",
                    finer_ms == 0 ? std::string("0, forever") : StrCat(finer_ms));
    }
  }
  return absl::OkStatus();
}

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
  TINYOBS_RETURN_IF_ERROR(CheckRetention(options));
  if (options.downsampling) {
    TINYOBS_RETURN_IF_ERROR(Downsampler::CheckPartitionMs(options.partition_ms));
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
  static constexpr size_t kLeastMemtable = 256 << 10;
  explicit Shares(const Options& options) : Shares(options.memory_budget_bytes) {
    // What the memtables hold must fit what the storage limit has in reserve.
    if (const uint64_t limit = options.max_storage_bytes; limit > 0) {
      memtable = std::max(kLeastMemtable, std::min<size_t>(memtable, limit / 32));
    }
  }
  explicit Shares(size_t budget)
      : memtable(std::clamp<size_t>(budget / 16, kLeastMemtable, 64 << 20)),
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
  const Shares shares(options);
  around.accounts = {
      .memtables = around.memory->NewAccount("memtables", 3 * shares.memtable),
      .block_cache = around.memory->NewAccount("block cache", shares.block_cache),
      .tables = around.memory->NewAccount("tables", shares.tables),
      .head = around.memory->NewAccount("head", shares.series),
      .index = around.memory->NewAccount("series index", shares.series),
      .idle_series = around.memory->NewAccount("idle series", shares.idle_series),
      .queries = around.memory->NewAccount("queries", shares.queries),
      .downsampling = around.memory->NewAccount("downsampling"),
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
  around.files = std::make_unique<CountingFileSystem>(file_system, path);
  return std::unique_ptr<DbImpl>(new DbImpl(path, options, std::move(around)));
}

absl::StatusOr<std::unique_ptr<DbImpl>> DbImpl::Open(const std::string& path,
                                                     const Options& options) {
  TINYOBS_ASSIGN_OR_RETURN(auto db, Prepare(path, options, /*read_only=*/false));
  if (const absl::Status recovered = db->Recover(); absl::IsDataLoss(recovered)) {
    return absl::DataLossError(
        StrCat(FromAbsl(recovered.message()), "; Db::Repair keeps what can be read"));
  } else if (!recovered.ok()) {
    return recovered;
  }
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
      counted_files_(std::move(around.files)),
      file_system_(counted_files_.get()),
      partitioning_(around.identity.partition_ms),
      lock_(std::move(around.lock)),
      seed_(around.identity.fingerprint_seed),
      index_(seed_),
      cardinality_(
          &index_, seed_,
          {options.max_series, options.max_series_per_metric, options.cardinality_dry_run}),
      catalog_(&index_, options.max_series == 0 ? 0 : std::max(options.max_series, kLeastMetadata)),
      head_(partitioning_, {options.chunk_samples, /*max_age_ms=*/around.identity.partition_ms},
            accounts_.head),
      merge_(partitioning_),
      idle_(seed_, Shares(options).idle_series, accounts_.idle_series),
      log_(file_system_, head_folder_),
      queue_([this](std::span<Queue::Job* const> jobs) { Lead(jobs); }) {}

lsm::StoreOptions DbImpl::StoreOptions() {
  const Shares shares(options_);
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
  options.compaction_filter = [this](std::string_view key, std::string_view value) {
    return idle_.IsGarbage(key, value) ? lsm::FilterDecision::kRemove : lsm::FilterDecision::kKeep;
  };
  return options;
}

absl::Status DbImpl::OpenStore() {
  const Shares shares(options_);
  TINYOBS_ASSIGN_OR_RETURN(store_, read_only_
                                       ? lsm::Store::OpenReadOnly(StorePath(path_), StoreOptions())
                                       : lsm::Store::Open(StorePath(path_), StoreOptions()));
  chunks_.emplace(store_.get(), partitioning_, &merge_);
  downsampler_.emplace(&*chunks_, accounts_.downsampling, shares.memtable);
  sealer_.emplace(store_.get(), &index_, &catalog_, &idle_, &membership_, &*chunks_, &head_,
                  shares.memtable);
  return absl::OkStatus();
}

}  // namespace tinyobs::tsdb
