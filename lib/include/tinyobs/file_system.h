// FileSystem: the only door from the library to files.
//
// Everything the engine knows about a disk goes through this interface, so that a test can lose
// unsynced data, tear writes, fill up or fail on demand, and an embedder can bring a file system of
// a device. The default, FileSystem::Posix(), talks to the operating system.
//
// Durability contract, which every implementation must keep and the engine is built on:
//  1. When Append returns OK the bytes survive the death of the process (kill -9).
//  2. When Sync returns OK every byte appended before survives power loss.
//  3. A new, renamed, linked or deleted name survives power loss only after SyncDirectory of its
//     folder returned OK.
//  4. RenameFile replaces an existing target in one step.
//  5. After a failed Sync the file's unsynced bytes are lost as far as anyone may assume; calling
//     Sync again must not report success for them.
//
// Status codes, everywhere: NotFound (no such file or folder) · AlreadyExists · ResourceExhausted
// (no space or no file handles left) · FailedPrecondition (locked by another process, not a folder,
// a link or rename to another disk) · PermissionDenied · DataLoss (fewer bytes than the caller
// knows to be there) · Unavailable (any other I/O error). Messages name the operation and the path.
//
// Thread-safety: a FileSystem and a RandomAccessFile are thread-safe; a WritableFile is one
// thread's at a time.
#ifndef TINYOBS_FILE_SYSTEM_H_
#define TINYOBS_FILE_SYSTEM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tinyobs {

// Bytes at offsets of a file that may still be growing.
class RandomAccessFile {
 public:
  virtual ~RandomAccessFile() = default;

  // Reads up to `count` bytes at `offset` into `buffer` (room for `count`) and returns how many:
  // fewer only where the file ends. Never interrupted, never short for any other reason.
  virtual absl::StatusOr<size_t> Read(uint64_t offset, size_t count, char* buffer) const = 0;

  // The size now.
  virtual absl::StatusOr<uint64_t> Size() const = 0;
};

// A file that grows at its end. Unbuffered: an Append is a write, so callers gather what belongs
// together.
class WritableFile {
 public:
  // Releases the handle without syncing; Close() first to learn of errors.
  virtual ~WritableFile() = default;

  // All of `bytes` or an error, after which the file may hold any prefix of them. After a failed
  // Sync, and after Close, Append and Sync answer FailedPrecondition.
  virtual absl::Status Append(std::string_view bytes) = 0;
  virtual absl::Status Sync() = 0;
  // Puts at least `bytes` zeros behind what was appended; later Appends overwrite them, so that a
  // Sync need not record a new size each time. 0 cuts them off again, as Close does; a process that
  // dies first leaves them. Nothing is durable before the next Sync. After an error (not supported,
  // no space) there may be any number of zeros, and the file is as usable as before.
  virtual absl::Status Preallocate(uint64_t bytes) {
    static_cast<void>(bytes);
    return absl::UnimplementedError("preallocate");
  }
  // Idempotent.
  virtual absl::Status Close() = 0;
};

// Held as long as the object lives.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;

  virtual absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) = 0;
  // Creates the file, or empties the one that is there.
  virtual absl::StatusOr<std::unique_ptr<WritableFile>> CreateWritable(const std::string& path) = 0;

  virtual absl::Status DeleteFile(const std::string& path) = 0;
  // A folder too, with all that is in it, to a free name in the same folder.
  virtual absl::Status RenameFile(const std::string& from, const std::string& to) = 0;
  // A second name for the same file (hard link); AlreadyExists when `to` is taken.
  virtual absl::Status LinkFile(const std::string& from, const std::string& to) = 0;
  // With its parents; OK when it is there already. The exception to rule 3: the names it creates
  // are durable when it returns OK, because only it knows how many levels were missing.
  virtual absl::Status CreateDirectories(const std::string& path) = 0;
  // Only when it is empty; FailedPrecondition otherwise.
  virtual absl::Status DeleteDirectory(const std::string& path) = 0;
  virtual absl::Status SyncDirectory(const std::string& path) = 0;

  // Names (not paths) in a folder, without "." and "..", in no order.
  virtual absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) = 0;
  virtual absl::StatusOr<uint64_t> FileSize(const std::string& path) = 0;
  virtual bool FileExists(const std::string& path) = 0;
  // Bytes that this user can still write on the disk that holds `path`.
  virtual absl::StatusOr<uint64_t> FreeSpace(const std::string& path) = 0;

  // Exclusive among processes and within this one; FailedPrecondition when somebody holds it.
  // Creates the file.
  virtual absl::StatusOr<std::unique_ptr<FileLock>> LockFile(const std::string& path) = 0;

  // The operating system's; lives as long as the process.
  static FileSystem* Posix();
};

}  // namespace tinyobs

#endif  // TINYOBS_FILE_SYSTEM_H_
