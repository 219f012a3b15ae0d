// Checkpoint: the unfrozen part of the head as one file, so that the log before it can go.
//
// Written in slices of series while commits go on, so it is not the head of one instant: a slice
// may hold samples that were committed after the checkpoint's segment began. That is harmless,
// because the segment is replayed on top of it from its first record, and the last write wins
// again: the outcome is the same as if the slice had been taken earlier.
//
// The file has the frames of a log (lib/lsm), ends sealed, and takes its name by rename after it
// was synced: a checkpoint that can be seen is whole, or the disk is damaged. Samples are encoded
// as chunks: a checkpoint of a million open chunks costs what those chunks will cost in the LSM.
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_TSDB_CHECKPOINT_H_
#define TINYOBS_LIB_TSDB_CHECKPOINT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/chunk/chunk.h"
#include "lib/lsm/wal_writer.h"
#include "lib/tsdb/head.h"
#include "lib/tsdb/head_log_record.h"
#include "tinyobs/file_system.h"

namespace tinyobs::tsdb {

class CheckpointWriter {
 public:
  static absl::StatusOr<std::unique_ptr<CheckpointWriter>> Create(FileSystem* file_system,
                                                                  const std::string& folder,
                                                                  uint64_t number);
  absl::Status Add(std::span<const PinnedSeries> series);
  // Makes it durable under its name.
  absl::Status Finish();

 private:
  CheckpointWriter(FileSystem* file_system, std::string folder, uint64_t number)
      : file_system_(file_system), folder_(std::move(folder)), number_(number) {}

  FileSystem* const file_system_;
  const std::string folder_;
  const uint64_t number_;
  std::unique_ptr<lsm::WalWriter> writer_;
  chunk::Encoder encoder_;
  uint64_t samples_ = 0;
};

// One stretch of samples of one series.
using CheckpointStretch = std::pair<SeriesRef, Columns>;
// Decodes one record. DataLoss. `samples` is what the end record says, if this is it.
absl::Status DecodeCheckpointRecord(std::string_view record, std::vector<CheckpointStretch>* out,
                                    bool* is_end, uint64_t* samples);

// Hands the samples to `apply`, in slices. DataLoss: damaged or not whole.
absl::Status ReadCheckpoint(FileSystem* file_system, const std::string& folder, uint64_t number,
                            const std::function<absl::Status(std::span<const RefSample>)>& apply);

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_CHECKPOINT_H_
