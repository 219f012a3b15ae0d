#include "lib/vfs/whole_file.h"

#include <memory>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs {

std::string TemporaryNameFor(std::string_view path) { return StrCat(path, ".tmp"); }

std::string DirectoryOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  if (slash == 0) return "/";
  return std::string(path.substr(0, slash));
}

absl::StatusOr<std::string> ReadWholeFile(FileSystem* file_system, const std::string& path,
                                          uint64_t limit_bytes) {
  TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<RandomAccessFile> file,
                           file_system->OpenRandomAccess(path));
  TINYOBS_ASSIGN_OR_RETURN(const uint64_t size, file->Size());
  if (size > limit_bytes) {
    return absl::ResourceExhaustedError(
        StrCat(path, ": ", size, " bytes, expected at most ", limit_bytes));
  }
  std::string content(size, '\0');
  TINYOBS_ASSIGN_OR_RETURN(const size_t count, file->Read(0, content.size(), content.data()));
  content.resize(count);
  return content;
}

absl::Status ReplaceWholeFile(FileSystem* file_system, const std::string& path,
                              std::string_view content) {
  const std::string temporary = TemporaryNameFor(path);
  // After a power cut in a rename both names may be the same file: emptying one would empty both.
  file_system->DeleteFile(temporary).IgnoreError();
  TINYOBS_ASSIGN_OR_RETURN(const std::unique_ptr<WritableFile> file,
                           file_system->CreateWritable(temporary));
  absl::Status status = file->Append(content);
  if (status.ok()) status = file->Sync();
  if (status.ok()) status = file->Close();
  if (status.ok()) status = file_system->RenameFile(temporary, path);
  if (!status.ok()) {
    // The first error is the one to tell; a leftover is overwritten by the next try.
    file_system->DeleteFile(temporary).IgnoreError();
    return status;
  }
  return file_system->SyncDirectory(DirectoryOf(path));
}

absl::Status DeleteTree(FileSystem* file_system, const std::string& path) {
  if (!file_system->FileExists(path)) return absl::OkStatus();
  const auto names = file_system->ListDirectory(path);
  if (!names.ok()) return file_system->DeleteFile(path);  // it is a file
  for (const std::string& name : *names) {
    TINYOBS_RETURN_IF_ERROR(DeleteTree(file_system, StrCat(path, "/", name)));
  }
  return file_system->DeleteDirectory(path);
}

}  // namespace tinyobs
