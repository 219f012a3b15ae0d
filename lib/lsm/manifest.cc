#include "lib/lsm/manifest.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/lsm/file_names.h"
#include "lib/lsm/wal_reader.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::lsm {
namespace {

constexpr uint64_t kRotateAtBytes = 256 << 10;
constexpr uint64_t kRotateAtTimesState = 4;
constexpr uint64_t kCurrentBytesMax = 64;

absl::Status ApplyRecord(std::string_view record, VersionBuilder* builder, ManifestState* state) {
  TINYOBS_ASSIGN_OR_RETURN(const VersionEdit edit, VersionEdit::Decode(record));
  TINYOBS_RETURN_IF_ERROR(builder->Apply(edit));
  state->log_number = edit.log_number.value_or(state->log_number);
  state->next_file_number = edit.next_file_number.value_or(state->next_file_number);
  state->last_sequence = edit.last_sequence.value_or(state->last_sequence);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<ManifestWriter>> ManifestWriter::Create(FileSystem* file_system,
                                                                       const std::string& folder,
                                                                       uint64_t number,
                                                                       const VersionEdit& state) {
  TINYOBS_ASSIGN_OR_RETURN(
      std::unique_ptr<WalWriter> log,
      WalWriter::Create(file_system, ManifestFileName(folder, number),
                        {.kind = kWalKindManifest, .number = number, .previous = 0}));
  std::unique_ptr<ManifestWriter> manifest(new ManifestWriter(std::move(log)));
  if (const absl::Status status = manifest->Append(state); !status.ok()) {
    // CURRENT does not name it, and whoever tries again takes another number.
    file_system->DeleteFile(ManifestFileName(folder, number)).IgnoreError();
    return status;
  }
  manifest->first_record_bytes_ = manifest->size_bytes();
  TINYOBS_RETURN_IF_ERROR(ReplaceWholeFile(file_system, CurrentFileName(folder),
                                           StrCat(ManifestBaseName(number), "\n")));
  return manifest;
}

absl::Status ManifestWriter::Append(const VersionEdit& edit) {
  const std::string record = edit.Encode();
  if (record.size() > kMaxRecordBytes) {
    return absl::ResourceExhaustedError(StrCat(log_->path(), ": a version edit of ", record.size(),
                                               " bytes; the limit is ", kMaxRecordBytes));
  }
  log_->Add(record);
  return log_->Sync();
}

bool ManifestWriter::ShouldRotate() const {
  return size_bytes() > std::max(kRotateAtBytes, kRotateAtTimesState * first_record_bytes_);
}

absl::StatusOr<uint64_t> ReadCurrent(FileSystem* file_system, const std::string& folder) {
  const std::string path = CurrentFileName(folder);
  TINYOBS_ASSIGN_OR_RETURN(const uint64_t bytes, file_system->FileSize(path));
  if (bytes > kCurrentBytesMax) {
    return absl::DataLossError(
        StrCat(path, ": offset 0: expected the name of a manifest, found ", bytes, " bytes"));
  }
  absl::StatusOr<std::string> read = ReadWholeFile(file_system, path, kCurrentBytesMax);
  if (absl::IsResourceExhausted(read.status()) &&
      file_system->FileSize(path).value_or(0) > kCurrentBytesMax) {
    read = absl::DataLossError(read.status().message());
  }
  TINYOBS_RETURN_IF_ERROR(read.status());
  const std::string& content = *read;
  const ParsedFileName parsed =
      content.ends_with('\n')
          ? ParseFileName(std::string_view(content).substr(0, content.size() - 1))
          : ParsedFileName();
  if (parsed.type != FileType::kManifest) {
    return absl::DataLossError(StrCat(path, ": offset 0: expected the name of a manifest, found \"",
                                      EscapeForMessage(content), "\""));
  }
  return parsed.number;
}

absl::StatusOr<ManifestState> ReadManifest(FileSystem* file_system, const std::string& folder,
                                           const std::shared_ptr<TableRegistry>& registry) {
  TINYOBS_ASSIGN_OR_RETURN(const uint64_t number, ReadCurrent(file_system, folder));
  return ReadManifest(file_system, folder, number, registry);
}

absl::StatusOr<ManifestState> ReadManifest(FileSystem* file_system, const std::string& folder,
                                           uint64_t number,
                                           const std::shared_ptr<TableRegistry>& registry) {
  ManifestState state;
  state.manifest_number = number;
  const std::string path = ManifestFileName(folder, state.manifest_number);
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> file = file_system->OpenRandomAccess(path);
  if (absl::IsNotFound(file.status())) {
    return absl::DataLossError(StrCat(path, ": named by CURRENT, but there is no such file"));
  }
  TINYOBS_RETURN_IF_ERROR(file.status());
  TINYOBS_ASSIGN_OR_RETURN(
      const std::unique_ptr<WalReader> reader,
      WalReader::Open(file->get(), path, kWalKindManifest, state.manifest_number));
  VersionBuilder builder(Version(), registry);
  std::string_view record;
  while (true) {
    TINYOBS_ASSIGN_OR_RETURN(const bool more, reader->Next(&record));
    if (!more) break;
    const absl::Status applied = ApplyRecord(record, &builder, &state);
    if (!applied.ok()) {
      return absl::DataLossError(
          StrCat(path, ": offset ", reader->record_offset(), ": ", FromAbsl(applied.message())));
    }
  }
  if (reader->records() == 0) {
    return absl::DataLossError(StrCat(path, ": offset 0: expected the state of the store, found ",
                                      reader->file_bytes(), " bytes without a whole record"));
  }
  state.torn_bytes = reader->torn_bytes();
  absl::StatusOr<std::shared_ptr<const Version>> version = builder.Build(nullptr);
  if (!version.ok()) {
    return absl::DataLossError(StrCat(path, ": ", FromAbsl(version.status().message())));
  }
  state.version = *std::move(version);
  return state;
}

}  // namespace tinyobs::lsm
