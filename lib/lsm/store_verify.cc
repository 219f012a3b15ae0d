// Verify: is everything on the disk what it should be?
//
// Tables are read twice. First each by itself, from the file and past all caches: checksums, order,
// index, filter, and what the manifest says about it. Then all sound ones together in key order,
// which shows what no table can show alone: that of two versions of a key the newer one lies in the
// upper level (readers stop at the first they find), and that the counts, sequences and partitions
// of each table are those of its entries. Both passes stream; no key is held but the current one.
//
// Beside a live writer: the version is pinned, so its tables stay; a log that vanishes was flushed.
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/store_impl.h"
#include "lib/lsm/table_merge.h"
#include "lib/lsm/wal_reader.h"

namespace tinyobs::lsm {
namespace {

// More say nothing new.
constexpr size_t kProblemsMax = 1000;

absl::Status CheckSame(std::string_view what, uint64_t said, uint64_t found) {
  if (said == found) return absl::OkStatus();
  return absl::DataLossError(StrCat("the manifest says ", said, " ", what, ", found ", found));
}

// What the entries of one table add up to.
struct Tally {
  int level = 0;
  size_t rank = 0;  // the order in which a reader asks
  uint64_t tombstones = 0;
  uint64_t smallest_sequence = kMaxSequence;
  uint64_t largest_sequence = 0;
  std::optional<std::string> partition;  // of the last entry
  bool is_reported = false;              // one problem a table

  absl::Status CheckAgainst(const TableMeta& meta) const {
    TINYOBS_RETURN_IF_ERROR(CheckSame("tombstones", meta.tombstones, tombstones));
    TINYOBS_RETURN_IF_ERROR(
        CheckSame("as the smallest sequence", meta.smallest_sequence, smallest_sequence));
    return CheckSame("as the largest sequence", meta.largest_sequence, largest_sequence);
  }
};

}  // namespace

struct StoreImpl::Verification {
  VerifyReport report;

  void Add(std::string file, absl::Status status) {
    if (status.ok() || report.problems.size() == kProblemsMax) return;
    report.problems.push_back({std::move(file), std::move(status)});
  }
};

absl::StatusOr<VerifyReport> StoreImpl::Verify() const {
  if (closed_.load(std::memory_order_relaxed)) return ClosedError();
  Verification verification;
  const std::shared_ptr<const Version> version = GetReadState()->version;
  VerifyTables(*version, &verification);
  VerifyManifest(&verification);
  VerifyLogs(&verification);
  return std::move(verification.report);
}

void StoreImpl::VerifyTables(const Version& version, Verification* verification) const {
  TableCache disk(file_system_, path_, nullptr, 1);
  TableList sound;
  for (int level = 0; level < kLevels; ++level) {
    for (const TablePtr& table : version.level(level)) {
      const std::string path = TableFileName(path_, table->meta.number);
      auto reader = disk.Find(table->meta);
      // The process that writes may have unlinked it, but our handle is good.
      if (!reader.ok() && read_only_ && !file_system_->FileExists(path)) {
        reader = table_cache_->Find(table->meta);
      }
      const absl::Status status = reader.ok() ? (*reader)->Verify() : reader.status();
      disk.Evict(table->meta.number);
      ++verification->report.tables;
      verification->report.table_bytes += table->meta.file_bytes;
      if (status.ok()) {
        verification->report.entries += table->meta.entries;
        sound.push_back(table);
      } else {
        verification->Add(path, status);
      }
    }
  }
  VerifyEntries(version, sound, verification);
}

void StoreImpl::VerifyEntries(const Version& version, const TableList& tables,
                              Verification* verification) const {
  absl::flat_hash_map<const TableFile*, Tally> tallies;
  for (int level = 0; level < kLevels; ++level) {
    for (const TablePtr& table : version.level(level)) {
      Tally& tally = tallies[table.get()];
      tally.level = level;
      // Tables of one level below the first share no key.
      tally.rank =
          level == 0 ? tallies.size() : version.level(0).size() + static_cast<size_t>(level);
    }
  }
  const auto report = [&](const TableFile& table, Tally* tally, std::string_view what) {
    if (std::exchange(tally->is_reported, true)) return;
    const std::string path = TableFileName(path_, table.meta.number);
    verification->Add(path, absl::DataLossError(StrCat(path, ": ", what)));
  };
  std::string last_key;
  const TableFile* last_table = nullptr;
  TableMerge entries(table_cache_.get(), tables);
  for (entries.SeekToFirst(); entries.Valid(); entries.Next()) {
    const std::string_view key = entries.key();
    const std::string_view user_key = UserKeyOf(key);
    const TableFile& table = entries.table();
    Tally& tally = tallies[&table];
    const uint64_t trailer = TrailerOf(key);
    if (TypeOf(trailer) != ValueType::kPut && TypeOf(trailer) != ValueType::kDelete) {
      report(table, &tally, StrCat("key \"", EscapeForMessage(key), "\" has no known type"));
    }
    tally.tombstones += TypeOf(trailer) == ValueType::kDelete;
    tally.smallest_sequence = std::min(tally.smallest_sequence, SequenceOf(trailer));
    tally.largest_sequence = std::max(tally.largest_sequence, SequenceOf(trailer));
    if (options_.partition_of) {
      const std::string_view partition = options_.partition_of(user_key);
      if (tally.partition.has_value() && *tally.partition != partition) {
        report(table, &tally,
               StrCat("spans the partitions \"", EscapeForMessage(*tally.partition), "\" and \"",
                      EscapeForMessage(partition), "\""));
      }
      tally.partition = partition;
    }
    if (last_table != nullptr && UserKeyOf(last_key) == user_key) {
      const Tally& newer = tallies[last_table];
      if (newer.rank > tally.rank || (last_table != &table && last_key == key)) {
        report(table, &tally,
               StrCat("key \"", EscapeForMessage(user_key), "\": version ", SequenceOf(trailer),
                      " in level ", tally.level, " hides version ", SequenceOf(TrailerOf(last_key)),
                      " of table ", last_table->meta.number, " in level ", newer.level));
      }
    }
    last_key.assign(key);
    last_table = &table;
  }
  verification->Add(path_, entries.status());
  if (!entries.status().ok()) return;
  for (const TablePtr& table : tables) {
    Tally& tally = tallies[table.get()];
    const absl::Status status = tally.CheckAgainst(table->meta);
    if (!status.ok()) report(*table, &tally, FromAbsl(status.message()));
  }
}

void StoreImpl::VerifyManifest(Verification* verification) const {
  const auto registry = std::make_shared<TableRegistry>();
  std::shared_ptr<const Version> version;
  bool compare = false;
  {
    MutexLock lock(&mutex_);
    TakeSlot(&manifest_busy_);  // it does not change as long as we have the slot
    version = version_;
    // After a failed edit the file may be a step ahead.
    compare = !read_only_ && background_error_.ok();
  }
  absl::StatusOr<ManifestState> state = ReadManifest(file_system_, path_, registry);
  // The process that writes may replace it between its name and its content.
  for (int i = 0; i < 10 && read_only_ && !state.ok(); ++i) {
    state = ReadManifest(file_system_, path_, registry);
  }
  ReleaseSlot(&manifest_busy_);
  const std::string path =
      state.ok() ? ManifestFileName(path_, state->manifest_number) : CurrentFileName(path_);
  verification->Add(path, state.status());
  if (!state.ok() || !compare) return;
  VersionEdit on_disk, in_memory;
  state->version->AppendTo(&on_disk);
  version->AppendTo(&in_memory);
  if (on_disk != in_memory) {
    verification->Add(path, absl::DataLossError(StrCat(path, ": lists ", on_disk.added.size(),
                                                       " tables, not the ", in_memory.added.size(),
                                                       " that the store works with")));
  }
  // Sorted and without overlap, as it was checked when it was made: has memory been damaged since?
  verification->Add(path_, Version::Apply(Version(), in_memory, registry, nullptr).status());
}

void StoreImpl::VerifyLogs(Verification* verification) const {
  uint64_t first = 0;
  {
    MutexLock lock(&mutex_);
    first = log_number_;
  }
  const auto names = file_system_->ListDirectory(path_);
  verification->Add(path_, names.status());
  if (!names.ok()) return;
  for (const uint64_t number : LogNumbers(*names, first)) {
    const std::string path = LogFileName(path_, number);
    const auto verify = [&]() -> absl::Status {
      TINYOBS_ASSIGN_OR_RETURN(const auto file, file_system_->OpenRandomAccess(path));
      TINYOBS_ASSIGN_OR_RETURN(const auto reader,
                               WalReader::Open(file.get(), path, kWalKindStore, number));
      ++verification->report.logs;
      uint64_t next_sequence = 0;
      std::string_view record;
      while (true) {
        TINYOBS_ASSIGN_OR_RETURN(const bool more, reader->Next(&record));
        if (!more) return absl::OkStatus();
        ++verification->report.log_records;
        BatchRecord batch;
        TINYOBS_RETURN_IF_ERROR(DecodeBatchRecord(record, &batch));
        BatchReader entries(batch.entries);
        ValueType type;
        std::string_view key, value;
        uint64_t count = 0;
        while (entries.Next(&type, &key, &value)) ++count;
        if (!entries.ok() || count != batch.count || batch.sequence < next_sequence) {
          return absl::DataLossError(StrCat(path, ": offset ", reader->record_offset(),
                                            ": expected a batch of ", batch.count,
                                            " entries from sequence ", next_sequence, " on, found ",
                                            count, " from ", batch.sequence, " on"));
        }
        next_sequence = batch.sequence + batch.count;
      }
    };
    const absl::Status status = verify();
    // Flushed meanwhile: nothing needs it any more.
    if (!absl::IsNotFound(status)) verification->Add(path, status);
  }
}

}  // namespace tinyobs::lsm
