#include "tests/testing/memory_file_system.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "lib/base/status_macros.h"
#include "lib/base/strings.h"
#include "lib/vfs/whole_file.h"

namespace tinyobs::testing {
namespace {

constexpr std::string_view kOperationNames[kOperationCount] = {
    "create",      "append", "sync", "delete", "rename", "link", "create folder", "delete folder",
    "sync folder", "open",   "read", "close",  "list",   "size", "free space",    "lock"};

std::string_view NameOf(Operation operation) {
  return kOperationNames[static_cast<int>(operation)];
}

// "a//b/" and "a/b" are one path.
std::string Clean(const std::string& path) {
  std::string clean;
  for (const char c : path) {
    if (c != '/' || clean.empty() || clean.back() != '/') clean.push_back(c);
  }
  while (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  return clean;
}

// The roots that are always there.
bool IsRoot(const std::string& path) { return path == "/" || path == "."; }

absl::Status LostInCrash(const std::string& path) {
  return absl::UnavailableError(StrCat(path, ": opened before the machine crashed"));
}

}  // namespace

struct MemoryFileSystem::Inode {
  bool is_folder = false;
  std::string bytes;
  size_t synced_bytes = 0;  // a prefix of `bytes` that survives a crash
  // What the disk still has of a file that was emptied and not synced since.
  std::optional<std::string> before_truncation;
};

class MemoryRandomAccessFile final : public RandomAccessFile {
 public:
  MemoryRandomAccessFile(MemoryFileSystem* fs, std::shared_ptr<MemoryFileSystem::Inode> inode,
                         uint64_t generation, std::string path)
      : fs_(fs), inode_(std::move(inode)), generation_(generation), path_(std::move(path)) {}

  absl::StatusOr<size_t> Read(uint64_t offset, size_t count, char* buffer) const override {
    return fs_->ReadFrom(inode_, generation_, path_, offset, count, buffer);
  }
  absl::StatusOr<uint64_t> Size() const override { return fs_->SizeOf(inode_, generation_, path_); }

 private:
  MemoryFileSystem* const fs_;
  const std::shared_ptr<MemoryFileSystem::Inode> inode_;
  const uint64_t generation_;
  const std::string path_;
};

class MemoryWritableFile final : public WritableFile {
 public:
  MemoryWritableFile(MemoryFileSystem* fs, std::shared_ptr<MemoryFileSystem::Inode> inode,
                     uint64_t generation, std::string path)
      : fs_(fs), inode_(std::move(inode)), generation_(generation), path_(std::move(path)) {}

  absl::Status Append(std::string_view bytes) override {
    TINYOBS_RETURN_IF_ERROR(CheckUsable());
    return fs_->AppendTo(inode_, generation_, path_, bytes);
  }
  absl::Status Sync() override {
    TINYOBS_RETURN_IF_ERROR(CheckUsable());
    const absl::Status status = fs_->SyncFile(inode_, generation_, path_);
    if (!status.ok()) sync_failed_ = true;
    return status;
  }
  absl::Status Close() override {
    if (closed_) return absl::OkStatus();
    closed_ = true;
    MutexLock lock(&fs_->mutex_);
    return fs_->Begin(Operation::kClose, path_);
  }

 private:
  absl::Status CheckUsable() const {
    if (closed_) return absl::FailedPreconditionError(StrCat(path_, ": the file is closed"));
    if (sync_failed_) {
      return absl::FailedPreconditionError(StrCat(path_, ": an earlier sync of this file failed"));
    }
    return absl::OkStatus();
  }

  MemoryFileSystem* const fs_;
  const std::shared_ptr<MemoryFileSystem::Inode> inode_;
  const uint64_t generation_;
  const std::string path_;
  bool closed_ = false;
  bool sync_failed_ = false;
};

class MemoryFileLock final : public FileLock {
 public:
  MemoryFileLock(MemoryFileSystem* fs, uint64_t generation, std::string path)
      : fs_(fs), generation_(generation), path_(std::move(path)) {}
  ~MemoryFileLock() override { fs_->Unlock(generation_, path_); }

 private:
  MemoryFileSystem* const fs_;
  const uint64_t generation_;
  const std::string path_;
};

MemoryFileSystem::MemoryFileSystem() = default;
MemoryFileSystem::~MemoryFileSystem() = default;

absl::Status MemoryFileSystem::Begin(Operation operation, const std::string& path,
                                     const std::string& other, bool* torn) {
  ++counts_[static_cast<int>(operation)];
  if (ChangesDisk(operation) && changes_until_power_cut_ == 0) {
    return absl::UnavailableError(StrCat(NameOf(operation), " ", path, ": power cut"));
  }
  for (Fault& fault : faults_) {
    if (fault.operation != operation || fault.count == 0) continue;
    if (path.find(fault.path_contains) == std::string::npos &&
        (other.empty() || other.find(fault.path_contains) == std::string::npos)) {
      continue;
    }
    if (fault.skip > 0) {
      --fault.skip;
      continue;
    }
    if (fault.count != kUnlimited) --fault.count;
    if (torn != nullptr) *torn = fault.torn;
    return absl::Status(fault.error.code(), StrCat(NameOf(operation), " ", path, ": ",
                                                   FromAbsl(fault.error.message())));
  }
  if (ChangesDisk(operation)) {
    ++changes_;
    if (changes_until_power_cut_ != kUnlimited) --changes_until_power_cut_;
  }
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::CheckFolder(std::string_view operation,
                                           const std::string& path) const {
  if (IsRoot(path)) return absl::OkStatus();
  const auto found = names_.find(path);
  if (found == names_.end()) {
    return absl::NotFoundError(StrCat(operation, " ", path, ": no such folder"));
  }
  if (!found->second->is_folder) {
    return absl::FailedPreconditionError(StrCat(operation, " ", path, ": not a folder"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<MemoryFileSystem::Inode>> MemoryFileSystem::FindFile(
    std::string_view operation, const std::string& path) const {
  const auto found = names_.find(path);
  if (found == names_.end()) {
    return absl::NotFoundError(StrCat(operation, " ", path, ": no such file"));
  }
  if (found->second->is_folder) {
    return absl::FailedPreconditionError(StrCat(operation, " ", path, ": is a folder"));
  }
  return found->second;
}

void MemoryFileSystem::ChangeNames(NameChange change) {
  for (const auto& [path, inode] : change) {
    if (inode == nullptr) {
      names_.erase(path);
    } else {
      names_[path] = inode;
    }
  }
  unsynced_changes_.push_back(std::move(change));
}

absl::StatusOr<std::unique_ptr<RandomAccessFile>> MemoryFileSystem::OpenRandomAccess(
    const std::string& raw_path) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kOpen, path));
  TINYOBS_ASSIGN_OR_RETURN(std::shared_ptr<Inode> inode, FindFile("open", path));
  return std::make_unique<MemoryRandomAccessFile>(this, std::move(inode), generation_, path);
}

absl::StatusOr<std::unique_ptr<WritableFile>> MemoryFileSystem::CreateWritable(
    const std::string& raw_path) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  TINYOBS_RETURN_IF_ERROR(CheckFolder("create", DirectoryOf(path)));
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kCreate, path));
  std::shared_ptr<Inode> inode;
  if (names_.count(path) > 0) {
    TINYOBS_ASSIGN_OR_RETURN(inode, FindFile("create", path));
    if (!inode->before_truncation.has_value()) {
      inode->before_truncation = inode->bytes.substr(0, inode->synced_bytes);
    }
    inode->bytes.clear();
    inode->synced_bytes = 0;
  } else {
    inode = std::make_shared<Inode>();
    ChangeNames({{path, inode}});
  }
  return std::make_unique<MemoryWritableFile>(this, std::move(inode), generation_, path);
}

absl::Status MemoryFileSystem::DeleteFile(const std::string& raw_path) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  TINYOBS_RETURN_IF_ERROR(FindFile("delete", path).status());
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kDelete, path));
  ChangeNames({{path, nullptr}});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::RenameFile(const std::string& raw_from, const std::string& raw_to) {
  const std::string from = Clean(raw_from);
  const std::string to = Clean(raw_to);
  MutexLock lock(&mutex_);
  TINYOBS_ASSIGN_OR_RETURN(std::shared_ptr<Inode> inode, FindFile("rename", from));
  TINYOBS_RETURN_IF_ERROR(CheckFolder("rename", DirectoryOf(to)));
  if (names_.count(to) > 0) TINYOBS_RETURN_IF_ERROR(FindFile("rename", to).status());
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kRename, from, to));
  if (from != to) ChangeNames({{to, std::move(inode)}, {from, nullptr}});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::LinkFile(const std::string& raw_from, const std::string& raw_to) {
  const std::string from = Clean(raw_from);
  const std::string to = Clean(raw_to);
  MutexLock lock(&mutex_);
  TINYOBS_ASSIGN_OR_RETURN(std::shared_ptr<Inode> inode, FindFile("link", from));
  TINYOBS_RETURN_IF_ERROR(CheckFolder("link", DirectoryOf(to)));
  if (names_.count(to) > 0) {
    return absl::AlreadyExistsError(StrCat("link ", from, " to ", to, ": exists"));
  }
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kLink, from, to));
  ChangeNames({{to, std::move(inode)}});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::CreateDirectories(const std::string& raw_path) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  std::vector<std::string> missing;
  for (std::string at = path; !IsRoot(at) && names_.count(at) == 0; at = DirectoryOf(at)) {
    missing.push_back(at);
  }
  TINYOBS_RETURN_IF_ERROR(
      CheckFolder("create folder", missing.empty() ? path : DirectoryOf(missing.back())));
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kCreateDirectories, path));
  for (const std::string& folder : missing) {
    auto inode = std::make_shared<Inode>();
    inode->is_folder = true;
    names_[folder] = inode;
    disk_names_[folder] = inode;
  }
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::DeleteDirectory(const std::string& raw_path) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  TINYOBS_RETURN_IF_ERROR(CheckFolder("delete folder", path));
  for (const auto& [name, inode] : names_) {
    if (DirectoryOf(name) == path) {
      return absl::FailedPreconditionError(StrCat("delete folder ", path, ": not empty"));
    }
  }
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kDeleteDirectory, path));
  ChangeNames({{path, nullptr}});
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::SyncDirectory(const std::string& raw_path) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  TINYOBS_RETURN_IF_ERROR(CheckFolder("sync folder", path));
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kSyncDirectory, path));
  for (NameChange& change : unsynced_changes_) {
    for (auto& [name, inode] : change) {
      if (DirectoryOf(name) != path) continue;
      if (inode == nullptr) {
        disk_names_.erase(name);
      } else {
        disk_names_[name] = inode;
      }
    }
    std::erase_if(change, [&path](const auto& entry) { return DirectoryOf(entry.first) == path; });
  }
  std::erase_if(unsynced_changes_, [](const NameChange& change) { return change.empty(); });
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> MemoryFileSystem::ListDirectory(
    const std::string& raw_path) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  TINYOBS_RETURN_IF_ERROR(CheckFolder("list", path));
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kList, path));
  std::vector<std::string> names;
  for (const auto& [name, inode] : names_) {
    if (DirectoryOf(name) != path) continue;
    names.push_back(name.substr(name.rfind('/') == std::string::npos ? 0 : name.rfind('/') + 1));
  }
  return names;
}

absl::StatusOr<uint64_t> MemoryFileSystem::FileSize(const std::string& raw_path) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kSize, path));
  TINYOBS_ASSIGN_OR_RETURN(const std::shared_ptr<Inode> inode, FindFile("size", path));
  return inode->bytes.size();
}

bool MemoryFileSystem::FileExists(const std::string& raw_path) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  return IsRoot(path) || names_.count(path) > 0;
}

absl::StatusOr<uint64_t> MemoryFileSystem::FreeSpace(const std::string& raw_path) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kFreeSpace, path));
  if (!IsRoot(path) && names_.count(path) == 0) {
    return absl::NotFoundError(StrCat("free space ", path, ": no such file"));
  }
  if (capacity_bytes_ == kUnlimited) return uint64_t{1} << 40;
  const uint64_t used = UsedBytesLocked();
  return used < capacity_bytes_ ? capacity_bytes_ - used : 0;
}

absl::StatusOr<std::unique_ptr<FileLock>> MemoryFileSystem::LockFile(const std::string& raw_path) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  TINYOBS_RETURN_IF_ERROR(CheckFolder("lock", DirectoryOf(path)));
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kLock, path));
  if (names_.count(path) == 0) ChangeNames({{path, std::make_shared<Inode>()}});
  if (!locked_.insert(path).second) {
    return absl::FailedPreconditionError(StrCat("lock ", path, ": held by this process"));
  }
  return std::make_unique<MemoryFileLock>(this, generation_, path);
}

void MemoryFileSystem::Unlock(uint64_t generation, const std::string& path) {
  MutexLock lock(&mutex_);
  if (generation == generation_) locked_.erase(path);
}

absl::Status MemoryFileSystem::AppendTo(const std::shared_ptr<Inode>& inode, uint64_t generation,
                                        const std::string& path, std::string_view bytes) {
  MutexLock lock(&mutex_);
  if (generation != generation_) return LostInCrash(path);
  bool torn = false;
  if (absl::Status status = Begin(Operation::kAppend, path, "", &torn); !status.ok()) {
    if (torn) inode->bytes.append(bytes.substr(0, bytes.size() / 2));
    return status;
  }
  if (capacity_bytes_ != kUnlimited) {
    const uint64_t used = UsedBytesLocked();
    const uint64_t free = used < capacity_bytes_ ? capacity_bytes_ - used : 0;
    if (bytes.size() > free) {
      inode->bytes.append(bytes.substr(0, free));
      return absl::ResourceExhaustedError(StrCat("append ", path, ": no space left"));
    }
  }
  inode->bytes.append(bytes);
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::SyncFile(const std::shared_ptr<Inode>& inode, uint64_t generation,
                                        const std::string& path) {
  MutexLock lock(&mutex_);
  if (generation != generation_) return LostInCrash(path);
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kSync, path));
  inode->synced_bytes = inode->bytes.size();
  inode->before_truncation.reset();
  return absl::OkStatus();
}

absl::StatusOr<size_t> MemoryFileSystem::ReadFrom(const std::shared_ptr<Inode>& inode,
                                                  uint64_t generation, const std::string& path,
                                                  uint64_t offset, size_t count, char* buffer) {
  MutexLock lock(&mutex_);
  if (generation != generation_) return LostInCrash(path);
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kRead, path));
  if (offset >= inode->bytes.size()) return size_t{0};
  const size_t got = std::min<uint64_t>(count, inode->bytes.size() - offset);
  std::memcpy(buffer, inode->bytes.data() + offset, got);
  return got;
}

absl::StatusOr<uint64_t> MemoryFileSystem::SizeOf(const std::shared_ptr<Inode>& inode,
                                                  uint64_t generation, const std::string& path) {
  MutexLock lock(&mutex_);
  if (generation != generation_) return LostInCrash(path);
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kSize, path));
  return inode->bytes.size();
}

MemoryFileSystem::Names MemoryFileSystem::NamesAfterCrash(const CrashOptions& options) const {
  std::mt19937_64 random(options.seed);
  const auto part_of = [&random](Keep keep, size_t all) -> size_t {
    if (keep == Keep::kNothing) return 0;
    return keep == Keep::kAll ? all : random() % (all + 1);
  };

  // Name changes reach a disk in order (that of its journal).
  Names left = disk_names_;
  const size_t kept_changes = part_of(options.keep_names, unsynced_changes_.size());
  for (size_t i = 0; i < kept_changes; ++i) {
    for (const auto& [path, inode] : unsynced_changes_[i]) {
      if (inode == nullptr) {
        left.erase(path);
      } else {
        left[path] = inode;
      }
    }
  }
  // A name whose folder is gone is gone. Parents sort before what is in them.
  for (auto at = left.begin(); at != left.end();) {
    const std::string folder = DirectoryOf(at->first);
    at = IsRoot(folder) || left.count(folder) > 0 ? std::next(at) : left.erase(at);
  }
  // Copies, so that two names of one file share one copy.
  std::map<const Inode*, std::shared_ptr<Inode>> copies;
  for (auto& [path, inode] : left) {
    std::shared_ptr<Inode>& copy = copies[inode.get()];
    if (copy == nullptr) {
      copy = std::make_shared<Inode>();
      copy->is_folder = inode->is_folder;
      // An emptied file has either its old bytes or some of the new ones.
      const bool emptying_lost = inode->before_truncation.has_value() &&
                                 options.keep_bytes != Keep::kAll &&
                                 (options.keep_bytes == Keep::kNothing || random() % 2 == 0);
      if (emptying_lost) {
        copy->bytes = *inode->before_truncation;
      } else {
        const size_t unsynced = inode->bytes.size() - inode->synced_bytes;
        copy->bytes =
            inode->bytes.substr(0, inode->synced_bytes + part_of(options.keep_bytes, unsynced));
      }
      copy->synced_bytes = copy->bytes.size();
    }
    inode = copy;
  }
  return left;
}

void MemoryFileSystem::Crash(const CrashOptions& options) {
  MutexLock lock(&mutex_);
  names_ = NamesAfterCrash(options);
  disk_names_ = names_;
  unsynced_changes_.clear();
  locked_.clear();
  faults_.clear();
  changes_until_power_cut_ = kUnlimited;
  ++generation_;
}

std::unique_ptr<MemoryFileSystem> MemoryFileSystem::CloneAfterCrash(
    const CrashOptions& options) const {
  auto clone = std::make_unique<MemoryFileSystem>();
  MutexLock lock(&mutex_);
  Names names = NamesAfterCrash(options);
  MutexLock clone_lock(&clone->mutex_);
  clone->disk_names_ = names;
  clone->names_ = std::move(names);
  clone->capacity_bytes_ = capacity_bytes_;
  return clone;
}

void MemoryFileSystem::PowerCutAfter(uint64_t changes) {
  MutexLock lock(&mutex_);
  changes_until_power_cut_ = changes;
}

bool MemoryFileSystem::PowerIsCut() const {
  MutexLock lock(&mutex_);
  return changes_until_power_cut_ == 0;
}

void MemoryFileSystem::AddFault(const Fault& fault) {
  MutexLock lock(&mutex_);
  faults_.push_back(fault);
}

void MemoryFileSystem::ClearFaults() {
  MutexLock lock(&mutex_);
  faults_.clear();
  changes_until_power_cut_ = kUnlimited;
}

void MemoryFileSystem::SetCapacityBytes(uint64_t bytes) {
  MutexLock lock(&mutex_);
  capacity_bytes_ = bytes;
}

uint64_t MemoryFileSystem::Count(Operation operation) const {
  MutexLock lock(&mutex_);
  return counts_[static_cast<int>(operation)];
}

uint64_t MemoryFileSystem::Changes() const {
  MutexLock lock(&mutex_);
  return changes_;
}

uint64_t MemoryFileSystem::UsedBytesLocked() const {
  std::set<const Inode*> inodes;
  uint64_t bytes = 0;
  for (const auto& [path, inode] : names_) {
    if (inodes.insert(inode.get()).second) bytes += inode->bytes.size();
  }
  return bytes;
}

uint64_t MemoryFileSystem::UsedBytes() const {
  MutexLock lock(&mutex_);
  return UsedBytesLocked();
}

std::vector<std::string> MemoryFileSystem::Files() const {
  MutexLock lock(&mutex_);
  std::vector<std::string> paths;
  for (const auto& [path, inode] : names_) {
    if (!inode->is_folder) paths.push_back(path);
  }
  return paths;
}

absl::StatusOr<std::string> MemoryFileSystem::Contents(const std::string& raw_path) const {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  TINYOBS_ASSIGN_OR_RETURN(const std::shared_ptr<Inode> inode, FindFile("contents of", path));
  return inode->bytes;
}

absl::Status MemoryFileSystem::SetContents(const std::string& raw_path, std::string_view bytes) {
  const std::string path = Clean(raw_path);
  MutexLock lock(&mutex_);
  TINYOBS_ASSIGN_OR_RETURN(const std::shared_ptr<Inode> inode, FindFile("set contents of", path));
  inode->bytes.assign(bytes);
  inode->synced_bytes = bytes.size();
  inode->before_truncation.reset();
  return absl::OkStatus();
}

}  // namespace tinyobs::testing
