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
    "create", "append",        "preallocate",   "sync",        "delete", "rename",
    "link",   "create folder", "delete folder", "sync folder", "open",   "read",
    "close",  "list",          "size",          "free space",  "lock"};

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

// `bytes` with the pages behind the first `synced` bytes there or not, and an end anywhere. A page
// that holds the end of the synced bytes has these in any case.
std::string Reordered(const std::string& bytes, size_t synced, size_t page_bytes,
                      std::mt19937_64& random) {
  std::string left = bytes.substr(0, synced + random() % (bytes.size() - synced + 1));
  for (size_t at = synced; at < left.size();) {
    const size_t end = std::min(left.size(), (at / page_bytes + 1) * page_bytes);
    const uint64_t fate = random() % 6;
    if (fate < 2) {
      std::fill(left.begin() + at, left.begin() + end, '\0');
    } else if (fate < 3) {
      // What the sectors held before: a piece of the same file, or anything.
      const size_t from = random() % bytes.size();
      for (size_t i = at; i < end; ++i) {
        left[i] = from % 2 == 0 ? bytes[(from + i) % bytes.size()] : static_cast<char>(random());
      }
    }
    at = end;
  }
  return left;
}

absl::Status LostInCrash(const std::string& path) {
  return absl::UnavailableError(StrCat(path, ": opened before the machine crashed"));
}

}  // namespace

struct MemoryFileSystem::Inode {
  bool is_folder = false;
  std::string bytes;        // what was appended, then preallocated zeros
  size_t appended = 0;      // of `bytes`
  size_t synced_bytes = 0;  // a prefix of what was appended that survives a crash
  size_t synced_size = 0;   // of the file; more than synced_bytes = zeros behind
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
  absl::Status Preallocate(uint64_t bytes) override {
    TINYOBS_RETURN_IF_ERROR(CheckUsable());
    has_zeros_ |= bytes > 0;
    return fs_->PreallocateIn(inode_, generation_, path_, bytes);
  }
  absl::Status Close() override {
    if (closed_) return absl::OkStatus();
    const absl::Status cut =
        has_zeros_ ? fs_->PreallocateIn(inode_, generation_, path_, 0) : absl::OkStatus();
    closed_ = true;
    MutexLock lock(&fs_->mutex_);
    const absl::Status status = fs_->Begin(Operation::kClose, path_);
    return cut.ok() ? status : cut;
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
  bool has_zeros_ = false;
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
                                     const std::string& other, uint32_t* torn_percent) {
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
    if (torn_percent != nullptr && fault.torn) *torn_percent = fault.torn_percent;
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

void MemoryFileSystem::Apply(const NameChange& change, Names* names) {
  if (change.size() == 2 && change[0].second != nullptr && change[0].second->is_folder) {
    const std::string from = change[1].first + "/";
    for (auto at = names->lower_bound(from); at != names->end() && at->first.starts_with(from);) {
      (*names)[change[0].first + "/" + at->first.substr(from.size())] = at->second;
      at = names->erase(at);
    }
  }
  for (const auto& [path, inode] : change) {
    if (inode == nullptr) {
      names->erase(path);
    } else {
      (*names)[path] = inode;
    }
  }
}

void MemoryFileSystem::ChangeNames(NameChange change) {
  Apply(change, &names_);
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
      inode->before_truncation->resize(std::max(inode->synced_bytes, inode->synced_size));
    }
    inode->bytes.clear();
    inode->appended = inode->synced_bytes = inode->synced_size = 0;
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
  const auto found = names_.find(from);
  if (found == names_.end()) return absl::NotFoundError(StrCat("rename ", from, ": no such file"));
  std::shared_ptr<Inode> inode = found->second;
  TINYOBS_RETURN_IF_ERROR(CheckFolder("rename", DirectoryOf(to)));
  if (inode->is_folder) {
    if (names_.count(to) > 0 || DirectoryOf(from) != DirectoryOf(to)) {
      return absl::FailedPreconditionError(
          StrCat("rename ", from, " to ", to, ": only to a free name in the same folder"));
    }
  } else if (names_.count(to) > 0) {
    TINYOBS_RETURN_IF_ERROR(FindFile("rename", to).status());
  }
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kRename, from, to));
  if (from == to) return absl::OkStatus();
  if (inode->is_folder) {
    // What is not yet durable within goes on under the new name.
    const std::string inside = from + "/";
    for (NameChange& change : unsynced_changes_) {
      for (auto& [name, unused] : change) {
        if (name.starts_with(inside)) name = to + "/" + name.substr(inside.size());
      }
    }
  }
  ChangeNames({{to, std::move(inode)}, {from, nullptr}});
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
    const auto rest = std::stable_partition(change.begin(), change.end(), [&](const auto& entry) {
      return DirectoryOf(entry.first) == path;
    });
    Apply(NameChange(change.begin(), rest), &disk_names_);
    change.erase(change.begin(), rest);
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
  const auto append = [&inode](std::string_view part) {
    if (inode->bytes.size() < inode->appended + part.size()) {
      inode->bytes.resize(inode->appended + part.size());
    }
    inode->bytes.replace(inode->appended, part.size(), part);
    inode->appended += part.size();
  };
  uint32_t torn_percent = 0;
  if (absl::Status status = Begin(Operation::kAppend, path, "", &torn_percent); !status.ok()) {
    append(bytes.substr(0, bytes.size() * torn_percent / 100));
    return status;
  }
  if (capacity_bytes_ != kUnlimited) {
    const uint64_t used = UsedBytesLocked();
    const uint64_t free = (used < capacity_bytes_ ? capacity_bytes_ - used : 0) +
                          (inode->bytes.size() - inode->appended);
    if (bytes.size() > free) {
      append(bytes.substr(0, free));
      return absl::ResourceExhaustedError(StrCat("append ", path, ": no space left"));
    }
  }
  append(bytes);
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::PreallocateIn(const std::shared_ptr<Inode>& inode,
                                             uint64_t generation, const std::string& path,
                                             uint64_t bytes) {
  MutexLock lock(&mutex_);
  if (generation != generation_) return LostInCrash(path);
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kPreallocate, path));
  const uint64_t size = inode->appended + bytes;
  if (capacity_bytes_ != kUnlimited && size > inode->bytes.size() &&
      size - inode->bytes.size() + UsedBytesLocked() > capacity_bytes_) {
    return absl::ResourceExhaustedError(StrCat("preallocate ", path, ": no space left"));
  }
  inode->bytes.resize(size);
  return absl::OkStatus();
}

absl::Status MemoryFileSystem::SyncFile(const std::shared_ptr<Inode>& inode, uint64_t generation,
                                        const std::string& path) {
  MutexLock lock(&mutex_);
  if (generation != generation_) return LostInCrash(path);
  TINYOBS_RETURN_IF_ERROR(Begin(Operation::kSync, path));
  inode->synced_bytes = inode->appended;
  inode->synced_size = inode->bytes.size();
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

  Names left = disk_names_;
  if (options.keep_names == Keep::kReordered) {
    for (NameChange change : unsynced_changes_) {
      if (random() % 2 == 0) continue;
      const bool is_rename = change.size() == 2 && !change[0].second->is_folder;
      if (is_rename && random() % 2 == 0) change.pop_back();
      Apply(change, &left);
    }
  } else {
    // They reach the disk in order (that of its journal).
    const size_t kept = part_of(options.keep_names, unsynced_changes_.size());
    for (size_t i = 0; i < kept; ++i) Apply(unsynced_changes_[i], &left);
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
        const std::string appended = inode->bytes.substr(0, inode->appended);
        const size_t unsynced = appended.size() - inode->synced_bytes;
        copy->bytes =
            options.keep_bytes == Keep::kReordered
                ? Reordered(appended, inode->synced_bytes, options.page_bytes, random)
                : appended.substr(0, inode->synced_bytes + part_of(options.keep_bytes, unsynced));
        // What preallocation did to the size has reached the disk or not.
        const bool grown = inode->bytes.size() > inode->appended;
        const bool new_size = options.keep_bytes == Keep::kAll ||
                              (options.keep_bytes != Keep::kNothing && random() % 2 == 0);
        const size_t new_zeros_end = grown ? inode->bytes.size() : 0;
        copy->bytes.resize(
            std::max(copy->bytes.size(), new_size ? new_zeros_end : inode->synced_size));
      }
      copy->appended = copy->synced_bytes = copy->synced_size = copy->bytes.size();
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
  inode->appended = inode->synced_bytes = inode->synced_size = bytes.size();
  inode->before_truncation.reset();
  return absl::OkStatus();
}

}  // namespace tinyobs::testing
