// CountingFileSystem: the operating system's files, and how many bytes of them there are at any
// moment, those included that are still being written or wait for their deletion. A look at the
// folder now and then would miss the moment at which a merge has its input and its output there.
//
// Only files below folders whose path does not hold `without` count. Links are not followed: the
// engine makes none by itself.
//
// Thread-safe.
#ifndef TINYOBS_BENCH_PEERS_COUNTING_FILE_SYSTEM_H_
#define TINYOBS_BENCH_PEERS_COUNTING_FILE_SYSTEM_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "lib/base/mutex.h"
#include "tinyobs/file_system.h"

namespace tinyobs::bench {

class CountingFileSystem final : public FileSystem {
 public:
  explicit CountingFileSystem(std::string without) : without_(std::move(without)) {}

  // Bytes of files: now, and the most there were since ForgetPeak.
  uint64_t bytes() const;
  uint64_t peak_bytes() const;
  void ForgetPeak();

  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) override {
    return below_->OpenRandomAccess(path);
  }
  absl::StatusOr<std::unique_ptr<WritableFile>> CreateWritable(const std::string& path) override;
  absl::Status DeleteFile(const std::string& path) override;
  absl::Status RenameFile(const std::string& from, const std::string& to) override;
  absl::Status LinkFile(const std::string& from, const std::string& to) override {
    return below_->LinkFile(from, to);
  }
  absl::Status CreateDirectories(const std::string& path) override {
    return below_->CreateDirectories(path);
  }
  absl::Status DeleteDirectory(const std::string& path) override {
    return below_->DeleteDirectory(path);
  }
  absl::Status SyncDirectory(const std::string& path) override {
    return below_->SyncDirectory(path);
  }
  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) override {
    return below_->ListDirectory(path);
  }
  absl::StatusOr<uint64_t> FileSize(const std::string& path) override {
    return below_->FileSize(path);
  }
  bool FileExists(const std::string& path) override { return below_->FileExists(path); }
  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override {
    return below_->FreeSpace(path);
  }
  absl::StatusOr<std::unique_ptr<FileLock>> LockFile(const std::string& path) override {
    return below_->LockFile(path);
  }

 private:
  friend class CountingFile;
  void Grow(const std::string& path, uint64_t bytes);
  void Forget(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  FileSystem* const below_ = FileSystem::Posix();
  const std::string without_;
  mutable Mutex mutex_;
  std::map<std::string, uint64_t> sizes_ ABSL_GUARDED_BY(mutex_);
  uint64_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t peak_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace tinyobs::bench

#endif  // TINYOBS_BENCH_PEERS_COUNTING_FILE_SYSTEM_H_
