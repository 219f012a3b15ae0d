#include "lib/vfs/counting_file_system.h"

#include <algorithm>
#include <utility>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"

namespace tinyobs {

// Tells of its size as it grows. A file keeps counting when it is renamed; it must not be deleted
// and appended to.
class CountingFileSystem::File final : public WritableFile {
 public:
  File(CountingFileSystem* owner, std::unique_ptr<WritableFile> file, std::string path)
      : owner_(owner), file_(std::move(file)), path_(std::move(path)) {}

  absl::Status Append(std::string_view bytes) override {
    absl::Status status = file_->Append(bytes);
    appended_ += static_cast<int64_t>(bytes.size());
    status.ok() ? SetSize(std::max(size_, appended_)) : Measure();
    return status;
  }
  absl::Status Sync() override { return file_->Sync(); }
  absl::Status Preallocate(uint64_t bytes) override {
    absl::Status status = file_->Preallocate(bytes);
    if (!absl::IsUnimplemented(status)) Measure();
    return status;
  }
  absl::Status Close() override {
    absl::Status status = file_->Close();
    if (status.ok() && size_ > appended_) SetSize(appended_);
    return status;
  }

 private:
  void SetSize(int64_t size) {
    owner_->Add(size - size_);
    size_ = size;
  }
  void Measure() {
    if (const auto size = owner_->FileSize(path_); size.ok()) SetSize(static_cast<int64_t>(*size));
  }

  CountingFileSystem* const owner_;
  const std::unique_ptr<WritableFile> file_;
  const std::string path_;
  int64_t appended_ = 0;
  int64_t size_ = 0;
};

CountingFileSystem::CountingFileSystem(FileSystem* base, const std::string& folder)
    : base_(base), root_(folder + "/") {
  Add(TreeBytes(folder));
}

int64_t CountingFileSystem::Size(const std::string& path) const {
  if (!Counts(path)) return 0;
  const auto size = base_->FileSize(path);
  return size.ok() ? static_cast<int64_t>(*size) : 0;
}

int64_t CountingFileSystem::TreeBytes(const std::string& path) const {
  const auto names = base_->ListDirectory(path);
  if (!names.ok()) return Size(path);
  int64_t bytes = 0;
  for (const std::string& name : *names) bytes += TreeBytes(StrCat(path, "/", name));
  return bytes;
}

absl::StatusOr<std::unique_ptr<WritableFile>> CountingFileSystem::CreateWritable(
    const std::string& path) {
  const int64_t replaced = Size(path);
  TINYOBS_ASSIGN_OR_RETURN(auto file, base_->CreateWritable(path));
  if (!Counts(path)) return file;
  Add(-replaced);
  return std::unique_ptr<WritableFile>(new File(this, std::move(file), path));
}

absl::Status CountingFileSystem::DeleteFile(const std::string& path) {
  const int64_t size = Size(path);
  TINYOBS_RETURN_IF_ERROR(base_->DeleteFile(path));
  Add(-size);
  return absl::OkStatus();
}

absl::Status CountingFileSystem::RenameFile(const std::string& from, const std::string& to) {
  const int64_t moved = Counts(from) && Counts(to) ? 0 : Size(from);
  const int64_t replaced = Size(to);
  TINYOBS_RETURN_IF_ERROR(base_->RenameFile(from, to));
  Add(-replaced - moved);
  if (!Counts(from)) Add(Size(to));
  return absl::OkStatus();
}

absl::Status CountingFileSystem::LinkFile(const std::string& from, const std::string& to) {
  TINYOBS_RETURN_IF_ERROR(base_->LinkFile(from, to));
  Add(Size(to));
  return absl::OkStatus();
}

}  // namespace tinyobs
