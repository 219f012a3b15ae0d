#include "lib/tsdb/head_checkpoint.h"

#include <algorithm>

#include "lib/base/check.h"
#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/wal_reader.h"
#include "lib/tsdb/head_log.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::tsdb {

namespace {

// First byte of a record. On disk: never renumber.
constexpr uint8_t kSlice = 1;
constexpr uint8_t kStretches = 2;
constexpr uint8_t kEnd = 3;

// A record is written, and read back, as a whole.
constexpr size_t kRecordBytes = 1 << 20;

int64_t WrappingSubtract(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}
int64_t WrappingAdd(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

}  // namespace

absl::StatusOr<std::unique_ptr<HeadCheckpointWriter>> HeadCheckpointWriter::Create(
    FileSystem* file_system, const std::string& folder, uint64_t number) {
  std::unique_ptr<HeadCheckpointWriter> checkpoint(
      new HeadCheckpointWriter(file_system, folder, number));
  TINYOBS_ASSIGN_OR_RETURN(
      checkpoint->writer_,
      lsm::WalWriter::Create(file_system, TemporaryNameFor(CheckpointPath(folder, number)),
                             {kWalKindCheckpoint, number, 0}));
  return checkpoint;
}

absl::Status HeadCheckpointWriter::AddSlice(const CheckpointSlice& slice, const HeadPin& pin) {
  TINYOBS_CHECK(next_ref_ <= slice.begin && slice.begin < slice.end);
  next_ref_ = slice.end;
  std::string record(1, static_cast<char>(kSlice));
  PutVarint64(&record, slice.begin);
  PutVarint64(&record, slice.end - slice.begin);
  PutVarint64(&record, slice.records);
  writer_->Add(record);
  record.clear();
  SeriesRef last_ref = slice.begin;
  int64_t last_ms = 0;
  for (const HeadPin::Stretch& stretch : pin.stretches) {
    TINYOBS_CHECK(last_ref <= stretch.ref && stretch.ref < slice.end);
    if (record.empty()) {
      record.push_back(static_cast<char>(kStretches));
      last_ms = 0;
    }
    PutVarint64(&record, uint64_t{stretch.ref - last_ref} << 1 | (stretch.late ? 1 : 0));
    PutZigZag64(&record, WrappingSubtract(stretch.first_ms, last_ms));
    PutVarint64(&record, stretch.count);
    PutLengthPrefixed(&record, pin.Stream(stretch));
    last_ref = stretch.ref;
    last_ms = stretch.first_ms;
    samples_ += stretch.count;
    if (record.size() < kRecordBytes) continue;
    writer_->Add(record);
    TINYOBS_RETURN_IF_ERROR(writer_->Write());
    record.clear();
  }
  if (!record.empty()) writer_->Add(record);
  return writer_->Write();
}

absl::Status HeadCheckpointWriter::Finish() {
  std::string record(1, static_cast<char>(kEnd));
  PutVarint64(&record, samples_);
  writer_->Add(record);
  TINYOBS_RETURN_IF_ERROR(writer_->Seal());
  TINYOBS_RETURN_IF_ERROR(writer_->Sync());
  TINYOBS_RETURN_IF_ERROR(writer_->Close());
  TINYOBS_RETURN_IF_ERROR(
      file_system_->RenameFile(writer_->path(), CheckpointPath(folder_, number_)));
  return file_system_->SyncDirectory(folder_);
}

absl::Status CheckpointDecoder::Decode(std::string_view record) {
  ByteReader reader(record);
  const uint8_t kind = reader.Byte();
  if (ended_) reader.Fail();
  if (kind == kSlice) {
    const uint64_t least = slice_.end;
    slice_.begin = static_cast<SeriesRef>(reader.BoundedVarint64(kMaxSeriesRef));
    const uint64_t room = uint64_t{kMaxSeriesRef} + 1 - slice_.begin;
    slice_.end = slice_.begin + static_cast<SeriesRef>(reader.BoundedVarint64(room));
    slice_.records = reader.Varint64();
    last_ref_ = slice_.begin;
    if (slice_.begin < least || slice_.begin == slice_.end) reader.Fail();
    if (reader.ok() && reader.empty()) return callbacks_.slice(slice_);
  } else if (kind == kStretches) {
    int64_t last_ms = 0;
    while (!reader.empty()) {
      CheckpointStretch stretch;
      const uint64_t head = reader.Varint64();
      stretch.ref = last_ref_ + static_cast<SeriesRef>(std::min(head >> 1, uint64_t{slice_.end}));
      stretch.late = (head & 1) != 0;
      stretch.first_ms = WrappingAdd(last_ms, reader.ZigZag64());
      stretch.count = static_cast<uint32_t>(reader.BoundedVarint64(UINT32_MAX));
      stretch.stream = reader.LengthPrefixed();
      if (stretch.ref >= slice_.end || stretch.count == 0) reader.Fail();
      if (!reader.ok()) break;
      TINYOBS_RETURN_IF_ERROR(callbacks_.stretch(stretch));
      last_ref_ = stretch.ref;
      last_ms = stretch.first_ms;
      samples_ += stretch.count;
    }
  } else if (kind == kEnd) {
    ended_ = true;
    promised_ = reader.Varint64();
  } else if (reader.ok()) {
    return absl::FailedPreconditionError(
        StrCat("checkpoint record of kind ", kind, ", this version knows ", kSlice, " to ", kEnd));
  }
  if (reader.ok() && reader.empty()) return absl::OkStatus();
  return absl::DataLossError(StrCat("checkpoint record of kind ", kind, " and ", record.size(),
                                    " bytes: expected whole fields, found others"));
}

absl::Status ReadHeadCheckpoint(const RandomAccessFile* file, const std::string& path,
                                uint64_t number, const CheckpointCallbacks& callbacks) {
  TINYOBS_ASSIGN_OR_RETURN(const auto reader,
                           lsm::WalReader::Open(file, path, kWalKindCheckpoint, number));
  CheckpointDecoder decoder(callbacks);
  while (true) {
    std::string_view record;
    TINYOBS_ASSIGN_OR_RETURN(const bool more, reader->Next(&record));
    if (!more) break;
    if (const absl::Status status = decoder.Decode(record); !status.ok()) {
      return WithContext(status, StrCat(path, ": offset ", reader->record_offset()));
    }
  }
  if (!decoder.complete() || !reader->sealed()) {
    return absl::DataLossError(StrCat(path,
                                      ": expected a sealed file with an end record that "
                                      "counts its samples, found ",
                                      decoder.samples(), " samples in ", reader->file_bytes(),
                                      " bytes"));
  }
  return absl::OkStatus();
}

void ReplayFilter::AddSlice(const CheckpointSlice& slice) {
  slices_.push_back(slice);
  most_records_ = std::max(most_records_, slice.records);
}

bool ReplayFilter::Skip(uint64_t segment, uint64_t index, SeriesRef ref) const {
  if (segment != number_ || index >= most_records_) return false;
  const auto after = std::upper_bound(
      slices_.begin(), slices_.end(), ref,
      [](SeriesRef wanted, const CheckpointSlice& slice) { return wanted < slice.begin; });
  return after != slices_.begin() && ref < after[-1].end && index < after[-1].records;
}

void ReplayFilter::Remove(uint64_t segment, uint64_t index, SampleBatch* batch) const {
  if (segment != number_ || index >= most_records_) return;
  batch->EraseIf([&](SeriesRef ref) { return Skip(segment, index, ref); });
}

}  // namespace tinyobs::tsdb
