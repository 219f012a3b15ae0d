#include "lib/tsdb/checkpoint.h"

#include "lib/base/coding.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/wal_reader.h"
#include "lib/tsdb/head_log.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::tsdb {

namespace {

// First byte of a record. On disk: never renumber.
constexpr uint8_t kStretches = 1;  // { ref varint, length varint, chunk } to the end
constexpr uint8_t kEnd = 2;        // samples varint

// A record is written, and read back, as a whole.
constexpr size_t kRecordBytes = 1 << 20;

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointWriter>> CheckpointWriter::Create(
    FileSystem* file_system, const std::string& folder, uint64_t number) {
  std::unique_ptr<CheckpointWriter> checkpoint(new CheckpointWriter(file_system, folder, number));
  TINYOBS_ASSIGN_OR_RETURN(
      checkpoint->writer_,
      lsm::WalWriter::Create(file_system, TemporaryNameFor(CheckpointPath(folder, number)),
                             {kWalKindCheckpoint, number, 0}));
  return checkpoint;
}

absl::Status CheckpointWriter::Add(std::span<const PinnedSeries> series) {
  std::string record;
  std::string bytes;
  const auto flush = [&] {
    if (!record.empty()) writer_->Add(record);
    record.clear();
    return writer_->Write();
  };
  for (const PinnedSeries& pins : series) {
    for (const auto& [generation, columns] : pins.stretches) {
      if (record.empty()) record.push_back(static_cast<char>(kStretches));
      bytes.clear();
      encoder_.Encode(columns.timestamps_ms, columns.values, &bytes);
      PutVarint64(&record, pins.ref);
      PutLengthPrefixed(&record, bytes);
      samples_ += columns.size();
      if (record.size() >= kRecordBytes) TINYOBS_RETURN_IF_ERROR(flush());
    }
  }
  return flush();
}

absl::Status CheckpointWriter::Finish() {
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

absl::Status DecodeCheckpointRecord(std::string_view record, std::vector<CheckpointStretch>* out,
                                    bool* is_end, uint64_t* samples) {
  out->clear();
  ByteReader reader(record);
  const uint8_t kind = reader.Byte();
  *is_end = kind == kEnd;
  if (kind == kEnd) {
    *samples = reader.Varint64();
  } else if (kind == kStretches) {
    while (!reader.empty()) {
      const auto ref = static_cast<SeriesRef>(reader.BoundedVarint64(kMaxSeriesRef));
      const std::string_view bytes = reader.LengthPrefixed();
      if (!reader.ok()) break;
      Columns columns;
      TINYOBS_RETURN_IF_ERROR(chunk::Decode(bytes, &columns));
      out->emplace_back(ref, std::move(columns));
    }
  } else {
    reader.Fail();
  }
  if (reader.ok() && reader.empty()) return absl::OkStatus();
  return absl::DataLossError(StrCat("checkpoint record of kind ", kind, " and ", record.size(),
                                    " bytes: expected whole fields, found others"));
}

absl::Status ReadCheckpoint(FileSystem* file_system, const std::string& folder, uint64_t number,
                            const std::function<absl::Status(std::span<const RefSample>)>& apply) {
  const std::string path = CheckpointPath(folder, number);
  TINYOBS_ASSIGN_OR_RETURN(const auto file, file_system->OpenRandomAccess(path));
  TINYOBS_ASSIGN_OR_RETURN(const auto reader,
                           lsm::WalReader::Open(file.get(), path, kWalKindCheckpoint, number));
  uint64_t samples_read = 0;
  uint64_t samples_promised = 0;
  bool ended = false;
  std::vector<CheckpointStretch> stretches;
  std::vector<RefSample> samples;
  while (true) {
    std::string_view record;
    TINYOBS_ASSIGN_OR_RETURN(const bool more, reader->Next(&record));
    if (!more) break;
    const absl::Status status =
        DecodeCheckpointRecord(record, &stretches, &ended, &samples_promised);
    if (!status.ok()) {
      return absl::Status(status.code(), StrCat(path, ": offset ", reader->record_offset(), ": ",
                                                FromAbsl(status.message())));
    }
    for (const auto& [ref, columns] : stretches) {
      samples.clear();
      for (size_t i = 0; i < columns.size(); ++i) {
        samples.push_back({ref, columns.timestamps_ms[i], columns.values[i]});
      }
      samples_read += samples.size();
      TINYOBS_RETURN_IF_ERROR(apply(samples));
    }
  }
  if (!ended || !reader->sealed() || samples_read != samples_promised) {
    return absl::DataLossError(StrCat(path, ": expected a sealed file of ", samples_promised,
                                      " samples, found ", samples_read, " samples in ",
                                      reader->file_bytes(), " bytes"));
  }
  return absl::OkStatus();
}

}  // namespace tinyobs::tsdb
