// Head checkpoint: the unfrozen part of the head as one file, so that the log before it can go.
//
// Written in slices of series while commits go on, because a copy of the whole head would stop
// commits for as long as it takes. So it is not the head of one instant; each slice is, and says
// which: after so many records of the checkpoint's own segment. A replay skips those records for
// the series of the slice (ReplayFilter), so every sample is applied exactly once. Replaying all of
// the segment on top instead would end with the same samples too, but as late ones: a head that
// takes a sample twice keeps it twice until it is sealed.
//
// A stretch of samples is the head's own encoding, copied: nothing is decoded or encoded again.
//
// The file has the frames of a log (lib/lsm), ends sealed, and takes its name by rename after it
// was synced: a checkpoint that can be seen is whole, or the disk is damaged. FORMAT.md has the
// bytes and the crash arguments.
//
// Thread-safety: one thread each.
#ifndef TINYOBS_LIB_TSDB_HEAD_CHECKPOINT_H_
#define TINYOBS_LIB_TSDB_HEAD_CHECKPOINT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/lsm/wal_writer.h"
#include "lib/tsdb/head_pin.h"
#include "lib/tsdb/key_schema.h"
#include "lib/tsdb/sample_batch.h"
#include "tinyobs/file_system.h"

namespace tinyobs::tsdb {

// The series [begin, end) as they were after `records` records of the segment with the checkpoint's
// number: all records count, those without samples too.
struct CheckpointSlice {
  SeriesRef begin = 0;
  SeriesRef end = 0;
  uint64_t records = 0;
};

// Samples of one series. `stream` is what the head made of them, valid during the call.
struct CheckpointStretch {
  SeriesRef ref = 0;
  bool late = false;
  int64_t first_ms = 0;
  uint32_t count = 0;
  std::string_view stream;
};

class HeadCheckpointWriter {
 public:
  // Of the checkpoint that segment `number` goes on from.
  static absl::StatusOr<std::unique_ptr<HeadCheckpointWriter>> Create(FileSystem* file_system,
                                                                      const std::string& folder,
                                                                      uint64_t number);

  // REQUIRES: slices ascend and do not overlap; `pin` holds what was unfrozen of its series, by
  // ascending ref. A slice without samples counts too: records are skipped for its series.
  // `records` is of segment `number`: 0 when that does not exist yet (a checkpoint at close) or
  // what was applied since it began was replayed from older ones (a checkpoint at open).
  absl::Status AddSlice(const CheckpointSlice& slice, const HeadPin& pin);

  // Makes it durable under its name. Without it, a temporary file stays behind.
  absl::Status Finish();

 private:
  HeadCheckpointWriter(FileSystem* file_system, std::string folder, uint64_t number)
      : file_system_(file_system), folder_(std::move(folder)), number_(number) {}

  FileSystem* const file_system_;
  const std::string folder_;
  const uint64_t number_;
  std::unique_ptr<lsm::WalWriter> writer_;
  SeriesRef next_ref_ = 0;  // slices so far end here
  uint64_t samples_ = 0;
};

struct CheckpointCallbacks {
  std::function<absl::Status(const CheckpointSlice&)> slice;
  std::function<absl::Status(const CheckpointStretch&)> stretch;
};

// Reads the records of one checkpoint in order.
class CheckpointDecoder {
 public:
  explicit CheckpointDecoder(const CheckpointCallbacks& callbacks) : callbacks_(callbacks) {}

  // DataLoss: damaged. FailedPrecondition: of a newer version. Errors of callbacks as they come.
  // Streams are not looked into.
  absl::Status Decode(std::string_view record);
  // Whether the end came, and with the right number of samples.
  bool complete() const { return ended_ && samples_ == promised_; }
  uint64_t samples() const { return samples_; }

 private:
  const CheckpointCallbacks& callbacks_;
  CheckpointSlice slice_;
  SeriesRef last_ref_ = 0;  // of the slice's stretches so far
  bool ended_ = false;
  uint64_t samples_ = 0;
  uint64_t promised_ = 0;
};

// Hands over all that checkpoint `number` holds, in the order it was written. `file` is the open
// file of `path`. DataLoss: damaged or not whole.
absl::Status ReadHeadCheckpoint(const RandomAccessFile* file, const std::string& path,
                                uint64_t number, const CheckpointCallbacks& callbacks);

// Knows which samples of the log a checkpoint holds already.
class ReplayFilter {
 public:
  // Of checkpoint `number`.
  explicit ReplayFilter(uint64_t number) : number_(number) {}

  // REQUIRES: slices ascend, as they do in a checkpoint.
  void AddSlice(const CheckpointSlice& slice);

  // Whether the checkpoint holds the samples of `ref` in record `index` of segment `segment`.
  bool Skip(uint64_t segment, uint64_t index, SeriesRef ref) const;
  // Takes such samples out of the record's batch. Costs nothing for records behind all slices.
  void Remove(uint64_t segment, uint64_t index, SampleBatch* batch) const;

 private:
  const uint64_t number_;
  std::vector<CheckpointSlice> slices_;
  uint64_t most_records_ = 0;
};

}  // namespace tinyobs::tsdb

#endif  // TINYOBS_LIB_TSDB_HEAD_CHECKPOINT_H_
