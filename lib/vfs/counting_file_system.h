// A FileSystem that knows how many bytes the files below one folder have.
//
// A limit on storage must count what no table of contents knows: files that are just being written,
// files that were replaced and are still read, leftovers. Asking the operating system for each
// commit would cost more than the commit; so every change of a size passes here and moves one
// number.
//
// It counts sizes as FileSize gives them, zeros put in advance included, and each name once. After
// a failed append the file is measured again. What another process changes is not seen.
//
// Thread-safety: thread-safe, as the file system behind it.
#ifndef TINYOBS_LIB_VFS_COUNTING_FILE_SYSTEM_H_
#define TINYOBS_LIB_VFS_COUNTING_FILE_SYSTEM_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tinyobs/file_system.h"

namespace tinyobs {

class CountingFileSystem final : public FileSystem {
 public:
  // `base` must outlive this, and this the files that are open. Begins with what is in `folder`, of
  // which a part may come and go meanwhile.
  CountingFileSystem(FileSystem* base, const std::string& folder);

  // The sizes of all files in the folder and below, now.
  uint64_t bytes() const {
    const int64_t bytes = bytes_.load(std::memory_order_relaxed);
    return bytes > 0 ? static_cast<uint64_t>(bytes) : 0;
  }

  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) override {
    return base_->OpenRandomAccess(path);
  }
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateWritable(const std::string& path) override;
  absl::Status DeleteFile(const std::string& path) override;
  absl::Status RenameFile(const std::string& from, const std::string& to) override;
  absl::Status LinkFile(const std::string& from, const std::string& to) override;
  absl::Status CreateDirectories(const std::string& path) override {
    return base_->CreateDirectories(path);
  }
  absl::Status DeleteDirectory(const std::string& path) override {
    return base_->DeleteDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return base_->SyncDirectory(path);
  }
  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) override {
    return base_->ListDirectory(path);
  }
  absl::StatusOr<uint64_t> FileSize(const std::string& path) override {
    return base_->FileSize(path);
  }
  bool FileExists(const std::string& path) override { return base_->FileExists(path); }
  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override {
    return base_->FreeSpace(path);
  }
  absl::StatusOr<std::unique_ptr<FileLock>> LockFile(const std::string& path) override {
    return base_->LockFile(path);
  }

 private:
  class File;

  bool Counts(const std::string& path) const { return path.compare(0, root_.size(), root_) == 0; }
  // Of the file, 0 where there is none or it does not count.
  int64_t Size(const std::string& path) const;
  // Of a file, or of all in a folder.
  int64_t TreeBytes(const std::string& path) const;
  void Add(int64_t bytes) { bytes_.fetch_add(bytes, std::memory_order_relaxed); }

  FileSystem* const base_;
  const std::string root_;  // ends in '/'
  std::atomic<int64_t> bytes_{0};
};

}  // namespace tinyobs

#endif  // TINYOBS_LIB_VFS_COUNTING_FILE_SYSTEM_H_
