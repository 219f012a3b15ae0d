// Repair: the ordinary recovery, which asks here where it would give up (Salvage), after the LSM
// was repaired in the same way. So a repaired database went through the same steps as any other,
// and a crash in between leaves one that the next repair begins anew with.
//
// What a loss must not do is mix: the LSM may have lost rows that say which numbers were given, and
// a new series under an old id would get the samples of another. So all chunks are read: they give
// the counts of the partitions, and the least numbers that are free. The head's damaged files get a
// second name in `head/lost` before the checkpoint that replaces them takes the first one away.
#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/tsdb/db_impl.h"
#include "lib/tsdb/rows.h"

namespace tinyobs::tsdb {

namespace {
// Names that a lost file tries before it gives up.
constexpr int kLostNamesMax = 1000;
constexpr size_t kBatchBytes = 4 << 20;

std::string IsAnothers(const std::string& path, SeriesId id) {
  return StrCat(path, "/lsm: series ", id, ": another has its labels or its number, and one of ",
                "them was deleted: its samples cannot be found any more");
}
}  // namespace

absl::StatusOr<std::vector<std::string>> DbImpl::Repair(const std::string& path,
                                                        const Options& options) {
  Options alone = options;
  alone.background_threads = false;
  alone.create_if_missing = false;
  if (options.in_memory) {
    return absl::InvalidArgumentError("option in_memory: nothing of it is left to repair");
  }
  TINYOBS_ASSIGN_OR_RETURN(auto db, Prepare(path, alone, /*read_only=*/false));
  db->losses_ = std::make_unique<Losses>();
  TINYOBS_RETURN_IF_ERROR(db->RepairStore());
  TINYOBS_RETURN_IF_ERROR(db->Recover());
  TINYOBS_RETURN_IF_ERROR(db->Close());
  for (const std::string& line : db->losses_->lines) db->Log(StrCat("repair: ", line));
  return std::move(db->losses_->lines);
}

absl::Status DbImpl::Salvage(std::string_view what, const absl::Status& status) {
  if (losses_ == nullptr || !absl::IsDataLoss(status)) return status;
  const std::string_view why = FromAbsl(status.message());
  losses_->lines.push_back(why.starts_with(what) ? std::string(why) : StrCat(what, ": ", why));
  return absl::OkStatus();
}

absl::Status DbImpl::RepairStore() {
  const std::string folder = path_ + "/lsm";
  if (!file_system_->FileExists(folder)) {
    return Salvage(folder, absl::DataLossError("missing, and with it all that was sealed"));
  }
  TINYOBS_ASSIGN_OR_RETURN(const lsm::RepairReport report,
                           lsm::Store::Repair(folder, StoreOptions()));
  for (const lsm::FileProblem& problem : report.quarantined) {
    losses_->lines.push_back(
        StrCat(problem.file, ": put aside: ", FromAbsl(problem.status.message())));
  }
  if (report.manifest_rebuilt) {
    losses_->lines.push_back(
        StrCat(folder, ": its manifest was made anew: deleted samples may be back"));
  }
  return absl::OkStatus();
}

absl::Status DbImpl::CountAgain(std::span<const SeriesId> twins) {
  if (losses_ == nullptr) return absl::OkStatus();
  TINYOBS_ASSIGN_OR_RETURN(const ChunkStore::HighestIds highest, chunks_->Recount());
  index_.RaiseNext(highest.series + 1, highest.metric + 1);
  lsm::WriteBatch batch;
  for (const SeriesId id : twins) {
    losses_->lines.push_back(IsAnothers(path_, id));
  }
  TINYOBS_RETURN_IF_ERROR(CountIdleAgain(&batch));
  catalog_.PutRemoved(twins, &batch);
  return store_->Write(lsm::kUnlogged, batch);
}

// The rows that find idle series follow from those in the groups. Newest groups first: of two with
// the same labels, of which one had been deleted, the newer counts.
absl::Status DbImpl::CountIdleAgain(lsm::WriteBatch* batch) {
  const auto rows = RowsOf(store_.get(), TierPrefix(Tier::kIdle));
  absl::flat_hash_set<std::string> seen;
  for (rows->SeekToLast(); rows->Valid(); rows->Prev()) {
    ByteReader key(rows->key().substr(1));
    const uint32_t partition = key.BigEndian32();
    const SeriesId id = key.BigEndian64();
    const SeriesKey fingerprint = index_.KeyOf(rows->value());
    const auto known = index_.Find(rows->value(), fingerprint);
    if ((known.has_value() && index_.IdOf(*known) != id) ||
        !seen.insert(std::string(rows->value())).second) {
      losses_->lines.push_back(IsAnothers(path_, id));
      batch->Delete(rows->key());
    } else {
      std::string value;
      PutBigEndian32(&value, partition);
      batch->Put(IdleLookupKey(fingerprint, id), value);
    }
    if (batch->size_bytes() < kBatchBytes) continue;
    TINYOBS_RETURN_IF_ERROR(store_->Write(lsm::kUnlogged, *batch));
    batch->Clear();
  }
  return rows->status();
}

absl::Status DbImpl::PutAside() {
  if (losses_ == nullptr) return absl::OkStatus();
  if (losses_->samples > 0) {
    losses_->lines.push_back(
        StrCat(head_folder_, ": ", losses_->samples, " samples of series whose labels are lost"));
  }
  const std::string lost = head_folder_ + "/lost";
  for (const std::string& path : losses_->head_files) {
    TINYOBS_RETURN_IF_ERROR(file_system_->CreateDirectories(lost));
    const std::string name = lost + path.substr(path.rfind('/'));
    absl::Status status = file_system_->LinkFile(path, name);
    for (int i = 1; absl::IsAlreadyExists(status) && i < kLostNamesMax; ++i) {
      status = file_system_->LinkFile(path, StrCat(name, ".", i));
    }
    if (!absl::IsNotFound(status)) TINYOBS_RETURN_IF_ERROR(status);
    TINYOBS_RETURN_IF_ERROR(file_system_->SyncDirectory(lost));
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::tsdb
