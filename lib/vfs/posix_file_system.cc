// FileSystem::Posix(): files of the operating system.
//
// Plain pread and pwrite, not mmap: an I/O error of a mapped file is a SIGBUS that ends the
// embedder's process, and page faults would block threads that believe they compute. The exception,
// and why it is none, is in mapped_tail.h: small appends to preallocated space. Not O_DIRECT: the
// page cache is the second level of our block cache and shrinks by itself when the embedder needs
// memory.
//
// Calls interrupted by a signal are repeated, short reads and writes are completed. After a failed
// fdatasync the kernel may have dropped the dirty pages and marked them clean, so a second one
// would lie: the file remembers the failure and stays dead.
//
// Locks are flock locks: unlike fcntl locks they belong to the open file, not to the process, so
// closing some other descriptor of the same file does not release them. Where flock is emulated by
// fcntl (NFS) it would let a second opener of the same process in; a table of held locks excludes
// that.
//
// Thread-safety: as tinyobs/file_system.h says.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/vfs/mapped_tail.h"
#include "lib/vfs/whole_file.h"
#include "tinyobs/file_system.h"

namespace tinyobs {
namespace {

constexpr mode_t kFileMode = 0644;
constexpr mode_t kDirectoryMode = 0755;
// A write larger than this is split; Linux itself stops at 2 GiB.
constexpr size_t kMaxWriteBytes = size_t{1} << 30;

absl::StatusCode CodeOf(int error) {
  switch (error) {
    case ENOENT:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::StatusCode::kResourceExhausted;
    case ENOTDIR:
    case EISDIR:
    case ENOTEMPTY:
    case EXDEV:
      return absl::StatusCode::kFailedPrecondition;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    default:
      return absl::StatusCode::kUnavailable;
  }
}

absl::Status ErrnoStatus(std::string_view operation, std::string_view path, int error) {
  return absl::Status(CodeOf(error),
                      StrCat(operation, " ", path, ": ", std::generic_category().message(error)));
}

// Repeats a system call while a signal interrupts it.
template <typename Call>
auto Uninterrupted(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() { Close(); }
  int get() const { return fd_; }
  int Release() { return std::exchange(fd_, -1); }
  void Close() {
    const int fd = Release();
    if (fd >= 0) ::close(fd);
  }

 private:
  int fd_;
};

absl::StatusOr<Descriptor> OpenDescriptor(const std::string& path, int flags) {
  Descriptor fd(Uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, kFileMode); }));
  if (fd.get() < 0) return ErrnoStatus("open", path, errno);
  return fd;
}

absl::StatusOr<struct stat> StatusOfDescriptor(int fd, const std::string& path) {
  struct stat info;
  if (::fstat(fd, &info) != 0) return ErrnoStatus("stat", path, errno);
  return info;
}

class PosixRandomAccessFile final : public RandomAccessFile {
 public:
  PosixRandomAccessFile(std::string path, Descriptor fd)
      : path_(std::move(path)), fd_(std::move(fd)) {}

  absl::StatusOr<size_t> Read(uint64_t offset, size_t count, char* buffer) const override {
    size_t done = 0;
    while (done < count) {
      const ssize_t got = Uninterrupted([&] {
        return ::pread(fd_.get(), buffer + done, count - done, static_cast<off_t>(offset + done));
      });
      if (got < 0) return ErrnoStatus("read", path_, errno);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  absl::StatusOr<uint64_t> Size() const override {
    TINYOBS_ASSIGN_OR_RETURN(const struct stat info, StatusOfDescriptor(fd_.get(), path_));
    return static_cast<uint64_t>(info.st_size);
  }

 private:
  const std::string path_;
  const Descriptor fd_;
};

class PosixWritableFile final : public WritableFile {
 public:
  PosixWritableFile(std::string path, Descriptor fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  absl::Status Append(std::string_view bytes) override {
    TINYOBS_RETURN_IF_ERROR(CheckUsable("append to"));
    while (!bytes.empty()) {
      size_t written = tail_.Write(fd_.get(), end_, allocated_end_, bytes);
      if (written == 0) {
        const size_t count = std::min(bytes.size(), kMaxWriteBytes);
        ssize_t result = Uninterrupted(
            [&] { return ::pwrite(fd_.get(), bytes.data(), count, static_cast<off_t>(end_)); });
        if (result < 0 && errno == ESPIPE) {  // a pipe
          result = Uninterrupted([&] { return ::write(fd_.get(), bytes.data(), count); });
        }
        if (result < 0) return ErrnoStatus("append to", path_, errno);
        written = static_cast<size_t>(result);
      }
      end_ += written;
      bytes.remove_prefix(written);
    }
    return absl::OkStatus();
  }

  absl::Status Sync() override {
    TINYOBS_RETURN_IF_ERROR(CheckUsable("sync"));
    tail_.Expire();
    if (Uninterrupted([&] { return ::fdatasync(fd_.get()); }) == 0) return absl::OkStatus();
    const int error = errno;
    sync_failed_ = true;
    return ErrnoStatus("sync", path_, error);
  }

  absl::Status Preallocate(uint64_t bytes) override {
    TINYOBS_RETURN_IF_ERROR(CheckUsable("preallocate"));
    if (bytes == 0) return CutZeros();
    has_zeros_ = true;
    // Not posix_fallocate: where the file system cannot do it, that writes the zeros one by one.
    const int result = Uninterrupted([&] {
      return ::fallocate(fd_.get(), 0, static_cast<off_t>(end_), static_cast<off_t>(bytes));
    });
    if (result != 0) return ErrnoStatus("preallocate", path_, errno);
    allocated_end_ = end_ + bytes;
    return absl::OkStatus();
  }

  absl::Status Close() override {
    absl::Status status = fd_.get() < 0 ? absl::OkStatus() : CutZeros();
    const int fd = fd_.Release();
    if (fd < 0) return absl::OkStatus();
    // Linux releases the descriptor even when close is interrupted, so it is not repeated.
    if (::close(fd) != 0 && errno != EINTR && status.ok()) {
      status = ErrnoStatus("close", path_, errno);
    }
    return status;
  }

 private:
  absl::Status CheckUsable(std::string_view operation) const {
    if (fd_.get() < 0) {
      return absl::FailedPreconditionError(StrCat(operation, " ", path_, ": the file is closed"));
    }
    if (sync_failed_) {
      return absl::FailedPreconditionError(
          StrCat(operation, " ", path_, ": an earlier sync of this file failed"));
    }
    return absl::OkStatus();
  }

  absl::Status CutZeros() {
    if (!has_zeros_) return absl::OkStatus();
    tail_.Unmap();
    allocated_end_ = 0;
    if (Uninterrupted([&] { return ::ftruncate(fd_.get(), static_cast<off_t>(end_)); }) != 0) {
      return ErrnoStatus("cut", path_, errno);
    }
    has_zeros_ = false;
    return absl::OkStatus();
  }

  const std::string path_;
  Descriptor fd_;
  uint64_t end_ = 0;            // of what was appended
  uint64_t allocated_end_ = 0;  // of the zeros behind it
  bool has_zeros_ = false;      // perhaps, also after a Preallocate that failed
  MappedTail tail_;
  bool sync_failed_ = false;
};

absl::Status SyncDirectoryOf(const std::string& path) {
  TINYOBS_ASSIGN_OR_RETURN(const Descriptor fd, OpenDescriptor(path, O_RDONLY | O_DIRECTORY));
  if (Uninterrupted([&] { return ::fsync(fd.get()); }) == 0) return absl::OkStatus();
  // The answer of file systems that have no such operation (some network and user-space ones): they
  // give no promise we could ask for.
  if (errno == EINVAL) return absl::OkStatus();
  return ErrnoStatus("sync folder", path, errno);
}

// The files this process has locked, by device and inode.
class LockTable {
 public:
  using FileId = std::pair<dev_t, ino_t>;

  // False when it is there already.
  bool Add(const FileId& id) {
    MutexLock lock(&mutex_);
    return held_.insert(id).second;
  }
  void Remove(const FileId& id) {
    MutexLock lock(&mutex_);
    held_.erase(id);
  }

 private:
  Mutex mutex_;
  std::set<FileId> held_ ABSL_GUARDED_BY(mutex_);
};

class PosixFileLock final : public FileLock {
 public:
  PosixFileLock(LockTable* table, LockTable::FileId id, Descriptor fd)
      : table_(table), id_(id), fd_(std::move(fd)) {}
  // The descriptor, and with it the flock, goes before the table entry: whoever gets past the table
  // can have the lock.
  ~PosixFileLock() override {
    fd_.Close();
    table_->Remove(id_);
  }

  int descriptor() const { return fd_.get(); }

 private:
  LockTable* const table_;
  const LockTable::FileId id_;
  Descriptor fd_;
};

class PosixFileSystem final : public FileSystem {
 public:
  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) override {
    TINYOBS_ASSIGN_OR_RETURN(Descriptor fd, OpenDescriptor(path, O_RDONLY));
    // Opening a folder for reading succeeds; only reads would fail.
    TINYOBS_ASSIGN_OR_RETURN(const struct stat info, StatusOfDescriptor(fd.get(), path));
    if (S_ISDIR(info.st_mode)) return ErrnoStatus("open", path, EISDIR);
    return std::make_unique<PosixRandomAccessFile>(path, std::move(fd));
  }

  absl::StatusOr<std::unique_ptr<WritableFile>> CreateWritable(const std::string& path) override {
    TINYOBS_ASSIGN_OR_RETURN(Descriptor fd, OpenDescriptor(path, O_RDWR | O_CREAT | O_TRUNC));
    return std::make_unique<PosixWritableFile>(path, std::move(fd));
  }

  absl::Status DeleteFile(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return ErrnoStatus("delete", path, errno);
    return absl::OkStatus();
  }

  absl::Status RenameFile(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
    const int error = errno;
    return ErrnoStatus("rename", StrCat(from, " to ", to), error);
  }

  absl::Status LinkFile(const std::string& from, const std::string& to) override {
    if (::link(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
    const int error = errno;
    return ErrnoStatus("link", StrCat(from, " to ", to), error);
  }

  absl::Status CreateDirectories(const std::string& path) override {
    std::string name = path;
    while (name.size() > 1 && name.back() == '/') name.pop_back();
    if (::mkdir(name.c_str(), kDirectoryMode) == 0) return SyncDirectoryOf(DirectoryOf(name));
    int error = errno;
    const std::string parent = DirectoryOf(name);
    if (error == ENOENT && !name.empty() && parent != name) {
      TINYOBS_RETURN_IF_ERROR(CreateDirectories(parent));
      if (::mkdir(name.c_str(), kDirectoryMode) == 0) return SyncDirectoryOf(parent);
      error = errno;
    }
    struct stat info;
    if (::stat(name.c_str(), &info) != 0) return ErrnoStatus("create folder", path, error);
    if (!S_ISDIR(info.st_mode)) return ErrnoStatus("create folder", path, ENOTDIR);
    return absl::OkStatus();
  }

  absl::Status DeleteDirectory(const std::string& path) override {
    if (::rmdir(path.c_str()) != 0) {
      // POSIX lets rmdir say EEXIST for "not empty".
      return ErrnoStatus("delete folder", path, errno == EEXIST ? ENOTEMPTY : errno);
    }
    return absl::OkStatus();
  }

  absl::Status SyncDirectory(const std::string& path) override { return SyncDirectoryOf(path); }

  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& path) override {
    const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
    if (directory == nullptr) return ErrnoStatus("list", path, errno);
    std::vector<std::string> names;
    while (true) {
      errno = 0;
      const struct dirent* const entry = ::readdir(directory.get());
      if (entry == nullptr) break;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    if (errno != 0) return ErrnoStatus("list", path, errno);
    return names;
  }

  absl::StatusOr<uint64_t> FileSize(const std::string& path) override {
    struct stat info;
    if (::stat(path.c_str(), &info) != 0) return ErrnoStatus("stat", path, errno);
    return static_cast<uint64_t>(info.st_size);
  }

  bool FileExists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }

  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override {
    struct statvfs info;
    if (Uninterrupted([&] { return ::statvfs(path.c_str(), &info); }) != 0) {
      return ErrnoStatus("free space of", path, errno);
    }
    return uint64_t{info.f_bavail} * info.f_frsize;
  }

  absl::StatusOr<std::unique_ptr<FileLock>> LockFile(const std::string& path) override {
    TINYOBS_ASSIGN_OR_RETURN(Descriptor fd, OpenDescriptor(path, O_RDWR | O_CREAT));
    TINYOBS_ASSIGN_OR_RETURN(const struct stat info, StatusOfDescriptor(fd.get(), path));
    const LockTable::FileId id(info.st_dev, info.st_ino);
    if (!locks_.Add(id)) {
      return absl::FailedPreconditionError(StrCat("lock ", path, ": held by this process"));
    }
    auto lock = std::make_unique<PosixFileLock>(&locks_, id, std::move(fd));
    if (Uninterrupted([&] { return ::flock(lock->descriptor(), LOCK_EX | LOCK_NB); }) == 0) {
      return lock;
    }
    if (errno == EWOULDBLOCK) {
      return absl::FailedPreconditionError(StrCat("lock ", path, ": held by another process"));
    }
    return ErrnoStatus("lock", path, errno);
  }

 private:
  LockTable locks_;
};

}  // namespace

FileSystem* FileSystem::Posix() {
  // Never destroyed: other static objects may still use it while the process ends.
  static FileSystem* const instance = std::make_unique<PosixFileSystem>().release();
  return instance;
}

}  // namespace tinyobs
