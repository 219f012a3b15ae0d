// WalReader: reads a log back, record by record, and says how it ended.
//
// Memory: one window of 64 KiB, or the current record when that is larger; a length that does not
// fit into the rest of the file is never allocated.
//
// A log may end in good order (sealed), just end (the writer died between records; perhaps with
// zeros behind that it had allocated in advance), or end in bytes that are no frame: a torn tail,
// which is cut and counted. Before a bad frame is believed to be a torn tail, the rest of the file
// is searched for a durable mark that says otherwise; see wal_format.h.
//
//   TINYOBS_ASSIGN_OR_RETURN(auto reader, WalReader::Open(file.get(), path, kind, number));
//   std::string_view record;
//   while (true) {
//     TINYOBS_ASSIGN_OR_RETURN(bool more, reader->Next(&record));
//     if (!more) break;
//     ...
//   }
//
// Thread-safety: one thread.
#ifndef TINYOBS_LIB_LSM_WAL_READER_H_
#define TINYOBS_LIB_LSM_WAL_READER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "lib/lsm/wal_format.h"
#include "tinyobs/file_system.h"

namespace tinyobs::lsm {

class WalReader {
 public:
  // Of the file as it is now. `file` must outlive the reader; `name` is for messages. A file too
  // short for a header, or with a torn one, is a legal log without records. FailedPrecondition: a
  // newer format version. DataLoss: another kind or number than expected, or damage before a
  // durable mark. Errors of the file as they come.
  static absl::StatusOr<std::unique_ptr<WalReader>> Open(const RandomAccessFile* file,
                                                         std::string name, uint32_t kind,
                                                         uint64_t number);
  WalReader(const WalReader&) = delete;
  WalReader& operator=(const WalReader&) = delete;

  // The next record, valid until the next call; false at the end. Errors are final and the same as
  // in Open.
  absl::StatusOr<bool> Next(std::string_view* record);

  // Where the last record that Next returned stands, from its frame header on.
  uint64_t record_offset() const { return record_offset_; }
  uint64_t records() const { return records_; }
  // As the header says; number 0 when the header is torn.
  const WalIdentity& identity() const { return identity_; }

  // The rest holds after Next returned false.
  bool sealed() const { return sealed_; }
  // Bytes behind the last good frame, up to the last that is not zero. Not 0 = torn tail.
  uint64_t torn_bytes() const { return torn_bytes_; }
  // The largest offset that a mark calls durable; 0 = no mark.
  uint64_t durable_bytes() const { return durable_bytes_; }
  uint64_t file_bytes() const { return file_bytes_; }

 private:
  WalReader(const RandomAccessFile* file, std::string name, uint64_t number, uint64_t file_bytes)
      : file_(file), name_(std::move(name)), number_(number), file_bytes_(file_bytes) {}

  // A view of `count` bytes at next_offset_, or fewer where the file ends.
  absl::StatusOr<std::string_view> Peek(size_t count);
  // The frame at next_offset_. Returns false when the bytes there are no frame; `reason` says why.
  absl::StatusOr<bool> PeekFrame(uint64_t log_number, FrameType* type, std::string_view* payload,
                                 std::string* reason);
  absl::Status ReadHeader(uint32_t kind);
  // The bytes at next_offset_ are no frame: torn tail or DataLoss.
  absl::Status EndAtBadFrame(const std::string& reason);
  struct Rest {
    uint64_t largest_mark = 0;  // the largest durable offset that a mark in it tells
    uint64_t bytes = 0;         // up to the last that is not zero
  };
  // Reads what is left behind next_offset_.
  absl::StatusOr<Rest> ReadRest() const;

  const RandomAccessFile* const file_;
  const std::string name_;
  const uint64_t number_;
  uint64_t file_bytes_;  // at open, or less if the file was cut while it was read

  WalIdentity identity_;
  absl::Status status_;
  bool ended_ = false;
  bool sealed_ = false;
  uint64_t next_offset_ = 0;  // of the frame to read
  uint64_t record_offset_ = 0;
  uint64_t records_ = 0;
  uint64_t torn_bytes_ = 0;
  uint64_t durable_bytes_ = 0;

  std::string window_;  // bytes of the file from window_offset_ on
  uint64_t window_offset_ = 0;
};

}  // namespace tinyobs::lsm

#endif  // TINYOBS_LIB_LSM_WAL_READER_H_
