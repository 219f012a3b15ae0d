// Files are lists of pieces of one size, so that a file grows without copying what it has and what
// is charged is what is taken. Names are one sorted map of whole paths: folders are few, and a
// range of the map is what is in one.
//
// Thread-safety: names_ has a mutex, each file one of its own; neither is held while the other is
// taken. A reader may read a file while its one writer appends.
#include "lib/vfs/in_memory_file_system.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/mutex.h"
#include "lib/base/shared_mutex.h"
#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs {
namespace {

// Large against the list, small against a table: a file wastes half of one.
constexpr size_t kPieceBytes = 16 << 10;

// The bytes behind one or more names.
class Bytes {
 public:
  explicit Bytes(MemoryAccount* account) : charge_(account) {}

  // As much as the account allows.
  absl::Status Append(std::string_view bytes) {
    WriterMutexLock lock(&mutex_);
    while (!bytes.empty()) {
      const size_t at = size_ % kPieceBytes;
      if (size_ == pieces_.size() * kPieceBytes) {
        TINYOBS_RETURN_IF_ERROR(charge_.TryAdd(kPieceBytes));
        pieces_.push_back(std::make_unique_for_overwrite<char[]>(kPieceBytes));
      }
      const size_t count = std::min(bytes.size(), kPieceBytes - at);
      std::memcpy(pieces_.back().get() + at, bytes.data(), count);
      size_ += count;
      bytes.remove_prefix(count);
    }
    return absl::OkStatus();
  }
  size_t Read(uint64_t offset, size_t count, char* buffer) const {
    ReaderMutexLock lock(&mutex_);
    if (offset >= size_) return 0;
    count = std::min<size_t>(count, size_ - offset);
    for (size_t done = 0; done < count;) {
      const size_t from = (offset + done) % kPieceBytes;
      const size_t part = std::min(count - done, kPieceBytes - from);
      std::memcpy(buffer + done, pieces_[(offset + done) / kPieceBytes].get() + from, part);
      done += part;
    }
    return count;
  }
  uint64_t size() const {
    ReaderMutexLock lock(&mutex_);
    return size_;
  }
  void Clear() {
    WriterMutexLock lock(&mutex_);
    pieces_.clear();
    size_ = 0;
    charge_.Reset();
  }

 private:
  mutable SharedMutex mutex_;
  std::vector<std::unique_ptr<char[]>> pieces_ ABSL_GUARDED_BY(mutex_);  // the last may be not full
  uint64_t size_ ABSL_GUARDED_BY(mutex_) = 0;
  MemoryCharge charge_ ABSL_GUARDED_BY(mutex_);
};

class InMemoryReader final : public RandomAccessFile {
 public:
  explicit InMemoryReader(std::shared_ptr<const Bytes> bytes) : bytes_(std::move(bytes)) {}
  absl::StatusOr<size_t> Read(uint64_t offset, size_t count, char* buffer) const override {
    return bytes_->Read(offset, count, buffer);
  }
  absl::StatusOr<uint64_t> Size() const override { return bytes_->size(); }

 private:
  const std::shared_ptr<const Bytes> bytes_;
};

class InMemoryWriter final : public WritableFile {
 public:
  InMemoryWriter(std::string path, std::shared_ptr<Bytes> bytes)
      : path_(std::move(path)), bytes_(std::move(bytes)) {}
  absl::Status Append(std::string_view bytes) override {
    TINYOBS_RETURN_IF_ERROR(Sync());
    const absl::Status status = bytes_->Append(bytes);
    if (status.ok()) return status;
    return absl::Status(status.code(), StrCat("append ", path_, ": ", status.message()));
  }
  absl::Status Sync() override {
    if (bytes_ != nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(StrCat(path_, ": the file is closed"));
  }
  absl::Status Close() override {
    bytes_ = nullptr;
    return absl::OkStatus();
  }

 private:
  const std::string path_;
  std::shared_ptr<Bytes> bytes_;  // null = closed
};

class InMemoryFileSystem final : public FileSystem {
 public:
  explicit InMemoryFileSystem(MemoryAccount* account) : account_(account) {}

  absl::StatusOr<std::unique_ptr<RandomAccessFile>> OpenRandomAccess(
      const std::string& path) override {
    MutexLock lock(&mutex_);
    TINYOBS_ASSIGN_OR_RETURN(std::shared_ptr<Bytes> bytes, Find("open", Clean(path)));
    return std::make_unique<InMemoryReader>(std::move(bytes));
  }

  absl::StatusOr<std::unique_ptr<WritableFile>> CreateWritable(const std::string& raw) override {
    const std::string path = Clean(raw);
    std::shared_ptr<Bytes> bytes;
    {
      MutexLock lock(&mutex_);
      TINYOBS_RETURN_IF_ERROR(CheckFolder("create", DirectoryOf(path)));
      TINYOBS_ASSIGN_OR_RETURN(bytes, FindOrCreate("create", path));
    }
    bytes->Clear();
    return std::make_unique<InMemoryWriter>(path, std::move(bytes));
  }

  absl::Status DeleteFile(const std::string& raw) override {
    const std::string path = Clean(raw);
    std::shared_ptr<Bytes> bytes;  // dies after the lock is gone: freeing takes time
    MutexLock lock(&mutex_);
    TINYOBS_ASSIGN_OR_RETURN(bytes, Find("delete", path));
    names_.erase(path);
    return absl::OkStatus();
  }

  absl::Status RenameFile(const std::string& raw_from, const std::string& raw_to) override {
    const std::string from = Clean(raw_from), to = Clean(raw_to);
    std::shared_ptr<Bytes> replaced;
    MutexLock lock(&mutex_);
    const auto found = names_.find(from);
    if (found == names_.end()) return Missing("rename", from);
    TINYOBS_RETURN_IF_ERROR(CheckFolder("rename", DirectoryOf(to)));
    if (found->second == nullptr) return RenameFolder(from, to);
    if (from == to) return absl::OkStatus();
    if (names_.count(to) > 0) {
      TINYOBS_ASSIGN_OR_RETURN(replaced, Find("rename", to));
    }
    names_[to] = std::move(found->second);
    names_.erase(found);
    return absl::OkStatus();
  }

  absl::Status LinkFile(const std::string& raw_from, const std::string& raw_to) override {
    const std::string from = Clean(raw_from), to = Clean(raw_to);
    MutexLock lock(&mutex_);
    TINYOBS_ASSIGN_OR_RETURN(std::shared_ptr<Bytes> bytes, Find("link", from));
    TINYOBS_RETURN_IF_ERROR(CheckFolder("link", DirectoryOf(to)));
    if (!names_.try_emplace(to, std::move(bytes)).second) {
      return absl::AlreadyExistsError(StrCat("link ", from, " to ", to, ": exists"));
    }
    return absl::OkStatus();
  }

  absl::Status CreateDirectories(const std::string& raw) override {
    const std::string path = Clean(raw);
    MutexLock lock(&mutex_);
    std::vector<std::string> missing;
    std::string at = path;
    for (; !IsRoot(at) && names_.count(at) == 0; at = DirectoryOf(at)) missing.push_back(at);
    TINYOBS_RETURN_IF_ERROR(CheckFolder("create folder", at));
    for (const std::string& folder : missing) names_[folder] = nullptr;
    return absl::OkStatus();
  }

  absl::Status DeleteDirectory(const std::string& raw) override {
    const std::string path = Clean(raw);
    MutexLock lock(&mutex_);
    TINYOBS_RETURN_IF_ERROR(CheckFolder("delete folder", path));
    if (IsRoot(path) || !Children(path).empty()) {
      return absl::FailedPreconditionError(StrCat("delete folder ", path, ": not empty"));
    }
    names_.erase(path);
    return absl::OkStatus();
  }

  absl::Status SyncDirectory(const std::string& path) override {
    MutexLock lock(&mutex_);
    return CheckFolder("sync folder", Clean(path));
  }

  absl::StatusOr<std::vector<std::string>> ListDirectory(const std::string& raw) override {
    const std::string path = Clean(raw);
    MutexLock lock(&mutex_);
    TINYOBS_RETURN_IF_ERROR(CheckFolder("list", path));
    return Children(path);
  }

  absl::StatusOr<uint64_t> FileSize(const std::string& path) override {
    MutexLock lock(&mutex_);
    TINYOBS_ASSIGN_OR_RETURN(const std::shared_ptr<Bytes> bytes, Find("size", Clean(path)));
    return bytes->size();
  }

  bool FileExists(const std::string& raw) override {
    const std::string path = Clean(raw);
    MutexLock lock(&mutex_);
    return IsRoot(path) || names_.count(path) > 0;
  }

  absl::StatusOr<uint64_t> FreeSpace(const std::string& path) override {
    if (!FileExists(path)) return Missing("free space", path);
    return account_ == nullptr ? SIZE_MAX : account_->left();
  }

  absl::StatusOr<std::unique_ptr<FileLock>> LockFile(const std::string& raw) override {
    const std::string path = Clean(raw);
    MutexLock lock(&mutex_);
    TINYOBS_RETURN_IF_ERROR(CheckFolder("lock", DirectoryOf(path)));
    TINYOBS_RETURN_IF_ERROR(FindOrCreate("lock", path).status());
    if (!locked_.insert(path).second) {
      return absl::FailedPreconditionError(StrCat("lock ", path, ": held by this process"));
    }
    return std::make_unique<Lock>(this, path);
  }

 private:
  class Lock final : public FileLock {
   public:
    Lock(InMemoryFileSystem* fs, std::string path) : fs_(fs), path_(std::move(path)) {}
    ~Lock() override {
      MutexLock lock(&fs_->mutex_);
      fs_->locked_.erase(path_);
    }

   private:
    InMemoryFileSystem* const fs_;
    const std::string path_;
  };

  // "a//b/" and "a/b" are one path.
  static std::string Clean(std::string_view path) {
    std::string clean;
    for (const char c : path) {
      if (c != '/' || clean.empty() || clean.back() != '/') clean.push_back(c);
    }
    if (clean.size() > 1 && clean.back() == '/') clean.pop_back();
    return clean;
  }
  static bool IsRoot(std::string_view path) { return path == "/" || path == "."; }
  static absl::Status Missing(std::string_view operation, std::string_view path) {
    return absl::NotFoundError(StrCat(operation, " ", path, ": no such file or folder"));
  }

  absl::Status CheckFolder(std::string_view operation, const std::string& path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (IsRoot(path)) return absl::OkStatus();
    const auto found = names_.find(path);
    if (found == names_.end()) return Missing(operation, path);
    if (found->second == nullptr) return absl::OkStatus();
    return absl::FailedPreconditionError(StrCat(operation, " ", path, ": not a folder"));
  }
  absl::StatusOr<std::shared_ptr<Bytes>> Find(std::string_view operation,
                                              const std::string& path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const auto found = names_.find(path);
    if (found == names_.end() && !IsRoot(path)) return Missing(operation, path);
    if (found == names_.end() || found->second == nullptr) {
      return absl::FailedPreconditionError(StrCat(operation, " ", path, ": is a folder"));
    }
    return found->second;
  }
  absl::StatusOr<std::shared_ptr<Bytes>> FindOrCreate(std::string_view operation,
                                                      const std::string& path)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (!IsRoot(path) && names_.count(path) == 0) {
      names_[path] = std::make_shared<Bytes>(account_);
    }
    return Find(operation, path);
  }
  absl::Status RenameFolder(const std::string& from, const std::string& to)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    if (names_.count(to) > 0 || DirectoryOf(from) != DirectoryOf(to)) {
      return absl::FailedPreconditionError(
          StrCat("rename ", from, " to ", to, ": only to a free name in the same folder"));
    }
    const std::string inside = from + "/";
    for (auto at = names_.lower_bound(inside); at != names_.end() && at->first.starts_with(inside);
         at = names_.erase(at)) {
      names_[StrCat(to, "/", at->first.substr(inside.size()))] = std::move(at->second);
    }
    names_.erase(from);
    names_[to] = nullptr;
    return absl::OkStatus();
  }
  std::vector<std::string> Children(const std::string& path) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    std::vector<std::string> children;
    // Names in "." have no folder before them, so that the range is the whole map.
    const std::string inside = path == "." ? "" : path == "/" ? path : path + "/";
    for (auto at = names_.lower_bound(inside); at != names_.end() && at->first.starts_with(inside);
         ++at) {
      const std::string_view rest = std::string_view(at->first).substr(inside.size());
      if (rest.find('/') == std::string_view::npos) children.emplace_back(rest);
    }
    return children;
  }

  MemoryAccount* const account_;
  Mutex mutex_;
  std::map<std::string, std::shared_ptr<Bytes>> names_ ABSL_GUARDED_BY(mutex_);  // null = folder
  std::set<std::string> locked_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<FileSystem> NewInMemoryFileSystem(MemoryAccount* account) {
  return std::make_unique<InMemoryFileSystem>(account);
}

}  // namespace tinyobs
