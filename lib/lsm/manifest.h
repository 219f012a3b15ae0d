// Manifest: the log of version edits, and CURRENT, the file that says which manifest counts.
//
// The first record of a manifest is the whole state, each further one a change; each is synced
// before it takes effect. A manifest that grew large is replaced by a new one through the same step
// that creates it: write, sync, then point CURRENT to it. Reuses the log format, so torn tails and
// damage are told apart in the same way.
//
// Thread-safety: one thread at a time.
#ifndef TINYOBS_LIB_LSM_MANIFEST_H_
#define TINYOBS_LIB_LSM_MANIFEST_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/lsm/version.h"
#include "lib/lsm/version_edit.h"
#include "lib/lsm/wal_writer.h"
#include "tinyobs/file_system.h"

namespace tinyobs::lsm {

// What the manifest that CURRENT names says.
struct ManifestState {
  uint64_t manifest_number = 0;
  uint64_t log_number = 0;
  uint64_t next_file_number = 0;
  uint64_t last_sequence = 0;
  std::shared_ptr<const Version> version;
  uint64_t torn_bytes = 0;  // an edit that was never acknowledged
};

class ManifestWriter {
 public:
  // Writes manifest `number` with `state` as its first record and makes it the current one,
  // durably. On an error the old one may or may not be current still: the caller must keep the
  // files of both states and create another manifest before it goes on.
  static absl::StatusOr<std::unique_ptr<ManifestWriter>> Create(FileSystem* file_system,
                                                                const std::string& folder,
                                                                uint64_t number,
                                                                const VersionEdit& state);
  // Durable when OK. After an error the edit may or may not be durable, and the writer is dead.
  absl::Status Append(const VersionEdit& edit);

  uint64_t number() const { return log_->identity().number; }
  uint64_t size_bytes() const { return log_->size_bytes(); }
  // Large enough that the whole state would be much smaller.
  bool ShouldRotate() const;
  absl::Status Close() { return log_->Close(); }
  // Tells readers that it ended in good order; before Close.
  absl::Status Seal() { return log_->Seal(); }
  absl::Status Sync() { return log_->Sync(); }

 private:
  explicit ManifestWriter(std::unique_ptr<WalWriter> log) : log_(std::move(log)) {}

  const std::unique_ptr<WalWriter> log_;
  uint64_t first_record_bytes_ = 0;
};

// The number of the manifest that CURRENT names. NotFound: no CURRENT. DataLoss: no such name.
absl::StatusOr<uint64_t> ReadCurrent(FileSystem* file_system, const std::string& folder);

// Reads manifest `number`, whether it is the current one or not; else as below.
absl::StatusOr<ManifestState> ReadManifest(FileSystem* file_system, const std::string& folder,
                                           uint64_t number,
                                           const std::shared_ptr<TableRegistry>& registry);

// Reads CURRENT and its manifest. NotFound: no CURRENT. DataLoss: damage, or edits that contradict
// each other. FailedPrecondition: a newer format.
absl::StatusOr<ManifestState> ReadManifest(FileSystem* file_system, const std::string& folder,
                                           const std::shared_ptr<TableRegistry>& registry);

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_MANIFEST_H_
